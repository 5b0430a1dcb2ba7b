package bridge

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
)

// fakeStore keeps everything in memory, as the real one does on disk: a batch is
// there as a whole or not at all. A copy of it is what a crash leaves.
type fakeStore struct {
	mu      sync.Mutex
	users   map[presence.UserID]store.User
	history []store.Entry
	pbxs    map[string]store.PBX
	own     map[presence.UserID]presence.Own
	clean   bool // what Load says
	faults  []string

	fail   error         // Save and Prune return it
	stall  chan struct{} // Save waits for it, or for its context
	deaf   bool          // and not for its context
	before func(n int, b *store.Batch)
	after  func(n int, b *store.Batch)
	saves  int
	pruned []time.Time

	closed      bool
	closedClean bool
	closeErr    error
	closeStall  chan struct{}
	loadErr     error
}

// count tells how often something was saved.
func (s *fakeStore) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.saves
}

func newFakeStore() *fakeStore {
	return &fakeStore{users: map[presence.UserID]store.User{}, pbxs: map[string]store.PBX{}, own: map[presence.UserID]presence.Own{}, clean: true}
}

// copied is the store as the next bridge finds it.
func (s *fakeStore) copied() *fakeStore {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.copyLocked()
}

func (s *fakeStore) copyLocked() *fakeStore {
	return &fakeStore{
		users: maps.Clone(s.users), history: slices.Clone(s.history), pbxs: maps.Clone(s.pbxs), own: maps.Clone(s.own),
		clean: s.closed && s.closedClean,
	}
}

func (s *fakeStore) Load(context.Context) (store.State, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := store.State{Clean: s.clean}
	for _, name := range slices.Sorted(maps.Keys(s.pbxs)) {
		st.PBXs = append(st.PBXs, s.pbxs[name])
	}
	for _, id := range slices.Sorted(maps.Keys(s.own)) {
		st.Own = append(st.Own, store.Settings{User: id, Own: s.own[id]})
	}
	return st, s.loadErr
}

func (s *fakeStore) Users(context.Context) iter.Seq2[store.User, error] {
	return func(yield func(store.User, error) bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, id := range slices.Sorted(maps.Keys(s.users)) {
			u := s.users[id]
			u.View = slices.Clone(u.View)
			if !yield(u, nil) {
				return
			}
			clear(u.View) // good until the next one
		}
	}
}

func (s *fakeStore) Save(ctx context.Context, b *store.Batch) error {
	s.mu.Lock()
	stall, deaf := s.stall, s.deaf
	s.saves++
	n := s.saves
	s.mu.Unlock()
	if stall != nil {
		over := ctx.Done()
		if deaf {
			over = nil
		}
		select {
		case <-stall:
		case <-over:
			return ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.before != nil {
		s.before(n, b)
	}
	if s.fail != nil {
		return s.fail
	}
	seen := map[presence.UserID]bool{}
	for _, u := range b.Users {
		if seen[u.ID] {
			s.faults = append(s.faults, fmt.Sprintf("two rows of %s in one batch", u.ID))
		}
		seen[u.ID] = true
		if u.Version < s.users[u.ID].Version {
			s.faults = append(s.faults, fmt.Sprintf("%s goes back to version %d", u.ID, u.Version))
			continue
		}
		s.users[u.ID] = u
	}
	for _, e := range b.History {
		e.ID = int64(len(s.history) + 1)
		s.history = append(s.history, e)
	}
	for _, p := range b.PBXs {
		s.pbxs[p.Name] = p
	}
	for _, o := range b.Own {
		if s.own[o.User] = o.Own; o.Own == (presence.Own{}) {
			delete(s.own, o.User)
		}
	}
	if s.after != nil {
		s.after(n, b)
	}
	return nil
}

func (s *fakeStore) History(_ context.Context, q store.Query) ([]store.Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []store.Entry
	for _, e := range slices.Backward(s.history) {
		if q.User == "" || q.User == e.User {
			found = append(found, e)
		}
	}
	return found, nil
}

func (s *fakeStore) Prune(_ context.Context, before time.Time) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pruned = append(s.pruned, before)
	return int64(len(s.pruned)), s.fail
}

func (s *fakeStore) Forget(_ context.Context, users []presence.UserID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range users {
		if s.fail == nil {
			delete(s.users, id)
			delete(s.own, id)
		}
	}
	return s.fail
}

func (s *fakeStore) Close(_ context.Context, clean bool) error {
	s.mu.Lock()
	stall := s.closeStall
	s.mu.Unlock()
	if stall != nil {
		<-stall
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed, s.closedClean = true, clean
	return s.closeErr
}

func (s *fakeStore) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *fakeStore) row(id presence.UserID) store.User {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.users[id]
}

// saved names the status of a user in the store.
func (s *fakeStore) saved(id presence.UserID) presence.TypeID {
	if st := s.row(id).Status; st != nil {
		return st.Type.ID
	}
	return ""
}
