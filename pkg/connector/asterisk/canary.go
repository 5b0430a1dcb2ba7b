package asterisk

import (
	"context"
	"crypto/rand"
	"time"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/ami"
	"github.com/presencebridge/presencebridge/pkg/connector"
)

// fence is a canary and who waits for it. Its event says that everything which
// happened in the PBX before the canary was written has been reported.
type fence struct {
	nonce   string
	deliver func()        // nil, or the end of a snapshot; runs on the reader when the event is seen
	reads   []readOrder   // to be sent when the event was seen
	seen    chan struct{} // closed then
}

// await adds to what waits for the next canary.
func (s *session) await(f fence) {
	s.mu.Lock()
	if f.deliver != nil {
		s.waiting.deliver = f.deliver
	}
	s.waiting.reads = append(s.waiting.reads, f.reads...)
	s.mu.Unlock()
	select {
	case s.canaries <- struct{}{}:
	default: // pulse will look again anyway
	}
}

// pulse keeps proving that events flow, which a Ping does not, and that the
// connection is there at all. It returns when either fails.
func (s *session) pulse(ctx context.Context) error {
	times := s.c.cfg.Times
	canary := time.NewTimer(times.Canary)
	defer canary.Stop()
	canary.Stop() // until the first snapshot there may be no module to write one
	ping := time.NewTicker(times.Ping)
	defer ping.Stop()
	for {
		select {
		case <-ping.C:
			if err := s.conn.Send(ami.Ping(), s.answers); err != nil {
				return err // without an answer in time the connection ends
			}
			continue
		case <-s.canaries:
		case <-canary.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := s.beat(ctx); err != nil {
			return err
		}
		canary.Reset(times.Canary)
	}
}

// beat writes one canary, waits for its event, and sends what waited for it.
func (s *session) beat(ctx context.Context) error {
	s.mu.Lock()
	f := s.waiting
	f.nonce, f.seen = rand.Text(), make(chan struct{})
	s.waiting, s.awaited = fence{}, f
	s.mu.Unlock()

	write, err := ami.SetPresence(s.c.canary, "available", "", f.nonce)
	if err != nil {
		return err
	}
	if _, err := s.conn.Do(ctx, write); err != nil {
		return s.c.unanswered(err)
	}
	// From the answer on: before it, the canary may be queued behind a long list.
	timer := time.NewTimer(s.c.cfg.Times.CanaryWait)
	defer timer.Stop()
	select {
	case <-f.seen:
	case <-timer.C:
		return s.c.deaf()
	case <-ctx.Done():
		return ctx.Err()
	}
	for _, r := range f.reads {
		if err := s.answer(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// loadedPause is how often a session reports at most that the module was loaded.
const loadedPause = time.Second

// canarySeen takes an event of our canary. It runs on the reader.
func (s *session) canarySeen(nonce string) {
	s.mu.Lock()
	f := s.awaited
	expected := f.nonce != "" && f.nonce == nonce
	repeated := s.last == nonce
	if expected {
		s.awaited, s.last = fence{}, nonce
	}
	opened := s.opened
	s.mu.Unlock()
	switch {
	case expected:
		if f.deliver != nil {
			f.deliver()
		}
		s.sign(connector.Alive)
		close(f.seen)
	case opened:
		// func_presencestate.so was loaded again and has published every row
		// (funcs/func_presencestate.c:841), or somebody else writes our canary.
		if !repeated && !s.stranger {
			s.stranger = true
			s.c.log.Warn("somebody else writes the canary of this bridge: two bridges with one store path and host name must not run on one PBX; move the store of one",
				zap.String("canary", s.c.canary))
		}
		// Whoever writes our canary without end shall not keep the bridge busy.
		if now := time.Now(); now.Sub(s.loaded) >= loadedPause {
			s.loaded = now
			s.report(connector.Report{Kind: connector.Loaded})
		}
	}
}

// answers reports that the PBX lives, which after a loss tells how much of what it
// was told it can have forgotten.
func (s *session) answers(_ ami.Response, err error) {
	if err == nil {
		s.sign(connector.Heard)
	}
}

// sign reports a sign of life, once the session is open.
func (s *session) sign(k connector.Kind) {
	s.mu.Lock()
	opened := s.opened
	s.mu.Unlock()
	if opened {
		s.report(connector.Report{Kind: k})
	}
}
