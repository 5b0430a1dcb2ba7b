// Package presence is the core of Presence Bridge: it decides what a user's
// status is from what the user's extensions show and what people choose.
//
// It is pure: no I/O, no clock, no log, no goroutine. Everything it needs comes
// in as values (now included) and everything it wants done goes out as values,
// so that replaying a recorded inbox reproduces every decision.
package presence

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// State is one of Asterisk's presence states. The zero value is NotSet.
type State uint8

// Asterisk's states (include/asterisk/presencestate.h:26), without INVALID.
const (
	NotSet State = iota
	Unavailable
	Available
	Away
	XA
	Chat
	DND
)

var stateNames = [...]string{"not_set", "unavailable", "available", "away", "xa", "chat", "dnd"}

// StateNames lists the words Asterisk uses, in the order of the constants.
func StateNames() []string { return stateNames[:] }

// String returns Asterisk's word for s.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// ParseState reads Asterisk's word for a state. Asterisk compares without case
// and does not trim (main/presencestate.c:117); neither does this.
func ParseState(word string) (State, bool) {
	for i, name := range stateNames {
		if strings.EqualFold(word, name) {
			return State(i), true
		}
	}
	return NotSet, false
}

// MarshalText writes Asterisk's word, for JSON.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads Asterisk's word.
func (s *State) UnmarshalText(text []byte) error {
	v, ok := ParseState(string(text))
	if !ok {
		return fmt.Errorf("%q is not a presence state; one of %s", text, strings.Join(stateNames[:], " "))
	}
	*s = v
	return nil
}

// Presence is what a presentity shows. The zero value is not_set.
type Presence struct {
	State   State  `json:"state"`
	Subtype string `json:"subtype"`
	Message string `json:"message"`
}

// MaxText is the longest subtype or message, in bytes: Asterisk decodes into
// buffers of 256 bytes for the event (funcs/func_presencestate.c:237).
const MaxText = 255

// Canonical returns p as it is compared everywhere: texts are valid UTF-8 and at
// most MaxText bytes, cut on a rune boundary. An event is cut by Asterisk, a list
// after a restart is not; without this the two would look like a change.
func (p Presence) Canonical() Presence {
	p.Subtype, _ = Cut(p.Subtype)
	p.Message, _ = Cut(p.Message)
	return p
}

// Cut returns s as valid UTF-8 of at most MaxText bytes, and whether something
// was taken away. Invalid bytes become U+FFFD; a rune that the limit splits is
// dropped, also when Asterisk has split it already.
func Cut(s string) (text string, cut bool) {
	if len(s) < MaxText && utf8.ValidString(s) {
		return s, false
	}
	if len(s) > MaxText {
		s, cut = s[:MaxText], true
	}
	if len(s) == MaxText {
		whole := dropSplitRune(s)
		cut, s = cut || len(whole) < len(s), whole
	}
	s = strings.ToValidUTF8(s, "\uFFFD")
	for len(s) > MaxText { // replacement characters are three bytes long
		_, size := utf8.DecodeLastRuneInString(s)
		s, cut = s[:len(s)-size], true
	}
	return s, cut
}

// dropSplitRune removes an incomplete rune from the end of s.
func dropSplitRune(s string) string {
	for n := 1; n < utf8.UTFMax && n <= len(s); n++ {
		if b := s[len(s)-n]; utf8.RuneStart(b) {
			if !utf8.FullRuneInString(s[len(s)-n:]) {
				return s[:len(s)-n]
			}
			return s
		}
	}
	return s
}

// Plain returns what a panel or program set as message, fit for a phone: valid,
// every control character replaced by a space, and cut; cut tells of the latter.
func Plain(s string) (text string, cut bool) {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	return Cut(s)
}

// UserID names a user of the mapping. Case matters.
type UserID string

// TypeID names a status type of the mapping. "" is no type.
type TypeID string

// ExtensionID is a number on a PBX.
type ExtensionID struct {
	PBX    string `json:"pbx"`
	Number string `json:"extension"`
}

// String returns "pbx/number".
func (id ExtensionID) String() string { return id.PBX + "/" + id.Number }

// by names the extension as who set a status.
func (id ExtensionID) by() string { return "extension " + id.String() }

// Base says what kind of status a type is.
type Base string

// The bases of design.md section 1.
const (
	Connected Base = "connected"
	Absent    Base = "absent"
	Busy      Base = "busy"
	InCall    Base = "in_call"
	Offline   Base = "offline"
)

// Bases lists every base.
func Bases() []Base { return []Base{Connected, Absent, Busy, InCall, Offline} }

// Image is the presence that a status type is mapped to; the message travels along.
type Image struct {
	State   State  `json:"state"`
	Subtype string `json:"subtype,omitempty"`
}

// StatusType is a status of the panel. It is immutable.
type StatusType struct {
	ID       TypeID `json:"id"`
	Name     string `json:"name"`
	Base     Base   `json:"base"`
	Color    string `json:"color"`
	Asterisk *Image `json:"asterisk,omitempty"` // nil: not mapped, so not synchronised

	Lasts      time.Duration `json:"-"` // after so long it ends by itself, unless who chose it says when; 0: it does not
	Labels     bool          `json:"-"` // a choice of it may have a label
	QueuePause bool          `json:"-"` // while it is a user's, no queue sends them calls
	System     bool          `json:"-"` // protected: only who edits the file may take it away, or give it another base
	Tagged     *Labels       `json:"-"` // Tags alone; nil: none
}

// Method names the way in which what a user's extensions said becomes the status.
type Method string

// The incoming methods.
const (
	Default  Method = "default"
	Latest   Method = "latest"
	Priority Method = "priority"
)

// Outgoing names where a chosen status is written.
type Outgoing string

// The outgoing methods.
const (
	ToDefault Outgoing = "default"
	ToAll     Outgoing = "all"
)

// Status is a user's status. It has its type, not the id, so that it can still be
// shown after the mapping has lost the type. The Status of a View is never changed:
// another takes its place.
type Status struct {
	Type    *StatusType `json:"type"` // of the table of types, or of the store; never nil
	Message string      `json:"message"`
	Label   string      `json:"label,omitempty"` // what the user calls it; "": as its type is called
	Since   Time        `json:"since"`
	Until   Time        `json:"until,omitzero"` // zero: until something else is said
	By      string      `json:"by"`
	Removed bool        `json:"removed,omitempty"` // the mapping no longer has the type
	Stale   bool        `json:"stale,omitempty"`   // no extension counts: all are unreachable for too long
}
