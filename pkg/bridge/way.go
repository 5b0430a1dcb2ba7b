package bridge

import (
	"time"

	"github.com/presencebridge/presencebridge/pkg/presence"
)

// Tracer takes the ways of those events and choices that it wants followed.
type Tracer interface {
	// Follows tells whether one more is to be followed. parent is what came along with a
	// choice that belongs to somebody's trace; "": nothing did. Any goroutine calls it.
	Follows(parent string) bool
	// Trace takes a way that has ended, and keeps it. The owner loop calls it, so it does
	// not wait.
	Trace(w *Way)
}

// WayKind says whose way a Way is.
type WayKind string

// The kinds of ways.
const (
	PresenceWay WayKind = "presence" // an event about an extension's presence
	PhoneWay    WayKind = "phone"    // its device does something else
	DNDWay      WayKind = "dnd"      // its DND device was switched
	ChoiceWay   WayKind = "choice"
)

// Way is when one event of a phone, or one choice, came where in the bridge. Nothing that
// people write is in it, and no status. A zero time says that it did not come there.
type Way struct {
	Kind      WayKind
	Parent    string               // of a choice: see Tracer
	User      presence.UserID      // whose status it is about
	Extension presence.ExtensionID // of an event
	By        string               // of a choice, the kind of who made it: cli, panel, api, integration

	Read      time.Time // from the wire; zero where the connector does not tell
	Arrived   time.Time // in the inbox; of a choice: at the bridge
	Began     time.Time // to be decided
	Decided   time.Time
	Durable   bool      // it has to be saved
	Shown     time.Time // put where pages look; zero: they see nothing new
	Published time.Time // pages were told
	Rendered  time.Time // for the first page that asked; zero: none has, within pageWait
	Committed time.Time // handed to the store first
	Saved     time.Time // zero: not yet, or it has not to be
	Commits   int       // tries to save it
	Writes    []WayWrite
	Ended     time.Time // the last of all

	Verdict  presence.Verdict // of a presence
	Rule     presence.Rule    // why the status is what it is
	Changed  bool             // the status became another one
	HeldBack bool             // it will show later
	Cut      bool             // something was still to come when it was followed no longer
}

// WayWrite is a write to a PBX that a decision asked for.
type WayWrite struct {
	Extension presence.ExtensionID
	DND       bool      // to its DND device
	Asked     time.Time // put into the outbox
	Sent      time.Time // on the wire; zero: not that anybody knows
	Taken     time.Time // the PBX said so; zero: it did not
	Ended     time.Time // zero: it was still under way
	Outcome   Outcome
}

// Outcome is what became of a write.
type Outcome string

// The outcomes of writes.
const (
	Waiting    Outcome = "waiting"   // it is not known yet
	Echoed     Outcome = "echo"      // its event came
	ReadBack   Outcome = "read back" // a reading or a snapshot has found it
	NotTaken   Outcome = "refused"   // by the PBX, or its connector
	NotSent    Outcome = "not sent"
	Lost       Outcome = "connection lost"
	Superseded Outcome = "superseded" // nothing waits for it any more
)
