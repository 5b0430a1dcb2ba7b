package bridge

import (
	"errors"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
)

// setDefault chooses the default extension; "": as the mapping says.
func (w *world) setDefault(user presence.UserID, number string) Settings {
	w.t.Helper()
	c := SettingsChange{SetDefault: true, By: "panel alice"}
	if number != "" {
		id := ext(number)
		c.Default = &id
	}
	return w.set(user, c)
}

// setSync switches the synchronisation; nil: as the mapping says.
func (w *world) setSync(user presence.UserID, on *bool) Settings {
	w.t.Helper()
	return w.set(user, SettingsChange{SetSync: true, Sync: on, By: "panel alice"})
}

func (w *world) set(user presence.UserID, c SettingsChange) Settings {
	w.t.Helper()
	s, err := w.b.Set(w.t.Context(), user, c)
	if err != nil {
		w.t.Errorf("set %+v: %v", c, err)
	}
	synctest.Wait()
	return s
}

func (w *world) settings(user presence.UserID) Settings {
	w.t.Helper()
	s, err := w.b.Settings(w.t.Context(), user)
	if err != nil {
		w.t.Error(err)
	}
	return s
}

// byDefaultOf is a mapping in which the default extension decides and is written.
func byDefaultOf(users ...string) *presence.Mapping {
	m := mappingOf(statuses(), users...)
	for i := range m.Users {
		m.Users[i].Rules.Incoming, m.Users[i].Rules.Outgoing = presence.Default, presence.ToDefault
	}
	return m
}

// defaultOf is the number of the extension that a page shows as the default one.
func (w *world) defaultOf(user presence.UserID) (number string) {
	for _, x := range w.user(user).Extensions {
		if x.Default {
			number = x.Extension
		}
	}
	return number
}

func (w *world) rules(user presence.UserID) (rules []string) {
	lines, err := w.b.History(w.t.Context(), store.Query{User: user})
	if err != nil {
		w.t.Error(err)
	}
	for _, e := range slices.Backward(lines) {
		rules = append(rules, string(e.Type)+" by "+e.By+": "+string(e.Rule))
	}
	return rules
}

func TestAnOwnDefaultExtensionHoldsAtOnceAndStays(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		users := []string{"alice 1001 1002", "bob 1003"}
		w.reload(byDefaultOf(users...))
		w.press("1001", away)
		w.press("1002", dnd)
		w.want("alice", "away")
		before := w.user("alice").Version
		s := w.setDefault("alice", "1002")
		if want := ext("1002"); s.Default == nil || *s.Default != want || *s.Mapping.Default != ext("1001") || s.DefaultIgnored {
			t.Errorf("settings %+v", s)
		}
		w.want("alice", "dnd")
		if got := w.user("alice"); got.Version <= before || !got.Saved {
			t.Errorf("version %d after %d, saved %v", got.Version, before, got.Saved)
		}
		rules := w.rules("alice")
		want := []string{"dnd by panel alice: " + string(presence.WonDefault), "dnd by panel alice: " + string(presence.OwnDefault)}
		if len(rules) < 2 || !slices.Equal(rules[len(rules)-2:], want) {
			t.Errorf("history %q", rules)
		}
		e, err := w.b.Explain(t.Context(), "alice")
		if err != nil || e.Own == nil || *e.Own.Default != ext("1002") || !e.Extensions[1].Won {
			t.Errorf("explain %+v, %v", e.Own, err)
		}
		if e, _ := w.b.Explain(t.Context(), "bob"); e.Own != nil {
			t.Errorf("bob's %+v", e.Own)
		}
		for name, again := range map[string]func(){
			"a reload":  func() { w.reload(byDefaultOf(users...)) },
			"a restart": w.restart,
			"a crash":   func() { w.crash(w.store.copied()) },
			"a mapping without alice in between": func() {
				w.reload(byDefaultOf("bob 1003"))
				w.reload(byDefaultOf(users...))
			},
		} {
			again()
			w.press("1001", lunch)
			w.press("1002", dnd)
			if w.want("alice", "dnd"); w.defaultOf("alice") != "1002" {
				t.Errorf("after %s the default extension is %s", name, w.defaultOf("alice"))
			}
		}
		w.main.taken()
		w.choose("alice", "meeting")
		w.wantWrites("1002 xa/meeting")
		w.setDefault("alice", "")
		w.want("alice", "lunch")
		if len(w.store.own) != 0 || len(w.b.own) != 0 {
			t.Errorf("kept %v, %v", w.store.own, w.b.own)
		}
	})
}

func TestAnOwnDefaultExtensionThatIsLostIsIgnoredAndKept(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		w.reload(byDefaultOf("alice 1001 1002"))
		w.setDefault("alice", "1002")
		w.reload(byDefaultOf("alice 1001 1004", "bob 1002"))
		if w.defaultOf("alice") != "1001" || w.defaultOf("bob") != "1002" {
			t.Error("another's extension is alice's default one")
		}
		e, _ := w.b.Explain(t.Context(), "alice")
		if e.Own == nil || !e.Own.DefaultIgnored || !w.settings("alice").DefaultIgnored {
			t.Errorf("explain %+v", e.Own)
		}
		kept := w.settings("alice")
		off := false
		if s := w.set("alice", SettingsChange{SetDefault: true, Default: kept.Default, SetSync: true, Sync: &off}); !s.DefaultIgnored || *s.Sync {
			t.Errorf("sent back as it was: %+v", s)
		}
		w.setSync("alice", nil)
		w.reload(byDefaultOf("alice 1001 1002"))
		if w.defaultOf("alice") != "1002" {
			t.Error("the extension came back and is not the default one")
		}
	})
}

func TestAUserSwitchesTheirSynchronisation(t *testing.T) {
	on, off := true, false
	inWorld(t, oneUser, func(t *testing.T, w *world) {
		w.press("1001", away)
		w.main.lampsTold()
		if s := w.setSync("alice", &off); *s.Sync || !s.Mapping.Sync || s.Mapping.Off {
			t.Errorf("settings %+v", s)
		}
		w.wantLamps("1001 left")
		w.press("1001", dnd)
		w.want("alice", "away")
		w.restart()
		w.choose("alice", "meeting")
		w.want("alice", "meeting")
		w.wantWrites()
		w.setSync("alice", &on)
		w.main.taken()
		w.press("1001", lunch)
		w.want("alice", "lunch")

		m := mappingOf(statuses(), oneUser...)
		m.Users[0].Rules.Sync = false // the mapping leaves alice alone
		w.reload(m)
		w.press("1001", dnd)
		w.want("alice", "dnd")
		m = mappingOf(statuses(), oneUser...)
		m.Users[0].Rules.Sync, m.Users[0].Rules.Off = false, true // or everybody
		w.reload(m)
		w.press("1001", away)
		w.want("alice", "dnd")
		if s := w.settings("alice"); !s.Mapping.Off || !*s.Sync {
			t.Errorf("settings %+v", s)
		}
	})
}

// What is accepted is in the store; catches: an answer at the commit of the version
// before, which was under way.
func TestOwnSettingsAreAnsweredWhenTheyAreSaved(t *testing.T) {
	inWorld(t, []string{"alice 1001 1002"}, func(t *testing.T, w *world) {
		stall := make(chan struct{})
		w.store.set(func() { w.store.stall = stall })
		w.press("1001", away) // its commit hangs
		answered := make(chan error, 1)
		id := ext("1002")
		go func() {
			_, err := w.b.Set(t.Context(), "alice", SettingsChange{SetDefault: true, Default: &id, By: "cli"})
			answered <- err
		}()
		synctest.Wait()
		second := make(chan struct{})
		w.store.set(func() { w.store.stall = second })
		close(stall)
		synctest.Wait()
		select {
		case err := <-answered:
			t.Errorf("answered %v before it was saved", err)
		default:
		}
		if w.defaultOf("alice") != "1002" {
			t.Error("it does not hold at once")
		}
		w.store.set(func() { w.store.stall = nil })
		close(second)
		synctest.Wait()
		if err := <-answered; err != nil || w.store.own["alice"].Default != id {
			t.Errorf("answered %v with %v in the store", err, w.store.own)
		}
	})
}

func TestOwnSettingsSurviveACommitThatFails(t *testing.T) {
	inWorld(t, []string{"alice 1001 1002"}, func(t *testing.T, w *world) {
		n := w.store.count()
		w.store.set(func() {
			w.store.before = func(int, *store.Batch) {
				if w.store.fail = errDisk; w.store.saves > n+2 {
					w.store.fail = nil
				}
			}
		})
		w.setDefault("alice", "1002")
		if w.store.own["alice"].Default != ext("1002") {
			t.Errorf("the store has %v", w.store.own)
		}
		w.store.set(func() { w.store.before, w.store.fail = nil, errDisk })
		w.press("1001", away)
		off := false
		if _, err := w.b.Set(t.Context(), "alice", SettingsChange{SetSync: true, Sync: &off}); !errors.Is(err, ErrUnsaved) || w.settings("alice").Sync != nil {
			t.Errorf("while the store fails: %v, %+v", err, w.settings("alice"))
		}
		w.store.set(func() { w.store.fail = nil })
		pass(5 * time.Second)
		w.setSync("alice", &off)
	})
}

func TestOwnSettingsThatCannotBeAreRefused(t *testing.T) {
	inWorld(t, []string{"alice 1001 1002", "bob 1003", "carol"}, func(t *testing.T, w *world) {
		version := w.user("alice").Version
		for _, tc := range []struct{ user, number, want string }{
			{"alice", "1003", "bad input: main/1003 is no extension of alice, whose are main/1001, main/1002"},
			{"carol", "1003", "bad input: main/1003 is no extension of carol, who has none"},
			{"alcie", "1001", `no such user "alcie", did you mean "alice"?`},
		} {
			id := ext(tc.number)
			_, err := w.b.Set(t.Context(), presence.UserID(tc.user), SettingsChange{SetDefault: true, Default: &id})
			if err == nil || err.Error() != tc.want {
				t.Errorf("%s: %v", tc.user, err)
			}
		}
		var near *NearError
		if _, err := w.b.Settings(t.Context(), "alcie"); !errors.As(err, &near) || near.Near != "alice" {
			t.Errorf("settings of nobody: %v", err)
		}
		if s := w.settings("carol"); s.Mapping.Default != nil || !s.Mapping.Sync {
			t.Errorf("settings %+v", s)
		}
		if w.user("alice").Version != version || len(w.store.own) != 0 {
			t.Error("something was changed")
		}
		s := w.settings("alice")
		w.set("alice", SettingsChange{By: "cli"})
		if !reflect.DeepEqual(w.settings("alice"), s) || len(w.rules("alice")) > 0 {
			t.Errorf("a change of nothing: %+v, %q", w.settings("alice"), w.rules("alice"))
		}
	})
}
