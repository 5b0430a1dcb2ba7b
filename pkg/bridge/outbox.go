package bridge

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// sendTimeout bounds how long one order may wait for room on its connection.
const sendTimeout = 10 * time.Second

// actWait is how often a bridge that may not act asks whether it may.
const actWait = 250 * time.Millisecond

// outbox is the mailbox of one PBX: for each extension at most one write, one to
// its DND device and one reading wait, in the order in which their extensions came. A newer write takes
// the place of an older one.
type outbox struct {
	wake chan struct{} // holds one token while something waits

	mu     sync.Mutex
	queue  []slot
	orders map[slot]outgoing
}

// outgoing is an order that waits.
type outgoing struct {
	connector.Order

	write *followedWrite // nil: nobody follows it
}

// slot is a place in an outbox.
type slot struct {
	read bool
	dnd  bool
	ext  presence.ExtensionID
}

func newOutbox() *outbox {
	return &outbox{wake: make(chan struct{}, 1), orders: map[slot]outgoing{}}
}

// put adds an order, the write of a way unless that is nil, and returns the write that it
// replaced, if there was one.
func (o *outbox) put(order presence.Order, write *followedWrite) (replaced uint64, ok bool) {
	s := slot{order.Read, order.DND, order.Extension}
	o.mu.Lock()
	old, ok := o.orders[s]
	if !ok {
		o.queue = append(o.queue, s)
	}
	o.orders[s] = outgoing{
		connector.Order{Session: order.Session, Ask: order.Ask, Extension: order.Extension, Presence: order.Presence, DND: order.DND, On: order.On}, write,
	}
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default:
	}
	return old.Ask, ok && !order.Read
}

func (o *outbox) take() (s slot, order outgoing, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.queue) == 0 {
		o.queue = nil
		return slot{}, outgoing{}, false
	}
	s = o.queue[0]
	o.queue = o.queue[1:]
	order = o.orders[s]
	delete(o.orders, s)
	return s, order, true
}

// empty takes everything out and returns the writes, which were not sent.
func (o *outbox) empty() []connector.Order {
	var unsent []connector.Order
	for s, order, ok := o.take(); ok; s, order, ok = o.take() {
		if !s.read {
			unsent = append(unsent, order.Order)
		}
	}
	return unsent
}

// depth is how many orders wait.
func (o *outbox) depth() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.queue)
}

// drop takes out what waits for an extension that has left its user.
func (o *outbox) drop(id presence.ExtensionID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.queue = slices.DeleteFunc(o.queue, func(s slot) bool { return s.ext == id })
	for _, s := range []slot{{ext: id}, {read: true, ext: id}, {dnd: true, ext: id}} {
		delete(o.orders, s)
	}
}

// send carries orders from the outbox of p to its connector until ctx ends. What
// waits then was not sent; the Down that ends the session says so.
func (b *Bridge) send(ctx context.Context, p *pbx) {
	for ctx.Err() == nil {
		if b.opt.MayAct() != nil {
			// Newer orders take the place of those that wait meanwhile.
			pause(ctx, actWait)
			continue
		}
		s, order, ok := p.outbox.take()
		if !ok {
			select {
			case <-ctx.Done():
				return
			case <-p.outbox.wake:
			}
			continue
		}
		put := p.connector.Write
		if s.read {
			put = p.connector.Read
		}
		limited, cancel := context.WithTimeout(ctx, sendTimeout)
		err := put(limited, order.Order)
		cancel()
		if err == nil {
			order.write.wentOut()
		} else {
			b.log.Debug("order not sent", zap.Stringer("extension", order.Extension), zap.Error(err))
			b.inbox.put(failed(s, order.Order, err))
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// failed is the report of an order that its connector did not take.
func failed(s slot, order connector.Order, err error) connector.Report {
	kind := connector.Unsent
	switch {
	case s.read:
		kind = connector.Unreadable
	case !errors.Is(err, connector.ErrDown):
		kind = connector.Refused // try again, but not at once
	}
	return connector.Report{Kind: kind, PBX: order.Extension.PBX, Extension: order.Extension, Ask: order.Ask, Err: err}
}
