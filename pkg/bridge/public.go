package bridge

import (
	"errors"
	"fmt"
	"time"

	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/message"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// User is a user as the API shows them (design.md section 5).
type User struct {
	ID         presence.UserID     `json:"id"`
	Name       string              `json:"name"`
	Email      string              `json:"-"` // "" if unknown
	Tags       []string            `json:"tags,omitempty"`
	Groups     []string            `json:"groups,omitempty"`
	Version    uint64              `json:"version"`
	Phone      presence.PhoneState `json:"phone"` // what all phones do together; "unknown" where nobody tells, or there is none
	Saved      bool                `json:"saved"` // this version is in the store
	Status     *UserStatus         `json:"status"`
	Under      *UserStatus         `json:"under,omitempty"` // the status that was said or chosen, while phones show another one over it
	Extensions []UserExtension     `json:"extensions"`
	Last       *LastChange         `json:"last"` // the last change of the status since the bridge started; nil: none
}

// UserStatus is the status of a User.
type UserStatus struct {
	Type    presence.TypeID `json:"type"`
	Name    string          `json:"name"`
	Base    presence.Base   `json:"base"`
	Color   string          `json:"color"`
	Message string          `json:"message"`
	Label   string          `json:"label,omitempty"` // what the user calls it; "": as its type is called
	Since   time.Time       `json:"since"`
	Until   *time.Time      `json:"until"`
	By      string          `json:"by"`
	Removed bool            `json:"removed,omitempty"`
	Stale   bool            `json:"stale,omitempty"`
}

// UserExtension is one extension of a User.
type UserExtension struct {
	PBX       string             `json:"pbx"`
	Extension string             `json:"extension"`
	Default   bool               `json:"default"`
	Reachable bool               `json:"reachable"`
	Presence  *presence.Presence `json:"presence"` // what it shows; nil: its PBX has not told yet
	Since     *time.Time         `json:"since"`    // of what it said; nil: nothing
	Pending   bool               `json:"pending"`  // something was written, or is to be, that it is not known to show
}

// LastChange is the last line of a user's history.
type LastChange struct {
	At   presence.Time `json:"at"`
	By   string        `json:"by"`
	Rule presence.Rule `json:"rule"`
}

// Choice is a status that a person or a program picks for a user.
type Choice struct {
	Type    presence.TypeID
	Message string
	Label   string    // what the user calls it, where the type allows that; "": as the type is called
	Until   time.Time // zero: as long as the type lasts
	Open    bool      // without a return time, however long the type lasts
	By      string    // "cli", "panel USER", "api TOKEN" ...
	IfNone  bool      // only if the user has no status; else nothing is done, and the user comes back as they are

	TraceParent string // the trace that it belongs to, as W3C's header of that name has it; "": none
}

// Settings are what a user has set for themself, and what the mapping says of that.
type Settings struct {
	Default        *presence.ExtensionID `json:"default_extension"`                   // nil: as the mapping says
	Sync           *bool                 `json:"sync"`                                // likewise
	DefaultIgnored bool                  `json:"default_extension_ignored,omitempty"` // it is not the user's any more, so the mapping's holds
	Mapping        MappedSettings        `json:"mapping"`
}

// MappedSettings are what holds where a user has set nothing.
type MappedSettings struct {
	Default *presence.ExtensionID `json:"default_extension"` // nil: the user has no extension
	Sync    bool                  `json:"sync"`
	Off     bool                  `json:"sync_off,omitempty"` // the synchronisation is off for everybody, whatever a user sets
}

// SettingsChange is what somebody sets for a user.
type SettingsChange struct {
	SetDefault bool
	Default    *presence.ExtensionID // with SetDefault; nil: as the mapping says
	SetSync    bool
	Sync       *bool  // with SetSync; nil: as the mapping says
	By         string // as in Choice
}

// PBX is a PBX as the API shows it.
type PBX struct {
	connector.Health
	Extensions int `json:"extensions"` // of users in the mapping
	Pending    int `json:"pending"`    // extensions that are not known to show what they shall
}

// Why is what is wrong with the PBX, whose Reason is not empty.
func (p *PBX) Why() Reason {
	r := Reason{PBX: p.PBX, Text: "PBX " + p.PBX + ": " + p.Reason, Told: p.Told}
	if len(r.Told) == 0 {
		r.Told = []message.Message{{Text: p.Reason}}
	}
	return r
}

// ReasonOf is a reason of the bridge itself.
func ReasonOf(m message.Message) Reason {
	return Reason{Text: m.Text, Told: []message.Message{m}}
}

// Reason is why the bridge is not ready, or what is wrong although it is.
type Reason struct {
	PBX  string            // what it is about; "": the bridge
	Text string            // English, with the name of the PBX
	Told []message.Message // its sentences, without that name
}

// Reloads tells how reloads of the mapping went.
type Reloads struct {
	Done, Failed uint64
	Fault        error // of the last one; nil: it went well, or there was none
	At           time.Time
}

// FeedItem is one change of one user. IDs rise through the whole feed.
type FeedItem struct {
	ID    uint64
	User  *User // nobody changes it
	Gone  bool  // the mapping no longer has the user
	Reset bool  // of nobody: everybody follows, and whoever does not is gone

	// Listed says that it tells of everybody, not of a change: such items share an ID.
	Listed bool
	Whole  bool // with Listed: the last one, everybody has been told of
}

// Errors that the API tells apart. Each wraps, or is, a sentence for people.
var (
	ErrNoUser   = errors.New("no such user")
	ErrNoStatus = errors.New("no such status type")
	ErrBadInput = errors.New("bad input")
	ErrUnsaved  = errors.New("the store cannot be written")
	ErrPending  = errors.New("it holds but is not saved")
	ErrStopping = errors.New("the bridge is stopping")
)

// NearError is ErrNoUser or ErrNoStatus with the name that was asked for and the
// one most like it.
type NearError struct {
	Err  error
	Name string
	Near string // "": nothing is alike
}

func (e *NearError) Error() string {
	s := e.Err.Error() + " " + quote(e.Name)
	if e.Near != "" {
		s += ", did you mean " + quote(e.Near) + "?"
	}
	return s
}

func (e *NearError) Unwrap() error { return e.Err }

// InputError is ErrBadInput with what is bad about it.
type InputError struct {
	What string
	message.Key
}

func (e *InputError) Error() string { return ErrBadInput.Error() + ": " + e.What }

func (e *InputError) Unwrap() error { return ErrBadInput }

func badInput(key message.Key, format string, args ...any) error {
	return &InputError{fmt.Sprintf(format, args...), key}
}
