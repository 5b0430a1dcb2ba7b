package presence

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
)

// fill gives everything in v a random value, fields that are new included.
func fill(r *rand.Rand, v reflect.Value, depth int) {
	words := []string{"", "plain", `a "quote" \ back`, "<b>&amp;</b>", "Zürich \u2028 \xff", "line\r\nbreak\x7f"}
	switch x := v.Addr().Interface().(type) {
	case *Time:
		if r.IntN(3) > 0 {
			*x = At(time.UnixMicro(1 + r.Int64N(4e15)))
		}
		return
	case *Kept:
		var p Presence
		fill(r, reflect.ValueOf(&p).Elem(), depth)
		*x = Keep(p)
		return
	case **StatusType: // never nil
		*x = new(StatusType)
		fill(r, reflect.ValueOf(*x).Elem(), depth)
		return
	case *Verdict:
		*x = Verdict(r.IntN(len(verdictNames)))
		return
	case *State:
		*x = State(r.IntN(len(stateNames)))
		return
	case *PhoneState:
		*x = PhoneState(r.IntN(len(phoneNames)))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(r, v.Field(i), depth)
		}
	case reflect.Pointer:
		if depth > 0 && r.IntN(2) == 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(r, v.Elem(), depth-1)
		}
	case reflect.Slice:
		if n := r.IntN(4); n > 0 { // else nil
			v.Set(reflect.MakeSlice(v.Type(), n-1, n))
			for i := range v.Len() {
				fill(r, v.Index(i), depth-1)
			}
		}
	case reflect.String:
		v.SetString(words[r.IntN(len(words))])
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Int:
		v.SetInt(r.Int64N(3) - 1)
	case reflect.Int64:
		v.SetInt(r.Int64N(3))
	case reflect.Uint8:
		v.SetUint(r.Uint64N(256))
	case reflect.Uint64:
		v.SetUint(r.Uint64N(2) * r.Uint64())
	default:
		panic(fmt.Sprint("nobody taught this test to fill a ", v.Type()))
	}
}

func TestEncodingIsThatOfPackageJSON(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for range 5000 {
		var v View
		fill(r, reflect.ValueOf(&v).Elem(), 4)
		want, err := json.Marshal(&v)
		if err != nil {
			t.Fatal(err)
		}
		if got := v.AppendJSON([]byte("before ")); string(got) != "before "+string(want) {
			t.Fatalf("seed %d:\n got %s\nwant %s", seed, got[len("before "):], want)
		}
	}
}

func sampleView() *View {
	v := &View{User: "alice", Version: 17, Status: &Status{Type: &StatusType{ID: "lunch", Name: "Lunch", Asterisk: &Image{Away, "lunch"}}, Message: "Back at 2", Since: t0}}
	for _, id := range []ExtensionID{desk, mobile} {
		p := Presence{Away, "lunch", "Back at 2"}
		v.Extensions = append(v.Extensions, Extension{ID: id, Known: true, Shows: Keep(p), Said: Said{Presence: Keep(p), Type: "lunch", Since: t0}, Heard: Heard{t0, Accepted}})
	}
	return v
}

func BenchmarkEncode(b *testing.B) {
	v := sampleView()
	b.Run("ours", func(b *testing.B) {
		buf := v.AppendJSON(nil)
		for b.Loop() {
			buf = v.AppendJSON(buf[:0])
		}
	})
	b.Run("package json", func(b *testing.B) {
		for b.Loop() {
			_, _ = json.Marshal(v)
		}
	})
}
