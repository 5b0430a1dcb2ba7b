package bridge

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// withCalls lets "training" show over what is connected or absent.
func withCalls(m *presence.Mapping) *presence.Mapping {
	for i := range m.Users {
		m.Users[i].Rules.Phones = &presence.Phones{InCall: presence.PhoneRule{Show: "training", Over: []presence.Base{presence.Connected, presence.Absent}}}
	}
	return m
}

// rings lets the PBX tell what a phone does.
func (w *world) rings(number string, does presence.PhoneState) {
	w.main.do(func() {
		w.main.tell(connector.Report{Kind: connector.PhoneChanged, Extension: ext(number), Phone: does})
	})
	synctest.Wait()
}

func TestACallIsShownAndSavedAndOverARestart(t *testing.T) {
	inWorld(t, oneUser, func(t *testing.T, w *world) {
		w.reload(withCalls(mappingOf(statuses(), oneUser...)))
		w.press("1001", away)
		w.rings("1001", presence.PhoneInCall)
		shows := func(when string, status, under presence.TypeID, phone presence.PhoneState) {
			t.Helper()
			u := w.user("alice")
			if u.Status == nil || u.Status.Type != status || (under == "") != (u.Under == nil) || u.Under != nil && u.Under.Type != under || u.Phone != phone {
				t.Errorf("%s: %+v over %+v, phone %s", when, u.Status, u.Under, u.Phone)
			}
		}
		shows("in a call", "training", "away", presence.PhoneInCall)
		w.restart()
		shows("after a restart", "training", "away", presence.PhoneInCall)
		w.main.do(func() { w.main.tell(connector.Report{Kind: connector.PhonesListed}) })
		synctest.Wait()
		shows("nobody tells any more", "away", "", presence.PhoneUnknown)
		w.main.do(func() {
			w.main.tell(connector.Report{Kind: connector.PhonesListed, Phones: map[string]presence.PhoneState{"1001": presence.PhoneInCall}})
		})
		synctest.Wait()
		shows("listed", "training", "away", presence.PhoneInCall)
	})
}

func TestATypeThatIsLostUnderACallKeepsItsLook(t *testing.T) {
	inWorld(t, oneUser, func(t *testing.T, w *world) {
		w.reload(withCalls(mappingOf(statuses(), oneUser...)))
		w.press("1001", away)
		w.rings("1001", presence.PhoneInCall)
		w.downFor(time.Minute, func() { w.mapping = withCalls(mappingOf(statuses("away"), oneUser...)) })
		w.rings("1001", presence.PhoneIdle)
		if s := w.user("alice").Status; s == nil || s.Type != "away" || s.Base != presence.Absent || !s.Removed {
			t.Errorf("after the call %+v, want what was lost as it looked", s)
		}
	})
}

// The clock may be behind at a restart: a call that runs must not begin in the future.
func TestACallKeepsItsTimeWhereTheClockIsBehind(t *testing.T) {
	inWorld(t, oneUser, func(t *testing.T, w *world) {
		w.reload(withCalls(mappingOf(statuses(), oneUser...)))
		w.press("1001", away)
		pass(10 * time.Minute)
		w.rings("1001", presence.PhoneInCall)
		if err := w.stop(); err != nil {
			t.Fatal(err)
		}
		w.opt.Now = func() time.Time { return time.Now().Add(-5 * time.Minute) }
		w.start()
		if u := w.user("alice"); u.Status == nil || u.Status.Type != "training" {
			t.Errorf("after the restart %+v", u.Status)
		}
		w.choose("alice", "away")
		if u := w.user("alice"); u.Status.Type != "away" {
			t.Errorf("what was chosen in the call loses: %+v", u.Status)
		}
	})
}

func TestAReturnTimeBeyondReasonIsRefused(t *testing.T) {
	inWorld(t, oneUser, func(t *testing.T, w *world) {
		far := time.Date(9999, 12, 31, 23, 59, 59, 0, time.FixedZone("", -23*3600))
		if _, err := w.b.Choose(t.Context(), "alice", Choice{Type: "dnd", Until: far}); err == nil || !strings.Contains(err.Error(), "10 years") {
			t.Errorf("until %v: %v", far, err)
		}
		w.restart()
	})
}

// A mapping lies in a few large pieces; whoever left it must not keep one alive.
func TestWhoLeavesTheMappingKeepsNothingOfIt(t *testing.T) {
	inWorld(t, oneUser, func(t *testing.T, w *world) {
		piece := strings.Repeat("x", 100) + "zoe" + "1009" + "main"
		m := mappingOf(statuses(), "alice 1001", "zoe 1009")
		zoe := &m.Users[1]
		zoe.ID, zoe.Name = presence.UserID(piece[100:103]), piece[100:103]
		zoe.Rules.Extensions[0] = presence.ExtensionID{Number: piece[103:107], PBX: piece[107:]}
		w.reload(m)
		w.press("1009", away)
		w.reload(mappingOf(statuses(), oneUser...))
		err := w.b.run(t.Context(), func() {
			u := w.b.parked["zoe"]
			for what, text := range map[string]string{
				"id": string(u.mapped.ID), "name": u.mapped.Name, "user of the view": string(u.view.User),
				"number": u.mapped.Rules.Extensions[0].Number, "PBX": u.mapped.Rules.Extensions[0].PBX,
				"number of the view": u.view.Extensions[0].ID.Number, "PBX of the view": u.view.Extensions[0].ID.PBX,
			} {
				if at := uintptr(unsafe.Pointer(unsafe.StringData(text))); at-uintptr(unsafe.Pointer(unsafe.StringData(piece))) < uintptr(len(piece)) {
					t.Errorf("the %s is a part of the mapping that is gone", what)
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		w.reload(m)
		w.want("zoe", "away")
	})
}
