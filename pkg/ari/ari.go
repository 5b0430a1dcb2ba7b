// Package ari speaks the Asterisk REST Interface as one Stasis application: the
// websocket that brings its events, and the few requests that are needed.
//
// It does not reconnect, keeps no state beyond the connection, and does not know
// what an event means. ARI has no presence event: presence can be written, and
// read by asking.
package ari

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	cycore "github.com/CyCoreSystems/ari/v5"
)

// Event is any of the types below, or another of ari/v5.
type Event = cycore.Event

// The types of event that a Conn asks for where Config.Events names none.
type (
	// DeviceStateChanged tells what a device shows now.
	DeviceStateChanged = cycore.DeviceStateChanged
	// EndpointStateChange tells that an endpoint is online or offline.
	EndpointStateChange = cycore.EndpointStateChange
	// ContactStatusChange tells whether a phone of PJSIP can be reached.
	ContactStatusChange = cycore.ContactStatusChange
	// PeerStatusChange tells the same of a peer of other technologies.
	PeerStatusChange = cycore.PeerStatusChange
	// ChannelUserevent is an event that a dialplan or another program made.
	ChannelUserevent = cycore.ChannelUserevent
)

// Config says how to reach and enter one PBX.
type Config struct {
	URL      string // of ARI, without anything behind: http://127.0.0.1:8088/ari, or https
	Username string
	Password Secret
	App      string        // name of the Stasis application; whoever registers it last has it
	Events   []string      // types of event to receive; nil: those that this package names
	Queue    int           // events that may wait for Handler.Event; 0: 4096
	TLS      *tls.Config   // for https; nil: the authorities of the system. At least 1.2 in any case
	Timeout  time.Duration // for the handshake and for each request; 0: 5 s

	// Dial replaces the network, for tests; nil: a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Handler receives what the PBX sends unasked, in the order of the wire and one
// call at a time, on a goroutine that may wait and may make requests of the Conn;
// the first call may come before Open returns. It must not call Close, which
// waits for it. Nil functions are allowed.
type Handler struct {
	// Event receives every event whose type ari/v5 knows, as a pointer to its
	// struct. It may be kept.
	Event func(Event)

	// Lost tells that n events were dropped, behind those that came so far and
	// before those to come, since Event took too long: whoever keeps state should
	// read it anew.
	Lost func(n int)

	// Malformed is told of every message that was dropped because no Asterisk
	// that ari/v5 knows sends it. The error holds nothing the peer sent.
	Malformed func(error)
}

// Counters count messages since Open.
type Counters struct {
	Events    uint64 // of types that ari/v5 knows, lost ones too
	Lost      uint64 // events and malformed messages that did not fit in the queue
	Malformed uint64 // not an event, too large, or not as ari/v5 expects its type
	Unknown   uint64 // of a type that ari/v5 does not know, which is normal with a newer Asterisk
}

var (
	// ErrAuth says that the PBX refused the account: wrong password or unknown
	// user. Trying again soon gets an address banned.
	ErrAuth = errors.New("login refused")

	// ErrForbidden says that the account may not do this: it is read_only.
	ErrForbidden = errors.New("not allowed")

	// ErrNotFound says that there is no such thing, or that the module of ARI
	// that has it is not loaded.
	ErrNotFound = errors.New("not found")

	// ErrReplaced says that somebody else registered the application. Coming back
	// at once would take it from them, and so on for ever.
	ErrReplaced = errors.New("another connection took over the application")

	// ErrClosed says that the connection is over, by Close or for the reason in the chain.
	ErrClosed = errors.New("ari connection closed")

	// ErrMalformed says that the PBX answered something that no Asterisk does.
	ErrMalformed = errors.New("malformed")
)

// StatusError is an answer other than success. It is an ErrAuth, ErrForbidden or
// ErrNotFound where it says 401, 403 or 404.
type StatusError struct {
	Call    string // what was asked
	Status  int    // of HTTP
	Message string // what the PBX said about it, cut to 200 bytes; "": nothing
}

// Error quotes the message, which may hold anything.
func (e *StatusError) Error() string {
	text := fmt.Sprintf("the PBX refused %s: %d %s", e.Call, e.Status, http.StatusText(e.Status))
	if e.Message != "" {
		text += fmt.Sprintf(", %q", e.Message)
	}
	return text
}

// Is makes the sentinels work.
func (e *StatusError) Is(target error) bool {
	switch e.Status {
	case http.StatusUnauthorized:
		return target == ErrAuth
	case http.StatusForbidden:
		return target == ErrForbidden
	case http.StatusNotFound:
		return target == ErrNotFound
	default:
		return false
	}
}
