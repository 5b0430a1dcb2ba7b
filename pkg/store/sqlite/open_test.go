package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
)

func mustOpen(t *testing.T, path string) *store.SQL {
	t.Helper()
	s, err := Open(t.Context(), path, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(context.Background(), false) })
	return s
}

// rawDB is a connection that knows nothing of us.
func rawDB(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", dsn(path, nil))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func run(t *testing.T, db *sql.DB, statements string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statements); err != nil {
		t.Fatalf("%s: %v", statements, err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestOpenSaysWhatToDo(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), "")
	write(t, filepath.Join(dir, "text.db"), strings.Repeat("not a database, whatever its name. ", 200))
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("loop.db", filepath.Join(dir, "loop.db")); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ name, path, want string }{
		{"missing folder", filepath.Join(dir, "missing", "x.db"), "mkdir -p " + filepath.Join(dir, "missing")},
		{"folder", filepath.Join(dir, "folder"), "name a file in it"},
		{"below a file", filepath.Join(dir, "file", "x.db"), "file where a folder is needed"},
		{"not a database", filepath.Join(dir, "text.db"), "not a SQLite database: move it away"},
		{"link to itself", filepath.Join(dir, "loop.db"), "correct store.dsn"},
		{"name too long", filepath.Join(dir, strings.Repeat("x", 300)), "correct store.dsn"},
		{"no path", "", "must be the path of a file"},
		{"memory", ":memory:", "must be the path of a file"},
		{"uri", "file:x.db?mode=ro", "must be the path of a file"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Open(t.Context(), tc.path, zap.NewNop())
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("open = %v, want something with %q", err, tc.want)
			}
			if err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %v", err)
			}
		})
	}
}

func TestPathErrorsHaveHints(t *testing.T) {
	for errno, want := range map[syscall.Errno]string{
		syscall.EACCES: "chown -R presencebridge: /var/lib/pb",
		syscall.EROFS:  "ReadWritePaths=",
		syscall.ENOSPC: "free some space",
	} {
		err := pathError("/var/lib/pb/x.db", &fs.PathError{Op: "open", Path: "/var/lib/pb/x.db", Err: errno})
		if !strings.Contains(err.Error(), want) || !errors.Is(err, errno) {
			t.Errorf("%v, want something with %q", err, want)
		}
	}
}

func TestAnotherProgramsDatabaseIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "astdb.sqlite3")
	db := rawDB(t, path)
	run(t, db, `CREATE TABLE astdb (key TEXT, value TEXT); INSERT INTO astdb VALUES ('/CustomPresence/1001', 'away')`)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	before := read(t, path)
	_, err := Open(t.Context(), path, zap.NewNop())
	if err == nil || !strings.Contains(err.Error(), "database of another program") {
		t.Errorf("open = %v", err)
	}
	if !bytes.Equal(read(t, path), before) {
		t.Error("the file has changed")
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestNewerStoreIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := mustOpen(t, path)
	if err := s.Close(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	db := rawDB(t, path)
	run(t, db, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, 1)`)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	before := read(t, path)
	_, err := Open(t.Context(), path, zap.NewNop())
	if !errors.Is(err, store.ErrNewer) || !strings.Contains(err.Error(), "schema is 999") {
		t.Errorf("open = %v, want ErrNewer", err)
	}
	if !bytes.Equal(read(t, path), before) {
		t.Error("the file has changed")
	}
}

func TestOthersMayNotRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := mustOpen(t, path)
	if err := s.Save(t.Context(), &store.Batch{PBXs: []store.PBX{{Name: "main"}}}); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", "-wal", "-shm", ".lock"} {
		info, err := os.Stat(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode().Perm(); mode&^fileMode != 0 {
			t.Errorf("store.db%s has mode %o", suffix, mode)
		}
	}
}

func TestEveryPathToAFileMeetsTheSameLock(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "store.db")
	mustOpen(t, path)
	link, folder := filepath.Join(dir, "link.db"), filepath.Join(dir, "folder")
	if err := errors.Join(os.Symlink("store.db", link), os.Symlink(".", folder)); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	for _, other := range []string{link, filepath.Join(folder, "store.db"), "store.db", "./folder/link.db"} {
		if _, err := Open(t.Context(), other, zap.NewNop()); !errors.Is(err, store.ErrInUse) {
			t.Errorf("open %s = %v, want ErrInUse", other, err)
		}
	}
}

func TestLockFileStaysAfterClose(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := mustOpen(t, path)
	if err := s.Close(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path + ".lock"); err != nil {
		t.Error(err)
	}
}

func TestOpenHonoursItsContextAndLetsGo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, path, zap.NewNop()); !errors.Is(err, context.Canceled) {
		t.Errorf("open = %v, want context.Canceled", err)
	}
	mustOpen(t, path)
}

func TestDamagedRowsAreErrors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := mustOpen(t, path)
	b := store.Batch{
		History: []store.Entry{{User: "alice", Version: 1, At: presenceTime}},
		PBXs:    []store.PBX{{Name: "main"}},
		Users:   []store.User{{ID: "alice", Version: 1}},
	}
	if err := s.Save(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	db := rawDB(t, path)
	run(t, db, `UPDATE history SET at = 'noon'; UPDATE pbxs SET heard = 'noon'`)
	if _, err := s.History(t.Context(), store.Query{User: presence.UserID("alice")}); err == nil {
		t.Error("history says nothing")
	}
	if _, err := s.Load(t.Context()); err == nil || !strings.Contains(err.Error(), "pbxs") {
		t.Errorf("load = %v", err)
	}
	run(t, db, `UPDATE users SET version = -1`)
	for u, err := range s.Users(t.Context()) {
		if err == nil || !strings.Contains(err.Error(), "users") {
			t.Errorf("users = %+v, %v", u, err)
		}
	}
}

func TestAReaderSaysWhatToDo(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "empty.db"), "")
	write(t, filepath.Join(dir, "text.db"), strings.Repeat("not a database, whatever its name. ", 200))
	if err := mustOpen(t, filepath.Join(dir, "newer.db")).Close(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	run(t, rawDB(t, filepath.Join(dir, "newer.db")), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, 1)`)
	for _, tc := range []struct{ path, want string }{
		{"missing.db", "start the bridge, which makes it"},
		{"empty.db", "there is no store in it"},
		{"text.db", "not a SQLite database: move it away"},
		{"newer.db", "its schema is 999"},
	} {
		r, err := OpenReader(filepath.Join(dir, tc.path))
		if err == nil {
			_, err = r.Backup(t.Context(), io.Discard, presenceTime, nil)
			_ = r.Close()
		}
		if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want something with %q", tc.path, err, tc.want)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "missing.db")); err == nil {
		t.Error("a reader made a store")
	}
	err := explainReading("x.db", readOnlyError(t, filepath.Join(dir, "newer.db")))
	if !strings.Contains(err.Error(), "run this as the user of the bridge") {
		t.Errorf("who may not write is told: %v", err)
	}
}

// readOnlyError is what SQLite says to who may not write.
func readOnlyError(t *testing.T, path string) error {
	t.Helper()
	db, err := sql.Open("sqlite", dsn(path, map[string][]string{"mode": {"ro"}}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	_, err = db.ExecContext(t.Context(), `DELETE FROM users`)
	return err
}
