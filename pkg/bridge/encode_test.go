package bridge

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// fill gives everything in v a random value, fields that are new included.
func fill(r *rand.Rand, v reflect.Value) {
	texts := []string{"", "plain", `a "quote" \ back`, "<b>&amp;</b>", "Zürich 😀", "Zürich \u2028", "\u2029", "bad \xff", "line\r\nbreak\x7f", "\x00"}
	switch x := v.Addr().Interface().(type) {
	case *time.Time:
		*x = time.UnixMicro(r.Int64N(4e15)).UTC()
		return
	case *presence.Time:
		if r.IntN(3) > 0 {
			*x = presence.At(time.UnixMicro(1 + r.Int64N(4e15)))
		}
		return
	case *presence.State:
		*x = presence.State(r.IntN(int(presence.DND) + 1))
		return
	case *presence.PhoneState:
		*x = presence.PhoneState(r.IntN(int(presence.PhoneInCall) + 1))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(r, v.Field(i))
		}
	case reflect.Pointer:
		if r.IntN(2) == 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(r, v.Elem())
		}
	case reflect.Slice:
		if n := r.IntN(4); n > 0 { // else nil
			v.Set(reflect.MakeSlice(v.Type(), n-1, n))
			for i := range v.Len() {
				fill(r, v.Index(i))
			}
		}
	case reflect.String:
		v.SetString(texts[r.IntN(len(texts))])
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Uint64:
		v.SetUint(r.Uint64N(2) * r.Uint64())
	default:
		panic(fmt.Sprint("nobody taught this test to fill a ", v.Type()))
	}
}

func TestAUserIsEncodedAsByPackageJSON(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for range 5000 {
		var u User
		fill(r, reflect.ValueOf(&u).Elem())
		var want bytes.Buffer
		e := json.NewEncoder(&want)
		e.SetEscapeHTML(false)
		if err := e.Encode(&u); err != nil {
			t.Fatal(err)
		}
		if got := u.AppendJSON([]byte("before ")); string(got)+"\n" != "before "+want.String() {
			t.Fatalf("seed %d:\n got %s\nwant %s", seed, got[len("before "):], want.String())
		}
	}
}

// BenchmarkUser is what each event of the feed takes: to render a user, and to encode them.
func BenchmarkUser(b *testing.B) {
	w := newWorld(b, "alice 1001 1002")
	w.opt.Mapping, w.opt.Store, w.opt.Log = w.mapping, w.store, zap.NewNop()
	br, err := Open(b.Context(), w.opt)
	if err != nil {
		b.Fatal(err)
	}
	br.report(&connector.Report{Kind: connector.Snapshot, PBX: "main", Session: 1, First: true, Incarnation: "life 1"})
	for _, number := range []string{"1001", "1002"} {
		event := changed(number, away)
		br.report(&event)
	}
	s := br.board.find("alice")
	u := s.render()
	b.Run("render", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			u = s.render()
		}
	})
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		var buf []byte
		for b.Loop() {
			buf = u.AppendJSON(buf[:0])
		}
	})
	b.Run("package json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = json.Marshal(&u)
		}
	})
}
