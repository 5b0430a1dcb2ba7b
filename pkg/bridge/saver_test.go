package bridge

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
)

// I3, I8. Catches: a batch that is saved though the one before it was not, and says that
// the life of a PBX has been seen (take the test for h.failed out of write); changes that are
// forgotten, or saved in another order, when two batches fail together (requeue them as
// their answers come).
func TestABatchIsEncodedWhileAnotherIsWrittenAndFailsWithIt(t *testing.T) {
	users := make([]string, 2*maxBatch+500)
	for i := range users {
		users[i] = fmt.Sprintf("user%d %d", i, 10_000+i)
	}
	inWorld(t, users, func(t *testing.T, w *world) {
		pass(settleWait)
		stall := make(chan struct{})
		before := w.store.count()
		var first []presence.UserID
		w.store.set(func() {
			w.store.stall = stall
			w.store.before = func(_ int, b *store.Batch) {
				if w.store.fail == nil && len(first) == 0 && len(b.Users) > 0 {
					first = append(first, b.Users[0].ID, b.Users[len(b.Users)-1].ID)
				}
			}
		})
		w.press("10007", dnd)
		for i := range users {
			w.main.press(fmt.Sprint(10_000+i), away)
		}
		synctest.Wait()
		under := func() (n []int) {
			if err := w.b.run(t.Context(), func() {
				for _, h := range w.b.saver.under {
					n = append(n, len(h.users))
				}
			}); err != nil {
				t.Error(err)
			}
			return n
		}
		if n := under(); len(n) != 2 || n[0] != 1 || n[1] != maxBatch {
			t.Errorf("commits of %d users are under way", n)
		}
		w.store.set(func() { w.store.fail, w.store.stall = errDisk, nil })
		close(stall)
		synctest.Wait()
		if n, tried := under(), w.store.count()-before; len(n) != 0 || tried != 1 {
			t.Errorf("behind a failure commits of %d users are under way, %d were tried", n, tried)
		}
		w.store.set(func() { w.store.fail = nil })
		pass(2 * retryFirst)
		if len(first) != 2 {
			t.Fatal("nothing was saved")
		}
		if first[0] != "user7" || first[1] != presence.UserID(fmt.Sprintf("user%d", maxBatch-1)) {
			t.Errorf("the first commit that went well has %v to %v", first[0], first[1])
		}
		for i := range users {
			if row := w.store.row(presence.UserID(fmt.Sprintf("user%d", i))); row.Status == nil || row.Status.Type.ID != "away" {
				t.Fatalf("user%d is saved as %+v", i, row.Status)
			}
		}
	})
}

// I3. Catches: changes or lines that are lost, saved twice or in another order when commits
// fail now and then while there is always more than one batch to be saved.
func TestCommitsThatFailAtRandomLoseNothing(t *testing.T) {
	users := make([]string, 3*maxBatch)
	for i := range users {
		users[i] = fmt.Sprintf("user%d %d", i, 10_000+i)
	}
	for seed := range uint64(4) {
		inWorld(t, users, func(t *testing.T, w *world) {
			presses, troubles := rand.New(rand.NewPCG(seed, 1)), rand.New(rand.NewPCG(seed, 2))
			pass(settleWait)
			full := 0
			w.store.set(func() {
				w.store.before = func(_ int, b *store.Batch) {
					if len(b.Users) == maxBatch {
						full++
					}
					time.Sleep(time.Duration(troubles.IntN(20)) * time.Millisecond) // of the bubble
					w.store.fail = nil
					if troubles.IntN(3) == 0 {
						w.store.fail = errDisk
					}
				}
			})
			for range 12 {
				says := []presence.Presence{away, dnd}[presses.IntN(2)]
				for range presses.IntN(9 * maxBatch) {
					w.main.press(fmt.Sprint(10_000+presses.IntN(len(users))), says)
				}
				pass(time.Duration(presses.IntN(60)) * time.Millisecond)
			}
			w.store.set(func() { w.store.before, w.store.fail = nil, nil })
			pass(20 * time.Second)
			last := map[presence.UserID]uint64{}
			w.store.set(func() {
				for _, e := range w.store.history {
					if e.Version <= last[e.User] {
						t.Errorf("%s: a line of version %d behind one of %d", e.User, e.Version, last[e.User])
					}
					last[e.User] = e.Version
				}
			})
			if full == 0 || len(last) == 0 {
				t.Errorf("%d full batches, lines of %d users", full, len(last))
			}
			for i := range users {
				id := presence.UserID(fmt.Sprintf("user%d", i))
				if row, u := w.store.row(id), w.user(id); row.Version != u.Version || !u.Saved {
					t.Errorf("%s is saved as version %d and shows %d, saved %t", id, row.Version, u.Version, u.Saved)
				}
			}
		})
	}
}

// Catches: a step whose lines go into two batches, of which the store takes the second for
// the first once more.
func TestLinesOfAStepStayTogether(t *testing.T) {
	s := &saver{}
	for _, l := range []line{{user: "a", version: 1}, {user: "b", version: 1}, {user: "b", version: 1}, {user: "b", version: 2}} {
		s.remember(l)
	}
	for limit, want := range []int{0, 1, 3, 3, 4, 4} {
		if n := s.wholeSteps(limit); n != want {
			t.Errorf("%d lines where about %d are wanted, not %d", n, limit, want)
		}
	}
}

func TestACommitDoesNotMoveWhatStillWaitsNorKeepItsRoom(t *testing.T) {
	list := make([]int, 3*maxBatch)
	list[maxBatch], list[2*maxBatch] = 1, 2
	rest := without(list, maxBatch-1)
	if len(rest) != 2*maxBatch+1 || &rest[0] != &list[maxBatch-1] || rest[1] != 1 {
		t.Errorf("%d are left, moved or changed", len(rest))
	}
	rest = without(rest, maxBatch+1)
	if len(rest) != maxBatch || rest[0] != 2 || &rest[0] == &list[2*maxBatch] {
		t.Errorf("%d are left in the room of all, or changed", len(rest))
	}
	if rest = without(rest, maxBatch); rest == nil || len(rest) != 0 {
		t.Errorf("%d are left of a small list; its room is wanted again", len(rest))
	}
	if rest = without(make([]int, maxBatch, 2*maxBatch+1), maxBatch); rest != nil {
		t.Error("a large list keeps its room")
	}
}
