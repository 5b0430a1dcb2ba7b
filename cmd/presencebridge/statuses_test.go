package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/presencebridge/presencebridge/config"
)

const freePBXList = `id,type,message
1,available,
2,chat,
3,away,
4,dnd,
5,xa,
6,unavailable,
7,away,"Lunch, back soon"
8,away,昼休み
9,dnd,Lunch back soon
10,xa,"""quoted"": #1"
11,available,!!!
`

func TestStatusesOfFreePBXAreAMapping(t *testing.T) {
	c := newConsole("statuses", "import", "--freepbx", "-")
	c.In = strings.NewReader(freePBXList)
	c.golden(t, "statuses-import", "statuses import --freepbx -", "WHERE")
	dir := writeConfig(t, plainDaemon, c.out.String()+"users: []\n")
	cfg, faults := config.Load(filepath.Join(dir, "presencebridge.yaml"), config.Overrides{})
	if cfg == nil || len(faults) > 0 {
		t.Fatalf("what is printed has faults: %v\n%s", faults, c.out.String())
	}
	types := cfg.Mapping.Types.List()
	if lunch := types[6]; len(types) != 11 || lunch.ID != "lunch_back_soon" || lunch.Name != "Lunch, back soon" || lunch.Asterisk.Subtype != "lunch_back_soon" || types[2].Asterisk.Subtype != "" {
		t.Errorf("%d types, lunch %+v %+v", len(types), lunch, lunch.Asterisk)
	}
}

func TestATableThatASpreadsheetHasSavedIsTheSame(t *testing.T) {
	printed := func(table string) string {
		c := newConsole("statuses", "import", "--freepbx", "-")
		c.In = strings.NewReader(table)
		if code := c.Run(t.Context()); code != exitDone {
			t.Fatalf("exit code %d, %s", code, c.err.String())
		}
		return c.out.String()
	}
	want := printed("id,type,message\n7,away,\"Lunch, back\"\n")
	if got := printed("\ufefftype;message\r\naway;Lunch, back\r\n"); got != want {
		t.Errorf("%s, want\n%s", got, want)
	}
}

func TestATableThatIsNoneOfFreePBXsStatusesSaysWhere(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"nothing", "", "line 1: the columns id, type and message have to be named there"},
		{"other columns", "id,kind\n1,away\n", "line 1: the columns type and message have to be there"},
		{"every faulty line", "id,type,message\n1,busy,x\n2,away\n3,away,\"a\nb\"\n", "line 2: \"busy\" is no type of FreePBX's: it has available, chat, away, xa, dnd and unavailable\nline 3: has 2 fields, and the first line has 3\nline 4: its message is no line"},
		{"another character set", "id,type,message\n1,away,Ren\xe9\n", "line 2: is not UTF-8: save the file as CSV UTF-8"},
		{"a quote amidst", "id,type,message\n1,away,a\"b\n", "line 2: a quote is where none can be"},
		{"too many", "id,type,message\n" + strings.Repeat("1,away,\n", 201), "line 202: is one more than the 200 statuses that are read"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newConsole("statuses", "import", "--freepbx", "-")
			c.In = strings.NewReader(tc.text)
			if code := c.Run(t.Context()); code != exitFailed || c.out.String() != "" || !strings.Contains(c.err.String(), "the input was not imported, nothing has changed:\n"+tc.want) {
				t.Errorf("exit code %d, %s%s, want\n%s", code, c.out.String(), c.err.String(), tc.want)
			}
		})
	}
}
