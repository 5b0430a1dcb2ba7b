package asterisk_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/ami"
	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/connector/asterisk"
	"github.com/presencebridge/presencebridge/pkg/connector/connectortest"
	"github.com/presencebridge/presencebridge/pkg/pbxsim"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

func TestRefusedWriteIsTold(t *testing.T) {
	inBubble(t, pbxsim.Config{}, func(t *testing.T, b *bubble) {
		c, w := b.connect()
		o := connector.Order{Session: w.Ready().Session, Ask: 7, Extension: id("1001"), Presence: presence.Presence{State: presence.DND}}
		b.sim.RefuseWrites(func(presentity, _ string) bool { return presentity == "CustomPresence:1001" })
		if err := c.Write(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		r := w.AwaitKind(connector.Refused)
		var refused *ami.ResponseError
		if r.Ask != 7 || r.Extension != id("1001") || !errors.As(r.Err, &refused) {
			t.Errorf("refused: %+v", r)
		}
		b.sim.RefuseWrites(nil)
		if err := c.Write(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		w.AwaitKind(connector.Acked)
		w.Await("its echo", changedTo("1001", presence.DND))
	})
}

func TestReadingsShareAFence(t *testing.T) {
	inBubble(t, pbxsim.Config{}, func(t *testing.T, b *bubble) {
		c, w := b.connect()
		session := w.Ready().Session
		b.set("1001", "xa")
		const canary = "CustomPresence:presencebridge-a-canary"
		before := b.sim.Stats().Writes[canary]
		for ask := range uint64(100) {
			if err := c.Read(t.Context(), connector.Order{Session: session, Ask: ask, Extension: id("1001")}); err != nil {
				t.Fatal(err)
			}
		}
		for ask := range uint64(100) {
			if r := w.AwaitKind(connector.Answered); r.Ask != ask || r.Presence.State != presence.XA {
				t.Fatalf("answer %d: %+v", ask, r)
			}
		}
		if n := b.sim.Stats().Writes[canary] - before; n > 10 {
			t.Errorf("%d fences for 100 readings at once", n)
		}
	})
}

func TestReadingComesBehindTheEventsBeforeIt(t *testing.T) {
	inBubble(t, pbxsim.Config{}, func(t *testing.T, b *bubble) {
		c, w := b.connect()
		session := w.Ready().Session
		b.sim.HoldEvents()
		b.set("1001", "dnd")
		if err := c.Read(t.Context(), connector.Order{Session: session, Ask: 1, Extension: id("1001")}); err != nil {
			t.Fatal(err)
		}
		b.pass(4 * time.Second)
		if n := count(w, connector.Answered); n != 0 {
			t.Error("answered while an event before it was held back")
		}
		b.sim.Release()
		w.Await("the event", changedTo("1001", presence.DND))
		w.AwaitKind(connector.Answered)
	})
}

// A write between the list and its fence: the snapshot may be older than that.
func TestASnapshotNamesWhatWasWrittenMeanwhile(t *testing.T) {
	inBubble(t, pbxsim.Config{}, func(t *testing.T, b *bubble) {
		c, w := b.connect()
		session := w.Ready().Session
		put := func(ask uint64, number string) {
			t.Helper()
			err := c.Write(t.Context(), connector.Order{Session: session, Ask: ask, Extension: id(number), Presence: presence.Presence{State: presence.Away}})
			if err != nil {
				t.Fatal(err)
			}
			w.Await("the answer", func(r connector.Report) bool { return r.Kind == connector.Acked && r.Ask == ask })
		}
		put(1, "1001")
		b.pass(10 * time.Second)
		b.sim.HoldEvents()
		c.Resync()
		b.pass(time.Second) // listed; the canary is held back
		put(2, "1002")
		b.sim.Release()
		r := w.Await("the snapshot", func(r connector.Report) bool { return r.Kind == connector.Snapshot && !r.First })
		if _, late := r.Late["1002"]; !late || len(r.Late) != 1 || r.Shows["1001"].State != presence.Away {
			t.Errorf("late are %v", r.Late)
		}
	})
}

func TestReadingWithoutEventsEndsTheSession(t *testing.T) {
	inBubble(t, pbxsim.Config{}, func(t *testing.T, b *bubble) {
		c, w := b.connect()
		session := w.Ready().Session
		b.sim.HoldEvents()
		if err := c.Read(t.Context(), connector.Order{Session: session, Ask: 1, Extension: id("1001")}); err != nil {
			t.Fatal(err)
		}
		w.AwaitKind(connector.Down)
		b.sim.Release()
	})
}

func TestUnreadablePresenceIsTold(t *testing.T) {
	inBubble(t, pbxsim.Config{AstDB: map[string]string{"1001": "no such state"}}, func(t *testing.T, b *bubble) {
		c, w := b.connect()
		if err := c.Read(t.Context(), connector.Order{Session: w.Ready().Session, Ask: 3, Extension: id("1001")}); err != nil {
			t.Fatal(err)
		}
		if r := w.AwaitKind(connector.Unreadable); r.Ask != 3 || r.Extension != id("1001") || r.Err == nil {
			t.Errorf("unreadable: %+v", r)
		}
	})
}

// The parts of a presence are read one by one, and a phone may write in between.
func TestPartsThatDoNotBelongTogetherAreNoAnswer(t *testing.T) {
	inBubble(t, pbxsim.Config{}, func(t *testing.T, b *bubble) {
		b.set("1001", "xa")
		values := 0
		b.mangle(func(p []byte) {
			for at := bytes.Index(p, []byte("Value: xa")); at >= 0; at = bytes.Index(p, []byte("Value: xa")) {
				values++
				copy(p[at:], "Value: "+[]string{"xA", "AW"}[values%2])
			}
		})
		c, w := b.connect()
		if err := c.Read(t.Context(), connector.Order{Session: w.Ready().Session, Ask: 1, Extension: id("1001")}); err != nil {
			t.Fatal(err)
		}
		if r := w.AwaitKind(connector.Unreadable); !strings.Contains(r.Err.Error(), "while it was read") {
			t.Errorf("unreadable because %v", r.Err)
		}
	})
}

func TestWhatNoAsteriskCanTakeIsNotSent(t *testing.T) {
	inBubble(t, pbxsim.Config{}, func(t *testing.T, b *bubble) {
		c, w := b.connect()
		session := w.Ready().Session
		for _, o := range []connector.Order{
			{Session: session, Extension: id("10\r\n01")},
			{Session: session, Extension: id(strings.Repeat("1", 65))},
			{Session: session, Extension: id("1001"), Presence: presence.Presence{Message: "a\x00b"}},
			{Session: session, Extension: id("1001"), Presence: presence.Presence{State: 99}},
		} {
			if err := c.Write(t.Context(), o); err == nil || errors.Is(err, connector.ErrDown) {
				t.Errorf("write of %+v: %v", o, err)
			}
		}
		if err := c.Read(t.Context(), connector.Order{Session: session, Extension: id("10)01")}); err == nil {
			t.Error("a reading of what is no extension was accepted")
		}
	})
}

// This one needs the buffers of a network: in memory the first write would wait.
func TestWritesWaitWhileTooManyAreUnanswered(t *testing.T) {
	sim := pbxsim.New(pbxsim.Config{})
	if err := sim.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sim.Stop)
	var network connectortest.Network
	c, err := asterisk.New(asterisk.Config{
		Name: "main", Instance: "a", Times: eager,
		AMI: ami.Config{
			Address: sim.Addr(), Username: "bridge", Secret: ami.NewSecret("bridge-secret"),
			Timeout: connectortest.Deadline, Dial: network.Dial,
		},
	}, logger(t))
	if err != nil {
		t.Fatal(err)
	}
	w := connectortest.Start(t, c)
	o := connector.Order{Session: w.Ready().Session, Extension: id("1001"), Presence: presence.Presence{State: presence.DND}}
	w.AwaitKind(connector.Alive)
	sim.Freeze()
	for range 64 {
		if err := c.Write(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Write(over, o); !errors.Is(err, context.Canceled) {
		t.Errorf("one write too many: %v, want to wait until the context ends", err)
	}
	waiting := make(chan error)
	go func() { waiting <- c.Write(t.Context(), o) }()
	network.Cut()
	if err := <-waiting; !errors.Is(err, connector.ErrDown) {
		t.Errorf("a write that waited when the connection was lost: %v", err)
	}
	sim.Thaw()
	w.AwaitKind(connector.Down)
	w.Ready()
}
