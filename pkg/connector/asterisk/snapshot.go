package asterisk

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/ami"
	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// snapshot is one being taken. Asterisk changes its list first and sends the
// events later, over one queue (main/presencestate.c, main/stasis_cache.c:988).
// So a canary that is written after the list arrives after every event that the
// list already reflects; the events in between, in their order, are newer than
// the list or lead up to it.
//
//	list asked for ... items ... list complete ... canary written ... canary seen
//	|<----------- events go to live, and win over the list ------------>| deliver
type snapshot struct {
	shows   map[string]presence.Presence // from the list; the reader's until the list is complete, and while settle waits
	torn    map[string]struct{}          // listed twice, differently
	live    map[string]presence.Presence // reader only
	late    map[string]struct{}          // under session.mu: written since the list was asked for, with or without an event by now
	wary    bool                         // read everything, since malformed frames keep coming; constant
	damaged bool                         // under session.mu: a frame of the list was refused
	broken  bool                         // under session.mu: another frame was
	done    chan error                   // of one place: nil when delivered
}

const (
	// maxBroken is how many snapshots in a row malformed frames may spoil.
	maxBroken = 3
	// restFactor is by how much a pause is longer than the snapshot before it.
	restFactor = 4
)

// follow takes snapshots until the session ends: one at first, then now and
// then, and whenever one is wanted. It starts pulse when the PBX is up.
func (s *session) follow(ctx context.Context, tasks *sync.WaitGroup) error {
	incarnation, err := s.greet(ctx)
	if err != nil {
		return err
	}
	s.awaitBoot(ctx)
	tasks.Go(func() { s.end(s.pulse(ctx)) })
	broken := 0 // snapshots in a row
	for {
		select { // this one answers whatever was wanted until now
		case <-s.lists:
		default:
		}
		began := time.Now()
		err := s.takeSnapshot(ctx, incarnation, broken == maxBroken)
		broken++
		if !errors.Is(err, errBroken) {
			broken = 0
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && fatal(err):
			return s.c.unanswered(err)
		case err != nil:
			s.c.ami.complain("no snapshot", s.c.unanswered(err))
			s.relist()
		default:
			s.c.snapshotTook(time.Since(began))
			s.followPhones(ctx)
			s.followQueues(ctx)
		}
		// Whoever forges frames must not make Asterisk list without a pause, and a
		// list of 100,000 takes one of its cores a second.
		sleep(ctx, max(s.c.cfg.Times.Retry, restFactor*time.Since(began)))
		s.rest(ctx)
	}
}

// rest waits until a snapshot is wanted, or its time has come. Meanwhile it tries
// phones again that could not be listed.
func (s *session) rest(ctx context.Context) {
	next := time.NewTimer(jitter(s.c.cfg.Times.Snapshot))
	defer next.Stop()
	for {
		var phones <-chan time.Time
		if s.unheard > 0 && s.unheard < maxUnheard {
			phones = time.After(s.c.cfg.Times.Retry << s.unheard)
		}
		select {
		case <-phones:
			s.followPhones(ctx)
			continue
		case <-s.lists:
		case <-next.C:
		case <-ctx.Done():
		}
		return
	}
}

// fatal tells whether only a new session could do better: rights are copied at
// the login (main/manager.c:2331).
func fatal(err error) bool {
	var refused *ami.ResponseError
	return errors.Is(err, ami.ErrClosed) || errors.As(err, &refused) && denied(refused)
}

// greet asks who is there. The time of its start tells an Asterisk's lives apart.
func (s *session) greet(ctx context.Context) (incarnation string, err error) {
	status, err := s.conn.Do(ctx, ami.CoreStatus())
	if err != nil {
		return "", s.c.unanswered(err)
	}
	incarnation = status.Get("CoreStartupDate") + " " + status.Get("CoreStartupTime")
	version := ""
	if settings, err := s.conn.Do(ctx, ami.CoreSettings()); err == nil {
		version = settings.Get("AsteriskVersion")
	}
	s.c.ami.greeted(version)
	return incarnation, nil
}

// awaitBoot waits for FullyBooted, but not for long: without read = system, or
// behind an eventfilter, it never comes, and then the list command does as
// well, which appears only when the list is whole (module.h:335, load priorities).
func (s *session) awaitBoot(ctx context.Context) {
	timer := time.NewTimer(s.c.cfg.Times.Boot)
	defer timer.Stop()
	select {
	case <-s.booted:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// takeSnapshot lists, fences and delivers one snapshot, or tells why it could not.
func (s *session) takeSnapshot(ctx context.Context, incarnation string, wary bool) error {
	defer s.watch(nil)
	n, err := s.list(ctx, wary)
	if err == nil && len(n.shows) == 0 && s.c.known() > 0 {
		n, err = s.list(ctx, wary) // a PBX that has forgotten everybody says so twice
	}
	if err != nil {
		return err
	}
	if err := s.settle(ctx, n); err != nil {
		return err
	}
	release, err := s.c.hush(ctx)
	if err != nil {
		return err
	}
	defer release()
	s.await(fence{deliver: func() { s.deliver(n, incarnation) }})
	select {
	case err := <-n.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// watch makes n the snapshot that live events go to; nil ends that.
func (s *session) watch(n *snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.snapshot = n
}

// list collects the whole list into a new snapshot.
func (s *session) list(ctx context.Context, wary bool) (*snapshot, error) {
	n := &snapshot{
		shows: make(map[string]presence.Presence, max(s.c.known(), len(s.c.follows.Load().List()))),
		torn:  make(map[string]struct{}),
		live:  make(map[string]presence.Presence),
		late:  make(map[string]struct{}),
		wary:  wary,
		done:  make(chan error, 1),
	}
	s.watch(n)
	_, err := s.conn.List(ctx, ami.PresenceStateList(), "PresenceStateListComplete", func(e ami.Event) { s.listed(n, e) })
	if s.isDamaged(n) && errors.Is(err, ami.ErrIncomplete) && !fatal(err) {
		return n, nil // it counts the items that were refused; see settle
	}
	return n, err
}

func (s *session) isDamaged(n *snapshot) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return n.damaged
}

// listed takes one item of the list. It runs on the reader.
func (s *session) listed(n *snapshot, e ami.Event) {
	presentity, status, subtype, message := fields(e)
	if presentity == nil {
		s.refuse(fmt.Errorf("%w, %w", errFields, ami.ErrInList))
		return
	}
	// A number of its own: a list comes in an order that is nobody's, so that the search
	// for the one that is there would cost more than all the rest, and the list is soon gone.
	number := string(s.translate.where.number(presentity))
	p, ok := s.said(number, status, subtype, message)
	if !ok {
		return
	}
	if old, ok := n.shows[number]; ok && old != p {
		n.torn[number] = struct{}{}
	}
	n.shows[number] = p
}

// settle reads what the list alone cannot tell. Of a list that is intact this is
// what is there twice with different values: custompresence:1001 and
// CustomPresence:1001 are two entries of Asterisk's cache (main/stasis_cache.c
// compares exactly) but one row of its store, which is right. Of a damaged list
// nothing is believed but the names: whoever makes an item may make it look like
// another's, but cannot make another's disappear. Among events there is nothing
// to settle: each is a write to that row, and the last one holds.
func (s *session) settle(ctx context.Context, n *snapshot) error {
	suspects := slices.Collect(maps.Keys(n.torn))
	if n.wary || s.isDamaged(n) {
		suspects = slices.Collect(maps.Keys(n.shows))
	}
	settled := make(chan error, len(suspects))
	for _, number := range suspects {
		reading, err := s.c.reading(number)
		if err != nil {
			return err
		}
		if err := s.enter(ctx); err != nil {
			return err
		}
		s.getvar(reading, func(p presence.Presence, err error) {
			s.leave()
			switch {
			case err == nil:
				n.shows[number] = p
			case errors.Is(err, errInvalid):
				delete(n.shows, number)
			case !errors.Is(err, errTorn): // the event of what changed it comes before the fence, and wins
				settled <- fmt.Errorf("read extension %s: %w", number, err)
				return
			}
			settled <- nil
		})
	}
	for range suspects {
		select {
		case err := <-settled:
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// deliver reports a snapshot whose fence has been seen. It runs on the reader.
func (s *session) deliver(n *snapshot, incarnation string) {
	s.mu.Lock()
	if n.broken && !n.wary {
		s.mu.Unlock()
		n.done <- errBroken
		return
	}
	first, damaged := !s.opened, n.damaged
	s.opened, s.snapshot = true, nil
	s.mu.Unlock()

	for number, p := range n.live {
		n.shows[number] = p
	}
	s.c.remember(len(n.shows))
	report := connector.Report{Kind: connector.Snapshot, Incarnation: incarnation, Shows: n.shows, Late: n.late}
	s.c.listing(damaged)
	if first {
		s.c.log.Info("ready", zap.String("over", "ami"), zap.Int("extensions", len(n.shows)), zap.String("started", incarnation))
		s.c.take(s, report) // from ARI, or nobody
	} else {
		s.report(report)
	}
	if first && !s.c.phones {
		s.report(connector.Report{Kind: connector.PhonesListed}) // nobody tells, and what was told before counts no more
	}
	if first && !s.c.dnd.follows() {
		s.report(s.c.dndReport(nil)) // there are none, and what was told of some before counts no more
	}
	n.done <- nil
}

// known returns how many extensions the last snapshot had.
func (c *Connector) known() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.entries
}

func (c *Connector) remember(entries int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries = entries
}
