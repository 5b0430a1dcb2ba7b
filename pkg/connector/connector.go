// Package connector is the contract between the bridge and a system that shows
// presence: a PBX, later others. A connector keeps its connection, speaks its
// protocol and translates; it decides nothing about a user.
package connector

import (
	"context"
	"errors"
	"time"

	"github.com/presencebridge/presencebridge/pkg/message"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// Connector keeps one system connected. Its methods may be called from any goroutine.
type Connector interface {
	// Run connects, and connects again, until ctx ends or nothing but an
	// operator can help; it returns after all its goroutines have. Everything
	// that happens is told to sink in the order of the wire.
	Run(ctx context.Context, sink Sink) error

	// Write puts one order on the wire of the session it was made for. nil means
	// that it is on its way: its answer (Acked or Refused), or the Down of that
	// session, comes through the sink. ErrDown means that nothing was sent.
	Write(ctx context.Context, o Order) error

	// Read asks what the extension really shows: everything the PBX sent before
	// has reached the sink by the time the answer (Answered or Unreadable) does.
	// Errors are as for Write.
	Read(ctx context.Context, o Order) error

	// Resync asks for a snapshot soon; it does not wait. Without a session it does nothing:
	// every session starts with one.
	Resync()

	// Health tells how things are now, for people.
	Health() Health
}

// Follower is a Connector that may have to ask for each extension by its number, or
// gives what it reports the numbers that are there already.
type Follower interface {
	// Follow says which extensions matter from now on. It does not wait; Resync brings
	// what new ones show.
	Follow(numbers *Numbers)
}

// Lamps is what a Connector is as well if its system can show statuses on the lamps of
// phones that know nothing of presence. Its methods only note what is wanted: they
// do not wait, the newest counts, and what is wanted outlives every session. A lamp
// that is new while there is a session waits for the next snapshot; see Resync.
type Lamps interface {
	// Light makes the lamp of an extension show a status of this base.
	Light(number string, base presence.Base)
	// Leave puts the lamp of an extension out and leaves it alone from then on.
	Leave(number string)
}

// Queues is what a Connector is as well if its system has queues whose members it can
// pause. As with Lamps its methods only note what is wanted, and what is wanted
// outlives every session.
type Queues interface {
	// Pause pauses the members that are this extension, in all queues, for a reason
	// that people read; "" lets those go on that were paused so, and no others.
	Pause(number, reason string)
	// Unpause does the same as an empty reason and leaves the extension alone from then on.
	Unpause(number string)
}

// ErrDown says that the order's session is not, or no longer, there.
var ErrDown = errors.New("not connected")

// Sink takes reports. It never blocks and may be called from one goroutine at a time.
type Sink func(Report)

// Order asks for one write or one reading of an extension.
type Order struct {
	Session   uint64
	Ask       uint64 // names the write in Acked and Refused; for a reading: the newest write it may answer
	Extension presence.ExtensionID
	Presence  presence.Presence // what to write; ignored by Read
	DND       bool              // write On to the extension's DND device instead; only to who reports DNDListed
	On        bool
}

// Kind says what a Report is about.
type Kind uint8

// The kinds of reports. The fields they use stand behind them.
const (
	Changed      Kind = iota + 1 // Extension, Presence: the PBX says that it shows this now
	Acked                        // Extension, Ask: the PBX took the write
	Refused                      // Extension, Ask, Err: the PBX did not take it
	Answered                     // Extension, Ask, Presence: what a Read found
	Unreadable                   // Extension, Ask, Err: a Read that could not be answered
	Snapshot                     // Session, First, Incarnation, Shows, Late: a complete snapshot; the first one of a session opens it for orders
	Loaded                       // the PBX's presence module was loaded again and repeated everything (see sync.repeats)
	Alive                        // the canary was seen: events flow
	Down                         // Session, Err: the session is over; none of its orders will be answered any more
	Unsent                       // Extension, Ask, Err: Write said that nothing was sent; the bridge tells itself so
	Heard                        // the PBX has answered: it lives, whatever its events do
	PhoneChanged                 // Extension, Phone: its device does something else
	DNDChanged                   // Extension, On, Flicked: its DND device says something
	DNDListed                    // DNDOf, DNDs: what every DND device of the PBX says, behind the snapshot; nil: nobody tells (any more)
	PhonesListed                 // Phones: what every device of the PBX does; nil: nobody tells (any more)
)

// Report is one thing a connector has to tell. Presences are canonical.
type Report struct {
	Kind        Kind
	PBX         string
	Session     uint64 // > 0, rising within one Run; of the Snapshot or Down
	Extension   presence.ExtensionID
	Presence    presence.Presence
	Ask         uint64
	First       bool                           // the first Snapshot of its session
	On          bool                           // of a DND device
	Flicked     bool                           // it said the opposite in between
	Partial     bool                           // of a Snapshot: Shows has every extension that was asked for; of others nothing is known
	Phone       presence.PhoneState            // of a device
	Incarnation string                         // identifies this life of the PBX; equal strings mean that it has not restarted
	Shows       map[string]presence.Presence   // by extension number; missing means not_set, unless Partial. The sink owns it
	Late        map[string]struct{}            // of a Snapshot: the extensions that a write was acknowledged for since it was asked for, so that it may be older than that
	Phones      map[string]presence.PhoneState // by extension number; missing means that there is no such device. The sink owns it
	DNDs        map[string]bool                // by extension number; missing means off. The sink owns it
	DNDOf       string                         // which DND devices those are, as a template; "": the PBX has none
	Err         error
	Held        time.Duration // from the reading of its bytes until it was told; 0: nobody looks
	Arrived     time.Duration // since the bridge started, which notes it itself
}

// Health is a connector's condition.
type Health struct {
	PBX       string `json:"pbx"`
	Connected bool   `json:"connected"` // logged in
	Ready     bool   `json:"ready"`     // has a complete snapshot, and its canary was seen or it answers readings
	Transport string `json:"transport"` // over what presence is followed now, such as ami or ari; "": over nothing
	Version   string `json:"version"`   // of the PBX, "" until known
	Reason    string `json:"reason"`    // why it is not ready, or what is wrong although it is, and what to do; one sentence, "" if nothing is
	Malformed uint64 `json:"malformed"` // frames refused since the start
	Sessions  uint64 `json:"sessions"`  // sessions that were open since the start

	Told []message.Message `json:"told,omitempty"` // the sentences that Reason joins, as message.Join does, for who tells them in another language

	Snapshot time.Duration `json:"-"` // how long the last one took; 0: there was none
}
