package storetest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
)

func mapped(id string, position int64, definition string) store.Mapped {
	return store.Mapped{ID: presence.UserID(id), Position: position, Definition: definition, Tags: "vip Düsseldorf", Groups: "sales"}
}

func allMapped(t *testing.T, s *store.SQL) []store.Mapped {
	t.Helper()
	all := []store.Mapped{}
	for m, err := range s.Mapped(t.Context()) {
		noError(t, err)
		all = append(all, m)
	}
	return all
}

func mappedUsers(t *testing.T, o Opener) {
	s := open(t, o)
	same(t, "users of a new store", allMapped(t, s), []store.Mapped{})
	var want []store.Mapped
	for i, text := range nasty {
		want = append(want, mapped("x"+text+"'; DROP TABLE mapped_users; --", int64(i+1), text))
	}
	want = append(want, mapped("long", 1000, `{"name":"`+strings.Repeat("ü", 32_000)+`"}`), mapped("ALICE", 1001, `{}`), mapped("alice", 1002, `{}`))
	noError(t, s.ChangeMapped(t.Context(), want, nil, act("imported", "all")))
	same(t, "users", allMapped(t, s), want)

	want[1].Definition, want[1].Tags = `{"id":"changed"}`, ""
	removed := want[2].ID
	want = append(want[:2], want[3:]...)
	noError(t, s.ChangeMapped(t.Context(), want[1:2], []presence.UserID{removed, "nobody"}, act("changed", "one")))
	closeStore(t, s, true)
	s = open(t, o)
	same(t, "users after a change", allMapped(t, s), want)

	page, err := s.MappedPage(t.Context(), want[0].Position, 2)
	noError(t, err)
	same(t, "page", page, want[1:3])
	got, ok, err := s.MappedUser(t.Context(), want[3].ID)
	noError(t, err)
	same(t, "one user", got, want[3])
	if _, gone, err := s.MappedUser(t.Context(), removed); !ok || gone || err != nil {
		t.Errorf("found %v, and the one removed %v, %v", ok, gone, err)
	}
	for m, err := range s.Mapped(t.Context()) { // who has seen enough leaves nothing open
		noError(t, err)
		same(t, "the first", m, want[0])
		break
	}
	done, err := s.Audit(t.Context(), store.Query{})
	noError(t, err)
	same(t, "acts", []string{done[0].What, done[1].What}, []string{"one", "all"})
}

// mappedAllOrNothing puts a thousand users of which the last takes the place of another.
func mappedAllOrNothing(t *testing.T, o Opener) {
	s := open(t, o)
	first := []store.Mapped{mapped("alice", 1, `{}`)}
	noError(t, s.ChangeMapped(t.Context(), first, nil, act("added", "alice")))
	var many []store.Mapped
	for i := range 1000 {
		many = append(many, mapped(fmt.Sprint("user", i), int64(i+2), `{}`))
	}
	many[999].Position = 1
	if err := s.ChangeMapped(t.Context(), many, nil, act("imported", "many")); err == nil {
		t.Error("two users have one position")
	}
	same(t, "users", allMapped(t, s), first)
	if done, err := s.Audit(t.Context(), store.Query{}); err != nil || len(done) != 1 {
		t.Errorf("acts %+v, %v", done, err)
	}
	many[999].Position = 1001
	noError(t, s.ChangeMapped(t.Context(), many, nil, act("imported", "many")))
	same(t, "users", allMapped(t, s), append(first, many...))
}
