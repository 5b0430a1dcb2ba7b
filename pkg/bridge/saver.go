package bridge

import (
	"context"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
)

const (
	// maxBatch bounds the users of one transaction, and so how long it takes.
	maxBatch = 400
	// maxUnder bounds the batches that are encoded or written.
	maxUnder = 2
	// maxHistory bounds the history that waits for a store which is away; the
	// oldest lines go first, and the log tells.
	maxHistory = 50_000
	// viewSize is a little more than the JSON of a user with two extensions takes.
	viewSize = 1024
	// retryFirst and retryMost are how long to wait after a failed commit.
	retryFirst, retryMost = 100 * time.Millisecond, 5 * time.Second
)

// saver commits: it takes what has changed meanwhile together, and where that is more than
// one batch holds, encodes the next while one is written. The other fields are the owner loop's.
type saver struct {
	store   Store
	timeout time.Duration
	epoch   time.Time
	work    chan *handed // to the goroutines
	done    chan error   // their answers, in the same order

	under   []*handed // handed over and not dealt with, in order; maxUnder at most
	lost    int       // of the first of them it is known that they failed
	failed  int       // commits so far, but for those that were not tried
	dirty   []change  // to be saved, in the order in which they changed
	history []line
	own     []presence.UserID // whose own settings are to be saved
	dropped int               // history lines given up
	failing error             // of the last commit; nil: it went well
	retry   presence.Time     // no commit before; zero: at once
	wait    time.Duration

	counted countedStore // any goroutine
}

// change is a user who has to be saved, and when that was decided first since it was
// last handed over. Times count from the start of the bridge.
type change struct {
	*user
	at time.Duration
}

// handed is a batch that was handed over, and what it was made of.
type handed struct {
	batch  *store.Batch
	views  []*presence.View // of batch.Users, in the same order; copies, to be encoded outside of the owner loop
	users  []change         // likewise
	lines  []line           // of batch.History
	failed int              // saver.failed by then
}

// line is a line of the history that waits, in half of what a store.Entry takes:
// while the store is away there are many.
type line struct {
	user    presence.UserID
	version uint64
	presence.Change
}

func (l *line) entry() store.Entry {
	st := &l.Status
	return store.Entry{
		User: l.user, At: l.At.Time(), Type: st.Type.ID, Name: st.Type.Name, Base: st.Type.Base,
		Message: st.Message, Label: st.Label, Since: st.Since.Time(), Until: st.Until.Time(), By: l.By, Rule: l.Rule, Version: l.version,
	}
}

func newSaver(st Store, timeout time.Duration, epoch time.Time) *saver {
	return &saver{store: st, timeout: timeout, epoch: epoch, work: make(chan *handed, maxUnder), done: make(chan error, maxUnder)}
}

// run commits what comes until work is closed. ctx ends when nobody waits for a
// commit any more.
func (s *saver) run(ctx context.Context) {
	encoded := make(chan *handed)
	writer := carry("the writing of batches", func() { s.write(ctx, encoded) })
	for h := range s.work {
		h.encode()
		encoded <- h
	}
	close(encoded)
	<-writer.done
}

// encode takes longer than all the owner loop does for an event.
func (h *handed) encode() {
	all := make([]byte, 0, viewSize*len(h.views))
	for i, v := range h.views {
		from := len(all)
		all = v.AppendJSON(all)
		h.batch.Users[i].View = all[from:len(all):len(all)]
	}
	h.views = nil
}

// write saves what was encoded, in order. What was handed over before it was known that
// one before it had failed fails as well: a later one may say that everything is in the store.
func (s *saver) write(ctx context.Context, encoded <-chan *handed) {
	failed, why := 0, error(nil)
	for h := range encoded {
		if h.failed == failed {
			if why = s.save(ctx, h.batch); why != nil {
				failed++
			}
		}
		s.done <- why
	}
}

func (s *saver) save(ctx context.Context, batch *store.Batch) error {
	limited, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	began := time.Since(s.epoch)
	err := s.store.Save(limited, batch)
	if err != nil {
		s.counted.failed.Add(1)
		return err
	}
	ended := time.Since(s.epoch)
	s.counted.commit.observe(ended, ended-began)
	return nil
}

// touch notes that u has to be saved since at.
func (s *saver) touch(u *user, at time.Duration) {
	if !u.dirty {
		u.dirty = true
		s.dirty = append(s.dirty, change{u, at})
	}
}

// has tells whether u is in a commit that is under way.
func (s *saver) has(u *user) bool {
	return slices.ContainsFunc(s.under, func(h *handed) bool {
		return slices.ContainsFunc(h.users, func(c change) bool { return c.user == u })
	})
}

func (s *saver) remember(l line) {
	if len(s.history) >= maxHistory {
		s.history = slices.Delete(s.history, 0, maxHistory/10)
		s.dropped += maxHistory / 10
	}
	s.history = append(s.history, l)
}

// mayCommit tells whether a batch may be handed over: where nothing is under way, and beside
// one that is only if another is full, since few changes in each mean many commits.
func (s *saver) mayCommit(now presence.Time) bool {
	switch {
	case now.Before(s.retry):
		return false
	case len(s.under) == 0:
		return true
	}
	return len(s.under) < maxUnder && s.lost == 0 && s.failing == nil && max(len(s.dirty), len(s.history)) >= maxBatch
}

// commit hands the next batches over if there are any and they may.
func (b *Bridge) commit(now presence.Time) {
	s := b.saver
	for s.mayCommit(now) {
		h := b.nextBatch()
		if h == nil {
			break
		}
		b.ways.handedOver(h)
		if s.under = append(s.under, h); len(s.under) == 1 {
			b.board.commits(b.opt.Now())
		}
		s.work <- h // which has room for all of them
	}
	waiting := len(s.dirty)
	for _, h := range s.under {
		waiting += len(h.users)
	}
	s.counted.waiting.Store(int64(waiting))
}

// nextBatch takes what is to be saved next; nil: nothing.
func (b *Bridge) nextBatch() *handed {
	s := b.saver
	batch := &store.Batch{}
	h := &handed{batch: batch, failed: s.failed}
	n := min(len(s.dirty), maxBatch)
	for _, u := range s.dirty[:n] {
		u.dirty = false
		v := u.view.Clone()
		h.views = append(h.views, v)
		batch.Users = append(batch.Users, store.User{ID: u.mapped.ID, Name: u.mapped.Name, Email: u.mapped.Email, Version: v.Version, Status: v.Status})
	}
	h.users = append(h.users, s.dirty[:n]...)
	s.dirty = without(s.dirty, n)
	h.lines = append(h.lines, s.history[:s.wholeSteps(maxBatch)]...)
	for i := range h.lines {
		batch.History = append(batch.History, h.lines[i].entry())
	}
	s.history = without(s.history, len(h.lines))
	for _, p := range b.pbxs {
		// A PBX's new life counts as seen once every view it changed is in.
		if (p.dirty || len(batch.Users) > 0) && len(s.dirty) == 0 {
			batch.PBXs = append(batch.PBXs, p.known)
			p.dirty = false
		}
	}
	batch.Own = b.ownToSave()
	if len(batch.Users)+len(batch.History)+len(batch.PBXs)+len(batch.Own) == 0 {
		return nil
	}
	return h
}

// wholeSteps is how many lines of the history go together, limit and few more at most: those
// of one version of a user belong into one batch.
func (s *saver) wholeSteps(limit int) int {
	n := min(len(s.history), limit)
	for 0 < n && n < len(s.history) && s.history[n].user == s.history[n-1].user && s.history[n].version == s.history[n-1].version {
		n++
	}
	return n
}

// without is list without the first n of it. Many that are left stay where they are: moving
// them to the front would take longer with each commit the more there are. Few get room of
// their own, so that the room of many is not kept for them.
func without[T any](list []T, n int) []T {
	left := len(list) - n
	clear(list[:n])
	switch {
	case left > maxBatch:
		return list[n:]
	case left > 0:
		return slices.Clone(list[n:])
	case cap(list) > 2*maxBatch:
		return nil
	}
	return list[:0]
}

// committed takes the end of the first commit that is under way. After a failure everything
// is dirty again; the next try takes the views as they are by then.
func (b *Bridge) committed(err error, now presence.Time) {
	s := b.saver
	h := s.under[s.lost]
	b.ways.committed(h, err)
	if err != nil {
		if h.failed == s.failed {
			s.failed++
		}
		if s.lost++; s.lost == len(s.under) {
			b.board.commits(time.Time{})
			b.uncommitted(err, now)
		}
		return
	}
	s.under = slices.Delete(s.under, 0, 1)
	began := time.Time{}
	if len(s.under) > 0 {
		began = b.opt.Now()
	}
	b.board.commits(began)
	if s.failing != nil {
		b.log.Info("store works again")
		b.board.storeError(nil)
	}
	if s.dropped > 0 {
		b.log.Warn("history lost, the store was away or slow for too long", zap.Int("lines", s.dropped))
	}
	s.failing, s.retry, s.wait, s.dropped = nil, presence.Time{}, 0, 0
	b.relight()   // a commit shows that it may
	b.commit(now) // the store goes on while those of this one are told
	at := b.lately()
	for i, u := range h.users {
		s.counted.lag.observe(at, at-u.at)
		b.saved(u.user, h.batch.Users[i].Version)
	}
}

// saved tells everybody whom it concerns that a version of u is in the store.
func (b *Bridge) saved(u *user, version uint64) {
	in := presence.Input{Kind: presence.Saved, Version: version}
	u.saved = version
	if u.mapped.Rules == nil {
		return // the mapping lacks them since before the start, and Wake has told the view
	}
	if b.users.of(u.mapped.ID) != u { // has left the mapping meanwhile, and nobody looks
		u.view.Step(&in, u.mapped.Rules, b.clock.next(), &b.fx)
		return
	}
	if underWay(u) { // else there is nothing that could have waited for it
		b.step(u, &in, b.clock.next())
	}
	b.accept(u, version)
	if u.view.Version == version {
		b.board.saved(u, version)
	}
}

// uncommitted takes back all that was handed over, before what has changed since: it has
// waited longer.
func (b *Bridge) uncommitted(err error, now presence.Time) {
	s := b.saver
	users, lines := s.dirty, s.history
	s.dirty, s.history = nil, nil
	for _, u := range users {
		u.dirty = false
	}
	for _, h := range s.under {
		for _, u := range h.users {
			s.touch(u.user, u.at)
		}
		for _, l := range h.lines {
			s.remember(l)
		}
		for i := range h.batch.PBXs {
			b.pbxs[h.batch.PBXs[i].Name].dirty = true
		}
		for i := range h.batch.Own {
			s.setOwn(h.batch.Own[i].User)
		}
	}
	s.under, s.lost = nil, 0
	for _, u := range users {
		s.touch(u.user, u.at)
	}
	for _, l := range lines {
		s.remember(l)
	}
	if s.failing == nil {
		b.log.Error("store not written, trying on; statuses are decided and shown meanwhile", zap.Error(err))
	}
	s.failing = err
	s.wait = min(max(2*s.wait, retryFirst), retryMost)
	s.retry = now.Add(s.wait)
	b.board.storeError(err)
}

// accept tells those whose choice is in the store by now.
func (b *Bridge) accept(u *user, version uint64) {
	left := b.waiting[u][:0]
	for _, w := range b.waiting[u] {
		if w.version <= version {
			w.done <- nil
		} else {
			left = append(left, w)
		}
	}
	if b.waiting[u] = left; len(left) == 0 {
		delete(b.waiting, u)
	}
}
