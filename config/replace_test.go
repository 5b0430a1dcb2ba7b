package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestWhoMayReplaceAFile(t *testing.T) {
	me, ours := uint32(os.Getuid()), uint32(os.Getgid())
	if me == 0 {
		// Files that are not root's, to whom nothing applies.
		me, ours = 4711, 4712
	}
	const other = 4713
	inGroup := Writer{other, []uint32{ours}}
	for _, tc := range []struct {
		name         string
		folder, file fs.FileMode
		who          Writer
		want         error
	}{
		{"the owner of both", 0o700, 0o600, Writer{User: me, Groups: []uint32{ours}}, nil},
		{"root", 0o700, 0, Writer{}, nil},
		{"one of the group", 0o770, 0o660, inGroup, nil},
		{"a folder that only its owner changes", 0o750, 0o660, inGroup, ErrFolder},
		{"a folder that cannot be searched", 0o760, 0o660, inGroup, ErrFolder},
		{"a sticky folder", 0o770 | fs.ModeSticky, 0o660, inGroup, ErrFolder},
		{"a sticky folder of one's own", 0o700 | fs.ModeSticky, 0o600, Writer{User: me, Groups: []uint32{ours}}, nil},
		{"rights of the owner that would be lost", 0o770, 0o640, inGroup, ErrNotKept},
		{"a group whose folder gives it", 0o777 | fs.ModeSetgid, 0o660, Writer{User: other}, nil},
		{"a group that would be lost", 0o777, 0o660, Writer{User: other}, ErrNotKept},
		{"a stranger", 0o770, 0o666, Writer{User: other}, ErrFolder},
	} {
		t.Run(tc.name, func(t *testing.T) {
			folder := filepath.Join(t.TempDir(), "folder")
			path := filepath.Join(folder, "mapping.yaml")
			if err := os.Mkdir(folder, 0o700); err != nil {
				t.Fatal(err)
			}
			write(t, path, "one")
			if os.Getuid() == 0 {
				if err := errors.Join(os.Chown(path, int(me), int(ours)), os.Chown(folder, int(me), int(ours))); err != nil {
					t.Fatal(err)
				}
			}
			if err := errors.Join(os.Chmod(path, tc.file), os.Chmod(folder, tc.folder)); err != nil {
				t.Fatal(err)
			}
			if err := tc.who.MayReplace(path); !errors.Is(err, tc.want) {
				t.Errorf("it says %v, want %v", err, tc.want)
			}
		})
	}
	if err := inGroup.MayReplace("/nowhere/mapping.yaml"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of a file that is gone: %v", err)
	}
}

func TestOnlyAnOwnerWithRightsOfTheirOwnIsNeeded(t *testing.T) {
	for mode, want := range map[fs.FileMode]bool{0o660: false, 0o664: false, 0o640: true, 0o644: true, 0o600: true, 0o440: false, 0o460: false} {
		if got := needsOwner(mode, 1000); got != want {
			t.Errorf("%o: %v, want %v", mode, got, want)
		}
		if needsOwner(mode, 0) {
			t.Errorf("%o: root is needed", mode)
		}
	}
}
