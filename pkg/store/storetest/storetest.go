// Package storetest is the suite that a store passes before review, whatever
// database it stands on. It tests what the bridge and a panel rely on, nothing
// of how a dialect does it.
package storetest

import (
	"context"
	"database/sql"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
)

// Opener opens one database, empty at first.
type Opener struct {
	// Open opens the store as a bridge does. Only one at a time can have it.
	Open func(context.Context) (*store.SQL, error)

	// Reader opens it for a backup, whoever else has it.
	Reader func() (*store.Reader, error)

	// Panel connects as a panel does, which reads with plain SQL while a bridge runs.
	Panel func() (*sql.DB, error)
}

// Run runs the suite. Every test gets a database of its own from fresh.
func Run(t *testing.T, fresh func(*testing.T) Opener) {
	for _, tc := range []struct {
		name string
		test func(*testing.T, Opener)
	}{
		{"a new store is empty and clean", newStore},
		{"every field comes back", everyField},
		{"keys that look alike are different", alikeKeys},
		{"a NUL byte does not keep a batch from being saved", nulByte},
		{"a batch saved twice is there once", savedTwice},
		{"an empty batch is saved", emptyBatch},
		{"an older version does not overwrite", olderVersion},
		{"a user's columns become null with the status", nullColumns},
		{"a panel reads the words of the design", panelColumns},
		{"a batch is all or nothing", allOrNothing},
		{"a cancelled save saves nothing and the store goes on", cancelled},
		{"entries of one step are told apart", oneStep},
		{"history pages from the newest", pages},
		{"history is selected by user, time and origin", selected},
		{"acts are selected by time and origin", selectedActs},
		{"acts are selected by what was done to what", actsOfThings},
		{"history goes by the time, whatever was saved first", byTime},
		{"prune takes what is older and nothing else", prune},
		{"prune stops when it is told to", pruneCancelled},
		{"users who left are forgotten", forget},
		{"ids of pruned entries are not used again", idsRise},
		{"tokens come back until they are removed", tokens},
		{"a name or hash of a token stands for one", tokenTwice},
		{"acts are kept with what they did", acts},
		{"accounts come back until they are removed", accounts},
		{"an invitation is taken up once", invitations},
		{"sessions come back until they are ended or run out", sessions},
		{"users of the mapping come back in their order", mappedUsers},
		{"a change of users is all or nothing", mappedAllOrNothing},
		{"own settings come back until they are forgotten", ownSettings},
		{"a reopened store keeps everything", reopen},
		{"only an ordered stop is clean", cleanFlag},
		{"a second bridge is kept out", inUse},
		{"rows of a panel are remembered", panelRows},
		{"a backup brings everything back", backUp},
		{"a backup has every table and column", backUpWhole},
		{"a backup is of one moment", backUpMoment},
		{"a backup of a store that is not there says so", backUpNothing},
		{"a restore needs an empty store, or replaces everything", restoreReplaces},
		{"a restore is all or nothing", restoreAllOrNothing},
		{"a restore that is cut off changes nothing", restoreCut},
		{"close is harmless twice and ends everything", closed},
		{"readers and savers do not hold each other up", concurrent},
	} {
		t.Run(tc.name, func(t *testing.T) { tc.test(t, fresh(t)) })
	}
}

// noon is a time with all six digits; at(n) is n seconds later.
var noon = time.Date(2026, 11, 22, 12, 0, 0, 123450*1000, time.UTC)

func at(n int) time.Time { return noon.Add(time.Duration(n) * time.Second) }

// nasty are texts that a phone may set.
var nasty = []string{
	"", "Back at 2", `it's "quoted" \ and ; -- %s ? $1`, "two\r\nlines\tand a tab",
	"Zażółć 昼休み 🍣 \u200b\u202e", "\ufffd", " spaces ", strings.Repeat("ü", 127) + "x",
	"NULL", "0123", "1e3",
}

func lunch(message string) *presence.Status {
	return &presence.Status{
		Type:    &presence.StatusType{ID: "lunch", Name: "Lunch", Base: presence.Absent, Color: "#ef6c00"},
		Message: message, Label: "My " + message, Since: presence.At(at(0)), Until: presence.At(at(3600)), By: "extension main/1001",
		Removed: true, Stale: true,
	}
}

func user(id presence.UserID, version uint64) store.User {
	return store.User{
		ID: id, Name: "Name of " + string(id), Email: string(id) + "@example.com", Version: version,
		Status: lunch("Back at 2"), View: []byte(`{"user":"` + string(id) + `"}`),
	}
}

func entry(id presence.UserID, version uint64, when time.Time) store.Entry {
	return store.Entry{
		User: id, At: when, Type: "lunch", Name: "Lunch", Base: presence.Absent, Message: "Back at 2",
		Since: when, By: "panel alice", Rule: "newest", Version: version,
	}
}

func open(t *testing.T, o Opener) *store.SQL {
	t.Helper()
	s, err := o.Open(t.Context())
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	// The test's own context has ended by then.
	t.Cleanup(func() { _ = s.Close(context.Background(), false) })
	return s
}

func closeStore(t *testing.T, s *store.SQL, clean bool) {
	t.Helper()
	if err := s.Close(t.Context(), clean); err != nil {
		t.Fatalf("close: %v", err)
	}
}

func save(t *testing.T, s *store.SQL, b *store.Batch) {
	t.Helper()
	if err := s.Save(t.Context(), b); err != nil {
		t.Fatalf("save: %v", err)
	}
}

// State is all that a bridge starts from.
type State struct {
	store.State
	Users []store.User
}

// Load returns it.
func Load(ctx context.Context, s *store.SQL) (st State, err error) {
	if st.State, err = s.Load(ctx); err != nil {
		return State{}, err
	}
	for u, err := range s.Users(ctx) {
		if err != nil {
			return State{}, err
		}
		u.View = slices.Clone(u.View)
		st.Users = append(st.Users, u)
	}
	return st, nil
}

func load(t *testing.T, s *store.SQL) State {
	t.Helper()
	st, err := Load(t.Context(), s)
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	return st
}

func history(t *testing.T, s *store.SQL, q store.Query) []store.Entry {
	t.Helper()
	entries, err := s.History(t.Context(), q)
	if err != nil {
		t.Fatalf("history: %v", err)
	}
	return entries
}

// loaded is what Users makes of saved users: it leaves out the status.
func loaded(users ...store.User) []store.User {
	for i := range users {
		users[i].Status = nil
	}
	return users
}

// withoutIDs clears what the store gives by itself.
func withoutIDs(entries []store.Entry) []store.Entry {
	for i := range entries {
		entries[i].ID = 0
	}
	return entries
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\ngot  %+v\nwant %+v", what, got, want)
	}
}

// panelRow reads one row of text as a panel does; NULL reads as "<null>".
func panelRow(t *testing.T, o Opener, query string, columns int) []string {
	t.Helper()
	db, err := o.Panel()
	if err != nil {
		t.Fatalf("panel: %v", err)
	}
	defer func() { _ = db.Close() }()
	values := make([]sql.NullString, columns)
	into := make([]any, columns)
	for i := range values {
		into[i] = &values[i]
	}
	if err := db.QueryRowContext(t.Context(), query).Scan(into...); err != nil {
		t.Fatalf("panel: %v", err)
	}
	row := make([]string, columns)
	for i, v := range values {
		row[i] = v.String
		if !v.Valid {
			row[i] = "<null>"
		}
	}
	return row
}
