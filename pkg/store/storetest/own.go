package storetest

import (
	"cmp"
	"slices"
	"testing"

	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
)

// own are settings of which n tells which are set: all, one or the other.
func own(id, number string, n int) store.Settings {
	s := store.Settings{User: presence.UserID(id)}
	if on := n%2 == 0; n%3 < 2 {
		s.Own.Sync = &on
	}
	if n%3 > 0 && number != "" {
		s.Own.Default = presence.ExtensionID{PBX: "main", Number: number}
	}
	if s.Own == (presence.Own{}) {
		s.Own.Default = presence.ExtensionID{PBX: "branch", Number: "1"}
	}
	return s
}

// ownSettings are kept, replaced and forgotten, each in the transaction of its batch.
func ownSettings(t *testing.T, o Opener) {
	s := open(t, o)
	var b store.Batch
	for i, text := range nasty {
		b.Own = append(b.Own, own("user"+text+"'; DROP TABLE own_settings; --", text, i))
	}
	b.Own = append(b.Own, own("ALICE", "1001", 1), own("alice", "1001", 2))
	slices.SortFunc(b.Own, func(x, y store.Settings) int { return cmp.Compare(x.User, y.User) })
	save(t, s, &b)
	save(t, s, &b) // again, as after an unknown outcome
	same(t, "settings", load(t, s).Own, b.Own)

	off := false
	b.Own[1].Own = presence.Own{Sync: &off}
	gone := store.Settings{User: b.Own[2].User}
	save(t, s, &store.Batch{Own: []store.Settings{b.Own[1], gone, {User: "nobody"}}})
	b.Own = slices.Delete(b.Own, 2, 3)
	closeStore(t, s, true)
	same(t, "settings after a change", load(t, open(t, o)).Own, b.Own)
}
