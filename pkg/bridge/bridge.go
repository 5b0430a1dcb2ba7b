// Package bridge is the shell around the core: it takes what connectors report,
// lets package presence decide, keeps the result in the store, sends what has to
// be written, and shows it all to the API.
//
// One goroutine, the owner loop, owns every user; the others only carry: one per
// connector, one sender per connector, two of the saver, one janitor. Run waits for all.
package bridge

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
)

// Store is where the bridge keeps what it must not lose.
type Store interface {
	Load(ctx context.Context) (store.State, error)
	Users(ctx context.Context) iter.Seq2[store.User, error] // a view is good until the next one
	Save(ctx context.Context, b *store.Batch) error
	History(ctx context.Context, q store.Query) ([]store.Entry, error)
	Prune(ctx context.Context, before time.Time) (int64, error)
	Forget(ctx context.Context, users []presence.UserID) error // all of them, or none
	Close(ctx context.Context, clean bool) error
}

// PBXConnector is a connector and the name of its PBX in the mapping.
type PBXConnector struct {
	Name      string
	Connector connector.Connector
}

// Options is what a Bridge is made of.
type Options struct {
	Mapping     *presence.Mapping
	LoadMapping func() (*presence.Mapping, error) // for Reload; its error lists the faults
	PBXs        []PBXConnector
	Store       Store // Run closes it
	Log         *zap.Logger
	Now         func() time.Time // nil: time.Now
	History     time.Duration    // how long history is kept, and users whom the mapping lacks; 0: for ever
	SaveTimeout time.Duration    // of one commit; 0: 5 s
	ExpiryWait  time.Duration    // how long return times that passed while the bridge was down wait for a PBX; 0: 30 s
	AcceptWait  time.Duration    // how long a choice waits for its commit; 0: 5 s
	// MayAct is nil while this bridge may act on PBXs, or says why not: then nothing is
	// written there, and what has to be waits. Any goroutine calls it. nil: always.
	MayAct func() error
	// Settled is called beside the owner loop when the bridge has come to rest after a
	// mapping or a snapshot, which leave much garbage, or half a minute after one; nil: no need.
	Settled func()
	// Tracer follows the ways of some events and choices; nil: nobody does.
	Tracer Tracer
}

func (o *Options) defaults() {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&o.SaveTimeout, 5*time.Second)
	set(&o.ExpiryWait, 30*time.Second)
	set(&o.AcceptWait, 5*time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MayAct == nil {
		o.MayAct = func() error { return nil }
	}
}

// Bridge is a running bridge. Its exported methods may be called from any goroutine.
type Bridge struct {
	opt   Options
	log   *zap.Logger
	inbox *inbox
	board *board        // what the API reads
	pages *pages        // who has one open
	do    chan func()   // runs in the owner loop
	load  sync.Mutex    // held while the mapping is loaded and applied
	ended chan struct{} // closed when the owner loop takes no more commands
	epoch time.Time     // from which arrivals and timings count

	// Owner loop only, from here on.
	clock    clock
	types    *presence.Types
	users    *people                   // of the mapping
	parked   map[presence.UserID]*user // whom the mapping does not have now
	own      map[presence.UserID]*own  // what users have set for themselves; only of those who have
	pbxs     map[string]*pbx
	waiting  map[*user][]waiter
	due      dueHeap
	saver    *saver
	fx       presence.Effects
	drifters drifters
	ways     ways
	counted  counted        // any goroutine
	in       presence.Input // of report; here because an event needs no memory then
	started  time.Time      // by a clock that nobody sets
	unlit    bool           // lamps were not set because the bridge might not act
	stopping bool           // what is lost from here on, we have cut ourselves
	floor    uint64         // the version that new users start from
	settling presence.Time  // when to call Settled, unless there is more to do; zero: never
	settleBy presence.Time  // and then also if there is
	resting  carrier        // of Settled
}

// user is one user in the owner loop.
type user struct {
	mapped *presence.MappedUser // with the user's own settings; never changed; no Rules: known from the store only
	view   presence.View
	saved  uint64 // the version in the store
	last   *LastChange
	due    presence.Time        // its key in the heap; zero: not in it
	index  int32                // its place in the heap
	dirty  bool                 // waits to be saved
	asking bool                 // the inbox has been told of unanswered writes
	wishes uint8                // of its extensions that are not fulfilled, for drifters
	lit    uint8                // what its lamps were told to show: 1 + the place in presence.Bases; 0: they are left alone
	pauses *presence.StatusType // what members of queues were told to be paused for; nil: not to be
	shown  *shown               // of the board: under its mutex; nil: not shown
}

// waiter is a choice that waits for its commit.
type waiter struct {
	version uint64
	done    chan<- error // buffered
}

// pbx is one PBX in the owner loop.
type pbx struct {
	name      string
	connector connector.Connector
	outbox    *outbox
	owners    owners
	known     store.PBX
	dirty     bool       // known waits to be saved
	synced    bool       // a snapshot has come since the bridge started
	counted   countedPBX // any goroutine
}

// openTimeout bounds what Open asks of a store that has answered already.
const openTimeout = time.Minute

// Open loads the store and makes every user's view fit the mapping. The result
// answers the API; Run makes it live. An error leaves the store to the caller.
func Open(ctx context.Context, opt Options) (*Bridge, error) {
	opt.defaults()
	state, err := opt.Store.Load(ctx)
	if err != nil {
		return nil, fmt.Errorf("load the store: %w", err)
	}
	limited, cancel := context.WithTimeout(ctx, openTimeout)
	last, err := opt.Store.History(limited, store.Query{Limit: 1})
	cancel()
	if err != nil {
		return nil, fmt.Errorf("read the end of the history: %w", err)
	}
	epoch := time.Now()
	b := &Bridge{
		opt:     opt,
		log:     opt.Log,
		epoch:   epoch,
		inbox:   newInbox(epoch),
		board:   newBoard(uint64(opt.Now().UnixMicro())),
		pages:   newPages(),
		do:      make(chan func()),
		ended:   make(chan struct{}),
		clock:   newClock(opt.Now),
		users:   newPeople(opt.Mapping.Users),
		parked:  map[presence.UserID]*user{},
		own:     map[presence.UserID]*own{},
		pbxs:    map[string]*pbx{},
		waiting: map[*user][]waiter{},
		saver:   newSaver(opt.Store, opt.SaveTimeout, epoch),
	}
	b.ways.tracer, b.ways.renders = opt.Tracer, &b.board.renders
	for _, p := range opt.PBXs {
		b.pbxs[p.Name] = &pbx{name: p.Name, connector: p.Connector, outbox: newOutbox(), owners: owners{numbers: connector.NewNumbers(nil)}, known: store.PBX{Name: p.Name}}
	}
	if err := b.fits(opt.Mapping); err != nil {
		return nil, err
	}
	for _, e := range last { // by a clock that was ahead, or of a bridge on another machine
		b.clock.seen(presence.At(e.At))
	}
	if err := b.wake(ctx, state); err != nil {
		return nil, err
	}
	b.started = time.Now()
	b.pages.opens = b.started.Add(returnWait)
	b.apply(opt.Mapping)
	b.opt.Mapping = nil // a later one shall not keep it alive
	b.board.announce()
	return b, nil
}

// Run keeps the bridge going until ctx ends, then stops it in order, within five
// seconds: connectors first, then what is left is saved, then the store is closed.
func (b *Bridge) Run(ctx context.Context) error {
	work, stop := context.WithCancel(context.Background())
	defer stop()
	saving, abort := context.WithCancel(context.Background())
	defer abort()
	carriers := []carrier{carry("the pruning of the history", func() { b.janitor(work) })}
	for _, p := range b.pbxs {
		carriers = append(carriers,
			carry("the connector of PBX "+p.name, func() { b.connect(work, p) }),
			carry("the sender of PBX "+p.name, func() { b.send(work, p) }))
	}
	saver := carry("the store's commit", func() { b.saver.run(saving) })

	b.loop(ctx.Done())
	b.stopping = true
	close(b.ended)
	stop()
	if !b.resting.over() {
		carriers = append(carriers, b.resting)
	}
	err := b.end(carriers)
	b.ways.endAll()
	close(b.saver.work)
	abort()
	return errors.Join(err, b.close(saver, err == nil))
}

// end waits for the carriers and saves what is left.
func (b *Bridge) end(carriers []carrier) error {
	draining, cancel := context.WithTimeout(context.Background(), drainWait)
	defer cancel()
	var errs []error
	for _, c := range carriers {
		errs = append(errs, b.drain(draining, c))
	}
	flushing, cancel := context.WithTimeout(context.Background(), flushWait)
	defer cancel()
	return errors.Join(append(errs, b.finish(flushing))...)
}

// close lets go of the store.
func (b *Bridge) close(saver carrier, clean bool) error {
	aborting, cancel := context.WithTimeout(context.Background(), abortWait)
	defer cancel()
	hung := saver.ended(aborting)
	closing, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	var err error
	closer := carry("the store's close", func() { err = b.opt.Store.Close(closing, clean) })
	if late := closer.ended(closing); late != nil {
		return errors.Join(hung, late)
	}
	if err != nil {
		err = fmt.Errorf("close the store: %w", err)
	}
	return errors.Join(hung, err)
}

// connect runs one connector.
func (b *Bridge) connect(ctx context.Context, p *pbx) {
	err := p.connector.Run(ctx, func(r connector.Report) {
		r.PBX = p.name
		b.inbox.put(r)
	})
	if err != nil && ctx.Err() == nil {
		b.log.Error("connector gave up", zap.String("pbx", p.name), zap.Error(err))
	}
}

// janitor prunes the history once an hour, and forgets who has left.
func (b *Bridge) janitor(ctx context.Context) {
	if b.opt.History == 0 {
		return
	}
	t := time.NewTicker(time.Hour)
	defer t.Stop()
	for {
		n, err := b.opt.Store.Prune(ctx, b.opt.Now().Add(-b.opt.History))
		switch {
		case err != nil && ctx.Err() == nil:
			b.log.Warn("history not pruned", zap.Error(err))
		case n > 0:
			b.log.Info("old history removed", zap.Int64("entries", n))
		}
		b.forget(ctx, b.opt.Now().Add(-b.opt.History))
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}
