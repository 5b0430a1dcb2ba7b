package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
)

// others is the store of another bridge, as a standby reads it.
type others struct {
	*fakeStore
	asked []int // how many users each time
	err   error
}

func (o *others) Views(_ context.Context, ids []presence.UserID) (found []store.User, _ error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked = append(o.asked, len(ids))
	for _, id := range ids {
		if row, ok := o.users[id]; ok {
			found = append(found, row)
		}
	}
	slices.Reverse(found) // no order is promised
	return found, o.err
}

func (o *others) Own(_ context.Context, ids []presence.UserID) (found []store.Settings, _ error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, id := range ids {
		if own, ok := o.own[id]; ok {
			found = append(found, store.Settings{User: id, Own: own})
		}
	}
	return found, o.err
}

func standbyOf(o *others, m *presence.Mapping) *Standby {
	s := NewStandby(o, []string{"main"}, func() string { return "standby" }, nil)
	s.SetMapping(m)
	return s
}

func TestAStandbyShowsWhatTheOtherSaves(t *testing.T) {
	inWorld(t, []string{"alice 1001 1002", "bob 1003"}, func(t *testing.T, w *world) {
		s := standbyOf(&others{fakeStore: w.store}, w.mapping)
		w.press("1001", away)
		w.press("1002", dnd)
		if _, err := w.b.Set(t.Context(), "alice", SettingsChange{SetDefault: true, Default: &presence.ExtensionID{PBX: "main", Number: "1002"}}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for _, id := range []presence.UserID{"alice", "bob"} {
			want, _ := w.b.User(id)
			want.Last = nil // since the other's start
			for i := range want.Extensions {
				want.Extensions[i].Reachable = false
			}
			if got, err := s.User(t.Context(), id); err != nil || flat(got) != flat(want) {
				t.Errorf("%s, %v; want %s", flat(got), err, flat(want))
			}
			mine, err := s.Explain(t.Context(), id)
			other, _ := w.b.Explain(t.Context(), id)
			if err != nil || mine.Rule != other.Rule || len(mine.Extensions) != len(other.Extensions) || (mine.Own == nil) != (other.Own == nil) {
				t.Errorf("%+v, %v; want %+v", mine, err, other)
			}
		}
	})
}

func TestAStandbyShowsACallAsTheOtherDoes(t *testing.T) {
	inWorld(t, oneUser, func(t *testing.T, w *world) {
		w.reload(withCalls(mappingOf(statuses(), oneUser...)))
		s := standbyOf(&others{fakeStore: w.store}, w.mapping)
		w.press("1001", away)
		w.rings("1001", presence.PhoneInCall)
		for range 3 {
			pass(time.Hour)
			u, err := s.User(t.Context(), "alice")
			if err != nil || u.Status.Type != "training" || u.Under == nil || u.Under.Type != "away" || u.Phone != presence.PhoneInCall {
				t.Errorf("%s, %v", flat(u), err)
			}
			e, err := s.Explain(t.Context(), "alice")
			if err != nil || e.Status.Type.ID != "training" || e.Under == nil || e.Under.Type.ID != "away" {
				t.Errorf("%+v, %v", e, err)
			}
		}
	})
}

// flat is a user as text, without pointers.
func flat(u User) string {
	text := fmt.Sprint(u.ID, u.Name, u.Version, u.Phone, u.Saved, u.Last, u.Under)
	if u.Status != nil {
		text += fmt.Sprintf(" %+v", *u.Status)
	}
	for _, x := range u.Extensions {
		text += fmt.Sprint(" ", x.PBX, x.Extension, x.Default, x.Reachable, x.Pending)
		if x.Presence != nil && x.Since != nil {
			text += fmt.Sprint(*x.Presence, *x.Since)
		}
	}
	return text
}

// The mapping of a standby may be another one than that of who acts.
func TestAStandbyWithAnotherMappingShowsItsOwnUsers(t *testing.T) {
	inWorld(t, []string{"alice 1001 1002", "bob 1003"}, func(t *testing.T, w *world) {
		w.press("1002", dnd)
		synctest.Wait()
		s := standbyOf(&others{fakeStore: w.store}, mappingOf(statuses("dnd"), "carol 1009", "alice 1002 1007"))
		u, err := s.User(t.Context(), "alice")
		if err != nil || u.Status.Type != "dnd" || len(u.Extensions) != 2 || u.Extensions[0].Presence == nil || u.Extensions[1].Presence != nil {
			t.Errorf("%+v, %v", u, err)
		}
		if _, err := s.Explain(t.Context(), "alice"); err != nil {
			t.Error(err)
		}
		if u, err := s.User(t.Context(), "carol"); err != nil || u.Status != nil || u.Version != 0 {
			t.Errorf("%+v, %v", u, err)
		}
		if _, err := s.User(t.Context(), "bob"); !errors.Is(err, ErrNoUser) {
			t.Errorf("bob: %v", err)
		}
		if p := s.PBXs(); s.Count() != 2 || len(p) != 1 || p[0].Extensions != 3 || p[0].Ready || p[0].Reason != "standby" {
			t.Errorf("%d users, %+v", s.Count(), p)
		}
	})
}

func TestAStandbyReadsInPieces(t *testing.T) {
	var names []string
	for i := range 2*store.ViewsAtOnce + 3 {
		names = append(names, fmt.Sprintf("u%d %d", i, 1000+i))
	}
	o := &others{fakeStore: newFakeStore()}
	s := standbyOf(o, mappingOf(statuses(), names...))
	all, err := s.Users(t.Context(), "u1")
	if err != nil {
		t.Fatal(err)
	}
	next := 2
	for u, err := range all {
		if want := fmt.Sprintf("u%d", next); err != nil || string(u.ID) != want {
			t.Fatalf("%s, %v; want %s", u.ID, err, want)
		}
		next++
	}
	if want := []int{store.ViewsAtOnce, store.ViewsAtOnce, 1}; next != len(names) || !slices.Equal(o.asked, want) {
		t.Errorf("%d users, asked for %v at a time, want %v", next, o.asked, want)
	}
	for range all {
		break
	}
	if len(o.asked) != 4 {
		t.Errorf("who takes one user made it read %v", o.asked[3:])
	}
	if _, err := s.Users(t.Context(), "nobody"); !errors.Is(err, ErrNoUser) {
		t.Errorf("behind nobody: %v", err)
	}
}

func TestAStandbySaysThatItCannotRead(t *testing.T) {
	o := &others{fakeStore: newFakeStore(), err: errors.New("connection refused")}
	s := standbyOf(o, mappingOf(statuses(), "alice 1001"))
	_, byID := s.User(t.Context(), "alice")
	_, why := s.Explain(t.Context(), "alice")
	all, err := s.Users(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	var listed error
	for _, err := range all {
		listed = err
	}
	_, early := NewStandby(o, nil, nil, nil).Users(t.Context(), "")
	for _, err := range []error{byID, why, listed, early} {
		if !errors.Is(err, ErrUnread) {
			t.Errorf("%v is not ErrUnread", err)
		}
	}
	if _, err := s.Choose(t.Context(), "alice", Choice{Type: "lunch"}); !errors.Is(err, ErrStandby) {
		t.Errorf("choose: %v", err)
	}
}
