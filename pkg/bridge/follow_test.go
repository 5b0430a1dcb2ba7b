package bridge

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/presencebridge/presencebridge/pkg/presence"
)

func TestConnectorsAreToldWhichExtensionsMatter(t *testing.T) {
	inWorld(t, []string{"alice 1001 1002", "bob branch/2001 1003"}, func(t *testing.T, w *world) {
		w.reload(mappingOf(statuses(), "alice 1002", "carol 1004"))
		if got := fmt.Sprint(w.main.follows); got != "[[1001 1002 1003] [1002 1004]]" {
			t.Errorf("main was told %s", got)
		}
	})
}

// A snapshot that was taken before a mapping changed says nothing of who is new.
// Catches: a missing extension of a partial snapshot that is taken for not_set.
func TestAPartialSnapshotIsSilentAboutTheRest(t *testing.T) {
	inWorld(t, []string{"alice 1001"}, func(t *testing.T, w *world) {
		w.main.do(func() {
			w.main.partial = true
			w.main.values["1001"], w.main.values["1002"] = dnd, away
			w.main.snapshot(false)
		})
		synctest.Wait()
		w.want("alice", "dnd")
		w.reload(mappingOf(statuses(), "alice 1001", "bob 1002"))
		if x := w.user("bob").Extensions[0]; x.Presence != nil || x.Reachable {
			t.Errorf("1002 = %+v", x)
		}
		w.main.do(func() {
			w.main.follows = w.main.follows[1:]
			w.main.values["1001"] = presence.Presence{}
			w.main.snapshot(false)
		})
		synctest.Wait()
		w.want("bob", "away")
		if x := w.user("alice").Extensions[0]; x.Presence == nil || x.Presence.State != presence.NotSet {
			t.Errorf("1001 = %+v", x)
		}
	})
}
