package bridge

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// inWorldThatMayNot is inWorld with a switch that takes the right to act away.
func inWorldThatMayNot(t *testing.T, users []string, test func(t *testing.T, w *world, forbid func(bool))) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var forbidden atomic.Bool
		w := newWorld(t, users...)
		w.opt.MayAct = func() error {
			if forbidden.Load() {
				return errors.New("not confirmed")
			}
			return nil
		}
		w.start()
		test(t, w, forbidden.Store)
		if err := w.stop(); err != nil {
			t.Errorf("Run = %v", err)
		}
	})
}

func TestABridgeThatMayNotActWritesTheNewestWhenItMay(t *testing.T) {
	inWorldThatMayNot(t, []string{"alice 1001"}, func(t *testing.T, w *world, forbid func(bool)) {
		forbid(true)
		w.choose("alice", "dnd")
		pass(time.Minute)
		w.choose("alice", "lunch")
		pass(time.Minute)
		w.wantWrites()
		if r := w.b.NotReady(); len(r) != 1 || !strings.Contains(r[0].Text, "not confirmed") {
			t.Errorf("NotReady = %+v", r)
		}
		forbid(false)
		pass(time.Second)
		w.wantWrites("1001 away/lunch")
		w.want("alice", "lunch")
		if r := w.b.NotReady(); len(r) != 0 {
			t.Errorf("NotReady = %+v", r)
		}
	})
}

func TestLampsStayAsTheyAreWhileTheBridgeMayNotAct(t *testing.T) {
	inWorldThatMayNot(t, []string{"alice 1001", "bob 1002"}, func(t *testing.T, w *world, forbid func(bool)) {
		w.main.lampsTold()
		forbid(true)
		w.store.set(func() { w.store.fail = errDisk })
		w.press("1001", dnd)
		w.wantLamps()
		forbid(false)
		w.store.set(func() { w.store.fail = nil })
		pass(5 * time.Second)
		if got := strings.Join(w.main.lampsTold(), ", "); !strings.Contains(got, "1001 busy") {
			t.Errorf("lamps were told %q", got)
		}
	})
}
