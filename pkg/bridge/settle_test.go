package bridge

import (
	"sync/atomic"
	"testing"
	"time"
)

func TestTheBridgeTellsOnceThatItHasComeToRest(t *testing.T) {
	inWorld(t, oneUser, func(t *testing.T, w *world) {
		var told atomic.Int32
		want := func(n int32, when string) {
			t.Helper()
			if got := told.Swap(0); got != n {
				t.Errorf("%s: told %d times, want %d", when, got, n)
			}
		}
		w.opt.Settled = func() { told.Add(1) }
		w.restart()
		want(0, "at the start")
		pass(settleWait + time.Second)
		want(1, "behind the first snapshot")
		w.press("1001", dnd)
		pass(time.Hour)
		want(0, "behind a change")

		w.store.set(func() { w.store.fail = errDisk })
		w.press("1001", away)
		w.main.cut()
		w.main.attach()
		pass(settleMost - time.Second)
		want(0, "while something is to be saved")
		pass(time.Minute)
		want(1, "in spite of a store that is away")
		w.store.set(func() { w.store.fail = nil })
		pass(time.Minute)
		want(0, "behind what was still to be saved")

		w.main.cut()
		w.main.attach()
		for range 60 { // an office that telephones
			pass(time.Second)
			w.press("1001", dnd)
			w.press("1001", away)
		}
		want(1, "behind a snapshot in the middle of changes")

		w.reload(mappingOf(statuses(), oneUser...))
		pass(time.Minute)
		want(1, "behind a reload")
	})
}
