package ari

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

// TestMain lets go what the observers on real Asterisks leave: amigo, and ari/v5,
// which is not told to end (real_test.go).
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, append(pbxtest.LeakOptions(),
		goleak.IgnoreAnyFunction("github.com/CyCoreSystems/ari/v5/client/native.(*Client).listen"))...)
}

const (
	testUser   = "panel"
	testSecret = "correct-horse-battery"
	testApp    = "bridge"
)

// asked is a request as it arrived.
type asked struct{ method, uri, kind, body, key string }

// peer is the other end: a PBX that does what a test tells it to, over pipes.
type peer struct {
	// events plays the websocket behind its handshake; nil: it stays quiet.
	events func(ctx context.Context, ws *websocket.Conn)
	// answer plays a request; false: peer answers as Asterisk would.
	answer func(w http.ResponseWriter, a asked) bool

	conns   chan net.Conn
	gone    chan struct{}
	playing sync.WaitGroup

	mu   sync.Mutex
	seen []asked
}

// start serves p until the test ends and returns how to reach it.
func (p *peer) start(t testing.TB) Config {
	t.Helper()
	p.conns, p.gone = make(chan net.Conn), make(chan struct{})
	server := &http.Server{Handler: p}
	var wg sync.WaitGroup
	wg.Go(func() { _ = server.Serve(p) })
	t.Cleanup(func() {
		_ = server.Close()
		wg.Wait()
		p.playing.Wait()
	})
	return Config{
		URL:      "http://pbx.example.com:8088/ari",
		Username: testUser,
		Password: NewSecret(testSecret),
		App:      testApp,
		Dial:     p.dial,
	}
}

func (p *peer) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-p.gone:
		return nil, errors.New("the peer is gone")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept, Close and Addr make p a net.Listener.
func (p *peer) Accept() (net.Conn, error) {
	select {
	case nc := <-p.conns:
		return nc, nil
	case <-p.gone:
		return nil, net.ErrClosed
	}
}

func (p *peer) Close() error { close(p.gone); return nil }

func (p *peer) Addr() net.Addr { return &net.TCPAddr{} }

func (p *peer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.playing.Add(1)
	defer p.playing.Done()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	a := asked{r.Method, r.RequestURI, r.Header.Get("Content-Type"), string(body), r.Header.Get("Sec-WebSocket-Key")}
	p.mu.Lock()
	p.seen = append(p.seen, asked{a.method, a.uri, a.kind, a.body, ""})
	p.mu.Unlock()
	if user, password, _ := r.BasicAuth(); user != testUser || password != testSecret {
		refuse(w, http.StatusUnauthorized, "Authentication required")
		return
	}
	if p.answer != nil && p.answer(w, a) {
		return
	}
	if r.URL.Path != "/ari/events" {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	ws, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = ws.CloseNow() }()
	var reading sync.WaitGroup
	reading.Go(func() { linger(ws) })
	if p.events != nil {
		p.events(r.Context(), ws)
	}
	reading.Wait()
}

// linger does what is left until the client is gone.
func linger(ws *websocket.Conn) {
	for {
		if _, _, err := ws.Read(context.Background()); err != nil {
			return
		}
	}
}

func refuse(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"message":%q}`, message)
}

// requests returns those so far but for the handshake and the filter of Open.
func (p *peer) requests() []asked {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(p.seen), func(a asked) bool {
		return strings.HasPrefix(a.uri, "/ari/events?") || strings.HasSuffix(a.uri, "/eventFilter")
	})
}

// say sends a message; the client may be gone.
func say(ws *websocket.Conn, text string) {
	_ = ws.Write(context.Background(), websocket.MessageText, []byte(text))
}

// device is an event as Asterisk 22 sends it.
func device(name, state string) string {
	return `{"type":"DeviceStateChanged","application":"bridge","timestamp":"2026-11-25T19:07:05.878+0000",` +
		`"device_state":{"name":"` + name + `","state":"` + state + `"},"asterisk_id":"02:fc:00:00:00:01"}`
}

const replaced = `{"type":"ApplicationReplaced","timestamp":"2026-11-25T19:10:36.612+0000","application":"bridge","asterisk_id":"02:fc:00:00:00:01"}`

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

// recorder notes what a handler is told. Read it after the connection is over.
type recorder struct{ lines []string }

func (r *recorder) handler() Handler {
	return Handler{
		Event: func(e Event) {
			line := e.GetType()
			if d, ok := e.(*DeviceStateChanged); ok {
				line = d.DeviceState.Name + " " + d.DeviceState.State
			}
			r.lines = append(r.lines, line)
		},
		Lost:      func(n int) { r.lines = append(r.lines, fmt.Sprint("lost ", n)) },
		Malformed: func(err error) { r.lines = append(r.lines, err.Error()) },
	}
}

// over waits for the end of a connection that its peer ends.
func over(t testing.TB, c *Conn) error {
	t.Helper()
	select {
	case <-c.Done():
	case <-time.After(time.Minute):
		t.Fatal("the connection does not end")
	}
	return c.Err()
}
