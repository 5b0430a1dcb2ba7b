package bridge

import (
	"fmt"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
)

// scenario is a day of two users; every step ends in quiet. A step that is
// a choice tells whether it was accepted.
var scenario = []struct {
	name string
	do   func(w *world) error
}{
	{"alice's phone: away", pressing("1001", away)},
	{"alice chooses lunch", choosing("alice", "lunch", 0)},
	{"bob's phone: dnd", pressing("1003", dnd)},
	{"bob is in a meeting for an hour", choosing("bob", "meeting", time.Hour)},
	{"the PBX is cut off", func(w *world) error { w.main.cut(); return nil }},
	{"alice chooses dnd meanwhile", choosing("alice", "dnd", 0)},
	{"the PBX is back", func(w *world) error { w.main.attach(); return nil }},
	{"two hours pass", func(*world) error { time.Sleep(2 * time.Hour); return nil }},
	{"answers get slow", func(w *world) error { w.main.do(func() { w.main.slow = true }); return nil }},
	{"alice chooses available", choosing("alice", "available", 0)},
	{"and the PBX is cut off", func(w *world) error { w.main.cut(); return nil }},
	{"and back", func(w *world) error { w.main.release(); w.main.attach(); return nil }},
	{"events get lost", func(w *world) error { w.main.do(func() { w.main.dropEchoes = true }); return nil }},
	{"bob chooses away", choosing("bob", "away", 0)},
	{"which is read back", func(*world) error { time.Sleep(10 * time.Second); return nil }},
	{"events come again", func(w *world) error { w.main.do(func() { w.main.dropEchoes = false }); return nil }},
	{"alice's phone: meeting", pressing("1001", meeting)},
	{"the PBX is killed and forgets it", func(w *world) error {
		w.main.kill(map[string]presence.Presence{"1001": available})
		w.main.attach()
		return nil
	}},
	{"bob is in training", choosing("bob", "training", 0)},
	{"alice chooses lunch again", choosing("alice", "lunch", 0)},
	{"bob's other phone: available", func(w *world) error { w.pbxs[1].press("2003", available); return nil }},
}

func pressing(number string, p presence.Presence) func(*world) error {
	return func(w *world) error { w.main.press(number, p); return nil }
}

func choosing(user presence.UserID, id presence.TypeID, d time.Duration) func(*world) error {
	return func(w *world) error {
		c := Choice{Type: id, By: "cli"}
		if d > 0 {
			c.Until = time.Now().Add(d)
		}
		_, err := w.b.Choose(w.t.Context(), user, c)
		return err
	}
}

// day plays the scenario and crashes the bridge at its n-th commit: before that has
// happened, or after, when the bridge does not know yet. It returns what everybody
// shows after each step, and how many commits there were.
func day(t *testing.T, n int, after bool) (shown []string, commits int) {
	w := newWorld(t, "alice 1001 1002", "bob 1003 branch/2003")
	var left *fakeStore // under the store's lock
	crash := func(at int, _ *store.Batch) {
		if at != n || left != nil {
			return
		}
		left = w.store.copyLocked()
		w.store.fail = errDisk // of a process that is no more
		for _, p := range w.pbxs {
			p.unplug()
		}
	}
	if after {
		w.store.after = crash
	} else {
		w.store.before = crash
	}
	w.start()
	old := w.store
	crashed := func() (now bool) {
		old.set(func() { now = left != nil })
		return now
	}
	recovered := false
	for _, step := range scenario {
		err := step.do(w)
		synctest.Wait()
		if crashed() && !recovered {
			recovered = true
			w.crash(left)
			if err != nil {
				err = step.do(w) // it was not accepted, and people try again
			}
			synctest.Wait()
		}
		if err != nil {
			t.Errorf("%s: %v", step.name, err)
		}
		shown = append(shown, fmt.Sprintf("%s: alice %s, bob %s", step.name, typeOf(w.user("alice")), typeOf(w.user("bob"))))
	}
	pass(time.Minute)
	if crashed() && !recovered {
		w.crash(left)
		pass(time.Minute)
	}
	w.wantAgreement()
	shown = append(shown, fmt.Sprint("in the end ", w.main.values, w.pbxs[1].values))
	old.set(func() { commits, old.before, old.after = old.saves, nil, nil })
	if err := w.stop(); err != nil {
		t.Errorf("Run = %v", err)
	}
	return shown, commits
}

// wantAgreement checks that PBXs, store and page say the same of everybody (I1).
func (w *world) wantAgreement() {
	w.t.Helper()
	values := map[string]map[string]presence.Presence{}
	for _, p := range w.pbxs {
		p.do(func() { values[p.name] = maps.Clone(p.values) })
	}
	for _, u := range w.everybody() {
		if got := w.store.saved(u.ID); got != typeOf(u) || !u.Saved {
			w.t.Errorf("the page shows %s with %q, saved %v; the store has %q", u.ID, typeOf(u), u.Saved, got)
		}
		for _, x := range u.Extensions {
			if shows := values[x.PBX][x.Extension]; x.Presence == nil || *x.Presence != shows || x.Pending {
				w.t.Errorf("%s/%s shows %v; the page says %v, pending %v", x.PBX, x.Extension, shows, x.Presence, x.Pending)
			}
		}
	}
}

// I1 and I3. Catches: a choice that is accepted before it is in the store (done in
// Choose instead of accept), a wish that wake does not take over, an incarnation that
// commit does not store.
func TestACrashAtAnyCommitLosesNothingThatWasAccepted(t *testing.T) {
	var want []string
	var commits int
	synctest.Test(t, func(t *testing.T) { want, commits = day(t, -1, false) })
	if commits < len(scenario) {
		t.Fatalf("only %d commits in a day", commits)
	}
	for _, line := range want {
		t.Log(line)
	}
	for n := 1; n <= commits; n++ {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("commit %d after %v", n, after), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					got, _ := day(t, n, after)
					for i := range want {
						if got[i] != want[i] {
							t.Errorf("got  %s\nwant %s", got[i], want[i])
						}
					}
				})
			})
		}
	}
}
