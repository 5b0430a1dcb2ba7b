package bridge

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
)

// asking is a mapping in which who has no page open is offline.
func asking(users ...string) *presence.Mapping {
	m := mappingOf(append(statuses(), presence.StatusType{ID: "gone", Name: "Gone", Base: presence.Offline}), users...)
	for i := range m.Users {
		m.Users[i].Rules.Phones = &presence.Phones{
			Offline:     presence.PhoneRule{Show: "gone", Over: []presence.Base{presence.Connected}},
			OfflineWhen: presence.WhenSignedOut,
		}
	}
	return m
}

// inOffice runs a test with users who are available, once everybody has had the time to
// come back after the start.
func inOffice(t *testing.T, users []string, test func(t *testing.T, w *world)) {
	t.Helper()
	inWorld(t, nil, func(t *testing.T, w *world) {
		w.reload(asking(users...))
		w.press("1001", available)
		w.press("1003", available)
		test(t, w)
	})
}

var alice1001 = []string{"alice 1001", "bob 1003"}

func TestWhoHasNoPageOpenIsOffline(t *testing.T) {
	inOffice(t, alice1001, func(t *testing.T, w *world) {
		release := w.b.SignedIn("alice")
		pass(returnWait)
		w.want("alice", "available")
		w.want("bob", "gone")
		second := w.b.SignedIn("alice")
		release()
		release() // twice is once
		pass(time.Hour)
		w.want("alice", "available")
		second()
		left := time.Now()
		pass(leaveWait - 10*time.Millisecond)
		w.want("alice", "available")
		pass(20 * time.Millisecond)
		w.want("alice", "gone")
		if s := w.user("alice").Status; s.Since.Sub(left).Abs() > time.Millisecond || s.By != "panel alice" || w.user("alice").Under == nil {
			t.Errorf("since %v, left %v, by %s", s.Since, left, s.By)
		}
		defer w.b.SignedIn("alice")()
		synctest.Wait()
		w.want("alice", "available")
		if n := w.main.taken(); len(n) > 0 {
			t.Errorf("phones were told %q", n)
		}
	})
}

func TestAPageThatIsLoadedAnewIsNoAbsence(t *testing.T) {
	inOffice(t, alice1001, func(t *testing.T, w *world) {
		release := w.b.SignedIn("alice")
		pass(returnWait)
		lines := len(w.rules("alice"))
		for range 50 {
			release()
			pass(leaveWait - time.Second)
			release = w.b.SignedIn("alice")
			pass(time.Second)
		}
		defer release()
		if w.want("alice", "available"); len(w.rules("alice")) != lines {
			t.Errorf("history %q", w.rules("alice"))
		}
	})
}

// Those who leave one after the other go soon after their time, and none is forgotten.
func TestEverybodyWhoLeavesIsLetGo(t *testing.T) {
	users := []string{"alice 1001", "bob 1003", "carol 1005", "dave 1006"}
	inOffice(t, users, func(t *testing.T, w *world) {
		ids := []presence.UserID{"alice", "bob", "carol", "dave"}
		var releases []func()
		for _, id := range ids {
			releases = append(releases, w.b.SignedIn(id))
		}
		pass(returnWait)
		for _, release := range releases {
			release()
			pass(10 * time.Second)
		}
		for _, id := range ids {
			pass(leaveTogether)
			w.want(id, "gone")
			pass(10*time.Second - leaveTogether)
		}
		if len(w.b.pages.leaving) > 0 || len(w.b.pages.open) > 0 || !w.b.pages.due(presence.Time{}).IsZero() {
			t.Errorf("left are %+v", w.b.pages)
		}
	})
}

func TestARestartMakesNobodyOffline(t *testing.T) {
	for _, how := range []string{"stop", "crash"} {
		inOffice(t, alice1001, func(t *testing.T, w *world) {
			release := w.b.SignedIn("alice")
			pass(returnWait)
			if how == "stop" {
				w.restart()
			} else {
				w.crash(w.store.copied())
			}
			release() // of the bridge before
			lines := len(w.rules("alice")) + len(w.rules("bob"))
			w.want("alice", "available")
			w.want("bob", "gone") // still
			pass(returnWait - time.Second)
			release = w.b.SignedIn("alice")
			pass(time.Hour)
			w.want("alice", "available")
			w.want("bob", "gone")
			if got := len(w.rules("alice")) + len(w.rules("bob")); got != lines {
				t.Errorf("%s: %d lines of history became %d", how, lines, got)
			}
			w.restart()
			release()
			pass(returnWait - time.Second)
			w.want("alice", "available")
			pass(time.Second)
			w.want("alice", "gone") // who does not come back is
		})
	}
}

func TestAMappingThatAsksForPagesFindsThem(t *testing.T) {
	inOffice(t, alice1001, func(t *testing.T, w *world) {
		defer w.b.SignedIn("alice")()
		defer w.b.SignedIn("nobody")()
		pass(returnWait)
		w.reload(mappingOf(statuses(), alice1001...))
		pass(time.Second)
		w.want("bob", "available")
		release := w.b.SignedIn("carol")
		w.reload(asking("alice 1001", "bob 1003", "carol 1005"))
		w.press("1005", available)
		pass(time.Second)
		w.want("alice", "available")
		w.want("bob", "gone")
		w.want("carol", "available")
		release()
		pass(leaveWait)
		w.want("carol", "gone")
		e, err := w.b.Explain(t.Context(), "bob")
		if err != nil || e.Absent == nil || !e.Absent.Shows || e.Absent.Rule != presence.AbsentShows {
			t.Errorf("explain %+v, %v", e.Absent, err)
		}
	})
}

// What nobody asks for costs nothing: no commit, no change.
func TestPagesDoNotMatterToAMappingThatDoesNotAsk(t *testing.T) {
	inWorld(t, oneUser, func(t *testing.T, w *world) {
		w.press("1001", away)
		pass(returnWait)
		w.store.set(func() {
			w.store.before = func(_ int, b *store.Batch) {
				if len(b.Users) > 0 {
					t.Errorf("%d users were saved", len(b.Users))
				}
			}
		})
		for range 3 {
			w.b.SignedIn("alice")()
			pass(time.Hour)
		}
		w.want("alice", "away")
	})
}
