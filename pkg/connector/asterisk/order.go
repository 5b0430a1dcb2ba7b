package asterisk

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/presencebridge/presencebridge/pkg/ami"
	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// write puts one order on the wire.
func (s *session) write(ctx context.Context, o connector.Order) error {
	if o.DND {
		return s.writeDND(ctx, o)
	}
	write, err := ami.SetPresence(s.c.where.presentity(o.Extension.Number), o.Presence.State.String(), o.Presence.Subtype, o.Presence.Message)
	if err != nil {
		return fmt.Errorf("write extension %s: %w", o.Extension, err)
	}
	return s.put(ctx, write, o)
}

// put sends a write once there is a place for it.
func (s *session) put(ctx context.Context, write ami.Action, o connector.Order) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	if err := s.conn.Send(write, func(_ ami.Response, err error) { s.written(o, err) }); err != nil {
		s.leave()
		return connector.ErrDown
	}
	return nil
}

// written reports the answer to a write. It runs on the reader, so before any event of it.
func (s *session) written(o connector.Order, err error) {
	s.leave()
	var refused *ami.ResponseError
	switch {
	case err == nil:
		s.wrote(o.Extension.Number)
		s.report(connector.Report{Kind: connector.Acked, Extension: o.Extension, Ask: o.Ask})
	case errors.As(err, &refused):
		s.report(connector.Report{Kind: connector.Refused, Extension: o.Extension, Ask: o.Ask, Err: err})
	}
	// Otherwise the connection is over, and Down follows.
}

// wrote notes that a snapshot which is being taken may be older than a write.
func (s *session) wrote(number string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.snapshot; n != nil {
		n.late[number] = struct{}{}
	}
}

// read asks what the extension really shows. Several readings share one fence.
func (s *session) read(_ context.Context, o connector.Order) error {
	reading, err := s.c.reading(o.Extension.Number)
	if err != nil {
		return err
	}
	s.await(fence{reads: []readOrder{{o, reading}}})
	return nil
}

// readOrder is a reading on its way.
type readOrder struct {
	connector.Order
	reading reading
}

// answer sends a reading, now that its fence has been seen.
func (s *session) answer(ctx context.Context, r readOrder) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	s.getvar(r.reading, func(p presence.Presence, err error) {
		s.leave()
		switch {
		case err == nil:
			s.report(connector.Report{Kind: connector.Answered, Extension: r.Extension, Ask: r.Ask, Presence: p})
		case !errors.Is(err, ami.ErrClosed):
			s.report(connector.Report{Kind: connector.Unreadable, Extension: r.Extension, Ask: r.Ask, Err: err})
		}
	})
	return nil
}

// reading is what to ask to learn a presence. Asterisk tells its parts one by
// one, so all are asked for twice, back to back: if the two differ, somebody
// wrote in between, and the parts may not belong together.
type reading [6]ami.Action

func (c *Connector) reading(number string) (r reading, err error) {
	for i, name := range []string{"value", "subtype", "message"} {
		ask, err := ami.GetPresence(c.where.presentity(number), name)
		if err != nil {
			return reading{}, fmt.Errorf("read extension %s/%s: %w", c.cfg.Name, number, err)
		}
		r[i], r[3+i] = ask, ask //nolint:gosec // i is below 3
	}
	return r, nil
}

// getvar sends a reading and calls done exactly once: on the reader, or with an
// ami.ErrClosed.
func (s *session) getvar(r reading, done func(presence.Presence, error)) {
	var values [len(r)]string
	var failed error
	for i, ask := range r {
		last := i == len(r)-1
		got := func(response ami.Response, err error) {
			values[i] = response.Get("Value")
			failed = errors.Join(failed, err)
			if last {
				done(assemble([3]string(values[:3]), [3]string(values[3:]), failed))
			}
		}
		if err := s.conn.Send(ask, got); err != nil && last {
			done(presence.Presence{}, err)
		}
	}
}

// assemble makes a presence of its value, subtype and message as read twice.
func assemble(once, again [3]string, err error) (presence.Presence, error) {
	if err != nil {
		return presence.Presence{}, err
	}
	if once != again {
		return presence.Presence{}, errTorn
	}
	state, ok := presence.ParseState(once[0])
	subtype, badSubtype := base64.StdEncoding.DecodeString(once[1])
	message, badMessage := base64.StdEncoding.DecodeString(once[2])
	if !ok || badSubtype != nil || badMessage != nil {
		// Getvar succeeds with an empty value whatever is wrong (main/manager.c:3629).
		return presence.Presence{}, errInvalid
	}
	return presence.Presence{State: state, Subtype: string(subtype), Message: string(message)}.Canonical(), nil
}

// enter takes a place among the orders under way.
func (s *session) enter(ctx context.Context) error {
	select {
	case <-s.over:
		return connector.ErrDown
	default:
	}
	select {
	case s.underWay <- struct{}{}:
		return nil
	case <-s.over:
		return connector.ErrDown
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *session) leave() { <-s.underWay }
