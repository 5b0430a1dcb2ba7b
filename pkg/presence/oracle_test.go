package presence

import (
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
		x.says(opinion{p: p, t: t, since: now})
		x.repeat = Time{}
	}
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
	op := opinion{Presence{Message: in.Message}, in.Type, now, in.Until}
	if o.hold = nil; t.Asterisk == nil || !o.r.Sync || len(o.exts) == 0 {
		over, at := o.over()
		o.hold = &held{op, over, at}
		return
	}
	op.p.State, op.p.Subtype = t.Asterisk.State, t.Asterisk.Subtype
	for i := range o.exts {
		x := &o.exts[i]
		if o.r.Outgoing == ToDefault && i != o.r.Default {
			continue
		}
		if x.repeat = (Time{}); in.Until.IsZero() {
			x.says(op)
		} else {
			if x.said().t == "" {
				x.stack = []opinion{{p: x.shows}} // what it returns to
			}
			x.outlive(in.Until)
			x.stack = append(x.stack, op)
		}
		o.wish(x, goal{p: op.p, choice: true})
	}
}

// tick is "Return time" and the counting of repeats.
func (o *oracle) tick(now, wall Time) {
	o.overdue(now)
	past := func(t Time) bool { return !t.IsZero() && !t.After(wall) }
	if o.hold != nil && past(o.hold.until) {
		o.hold = nil
	}
	for i := range o.exts {
		x := &o.exts[i]
		if past(x.said().until) {
			for past(x.said().until) {
				x.stack = x.stack[:len(x.stack)-1]
			}
			x.repeat = Time{}
			o.wish(x, goal{p: x.said().p})
		}
		if !x.repeat.IsZero() && !x.repeat.Add(2*time.Second).After(now) {
			x.says(opinion{x.said().p, x.said().t, x.repeat, Time{}})
			x.repeat = Time{}
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
