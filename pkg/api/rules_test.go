package api_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/presencebridge/presencebridge/pkg/api"
	"github.com/presencebridge/presencebridge/pkg/api/apitest"
	"github.com/presencebridge/presencebridge/pkg/message"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

const (
	mappingPath = "/api/v1/mapping"
	rulesPath   = mappingPath + "/rules"
	typePath    = mappingPath + "/statuses"
	toPriority  = `{"sync": {"incoming": "priority"}}`
)

func handlerOfRules(r *apitest.Rules) *api.Handler {
	return api.New(apitest.New(), api.Options{Rules: r})
}

func TestAnswersAboutRulesAreAsTheGoldenFiles(t *testing.T) {
	faults := func(r *apitest.Rules) {
		r.ChangeErr = api.RuleFaults{{Field: "statuses[1].color", What: `"red" is not a colour`, Do: "write six digits", Key: message.As("rules.color", "value", `"red"`)}, {Field: "users[bob].priority[0]", What: "is gone", Do: "remove it"}}
	}
	change := func(err error) func(*apitest.Rules) { return func(r *apitest.Rules) { r.ChangeErr = err } }
	for _, tc := range []struct {
		name, method, path, body string
		status                   int
		schema                   string
		prepare                  func(*apitest.Rules)
	}{
		{name: "rules", path: rulesPath, status: 200, schema: "Rules"},
		{name: "rules-put", method: "PUT", path: rulesPath, body: toPriority, status: 200, schema: "Rules"},
		{name: "rules-put-no-json", method: "PUT", path: rulesPath, body: `[]`, status: 400, schema: "Problem"},
		{name: "rules-put-faults", method: "PUT", path: rulesPath, body: toPriority, status: 422, schema: "Problem", prepare: faults},
		{name: "rules-put-fixed", method: "PUT", path: rulesPath, body: toPriority, status: 409, schema: "Problem",
			prepare: change(fmt.Errorf("%w, since the disk is full", api.ErrRulesFixed))},
		{name: "rules-put-not-taken-over", method: "PUT", path: rulesPath, body: toPriority, status: 503, schema: "Problem", prepare: change(api.ErrNotTakenOver)},
		{name: "rules-preview", method: "POST", path: mappingPath + "/preview?limit=1", body: toPriority, status: 200, schema: "RulesPreview"},
		{name: "rules-preview-all", method: "POST", path: mappingPath + "/preview", body: toPriority, status: 200, schema: "RulesPreview"},
		{name: "rules-preview-limit", method: "POST", path: mappingPath + "/preview?limit=0", body: toPriority, status: 422, schema: "Problem"},
		{name: "rules-preview-faults", method: "POST", path: mappingPath + "/preview", body: toPriority, status: 422, schema: "Problem", prepare: faults},
		{name: "rules-undo-nothing", method: "POST", path: mappingPath + "/undo", status: 409, schema: "Problem", prepare: func(r *apitest.Rules) { r.NoPast = true }},
		{name: "rules-undo", method: "POST", path: mappingPath + "/undo", status: 200, schema: "Rules"},
		{name: "rules-status", path: typePath + "/lunch", status: 200, schema: "MappedStatus"},
		{name: "rules-status-unknown", path: typePath + "/lunhc", status: 404, schema: "Problem"},
		{name: "rules-status-put", method: "PUT", path: typePath + "/lunch", body: `{"name":"Canteen","base":"absent"}`, status: 200, schema: "MappedStatus"},
		{name: "rules-status-new", method: "PUT", path: typePath + "/zo%C3%AB", body: `{"base":"busy","asterisk":null}`, status: 201, schema: "MappedStatus"},
		{name: "rules-status-other-id", method: "PUT", path: typePath + "/lunch", body: `{"id":"dinner","base":"absent"}`, status: 422, schema: "Problem"},
		{name: "rules-status-faults", method: "PUT", path: typePath + "/lunch", body: `{"base":"absent"}`, status: 422, schema: "Problem", prepare: faults},
		{name: "rules-status-remove-unknown", method: "DELETE", path: typePath + "/dinner", status: 404, schema: "Problem"},
		{name: "rules-status-removed", method: "DELETE", path: typePath + "/lunch", status: 204},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rules := apitest.NewRules()
			if tc.prepare != nil {
				tc.prepare(rules)
			}
			w := do(handlerOfRules(rules), request(tc.method, tc.path, tc.body))
			if w.Code != tc.status {
				t.Errorf("status %d, want %d", w.Code, tc.status)
			}
			if tag := w.Header().Get("ETag"); (tag != "") != (w.Code < 300 && !strings.Contains(tc.path, "preview")) {
				t.Errorf("ETag %q", tag)
			}
			if tc.schema != "" {
				conforms(t, tc.schema, w.Body.Bytes())
			}
			compare(t, tc.name, w.Body.Bytes())
		})
	}
}

// conditional is a request with a header.
func conditional(method, path, body, header, value string) *http.Request {
	r := request(method, path, body)
	if value != "" {
		r.Header.Set(header, value)
	}
	return r
}

func TestAChangeOfRulesMeansAVersion(t *testing.T) {
	h := handlerOfRules(apitest.NewRules())
	for _, tc := range []struct {
		name, method, path, body, header, value string
		want                                    int
	}{
		{"the same already", "GET", rulesPath, "", "If-None-Match", `"1"`, http.StatusNotModified},
		{"another version", "PUT", rulesPath, toPriority, "If-Match", `"0"`, http.StatusPreconditionFailed},
		{"a weak tag", "PUT", rulesPath, toPriority, "If-Match", `W/"1"`, http.StatusPreconditionFailed},
		{"this version", "PUT", rulesPath, toPriority, "If-Match", `"0", "1"`, http.StatusOK},
		{"that is another by now", "PUT", rulesPath, toPriority, "If-Match", `"1"`, http.StatusPreconditionFailed},
		{"any version", "PUT", rulesPath, toPriority, "If-Match", "*", http.StatusOK},
		{"no word of a version", "PUT", rulesPath, toPriority, "", "", http.StatusOK},
		{"a type of another version", "PUT", typePath + "/lunch", `{"base":"absent"}`, "If-Match", `"1"`, http.StatusPreconditionFailed},
		{"a type of this version", "PUT", typePath + "/lunch", `{"base":"absent"}`, "If-Match", `"4"`, http.StatusOK},
		{"a type that must be new", "PUT", typePath + "/lunch", `{"base":"absent"}`, "If-None-Match", "*", http.StatusConflict},
		{"a type that is new", "PUT", typePath + "/dinner", `{"base":"absent"}`, "If-None-Match", "*", http.StatusCreated},
		{"removed from another version", "DELETE", typePath + "/lunch", "", "If-Match", `"5"`, http.StatusPreconditionFailed},
		{"removed", "DELETE", typePath + "/lunch", "", "If-Match", `"6"`, http.StatusNoContent},
		{"undone of another version", "POST", mappingPath + "/undo", "", "If-Match", `"6"`, http.StatusPreconditionFailed},
		{"undone", "POST", mappingPath + "/undo", "", "If-Match", `"7"`, http.StatusOK},
		{"there again", "GET", typePath + "/lunch", "", "", "", http.StatusOK},
	} {
		if w := do(h, conditional(tc.method, tc.path, tc.body, tc.header, tc.value)); w.Code != tc.want {
			t.Errorf("%s: %d %s", tc.name, w.Code, w.Body)
		}
	}
}

func TestAChangeOfOneTypeIsMadeAnewWhereOthersAreFaster(t *testing.T) {
	for raced, want := range []int{http.StatusOK, http.StatusOK, http.StatusOK, http.StatusPreconditionFailed} {
		rules := apitest.NewRules()
		rules.Raced = raced
		if w := do(handlerOfRules(rules), request("PUT", typePath+"/lunch", `{"base":"busy"}`)); w.Code != want {
			t.Errorf("raced %d times: %d %s", raced, w.Code, w.Body)
		}
	}
	rules := apitest.NewRules()
	rules.Raced = 1
	if w := do(handlerOfRules(rules), conditional("PUT", typePath+"/lunch", `{"base":"busy"}`, "If-Match", `"1"`)); w.Code != http.StatusPreconditionFailed {
		t.Errorf("one that means a version: %d %s", w.Code, w.Body)
	}
}

func TestATypeIsRemovedFromThePriorityToo(t *testing.T) {
	rules := apitest.NewRules()
	r := request("DELETE", typePath+"/lunch", "")
	r.Header.Set(api.ByHeader, "cli")
	do(handlerOfRules(rules), r)
	got := rules.Changes()
	if len(got) != 1 || strings.Contains(got[0].Proposal, "lunch") || !strings.Contains(got[0].Proposal, `"priority":["available"]`) || got[0].By != "cli" {
		t.Errorf("%+v", got)
	}
}

func TestWithoutRulesThereIsNothingAtTheirAddress(t *testing.T) {
	if w := do(api.New(apitest.New(), api.Options{}), request("GET", rulesPath, "")); w.Code != http.StatusNotFound {
		t.Errorf("%d", w.Code)
	}
	rules := apitest.NewRules()
	rules.Err = errors.New("an odd thing")
	if w := do(handlerOfRules(rules), request("GET", rulesPath, "")); w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "odd") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestPeopleDoToStatusTypesWhatTheyMay(t *testing.T) {
	const nothing = `{"sync":{}}`
	for _, tc := range []struct {
		name string
		may  api.TypeRights
		does api.RuleDiff
		want int
	}{
		{"no rights", api.TypeRights{}, api.RuleDiff{}, http.StatusForbidden},
		{"create", api.TypeRights{Create: true}, api.RuleDiff{Created: []presence.TypeID{"x"}}, http.StatusOK},
		{"create and modify", api.TypeRights{Create: true}, api.RuleDiff{Created: []presence.TypeID{"x"}, Modified: []presence.TypeID{"lunch"}}, http.StatusForbidden},
		{"modify", api.TypeRights{Modify: true}, api.RuleDiff{Modified: []presence.TypeID{"lunch"}, Reordered: true}, http.StatusOK},
		{"another order", api.TypeRights{Create: true, Delete: true}, api.RuleDiff{Reordered: true}, http.StatusForbidden},
		{"delete", api.TypeRights{Delete: true}, api.RuleDiff{Deleted: []presence.TypeID{"lunch"}}, http.StatusOK},
		{"delete without the right", api.TypeRights{Create: true, Modify: true}, api.RuleDiff{Deleted: []presence.TypeID{"lunch"}}, http.StatusForbidden},
		{"sync with all of them", api.TypeRights{Create: true, Modify: true, Delete: true}, api.RuleDiff{Sync: true}, http.StatusForbidden},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := newOffice(t)
			rules := apitest.NewRules()
			rules.Diff, o.options.Rules = &tc.does, rules
			o.open(desk{
				"erin": {Name: "erin", Scope: api.ScopeOwn, User: "alice", Types: tc.may, Ended: make(chan struct{})},
				"root": {Name: "root", Scope: api.ScopeAdmin},
			})
			if w := o.by("erin", "PUT", rulesPath, nothing); w.Code != tc.want {
				t.Errorf("PUT: %d %s", w.Code, w.Body)
			}
			if w := o.by("root", "PUT", rulesPath, nothing); w.Code != http.StatusOK {
				t.Errorf("an administrator: %d %s", w.Code, w.Body)
			}
			if tc.may == (api.TypeRights{}) {
				return
			}
			for _, path := range []string{rulesPath, typePath + "/lunch", typePath + "/lunch/history"} {
				if w := o.by("erin", "GET", path, ""); w.Code != http.StatusOK {
					t.Errorf("GET %s: %d %s", path, w.Code, w.Body)
				}
			}
			for _, path := range []string{"/api/v1/mapping/users", "/api/v1/audit", "/api/v1/tokens"} {
				if w := o.by("erin", "GET", path, ""); w.Code != http.StatusForbidden {
					t.Errorf("GET %s: %d %s", path, w.Code, w.Body)
				}
			}
			if got := rules.Changes()[0].By; got != "panel erin" {
				t.Errorf("by %q", got)
			}
		})
	}
}
