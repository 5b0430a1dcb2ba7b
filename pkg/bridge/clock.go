package bridge

import (
	"container/heap"
	"time"

	"github.com/presencebridge/presencebridge/pkg/presence"
)

// clock gives times for decisions: whole microseconds, strictly rising also when
// the wall clock steps back. Times are two microseconds apart, since the core
// ranks a choice one microsecond behind a snapshot.
type clock struct {
	now  func() time.Time
	last presence.Time
	at   time.Time // when last was given, by a clock that nobody sets
}

func newClock(now func() time.Time) clock { return clock{now: now, at: time.Now()} }

// next goes on at half speed while the wall clock is behind: deadlines and retries
// still come, and the two meet again.
func (c *clock) next() presence.Time {
	at := time.Now()
	passed := at.Sub(c.at) / 2
	t := presence.At(c.now())
	if least := c.last.Add(max(passed, 2*time.Microsecond)); t.Before(least) {
		t = least
	}
	c.last, c.at = t, at
	return t
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
