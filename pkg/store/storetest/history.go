package storetest

import (
	"context"
	"errors"
	"testing"

	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
)

func oneStep(t *testing.T, o Opener) {
	s := open(t, o)
	dnd, back := entry("alice", 5, at(0)), entry("alice", 5, at(0))
	dnd.Type, back.Type = "dnd", "available"
	b := store.Batch{History: []store.Entry{dnd, entry("bob", 5, at(0)), back}}
	save(t, s, &b)
	save(t, s, &b)
	var types []presence.TypeID
	for _, e := range history(t, s, store.Query{User: "alice"}) {
		types = append(types, e.Type)
	}
	same(t, "types", types, []presence.TypeID{"available", "dnd"})
}

func pages(t *testing.T, o Opener) {
	s := open(t, o)
	var b store.Batch
	for i := range 250 {
		id := presence.UserID("alice")
		if i%5 == 0 {
			id = "bob"
		}
		b.History = append(b.History, entry(id, uint64(i), at(i)))
	}
	save(t, s, &b)

	same(t, "entries without a limit", len(history(t, s, store.Query{})), 100)
	for _, tc := range []struct {
		user  presence.UserID
		limit int
		want  int
	}{
		{"", 7, 250}, {"", 1000, 250}, {"alice", 7, 200}, {"bob", 50, 50}, {"bob", 49, 50}, {"carol", 7, 0},
	} {
		q := store.Query{User: tc.user, Limit: tc.limit}
		n, last := 0, uint64(250)
		for page := history(t, s, q); len(page) > 0; page = history(t, s, q) {
			if len(page) > tc.limit {
				t.Fatalf("%+v: a page of %d", tc, len(page))
			}
			for _, e := range page {
				if e.Version >= last || tc.user != "" && e.User != tc.user {
					t.Fatalf("%+v: %s version %d after version %d", tc, e.User, e.Version, last)
				}
				n, last, q.Before = n+1, e.Version, e.ID
			}
		}
		if n != tc.want {
			t.Errorf("%+v: %d entries", tc, n)
		}
	}
}

func prune(t *testing.T, o Opener) {
	s := open(t, o)
	var b store.Batch
	for i := range 2600 {
		b.History = append(b.History, entry("alice", uint64(i), at(i)))
	}
	b.Users = []store.User{user("alice", 2600)}
	save(t, s, &b)
	for _, tc := range []struct{ before, pruned int }{
		{0, 0}, {1, 1}, {2500, 2499}, {2500, 0},
	} {
		n, err := s.Prune(t.Context(), at(tc.before))
		if err != nil || n != int64(tc.pruned) {
			t.Errorf("prune before %d = %d, %v; want %d", tc.before, n, err, tc.pruned)
		}
	}
	left := history(t, s, store.Query{Limit: 1000})
	same(t, "entries left", len(left), 100)
	same(t, "the oldest one left", left[99].At, at(2500))
	same(t, "users", len(load(t, s).Users), 1)
}

func pruneCancelled(t *testing.T, o Opener) {
	s := open(t, o)
	save(t, s, &store.Batch{History: []store.Entry{entry("alice", 1, at(0))}})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	n, err := s.Prune(ctx, at(1))
	if n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("prune = %d, %v, want 0 and context.Canceled", n, err)
	}
	same(t, "entries", len(history(t, s, store.Query{})), 1)
}

func idsRise(t *testing.T, o Opener) {
	s := open(t, o)
	save(t, s, &store.Batch{History: []store.Entry{entry("alice", 1, at(0)), entry("alice", 2, at(1))}})
	before := history(t, s, store.Query{})[0].ID
	if _, err := s.Prune(t.Context(), at(10)); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s, true)
	s = open(t, o)
	save(t, s, &store.Batch{History: []store.Entry{entry("alice", 3, at(2))}})
	if after := history(t, s, store.Query{})[0].ID; after <= before {
		t.Errorf("id %d after %d", after, before)
	}
}
