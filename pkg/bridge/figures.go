package bridge

import (
	"sync/atomic"
	"time"

	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// Figures are what the bridge has counted and timed since it started, and what waits.
type Figures struct {
	Decided  Decided
	Changes  uint64 // of statuses: lines of the history
	HeldBack uint64 // of those, what phones did too fast to show at once
	Drift    int    // extensions that are not known to show what they shall
	Inbox    int    // reports of PBXs that wait to be decided
	Arrived  Timing // from the arrival of what a phone did to its decision
	Lag      Timing // from a decision to its commit
	Store    StoreFigures
	PBXs     []PBXFigures // in the order of the configuration
}

// Decided is how many events about presence were taken for what, by Verdict. The one at
// 0 are those of extensions that had left their user.
type Decided [presence.Reverted + 1]uint64

// StoreFigures are about commits.
type StoreFigures struct {
	Commit  Timing // of those that went well
	Failed  uint64
	Waiting int   // users who are not saved
	Err     error // why nothing can be accepted now; nil: it can
}

// PBXFigures are about the writes to one PBX.
type PBXFigures struct {
	PBX     string
	Taken   uint64    // by the PBX
	Refused uint64    // by it, or by its connector
	Unsent  uint64    // their session was over
	Outbox  int       // orders that wait to be sent
	Canary  time.Time // when its canary was seen last; zero: not yet
}

// counted is what Figures are made of. The owner loop counts.
type counted struct {
	decided  [len(Decided{})]atomic.Uint64
	changes  atomic.Uint64
	heldBack atomic.Uint64
	arrived  timing
}

type countedStore struct {
	commit  timing        // the saver's goroutine notes it
	failed  atomic.Uint64 // likewise
	lag     timing
	waiting atomic.Int64
}

type countedPBX struct {
	taken, refused, unsent atomic.Uint64

	canary atomic.Int64 // when it was seen last, in microseconds since 1970; 0: not yet
}

// lately is when the owner loop last looked at the clock, since the start.
func (b *Bridge) lately() time.Duration { return b.clock.at.Sub(b.epoch) }

// count counts a report that is being decided.
func (b *Bridge) count(p *pbx, r *connector.Report) {
	switch r.Kind {
	case connector.Changed, connector.PhoneChanged, connector.DNDChanged:
		at := b.lately()
		b.counted.arrived.observe(at, at-r.Arrived)
	case connector.Alive:
		p.counted.canary.Store(p.known.Heard.UnixMicro())
	case connector.Acked:
		p.counted.taken.Add(1)
	case connector.Refused:
		p.counted.refused.Add(1)
	case connector.Unsent:
		p.counted.unsent.Add(1)
	}
}

// Figures returns what has been counted by now.
func (b *Bridge) Figures() Figures {
	at := time.Since(b.epoch)
	f := Figures{
		Changes: b.counted.changes.Load(), HeldBack: b.counted.heldBack.Load(),
		Drift: int(b.drifters.extensions.Load()), Inbox: b.inbox.depth(),
		Arrived: b.counted.arrived.read(at), Lag: b.saver.counted.lag.read(at),
		Store: StoreFigures{
			Commit: b.saver.counted.commit.read(at), Failed: b.saver.counted.failed.Load(),
			Waiting: int(b.saver.counted.waiting.Load()), Err: b.storeErr(),
		},
	}
	for i := range f.Decided {
		f.Decided[i] = b.counted.decided[i].Load()
	}
	for _, configured := range b.opt.PBXs {
		p := b.pbxs[configured.Name]
		figures := PBXFigures{
			PBX: p.name, Taken: p.counted.taken.Load(), Refused: p.counted.refused.Load(), Unsent: p.counted.unsent.Load(), Outbox: p.outbox.depth(),
		}
		if at := p.counted.canary.Load(); at != 0 {
			figures.Canary = time.UnixMicro(at)
		}
		f.PBXs = append(f.PBXs, figures)
	}
	return f
}
