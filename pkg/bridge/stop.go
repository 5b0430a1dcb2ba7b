package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge/pkg/presence"
)

// How long a stopping bridge waits for each of its parts; five seconds together.
// Whatever hangs for longer is left behind, and Run says what.
const (
	drainWait = time.Second             // connectors and senders
	flushWait = 2500 * time.Millisecond // what is left to save
	abortWait = 500 * time.Millisecond  // a commit that was called off
	closeWait = time.Second             // the store
)

// carrier is a goroutine beside the owner loop.
type carrier struct {
	name string
	done chan struct{} // closed when it has ended
}

func carry(name string, f func()) carrier {
	c := carrier{name, make(chan struct{})}
	go func() {
		defer close(c.done)
		f()
	}()
	return c
}

// ended waits for the carrier until ctx ends.
func (c carrier) ended(ctx context.Context) error {
	select {
	case <-c.done:
	case <-ctx.Done():
	}
	select {
	case <-c.done:
		return nil
	default:
		return fmt.Errorf("%s did not stop in time", c.name)
	}
}

// over tells whether the carrier has ended, or never began.
func (c carrier) over() bool {
	if c.done == nil {
		return true
	}
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// drain keeps taking reports until a carrier has ended, so that what has happened
// on the wire is known.
func (b *Bridge) drain(ctx context.Context, c carrier) error {
	for {
		select {
		case <-b.inbox.wake:
			b.reports(nil)
		case err := <-b.saver.done:
			b.committed(err, b.clock.next())
		case <-c.done:
			b.reports(nil)
			return nil
		case <-ctx.Done():
			b.reports(nil)
			return c.ended(ctx)
		}
	}
}

// finish saves what is left, if the store lets it.
func (b *Bridge) finish(ctx context.Context) error {
	s := b.saver
	s.retry, s.wait = presence.Time{}, 0
	for {
		b.commit(b.clock.next())
		if len(s.under) == 0 && b.nothingLeft() {
			return nil
		}
		var again <-chan time.Time
		if len(s.under) == 0 {
			again = time.After(s.retry.Sub(b.clock.last))
		}
		select {
		case err := <-s.done:
			b.committed(err, b.clock.next())
		case <-again:
		case <-ctx.Done():
			return b.left()
		}
	}
}

// nothingLeft tells that everything is in the store, once no commit is under way.
func (b *Bridge) nothingLeft() bool {
	for _, p := range b.pbxs {
		if p.dirty {
			return false
		}
	}
	return len(b.saver.dirty)+len(b.saver.history) == 0
}

// left is the error that says what is not in the store; who waits for it is told.
func (b *Bridge) left() error {
	s := b.saver
	lines := len(s.history)
	users := s.dirty
	for _, h := range slices.Backward(s.under) {
		lines += len(h.lines)
		users = append(h.users, users...)
	}
	why := s.failing
	if why == nil {
		why = errors.New("it did not answer in time")
	}
	for _, waiting := range b.waiting {
		for _, w := range waiting {
			w.done <- fmt.Errorf("%w (%w): the bridge is stopping, and the status is not kept", ErrUnsaved, why)
		}
	}
	clear(b.waiting)
	return fmt.Errorf("stopped before everything was saved, the newest of %s and %d lines of history are lost: the store: %w",
		named(users), lines, why)
}

// named lists a few users.
func named(users []change) string {
	const few = 5
	var ids []string
	seen := map[presence.UserID]bool{}
	for _, u := range users {
		if id := u.mapped.ID; !seen[id] {
			seen[id] = true
			ids = append(ids, string(id))
		}
	}
	switch {
	case len(ids) == 0:
		return "no user"
	case len(ids) > few:
		return fmt.Sprintf("%s and %d more users", strings.Join(ids[:few], ", "), len(ids)-few)
	default:
		return strings.Join(ids, ", ")
	}
}
