package bench

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// peersVariable names the folder that peers/install has filled.
const peersVariable = "BENCH_PEERS"

// peerLimit is how long a reader may take for a recording before it is said to have lost its end.
const peerLimit = 3 * time.Minute

// peer is a program that obeys peers/README.md.
type peer struct {
	name  string
	ours  bool
	floor bool     // it counts bytes
	kind  string   // one of goReaders; "": command
	run   []string // the command
	probe []string // succeeds where the library is installed
	need  string   // what to install otherwise

	writes bool // it writes each event into PEER_DB, where there is a SQLite for it
}

// peers are all that are compared, the floors first.
func peers() []peer {
	script := func(name string) string { return filepath.Join("peers", name) }
	node := func(name, file string) peer {
		library, _, _ := strings.Cut(name, " ")
		return peer{name: name, run: []string{"node", script(file)}, probe: []string{"node", "-e", "require('" + library + "')"}, need: "npm " + library, writes: true}
	}
	return []peer{
		{name: "bytes counted (floor)", kind: "bytes", floor: true},
		{name: "parsed by hand (floor)", kind: "hand"},
		{name: "ours: pkg/ami", kind: "ami", ours: true},
		{name: "ours: connector, reports", kind: "connector", ours: true},
		{name: "ours: bridge, decided", kind: "decided", ours: true},
		{name: "ours: bridge, saved", kind: "saved", ours: true},
		{name: "amigo 0.1.11 (Go)", kind: "amigo", writes: true},
		node("yana 0.3.0 (Node)", "yana.js"),
		node("asterisk-manager 0.2.0 (Node)", "asterisk-manager.js"),
		{
			name: "panoramisk 1.4 (Python)", run: []string{"/usr/bin/python3", script("listen_panoramisk.py")},
			probe: []string{"/usr/bin/python3", "-c", "import panoramisk"}, need: "python3-panoramisk", writes: true,
		},
		{
			name: "Telephony::Asterisk::AMI (Perl)", run: []string{"perl", script("telephony-asterisk-ami.pl")},
			probe: []string{"perl", "-MTelephony::Asterisk::AMI", "-e", "1"}, need: "libtelephony-asterisk-ami-perl",
		},
	}
}

// environment is the peer's: where npm packages are, and more.
func (p peer) environment(more ...string) []string {
	env := append(os.Environ(), more...)
	return append(env, "NODE_PATH="+filepath.Join(os.Getenv(peersVariable), "node_modules"))
}

// installed tells whether the peer can run here.
func (p peer) installed(ctx context.Context) bool {
	if p.kind != "" {
		return true
	}
	cmd := exec.CommandContext(ctx, p.probe[0], p.probe[1:]...)
	cmd.Env = p.environment()
	return cmd.Run() == nil
}

// writesHere tells whether the peer can write events here.
func (p peer) writesHere(ctx context.Context) bool {
	if !p.writes || p.kind != "" || p.run[0] != "node" {
		return p.writes
	}
	p.probe = []string{"node", "-e", "new (require('better-sqlite3'))(':memory:')"}
	return p.installed(ctx)
}

// running is a peer's process.
type running struct {
	tb   testing.TB
	peer peer
	cmd  *exec.Cmd
	in   interface{ Write([]byte) (int, error) }
	out  *bufio.Reader
	said strings.Builder // on the standard error
	stop func()
}

func (p peer) start(tb testing.TB, addr string, more ...string) *running {
	tb.Helper()
	ctx, cancel := context.WithCancel(tb.Context())
	r := &running{tb: tb, peer: p}
	if p.kind != "" {
		r.cmd = exec.CommandContext(ctx, os.Args[0])
		more = append(more, childVariable+"=reader "+p.kind+" "+addr)
	} else {
		host, port, _ := strings.Cut(addr, ":")
		r.cmd = exec.CommandContext(ctx, p.run[0], append(p.run[1:len(p.run):len(p.run)], host, port)...)
	}
	r.cmd.Env, r.cmd.Stderr = p.environment(more...), &r.said
	in, err := r.cmd.StdinPipe()
	check(tb, err)
	out, err := r.cmd.StdoutPipe()
	check(tb, err)
	check(tb, r.cmd.Start())
	r.in, r.out = in, bufio.NewReaderSize(out, 1<<20)
	r.stop = func() {
		_ = in.Close()
		late := time.AfterFunc(10*time.Second, cancel)
		_ = r.cmd.Wait()
		late.Stop()
		cancel()
	}
	return r
}

// reading is what one pass over a recording took, and what became of its events.
type reading struct {
	count     int // events that the handler saw; of a floor: bytes
	wall, cpu time.Duration
	lost      bool // the end never came
}

// pass makes the peer read the recording once.
func (r *running) pass() (got reading) {
	r.tb.Helper()
	late := time.AfterFunc(peerLimit, func() { _ = r.cmd.Process.Kill() })
	defer late.Stop()
	cpu, start := r.cpu(), time.Now()
	_, err := r.in.Write([]byte("go\n"))
	check(r.tb, err)
	line, err := r.out.ReadString('\n')
	got.wall, got.cpu = time.Since(start), r.cpu()-cpu
	if n, _ := fmt.Sscanf(line, "end %d", &got.count); err != nil || n != 1 {
		got.lost = true
		r.tb.Logf("%s: %v %q %s", r.peer.name, err, line, r.said.String())
	}
	return got
}

func (r *running) cpu() time.Duration { return cpuClock(r.cmd.Process.Pid) }

// cpuClock is what a process has used so far, in all its threads and in user and kernel
// mode: its CPU clock, whose number Linux makes of the process's (clock_getcpuclockid).
func cpuClock(pid int) time.Duration {
	const scheduled = 2
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduled), &t); err != nil {
		return 0 // it is gone, which its pipes tell of
	}
	return time.Duration(t.Nano())
}

// wrong asks for the final state and counts the presentities that differ from what was sent.
func (r *running) wrong(want map[string]shows) (n int) {
	r.tb.Helper()
	_, err := r.in.Write([]byte("state\n"))
	check(r.tb, err)
	got := map[string]shows{}
	for {
		line, err := r.out.ReadString('\n')
		if err != nil {
			r.tb.Fatalf("%s: %v: %s", r.peer.name, err, r.said.String())
		}
		if line == ".\n" {
			break
		}
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), "|", 4)
		if len(f) != 4 {
			r.tb.Fatalf("%s: no line of a state: %q", r.peer.name, line)
		}
		got[f[0]] = shows{f[1], f[2], f[3]}
	}
	for presentity, s := range want {
		if got[presentity] != s {
			n++
		}
		delete(got, presentity)
	}
	return n + len(got)
}

// resident is the process's memory, in MB.
func (r *running) resident() (mb float64) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.cmd.Process.Pid))
	check(r.tb, err)
	in := bufio.NewScanner(strings.NewReader(string(text)))
	for in.Scan() {
		_, _ = fmt.Sscanf(in.Text(), "VmRSS: %f kB", &mb)
	}
	return mb * 1024 / 1e6
}
