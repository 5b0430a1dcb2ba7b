package bridge

import (
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
)

// wall is a wall clock that a test sets so much ahead of the steady one.
type wall struct{ ahead atomic.Int64 }

func (c *wall) now() time.Time { return time.Now().Round(0).Add(time.Duration(c.ahead.Load())) } // Round: without the steady part

func (c *wall) set(ahead time.Duration) {
	c.ahead.Store(int64(ahead))
	synctest.Wait()
}

// underClock runs a test with a running bridge whose wall clock can be set.
func underClock(t *testing.T, m *presence.Mapping, test func(t *testing.T, w *world, c *wall)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w, c := newWorld(t), &wall{}
		w.mapping, w.opt.Now = m, c.now
		w.start()
		test(t, w, c)
		if err := w.stop(); err != nil {
			t.Errorf("Run = %v", err)
		}
	})
}

// until chooses a status that ends by the wall clock after d.
func (w *world) until(c *wall, id presence.TypeID, d time.Duration) {
	w.t.Helper()
	if _, err := w.b.Choose(w.t.Context(), "alice", Choice{Type: id, Until: c.now().Add(d), By: "cli"}); err != nil {
		w.t.Error(err)
	}
	synctest.Wait()
}

// The time until which lunch lasts is one that the bridge's own clock is past.
func TestAReturnTimeHoldsUpNothingElseWhereTheClockWasSetBack(t *testing.T) {
	underClock(t, mappingOf(statuses(), "alice 1001"), func(t *testing.T, w *world, c *wall) {
		w.press("1001", away)
		c.set(-time.Hour)
		w.main.do(func() { w.main.dropEchoes = true })
		w.until(c, "lunch", 30*time.Minute)
		pass(11 * time.Second)
		if w.main.count(&w.main.reads) == 0 {
			t.Error("a write without an event is not read back")
		}
		w.want("alice", "lunch")
		pass(31 * time.Minute)
		w.want("alice", "away")
	})
}

func TestAReturnTimeComesWhenTheClockIsSetPastIt(t *testing.T) {
	underClock(t, mappingOf(statuses(), "alice 1001"), func(t *testing.T, w *world, c *wall) {
		w.press("1001", away)
		w.until(c, "lunch", 2*time.Hour)
		for _, ahead := range []time.Duration{110 * time.Minute, -time.Hour, 30 * time.Minute} {
			c.set(ahead)
			pass(2 * time.Minute)
			w.want("alice", "lunch")
		}
		c.set(2 * time.Hour)
		pass(time.Minute)
		w.want("alice", "away")
	})
}

func TestAReturnTimeComesWhenTheClockWasSetBackAndIsSetRight(t *testing.T) {
	underClock(t, mappingOf(statuses(), "alice 1001"), func(t *testing.T, w *world, c *wall) {
		w.press("1001", away)
		c.set(-time.Hour)
		w.until(c, "lunch", 30*time.Minute)
		c.set(0)
		pass(time.Minute)
		w.want("alice", "away")
		if !w.logged("the wall clock was set, or the machine was suspended") {
			t.Error("the log does not say so")
		}
	})
}

// A machine without a clock of its own boots, and learns the time after the bridge has begun.
func TestAClockThatIsSetAheadCutsNoWaitOfTheStartShort(t *testing.T) {
	m := asking("alice 1001", "bob 1003")
	underClock(t, m, func(t *testing.T, w *world, c *wall) {
		w.press("1001", available)
		w.until(c, "lunch", time.Hour)
		if err := w.stop(); err != nil {
			t.Error(err)
		}
		w.store = w.store.copied()
		w.main.attached = false
		w.main.values["1001"] = dnd // somebody changes the phone meanwhile
		w.start()
		pass(time.Second)
		c.set(2 * time.Hour)
		pass(10 * time.Second)
		w.want("alice", "lunch")
		w.main.attach()
		synctest.Wait()
		w.want("alice", "dnd")
		w.press("1001", available)
		pass(time.Minute)
		w.want("alice", "available") // her page may yet come back
		pass(time.Minute)
		w.want("alice", "gone")
	})
}

func TestTheHistoryGoesOnBehindItsEnd(t *testing.T) {
	underClock(t, mappingOf(statuses(), "alice 1001"), func(t *testing.T, w *world, c *wall) {
		c.set(time.Hour)
		w.until(c, "training", time.Minute) // which no phone shows, and nothing tells of when it is over
		pass(2 * time.Minute)
		w.want("alice", "")
		c.set(0)
		w.restart()
		w.choose("alice", "meeting")
		h := w.store.history
		if len(h) != 3 || !slices.IsSortedFunc(h, func(a, b store.Entry) int { return a.At.Compare(b.At) }) {
			t.Errorf("the history is %+v", h)
		}
	})
}

func TestVersionsRiseOverACrashWhileTheClockWasAhead(t *testing.T) {
	underClock(t, mappingOf(statuses(), "alice 1001"), func(t *testing.T, w *world, c *wall) {
		w.press("1001", away)
		c.set(time.Hour)
		w.crash(w.store.copied()) // versions begin with the time of day
		w.store.set(func() { w.store.fail = errDisk })
		w.reload(mappingOf(statuses(), "alice 1001", "bob 1003"))
		w.press("1003", away)
		before := w.user("bob").Version // which a page has seen and the store has not
		c.set(0)
		w.crash(w.store.copied())
		if after := w.user("bob").Version; after <= before {
			t.Errorf("bob has version %d after %d", after, before)
		}
	})
}
