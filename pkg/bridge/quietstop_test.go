package bridge

import (
	"slices"
	"testing"

	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
)

// With 100,000 users a row for each would take longer than a stop may.
func TestStopSavesOnlyUsersWithWritesUnderWay(t *testing.T) {
	inWorld(t, []string{"alice 1001", "bob 1002"}, func(t *testing.T, w *world) {
		w.press("1001", away)
		w.main.do(func() { w.main.loseWrites = true })
		w.choose("bob", "dnd")
		var late []presence.UserID
		w.store.set(func() {
			w.store.before = func(_ int, b *store.Batch) {
				for _, u := range b.Users {
					late = append(late, u.ID)
				}
			}
		})
		if err := w.stop(); err != nil {
			t.Error(err)
		}
		if want := []presence.UserID{"bob"}; !slices.Equal(late, want) {
			t.Errorf("saved %q on the way out, want %q", late, want)
		}
		w.store = w.store.copied()
		w.main.do(func() { w.main.loseWrites = false })
		w.start()
		w.want("alice", "away")
		pass(0)
		w.want("bob", "dnd")
		w.wantWrites("1002 dnd", "1002 dnd") // the first was lost
	})
}
