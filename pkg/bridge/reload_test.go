package bridge

import (
	"errors"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// I12. Catches: a reload that applies before it has looked (apply in front of the
// checks in Reload).
func TestABadMappingChangesNothing(t *testing.T) {
	for _, tc := range []struct {
		name string
		bad  func(w *world)
	}{
		{"with faults", func(w *world) { w.badFile = errors.New("mapping.yaml:3: unknown key") }},
		{"with a PBX that is not there", func(w *world) { w.mapping = mappingOf(statuses(), "eve attic/1") }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inWorld(t, oneUser, func(t *testing.T, w *world) {
				w.press("1001", dnd)
				before, saves := w.user("alice"), w.store.count()
				tc.bad(w)
				err := w.b.Reload(t.Context())
				if err == nil {
					t.Error("Reload = nil")
				}
				synctest.Wait()
				if did := w.b.Reloads(); did.Fault == nil || did.Fault.Error() != err.Error() || did.At.IsZero() || did.Failed != 1 {
					t.Errorf("Reloads = %+v", did)
				}
				if got := w.user("alice"); got.Version != before.Version || typeOf(got) != "dnd" {
					t.Errorf("alice became %+v", got)
				}
				if len(w.everybody()) != 1 || len(w.b.Types()) != 6 || w.main.count(&w.main.resyncs) != 0 || w.store.count() != saves {
					t.Error("something changed")
				}
				w.press("1001", away)
				w.want("alice", "away")
				w.badFile = nil
				w.reload(mappingOf(statuses(), oneUser...))
				if did := w.b.Reloads(); did.Fault != nil || did.Done != 1 {
					t.Errorf("after a good one Reloads = %+v", did)
				}
			})
		})
	}
}

func TestAReloadAsksEveryPBXForASnapshot(t *testing.T) {
	inWorld(t, oneUser, func(t *testing.T, w *world) {
		w.main.press("1002", dnd)
		w.reload(mappingOf(statuses(), "alice 1001 1002"))
		if w.main.count(&w.main.resyncs) != 1 || w.pbxs[1].count(&w.pbxs[1].resyncs) != 1 {
			t.Error("not every PBX was asked")
		}
		w.want("alice", "dnd")
		if x := w.user("alice").Extensions[1]; !x.Reachable || x.Presence == nil {
			t.Errorf("1002 = %+v", x)
		}
	})
}

func TestUsersWhoComeBackKeepWhatTheySaid(t *testing.T) {
	for _, restart := range []bool{false, true} {
		inWorld(t, []string{"alice 1001", "bob 1002"}, func(t *testing.T, w *world) {
			w.press("1002", lunch)
			since := w.user("bob").Status.Since
			w.reload(mappingOf(statuses(), "alice 1001"))
			if _, err := w.b.User("bob"); !errors.Is(err, ErrNoUser) {
				t.Errorf("bob is still there: %v", err)
			}
			w.press("1002", lunch) // of nobody
			w.wantWrites()
			pass(time.Hour)
			if restart {
				w.restart()
			}
			w.reload(mappingOf(statuses(), "bob 1002", "alice 1001"))
			w.want("bob", "lunch")
			if got := w.user("bob").Status.Since; !got.Equal(since) {
				t.Errorf("since %v became %v", since, got)
			}
			if u := w.everybody(); u[0].ID != "bob" || u[1].ID != "alice" {
				t.Errorf("order = %v, %v", u[0].ID, u[1].ID)
			}
			w.press("1002", dnd)
			w.want("bob", "dnd")
		})
	}
}

func TestAUserWhoLeavesWithAWriteUnderWayComesBackWithoutIt(t *testing.T) {
	inWorld(t, []string{"alice 1001", "bob 1002"}, func(t *testing.T, w *world) {
		w.main.do(func() { w.main.slow = true })
		w.choose("bob", "dnd")
		w.reload(mappingOf(statuses(), "alice 1001"))
		w.main.release() // the answer comes while bob is nobody
		synctest.Wait()
		w.reload(mappingOf(statuses(), "alice 1001", "bob 1002"))
		pass(time.Minute)
		if x := w.user("bob").Extensions[0]; x.Pending || !x.Reachable {
			t.Errorf("1002 = %+v", x)
		}
		w.press("1002", away)
		w.want("bob", "away")
	})
}

func TestWhoLeavesBeforeTheCommitIsSavedAllTheSame(t *testing.T) {
	inWorld(t, []string{"alice 1001", "bob 1002"}, func(t *testing.T, w *world) {
		w.main.cut()
		pass(time.Second)
		stall := make(chan struct{})
		w.store.set(func() { w.store.stall = stall })
		chosen := make(chan error, 1)
		go func() {
			_, err := w.b.Choose(t.Context(), "bob", Choice{Type: "dnd"})
			chosen <- err
		}()
		synctest.Wait()
		w.reload(mappingOf(statuses(), "alice 1001"))
		if err := <-chosen; !errors.Is(err, ErrNoUser) {
			t.Errorf("Choose = %v", err)
		}
		w.store.set(func() { w.store.stall, w.store.fail = nil, errDisk }) // and the commit fails
		close(stall)
		synctest.Wait()
		w.store.set(func() { w.store.fail = nil })
		pass(time.Second)
		if got := w.store.saved("bob"); got != "dnd" {
			t.Errorf("the store has bob with %q", got)
		}
		w.reload(mappingOf(statuses(), "alice 1001", "bob 1002"))
		w.want("bob", "dnd")
		w.main.attach()
		synctest.Wait()
		w.wantWrites("1002 dnd")
	})
}

func TestWhoLeftTheMappingWhileTheBridgeWasDownIsSavedAfterACrash(t *testing.T) {
	inWorld(t, []string{"alice 1001", "bob 1003"}, func(t *testing.T, w *world) {
		w.press("1003", dnd)
		var left *fakeStore
		w.store.set(func() { left = w.store.copyLocked() })
		w.mapping = mappingOf(statuses(), "alice 1001")
		w.crash(left)
		pass(time.Minute)
		if got := w.store.saved("bob"); got != "dnd" {
			t.Errorf("bob is saved with %q", got)
		}
		w.reload(mappingOf(statuses(), "alice 1001", "bob 1003"))
		w.want("bob", "dnd")
	})
}

func TestARemovedTypeStaysMarkedUntilSomethingIsSaid(t *testing.T) {
	inWorld(t, oneUser, func(t *testing.T, w *world) {
		w.press("1001", lunch)
		w.reload(mappingOf(statuses("lunch"), oneUser...))
		u := w.user("alice")
		if typeOf(u) != "lunch" || u.Status.Name != "Lunch" || !u.Status.Removed {
			t.Errorf("alice = %+v", u.Status)
		}
		w.restart()
		if u := w.user("alice"); typeOf(u) != "lunch" || u.Status.Name != "Lunch" || !u.Status.Removed {
			t.Errorf("after a restart alice = %+v", u.Status)
		}
		_, err := w.b.Choose(t.Context(), "alice", Choice{Type: "lunch"})
		if !errors.Is(err, ErrNoStatus) {
			t.Errorf("Choose = %v", err)
		}
		w.press("1001", dnd)
		w.want("alice", "dnd")
		w.reload(mappingOf(statuses(), oneUser...))
		w.choose("alice", "lunch")
		if u := w.user("alice"); u.Status.Removed {
			t.Error("a type that came back is still marked")
		}
	})
}

func TestAnExtensionMovesBetweenUsers(t *testing.T) {
	inWorld(t, []string{"alice 1001 1002", "bob 1003"}, func(t *testing.T, w *world) {
		w.press("1003", away)
		w.press("1002", dnd)
		w.want("alice", "dnd")
		w.reload(mappingOf(statuses(), "alice 1001", "bob 1003 1002"))
		w.want("bob", "dnd")
		if u := w.user("alice"); u.Status != nil {
			t.Errorf("alice still shows %+v", u.Status)
		}
		w.press("1002", lunch)
		w.want("bob", "lunch")
	})
}

func TestAnAnswerForTheFormerOwnerIsNotTakenForTheNewOnes(t *testing.T) {
	inWorld(t, []string{"alice 1001", "bob 1003"}, func(t *testing.T, w *world) {
		w.main.do(func() { w.main.slow = true })
		w.choose("alice", "dnd")    // write 1 of alice
		var late []connector.Report // what alice's write causes
		w.main.do(func() { late, w.main.held, w.main.slow = w.main.held, nil, false })
		w.reload(mappingOf(statuses(), "alice", "bob 1001 1003"))
		w.main.do(func() { w.main.slow = true })
		w.choose("bob", "lunch") // must not be write 1 of bob
		w.main.do(func() {
			for _, r := range late {
				w.main.sink(r)
			}
		})
		synctest.Wait()
		if err := w.b.run(t.Context(), func() {
			if asked := w.b.users.of("bob").view.Extensions[0].Asked; len(asked) != 1 || asked[0].Acked {
				t.Errorf("the answer to alice's write was taken for bob's: %+v", asked)
			}
		}); err != nil {
			t.Error(err)
		}
	})
}

func TestAnOrderThatWaitsForAnExtensionThatLeftIsDropped(t *testing.T) {
	inWorld(t, []string{"alice 1001", "bob 1003"}, func(t *testing.T, w *world) {
		unblock := w.main.blockWrites(false)
		w.choose("bob", "away") // hangs in Write
		w.choose("alice", "dnd")
		w.reload(mappingOf(statuses(), "bob 1003"))
		unblock()
		pass(time.Minute)
		w.wantWrites("1003 away")
	})
}

func TestAReloadKeepsTheMarkThatAUserIsSaved(t *testing.T) {
	inWorld(t, oneUser, func(t *testing.T, w *world) {
		w.press("1001", dnd)
		w.reload(mappingOf(statuses(), oneUser...))
		if !w.user("alice").Saved {
			t.Error("alice is not saved after a reload that changed nothing")
		}
		w.restart()
		if !w.user("alice").Saved {
			t.Error("alice is not saved after a restart")
		}
	})
}

func TestReloadsRunOneAfterTheOther(t *testing.T) {
	inWorld(t, oneUser, func(t *testing.T, w *world) {
		first := make(chan struct{})
		loads := make(chan chan struct{}, 2)
		old, newer := mappingOf(statuses(), oneUser...), mappingOf(statuses("training"), oneUser...)
		loads <- first
		loads <- nil
		w.b.opt.LoadMapping = func() (*presence.Mapping, error) {
			if wait := <-loads; wait != nil {
				<-wait
				return old, nil
			}
			return newer, nil
		}
		ended := make(chan error)
		go func() { ended <- w.b.Reload(t.Context()) }()
		synctest.Wait()
		go func() {
			close(first)
			ended <- w.b.Reload(t.Context())
		}()
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		if n := len(w.b.Types()); n != 5 {
			t.Errorf("%d types: the older file was applied last", n)
		}
	})
}

func TestAfterTheEndEverythingIsRefused(t *testing.T) {
	inWorld(t, oneUser, func(t *testing.T, w *world) {
		if err := w.stop(); err != nil {
			t.Error(err)
		}
		if err := w.b.Reload(t.Context()); !errors.Is(err, ErrStopping) {
			t.Errorf("Reload = %v", err)
		}
		if _, err := w.b.Choose(t.Context(), "alice", Choice{Type: "dnd"}); !errors.Is(err, ErrStopping) {
			t.Errorf("Choose = %v", err)
		}
	})
}

func TestWhoLeftIsForgottenWithTheHistory(t *testing.T) {
	const day = 24 * time.Hour
	inWorld(t, []string{"alice 1001", "bob 1002", "carol 1003"}, func(t *testing.T, w *world) {
		w.opt.History = 30 * day
		w.restart()
		for _, number := range []string{"1001", "1002", "1003"} {
			w.press(number, lunch)
		}
		w.reload(mappingOf(statuses(), "alice 1001"))
		pass(20 * day)
		w.reload(mappingOf(statuses(), "alice 1001", "carol 1003")) // who comes back has not left
		w.reload(mappingOf(statuses(), "alice 1001"))
		w.restart() // nor does a start count anew
		pass(9 * day)
		w.wantStored(t, "alice", "bob", "carol")
		w.store.set(func() { w.store.fail = errors.New("disk full") })
		pass(2 * day)
		w.store.set(func() { w.store.fail = nil })
		w.wantStored(t, "alice", "bob", "carol")
		if !w.logged("users who have left the mapping are not removed from the store, trying again in an hour") {
			t.Error("nobody is told")
		}
		pass(2 * time.Hour)
		w.wantStored(t, "alice", "carol")
		pass(20 * day)
		w.wantStored(t, "alice")

		w.reload(mappingOf(statuses(), "alice 1001", "bob 1004")) // a new one
		w.want("bob", "")
		w.press("1004", dnd)
		w.want("bob", "dnd")
		w.wantStored(t, "alice", "bob")
	})
}

func TestWhoLeftWhileTheBridgeWasDownIsForgottenToo(t *testing.T) {
	for _, history := range []time.Duration{0, 24 * time.Hour} {
		inWorld(t, []string{"alice 1001", "bob 1002"}, func(t *testing.T, w *world) {
			w.opt.History = history
			w.press("1002", lunch)
			w.mapping = mappingOf(statuses(), "alice 1001")
			w.restart()
			pass(23 * time.Hour)
			w.wantStored(t, "alice", "bob")
			pass(3 * time.Hour)
			if history == 0 { // for ever
				w.wantStored(t, "alice", "bob")
			} else {
				w.wantStored(t, "alice")
			}
		})
	}
}

// wantStored compares who is in the store.
func (w *world) wantStored(t *testing.T, ids ...presence.UserID) {
	t.Helper()
	var have []presence.UserID
	w.store.set(func() { have = slices.Sorted(maps.Keys(w.store.users)) })
	if !slices.Equal(have, ids) {
		t.Errorf("the store has %v, want %v", have, ids)
	}
}
