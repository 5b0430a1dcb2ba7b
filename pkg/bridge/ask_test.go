package bridge

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/message"
	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
)

func TestExplainSaysWhyAndWhyNot(t *testing.T) {
	inWorld(t, []string{"alice 1001 1002"}, func(t *testing.T, w *world) {
		w.press("1001", away)
		w.press("1002", dnd)
		e, err := w.b.Explain(t.Context(), "alice")
		if err != nil || e.Status.Type.ID != "dnd" || e.Rule != presence.WonLatest {
			t.Errorf("Explain = %+v, %v", e, err)
		}
		if x := e.Extensions; x[0].Won || x[0].Rule != presence.LostEarlier || !x[1].Won {
			t.Errorf("extensions = %+v", x)
		}
		h, err := w.b.History(t.Context(), store.Query{User: "alice"})
		if err != nil || len(h) != 2 || h[0].Type != "dnd" || h[0].Rule != presence.WonLatest {
			t.Errorf("History = %+v, %v", h, err)
		}
	})
}

func TestAWrongNameIsAnsweredWithTheNearest(t *testing.T) {
	inWorld(t, []string{"alice 1001", "bob 1002"}, func(t *testing.T, w *world) {
		for _, tc := range []struct {
			ask  func() error
			is   error
			want string
		}{
			{func() error { _, err := w.b.User("alcie"); return err }, ErrNoUser, `no such user "alcie", did you mean "alice"?`},
			{func() error { _, err := w.b.Explain(t.Context(), "bo"); return err }, ErrNoUser, `no such user "bo", did you mean "bob"?`},
			{func() error { _, err := w.b.User("zebra"); return err }, ErrNoUser, `no such user "zebra"`},
			{func() error { _, err := w.b.Choose(t.Context(), "b", Choice{}); return err }, ErrNoUser, `no such user "b"`},
			{func() error { _, err := w.b.Choose(t.Context(), "bob", Choice{Type: "lunhc"}); return err }, ErrNoStatus, `no such status type "lunhc", did you mean "lunch"?`},
		} {
			if err := tc.ask(); !errors.Is(err, tc.is) || err.Error() != tc.want {
				t.Errorf("%v, want %s", err, tc.want)
			}
		}
	})
}

func TestNotReadyNamesEveryReason(t *testing.T) {
	inWorld(t, oneUser, func(t *testing.T, w *world) {
		if err := w.b.Alive(t.Context()); err != nil {
			t.Errorf("Alive = %v", err)
		}
		if r := w.b.NotReady(); r != nil {
			t.Errorf("NotReady = %+v", r)
		}
		want := func(want ...Reason) {
			t.Helper()
			if got := w.b.NotReady(); !reflect.DeepEqual(got, want) {
				t.Errorf("NotReady = %+v, want %+v", got, want)
			}
		}
		const text, whole = "nobody answers at 127.0.0.1:5038", "PBX main: nobody answers at 127.0.0.1:5038"
		w.main.do(func() { w.main.health = connector.Health{Reason: text} })
		want(Reason{"main", whole, []message.Message{{Text: text}}})

		told := []message.Message{{Text: text, Key: message.As("pbx.unreachable", "error", "127.0.0.1:5038")}}
		full := []message.Message{{Text: "store: disk full", Key: message.As("health.store", "error", "disk full")}}
		w.main.do(func() { w.main.health.Told = told })
		w.store.set(func() { w.store.fail = errDisk })
		w.press("1001", away)
		want(Reason{"main", whole, told}, Reason{"", full[0].Text, full})
		w.store.set(func() { w.store.fail = nil })
		pass(5 * time.Second)
	})
}

func TestAHangingStoreIsNotReadyAndAcceptsNothing(t *testing.T) {
	inWorld(t, []string{"alice 1001"}, func(t *testing.T, w *world) {
		w.opt.SaveTimeout = time.Minute
		w.restart()
		stall := make(chan struct{})
		w.store.set(func() { w.store.stall = stall })
		w.press("1001", away)
		pass(61 * time.Second)
		if reasons := w.b.NotReady(); len(reasons) != 1 || !strings.Contains(reasons[0].Text, "store") {
			t.Errorf("NotReady = %+v", reasons)
		}
		if _, err := w.b.Choose(t.Context(), "alice", Choice{Type: "dnd"}); !errors.Is(err, ErrUnsaved) {
			t.Errorf("Choose = %v", err)
		}
		if got := typeOf(w.user("alice")); got != "away" {
			t.Errorf("alice is %q", got)
		}
		w.store.set(func() { w.store.stall = nil })
		close(stall)
		pass(time.Minute)
		if reasons := w.b.NotReady(); len(reasons) != 0 {
			t.Errorf("NotReady = %+v", reasons)
		}
	})
}
