package main

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/presencebridge/presencebridge/config"
	"github.com/presencebridge/presencebridge/pkg/api"
	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
	"github.com/presencebridge/presencebridge/pkg/store"
)

// commentedMapping is somebody's own.
const commentedMapping = `# the desk's mapping
sync:
  incoming: priority # as agreed in May
  outgoing: default
  # strongest first
  priority: [dnd, lunch, available]

statuses:
  - {id: available, name: Available, base: connected, asterisk: available, system: true}
  # the canteen opens at 12
  - id: lunch
    name: Lunch   # or dinner
    base: absent
    asterisk: {state: away, subtype: lunch}
  - {id: dnd, name: Do not disturb, base: busy, asterisk: dnd}
users:
  - {id: alice, extensions: ["1001", "1002"]} # she has two
  - {id: bob, extensions: ["1003"], priority: [lunch]}
`

const (
	rulesAt   = "/api/v1/mapping/rules"
	previewAt = "/api/v1/mapping/preview"
	undoAt    = "/api/v1/mapping/undo"
)

// file is what a file of the bridge has.
func (r *running) file(name string) string {
	r.t.Helper()
	text, err := os.ReadFile(filepath.Join(r.dir, name))
	if err != nil {
		r.t.Fatal(err)
	}
	return string(text)
}

// puts sends a change of the rules that has to be answered so, and returns the answer.
func (r *running) puts(want int, method, path, tag, body string) (newTag, text string) {
	r.t.Helper()
	header := http.Header{api.ByHeader: {"panel root"}}
	if tag != "" {
		header.Set("If-Match", tag)
	}
	code, newTag, text := r.ask(method, path, body, header)
	if code != want {
		r.t.Fatalf("%s %s: %d, want %d: %s", method, path, code, want, text)
	}
	return newTag, text
}

func TestAPageChangesThePriorityOfARunningBridge(t *testing.T) {
	pbxtest.Run(t, pbxtest.Options{}, func(t *testing.T, pbx pbxtest.PBX) {
		r, p := configure(t, commentedMapping, pbx), phone{t, pbxtest.Observe(t, pbx)}
		r.startReady()
		p.set("1001", "dnd", "", "")
		p.set("1002", "away", "lunch", "Back at 2")
		r.shows("alice", "dnd")
		tag, _ := r.puts(http.StatusOK, "GET", rulesAt, "", "")
		const proposal = `{"sync": {"priority": ["lunch", "dnd", "available"]}}`

		_, text := r.puts(http.StatusOK, "POST", previewAt, "", proposal)
		var preview api.RulePreview
		if err := json.Unmarshal([]byte(text), &preview); err != nil || preview.Total != 1 || preview.Users != 2 || len(preview.Items) != 1 {
			t.Fatalf("%v: %s", err, text)
		}
		if c := preview.Items[0]; c.User != "alice" || c.Before.Type != "dnd" || c.After.Type != "lunch" || c.After.Message != "Back at 2" || !preview.Changes.Sync {
			t.Errorf("preview %+v", preview)
		}
		if got := r.file("mapping.yaml"); got != commentedMapping || r.user("alice").Status.Type != "dnd" {
			t.Errorf("the preview changed something:\n%s", got)
		}

		next, _ := r.puts(http.StatusOK, "PUT", rulesAt, tag, proposal)
		if u := r.user("alice"); u.Status.Type != "lunch" || u.Last.By != "reload" {
			t.Errorf("after the answer alice is %+v, %+v", u.Status, u.Last)
		}
		want := strings.Replace(commentedMapping, "[dnd, lunch, available]", "[lunch, dnd, available]", 1)
		if got := r.file("mapping.yaml"); got != want {
			t.Errorf("the file is now\n%s", got)
		}
		r.puts(http.StatusPreconditionFailed, "PUT", rulesAt, tag, `{"sync": {"incoming": "latest"}}`) // of the page that was open before

		r.puts(http.StatusOK, "POST", undoAt, next, "")
		r.shows("alice", "dnd")
		if got := r.file("mapping.yaml"); got != commentedMapping {
			t.Errorf("undone, the file is\n%s", got)
		}
		r.puts(http.StatusOK, "POST", undoAt, "", "")
		r.shows("alice", "lunch")
	})
}

func TestTheAuditLogIsTheHistoryOfAStatusType(t *testing.T) {
	pbx := pbxtest.NewSimulated(t, pbxtest.Options{})
	r := configure(t, commentedMapping, pbx)
	r.startReady()
	const dinner = "/api/v1/mapping/statuses/dinner"
	r.puts(http.StatusCreated, "PUT", dinner, "", `{"base": "absent", "asterisk": "chat"}`)
	r.puts(http.StatusOK, "PUT", dinner, "", `{"base": "absent", "asterisk": "chat", "name": "Dinner: # late"}`)
	r.puts(http.StatusNoContent, "DELETE", dinner, "", "")
	r.puts(http.StatusOK, "POST", undoAt, "", "")
	var acts struct{ Items []store.Act }
	r.get("/api/v1/mapping/statuses/dinner/history", &acts)
	var got []string
	for _, a := range acts.Items {
		if !strings.HasPrefix(a.By, "local program as panel root of ") {
			t.Errorf("by %s", a.By)
		}
		got = append(got, a.Did+" "+a.What)
	}
	want := `status type created dinner: name "Dinner: # late", base absent, color "#757575", asterisk chat
status type deleted dinner: name "Dinner: # late", base absent, color "#757575", asterisk chat
status type modified dinner: name dinner -> "Dinner: # late"
status type created dinner: name dinner, base absent, color "#757575", asterisk chat`
	if strings.Join(got, "\n") != want {
		t.Errorf("the history of dinner:\n%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
	if out := r.must("audit", "--what", "dinner"); strings.Count(out, "status type") != 4 {
		t.Errorf("audit says\n%s", out)
	}
	pbxtest.Eventually(t, patience, "the file is noticed", func() bool { return strings.Contains(r.log.String(), "files taken over") })
	if out := r.must("audit"); strings.Count(out, "mapping put back") != 1 || strings.Contains(out, "taken over") {
		t.Errorf("what the bridge saved itself was taken for somebody's file:\n%s", out)
	}
}

func TestRulesThatWouldNotBeGoodChangeNothing(t *testing.T) {
	pbx := pbxtest.NewSimulated(t, pbxtest.Options{})
	r := configure(t, commentedMapping, pbx)
	r.startReady()
	for _, tc := range []struct {
		name, method, path, body string
		code                     int
		want                     string
	}{
		{"a field", "PUT", rulesAt, `{"statuses": [{"id": "available", "base": "connected"}, {"id": "lunch", "base": "absent", "color": "red"}]}`, http.StatusUnprocessableEntity, `{"field":"statuses[1].color"`},
		{"a priority of sync", "PUT", rulesAt, `{"statuses": [{"id": "available", "base": "connected"}, {"id": "lunch", "base": "absent"}]}`, http.StatusUnprocessableEntity, `{"field":"sync.priority[0]"`},
		{"a priority of a user", "DELETE", "/api/v1/mapping/statuses/lunch", "", http.StatusUnprocessableEntity, `{"field":"users[bob].priority[0]"`},
		{"a protected one", "DELETE", "/api/v1/mapping/statuses/available", "", http.StatusUnprocessableEntity, `available is protected (system: true) and has to stay`},
		{"a preview", "POST", previewAt, `{"sync": {"incoming": "newest"}}`, http.StatusUnprocessableEntity, `did you mean latest?`},
		{"nothing to undo", "POST", undoAt, "", http.StatusConflict, `nothing to undo`},
	} {
		_, text := r.puts(tc.code, tc.method, tc.path, "", tc.body)
		if !strings.Contains(text, tc.want) {
			t.Errorf("%s: %s", tc.name, text)
		}
		if got := r.file("mapping.yaml"); got != commentedMapping {
			t.Fatalf("%s: the file is now\n%s", tc.name, got)
		}
	}
	if out := r.must("audit"); !strings.Contains(out, "Nothing was done") {
		t.Errorf("audit:\n%s", out)
	}
}

func TestAFileThatSomebodyEditsByHandWins(t *testing.T) {
	pbx := pbxtest.NewSimulated(t, pbxtest.Options{})
	r := configure(t, commentedMapping, pbx)
	r.startReady()
	tag, _ := r.puts(http.StatusOK, "PUT", rulesAt, "", `{"sync": {"incoming": "latest"}}`)
	byHand := strings.Replace(r.file("mapping.yaml"), "name: Lunch ", "name: Canteen ", 1)
	r.write("mapping.yaml", byHand)
	r.puts(http.StatusPreconditionFailed, "PUT", rulesAt, tag, `{"sync": {"incoming": "default"}}`)
	r.puts(http.StatusConflict, "POST", undoAt, "", "") // it would take the canteen away
	if got := r.file("mapping.yaml"); got != byHand {
		t.Errorf("the file is now\n%s", got)
	}
	pbxtest.Eventually(t, patience, "the canteen is taken over", func() bool {
		_, _, text := r.ask("GET", "/api/v1/statuses", "", nil)
		return strings.Contains(text, "Canteen")
	})
	r.write("mapping.yaml", strings.Replace(byHand, "base: absent", "base: absnt", 1))
	for _, method := range []string{"GET", "PUT"} {
		_, text := r.puts(http.StatusUnprocessableEntity, method, rulesAt, "", `{"sync": {"incoming": "default"}}`)
		if !strings.Contains(text, "line 13 of ") || !strings.Contains(text, `did you mean absent?`) {
			t.Errorf("%s of a faulty file: %s", method, text)
		}
	}
	r.write("mapping.yaml", byHand) // what the bridge has, and it said that the file was refused
	pbxtest.Eventually(t, patience, "the fault is over", func() bool {
		_, _, text := r.ask("GET", "/readyz", "", nil)
		return !strings.Contains(text, "absnt")
	})
}

func TestUsersOfTheStoreHaveToGoWithTheRules(t *testing.T) {
	pbx := pbxtest.NewSimulated(t, pbxtest.Options{})
	r := configure(t, storedMapping, pbx)
	r.startReady()
	r.must("user", "add", "zoe", "--extension", "1001", "--priority", "lunch")
	_, text := r.puts(http.StatusUnprocessableEntity, "DELETE", "/api/v1/mapping/statuses/lunch", "", "")
	if !strings.Contains(text, `{"field":"user \"zoe\": priority[0]"`) {
		t.Errorf("%s", text)
	}
	r.must("user", "remove", "zoe")
	r.puts(http.StatusNoContent, "DELETE", "/api/v1/mapping/statuses/lunch", "", "")
}

// The API, its description and the file have one list of settings.
func TestRulesThatWereReadAreAProposalThatChangesNothing(t *testing.T) {
	const text = `sync: {enabled: false, incoming: default, outgoing: default, repeats: count, priority: [b], stale_after: 5m, until_text: "until {time}"}
statuses:
  - {id: a, base: busy}
  - {id: b, name: B, base: absent, color: "#112233", asterisk: {state: xa, subtype: b}, lasts: 90s, queue_pause: true, tags: [x], system: true}
users: []
`
	rules, faults := config.ReadRules("mapping.yaml", []byte(text))
	if len(faults.Errors()) > 0 {
		t.Fatal(faults)
	}
	set := ruleSet(&rules, "1", true, faults)
	proposal, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	got, faults := config.EditRules("mapping.yaml", []byte(text), string(proposal))
	if len(faults) > 0 || !got.Changes.None() || string(got.Text) != text {
		t.Errorf("%v %+v\n%s", faults, got.Changes, got.Text)
	}
	data, err := os.ReadFile("../../pkg/api/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	type schema struct{ Properties map[string]any }
	var described struct {
		Components struct {
			Schemas struct{ Sync, SyncProposal, MappedStatus, StatusProposal schema }
		}
	}
	var sent struct {
		Sync     map[string]any
		Statuses []map[string]any
	}
	if err := errors.Join(json.Unmarshal(data, &described), json.Unmarshal(proposal, &sent)); err != nil {
		t.Fatal(err)
	}
	s := described.Components.Schemas
	for name, pair := range map[string][2]map[string]any{
		"Sync": {sent.Sync, s.Sync.Properties}, "SyncProposal": {sent.Sync, s.SyncProposal.Properties},
		"MappedStatus": {sent.Statuses[1], s.MappedStatus.Properties}, "StatusProposal": {sent.Statuses[1], s.StatusProposal.Properties},
	} {
		if got, want := slices.Sorted(maps.Keys(pair[0])), slices.Sorted(maps.Keys(pair[1])); !slices.Equal(got, want) {
			t.Errorf("%s: described %v, sent %v", name, want, got)
		}
	}
}
