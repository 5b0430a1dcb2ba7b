package presence

import (
	"fmt"
	"time"
)

// pace is the oracle's part about flapping: of what phones do to the status, five
// changes show at once and then one in two seconds. It keeps when each change that
// phones paid for is paid off.
type pace struct {
	free  bool   // of this step: it was not phones
	spent []Time // when each of the last changes has been paid off, oldest first
	shows page
	late  bool // shows is not what it should be
}

// page is what shows.
type page struct {
	is    *opinion // said or chosen; nil: nothing
	over  TypeID   // what shows over it; "": nothing
	since Time     // of over
	by    string
}

// equals does not ask whose phone it is: hands that a call passes through are no change.
func (p *page) equals(q *page) bool {
	if p.over != q.over || p.over != "" && p.since != q.since || (p.is == nil) != (q.is == nil) {
		return false
	}
	return p.is == nil || p.is.t == q.is.t && p.is.text == q.is.text && p.is.label == q.is.label && p.is.since == q.is.since && p.is.until == q.is.until && p.is.by == q.is.by
}

// publish lets what is true show, if phones do not change it too fast.
func (o *oracle) publish(now Time) {
	p := &o.pace
	is := page{is: clone(o.is), over: o.calls.shows}
	if is.over != "" {
		is.since, is.by = o.calls.from, o.calls.by
	}
	for len(p.spent) > 0 && !p.spent[0].After(now) {
		p.spent = p.spent[1:]
	}
	switch {
	case is.equals(&p.shows), p.free:
		p.shows, p.late = is, false
	case len(p.spent) == 5:
		p.late = true
	default:
		from := now // each change takes two seconds to pay off, one after the other
		if n := len(p.spent); n > 0 {
			from = p.spent[n-1]
		}
		p.spent = append(p.spent[:len(p.spent):len(p.spent)], from.Add(2*time.Second))
		p.shows, p.late = is, false
	}
}

// compare tells how a view differs from what has to show.
func (p *pace) compare(v *View) string {
	s, under := v.Status, v.Status
	switch {
	case (v.Later != nil) != p.late:
		return fmt.Sprintf("held back: %+v, the oracle: %v", v.Later, p.late)
	case v.Over != (p.shows.over != ""):
		return fmt.Sprintf("over=%v, the oracle: %q", v.Over, p.shows.over)
	case v.Over && (s.Type.ID != p.shows.over || s.Since != p.shows.since || s.By != p.shows.by):
		return fmt.Sprintf("over the status shows %+v, the oracle: %+v", *s, p.shows)
	case v.Over:
		under = v.Under
	}
	shown := page{over: p.shows.over, since: p.shows.since, by: p.shows.by}
	if under != nil {
		shown.is = &opinion{t: under.Type.ID, text: under.Message, label: under.Label, since: under.Since, until: under.Until, by: under.By}
	}
	if !shown.equals(&p.shows) {
		return fmt.Sprintf("shows %+v, the oracle: %+v", under, p.shows.is)
	}
	return ""
}

// flutter lets a phone do something faster than a person could, now and then.
func (w *world) flutter() {
	r, p := w.plans, pickOne(w.plans, w.pbxs)
	if w.calm || r.IntN(40) > 0 || p.session == 0 {
		return
	}
	var on []ExtensionID
	for _, id := range w.rules.Extensions {
		if id.PBX == p.name {
			on = append(on, id)
		}
	}
	if len(on) == 0 {
		return
	}
	for n := 3 + r.IntN(10); n > 0; n-- {
		id := pickOne(r, on)
		if r.IntN(3) == 0 {
			w.step(Input{Kind: PhoneChanged, Extension: id, Phone: pickOne(r, []PhoneState{PhoneIdle, PhoneInCall})})
		} else {
			p.phone(id.Number, w.setup.presence(r))
			p.fence()
			p.drain()
		}
		w.ahead(time.Duration(r.IntN(700)) * time.Millisecond)
		if r.IntN(4) == 0 {
			w.tick()
		}
	}
}
