package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// ErrFolder says that somebody may not replace files in a folder.
var ErrFolder = errors.New("its folder lets nobody replace it but others")

// Writer is a user of this machine, who may be another than the one who asks.
type Writer struct {
	User   uint32
	Groups []uint32
}

// MayReplace returns nil where w could Save a file, going by owners and modes: else
// ErrFolder, ErrNotKept, or why it is not known. Access lists and mounts are not looked at.
func (w Writer) MayReplace(path string) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	folder, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return err
	}
	file, err := os.Stat(path)
	if err != nil {
		return err
	}
	above, ok := folder.Sys().(*syscall.Stat_t)
	of, known := file.Sys().(*syscall.Stat_t)
	switch {
	case !ok || !known:
		return errors.ErrUnsupported
	case w.User == 0:
		return nil
	case !w.makesFiles(folder.Mode(), above), folder.Mode()&fs.ModeSticky != 0 && above.Uid != w.User && of.Uid != w.User:
		return ErrFolder
	case !slices.Contains(w.Groups, of.Gid) && (folder.Mode()&fs.ModeSetgid == 0 || above.Gid != of.Gid), of.Uid != w.User && needsOwner(file.Mode(), of.Uid):
		return ErrNotKept
	}
	return nil
}

func (w Writer) makesFiles(mode fs.FileMode, folder *syscall.Stat_t) bool {
	const writeAndSearch = 0o3
	mode = mode.Perm()
	switch {
	case folder.Uid == w.User:
		mode >>= 6
	case slices.Contains(w.Groups, folder.Gid):
		mode >>= 3
	}
	return mode&writeAndSearch == writeAndSearch
}
