package config

import (
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/presencebridge/presencebridge/pkg/presence"
)

var firstID = regexp.MustCompile(`"id":"?([^",}]*)`)

// definitions gives JSON texts by the ids that stand in them.
func definitions(texts ...string) iter.Seq2[Definition, error] {
	return func(yield func(Definition, error) bool) {
		for _, text := range texts {
			id := presence.UserID("")
			if m := firstID.FindStringSubmatch(text); m != nil {
				id = presence.UserID(m[1])
			}
			if !yield(Definition{ID: id, JSON: text}, nil) {
				return
			}
		}
	}
}

// stored loads a mapping whose users are in the store.
func stored(t *testing.T, texts ...string) (*presence.Mapping, Faults) {
	t.Helper()
	m, faults, err := mustLoad(t, Overrides{}).Stored.Mapping(definitions(texts...))
	if err != nil {
		t.Fatal(err)
	}
	return m, faults
}

// fileUsers are the users of the working directory's mapping as JSON.
func fileUsers(t *testing.T) (texts []string) {
	t.Helper()
	users, faults := FileUsers("mapping.yaml")
	for _, u := range users {
		texts = append(texts, u.JSON)
	}
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	return texts
}

var (
	userPath  = regexp.MustCompile(`^users\[[^]]*\]\.?`)
	lineWords = regexp.MustCompile(`,?( first)? in line \d+`)
)

// said is what a fault says, without where.
func said(f Fault) string {
	what := strings.Replace(lineWords.ReplaceAllString(f.What, ""), "line ", "another place", 1)
	return fmt.Sprintln(f.Warning, userPath.ReplaceAllString(f.Path, ""), regexp.MustCompile(`place\d+`).ReplaceAllString(what, "place"), f.Do)
}

// TestUsersFromTheStoreHaveTheFaultsOfTheFile moves the users of every bad mapping
// into the store.
func TestUsersFromTheStoreHaveTheFaultsOfTheFile(t *testing.T) {
	files, err := filepath.Glob(testdata + "/mapping-*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text := read(t, file)
			var all struct{ Users yaml.Node }
			if yaml.Unmarshal([]byte(text), &all) != nil || all.Users.Kind != yaml.SequenceNode || strings.Contains(text, "&") || strings.Contains(text, "Null") {
				return // nothing that JSON could hold, or say otherwise
			}
			folder(t)
			write(t, "mapping.yaml", text)
			users, faults := FileUsers("mapping.yaml")
			if len(faults) > 0 {
				return // the file as a whole is wrong
			}
			_, faults = Load("presencebridge.yaml", Overrides{})
			var want []string
			for _, f := range faults {
				if userPath.MatchString(f.Path) {
					want = append(want, said(f))
				}
			}
			before, _, _ := strings.Cut("\n"+text, "\nusers:")
			write(t, "mapping.yaml", before+"\nusers: {from: store}\n")
			cfg, _ := Load("presencebridge.yaml", Overrides{})
			if cfg == nil {
				return // the users are not what is wrong
			}
			var got []string
			var texts []string
			for _, u := range users {
				texts = append(texts, u.JSON)
			}
			m, faults, err := cfg.Stored.Mapping(definitions(texts...))
			if err != nil || (m == nil) != (len(faults.Errors()) > 0) {
				t.Errorf("mapping %v with %v, %v", m, faults, err)
			}
			for _, f := range faults {
				got = append(got, said(f))
				if !strings.HasPrefix(f.String(), `user "`) || f.Line != 0 {
					t.Errorf("it does not name the user: %s", f)
				}
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("users %v: faults\n%v\nand in the file\n%v", texts, got, want)
			}
			seen[fmt.Sprint(want)] = true
		})
	}
	if len(seen) < 12 {
		t.Errorf("only %d different faults were compared", len(seen))
	}
}

func TestUsersOfTheStoreAreThoseOfTheFile(t *testing.T) {
	mapping := read(t, "mapping.yaml") // the sample
	folder(t)
	write(t, "mapping.yaml", mapping)
	want := mustLoad(t, Overrides{})
	texts := fileUsers(t)
	if len(texts) < 2 {
		t.Fatal(texts)
	}
	before, _, _ := strings.Cut(mapping, "\nusers:")
	write(t, "mapping.yaml", before+"\nusers: {from: store}\n")
	cfg := mustLoad(t, Overrides{})
	if want.Stored != nil || cfg.Stored == nil || len(cfg.Mapping.Users) > 0 || len(cfg.Mapping.Types.List()) != len(want.Mapping.Types.List()) {
		t.Fatalf("stored %v and %v, mapping %+v", want.Stored, cfg.Stored, cfg.Mapping)
	}
	for range 2 { // nothing is left over from the first time
		m, faults := stored(t, texts...)
		if m == nil {
			t.Fatal(faults)
		}
		for i, u := range m.Users {
			w := want.Mapping.Users[i]
			if u.ID != w.ID || u.Name != w.Name || u.Email != w.Email || u.Rules.Default != w.Rules.Default || !slices.Equal(u.Rules.Extensions, w.Rules.Extensions) ||
				u.Rules.Incoming != w.Rules.Incoming || u.Rules.Outgoing != w.Rules.Outgoing || u.Rules.Sync != w.Rules.Sync {
				t.Errorf("%+v %+v, want %+v %+v", u, u.Rules, w, w.Rules)
			}
		}
	}
}

func TestADefinitionThatIsNoneIsAFault(t *testing.T) {
	folder(t)
	write(t, "mapping.yaml", statuses+"users: {from: store}")
	cfg := mustLoad(t, Overrides{})
	deep := strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000)
	for _, tc := range []struct{ name, json, want string }{
		{"nothing", ``, `user "a": the definition is not a JSON object`},
		{"a list", `[]`, `user "a": the definition is not a JSON object`},
		{"null", `null`, `user "a": the definition is not a JSON object`},
		{"YAML", `{id: a}`, `user "a": the definition is not a JSON object`},
		{"two", `{"id":"a"}{}`, `user "a": the definition is not a JSON object`},
		{"deep nesting", `{"id":"a","tags":` + deep + `}`, `user "a": the definition is not a JSON object`},
		{"too long", `{"id":"a","name":"` + strings.Repeat("x", MaxDefinition) + `"}`, `user "a": the definition is too long: write at most 64 KiB`},
		{"somebody else's", `{"id":"b","extensions":["1"]}`, `user "a": id: "b" is the id of somebody else`},
		{"a key twice", `{"id":"a","extensions":["1"],"id":"a"}`, `user "a": id: the key stands twice: remove one of them`},
		{"a surrogate by halves", `{"id":"\ud83d"}`, `user "a": id: `},
		{"a number as it was written", `{"id":"a","extensions":[1001, "1e3", 1e3]}`, `user "a": extensions[2]: main/1e3 belongs to "a" already`},
		{"an escaped NUL", `{"id":"a","name":"\u0000"}`, `user "a": name: is no name that fits a line`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m, faults, err := cfg.Stored.Mapping(func(yield func(Definition, error) bool) {
				yield(Definition{ID: "a", JSON: tc.json}, nil)
			})
			if m != nil || err != nil || len(faults.Errors()) == 0 || !strings.HasPrefix(faults[0].String(), tc.want) {
				t.Errorf("mapping %v, faults %v, %v; want %s", m, faults, err, tc.want)
			}
		})
	}
}

func TestUsersOfAFileAreReadAsTheyStand(t *testing.T) {
	folder(t)
	write(t, "mapping.yaml", `users:
  - {id: 007, name: "yes", sync: false, email: ~, extensions: [0123, {pbx: main, extension: "1"}]}

  - {id: true, true: x, tags: []}
  - nobody
`)
	users, faults := FileUsers("mapping.yaml")
	want := []Definition{
		{ID: "007", JSON: `{"id":"007","name":"yes","sync":false,"email":null,"extensions":["0123",{"pbx":"main","extension":"1"}]}`, Line: 2},
		{ID: "true", JSON: `{"id":true,"true":"x","tags":[]}`, Line: 4},
		{JSON: `"nobody"`, Line: 5},
	}
	if len(faults) > 0 || !slices.Equal(users, want) {
		t.Errorf("%+v, %v", users, faults)
	}
	for text, want := range map[string]string{
		"":                       "mapping.yaml: the file is empty: start from the sample that is shipped with the bridge",
		"statuses: []":           "mapping.yaml: users: the file has no list of users: name a mapping.yaml that has one",
		"users: {from: store}":   "mapping.yaml:1: users: this is a block of settings, where a list is expected: see the sample file for how it is written",
		"users: [&a {id: x}]":    "mapping.yaml:1: users[x]: anchors (&name) and aliases (*name) are not used here: write the value out, or put it in quotes if it begins with & or *",
		"users: [{id: !x y}]":    "mapping.yaml:1: users[y]: tags (!name) are not used here: remove it, or put the value in quotes if it begins with !",
		"users: [{id: a, <<: b}": "mapping.yaml:1: not valid YAML (did not find expected ',' or ']'): look at the indentation, colons and quotes of this line and the one above",
	} {
		write(t, "mapping.yaml", text)
		if _, faults := FileUsers("mapping.yaml"); len(faults) == 0 || faults[0].String() != want {
			t.Errorf("%s:\n%v, want\n%s", text, faults, want)
		}
	}
}

func TestAStoreThatCannotBeReadIsAnError(t *testing.T) {
	folder(t)
	write(t, "mapping.yaml", statuses+"users: {from: store}")
	torn := errors.New("the cable is out")
	m, _, err := mustLoad(t, Overrides{}).Stored.Mapping(func(yield func(Definition, error) bool) {
		_ = yield(Definition{ID: "a", JSON: `{"id":"a"}`}, nil) && yield(Definition{}, torn)
	})
	if m != nil || !errors.Is(err, torn) {
		t.Errorf("mapping %v, %v", m, err)
	}
}

func TestFaultsOfAnImportTellTheLine(t *testing.T) {
	folder(t)
	write(t, "mapping.yaml", statuses+"users: {from: store}")
	_, faults, _ := mustLoad(t, Overrides{}).Stored.Mapping(func(yield func(Definition, error) bool) {
		_ = yield(Definition{ID: "a", JSON: `{"id":"a","extensions":["1"]}`, Line: 2}, nil) &&
			yield(Definition{ID: "b", JSON: `{"id":"b","extensions":["1"]}`, Line: 7}, nil)
	})
	want := `user "b":7: extensions[0]: main/1 belongs to "a" already, in line 2: remove it in one of the two places: an extension is one user's, and named once`
	if len(faults) != 1 || faults[0].String() != want {
		t.Errorf("faults %v, want %s", faults, want)
	}
}

func TestLabelsAreSharedAndPlain(t *testing.T) {
	folder(t)
	write(t, "mapping.yaml", statuses+`users:
  - {id: a, extensions: [1], tags: [vip, Düsseldorf], groups: [sales]}
  - {id: b, extensions: [2], tags: [vip, Düsseldorf], groups: [sales]}
  - {id: c, extensions: [3], tags: []}
`)
	users := mustLoad(t, Overrides{}).Mapping.Users
	if l := users[0].Labels; l != users[1].Labels || !slices.Equal(l.Tags, []string{"vip", "Düsseldorf"}) || !slices.Equal(l.Groups, []string{"sales"}) || users[2].Labels != nil {
		t.Errorf("labels %+v %+v %+v", users[0].Labels, users[1].Labels, users[2].Labels)
	}
}

// BenchmarkStored reads users as the bridge does at its start: -benchtime=1x.
func BenchmarkStored(b *testing.B) {
	const users = 100_000
	cfg := &Config{}
	doc := &document{}
	root := doc.parse([]byte(statuses + "users: {from: store}"))
	_, cfg.Stored, _ = compile(root, []PBX{{Name: "main", Presentity: defaultPresentity}})
	texts := make([]string, users)
	for i := range texts {
		texts[i] = fmt.Sprintf(`{"id":"user%d","name":"User Number %d","email":"user%d@example.com","extensions":["%d","%d"]}`, i, i, i, 100000+i, 300000+i)
	}
	for b.Loop() {
		if m, faults, err := cfg.Stored.Mapping(definitions(texts...)); m == nil || err != nil {
			b.Fatal(faults, err)
		}
	}
}

// FuzzDefinition has a mapping made of any text: it is whole, or there is a fault.
func FuzzDefinition(f *testing.F) {
	doc := &document{}
	_, from, _ := compile(doc.parse([]byte(statuses+"users: {from: store}")), []PBX{{Name: "main", Presentity: defaultPresentity}})
	for _, text := range []string{
		`{"id":"a","extensions":["1",{"pbx":"main","extension":2}],"default_extension":2,"priority":["dnd"],"sync":false,"tags":["x"]}`,
		`{"id":"a","id":"a"}`, `{"id":null,"name":{},"extensions":{}}`, `{"extensions":[[[]]]}`, `{"":0}`, `[`, `{"id":"a","email":"\ud83d\ude00@"}`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, faults, err := from.Mapping(definitions(text, text))
		if err != nil || (m == nil) != (len(faults.Errors()) > 0) || m != nil && len(m.Users) != 2 {
			t.Errorf("mapping %v, faults %v, %v", m, faults, err)
		}
		for _, fault := range faults {
			if strings.ContainsAny(fault.String(), "\n\x00\x1b") {
				t.Errorf("a fault of several lines: %q", fault)
			}
		}
	})
}

func TestDefinitionsThatSayTheSameAreKeptAsTheSame(t *testing.T) {
	const want = `{"id":"1001","name":"<Al>","extensions":["1","0123",{"pbx":"branch","extension":"2"}],"default_extension":{"pbx":"7","extension":"8"},"sync":true,"tags":["5"]}`
	for name, text := range map[string]string{
		"as it is kept":       want,
		"numbers":             `{"id":1001,"name":"<Al>","extensions":[1,"0123",{"pbx":"branch","extension":2}],"default_extension":{"pbx":7,"extension":8},"sync":true,"tags":[5]}`,
		"another order":       `{"tags":["5"],"sync":true,"default_extension":{"extension":"8","pbx":"7"},"extensions":["1","0123",{"extension":"2","pbx":"branch"}],"name":"<Al>","id":"1001"}`,
		"null and escapes":    `{"id":"1001","name":"\u003cAl>","email":null,"extensions":["1","0123",{"pbx":"branch","extension":"2"}],"default_extension":{"pbx":"7","extension":"8"},"sync":true,"tags":["5"]}`,
		"spaces and newlines": strings.ReplaceAll(want, ",", " ,\n\t"),
	} {
		if got := Canonical(text); got != want {
			t.Errorf("%s:\n%s, want\n%s", name, got, want)
		}
	}
	for _, text := range []string{`[1]`, `1`, `{"id":`, `{"id":"` + strings.Repeat("x", MaxDefinition) + `"}`, `{"id":"a","id":"b"}`} {
		if got := Canonical(text); got != text {
			t.Errorf("%.80s, want %.80s", got, text)
		}
	}
}
