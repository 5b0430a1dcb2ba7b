package pbxtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/pbxsim"
)

const (
	bootDeadline = 90 * time.Second // a busy machine with two cores
	cliDeadline  = 30 * time.Second
	portTries    = 5
)

// Real is an Asterisk that runs for one test, on loopback, in folders of its own.
type Real struct {
	accounts
	watchers
	install install
	dir     string // of everything it has, as this process sees it
	inside  string // the same as Asterisk sees it
	version string
	port    int
	ariPort int         // of HTTP with ARI; 0: none
	sipPort int         // of Asterisk's own phones; 0: none
	probe   pbxsim.User // an account that no other Asterisk has: an answer to it is ours

	cmd    *exec.Cmd // nil: not running
	exited chan struct{}
}

func newReal(t testing.TB, in install, o Options) (*Real, error) {
	t.Helper()
	p := &Real{accounts: accounts{t, o.Users}, install: in}
	p.probe = pbxsim.User{Name: "probe-" + rand.Text(), Secret: rand.Text(), Write: "reporting"}
	parent := filepath.Join(in.root, "run")
	if in.root == "" {
		parent = os.TempDir() // short enough for the control socket's 108 bytes
	}
	dir, err := os.MkdirTemp(parent, "pb-")
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		p.Stop()
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove what a real Asterisk left: %v", err)
		}
	})
	p.dir, p.inside = dir, strings.TrimPrefix(dir, in.root)
	if p.version, err = in.asks("-V"); err != nil {
		return nil, err
	}
	p.version = strings.TrimSpace(strings.TrimPrefix(p.version, "Asterisk "))

	// A port that was free may be taken when Asterisk comes to it.
	for range portTries {
		if p.port, err = freePort(); err != nil {
			return nil, err
		}
		if o.ARI {
			if p.ariPort, err = freePort(); err != nil {
				return nil, err
			}
		}
		if o.Phones != nil {
			if p.sipPort, err = freeUDPPort(); err != nil {
				return nil, err
			}
		}
		if err = p.configure(o); err != nil {
			return nil, err
		}
		if err = p.run(); err == nil {
			return p, nil
		}
		p.end(os.Kill)
	}
	return nil, err
}

// freePort picks one below those that the kernel gives to clients, so that it
// is still free after a restart.
func freePort() (int, error) {
	for range 100 {
		b := make([]byte, 2)
		_, _ = rand.Read(b) // never fails, see crypto/rand
		port := 20000 + (int(b[0])<<8|int(b[1]))%12000
		l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, errors.New("no free port between 20000 and 32000")
}

// command is a run of the asterisk binary.
func (in install) command(ctx context.Context, args ...string) *exec.Cmd {
	if in.root == "" {
		return exec.CommandContext(ctx, in.binary, args...)
	}
	return exec.CommandContext(ctx, "chroot", append([]string{in.root, in.binary}, args...)...)
}

// asks runs the binary to its end and returns what it printed.
func (in install) asks(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), cliDeadline)
	defer cancel()
	out, err := in.command(ctx, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("asterisk %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return string(out), nil
}

func (p *Real) cli(command string) (string, error) {
	return p.install.asks("-C", p.inside+"/etc/asterisk.conf", "-rx", command)
}

// run starts the process and waits until it is booted and answers on its port.
func (p *Real) run() error {
	log, err := os.Create(filepath.Join(p.dir, "output"))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the child has its own
	cmd := p.install.command(context.Background(), "-f", "-n", "-C", p.inside+"/etc/asterisk.conf")
	cmd.Stdout, cmd.Stderr = log, log
	dieWithUs(cmd)
	if err := cmd.Start(); err != nil {
		return err
	}
	p.cmd, p.exited = cmd, make(chan struct{})
	go func() { // ends with the process; end waits for it
		_ = cmd.Wait() // how it ended is seen in what it wrote
		close(p.exited)
	}()
	booted := func() bool {
		if p.gone() {
			return true
		}
		_, err := p.cli("core waitfullybooted")
		return err == nil
	}
	if err := poll(bootDeadline, booted); err != nil || p.gone() {
		text, _ := os.ReadFile(log.Name()) // best effort: it only explains
		return fmt.Errorf("asterisk %s did not boot: %s", p.install.name, bytes.TrimSpace(text))
	}
	return p.answers()
}

func (p *Real) gone() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// answers logs in with the account that only this instance has.
func (p *Real) answers() error {
	dialer := net.Dialer{Timeout: cliDeadline}
	conn, err := dialer.DialContext(context.Background(), "tcp", p.Addr())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // nothing to lose
	if err := conn.SetDeadline(time.Now().Add(cliDeadline)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(conn, "Action: Login\r\nUsername: %s\r\nSecret: %s\r\n\r\n", p.probe.Name, p.probe.Secret); err != nil {
		return err
	}
	var got []byte
	for b := make([]byte, 512); !bytes.Contains(got, []byte("\r\n\r\n")); {
		n, err := conn.Read(b)
		if err != nil {
			return err
		}
		got = append(got, b[:n]...)
	}
	if !bytes.Contains(got, []byte("Response: Success")) {
		return fmt.Errorf("another Asterisk answers at %s", p.Addr())
	}
	return nil
}

// end makes the process end and waits for it.
func (p *Real) end(how os.Signal) {
	if p.cmd == nil {
		return
	}
	if how != os.Kill {
		_, _ = p.cli("core stop now") // what it did not understand, the deadline mends
		select {
		case <-p.exited:
		case <-time.After(cliDeadline):
		}
	}
	_ = p.cmd.Process.Kill() // gone already: good
	<-p.exited
	p.cmd = nil
}

// Name is what the environment calls it.
func (p *Real) Name() string { return p.install.name }

// Version is Asterisk's own, with what a distribution added.
func (p *Real) Version() string { return p.version }

// Addr is where AMI listens.
func (p *Real) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)) }

// Start starts it again after a Stop or Kill.
func (p *Real) Start() {
	p.t.Helper()
	if err := p.run(); err != nil {
		p.t.Fatal(err)
	}
	p.comeBack()
}

// Stop stops it cleanly.
func (p *Real) Stop() {
	p.leave()
	p.end(os.Interrupt)
}

// Kill is kill -9.
func (p *Real) Kill() {
	p.leave()
	p.end(os.Kill)
}

// Restart stops it cleanly and starts it again.
func (p *Real) Restart() {
	p.t.Helper()
	p.Stop()
	p.Start()
}

// Load loads a module.
func (p *Real) Load(m pbxsim.Module) { p.t.Helper(); p.module("load", m) }

// Unload unloads a module.
func (p *Real) Unload(m pbxsim.Module) { p.t.Helper(); p.module("unload", m) }

func (p *Real) module(verb string, m pbxsim.Module) {
	p.t.Helper()
	if out, err := p.cli("module " + verb + " " + string(m)); err != nil {
		p.t.Fatalf("module %s %s: %v: %s", verb, m, err, out)
	}
}

// Stored is what the AstDB has now for every presentity that func_presencestate keeps.
func (p *Real) Stored() (map[string]pbxsim.Change, error) {
	out, err := p.cli("database show CustomPresence")
	if err != nil {
		return nil, err
	}
	stored := make(map[string]pbxsim.Change)
	for line := range strings.Lines(out) {
		key, value, ok := strings.Cut(line, ": ")
		name, custom := strings.CutPrefix(strings.TrimSpace(key), "/CustomPresence/")
		if !ok || !custom {
			continue // how many there are
		}
		c, err := pbxsim.Parse(strings.TrimSpace(value))
		if err != nil {
			return nil, fmt.Errorf("the AstDB has %q for %s: %w", value, name, err)
		}
		c.Presentity = "CustomPresence:" + name
		stored[c.Presentity] = c
	}
	return stored, nil
}

// AstDB is the file of the AstDB. Open it only while the PBX is stopped: a reader
// makes Asterisk lose what it writes (main/db.c:1192).
func (p *Real) AstDB() string { return filepath.Join(p.dir, "db", "astdb.sqlite3") }

// Commit waits for the AstDB's transaction to end: SQLite's journal is there
// exactly as long as it is open (main/db.c, db_sync_thread).
func (p *Real) Commit() {
	p.t.Helper()
	Eventually(p.t, cliDeadline, "the AstDB commits", func() bool {
		_, err := os.Stat(p.AstDB() + "-journal")
		return errors.Is(err, os.ErrNotExist)
	})
}
