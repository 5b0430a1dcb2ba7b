package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/presencebridge/presencebridge/pkg/store"
)

// fileMode of a new file, less the umask. SQLite gives the files beside it (-wal, -shm) the same, so
// that a panel in the bridge's group can read.
const fileMode = 0o640

// resolve returns the one name that every path to the file leads to, so that two
// bridges meet at one lock.
func resolve(path string) (string, error) {
	if path == "" || path == ":memory:" || strings.HasPrefix(path, "file:") {
		return "", fmt.Errorf("store.dsn is %q, and for sqlite it must be the path of a file, without file: and options", path)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	whole, err := filepath.EvalSymlinks(path)
	if err == nil {
		return whole, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", pathError(path, err)
	}
	folder, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return "", pathError(path, err)
	}
	return filepath.Join(folder, filepath.Base(path)), nil
}

// create makes the file if it is not there, since SQLite would let everybody read it.
func create(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return pathError(path, err)
	}
	return f.Close()
}

// lock takes the lock that tells bridges apart. The kernel frees it when this
// process ends, however it ends. The file stays: who deletes it takes it from
// under a bridge that has just opened it.
func lock(path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, pathError(path, err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return f.Close, nil
	}
	_ = f.Close() // nothing was written
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("%w: stop that one, or give this one a store.dsn of its own (%s is locked)", store.ErrInUse, path)
	}
	return nil, fmt.Errorf("%s cannot be locked: move the store to a local disk: %w", path, err)
}

// pathError says what to do about a file that cannot be opened.
func pathError(path string, err error) error {
	folder := filepath.Dir(path)
	var hint string
	switch {
	case errors.Is(err, fs.ErrNotExist):
		hint = fmt.Sprintf("its folder is missing: make it for the user that runs presencebridge (mkdir -p %s; chown presencebridge: %s)", folder, folder)
	case errors.Is(err, fs.ErrPermission):
		hint = fmt.Sprintf("let the user that runs presencebridge write it and its folder (chown -R presencebridge: %s)", folder)
	case errors.Is(err, syscall.EROFS):
		hint = "its file system is read-only: mount it writable, or add the folder to ReadWritePaths= of the unit"
	case errors.Is(err, syscall.ENOTDIR):
		hint = "a part of this path is a file where a folder is needed: correct store.dsn"
	case errors.Is(err, syscall.EISDIR):
		hint = "this is a folder: name a file in it in store.dsn"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		hint = "its disk is full: free some space"
	default:
		hint = "correct store.dsn"
	}
	return fmt.Errorf("store %s cannot be opened: %s: %w", path, hint, err)
}
