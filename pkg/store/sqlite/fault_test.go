package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/store"
)

var presenceTime = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func userOfSize(version uint64, bytes int) *store.Batch {
	return &store.Batch{Users: []store.User{{ID: "alice", Version: version, View: []byte(strings.Repeat("x", bytes))}}}
}

// A panel that writes, or a shell left in a transaction, must not stop the bridge for ever.
func TestLockedDatabaseIsNamedWithinTheDeadline(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := mustOpen(t, path)
	db := rawDB(t, path)
	db.SetMaxOpenConns(1)
	run(t, db, `BEGIN IMMEDIATE`)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	start := time.Now()
	if err := s.Save(ctx, userOfSize(1, 10)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("save = %v, want context.DeadlineExceeded", err)
	}
	t.Logf("given up after %v", time.Since(start))
	if err := s.Save(t.Context(), userOfSize(1, 10)); err == nil || !strings.Contains(err.Error(), "another program holds a write lock") {
		t.Errorf("save = %v, want a hint at the lock", err)
	}
	run(t, db, `ROLLBACK`)
	if err := s.Save(t.Context(), userOfSize(1, 10)); err != nil {
		t.Errorf("save when the lock is gone = %v", err)
	}
}

func TestErrorsOfSQLiteHaveHints(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "store.db")
	do := func(pragma, statement string) error {
		db, err := sql.Open("sqlite", dsn(path, map[string][]string{"_pragma": {pragma}}))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = db.Close() }()
		_, err = db.ExecContext(t.Context(), statement)
		return explain(path, err)
	}
	for _, tc := range []struct{ pragma, statement, want string }{
		{"max_page_count(2)", `CREATE TABLE a (x); CREATE TABLE b (x); CREATE TABLE c (x)`, "free some space"},
		{"query_only(1)", `CREATE TABLE d (x)`, "let the user that runs presencebridge write"},
		{"user_version(1)", `NONSENSE`, "syntax error"},
	} {
		err := do(tc.pragma, tc.statement)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s = %v, want something with %q", tc.statement, err, tc.want)
		}
	}
}

func TestDamagedFileSaysSo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := mustOpen(t, path)
	if err := s.Close(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	b := read(t, path)
	for i := 4096; i < len(b); i++ { // all but the header and the list of tables
		b[i] = 0xa5
	}
	write(t, path, string(b))
	_, err := Open(t.Context(), path, zap.NewNop())
	if err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("open = %v, want a hint at the damage", err)
	}
}

func TestPruneTellsHowFarItCame(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := mustOpen(t, path)
	var b store.Batch
	for i := range uint64(2500) {
		b.History = append(b.History, store.Entry{User: "alice", Version: i, At: presenceTime.Add(time.Duration(i))})
	}
	if err := s.Save(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	run(t, rawDB(t, path), `CREATE TRIGGER t BEFORE DELETE ON history WHEN old.version = 1500 BEGIN SELECT RAISE(ABORT, 'not this'); END`)
	n, err := s.Prune(t.Context(), presenceTime.Add(time.Hour))
	if n != 1000 || err == nil || !strings.Contains(err.Error(), "not this") {
		t.Errorf("prune = %d, %v; want 1000 and the error", n, err)
	}
	if err := s.Save(t.Context(), &b); err != nil {
		t.Error(err)
	}
	entries, err := s.History(t.Context(), store.Query{Limit: 5000})
	if err != nil || len(entries) != 2500 {
		t.Errorf("%d entries, %v; want those pruned saved again beside the others", len(entries), err)
	}
}
