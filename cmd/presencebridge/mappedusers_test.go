package main

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
	"github.com/presencebridge/presencebridge/pkg/store/servertest"
)

// storedMapping has its users in the store.
const storedMapping = `statuses:
  - {id: available, name: Available, base: connected, asterisk: available}
  - {id: lunch, name: Lunch, base: absent, asterisk: {state: away, subtype: lunch}}
users: {from: store}
`

// must runs a command that has to succeed.
func (r *running) must(args ...string) string {
	r.t.Helper()
	out, code := r.run(args...)
	if code != exitDone {
		r.t.Fatalf("%v: exit code %d, %s", args, code, out)
	}
	return out
}

// refuses runs a command that has to fail, and say all of these.
func (r *running) refuses(says []string, args ...string) {
	r.t.Helper()
	out, code := r.run(args...)
	if code != exitFailed {
		r.t.Errorf("%v: exit code %d, %s", args, code, out)
	}
	for _, what := range says {
		if !strings.Contains(out, what) {
			r.t.Errorf("%v does not say %q:\n%s", args, what, out)
		}
	}
}

// feed follows the events until the test ends.
func (r *running) feed() <-chan string {
	r.t.Helper()
	answer, err := (&http.Client{Transport: r.client.Transport}).Get("http://bridge/api/v1/events")
	if err != nil {
		r.t.Fatal(err)
	}
	lines := make(chan string, 10_000)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for s := bufio.NewScanner(answer.Body); s.Scan(); {
			lines <- s.Text()
		}
	}()
	r.t.Cleanup(func() { _ = answer.Body.Close(); <-done })
	return lines
}

// sees waits until a line of the feed begins so.
func (r *running) sees(feed <-chan string, event, data string) {
	r.t.Helper()
	last, timeout := "", time.After(patience)
	for {
		select {
		case line := <-feed:
			if last == "event: "+event && strings.HasPrefix(line, "data: "+data) {
				return
			}
			last = line
		case <-timeout:
			r.t.Fatalf("the feed has no %s of %s", event, data)
		}
	}
}

func TestUsersOfTheStoreComeAndGoWhileTheBridgeRuns(t *testing.T) {
	pbxtest.Run(t, pbxtest.Options{}, func(t *testing.T, pbx pbxtest.PBX) {
		r, p := configure(t, storedMapping, pbx), phone{t, pbxtest.Observe(t, pbx)}
		r.startReady()
		if out := r.must("user", "list"); !strings.Contains(out, "There is no user") {
			t.Errorf("list: %s", out)
		}
		feed := r.feed()
		p.set("1001", "away", "lunch", "Back at 2")
		r.must("user", "add", "alice", "--name", "Alice Martin", "--extension", "1001", "--tag", "vip", "--group", "sales")
		r.sees(feed, "user", `{"id":"alice"`)
		r.showsMessage("alice", "lunch", "Back at 2")
		p.set("1001", "available", "", "")
		r.shows("alice", "available")
		r.set("alice", "lunch", "")
		r.settled("alice")
		if u := r.user("alice"); len(u.Tags) != 1 || u.Tags[0] != "vip" || len(u.Groups) != 1 {
			t.Errorf("labels of %+v", u)
		}

		r.refuses([]string{`user "bob": extensions[0]: main/1001 belongs to "alice" already`, `user "bob": email: "x" is not an address`},
			"user", "add", "bob", "--extension", "1001", "--email", "x")
		r.refuses([]string{"There is a user of that id already"}, "user", "add", "alice", "--extension", "1001")
		r.refuses([]string{`No such user "alcie", did you mean "alice"?`}, "user", "set", "alcie", "--name", "x")
		r.refuses([]string{`No such user "bob"`}, "user", "remove", "bob")

		r.must("user", "set", "alice", "--extension", "1002")
		r.sees(feed, "user", `{"id":"alice"`)
		if u := r.user("alice"); len(u.Extensions) != 1 || u.Extensions[0].Extension != "1002" || u.Name != "Alice Martin" {
			t.Errorf("after set: %+v", u)
		}
		r.must("user", "add", "bob", "--extension", "1001")
		r.kill()
		r.startReady()
		if u := r.user("bob"); u.Extensions[0].Extension != "1001" {
			t.Errorf("after a crash: %+v", u)
		}

		feed = r.feed()
		r.must("user", "remove", "alice")
		r.sees(feed, "gone", `{"id":"alice"`)
		if code := r.status("/api/v1/users/alice"); code != http.StatusNotFound {
			t.Errorf("alice is still there: %d", code)
		}
		out := r.must("audit")
		for _, act := range []string{"user added", "user changed", "user removed"} {
			if !strings.Contains(out, act) || !strings.Contains(out, "cli") {
				t.Errorf("the audit log has no %q:\n%s", act, out)
			}
		}
	})
}

func TestABadImportChangesNothing(t *testing.T) {
	pbx := pbxtest.NewSimulated(t, pbxtest.Options{})
	r := configure(t, storedMapping, pbx)
	r.startReady()
	r.must("user", "add", "alice", "--name", "Alice Martin", "--extension", "1001")
	before := r.must("user", "export")
	file := filepath.Join(r.dir, "users.csv")
	r.write("users.csv", `id,name,extensions,incoming,sync
bob,Bob,1003,,
alice,Alice,1003,newest,
dave,Dave,main/1005,,maybe
carol,Carol,1004
dave,Dave,mian/1006,,
,Nobody,1007,,
erin,Erin,1 2 1,priority,
`)
	r.refuses([]string{
		file + " was not imported, nothing has changed:",
		`line 3: user "alice": extensions[0]: main/1003 belongs to "bob" already, in line 2`,
		`line 3: user "alice": incoming: "newest" is not known here: did you mean latest?`,
		`line 4: user "dave": sync: is neither true nor false`,
		`line 5: has 3 fields, and the first line has 5`,
		`line 6: user "dave": the user of line 4 has the same id`,
		`line 6: user "dave": extensions[0].pbx: "mian" is no PBX of presencebridge.yaml: did you mean main?`,
		`line 7: user "": id: is missing or empty`,
		`line 8: user "erin": extensions[2]: main/1 belongs to "erin" already, in line 8`,
	}, "user", "import", file)
	if after := r.must("user", "export"); after != before {
		t.Errorf("users are now:\n%s", after)
	}
	if out := r.must("audit"); strings.Contains(out, "imported") {
		t.Errorf("audit:\n%s", out)
	}
}

func TestTenThousandUsersAreImportedAtOnce(t *testing.T) {
	pbx := pbxtest.NewSimulated(t, pbxtest.Options{})
	r, p := configure(t, storedMapping, pbx), phone{t, pbxtest.Observe(t, pbx)}
	r.startReady()
	r.must("user", "add", "user7", "--name", "Seven", "--extension", "100007", "--tag", "vip")
	var text strings.Builder
	text.WriteString("id,extensions,email\n")
	for i := range 10_000 {
		fmt.Fprintf(&text, "user%d,%d,user%d@example.com\n", i, 100_000+i, i)
	}
	r.write("users.csv", text.String())
	file := filepath.Join(r.dir, "users.csv")
	if out := r.must("user", "import", file, "--dry-run"); !strings.Contains(out, "9999 users added, 1 changed, 0 unchanged.") {
		t.Errorf("dry run: %s", out)
	}
	start := time.Now()
	out := r.must("user", "import", file)
	t.Logf("imported in %v", time.Since(start))
	if !strings.Contains(out, "9999 users added, 1 changed, 0 unchanged.") {
		t.Errorf("import: %s", out)
	}
	p.set("109999", "away", "lunch", "")
	r.shows("user9999", "lunch")
	if out := r.must("audit"); !strings.Contains(out, "users imported") || !strings.Contains(out, " more") || len(out) > 2000 {
		t.Errorf("audit:\n%s", out)
	}
	if u := r.user("user7"); u.Name != "Seven" || len(u.Tags) != 1 {
		t.Errorf("what no column said is gone: %+v", u)
	}
	exported := filepath.Join(r.dir, "exported.csv")
	r.must("user", "export", exported)
	if out := r.must("user", "import", exported); !strings.Contains(out, "0 users added, 0 changed, 10000 unchanged.") {
		t.Errorf("the same again: %s", out)
	}
	r.kill()
	r.startReady()
	r.shows("user9999", "lunch")
}

func TestWhatSurprisesAboutUsersIsTold(t *testing.T) {
	pbx := pbxtest.NewSimulated(t, pbxtest.Options{})
	r := configure(t, storedMapping, pbx)
	r.startReady()
	const none, hard = "warning: user \"alice\": this user has no extension", "warning: user \"bob\": "
	if out := r.must("user", "add", "alice"); !strings.Contains(out, "The user alice is added.\n"+none) {
		t.Errorf("add: %s", out)
	}
	if out := r.must("user", "add", "bob", "--extension", "1002"); strings.Contains(out, "warning") {
		t.Errorf("add: %s", out)
	}
	if out := r.must("user", "set", "bob", "--incoming", "priority", "--extension", "1002", "--extension", "1003"); !strings.Contains(out, hard) || strings.Contains(out, "alice") {
		t.Errorf("set: %s", out)
	}
	r.write("users.csv", "id,extensions\nalice,1001\ncarol,\n")
	if out := r.must("user", "import", "--dry-run", filepath.Join(r.dir, "users.csv")); !strings.Contains(out, "warning: line 3: user \"carol\": this user has no extension") || strings.Contains(out, none) {
		t.Errorf("import: %s", out)
	}
}

func TestUsersInTheFileAreChangedThere(t *testing.T) {
	pbx := pbxtest.NewSimulated(t, pbxtest.Options{})
	r, p := configure(t, threeMethods, pbx), phone{t, pbxtest.Observe(t, pbx)}
	r.startReady()
	for _, args := range [][]string{{"list"}, {"add", "zoe"}, {"set", "alice", "--name", "x"}, {"remove", "alice"}, {"export"}} {
		r.refuses([]string{"The users stand in mapping.yaml"}, append([]string{"user"}, args...)...)
	}
	// They move into the store, and nobody's status is lost.
	r.set("alice", "lunch", "soup")
	r.settled("alice")
	feed := r.feed()
	file := filepath.Join(r.dir, "mapping.yaml")
	r.write("earlier.yaml", "users: [{id: zoe, extensions: [\"1001\"]}]\n")
	const wait = "They wait there: write users: {from: store} in mapping.yaml"
	if out := r.must("user", "import", "--mapping", filepath.Join(r.dir, "earlier.yaml")); !strings.Contains(out, "1 user added") || !strings.Contains(out, wait) {
		t.Errorf("import before the switch: %s", out)
	}
	if code := r.status("/api/v1/users/zoe"); code != http.StatusNotFound {
		t.Errorf("zoe is used before the switch: %d", code)
	}
	if out := r.must("user", "import", "--mapping", file, "--dry-run"); !strings.Contains(out, "4 users added") || !strings.Contains(out, "1 user of an import before") || strings.Contains(out, wait) {
		t.Errorf("dry import: %s", out)
	}
	if out := r.must("user", "import", "--mapping", file); !strings.Contains(out, "4 users added") || !strings.Contains(out, wait) {
		t.Errorf("import of the file: %s", out)
	}
	r.refuses([]string{"alice", "1001"}, "user", "import", "--mapping", r.twice())
	r.write("mapping.yaml", storedMapping)
	r.must("reload")
	if out := r.must("user", "list"); !strings.Contains(out, "alice") || strings.Contains(out, "zoe") {
		t.Errorf("list: %s", out)
	}
	r.showsMessage("alice", "lunch", "soup")
	r.set("alice", "available", "after the switch")
	for line, last := "", ""; !strings.Contains(line, "after the switch"); last = line {
		if line = <-feed; line == "event: gone" {
			t.Errorf("somebody was let go of behind %s", last)
		}
	}
	p.set("1001", "available", "", "")
	r.shows("alice", "available")
	p.set("1001", "away", "lunch", "")
	r.shows("alice", "lunch")
	r.write("mapping.yaml", strings.Replace(storedMapping, "lunch, name", "mittag, name", 1)+"sync: {priority: [lunhc]}\n")
	r.refuses([]string{"mapping.yaml"}, "user", "add", "bob", "--extension", "1003")
	r.shows("alice", "lunch")
}

// twice is a mapping in which two users have one extension.
func (r *running) twice() string {
	r.write("twice.yaml", "users: [{id: alice, extensions: [\"1001\"]}, {id: bob, extensions: [\"1001\"]}]\n")
	return filepath.Join(r.dir, "twice.yaml")
}

// Who writes users: {from: store} first keeps everybody until they are in the store.
func TestNobodyIsLetGoOfForAStoreWithoutUsers(t *testing.T) {
	pbx := pbxtest.NewSimulated(t, pbxtest.Options{})
	r := configure(t, threeMethods, pbx)
	r.startReady()
	r.set("alice", "lunch", "soup")
	old := filepath.Join(r.dir, "old.yaml")
	if err := os.Rename(filepath.Join(r.dir, "mapping.yaml"), old); err != nil {
		t.Fatal(err)
	}
	r.write("mapping.yaml", storedMapping)
	r.refuses([]string{"the store has no users yet", "presencebridge user import --mapping FILE"}, "reload")
	r.showsMessage("alice", "lunch", "soup")
	r.refuses([]string{"The users stand in mapping.yaml"}, "user", "add", "zoe")
	if out := r.must("user", "import", "--mapping", old); !strings.Contains(out, "4 users added") || strings.Contains(out, "wait") {
		t.Errorf("import of the old file: %s", out)
	}
	r.must("user", "add", "zoe")
	r.showsMessage("alice", "lunch", "soup")
	r.write("mapping.yaml", threeMethods) // and back
	r.must("reload")
	r.showsMessage("alice", "lunch", "soup")
	if code := r.status("/api/v1/users/zoe"); code != http.StatusNotFound {
		t.Errorf("zoe is there: %d", code)
	}
}

// A mapping that the users in the store no longer go with is refused as a whole.
func TestAFileThatTheStoredUsersDoNotGoWithChangesNothing(t *testing.T) {
	pbx := pbxtest.NewSimulated(t, pbxtest.Options{})
	r, p := configure(t, storedMapping, pbx), phone{t, pbxtest.Observe(t, pbx)}
	r.startReady()
	r.must("user", "add", "alice", "--extension", "1001", "--incoming", "default", "--priority", "lunch", "--priority", "available")
	r.must("user", "add", "bob", "--extension", "1002", "--priority", "lunch")
	renamed := strings.ReplaceAll(storedMapping, "id: lunch", "id: mittag")
	r.write("mapping.yaml", renamed)
	r.refuses([]string{"correct it, or change the users, all at once, with presencebridge user import FILE", `user "alice": priority[0]: "lunch" is no status of this mapping`}, "reload")
	r.must("user", "list") // what is there can be read all the same
	p.set("1001", "away", "lunch", "")
	r.shows("alice", "lunch")
	r.stop()
	r.says(exitFailed, "run", "users in the store do not go with "+filepath.Join(r.dir, "mapping.yaml")+": put the former mapping.yaml or presencebridge.yaml back, start", `user "alice": priority[0]: "lunch" is no status`)

	// Both ways out that the refusals tell are ones.
	r.write("mapping.yaml", storedMapping)
	r.startReady()
	r.write("mapping.yaml", renamed)
	r.write("users.csv", "id,priority\nalice,mittag available\nbob,\n")
	r.must("user", "import", filepath.Join(r.dir, "users.csv"))
	p.set("1001", "available", "", "")
	r.shows("alice", "available")
	p.set("1001", "away", "lunch", "")
	r.shows("alice", "mittag")
}

// Other commands see the users of a running bridge, and say so without one.
func TestDialplanAndDoctorKnowUsersInTheStore(t *testing.T) {
	pbx := pbxtest.NewSimulated(t, pbxtest.Options{})
	r := configure(t, storedMapping, pbx)
	r.startReady()
	r.must("user", "add", "alice", "--extension", "1001")
	r.says(exitDone, "dialplan", "exten => 1001,hint,", "CustomPresence:1001")
	r.says(exitDone, "check", "users in the store, who were not looked at")
	if out, _ := r.run("doctor"); !strings.Contains(out, "1 user in the store without a fault") {
		t.Errorf("doctor:\n%s", out)
	}
	r.write("users.csv", "id,priority\nalice,lunch\n")
	r.must("user", "import", filepath.Join(r.dir, "users.csv"))
	r.write("mapping.yaml", strings.ReplaceAll(storedMapping, "id: lunch", "id: mittag"))
	r.says(exitWrong, "doctor", `"lunch" is no status of this mapping`)
	r.says(exitWrong, "dialplan", `user "alice": priority[0]: "lunch" is no status of this mapping`)
	r.stop()
	r.says(exitUnreachable, "dialplan", "no bridge runs")
	out, _ := r.run("doctor")
	if flat := strings.Join(strings.Fields(out), " "); !strings.Contains(flat, "they are in the store, and their extensions were not examined: no bridge runs") {
		t.Errorf("doctor without a bridge:\n%s", out)
	}
}

// The standby has started with no user at all.
func TestAStandbyTakesOverTheNewestUsers(t *testing.T) {
	pbx := pbxtest.NewSimulated(t, pbxtest.Options{})
	at := servertest.Postgres(t).NewDatabase()
	one, two, p := configure(t, storedMapping, pbx), configure(t, storedMapping, pbx), phone{t, pbxtest.Observe(t, pbx)}
	one.storeIn("postgres", at)
	two.storeIn("postgres", at)
	one.startReady()
	two.start()
	two.standsBy()
	one.must("user", "add", "alice", "--extension", "1001")
	one.stop()
	two.ready()
	p.set("1001", "away", "lunch", "")
	two.shows("alice", "lunch")
	if text, err := os.ReadFile(filepath.Join(two.dir, "mapping.yaml")); err != nil || string(text) != storedMapping {
		t.Errorf("the file was touched: %v", err)
	}
}
