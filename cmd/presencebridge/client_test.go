package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/presencebridge/presencebridge/pkg/api/apitest"
	"github.com/presencebridge/presencebridge/pkg/bridge"
)

func TestTheSocketIsFoundThroughTheConfiguration(t *testing.T) {
	dir := writeConfig(t, "http: {socket: s}\nunfinished: edit\n", "")
	file := filepath.Join(dir, "presencebridge.yaml")
	serve(t, apitest.New(), filepath.Join(dir, "s"))
	serve(t, apitest.New(), filepath.Join(dir, "other"))
	for _, tc := range []struct{ name, variable, want string }{
		{"relative to its file", "", filepath.Join(dir, "s")},
		{"a variable wins", "other", filepath.Join(dir, "other")},
		{"an absolute path", filepath.Join(dir, "gone"), filepath.Join(dir, "gone")},
		{"one that is not there", "gone", filepath.Join(dir, "gone")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newConsole()
			c.config = file
			c.Env = func(name string) string { return map[string]string{"PRESENCEBRIDGE_HTTP_SOCKET": tc.variable}[name] }
			if got, err := c.socketPath(); err != nil || got != tc.want {
				t.Errorf("got %q, %v, want %q", got, err, tc.want)
			}
		})
	}
	c := newConsole("status", "--config", file)
	if code := c.Run(t.Context()); code != exitDone {
		t.Errorf("exit code %d: %s", code, c.err.String())
	}
}

func TestTheSocketHasAStandardName(t *testing.T) {
	dir := writeConfig(t, "", "")
	c := newConsole()
	c.config = filepath.Join(dir, "presencebridge.yaml")
	if got, err := c.socketPath(); err != nil || got != filepath.Join(dir, defaultSocket) {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestAConfigurationThatCannotBeReadIsNamed(t *testing.T) {
	for name, text := range map[string]string{"no such file": "", "not YAML": "http: [", "not ours": "- a\n"} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(folder(t), "x.yaml")
			if text != "" {
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			c := newConsole("status", "--config", file)
			if code := c.Run(t.Context()); code != exitWrong || !strings.Contains(c.err.String(), "--socket PATH") || !strings.Contains(c.err.String(), file) {
				t.Errorf("exit code %d: %s", code, c.err.String())
			}
		})
	}
}

func TestABridgeThatCannotBeReachedIsExplained(t *testing.T) {
	dir := folder(t)
	stale := filepath.Join(dir, "stale")
	l, err := net.Listen("unix", stale)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = l.Close()
	for _, path := range []string{stale, filepath.Join(dir, "none")} {
		for _, args := range []string{"status", "status alice", "status --watch", "reload", "set alice lunch", "explain alice", "history alice"} {
			c := newConsole(append(strings.Fields(args), "--socket", path)...)
			if code := c.Run(t.Context()); code != exitUnreachable || !strings.Contains(c.err.String(), "systemctl start presencebridge") {
				t.Errorf("%s: exit code %d: %s", args, code, c.err.String())
			}
		}
		c := newConsole("--socket", path, "__complete", "status", "")
		if code := c.Run(t.Context()); code != exitDone {
			t.Errorf("completion: exit code %d: %s", code, c.err.String())
		}
	}
	for _, tc := range []struct {
		err  error
		want string
	}{
		{&net.OpError{Err: fs.ErrPermission}, "usermod -aG presencebridge"},
		{fmt.Errorf("get: %w", context.DeadlineExceeded), "in time"},
		{errors.New("something else"), "something else"},
	} {
		if got := dial("s", "cli").unreachable(tc.err).Error(); !strings.Contains(got, tc.want) {
			t.Errorf("%v is told as %q", tc.err, got)
		}
	}
}

func TestAnInterruptedCommandSaysSo(t *testing.T) {
	path := filepath.Join(folder(t), "s")
	serve(t, apitest.New(), path)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := newConsole("status", "--socket", path)
	if code := c.Run(ctx); code != exitFailed || c.err.String() != "presencebridge: interrupted\n" {
		t.Errorf("exit code %d: %s", code, c.err.String())
	}
}

// TestWhatIsNoBridgeIsNoticed talks to servers that are not what they seem.
func TestWhatIsNoBridgeIsNoticed(t *testing.T) {
	for _, tc := range []struct {
		name, answer string
		args         string
		code         int
		want         string
	}{
		{"not HTTP", "hello\r\n", "status", exitUnreachable, "is it one?"},
		{"another API", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", "status", exitFailed, "does not understand"},
		{"another error", "HTTP/1.1 418 I'm a teapot\r\nContent-Length: 0\r\n\r\n", "status", exitFailed, "418"},
		{"an odd id", "HTTP/1.1 200 OK\r\n\r\nid: x\n", "follow", 0, "invalid syntax"},
		{"an odd user", "HTTP/1.1 200 OK\r\n\r\ndata: x\n", "follow", 0, "invalid character"},
		{"an end", "HTTP/1.1 200 OK\r\n\r\n", "follow", 0, "ended the connection"},
		{"a cut", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "follow", 0, "unexpected EOF"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(folder(t), "s")
			answering(t, path, tc.answer)
			if tc.args == "follow" {
				err := dial(path, "cli").follow(t.Context(), 0, feed{opened: func() error { return nil }, item: func(bridge.FeedItem) error { return nil }})
				if err == nil || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("got %v, want %q", err, tc.want)
				}
				return
			}
			c := newConsole(tc.args, "--socket", path)
			if code := c.Run(t.Context()); code != tc.code || !strings.Contains(c.err.String(), tc.want) {
				t.Errorf("exit code %d: %s", code, c.err.String())
			}
		})
	}
}

// answering gives everybody the same answer.
func answering(t *testing.T, path, answer string) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 4096))
			_, _ = c.Write([]byte(answer))
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
}

func TestEveryPageIsRead(t *testing.T) {
	path := filepath.Join(folder(t), "s")
	serve(t, apitest.New(), path)
	c := dial(path, "cli")
	got, err := all[bridge.User](t.Context(), c, "/api/v1/users")
	if err != nil || len(got) != 5 {
		t.Errorf("%d users, %v", len(got), err)
	}
	if err := c.do(t.Context(), http.MethodPut, "/", make(chan int), nil); err == nil {
		t.Error("a channel was sent")
	}
	if err := c.do(t.Context(), "no method", "/", nil, nil); err == nil {
		t.Error("an odd method was sent")
	}
}

func TestVersionOf(t *testing.T) {
	for _, tc := range []struct {
		name string
		info *debug.BuildInfo
		want string // version and commit
	}{
		{"without build information", nil, "unknown"},
		{"a release", &debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}}, "v1.2.3"},
		{"a commit", &debug.BuildInfo{Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef"}}}, "unknown (0123456789ab)"},
		{"a changed one", &debug.BuildInfo{Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "01"}, {Key: "vcs.modified", Value: "true"}}}, "unknown (01, changed)"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := versionOf(tc.info).released("", "")
			if got := v.Version + v.commit(); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
	info := &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}
	v := versionOf(info).released("1.2.3", "0123456789abcdef")
	if got, want := v.Version+v.commit(), "1.2.3 (0123456789ab)"; got != want {
		t.Errorf("a release: got %q, want %q", got, want)
	}
}
