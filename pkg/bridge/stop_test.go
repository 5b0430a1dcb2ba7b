package bridge

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/presencebridge/presencebridge/pkg/presence"
)

// wantStop stops the bridge and checks that it takes at most five seconds.
func (w *world) wantStop(clean bool, says ...string) {
	w.t.Helper()
	start := time.Now()
	err := w.stop()
	if took := time.Since(start); took > 5*time.Second {
		w.t.Errorf("stopping took %v", took)
	}
	if len(says) == 0 && err != nil || len(says) > 0 && err == nil {
		w.t.Fatalf("Run = %v", err)
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			w.t.Errorf("Run = %v, which does not say %q", err, s)
		}
	}
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	if w.store.closed && w.store.closedClean != clean {
		w.t.Errorf("clean = %v", w.store.closedClean)
	}
}

func TestAnOrderlyStopSavesEverything(t *testing.T) {
	inWorld(t, oneUser, func(t *testing.T, w *world) {
		w.store.set(func() { w.store.fail = errDisk })
		w.press("1001", dnd)
		pass(time.Minute) // the next try is five seconds away
		time.AfterFunc(300*time.Millisecond, func() { w.store.set(func() { w.store.fail = nil }) })
		w.wantStop(true)
		w.want("alice", "dnd")
	})
}

func TestAStopNamesWhatTheStoreDidNotTake(t *testing.T) {
	inWorld(t, oneUser, func(t *testing.T, w *world) {
		w.store.set(func() { w.store.fail = errDisk })
		w.press("1001", dnd)
		w.wantStop(false, "the newest of alice and 1 lines of history are lost", "disk full")
	})
}

func TestAStopWaitsForNoStoreThatHangs(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		t.Run(fmt.Sprintf("deaf %v", deaf), func(t *testing.T) {
			inWorld(t, oneUser, func(t *testing.T, w *world) {
				stall := make(chan struct{})
				w.store.set(func() { w.store.stall, w.store.deaf = stall, deaf })
				chosen := make(chan error, 1)
				go func() {
					_, err := w.b.Choose(t.Context(), "alice", Choice{Type: "dnd"})
					chosen <- err
				}()
				synctest.Wait()
				says := []string{"the newest of alice", "it did not answer in time"}
				if deaf {
					says = append(says, "the store's commit did not stop in time")
				}
				w.wantStop(false, says...)
				if err := <-chosen; !errors.Is(err, ErrUnsaved) {
					t.Errorf("Choose = %v", err)
				}
				close(stall)
			})
		})
	}
}

func TestAStopWaitsForNoWriteThatHangs(t *testing.T) {
	inWorld(t, oneUser, func(t *testing.T, w *world) {
		unblock := w.main.blockWrites(true)
		w.choose("alice", "dnd")
		w.wantStop(false, "the sender of PBX main did not stop in time")
		unblock()
		if got := w.store.saved("alice"); got != "dnd" {
			t.Errorf("the store has %q", got)
		}
	})
}

func TestAStopCallsOffAWriteThatWaits(t *testing.T) {
	inWorld(t, oneUser, func(t *testing.T, w *world) {
		w.main.blockWrites(false)
		w.choose("alice", "dnd")
		w.wantStop(true)
		w.main.do(func() { w.main.block = nil })
		w.store = w.store.copied()
		w.start()
		w.wantWrites("1001 dnd")
	})
}

func TestAStopWaitsForNoStoreThatDoesNotClose(t *testing.T) {
	inWorld(t, oneUser, func(t *testing.T, w *world) {
		stall := make(chan struct{})
		w.store.set(func() { w.store.closeStall = stall })
		w.wantStop(true, "the store's close did not stop in time")
		close(stall)
	})
}

func TestAStoreThatCannotBeClosedIsAnError(t *testing.T) {
	inWorld(t, oneUser, func(t *testing.T, w *world) {
		w.store.set(func() { w.store.closeErr = errDisk })
		w.wantStop(true, "close the store: disk full")
	})
}

func TestWhatIsKnownOfAPBXBelongsToACleanStop(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		w.store.set(func() { w.store.fail = errDisk })
		w.main.kill(nil)
		w.main.attach()
		synctest.Wait()
		w.wantStop(false, "no user and 0 lines")
	})
}

func TestManyUsersAreNotAllNamed(t *testing.T) {
	var users []string
	for i := range 8 {
		users = append(users, fmt.Sprintf("u%d %d", i, i))
	}
	inWorld(t, users, func(t *testing.T, w *world) {
		w.store.set(func() { w.store.fail = errDisk })
		for i := range 8 {
			w.press(fmt.Sprint(i), presence.Presence{State: presence.DND})
		}
		w.wantStop(false, "u4 and 3 more users")
	})
}
