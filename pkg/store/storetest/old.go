package storetest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
)

// RunOldStores brings every dump that pattern names up to date and compares its
// schema, as the query tells it in one text a row, with that of a new store. Every
// new schema adds the last dump of its predecessor; none ever changes.
func RunOldStores(t *testing.T, d Servers, pattern, schema string) {
	dumps, err := filepath.Glob(pattern)
	if err != nil || len(dumps) == 0 {
		t.Fatalf("no old stores: %v", err)
	}
	server := d.Start(t)
	fresh := server.NewDatabase()
	closeStore(t, d.first(t, fresh), true)
	want := texts(t, panelOf(server, fresh), schema)
	for _, dump := range dumps {
		t.Run(filepath.Base(dump), func(t *testing.T) {
			at := server.NewDatabase()
			statements, err := os.ReadFile(dump)
			if err != nil {
				t.Fatal(err)
			}
			panelExec(t, server, at, string(statements))
			s := d.first(t, at)
			checkOldStore(t, s)
			CheckOldMapped(t, s)
			same(t, "schema", texts(t, panelOf(server, at), schema), want)
		})
	}
}

// checkOldStore compares with what every dump holds.
func checkOldStore(t *testing.T, s *store.SQL) {
	t.Helper()
	when := time.Date(2026, 11, 22, 12, 0, 0, 123456000, time.UTC)
	same(t, "state", load(t, s), State{
		State: store.State{
			PBXs:  []store.PBX{{Name: "branch"}, {Name: "main", Incarnation: "1763800000/18", Heard: when}},
			Clean: true,
		},
		Users: []store.User{
			{ID: "alice", Name: "Alice Martin", Email: "alice@example.com", Version: 17, View: []byte(`{"user":"alice","version":17}`)},
			{ID: "bob", Name: "Bob Lee", Version: 1, View: []byte(`{"user":"bob","version":1}`)},
		},
	})
	same(t, "history", history(t, s, store.Query{}), []store.Entry{
		{ID: 2, User: "alice", At: when, Type: "lunch", Name: "Lunch", Base: presence.Absent, Message: "it's\ntwo 🍣",
			Since: when, Until: when.Add(time.Hour), By: "extension main/1001", Rule: "latest", Version: 17},
		{ID: 1, User: "alice", At: time.Date(2026, 11, 22, 11, 59, 59, 0, time.UTC), By: "reload", Rule: "nothing", Version: 16},
	})
}

// CheckOldMapped compares with what every dump holds that knows of users of the
// mapping: the first three schemas did not.
func CheckOldMapped(t *testing.T, s *store.SQL) {
	t.Helper()
	want := []store.Mapped{}
	_, version, _ := strings.Cut(t.Name(), "-")
	if strings.TrimSuffix(version, ".sql") >= "4" {
		want = append(want, store.Mapped{ID: "alice", Position: 1, Definition: `{"id":"alice","extensions":["1001"],"tags":["vip"]}`, Tags: "vip"})
	}
	same(t, "users of the mapping", allMapped(t, s), want)
}

// texts reads a column of text as a panel does.
func texts(t *testing.T, o Opener, query string) (all []string) {
	t.Helper()
	db, err := o.Panel()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			t.Fatal(err)
		}
		all = append(all, text)
	}
	if err := rows.Err(); err != nil || len(all) < 30 {
		t.Fatalf("%d rows of a schema, %v", len(all), err)
	}
	return all
}
