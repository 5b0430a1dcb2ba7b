package presence

import (
	"strings"
	"time"
)

// This file holds return times: when what was chosen or said ends by itself, and
// what comes back then.

// end is when a status of this type ends that begins now; zero: not by itself.
func (s *step) end(id TypeID) Time {
	t, _, ok := s.r.Types.Lookup(id)
	if !ok || t.Lasts == 0 {
		return Time{}
	}
	return s.wall().Add(t.Lasts)
}

// lasting gives what a phone says now the return time of its type. Where it has
// nothing to return to it stays.
func (s *step) lasting(x *Extension, said Said) Said {
	until := s.end(said.Type)
	if until.IsZero() || x.Said.Since.IsZero() && (!x.Known || x.Shows == said.Presence) {
		return said
	}
	said.Until, said.Before = until, before(x, said.Presence.Presence(), until)
	return said
}

// again is what an extension says when the key is pressed again that says so
// already.
//
//	meant to stay                      it stays
//	it ends, and its type lasts        its time begins anew
//	it ends, as a person chose         it ends then, as phones show that too
func (s *step) again(x *Extension) Said {
	said := x.Said
	said.Since, said.By = x.RepeatAt, x.ID.by()
	if said.Until.IsZero() {
		return said
	}
	return s.lasting(x, said)
}

// before is what an extension returns to that says now what ends at until: what it
// said, without what will have ended by then. A DND device may end a dnd before that.
func before(x *Extension, p Presence, until Time) *Said {
	b, early := &x.Said, x.DND != nil && p.State == DND
	for b != nil && !b.Until.IsZero() && !b.Until.After(until) && (!early || b.dnd()) {
		b = b.Before
	}
	if b == nil || b == &x.Said && b.Since.IsZero() {
		return &Said{Presence: x.Shows} // nothing was said: at least it shows what it showed
	}
	return b.trimmed(maxBefore)
}

// trimmed returns a copy of s with at most depth choices under it, and the lowest one
// under these, to which everything comes back in the end.
func (s *Said) trimmed(depth int) *Said {
	c := *s
	switch {
	case c.Before == nil:
	case depth > 0:
		c.Before = c.Before.trimmed(depth - 1)
	default:
		for c.Before.Before != nil {
			c.Before = c.Before.Before
		}
	}
	return &c
}

// expire ends a choice: the extension says again what it said before.
func (s *step) expire(x *Extension) {
	said := Said{}
	b := x.Said.Before
	for b != nil && s.over(b.Until) {
		b = b.Before
	}
	if b != nil {
		said = *b
	}
	if !said.Since.IsZero() {
		said.By = ByExpiry
	}
	s.by, s.free = ByExpiry, true
	x.Said = Said{} // what has ended does not lie under a dnd that comes back: the clock may be set back
	s.say(x, said)
	if s.r.Sync {
		s.wish(x, said.Presence.Presence(), Expiry)
	}
}

// UntilMark stands for the time in Policy.UntilText.
const UntilMark = "{time}"

// withUntil is the message that phones show of a choice that ends at until, and how
// much of it nobody wrote. What somebody wrote comes first, and is never cut for it.
func (s *step) withUntil(message string, until Time) (text string, added uint8) {
	message, _ = Cut(message)
	if until.IsZero() || s.r.UntilText == "" {
		return message, 0
	}
	zone := s.r.Zone
	if zone == nil {
		zone = time.UTC
	}
	now, end, layout := s.wall().Time().In(zone), until.Time().In(zone), "15:04"
	if now.Year() != end.Year() || now.YearDay() != end.YearDay() {
		layout = "2006-01-02 15:04"
	}
	text = strings.Replace(s.r.UntilText, UntilMark, end.Format(layout), 1)
	if message != "" {
		text = message + ", " + text
	}
	if len(text) > MaxText {
		return message, 0
	}
	return text, uint8(len(text) - len(message))
}

// message is what was written by who said it.
func (s *Said) message() string {
	text := s.Presence.message
	return text[:max(0, len(text)-int(s.Added))]
}

// wall is the time of day.
func (s *step) wall() Time { return or(s.in.Wall, s.now) }

// over tells whether a return time has come; zero never does.
func (s *step) over(until Time) bool {
	return !until.IsZero() && !s.wall().Before(until)
}
