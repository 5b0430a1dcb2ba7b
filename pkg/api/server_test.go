package api

import (
	"context"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/bridge"
)

func client(path string) *http.Client {
	return &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
	}}
}

func listen(t *testing.T, path string) *Server {
	t.Helper()
	s, err := Listen(t.Context(), path, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTheServerServesUntilItIsStoppedAndRemovesItsSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	s := listen(t, path)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != socketMode {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, New(quiet{}, Options{})) }()
	answer, err := client(path).Get("http://bridge/healthz")
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Errorf("healthz: %v, %v", answer, err)
	}
	_ = answer.Body.Close()
	stream, err := client(path).Get("http://bridge/api/v1/events")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Body.Close() }()
	cancel()
	if err := <-done; err != nil { // although a stream was open
		t.Error(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
}

// quiet is a bridge of which nothing is asked but a feed, in which nothing happens.
type quiet struct{ Bridge }

func (quiet) Subscribe(uint64) Feed { return quiet{} }
func (quiet) Close()                {}
func (quiet) Next(ctx context.Context) ([]bridge.FeedItem, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// stuck is a bridge that does not come back from a reload before it is let go.
type stuck struct {
	Bridge
	begun, letGo chan struct{}
}

func (s stuck) Reload(context.Context) error {
	close(s.begun)
	<-s.letGo
	return nil
}

func TestARequestThatDoesNotEndIsCut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	s := listen(t, path)
	b := stuck{begun: make(chan struct{}), letGo: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	most := standardLimits()
	most.shutdown = time.Millisecond
	go func() { done <- s.run(ctx, New(b, Options{}), s.listener, most) }()
	asked := make(chan error, 1)
	go func() {
		answer, err := client(path).Post("http://bridge/api/v1/reload", "", nil)
		if err == nil {
			_ = answer.Body.Close()
		}
		asked <- err
	}()
	<-b.begun
	cancel()
	if err := <-done; err != nil {
		t.Errorf("a client that does not end makes the stop fail: %v", err)
	}
	if err := <-asked; err == nil {
		t.Error("the request was answered")
	}
	close(b.letGo)
}

func TestAStaleSocketIsTakenOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // as after a kill
	_ = l.Close()
	if err := listen(t, path).Close(); err != nil {
		t.Error(err)
	}
}

func TestWhatIsInTheWayIsNamed(t *testing.T) {
	dir := t.TempDir()
	live, err := net.Listen("unix", filepath.Join(dir, "live"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = live.Close() }()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ name, path, want string }{
		{"a live bridge", filepath.Join(dir, "live"), "another program"},
		{"a file", filepath.Join(dir, "file"), "is no socket"},
		{"no folder", filepath.Join(dir, "no", "s"), "the folder for the socket"},
		{"a folder that is a file", filepath.Join(dir, "file", "s"), "not a directory"},
		{"a path that is too long", filepath.Join(dir, strings.Repeat("x", 108)), "shorter"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Listen(t.Context(), tc.path, zap.NewNop())
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), tc.path) {
				t.Errorf("got %v, want the path and %q", err, tc.want)
			}
		})
	}
}

func TestTheOwnerOfALiveSocketIsNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	s := listen(t, path)
	defer func() { _ = s.Close() }()
	_, err := Listen(t.Context(), path, zap.NewNop())
	if err == nil || !strings.Contains(err.Error(), "process ") {
		t.Errorf("got %v", err)
	}
	a, b := net.Pipe()
	defer func() { _, _ = a.Close(), b.Close() }()
	if got := peer(a); got != "" {
		t.Errorf("the peer of a pipe is %q", got)
	}
}

func TestTheGroupGetsTheSocket(t *testing.T) {
	gid, err := user.LookupGroupId("0")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "s")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := share(path, gid.Name); err != nil && !os.IsPermission(err) {
		t.Error(err)
	}
	if err := share(path+"x", "no such group"); err == nil {
		t.Error("a missing socket was shared")
	}
	if err := share(path+"x", gid.Name); err == nil {
		t.Error("a missing socket was given away")
	}
}

func TestAListenerThatFailsEndsTheServer(t *testing.T) {
	s := listen(t, filepath.Join(t.TempDir(), "s"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context(), New(quiet{}, Options{})); err == nil {
		t.Error("it went on")
	}
}
