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
	maxBatch = 2000
	// maxHistory bounds the history that waits for a store which is away; the
	// oldest lines go first, and the log tells.
	maxHistory = 50_000
	// viewSize is a little more than the JSON of a user with two extensions takes.
	viewSize = 1024
	// retryFirst and retryMost are how long to wait after a failed commit.
	retryFirst, retryMost = 100 * time.Millisecond, 5 * time.Second
)

// saver commits: at most one batch at a time, in its own goroutine, while the
// owner loop collects the next one. The other fields are the owner loop's.
type saver struct {
	store   Store
	timeout time.Duration
	epoch   time.Time
	work    chan job   // to the goroutine
	done    chan error // its answer

	busy    *store.Batch // under way; nil: none
	saving  []change     // whose rows busy.Users are, in the same order
	writing []line       // what busy.History is made of
	dirty   []change     // to be saved, in the order in which they changed
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

// job is a batch whose views have still to be encoded, which is worth doing
// outside of the owner loop: it takes longer than all the loop does for an event.
type job struct {
	batch *store.Batch
	views []*presence.View // of batch.Users, in the same order; copies
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
	return &saver{store: st, timeout: timeout, epoch: epoch, work: make(chan job), done: make(chan error, 1)}
}

// run commits what comes until work is closed. ctx ends when nobody waits for a
// commit any more.
func (s *saver) run(ctx context.Context) {
	for j := range s.work {
		s.done <- s.save(ctx, j)
	}
}

func (s *saver) save(ctx context.Context, j job) error {
	for i, v := range j.views {
		j.batch.Users[i].View = v.AppendJSON(make([]byte, 0, viewSize))
	}
	limited, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	began := time.Since(s.epoch)
	err := s.store.Save(limited, j.batch)
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

func (s *saver) remember(l line) {
	if len(s.history) >= maxHistory {
		s.history = slices.Delete(s.history, 0, maxHistory/10)
		s.dropped += maxHistory / 10
	}
	s.history = append(s.history, l)
}

// commit hands the next batch over if there is one and nothing is under way.
func (b *Bridge) commit(now presence.Time) {
	s := b.saver
	s.counted.waiting.Store(int64(len(s.dirty) + len(s.saving)))
	if s.busy != nil || now.Before(s.retry) {
		return
	}
	batch, views := &store.Batch{}, []*presence.View(nil)
	n := min(len(s.dirty), maxBatch)
	for _, u := range s.dirty[:n] {
		u.dirty = false
		v := u.view.Clone()
		views = append(views, v)
		s.saving = append(s.saving, u)
		batch.Users = append(batch.Users, store.User{ID: u.mapped.ID, Name: u.mapped.Name, Email: u.mapped.Email, Version: v.Version, Status: v.Status})
	}
	s.dirty = without(s.dirty, n)
	lines := min(len(s.history), maxBatch)
	s.writing = append(s.writing[:0], s.history[:lines]...)
	for i := range s.writing {
		batch.History = append(batch.History, s.writing[i].entry())
	}
	s.history = without(s.history, lines)
	for _, p := range b.pbxs {
		// A PBX's new life counts as seen once every view it changed is in.
		if (p.dirty || len(batch.Users) > 0) && len(s.dirty) == 0 {
			batch.PBXs = append(batch.PBXs, p.known)
			p.dirty = false
		}
	}
	b.ways.handedOver()
	batch.Own = b.ownToSave()
	if len(batch.Users)+len(batch.History)+len(batch.PBXs)+len(batch.Own) == 0 {
		return
	}
	s.busy = batch
	b.board.commits(b.opt.Now())
	s.work <- job{batch, views} // run is idle: it takes this at once
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

// committed takes the end of a commit. After a failure everything is dirty again;
// the next try takes the views as they are by then.
func (b *Bridge) committed(err error, now presence.Time) {
	s := b.saver
	batch, saving := s.busy, s.saving
	s.busy, s.saving = nil, nil
	b.board.commits(time.Time{})
	b.ways.committed(err)
	if err != nil {
		b.uncommitted(batch, saving, err, now)
		return
	}
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
	for i, u := range saving {
		s.counted.lag.observe(at, at-u.at)
		b.saved(u.user, batch.Users[i].Version)
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

func (b *Bridge) uncommitted(batch *store.Batch, saving []change, err error, now presence.Time) {
	s := b.saver
	s.again(saving)
	late := s.history
	s.history = nil
	for _, l := range append(s.writing, late...) {
		s.remember(l)
	}
	for i := range batch.PBXs {
		b.pbxs[batch.PBXs[i].Name].dirty = true
	}
	for i := range batch.Own {
		s.setOwn(batch.Own[i].User)
	}
	if s.failing == nil {
		b.log.Error("store not written, trying on; statuses are decided and shown meanwhile", zap.Error(err))
	}
	s.failing = err
	s.wait = min(max(2*s.wait, retryFirst), retryMost)
	s.retry = now.Add(s.wait)
	b.board.storeError(err)
}

// again puts those whose commit failed before those who have changed since: they have
// waited longer.
func (s *saver) again(saving []change) {
	later := s.dirty
	s.dirty = nil
	for _, u := range later {
		u.dirty = false
	}
	for _, u := range slices.Concat(saving, later) {
		s.touch(u.user, u.at)
	}
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
