package connectortest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/connector"
)

// Deadline is how long a Watch waits for what must come: long, since only a
// test that fails has to wait for it.
const Deadline = time.Minute

// Watch runs a connector, keeps what it reports, and complains about everything
// that the contract forbids at any time.
type Watch struct {
	t         testing.TB
	connector connector.Connector
	cancel    context.CancelFunc
	ended     chan struct{} // closed when Run has returned
	news      chan struct{} // of one place

	mu      sync.Mutex
	busy    bool // a call of the sink is under way
	stopped bool // Run has returned
	reports []connector.Report
	next    int    // of reports, for Await
	open    uint64 // session whose snapshot came and whose Down did not; 0: none
	newest  uint64 // session
	faults  []string
}

// Start runs c until Stop or the end of the test.
func Start(t testing.TB, c connector.Connector) *Watch {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w := &Watch{
		t: t, connector: c, cancel: cancel,
		ended: make(chan struct{}), news: make(chan struct{}, 1),
	}
	go func() { // waited for by Stop
		defer close(w.ended)
		err := c.Run(ctx, w.sink)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.stopped = true
		if ctx.Err() == nil {
			w.fault("Run returned by itself: %v", err)
		}
	}()
	t.Cleanup(w.Stop)
	return w
}

// Stop ends the run and waits for it. It may be called again.
func (w *Watch) Stop() {
	w.t.Helper()
	w.cancel()
	select {
	case <-w.ended:
	case <-time.After(Deadline):
		w.t.Fatalf("Run has not returned %s after its context ended", Deadline)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.open != 0 {
		w.fault("Run returned without the Down of session %d", w.open)
	}
	for _, f := range w.faults {
		w.t.Error(f)
	}
	w.faults = nil
}

// Reports returns all that was reported until now.
func (w *Watch) Reports() []connector.Report {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.reports)
}

// Await returns the next report that matches, behind the one that the last Await
// returned. Those in between are skipped.
func (w *Watch) Await(what string, match func(connector.Report) bool) connector.Report {
	w.t.Helper()
	return w.AwaitFor(Deadline, what, match)
}

// AwaitFor is Await with a deadline of its own.
func (w *Watch) AwaitFor(deadline time.Duration, what string, match func(connector.Report) bool) connector.Report {
	w.t.Helper()
	timer := time.NewTimer(deadline)
	defer timer.Stop()
	for {
		if r, ok := w.find(match); ok {
			return r
		}
		select {
		case <-w.news:
		case <-timer.C:
			w.t.Fatalf("%s did not come within %s; health: %+v; last reports: %s", what, deadline, w.connector.Health(), w.tail())
		}
	}
}

// Ready waits for the first snapshot of a session.
func (w *Watch) Ready() connector.Report {
	w.t.Helper()
	return w.Await("the first snapshot", func(r connector.Report) bool { return r.Kind == connector.Snapshot && r.First })
}

// AwaitKind waits for a report of that kind.
func (w *Watch) AwaitKind(kind connector.Kind) connector.Report {
	w.t.Helper()
	return w.Await(kindName(kind), func(r connector.Report) bool { return r.Kind == kind })
}

func (w *Watch) find(match func(connector.Report) bool) (connector.Report, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, r := range w.reports[w.next:] {
		if match(r) {
			w.next += i + 1
			return r, true
		}
	}
	return connector.Report{}, false
}

func (w *Watch) sink(r connector.Report) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.busy {
		w.fault("two calls of the sink at a time")
	}
	w.busy = true
	w.check(r)
	w.reports = append(w.reports, r)
	w.mu.Unlock()
	select { // unlocked, so that an overlapping call is seen
	case w.news <- struct{}{}:
	default:
	}
	w.mu.Lock()
	w.busy = false
}

// check is what holds for every report.
func (w *Watch) check(r connector.Report) {
	name := kindName(r.Kind)
	if w.stopped {
		w.fault("%s after Run returned", name)
	}
	if pbx := w.connector.Health().PBX; r.PBX != pbx {
		w.fault("%s of PBX %q, want %q", name, r.PBX, pbx)
	}
	switch r.Kind {
	case connector.Snapshot:
		w.checkSnapshot(r)
	case connector.Down:
		if w.open == 0 || r.Session != w.open {
			w.fault("Down of session %d while %d is open", r.Session, w.open)
		}
		if r.Err == nil {
			w.fault("Down without a reason")
		}
		w.open = 0
	default:
		if w.open == 0 {
			w.fault("%s outside of a session", name)
		}
	}
	switch r.Kind {
	case connector.Acked, connector.Refused, connector.Answered, connector.Unreadable:
		if r.Extension.PBX != r.PBX {
			w.fault("%s of %s from PBX %s", name, r.Extension, r.PBX)
		}
	case connector.Changed:
		if r.Extension.PBX != r.PBX || r.Presence != r.Presence.Canonical() {
			w.fault("Changed of %s from PBX %s to %q, which is not canonical", r.Extension, r.PBX, r.Presence)
		}
	}
	if (r.Kind == connector.Refused || r.Kind == connector.Unreadable) && r.Err == nil {
		w.fault("%s without a reason", name)
	}
}

func (w *Watch) checkSnapshot(r connector.Report) {
	switch {
	case r.First && (w.open != 0 || r.Session <= w.newest):
		w.fault("first snapshot of session %d after session %d (open: %d)", r.Session, w.newest, w.open)
	case !r.First && (w.open == 0 || r.Session != w.open):
		w.fault("a later snapshot of session %d while %d is open", r.Session, w.open)
	}
	if r.Incarnation == "" || r.Shows == nil {
		w.fault("snapshot without incarnation or presences")
	}
	for number, p := range r.Shows {
		if p != p.Canonical() {
			w.fault("snapshot shows %s as %q, which is not canonical", number, p)
		}
	}
	w.open, w.newest = r.Session, r.Session
}

// fault notes what is wrong; the caller holds mu. The test may be over when the
// sink is called, so only Stop tells.
func (w *Watch) fault(format string, args ...any) {
	w.faults = append(w.faults, fmt.Sprintf(format, args...))
}

func (w *Watch) tail() string {
	all := w.Reports()
	var s string
	for _, r := range all[max(0, len(all)-10):] {
		s += fmt.Sprintf("\n\t%s session %d %s %+v ask %d %v", kindName(r.Kind), r.Session, r.Extension, r.Presence, r.Ask, r.Err)
	}
	return s
}

func kindName(k connector.Kind) string {
	names := []string{"nothing", "Changed", "Acked", "Refused", "Answered", "Unreadable", "Snapshot", "Loaded", "Alive", "Down", "Unsent", "Heard"}
	if int(k) < len(names) {
		return names[k]
	}
	return fmt.Sprintf("kind %d", k)
}
