package main

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

// These tests use the program as an operator and an administrator do, on the
// simulated PBX: what can go wrong beside the telephone system.

func simulated(t *testing.T) (*running, *pbxtest.Simulated) {
	t.Helper()
	pbx := pbxtest.NewSimulated(t, pbxtest.Options{})
	r := configure(t, threeMethods, pbx)
	r.startReady()
	return r, pbx
}

// says ends the test unless a command ends with code and its output has all words.
func (r *running) says(code int, command string, words ...string) {
	r.t.Helper()
	out, got := r.run(strings.Fields(command)...)
	if got != code {
		r.t.Errorf("%s: exit code %d, want %d; it says:\n%s", command, got, code, out)
	}
	for _, w := range words {
		if !strings.Contains(out, w) {
			r.t.Errorf("%s: %q is missing in:\n%s", command, w, out)
		}
	}
}

func TestTheCommandsAsAPersonTypesThem(t *testing.T) {
	r, pbx := simulated(t)
	r.says(1, "check", "warning", "users[bob].incoming") // priority surprises
	r.says(0, "set alice lunch --message soup --until 30m", "Lunch")
	r.says(0, "status", "alice", "Lunch", "soup")
	r.says(0, "status alice", "1001", "1002")
	r.says(0, "status alice --json", `"type": "lunch"`)
	r.says(0, "history alice", "Lunch", "cli")
	r.says(0, "history --from today --by cli --format csv", "alice,lunch,Lunch,absent,soup")
	r.says(0, "history --to yesterday --format json", "[]")
	r.says(0, "explain alice", "1001", "most recently")
	r.says(0, "set alice away --message "+strings.Repeat("x", 300), "255")
	r.says(1, "set alicce lunch", "alicce", "alice")
	r.says(1, "set alice lnch", "lnch", "lunch")
	r.says(0, "version", "presencebridge")

	lines := r.watch()
	if err := pbx.Sim.Set(at("1003"), "dnd", "", "in a\x1b[31m call"); err != nil {
		t.Fatal(err)
	}
	for {
		line, ok := <-lines
		if !ok {
			t.Fatal("status --watch ended before it told of bob")
		}
		if strings.Contains(line, "\x1b") {
			t.Errorf("a phone's control characters reach the terminal: %q", line)
		}
		if strings.Contains(line, "bob") && strings.Contains(line, "Do not disturb") {
			break
		}
	}

	r.stop()
	r.says(3, "status", "run")
}

// watch runs status --watch and returns its lines.
func (r *running) watch() <-chan string {
	r.t.Helper()
	path, err := program()
	if err != nil {
		r.t.Fatal(err)
	}
	cmd := exec.Command(path, "status", "--watch", "--config", filepath.Join(r.dir, "presencebridge.yaml"))
	out, err := cmd.StdoutPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	lines, done := make(chan string, 1000), make(chan struct{})
	go func() {
		defer close(done)
		defer close(lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- s.Text()
		}
	}()
	r.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-done
		_ = cmd.Wait()
	})
	return lines
}

func TestABadMappingChangesNothingAndAGoodOneIsTakenOverWhenSaved(t *testing.T) {
	r, pbx := simulated(t)
	if err := pbx.Sim.Set(at("1001"), "dnd", "", ""); err != nil {
		t.Fatal(err)
	}
	r.shows("alice", "dnd")

	r.write("mapping.yaml", strings.Replace(threeMethods, "incoming: priority", "incoming: prioritty", 1))
	r.says(1, "reload", "mapping.yaml:", "prioritty", "priority")
	r.says(2, "check", "mapping.yaml:", "prioritty", "priority")
	r.shows("alice", "dnd")
	r.set("bob", "away", "")

	r.write("mapping.yaml", strings.Replace(threeMethods, "users:", "users:\n  - {id: zoe, name: Zoë, extensions: [\"0123\"]}", 1))
	pbxtest.Eventually(t, patience, "the saved mapping is taken over", func() bool { return r.status("/api/v1/users/zoe") == http.StatusOK })
	if err := pbx.Sim.Set(at("0123"), "away", "lunch", ""); err != nil {
		t.Fatal(err)
	}
	r.shows("zoe", "lunch")

	r.write("mapping.yaml", threeMethods)
	if err := r.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	pbxtest.Eventually(t, patience, "zoe is gone", func() bool { return r.status("/api/v1/users/zoe") == http.StatusNotFound })
	r.shows("alice", "dnd")
}

func TestASecondBridgeIsToldWhatIsInUse(t *testing.T) {
	r, _ := simulated(t)
	r.says(1, "run", "in use")
	other := *r
	other.dir = t.TempDir()
	for _, name := range []string{"secret-main", "mapping.yaml"} {
		text, err := os.ReadFile(filepath.Join(r.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		other.write(name, string(text))
	}
	text, err := os.ReadFile(filepath.Join(r.dir, "presencebridge.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	other.write("presencebridge.yaml", string(text)+fmt.Sprintf("store: {dsn: %q}\n", filepath.Join(r.dir, "presencebridge.db")))
	other.says(1, "run", "in use")
	other.write("presencebridge.yaml", strings.Replace(string(text), "socket: s", "socket: "+filepath.Join(r.dir, "s"), 1))
	other.says(1, "run", "answers on")
	r.set("alice", "away", "") // the first one goes on
}

func TestAFullDiskLosesNothingThatWasAccepted(t *testing.T) {
	small := filepath.Join(t.TempDir(), "small")
	if err := os.Mkdir(small, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=2m"); err != nil {
		t.Skipf("a small file system cannot be mounted (run as root): %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(small, syscall.MNT_DETACH) })
	pbx := pbxtest.NewSimulated(t, pbxtest.Options{})
	r := configure(t, threeMethods, pbx)
	text, err := os.ReadFile(filepath.Join(r.dir, "presencebridge.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	r.write("presencebridge.yaml", string(text)+fmt.Sprintf("store: {dsn: %q}\n", filepath.Join(small, "db")))
	r.startReady()
	r.set("alice", "lunch", "accepted")

	filler := filepath.Join(small, "filler")
	fill(t, filler)
	for i := range 200 { // until what SQLite had in reserve is used up
		if err := pbx.Sim.Set(at("1003"), "away", "", fmt.Sprint(i, strings.Repeat("x", 200))); err != nil {
			t.Fatal(err)
		}
		r.showsMessage("bob", "away", fmt.Sprint(i, strings.Repeat("x", 200)))
		if r.status("/readyz") != http.StatusOK {
			break
		}
	}
	pbxtest.Eventually(t, patience, "the full disk shows", func() bool { return r.status("/readyz") == http.StatusServiceUnavailable })
	r.says(1, "set alice dnd", "store")
	r.shows("alice", "lunch")
	if err := pbx.Sim.Set(at("1003"), "dnd", "", "while it is full"); err != nil {
		t.Fatal(err)
	}
	r.shows("bob", "dnd") // decided and shown all the same

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	r.ready()
	r.settled("bob")
	r.kill()
	r.startReady()
	r.showsMessage("alice", "lunch", "accepted")
	r.showsMessage("bob", "dnd", "while it is full")
}

// fill writes a file until there is no room left.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 4096); ; {
		if _, err := f.Write(block); err != nil {
			return
		}
	}
}
