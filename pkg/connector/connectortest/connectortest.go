// Package connectortest is the contract of package connector as tests that every
// connector has to pass, and the means to write further ones.
package connectortest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// System is a connector that does not run yet, and the means to play everybody
// else. Extensions 1001 to 1009 are the suite's; what they show at the beginning
// does not matter.
type System struct {
	Connector connector.Connector // reaches its system over Network, and comes back at once when cut
	Network   *Network

	// Set sets a presence as a phone would, and Shows tells what the system has,
	// both without the connector.
	Set   func(number string, p presence.Presence) error
	Shows func(number string) (presence.Presence, error)

	Polls bool // it has no events but looks again and again: what does not last may be missed, and so may repeats
}

// Factory makes a System for one test.
type Factory func(t *testing.T) System

// Run runs the whole contract.
func Run(t *testing.T, factory Factory) {
	t.Helper()
	for _, test := range []struct {
		claim string
		check func(*testing.T, *bench)
	}{
		{"every session begins with a complete snapshot", firstSnapshot},
		{"changes come in order", changes},
		{"a write is acknowledged before its echo comes", ackBeforeEcho},
		{"what was written is there", written},
		{"every write of a burst is answered once", burst},
		{"a reading comes after all that was before it", reading},
		{"orders without their session are refused", errDown},
		{"orders are taken from the snapshot on and until down", fromTheSink},
		{"a lost connection is told once and replaced", reconnect},
		{"resync brings another snapshot", resync},
		{"nothing incomplete is delivered", nothingIncomplete},
		{"run returns when its context ends", stops},
		{"a second run is as good as the first", runsAgain},
	} {
		t.Run(strings.ReplaceAll(test.claim, " ", "_"), func(t *testing.T) {
			test.check(t, &bench{System: factory(t), t: t})
		})
	}
}

// bench is a System with what the tests have in common.
type bench struct {
	System
	t *testing.T
}

func (b *bench) id(number string) presence.ExtensionID {
	return presence.ExtensionID{PBX: b.Connector.Health().PBX, Number: number}
}

func (b *bench) set(number string, p presence.Presence) {
	b.t.Helper()
	if err := b.Set(number, p); err != nil {
		b.t.Fatalf("set %s: %v", number, err)
	}
}

func (b *bench) write(o connector.Order) {
	b.t.Helper()
	if err := b.Connector.Write(b.t.Context(), o); err != nil {
		b.t.Fatalf("write %s: %v", o.Extension, err)
	}
}

func changed(id presence.ExtensionID, p presence.Presence) func(connector.Report) bool {
	return func(r connector.Report) bool {
		return r.Kind == connector.Changed && r.Extension == id && r.Presence == p
	}
}

func acked(ask uint64) func(connector.Report) bool {
	return func(r connector.Report) bool { return r.Kind == connector.Acked && r.Ask == ask }
}

func firstSnapshot(t *testing.T, b *bench) {
	want := map[string]presence.Presence{
		"1001": {State: presence.Away, Subtype: "lunch", Message: `Back at 2, "really"? C:\new`},
		"1002": {State: presence.DND, Message: "line one\r\nline two\ttab"},
		"1003": {State: presence.Available},
	}
	for number, p := range want {
		b.set(number, p)
	}
	w := Start(t, b.Connector)
	got := w.Ready()
	if first := w.Reports()[0]; first.Kind != connector.Snapshot {
		t.Errorf("the first report is %s", kindName(first.Kind))
	}
	for number, p := range want {
		if got.Shows[number] != p {
			t.Errorf("the snapshot shows %s as %+v, want %+v", number, got.Shows[number], p)
		}
	}
	if h := b.Connector.Health(); !h.Ready || !h.Connected || h.Reason != "" || h.Sessions != got.Session {
		t.Errorf("health with session %d open: %+v", got.Session, h)
	}
}

func changes(t *testing.T, b *bench) {
	w := Start(t, b.Connector)
	w.Ready()
	if b.Polls {
		b.slowChanges(w)
		return
	}
	var want []presence.Presence
	for i := range 30 {
		p := presence.Presence{State: presence.Away, Message: fmt.Sprint("step ", i)}
		b.set("1001", p)
		b.set("1002", presence.Presence{State: presence.XA, Message: p.Message})
		want = append(want, p)
	}
	for _, p := range want {
		w.Await("step "+p.Message, changed(b.id("1001"), p))
		w.Await("second "+p.Message, changed(b.id("1002"), presence.Presence{State: presence.XA, Message: p.Message}))
	}
	b.set("1001", want[len(want)-1])
	w.Await("a value that is set again", changed(b.id("1001"), want[len(want)-1]))
}

// slowChanges are changes that last until they were seen.
func (b *bench) slowChanges(w *Watch) {
	for i := range 10 {
		p := presence.Presence{State: presence.Away, Message: fmt.Sprint("step ", i)}
		b.set("1001", p)
		w.Await("step "+p.Message, changed(b.id("1001"), p))
	}
}

func ackBeforeEcho(t *testing.T, b *bench) {
	w := Start(t, b.Connector)
	session := w.Ready().Session
	for ask := uint64(1); ask <= 20; ask++ {
		p := presence.Presence{State: presence.Away, Message: fmt.Sprint("write ", ask)}
		b.write(connector.Order{Session: session, Ask: ask, Extension: b.id("1001"), Presence: p})
		w.Await("acknowledgement", acked(ask))
		w.Await("echo behind it", changed(b.id("1001"), p))
	}
}

func written(t *testing.T, b *bench) {
	w := Start(t, b.Connector)
	session := w.Ready().Session
	for i, p := range []presence.Presence{
		{State: presence.Available},
		{State: presence.Chat, Subtype: "a,b", Message: "comma, and an e"},
		{State: presence.XA, Subtype: "été", Message: "日本語 \"quoted\" 'single' back\\slash ?"},
		{State: presence.DND, Message: "two\nlines"},
		{State: presence.Away, Subtype: strings.Repeat("s", presence.MaxText), Message: strings.Repeat("m", presence.MaxText)},
		{State: presence.Unavailable, Message: " leading and trailing "},
		{},
	} {
		ask := uint64(i + 1)
		b.write(connector.Order{Session: session, Ask: ask, Extension: b.id("1001"), Presence: p})
		w.Await("acknowledgement", acked(ask))
		if got, err := b.Shows("1001"); err != nil || got != p {
			t.Errorf("after writing %+v it shows %+v, %v", p, got, err)
		}
		w.Await("echo", changed(b.id("1001"), p))
	}
}

func burst(t *testing.T, b *bench) {
	const writes = 500
	w := Start(t, b.Connector)
	session := w.Ready().Session
	p := presence.Presence{State: presence.Away, Subtype: "burst", Message: strings.Repeat("x", 200)}
	for ask := uint64(1); ask <= writes; ask++ {
		b.write(connector.Order{Session: session, Ask: ask, Extension: b.id("1001"), Presence: p})
	}
	w.Await("the last acknowledgement", acked(writes))
	next := uint64(1)
	for _, r := range w.Reports() {
		if r.Kind != connector.Acked {
			continue
		}
		if r.Ask != next {
			t.Fatalf("acknowledgement of %d where that of %d was due", r.Ask, next)
		}
		next++
	}
}

func reading(t *testing.T, b *bench) {
	w := Start(t, b.Connector)
	session := w.Ready().Session
	for ask := uint64(1); ask <= 10; ask++ {
		p := presence.Presence{State: presence.XA, Subtype: "s", Message: fmt.Sprintf("set %d\nby a phone", ask)}
		b.set("1001", p)
		for _, number := range []string{"1001", "1002"} { // together, they may share what they can
			if err := b.Connector.Read(t.Context(), connector.Order{Session: session, Ask: ask, Extension: b.id(number)}); err != nil {
				t.Fatal(err)
			}
		}
		w.Await("the change before the reading", changed(b.id("1001"), p))
		r := w.Await("the answer", func(r connector.Report) bool {
			return r.Kind == connector.Answered && r.Ask == ask && r.Extension.Number == "1001"
		})
		if r.Presence != p {
			t.Errorf("the reading found %+v, want %+v", r.Presence, p)
		}
		w.Await("the other answer", func(r connector.Report) bool {
			return r.Kind == connector.Answered && r.Ask == ask && r.Extension.Number == "1002"
		})
	}
}

func errDown(t *testing.T, b *bench) {
	refused := func(when string, session uint64) {
		t.Helper()
		o := connector.Order{Session: session, Ask: 1, Extension: b.id("1001"), Presence: presence.Presence{State: presence.DND}}
		if err := b.Connector.Write(t.Context(), o); !errors.Is(err, connector.ErrDown) {
			t.Errorf("write %s: %v, want ErrDown", when, err)
		}
		if err := b.Connector.Read(t.Context(), o); !errors.Is(err, connector.ErrDown) {
			t.Errorf("read %s: %v, want ErrDown", when, err)
		}
	}
	b.Connector.Resync() // does nothing
	refused("before Run", 0)
	refused("before Run", 1)
	w := Start(t, b.Connector)
	session := w.Ready().Session
	refused("for a session to come", session+1)
	b.Network.Cut()
	w.AwaitKind(connector.Down)
	refused("for the session that is over", session)
	w.Ready()
	refused("for the session before", session)
	session = w.Reports()[len(w.Reports())-1].Session
	w.Stop()
	refused("after Run", session)
}

// fromTheSink orders at the earliest and at the latest moment that there is.
func fromTheSink(t *testing.T, b *bench) {
	ctx, cancel := context.WithTimeout(t.Context(), Deadline)
	defer cancel()
	got := make(map[connector.Kind]error)
	err := b.Connector.Run(ctx, func(r connector.Report) {
		o := connector.Order{Session: r.Session, Ask: 1, Extension: b.id("1001"), Presence: presence.Presence{State: presence.Away}}
		switch {
		case r.Kind == connector.Snapshot && r.First, r.Kind == connector.Down:
			got[r.Kind] = b.Connector.Write(t.Context(), o)
		case r.Kind == connector.Acked:
			cancel()
		}
	})
	if ctx.Err() == nil {
		t.Errorf("Run returned by itself: %v", err)
	}
	if err, ok := got[connector.Snapshot]; err != nil || !ok {
		t.Errorf("write when the snapshot comes: %v (it came: %v)", err, ok)
	}
	if err := got[connector.Down]; !errors.Is(err, connector.ErrDown) {
		t.Errorf("write when Down comes: %v, want ErrDown", err)
	}
}

func reconnect(t *testing.T, b *bench) {
	b.set("1001", presence.Presence{State: presence.Away})
	w := Start(t, b.Connector)
	before := w.Ready()
	for range 5 {
		b.Network.Cut()
		down := w.AwaitKind(connector.Down)
		if down.Session != before.Session {
			t.Errorf("Down of session %d, want %d", down.Session, before.Session)
		}
		after := w.Ready()
		if after.Session <= before.Session || after.Incarnation != before.Incarnation {
			t.Errorf("session %d of life %q after session %d of life %q",
				after.Session, after.Incarnation, before.Session, before.Incarnation)
		}
		if after.Shows["1001"].State != presence.Away {
			t.Errorf("after coming back 1001 shows %+v", after.Shows["1001"])
		}
		before = after
	}
}

func resync(t *testing.T, b *bench) {
	w := Start(t, b.Connector)
	first := w.Ready()
	b.set("1001", presence.Presence{State: presence.DND, Message: "before resync"})
	for range 3 {
		b.Connector.Resync()
		got := w.AwaitKind(connector.Snapshot)
		if got.First || got.Session != first.Session || got.Incarnation != first.Incarnation {
			t.Errorf("snapshot after Resync: first %v, session %d, life %q", got.First, got.Session, got.Incarnation)
		}
		if p := got.Shows["1001"]; p.Message != "before resync" {
			t.Errorf("the snapshot shows 1001 as %+v", p)
		}
	}
}

// nothingIncomplete is I7: it cuts connections at every byte, or at so many of them that
// it does not take too long, of what comes until the first snapshot.
func nothingIncomplete(t *testing.T, b *bench) {
	want := make(map[string]presence.Presence)
	for i := range 9 {
		number := fmt.Sprint(1001 + i)
		want[number] = presence.Presence{State: presence.XA, Subtype: "cut", Message: "complete " + number}
		b.set(number, want[number])
	}
	w := Start(t, b.Connector)
	w.Ready()
	most := b.Network.Read()
	const cuts = 200
	for at := 1; at < most; at += max(1, most/cuts) {
		b.Network.CutAfter(at)
	}
	b.Network.Cut()
	w.AwaitKind(connector.Down)
	for {
		w.AwaitFor(5*Deadline, "a session that is not cut", func(r connector.Report) bool { return r.Kind == connector.Snapshot && r.First })
		if b.Network.pending() == 0 {
			break
		}
		b.Network.Cut() // it may have less to read than the first one had, and would not come to its limit
	}
	for _, r := range w.Reports() {
		if r.Kind != connector.Snapshot {
			continue
		}
		for number, p := range want {
			if r.Shows[number] != p {
				t.Fatalf("the snapshot of session %d shows %s as %+v", r.Session, number, r.Shows[number])
			}
		}
	}
}

func stops(t *testing.T, b *bench) {
	before := goleak.IgnoreCurrent()
	w := Start(t, b.Connector)
	w.Stop() // while it connects
	w = Start(t, b.Connector)
	session := w.Ready().Session
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o := connector.Order{Session: session, Ask: 1, Extension: b.id("1001"), Presence: presence.Presence{State: presence.Away}}
	if err := b.Connector.Write(ctx, o); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("write with a context that is over: %v", err)
	}
	w.Stop()
	if last := w.Reports()[len(w.Reports())-1]; last.Kind != connector.Down {
		t.Errorf("the last report is %s, want Down", kindName(last.Kind))
	}
	if h := b.Connector.Health(); h.Ready || h.Connected || h.Reason == "" {
		t.Errorf("health after Run: %+v", h)
	}
	goleak.VerifyNone(t, before)
}

func runsAgain(t *testing.T, b *bench) {
	w := Start(t, b.Connector)
	w.Ready()
	w.Stop()
	w = Start(t, b.Connector)
	session := w.Ready().Session
	p := presence.Presence{State: presence.Chat, Message: "second run"}
	b.write(connector.Order{Session: session, Ask: 1, Extension: b.id("1001"), Presence: p})
	w.Await("acknowledgement", acked(1))
	w.Await("echo", changed(b.id("1001"), p))
}
