package main

import (
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestWhatTheThreatModelNamesIsThere keeps SECURITY.md honest: every test that it says
// shows something exists, and no row of it names none.
func TestWhatTheThreatModelNamesIsThere(t *testing.T) {
	root := filepath.Join("..", "..")
	there := make(map[string]bool)
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, "_test.go") {
			for _, found := range declared.FindAllStringSubmatch(readText(t, path), -1) {
				there[found[1]] = true
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	text := readText(t, filepath.Join(root, "SECURITY.md"))
	named := regexp.MustCompile("`((?:Test|Fuzz)\\w+)`")
	for _, found := range named.FindAllStringSubmatch(text, -1) {
		if !there[found[1]] {
			t.Errorf("SECURITY.md names %s, which is no test here", found[1])
		}
	}
	rows := 0
	for _, line := range strings.Split(text, "\n") {
		if strings.Count(line, "|") != 4 || strings.HasPrefix(line, "|---") || strings.HasPrefix(line, "| somebody could |") {
			continue
		}
		if rows++; !named.MatchString(line) {
			t.Errorf("nothing shows this row of SECURITY.md: %s", line)
		}
	}
	if rows < 30 {
		t.Errorf("%d rows of SECURITY.md were found", rows)
	}
}
