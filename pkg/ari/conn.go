package ari

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	cycore "github.com/CyCoreSystems/ari/v5"
	"github.com/coder/websocket"
)

const (
	// Both together notice within 20 s that the other half is gone. Asterisk
	// itself never pings.
	pingInterval = 10 * time.Second
	pingTimeout  = 10 * time.Second

	maxMessage = 256 << 10 // bytes of an event; real ones have less than 2 KiB

	goodbyeTimeout = 200 * time.Millisecond // for the closing handshake
	hangupTimeout  = 400 * time.Millisecond // for the channel that presence is read on
)

var (
	errSilent   = fmt.Errorf("a ping was not answered within %s", pingTimeout)
	errBinary   = fmt.Errorf("%w: a binary message", ErrMalformed)
	errOversize = fmt.Errorf("%w: a message of more than %d bytes", ErrMalformed, maxMessage)
	errJSON     = fmt.Errorf("%w: a message that is not an event in JSON", ErrMalformed)
	errFields   = fmt.Errorf("%w: an event with other fields than its type has", ErrMalformed)
)

// Conn is one connection of one registered application. Its methods may be called
// from any goroutine, with the exceptions that Handler names.
type Conn struct {
	app           string
	base          string // URL of ARI without a slash at the end
	authorization Secret // the header
	password      Secret
	timeout       time.Duration
	http          *http.Client
	ws            *websocket.Conn
	nc            net.Conn // under ws, for its deadline
	filtered      bool     // Asterisk sends Config.Events alone; since Open
	queue         *queue
	over          chan struct{} // closed by run as its last deed

	// life ends with the connection and takes the requests along that are under
	// way. It is nobody's request, so it is kept.
	life context.Context
	stop context.CancelFunc

	events, malformed, unknown atomic.Uint64

	mu       sync.Mutex
	err      error          // why the connection ended; nil while it has not
	requests sync.WaitGroup // Add under mu while err is nil

	parking chan struct{} // of one place, for who makes a channel
	channel string        // that presence is read on, and that may be there; "": none yet
}

func newConn(cfg Config, base *url.URL) *Conn {
	basic := base64.StdEncoding.EncodeToString([]byte(cfg.Username + ":" + cfg.Password.reveal()))
	c := &Conn{
		app:           cfg.App,
		base:          base.String(),
		authorization: NewSecret("Basic " + basic),
		password:      cfg.Password,
		timeout:       cfg.Timeout,
		http:          &http.Client{Transport: transport(cfg), CheckRedirect: noRedirects},
		queue:         newQueue(cfg.Queue),
		parking:       make(chan struct{}, 1),
		over:          make(chan struct{}),
	}
	c.life, c.stop = context.WithCancel(context.Background())
	return c
}

// Done is closed when the connection is over and nothing of it runs any more: the
// handler has been told all that came before.
func (c *Conn) Done() <-chan struct{} { return c.over }

// Err returns nil until the connection ends, then an ErrClosed with the reason.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Filtered tells whether Asterisk sends only the events of Config.Events. One before
// 13.26 and 16.3 sends all that the application follows.
func (c *Conn) Filtered() bool { return c.filtered }

// Counters returns what came so far.
func (c *Conn) Counters() Counters {
	return Counters{
		Events:    c.events.Load(),
		Lost:      c.queue.dropped(),
		Malformed: c.malformed.Load(),
		Unknown:   c.unknown.Load(),
	}
}

// Close ends the connection, and the channel that presence was read on. It
// returns, nil, when nothing of it runs any more, so not before a call of the
// handler that is under way, and may be called again. Events that still wait are
// dropped.
func (c *Conn) Close() error {
	c.queue.discard()
	c.end(nil)
	<-c.over
	return nil
}

// end makes run finish for the given reason, nil for Close. Only the first
// reason counts.
func (c *Conn) end(reason error) {
	c.mu.Lock()
	if c.err == nil {
		c.err = ErrClosed
		if reason != nil {
			c.err = fmt.Errorf("%w: %w", ErrClosed, reason)
		}
	}
	c.mu.Unlock()
	c.stop()
}

// run owns the connection's life.
func (c *Conn) run(h Handler) {
	defer close(c.over)
	var parts sync.WaitGroup
	parts.Go(func() { c.end(c.receive()) })
	parts.Go(func() { c.ping() })
	parts.Go(func() { c.deliver(h) })
	<-c.life.Done()
	c.requests.Wait() // one of them may just make the channel
	c.hangup()
	_ = c.nc.SetDeadline(time.Now().Add(goodbyeTimeout))
	_ = c.ws.Close(websocket.StatusNormalClosure, "") // else Asterisk logs a warning
	c.queue.finish()
	parts.Wait()
	c.http.CloseIdleConnections()
}

// ping ends the connection when the other half does not answer.
func (c *Conn) ping() {
	tick := time.NewTicker(pingInterval)
	defer tick.Stop()
	for {
		select {
		case <-c.life.Done():
			return
		case <-tick.C:
		}
		ctx, cancel := context.WithTimeout(c.life, pingTimeout)
		err := c.ws.Ping(ctx)
		silent := ctx.Err() != nil
		cancel()
		switch {
		case err == nil:
		case silent:
			c.end(errSilent)
			return
		default:
			return // the connection is over, and receive knows why
		}
	}
}

// receive reads until the connection ends and returns why.
func (c *Conn) receive() error {
	var text bytes.Buffer
	for {
		err := c.message(&text)
		switch {
		case errors.Is(err, ErrMalformed):
			c.reject(err)
		case err != nil:
			return err
		default:
			if err := c.take(text.Bytes()); err != nil {
				return err
			}
		}
	}
}

// message reads the next one into text. One that is too large is read to its end
// and thrown away, so that whoever can make Asterisk send one ends nothing.
func (c *Conn) message(text *bytes.Buffer) error {
	kind, r, err := c.ws.Reader(context.Background()) // ended by closing it
	if err != nil {
		return c.lost(err)
	}
	text.Reset()
	if _, err := text.ReadFrom(io.LimitReader(r, maxMessage+1)); err != nil {
		return c.lost(err)
	}
	if text.Len() > maxMessage {
		if _, err := io.Copy(io.Discard, r); err != nil {
			return c.lost(err)
		}
		return errOversize
	}
	if kind != websocket.MessageText {
		return errBinary
	}
	return nil
}

// lost says why nothing can be read any more.
func (c *Conn) lost(err error) error {
	if code := websocket.CloseStatus(err); code >= 0 {
		return fmt.Errorf("the PBX closed it: %d", code)
	}
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("the PBX closed it: %w", io.EOF)
	}
	if errors.Is(err, net.ErrClosed) {
		return errSilent // by the websocket itself, which could not send for 5 s
	}
	return fmt.Errorf("read: %w", c.cause(err))
}

// take decodes a message and puts it in the queue. An error ends the connection.
func (c *Conn) take(text []byte) error {
	e, err := decode(text)
	switch {
	case errors.Is(err, errUnknown):
		c.unknown.Add(1)
		return nil
	case err != nil:
		c.reject(err)
		return nil
	}
	if e.GetType() == cycore.Events.ApplicationReplaced && e.GetApplication() == c.app {
		return ErrReplaced
	}
	c.events.Add(1)
	c.queue.put(item{event: e, size: len(text)})
	return nil
}

func (c *Conn) reject(err error) {
	c.malformed.Add(1)
	c.queue.put(item{err: err})
}

// errUnknown says that an event has a type that ari/v5 does not know.
var errUnknown = errors.New("unknown type of event")

// decode never returns neither event nor error. Of an error of ari/v5 it keeps
// nothing, since it repeats the message.
func decode(text []byte) (Event, error) {
	e, err := cycore.DecodeEvent(text)
	if err == nil && e != nil {
		return e, nil
	}
	if e != nil {
		return nil, errFields
	}
	// The errors of an unknown type and of rubbish cannot be told apart.
	var m cycore.Message
	if json.Unmarshal(text, &m) != nil || m.Type == "" {
		return nil, errJSON
	}
	return nil, errUnknown
}

// deliver hands the queue to the handler.
func (c *Conn) deliver(h Handler) {
	for {
		it, ok := c.queue.next()
		switch {
		case !ok:
			return
		case it.lost > 0:
			if h.Lost != nil {
				h.Lost(it.lost)
			}
		case it.err != nil:
			if h.Malformed != nil {
				h.Malformed(it.err)
			}
		default:
			if h.Event != nil {
				h.Event(it.event)
			}
		}
	}
}
