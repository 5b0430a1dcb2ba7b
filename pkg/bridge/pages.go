package bridge

import (
	"sync"
	"time"

	"github.com/presencebridge/presencebridge/pkg/presence"
)

const (
	// leaveWait is how long a user has had no page open until that counts: to load a page
	// anew, or to change to another, is not to leave.
	leaveWait = 30 * time.Second
	// leaveTogether is how much longer it may take, so that those who leave one after the
	// other are not looked for each by itself.
	leaveTogether = time.Second
	// returnWait is how long pages have to come back after a start of the bridge.
	returnWait = 2 * time.Minute
)

// pages is who has a page of the panel open. Those who open and close them never wait;
// the owner loop looks at what has changed.
type pages struct {
	wake chan struct{} // holds one token while there are changes

	mu      sync.Mutex
	open    map[presence.UserID]int      // only of those who have one
	changed map[presence.UserID]struct{} // the first was opened or the last closed since the loop looked

	// Owner loop only.
	leaving map[presence.UserID]presence.Time // who has closed the last one, and when; until that counts
	look    presence.Time                     // when to look at them; zero: there are none
	opens   time.Time                         // until then everybody may yet come back after the start, by a clock that nobody sets; zero: no longer
}

func newPages() *pages {
	return &pages{
		wake: make(chan struct{}, 1), open: map[presence.UserID]int{}, changed: map[presence.UserID]struct{}{},
		leaving: map[presence.UserID]presence.Time{},
	}
}

// SignedIn notes that a user has a page of the panel open, until release is called, which
// may be more than once. Neither waits.
func (b *Bridge) SignedIn(id presence.UserID) (release func()) {
	b.pages.count(id, 1)
	return sync.OnceFunc(func() { b.pages.count(id, -1) })
}

func (p *pages) count(id presence.UserID, by int) {
	p.mu.Lock()
	n := p.open[id]
	if p.open[id] = n + by; n+by == 0 {
		delete(p.open, id)
	}
	turned := n == 0 || n+by == 0
	if turned {
		p.changed[id] = struct{}{}
	}
	p.mu.Unlock()
	if turned {
		select {
		case p.wake <- struct{}{}:
		default:
		}
	}
}

// isOpen tells whether the user has one open.
func (p *pages) isOpen(id presence.UserID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open[id] > 0
}

// take returns whose pages have changed, and whether one is open now.
func (p *pages) take() map[presence.UserID]bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := make(map[presence.UserID]bool, len(p.changed))
	for id := range p.changed {
		now[id] = p.open[id] > 0
	}
	p.changed = map[presence.UserID]struct{}{} // a map keeps the room that it once had
	return now
}

// pagesChanged takes what has changed. Who comes counts at once, who goes after a while.
func (b *Bridge) pagesChanged() {
	p := b.pages
	for id, open := range p.take() {
		if open {
			delete(p.leaving, id)
			b.signed(id, presence.Input{Kind: presence.SignedIn})
			continue
		}
		now := b.clock.next()
		if p.leaving[id] = now; p.look.IsZero() {
			p.look = now.Add(leaveWait)
		}
	}
}

// leave lets go of those who have been without a page for long enough, and, once
// everybody has had the time to come back, of all who have not.
func (b *Bridge) leave(now presence.Time) {
	p := b.pages
	if !p.opens.IsZero() && !time.Now().Before(p.opens) {
		p.opens = time.Time{}
		for i := range b.users.mapped {
			b.meet(b.users.mapped[i].ID)
		}
	}
	if p.look.IsZero() || now.Before(p.look) {
		return
	}
	p.look = presence.Time{}
	for id, left := range p.leaving {
		due := left.Add(leaveWait)
		if !now.Before(due) {
			delete(p.leaving, id)
			b.signed(id, presence.Input{Kind: presence.SignedOut, Heard: left})
			continue
		}
		if due = due.Add(leaveTogether); p.look.IsZero() || due.Before(p.look) {
			p.look = due
		}
	}
}

// meet tells the core of a user who has just come under this mapping, or whose time to
// come back is over, whether they have a page open.
func (b *Bridge) meet(id presence.UserID) {
	switch {
	case b.pages.isOpen(id):
		b.signed(id, presence.Input{Kind: presence.SignedIn})
	case b.isOut(id):
		b.signed(id, presence.Input{Kind: presence.SignedOut})
	}
}

// isOut tells whether it counts by now that a user has no page open.
func (b *Bridge) isOut(id presence.UserID) bool {
	_, leaving := b.pages.leaving[id]
	return b.pages.opens.IsZero() && !leaving && !b.pages.isOpen(id)
}

// signed tells the core of a user, if there is one and it is news that matters.
func (b *Bridge) signed(id presence.UserID, in presence.Input) {
	u := b.users.of(id)
	if u != nil && u.mapped.Rules.Phones.AsksForPages() && u.view.Out.IsZero() == (in.Kind == presence.SignedOut) {
		b.step(u, &in, b.clock.next())
	}
}

// due is when leave has something to do; zero: never.
func (p *pages) due(now presence.Time) presence.Time {
	if p.opens.IsZero() {
		return p.look
	}
	opens := now.Add(time.Until(p.opens))
	if p.look.IsZero() || opens.Before(p.look) {
		return opens
	}
	return p.look
}
