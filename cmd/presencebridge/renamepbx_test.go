package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

// config/README.md says how a PBX gets another name although users in the store have it.
func TestAPBXGetsAnotherNameWithUsersInTheStore(t *testing.T) {
	pbx := pbxtest.NewSimulated(t, pbxtest.Options{})
	r, p := configure(t, storedMapping, pbx), phone{t, pbxtest.Observe(t, pbx)}
	file := filepath.Join(r.dir, "presencebridge.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before := string(text)
	after := strings.Replace(before, "name: main", "name: office", 1)
	entries := strings.SplitAfter(before, "\n")
	both := strings.Replace(before, entries[1]+entries[2], entries[1]+entries[2]+strings.Replace(entries[1], "name: main", "name: office", 1)+entries[2], 1)
	r.startReady()
	r.must("user", "add", "alice", "--extension", "main/1001", "--extension", "main/1002", "--default-extension", "main/1002")
	r.must("user", "add", "bob", "--extension", "1003")
	r.set("alice", "lunch", "soup")
	r.settled("alice")
	r.stop()

	r.write("presencebridge.yaml", after)
	r.says(exitFailed, "run", `user "alice"`, "main", "config/README.md")
	r.write("presencebridge.yaml", both)
	r.startReady()
	users := filepath.Join(r.dir, "users.csv")
	r.must("user", "export", users)
	text, err = os.ReadFile(users)
	if err != nil {
		t.Fatal(err)
	}
	r.write("users.csv", strings.ReplaceAll(string(text), "main/", "office/"))
	if out := r.must("user", "import", users); !strings.Contains(out, "1 changed, 1 unchanged") {
		t.Errorf("import: %s", out)
	}
	r.showsMessage("alice", "lunch", "soup") // as the phones show
	r.stop()
	r.write("presencebridge.yaml", after)
	r.startReady()
	r.showsMessage("alice", "lunch", "soup")
	u := r.settled("alice")
	if x := u.Extensions[1]; x.PBX != "office" || !x.Default {
		t.Errorf("extension %+v", x)
	}
	p.set("1003", "available", "", "")
	r.shows("bob", "available")
}
