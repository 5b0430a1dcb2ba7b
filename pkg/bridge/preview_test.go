package bridge

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/presencebridge/presencebridge/pkg/presence"
)

// Catches: a preview that decides otherwise than the reload (Tick in place of Reloaded),
// or that steps the users themselves (no Clone).
func TestAPreviewIsWhatTheReloadThenDoes(t *testing.T) {
	users := []string{"alice 1001 1002", "bob 1003 1004", "carol 1005", "dave 1006"}
	with := func(change func(*presence.Policy)) func() *presence.Mapping {
		return func() *presence.Mapping {
			m := mappingOf(statuses(), users...)
			for _, u := range m.Users {
				change(u.Rules.Policy)
			}
			return m
		}
	}
	for _, tc := range []struct {
		name    string
		mapping func() *presence.Mapping
		want    []string
	}{
		{"the same", with(func(*presence.Policy) {}), nil},
		{"priority", with(func(p *presence.Policy) { p.Incoming = presence.Priority }),
			[]string{"alice: available -> dnd, its status ranks highest", "bob: lunch -> away, its status ranks highest"}},
		{"default", with(func(p *presence.Policy) { p.Incoming = presence.Default }),
			[]string{"alice: available -> dnd, it is the default extension", "bob: lunch -> away, it is the default extension"}},
		{"another name", func() *presence.Mapping {
			list := statuses()
			list[0].Name = "Here"
			return mappingOf(list, users...)
		}, nil},
		{"a status that is gone", func() *presence.Mapping { return mappingOf(statuses("lunch"), users...) },
			[]string{"bob: lunch -> lunch (Lunch, removed), it spoke most recently"}},
		{"what nobody knew means something now", func() *presence.Mapping {
			list := statuses()
			list[5].Asterisk = &presence.Image{State: presence.Chat}
			return mappingOf(list, users...)
		}, nil},
		{"a new user and one who leaves", func() *presence.Mapping { return mappingOf(statuses(), "zoe 1009", "bob 1003 1004") }, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inWorld(t, users, func(t *testing.T, w *world) {
				w.press("1001", dnd)
				w.press("1002", available)
				w.press("1003", away)
				w.press("1004", lunch)
				w.choose("carol", "training")
				pass(time.Second)
				before, saves, writes := w.everybody(), w.store.count(), len(w.main.taken())
				p, err := w.b.Preview(t.Context(), tc.mapping(), 10)
				if err != nil {
					t.Fatal(err)
				}
				pass(time.Second)
				if fmt.Sprint(versions(w.everybody())) != fmt.Sprint(versions(before)) || w.store.count() != saves || len(w.main.taken()) != 0 {
					t.Errorf("the preview changed something: %d writes before", writes)
				}
				var got []string
				for _, c := range p.Items {
					line := fmt.Sprintf("%s: %s -> %s", c.User, c.Before.Type, c.After.Type)
					if c.After.Removed {
						line += " (" + c.After.Name + ", removed)"
					}
					got = append(got, line+", "+string(c.Why))
				}
				if !slices.Equal(got, tc.want) || p.Total != len(tc.want) {
					t.Errorf("preview %q of %d, want %q", got, p.Total, tc.want)
				}
				w.reload(tc.mapping())
				for _, was := range before {
					u, err := w.b.User(was.ID)
					if err != nil {
						continue // who left
					}
					i := slices.IndexFunc(p.Items, func(c PreviewChange) bool { return c.User == u.ID })
					switch {
					case i < 0 && typeOf(u) != typeOf(was):
						t.Errorf("%s became %s, which the preview does not tell", u.ID, typeOf(u))
					case i >= 0 && (typeOf(u) != p.Items[i].After.Type || u.Status.Removed != p.Items[i].After.Removed):
						t.Errorf("%s became %+v, and the preview says %+v", u.ID, u.Status, p.Items[i].After)
					}
				}
			})
		})
	}
}

// Catches: a preview by the rules of the mapping alone.
func TestAPreviewHeedsWhatUsersHaveSetForThemselves(t *testing.T) {
	users := []string{"alice 1001 1002", "bob 1003 1004"}
	inWorld(t, users, func(t *testing.T, w *world) {
		for _, first := range []string{"1001", "1003"} {
			w.press(first, away)
		}
		for _, second := range []string{"1002", "1004"} {
			w.press(second, dnd)
		}
		x := ext("1002")
		if _, err := w.b.Set(t.Context(), "alice", SettingsChange{SetDefault: true, Default: &x, By: "panel alice"}); err != nil {
			t.Fatal(err)
		}
		m := mappingOf(statuses(), users...)
		for _, u := range m.Users {
			u.Rules.Incoming = presence.Default
		}
		p, err := w.b.Preview(t.Context(), m, 10)
		if err != nil || p.Total != 1 || p.Items[0].User != "bob" || p.Items[0].After.Type != "away" {
			t.Errorf("%v %+v", err, p)
		}
		w.reload(m)
		w.want("alice", "dnd")
		w.want("bob", "away")
	})
}

func versions(users []User) (all []uint64) {
	for _, u := range users {
		all = append(all, u.Version)
	}
	return all
}

func TestAPreviewOfManyListsTheFirstAndCountsAll(t *testing.T) {
	var users []string
	for i := range 2*previewChunk + 1 {
		users = append(users, fmt.Sprintf("user%d %d", i, 1000+i))
	}
	inWorld(t, users, func(t *testing.T, w *world) {
		for i := range users {
			w.main.press(fmt.Sprint(1000+i), lunch)
		}
		pass(time.Second)
		p, err := w.b.Preview(t.Context(), mappingOf(statuses("lunch"), users...), 3)
		if err != nil || p.Users != len(users) || p.Total != len(users) || len(p.Items) != 3 || p.Items[2].User != "user2" {
			t.Errorf("%v: %d users, %d of them, listed %+v", err, p.Users, p.Total, p.Items)
		}
		if err := w.stop(); err != nil {
			t.Error(err)
		}
		if _, err := w.b.Preview(t.Context(), mappingOf(statuses(), users...), 3); err == nil {
			t.Error("a bridge that has stopped previews")
		}
	})
}

// Catches: a preview in which nobody is out.
func TestAPreviewKnowsWhoHasNoPageOpen(t *testing.T) {
	inWorld(t, alice1001, func(t *testing.T, w *world) {
		w.press("1001", available)
		w.press("1003", available)
		pass(returnWait)
		defer w.b.SignedIn("alice")()
		synctest.Wait()
		p, err := w.b.Preview(t.Context(), asking(alice1001...), 10)
		if err != nil || p.Total != 1 || p.Items[0].User != "bob" || p.Items[0].After.Type != "gone" || p.Items[0].Why != presence.AbsentShows {
			t.Errorf("preview %+v, %v", p, err)
		}
	})
}
