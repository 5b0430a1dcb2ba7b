package asterisk

import (
	"context"
	"errors"
	"time"

	"github.com/presencebridge/presencebridge/pkg/connector"
)

// speaker is a session of one of the transports, as the rest of the connector
// needs it.
type speaker interface {
	side() *side
	write(ctx context.Context, o connector.Order) error
	read(ctx context.Context, o connector.Order) error
	relist()
	// silence tells it that it has lost the floor: it takes no order any more.
	// It does not wait, and is called with the floor held.
	silence(why error)
}

// turn is a session that has the floor: the one that is open.
type turn struct {
	speaker
	number uint64
}

// errTakenOver ends a session of ARI.
var errTakenOver = errors.New("AMI is there, and presence is followed over it")

// take gives s the floor, with its first snapshot. AMI takes it from ARI, whose
// session is over by then; ARI takes it from nobody. false: AMI has it.
func (c *Connector) take(s speaker, first connector.Report) bool {
	c.floor.Lock()
	defer c.floor.Unlock()
	if t := c.turn.Load(); t != nil {
		if s.side() == &c.ari {
			return false
		}
		c.drop(t, errTakenOver)
	}
	t := &turn{s, s.side().opened()}
	c.turn.Store(t) // first: the sink may answer with an order at once
	c.announce()
	first.First, first.Session = true, t.number
	c.say(first)
	return true
}

// tell reports, where s has the floor.
func (c *Connector) tell(s speaker, r connector.Report) {
	c.floor.Lock()
	defer c.floor.Unlock()
	t := c.turn.Load()
	if t == nil || t.speaker != s {
		return
	}
	if r.Kind == connector.Snapshot {
		r.Session = t.number
	}
	c.say(r)
}

// leave takes the floor from s, where it still has it.
func (c *Connector) leave(s speaker, why error) {
	c.floor.Lock()
	defer c.floor.Unlock()
	if t := c.turn.Load(); t != nil && t.speaker == s {
		c.drop(t, why)
	}
}

// drop ends the session that has the floor; the caller holds that.
func (c *Connector) drop(t *turn, why error) {
	t.silence(why)
	c.turn.Store(nil)
	if t.side() == &c.ami {
		c.left = time.Now()
		c.announce()
	}
	c.say(connector.Report{Kind: connector.Down, Session: t.number, Err: why})
}

func (c *Connector) say(r connector.Report) {
	r.PBX = c.cfg.Name
	if c.outlet != nil {
		c.outlet.note(&r)
	}
	c.sink(r)
}

// announce wakes awaitTurn, the only one who waits.
func (c *Connector) announce() {
	select {
	case c.moved <- struct{}{}:
	default:
	}
}

// open returns the open session of that number.
func (c *Connector) open(number uint64) (speaker, error) {
	t := c.turn.Load()
	if t == nil || t.number != number {
		return nil, connector.ErrDown
	}
	return t.speaker, nil
}

// awaitTurn waits until ARI may have the floor: AMI has not had it for a while,
// which a mere reconnect does not last. stood tells that AMI had it meanwhile.
func (c *Connector) awaitTurn(ctx context.Context) (stood bool, err error) {
	for c.hasAMI() {
		c.floor.Lock()
		taken, wait := c.turn.Load() != nil, time.Until(c.left.Add(c.cfg.Times.Grace))
		c.floor.Unlock()
		if !taken && wait <= 0 {
			break
		}
		if taken {
			stood = true
			c.ari.well()
		}
		timer := time.NewTimer(wait)
		expired := timer.C
		if taken {
			expired = nil
		}
		select {
		case <-expired:
		case <-c.moved:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			break
		}
	}
	return stood, ctx.Err()
}

// hush waits for the write that ARI is about, and keeps it from another one until
// release: a write that is still on its way when AMI takes the floor could undo one
// of AMI's.
func (c *Connector) hush(ctx context.Context) (release func(), err error) {
	select {
	case c.writing <- struct{}{}:
		return func() { <-c.writing }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
