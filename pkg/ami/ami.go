// Package ami speaks the Asterisk Manager protocol over one connection.
//
// It turns bytes into events and actions into bytes. It does not reconnect,
// keeps no state beyond the connection, and does not know what an event means;
// package asterisk does.
package ami

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"
)

// Config says how to reach and enter one PBX.
type Config struct {
	Address  string // host:port
	Username string
	Secret   Secret
	Plain    bool          // send the secret in clear; false: MD5 challenge
	TLS      *tls.Config   // nil: plain TCP. An empty ServerName is the host of Address
	Timeout  time.Duration // for the dial, the greeting and each action; 0: 5 s
	Events   string        // the classes of events to receive; "": "system,call"
	Timed    bool          // Conn.Came tells the time

	// Dial replaces the network, for tests; nil: a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Handler receives what the PBX sends unasked, on the reader goroutine and in
// the order of the wire; the first event may come before Open returns. It must
// not block: Asterisk disconnects a client that does not read for 100 ms
// (main/manager.c:1787, default writetimeout). It must not call Do, List or
// Close, which wait for the reader. Nil functions are allowed.
type Handler struct {
	// Event receives every event. Its argument is valid during the call only.
	Event func(Event)

	// Malformed is told of every frame that was dropped because no honest
	// Asterisk sends it. What was forged around it may have been believed, so
	// whoever keeps state should list it anew; an ErrInList comes within a list and
	// would do so each time. The error holds nothing the peer sent.
	Malformed func(error)
}

var (
	// ErrAuth says that the PBX refused the account: wrong secret, unknown user
	// or an ACL, which it does not tell apart. Trying again soon gets an address banned.
	ErrAuth = errors.New("login refused")

	// ErrClosed says that the connection is over, by Close or for the reason in the chain.
	ErrClosed = errors.New("ami connection closed")

	// ErrIncomplete says that a list ended without being whole.
	ErrIncomplete = errors.New("incomplete list")

	// ErrInList says that a dropped frame stood between the start and the end of
	// a list, where Asterisk sends nothing but the list: it is part of an item.
	ErrInList = errors.New("in a list")
)

// ResponseError is an answer other than success.
type ResponseError struct {
	Action  string // the name of the action
	Message string // what the PBX said
}

// Error quotes the message, which may hold anything.
func (e *ResponseError) Error() string {
	return fmt.Sprintf("the PBX refused %s: %q", e.Action, e.Message)
}
