package store_test

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/store"
	"github.com/presencebridge/presencebridge/pkg/store/sqlite"
)

// A history of years is neither sorted nor read from its beginning for a page of it.
func TestEveryPageOfTheHistoryIsReadAlongAnIndex(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s, err := sqlite.Open(t.Context(), path, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	noon := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	place := store.Place{At: noon, ID: 7}
	for name, tc := range map[string]struct {
		q    store.Query
		want string
	}{
		"everybody":          {store.Query{}, "SCAN history USING INDEX history_at"},
		"an origin":          {store.Query{By: "panel"}, "SCAN history USING INDEX history_at"},
		"a next page":        {store.Query{Before: place}, "SEARCH history USING INDEX history_at (at<?)"},
		"a day":              {store.Query{From: noon, To: noon.Add(time.Hour), By: "cli"}, "SEARCH history USING INDEX history_at (at>? AND at<?)"},
		"a user":             {store.Query{User: "alice"}, "SEARCH history USING INDEX history_step (user_id=?)"},
		"a day of a user":    {store.Query{User: "alice", From: noon, To: noon.Add(time.Hour)}, "SEARCH history USING INDEX history_step (user_id=? AND at>? AND at<?)"},
		"a user's next page": {store.Query{User: "alice", Before: place, By: "panel"}, "SEARCH history USING INDEX history_step (user_id=? AND at<?)"},
	} {
		statement, args := tc.q.SQL(`SELECT message FROM history`, "set_by")
		if got := plan(t, db, statement, args); got != tc.want {
			t.Errorf("%s: %s; want %s", name, got, tc.want)
		}
	}
}

// plan tells how SQLite goes about a statement.
func plan(t *testing.T, db *sql.DB, statement string, args []any) string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), `EXPLAIN QUERY PLAN `+statement, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var steps []string
	for rows.Next() {
		var id, parent, unused int
		var step string
		if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
			t.Fatal(err)
		}
		steps = append(steps, step)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return strings.Join(steps, "; ")
}
