package presence

import (
	"cmp"
	"slices"
	"time"
)

// This file holds what leads to writes: choices, snapshots that show less than was
// written, and the rules for when a wish is written.

// choose takes a status that a person or a program picked.
func (s *step) choose() {
	in, v := s.in, s.v
	s.by, s.free = in.By, true
	v.Hold = nil
	until := in.Until
	if until.IsZero() && !in.Open {
		until = s.end(in.Type)
	}
	if !s.synced(in.Type) {
		all, winner, _, _ := s.weigh()
		over := pick(all, winner)
		v.setLabel(s.now, in.Label)
		v.Hold = &Hold{Type: in.Type, Message: in.Message, Since: s.now, Until: until, By: in.By, Over: over.id, OverAt: over.since}
		return
	}
	s.target(in.Type, in.Message, in.Label, s.now, until, in.By)
}

// synced tells whether a choice of this type reaches phones.
func (s *step) synced(id TypeID) bool {
	_, mapped := s.r.Types.image(id)
	return mapped && s.r.Sync && len(s.v.Extensions) > 0
}

// target makes a choice what the target extensions say, and shall show. Phones show its
// label in place of a message, where there is none.
func (s *step) target(id TypeID, message, label string, since, until Time, by string) {
	s.v.setLabel(since, label)
	img, _ := s.r.Types.image(id)
	text, added := s.withUntil(cmp.Or(message, label), until)
	if message == "" {
		added = uint8(len(text)) // Cut leaves no more
	}
	p := Presence{img.State, img.Subtype, text}.Canonical()
	for i := range s.v.Extensions {
		if s.r.Outgoing == ToDefault && i != s.r.Default {
			continue
		}
		x := &s.v.Extensions[i]
		said := Said{Presence: Keep(p), Added: added, Type: id, Since: since, Until: until, By: by}
		if !until.IsZero() {
			said.Before = before(x, p, until)
		}
		s.say(x, said)
		s.wish(x, p, Choice)
		x.Wish.Since = since
	}
}

// wish makes p what the extension shall show; it replaces an older wish.
func (s *step) wish(x *Extension, p Presence, kind WishKind) {
	x.Wish = &Wish{Presence: p, Kind: kind, Since: s.now, Version: s.v.Version + 1}
	s.fx.Changed = true
}

// saved lets the choices be written that are now in the store.
func (s *step) saved() {
	for i := range s.v.Extensions {
		if w := s.v.Extensions[i].Wish; w != nil && w.Version <= s.in.Version {
			w.Saved = true
		}
	}
}

// pump writes the extension's wish once its turn has come.
func (s *step) pump(x *Extension) {
	w := x.Wish
	if w == nil || w.Flying || x.Session == 0 || len(x.Asked) >= maxAsked ||
		w.Kind == Choice && !w.Saved || s.now.Before(w.RetryAt) {
		return
	}
	s.v.Asks++
	w.Ask, w.Flying, w.Again, w.Sent, w.Acked, w.RetryAt = s.v.Asks, true, w.Sent, true, false, Time{}
	x.Asked = append(x.Asked, Ask{ID: w.Ask, Presence: w.Presence, At: s.now})
	s.fx.Orders = append(s.fx.Orders, Order{Extension: x.ID, Session: x.Session, Ask: w.Ask, Presence: w.Presence})
	s.fx.Durable = true
}

// snapshot takes a complete list of what the extensions of one PBX show.
func (s *step) snapshot() {
	for i := range s.v.Extensions {
		x := &s.v.Extensions[i]
		if x.ID.PBX != s.in.PBX {
			continue
		}
		p := s.in.Shows[x.ID.Number]
		if x.Session == s.in.Session {
			s.compare(x, p)
			continue
		}
		x.Phone = s.phone(x) // what is not believed any more does not come back
		x.Session, x.AwayAt = s.in.Session, Time{}
		s.dndForgotten(x)
		s.fx.Changed = true
		s.meet(x, p)
	}
}

// compare takes a snapshot's value in the middle of a session: a change that nobody
// told. What is on its way decides for itself, unless it is there: the event of a write
// that the PBX took before the snapshot was asked for would have come before its end, and
// never will.
func (s *step) compare(x *Extension, p Presence) {
	_, late := s.in.Late[x.ID.Number]
	switch w := x.Wish; {
	case w != nil && w.Flying && w.Acked && w.Presence == p && !late:
		s.answer(x, w.Ask)
		s.hear(x, p, Echo)
	case len(x.Asked) > 0 || w != nil && !w.refused():
	case x.Known && x.Shows.is(p):
	default:
		s.hear(x, p, s.opinion(x, p))
	}
}

// meet takes the value that an extension shows at the start of a session:
//
//	wish                     shows            then
//	sent, and shown          -                it has been fulfilled
//	taken by the same life   something else   somebody changed it after us
//	a choice                 anything         written; one made while the PBX was
//	                                          away ranks just after this snapshot
//	any other                as known         written
//	                         something else   somebody changed it: superseded
//	none                     as known         nothing happened
//	none, a new life         as it did just   the PBX forgot: what it
//	                         before the end   showed last is written back
//	none                     something else   somebody changed it
func (s *step) meet(x *Extension, p Presence) {
	w, same := x.Wish, x.Known && x.Shows.is(p)
	switch {
	case w != nil && w.Sent && w.Presence == p:
		x.Wish = nil
		s.hear(x, p, Echo)
	case w != nil && w.Acked && !s.in.NewLife:
		x.Wish = nil
		s.hear(x, p, s.opinion(x, p))
	case w != nil && w.Kind == Choice:
		s.dndSet(x)
		w.RetryAt = Time{}
		if !w.Sent && x.Said.Since.Equal(w.Since) { // made while the PBX was away
			w.Since = s.now.Add(time.Microsecond)
			s.v.relabel(x, x.Said.Since, w.Since)
			x.Said.Since, s.free = w.Since, true
		}
		s.hear(x, p, Older)
	case w != nil && same:
		w.RetryAt = Time{}
		s.hear(x, p, Repeat)
	case w == nil && same:
		s.hear(x, p, Repeat)
	case w == nil && s.in.NewLife && x.showed(p) && s.r.Sync:
		s.wish(x, x.Shows.Presence(), Restore)
		s.hear(x, p, Reverted)
	default:
		s.hear(x, p, s.opinion(x, p))
	}
}

// tick does what is due: return times, repeats that count, writes without an event.
func (s *step) tick() {
	if h := s.v.Hold; h != nil && s.over(h.Until) {
		s.v.Hold, s.by, s.free = nil, ByExpiry, true
	}
	for i := range s.v.Extensions {
		x := &s.v.Extensions[i]
		if s.over(x.Said.Until) {
			s.expire(x)
		}
		if s.reached(after(x.RepeatAt, repeatWait)) {
			s.v.relabel(x, x.Said.Since, x.RepeatAt)
			s.say(x, s.again(x))
		}
		s.dndTick(x)
		if s.reached(x.readAt()) {
			x.Reading = true
			s.fx.Orders = append(s.fx.Orders, Order{Read: true, Extension: x.ID, Session: x.Session, Ask: x.lastAcked()})
		}
	}
}

// ByExpiry and ByReload are who set a status that nobody set.
const (
	ByExpiry = "expiry"
	ByReload = "reload"
)

// readAt is when the extension's oldest write has waited too long for its event.
func (x *Extension) readAt() Time {
	if len(x.Asked) == 0 || !x.Asked[0].Acked || x.Reading || x.Session == 0 {
		return Time{}
	}
	return x.Asked[0].At.Add(echoWait)
}

func (x *Extension) lastAcked() (ask uint64) {
	for _, a := range x.Asked {
		if a.Acked {
			ask = a.ID
		}
	}
	return ask
}

// reached tells whether a deadline has come; zero never does.
func (s *step) reached(t Time) bool { return !t.IsZero() && !s.now.Before(t) }

func after(t Time, d time.Duration) Time {
	if t.IsZero() {
		return t
	}
	return t.Add(d)
}

// ends is the earliest return time.
func (v *View) ends() (next Time) {
	at := earlier(&next)
	if v.Hold != nil {
		at(v.Hold.Until)
	}
	for i := range v.Extensions {
		at(v.Extensions[i].Said.Until)
	}
	return next
}

// earlier makes next the earliest of those that it is called with; zero is none.
func earlier(next *Time) func(Time) {
	return func(t Time) {
		if !t.IsZero() && (next.IsZero() || t.Before(*next)) {
			*next = t
		}
	}
}

// due is the earliest moment at which a tick would do something, return times aside.
func (s *step) due() (next Time) {
	at := earlier(&next)
	if s.v.Later != nil {
		at(s.v.Later.At)
	}
	s.phoneDue(at)
	for i := range s.v.Extensions {
		x := &s.v.Extensions[i]
		at(after(x.RepeatAt, repeatWait))
		at(x.readAt())
		x.DND.due(s.now, at)
		if x.Wish != nil && x.Session != 0 {
			at(x.Wish.RetryAt)
		}
		if stale := s.staleAt(x); stale.After(s.now) {
			at(stale)
		}
	}
	return next
}

// reload fits the view to new rules. Who stays keeps everything; a write that is
// under way is still awaited.
func (s *step) reload() {
	s.free = true
	s.fx.Durable = s.fx.Durable || !s.v.Gone.IsZero()
	s.v.Gone = Time{}
	if s.v.Later == nil { // else it shows what phones said before
		s.by = cmp.Or(s.in.By, ByReload)
	}
	s.fx.Changed = s.fx.Changed || s.in.By != ""         // settings are kept with the version that has them
	if !s.v.Out.IsZero() && !s.r.Phones.AsksForPages() { // nobody tells any more
		s.v.Out, s.fx.Durable = Time{}, true
	}
	defer s.share()
	if s.v.Default != s.r.Default || !slices.EqualFunc(s.v.Extensions, s.r.Extensions, func(x Extension, id ExtensionID) bool { return x.ID == id }) {
		s.fx.Changed = true
		s.realign()
	}
	for i := range s.v.Extensions {
		x := &s.v.Extensions[i]
		if !s.r.Sync && x.Wish != nil {
			x.Wish = nil
			s.fx.Changed = true
		} else if s.v.Alone && x.Known && x.Shows != x.Said.Presence {
			x.Heard = Heard{s.now, s.opinion(x, x.Shows.Presence())}
		}
		if s.v.Alone && s.r.Sync {
			s.dndAgain(x)
		}
	}
	if h := s.v.Hold; h != nil && s.synced(h.Type) { // phones can show it now
		s.v.Hold = nil
		s.target(h.Type, h.Message, s.v.label(ExtensionID{}, h.Since), s.now.Add(time.Microsecond), h.Until, h.By)
	}
	s.fx.Durable = s.fx.Durable || s.v.Alone == s.r.Sync
	s.v.Alone = !s.r.Sync
}

// share lets go of the copies of texts that a view from the store brings along, which
// would double its size.
func (s *step) share() {
	for i := range s.v.Extensions {
		x := &s.v.Extensions[i]
		x.ID = s.r.Extensions[i]
		if x.Said.Presence == x.Shows {
			x.Said.Presence = x.Shows
		}
		if t, _, ok := s.r.Types.Lookup(x.Said.Type); ok {
			x.Said.Type = t.ID
		}
	}
}

// realign gives the view the extensions of the rules, in their order.
func (s *step) realign() {
	old := s.v.Extensions
	s.v.Default, s.v.Extensions = s.r.Default, make([]Extension, len(s.r.Extensions))
	for i, id := range s.r.Extensions {
		s.v.Extensions[i] = Extension{ID: id, AwayAt: s.now}
		for j := range old {
			if old[j].ID == id {
				s.v.Extensions[i] = old[j]
			}
		}
	}
}
