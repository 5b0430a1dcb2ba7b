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

func (w *world) drift(most int) Drift {
	w.t.Helper()
	d, err := w.b.Drift(w.t.Context(), most)
	if err != nil {
		w.t.Error(err)
	}
	return d
}

func TestDriftIsWhatIsWishedAndNotKnownToBeShown(t *testing.T) {
	inWorld(t, []string{"alice 1001 1002", "bob 1003"}, func(t *testing.T, w *world) {
		w.choose("bob", "lunch")
		if d := w.drift(10); d.Count != 0 || len(d.Items) != 0 || !d.Oldest.IsZero() || w.b.Figures().Drift != 0 {
			t.Errorf("all is shown: %+v", d)
		}
		w.main.do(func() { w.main.refuse = errors.New("no") })
		began := presence.At(time.Now())
		w.choose("alice", "dnd")
		pass(time.Minute)
		w.choose("bob", "away")
		d := w.drift(10)
		if d.Count != 3 || w.b.Figures().Drift != 3 || len(d.Items) != 3 || d.Oldest.Sub(began) > time.Millisecond {
			t.Fatalf("drift = %+v", d)
		}
		first, last := d.Items[0], d.Items[2]
		if first.User != "alice" || first.Extension != "1001" || first.Presence != dnd || !first.Sent || first.Refusals == 0 || !first.Reachable {
			t.Errorf("the oldest is %+v", first)
		}
		if last.User != "bob" || last.Presence != away || last.Since.Sub(first.Since) < 59*time.Second {
			t.Errorf("the newest is %+v", last)
		}
		if d := w.drift(1); len(d.Items) != 1 || d.Items[0] != first || d.Count != 3 {
			t.Errorf("one of them: %+v", d)
		}
		if d := w.drift(0); len(d.Items) != 0 || d.Count != 3 || !d.Oldest.Equal(first.Since) {
			t.Errorf("none of them: %+v", d)
		}
		w.main.do(func() { w.main.refuse = nil })
		pass(2 * time.Minute)
		if d := w.drift(10); d.Count != 0 {
			t.Errorf("all is shown again: %+v", d)
		}
	})
}

func TestWhoLeavesTheMappingDriftsNoMore(t *testing.T) {
	inWorld(t, []string{"alice 1001", "bob 1002"}, func(t *testing.T, w *world) {
		w.main.do(func() { w.main.refuse = errors.New("no") })
		w.choose("alice", "dnd")
		w.choose("bob", "dnd")
		w.reload(mappingOf(statuses(), "bob 1002"))
		if d := w.drift(10); d.Count != 1 || d.Items[0].User != "bob" {
			t.Errorf("drift = %+v", d)
		}
		w.reload(mappingOf(statuses(), "alice 1001", "bob 1002"))
		if d := w.drift(10); d.Count != 2 {
			t.Errorf("with alice back: %+v", d)
		}
		w.main.do(func() { w.main.refuse = nil })
	})
}

func TestDriftOfManyIsGatheredInPages(t *testing.T) {
	const many = 3*driftPage + 7
	users := make([]string, many)
	for i := range users {
		users[i] = fmt.Sprintf("user%d %d", i, 10000+i)
	}
	inWorld(t, users, func(t *testing.T, w *world) {
		w.main.cut()
		for i := range users {
			if _, err := w.b.Choose(t.Context(), presence.UserID(fmt.Sprintf("user%d", i)), Choice{Type: "dnd", By: "cli"}); err != nil {
				t.Fatal(err)
			}
		}
		d := w.drift(100)
		if d.Count != many || len(d.Items) != 100 {
			t.Fatalf("%d drift, %d told", d.Count, len(d.Items))
		}
		for i, x := range d.Items {
			if want := fmt.Sprintf("user%d", i); string(x.User) != want || x.Reachable || x.Sent {
				t.Fatalf("number %d is %+v, want %s", i, x, want)
			}
		}
		w.main.attach()
		pass(time.Minute)
		if d := w.drift(100); d.Count != 0 || len(w.b.drifters.users) != 0 || w.b.drifters.place != nil {
			t.Errorf("%d drift still", d.Count)
		}
	})
}

// Where somebody leaves between two pages, the last of the list comes into the next one.
func TestWhoIsSeenTwiceDriftsOnce(t *testing.T) {
	us := make([]*user, 3)
	for i := range us {
		us[i] = &user{mapped: &presence.MappedUser{ID: presence.UserID(fmt.Sprint("user", i))}}
		us[i].view.Extensions = []presence.Extension{{ID: ext(fmt.Sprint(i)), Wish: &presence.Wish{Presence: dnd, Since: presence.At(time.Unix(100, 0))}}}
	}
	var d Drift
	for _, i := range []int{2, 1, 2, 0, 1} {
		d.add(us[i], 2)
	}
	d.trim(2)
	if len(d.Items) != 2 || d.Items[0].User != "user0" || d.Items[1].User != "user1" {
		t.Errorf("drift = %+v", d.Items)
	}
}

func TestDriftersAreForgottenInAnyOrder(t *testing.T) {
	var d drifters
	us := make([]*user, 5)
	for i := range us {
		us[i] = &user{}
		d.note(us[i], uint8(i+1))
	}
	for _, i := range []int{4, 0, 2, 1, 3} {
		d.note(us[i], 0)
		for j, u := range d.users {
			if d.place[u] != j || u.wishes == 0 {
				t.Errorf("after %d: place %d has %+v", i, j, u)
			}
		}
	}
	if len(d.users)+len(d.place) != 0 || d.extensions.Load() != 0 {
		t.Errorf("left: %d, %d, %d", len(d.users), len(d.place), d.extensions.Load())
	}
}

func TestFiguresTellWhatBecameOfEventsAndWrites(t *testing.T) {
	inWorld(t, []string{"alice 1001 1002", "bob 1003"}, func(t *testing.T, w *world) {
		w.press("1003", dnd)
		w.press("1003", dnd)
		w.press("1003", presence.Presence{State: presence.Chat}) // no type has it
		w.choose("alice", "lunch")
		f := w.b.Figures()
		want := Decided{presence.Accepted: 1, presence.Repeat: 1, presence.Unmapped: 1, presence.Echo: 2}
		if f.Decided != want || f.Changes != 2 {
			t.Errorf("decided %v, want %v; %d changes", f.Decided, want, f.Changes)
		}
		if p := f.PBXs[0]; p.Canary.IsZero() || p != (PBXFigures{PBX: "main", Taken: 2, Canary: p.Canary}) || f.PBXs[1].PBX != "branch" {
			t.Errorf("PBXs = %+v", f.PBXs)
		}
		if f.Arrived.Count != 5 || f.Lag.Count == 0 || f.Store.Commit.Count == 0 || f.Store.Failed+uint64(f.Store.Waiting)+uint64(f.Inbox) != 0 {
			t.Errorf("figures = %+v", f)
		}
		w.main.do(func() { w.main.refuse = errors.New("no") })
		w.choose("bob", "away")
		if p := w.b.Figures().PBXs[0]; p.Taken != 2 || p.Refused != 1 {
			t.Errorf("PBX = %+v", p)
		}
		w.main.do(func() { w.main.refuse = nil })
	})
}

// The store is away for ten seconds and stalls for eight more; the decision waits for all
// of that, also behind a newer one, but no commit that goes well takes so long.
func TestLagCountsFromTheFirstDecisionThatIsNotSaved(t *testing.T) {
	inWorld(t, []string{"alice 1001"}, func(t *testing.T, w *world) {
		w.store.set(func() { w.store.fail = errDisk })
		w.press("1001", dnd)
		pass(10 * time.Second)
		w.press("1001", away)
		f := w.b.Figures()
		if f.Store.Failed == 0 || f.Store.Waiting != 1 || f.Store.Err == nil || !strings.Contains(f.Store.Err.Error(), "disk full") {
			t.Errorf("the store is away: %+v", f.Store)
		}
		before := f.Lag.Count
		stall := make(chan struct{})
		time.AfterFunc(8*time.Second, func() { close(stall) })
		w.store.set(func() { w.store.fail, w.store.stall = nil, stall })
		pass(20 * time.Second)
		f = w.b.Figures()
		if f.Lag.Count != before+1 || f.Lag.Last < 18*time.Second || f.Store.Commit.Last > 5*time.Second || f.Store.Waiting != 0 {
			t.Errorf("lag %+v\nstore %+v", f.Lag, f.Store)
		}
	})
}

// What waits for the owner loop has come before it is decided.
func TestAnEventArrivesBeforeItIsDecided(t *testing.T) {
	inWorld(t, []string{"alice 1001"}, func(t *testing.T, w *world) {
		held, let := make(chan struct{}), make(chan struct{})
		go func() { _ = w.b.run(t.Context(), func() { close(held); <-let }) }()
		<-held
		w.main.press("1001", dnd)
		time.Sleep(7 * time.Second)
		if n := w.b.Figures().Inbox; n != 1 {
			t.Errorf("%d reports wait", n)
		}
		close(let)
		synctest.Wait()
		f := w.b.Figures()
		if f.Arrived.Last != 7*time.Second || f.Inbox != 0 || f.Lag.Last >= time.Second {
			t.Errorf("arrived %+v, %d wait, saved %v later", f.Arrived, f.Inbox, f.Lag.Last)
		}
	})
}
