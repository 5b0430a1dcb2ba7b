package bridge

import (
	"slices"
	"testing"
	"testing/synctest"

	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

func (w *world) wantLamps(want ...string) {
	w.t.Helper()
	synctest.Wait()
	if got := w.main.lampsTold(); !slices.Equal(got, want) {
		w.t.Errorf("lamps were told %q, want %q", got, want)
	}
}

func TestLampsFollowTheStatusThatShows(t *testing.T) {
	inWorld(t, []string{"alice 1001 1002 branch/2001", "bob 1003"}, func(t *testing.T, w *world) {
		w.wantLamps("1001 connected", "1002 connected", "1003 connected")
		w.press("1001", away)
		w.wantLamps("1001 absent", "1002 absent")
		w.press("1002", lunch) // another status of the same base
		w.wantLamps()
		w.choose("alice", "training")
		w.wantLamps("1001 busy", "1002 busy")
		w.restart()
		w.wantLamps("1001 busy", "1002 busy", "1003 connected") // a connector that is new, too
	})
}

func TestLampsShowCallsOverTheStatus(t *testing.T) {
	inWorld(t, oneUser, func(t *testing.T, w *world) {
		m := mappingOf(append(statuses(), presence.StatusType{ID: "on_call", Name: "On a call", Base: presence.InCall}), oneUser...)
		m.Users[0].Rules.Phones = &presence.Phones{InCall: presence.PhoneRule{Show: "on_call", Over: []presence.Base{presence.Connected}}}
		w.reload(m)
		w.main.lampsTold()
		w.main.do(func() {
			w.main.tell(connector.Report{Kind: connector.PhoneChanged, Extension: ext("1001"), Phone: presence.PhoneInCall})
		})
		w.wantLamps("1001 in_call")
	})
}

func TestLampsOfWhoLeavesArePutOut(t *testing.T) {
	inWorld(t, []string{"alice 1001 1002", "bob 1003"}, func(t *testing.T, w *world) {
		w.press("1001", dnd)
		w.main.lampsTold()
		m := mappingOf(statuses(), "alice 1001", "carol 1002 1004")
		w.reload(m)
		w.wantLamps("1001 busy", "1002 connected", "1003 left", "1004 connected")
		m = mappingOf(statuses(), "alice 1001 1005", "carol 1002 1004")
		m.Users[0].Rules.Sync = false
		w.reload(m)
		w.wantLamps("1001 left", "1002 connected", "1004 connected", "1005 left")
		w.press("1001", away)
		w.wantLamps()
	})
}

func TestWhoTakesOverAnExtensionAndIsLeftAloneHasNoLamp(t *testing.T) {
	inWorld(t, []string{"alice 1001", "bob 1002"}, func(t *testing.T, w *world) {
		w.press("1001", dnd)
		w.main.lampsTold()
		m := mappingOf(statuses(), "alice 1003", "bob 1002 1001")
		m.Users[1].Rules.Sync = false
		w.reload(m)
		w.wantLamps("1001 left", "1002 left", "1003 connected")
		w.reload(mappingOf(statuses(), "alice 1003")) // the lamps of bob were never ours
		w.wantLamps("1003 connected")
	})
}
