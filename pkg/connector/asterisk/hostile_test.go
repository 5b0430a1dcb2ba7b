package asterisk_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/connector/connectortest"
	"github.com/presencebridge/presencebridge/pkg/pbxsim"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

const (
	live = "Event: PresenceStateChange\r\nPrivilege: call,all\r\n"
	of   = "Presentity: CustomPresence:"
	dnd  = "Status: dnd\r\nSubtype: \r\nMessage: \r\n"
	end  = "\r\n"
)

// TestWhatIsMadeOfEveryHostileFrame sends one frame each to a session that is
// ready, where 1001 shows away.
func TestWhatIsMadeOfEveryHostileFrame(t *testing.T) {
	for _, tc := range []struct {
		name, raw string
		malformed uint64   // each brings one snapshot in all
		changes   []string // delivered
	}{
		{"honest", live + of + "1001\r\n" + dnd + end, 0, []string{"1001 dnd"}},
		{"honest with all that a PBX may be configured to add", live + "Timestamp: 1.5\r\nSequenceNumber: 1\r\nFile: f.c\r\nLine: 1\r\nFunc: f\r\nSystemName: s\r\n" + of + "1001\r\n" + dnd + end, 0, []string{"1001 dnd"}},
		{"honest with names in another case", strings.ToUpper(live) + "PRESENTITY: CustomPresence:1001\r\nSTATUS: DND\r\nSUBTYPE: \r\nMESSAGE: \r\n" + end, 0, []string{"1001 dnd"}},
		{"honest with bare line feeds", strings.ReplaceAll(live+of+"1001\r\n"+dnd+end, "\r", ""), 0, []string{"1001 dnd"}},

		{"two events", live + "Event: PresenceStateChange\r\n" + of + "1001\r\n" + dnd + end, 1, nil},
		{"two privileges", live + "Privilege: call,all\r\n" + of + "1001\r\n" + dnd + end, 1, nil},
		{"two presentities", live + of + "1002\r\n" + of + "1001\r\n" + dnd + end, 1, nil},
		{"two states", live + of + "1001\r\nStatus: away\r\n" + dnd + end, 1, nil},
		{"two subtypes", live + of + "1001\r\nSubtype: x\r\n" + dnd + end, 1, nil},
		{"two messages", live + of + "1001\r\nmessage: x\r\n" + dnd + end, 1, nil},
		{"two action ids", live + "ActionID: 1\r\nActionID: 1\r\n" + of + "1001\r\n" + dnd + end, 1, nil},

		{"no event", "Privilege: call,all\r\n" + of + "1001\r\n" + dnd + end, 1, nil},
		{"no privilege", "Event: PresenceStateChange\r\n" + of + "1001\r\n" + dnd + end, 1, nil},
		{"no presentity", live + dnd + end, 1, nil},
		{"no state", live + of + "1001\r\nSubtype: \r\nMessage: \r\n" + end, 1, nil},
		{"no subtype", live + of + "1001\r\nStatus: dnd\r\nMessage: \r\n" + end, 1, nil},
		{"no message", live + of + "1001\r\nStatus: dnd\r\nSubtype: \r\n" + end, 1, nil},
		{"a line of its own in the presentity", live + of + "1001\r\nX: y\r\n" + dnd + end, 1, nil},
		{"a line behind the message", live + of + "1001\r\n" + dnd + "X: y\r\n" + end, 1, nil},
		{"another order", live + of + "1001\r\nSubtype: \r\nStatus: dnd\r\nMessage: \r\n" + end, 1, nil},
		{"a line without a name", live + of + "1001\r\n: x\r\n" + dnd + end, 1, nil},
		{"a line without a colon", live + of + "1001\r\nx\r\n" + dnd + end, 1, nil},
		{"an answer to nobody", "Response: Success\r\nActionID: 7\r\nMessage: x\r\n" + end, 1, nil},
		{"an item of nobody's list", "Event: PresenceStateChange\r\nActionID: 7\r\n" + of + "1001\r\n" + dnd + end, 1, nil},
		{"the end of nobody's list", "Event: PresenceStateListComplete\r\nActionID: 7\r\nEventList: Complete\r\nListItems: 0\r\n" + end, 1, nil},
		{"the end of a list, live", "Event: PresenceStateListComplete\r\nPrivilege: call,all\r\nEventList: Complete\r\nListItems: 0\r\n" + end, 0, nil},

		{"257 headers", live + strings.Repeat("X: y\r\n", 251) + of + "1001\r\n" + dnd + end, 1, nil},
		{"256 headers", live + strings.Repeat("X: y\r\n", 250) + of + "1001\r\n" + dnd + end, 0, []string{"1001 dnd"}},
		{"more than 64 KiB", live + "X: " + strings.Repeat("y", 64<<10) + "\r\n" + of + "1001\r\n" + dnd + end, 1, nil},
		{"a megabyte in one line", live + "X: " + strings.Repeat("y", 1<<20) + "\r\n" + end, 1, nil},
		{"sixty thousand bytes", live + "X: " + strings.Repeat("y", 60_000) + "\r\n" + of + "1001\r\n" + dnd + end, 0, []string{"1001 dnd"}},

		{"a NUL in the presentity", live + of + "10\x0001\r\n" + dnd + end, 0, nil},
		{"a NUL in the state", live + of + "1001\r\nStatus: dnd\x00\r\nSubtype: \r\nMessage: \r\n" + end, 0, nil},
		{"a NUL in a name", live + of + "1001\r\nStatus\x00: dnd\r\nSubtype: \r\nMessage: \r\n" + end, 1, nil},
		{"a carriage return in the presentity", live + of + "1001\rStatus: dnd\r\n" + dnd + end, 0, nil},
		{"a blank behind the presentity", live + of + "1001 \r\n" + dnd + end, 0, nil},
		{"a colon in the presentity", live + of + "1001:1\r\n" + dnd + end, 0, nil},
		{"an empty presentity", live + "Presentity: \r\n" + dnd + end, 0, nil},
		{"no extension", live + of + "\r\n" + dnd + end, 0, nil},
		{"another provider", live + "Presentity: PJSIP:1001\r\n" + dnd + end, 0, nil},
		{"a name that is too long", live + of + strings.Repeat("1", 65) + "\r\n" + dnd + end, 0, nil},
		{"an empty state", live + of + "1001\r\nStatus: \r\nSubtype: \r\nMessage: \r\n" + end, 0, nil},
		{"a state that is none", live + of + "1001\r\nStatus: busy\r\nSubtype: \r\nMessage: \r\n" + end, 0, nil},
		{"a state with a blank", live + of + "1001\r\nStatus:  dnd\r\nSubtype: \r\nMessage: \r\n" + end, 0, nil},
		{"texts that are no UTF-8", live + of + "1001\r\nStatus: dnd\r\nSubtype: \xff\r\nMessage: \xc3(\r\n" + end, 0, []string{"1001 dnd,\uFFFD,\uFFFD("}},
		{"escapes that are none", live + of + "1001\r\nStatus: dnd\r\nSubtype: \\\r\nMessage: \\q\\\\\r\n" + end, 0, []string{`1001 dnd,\,\q\`}},
		{"the canary of another bridge", live + of + "presencebridge-b-canary\r\n" + dnd + end, 0, nil},
		{"empty lines", "\r\n\r\n\n\n", 0, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, pbxsim.Config{}, func(t *testing.T, b *bubble) {
				b.set("1001", "away")
				c, w := b.connect()
				w.Ready()
				b.pass(2 * time.Second)
				b.sim.Inject([]byte(tc.raw))
				b.pass(time.Second / 2) // at once is within a second
				if got := changes(w); !slices.Equal(got, tc.changes) {
					t.Errorf("delivered %q, want %q", got, tc.changes)
				}
				h := c.Health()
				if !h.Ready || h.Sessions != 1 || h.Malformed != tc.malformed {
					t.Errorf("health %+v, want %d malformed and the same session", h, tc.malformed)
				}
				if got := strings.Count(b.log.String(), "frame refused"); got != int(tc.malformed) {
					t.Errorf("logged %d times", got)
				}
				reports := w.Reports()
				if got := count(w, connector.Snapshot) - 1; got != int(tc.malformed) {
					t.Errorf("%d snapshots followed, want %d", got, tc.malformed)
				} else if last := reports[len(reports)-1]; got == 1 && (last.Kind != connector.Alive || reports[len(reports)-2].Shows["1001"].State != presence.Away) {
					t.Errorf("it ends with %+v", reports[len(reports)-2:])
				}
				if tc.malformed > 0 && strings.Contains(b.log.String(), "dnd") {
					t.Error("the log repeats what was refused")
				}
			})
		})
	}
}

// changes lists what was reported live: number, state and, if there are, texts.
func changes(w *connectortest.Watch) (all []string) {
	for _, r := range w.Reports() {
		if r.Kind != connector.Changed {
			continue
		}
		text := r.Extension.Number + " " + r.Presence.State.String()
		if r.Presence.Subtype+r.Presence.Message != "" {
			text += "," + r.Presence.Subtype + "," + r.Presence.Message
		}
		all = append(all, text)
	}
	return all
}

func TestAFrameThatTheEndOfTheConnectionCutsIsNotDelivered(t *testing.T) {
	frame := live + of + "1001\r\n" + dnd + end
	for _, cut := range []int{1, len(live), len(frame) - len(dnd), len(frame) - 3, len(frame) - 1, len(frame)} {
		t.Run(fmt.Sprint(cut), func(t *testing.T) {
			inBubble(t, pbxsim.Config{}, func(t *testing.T, b *bubble) {
				_, w := b.connect()
				w.Ready()
				b.sim.CutAfter(cut)
				b.sim.Inject([]byte(frame))
				w.AwaitKind(connector.Down)
				if got, want := count(w, connector.Changed), cut/len(frame); got != want {
					t.Errorf("%d changes of %d bytes of %d", got, cut, len(frame))
				}
				w.Ready()
			})
		})
	}
}

// forgeries are names of presentities with line breaks in them. Set in a PBX they
// stay in its list. 1001 shows away, 1002 was never set.
var forgeries = []struct {
	name, presentity string
	live             []string // what is believed at first, since nothing about it is wrong
}{
	{"a line", "CustomPresence:1001\r\nX: y", nil},
	{"a line with a bare line feed", "CustomPresence:1001\nX: y", nil},
	{"a frame in one that repeats headers", "CustomPresence:x\r\nEvent: PresenceStateChange\r\nPresentity: CustomPresence:1001\r\nStatus: dnd", nil},
	{"the end of a frame and rubbish", "CustomPresence:1001\r\nStatus: dnd\r\nSubtype: \r\nMessage: \r\n\r\nX: y", []string{"1001 dnd"}},
	{"the end of a frame and an event without privilege", "CustomPresence:1001\r\nStatus: dnd\r\nSubtype: \r\nMessage: \r\n\r\nEvent: PresenceStateChange\r\nPresentity: CustomPresence:x", []string{"1001 dnd"}},
	{"two whole events", "CustomPresence:1001\r\nStatus: dnd\r\nSubtype: \r\nMessage: \r\n\r\n" + live + of + "x", []string{"1001 dnd"}},
	{"two whole events, of somebody who was never set", "CustomPresence:1002\r\nStatus: dnd\r\nSubtype: \r\nMessage: \r\n\r\n" + live + of + "x", []string{"1002 dnd"}},
	{"three whole events", "CustomPresence:x\r\nStatus: away\r\nSubtype: \r\nMessage: \r\n\r\n" + live + of + "1001\r\n" + dnd + "\r\n" + live + of + "y", []string{"1001 dnd"}},
	{"a shutdown", "CustomPresence:x\r\nStatus: away\r\nSubtype: \r\nMessage: \r\n\r\nEvent: Shutdown\r\nPrivilege: system,all\r\n\r\n" + live + of + "y", nil},
	{"the end of the list", "CustomPresence:x\r\nStatus: away\r\nSubtype: \r\nMessage: \r\n\r\nEvent: PresenceStateListComplete\r\nPrivilege: call,all\r\nEventList: Complete\r\nListItems: 0\r\n\r\n" + live + of + "y", nil},
}

func TestNamesThatForgeFramesInEveryListHealAndDoNotKeepTheBridgeFromBeingReady(t *testing.T) {
	for _, tc := range forgeries {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, pbxsim.Config{AstDB: map[string]string{"1001": "away,lunch"}}, func(t *testing.T, b *bubble) {
				honest := map[string]presence.Presence{"1001": {State: presence.Away, Subtype: "lunch"}}
				if err := b.sim.Set(tc.presentity, "chat", "", ""); err != nil {
					t.Fatal(err)
				}
				for range 2 { // what a restart leaves of the name is cut off, and hurts as well
					c, w := b.connect()
					if got := shown(w.Ready()); !maps.Equal(got, honest) {
						t.Errorf("the first snapshot shows %v", got)
					}
					b.pass(time.Hour)
					h := c.Health()
					if !h.Ready || h.Sessions != 1 || !strings.Contains(h.Reason, "line breaks") || !strings.Contains(h.Reason, "DELETE FROM astdb") {
						t.Errorf("health %+v", h)
					}
					if n := count(w, connector.Changed); n != 0 {
						t.Errorf("%d forged changes were delivered", n)
					}
					if n := count(w, connector.Snapshot); n < 10 || n > 17 { // one in 5 minutes, give or take
						t.Errorf("%d snapshots in an hour", n)
					}
					for _, r := range w.Reports() {
						if r.Kind == connector.Snapshot && !maps.Equal(shown(r), honest) {
							t.Errorf("a snapshot shows %v", r.Shows)
						}
					}
					w.Stop()
					if err := b.sim.Restart(); err != nil {
						t.Fatal(err)
					}
				}
				if n := strings.Count(b.log.String(), "the list of presences is damaged"); n != 2 { // one of each connector
					t.Errorf("logged %d times", n)
				}
			})
		})
	}
}

func TestForgedEventHealsWithTheNextSnapshot(t *testing.T) {
	for _, tc := range forgeries {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, pbxsim.Config{AstDB: map[string]string{"1001": "away,lunch"}}, func(t *testing.T, b *bubble) {
				c, w := b.connect()
				w.Ready()
				b.pass(2 * time.Second)
				if err := b.sim.Set(tc.presentity, "chat", "", ""); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				within := time.Second
				if c.Health().Malformed == 0 {
					within = 7 * time.Minute // nothing is wrong about these frames until a list has them
				}
				r := w.AwaitFor(within, "a snapshot", func(r connector.Report) bool { return r.Kind == connector.Snapshot })
				if got := shown(r); len(got) != 1 || got["1001"].Subtype != "lunch" {
					t.Errorf("the snapshot shows %v", got)
				}
				own := func(change string) bool { return change[0] == 'x' || change[0] == 'y' }
				if got := slices.DeleteFunc(changes(w), own); !slices.Equal(got, tc.live) {
					t.Errorf("delivered %q, want %q", got, tc.live)
				}
			})
		})
	}
}

// shown are the presences of a snapshot that are not not_set, the forger's own names left out.
func shown(r connector.Report) map[string]presence.Presence {
	all := make(map[string]presence.Presence)
	for number, p := range r.Shows {
		if p != (presence.Presence{}) && number != "x" && number != "y" {
			all[number] = p
		}
	}
	return all
}

func TestManyExtensionsOfADamagedListAreReadWithoutFillingTheLine(t *testing.T) {
	rows := make(map[string]string)
	for i := range 500 {
		rows[fmt.Sprint(2000+i)] = fmt.Sprint("away,lunch,", i)
	}
	inBubble(t, pbxsim.Config{AstDB: rows}, func(t *testing.T, b *bubble) {
		if err := b.sim.Set("CustomPresence:x\r\nX: y", "dnd", "", ""); err != nil {
			t.Fatal(err)
		}
		_, w := b.connect()
		got := w.Ready()
		for i := range 500 {
			if p := got.Shows[fmt.Sprint(2000+i)]; p.State != presence.Away || p.Message != fmt.Sprint(i) {
				t.Errorf("%d shows %+v", 2000+i, p)
			}
		}
		if stats := b.sim.Stats(); stats.Actions["PresenceStateList"] != 1 || stats.Actions["Getvar PRESENCE_STATE"] != 6*500 {
			t.Errorf("asked for %v", stats.Actions)
		}
	})
}

func TestDamagedListThatIsMendedIsSaidToBeIntact(t *testing.T) {
	inBubble(t, pbxsim.Config{}, func(t *testing.T, b *bubble) {
		if err := b.sim.Set("CustomPresence:x\r\nX: y", "dnd", "", ""); err != nil {
			t.Fatal(err)
		}
		c, w := b.connect()
		w.Ready()
		b.sim.Stop()
		w.AwaitKind(connector.Down)
		b.sim = pbxsim.New(pbxsim.Config{Listen: b.Listen})
		b.start()
		w.Ready()
		if h := c.Health(); !h.Ready || h.Reason != "" {
			t.Errorf("health %+v", h)
		}
		if !strings.Contains(b.log.String(), "intact again") {
			t.Error("not logged")
		}
	})
}

// A flood of malformed frames spoils every snapshot, and must not keep the bridge
// from being ready for ever.
func TestMalformedFramesInEverySnapshotAreOutlived(t *testing.T) {
	inBubble(t, pbxsim.Config{AstDB: map[string]string{"1001": "away"}}, func(t *testing.T, b *bubble) {
		b.mangle(func(p []byte) {
			if bytes.Contains(p, []byte("PresenceStateListComplete")) {
				b.sim.Inject([]byte("Nonsense: 1\r\n\r\n"))
			}
		})
		c, w := b.connect()
		if got := w.Ready(); got.Shows["1001"].State != presence.Away {
			t.Errorf("1001 shows %v", got.Shows["1001"])
		}
		if n := b.lists(); n != 4 {
			t.Errorf("ready after %d lists, want three that were spoiled and one that was read", n)
		}
		b.pass(time.Minute)
		if h := c.Health(); !h.Ready || h.Sessions != 1 {
			t.Errorf("health %+v", h)
		}
		if n := b.lists(); n > 70 {
			t.Errorf("%d lists in a minute", n)
		}
	})
}

func TestReadingsOfADamagedListThatAreRefusedAreAskedForAgain(t *testing.T) {
	inBubble(t, pbxsim.Config{AstDB: map[string]string{"1001": "away"}}, func(t *testing.T, b *bubble) {
		if err := b.sim.Set("CustomPresence:x\r\nX: y", "dnd", "", ""); err != nil {
			t.Fatal(err)
		}
		left := 1
		b.mangle(func(p []byte) {
			if at := bytes.Index(p, []byte("Response: Success\r\n")); at >= 0 && left > 0 && bytes.Contains(p, []byte("Variable: PRESENCE_STATE")) {
				left--
				copy(p[at+len("Response: "):], "Failure")
			}
		})
		_, w := b.connect()
		if got := w.Ready(); got.Shows["1001"].State != presence.Away || b.lists() != 2 {
			t.Errorf("after %d lists 1001 shows %v", b.lists(), got.Shows["1001"])
		}
	})
}

// FuzzNoNameForgesASnapshot sets one presentity of any name beside honest ones: a
// snapshot then tells nothing but what the AstDB has, and the session lasts.
func FuzzNoNameForgesASnapshot(f *testing.F) {
	for _, forged := range forgeries {
		f.Add(strings.TrimPrefix(forged.presentity, "CustomPresence:"))
	}
	f.Add("1001\r\n\r\n" + live + of + "1002\r\n" + dnd + end)
	f.Add("\n\n\n")
	f.Fuzz(func(t *testing.T, name string) {
		name = strings.ReplaceAll(name, "\x00", "") // ends a string of C
		if name == "" || len(name) > 40_000 {       // more fits through no interface (main/http.c:100)
			return
		}
		inBubble(t, pbxsim.Config{AstDB: map[string]string{"1001": "away,lunch", "1002": "xa"}}, func(t *testing.T, b *bubble) {
			if err := b.sim.Set("CustomPresence:"+name, "chat", "", ""); err != nil {
				t.Fatal(err)
			}
			c, w := b.connect()
			shows := w.Ready().Shows
			for number, p := range shows {
				got, ok := b.sim.Get("CustomPresence:" + number)
				if state, _ := presence.ParseState(got.State); !ok || state != p.State || got.Subtype != p.Subtype || got.Message != p.Message {
					t.Errorf("the snapshot shows %s as %+v, the AstDB as %+v", number, p, got)
				}
			}
			for _, number := range []string{"1001", "1002"} {
				if _, ok := shows[number]; !ok {
					t.Errorf("%s is missing", number)
				}
			}
			b.pass(6 * time.Minute)
			if h := c.Health(); !h.Ready || h.Sessions != 1 || count(w, connector.Changed) != 0 {
				t.Errorf("%+v and %d changes", h, count(w, connector.Changed))
			}
		})
	})
}

func TestListsThatTakeLongAreAskedForSeldom(t *testing.T) {
	inBubble(t, pbxsim.Config{WriteTimeout: time.Minute}, func(t *testing.T, b *bubble) {
		b.mangle(func(p []byte) {
			if bytes.Contains(p, []byte("PresenceStateListComplete")) {
				time.Sleep(3 * time.Second)
			}
		})
		_, w := b.connect()
		w.Ready()
		for range 150 {
			b.sim.Inject([]byte("Nonsense: 1\r\n\r\n"))
			b.pass(time.Second)
		}
		if n := b.lists(); n < 5 || n > 12 {
			t.Errorf("%d lists of 3 s within 150 s, want one in 15 s", n)
		}
	})
}
