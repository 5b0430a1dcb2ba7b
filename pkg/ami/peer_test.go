package ami

import (
	"bufio"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testSecret    = "correct-horse-battery"
	testChallenge = "840415273"
)

// peer is the other end: a PBX that does what a test tells it to.
type peer struct {
	nc  net.Conn
	in  *bufio.Reader
	log strings.Builder // all that the client sent
}

// asked is an action as it arrived.
type asked struct {
	name, id string
	headers  map[string]string
}

// action reads the next one; its zero value means that the client is gone.
func (p *peer) action() asked {
	a := asked{headers: map[string]string{}}
	for {
		line, err := p.in.ReadString('\n')
		p.log.WriteString(line)
		if err != nil {
			return asked{}
		}
		if line == "\r\n" {
			a.name, a.id = a.headers["Action"], a.headers["ActionID"]
			return a
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\r\n"), ": ")
		a.headers[name] = value
	}
}

// send writes text with its line ends as CR LF, in one piece. The client may be gone.
func (p *peer) send(format string, args ...any) {
	text := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "\r\n")
	_, _ = p.nc.Write([]byte(text))
}

// login plays greeting, challenge and login; behind follows in the same segment.
func (p *peer) login(behind string) {
	p.send("Asterisk Call Manager/11.0.0\n")
	p.send("Response: Success\nActionID: %s\nChallenge: %s\n\n", p.action().id, testChallenge)
	login := p.action()
	sum := md5.Sum([]byte(testChallenge + testSecret))
	if login.headers["Key"] != hex.EncodeToString(sum[:]) {
		p.send("Response: Error\nActionID: %s\nMessage: Authentication failed\n\n", login.id)
		return
	}
	p.send("Response: Success\nActionID: %s\nMessage: Authentication accepted\n\n%s", login.id, behind)
}

// drain reads until the client is gone.
func (p *peer) drain() {
	for p.action().name != "" {
	}
}

// play starts script as the other end of a pipe and returns the configuration
// to reach it, and what ends it and returns all that it was sent.
func play(t testing.TB, script func(*peer)) (Config, func() string) {
	t.Helper()
	client, server := net.Pipe()
	p := &peer{nc: server, in: bufio.NewReader(server)}
	var wg sync.WaitGroup
	wg.Go(func() {
		defer func() { _ = server.Close() }()
		script(p)
	})
	sent := func() string {
		_ = client.Close()
		wg.Wait()
		return p.log.String()
	}
	t.Cleanup(func() { sent() })
	return Config{
		Address:  "pbx.example.com:5038",
		Username: "panel",
		Secret:   NewSecret(testSecret),
		Dial:     func(context.Context, string, string) (net.Conn, error) { return client, nil },
	}, sent
}

// start opens a connection to a peer that continues with script after the login.
func start(t testing.TB, h Handler, script func(*peer)) *Conn {
	t.Helper()
	cfg, _ := play(t, func(p *peer) {
		p.login("")
		script(p)
	})
	return enter(t, cfg, h)
}

// enter opens a connection that must succeed, and closes it with the test.
func enter(t testing.TB, cfg Config, h Handler) *Conn {
	t.Helper()
	c, err := Open(t.Context(), cfg, h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func must(t testing.TB) func(Action, error) Action {
	return func(a Action, err error) Action {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
}

// recorder notes what a handler is told. Read it after the connection is over.
type recorder struct{ lines []string }

func (r *recorder) handler() Handler {
	return Handler{
		Event: func(e Event) {
			r.lines = append(r.lines, strings.TrimSpace("event "+e.Name()+" "+e.Get("Message")))
		},
		Malformed: func(err error) { r.lines = append(r.lines, "malformed "+err.Error()) },
	}
}

func wantClosed(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, ErrClosed) {
		t.Errorf("error = %v, want ErrClosed", err)
	}
}
