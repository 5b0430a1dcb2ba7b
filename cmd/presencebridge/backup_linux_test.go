package main

import (
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

// disk mounts one of that size at a folder that is there.
func disk(t *testing.T, dir, size string) {
	t.Helper()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("needs a disk of its own (%v): run as root, or with `unshare -rm go test ./cmd/presencebridge`", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
}

func TestABackupOnAFullDiskLeavesNothingBehind(t *testing.T) {
	r, dir := noPBX(t), t.TempDir()
	r.crowd(3000)
	disk(t, dir, "32k")
	r.says(exitFailed, "backup "+filepath.Join(dir, "b"), "the disk of "+filepath.Join(dir, "b")+" is full", "free some space")
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// The store is on a disk that has no room for what the backup has.
func TestARestoreOnAFullDiskChangesNothing(t *testing.T) {
	from, into := noPBX(t), noPBX(t)
	from.crowd(5000)
	big := filepath.Join(from.dir, "big")
	from.says(exitDone, "backup "+big)

	dir := filepath.Join(into.dir, "disk")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	disk(t, dir, "4m")
	into.crowd(1000)
	before := filepath.Join(into.dir, "before")
	into.says(exitDone, "backup "+before)
	into.write("presencebridge.yaml", "store: {dsn: disk/small.db}\npbx: [{name: main, ami: {address: \"127.0.0.1:5038\", username: u, secret_file: secret}}]\n")
	into.says(exitDone, "restore "+before, "3000 rows")
	want := rowsOf(t, before)

	into.says(exitFailed, "restore --replace "+big, "the disk is full", "free some space")
	after := filepath.Join(into.dir, "after")
	into.says(exitDone, "backup "+after)
	if !slices.Equal(rowsOf(t, after), want) {
		t.Error("the store has changed")
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=64m"); err != nil {
		t.Fatal(err)
	}
	into.says(exitDone, "restore --replace "+big, "15000 rows")
}
