package asterisk

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/ari"
	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// errIgnored refuses a write that Asterisk answered with success.
var errIgnored = errors.New("the PBX says that it took the presence, and shows what it showed before")

// errNoDND refuses what nobody asks who was told that nobody tells of DND devices.
var errNoDND = errors.New("DND devices are not written over ARI")

// write takes an order. While too many wait it waits.
func (s *standIn) write(ctx context.Context, o connector.Order) error {
	if o.DND {
		return errNoDND
	}
	p := o.Presence
	if err := s.c.validate(o.Extension.Number, p.State.String(), p.Subtype, p.Message); err != nil {
		return fmt.Errorf("write extension %s: %w", o.Extension, err)
	}
	return s.accept(ctx, order{o, false})
}

// read takes an order to read.
func (s *standIn) read(ctx context.Context, o connector.Order) error {
	if err := s.c.validate(o.Extension.Number, "not_set", "", ""); err != nil {
		return fmt.Errorf("read extension %s: %w", o.Extension, err)
	}
	return s.accept(ctx, order{o, true})
}

func (s *standIn) accept(ctx context.Context, o order) error {
	select {
	case <-s.over:
		return connector.ErrDown
	default:
	}
	select {
	case s.room <- struct{}{}:
	case <-s.over:
		return connector.ErrDown
	case <-ctx.Done():
		return ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return connector.ErrDown
	}
	s.orders = append(s.orders, o)
	s.rouse()
	return nil
}

// silence refuses further orders. Those that wait are answered by the Down.
func (s *standIn) silence(why error) {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.end(why)
}

func (s *standIn) rouse() {
	select {
	case s.news <- struct{}{}:
	default:
	}
}

// relist asks for a snapshot soon, and for what phones do.
func (s *standIn) relist() {
	s.mu.Lock()
	s.list = true
	s.mu.Unlock()
	s.rouse()
	s.rephone()
}

func (s *standIn) takeList() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	wanted := s.list
	s.list = false
	return wanted
}

// obey carries out the orders that wait.
func (s *standIn) obey(ctx context.Context) error {
	for {
		s.mu.Lock()
		orders := s.orders
		s.orders = nil
		s.mu.Unlock()
		if len(orders) == 0 {
			return ctx.Err()
		}
		for _, o := range orders {
			<-s.room
			do := s.put
			if o.read {
				do = s.answer
			}
			if err := do(ctx, o.Order); err != nil {
				return err
			}
		}
	}
}

// put writes a presence and reads it back, since Asterisk answers with success
// whatever came of it (resource_asterisk.c:827).
//
//	it shows                means
//	what was written        acknowledged, and that is the event of it
//	what it showed before   refused
//	something else          acknowledged, and somebody was faster
func (s *standIn) put(ctx context.Context, o connector.Order) error {
	release, err := s.c.hush(ctx)
	if err != nil {
		return err
	}
	defer release()
	if ctx.Err() != nil { // AMI has taken the floor meanwhile
		return ctx.Err()
	}
	number, want := o.Extension.Number, o.Presence
	before, known := s.shows[number]
	refuse := func(why error) {
		s.report(connector.Report{Kind: connector.Refused, Extension: o.Extension, Ask: o.Ask, Err: why})
	}
	err = s.conn.SetPresence(ctx, s.c.where.presentity(number), want.State.String(), want.Subtype, want.Message)
	var refusal *ari.StatusError
	if errors.As(err, &refusal) && !errors.Is(err, ari.ErrAuth) {
		refuse(err)
		return nil
	}
	if err != nil {
		return err
	}
	found, err := s.look(ctx, []string{number})
	if err != nil {
		return err
	}
	got := found[0]
	if known && got == before && got != want.Canonical() {
		refuse(errIgnored)
		return nil
	}
	s.report(connector.Report{Kind: connector.Acked, Extension: o.Extension, Ask: o.Ask})
	s.keep(number, got)
	s.report(connector.Report{Kind: connector.Changed, Extension: o.Extension, Presence: got})
	return nil
}

// keep notes what an extension shows. Of one that left the mapping meanwhile there
// is nothing to keep.
func (s *standIn) keep(number string, p presence.Presence) {
	if s.c.follows.Load().Has(number) {
		s.shows[number] = p
	}
}

// answer reads an extension: what is new is reported before the answer.
func (s *standIn) answer(ctx context.Context, o connector.Order) error {
	if err := s.readSome(ctx, []string{o.Extension.Number}); err != nil {
		return err
	}
	s.report(connector.Report{Kind: connector.Answered, Extension: o.Extension, Ask: o.Ask, Presence: s.shows[o.Extension.Number]})
	return nil
}

// hearDialplan asks for hints that a dialplan gives with UserEvent(). Where AMI is
// configured ARI stands in for moments, and the PBX is spared: it makes every event
// of a channel before it looks who wants it. One that cannot filter would send them all.
func (s *standIn) hearDialplan(ctx context.Context) error {
	if s.c.hasAMI() || !s.conn.Filtered() {
		return nil
	}
	err := s.conn.Subscribe(ctx, ari.AllChannels)
	var refusal *ari.StatusError
	if errors.As(err, &refusal) {
		s.c.log.Warn("the dialplan's hints are not heard: presence is polled without", zap.Error(err))
		return nil
	}
	return err
}

// hint notes that somebody says that a presence has changed.
func (s *standIn) hint(presentity string) {
	number := string(s.c.where.number([]byte(presentity)))
	if !s.c.follows.Load().Has(number) {
		return
	}
	s.mu.Lock()
	_, waits := s.hints[number]
	s.hints[number] = struct{}{}
	s.mu.Unlock()
	if !waits {
		s.rouse()
	}
}

// answerHints reads what hints named, at most so many and so often that neither the
// PBX nor the poll suffers from whoever sends them.
func (s *standIn) answerHints(ctx context.Context) error {
	if time.Now().Before(s.hinted) {
		return nil
	}
	var some []string
	s.mu.Lock()
	for number := range s.hints {
		if len(some) == batch {
			break
		}
		some = append(some, number)
		delete(s.hints, number)
	}
	s.mu.Unlock()
	if len(some) == 0 {
		return nil
	}
	s.hinted = time.Now().Add(hintPause)
	return s.readSome(ctx, some)
}
