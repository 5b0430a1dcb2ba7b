package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
)

// Version is what a file had when it was read.
type Version struct {
	Text []byte
	Tag  string // tells versions apart
}

// ErrChanged says that a file is another by now.
var ErrChanged = errors.New("the file was changed meanwhile")

// ErrNotKept says that the owner or the group of a file would be lost.
var ErrNotKept = errors.New("its owner and group cannot be kept")

// ErrNoBefore says that there is nothing that a file could go back to.
var ErrNoBefore = errors.New("there is nothing to undo: the file is not as the last change over the API left it")

// ReadVersion reads a file.
func ReadVersion(path string) (Version, error) {
	text, err := readFile(path)
	if err != nil {
		return Version{}, err
	}
	return Version{text, tagOf(text)}, nil
}

func tagOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:12])
}

// Before returns what a file had before Save made it this version.
func (v Version) Before(path string) (Version, error) {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return Version{}, err
	}
	before, err := ReadVersion(beforeOf(path, v.Tag))
	if errors.Is(err, fs.ErrNotExist) {
		err = ErrNoBefore
	}
	return before, err
}

// beforeOf is where the text is kept that a file had before it had the tag. With the
// tag in its name it belongs to no other version, by whomever that was made.
func beforeOf(path, tag string) string { return path + beforeMark + tag }

const (
	beforeMark = ".before-"
	newMark    = ".presencebridge-" // behind a dot and the name: a version that is not in its place yet
)

var tagPattern = regexp.MustCompile(`^[0-9a-f]{24}$`)

// Save puts a text in the place of a file that still is this version, whole or not at
// all, whatever happens meanwhile: ErrChanged if it is another. What it had is kept
// beside it for Before, in place of what was kept earlier. A link stays, and what it
// leads to is replaced. Mode, owner and group are those of the file, or ErrNotKept; where
// the owner cannot be kept and does not matter, it becomes the bridge's (needsOwner). What
// else a file may carry is lost.
func (v Version) Save(path string, text []byte) (Version, error) {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return Version{}, err
	}
	next := Version{text, tagOf(text)}
	if next.Tag == v.Tag {
		return next, v.unchanged(path)
	}
	before, err := stage(path, v.Text)
	if err != nil {
		return Version{}, err
	}
	defer func() { _ = os.Remove(before) }() // it has another name where all went well
	staged, err := stage(path, text)
	if err != nil {
		return Version{}, err
	}
	defer func() { _ = os.Remove(staged) }()
	if err := v.unchanged(path); err != nil {
		return Version{}, err
	}
	kept := beforeOf(path, next.Tag)
	if err := os.Rename(before, kept); err != nil {
		return Version{}, err
	}
	if err := os.Rename(staged, path); err != nil {
		return Version{}, errors.Join(err, os.Remove(kept))
	}
	tidy(path, kept)
	return next, syncFolder(path)
}

func (v Version) unchanged(path string) error {
	now, err := ReadVersion(path)
	if err == nil && now.Tag != v.Tag {
		err = ErrChanged
	}
	return err
}

// stage writes a text beside a file, as a file of the same mode and owner.
func stage(path string, text []byte) (name string, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+newMark+"*")
	if err != nil {
		return "", err
	}
	if err = errors.Join(fill(f, text, info), f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

func fill(f *os.File, text []byte, like os.FileInfo) error {
	if _, err := f.Write(text); err != nil {
		return err
	}
	now, err := f.Stat()
	if err != nil {
		return err
	}
	want, ok := like.Sys().(*syscall.Stat_t)
	is, known := now.Sys().(*syscall.Stat_t)
	if ok && known && want.Gid != is.Gid {
		if err := f.Chown(-1, int(want.Gid)); err != nil {
			return fmt.Errorf("%w: %w", ErrNotKept, err)
		}
	}
	if ok && known && want.Uid != is.Uid {
		if err := f.Chown(int(want.Uid), -1); err != nil && needsOwner(like.Mode(), want.Uid) {
			return fmt.Errorf("%w: %w", ErrNotKept, err)
		}
	}
	if err := f.Chmod(like.Mode().Perm()); err != nil {
		return err
	}
	return f.Sync()
}

// needsOwner tells whether somebody might be locked out of a file that gets another owner.
// root never is; and where the group may do what the owner may, the owner is one of many: an
// editor that replaces files makes its user the owner of one that belongs to a group.
func needsOwner(mode fs.FileMode, owner uint32) bool {
	mine, ours := mode.Perm()>>6, mode.Perm()>>3
	return owner != 0 && mine&^ours&0o6 != 0
}

// tidy removes what earlier changes, and those that were cut off, have left beside a
// file. What cannot be removed does no harm.
func tidy(path, kept string) {
	folder, base := filepath.Dir(path), filepath.Base(path)
	entries, _ := os.ReadDir(folder)
	for _, e := range entries {
		tag, earlier := strings.CutPrefix(e.Name(), base+beforeMark)
		earlier = earlier && tagPattern.MatchString(tag)
		if at := filepath.Join(folder, e.Name()); at != kept && (earlier || strings.HasPrefix(e.Name(), "."+base+newMark)) {
			_ = os.Remove(at)
		}
	}
}

// syncFolder makes a renaming last.
func syncFolder(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
