package presence

import (
	"maps"
	"slices"
	"time"
)

// oracle is what the simulation believes to be true of a user.
type oracle struct {
	r     *Rules
	exts  []truth
	hold  *held
	alone bool
	is    *opinion // the user's status; nil: nobody ever said anything
	goals int      // wishes so far
	wall  Time     // the time of day
	calls calls
	pace  pace
}

type opinion struct {
	p            Presence
	text         string // the message without what tells of the return time
	label        string
	t            TypeID
	since, until Time
	by           string
	pressed      bool // on a phone
}

type held struct {
	opinion
	over ExtensionID
	at   Time
}

type truth struct {
	id      ExtensionID
	session uint64
	end     Time // when its PBX was last heard of before it was lost
	gone    Time // when that was noticed
	known   bool
	shows   Presence
	was     []Shown
	stack   []opinion // the last one counts; those below wait for return times
	goal    *goal     // what it shall show and has not been seen to
	open    []goal    // written and not answered, oldest first
	repeat  Time
	dev     *quiet // nil: nobody told of one
}

type goal struct {
	p                                  Presence
	ask                                uint64
	choice, sent, before, acked, waits bool
}

func (x *truth) said() *opinion {
	if len(x.stack) == 0 {
		return &opinion{}
	}
	return &x.stack[len(x.stack)-1]
}

// wish makes g what x shall show.
func (o *oracle) wish(x *truth, g goal) {
	x.goal = nil
	if o.r.Sync {
		x.goal = &g
		o.goals++
	}
}

// see takes the inputs apart for the oracle and keeps its books: what was written,
// what was answered, which PBX is there. What follows from it is in oracle_test.go.
func (o *oracle) see(in *Input, now Time) {
	o.wall, o.pace.free = or(in.Wall, now), in.Kind == Chosen || in.Kind == Reloaded
	before := o.clone().exts
	switch in.Kind {
	case Chosen:
		o.chosen(in, now)
	case Tick:
		o.tick(now)
	case Reloaded:
		o.reload(now)
	case Snapshot, Down, Loaded, DNDListed:
		for i := range o.exts {
			if x := &o.exts[i]; x.id.PBX == in.PBX {
				o.pbx(x, in, now)
			}
		}
	default:
		if i := slices.IndexFunc(o.exts, func(x truth) bool { return x.id == in.Extension }); i >= 0 {
			o.extension(&o.exts[i], in, now)
		}
	}
	o.decide()
	o.noticed(before)
	o.listen(in, now)
}

func (o *oracle) pbx(x *truth, in *Input, now Time) {
	if in.Kind == DNDListed {
		o.devices(x, in, now)
		return
	}
	x.repeat = keepIf(x.repeat, in.Kind == Snapshot)
	switch p := in.Shows[x.id.Number]; {
	case in.Kind == Loaded:
	case in.Kind == Down && x.session == 0: // of a session that never began for it
		if end := or(in.Heard, now); end.After(x.end) {
			x.end = end
		}
		x.dev.lost(or(in.Heard, now))
	case in.Kind == Down:
		x.session, x.end, x.gone, x.open = 0, or(in.Heard, now), now, nil
		x.dev.lost(x.end)
	case x.session != in.Session:
		o.calls.forget(x, now)
		x.session = in.Session
		if d := x.dev; d != nil && !d.live && in.NewLife && !d.since.IsZero() {
			d.spoken = true
		}
		o.first(x, p, in.NewLife, now)
	case x.goal != nil && x.goal.acked && x.goal.p == p && !contains(in.Late, x.id.Number): // its event is lost
		x.answer(x.goal.ask)
		x.show(p, now)
	case len(x.open) == 0 && (x.goal == nil || x.goal.waits) && p != x.shows:
		o.opine(x, p, now)
		x.show(p, now)
	}
}

func contains(set map[string]struct{}, number string) bool {
	_, ok := set[number]
	return ok
}

func keepIf(t Time, keep bool) Time {
	if keep {
		return t
	}
	return Time{}
}

func (o *oracle) extension(x *truth, in *Input, now Time) {
	mine := x.goal != nil && x.goal.ask == in.Ask
	o.device(x, in, now)
	switch in.Kind {
	case Event:
		o.event(x, in.Presence, now)
	case Answered:
		o.answered(x, in.Ask, in.Presence, now)
	case Acked:
		for i := range x.open {
			x.open[i].acked = x.open[i].acked || x.open[i].ask == in.Ask
		}
		if mine {
			x.goal.acked = true
		}
	case Refused, Unsent:
		x.open = slices.DeleteFunc(x.open, func(g goal) bool { return g.ask == in.Ask })
		if mine && in.Kind == Refused {
			x.goal.waits = true
		} else if mine {
			x.goal.sent = x.goal.before
		}
	}
}

// ordered notes a write that the core wants done.
func (o *oracle) ordered(order Order) {
	i := slices.IndexFunc(o.exts, func(x truth) bool { return x.id == order.Extension })
	if x := &o.exts[i]; order.DND {
		x.dev.sent = &flip{ask: order.Ask, on: order.On}
	} else if !order.Read && x.goal != nil {
		g := x.goal
		g.ask, g.before, g.sent, g.acked, g.waits = order.Ask, g.sent, true, false, false
		x.open = append(x.open, *g)
	}
}

func (o *oracle) reload(now Time) {
	old := o.exts
	o.exts = nil
	for _, id := range o.r.Extensions {
		x := truth{id: id, end: now, gone: now}
		if i := slices.IndexFunc(old, func(x truth) bool { return x.id == id }); i >= 0 {
			x = old[i]
		}
		if !o.r.Sync {
			x.goal = nil
		}
		if o.r.Sync && o.alone && x.known && x.shows != x.said().p {
			o.opine(&x, x.shows, now)
		}
		if o.r.Sync && o.alone {
			o.asked(&x, now)
		}
		o.exts = append(o.exts, x)
	}
	if h := o.hold; h != nil && o.r.Sync {
		if t, removed, _ := o.r.Types.Lookup(h.t); t.Asterisk != nil && !removed { // phones can show it now
			o.chosen(&Input{Type: h.t, Message: h.text, Label: h.label, Until: h.until, Open: true, By: h.by}, now.Add(time.Microsecond))
		}
	}
	o.alone = !o.r.Sync
}

// clone is what a commit keeps of the oracle.
func (o *oracle) clone() *oracle {
	c := *o
	c.exts = slices.Clone(o.exts)
	for i := range c.exts {
		x := &c.exts[i]
		x.was, x.stack, x.open, x.goal = slices.Clone(x.was), slices.Clone(x.stack), slices.Clone(x.open), clone(x.goal)
		if x.dev = clone(x.dev); x.dev != nil {
			x.dev.sent = clone(x.dev.sent)
		}
	}
	c.hold, c.is, c.calls.does, c.pace.shows.is = clone(o.hold), clone(o.is), maps.Clone(o.calls.does), clone(o.pace.shows.is)
	return &c
}

// wake is the start of a bridge: nothing is connected, nothing under way.
func (o *oracle) wake(now Time, heard map[string]Time) {
	o.pace.spent = nil
	for i := range o.exts {
		x := &o.exts[i]
		if x.session != 0 {
			if x.end = heard[x.id.PBX]; x.end.IsZero() {
				x.end = now
			}
			x.gone = x.end
			x.dev.lost(x.end)
		} else {
			x.dev.lost(Time{})
		}
		x.session, x.open, x.repeat = 0, nil, Time{}
		if x.goal != nil {
			x.goal.waits = false
		}
	}
}

func (x *truth) show(p Presence, now Time) {
	if x.known && x.shows != p {
		x.was = append(x.was, Shown{Keep(x.shows), now})
		x.was = x.was[max(0, len(x.was)-16):] // DESIGN.md, 5
	}
	if x.known, x.shows = true, p; x.session == 0 { // new in the mapping, and its PBX speaks already
		x.end = now
	}
}

// event is rules 1 to 5 of "Incoming".
func (o *oracle) event(x *truth, p Presence, now Time) {
	switch waiting := x.goal != nil && !x.goal.waits; {
	case len(x.open) > 0 && x.open[0].acked && x.open[0].p == p:
		x.answer(x.open[0].ask)
	case x.known && x.shows == p:
		if o.r.CountRepeats && o.r.Sync && len(x.open) == 0 && x.goal == nil && x.said().p == p && x.said().t != "" && o.typeOf(x, p) != "" {
			x.repeat = now
		}
	case len(x.open) > 0 || waiting:
	default:
		o.opine(x, p, now)
	}
	x.show(p, now)
}

func (x *truth) answer(ask uint64) {
	x.open = slices.DeleteFunc(x.open, func(g goal) bool { return g.acked && g.ask <= ask })
	if x.goal != nil && x.goal.acked && x.goal.ask <= ask {
		x.goal = nil
	}
}

// answered is rule 4 of "Outgoing".
func (o *oracle) answered(x *truth, ask uint64, p Presence, now Time) {
	old := x.goal
	x.answer(ask)
	if len(x.open) == 0 && x.goal == nil && (old == nil && x.shows != p || old != nil && old.p != p) {
		o.opine(x, p, now)
	}
	x.show(p, now)
}

// first is what a session's first snapshot does.
func (o *oracle) first(x *truth, p Presence, newLife bool, now Time) {
	g, same := x.goal, x.known && x.shows == p
	forgot := slices.ContainsFunc(x.was, func(s Shown) bool { return s.Presence.is(p) && !s.Until.Before(x.end.Add(-2*time.Second)) })
	switch {
	case g != nil && g.sent && g.p == p:
		x.goal = nil
	case g != nil && g.choice && (newLife || !g.acked):
		if x.dev != nil && !x.dev.live {
			x.dev.spoken = true
		}
		if g.waits = false; x.said().t != "" && !g.sent {
			x.said().since, o.pace.free = now.Add(time.Microsecond), true
		}
	case g != nil && same && (newLife || !g.acked):
		g.waits = false
	case g == nil && same:
	case g == nil && newLife && forgot && o.r.Sync:
		o.wish(x, goal{p: x.shows})
	default:
		x.goal = nil
		o.opine(x, p, now)
	}
	x.show(p, now)
}
