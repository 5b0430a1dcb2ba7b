package presence

import "slices"

// This file says when a user is offline: when no phone can be reached, when they have no
// page of the panel open, or both. It shows over the status as calls do.

// OfflineWhen says what makes a user offline. "" is WhenDevices.
type OfflineWhen string

// What makes a user offline.
const (
	WhenDevices   OfflineWhen = "devices"    // all phones are offline
	WhenSignedOut OfflineWhen = "signed_out" // no page is open
	WhenBoth      OfflineWhen = "both"       // both
	WhenNever     OfflineWhen = "never"
)

// AsksForPages tells whether it matters if a user has a page open.
func (p *Phones) AsksForPages() bool {
	return p != nil && p.Offline.Show != "" && (p.OfflineWhen == WhenSignedOut || p.OfflineWhen == WhenBoth)
}

// The rules by which an absent user shows as offline, or does not; others are those of phones.
const (
	AbsentShows  Rule = "no page of the panel is open, which shows over the status"
	AbsentPhone  Rule = "a phone can be reached"
	AbsentCall   Rule = "the phone is in use, and what it does shows"
	PhoneIgnored Rule = "phones that are offline do not show by themselves, as offline_when says"
)

// cause is what may show over a status.
type cause struct {
	rule  *PhoneRule
	since Time
	by    string
	shows Rule // the rule if it does
}

// doing is what the phones do. It shows nothing where phones that are offline need
// something else with it, or mean nothing.
func (s *step) doing() (c cause, ignored bool) {
	c = cause{&noRule, s.v.PhoneSince, "", PhoneShows}
	if p := s.r.Phones; s.v.Phone == PhoneOffline && p != nil && p.OfflineWhen != "" && p.OfflineWhen != WhenDevices {
		return c, true
	}
	if c.rule = s.r.Phones.rule(s.v.Phone); c.rule.Show != "" {
		c.by = s.phoneBy()
	}
	return c, false
}

// absence is that the user has no page open. ok is false where they have one, or the
// mapping does not ask. With WhenBoth it counts from when the phones are offline, too.
func (s *step) absence() (c cause, ok bool) {
	if s.v.Out.IsZero() || !s.r.Phones.AsksForPages() {
		return cause{}, false
	}
	c = cause{&s.r.Phones.Offline, s.v.Out, ByPanel(s.v.User), AbsentShows}
	if s.r.Phones.OfflineWhen == WhenBoth {
		if s.v.Phone != PhoneOffline {
			c.rule = &noRule
		}
		c.since = later(c.since, s.v.PhoneSince)
	}
	return c, true
}

// ByPanel is who does something in the panel.
func ByPanel(id UserID) string { return "panel " + string(id) }

// overlay is what shows over the chosen status (nil: none was ever said), and why, or
// why nothing does: what the phones do, and where that does not show, that the user is absent.
func (s *step) overlay(chosen *Status) (st Status, why Rule, ok bool) {
	phone, _ := s.doing()
	if st, why, ok = s.show(chosen, &phone); ok {
		return st, why, ok
	}
	if absent, out := s.absence(); out {
		if st, rule, ok := s.show(chosen, &absent); ok {
			return st, rule, ok
		}
	}
	return st, why, false
}

// show tells whether a cause shows over the chosen status:
//
//	sync is off                          nothing
//	the mapping has nothing for it       nothing
//	the status is of a protected base    nothing
//	the status was set since it began    nothing: what somebody chose in a call wins
//	it began less than `after` ago       nothing yet
//	else                                 the type of the mapping, since it began
func (s *step) show(chosen *Status, c *cause) (st Status, why Rule, ok bool) {
	base := Connected
	if chosen != nil {
		base = chosen.Type.Base
	}
	switch {
	case c.rule.Show == "":
		return Status{}, PhoneUnmapped, false
	case !s.r.Sync:
		return Status{}, PhoneLeftAlone, false
	case !slices.Contains(c.rule.Over, base):
		return Status{}, PhoneProtected, false
	case chosen != nil && chosen.Since.After(c.since):
		return Status{}, PhoneChosen, false
	case !s.reached(c.since.Add(c.rule.After)):
		return Status{}, PhoneTooShort, false
	}
	return s.status(c.rule.Show, "", c.since, Time{}, c.by), c.shows, true
}

// signed notes that the user has a page open, or none any more.
func (s *step) signed() {
	old := s.v.Out
	if s.in.Kind == SignedIn {
		s.v.Out = Time{}
	} else if old.IsZero() {
		s.v.Out = or(s.in.Heard, s.now)
	}
	if s.v.Out != old {
		s.fx.Durable = true
		s.by, s.free = ByPanel(s.v.User), true
	}
}

// absentDue tells at when an absence has lasted long enough.
func (s *step) absentDue(at func(Time)) {
	if c, ok := s.absence(); ok && c.rule.Show != "" {
		if ripe := c.since.Add(c.rule.After); ripe.After(s.now) {
			at(ripe)
		}
	}
}

// AbsentPart is what it has to do with a status that its user has no page open.
type AbsentPart struct {
	Since Time `json:"since"`
	Shows bool `json:"shows"` // Status shows it
	Rule  Rule `json:"rule"`  // why, or why not
}

// explainAbsence is nil where the user has a page open, or that does not matter.
func (s *step) explainAbsence(chosen *Status, phoneShows bool) *AbsentPart {
	c, ok := s.absence()
	if !ok {
		return nil
	}
	_, why, shows := s.show(chosen, &c)
	switch {
	case phoneShows:
		shows, why = false, AbsentCall
	case c.rule.Show == "":
		why = AbsentPhone
	}
	return &AbsentPart{c.since, shows, why}
}
