package main

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/presencebridge/presencebridge/pkg/api/apitest"
	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// background runs the console until stop, which returns the exit code.
func (c *console) background(t *testing.T) (stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	code := make(chan int, 1)
	go func() { code <- c.Run(ctx) }()
	stopped := false
	stop = func() int {
		if stopped {
			return 0
		}
		stopped = true
		cancel()
		return <-code
	}
	t.Cleanup(func() { stop() })
	return stop
}

// prints waits until the console has printed text.
func (c *console) prints(t *testing.T, text string) {
	t.Helper()
	eventually(t, "it printed "+text, func() bool { return strings.Contains(c.out.String(), text) })
}

// busy is a user of apitest with another status.
func busy(i int, message string) bridge.User {
	u := apitest.Users()[i]
	u.Version++
	u.Status = &bridge.UserStatus{Type: "dnd", Name: "Do not disturb", Base: presence.Busy, Message: message, Since: apitest.Now, By: "cli"}
	u.Last = &bridge.LastChange{At: presence.At(apitest.Now), By: "cli", Rule: presence.WonLatest}
	return u
}

func TestWatchPrintsALineForEveryChange(t *testing.T) {
	socket, b := filepath.Join(folder(t), "s"), apitest.New()
	serve(t, b, socket)
	c := newConsole("status", "--watch", "--socket", socket)
	stop := c.background(t)
	c.prints(t, `10:30:00  Alice Martin is Lunch "Back at 2" until 12:00, by extension main/1001 [1001 away:lunch, 1002 available (pending)]`)
	c.prints(t, "Dave is")
	b.Put(busy(1, "one"))
	c.prints(t, `Bob Lee is Do not disturb "one", by cli`)
	b.Put(busy(1, "one"))
	b.Put(busy(2, ""))
	c.prints(t, "Carol 田中 is Do not disturb, by cli")
	if code := stop(); code != exitDone {
		t.Errorf("exit code %d: %s", code, c.err.String())
	}
	if n := strings.Count(c.out.String(), "\n"); n != 7 {
		t.Errorf("%d lines, want one each and one for each change:\n%s", n, c.out.String())
	}
}

func TestWatchOfOneUserIgnoresTheOthers(t *testing.T) {
	socket, b := filepath.Join(folder(t), "s"), apitest.New()
	serve(t, b, socket)
	c := newConsole("status", "bob", "--watch", "--json", "--socket", socket)
	stop := c.background(t)
	c.prints(t, `{"id":"bob"`)
	b.Put(busy(0, "not for us"))
	b.Put(busy(1, "for us"))
	c.prints(t, `"message":"for us"`)
	stop()
	if strings.Contains(c.out.String(), "alice") || strings.Count(c.out.String(), "\n") != 2 {
		t.Errorf("printed %s", c.out.String())
	}
}

func TestWatchOfAnUnknownUserFails(t *testing.T) {
	socket := filepath.Join(folder(t), "s")
	serve(t, apitest.New(), socket)
	for _, c := range []*console{newConsole("status", "zoe", "--watch", "--socket", socket), newConsole("status", "zoe", "--watch", "--socket", socket).onTerminal(80, 24)} {
		if code := c.Run(t.Context()); code != exitFailed || !strings.Contains(c.err.String(), `"zoe"`) {
			t.Errorf("exit code %d: %s", code, c.err.String())
		}
	}
}

func TestWatchTellsOfALostBridgeAndComesBack(t *testing.T) {
	socket, b := filepath.Join(folder(t), "s"), apitest.New()
	stopServer := serve(t, b, socket)
	c := newConsole("status", "--watch", "--socket", socket)
	c.background(t)
	c.prints(t, "Eve is")
	stopServer()
	eventually(t, "the loss was told", func() bool { return strings.Contains(c.err.String(), "Connection lost at 10:30:00") })
	serve(t, b, socket)
	eventually(t, "it came back", func() bool { return strings.Contains(c.err.String(), "Connected again at 10:30:00.") })
	b.Put(busy(1, "again"))
	c.prints(t, `"again"`)
}

func TestWatchDrawsTheScreen(t *testing.T) {
	socket, b := filepath.Join(folder(t), "s"), apitest.New()
	stopServer := serve(t, b, socket)
	c := newConsole("status", "--watch", "--socket", socket).onTerminal(120, 24)
	stop := c.background(t)
	c.prints(t, enterScreen+toTop)
	c.prints(t, string(red)+"Do not disturb")
	c.prints(t, "PBX branch is not ready: connection refused")
	b.Put(busy(2, "drawn"))
	c.prints(t, "drawn")
	b.Remove("bob")
	c.prints(t, "  4 users.")
	stopServer()
	c.prints(t, "Connection lost at")
	if code := stop(); code != exitDone || !strings.HasSuffix(c.out.String(), leaveScreen) {
		t.Errorf("exit code %d, the screen was not left", code)
	}
}

func TestWatchOfOneUserDrawsTheDetail(t *testing.T) {
	socket := filepath.Join(folder(t), "s")
	serve(t, apitest.New(), socket)
	c := newConsole("status", "alice", "--watch", "--socket", socket).onTerminal(120, 10)
	c.background(t)
	c.prints(t, "Since        10:27, 3 min ago, by extension main/1001")
	c.prints(t, "lines more")
}
