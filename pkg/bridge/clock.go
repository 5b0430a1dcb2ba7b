package bridge

import (
	"container/heap"
	"time"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/presence"
)

// clock gives times for decisions: whole microseconds, strictly rising also when
// the wall clock steps back. Times are two microseconds apart, since the core
// ranks a choice one microsecond behind a snapshot.
type clock struct {
	now  func() time.Time
	last presence.Time
	wall presence.Time // what the wall clock said then
	at   time.Time     // when that was, by a clock that nobody sets
	set  time.Duration // by how much the wall clock was set, until somebody looks; 0: it was not
}

func newClock(now func() time.Time) clock {
	return clock{now: now, wall: presence.At(now()), at: time.Now()}
}

// setLeast is how much a wall clock must go wrong between two looks to count as set: one
// that is slowed down or hurried goes wrong by a millisecond in two seconds.
const setLeast = 100 * time.Millisecond

// next goes on at half speed while the wall clock is behind: deadlines and retries
// still come, and the two meet again.
func (c *clock) next() presence.Time {
	at, wall, by := c.read()
	if by.Abs() > setLeast { // unless the process stood between two readings
		at, wall, by = c.read()
	}
	if by.Abs() > setLeast {
		c.set += by
	}
	t := wall
	if least := c.last.Add(max(at.Sub(c.at)/2, 2*time.Microsecond)); t.Before(least) {
		t = least
	}
	c.last, c.wall, c.at = t, wall, at
	return t
}

// read reads both clocks, and by how much the wall clock went further than the steady one.
func (c *clock) read() (at time.Time, wall presence.Time, by time.Duration) {
	at, wall = time.Now(), presence.At(c.now())
	return at, wall, wall.Sub(c.wall) - at.Sub(c.at)
}

// clockSet looks at return times anew when the wall clock was set: what was to come after
// it may have passed.
func (b *Bridge) clockSet(now presence.Time) {
	if b.clock.set == 0 {
		return
	}
	b.log.Info("the wall clock was set, or the machine was suspended", zap.Duration("ahead", b.clock.set.Round(time.Millisecond)))
	b.clock.set = 0
	for _, u := range b.users.users {
		if !u.view.Ends.IsZero() {
			b.due.schedule(u, u.wants(b.clock.wall, now))
		}
	}
}

// seen makes every later time later than t.
func (c *clock) seen(t presence.Time) {
	if t.After(c.last) {
		c.last = t
	}
}

// spareDue is for how many users a dueHeap keeps its room when it is empty.
const spareDue = 1024

// dueHeap has the users that want a tick, the earliest first.
type dueHeap []*user

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = int32(i), int32(j)
}

// Push is for package heap.
func (h *dueHeap) Push(x any) {
	u := x.(*user)
	u.index = int32(len(*h))
	*h = append(*h, u)
}

// Pop is for package heap.
func (h *dueHeap) Pop() any {
	last := len(*h) - 1
	u := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	if last == 0 && cap(*h) > spareDue {
		*h = nil // a start makes everybody due
	}
	return u
}

// schedule makes u due at t; zero takes it out.
func (h *dueHeap) schedule(u *user, t presence.Time) {
	in := !u.due.IsZero()
	switch {
	case u.due.Equal(t):
	case t.IsZero():
		heap.Remove(h, int(u.index))
		u.due = t
	case in:
		u.due = t
		heap.Fix(h, int(u.index))
	default:
		u.due = t
		heap.Push(h, u)
	}
}
