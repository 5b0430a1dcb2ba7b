package presence

// Explanation answers "why is this user's status what it is?" It comes out of the
// code that decides.
type Explanation struct {
	User       UserID      `json:"user"`
	Sync       bool        `json:"sync"`
	Incoming   Method      `json:"incoming"`
	Outgoing   Outgoing    `json:"outgoing"`
	Own        *OwnPart    `json:"own,omitempty"`    // what the user has set for themself; nil: nothing
	Status     *Status     `json:"status"`           // what shows; nil: nothing
	Under      *Status     `json:"under,omitempty"`  // where phones show over it: what was said or chosen; nil: nothing
	Later      *HeldBack   `json:"later,omitempty"`  // what phones have changed too fast to show yet; nil: all shows
	Pauses     *StatusType `json:"pauses,omitempty"` // for which members of queues are paused; nil: they are not
	Rule       Rule        `json:"rule"`             // why the winner won, or why there is none
	Phone      PhonePart   `json:"phone"`
	Absent     *AbsentPart `json:"absent,omitempty"` // that the user has no page open; nil: they have one, or it does not matter
	Extensions []Reasoning `json:"extensions"`
}

// HeldBack is a status that does not show yet.
type HeldBack struct {
	At     Time    `json:"at"`     // when it will
	Status *Status `json:"status"` // nil: none will show
}

// PhonePart is what the user's phones have to do with it.
type PhonePart struct {
	State PhoneState `json:"state"`
	Since Time       `json:"since,omitzero"` // zero: nothing was ever told
	Shows bool       `json:"shows"`          // Status is what they show
	Rule  Rule       `json:"rule"`           // why, or why not
}

// Reasoning is one extension's part in an Explanation.
type Reasoning struct {
	Extension ExtensionID `json:"extension"`
	Default   bool        `json:"default"`
	Reachable bool        `json:"reachable"`
	AwaySince Time        `json:"away_since,omitzero"`
	Shows     *Presence   `json:"shows"` // nil: its PBX has not told yet
	Type      *StatusType `json:"type"`  // of what was said; nil: nothing
	Message   string      `json:"message"`
	Label     string      `json:"label,omitempty"` // of what was chosen there; "": none
	Since     Time        `json:"since,omitzero"`
	Until     Time        `json:"until,omitzero"`
	By        string      `json:"by"`
	Won       bool        `json:"won"`
	Rule      Rule        `json:"rule"`  // why it won or lost
	Heard     Report      `json:"heard"` // the last report, and what became of it
	Phone     PhoneState  `json:"phone"`
	DND       string      `json:"dnd,omitempty"`       // "on" or "off", of its DND device; "": there is none
	DNDSince  Time        `json:"dnd_since,omitzero"`  // since when; zero: from before its PBX was last heard of
	DNDStale  bool        `json:"dnd_stale,omitempty"` // nobody tells of it now: it is what was told last
	Wish      *WishInfo   `json:"wish"`                // what it shall show and is not known to; nil: nothing
}

// Report is the last report about an extension and what became of it.
type Report struct {
	Presence Presence `json:"presence"`
	At       Time     `json:"at,omitzero"`  // zero: nothing heard yet
	As       string   `json:"as,omitempty"` // a Verdict, or a word of another version
}

// WishInfo is a wish that is not fulfilled.
type WishInfo struct {
	Presence Presence `json:"presence"`
	Since    Time     `json:"since"`
	Sent     bool     `json:"sent"`
	Refusals int      `json:"refusals"`
}

// Explain tells why v's status is what it is, by the rules and at the time given.
func (v *View) Explain(r *Rules, now Time) Explanation {
	s := step{v: v, r: r, now: now, fx: &Effects{}, in: &Input{}}
	st, rule, held, ok := s.outcome()
	e := Explanation{User: v.User, Sync: r.Sync, Incoming: r.Incoming, Outgoing: r.Outgoing, Rule: rule}
	if ok {
		e.Status = &st
	}
	over, why, shows := s.overlay(e.Status)
	e.Phone = PhonePart{State: v.Phone, Since: v.PhoneSince, Shows: shows && why == PhoneShows, Rule: s.phoneRule(e.Status)}
	e.Absent = s.explainAbsence(e.Status, e.Phone.Shows)
	if shows {
		e.Status, e.Under = &over, e.Status
	}
	if v.Later != nil {
		e.Later = &HeldBack{v.Later.At, e.Status}
		absent := v.Over && v.Status.By == ByPanel(v.User)
		e.Status, e.Under, e.Phone.Shows = v.Status, v.Under, v.Over && !absent
		if shows != v.Over {
			e.Phone.Rule = PhoneTooFast
		}
		if e.Absent != nil && absent {
			e.Absent.Shows, e.Absent.Rule = true, AbsentShows
		}
	}
	if r.Sync {
		e.Pauses = v.Pauses()
	}
	for _, c := range s.fx.candidates {
		e.Extensions = append(e.Extensions, s.reasoning(c, rule, held))
	}
	return e
}

// phoneRule is why phones show over the chosen status, or do not.
func (s *step) phoneRule(chosen *Status) Rule {
	c, ignored := s.doing()
	if ignored {
		return PhoneIgnored
	}
	_, why, _ := s.show(chosen, &c)
	return why
}

func (s *step) reasoning(c candidate, won Rule, held bool) Reasoning {
	x := c.x
	y := Reasoning{
		Extension: x.ID, Default: c.def, Reachable: x.Session != 0, AwaySince: x.AwayAt,
		Message: x.Said.message(), Label: s.v.label(x.ID, x.Said.Since), Since: x.Said.Since, Until: x.Said.Until, By: x.Said.By,
		Won: c.rule == "" && !held, Rule: c.rule, Heard: Report{x.Shows.Presence(), x.Heard.At, x.Heard.As.String()}, Phone: s.phone(x),
	}
	switch {
	case y.Won:
		y.Rule = won
	case c.rule == "":
		y.Rule = LostHold
	}
	if x.Known {
		shows := x.Shows.Presence()
		y.Shows = &shows
	}
	if !x.Said.Since.IsZero() {
		y.Type = s.status(x.Said.Type, "", Time{}, Time{}, "").Type
	}
	if x.DND != nil {
		y.DND = map[bool]string{true: "on", false: "off"}[x.DND.On]
		y.DNDSince, y.DNDStale = x.DND.At, !x.DND.Live
	}
	if w := x.Wish; w != nil {
		y.Wish = &WishInfo{w.Presence, w.Since, w.Sent, w.Refusals}
	}
	return y
}
