package presence

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// step lets the core and the oracle see one thing and compares them.
func (w *world) step(in Input) {
	if w.fault != nil {
		return
	}
	choices := w.choices(&in)
	w.again(&in)
	now, version, before, waiting := w.now(), w.view.Version, pageOf(w.view), w.refused()
	in.Wall = w.wall
	w.view.Step(&in, w.rules, now, &w.fx)
	for _, x := range waiting {
		if i := w.view.find(x); w.accepted[x] != nil && i >= 0 && w.view.Extensions[i].Wish == nil {
			w.accepted[x].rival = true // rule 5: superseded while it waited
		}
	}
	w.ended(&in)
	w.overruled(&in, choices)
	w.count(&in)
	w.dirty = w.dirty || w.fx.Durable
	if w.trace != nil {
		w.say("%s -> %s %s orders=%v", nameOf(&in), w.fx.Heard, describe(w.view), w.fx.Orders)
	}
	switch rose := w.view.Version > version; {
	case w.view.Version < version:
		w.fail("I5: version fell from %d to %d", version, w.view.Version)
	case rose != w.fx.Changed:
		w.fail("I5: version %d, then %d, but changed=%v", version, w.view.Version, w.fx.Changed)
	case !rose && before != pageOf(w.view):
		w.fail("I5: after %s a page shows something new under the same version", nameOf(&in))
	}
	waited := w.oracle.pace.late
	w.oracle.see(&in, now)
	if waited && !w.oracle.pace.late && !w.oracle.pace.free {
		w.tally.Delivered++
	}
	orders := slices.Clone(w.fx.Orders)
	for _, o := range orders {
		w.oracle.ordered(o)
	}
	if what := w.compare(); what != "" {
		w.fail("after %s %s", nameOf(&in), what)
	}
	for _, o := range orders {
		switch {
		case o.DND:
			w.tally.Flips++
		case !o.Read:
			w.tally.Writes++
		}
		if wish := w.view.Extensions[w.view.find(o.Extension)].Wish; !o.Read && wish != nil && wish.Kind == Choice && wish.Version > w.stored {
			w.fail("I3: a choice for %s is written before it is committed", o.Extension)
		}
	}
	for _, o := range orders {
		w.pbx(o.Extension.PBX).post(o)
	}
}

// ended lets go of promises where a phone has said the same since, or is taken to have:
// then its return time counts.
func (w *world) ended(in *Input) {
	if in.Kind != Tick {
		return
	}
	for i := range w.oracle.exts { // which has not seen the tick yet
		x, wish := &w.oracle.exts[i], w.view.Extensions[i].Wish
		if a := w.accepted[x.id]; a != nil && x.said().pressed && wish != nil && wish.Kind == Expiry && wish.Since == w.last {
			a.rival = true
		}
	}
}

// refused lists the extensions whose wish waits after a refusal.
func (w *world) refused() (ids []ExtensionID) {
	for i := range w.view.Extensions {
		if x := &w.view.Extensions[i]; x.Wish != nil && x.Wish.refused() {
			ids = append(ids, x.ID)
		}
	}
	return ids
}

func (w *world) pbx(name string) *simPBX {
	return w.pbxs[slices.IndexFunc(w.pbxs, func(p *simPBX) bool { return p.name == name })]
}

func (w *world) count(in *Input) {
	switch w.fx.Heard {
	case Echo:
		w.tally.Echoes++
	case Older:
		w.tally.Older++
	case Repeat:
		w.tally.Repeats++
	case Accepted:
		w.tally.Said++
	case Unmapped:
		w.tally.Unmapped++
	}
	w.tally.Steps++
	if w.fx.HeldBack {
		w.tally.HeldBack++
	}
	switch in.Kind {
	case Refused:
		w.tally.Refused++
	case Unsent:
		w.tally.Unsent++
	case Answered:
		w.tally.Readings++
	case Tick:
		for i := range w.view.Extensions {
			switch x := &w.view.Extensions[i]; {
			case x.Wish != nil && x.Wish.Kind == Expiry && x.Wish.Since.Equal(w.last):
				w.tally.Expired++
				if w.oracle.exts[i].said().pressed { // the oracle has not seen the tick yet
					w.tally.Broke++
				}
			case !w.oracle.exts[i].repeat.IsZero() && x.RepeatAt.IsZero():
				w.tally.Counted++
			}
		}
	case Snapshot:
		for i := range w.view.Extensions {
			if wish := w.view.Extensions[i].Wish; wish != nil && wish.Kind == Restore && wish.Since.Equal(w.last) {
				w.tally.Reverted++
			}
		}
	}
}

// compare holds the core against the oracle and tells how they differ.
func (w *world) compare() string {
	v, o := w.view, w.oracle
	for i := range v.Extensions {
		x, y := &v.Extensions[i], &o.exts[i]
		s, want := &x.Said, y.said()
		switch {
		case v.label(x.ID, s.Since) != want.label:
			return fmt.Sprintf("the label of %s is %q, the oracle: %q", x.ID, v.label(x.ID, s.Since), want.label)
		case s.message() != want.text && want.t != "":
			return fmt.Sprintf("the message of %s is %q, the oracle: %q", x.ID, s.message(), want.text)
		case s.Type != want.t || !s.Presence.is(want.p) && want.t != "" || !s.Since.Equal(want.since) || !s.Until.Equal(want.until):
			return fmt.Sprintf("%s said %+v, the oracle: %+v", x.ID, *s, *want)
		case x.Known != y.known || !x.Shows.is(y.shows):
			return fmt.Sprintf("%s shows %v, the oracle: %v", x.ID, x.Shows.Presence(), y.shows)
		case (x.Wish == nil) != (y.goal == nil) || x.Wish != nil && x.Wish.Presence != y.goal.p:
			return fmt.Sprintf("the wish of %s is %+v, the oracle: %+v", x.ID, x.Wish, y.goal)
		}
		if what := y.dev.compare(x); what != "" {
			return what
		}
	}
	switch s := v.chosen(); {
	case (s == nil) != (o.is == nil):
		return fmt.Sprintf("the status is %v, the oracle: %v", s, o.is)
	case s != nil && (s.Type.ID != o.is.t || s.By != o.is.by || s.Message != o.is.text || s.Label != o.is.label || !s.Since.Equal(o.is.since) || !s.Until.Equal(o.is.until)):
		return fmt.Sprintf("the status is %+v, the oracle: %+v", *s, *o.is)
	}
	return cmp.Or(o.calls.compare(v), o.pace.compare(v))
}

// nameOf is an input as a line of the trace.
func nameOf(in *Input) string {
	switch in.Kind {
	case Chosen:
		return fmt.Sprintf("chosen %s %q until %s open=%v", in.Type, in.Message, in.Until.Time().Format(stamp), in.Open)
	case Saved:
		return fmt.Sprintf("saved %d", in.Version)
	case Snapshot:
		return fmt.Sprintf("snapshot %s session=%d new=%v %v", in.PBX, in.Session, in.NewLife, in.Shows)
	case Tick, Reloaded, Down, Loaded, SignedIn:
		return kindNames[in.Kind] + " " + in.PBX
	case DNDChanged, DNDListed:
		return fmt.Sprintf("%s %s%s on=%v flicked=%v %v", kindNames[in.Kind], in.PBX, in.Extension, in.On, in.Flicked, in.DNDs)
	case PhoneChanged, PhonesListed:
		return fmt.Sprintf("%s %s%s %s %v", kindNames[in.Kind], in.PBX, in.Extension, in.Phone, in.Phones)
	default:
		return fmt.Sprintf("%s %s %v ask=%d", kindNames[in.Kind], in.Extension, in.Presence, in.Ask)
	}
}

var kindNames = map[InputKind]string{
	Event: "event", Acked: "acked", Refused: "refused", Unsent: "unsent", Answered: "answered", Unreadable: "unreadable",
	PhoneChanged: "phone", PhonesListed: "phones", DNDChanged: "device", DNDListed: "devices", Loaded: "loaded", Down: "down", Tick: "tick", Reloaded: "reloaded",
	SignedIn: "signed in", SignedOut: "signed out",
}

const stamp = "15:04:05.000000"

func describe(v *View) string {
	var b strings.Builder
	if v.Status != nil {
		fmt.Fprintf(&b, "[%s %s]", v.Status.Type.ID, v.Status.Since.Time().Format(stamp))
	}
	for i := range v.Extensions {
		x := &v.Extensions[i]
		fmt.Fprintf(&b, " %s shows %v said %s %s asked=%d", x.ID, x.Shows.Presence(), x.Said.Type, x.Said.Since.Time().Format(stamp), len(x.Asked))
		if x.DND != nil {
			fmt.Fprintf(&b, " device=%+v", *x.DND)
		}
		if x.Wish != nil {
			fmt.Fprintf(&b, " wish=%v/%s", x.Wish.Presence, x.Wish.Kind)
		}
	}
	return b.String()
}

// shown is what the API shows of a view.
type shown struct {
	status  Status     // without its type
	typ     StatusType // without its image
	image   Image
	some    bool
	phone   PhoneState
	n       int
	shows   [5]Presence
	id      [5]ExtensionID
	since   [5]Time
	up      [5]bool
	pending [5]bool
}

func pageOf(v *View) shown {
	p := shown{n: len(v.Extensions), phone: v.Phone}
	if v.Status != nil {
		p.status, p.typ, p.some = *v.Status, *v.Status.Type, true
		p.status.Type, p.typ.Lasts, p.typ.Tagged = nil, 0, nil
		if p.typ.Asterisk != nil {
			p.image, p.typ.Asterisk = *p.typ.Asterisk, nil
		}
	}
	for i := range min(len(v.Extensions), len(p.id)) {
		x := &v.Extensions[i]
		p.id[i], p.shows[i], p.since[i], p.up[i], p.pending[i] = x.ID, x.Shows.Presence(), x.Said.Since, x.Session != 0, x.Wish != nil
	}
	return p
}
