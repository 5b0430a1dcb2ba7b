package presence

import (
	"fmt"
	"slices"
	"time"
)

// PhoneState is what the phone of an extension does, or what all phones of a user
// do together. The zero value is PhoneUnknown.
type PhoneState uint8

// What phones do.
const (
	PhoneUnknown PhoneState = iota // nobody has told yet; of a user: or there is no phone
	PhoneNone                      // the PBX has no such device; never of a user
	PhoneOffline
	PhoneIdle
	PhoneRinging
	PhoneOnHold
	PhoneInCall
)

var phoneNames = [...]string{"unknown", "none", "offline", "idle", "ringing", "on_hold", "in_call"}

// String returns the word that the API uses.
func (p PhoneState) String() string {
	if int(p) < len(phoneNames) {
		return phoneNames[p]
	}
	return fmt.Sprintf("phone(%d)", uint8(p))
}

// MarshalText writes the word, for JSON.
func (p PhoneState) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads the word. One of a newer version is PhoneUnknown, so that its
// store and its answers can still be read.
func (p *PhoneState) UnmarshalText(text []byte) error {
	*p = PhoneState(max(0, slices.Index(phoneNames[:], string(text))))
	return nil
}

// phoneRank says which of several phones speaks for the user: the busiest. A phone
// that nobody has told of may be in use, so it keeps the user from being offline.
var phoneRank = [...]int{PhoneNone: 0, PhoneOffline: 1, PhoneUnknown: 2, PhoneIdle: 3, PhoneRinging: 4, PhoneOnHold: 5, PhoneInCall: 6}

// Phones says what shows over a status while phones are in use. It is immutable.
type Phones struct {
	Ringing PhoneRule
	InCall  PhoneRule // on hold, too
	Offline PhoneRule

	OfflineWhen OfflineWhen // when Offline shows
}

// PhoneRule is what shows while a user's phones do one thing.
type PhoneRule struct {
	Show  TypeID        // "": nothing
	Over  []Base        // of the status that it may show over; where none was ever said, Connected
	After time.Duration // how long it has to last first
	TTL   time.Duration // how long it is believed of a PBX that cannot be reached; 0: DefaultPhoneTTL
}

const (
	// DefaultPhoneTTL is how long what phones did is believed when their PBX is away.
	DefaultPhoneTTL = 10 * time.Minute
	// Forever is a TTL that does not end.
	Forever = 100 * 365 * 24 * time.Hour
)

// rule returns what the mapping says about a state; never nil.
func (p *Phones) rule(s PhoneState) *PhoneRule {
	if p != nil {
		switch s {
		case PhoneRinging:
			return &p.Ringing
		case PhoneInCall, PhoneOnHold:
			return &p.InCall
		case PhoneOffline:
			return &p.Offline
		}
	}
	return &noRule
}

var noRule PhoneRule

func (r *PhoneRule) ttl() time.Duration {
	if r.TTL == 0 {
		return DefaultPhoneTTL
	}
	return r.TTL
}

// The rules by which phones show over a status, or do not.
const (
	PhoneShows     Rule = "what the phone does shows over the status"
	PhoneUnmapped  Rule = "the mapping shows nothing for it"
	PhoneLeftAlone Rule = "synchronisation is off"
	PhoneProtected Rule = "it does not show over a status of this kind"
	PhoneChosen    Rule = "a status was set since it began, and that wins"
	PhoneTooShort  Rule = "it has not lasted long enough yet"
	PhoneTooFast   Rule = "phones change the status faster than a person could"
)

// phoneStale is when what the extension's phone did is no longer believed, as its
// PBX cannot be reached; zero: it is believed for now.
func (s *step) phoneStale(x *Extension) Time {
	if x.Session != 0 || x.AwayAt.IsZero() || x.Phone == PhoneUnknown {
		return Time{}
	}
	return x.AwayAt.Add(s.r.Phones.rule(x.Phone).ttl())
}

// phone is what the extension's phone is believed to do.
func (s *step) phone(x *Extension) PhoneState {
	if s.reached(s.phoneStale(x)) {
		return PhoneUnknown
	}
	return x.Phone
}

// busiest is what all phones do together, and the first extension whose does it;
// -1 where there is no extension.
func (s *step) busiest() (p PhoneState, index int) {
	index = -1
	for i := range s.v.Extensions {
		if q := s.phone(&s.v.Extensions[i]); index < 0 || phoneRank[q] > phoneRank[p] {
			p, index = q, i
		}
	}
	if p == PhoneNone {
		p = PhoneUnknown // who has no phone is no case of its own
	}
	return p, index
}

// followPhones notes what the phones do together, and since when. Hold and resume
// are one call.
func (s *step) followPhones() {
	p, _ := s.busiest()
	old := s.v.Phone
	if p == old {
		return
	}
	s.v.Phone = p
	s.fx.Changed = true
	if call := func(p PhoneState) bool { return p == PhoneInCall || p == PhoneOnHold }; !call(p) || !call(old) {
		s.v.PhoneSince = s.now
	}
}

// phoneBy says whose phone shows.
func (s *step) phoneBy() string {
	_, i := s.busiest()
	return s.v.Extensions[i].ID.by()
}

// phonesListed takes what all devices of one PBX do.
func (s *step) phonesListed() {
	for i := range s.v.Extensions {
		x := &s.v.Extensions[i]
		if x.ID.PBX != s.in.PBX {
			continue
		}
		p, listed := s.in.Phones[x.ID.Number]
		switch {
		case s.in.Phones == nil:
			x.Phone = PhoneUnknown
		case listed:
			x.Phone = p
		default:
			x.Phone = PhoneNone
		}
	}
}

// phoneDue tells at when phones change something by themselves: a state has lasted
// long enough, or is no longer believed.
func (s *step) phoneDue(at func(Time)) {
	if c, _ := s.doing(); c.rule.Show != "" && !c.since.IsZero() {
		if ripe := c.since.Add(c.rule.After); ripe.After(s.now) {
			at(ripe)
		}
	}
	s.absentDue(at)
	for i := range s.v.Extensions {
		if stale := s.phoneStale(&s.v.Extensions[i]); stale.After(s.now) {
			at(stale)
		}
	}
}

// chosen is the status that was said or chosen, whatever phones show over it and
// whether it shows yet.
func (v *View) chosen() *Status {
	if v.Later != nil {
		return v.Later.Chosen
	}
	if v.Over {
		return v.Under
	}
	return v.Status
}
