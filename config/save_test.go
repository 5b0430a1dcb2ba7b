package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// filesOf lists the files of a folder.
func filesOf(t *testing.T, folder string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func version(t *testing.T, path string) Version {
	t.Helper()
	v, err := ReadVersion(path)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestAFileIsReplacedAndGoesBack(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "mapping.yaml")
	write(t, path, "one")
	write(t, path+".before-meeting", "somebody's own")
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	one := version(t, path)
	if _, err := one.Before(path); !errors.Is(err, ErrNoBefore) {
		t.Errorf("before anything was saved: %v", err)
	}
	two, err := one.Save(path, []byte("two"))
	if err != nil || read(t, path) != "two" || version(t, path).Tag != two.Tag {
		t.Fatalf("%v, the file has %q", err, read(t, path))
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v", info.Mode())
	}
	three, err := two.Save(path, []byte("three"))
	if err != nil {
		t.Fatal(err)
	}
	before, err := three.Before(path)
	if err != nil || string(before.Text) != "two" {
		t.Fatalf("before three: %q %v", before.Text, err)
	}
	back, err := three.Save(path, before.Text) // undo
	if err != nil || read(t, path) != "two" {
		t.Fatalf("undone: %v", err)
	}
	if again, err := back.Before(path); err != nil || string(again.Text) != "three" { // and undo that
		t.Errorf("before the undoing: %q %v", again.Text, err)
	}
	if got, want := filesOf(t, dir), []string{"mapping.yaml", "mapping.yaml.before-" + back.Tag, "mapping.yaml.before-meeting"}; !slices.Equal(got, want) {
		t.Errorf("files %v, want %v", got, want)
	}
}

func TestAFileThatSomebodyChangedIsNotReplaced(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "mapping.yaml")
	write(t, path, "one")
	one := version(t, path)
	two, err := one.Save(path, []byte("two"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, "by hand")
	if _, err := two.Save(path, []byte("three")); !errors.Is(err, ErrChanged) || read(t, path) != "by hand" {
		t.Errorf("%v, the file has %q", err, read(t, path))
	}
	if _, err := version(t, path).Before(path); !errors.Is(err, ErrNoBefore) { // an undo would take what was done by hand
		t.Errorf("before the change by hand: %v", err)
	}
	if got := filesOf(t, dir); len(got) != 2 {
		t.Errorf("left behind: %v", got)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := two.Save(path, []byte("three")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of a file that is gone: %v", err)
	}
}

func TestWhatALinkLeadsToIsReplaced(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "there", "real.yaml"), filepath.Join(dir, "mapping.yaml")
	if err := errors.Join(os.Mkdir(filepath.Dir(path), 0o700), os.Symlink("there/real.yaml", link)); err != nil {
		t.Fatal(err)
	}
	write(t, path, "one")
	two, err := version(t, link).Save(link, []byte("two"))
	if err != nil || read(t, path) != "two" {
		t.Fatalf("%v, the file has %q", err, read(t, path))
	}
	if target, err := os.Readlink(link); err != nil || target != "there/real.yaml" {
		t.Errorf("the link leads to %q: %v", target, err)
	}
	if before, err := two.Before(link); err != nil || string(before.Text) != "one" {
		t.Errorf("before: %q %v", before.Text, err)
	}
	if got := filesOf(t, dir); len(got) != 2 {
		t.Errorf("beside the link: %v", got)
	}
}

// TestACrashLeavesTheFileOrItsNextVersion stops after each step of Save, as a power cut would.
func TestACrashLeavesTheFileOrItsNextVersion(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "mapping.yaml")
	write(t, path, "one")
	one := version(t, path)
	staged, err := stage(path, []byte("half"))
	if err != nil {
		t.Fatal(err)
	}
	if read(t, path) != "one" {
		t.Error("a version that is not in its place yet shows")
	}
	if err := os.Rename(staged, beforeOf(path, tagOf([]byte("half")))); err != nil { // the last step before the file itself
		t.Fatal(err)
	}
	if _, err := stage(path, []byte("half")); err != nil {
		t.Fatal(err)
	}
	if _, err := version(t, path).Before(path); read(t, path) != "one" || !errors.Is(err, ErrNoBefore) {
		t.Errorf("the file has %q, and before: %v", read(t, path), err)
	}
	two, err := one.Save(path, []byte("two"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := filesOf(t, dir), []string{"mapping.yaml", "mapping.yaml.before-" + two.Tag}; !slices.Equal(got, want) {
		t.Errorf("left behind: %v, want %v", got, want)
	}
}

func TestAFileThatCannotBeReplacedStaysWhatItIs(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, strings.Repeat("m", 250)) // which leaves no room for another beside it
	write(t, path, "one")
	if _, err := version(t, path).Save(path, []byte("two")); !errors.Is(err, syscall.ENAMETOOLONG) || read(t, path) != "one" {
		t.Errorf("%v, the file has %q", err, read(t, path))
	}
	if got := filesOf(t, dir); len(got) != 1 {
		t.Errorf("left behind: %v", got)
	}
}
