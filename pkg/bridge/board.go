package bridge

import (
	"context"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/presencebridge/presencebridge/pkg/presence"
)

// feedLength is how many changes a reader may be behind before it is sent
// everybody instead.
const feedLength = 8192

// keptItems is how many of the last changes are rendered once for all readers.
const keptItems = 256

// board is what the API reads: the owner loop puts users up, anyone may look.
type board struct {
	mu       sync.RWMutex
	users    *people          // the owner loop's; of a user only shown is for anyone
	tallies  map[string]tally // by PBX, of everybody who is shown
	types    *presence.Types
	ring     [feedLength]feedEntry               // by id modulo its length
	newest   uint64                              // id of the last change
	oldest   uint64                              // id of the oldest change in ring
	news     chan struct{}                       // closed by announce
	fresh    bool                                // something was put up since announce
	kept     []*shown                            // who is in the store, for announce to put up
	items    [keptItems]atomic.Pointer[FeedItem] // by id modulo the length
	renders  renders
	storeErr error
	// committing is since when a commit is under way, by the wall clock; zero: none is.
	committing time.Time
	reloads    Reloads
}

// feedEntry is one change: what a user shows now, or that the user is gone.
type feedEntry struct {
	id   uint64
	user *shown // nil: everybody follows
	gone bool
}

// tally is how many extensions of a PBX are shown, and how many of them as pending.
type tally struct{ extensions, pending int }

// newBoard starts the feed behind id, so that no id of an earlier run comes again.
func newBoard(id uint64) *board {
	return &board{users: newPeople(nil), tallies: map[string]tally{}, newest: id, oldest: id + 1, news: make(chan struct{})}
}

// put shows u as it is now.
func (bd *board) put(u *user) {
	s := look(u)
	bd.mu.Lock()
	defer bd.mu.Unlock()
	bd.show(u, s)
	bd.feed(feedEntry{user: s})
}

// show puts s in the place of what is shown of u; nil: nothing is.
func (bd *board) show(u *user, s *shown) {
	bd.count(u.shown, -1)
	bd.count(s, 1)
	if u.shown != nil {
		u.shown.entry = 0
	}
	u.shown = s
}

// count adds the extensions of s to the tallies, by times.
func (bd *board) count(s *shown, by int) {
	if s == nil {
		return
	}
	for i := range s.extensions {
		pbx := s.user.Rules.Extensions[i].PBX
		t := bd.tallies[pbx]
		t.extensions += by
		if s.extensions[i].pending {
			t.pending += by
		}
		bd.tallies[pbx] = t
	}
}

func (bd *board) feed(e feedEntry) {
	bd.newest++
	e.id = bd.newest
	e.user.entry = e.id
	bd.ring[e.id%feedLength] = e
	if bd.newest-bd.oldest >= feedLength {
		bd.oldest = bd.newest - feedLength + 1
	}
	bd.fresh = true
}

// saved marks a version as being in the store. announce puts that up.
func (bd *board) saved(u *user, version uint64) {
	bd.mu.Lock()
	defer bd.mu.Unlock()
	if s := u.shown; s.version == version && !s.saved.Swap(true) {
		bd.kept = append(bd.kept, s)
	}
}

// reorder takes the users of a new mapping, which are shown once they are put; those
// it lacks go.
func (bd *board) reorder(users *people, types *presence.Types) {
	bd.mu.Lock()
	defer bd.mu.Unlock()
	for i, u := range bd.users.users {
		if users.find(bd.users.mapped[i].ID) < 0 {
			bd.feed(feedEntry{user: u.shown, gone: true})
			bd.show(u, nil)
		}
	}
	bd.users, bd.types = users, types
}

// keptAtOnce is how many of those who have been saved are put up at once. A commit brings
// many, and a change that comes then would wait behind all of them.
const keptAtOnce = 64

// feedKept puts up some of those who have been saved: more of them the more there are.
func (bd *board) feedKept() {
	n := min(len(bd.kept), max(keptAtOnce, len(bd.kept)/16))
	for _, s := range bd.kept[:n] {
		if s.entry != 0 { // still shown
			bd.feed(feedEntry{user: s})
		}
	}
	if bd.kept = bd.kept[n:]; len(bd.kept) == 0 {
		bd.kept = nil
	}
}

// announce wakes the readers of the feed if there is something new. more is whether
// something is left to put up.
func (bd *board) announce() (more bool) {
	bd.mu.Lock()
	defer bd.mu.Unlock()
	bd.feedKept()
	if bd.fresh {
		bd.fresh = false
		close(bd.news)
		bd.news = make(chan struct{})
	}
	return len(bd.kept) > 0
}

func (bd *board) storeError(err error) {
	bd.mu.Lock()
	defer bd.mu.Unlock()
	bd.storeErr = err
}

// commits notes that a commit began, or with zero that it ended.
func (bd *board) commits(since time.Time) {
	bd.mu.Lock()
	defer bd.mu.Unlock()
	bd.committing = since
}

func (bd *board) reloaded(err error, at time.Time) {
	bd.mu.Lock()
	defer bd.mu.Unlock()
	bd.reloads.Fault, bd.reloads.At = err, at
	if err != nil {
		bd.reloads.Failed++
	} else {
		bd.reloads.Done++
	}
}

// tally is that of one PBX.
func (bd *board) tally(pbx string) tally {
	bd.mu.RLock()
	defer bd.mu.RUnlock()
	return bd.tallies[pbx]
}

// listPage is how many users are looked up under the lock at a time.
const listPage = 512

// behind returns the users behind one in the order of the mapping, behind "" all of
// them. ok is false where there is no such user.
func (bd *board) behind(id presence.UserID) (rest []*user, ok bool) {
	bd.mu.RLock()
	defer bd.mu.RUnlock()
	at := -1
	if id != "" {
		if at = bd.users.find(id); at < 0 {
			return nil, false
		}
	}
	return bd.users.users[at+1:], true
}

// all yields what is shown of users, in pieces that are looked up when their turn
// comes. What a mapping has lost meanwhile is left out.
func (bd *board) all(users []*user) iter.Seq[*shown] {
	return func(yield func(*shown) bool) {
		page := make([]*shown, 0, min(len(users), listPage))
		for piece := range slices.Chunk(users, listPage) {
			page = bd.look(page[:0], piece)
			for _, s := range page {
				if !yield(s) {
					return
				}
			}
		}
	}
}

// look appends what is shown of users. What is looked up under the lock is rendered
// outside of it: that takes a while.
func (bd *board) look(page []*shown, users []*user) []*shown {
	bd.mu.RLock()
	defer bd.mu.RUnlock()
	for _, u := range users {
		if u.shown != nil {
			page = append(page, u.shown)
		}
	}
	return page
}

// find returns what is shown of one user, nil if there is none.
func (bd *board) find(id presence.UserID) *shown {
	bd.mu.RLock()
	defer bd.mu.RUnlock()
	if u := bd.users.of(id); u != nil {
		return u.shown
	}
	return nil
}

// Subscription follows the feed. It belongs to one goroutine and needs no end.
type Subscription struct {
	board     *board
	seen      uint64
	known     bool        // seen is an id of this feed
	waiting   []feedEntry // that Next has not returned yet
	everybody bool        // waiting tells of everybody
}

// feedPage is how many items Next returns at most: a user is rendered into a hundred
// times the bytes that waiting takes for one.
const feedPage = 256

// Subscribe follows the feed behind id last, or, where that is not known any
// more (0 never is), from everybody on.
func (b *Bridge) Subscribe(last uint64) *Subscription {
	return &Subscription{board: b.board, seen: last, known: last != 0}
}

// Next waits until somebody changes and returns the newest of each who did, or
// everybody, over several calls, if the reader has fallen behind. A slow reader costs
// little memory. What the items point to is shared with other readers and must not be
// changed.
func (s *Subscription) Next(ctx context.Context) ([]FeedItem, error) {
	for {
		items, news := s.take()
		if len(items) > 0 {
			return items, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-news:
		}
	}
}

// take returns what Next does if there is something, else what tells of news.
func (s *Subscription) take() (items []FeedItem, news <-chan struct{}) {
	if len(s.waiting) == 0 {
		s.waiting, news = s.poll()
	}
	n := min(len(s.waiting), feedPage)
	items = s.board.rendered(s.waiting[:n], s.everybody)
	if s.waiting = s.waiting[n:]; len(s.waiting) == 0 {
		s.waiting = nil // everybody is a lot to keep
		if s.everybody && n > 0 {
			items[n-1].Whole = true
		}
	}
	return items, news
}

// rendered makes items of entries. Of single changes, which every reader asks for, the
// last are kept; everybody, which is a lot for one reader, is not.
func (bd *board) rendered(entries []feedEntry, everybody bool) []FeedItem {
	list := make([]FeedItem, len(entries))
	for i, e := range entries {
		kept := &bd.items[e.id%keptItems]
		if known := kept.Load(); !everybody && known != nil && known.ID == e.id {
			list[i] = *known
			continue
		}
		list[i] = FeedItem{ID: e.id, Gone: e.gone, Reset: e.user == nil, Listed: everybody}
		if e.user != nil {
			u := e.user.render()
			list[i].User = &u
			bd.renders.seen(e.user)
		}
		if !everybody {
			kept.Store(&FeedItem{ID: e.id, Gone: e.gone, User: list[i].User})
		}
	}
	return list
}

// Close does nothing: a Subscription holds nothing that has to be given back.
func (s *Subscription) Close() {}

func (s *Subscription) poll() (entries []feedEntry, news <-chan struct{}) {
	bd := s.board
	bd.mu.RLock()
	defer bd.mu.RUnlock()
	s.everybody = !s.known || s.seen+1 < bd.oldest || s.seen > bd.newest
	if s.everybody {
		start := bd.oldest - 2 // whoever is cut off before the last one starts again
		entries = append(entries, feedEntry{id: start})
		for _, u := range bd.users.users {
			if u.shown != nil {
				entries = append(entries, feedEntry{id: start, user: u.shown})
			}
		}
		entries[len(entries)-1].id = bd.newest
		s.known, s.seen = true, bd.newest
		return entries, bd.news
	}
	if n := bd.newest - s.seen; n > 0 {
		entries = make([]feedEntry, 0, n)
	}
	for id := s.seen + 1; id <= bd.newest; id++ {
		e := bd.ring[id%feedLength]
		if e.gone && bd.users.of(e.user.user.ID) == nil || !e.gone && e.user.entry == e.id { // not followed by a newer one
			entries = append(entries, e)
		}
	}
	s.seen = bd.newest
	return entries, bd.news
}
