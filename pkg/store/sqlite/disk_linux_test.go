package sqlite

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/store/storetest"
)

// diskOf mounts a disk of that size.
func diskOf(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("needs a disk of its own (%v): run as root, or with `unshare -rm go test ./pkg/store/...`", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestFullDiskLosesNothingAndHeals(t *testing.T) {
	dir := diskOf(t, "1m")
	path := filepath.Join(dir, "store.db")
	s := mustOpen(t, path)
	if err := s.Save(t.Context(), userOfSize(1, 1000)); err != nil {
		t.Fatal(err)
	}
	for range 3 { // the connection survives each of them
		err := s.Save(t.Context(), userOfSize(2, 2<<20))
		if err == nil || !strings.Contains(err.Error(), "free some space") {
			t.Fatalf("save = %v, want a hint at the full disk", err)
		}
	}
	st, err := storetest.Load(t.Context(), s)
	if err != nil || len(st.Users) != 1 || st.Users[0].Version != 1 {
		t.Fatalf("load = %+v, %v", st, err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=16m"); err != nil {
		t.Fatal(err)
	}
	if err := s.Save(t.Context(), userOfSize(2, 2<<20)); err != nil {
		t.Errorf("save on a disk with space = %v", err)
	}
	if err := s.Close(t.Context(), true); err != nil {
		t.Error(err)
	}
}

func TestOpenOnAFullDiskSaysSo(t *testing.T) {
	dir := diskOf(t, "4k")
	write(t, filepath.Join(dir, "other"), strings.Repeat("x", 4096))
	_, err := Open(t.Context(), filepath.Join(dir, "store.db"), zap.NewNop())
	if err == nil || !strings.Contains(err.Error(), "full") {
		t.Errorf("open = %v, want a hint at the full disk", err)
	}
}

func TestReadOnlyFileSystemSaysSo(t *testing.T) {
	dir := diskOf(t, "1m")
	path := filepath.Join(dir, "store.db")
	s := mustOpen(t, path)
	if err := s.Close(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), path, zap.NewNop())
	if err == nil || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("open = %v, want a hint at the read-only file system", err)
	}
}
