// Package store keeps what the bridge must not lose: every user's view, the
// history, and what it knows of each PBX. It decides nothing; a view is opaque
// to it but for the columns that the panel reads.
package store

import (
	"errors"
	"time"

	"github.com/presencebridge/presencebridge/pkg/presence"
)

// User is one user's row.
type User struct {
	ID      presence.UserID
	Name    string
	Email   string
	Version uint64
	Status  *presence.Status // nil: nothing was ever said; only Save uses it
	View    []byte           // the view as JSON
}

// Entry is a line of the history.
type Entry struct {
	ID      int64           `json:"id"` // given by the store; rises
	User    presence.UserID `json:"user"`
	At      time.Time       `json:"at"`
	Type    presence.TypeID `json:"type"` // "": the user no longer has a status
	Name    string          `json:"name"`
	Base    presence.Base   `json:"base"`
	Message string          `json:"message"`
	Label   string          `json:"label,omitempty"` // what the user called the status; "": as its type is called
	Since   time.Time       `json:"since,omitzero"`
	Until   time.Time       `json:"until,omitzero"`
	By      string          `json:"by"`
	Rule    presence.Rule   `json:"rule"`
	Version uint64          `json:"version"`
}

// PBX is what is known of one PBX.
type PBX struct {
	Name        string
	Incarnation string    // which of its lives the last snapshot came from
	Heard       time.Time // when it was last heard of
}

// Batch is what one transaction writes.
type Batch struct {
	Users   []User // the newest version of each, at most one row a user
	History []Entry
	PBXs    []PBX
	Own     []Settings // at most one a user
}

// State is what a bridge starts from, beside its users.
type State struct {
	PBXs  []PBX
	Own   []Settings
	Clean bool // the last bridge stopped in order, so that nothing newer than this was ever shown
}

// Query selects lines of the history or of the audit log, newest first.
type Query struct {
	User     presence.UserID // "": everybody; the audit log has no users
	Did      string          // of the audit log: what was done, or how that begins up to a space: status type; "": anything
	What     string          // of the audit log: to what, up to a colon or comma: the id of a user or a status type, the name of a token; "": anything
	By       string          // an origin, or how it begins up to a space or slash: panel, extension main; "": any
	From, To time.Time       // from From on and before To; zero: without bound
	Before   Place           // lines that come after this one in the list; zero: from the newest
	Limit    int             // at most; 0: 100
}

// Place is that of a line in the history or in the audit log.
type Place struct {
	At time.Time
	ID int64
}

// Token is what is kept of a token of the API: never the token itself.
type Token struct {
	Name    string
	Hash    string // SHA-256 of the token, in hex
	Scope   string
	User    presence.UserID // whose status it may set; "": of nobody, or of everybody
	Made    time.Time
	MadeBy  string
	Expires time.Time // zero: never
	Used    time.Time // about when it was last used; zero: never
}

// Act is a line of the audit log: what somebody did to the bridge itself.
type Act struct {
	ID   int64     `json:"id"` // given by the store; rises
	At   time.Time `json:"at"`
	By   string    `json:"by"`
	Did  string    `json:"did"`
	What string    `json:"what"` // to what; "": to the bridge
}

// Errors that callers tell apart.
var (
	// ErrInUse says that another bridge has the store.
	ErrInUse = errors.New("the store is in use by another presencebridge")
	// ErrLost says that another bridge has taken the store over.
	ErrLost = errors.New("another presencebridge has taken the store over, since this one was paused or cut off from the database for too long")
	// ErrNewer says that the store was written by a newer version of the bridge.
	ErrNewer = errors.New("the store was written by a newer presencebridge")
)
