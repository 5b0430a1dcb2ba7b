package main

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/pbxsim"
)

// leavesNothing gives the test a folder for temporary files and checks it at the end.
func leavesNothing(t *testing.T) {
	t.Helper()
	dir := folder(t)
	t.Setenv("TMPDIR", dir)
	t.Cleanup(func() {
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	})
}

func TestDemoShowsPhonesAndPanelOnASimulatedPBX(t *testing.T) {
	leavesNothing(t)
	t.Setenv("PRESENCEBRIDGE_STORE_DSN", "/nonexistent/real.db") // must not matter
	c := newConsole("demo")
	c.Now = time.Now
	stop := c.background(t)
	c.prints(t, "/invitation/")
	c.prints(t, "Alice is Available, by extension main/1001: it spoke most recently")
	c.prints(t, ", by panel reception: it spoke most recently")
	c.prints(t, "is On a call (")
	if code := stop(); code != exitDone || !strings.HasSuffix(c.out.String(), "The demo is over.\n") {
		t.Errorf("exit code %d: %s%s", code, c.out.String(), c.err.String())
	}
}

func TestDemoClearsAwayWhenItsTerminalIsClosed(t *testing.T) {
	leavesNothing(t)
	c := newConsole("demo")
	done := make(chan int, 1)
	go func() { done <- c.Run(t.Context()) }()
	c.prints(t, "Alice is")
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if code := <-done; code != exitDone {
		t.Errorf("exit code %d: %s", code, c.err.String())
	}
}

func TestDemoEndsByItself(t *testing.T) {
	leavesNothing(t)
	c := newConsole("demo", "--for", "1s").onTerminal(120, 30)
	c.Now = time.Now
	if code := c.Run(t.Context()); code != exitDone || !strings.Contains(c.out.String(), "The demo is over.") {
		t.Errorf("exit code %d: %s", code, c.err.String())
	}
}

func TestDemoRunsOnAPBXOfYours(t *testing.T) {
	leavesNothing(t)
	p := pbxsim.New(pbxsim.Config{})
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	defer p.Stop()
	account := pbxsim.DefaultUsers()[0]
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(account.Secret), 0o600); err != nil {
		t.Fatal(err)
	}
	c := newConsole("demo", "--pbx", p.Addr(), "--ami-user", account.Name, "--ami-secret-file", secret).onTerminal(140, 30)
	c.background(t)
	c.prints(t, "presencestate change CustomPresence:1001")
	eventually(t, "the panel wrote to the PBX", func() bool {
		return slices.ContainsFunc(slices.Collect(maps.Keys(p.Stats().Writes)), func(name string) bool { return strings.HasPrefix(name, "CustomPresence:10") })
	})
}

func TestDemoTakesAPBXOnAnotherMachine(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("s"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &stage{dir: dir, socket: filepath.Join(dir, "s"), listen: "127.0.0.1:1", people: 6}
	load, err := s.write("192.0.2.10:5038", "u", secret)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := load(); err != nil {
		t.Error(err)
	}
}

func TestDemoSaysWhatItNeeds(t *testing.T) {
	leavesNothing(t)
	for args, want := range map[string]string{
		"demo --pbx localhost": "ami-user",
		"demo --pbx localhost --ami-user u --ami-secret-file none":   "HOST:5038",
		"demo --pbx localhost:1 --ami-user u --ami-secret-file none": "none: there is no such file",
	} {
		c := newConsole(strings.Fields(args)...)
		if code := c.Run(t.Context()); code != exitWrong || !strings.Contains(c.err.String(), want) {
			t.Errorf("%s: exit code %d: %s", args, code, c.err.String())
		}
	}
}

func TestDemoFailsWhereItCannotWrite(t *testing.T) {
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "none"))
	c := newConsole("demo")
	if code := c.Run(t.Context()); code != exitFailed {
		t.Errorf("exit code %d: %s", code, c.err.String())
	}
}

func TestTheActorGivesUpWhenThePanelIsRefused(t *testing.T) {
	a := newActor(&stage{socket: filepath.Join(folder(t), "none"), people: 1})
	a.pause = time.Millisecond
	if err := a.run(t.Context()); err == nil {
		t.Error("it went on")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.run(ctx); err != nil {
		t.Error(err)
	}
}
