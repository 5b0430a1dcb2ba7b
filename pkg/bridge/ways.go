package bridge

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

const (
	// maxWays is how many ways are followed at a time; one more cuts the oldest.
	maxWays = 256
	// maxWayWrites bounds the writes that are noted of one way: a refused one is tried again.
	maxWayWrites = 16
	// wayMost is how long a way is followed at most: a PBX may be away for days.
	wayMost = 30 * time.Second
	// pageWait is how long a way waits for a page that looks. Streams of events do so
	// within 50 ms, and where none is open none does.
	pageWait = 100 * time.Millisecond
	// wayLook is how often it is looked whether ways have ended.
	wayLook = 20 * time.Millisecond
)

// ways are those that are followed. They belong to the owner loop, and take neither time
// nor room where there are none.
type ways struct {
	tracer  Tracer        // nil: none ever is
	renders *renders      // of the board
	next    *followed     // whose decision comes next; nil nearly always
	open    []*followed   // the oldest first
	of      map[*user]int // how many of them are of whom
	look    time.Time     // when to look which have ended
}

// followed is a way that has not ended.
type followed struct {
	Way

	user     *user
	base     time.Time // what its times count from, so that a clock that is set moves none of them
	version  uint64    // of the view, once decided
	changed  bool      // which that decision gave it
	in       *handed   // the commit that is under way and has it; nil: none
	page     *shown    // what pages see of it; nil: nothing new
	rendered mark      // for the first page. A reader notes it
	writes   []*followedWrite
}

// followedWrite is a write of a way.
type followedWrite struct {
	WayWrite

	ask  uint64
	base time.Time
	sent mark // the sender notes it
}

// wentOut notes that the write is on the wire. Any goroutine may call it, also of nil.
func (w *followedWrite) wentOut() {
	if w != nil {
		w.sent.set(w.base)
	}
}

func (f *followed) now() time.Time { return f.base.Add(time.Since(f.base)) }

// mark is a time that another goroutine notes: 1 + the nanoseconds since a base. 0: it has
// not come.
type mark struct{ atomic.Int64 }

func (m *mark) set(base time.Time) { m.Store(1 + int64(time.Since(base))) }

// time is zero where it has not come.
func (m *mark) time(base time.Time) time.Time {
	since := m.Load()
	if since == 0 {
		return time.Time{}
	}
	return base.Add(time.Duration(since - 1))
}

// wayKinds are the reports whose ways may be followed.
var wayKinds = map[connector.Kind]WayKind{connector.Changed: PresenceWay, connector.PhoneChanged: PhoneWay, connector.DNDChanged: DNDWay}

// event follows a report whose decision comes next, if it is wanted.
func (w *ways) event(r *connector.Report, u *user, epoch time.Time) {
	kind, ok := wayKinds[r.Kind]
	if !ok || !w.tracer.Follows("") {
		return
	}
	f := &followed{user: u, base: time.Now()}
	f.Kind, f.User, f.Extension = kind, u.mapped.ID, r.Extension
	f.Arrived = f.base.Add(r.Arrived - f.base.Sub(epoch))
	if r.Held > 0 {
		f.Read = f.Arrived.Add(-r.Held)
	}
	w.next = f
}

// followChoice is a choice to be followed, nil if it is not wanted. Any goroutine calls it.
func (b *Bridge) followChoice(c *Choice) *followed {
	if b.ways.tracer == nil || !b.ways.tracer.Follows(c.TraceParent) {
		return nil
	}
	f := &followed{base: time.Now()}
	f.Kind, f.Parent, f.Arrived = ChoiceWay, c.TraceParent, f.base
	f.By, _, _ = strings.Cut(c.By, " ")
	return f
}

// choice follows f, if there is one, as a choice for u whose decision comes next.
func (w *ways) choice(f *followed, u *user) {
	if f != nil {
		f.user, f.User = u, u.mapped.ID
		w.next = f
	}
}

// begin takes the way whose decision begins, nil if that one is not followed.
func (w *ways) begin() *followed {
	f := w.next
	if w.next = nil; f != nil {
		f.Began = f.now()
	}
	return f
}

// decided notes what was decided.
func (w *ways) decided(f *followed, now presence.Time, fx *presence.Effects) {
	f.Decided = f.now()
	f.Verdict, f.Changed, f.HeldBack = fx.Heard, len(fx.History) > 0, fx.HeldBack
	v := &f.user.view
	f.Rule = v.Explain(f.user.mapped.Rules, now).Rule
	f.version, f.changed, f.Durable = v.Version, fx.Changed, fx.Durable
	if len(w.open) == maxWays {
		w.end(0)
	}
	w.open = append(w.open, f)
	if w.of == nil {
		w.of = map[*user]int{}
	}
	w.of[f.user]++
}

// shows notes that pages can see what f has changed.
func (w *ways) shows(f *followed) {
	f.Shown, f.page = f.now(), f.user.shown
	w.renders.await(f)
}

// stepped looks what a step of u asked for and answered of its ways. own is the one whose
// decision it was, nil if it was none's.
func (w *ways) stepped(u *user, in *presence.Input, fx *presence.Effects, own *followed) {
	for _, f := range w.open {
		if f.user != u {
			continue
		}
		for _, o := range fx.Orders {
			if len(f.writes) < maxWayWrites && f.asks(o, f == own) {
				f.writes = append(f.writes, &followedWrite{ask: o.Ask, base: f.base, WayWrite: WayWrite{Extension: o.Extension, DND: o.DND, Asked: f.now(), Outcome: Waiting}})
			}
		}
		for _, x := range f.writes {
			if x.Outcome == Waiting {
				f.answer(x, in, fx)
			}
		}
	}
}

// asks tells whether an order comes from the decision of f.
func (f *followed) asks(o presence.Order, own bool) bool {
	if o.Read {
		return false
	}
	return own && o.DND || f.wishes(func(x *presence.Extension) bool { return x.ID == o.Extension })
}

// wishes tells whether an extension with something still has a wish that the decision of f
// made.
func (f *followed) wishes(with func(*presence.Extension) bool) bool {
	return f.changed && slices.ContainsFunc(f.user.view.Extensions, func(x presence.Extension) bool {
		return x.Wish != nil && x.Wish.Version == f.version && with(&x)
	})
}

// answer looks whether a write is taken, or over, after a step.
func (f *followed) answer(w *followedWrite, in *presence.Input, fx *presence.Effects) {
	taken, over := progress(f.user, w)
	if taken && w.Taken.IsZero() {
		w.Taken = f.now()
	}
	if over {
		w.Ended, w.Outcome = f.now(), outcome(in, fx)
	}
}

// progress tells how far a write is: not over while its user's view waits for it.
func progress(u *user, w *followedWrite) (taken, over bool) {
	for i := range u.view.Extensions {
		x := &u.view.Extensions[i]
		switch {
		case x.ID != w.Extension:
		case w.DND:
			waits := x.DND != nil && x.DND.Ask == w.ask
			return waits && !x.DND.Acked.IsZero(), !waits
		default:
			at := slices.IndexFunc(x.Asked, func(a presence.Ask) bool { return a.ID == w.ask })
			return at >= 0 && x.Asked[at].Acked, at < 0
		}
	}
	return false, true
}

// outcome is what an input makes of a write that nothing waits for any more behind it.
func outcome(in *presence.Input, fx *presence.Effects) Outcome {
	switch in.Kind {
	case presence.Event:
		if fx.Heard == presence.Echo {
			return Echoed
		}
	case presence.DNDChanged, presence.Acked, presence.Tick: // a device that says so already tells of nothing
		return Echoed
	case presence.Answered, presence.Snapshot: // of the same session: Down has ended those of another
		return ReadBack
	case presence.Refused:
		return NotTaken
	case presence.Unsent:
		return NotSent
	case presence.Down:
		return Lost
	}
	return Superseded
}

// sending is the write that an order makes, nil if none of a way that is followed does.
func (w *ways) sending(u *user, o presence.Order) *followedWrite {
	if w.of[u] == 0 {
		return nil
	}
	for _, f := range w.open {
		if f.user != u || o.Read {
			continue
		}
		for _, x := range f.writes {
			if x.ask == o.Ask && x.Extension == o.Extension && x.Outcome == Waiting {
				return x
			}
		}
	}
	return nil
}

// handedOver notes who is in a commit that begins: who was to be saved and is so no more.
func (w *ways) handedOver(h *handed) {
	for _, f := range w.open {
		if f.Durable && f.in == nil && f.Saved.IsZero() && !f.user.dirty {
			f.in = h
			if f.Commits++; f.Commits == 1 {
				f.Committed = f.now()
			}
		}
	}
}

// committed notes the end of a commit.
func (w *ways) committed(h *handed, err error) {
	for _, f := range w.open {
		if f.in == h {
			f.in = nil
			if err == nil {
				f.Saved = f.now()
			}
		}
	}
}

// published notes that pages were told of what they can see, and ends the ways that have
// ended.
func (w *ways) published() {
	at := time.Now()
	for _, f := range w.open {
		if !f.Shown.IsZero() && f.Published.IsZero() {
			f.Published = f.now()
		}
	}
	if at.Before(w.look) {
		return
	}
	w.look = at.Add(wayLook)
	for i := 0; i < len(w.open); {
		if f := w.open[i]; at.Sub(f.base) > wayMost || f.over(at) {
			w.end(i)
		} else {
			i++
		}
	}
}

// over tells whether nothing of f is still to come.
func (f *followed) over(at time.Time) bool {
	switch {
	case f.Durable && f.Saved.IsZero():
	case f.page != nil && f.rendered.Load() == 0 && (f.Published.IsZero() || at.Sub(f.Published) < pageWait):
	case slices.ContainsFunc(f.writes, func(x *followedWrite) bool { return x.Outcome == Waiting }):
	default:
		return !f.wishes(func(*presence.Extension) bool { return true })
	}
	return false
}

// end hands the way at i to the tracer.
func (w *ways) end(i int) {
	f := w.open[i]
	w.open = slices.Delete(w.open, i, i+1)
	if w.of[f.user]--; w.of[f.user] == 0 {
		delete(w.of, f.user)
	}
	f.Cut = !f.over(time.Now())
	for _, x := range f.writes {
		x.Sent = x.sent.time(x.base)
		if !x.Taken.IsZero() && x.Taken.Before(x.Sent) {
			x.Sent = x.Taken // the answer was here before the sender could look at the clock
		}
		f.Writes = append(f.Writes, x.WayWrite)
	}
	f.Rendered = f.rendered.time(f.base)
	w.renders.drop(f)
	f.Ended = f.last()
	way := f.Way // and nothing that it was found by
	w.tracer.Trace(&way)
}

// last is the latest of all times of f.
func (f *followed) last() time.Time {
	last := f.Decided
	later := func(all ...time.Time) {
		for _, t := range all {
			if t.After(last) {
				last = t
			}
		}
	}
	later(f.Published, f.Rendered, f.Saved)
	for _, x := range f.Writes {
		later(x.Asked, x.Sent, x.Taken, x.Ended)
	}
	if f.Cut {
		later(f.now())
	}
	return last
}

// endAll hands over all that is left, when the bridge has stopped.
func (w *ways) endAll() {
	for len(w.open) > 0 {
		w.end(0)
	}
}

// renders notes when what is followed was rendered for the first page.
type renders struct {
	waiting atomic.Int32 // how many are not yet
	mu      sync.Mutex
	of      map[*shown]*followed
}

func (r *renders) await(f *followed) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.of == nil {
		r.of = map[*shown]*followed{}
	}
	r.of[f.page] = f
	r.waiting.Store(int32(len(r.of)))
}

// seen notes that s was rendered.
func (r *renders) seen(s *shown) {
	if r.waiting.Load() == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if f := r.of[s]; f != nil {
		f.rendered.set(f.base)
		r.forget(f)
	}
}

func (r *renders) drop(f *followed) {
	if f.page == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget(f)
}

func (r *renders) forget(f *followed) {
	delete(r.of, f.page)
	r.waiting.Store(int32(len(r.of)))
}
