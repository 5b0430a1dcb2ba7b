package web

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
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
	{"../signin/messages.go", `sentence\("[^"]+", "([^"]+)"`},
	{"../presence/*.go", `\bRule += "([^"]+)"`},
	{"../../cmd/presencebridge/mappingrules.go", `\{"(status type \w+)", p\.changes`},
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
	"create", "modify", "delete", "the store cannot be written",
}

// codes returns the names of all sentences of the bridge that pages tell in the reader's
// language, each with the names of what stands in it. What they say in English stands
// beside them in the code.
func codes(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	look := func(call *ast.CallExpr, at token.Position) {
		var said []string
		for i, arg := range call.Args {
			if i > 0 && i%2 == 0 {
				continue // a value
			}
			literal, ok := arg.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				t.Errorf("%s: a code and its names have to be written out, to be found", at)
				return
			}
			text, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			said = append(said, text)
		}
		code, names := said[0], said[1:]
		slices.Sort(names)
		if before, ok := all[code]; ok && !slices.Equal(before, names) {
			t.Errorf("%s: %s has %v elsewhere, and %v here", at, code, before, names)
		}
		all[code] = names
	}
	for _, root := range []string{"../../config", "../../pkg", "../../cmd"} {
		err := filepath.WalkDir(root, func(at string, d fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(at, ".go") || strings.HasSuffix(at, "_test.go") || strings.HasSuffix(filepath.Dir(at), "test") {
				return err
			}
			set := token.NewFileSet()
			file, err := parser.ParseFile(set, at, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok {
					if f, ok := call.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "As" && len(call.Args) > 0 {
						if of, ok := f.X.(*ast.Ident); ok && of.Name == "message" {
							look(call, set.Position(call.Pos()))
						}
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(all) < 50 {
		t.Errorf("%d codes: they are looked for in the wrong place", len(all))
	}
	return all
}

// ofPBX begins the codes of what is wrong with a PBX, whose error the connector adds.
const ofPBX = "pbx."

// translations are the messages of every language but English, which the texts are in.
func translations(t *testing.T) map[string]messages {
	t.Helper()
	all := make(map[string]messages)
	for _, lang := range Languages() {
		if lang == "en" {
			continue
		}
		m, err := messagesOf(lang)
		if err != nil {
			t.Fatal(err)
		}
		all[lang] = m
	}
	return all
}

// A sentence of the bridge without a translation shows in English, on a page that is not.
func TestEverySentenceOfTheBridgeIsInEveryLanguage(t *testing.T) {
	all := codes(t)
	for lang, m := range translations(t) {
		for code, names := range all {
			text, ok := m[code]
			if !ok {
				t.Errorf("%s: %s is not translated", lang, code)
				continue
			}
			var got []string
			for _, p := range placeholder.FindAllString(text, -1) {
				if name := strings.Trim(p, "{}"); !slices.Contains(got, name) && (name != "error" || !strings.HasPrefix(code, ofPBX)) {
					got = append(got, name)
				}
			}
			if slices.Sort(got); !slices.Equal(got, names) {
				t.Errorf("%s: %s has %v, and is given %v", lang, code, got, names)
			}
		}
	}
}

var placeholder = regexp.MustCompile(`\{\w+\}`)

func TestEveryTextIsInEveryLanguage(t *testing.T) {
	all, coded := texts(t), codes(t)
	for lang, m := range translations(t) {
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
			_, ok := all[english]
			if _, code := coded[english]; !ok && !code {
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
