package presence

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestFromPresenceToType(t *testing.T) {
	types := NewTypes(slices.Concat(allTypes, []StatusType{{ID: "second", Asterisk: &Image{State: DND}}}), nil)
	for _, tc := range []struct {
		name  string
		p     Presence
		own   TypeID
		users TypeID
		want  TypeID
	}{
		{"exact", meeting, "", "", "meeting"},
		{"the state alone", Presence{State: XA, Subtype: "other"}, "", "", "xa"},
		{"nothing", chat, "", "", ""},
		{"the first of two types on one presence", dnd, "", "", "dnd"},
		{"the extension's own type stays", away, "lunch", "dnd", "lunch"},
		{"else the user's", away, "dnd", "lunch", "lunch"},
		{"the extension's own before the user's", away, "away", "lunch", "away"},
		{"a type that is mapped to another presence does not stay", away, "meeting", "dnd", "away"},
		{"nor one with another subtype", Presence{State: XA, Subtype: "other"}, "meeting", "", "xa"},
		{"nor one that the state alone would give", Presence{State: Away, Subtype: "x"}, "lunch", "lunch", "away"},
		{"an unmapped type has no presence", away, "training", "training", "away"},
		{"the message does not matter", Presence{XA, "meeting", "x"}, "", "", "meeting"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, ok := types.typeOf(tc.p, tc.own, tc.users)
			if got != tc.want || ok != (tc.want != "") {
				t.Errorf("%v is %q (%v), want %q", tc.p, got, ok, tc.want)
			}
		})
	}
}

func TestRanks(t *testing.T) {
	types := NewTypes(allTypes, nil)
	for _, tc := range []struct {
		name     string
		priority []TypeID
		want     []TypeID
	}{
		{"without a priority Asterisk's own order of states", nil, []TypeID{"dnd", "meeting", "xa", "away", "lunch", "available", "offline", "training"}},
		{"what a priority leaves out comes after it", []TypeID{"available", "training"}, []TypeID{"available", "training", "dnd", "meeting", "xa", "away", "lunch", "offline"}},
		{"a type named twice counts where it stands first", []TypeID{"lunch", "dnd", "lunch"}, []TypeID{"lunch", "dnd", "meeting", "xa", "away", "available", "offline", "training"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := NewRanks(types, tc.priority)
			for rank, id := range tc.want {
				if r.of(id) != rank {
					t.Errorf("%s has rank %d, want %d", id, r.of(id), rank)
				}
			}
			if r.of("gone") != len(tc.want) {
				t.Errorf("an unknown type has rank %d", r.of("gone"))
			}
		})
	}
}

func TestLookup(t *testing.T) {
	types := NewTypes(allTypes[:2], []StatusType{{ID: "old", Name: "Old"}, {ID: "away", Name: "stale"}})
	for _, tc := range []struct {
		id          TypeID
		name        string
		removed, ok bool
	}{
		{"available", "Available", false, true},
		{"away", "Away", false, true}, // came back: the mapping's own wins
		{"old", "Old", true, true},
		{"never", "", false, false}, // nil
	} {
		s, removed, ok := types.Lookup(tc.id)
		if (s != nil) != ok || ok && s.Name != tc.name || removed != tc.removed || ok != tc.ok {
			t.Errorf("%s: %+v removed=%v ok=%v", tc.id, s, removed, ok)
		}
	}
}

func TestCanonicalText(t *testing.T) {
	a := func(n int) string { return strings.Repeat("a", n) }
	for _, tc := range []struct {
		name, in, want string
		cut            bool
	}{
		{"empty", "", "", false},
		{"line breaks and quotes are kept", "a\r\n\"b\"\t'c'", "a\r\n\"b\"\t'c'", false},
		{"255 bytes stay", a(255), a(255), false},
		{"256 are cut", a(256), a(255), true},
		{"a whole rune at the limit stays", a(253) + "é", a(253) + "é", false},
		{"a rune over the limit goes", a(254) + "é", a(254), true},
		{"an emoji over the limit goes", a(253) + "😀", a(253), true},
		{"a rune that Asterisk split goes", a(254) + "\xc3", a(254), true},
		{"so does most of an emoji", a(252) + "\xf0\x9f\x98", a(252), true},
		{"invalid UTF-8 becomes U+FFFD", "a\xffb", "a\ufffdb", false},
		{"a split rune that is not at the limit is invalid", "a\xc3", "a\ufffd", false},
		{"replacements may need a cut", a(252) + "\xffb", a(252) + "\ufffd", true},
		{"not a rune start at the limit", a(254) + "\x80", a(254), true},
		{"many of them", a(250) + "\x80\x80\x80\x80\x80", a(250) + "\ufffd", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, cut := Cut(tc.in)
			if got != tc.want || cut != tc.cut {
				t.Errorf("%q cut=%v, want %q cut=%v", got, cut, tc.want, tc.cut)
			}
			p := Presence{Away, tc.in, tc.in}.Canonical()
			if p != (Presence{Away, got, got}) || p.Canonical() != p {
				t.Errorf("canonical form %+v", p)
			}
		})
	}
}

func FuzzCut(f *testing.F) {
	f.Add("a\xff" + strings.Repeat("é", 200))
	f.Fuzz(func(t *testing.T, s string) {
		got, _ := Cut(s)
		if again, cut := Cut(got); !utf8.ValidString(got) || len(got) > MaxText || again != got || cut {
			t.Errorf("%q became %q, then %q", s, got, again)
		}
		if event, _ := Cut(s[:min(len(s), MaxText)]); event != got && len(s) > MaxText {
			t.Errorf("Asterisk's cut gives %q, ours %q", event, got)
		}
	})
}

func TestWhatThePanelSetsIsPlain(t *testing.T) {
	got, cut := Plain("a\r\nb\x00c\x7fd\u0085e\xff" + strings.Repeat("x", 300))
	if want := "a  b c d e\ufffd"; !strings.HasPrefix(got, want) || !cut || len(got) != MaxText {
		t.Errorf("%q cut=%v", got, cut)
	}
	if got, cut := Plain("Zurück um 2 😀"); got != "Zurück um 2 😀" || cut {
		t.Errorf("%q cut=%v", got, cut)
	}
}

func TestStates(t *testing.T) {
	for i, name := range StateNames() {
		s, ok := ParseState(strings.ToUpper(name))
		if !ok || s != State(i) || s.String() != name {
			t.Errorf("%s is %v", name, s)
		}
		data, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var back State
		if err := json.Unmarshal(data, &back); err != nil || back != s {
			t.Errorf("%s came back as %v: %v", data, back, err)
		}
	}
	if s, ok := ParseState(" away"); ok {
		t.Errorf("a blank was trimmed: %v", s)
	}
	var s State
	if err := s.UnmarshalText([]byte("busy")); err == nil || !strings.Contains(err.Error(), "not_set") {
		t.Errorf("error %v does not name the states", err)
	}
	if got := State(99).String(); got != "state(99)" {
		t.Errorf("%q", got)
	}
	if n := len(Bases()); n != 5 {
		t.Errorf("%d bases", n)
	}
}

func TestCloneIsDeep(t *testing.T) {
	g := newRig(t)
	g.event(desk, available)
	g.event(desk, dnd)
	g.chooseUntil("lunch", t0.Add(time.Hour))
	g.save()
	g.v.Hold = &Hold{Type: "training"}
	c := g.v.Clone()
	if !reflect.DeepEqual(c, g.v) {
		t.Fatalf("the copy differs: %+v", c)
	}
	want, _ := json.Marshal(c)
	g.v.Hold.Type = "x"
	for i := range g.v.Extensions {
		x := &g.v.Extensions[i]
		x.Wish.Presence.Message, x.Asked[0].Presence.Message = "x", "x"
		for j := range x.Recent {
			x.Recent[j].Until = t0
		}
	}
	g.r = sample(incoming(Priority))
	for _, in := range []Input{{Kind: Reloaded}, {Kind: Tick}, {Kind: Down, PBX: "main"}, {Kind: Event, Extension: remote, Presence: meeting}} {
		g.do(in)
	}
	g.wait(2 * time.Hour)
	if got, _ := json.Marshal(c); string(got) != string(want) {
		t.Errorf("the copy changed with the original:\n%s\n%s", got, want)
	}
}

// A view that went through JSON decides as the one that did not. (That fields
// without JSON do not matter at a restart is checked by the simulation, I4.)
func TestAViewKeepsEveryDecisionThroughJSON(t *testing.T) {
	for seed := uint64(1); seed <= 100; seed++ {
		w := newWorld(seed)
		w.step(Input{Kind: Reloaded})
		for range 80 {
			w.pass()
			w.act()
		}
		data, err := json.Marshal(w.view)
		if err != nil {
			t.Fatal(err)
		}
		var back View
		if err := json.Unmarshal(data, &back); err != nil {
			t.Fatal(err)
		}
		again, err := json.Marshal(&back)
		if err != nil || string(again) != string(data) {
			t.Fatalf("seed %d: %v\n%s\n%s", seed, err, data, again)
		}
		e, f := w.view.Explain(w.rules, w.last), back.Explain(w.rules, w.last)
		if a, b := e.Status, f.Status; e.Rule != f.Rule || (a == nil) != (b == nil) || a != nil && !a.same(b) {
			t.Fatalf("seed %d: %q %+v became %q %+v", seed, e.Rule, a, f.Rule, b)
		}
		for i := range e.Extensions {
			if e.Extensions[i].Rule != f.Extensions[i].Rule && w.rules.StaleAfter == 0 {
				t.Fatalf("seed %d: %s: %q became %q", seed, e.Extensions[i].Extension, e.Extensions[i].Rule, f.Extensions[i].Rule)
			}
		}
	}
}

func TestNearestWord(t *testing.T) {
	known := []string{"default", "latest", "priority"}
	for word, want := range map[string]string{"lates": "latest", "Priority": "priority", "dfault": "default", "x": "", "something else": "", "": ""} {
		if got := Nearest(word, known); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
}

func TestAStatusFromTheStoreSharesTheTypeOfTheMapping(t *testing.T) {
	g := newRig(t)
	g.want("lunch")
	row := g.v.AppendJSON(nil)
	g.v = &View{}
	if err := json.Unmarshal(row, g.v); err != nil {
		t.Fatal(err)
	}
	version, at := g.v.Version, g.v.Status
	g.do(Input{Kind: Reloaded})
	if want, _, _ := g.r.Types.Lookup("lunch"); g.v.Status.Type != want {
		t.Error("the type is a copy of its own")
	}
	if g.v.Version != version || !g.v.Status.same(at) {
		t.Errorf("it counts as a change: version %d, status %+v", g.v.Version, g.v.Status)
	}
}
