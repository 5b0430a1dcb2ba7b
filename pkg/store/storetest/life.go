package storetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
)

func reopen(t *testing.T, o Opener) {
	s := open(t, o)
	b := store.Batch{
		Users:   []store.User{user("alice", 3), user("bob", 1)},
		History: []store.Entry{entry("alice", 3, at(0))},
		PBXs:    []store.PBX{{Name: "main", Incarnation: "a", Heard: at(1)}},
	}
	save(t, s, &b)
	want, entries := load(t, s), history(t, s, store.Query{})
	closeStore(t, s, true)
	s = open(t, o)
	same(t, "state", load(t, s), want)
	same(t, "history", history(t, s, store.Query{}), entries)
}

func cleanFlag(t *testing.T, o Opener) {
	was := true // a new store
	for i, clean := range []bool{true, true, false, false, true, false, true} {
		s := open(t, o)
		same(t, fmt.Sprintf("clean at start %d", i), load(t, s).Clean, was)
		save(t, s, &store.Batch{Users: []store.User{user("alice", uint64(i))}})
		same(t, fmt.Sprintf("clean later at start %d", i), load(t, s).Clean, was)
		closeStore(t, s, clean)
		was = clean
	}
}

func inUse(t *testing.T, o Opener) {
	s := open(t, o)
	save(t, s, &store.Batch{Users: []store.User{user("alice", 1)}})
	for range 3 {
		if second, err := o.Open(t.Context()); !errors.Is(err, store.ErrInUse) {
			t.Fatalf("second open = %v, %v, want ErrInUse", second, err)
		}
	}
	save(t, s, &store.Batch{Users: []store.User{user("alice", 2)}})
	closeStore(t, s, true)
	s = open(t, o)
	st := load(t, s)
	same(t, "users", st.Users, loaded(user("alice", 2)))
	same(t, "clean, for all the bridges that were kept out", st.Clean, true)
}

func closed(t *testing.T, o Opener) {
	s := open(t, o)
	closeStore(t, s, true)
	closeStore(t, s, false)
	if err := s.Save(t.Context(), &store.Batch{}); err == nil {
		t.Error("save after close says nothing")
	}
	if _, err := s.Load(t.Context()); err == nil {
		t.Error("load after close says nothing")
	}
	for _, err := range s.Users(t.Context()) {
		if err == nil {
			t.Error("users after close say nothing")
		}
	}
	if _, err := s.Prune(t.Context(), at(0)); err == nil {
		t.Error("prune after close says nothing")
	}
	s = open(t, o)
	same(t, "clean, since only the first close counts", load(t, s).Clean, true)
}

// concurrent saves, reads, prunes and looks on as a panel, all at once. A reader
// sees whole batches only: in each, both users have the same version.
func concurrent(t *testing.T, o Opener) {
	const rounds = 60
	s := open(t, o)
	panel, err := o.Panel()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = panel.Close() }()

	saved := make(chan struct{})
	var wg sync.WaitGroup
	watch := func(look func() error) {
		wg.Go(func() {
			for {
				if err := look(); err != nil {
					t.Error(err)
					return
				}
				select {
				case <-saved:
					return
				default:
				}
			}
		})
	}
	for range 3 {
		watch(func() error {
			st, err := Load(t.Context(), s)
			if err == nil && len(st.Users) == 2 && st.Users[0].Version != st.Users[1].Version {
				err = fmt.Errorf("load saw half a batch: versions %d and %d", st.Users[0].Version, st.Users[1].Version)
			}
			return err
		})
	}
	watch(func() error { _, err := s.History(t.Context(), store.Query{User: "alice"}); return err })
	watch(func() error { _, err := s.Prune(t.Context(), at(rounds/2)); return err })
	watch(func() error {
		var n int
		return panel.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM users WHERE base = 'absent'`).Scan(&n)
	})
	for i := range rounds {
		b := store.Batch{}
		for _, id := range []presence.UserID{"alice", "bob"} {
			b.Users = append(b.Users, user(id, uint64(i)))
			b.History = append(b.History, entry(id, uint64(i), at(i)))
		}
		if err := s.Save(t.Context(), &b); err != nil {
			t.Error(err)
			break
		}
	}
	close(saved)
	wg.Wait()
	same(t, "version", load(t, s).Users[1].Version, uint64(rounds-1))
}
