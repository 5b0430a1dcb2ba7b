package presence

import (
	"fmt"
	"slices"
	"time"
)

// The oracle's judgement: design.md section 2 a second time, written from its prose
// with other means (return times are a stack, ties one sort). What it judges by,
// who wrote what and what was answered, is kept in ledger_test.go.

// opine: somebody, not we, set p.
func (o *oracle) opine(x *truth, p Presence, now Time) {
	x.goal = nil // what waited after a refusal is superseded
	if t := o.typeOf(x, p); t != "" && o.r.Sync {
		o.press(x, opinion{p: p, text: p.Message, t: t, since: now})
	}
}

// press puts an opinion of a phone on the stack if its type ends by itself and there
// is something to come back to, else in the place of the stack.
func (o *oracle) press(x *truth, op opinion) {
	op.until, op.pressed, op.by = o.ends(op.t), true, "extension "+x.id.String()
	if known := x.said().t != "" || x.known && x.shows != op.p; !known {
		op.until = Time{}
	}
	x.push(op)
}

// push puts op above what x says, or shows if nobody said anything. What does not end
// by itself has nothing under it, unless it is a dnd that a device may end.
func (x *truth) push(op opinion) {
	switch {
	case op.until.IsZero() && op.p.State == DND:
		x.stack = x.below()
	case op.until.IsZero():
		x.stack = nil
	case x.said().t == "":
		x.stack = []opinion{{p: x.shows}}
	default:
		if x.outlive(op); len(x.stack) == 0 {
			x.stack = []opinion{{p: x.shows}}
		}
	}
	x.stack, x.repeat = append(x.stack, op), Time{}
	const most = 11 // op, the one before, eight under that, and what all come back to
	for len(x.stack) > most {
		x.stack = append(x.stack[:1:1], x.stack[2:]...)
	}
}

// ends is when what begins now ends by itself.
func (o *oracle) ends(t TypeID) Time {
	if s, _, _ := o.r.Types.Lookup(t); s.Lasts > 0 {
		return o.wall.Add(s.Lasts)
	}
	return Time{}
}

func (o *oracle) typeOf(x *truth, p Presence) (best TypeID) {
	score := 0
	for _, t := range o.r.Types.List() {
		if t.Asterisk == nil || t.Asterisk.State != p.State {
			continue
		}
		very := t.Asterisk.Subtype == p.Subtype
		for n, fits := range []bool{t.Asterisk.Subtype == "", very, very && o.is != nil && t.ID == o.is.t, very && t.ID == x.said().t} {
			if fits && n >= score {
				best, score = t.ID, n+1
			}
		}
	}
	return best
}

// chosen is rules 1 and 2 of "Outgoing".
func (o *oracle) chosen(in *Input, now Time) {
	t, _, _ := o.r.Types.Lookup(in.Type)
	op := opinion{p: Presence{Message: in.Message}, text: in.Message, label: in.Label, t: in.Type, since: now, until: in.Until, by: in.By}
	if in.Until.IsZero() && !in.Open {
		op.until = o.ends(in.Type)
	}
	if o.hold = nil; t.Asterisk == nil || !o.r.Sync || len(o.exts) == 0 {
		over, at := o.over()
		o.hold = &held{op, over, at}
		return
	}
	op.p.State, op.p.Subtype = t.Asterisk.State, t.Asterisk.Subtype
	if in.Message == "" {
		op.p.Message = in.Label
	}
	if o.r.UntilText != "" && !op.until.IsZero() {
		op.p.Message = o.tells(op.p.Message, op.until)
	}
	for i := range o.exts {
		x := &o.exts[i]
		if o.r.Outgoing == ToDefault && i != o.r.Default {
			continue
		}
		x.push(op)
		o.wish(x, goal{p: op.p, choice: true})
	}
}

// tells is a phone's message with its return time, as Tokyo writes it.
func (o *oracle) tells(message string, until Time) string {
	const day = 24 * time.Hour
	at := func(t Time) time.Duration { return time.Duration(t.us)*time.Microsecond + 9*time.Hour }
	text := fmt.Sprintf("until %02d:%02d", at(until)%day/time.Hour, at(until)%time.Hour/time.Minute)
	if at(until)/day != at(o.wall)/day {
		text = "until " + until.Time().Add(9*time.Hour).Format("2006-01-02") + text[len("until"):]
	}
	if message == "" {
		return text
	}
	return message + ", " + text
}

// tick is "Return time" and the counting of repeats.
func (o *oracle) tick(now Time) {
	o.overdue(now)
	past := func(t Time) bool { return !t.IsZero() && !t.After(o.wall) }
	if o.hold != nil && past(o.hold.until) {
		o.hold, o.pace.free = nil, true
	}
	for i := range o.exts {
		x := &o.exts[i]
		if past(x.said().until) {
			o.pace.free = true
			for past(x.said().until) {
				x.stack = x.stack[:len(x.stack)-1]
			}
			x.said().by, x.repeat = ByExpiry, Time{}
			o.wish(x, goal{p: x.said().p})
		}
		if !x.repeat.IsZero() && !x.repeat.Add(2*time.Second).After(now) {
			op := opinion{p: x.said().p, text: x.said().text, label: x.said().label, t: x.said().t, since: x.repeat, by: "extension " + x.id.String()}
			switch {
			case x.said().until.IsZero():
				x.push(op)
			case o.ends(op.t).IsZero(): // a person chose when it ends
				x.said().since, x.said().by, x.repeat = op.since, op.by, Time{}
			default:
				o.press(x, op)
			}
		}
	}
}

// pick is the three methods: of all that said something the best, nil if none did.
func (o *oracle) pick() (best *truth) {
	var least []int64
	for i := range o.exts {
		x, other := &o.exts[i], int64(0)
		if i != o.r.Default {
			other = 1
		}
		key := []int64{-x.said().since.us, other, int64(i)}
		if o.r.Incoming == Priority {
			key = slices.Insert(key, 0, int64(o.r.Ranks.of(x.said().t)))
		}
		if counts := !x.said().since.IsZero() && (o.r.Incoming != Default || other == 0); counts && (best == nil || slices.Compare(key, least) < 0) {
			best, least = x, key
		}
	}
	return best
}

func (o *oracle) over() (ExtensionID, Time) {
	if x := o.pick(); x != nil {
		return x.id, x.said().since
	}
	return ExtensionID{}, Time{}
}

// decide makes the status.
func (o *oracle) decide() {
	if over, at := o.over(); o.hold != nil && o.r.Sync && (over != o.hold.over || !at.Equal(o.hold.at)) {
		o.hold = nil
	}
	o.is = nil
	if x := o.pick(); x != nil {
		o.is = clone(x.said())
	}
	if o.hold != nil {
		o.is = &o.hold.opinion
	}
}
