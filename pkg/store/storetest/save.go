package storetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
)

func newStore(t *testing.T, o Opener) {
	s := open(t, o)
	same(t, "state", load(t, s), State{State: store.State{Clean: true}})
	same(t, "history", len(history(t, s, store.Query{})), 0)
}

func everyField(t *testing.T, o Opener) {
	s := open(t, o)
	var b store.Batch
	for i, text := range nasty {
		id := presence.UserID(fmt.Sprintf("%02d %s", i, text))
		b.Users = append(b.Users, store.User{
			ID: id, Name: text, Email: text, Version: uint64(i), Status: lunch(text), View: []byte(`{"m":"` + text + `"}`),
		})
		b.History = append(b.History, store.Entry{
			User: id, At: at(i), Type: presence.TypeID(text), Name: text, Base: presence.Base(text), Message: text, Label: text,
			Since: at(-i), Until: at(i).Add(time.Microsecond), By: text, Rule: presence.Rule(text), Version: uint64(i),
		})
		b.PBXs = append(b.PBXs, store.PBX{Name: fmt.Sprintf("%02d", i), Incarnation: text, Heard: at(i)})
	}
	b.Users = append(b.Users, store.User{ID: "zz nothing", Version: 1<<63 - 1, View: []byte{}})
	b.History = slices.Insert(b.History, 0, store.Entry{User: "zz nothing", At: time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)})
	b.PBXs = append(b.PBXs, store.PBX{Name: "zz nothing"})
	save(t, s, &b)

	same(t, "state", load(t, s), State{store.State{PBXs: b.PBXs, Clean: true}, loaded(b.Users...)})
	entries := history(t, s, store.Query{})
	if len(entries) != len(b.History) {
		t.Fatalf("%d entries, want %d", len(entries), len(b.History))
	}
	for i, e := range withoutIDs(entries) {
		same(t, "entry", e, b.History[len(b.History)-1-i])
	}
}

// alikeKeys are the same to many a collation.
func alikeKeys(t *testing.T, o Opener) {
	s := open(t, o)
	var b store.Batch
	for i, id := range []presence.UserID{"ALICE", "Alice", "Straße", "Strasse", "alice", "alicé", "alice\u0301", "ａlice"} {
		b.Users = append(b.Users, user(id, uint64(i)))
		b.History = append(b.History, entry(id, 1, at(0)))
		b.PBXs = append(b.PBXs, store.PBX{Name: string(id)})
	}
	save(t, s, &b)
	st := load(t, s)
	same(t, "users", len(st.Users), len(b.Users))
	same(t, "pbxs", len(st.PBXs), len(b.PBXs))
	same(t, "order of the bytes", slices.IsSortedFunc(st.Users, func(a, b store.User) int { return cmp.Compare(a.ID, b.ID) }), true)
	for _, u := range b.Users {
		same(t, "entries of "+string(u.ID), len(history(t, s, store.Query{User: u.ID})), 1)
	}
}

// nulByte says nothing of what becomes of the byte: PostgreSQL's text cannot hold it.
func nulByte(t *testing.T, o Opener) {
	s := open(t, o)
	u, e := user("alice", 1), entry("alice", 1, at(0))
	u.Status.Message, e.Message = "a\x00b", "a\x00b"
	save(t, s, &store.Batch{Users: []store.User{u}, History: []store.Entry{e}})
	same(t, "users", load(t, s).Users, loaded(u))
	same(t, "entries", len(history(t, s, store.Query{})), 1)
}

func savedTwice(t *testing.T, o Opener) {
	s := open(t, o)
	b := store.Batch{
		Users:   []store.User{user("alice", 3)},
		History: []store.Entry{entry("alice", 2, at(0)), entry("alice", 3, at(1))},
		PBXs:    []store.PBX{{Name: "main", Incarnation: "a", Heard: at(1)}},
	}
	save(t, s, &b)
	first := history(t, s, store.Query{})
	save(t, s, &b)
	// Retried together with what came since, as the bridge does.
	more := b
	more.Users = []store.User{user("alice", 4)}
	more.History = append(more.History, entry("alice", 4, at(2)))
	save(t, s, &more)

	entries := history(t, s, store.Query{})
	if len(entries) != 3 {
		t.Fatalf("%d entries, want 3", len(entries))
	}
	same(t, "entries of the first save", entries[1:], first)
	same(t, "state", load(t, s), State{store.State{PBXs: b.PBXs, Clean: true}, loaded(user("alice", 4))})
}

func emptyBatch(t *testing.T, o Opener) {
	s := open(t, o)
	save(t, s, &store.Batch{})
	same(t, "state", load(t, s), State{State: store.State{Clean: true}})
}

func olderVersion(t *testing.T, o Opener) {
	s := open(t, o)
	newer := user("alice", 7)
	save(t, s, &store.Batch{Users: []store.User{newer}})
	older := user("alice", 6)
	older.Name, older.Status, older.View = "Older", nil, []byte("{}")
	save(t, s, &store.Batch{Users: []store.User{older, user("bob", 1)}})
	same(t, "users", load(t, s).Users, loaded(newer, user("bob", 1)))
	same(t, "type", panelRow(t, o, `SELECT type FROM users WHERE id = 'alice'`, 1), []string{"lunch"})

	again := user("alice", 7)
	again.Name = "Married"
	save(t, s, &store.Batch{Users: []store.User{again}})
	same(t, "name with the same version", load(t, s).Users[0].Name, "Married")
}

const statusColumns = `type, type_name, base, color, message, since, until, set_by, label`

func nullColumns(t *testing.T, o Opener) {
	s := open(t, o)
	save(t, s, &store.Batch{Users: []store.User{user("alice", 1)}})
	silent := user("alice", 2)
	silent.Status = nil
	save(t, s, &store.Batch{Users: []store.User{silent}})
	null := make([]string, 11)
	for i := range null {
		null[i] = "<null>"
	}
	same(t, "columns", panelRow(t, o, `SELECT `+statusColumns+`, removed, stale FROM users`, 11), null)
}

func panelColumns(t *testing.T, o Opener) {
	s := open(t, o)
	alice, bob := user("alice", 1), user("bob", 1)
	alice.Status.Until = presence.Time{}
	bob.Status.Removed, bob.Status.Stale = false, false
	save(t, s, &store.Batch{Users: []store.User{alice, bob}})

	same(t, "status", panelRow(t, o, `SELECT `+statusColumns+` FROM users WHERE id = 'alice'`, 9), []string{
		"lunch", "Lunch", "absent", "#ef6c00", "Back at 2", "2026-11-22T12:00:00.123450Z", "<null>", "extension main/1001", "My Back at 2",
	})
	same(t, "identity", panelRow(t, o, `SELECT id, name, email FROM users WHERE id = 'alice'`, 3),
		[]string{"alice", "Name of alice", "alice@example.com"})
	for _, column := range []string{"removed", "stale"} {
		same(t, "users "+column, panelRow(t, o, `SELECT COUNT(*), MIN(id) FROM users WHERE `+column+` <> '0'`, 2), []string{"1", "alice"})
	}
}

func allOrNothing(t *testing.T, o Opener) {
	for _, tc := range []struct {
		name  string
		spoil func(*store.Batch)
	}{
		{"a user without id", func(b *store.Batch) { b.Users[1].ID = "" }},
		{"a version beyond the column", func(b *store.Batch) { b.Users[1].Version = 1 << 63 }},
		{"an entry without user", func(b *store.Batch) { b.History[1].User = "" }},
		{"an entry without time", func(b *store.Batch) { b.History[1].At = time.Time{} }},
		{"a pbx without name", func(b *store.Batch) { b.PBXs[1].Name = "" }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := open(t, o)
			defer closeStore(t, s, true)
			b := store.Batch{
				Users:   []store.User{user("alice", 1), user("bob", 1), user("carol", 1)},
				History: []store.Entry{entry("alice", 1, at(0)), entry("bob", 1, at(1)), entry("carol", 1, at(2))},
				PBXs:    []store.PBX{{Name: "main"}, {Name: "branch"}},
			}
			tc.spoil(&b)
			if err := s.Save(t.Context(), &b); err == nil {
				t.Fatal("save took it")
			}
			same(t, "state", load(t, s), State{State: store.State{Clean: true}})
			same(t, "history", len(history(t, s, store.Query{})), 0)
			save(t, s, &store.Batch{}) // the connection still works
		})
	}
}

func cancelled(t *testing.T, o Opener) {
	s := open(t, o)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b := store.Batch{Users: []store.User{user("alice", 1)}}
	if err := s.Save(ctx, &b); !errors.Is(err, context.Canceled) {
		t.Errorf("save = %v, want context.Canceled", err)
	}
	if _, err := s.Load(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("load = %v, want context.Canceled", err)
	}
	for _, err := range s.Users(ctx) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("users = %v, want context.Canceled", err)
		}
	}
	if _, err := s.History(ctx, store.Query{}); !errors.Is(err, context.Canceled) {
		t.Errorf("history = %v, want context.Canceled", err)
	}
	same(t, "users", len(load(t, s).Users), 0)

	// Cut at many moments of a long batch: it is there whole, or not at all. Where
	// the answer to the commit was cut off, it may be there for all the error.
	for i := range 20 {
		big := manyUsers(2000, uint64(i+2))
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*3*time.Millisecond)
		err := s.Save(ctx, &big)
		cancel()
		n := countVersion(load(t, s), uint64(i+2))
		if n != 0 && n != len(big.Users) || err == nil && n == 0 || err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("round %d: save = %v, and %d of %d users are there", i, err, n, len(big.Users))
		}
	}
	save(t, s, &b)
}

func manyUsers(n int, version uint64) store.Batch {
	var b store.Batch
	for i := range n {
		b.Users = append(b.Users, user(presence.UserID(fmt.Sprintf("u%05d", i)), version))
	}
	return b
}

func countVersion(st State, version uint64) (n int) {
	for _, u := range st.Users {
		if u.Version == version {
			n++
		}
	}
	return n
}
