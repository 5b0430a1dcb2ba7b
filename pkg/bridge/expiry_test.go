package bridge

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/presencebridge/presencebridge/pkg/presence"
)

// lunchFor sets away by phone, then chooses lunch for a while.
func (w *world) lunchFor(d time.Duration) {
	w.t.Helper()
	w.press("1001", away)
	u, err := w.b.Choose(w.t.Context(), "alice", Choice{Type: "lunch", Until: time.Now().Add(d), By: "cli"})
	if err != nil || u.Status.Until == nil {
		w.t.Errorf("Choose = %+v, %v", u, err)
	}
	synctest.Wait()
	w.want("alice", "lunch")
	w.wantWrites("1001 away/lunch")
}

// downFor stops the bridge in order, and opens the next one after a while.
func (w *world) downFor(d time.Duration, meanwhile func()) {
	w.t.Helper()
	if err := w.stop(); err != nil {
		w.t.Error(err)
	}
	w.store = w.store.copied()
	meanwhile()
	pass(d)
	w.start()
}

func TestAReturnTimeFires(t *testing.T) {
	inWorld(t, oneUser, func(t *testing.T, w *world) {
		w.lunchFor(time.Hour)
		pass(59 * time.Minute)
		w.want("alice", "lunch")
		pass(2 * time.Minute)
		w.want("alice", "away")
		w.wantWrites("1001 away")
		if by := w.user("alice").Status.By; by != presence.ByExpiry {
			t.Errorf("by %s", by)
		}
	})
}

func TestAStatusLastsAsLongAsItsTypeWhoeverSetsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, oneUser...)
		types := statuses()
		types[2].Lasts = time.Hour
		w.mapping = mappingOf(types, oneUser...)
		w.start()
		w.press("1001", away)
		w.press("1001", lunch)
		if until := w.user("alice").Status.Until; until == nil || !until.Equal(time.Now().Add(time.Hour).UTC()) {
			t.Errorf("pressed until %v", until)
		}
		pass(time.Hour + time.Second)
		w.want("alice", "away")
		w.wantWrites("1001 away")
		for _, open := range []bool{false, true} {
			u, err := w.b.Choose(t.Context(), "alice", Choice{Type: "lunch", Open: open, By: "cli"})
			if err != nil || (u.Status.Until == nil) != open {
				t.Errorf("open=%v: %+v, %v", open, u.Status, err)
			}
		}
		if err := w.stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestAReturnTimeSurvivesARestart(t *testing.T) {
	inWorld(t, oneUser, func(t *testing.T, w *world) {
		w.lunchFor(time.Hour)
		w.downFor(time.Minute, func() {})
		w.want("alice", "lunch")
		pass(time.Hour)
		w.want("alice", "away")
		w.wantWrites("1001 away")
	})
}

func TestAnOverdueReturnTimeWaitsForTheFirstSnapshot(t *testing.T) {
	inWorld(t, oneUser, func(t *testing.T, w *world) {
		w.lunchFor(time.Hour)
		w.downFor(2*time.Hour, func() {
			w.main.attached = false
			w.main.values["1001"] = dnd // somebody came back early
		})
		pass(10 * time.Second)
		w.want("alice", "lunch")
		w.main.attach()
		synctest.Wait()
		w.want("alice", "dnd")
		pass(time.Hour)
		w.want("alice", "dnd")
		w.wantWrites()
	})
}

func TestAnOverdueReturnTimeWaitsNoLongerThanExpiryWait(t *testing.T) {
	inWorld(t, oneUser, func(t *testing.T, w *world) {
		w.lunchFor(time.Hour)
		w.downFor(2*time.Hour, func() { w.main.attached = false })
		pass(29 * time.Second)
		w.want("alice", "lunch")
		pass(2 * time.Second)
		w.want("alice", "away")
		w.main.attach()
		synctest.Wait()
		w.wantWrites("1001 away")
	})
}

// The clock steps back an hour, as after a repair by NTP.
func TestAClockThatStepsBackStopsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "alice 1001 1002")
		var back time.Duration
		w.opt.Now = func() time.Time { return time.Now().Round(0).Add(-back) } // Round: without the monotonic reading
		w.start()
		w.press("1001", dnd)
		before := w.user("alice")
		w.main.do(func() { back = time.Hour }) // ordered before the loop's next look by what follows
		w.press("1002", away)
		after := w.user("alice")
		if typeOf(after) != "away" || !after.Status.Since.After(before.Status.Since) {
			t.Errorf("the later press does not win: %+v after %+v", after.Status, before.Status)
		}
		if w.user("alice").Status.Since.Sub(before.Status.Since) > time.Second {
			t.Errorf("since jumps to %v", after.Status.Since)
		}

		w.main.do(func() { w.main.dropEchoes = true })
		w.choose("alice", "meeting")
		pass(11 * time.Second)
		if w.main.count(&w.main.reads) == 0 {
			t.Error("a write without an event is not read back")
		}
		if _, err := w.b.Choose(t.Context(), "alice", Choice{Type: "dnd", Until: w.opt.Now().Add(30 * time.Minute)}); err != nil {
			t.Error(err)
		}
		pass(29 * time.Minute)
		w.want("alice", "dnd") // by the time of day it has a minute left
		pass(2 * time.Minute)
		w.want("alice", "meeting")

		w.store.set(func() { w.store.fail = errDisk })
		w.press("1001", lunch)
		w.store.set(func() { w.store.fail = nil })
		pass(time.Second)
		w.want("alice", "lunch")
		if err := w.stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestTheClockMeetsAWallClockThatIsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var back time.Duration
		c := newClock(func() time.Time { return time.Now().Round(0).Add(-back) })
		c.next()
		back = time.Hour
		last := c.last
		for range 3 * 60 {
			time.Sleep(time.Minute)
			if t1 := c.next(); !t1.After(last) {
				t.Fatalf("%v after %v", t1, last)
			}
			last = c.last
		}
		if want := presence.At(c.now()); !last.Equal(want) {
			t.Errorf("after three hours it is %v, want %v", last, want)
		}
	})
}

func TestAReturnTimeThatHasPassedIsRefused(t *testing.T) {
	inWorld(t, oneUser, func(t *testing.T, w *world) {
		_, err := w.b.Choose(t.Context(), "alice", Choice{Type: "dnd", Until: time.Now()})
		if !errors.Is(err, ErrBadInput) {
			t.Errorf("Choose = %v", err)
		}
	})
}
