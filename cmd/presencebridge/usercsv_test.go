package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/presencebridge/presencebridge/config"
)

func TestACSVFileSaysWhatItsColumnsSay(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"every column", "id,name,email,extensions,default_extension,incoming,outgoing,priority,sync,tags,groups\n" +
			"zoe,Zoe,zoe@example.com,1009 branch/2009,branch/2009,default,all,dnd away,false,vip new,sales\n",
			`[{"id":"zoe","name":"Zoe","email":"zoe@example.com","extensions":["1009",{"pbx":"branch","extension":"2009"}],"default_extension":{"pbx":"branch","extension":"2009"},` +
				`"incoming":"default","outgoing":"all","priority":["dnd","away"],"sync":false,"tags":["vip","new"],"groups":["sales"]}]`},
		{"other order, spaces and semicolons", "name; id \n\"Lee; Zoe\"; zoe \n", `[{"id":"zoe","name":"Lee; Zoe"}]`},
		{"Excel's mark and line ends", "\ufeffid,name\r\nzoe,Zoe\r\n", `[{"id":"zoe","name":"Zoe"}]`},
		{"what no column says stays", "id,name\nalice,Alice\n", `[{"id":"alice","name":"Alice","extensions":["1001"],"sync":true,"tags":["vip"]}]`},
		{"an empty cell takes away", "id,tags,extensions,sync\nalice,,,\n", `[{"id":"alice"}]`},
		{"a word for the bridge to refuse", "id,sync\nzoe,no\n", `[{"id":"zoe","sync":"no"}]`},
		{"nobody", "id\n", `null`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f, err := readUserCSV(strings.NewReader(tc.text), ownColumns)
			if err != nil || len(f.faults) > 0 {
				t.Fatal(f.faults, err)
			}
			users, lines := f.users([]mappedUser{{ID: "alice", Extensions: []number{{Number: "1001"}}, Sync: true, Tags: []word{"vip"}}})
			got, err := json.Marshal(users)
			if err != nil || string(got) != tc.want || len(lines) != len(users) {
				t.Errorf("%s %v, %v; want\n%s", got, lines, err, tc.want)
			}
		})
	}
}

func TestAFileThatIsNoCSVOfUsersSaysWhere(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"nothing", "", "the file is empty: its first line names the columns"},
		{"no column id", "name\nZoe\n", "line 1: there is no column id"},
		{"an unknown column", "id,e-mail\n", `line 1: there is no column "e-mail": did you mean email?`},
		{"a column twice", "id,name,id\n", "line 1: the column id stands there twice"},
		{"columns that are not UTF-8", "id,n\xe4me\n", "line 1: is not UTF-8: save the file as CSV UTF-8"},
		{"UTF-16", "\xff\xfei\x00d\x00", "line 1: is not UTF-8"},
		{"a quote amidst", "id,name\nzoe,Z\"oe\n", "line 2: a quote is where none can be"},
		{"a quote for ever", "id,name\n\nzoe,\"Zoe\nyan,Yan\n", "line 3: a quote is where none can be, or is never closed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := readUserCSV(strings.NewReader(tc.text), ownColumns); err == nil || !strings.HasPrefix(err.Error(), tc.want) {
				t.Errorf("%v, want %s", err, tc.want)
			}
		})
	}
}

func TestAnExportIsImportedAsTheSame(t *testing.T) {
	var want []mappedUser
	text := `[{"id":"zoe"},
		{"id":"1001","name":"O'Brien, \"Pat\" 田中","email":"a@b","extensions":["0123",{"pbx":"branch","extension":"2009"}],"default_extension":"0123",
		 "incoming":"priority","outgoing":"default","priority":["dnd","away"],"sync":true,"tags":["vip","Düsseldorf"],"groups":["sales"]},
		{"id":"=cmd","name":"'=1+1","email":"@x","extensions":["+4930",{"pbx":"-","extension":"1"}],"tags":["''-","'s"]},
		{"id":"bob","extensions":[1003,{"pbx":"branch","extension":2003}],"sync":false}]`
	if err := json.Unmarshal([]byte(text), &want); err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := writeUserCSV(&file, want); err != nil {
		t.Fatal(err)
	}
	if text := file.String(); !strings.Contains(text, "\n'=cmd,''=1+1,'@x,'+4930 -/1,") || !strings.Contains(text, "O'Brien") {
		t.Errorf("a spreadsheet computes something of:\n%s", text)
	}
	f, err := readUserCSV(&file, ownColumns)
	if err != nil || len(f.faults) > 0 {
		t.Fatal(f.faults, err)
	}
	if got, _ := f.users(nil); !reflect.DeepEqual(got, want) {
		t.Errorf("\n%+v, want\n%+v", got, want)
	}
}

// A setting that one of them lacks would be lost by an export, or refused.
func TestEverySettingOfAUserIsKnownEverywhere(t *testing.T) {
	dir := writeConfig(t, plainDaemon, storedMapping)
	cfg, faults := config.Load(filepath.Join(dir, "presencebridge.yaml"), config.Overrides{})
	if cfg == nil {
		t.Fatal(faults)
	}
	_, faults, err := cfg.Stored.Mapping(func(yield func(config.Definition, error) bool) {
		yield(config.Definition{ID: "a", JSON: `{"id":"a","quux_zzzz":1}`}, nil)
	})
	if err != nil || len(faults.Errors()) != 1 {
		t.Fatal(faults, err)
	}
	known := strings.FieldsFunc(strings.TrimPrefix(strings.Replace(faults.Errors()[0].Do, " or ", ",", 1), "use "), func(r rune) bool { return r == ',' || r == ' ' })
	if !slices.Equal(known, userColumns) {
		t.Errorf("config knows %q, and a CSV file has %q", known, userColumns)
	}
	text, err := os.ReadFile("../../pkg/api/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	var description struct {
		Components struct {
			Schemas struct {
				MappedUser struct{ Properties map[string]any }
			}
		}
	}
	if err := json.Unmarshal(text, &description); err != nil {
		t.Fatal(err)
	}
	described := slices.Sorted(maps.Keys(description.Components.Schemas.MappedUser.Properties))
	if want := slices.Sorted(slices.Values(userColumns)); !slices.Equal(described, want) {
		t.Errorf("the description has %q, want %q", described, want)
	}
}

func TestFreePBXUsersAreTheirNumbers(t *testing.T) {
	const table = "extension,password,name,voicemail,ringtimer\n1001,hunter2,Alice Martin,default,0\n2001,hunter3,\"Lee, Bob\",novm,0\n"
	f, err := readUserCSV(strings.NewReader(table), freePBXColumns)
	if err != nil {
		t.Fatal(err)
	}
	f.numbers = true
	users, _ := f.users([]mappedUser{{ID: "1001", Name: "Alice", Extensions: []number{{Number: "1001"}, {Number: "1002"}}}})
	got, err := json.Marshal(users)
	if want := `[{"id":"1001","name":"Alice Martin","extensions":["1001","1002"]},{"id":"2001","name":"Lee, Bob","extensions":["2001"]}]`; string(got) != want || err != nil {
		t.Errorf("%s, %v; want\n%s", got, err, want)
	}
	for _, head := range []string{"extension,password\n", "name,extension,extension\n", "id,name\n"} {
		if _, err := readUserCSV(strings.NewReader(head), freePBXColumns); err == nil || !strings.Contains(err.Error(), "the columns extension and name have to be there") {
			t.Errorf("%q: %v", head, err)
		}
	}
}
