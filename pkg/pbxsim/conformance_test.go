package pbxsim_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/presencebridge/presencebridge/pkg/pbxsim"
	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

var update = flag.Bool("update", false, "write the transcripts anew from the real Asterisks that PRESENCEBRIDGE_TEST_ASTERISK lists")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, pbxtest.LeakOptions()...) }

// quick makes the simulation refuse at once; its second of delay has a test of its own.
var quick = pbxtest.Options{Sim: pbxsim.Config{RefusalDelay: -1, CommitEvery: -1}}

// TestEveryAsteriskSpeaksAsItsTranscript is what keeps the simulation honest: one long
// conversation, written down from real Asterisks, which each of them and the
// simulation of each must repeat to the letter.
func TestEveryAsteriskSpeaksAsItsTranscript(t *testing.T) { transcribe(t, quick, "", converse) }

// transcribe has a conversation with every Asterisk, and with the simulation of each of
// which there is a transcript; it is the one named so, behind the number of the release.
func transcribe(t *testing.T, o pbxtest.Options, name string, converse func(*testing.T, pbxtest.PBX) []byte) {
	t.Helper()
	for _, release := range []string{"16.28.0", "22.10.1"} {
		t.Run("sim "+release, func(t *testing.T) {
			o := o
			o.Sim.Version = release
			compare(t, transcriptFile(release, name), converse(t, pbxtest.NewSimulated(t, o)))
		})
	}
	for _, f := range pbxtest.Reals(t) {
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			p := f.Start(t, o)
			got := converse(t, p)
			file := transcriptFile(p.Version(), name)
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := os.Stat(file); err != nil {
				t.Skipf("no transcript of Asterisk %s yet; write one with go test -update", p.Version())
			}
			compare(t, file, got)
		})
	}
}

func transcriptFile(version, name string) string {
	major, _, _ := strings.Cut(version, ".")
	return filepath.Join("..", "..", "testdata", "asterisk", "transcripts", major+name+".txt")
}

func compare(t *testing.T, file string, got []byte) {
	t.Helper()
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	wants, gots := strings.Split(string(want), "\n"), strings.Split(string(got), "\n")
	for i, line := range gots {
		if i >= len(wants) || line != wants[i] {
			t.Fatalf("%s differs at line %d:\n got %s\nwant %s", file, i+1,
				strings.Join(gots[max(0, i-4):min(len(gots), i+3)], "\n     "), strings.Join(wants[min(i, len(wants)):min(len(wants), i+3)], "\n     "))
		}
	}
	if len(gots) < len(wants) {
		t.Fatalf("%s goes on at line %d: %s", file, len(gots), wants[len(gots)])
	}
}

// converse has the whole conversation and returns what was written down.
func converse(t *testing.T, p pbxtest.PBX) []byte {
	t.Helper()
	var log bytes.Buffer
	asks := 0
	open := func() *client {
		c := dial(t, p.Addr())
		c.log, c.asks = &log, &asks
		c.banner()
		return c
	}
	fmt.Fprint(&log, "# A conversation with Asterisk, written by go test -update ./pkg/pbxsim; what differs each time stands in (brackets).\n\n")
	strangers(open)
	c := open()
	enter(c, p.User("phone"))
	values(c)
	if !strings.HasPrefix(p.Version(), "16.") {
		slashes(c)
	}
	readings(c)
	rows(c)
	limits(c)
	modules(c, p)
	devices(c)
	deviceModules(c, p)
	restart(c, p, open)
	return log.Bytes()
}

// strangers are those who are not let in, or not to everything.
func strangers(open func() *client) {
	c := open()
	c.remark("before a login")
	c.ask("Action: Ping")
	c.ask("Action: Challenge")
	c.ask("Action: Challenge", "AuthType: SHA1")
	c.ask("Action: Login", "Username: phone", "Secret: wrong")
	c.ended()
	c = open()
	c.ask("Action: Login", "Username: nobody", "Secret: wrong")
	c.ended()
	c = open()
	c.ask("Action: Login", "AuthType: MD5", "Username: phone", "Key: 00000000000000000000000000000000")
	c.ended()
	c = open()
	c.ask("Action: Logoff")
	c.ended()
	c = open()
	c.remark("an account that may not write, and no events wanted")
	c.ask("Action: Login", "Username: reader", "Secret: reader-secret", "Events: off")
	c.set("CustomPresence:1", "away")
	c.setDevice("Custom:1", "BUSY")
	c.device("Custom:1")
	c.deviceList()
	c.ask("Action: CoreSettings")
	c.ask("Action: Logoff")
	c.ended()
}

// enter logs in by challenge.
func enter(c *client, u pbxsim.User) {
	c.remark("login by challenge")
	_, challenge, _ := strings.Cut(c.ask("Action: Challenge", "AuthType: MD5"), "Challenge: ")
	c.ask("Action: Login", "AuthType: MD5", "Username: "+u.Name, "Key: "+md5Key(challenge, u.Secret))
	c.fence()
	c.ask("Action: Login", "Username: "+u.Name, "Secret: "+u.Secret)
}

// values are writes, taken or refused, with the events they cause.
func values(c *client) {
	for _, v := range []struct{ claim, presentity, value string }{
		{"plain", "CustomPresence:1", "away,lunch,Back at 2"},
		{"the same again", "CustomPresence:1", "away,lunch,Back at 2"},
		{"everything that is escaped", "CustomPresence:1", pbxsim.Value("dnd", "a\nb", "\"q\" 'a' ? \\ \t\r\a\b\f\v\x01 é")},
		{"a comma is refused", "CustomPresence:2", "away,,Lunch, until 2pm"},
		{"a comma and an e garble", "CustomPresence:2", "away,,Back at 2, call me"},
		{"empty options", "CustomPresence:2", "dnd,,a,"},
		{"a fifth field is ignored", "CustomPresence:2", "dnd,,a,,zzz,e"},
		{"no value", "CustomPresence:2", ""},
		{"no such state", "CustomPresence:2", "busy"},
		{"a blank before is AMI's, not the value's", "CustomPresence:2", " away"},
		{"a blank behind", "CustomPresence:2", "away ,x"},
		{"capitals", "CustomPresence:2", "AWAY"},
		{"not base64", "CustomPresence:2", "away,not*base,b$,e"},
		{"NUL ends a text", "CustomPresence:2", pbxsim.Value("away", "", "x\x00y")},
		{"base64 ends at =", "CustomPresence:2", "away,,eHh4eHg=zzzz,e"},
		{"a prefix in small letters", "custompresence:2", "xa"},
		{"a prefix in mixed letters", "CUSTOMPresence:Bob", "chat,x"},
		{"names have a case", "CustomPresence:bob", "away"},
		{"no name", "CustomPresence:", "away"},
		{"no such provider", "Foo:1", "away"},
		{"several", "CustomPresence:x&CustomPresence:1", "away"},
		{"blanks stay", "CustomPresence:3", "away,sub , lead"},
		{"not_set", "CustomPresence:4", "not_set"},
		{"not_set with texts", "CustomPresence:5", "not_set,a,b"},
		{"decoded texts are cut", "CustomPresence:6", pbxsim.Value("away", strings.Repeat("s", 300), strings.Repeat("é", 150))},
		{"plain texts are not cut", "CustomPresence:7", "away,," + strings.Repeat("p", 900)},
	} {
		c.remark(v.claim)
		c.set(v.presentity, v.value)
		c.fence()
	}
	c.remark("other variables")
	c.ask("Action: Setvar", "Variable: PB_TEST", "Value: 1")
	c.ask("Action: Setvar", "Value: 1")
	c.ask("Action: Setvar", "Variable: NO_FUNCTION(1)", "Value: x")
	c.ask("Action: Setvar", "Variable: PRESENCE_STATE(CustomPresence:1)")
	c.fence()
}

// slashes are for later releases only: with one in a name, 16.28 frees the row
// twice when it loads the module again, and is gone.
func slashes(c *client) {
	c.remark("a slash in the name")
	c.set("CustomPresence:a/b", "away")
	c.fence()
	c.get("CustomPresence:a/b,value")
	c.remark("a slash has no event when it becomes not_set")
	c.set("CustomPresence:a/c", "not_set")
	c.fence()
}

// readings are questions.
func readings(c *client) {
	c.remark("Getvar")
	for _, args := range []string{
		"CustomPresence:1,value", "CustomPresence:1,subtype,e", "CustomPresence:1,message,e", "CustomPresence:1,MESSAGE,e",
		"CustomPresence:1,bogus", "CustomPresence:1", "Foo:1,value", "CustomPresence:never,value", "CustomPresence:never,message",
		"CustomPresence:Bob,value", "custompresence:Bob,value", "custompresence:bob,value",
		"CustomPresence:Bob&CustomPresence:1,value", "CustomPresence:2,value", "CustomPresence:6,message", "CustomPresence:3,subtype",
	} {
		c.get(args)
	}
	c.ask("Action: Getvar")
	c.ask("Action: Getvar", "Variable: NO_FUNCTION(1)")
	c.remark("PresenceState")
	for _, provider := range []string{"CustomPresence:1", "CustomPresence:2", "custompresence:2", "CustomPresence:6", "CustomPresence:never", "Foo:1"} {
		c.ask("Action: PresenceState", "Provider: "+provider)
	}
	c.ask("Action: PresenceState")
	c.remark("the list")
	c.list()
	c.remark("about Asterisk itself")
	c.ask("Action: CoreStatus")
	c.ask("Action: CoreSettings")
	c.ask("Action: Ping")
	c.ask("Action: NoSuchAction")
	c.remark("masks")
	c.ask("Action: Events", "EventMask: off")
	c.ask("Action: Events", "EventMask: system")
	c.ask("Action: Events", "EventMask: on")
	c.fence()
}

// rows are those of the AstDB.
func rows(c *client) {
	c.remark("rows of the AstDB")
	for _, row := range [][]string{
		{"Family: CustomPresence", "Key: 1"}, {"Family: CustomPresence", "Key: 3"}, {"Family: CustomPresence", "Key: never"},
		{"Family: custompresence", "Key: 1"}, {"Family: none", "Key: none"}, {"Key: 1"}, {"Family: CustomPresence"},
	} {
		c.ask(append([]string{"Action: DBGet"}, row...)...)
		c.fence()
	}
}

// limits are about lines and what is not one.
func limits(c *client) {
	c.remark("spelling")
	c.ask("action:ping")
	c.ask("Actionx: Ping")
	c.ask("Action: Ping", "no header at all")
	for _, n := range []int{1021, 1022, 1023, 1024, 1025, 3000} {
		c.remark(fmt.Sprintf("a line of %d bytes and its end", n))
		*c.asks++
		line := "X: " + strings.Repeat("y", n-3)
		c.write(fmt.Sprintf("Action: Ping\r\nActionID: %d\r\n%s\r\n\r\n", *c.asks, line))
		c.await(fmt.Sprintf("ActionID: %d", *c.asks))
	}
	c.remark("bare line feeds end lines too")
	*c.asks++
	c.write(fmt.Sprintf("Action: Ping\nActionID: %d\n\n", *c.asks))
	c.await(fmt.Sprintf("ActionID: %d", *c.asks))
}

// modules takes away what presence depends on, and brings it back.
func modules(c *client, p pbxtest.PBX) {
	c.remark("unload " + string(pbxsim.PresenceManager))
	p.Unload(pbxsim.PresenceManager)
	c.await("Event: Unload")
	c.ask("Action: PresenceStateList")
	c.set("CustomPresence:1", "away,unseen")
	c.get("CustomPresence:1,value")
	c.ask("Action: PresenceState", "Provider: CustomPresence:1")
	c.remark("load it")
	p.Load(pbxsim.PresenceManager)
	c.await("Event: Load")
	c.set("CustomPresence:1", "dnd")
	c.fence()
	c.remark("unload " + string(pbxsim.PresenceFunction))
	p.Unload(pbxsim.PresenceFunction)
	c.await("Event: Unload")
	c.set("CustomPresence:1", "away")
	c.get("CustomPresence:1,value")
	c.ask("Action: PresenceState", "Provider: CustomPresence:1")
	c.ask("Action: PresenceState", "Provider: CustomPresence:never")
	c.list()
	c.remark("load it: everything is told again")
	p.Load(pbxsim.PresenceFunction)
	c.await("Event: Load")
	c.fence()
}

// restart shows what survives, and how differently it is told.
func restart(c *client, p pbxtest.PBX, open func() *client) {
	c.set("CustomPresence:"+strings.Repeat("n", 70), "away,a name too long for the next life")
	c.fence()
	c.remark("restart")
	p.Restart()
	c.ended()
	c = open()
	c.ask("Action: Login", "Username: phone", "Secret: phone-secret")
	c.await("Event: FullyBooted")
	c.list()
	c.ask("Action: PresenceState", "Provider: CustomPresence:4")
	c.ask("Action: PresenceState", "Provider: CustomPresence:6")
	c.deviceList()
	deviceReadings(c)
	c.ask("Action: Logoff")
	c.ended()
}
