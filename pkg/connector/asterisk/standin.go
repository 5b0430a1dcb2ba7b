package asterisk

import (
	"context"
	"maps"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/ari"
	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

const (
	batch     = 200  // presences read before orders are looked at again
	fullSpeed = 2000 // extensions that are all read within Times.Poll

	// With more the PBX is to spend a twentieth of a core on it. One reads 15,000 a
	// second (measured on 16.28 and 22.10.1).
	readsPerSecond = 15000 / 20

	hintPause = 50 * time.Millisecond // between two answers to hints
)

// standIn is a session over ARI, which has no event of presence: it reads, compares
// and reports the differences as AMI does events. All that it does with presence
// is done by one goroutine, one thing after the other:
//
//	orders that wait; extensions that a hint named; the next part of the poll
type standIn struct {
	c     *Connector
	link  *link
	conn  *ari.Conn
	end   context.CancelCauseFunc // ends the session; the first cause counts
	over  <-chan struct{}         // closed then
	news  chan struct{}           // of one place: something waits
	calls chan struct{}           // of one place: phones are to be read
	room  chan struct{}           // of maxUnderWay places, taken by orders that wait

	mu     sync.Mutex
	closed bool // no order is taken any more
	orders []order
	hints  map[string]struct{} // numbers that are followed
	list   bool                // a snapshot is wanted

	phones phoneRoll

	// Its goroutine only.
	opened  bool
	follows *connector.Numbers           // what was read last
	numbers []string                     // of it
	next    int                          // of numbers: where the poll goes on
	shows   map[string]presence.Presence // as reported
	polled  time.Time                    // when the next part is due
	hinted  time.Time                    // before it no hint is answered
	alive   time.Time                    // when Alive is due
}

// order is one that waits.
type order struct {
	connector.Order
	read bool
}

// stand has one session. opened tells whether it came to its first snapshot; err is
// never nil, and errTakenOver where AMI came back.
func (l *link) stand(ctx context.Context) (opened bool, err error) {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	s := &standIn{
		c: l.c, link: l, conn: l.conn, end: end, over: ctx.Done(),
		news:  make(chan struct{}, 1),
		calls: make(chan struct{}, 1),
		room:  make(chan struct{}, maxUnderWay),
		hints: make(map[string]struct{}),
		shows: make(map[string]presence.Presence),
	}
	l.session.Store(s)
	defer l.session.Store(nil)
	var tasks sync.WaitGroup
	err = s.run(ctx, &tasks)
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	end(err)
	tasks.Wait()
	if s.opened {
		l.c.leave(s, l.c.unreachableARI(err))
	}
	return s.opened, err
}

// run takes the first snapshot and the floor, then serves.
func (s *standIn) run(ctx context.Context, tasks *sync.WaitGroup) error {
	if err := s.hearDialplan(ctx); err != nil {
		return err
	}
	if err := s.readAll(ctx); err != nil {
		return err
	}
	s.c.ari.well()
	if !s.c.take(s, s.snapshot()) {
		return errTakenOver
	}
	s.opened = true
	s.c.log.Info("ready", zap.String("over", "ari"), zap.Int("extensions", len(s.numbers)), zap.String("started", s.link.startedAt))
	if s.c.phones {
		tasks.Go(func() { s.followPhones(ctx) })
	} else {
		s.report(connector.Report{Kind: connector.PhonesListed}) // nobody tells, and what was told before counts no more
	}
	s.report(s.c.dndReport(nil)) // likewise: lists of them are AMI's alone
	return s.serve(ctx)
}

// serve does what there is to do until the session ends.
func (s *standIn) serve(ctx context.Context) error {
	for {
		if err := s.obey(ctx); err != nil {
			return err
		}
		if s.takeList() || s.follows != s.c.follows.Load() {
			if err := s.readAll(ctx); err != nil {
				return err
			}
			s.report(s.snapshot())
		}
		if err := s.answerHints(ctx); err != nil {
			return err
		}
		if err := s.poll(ctx); err != nil {
			return err
		}
		timer := time.NewTimer(time.Until(s.due()))
		select {
		case <-s.news:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// due is when there is something to do without news.
func (s *standIn) due() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.hints) > 0 && s.hinted.Before(s.polled) {
		return s.hinted
	}
	return s.polled
}

// readAll reads all extensions, of which the mapping may have others now. Orders
// do not wait for it.
func (s *standIn) readAll(ctx context.Context) error {
	began, f := time.Now(), s.c.follows.Load()
	s.follows = f
	maps.DeleteFunc(s.shows, func(number string, _ presence.Presence) bool { return !f.Has(number) })
	s.numbers, s.next = f.List(), 0
	for len(s.numbers) > 0 {
		if err := s.obey(ctx); err != nil {
			return err
		}
		if err := s.readSome(ctx, s.part()); err != nil {
			return err
		}
		if s.next == 0 {
			break
		}
	}
	s.c.snapshotTook(time.Since(began))
	s.schedule(len(s.numbers))
	return nil
}

// part is what is read next.
func (s *standIn) part() []string {
	some := s.numbers[s.next:min(s.next+batch, len(s.numbers))]
	s.next += len(some)
	if s.next == len(s.numbers) {
		s.next = 0
	}
	return some
}

// poll reads the next part, if that is due.
func (s *standIn) poll(ctx context.Context) error {
	if time.Now().Before(s.polled) {
		return nil
	}
	some := s.part()
	if err := s.readSome(ctx, some); err != nil {
		return err
	}
	if len(s.numbers) == 0 { // nothing was asked: is it there at all?
		if _, err := s.conn.Info(ctx); err != nil {
			return err
		}
	}
	s.schedule(len(some))
	if now := time.Now(); !now.Before(s.alive) {
		s.alive = now.Add(s.c.cfg.Times.Canary)
		s.report(connector.Report{Kind: connector.Alive})
	}
	return nil
}

// schedule says when the next part is due, behind one of n. Without extensions the
// PBX is only asked whether it lives.
func (s *standIn) schedule(n int) {
	every := s.c.cfg.Times.Poll
	if len(s.numbers) == 0 {
		every = s.c.cfg.Times.Canary
	}
	s.polled = time.Now().Add(pause(n, len(s.numbers), every))
}

// pause is how long to wait behind having read n of all.
//
//	extensions    all of them are read within
//	up to 2,000   every, 1 s
//	more          a 750th of a second for each: 5 s for 4,000
func pause(n, all int, every time.Duration) time.Duration {
	if all == 0 {
		return every
	}
	if all > fullSpeed {
		every = max(every, time.Duration(all)*time.Second/readsPerSecond)
	}
	return every * time.Duration(n) / time.Duration(all)
}

// readSome reads extensions, and reports of those that show something else.
func (s *standIn) readSome(ctx context.Context, numbers []string) error {
	found, err := s.look(ctx, numbers)
	if err != nil {
		return err
	}
	for i, number := range numbers {
		s.showed(number, found[i])
	}
	if s.opened && len(numbers) > 0 {
		s.report(connector.Report{Kind: connector.Heard})
	}
	return nil
}

// showed takes what an extension shows, and reports it where that is new.
func (s *standIn) showed(number string, p presence.Presence) {
	if before, known := s.shows[number]; known && before == p {
		return
	}
	s.shows[number] = p
	if s.opened {
		s.report(connector.Report{Kind: connector.Changed, Extension: s.extension(number), Presence: p})
	}
}

// maxLooks bounds how often a presence is read that changes all the time.
const maxLooks = 5

// look reads what extensions show. Asterisk reads state, subtype and message one by
// one, so that somebody may write in between: what differs from what was known is
// read again until it stays the same.
func (s *standIn) look(ctx context.Context, numbers []string) ([]presence.Presence, error) {
	found, err := s.ask(ctx, numbers)
	if err != nil {
		return nil, err
	}
	var doubt []int // of numbers
	for i, number := range numbers {
		if before, known := s.shows[number]; !known || before != found[i] {
			doubt = append(doubt, i)
		}
	}
	for tries := 0; len(doubt) > 0 && tries < maxLooks; tries++ {
		names := make([]string, len(doubt))
		for j, i := range doubt {
			names[j] = numbers[i]
		}
		again, err := s.ask(ctx, names)
		if err != nil {
			return nil, err
		}
		still := doubt[:0]
		for j, i := range doubt {
			if again[j] != found[i] {
				found[i] = again[j]
				still = append(still, i)
			}
		}
		doubt = still
	}
	return found, nil
}

// ask reads what extensions show, once.
func (s *standIn) ask(ctx context.Context, numbers []string) ([]presence.Presence, error) {
	presentities := make([]string, len(numbers))
	for i, number := range numbers {
		presentities[i] = s.c.where.presentity(number)
	}
	all, err := s.conn.Presences(ctx, presentities...)
	if err != nil {
		return nil, err
	}
	found := make([]presence.Presence, len(all))
	for i, p := range all {
		state, _ := presence.ParseState(p.State) // a damaged entry, which is "", counts as not set: writing mends it
		found[i] = presence.Presence{State: state, Subtype: p.Subtype, Message: p.Message}.Canonical()
	}
	return found, nil
}

func (s *standIn) snapshot() connector.Report {
	return connector.Report{
		Kind: connector.Snapshot, Incarnation: s.link.startedAt, Shows: maps.Clone(s.shows), Partial: true,
	}
}

func (s *standIn) extension(number string) presence.ExtensionID {
	return presence.ExtensionID{PBX: s.c.cfg.Name, Number: number}
}

func (s *standIn) report(r connector.Report) { s.c.tell(s, r) }

func (s *standIn) side() *side { return &s.c.ari }
