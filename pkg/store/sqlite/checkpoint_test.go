package sqlite

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// The file alone, without its log, says what reached it.
func TestWhatWasSavedReachesTheFileByItself(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := mustOpen(t, path)
	defer func() { _ = s.Close(t.Context(), true) }()
	for version := uint64(1); version <= 3; version++ {
		if err := s.Save(t.Context(), crashBatch(version)); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(30 * time.Second); versionIn(t, path) != version; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("version %d is not in the file", version)
			}
		}
	}
}

// versionIn is the highest version in a copy of the file; 0: it has no table yet, or
// was copied while it was written.
func versionIn(t *testing.T, path string) (version uint64) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	alone := filepath.Join(t.TempDir(), "alone.db")
	write(t, alone, string(data))
	db := rawDB(t, alone)
	defer func() { _ = db.Close() }()
	_ = db.QueryRow(`SELECT coalesce(max(version), 0) FROM users`).Scan(&version)
	return version
}

func TestAClosedStoreLeavesNoLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := mustOpen(t, path)
	if err := s.Save(t.Context(), crashBatch(1)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path + "-wal"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the log is still there: %v", err)
	}
}

func TestALogThatCannotBeMovedIsToldOnce(t *testing.T) {
	core, logged := observer.New(zap.WarnLevel)
	c, err := startCheckpointer(filepath.Join(t.TempDir(), "missing", "store.db"), zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		c.saved()
		for len(c.news) > 0 { // it is at the next one
			time.Sleep(time.Millisecond)
		}
	}
	if err := c.close(); err != nil {
		t.Error(err)
	}
	if n := logged.Len(); n != 1 {
		t.Errorf("%d warnings: %v", n, logged.All())
	}
}
