package bridge

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

func (w *world) wantQueues(want ...string) {
	w.t.Helper()
	synctest.Wait()
	if got := w.main.queuesTold(); !slices.Equal(got, want) {
		w.t.Errorf("queues were told %q, want %q", got, want)
	}
}

// pausing is the usual statuses, of which these pause.
func pausing(ids ...presence.TypeID) []presence.StatusType {
	list := statuses()
	for i := range list {
		list[i].QueuePause = slices.Contains(ids, list[i].ID)
	}
	return list
}

func TestQueuesFollowTheStatus(t *testing.T) {
	inWorld(t, []string{"alice 1001 1002 branch/2001", "bob 1003"}, func(t *testing.T, w *world) {
		w.reload(mappingOf(pausing("lunch", "training"), "alice 1001 1002 branch/2001", "bob 1003"))
		w.wantQueues("1001", "1002", "1003")
		w.press("1001", lunch)
		w.wantQueues("1001 Lunch", "1002 Lunch")
		w.press("1001", away)
		w.wantQueues("1001", "1002")
		w.choose("alice", "training") // no phone knows of it
		w.wantQueues("1001 In training", "1002 In training")
		w.restart()
		w.wantQueues("1001 In training", "1002 In training", "1003") // a connector that is new, too
		w.reload(mappingOf(pausing("lunch"), "alice 1001 1002 branch/2001", "bob 1003"))
		w.wantQueues("1001", "1002", "1003")
	})
}

func TestACallOverALunchDoesNotEndThePause(t *testing.T) {
	inWorld(t, oneUser, func(t *testing.T, w *world) {
		m := mappingOf(append(pausing("lunch"), presence.StatusType{ID: "on_call", Name: "On a call", Base: presence.InCall}), oneUser...)
		m.Users[0].Rules.Phones = &presence.Phones{InCall: presence.PhoneRule{Show: "on_call", Over: []presence.Base{presence.Absent}}}
		w.reload(m)
		w.press("1001", lunch)
		w.main.queuesTold()
		w.main.do(func() {
			w.main.tell(connector.Report{Kind: connector.PhoneChanged, Extension: ext("1001"), Phone: presence.PhoneInCall})
		})
		w.wantQueues()
		if u := w.user("alice"); u.Status.Type != "on_call" {
			t.Errorf("alice is %s", u.Status.Type)
		}
	})
}

func TestWhoLeavesTheMappingIsNotPausedAnyMore(t *testing.T) {
	inWorld(t, []string{"alice 1001 1002", "bob 1003"}, func(t *testing.T, w *world) {
		w.reload(mappingOf(pausing("dnd"), "alice 1001 1002", "bob 1003"))
		w.press("1001", dnd)
		w.main.queuesTold()
		w.reload(mappingOf(pausing("dnd"), "alice 1001", "carol 1002 1004"))
		w.wantQueues("1001 Do not disturb", "1002", "1003 left", "1004")
		m := mappingOf(pausing("dnd"), "alice 1001", "carol 1002 1004")
		m.Users[0].Rules.Sync = false
		w.reload(m)
		w.wantQueues("1001 left", "1002", "1004")
		w.press("1001", away)
		w.wantQueues()
		w.mapping = m
		w.restart()
		w.wantQueues("1001 left", "1002", "1004") // an earlier life may have paused it
	})
}

func TestATypeThatTheMappingHasNoLongerPausesNobody(t *testing.T) {
	inWorld(t, oneUser, func(t *testing.T, w *world) {
		w.reload(mappingOf(pausing("lunch"), oneUser...))
		w.press("1001", lunch)
		w.main.queuesTold()
		w.reload(mappingOf(statuses("lunch"), oneUser...))
		for _, told := range w.main.queuesTold() {
			if strings.Contains(told, "Lunch") {
				t.Errorf("queues were told %q", told)
			}
		}
	})
}
