package ami

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Conn is one connection that is logged in. Its methods may be called from any
// goroutine but the reader's, with the exceptions that they name.
type Conn struct {
	nc      net.Conn
	timeout time.Duration
	prefix  string        // of our ActionIDs; a frame forged inside the PBX cannot know it
	greeted chan struct{} // closed when version is set
	version string
	over    chan struct{} // closed by the reader as its last deed
	listing *call         // reader only: the list whose items are coming; nil: none
	timed   bool
	came    time.Time // reader only

	writing sync.Mutex // one writer at a time; taken before mu
	out     []byte     // under writing: the action on its way out

	mu       sync.Mutex
	last     uint64    // number of the newest action
	pending  []*call   // in the order of the wire
	deadline time.Time // by when the oldest pending, or the greeting, must move on; zero: nothing is awaited
	err      error     // why the connection ended; nil while it has not
	leaving  bool      // Close was called: what still comes is of no interest
}

// call is an action that was sent and not yet answered.
type call struct {
	number   uint64
	action   string
	done     func(Response, error)
	complete string // the event that ends the list; "": the action has one answer
	item     func(Event)
	items    uint64
	response *Response // of a list whose items are coming
}

// Version returns the protocol's version as the greeting had it, such as "11.0.0".
func (c *Conn) Version() string { return c.version }

// Came returns when the bytes of the event that is being handed out were read from the
// network, with those around it, if Config.Timed asks for it. Reader only.
func (c *Conn) Came() time.Time { return c.came }

// Done is closed when the connection is over and nothing of it runs any more.
func (c *Conn) Done() <-chan struct{} { return c.over }

// Err returns nil until the connection ends, then an ErrClosed with the reason.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close logs off and ends the connection. It returns, nil, when nothing of it
// runs any more, and may be called again.
func (c *Conn) Close() error {
	c.mu.Lock()
	c.leaving = true
	c.mu.Unlock()
	// Only a courtesy: not worth waiting for another writer or a PBX that does not read.
	if c.writing.TryLock() {
		_ = c.nc.SetWriteDeadline(time.Now().Add(min(c.timeout, 100*time.Millisecond)))
		_, _ = c.nc.Write([]byte("Action: Logoff\r\n\r\n"))
		c.writing.Unlock()
	}
	c.end(nil)
	<-c.over
	return nil
}

// Send puts an action on the wire without waiting for its answer. An error means
// that nothing was sent. Otherwise done runs exactly once: when the answer
// comes, on the reader goroutine and in the order of the wire, so before any event
// that the action causes; or with an error when the connection ends. done must
// not block. Sending takes at most Config.Timeout, and an action that is the
// oldest unanswered one for that long ends the connection, since Asterisk
// answers in order. A Send from the reader goroutine is possible but holds up events.
func (c *Conn) Send(a Action, done func(Response, error)) error {
	return c.send(a, &call{done: done})
}

// Do sends an action and waits for its answer, which comes within
// Config.Timeout unless actions that were sent before take long. An answer
// other than success is a *ResponseError. When ctx ends the wait is over but the
// action is not undone.
func (c *Conn) Do(ctx context.Context, a Action) (Response, error) {
	if err := ctx.Err(); err != nil {
		return Response{}, err
	}
	answered := newAnswer()
	if err := c.Send(a, answered.done); err != nil {
		return Response{}, err
	}
	return answered.wait(ctx)
}

// List sends an action that is answered by a list and passes its items to item,
// on the reader goroutine. It succeeds only if the event named complete came and
// counts as many items as were seen; else what was seen is to be thrown away
// and the error is a *ResponseError or an ErrIncomplete. item does not run after
// List has returned. Config.Timeout counts from the last item.
func (c *Conn) List(ctx context.Context, a Action, complete string, item func(Event)) (Response, error) {
	if err := ctx.Err(); err != nil {
		return Response{}, err
	}
	var mu sync.Mutex
	open := true
	guarded := func(e Event) {
		mu.Lock()
		defer mu.Unlock()
		if open {
			item(e)
		}
	}
	answered := newAnswer()
	if err := c.send(a, &call{done: answered.done, complete: complete, item: guarded}); err != nil {
		return Response{}, err
	}
	response, err := answered.wait(ctx)
	mu.Lock()
	open = false
	mu.Unlock()
	var refused *ResponseError
	if err != nil && !errors.As(err, &refused) && !errors.Is(err, ErrIncomplete) {
		err = fmt.Errorf("%w: %w", ErrIncomplete, err)
	}
	return response, err
}

// answer carries what done was told to the one who waits.
type answer chan struct {
	response Response
	err      error
}

func newAnswer() answer { return make(answer, 1) }

func (a answer) done(response Response, err error) {
	a <- struct {
		response Response
		err      error
	}{response, err}
}

func (a answer) wait(ctx context.Context) (Response, error) {
	select {
	case got := <-a:
		return got.response, got.err
	case <-ctx.Done():
		return Response{}, ctx.Err()
	}
}

// send registers p and writes a, in the same order for all.
func (c *Conn) send(a Action, p *call) error {
	if a.name == "" {
		return errors.New("an action must come from a constructor of package ami")
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.register(a, p); err != nil {
		return err
	}
	c.out = append(c.out[:0], "Action: "...)
	c.out = append(c.out, a.name...)
	c.out = append(c.out, "\r\nActionID: "...)
	c.out = append(c.out, c.prefix...)
	c.out = strconv.AppendUint(c.out, p.number, 10)
	c.out = append(c.out, "\r\n"...)
	c.out = append(c.out, a.body...)
	c.out = append(c.out, "\r\n"...)
	_ = c.nc.SetWriteDeadline(time.Now().Add(c.timeout))
	if _, err := c.nc.Write(c.out); err != nil {
		c.end(fmt.Errorf("write %s: %w", a.name, err)) // the reader tells done
	}
	return nil
}

func (c *Conn) register(a Action, p *call) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	c.last++
	p.number, p.action = c.last, a.name
	c.pending = append(c.pending, p)
	if len(c.pending) == 1 {
		c.await(time.Now())
		_ = c.nc.SetReadDeadline(c.deadline)
	}
	return nil
}

// await gives the oldest pending action its time anew. The caller holds mu. A
// read deadline that is already set is only moved when it strikes; see overdue.
func (c *Conn) await(now time.Time) {
	c.deadline = time.Time{}
	if len(c.pending) > 0 {
		c.deadline = now.Add(c.timeout)
	}
}

// find returns the pending action that an ActionID belongs to, nil if none.
func (c *Conn) find(actionID []byte) *call {
	n := len(c.prefix)
	if len(actionID) <= n || string(actionID[:n]) != c.prefix {
		return nil
	}
	number, ok := digits(actionID[n:])
	if !ok {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.pending { // nearly always the first: Asterisk answers in order
		if p.number == number {
			return p
		}
	}
	return nil
}

// moved notes that p, if it is the oldest, got an item or the start of its list.
func (c *Conn) moved(p *call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pending[0] == p {
		c.await(time.Now())
	}
}

// finish forgets p and tells its owner. Reader only, as all that answers a call.
func (c *Conn) finish(p *call, response Response, err error) {
	c.mu.Lock()
	i := slices.Index(c.pending, p)
	c.pending = slices.Delete(c.pending, i, i+1)
	if i == 0 {
		c.await(time.Now())
	}
	c.mu.Unlock()
	if c.listing == p {
		c.listing = nil
	}
	p.done(response, err)
}

// end closes the network for the given reason, nil for Close; the reader does
// the rest. Only the first reason counts.
func (c *Conn) end(reason error) {
	c.mu.Lock()
	first := c.err == nil
	if first {
		c.err = ErrClosed
		if reason != nil {
			c.err = fmt.Errorf("%w: %w", ErrClosed, reason)
		}
	}
	c.mu.Unlock()
	if first {
		_ = c.nc.Close() // without mu: a TLS connection says goodbye first, which may take a while
	}
}
