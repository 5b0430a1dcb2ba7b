package presence

import (
	"slices"
	"time"
)

// View is all the bridge knows of one user. Only Step changes it. Its JSON is
// what the store keeps; fields without JSON belong to the running bridge only.
//
// Times are in whole microseconds and zero where nothing happened.
type View struct {
	User       UserID      `json:"user"`
	Version    uint64      `json:"version"`         // rises with everything a page can see
	Asks       uint64      `json:"asks"`            // the last number given to a write
	Alone      bool        `json:"alone,omitempty"` // sync was off when last looked at
	Over       bool        `json:"over,omitempty"`  // Status is what the phones show over Under, or that nobody is there
	Phone      PhoneState  `json:"phone,omitempty"` // what all phones do together
	Status     *Status     `json:"status"`          // what shows; nil: nothing
	Under      *Status     `json:"under,omitempty"` // with Over: what was said or chosen; nil: nothing
	Later      *Later      `json:"later,omitempty"` // what phones have changed too fast to show; nil: all shows
	PhoneSince Time        `json:"phone_since,omitzero"`
	Out        Time        `json:"out,omitzero"` // since when the user has no page open; zero: they have one, or nobody tells
	Hold       *Hold       `json:"hold,omitempty"`
	Label      *Label      `json:"label,omitempty"` // of choices, the newest first; nil: none has one
	Gone       Time        `json:"gone,omitzero"`   // since when the mapping lacks the user; zero: it does not
	Default    int         `json:"default"`         // as Rules.Default
	Extensions []Extension `json:"extensions"`      // as Rules.Extensions, same order

	Pace Time `json:"-"` // when phones may change the status in a burst again; see tooFast

	// Due is when Step next wants a Tick, by the clock of its steps; zero: never.
	Due Time `json:"-"`
	// Ends is when it wants one by the time of day, the earliest return time; zero: never.
	Ends Time `json:"-"`
}

// Hold is a chosen status that no presence expresses. It lasts until the
// extension that the method picks changes, or says something new.
type Hold struct {
	Type    TypeID      `json:"type"`
	Message string      `json:"message"`
	Since   Time        `json:"since"`
	Until   Time        `json:"until,omitzero"`
	By      string      `json:"by"`
	Over    ExtensionID `json:"over,omitzero"`       // the extension the method picked; zero: none had said anything
	OverAt  Time        `json:"over_since,omitzero"` // that one's since
}

// Extension is one of a user's extensions.
type Extension struct {
	ID      ExtensionID `json:"id"`
	Known   bool        `json:"known"`           // the PBX has told what it shows
	Reading bool        `json:"-"`               // a read-back is under way
	Phone   PhoneState  `json:"phone,omitempty"` // what its device does
	Shows   Kept        `json:"shows"`
	Recent  []Shown     `json:"recent,omitempty"` // what it showed before, oldest first; see remember
	Said    Said        `json:"said"`
	Wish    *Wish       `json:"wish,omitempty"`
	Asked   []Ask       `json:"asked,omitempty"` // sent on the present connection and not answered, oldest first
	Heard   Heard       `json:"heard"`
	DND     *DNDDevice  `json:"dnd,omitempty"` // nil: nobody has told of one

	Session  uint64 `json:"-"`                   // of the PBX; 0: it is away
	AwayAt   Time   `json:"away_since,omitzero"` // zero: connected
	RepeatAt Time   `json:"-"`                   // a repeat waits to be counted (sync.repeats: count)
}

// Said is the last mapped presence that somebody set on an extension. The zero
// value says that nobody has.
type Said struct {
	Presence Kept   `json:"presence"`
	Added    uint8  `json:"added,omitempty"` // bytes at the end of its message that nobody wrote there: they tell of Until, or are the label
	Type     TypeID `json:"type"`
	Since    Time   `json:"since,omitzero"`
	Until    Time   `json:"until,omitzero"` // then Before counts again
	By       string `json:"by"`
	Before   *Said  `json:"before,omitempty"` // with Until, or of dnd where there is a DND device: what was said before
}

// Shown is a presence that an extension showed, and until when.
type Shown struct {
	Presence Kept `json:"presence"`
	Until    Time `json:"until"`
}

// WishKind says where a wish comes from, which decides what a change that
// happened while nobody watched does to it.
type WishKind string

// The kinds of wishes.
const (
	Choice  WishKind = "choice"  // a person's: written also over what changed meanwhile
	Expiry  WishKind = "expiry"  // a return time came: a change meanwhile supersedes it
	Restore WishKind = "restore" // a killed PBX forgot it: likewise
	Follow  WishKind = "follow"  // its DND device was switched: likewise
)

// Wish is a presence that an extension shall show and is not known to show yet.
type Wish struct {
	Presence Presence `json:"presence"`
	Kind     WishKind `json:"kind"`
	Since    Time     `json:"since"`           // when it was wished
	Version  uint64   `json:"version"`         // of the view, which must be in the store before a choice is written
	Saved    bool     `json:"-"`               // it is
	Ask      uint64   `json:"ask,omitempty"`   // the last write made for it; 0: none yet
	Flying   bool     `json:"-"`               // that write is under way
	Sent     bool     `json:"sent,omitempty"`  // was put on a wire
	Again    bool     `json:"-"`               // had been sent before the last write
	Acked    bool     `json:"acked,omitempty"` // the PBX took the last write
	Refusals int      `json:"refusals,omitempty"`
	RetryAt  Time     `json:"-"` // after a refusal, or a session that was gone; zero: at once
}

// refused tells whether the wish waits because Asterisk did not take it: then
// whatever is heard supersedes it. A write that found its session gone waits too,
// but what is heard then came before it.
func (w *Wish) refused() bool { return w.Refusals > 0 && !w.RetryAt.IsZero() }

// Ask is a write that was handed to the sender and whose event has not been seen.
type Ask struct {
	ID       uint64   `json:"id"`
	Presence Presence `json:"presence"`
	Acked    bool     `json:"acked"`
	At       Time     `json:"at"` // sent; once acked: when it was
}

// Verdict says what became of a report about an extension.
type Verdict uint8

// The verdicts, in the order in which Step tries them. Zero is none.
const (
	Echo      Verdict = iota + 1 // of our own write
	Repeat                       // Asterisk repeats itself on every write
	Older                        // than our unanswered write
	LeftAlone                    // sync is off
	Unmapped                     // no status type has this presence
	Accepted                     // somebody's opinion
	Reverted                     // the PBX forgot what it showed; written back
)

var verdictNames = [...]string{"", "echo", "repeat", "older", "left alone", "unmapped", "said", "reverted"}

// String returns the verdict's word in JSON.
func (v Verdict) String() string { return verdictNames[v] }

// MarshalText writes the word, for JSON.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads the word. One that a newer version wrote is none.
func (v *Verdict) UnmarshalText(text []byte) error {
	*v = Verdict(max(0, slices.Index(verdictNames[:], string(text))))
	return nil
}

// Heard is when the last report about an extension came and what became of it. What
// it said the extension shows since.
type Heard struct {
	At Time    `json:"at"` // zero: nothing heard yet
	As Verdict `json:"as"`
}

// find returns the index of an extension, or -1.
func (v *View) find(id ExtensionID) int {
	for i := range v.Extensions {
		if v.Extensions[i].ID == id {
			return i
		}
	}
	return -1
}

const (
	// forgetWindow is how much an Asterisk can forget when it is killed: it
	// commits AstDB once a second (main/db.c:1192); twice that, to be sure.
	forgetWindow = 2 * time.Second
	// maxRecent bounds Recent for a phone that changes without end.
	maxRecent = 16
)

// show notes that the extension shows p now. What it showed before is remembered
// for as long as a killed PBX could fall back to it.
func (x *Extension) show(p Presence, now Time) {
	if x.Known && x.Shows.is(p) {
		return
	}
	if x.Known {
		x.Recent = append(x.Recent, Shown{x.Shows, now})
		x.forget(now)
	}
	x.Known, x.Shows = true, Keep(p)
}

// forget drops what a PBX that lived until end cannot fall back to any more: what
// was replaced more than forgetWindow before.
func (x *Extension) forget(end Time) {
	keep := 0
	for keep < len(x.Recent) && x.Recent[keep].Until.Before(end.Add(-forgetWindow)) {
		keep++
	}
	keep = max(keep, len(x.Recent)-maxRecent)
	if keep > 0 {
		x.Recent = slices.Delete(x.Recent, 0, keep)
	}
	if len(x.Recent) == 0 {
		x.Recent = nil
	}
}

// showed tells whether the extension showed p not long before its PBX was lost.
func (x *Extension) showed(p Presence) bool {
	return slices.ContainsFunc(x.Recent, func(s Shown) bool { return s.Presence.is(p) })
}

// Clone returns a copy that shares with v only what is never changed.
func (v *View) Clone() *View {
	c := *v
	c.Hold = clone(v.Hold)
	c.Extensions = slices.Clone(v.Extensions)
	for i := range c.Extensions {
		x := &c.Extensions[i]
		x.Recent, x.Asked, x.Wish = slices.Clone(x.Recent), slices.Clone(x.Asked), clone(x.Wish)
		x.DND = clone(x.DND)
	}
	return &c // Status, Later and Said.Before are never changed in place
}

func clone[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}

// Pauses returns the status type for which no queue shall send the user calls, nil if
// there is none. What phones show over a status does not end what that asks for.
func (v *View) Pauses() *StatusType {
	for _, st := range []*Status{v.Status, v.Under} {
		if st != nil && st.Type.QueuePause {
			return st.Type
		}
	}
	return nil
}

// Said tells whether the user has a status, whatever phones show over it, or over nothing.
func (v *View) Said() bool {
	if v.Over {
		return v.Under != nil
	}
	return v.Status != nil
}

// EachType calls f with every status type that the view refers to, some more than once.
func (v *View) EachType(f func(TypeID)) {
	for _, st := range []*Status{v.Status, v.Under} {
		if st != nil {
			f(st.Type.ID)
		}
	}
	if v.Later != nil && v.Later.Chosen != nil {
		f(v.Later.Chosen.Type.ID)
	}
	if v.Hold != nil {
		f(v.Hold.Type)
	}
	for i := range v.Extensions {
		for s := &v.Extensions[i].Said; s != nil; s = s.Before {
			if s.Type != "" {
				f(s.Type)
			}
		}
	}
}
