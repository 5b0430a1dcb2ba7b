package asterisk_test

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/connector/asterisk"
	"github.com/presencebridge/presencebridge/pkg/pbxsim"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// behindList makes f happen when list n is complete and its fence not yet written.
func (b *bubble) behindList(n int, f func()) {
	b.mangle(func(p []byte) {
		if bytes.Contains(p, []byte("PresenceStateListComplete")) {
			if n--; n == 0 {
				f()
			}
		}
	})
}

func TestChangesDuringTheFirstSnapshotArePartOfIt(t *testing.T) {
	inBubble(t, pbxsim.Config{}, func(t *testing.T, b *bubble) {
		b.set("1001", "away")
		b.set("1002", "away")
		b.behindList(1, func() {
			b.set("1001", "dnd")
			b.set("1003", "chat")
		})
		_, w := b.connect()
		got := w.Ready()
		for number, want := range map[string]presence.State{"1001": presence.DND, "1002": presence.Away, "1003": presence.Chat} {
			if got.Shows[number].State != want {
				t.Errorf("the snapshot shows %s as %s, want %s", number, got.Shows[number].State, want)
			}
		}
		synctest.Wait()
		if n := count(w, connector.Changed); n != 0 {
			t.Errorf("%d changes beside the snapshot they are part of", n)
		}
	})
}

func TestHowLongASnapshotTookIsKnown(t *testing.T) {
	inBubble(t, pbxsim.Config{}, func(t *testing.T, b *bubble) {
		b.behindList(1, func() { time.Sleep(2 * time.Second) })
		c, w := b.connect()
		if took := c.Health().Snapshot; took != 0 {
			t.Errorf("none has come and took %v", took)
		}
		w.Ready()
		synctest.Wait()
		if took := c.Health().Snapshot; took < 2*time.Second || took >= 3*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestNothingIsDeliveredBeforeTheFence(t *testing.T) {
	inBubble(t, pbxsim.Config{}, func(t *testing.T, b *bubble) {
		b.sim.HoldEvents()
		_, w := b.connect()
		b.pass(4 * time.Second)
		if n := len(w.Reports()); n != 0 {
			t.Fatalf("%d reports before the fence", n)
		}
		b.sim.Release()
		w.Ready()
	})
}

// An event that is older than the list may come after it. The last one before
// the fence is the truth.
func TestChangesDuringALaterSnapshotComeAndArePartOfIt(t *testing.T) {
	inBubble(t, pbxsim.Config{}, func(t *testing.T, b *bubble) {
		b.behindList(2, func() {
			b.set("1001", "dnd")
			b.sim.Release()
		})
		c, w := b.connect()
		w.Ready()
		b.pass(2 * time.Second)
		b.sim.HoldEvents()
		b.set("1001", "away") // in the list, its event behind it
		c.Resync()
		w.Await("the first change", changedTo("1001", presence.Away))
		w.Await("the second change", changedTo("1001", presence.DND))
		if got := w.AwaitKind(connector.Snapshot); got.First || got.Shows["1001"].State != presence.DND {
			t.Errorf("the snapshot behind them: first %v, 1001 %v", got.First, got.Shows["1001"])
		}
	})
}

func TestMalformedFrameBringsASnapshotAtOnce(t *testing.T) {
	const event = "Event: PresenceStateChange\r\nPrivilege: call,all\r\nPresentity: CustomPresence:"
	for _, tc := range []struct {
		name, raw string
		changes   int // of what is forged in honest form
	}{
		{"no privilege", "Event: PresenceStateChange\r\nPresentity: CustomPresence:1001\r\nStatus: dnd\r\nSubtype: \r\nMessage: \r\n\r\n", 0},
		{"cut in two by a line break in the name", event + "x\r\n\r\n" + event + "1001\r\nStatus: dnd\r\nSubtype: \r\nMessage: \r\n\r\nStatus: away\r\nSubtype: \r\nMessage: \r\n\r\n", 1},
		{"a header missing", event + "1001\r\nStatus: dnd\r\nMessage: \r\n\r\n", 0},
		{"a header twice", event + "1001\r\nStatus: dnd\r\nStatus: away\r\nSubtype: \r\nMessage: \r\n\r\n", 0},
		{"an answer to nothing", "Response: Success\r\nActionID: 1\r\n\r\n", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, pbxsim.Config{}, func(t *testing.T, b *bubble) {
				b.set("1001", "away")
				c, w := b.connect()
				w.Ready()
				b.pass(2 * time.Second)
				b.sim.Inject([]byte(tc.raw))
				// Where the second half of a forgery spoils the first snapshot, another one follows in a second.
				r := w.AwaitFor(2*time.Second, "a snapshot", func(r connector.Report) bool { return r.Kind == connector.Snapshot })
				if r.First || r.Shows["1001"].State != presence.Away {
					t.Errorf("the snapshot: first %v, 1001 %v", r.First, r.Shows["1001"])
				}
				if n := count(w, connector.Changed); n != tc.changes {
					t.Errorf("%d changes, want %d", n, tc.changes)
				}
				if h := c.Health(); h.Malformed == 0 || !h.Ready {
					t.Errorf("health: %+v", h)
				}
			})
		})
	}
}

func TestAFloodOfMalformedFramesIsLoggedOnceAndListedSeldom(t *testing.T) {
	inBubble(t, pbxsim.Config{}, func(t *testing.T, b *bubble) {
		c, w := b.connect()
		w.Ready()
		for range 100 {
			b.sim.Inject([]byte("Nonsense: 1\r\n\r\n"))
			b.pass(100 * time.Millisecond)
		}
		b.pass(2 * time.Second)
		if h := c.Health(); h.Malformed != 100 || !h.Ready {
			t.Errorf("health: %+v", h)
		}
		if n := strings.Count(b.log.String(), "frame refused"); n != 1 {
			t.Errorf("logged %d times", n)
		}
		if n := b.lists(); n > 15 {
			t.Errorf("%d lists within 12 s", n)
		}
	})
}

func TestSnapshotWithAMalformedFrameInItIsThrownAway(t *testing.T) {
	inBubble(t, pbxsim.Config{}, func(t *testing.T, b *bubble) {
		b.set("1001", "away")
		b.sim.HoldEvents()
		c, w := b.connect()
		b.pass(time.Second)
		b.sim.Inject([]byte("Event: PresenceStateChange\r\nPrivilege: call,all\r\nPresentity: CustomPresence:1001\r\nStatus: dnd\r\nSubtype: \r\nMessage: \r\n\r\nNonsense: 1\r\n\r\n"))
		b.sim.Release()
		synctest.Wait()
		if n := len(w.Reports()); n != 0 {
			t.Fatalf("%d reports from a snapshot that was tampered with", n)
		}
		if h := c.Health(); h.Ready || !strings.Contains(h.Reason, "malformed") {
			t.Errorf("health: %+v", h)
		}
		if got := w.Ready(); got.Shows["1001"].State != presence.Away || b.lists() != 2 {
			t.Errorf("after %d lists 1001 shows %v", b.lists(), got.Shows["1001"])
		}
	})
}

func TestAListThatMiscountsItselfIsAskedForAgain(t *testing.T) {
	inBubble(t, pbxsim.Config{}, func(t *testing.T, b *bubble) {
		b.set("1001", "away")
		left := 2
		b.mangle(func(p []byte) {
			if at := bytes.Index(p, []byte("ListItems: ")); at >= 0 && left > 0 {
				left--
				p[at+len("ListItems: ")]++
			}
		})
		_, w := b.connect()
		if got := w.Ready(); got.Shows["1001"].State != presence.Away || b.lists() != 3 {
			t.Errorf("after %d lists 1001 shows %v", b.lists(), got.Shows["1001"])
		}
	})
}

func TestPBXThatForgotEverybodyIsAskedTwice(t *testing.T) {
	inBubble(t, pbxsim.Config{}, func(t *testing.T, b *bubble) {
		b.set("1001", "away")
		_, w := b.connect()
		if n := len(w.Ready().Shows); n != 1 {
			t.Fatalf("%d extensions", n)
		}
		b.sim.Stop()
		w.AwaitKind(connector.Down)
		b.sim = pbxsim.New(pbxsim.Config{Listen: b.Listen})
		b.start()
		if got := w.Ready(); len(got.Shows) != 0 {
			t.Errorf("an empty PBX shows %v", got.Shows)
		}
		if n := b.lists(); n != 2 {
			t.Errorf("believed after %d lists, want 2", n)
		}
		b.network.Cut()
		w.Ready()
		if n := b.lists(); n != 3 {
			t.Errorf("%d lists, want one more: it was empty before", n)
		}
	})
}

func TestTwoSpellingsOfOnePresentityAreOneExtension(t *testing.T) {
	for _, tc := range []struct{ first, second string }{
		{"custompresence:1001", "CustomPresence:1001"},
		{"CustomPresence:1001", "CUSTOMPRESENCE:1001"},
	} {
		t.Run(tc.second+" last", func(t *testing.T) {
			inBubble(t, pbxsim.Config{}, func(t *testing.T, b *bubble) {
				set := func(presentity, state, message string) {
					if err := b.sim.Set(presentity, state, "s", message); err != nil {
						t.Fatal(err)
					}
				}
				set(tc.first, "away", "old\ntext")
				set(tc.second, "dnd", "new\ntext")
				_, w := b.connect()
				want := presence.Presence{State: presence.DND, Subtype: "s", Message: "new\ntext"}
				if got := w.Ready().Shows["1001"]; got != want {
					t.Errorf("the snapshot shows %v, want what was set last", got)
				}
				set(tc.first, "xa", "")
				w.Await("the change by the first name", changedTo("1001", presence.XA))
			})
		})
	}
}

func TestSpellingsOfARowThatIsInvalidShowNothing(t *testing.T) {
	inBubble(t, pbxsim.Config{}, func(t *testing.T, b *bubble) {
		if err := b.sim.Set("custompresence:1001", "away", "", ""); err != nil {
			t.Fatal(err)
		}
		b.set("1001", "dnd")
		left := 1
		b.mangle(func(p []byte) {
			// What an administrator's DBPut leaves: Getvar succeeds with nothing.
			copy(p, bytes.ReplaceAll(p, []byte("Value: dnd\r\n"), []byte("Value:    \r\n")))
			if at := bytes.Index(p, []byte("Response: Success\r\n")); at >= 0 && left > 0 && bytes.Contains(p, []byte("Variable: PRESENCE_STATE")) {
				left--
				copy(p[at+len("Response: "):], "Failure")
			}
		})
		_, w := b.connect()
		if got, ok := w.Ready().Shows["1001"]; ok || b.lists() != 2 {
			t.Errorf("after %d lists 1001 shows %v, want nothing after a list more for the refused reading", b.lists(), got)
		}
	})
}

func TestOnlyExtensionsOfTheTemplateAreReported(t *testing.T) {
	inBubble(t, pbxsim.Config{}, func(t *testing.T, b *bubble) {
		for _, presentity := range []string{"CustomPresence:desk-1001", "CustomPresence:1002", "CustomPresence:desk-", "CustomPresence:desk-a b", "CustomPresence:desk-" + strings.Repeat("9", 64)} {
			if err := b.sim.Set(presentity, "away", "", ""); err != nil {
				t.Fatal(err)
			}
		}
		_, w := b.connect(func(cfg *asterisk.Config) { cfg.Presentity = "CustomPresence:desk-{extension}" })
		first := w.Ready()
		if len(first.Shows) != 1 || first.Shows["1001"].State != presence.Away {
			t.Errorf("the snapshot shows %v", first.Shows)
		}
		for _, presentity := range []string{"CustomPresence:1002", "CustomPresence:desk-", "CustomPresence:desk-1001"} {
			if err := b.sim.Set(presentity, "dnd", "", ""); err != nil {
				t.Fatal(err)
			}
		}
		if r := w.AwaitKind(connector.Changed); r.Extension != id("1001") {
			t.Errorf("a change of %s", r.Extension)
		}
	})
}

func TestReportsWithoutAStateAreIgnored(t *testing.T) {
	inBubble(t, pbxsim.Config{AstDB: map[string]string{"1001": "no such state", "1002": "away"}}, func(t *testing.T, b *bubble) {
		_, w := b.connect()
		if got := w.Ready().Shows; len(got) != 1 {
			t.Errorf("the snapshot shows %v", got)
		}
		b.sim.Inject([]byte("Event: PresenceStateChange\r\nPrivilege: call,all\r\nPresentity: CustomPresence:1002\r\nStatus: \r\nSubtype: \r\nMessage: \r\n\r\n"))
		synctest.Wait()
		if n := count(w, connector.Changed); n != 0 {
			t.Errorf("%d changes", n)
		}
		if n := strings.Count(b.log.String(), "without a valid state"); n != 1 {
			t.Errorf("logged %d times", n)
		}
	})
}

func TestTextsAreUnescapedWhereThePBXEscapesThem(t *testing.T) {
	for _, tc := range []struct{ version, want string }{
		{"11.0.0", "a\\b\n'c'"},
		{"2.8.0", "a\\b\n'c'"},
		{"2.7.0", `a\\b\n\'c\'`}, // the simulation escapes all the same
	} {
		t.Run(tc.version, func(t *testing.T) {
			inBubble(t, pbxsim.Config{AMIVersion: tc.version}, func(t *testing.T, b *bubble) {
				set := func() {
					if err := b.sim.Set("CustomPresence:1001", "away", "", "a\\b\n'c'"); err != nil {
						t.Fatal(err)
					}
				}
				set()
				_, w := b.connect()
				if got := w.Ready().Shows["1001"].Message; got != tc.want {
					t.Errorf("the snapshot says %q, want %q", got, tc.want)
				}
				set()
				if got := w.AwaitKind(connector.Changed).Presence.Message; got != tc.want {
					t.Errorf("the event says %q, want %q", got, tc.want)
				}
			})
		})
	}
}
