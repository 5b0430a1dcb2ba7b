package presence

import (
	"fmt"
	"slices"
	"time"
)

// quiet is the oracle's part about DND devices: the prose of DESIGN.md a second time.
// What an extension said before dnd lies under it on the stack of return times.
type quiet struct {
	on, live, spoken bool
	of               string
	since            Time  // zero: from long ago
	sent             *flip // written and not answered
}

type flip struct {
	ask   uint64
	on    bool
	acked Time
}

// below is what lies under a dnd that is said now.
func (x *truth) below() []opinion {
	top := len(x.stack) - 1
	switch {
	case x.dev == nil || top < 0:
		return nil
	case x.stack[top].p.State == DND:
		return x.stack[:top:top]
	case x.stack[top].t == "":
		return nil
	}
	return x.stack[: top+1 : top+1]
}

// outlive drops what ends before op does: only a device that ends a dnd early could
// come back to it.
func (x *truth) outlive(op opinion) {
	for !x.said().until.IsZero() && !x.said().until.After(op.until) {
		if x.dev != nil && op.p.State == DND && x.said().p.State != DND {
			return
		}
		x.stack = x.stack[: len(x.stack)-1 : len(x.stack)-1]
	}
}

// wants tells whether x shows, or shall show, dnd.
func (x *truth) wants() bool {
	if x.goal != nil {
		return x.goal.p.State == DND
	}
	return x.shows.State == DND
}

// switched is somebody's opinion by the device.
func (o *oracle) switched(x *truth, on bool, now Time) {
	switch {
	case on == x.wants() || !o.r.Sync:
		return
	case on:
		o.press(x, opinion{p: Presence{State: DND}, t: "dnd", since: now})
	default:
		for n := len(x.stack); n > 0; n-- {
			if b := x.stack[n-1]; b.t != "" && b.p.State != DND && (b.until.IsZero() || b.until.After(o.wall)) {
				b.since, b.by = now, x.id.by()
				x.stack = append(x.stack[:n-1:n-1], b)
				break
			} else if n == 1 {
				x.stack = nil
			}
		}
		if len(x.stack) == 0 {
			x.stack = []opinion{{p: Presence{State: Available}, t: "available", since: now, by: x.id.by()}}
		}
	}
	x.repeat = Time{}
	o.wish(x, goal{p: x.said().p})
}

func (d *quiet) shows(on bool, now Time) {
	if d.on != on {
		d.on, d.since = on, now
	}
}

// device is what happens to the device of one extension.
func (o *oracle) device(x *truth, in *Input, now Time) {
	d := x.dev
	if d == nil {
		return
	}
	mine := d.sent != nil && d.sent.ask == in.Ask
	switch in.Kind {
	case Acked:
		if mine {
			if d.sent.acked = now; d.on == d.sent.on {
				d.sent = nil
			}
		}
	case Refused, Unsent:
		if mine {
			d.sent = nil
		}
	case DNDChanged:
		if !d.live {
			return
		}
		d.shows(in.On, now)
		switch f := d.sent; {
		case f == nil:
			o.switched(x, in.On, now)
		case f.acked.IsZero() || f.on != in.On && !in.Flicked:
		default:
			if d.sent = nil; f.on != in.On {
				o.switched(x, in.On, now)
			}
		}
	}
}

// devices is a list of what the devices of one PBX say.
func (o *oracle) devices(x *truth, in *Input, now Time) {
	if x.dev != nil && x.dev.of != in.DNDOf {
		x.dev = nil // another device, or none
	}
	on, known := in.DNDs[x.id.Number], x.dev != nil
	if in.DNDs == nil {
		if known {
			x.dev.live = false
			x.dev.spoken = x.dev.spoken || x.goal != nil && x.goal.choice
		}
		return
	}
	if !known {
		x.dev = &quiet{on: on, since: now, of: in.DNDOf}
	}
	d := x.dev
	news := d.on != on && !d.spoken
	if !known {
		news = x.said().t == "" || on
		if x.goal != nil && x.goal.choice {
			news = false
		}
	}
	d.live, d.spoken = true, false
	if d.sent != nil {
		return
	}
	if d.shows(on, now); news {
		o.switched(x, on, now)
	}
}

// asked is what the device of one who is synchronised again says: as if it were new.
func (o *oracle) asked(x *truth, now Time) {
	if x.dev != nil && !x.dev.live {
		x.dev = nil
	}
	if x.dev != nil && x.dev.on && x.dev.sent == nil {
		o.switched(x, true, now)
	}
}

// overdue closes writes that five seconds after their answer had no event.
func (o *oracle) overdue(now Time) {
	for i := range o.exts {
		if d := o.exts[i].dev; d != nil && d.sent != nil && !d.sent.acked.IsZero() && !now.Before(d.sent.acked.Add(5*time.Second)) {
			d.shows(d.sent.on, now)
			d.sent = nil
		}
	}
}

func (d *quiet) lost(heard Time) {
	if d == nil {
		return
	}
	d.spoken = d.spoken || d.sent != nil
	d.live, d.sent = false, nil
	if d.since.Before(heard.Add(-2 * time.Second)) {
		d.since = Time{}
	}
}

// noticed marks the devices whose presence was set while nobody told of them.
func (o *oracle) noticed(before []truth) {
	for i := range before {
		x := o.find(before[i].id)
		if x == nil || x.dev == nil || x.dev.live {
			continue
		}
		was, is := before[i].said(), x.said()
		if was.t != is.t || was.p != is.p || was.since != is.since || before[i].shows != x.shows {
			x.dev.spoken = true
		}
	}
}

func (o *oracle) find(id ExtensionID) *truth {
	for i := range o.exts {
		if o.exts[i].id == id {
			return &o.exts[i]
		}
	}
	return nil
}

// compare tells how the core differs.
func (d *quiet) compare(x *Extension) string {
	switch c := x.DND; {
	case (c == nil) != (d == nil):
		return fmt.Sprintf("%s has the device %+v, the oracle: %+v", x.ID, c, d)
	case c != nil && (c.On != d.on || c.Of != d.of || c.Live != d.live || c.Spoken != d.spoken || (c.Ask != 0) != (d.sent != nil) || !c.At.IsZero() && c.At != d.since):
		return fmt.Sprintf("the device of %s is %+v, the oracle: %+v %+v", x.ID, *c, *d, d.sent)
	}
	return ""
}

// feature lets somebody use a feature code now and then.
func (w *world) feature() {
	if !w.calm && (w.quiet.IntN(100) == 0 || !w.setup.sync && w.quiet.IntN(8) == 0) {
		w.setup.sync = !w.setup.sync
		w.apply()
	}
	p := pickOne(w.quiet, w.pbxs)
	if p.of == "" || w.quiet.IntN(8) > 0 {
		return
	}
	switch r := w.quiet.IntN(20); {
	case r == 0 && !w.calm:
		p.deaf = !p.deaf
	case r < 3 && p.session != 0:
		p.fenceDevices()
	case p.up:
		var on []ExtensionID
		for _, id := range w.rules.Extensions {
			if id.PBX == p.name {
				on = append(on, id)
			}
		}
		if len(on) > 0 {
			number := pickOne(w.quiet, on).Number
			w.say("feature code on %s/%s", p.name, number)
			w.tally.Pressed++
			p.flip(number, !p.devs[number])
			if a := w.accepted[ExtensionID{p.name, number}]; a != nil {
				a.rival = true
			}
			if w.calm {
				w.rest()
				if i := w.view.find(ExtensionID{p.name, number}); w.rules.Sync && (w.view.Extensions[i].Said.dnd() != p.devs[number]) {
					w.fail("%s/%s was switched to %v, and said %+v", p.name, number, p.devs[number], w.view.Extensions[i].Said)
				}
			}
		}
	}
}

// flip sets a device. Of what does not change there is no event.
func (p *simPBX) flip(number string, on bool) {
	if p.devs[number] == on {
		return
	}
	p.undo = append(p.undo, undo{at: p.w.mono, number: number, dev: true, on: !on})
	p.devs[number] = on
	if p.session != 0 && !p.deaf {
		p.rang = append(p.rang, Input{Kind: DNDChanged, Extension: ExtensionID{p.name, number}, On: on})
	}
}

// refit is a bridge that starts with another template, or none, for its DND devices.
func (p *simPBX) refit() {
	p.of = pickOne(p.w.quiet, []string{"", "a", "b"})
	if p.others[p.of] == nil {
		p.others[p.of] = map[string]bool{}
	}
	p.devs = p.others[p.of]
	p.undo = slices.DeleteFunc(p.undo, func(u undo) bool { return u.dev })
	p.w.say("%s has the devices %q: %v", p.name, p.of, p.devs)
}

// fenceDevices sends a fenced list of devices, or that there is none.
func (p *simPBX) fenceDevices() {
	if p.session == 0 {
		return
	}
	list := Input{Kind: DNDListed, PBX: p.name, DNDOf: p.of}
	if p.of != "" && !p.deaf {
		p.wire, p.rang = append(p.wire, p.rang...), nil
		list.DNDs = map[string]bool{}
		for number, on := range p.devs {
			if on || p.w.quiet.IntN(2) == 0 {
				list.DNDs[number] = on
			}
		}
	}
	p.wire = append(p.wire, list)
}

// flicked lets the next report replace this one, as the inbox does.
func (p *simPBX) flicked(in *Input) bool {
	if len(p.wire) == 0 || p.wire[0].Kind != DNDChanged || p.wire[0].Extension != in.Extension || p.w.quiet.IntN(2) == 0 {
		return false
	}
	p.wire[0].Flicked = true
	return true
}

// agree is I1 for devices.
func (w *world) agree() {
	for i := range w.view.Extensions {
		x := &w.view.Extensions[i]
		p := w.pbx(x.ID.PBX)
		if p.of == "" {
			if x.DND != nil {
				w.fail("%s has no device, the view has %+v", x.ID, x.DND)
			}
			continue
		}
		if d := x.DND; d == nil || !d.Live || d.Ask != 0 || d.On != p.devs[x.ID.Number] {
			w.fail("I1: the device of %s is %v, the view has %+v", x.ID, p.devs[x.ID.Number], d)
		}
		if dnd := p.live[x.ID.Number].p.State == DND; w.rules.Sync && dnd != p.devs[x.ID.Number] {
			w.fail("I1: the device of %s is %v, its presence %v", x.ID, p.devs[x.ID.Number], p.live[x.ID.Number].p)
		}
	}
}

// overruled notes promises that somebody's switch came after, by its arrival. A list
// at the start of a session must not take a choice back.
func (w *world) overruled(in *Input, waiting map[ExtensionID]bool) {
	if in.Kind != DNDChanged && in.Kind != DNDListed {
		return
	}
	for i := range w.view.Extensions {
		x := &w.view.Extensions[i]
		if x.Wish == nil || x.Wish.Kind != Follow || !x.Wish.Since.Equal(w.last) {
			continue
		}
		w.tally.Switched++
		if waiting[x.ID] {
			w.fail("I3: a device of before the session takes the choice for %s back", x.ID)
		}
		if a := w.accepted[x.ID]; a != nil {
			a.rival = true
		}
	}
}

// again counts devices that are on when their user is synchronised again.
func (w *world) again(in *Input) {
	for i := range w.view.Extensions {
		x := &w.view.Extensions[i]
		if d := x.DND; in.Kind == Reloaded && w.view.Alone && w.rules.Sync && d != nil && d.Live && d.On && !x.dnd() {
			w.tally.Again++
		}
	}
}

// choices lists the extensions with a choice that waits and a device nobody tells of yet.
func (w *world) choices(in *Input) map[ExtensionID]bool {
	waiting := map[ExtensionID]bool{}
	for i := range w.view.Extensions {
		x := &w.view.Extensions[i]
		if in.Kind == DNDListed && x.Wish != nil && x.Wish.Kind == Choice && (x.DND == nil || !x.DND.Live) {
			waiting[x.ID] = true
		}
	}
	return waiting
}
