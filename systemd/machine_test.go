// Package systemd_test runs the unit, as `make install` installs it, under a real
// systemd: a small Debian is booted in a container for each test and forgotten
// after it. The PBX is simulated and runs in the test; the container shares the
// machine's network.
package systemd_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

const (
	// patience is how long anything may take on a busy machine before a test gives up.
	patience = 2 * time.Minute
	// cache is where the Debian to boot is kept.
	cache = "/var/cache/presencebridge/systemd-root"
	// inSource and inBuilt are where a machine sees this repository and the program.
	inSource, inBuilt = "/source", "/built"
)

// oneInside is the line of /proc/PID/status of a process that is number 1 in a
// namespace below ours (man 5 proc).
var oneInside = regexp.MustCompile(`(?m)^NSpid:\t\d+\t1$`)

// built is the folder of the program under test; empty until it is built.
var built string

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, append(pbxtest.LeakOptions(),
		goleak.Cleanup(func(code int) {
			if built != "" {
				_ = os.RemoveAll(built)
			}
			os.Exit(code)
		}))...)
}

// program builds the bridge, as `make build` does, once for all tests.
var program = sync.OnceValues(func() (path string, err error) {
	if built, err = os.MkdirTemp("", "presencebridge-test-"); err != nil {
		return "", err
	}
	path = filepath.Join(built, "presencebridge")
	build := exec.Command("go", "build", "-trimpath", "-o", path, "../cmd/presencebridge")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

// required says that tests must not be skipped.
func required() bool { return os.Getenv("PRESENCEBRIDGE_TEST_ASTERISK_REQUIRED") == "1" }

// missing ends a test that lacks something.
func missing(t *testing.T, why string) {
	t.Helper()
	if required() {
		t.Fatal(why)
	}
	t.Skip(why)
}

// needs ends the test where a program is missing; tools are programs and Debian's packages of them.
func needs(t *testing.T, tools map[string]string) {
	t.Helper()
	for tool, pkg := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			missing(t, "there is no "+tool+": apt install "+pkg)
		}
	}
}

// debian finds the Debian to boot; where tests must not be skipped, it installs it.
func debian(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		missing(t, "not tested under a real systemd: run the test as root, which systemd-nspawn needs")
	}
	needs(t, map[string]string{"systemd-nspawn": "systemd-container", "nsenter": "util-linux"})
	if required() {
		if out, err := exec.Command("testdata/install", cache).CombinedOutput(); err != nil {
			t.Fatalf("install a Debian with systemd: %v: %s", err, out)
		}
	}
	if _, err := os.Stat(cache); err != nil {
		missing(t, "not tested under a real systemd: there is no "+cache+": systemd/testdata/install "+cache)
	}
	return cache
}

// machine is a booted Debian.
type machine struct {
	t       *testing.T
	nspawn  *exec.Cmd
	gone    chan struct{} // closed when nspawn has ended
	console bytes.Buffer  // of the boot; to be read when nspawn has ended
	init    string        // the process id of its systemd, seen from outside
}

// boot starts a machine that ends, and is forgotten, with the test.
func boot(t *testing.T) *machine {
	t.Helper()
	root := debian(t)
	binary, err := program()
	if err != nil {
		t.Fatal(err)
	}
	source, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{t: t, gone: make(chan struct{})}
	m.nspawn = exec.Command("systemd-nspawn", "--register=no", "--keep-unit", "--boot", "--directory="+root,
		"--read-only", "--volatile=overlay", // what is written is forgotten, and several may boot at once
		"--bind-ro="+source+":"+inSource, "--bind-ro="+filepath.Dir(binary)+":"+inBuilt,
		fmt.Sprintf("--machine=presencebridge-%d", time.Now().UnixNano()),
		"--link-journal=no", "--resolv-conf=off", "--timezone=off", "--console=pipe")
	m.nspawn.Stdout, m.nspawn.Stderr = &m.console, &m.console
	if err := m.nspawn.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { defer close(m.gone); _ = m.nspawn.Wait() }() // shutDown waits
	t.Cleanup(m.shutDown)
	m.eventually("it has booted", func() bool {
		select {
		case <-m.gone:
			t.Fatalf("systemd-nspawn ended: %s", m.console.String())
		default:
		}
		if m.init = m.findInit(); m.init == "" {
			return false
		}
		out, _ := m.run("systemctl", "is-active", "multi-user.target")
		return strings.TrimSpace(out) == "active"
	})
	return m
}

// findInit returns the process that is number 1 in the machine, "" if there is none
// yet. nspawn's child before it still lives in our own root, where nothing must be
// installed.
func (m *machine) findInit() string {
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", m.nspawn.Process.Pid))
	if err != nil {
		return ""
	}
	child := strings.TrimSpace(string(children))
	status, err := os.ReadFile("/proc/" + child + "/status")
	if err != nil || !oneInside.Match(status) {
		return ""
	}
	return child
}

// shutDown ends the machine, after it has told what it knows of a failure.
func (m *machine) shutDown() {
	if m.t.Failed() && m.init != "" {
		journal, _ := m.run("journalctl", "--no-pager", "--unit=presencebridge")
		m.t.Logf("the journal:\n%s", journal)
	}
	_ = m.nspawn.Process.Signal(syscall.SIGTERM) // an orderly shutdown
	select {
	case <-m.gone:
	case <-time.After(patience):
		_ = m.nspawn.Process.Kill()
		<-m.gone
		m.t.Errorf("the machine did not shut down: %s", m.console.String())
	}
}

// run runs a command in the machine and returns what it printed and its exit code.
func (m *machine) run(command ...string) (string, int) {
	m.t.Helper()
	return m.feed("", command...)
}

// feed runs a command with input.
func (m *machine) feed(input string, command ...string) (string, int) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience) // Cleanup uses it too
	defer cancel()
	c := exec.CommandContext(ctx, "nsenter", append([]string{"--target", m.init, "--mount", "--uts", "--ipc", "--net", "--pid", "--"}, command...)...)
	c.Env = []string{"PATH=/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin", "LANG=C.UTF-8"}
	c.Stdin = strings.NewReader(input)
	out, err := c.CombinedOutput()
	if ctx.Err() != nil || c.ProcessState == nil {
		m.t.Fatalf("%v: %v: %s", command, err, out)
	}
	return string(out), c.ProcessState.ExitCode()
}

// must runs a command that has to succeed.
func (m *machine) must(command ...string) string {
	m.t.Helper()
	out, code := m.run(command...)
	if code != 0 {
		m.t.Fatalf("%v: exit code %d: %s", command, code, out)
	}
	return out
}

// write writes a file as root, in place.
func (m *machine) write(path, text string) {
	m.t.Helper()
	if out, code := m.feed(text, "sh", "-c", `mkdir -p "$(dirname "$0")" && cat >"$0"`, path); code != 0 {
		m.t.Fatalf("write %s: %s", path, out)
	}
}

// property returns one property of the service.
func (m *machine) property(name string) string {
	m.t.Helper()
	return strings.TrimSpace(m.must("systemctl", "show", "--value", "--property="+name, "presencebridge"))
}

func (m *machine) active() bool { return m.property("ActiveState") == "active" }

// logged tells whether the service, or systemd about it, has said text.
func (m *machine) logged(text string) bool {
	m.t.Helper()
	return strings.Contains(m.must("journalctl", "--no-pager", "--output=cat", "--unit=presencebridge"), text)
}

func (m *machine) eventually(what string, done func() bool) {
	m.t.Helper()
	pbxtest.Eventually(m.t, patience, what, done)
}
