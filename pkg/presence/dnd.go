package presence

import "time"

// This file keeps an extension's DND device, such as Custom:DND1001, and its presence
// one truth. Feature codes and many dialplans know only the device.
//
// The device has to say whether the extension shows, or shall show, the presence dnd.
// Whoever switches it to something else has an opinion of that extension, and the
// presence is written after it; everything else that changes the presence is followed
// by the device. It cannot go round: a write to the device is made only where it
// differs from the presence, one at a time, and its event agrees with the presence, so
// that it asks for nothing; the echo of a write to the presence leaves what the
// extension shall show, and so the device, as it is.

// DNDDevice is what is known of an extension's DND device.
type DNDDevice struct {
	On     bool   `json:"on"`               // what it said last
	At     Time   `json:"at,omitzero"`      // since when; zero: from long before its PBX was last heard of
	Spoken bool   `json:"spoken,omitempty"` // while nobody told of the device presence was set, which wins
	Ask    uint64 `json:"ask,omitempty"`    // the write that has not been answered; 0: none
	Of     string `json:"of,omitempty"`     // which devices it is one of; "": not noted

	Live     bool `json:"-"` // its PBX tells of it in this session
	Wrote    bool `json:"-"` // with Ask: what was written
	Acked    Time `json:"-"` // with Ask: when the PBX took it; zero: not yet
	Refusals int  `json:"-"`
	RetryAt  Time `json:"-"` // after a refusal; zero: at once
}

// dnd tells whether the extension shows, or shall show, the presence dnd.
func (x *Extension) dnd() bool {
	if x.Wish != nil {
		return x.Wish.Presence.State == DND
	}
	return x.Shows.Presence().State == DND
}

// dndSynced tells whether devices are to agree: there has to be a status that means dnd.
func (s *step) dndSynced() bool {
	_, ok := s.r.Types.typeOf(Presence{State: DND}, "", "")
	return ok && s.r.Sync
}

// dndChanged sorts an event of the device:
//
//	it is what was written, and that was answered   our own write
//	a write is unanswered                           older than that
//	it agrees with the presence                     nothing to do
//	else                                            somebody's opinion
func (s *step) dndChanged(x *Extension) {
	d := x.DND
	if d == nil || !d.Live {
		return // a list will tell
	}
	on, mine := s.in.On, d.Ask != 0 && !d.Acked.IsZero() && (s.in.On == d.Wrote || s.in.Flicked)
	s.dndShows(d, on)
	if mine {
		d.Ask, s.fx.Durable = 0, true
	}
	if d.Ask == 0 && (!mine || on != d.Wrote) {
		s.dndOpinion(x)
	}
}

// dndListed takes what all devices of one PBX say. What changed while nobody told is
// somebody's opinion, unless the presence was set meanwhile as well: then it wins. Where
// nothing was known of the device it loses to one that is on, as somebody
// switched that, unless a choice waits, and wins over one that is off, which may have
// never been used.
func (s *step) dndListed() {
	for i := range s.v.Extensions {
		x := &s.v.Extensions[i]
		if x.ID.PBX != s.in.PBX {
			continue
		}
		if d := x.DND; d != nil && d.Of != s.in.DNDOf && (d.Of != "" || s.in.DNDOf == "") {
			x.DND, s.fx.Durable = nil, true // it has another one now, or none
		}
		if s.in.DNDs == nil {
			s.dndUntold(x)
			continue
		}
		d, on := x.DND, s.in.DNDs[x.ID.Number]
		if d == nil {
			waits := x.Wish != nil && x.Wish.Kind == Choice
			d = &DNDDevice{On: !on, Spoken: waits || !on && !x.Said.Since.IsZero()}
			x.DND = d
		}
		changed := d.On != on && !d.Spoken
		s.fx.Durable = s.fx.Durable || d.Spoken || d.Of != s.in.DNDOf
		d.Live, d.Spoken, d.Of = true, false, s.in.DNDOf
		if d.Ask != 0 {
			continue // what is under way decides
		}
		s.dndShows(d, on)
		if changed {
			s.dndOpinion(x)
		}
	}
}

// dndUntold notes that nobody tells of the device any more. A choice that waits is
// not answered yet, and accepted means accepted.
func (s *step) dndUntold(x *Extension) {
	if x.DND == nil {
		return
	}
	if x.DND.Live = false; x.Wish != nil && x.Wish.Kind == Choice {
		s.dndSet(x)
	}
}

func (s *step) dndShows(d *DNDDevice, on bool) {
	if d.On != on {
		d.On, d.At, s.fx.Durable = on, s.now, true
	}
}

// dndOpinion makes what the device says what the extension says, if it does not
// already. Off returns to what was said before dnd, as news.
func (s *step) dndOpinion(x *Extension) {
	if x.DND.On == x.dnd() || !s.dndSynced() {
		return
	}
	said := s.afterDND(x)
	if x.DND.On {
		var users TypeID
		if st := s.v.chosen(); st != nil {
			users = st.Type.ID
		}
		said = Said{Presence: Keep(Presence{State: DND})}
		said.Type, _ = s.r.Types.typeOf(Presence{State: DND}, x.Said.Type, users)
	}
	if said.Type != "" {
		if !x.DND.On {
			s.v.relabel(x, said.Since, s.now)
		}
		said.Since, said.By = s.now, x.ID.by()
	}
	if x.DND.On {
		said = s.lasting(x, said) // as if it had been pressed on the phone
	}
	s.say(x, said)
	s.wish(x, said.Presence.Presence(), Follow)
}

// dndAgain looks at a device that was left alone as if it were new to the bridge: who
// switched it on is believed.
func (s *step) dndAgain(x *Extension) {
	switch d := x.DND; {
	case d == nil:
	case !d.Live:
		x.DND = nil // a list will tell
	case d.On && d.Ask == 0:
		s.dndOpinion(x)
	}
}

// beforeDND is what an extension returns to that says dnd from now on; nil: nothing.
func (x *Extension) beforeDND() *Said {
	b := &x.Said
	if b.dnd() {
		b = b.Before
	}
	if b == nil || b.Since.IsZero() && b.Before == nil {
		return nil
	}
	return b.trimmed(maxBefore)
}

func (s *Said) dnd() bool { return s.Presence.Presence().State == DND }

// afterDND is what an extension says whose device is switched off: what it said
// before, if that has not ended meanwhile, else that it is available.
func (s *step) afterDND(x *Extension) Said {
	for b := &x.Said; b != nil; b = b.Before {
		if b.Type != "" && !b.dnd() && !s.over(b.Until) {
			return *b
		}
	}
	p := Presence{State: Available}
	id, _ := s.r.Types.typeOf(p, "", "") // where none means it nothing is said any more
	return Said{Presence: Keep(p), Type: id}
}

// dndSet notes that the presence was set while nobody told of the device.
func (s *step) dndSet(x *Extension) {
	if d := x.DND; d != nil && !d.Live && !d.Spoken {
		d.Spoken, s.fx.Durable = true, true
	}
}

// dndAnswered takes the answer to a write to the device; ok is false where it is one
// to something else.
func (s *step) dndAnswered(x *Extension) (ok bool) {
	d := x.DND
	if d == nil || d.Ask == 0 || d.Ask != s.in.Ask {
		return false
	}
	s.fx.Durable = true
	switch s.in.Kind {
	case Acked:
		if d.Acked, d.Refusals = s.now, 0; d.On == d.Wrote {
			d.Ask = 0 // it said so already, and of what does not change there is no event
		}
	case Refused:
		d.Ask, d.RetryAt = 0, s.now.Add(min(time.Second<<min(d.Refusals, 6), time.Minute))
		d.Refusals++
	default:
		d.Ask, d.RetryAt = 0, s.now.Add(time.Second)
	}
	return true
}

// dndPump writes to the device if it disagrees and nothing else is to be awaited: one
// write at a time, and for a choice not before that is in the store.
func (s *step) dndPump(x *Extension) {
	d := x.DND
	if d == nil || !d.Live || d.Ask != 0 || x.Session == 0 || d.On == x.dnd() || s.now.Before(d.RetryAt) || !s.dndSynced() ||
		x.Wish != nil && x.Wish.Kind == Choice && !x.Wish.Saved {
		return
	}
	s.v.Asks++
	d.Ask, d.Wrote, d.Acked, d.RetryAt = s.v.Asks, x.dnd(), Time{}, Time{}
	s.fx.Orders = append(s.fx.Orders, Order{DND: true, On: d.Wrote, Extension: x.ID, Session: x.Session, Ask: d.Ask})
	s.fx.Durable = true
}

// answerAt is when a write that the PBX took counts as done without an event: there
// is none if the device said so already, or events of devices are lost.
func (d *DNDDevice) answerAt() Time {
	if d == nil || d.Ask == 0 {
		return Time{}
	}
	return after(d.Acked, echoWait)
}

func (s *step) dndTick(x *Extension) {
	if d := x.DND; s.reached(d.answerAt()) {
		d.Ask = 0
		s.fx.Durable = true
		s.dndShows(d, d.Wrote)
	}
}

func (d *DNDDevice) due(now Time, at func(Time)) {
	if at(d.answerAt()); d != nil && d.RetryAt.After(now) { // past it any step writes what is still to be written
		at(d.RetryAt)
	}
}

// away takes the device off its connection. A write that was not answered may have
// happened, so that what the device says next tells nothing of others.
func (d *DNDDevice) away(heard Time) {
	d.Spoken = d.Spoken || d.Ask != 0
	d.Live, d.Ask, d.RetryAt = false, 0, Time{}
	if d.At.Before(heard.Add(-forgetWindow)) {
		d.At = Time{}
	}
}

// dndForgotten lets the presence win where a killed PBX may have forgotten what the
// device said: AstDB commits once a second.
func (s *step) dndForgotten(x *Extension) {
	if x.DND != nil && s.in.NewLife && !x.DND.At.IsZero() {
		s.dndSet(x)
	}
}
