package presence

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// calls is the oracle's part about phones: the prose of design.md a second time. It
// looks at all phones anew after every step.
type calls struct {
	does  map[ExtensionID]string // what was told, by extension; missing: nothing
	all   string                 // what they do together
	since Time
	who   ExtensionID // whose phone speaks
	out   Time        // since when no page is open; zero: one is
	shows TypeID      // over the status; "": nothing
	from  Time        // since when
	by    string
}

// listen notes what devices do, and judges.
func (o *oracle) listen(in *Input, now Time) {
	c := &o.calls
	if c.does == nil {
		c.does, c.all = map[ExtensionID]string{}, "unknown"
	}
	mapped := slices.ContainsFunc(o.exts, func(x truth) bool { return x.id == in.Extension })
	if in.Extension != (ExtensionID{}) && !mapped {
		return // nobody's: not even a look at the clock
	}
	switch in.Kind {
	case SignedIn:
		o.pace.free, c.out = o.pace.free || c.out != Time{}, Time{}
	case SignedOut:
		if c.out.IsZero() {
			o.pace.free, c.out = true, or(in.Heard, now)
		}
	case PhoneChanged:
		c.does[in.Extension] = in.Phone.String()
	case PhonesListed:
		for i := range o.exts {
			switch id := o.exts[i].id; {
			case id.PBX != in.PBX:
			case in.Phones == nil:
				delete(c.does, id)
			default:
				c.does[id] = cmp.Or(in.Phones[id.Number], PhoneNone).String()
			}
		}
	case Reloaded: // what an extension did is forgotten with the extension
		if when := o.r.Phones.OfflineWhen; when != WhenBoth && when != WhenSignedOut {
			c.out = Time{}
		}
		maps.DeleteFunc(c.does, func(id ExtensionID, _ string) bool {
			return !slices.ContainsFunc(o.exts, func(x truth) bool { return x.id == id })
		})
	}
	old := c.all
	c.all = o.together(now)
	if c.all != old && (!isCall(c.all) || !isCall(old)) {
		c.since = now
	}
	c.shows = o.overlay(now)
	o.publish(now)
}

func isCall(phone string) bool { return phone == "in_call" || phone == "on_hold" }

// beliefs is how long what a phone did is believed of a PBX that is away.
var beliefs = map[string]time.Duration{
	"offline": time.Hour, "ringing": 20 * time.Second, "in_call": 10 * time.Minute, "on_hold": 10 * time.Minute, "idle": 10 * time.Minute, "none": 10 * time.Minute,
}

// forget drops what is not believed any more, for good.
func (c *calls) forget(x *truth, now Time) {
	if p := c.does[x.id]; p != "" && x.session == 0 && !now.Before(x.gone.Add(beliefs[p])) {
		delete(c.does, x.id)
	}
}

// together is what the phones do together: the busiest speaks.
func (o *oracle) together(now Time) string {
	if len(o.exts) == 0 {
		return "unknown"
	}
	order := []string{"in_call", "on_hold", "ringing", "idle", "unknown", "offline", "none"}
	none := len(order) - 1
	best := len(order) - 1
	for i := range o.exts {
		x := &o.exts[i]
		o.calls.forget(x, now)
		if rank := slices.Index(order, cmp.Or(o.calls.does[x.id], "unknown")); rank < best || i == 0 {
			best, o.calls.who = rank, x.id
		}
	}
	if best == none {
		return "unknown"
	}
	return order[best]
}

// overlay is the status type that shows over what was said or chosen.
func (o *oracle) overlay(now Time) TypeID {
	base := Connected
	if o.is != nil {
		base = "" // of a type that nobody knows any more
		if t, _, ok := o.r.Types.Lookup(o.is.t); ok {
			base = t.Base
		}
	}
	c, protected := &o.calls, base != Connected && base != Absent && base != Busy
	lasted := now.Sub(c.since)
	c.from, c.by = c.since, c.who.by()
	chosenSince := func(t Time) bool { return o.is != nil && o.is.since.After(t) }
	switch {
	case !o.r.Sync:
		return ""
	case chosenSince(c.since):
	case isCall(c.all) && base == Connected:
		return "training"
	case c.all == "ringing" && (base == Connected || base == Absent) && lasted >= 3*time.Second:
		return "meeting"
	case c.all == "offline" && o.r.Phones.OfflineWhen == WhenDevices && !protected:
		return "xa"
	}
	both := o.r.Phones.OfflineWhen == WhenBoth
	c.from, c.by = c.out, "panel alice"
	if both && c.since.After(c.out) {
		c.from = c.since
	}
	if !c.out.IsZero() && !protected && (!both || c.all == "offline") && !chosenSince(c.from) {
		return "xa"
	}
	return ""
}

// compare tells how a view differs from what the phones do.
func (c *calls) compare(v *View) string {
	switch {
	case v.Phone.String() != c.all || !v.PhoneSince.Equal(c.since):
		return fmt.Sprintf("the phones are %s since %s, the oracle: %s since %s", v.Phone, v.PhoneSince.Time().Format(stamp), c.all, c.since.Time().Format(stamp))
	}
	return ""
}

// page lets the user open a page, or close the last one, now and then.
func (w *world) page() {
	switch w.pages.IntN(30) {
	case 0:
		w.step(Input{Kind: SignedIn})
	case 1:
		if !w.rules.Phones.AsksForPages() {
			return // nobody would tell
		}
		heard := Time{}
		if w.pages.IntN(2) == 0 { // noticed late
			heard = w.last.Add(-time.Duration(w.pages.IntN(20_000)) * time.Millisecond)
		}
		w.step(Input{Kind: SignedOut, Heard: heard})
	}
	if a := w.view.Explain(w.rules, w.last).Absent; a != nil && a.Shows {
		w.tally.Absent++
	}
}

// device lets a phone do something now and then.
func (w *world) device() {
	p := pickOne(w.calls, w.pbxs)
	if w.calls.IntN(6) > 0 || p.session == 0 {
		return
	}
	does := []PhoneState{PhoneNone, PhoneOffline, PhoneIdle, PhoneIdle, PhoneRinging, PhoneInCall, PhoneOnHold}
	var on []ExtensionID
	listed := map[string]PhoneState{}
	for _, id := range w.rules.Extensions {
		if id.PBX == p.name {
			on = append(on, id)
			if w.calls.IntN(5) > 0 {
				listed[id.Number] = pickOne(w.calls, does)
			}
		}
	}
	if w.calls.IntN(10) == 0 {
		listed = nil
	}
	switch {
	case len(on) == 0:
	case w.calls.IntN(6) == 0:
		w.step(Input{Kind: PhonesListed, PBX: p.name, Phones: listed})
	default:
		w.step(Input{Kind: PhoneChanged, Extension: pickOne(w.calls, on), Phone: pickOne(w.calls, does[1:])})
	}
	if w.view.Over {
		w.tally.Overlaid++
	}
	if w.view.Over && w.view.Phone == PhoneRinging {
		w.tally.Rung++
	}
	if e := w.view.Explain(w.rules, w.last); e.Phone.Rule == PhoneChosen {
		w.tally.Outspoken++
	}
}
