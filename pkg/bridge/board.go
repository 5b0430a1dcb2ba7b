package bridge

import (
	"context"
	"sync"
	"time"

	"github.com/presencebridge/presencebridge/pkg/presence"
)

// feedLength is how many changes a reader may be behind before it is sent
// everybody instead.
const feedLength = 8192

// board is what the API reads: the owner loop puts users up, anyone may look.
// A *User on it is never changed.
type board struct {
	mu       sync.RWMutex
	users    map[presence.UserID]*User
	order    []presence.UserID
	types    *presence.Types
	ring     [feedLength]feedEntry // by id modulo its length
	newest   uint64                // id of the last change
	oldest   uint64                // id of the oldest change in ring
	news     chan struct{}         // closed by announce
	fresh    bool                  // something was put up since announce
	storeErr error
	// committing is since when a commit is under way, by the wall clock; zero: none is.
	committing time.Time
	reloads    Reloads
}

// feedEntry is one change: what a user shows now, or that the user is gone.
type feedEntry struct {
	user *User
	gone bool
}

// newBoard starts the feed behind id, so that no id of an earlier run comes again.
func newBoard(id uint64) *board {
	return &board{users: map[presence.UserID]*User{}, newest: id, oldest: id + 1, news: make(chan struct{})}
}

// put shows u in the place of what was shown.
func (bd *board) put(u *User) {
	bd.mu.Lock()
	defer bd.mu.Unlock()
	bd.users[u.ID] = u
	bd.feed(feedEntry{user: u})
}

func (bd *board) feed(e feedEntry) {
	bd.newest++
	bd.ring[bd.newest%feedLength] = e
	if bd.newest-bd.oldest >= feedLength {
		bd.oldest = bd.newest - feedLength + 1
	}
	bd.fresh = true
}

// saved marks a version as being in the store.
func (bd *board) saved(id presence.UserID, version uint64) {
	bd.mu.Lock()
	defer bd.mu.Unlock()
	if u := bd.users[id]; u != nil && u.Version == version && !u.Saved {
		c := *u
		c.Saved = true
		bd.users[id] = &c
		bd.feed(feedEntry{user: &c})
	}
}

// reorder takes the users of a new mapping; those it lacks go.
func (bd *board) reorder(m *presence.Mapping, types *presence.Types) {
	bd.mu.Lock()
	defer bd.mu.Unlock()
	users := make(map[presence.UserID]*User, len(m.Users))
	bd.order = make([]presence.UserID, len(m.Users))
	for i, u := range m.Users {
		bd.order[i] = u.ID
		if shown := bd.users[u.ID]; shown != nil {
			users[u.ID] = shown
		}
	}
	for id, u := range bd.users {
		if users[id] == nil {
			bd.feed(feedEntry{user: u, gone: true})
		}
	}
	bd.users, bd.types = users, types
}

// announce wakes the readers of the feed if there is something new.
func (bd *board) announce() {
	bd.mu.Lock()
	defer bd.mu.Unlock()
	if bd.fresh {
		bd.fresh = false
		close(bd.news)
		bd.news = make(chan struct{})
	}
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

// all returns everybody in the order of the mapping.
func (bd *board) all() []User {
	bd.mu.RLock()
	defer bd.mu.RUnlock()
	users := make([]User, 0, len(bd.order))
	for _, id := range bd.order {
		if u := bd.users[id]; u != nil {
			users = append(users, *u)
		}
	}
	return users
}

// Subscription follows the feed. It belongs to one goroutine and needs no end.
type Subscription struct {
	board *board
	seen  uint64
	known bool // seen is an id of this feed
}

// Subscribe follows the feed behind id last, or, where that is not known any
// more (0 never is), from everybody on.
func (b *Bridge) Subscribe(last uint64) *Subscription {
	return &Subscription{board: b.board, seen: last, known: last != 0}
}

// Next waits until somebody changes and returns the newest of each who did, or
// everybody if the reader has fallen behind. A slow reader costs no memory.
func (s *Subscription) Next(ctx context.Context) ([]FeedItem, error) {
	for {
		items, news := s.poll()
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

// Close does nothing: a Subscription holds nothing that has to be given back.
func (s *Subscription) Close() {}

func (s *Subscription) poll() (items []FeedItem, news <-chan struct{}) {
	bd := s.board
	bd.mu.RLock()
	defer bd.mu.RUnlock()
	if !s.known || s.seen+1 < bd.oldest || s.seen > bd.newest {
		start := bd.oldest - 2 // whoever is cut off before the last one starts again
		items = append(items, FeedItem{ID: start, Reset: true})
		for _, id := range bd.order {
			if u := bd.users[id]; u != nil {
				items = append(items, FeedItem{ID: start, User: *u})
			}
		}
		items[len(items)-1].ID = bd.newest
		s.known, s.seen = true, bd.newest
		return items, bd.news
	}
	for id := s.seen + 1; id <= bd.newest; id++ {
		e := bd.ring[id%feedLength]
		shown := bd.users[e.user.ID]
		switch {
		case e.gone && shown == nil:
			items = append(items, FeedItem{ID: id, User: *e.user, Gone: true})
		case !e.gone && shown == e.user: // not followed by a newer one
			items = append(items, FeedItem{ID: id, User: *e.user})
		}
	}
	s.seen = bd.newest
	return items, bd.news
}
