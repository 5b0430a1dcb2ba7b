package bridge

import (
	"fmt"
	"slices"
	"testing"

	"github.com/presencebridge/presencebridge/pkg/presence"
)

func TestAListBeginsBehindAUserAndGoesOnThroughAReload(t *testing.T) {
	var all []string
	for i := range 2*listPage + 10 {
		all = append(all, fmt.Sprintf("u%d %d", i, 1000+i))
	}
	inWorld(t, all, func(t *testing.T, w *world) {
		ids := func(after presence.UserID, at func(n int)) (list []presence.UserID) {
			users, ok := w.b.Users(after)
			if !ok {
				t.Fatalf("%s is not known", after)
			}
			for u := range users {
				list = append(list, u.ID)
				at(len(list))
			}
			return list
		}
		nothing := func(int) {}
		want := ids("", nothing)
		if len(want) != len(all) || want[0] != "u0" || w.b.Count() != len(all) {
			t.Fatalf("%d users are listed and %d counted, of %d", len(want), w.b.Count(), len(all))
		}
		for _, i := range []int{0, listPage - 1, listPage, len(all) - 1} {
			if got := ids(want[i], nothing); !slices.Equal(got, want[i+1:]) {
				t.Errorf("behind %s %d users are listed, want %d", want[i], len(got), len(all)-i-1)
			}
		}
		if _, ok := w.b.Users("nobody"); ok {
			t.Error("a list begins behind nobody")
		}

		// The first goes to the end, the last leaves, somebody comes.
		after := slices.Concat(all[1:len(all)-1], all[:1], []string{"new 9999"})
		got := ids("", func(n int) {
			if n == listPage {
				w.reload(mappingOf(statuses(), after...))
			}
		})
		if !slices.Equal(got, want[:len(all)-1]) {
			t.Errorf("%d users are listed through a reload, want %d: everybody who stays, once", len(got), len(all)-1)
		}
		if got := ids("u1", nothing); got[0] != "u2" || got[len(got)-1] != "new" || got[len(got)-2] != "u0" {
			t.Errorf("the list does not follow the new order: %v ...", got[:3])
		}
		if _, ok := w.b.Users(want[len(all)-1]); ok {
			t.Error("a list begins behind who has left")
		}
	})
}
