package config

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/presencebridge/presencebridge/pkg/presence"
)

// proposalOf is r as a proposal.
func proposalOf(t testing.TB, r *Rules) string {
	t.Helper()
	statuses := make([]map[string]any, len(r.Statuses))
	for i, s := range r.Statuses {
		one := map[string]any{"id": s.ID, "name": s.Name, "base": s.Base, "color": s.Color, "labels": s.Labels, "queue_pause": s.QueuePause, "system": s.System}
		if s.Asterisk != nil {
			one["asterisk"] = map[string]any{"state": s.Asterisk.State.String(), "subtype": s.Asterisk.Subtype}
		}
		if s.Lasts > 0 {
			one["lasts"] = s.Lasts.String()
		}
		if s.Tagged != nil {
			one["tags"] = s.Tagged.Tags
		}
		statuses[i] = one
	}
	repeats := "ignore"
	if r.Sync.CountRepeats {
		repeats = "count"
	}
	text, err := json.Marshal(map[string]any{"statuses": statuses, "sync": map[string]any{
		"enabled": r.Sync.Enabled, "incoming": r.Sync.Incoming, "outgoing": r.Sync.Outgoing, "repeats": repeats,
		"priority": r.Sync.Priority, "stale_after": r.Sync.StaleAfter.String(), "until_text": r.Sync.UntilText,
	}})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// changed is the proposal that a function makes of the rules of a text.
func changed(t testing.TB, text string, change func(*Rules)) string {
	t.Helper()
	r, faults := ReadRules("mapping.yaml", []byte(text))
	if len(faults.Errors()) > 0 {
		t.Fatal(faults)
	}
	change(&r)
	return proposalOf(t, &r)
}

func (r *Rules) of(id presence.TypeID) *presence.StatusType { return r.find(id) }

func remove(id presence.TypeID) func(*Rules) {
	return func(r *Rules) {
		r.Statuses = slices.DeleteFunc(r.Statuses, func(s presence.StatusType) bool { return s.ID == id })
		r.Sync.Priority = slices.DeleteFunc(r.Sync.Priority, func(p presence.TypeID) bool { return p == id })
	}
}

func add(ids ...presence.TypeID) func(*Rules) {
	return func(r *Rules) {
		for _, id := range ids {
			r.Statuses = append(r.Statuses, presence.StatusType{ID: id, Name: "New one", Base: presence.Busy, Color: "#123456",
				Asterisk: &presence.Image{State: presence.XA, Subtype: string(id)}, Tagged: &presence.Labels{Tags: []string{"a", "b"}}})
		}
	}
}

// arranged puts the statuses into this order.
func arranged(ids ...presence.TypeID) func(*Rules) {
	return func(r *Rules) {
		slices.SortStableFunc(r.Statuses, func(a, b presence.StatusType) int { return slices.Index(ids, a.ID) - slices.Index(ids, b.ID) })
	}
}

func priority(ids ...presence.TypeID) func(*Rules) {
	return func(r *Rules) { r.Sync.Priority = ids }
}

const flowFile = `# ours
sync: {incoming: latest, priority: [dnd, away]} # as agreed
statuses: # all
  # about the list
  - {id: available, base: connected, asterisk: available}   # green
  - { id: away, name: 'Away', base: absent, asterisk: {state: away}, lasts: 60m }

  # Absences
  - {id: dnd, name: "Do not disturb", base: busy, color: "#B71C1C", asterisk: dnd}
users: [{id: alice, extensions: [1001]}] # nobody else
`

const blockFile = `statuses:
# the first
- id: available
  base: connected
  asterisk: available
  # color: "#00ff00"
# the second
# and still
- # on the dash
  color: '#ff0000' # red
  id: away
  base: absent
  asterisk:
    # why
    state: away
    subtype: lunch # canteen
  tags:
  - break
  # later
  - late # ?

# heading

- id: dnd
  lasts: 1h
  base: busy
  name: >-
    Do not
    disturb
sync:
  # strongest first
  priority:
    - dnd # never
    # then
    - away
  repeats:
users: []`

func TestOnlyWhatChangesIsTouched(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		change     func(*Rules)
		old, new   []string // each old is replaced by its new, once, in this order; the rest has to stay
	}{
		{"nothing", flowFile, func(*Rules) {}, nil, nil},
		{"a setting of sync", flowFile, func(r *Rules) { r.Sync.Incoming = presence.Priority }, []string{"incoming: latest"}, []string{"incoming: priority"}},
		{"a new setting of sync in brackets", flowFile, func(r *Rules) { r.Sync.Enabled = false }, []string{"away]}"}, []string{"away], enabled: false}"}},
		{"the priority in brackets", flowFile, priority("away", "dnd"), []string{"[dnd, away]"}, []string{"[away, dnd]"}},
		{"a longer priority", flowFile, priority("dnd", "available", "away"), []string{"[dnd, away]"}, []string{"[dnd, available, away]"}},
		{"a priority first", flowFile, priority("available", "dnd", "away"), []string{"[dnd, away]"}, []string{"[available, dnd, away]"}},
		{"a shorter priority", flowFile, priority("away"), []string{"[dnd, away]"}, []string{"[away]"}},
		{"the other shorter priority", flowFile, priority("dnd"), []string{"[dnd, away]"}, []string{"[dnd]"}},
		{"another priority", flowFile, priority("available"), []string{"[dnd, away]"}, []string{"[available]"}},
		{"no priority", flowFile, priority(), []string{", priority: [dnd, away]"}, []string{""}},
		{"quotes stay what they are", flowFile, func(r *Rules) { r.of("away").Name, r.of("dnd").Name = "It's", `"Q"` },
			[]string{"'Away'", `"Do not disturb"`}, []string{"'It''s'", `"\"Q\""`}},
		{"equal is equal however it is written", flowFile, func(r *Rules) { r.of("dnd").Color = "#b71c1c"; r.of("away").Lasts *= 1 }, nil, nil},
		{"a name that was left out", flowFile, func(r *Rules) { r.of("available").Name = "Here: # now" }, []string{"available}   #"}, []string{`available, name: "Here: # now"}   #`}},
		{"a subtype in brackets", flowFile, func(r *Rules) { r.of("away").Asterisk = &presence.Image{State: presence.XA, Subtype: "a, b"} },
			[]string{"{state: away}"}, []string{`{state: xa, subtype: "a, b"}`}},
		{"a subtype where there was a word", flowFile, func(r *Rules) { r.of("dnd").Asterisk = &presence.Image{State: presence.XA, Subtype: "x"} },
			[]string{"asterisk: dnd}"}, []string{"asterisk: {state: xa, subtype: x}}"}},
		{"unmapped", flowFile, func(r *Rules) { r.of("away").Asterisk = nil }, []string{"asterisk: {state: away}, "}, []string{""}},
		{"no lasts", flowFile, func(r *Rules) { r.of("away").Lasts = 0 }, []string{", lasts: 60m"}, []string{""}},
		{"removed, with the comment above", flowFile, remove("dnd"), []string{"[dnd, away]", "  # Absences\n  - {id: dnd, name: \"Do not disturb\", base: busy, color: \"#B71C1C\", asterisk: dnd}\n"}, []string{"[away]", ""}},
		{"added", flowFile, add("zoë"), []string{"asterisk: dnd}\n"}, []string{"asterisk: dnd}\n  - {id: zoë, name: New one, base: busy, color: \"#123456\", asterisk: {state: xa, subtype: zoë}, tags: [a, b]}\n"}},
		{"moved down with its comment", flowFile, arranged("away", "dnd", "available"),
			[]string{"  - {id: available, base: connected, asterisk: available}   # green\n", "asterisk: dnd}\n"},
			[]string{"", "asterisk: dnd}\n  - {id: available, base: connected, asterisk: available}   # green\n"}},
		{"moved and changed", flowFile, func(r *Rules) {
			r.of("dnd").Base = presence.Absent
			arranged("dnd", "available", "away")(r)
		}, []string{"  # about the list\n", "  # Absences\n  - {id: dnd, name: \"Do not disturb\", base: busy, color: \"#B71C1C\", asterisk: dnd}\n"},
			[]string{"  # about the list\n  # Absences\n  - {id: dnd, name: \"Do not disturb\", base: absent, color: \"#B71C1C\", asterisk: dnd}\n", ""}},

		{"block: a setting", blockFile, func(r *Rules) { r.of("away").Color = "#00ff00" }, []string{"'#ff0000'"}, []string{"'#00ff00'"}},
		{"block: a presence keeps its comments", blockFile, func(r *Rules) { r.of("away").Asterisk = &presence.Image{State: presence.XA, Subtype: "o'clock"} },
			[]string{"state: away", "subtype: lunch"}, []string{"state: xa", `subtype: "o'clock"`}},
		{"block: a presence without subtype", blockFile, func(r *Rules) { r.of("away").Asterisk = &presence.Image{State: presence.Away} },
			[]string{"    subtype: lunch # canteen\n"}, []string{""}},
		{"block: unmapped", blockFile, func(r *Rules) { r.of("away").Asterisk = nil },
			[]string{"  asterisk:\n    # why\n    state: away\n    subtype: lunch # canteen\n"}, []string{""}},
		{"block: tags", blockFile, func(r *Rules) { r.of("away").Tagged = &presence.Labels{Tags: []string{"late", "x"}} },
			[]string{"  - break\n", "  - late # ?\n"}, []string{"", "  - late # ?\n  - x\n"}},
		{"block: no tags", blockFile, func(r *Rules) { r.of("away").Tagged = nil }, []string{"  tags:\n  - break\n  # later\n  - late # ?\n"}, []string{""}},
		{"block: first tags", blockFile, func(r *Rules) { r.of("dnd").Tagged = &presence.Labels{Tags: []string{"x"}} },
			[]string{"    disturb\n"}, []string{"    disturb\n  tags: [x]\n"}},
		{"block: first setting of an item", blockFile, func(r *Rules) { r.of("dnd").Lasts = 0; r.of("dnd").QueuePause = true },
			[]string{"  lasts: 1h\n", "    disturb\n"}, []string{"", "    disturb\n  queue_pause: true\n"}},
		{"block: folded name", blockFile, func(r *Rules) { r.of("dnd").Name = "DND" }, []string{"name: >-\n    Do not\n    disturb\n"}, []string{"name: DND\n"}},
		{"block: swapped, each with its comments", blockFile, arranged("away", "available", "dnd"),
			[]string{"- id: available\n  base: connected\n  asterisk: available\n  # color: \"#00ff00\"\n", "  - late # ?\n"},
			[]string{"", "  - late # ?\n- id: available\n  base: connected\n  asterisk: available\n  # color: \"#00ff00\"\n"}},
		{"block: added", blockFile, add("new"), []string{"    disturb\n"},
			[]string{"    disturb\n- id: new\n  name: New one\n  base: busy\n  color: \"#123456\"\n  asterisk: {state: xa, subtype: new}\n  tags: [a, b]\n"}},
		{"block: priority", blockFile, priority("away", "dnd"), []string{"    - dnd # never\n    # then\n    - away\n"}, []string{"    # then\n    - away\n    - dnd # never\n"}},
		{"block: nothing behind a colon", blockFile, func(r *Rules) { r.Sync.CountRepeats = true }, []string{"repeats:"}, []string{"repeats: count"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			want := tc.text
			for i, old := range tc.old {
				if !strings.Contains(want, old) {
					t.Fatalf("the file has no %q", old)
				}
				want = strings.Replace(want, old, tc.new[i], 1)
			}
			for _, form := range []struct {
				name   string
				rewrap func(string) string
			}{
				{"as it is", func(s string) string { return s }},
				{"with CRLF", func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }},
				{"with a byte order mark", func(s string) string { return "\uFEFF" + s }},
				{"without an end", func(s string) string { return strings.TrimSuffix(s, "\n") }},
			} {
				text := form.rewrap(tc.text)
				got, faults := EditRules("mapping.yaml", []byte(text), changed(t, text, tc.change))
				if len(faults) > 0 {
					t.Fatalf("%s: %v", form.name, faults)
				}
				if string(got.Text) != form.rewrap(want) {
					t.Errorf("%s: the file is now\n%s\nwant\n%s", form.name, got.Text, form.rewrap(want))
				}
			}
		})
	}
}

func TestTheSampleIsEditedInPlace(t *testing.T) {
	sample := read(t, "mapping.yaml")
	got, faults := EditRules("mapping.yaml", []byte(sample), changed(t, sample, func(r *Rules) {
		r.Sync.Incoming = presence.Priority
		remove("training")(r)
		r.of("lunch").Name = "Déjeuner à midi"
	}))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	want := strings.NewReplacer("incoming: latest", "incoming: priority", "name: Lunch", "name: Déjeuner à midi",
		"  - {id: training, name: In training, base: busy, color: \"#6a1b9a\"}\n", "").Replace(sample)
	if string(got.Text) != want {
		t.Errorf("the sample is now\n%s", got.Text)
	}
	c := got.Changes
	if c.Sync != "incoming latest -> priority" || len(c.Modified) != 1 || c.Modified[0].What != "name Lunch -> Déjeuner à midi" ||
		len(c.Deleted) != 1 || c.Deleted[0].ID != "training" || len(c.Created) != 0 || c.Reordered {
		t.Errorf("changes %+v", c)
	}
}

func TestAPriorityThatOnlyLosesWhatIsDeletedFollows(t *testing.T) {
	now, _ := ReadRules("mapping.yaml", []byte(flowFile))
	for _, tc := range []struct {
		name   string
		change func(*Rules)
		want   bool
	}{
		{"nothing", func(*Rules) {}, false},
		{"deleted", remove("dnd"), true},
		{"deleted, and another setting", func(r *Rules) { remove("dnd")(r); r.Sync.Enabled = false }, false},
		{"deleted, and all of the priority", func(r *Rules) { remove("dnd")(r); priority()(r) }, false},
		{"another order", priority("away", "dnd"), false},
	} {
		want := now
		want.Statuses, want.Sync.Priority = slices.Clone(now.Statuses), slices.Clone(now.Sync.Priority)
		tc.change(&want)
		if got := Compare(&now, &want); got.Follows != tc.want {
			t.Errorf("%s: %+v", tc.name, got)
		}
	}
}

func TestSyncIsWrittenWhereThereIsNone(t *testing.T) {
	rest := "statuses: [{id: a, base: busy}, {id: b, base: busy, asterisk: dnd}]\nusers: []\n"
	change := func(r *Rules) { r.Sync.Incoming, r.Sync.Priority = presence.Priority, []presence.TypeID{"b"} }
	for _, tc := range []struct{ name, before, after string }{
		{"at the beginning", rest, "sync:\n  incoming: priority\n  priority: [b]\n\n" + rest},
		{"below what the file begins with", "# ours\n" + rest, "# ours\nsync:\n  incoming: priority\n  priority: [b]\n\n" + rest},
		{"above a comment", "# ours\n\n# list\n" + rest, "# ours\n\nsync:\n  incoming: priority\n  priority: [b]\n\n# list\n" + rest},
		{"empty", "sync: # here\n" + rest, "sync: {incoming: priority, priority: [b]} # here\n" + rest},
		{"empty brackets", "sync: {}\n" + rest, "sync: {incoming: priority, priority: [b]}\n" + rest},
		{"all in brackets", `{"statuses": [{"id": "a", "base": "busy"}, {"id": "b", "base": "busy", "asterisk": "dnd"}], "users": []}`,
			`{"statuses": [{"id": "a", "base": "busy"}, {"id": "b", "base": "busy", "asterisk": "dnd"}], "users": [], sync: {incoming: priority, priority: [b]}}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, faults := EditRules("mapping.yaml", []byte(tc.before), changed(t, tc.before, change))
			if string(got.Text) != tc.after {
				t.Errorf("%v\n%s\nwant\n%s", faults, got.Text, tc.after)
			}
		})
	}
}

func TestAProposalWithFaultsIsRefusedWithEachField(t *testing.T) {
	const file = "statuses:\n  - {id: available, base: connected, asterisk: available, system: true}\n  - {id: away, base: absent}\nsync: {priority: [away]}\nusers: []\n"
	const available = `{"id": "available", "base": "connected", "asterisk": "available"}`
	for _, tc := range []struct{ name, proposal, want string }{
		{"no JSON", `{`, "the rules are not a JSON object"},
		{"no object", `[]`, "the rules are not a JSON object"},
		{"an unknown key", `{"statusses": []}`, "statusses: unknown key: did you mean statuses?"},
		{"a colour", `{"statuses": [` + available + `, {"id": "away", "base": "absent"}, {"id": "x", "base": "busy", "color": "red"}]}`, `statuses[2].color: "red" is not a colour`},
		{"several", `{"statuses": [` + available + `, {"id": "away", "base": "gone", "naem": "x"}], "sync": {"incoming": "newest"}}`,
			"statuses[1].naem: unknown key: did you mean name?\nstatuses[1].base: \"gone\" is not known here"},
		{"an id twice", `{"statuses": [` + available + `, {"id": "away", "base": "busy"}, {"id": "away", "base": "busy"}]}`, "statuses[2]: the status of another place has the same id"},
		{"no statuses at all", `{"statuses": []}`, "statuses: there is no status"},
		{"a priority of nobody", `{"sync": {"priority": ["away", "lunch"]}}`, `sync.priority[1]: "lunch" is no status of this mapping`},
		{"a status that the priority has", `{"statuses": [` + available + `]}`, `sync.priority[0]: "away" stands there in the file, and is no status any more`},
		{"a protected one that is missing", `{"statuses": [{"id": "away", "base": "absent"}]}`, "statuses: available is protected (system: true) and has to stay"},
		{"a protected one under another id", `{"statuses": [{"id": "here", "base": "connected"}, {"id": "away", "base": "absent"}]}`, "statuses: available is protected"},
		{"another base of a protected one", `{"statuses": [{"id": "available", "base": "busy"}]}`, "statuses[0].base: available is protected (system: true), and its base is connected"},
		{"protection taken away", `{"statuses": [{"id": "available", "base": "connected", "system": false}]}`, "statuses[0].system: is set in the file alone"},
		{"protection given", `{"statuses": [` + available + `, {"id": "away", "base": "absent", "system": true}]}`, "statuses[1].system: is set in the file alone"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, faults := EditRules("mapping.yaml", []byte(file), tc.proposal)
			text := strings.ReplaceAll("\n"+faults.Error(), "\n: ", "\n")
			if got.Text != nil || !strings.Contains(text, "\n"+tc.want) {
				t.Errorf("%s\nwant %s", text, tc.want)
			}
			for _, f := range faults { // what no page sends needs no name
				if f.Code == "" && f.What != "unknown key" && f.What != "the rules are not a JSON object" {
					t.Errorf("%s: no page can tell it in another language", f)
				}
			}
		})
	}
	// What protects nothing may be changed of a protected one.
	got, faults := EditRules("mapping.yaml", []byte(file), `{"statuses": [{"id": "away", "base": "busy"}, {"id": "available", "base": "connected", "name": "Here"}]}`)
	want := "statuses:\n  - {id: away, base: busy}\n  - {id: available, base: connected, system: true, name: Here}\nsync: {priority: [away]}\nusers: []\n"
	if string(got.Text) != want {
		t.Errorf("%v %s", faults, got.Text)
	}
}

func TestAFileThatCannotBeEditedIsRefused(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"faulty", "statuses: [{id: a, base: x}]\nusers: []\n", `mapping.yaml:1: statuses[0].base: "x" is not known here`},
		{"an anchor", "statuses: [&a {id: a, base: busy}]\nusers: []\n", "anchors (&name) and aliases (*name) are not used here"},
		{"no YAML", "statuses: [\n", "not valid YAML"},
		{"a comment where a setting goes", "statuses:\n  - {id: a, base: busy, lasts: 1h}\nsync: {priority: [a], # here\n }\nusers: []\n", "is written in a way that cannot be changed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, faults := EditRules("mapping.yaml", []byte(tc.text), `{"sync": {"priority": null}}`)
			if got.Text != nil || !strings.Contains(faults.Error(), tc.want) {
				t.Errorf("%v\n%s", faults, got.Text)
			}
		})
	}
}

// hostile are texts that mean something in YAML.
func hostile() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.SampledFrom([]string{"a: b", "# x", "a #b", "- x", "!!tag y", "&a", "*a", "'", `"`, `\`, "{", "[x", "]", ",", "null", "~", "yes", "0123", "1e3", "a  b", "%x", "@", "`", "|", ">", "? x",
			"é", "日本", "\u00a0", "\u2028", "👍🏽", ".", "<<", "= x", "a:", ":a", "-", "--- x", "...", "\uFEFF", "\u0085"}),
		rapid.StringMatching(`[ -~]{1,12}`),
		rapid.StringN(1, 8, 40),
	)
}

// drawn is what somebody makes of rules.
func drawn(rt *rapid.T, r *Rules) {
	for i := range r.Statuses {
		s := &r.Statuses[i]
		if !rapid.Bool().Draw(rt, "touch") {
			continue
		}
		s.Name = hostile().Draw(rt, "name")
		s.Color = rapid.SampledFrom([]string{"#112233", "#757575"}).Draw(rt, "color")
		s.QueuePause = rapid.Bool().Draw(rt, "pause")
		s.Asterisk, s.Tagged = nil, nil
		if rapid.Bool().Draw(rt, "mapped") {
			s.Asterisk = &presence.Image{State: presence.Away, Subtype: rapid.OneOf(rapid.Just(""), hostile()).Draw(rt, "subtype")}
		}
		if tags := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "#", "null", ",", "ü", "{"}), 0, 4, rapid.ID).Draw(rt, "tags"); len(tags) > 0 {
			s.Tagged = &presence.Labels{Tags: tags}
		}
	}
	for i := range rapid.IntRange(0, 2).Draw(rt, "fresh") {
		id := presence.TypeID(fmt.Sprint(rapid.SampledFrom([]string{"new", "#", "null", "1", "é", "-", "{"}).Draw(rt, "id"), i))
		r.Statuses = append(r.Statuses, presence.StatusType{ID: id, Name: hostile().Draw(rt, "name"), Base: presence.Busy, Color: "#757575"})
	}
	r.Statuses = rapid.Permutation(r.Statuses).Draw(rt, "order")
	r.Statuses = r.Statuses[:rapid.IntRange(1, len(r.Statuses)).Draw(rt, "stay")]
	var ids []presence.TypeID
	for _, s := range r.Statuses {
		ids = append(ids, s.ID)
	}
	ids = rapid.Permutation(ids).Draw(rt, "priority")
	r.Sync.Priority = ids[:rapid.IntRange(0, len(ids)).Draw(rt, "ranked")]
	r.Sync.Enabled, r.Sync.CountRepeats = rapid.Bool().Draw(rt, "enabled"), rapid.Bool().Draw(rt, "repeats")
	r.Sync.Incoming = rapid.SampledFrom([]presence.Method{presence.Default, presence.Latest, presence.Priority}).Draw(rt, "incoming")
}

// TestAnEditIsExactlyTheProposal: what is loaded afterwards is what was proposed, what
// stands beside it is untouched, and edited back the rules are those of the beginning.
func TestAnEditIsExactlyTheProposal(t *testing.T) {
	sample := read(t, "mapping.yaml")
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.SampledFrom([]string{flowFile, blockFile, strings.ReplaceAll(blockFile, "\n", "\r\n"), strings.Replace(sample, ", system: true", "", 1),
			"statuses: [\n  {id: a, base: busy},\n  {id: b, base: busy},\n]\nusers: []"}).Draw(rt, "file")
		before, _ := ReadRules("mapping.yaml", []byte(text))
		want := before
		want.Statuses = slices.Clone(before.Statuses)
		drawn(rt, &want)
		got, faults := EditRules("mapping.yaml", []byte(text), proposalOf(t, &want))
		if len(faults) > 0 {
			if faults[0].File != "" { // else the proposal was refused, as a name with a line break is
				rt.Fatalf("%v\n%s", faults, text)
			}
			return
		}
		after, faults := ReadRules("mapping.yaml", got.Text)
		if c := Compare(&want, &after); len(faults.Errors()) > 0 || !c.None() {
			rt.Fatalf("%v %+v in\n%s", faults, c, got.Text)
		}
		if i := strings.Index(text, "\nusers:"); !strings.Contains(string(got.Text), text[i:]) {
			rt.Fatalf("the users are not what they were in\n%s", got.Text)
		}
		back, faults := EditRules("mapping.yaml", got.Text, proposalOf(t, &before))
		if c := Compare(&before, &back.Rules); len(faults) > 0 || !c.None() {
			rt.Fatalf("not back: %v %+v in\n%s", faults, c, got.Text)
		}
	})
}

// FuzzAnEditTouchesNothingElse edits whatever loads. It may be refused, and never be
// anything but what was proposed.
func FuzzAnEditTouchesNothingElse(f *testing.F) {
	for _, text := range []string{flowFile, blockFile, "statuses: [{id: a, base: busy}]\nusers: []", "{users: [], statuses: [{base: busy, id: a}, ], sync: {priority: []}}",
		"? statuses\n: - ? id\n    : a\n    base: busy\nusers: []\n", "statuses:\n  -\n    id: a\n    base: busy # x\n   # y\n  # z\nusers: []\nsync: ~\n",
		"%YAML 1.1\n---\nstatuses: [{id: \"a\\\n b\", base: busy}]\nusers: []\n...\n", "statuses:\n- {id: a,\n   base: busy,\n   name: a\n     b}\nusers: []\nsync:\n  priority:\n  - a\n"} {
		f.Add(text, uint8(3))
	}
	f.Fuzz(func(t *testing.T, text string, how uint8) {
		want, faults := ReadRules("mapping.yaml", []byte(text))
		if len(faults.Errors()) > 0 {
			return
		}
		want.Statuses = slices.Clone(want.Statuses)
		first := &want.Statuses[0]
		for bit, change := range []func(){
			func() { first.Name = "x: #" },
			func() { first.Asterisk = &presence.Image{State: presence.DND, Subtype: "'"} },
			func() { first.Lasts = 90 * 60 * 1e9 },
			func() { first.Tagged = &presence.Labels{Tags: []string{"#", "b"}} },
			func() { slices.Reverse(want.Statuses) },
			func() {
				want.Statuses = append(want.Statuses, presence.StatusType{ID: "brand-new", Name: "ü", Base: presence.Busy, Color: "#000000"})
			},
			func() { want.Sync.Incoming, want.Sync.Enabled = presence.Default, !want.Sync.Enabled },
			func() {
				want.Sync.Priority = nil
				for _, s := range want.Statuses {
					want.Sync.Priority = append(want.Sync.Priority, s.ID)
				}
			},
		} {
			if how&(1<<bit) != 0 {
				change()
			}
		}
		got, faults := EditRules("mapping.yaml", []byte(text), proposalOf(t, &want))
		if len(faults) > 0 {
			return
		}
		after, faults := ReadRules("mapping.yaml", got.Text)
		if c := Compare(&want, &after); len(faults.Errors()) > 0 || !c.None() {
			t.Fatalf("%v %+v in\n%s", faults, c, got.Text)
		}
		if how == 0 && string(got.Text) != text {
			t.Fatalf("nothing was to be changed in\n%s\nand it is\n%s", text, got.Text)
		}
	})
}

func TestEverySettingIsCompared(t *testing.T) {
	keys := func(entries []entry) (all []string) {
		for _, e := range entries {
			all = append(all, e.key)
		}
		return all
	}
	if got := keys(typeEntries(&presence.StatusType{})); !slices.Equal(got, typeKeys()) {
		t.Errorf("of a status %v, and the file has %v", got, typeKeys())
	}
	if got := keys(new(SyncRules).entries()); !slices.Equal(got, syncKeys()) {
		t.Errorf("of sync %v, and the file has %v", got, syncKeys())
	}
}
