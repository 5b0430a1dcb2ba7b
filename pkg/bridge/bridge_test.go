package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
)

func TestAnEventBecomesAStatusAndIsSaved(t *testing.T) {
	inWorld(t, []string{"alice 1001 1002"}, func(t *testing.T, w *world) {
		if u := w.user("alice"); u.Status != nil {
			t.Errorf("before anything was said alice has %+v", u.Status)
		}
		w.press("1002", lunch)
		w.want("alice", "lunch")
		u := w.user("alice")
		if !u.Saved || u.Status.By != "extension main/1002" || u.Last == nil {
			t.Errorf("alice = %+v", u)
		}
		if x := u.Extensions[1]; *x.Presence != lunch || x.Pending || !x.Reachable || x.Since == nil {
			t.Errorf("1002 = %+v", x)
		}
		if h := w.store.history; len(h) != 1 || h[0].Type != "lunch" || h[0].By != "extension main/1002" {
			t.Errorf("history = %+v", h)
		}
	})
}

func TestAnExtensionOfNobodyChangesNothing(t *testing.T) {
	inWorld(t, []string{"alice 1001"}, func(t *testing.T, w *world) {
		w.press("4711", dnd)
		w.want("alice", "")
	})
}

func TestAChoiceIsCommittedBeforeItIsWritten(t *testing.T) {
	inWorld(t, []string{"alice 1001 1002"}, func(t *testing.T, w *world) {
		var log journal
		w.store.set(func() {
			w.store.after = func(_ int, b *store.Batch) {
				for _, u := range b.Users {
					if u.Status != nil {
						log.add("saved " + string(u.Status.Type.ID))
					}
				}
			}
		})
		w.main.do(func() { w.main.onWrite = func(s string) { log.add("written " + s) } })
		u := w.choose("alice", "lunch")
		if !u.Saved || typeOf(u) != "lunch" {
			t.Errorf("Choose returns %+v", u)
		}
		got := log.all()
		writes := slices.DeleteFunc(slices.Clone(got), func(s string) bool { return s == "saved lunch" })
		if got[0] != "saved lunch" || !slices.Equal(writes, []string{"written 1001 away/lunch", "written 1002 away/lunch"}) {
			t.Errorf("order = %q", got)
		}
	})
}

func TestNothingIsWrittenWhileTheCommitOfAChoiceHangs(t *testing.T) {
	inWorld(t, []string{"alice 1001"}, func(t *testing.T, w *world) {
		w.opt.SaveTimeout = time.Hour // this bridge has the default; the next one does not
		w.restart()
		stall := make(chan struct{})
		w.store.set(func() { w.store.stall = stall })
		start := time.Now()
		_, err := w.b.Choose(t.Context(), "alice", Choice{Type: "lunch", By: "cli"})
		if !errors.Is(err, ErrPending) || time.Since(start) != 5*time.Second {
			t.Errorf("Choose = %v after %v", err, time.Since(start))
		}
		w.wantWrites()
		if u := w.user("alice"); typeOf(u) != "lunch" || u.Saved {
			t.Errorf("meanwhile the page shows %+v", u)
		}
		w.store.set(func() { w.store.stall = nil })
		close(stall)
		synctest.Wait()
		w.want("alice", "lunch")
		w.wantWrites("1001 away/lunch")
	})
}

func TestAChoiceWhoseCallerGoesAwayIsStillWritten(t *testing.T) {
	inWorld(t, []string{"alice 1001"}, func(t *testing.T, w *world) {
		stall := make(chan struct{})
		w.store.set(func() { w.store.stall = stall })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := w.b.Choose(ctx, "alice", Choice{Type: "dnd"})
		if !errors.Is(err, ErrPending) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Choose = %v", err)
		}
		w.store.set(func() { w.store.stall = nil })
		close(stall)
		synctest.Wait()
		w.wantWrites("1001 dnd")
	})
}

func TestAChoiceDuringAStoreOutageIsRefusedAndChangesNothing(t *testing.T) {
	inWorld(t, []string{"alice 1001", "bob 1002"}, func(t *testing.T, w *world) {
		w.store.set(func() { w.store.fail = errDisk })
		w.press("1001", away)
		_, err := w.b.Choose(t.Context(), "bob", Choice{Type: "dnd"})
		if !errors.Is(err, ErrUnsaved) || !errors.Is(err, errDisk) {
			t.Errorf("Choose = %v", err)
		}
		if u := w.user("bob"); u.Status != nil {
			t.Errorf("bob shows %+v", u.Status)
		}
		w.wantWrites()
		if r := w.b.NotReady(); len(r) != 1 || !strings.Contains(r[0].Text, "disk full") {
			t.Errorf("NotReady = %+v", r)
		}
		w.store.set(func() { w.store.fail = nil })
		pass(5 * time.Second)
		w.choose("bob", "dnd")
		w.want("bob", "dnd")
		w.want("alice", "away")
	})
}

func TestTheFeedGoesOnWhileTheStoreIsAway(t *testing.T) {
	inWorld(t, []string{"alice 1001"}, func(t *testing.T, w *world) {
		w.store.set(func() { w.store.fail = errDisk })
		w.press("1001", away)
		feed := w.b.Subscribe(0)
		if _, err := feed.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		go w.main.press("1001", dnd)
		items, err := feed.Next(t.Context())
		if err != nil || len(items) != 1 || typeOf(*items[0].User) != "dnd" || items[0].User.Saved {
			t.Errorf("Next = %+v, %v", items, err)
		}
		w.store.set(func() { w.store.fail = nil })
		items, err = feed.Next(t.Context())
		if err != nil || len(items) != 1 || !items[0].User.Saved {
			t.Errorf("after the outage Next = %+v, %v", items, err)
		}
		w.want("alice", "dnd")
		if h := w.store.history; len(h) != 2 || h[0].Type != "away" || h[1].Type != "dnd" {
			t.Errorf("history = %+v", h)
		}
		if !w.logged("store works again") {
			t.Error("the log does not say that the store works again")
		}
	})
}

// I8. Catches: history or rows that pile up with events during an outage (take the
// cap out of remember, or the dirty flag out of touch).
func TestMemoryIsBoundedByUsersWhileTheStoreIsAway(t *testing.T) {
	const many = maxHistory/4 + 1500 // who press four times each: more would be smoothed
	users := make([]string, many)
	for i := range users {
		users[i] = fmt.Sprintf("user%d %d", i, 1000+i)
	}
	inWorld(t, users, func(t *testing.T, w *world) {
		w.store.set(func() { w.store.fail = errDisk })
		for i := range 4 * many {
			w.main.press(fmt.Sprint(1000+i%many), []presence.Presence{away, dnd}[i/many%2])
			if i%4000 == 0 {
				synctest.Wait()
			}
		}
		synctest.Wait()
		if err := w.b.run(t.Context(), func() {
			s := w.b.saver
			if len(s.history) > maxHistory || s.dropped == 0 || len(s.dirty) > many {
				t.Errorf("waiting: %d lines, %d users; dropped %d", len(s.history), len(s.dirty), s.dropped)
			}
		}); err != nil {
			t.Error(err)
		}
		w.store.set(func() { w.store.fail = nil })
		pass(10 * time.Second)
		w.want("user0", "dnd")
		lost := w.logs.FilterMessage("history lost, the store was away or slow for too long").All()
		if len(lost) != 1 || lost[0].ContextMap()["lines"].(int64) < 6000-maxHistory/10 {
			t.Errorf("the log says %v", lost)
		}
	})
}

func TestTwoPBXsAreOneUser(t *testing.T) {
	inWorld(t, []string{"bob 1003 branch/2003"}, func(t *testing.T, w *world) {
		branch := w.pbxs[1]
		branch.press("2003", dnd)
		synctest.Wait()
		w.want("bob", "dnd")
		branch.cut()
		synctest.Wait()
		w.press("1003", available)
		w.want("bob", "available")
		if x := w.user("bob").Extensions; !x[0].Reachable || x[1].Reachable {
			t.Errorf("reachable = %v, %v", x[0].Reachable, x[1].Reachable)
		}
		w.choose("bob", "meeting")
		w.wantWrites("1003 xa/meeting")
		list := w.b.PBXs()
		if list[0].PBX != "main" || list[0].Extensions != 1 || list[0].Pending != 0 || list[1].Pending != 1 {
			t.Errorf("PBXs = %+v", list)
		}
		branch.attach()
		synctest.Wait()
		if got := branch.taken(); !slices.Equal(got, []string{"2003 xa/meeting"}) {
			t.Errorf("branch got %q", got)
		}
		if list := w.b.PBXs(); list[1].Pending != 0 {
			t.Errorf("PBXs = %+v", list)
		}
	})
}

func TestOpenTellsWhyItCannot(t *testing.T) {
	for _, tc := range []struct {
		name string
		make func(w *world)
		want string
	}{
		{"the store cannot be read", func(w *world) { w.store.loadErr = errDisk }, "load the store: disk full"},
		{"a view is not JSON", func(w *world) { w.store.users["eve"] = store.User{ID: "eve", View: []byte("{")} }, `view of user "eve"`},
		{"a PBX is not there", func(w *world) { w.mapping = mappingOf(statuses(), "eve attic/1") }, `user "eve" has extension attic/1`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, "alice 1001")
			tc.make(w)
			w.opt.Mapping, w.opt.Store = w.mapping, w.store
			if _, err := Open(t.Context(), w.opt); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Open = %v, want %s", err, tc.want)
			}
		})
	}
}

func TestHistoryIsPrunedEveryHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "alice 1001")
		w.opt.History = 24 * time.Hour
		w.start()
		pass(time.Minute)
		w.store.set(func() { w.store.fail = errDisk })
		pass(time.Hour)
		w.store.set(func() { w.store.fail = nil })
		pass(time.Hour)
		if n := len(w.store.pruned); n != 3 {
			t.Errorf("pruned %d times", n)
		}
		if !w.logged("history not pruned") || !w.logged("old history removed") {
			t.Error("the log does not tell")
		}
		if err := w.stop(); err != nil {
			t.Error(err)
		}
	})
}

// gaveUp is a connector whose Run ends by itself.
type gaveUp struct{ *fakePBX }

func (gaveUp) Run(context.Context, connector.Sink) error { return errors.New("login refused") }

func TestAConnectorThatGivesUpIsLoggedAndTheBridgeGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "alice 1001")
		w.opt.PBXs[1].Connector = gaveUp{w.pbxs[1]}
		w.start()
		w.press("1001", dnd)
		w.want("alice", "dnd")
		if !w.logged("connector gave up") {
			t.Error("the log does not tell")
		}
		if err := w.stop(); err != nil {
			t.Error(err)
		}
	})
}
