package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/presencebridge/presencebridge/pkg/store"
	"github.com/presencebridge/presencebridge/pkg/store/storetest"
)

// oldStores are databases as older versions wrote them, dumped by the sqlite3
// shell. Every new schema adds the last one of its predecessor; none ever changes.
const oldStores = "../../../testdata/store/sqlite-*.sql"

func TestEveryOldStoreIsBroughtUpToDate(t *testing.T) {
	dumps, err := filepath.Glob(oldStores)
	if err != nil || len(dumps) == 0 {
		t.Fatalf("no old stores: %v", err)
	}
	fresh := filepath.Join(t.TempDir(), "fresh.db")
	mustOpen(t, fresh)
	for _, dump := range dumps {
		t.Run(filepath.Base(dump), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store.db")
			db := rawDB(t, path)
			run(t, db, string(read(t, dump)))
			s := mustOpen(t, path)
			checkOldStore(t, s)
			storetest.CheckOldMapped(t, s)
			if got, want := schema(t, db), schema(t, rawDB(t, fresh)); got != want {
				t.Errorf("schema:\n%s\nand of a new store:\n%s", got, want)
			}
		})
	}
}

// Catches: ids of the history that are given again after it was copied into a new table.
func TestIdsOfTheHistoryGoOnAfterAMigration(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	db := rawDB(t, path)
	run(t, db, string(read(t, "../../../testdata/store/sqlite-7.sql")))
	run(t, db, `DELETE FROM history`)
	s := mustOpen(t, path)
	noon := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	if err := s.Save(t.Context(), &store.Batch{History: []store.Entry{{User: "alice", At: noon, Version: 18}}}); err != nil {
		t.Fatal(err)
	}
	entries, err := s.History(t.Context(), store.Query{})
	if err != nil || len(entries) != 1 || entries[0].ID != 3 {
		t.Errorf("history = %+v, %v", entries, err)
	}
}

// checkOldStore compares with what every dump holds.
func checkOldStore(t *testing.T, s *store.SQL) {
	t.Helper()
	noon := time.Date(2026, 11, 22, 12, 0, 0, 123456000, time.UTC)
	st, err := storetest.Load(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	want := storetest.State{
		State: store.State{
			PBXs:  []store.PBX{{Name: "branch"}, {Name: "main", Incarnation: "1763800000/18", Heard: noon}},
			Clean: true,
		},
		Users: []store.User{
			{ID: "alice", Name: "Alice Martin", Email: "alice@example.com", Version: 17, View: []byte(`{"user":"alice","version":17}`)},
			{ID: "bob", Name: "Bob Lee", Version: 1, View: []byte(`{"user":"bob","version":1}`)},
		},
	}
	if !reflect.DeepEqual(st, want) {
		t.Errorf("state:\ngot  %+v\nwant %+v", st, want)
	}
	entries, err := s.History(t.Context(), store.Query{})
	if err != nil {
		t.Fatal(err)
	}
	lunch := store.Entry{
		ID: 2, User: "alice", At: noon, Type: "lunch", Name: "Lunch", Base: "absent", Message: "it's\ntwo 🍣",
		Since: noon, Until: noon.Add(time.Hour), By: "extension main/1001", Rule: "latest", Version: 17,
	}
	if len(entries) != 2 || entries[0] != lunch || entries[1].ID != 1 {
		t.Errorf("history = %+v", entries)
	}
	checkOldTokens(t, s)
}

// checkOldTokens compares with what every dump holds that knows of tokens: the
// first schema did not.
func checkOldTokens(t *testing.T, s *store.SQL) {
	t.Helper()
	tokens, err := s.Tokens(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	acts, err := s.Audit(t.Context(), store.Query{})
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(t.Name(), "-1.sql") {
		if len(tokens)+len(acts) > 0 {
			t.Errorf("tokens = %+v, audit = %+v", tokens, acts)
		}
		return
	}
	noon := time.Date(2026, 11, 22, 12, 0, 0, 123456000, time.UTC)
	crm := store.Token{Name: "crm", Hash: strings.Repeat("0a", 32), Scope: "own", User: "alice", Made: noon, MadeBy: "cli", Expires: noon.Add(time.Hour)}
	if len(tokens) != 1 || tokens[0] != crm {
		t.Errorf("tokens = %+v", tokens)
	}
	made := store.Act{ID: 1, At: noon, By: "cli", Did: "token made", What: "crm"}
	if len(acts) != 1 || acts[0] != made {
		t.Errorf("audit = %+v", acts)
	}
}

// Who upgrades has the backup from before, or makes one before the bridge migrates.
func TestABackupOfAnOldStoreIsRestored(t *testing.T) {
	dumps, err := filepath.Glob(oldStores)
	if err != nil || len(dumps) == 0 {
		t.Fatalf("no old stores: %v", err)
	}
	for _, dump := range dumps {
		t.Run(filepath.Base(dump), func(t *testing.T) {
			old := filepath.Join(t.TempDir(), "old.db")
			run(t, rawDB(t, old), string(read(t, dump)))
			before := read(t, old)
			r, err := OpenReader(old)
			if err != nil {
				t.Fatal(err)
			}
			var file bytes.Buffer
			b, err := r.Backup(t.Context(), &file, presenceTime, nil)
			if err := errors.Join(err, r.Close()); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(read(t, old), before) {
				t.Error("the old store has changed")
			}
			path := filepath.Join(t.TempDir(), "new.db")
			s := mustOpen(t, path)
			restored, err := s.Restore(t.Context(), bytes.NewReader(file.Bytes()), store.Restoring{Act: store.Act{At: presenceTime}})
			if err != nil || restored != b {
				t.Fatalf("restored %+v, %v; want %+v", restored, err, b)
			}
			run(t, rawDB(t, path), `DELETE FROM audit WHERE did = ''`) // the restore itself
			if err := s.Close(t.Context(), true); err != nil {
				t.Fatal(err)
			}
			checkOldStore(t, mustOpen(t, path))
		})
	}
}

// schema is what SQLite keeps of the statements that made the tables.
func schema(t *testing.T, db *sql.DB) string {
	t.Helper()
	var text string
	err := db.QueryRowContext(t.Context(),
		`SELECT group_concat(sql, ';' || char(10)) FROM (SELECT sql FROM sqlite_master ORDER BY type, name)`).Scan(&text)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestMigrationsAreLoggedOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	core, logs := observer.New(zap.InfoLevel)
	for range 2 {
		s, err := Open(t.Context(), path, zap.New(core))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(t.Context(), true); err != nil {
			t.Fatal(err)
		}
	}
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	if n := logs.FilterMessage("store migrated").Len(); n != len(files) {
		t.Errorf("logged %d times for %d migrations", n, len(files))
	}
}

func TestBrokenMigrationChangesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := mustOpen(t, path)
	if err := s.Close(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	before := schema(t, rawDB(t, path))

	c, err := connect(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	with := fstest.MapFS{"99999_broken.sql": {Data: []byte("-- +goose Up\nCREATE TABLE half (x TEXT);\n" +
		"DELETE FROM meta;\nINSERT INTO missing VALUES (1);\n")}}
	good, err := fs.Glob(c.Dialect.Migrations, "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range good {
		text, err := fs.ReadFile(c.Dialect.Migrations, name)
		if err != nil {
			t.Fatal(err)
		}
		with[name] = &fstest.MapFile{Data: text}
	}
	c.Dialect.Migrations = with
	unlocked := false
	c.Unlock, c.Log = func() error { unlocked = true; return nil }, zap.NewNop()
	if _, err := store.Open(t.Context(), c); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Fatalf("open = %v, want the broken statement", err)
	}
	if !unlocked {
		t.Error("the lock is still held")
	}
	if after := schema(t, rawDB(t, path)); after != before {
		t.Errorf("schema is now:\n%s", after)
	}
	st, err := mustOpen(t, path).Load(t.Context())
	if err != nil || !st.Clean {
		t.Errorf("load = %+v, %v; want it clean", st, err)
	}
}

// Each part of store.Open that can go wrong is an error and lets go of everything.
func TestUnusableSchemaIsAnError(t *testing.T) {
	for _, tc := range []struct{ name, spoil, want string }{
		{"no meta table", `DROP TABLE meta`, "meta"},
		{"no clean flag", `DELETE FROM meta`, "no rows"},
		{"no users table", `DROP TABLE users`, "users"},
		{"no way to mark", `CREATE TRIGGER t BEFORE UPDATE ON meta BEGIN SELECT RAISE(ABORT, 'not marked'); END`, "not marked"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store.db")
			if err := mustOpen(t, path).Close(t.Context(), true); err != nil {
				t.Fatal(err)
			}
			run(t, rawDB(t, path), tc.spoil)
			for range 2 { // ErrInUse would show a lock that was left behind
				if _, err := Open(context.Background(), path, zap.NewNop()); err == nil || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("open = %v, want something with %q", err, tc.want)
				}
			}
		})
	}
}

func TestFailedMarkAtCloseIsTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := mustOpen(t, path)
	run(t, rawDB(t, path), `CREATE TRIGGER t BEFORE UPDATE ON meta BEGIN SELECT RAISE(ABORT, 'not marked'); END`)
	if err := s.Close(t.Context(), true); err == nil || !strings.Contains(err.Error(), "not marked") {
		t.Errorf("close = %v", err)
	}
}

// SQLite undoes nothing by itself; a trigger stands in for the database that does.
func TestATransactionThatTheDatabaseHasUndoneIsTriedAgain(t *testing.T) {
	for _, tc := range []struct {
		name   string
		heals  int // at which failure
		failed int // failures that were asked about
		saved  bool
	}{
		{"at once", 1, 1, true},
		{"at last", 4, 4, true},
		{"never", 100, 4, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store.db")
			c, err := connect(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			db, failed := rawDB(t, path), 0
			c.Dialect.Undone = func(error) bool {
				if failed++; failed == tc.heals {
					run(t, db, `DROP TRIGGER t`)
				}
				return true
			}
			c.Unlock, c.Log = func() error { return nil }, zap.NewNop()
			s, err := store.Open(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close(t.Context(), false) }()
			run(t, db, `CREATE TRIGGER t BEFORE INSERT ON users BEGIN SELECT RAISE(ABORT, 'undone'); END`)
			err = s.Save(t.Context(), &store.Batch{
				History: []store.Entry{{User: "alice", Version: 1, At: presenceTime}}, Users: []store.User{{ID: "alice", Version: 1}},
			})
			entries, historyErr := s.History(t.Context(), store.Query{})
			if (err == nil) != tc.saved || (len(entries) == 1) != tc.saved || historyErr != nil {
				t.Errorf("save = %v, %d entries, %v", err, len(entries), historyErr)
			}
			if failed != tc.failed {
				t.Errorf("asked about %d failures, want %d", failed, tc.failed)
			}
		})
	}
}
