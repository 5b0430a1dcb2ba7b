package ami

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// read is the reader goroutine: it owns the connection's life. When it returns
// every action has been told its end.
func (c *Conn) read(h Handler) {
	defer close(c.over)
	c.end(c.receive(h))
	c.mu.Lock()
	orphans, err := c.pending, c.err
	c.pending = nil
	c.mu.Unlock()
	for _, p := range orphans {
		p.done(Response{}, err)
	}
}

// receive reads until the connection ends and returns why.
func (c *Conn) receive(h Handler) error {
	in := newFramer(source{c})
	banner, err := in.banner()
	if err != nil {
		return fmt.Errorf("read greeting: %w", err)
	}
	version, ok := strings.CutPrefix(banner, "Asterisk Call Manager/")
	if !ok {
		return fmt.Errorf("greeted with %.60q: that is not the manager port of an Asterisk", banner)
	}
	c.version = strings.TrimSpace(version)
	c.greet()

	var f frame
	for {
		switch err := in.next(&f); {
		case errors.Is(err, io.EOF):
			return fmt.Errorf("the PBX closed it: %w", err)
		case err != nil:
			return fmt.Errorf("read: %w", err)
		}
		if err := c.take(&f, h); err != nil && h.Malformed != nil && !c.closing() {
			if c.listing != nil {
				err = fmt.Errorf("%w, %w", err, ErrInList)
			}
			h.Malformed(err)
		}
	}
}

// closing tells whether what comes now, as the answer to Logoff, is of no interest.
func (c *Conn) closing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.leaving
}

func (c *Conn) greet() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.await(time.Now())
	close(c.greeted)
}

// take hands a frame to whom it is for. An error means that it was for nobody.
//
//	Event  Response  ActionID of ours  Privilege  it is
//	yes    any       a list's          any        an item or the end of that list
//	yes    any       no                yes        a live event; OriginateResponse has both
//	yes    any       no                no         forged, or the item of no list
//	no     yes       yes               any        an answer
//	no     yes       no                any        not ours, or to an action that Asterisk could not read
//
// One thread of Asterisk writes a list in one go and the events behind it
// (main/manager.c, process_message), so what looks like a live event within a list was
// made by a line break in the name of one of its items. It would come with every list.
func (c *Conn) take(f *frame, h Handler) error {
	if f.fault != nil {
		return f.fault
	}
	var p *call
	if id := f.first(isActionID); id != nil {
		p = c.find(id)
	}
	event, privileged := f.at[isEvent] > 0, f.at[isPrivilege] > 0
	switch {
	case event && p != nil && p.response != nil:
		c.listed(p, Event{f})
	case event && privileged && c.listing != nil:
		return errBetween
	case event && privileged:
		if h.Event != nil {
			h.Event(Event{f})
		}
	case event:
		return errPrivilege
	case p == nil || p.response != nil:
		return errAnswer
	default:
		c.answered(p, newResponse(f))
	}
	return nil
}

// answered handles the response to p, for a list its start.
func (c *Conn) answered(p *call, response Response) {
	switch {
	case !response.Success:
		c.finish(p, response, &ResponseError{Action: p.action, Message: response.Get("Message")})
	case p.complete == "":
		c.finish(p, response, nil)
	default:
		p.response = &response
		c.listing = p
		c.moved(p)
	}
}

// listed handles an event of the list p.
func (c *Conn) listed(p *call, e Event) {
	if !e.Is(p.complete) {
		p.items++
		p.item(e)
		c.moved(p)
		return
	}
	said, ok := digits(e.Bytes("ListItems"))
	if !ok || said != p.items {
		c.finish(p, *p.response, fmt.Errorf("%w: %d items of %s came, it says %.20q",
			ErrIncomplete, p.items, p.action, e.Get("ListItems")))
		return
	}
	c.finish(p, *p.response, nil)
}

// source reads from the network and minds the deadline of the oldest action.
type source struct{ c *Conn }

func (s source) Read(b []byte) (int, error) {
	for {
		n, err := s.c.nc.Read(b)
		if s.c.timed {
			s.c.came = time.Now()
		}
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		if err := s.c.overdue(time.Now()); err != nil {
			return 0, err
		}
	}
}

// overdue is asked when a read deadline strikes: it sets the next one unless
// the oldest action was due.
func (c *Conn) overdue(now time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.deadline.IsZero() || now.Before(c.deadline) {
		return c.nc.SetReadDeadline(c.deadline)
	}
	awaited := "the greeting"
	if len(c.pending) > 0 {
		awaited = "an answer to " + c.pending[0].action
	}
	return fmt.Errorf("%s did not come within %s: %w", awaited, c.timeout, os.ErrDeadlineExceeded)
}
