package web

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// said is where texts for people stand: in pages, in scripts, and in what the bridge says
// of a decision, which the page shows in the reader's language.
var said = []struct{ files, pattern string }{
	{"templates/*.html", `\{\{t "([^"]+)"\}\}`},
	{"assets/*.js", `\bt\("([^"]+)"`},
	{"assets/*.js", `\bcount\([^"]*"([^"]+)", "[^"]+"\)`},
	{"assets/*.js", `\bcount\([^"]*"[^"]+", "([^"]+)"\)`},
	{"pages.go", `\{"[a-z]+", +"([^"]+)", [a-z]+\}`},
	{"pages.go", `(?:Title|Text): "([^"]+)"`},
	{"../signin/messages.go", `message\("[^"]+", "([^"]+)"`},
	{"../presence/*.go", `\bRule += "([^"]+)"`},
	{"../presence/decide.go", `^\t(?:Won|Lost)\w+ +(?:Rule)? = "([^"]+)"`},
}

// texts returns every text that people see, by where it was found.
func texts(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, s := range said {
		names, err := filepath.Glob(s.files)
		if err != nil {
			t.Fatal(err)
		}
		pattern, found := regexp.MustCompile("(?m)"+s.pattern), 0
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			source, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range pattern.FindAllStringSubmatch(string(source), -1) {
				all[m[1]] = name
				found++
			}
		}
		if found == 0 {
			t.Errorf("%s: nothing like %s: the pattern is of another time", s.files, s.pattern)
		}
	}
	for _, word := range words {
		all[word] = "words that the bridge sends"
	}
	return all
}

// words are sent by the bridge and shown as they are, or as scripts name them.
var words = []string{
	"connected", "absent", "busy", "in a call", "offline", "ringing", "on hold", "phone offline",
	"latest", "priority", "default", "echo", "repeat", "older", "left alone", "unmapped", "said", "reverted",
	"create", "modify", "delete",
}

var placeholder = regexp.MustCompile(`\{\w+\}`)

func TestEveryTextIsInEveryLanguage(t *testing.T) {
	all := texts(t)
	for _, lang := range Languages() {
		if lang == "en" {
			continue
		}
		m, err := messagesOf(lang)
		if err != nil {
			t.Fatal(err)
		}
		for english, where := range all {
			text, ok := m[english]
			if !ok {
				t.Errorf("%s: %q of %s is not translated", lang, english, where)
				continue
			}
			want, got := placeholder.FindAllString(english, -1), placeholder.FindAllString(text, -1)
			slices.Sort(want)
			slices.Sort(got)
			if !slices.Equal(want, got) {
				t.Errorf("%s: %q has %v, %q has %v", lang, english, want, text, got)
			}
		}
		for english := range m {
			if _, ok := all[english]; !ok {
				t.Errorf("%s: %q is said nowhere", lang, english)
			}
		}
	}
}

// A message twice in a file would be one by chance.
func TestNoMessageStandsTwice(t *testing.T) {
	err := fs.WalkDir(files, "messages", func(at string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := files.ReadFile(at)
		if err != nil {
			return err
		}
		dec := json.NewDecoder(strings.NewReader(string(text)))
		if _, err := dec.Token(); err != nil {
			return err
		}
		seen := map[string]bool{}
		for dec.More() {
			key, err := dec.Token()
			if err != nil {
				return err
			}
			if seen[key.(string)] {
				t.Errorf("%s: %q stands twice", at, key)
			}
			seen[key.(string)] = true
			if _, err := dec.Token(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
