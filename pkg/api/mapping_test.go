package api_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/presencebridge/presencebridge/pkg/api"
	"github.com/presencebridge/presencebridge/pkg/api/apitest"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

const (
	mapped = "/api/v1/mapping/users"
	zoe    = `{"id":"zoe","extensions":["1009"]}`
)

func TestAnswersAboutMappedUsersAreAsTheGoldenFiles(t *testing.T) {
	elsewhere := func(m *apitest.Mapping) { m.Err = api.ErrUsersElsewhere }
	for _, tc := range []struct {
		name, method, path, body string
		status                   int
		schema                   string
		prepare                  func(*apitest.Mapping)
	}{
		{name: "mapped", path: mapped, status: 200, schema: "MappedUserList"},
		{name: "mapped-page", path: mapped + "?limit=1", status: 200, schema: "MappedUserList"},
		{name: "mapped-next-page", path: mapped + "?limit=1&cursor=1", status: 200, schema: "MappedUserList"},
		{name: "mapped-cursor", path: mapped + "?cursor=alice", status: 400, schema: "Problem"},
		{name: "mapped-elsewhere", path: mapped, status: 409, schema: "Problem", prepare: elsewhere},
		{name: "mapped-user", path: mapped + "/bob", status: 200, schema: "MappedUser"},
		{name: "mapped-user-unknown", path: mapped + "/zoe", status: 404, schema: "Problem"},
		{name: "mapped-user-elsewhere", path: mapped + "/bob", status: 409, schema: "Problem", prepare: elsewhere},
		{name: "mapped-put", method: "PUT", path: mapped + "/alice", body: `{"name": "Alice <M>", "extensions": ["1001"]}`, status: 200, schema: "MappedUser"},
		{name: "mapped-put-new", method: "PUT", path: mapped + "/zo%C3%AB", body: `{ }`, status: 201, schema: "MappedUser"},
		{name: "mapped-put-other-id", method: "PUT", path: mapped + "/alice", body: zoe, status: 422, schema: "Problem"},
		{name: "mapped-put-no-json", method: "PUT", path: mapped + "/alice", body: `[]`, status: 400, schema: "Problem"},
		{name: "mapped-put-no-utf8", method: "PUT", path: mapped + "/alice", body: "{\"name\":\"Ren\xe9\"}", status: 400, schema: "Problem"},
		{name: "mapped-put-faults", method: "PUT", path: mapped + "/zoe", body: zoe, status: 422, schema: "Problem",
			prepare: func(m *apitest.Mapping) {
				m.ChangeErr = api.UserFaults{`user "zoe": email: "x" is not an address of mail`, `user "zoe": a second`}
			}},
		{name: "mapped-put-elsewhere", method: "PUT", path: mapped + "/zoe", body: zoe, status: 409, schema: "Problem", prepare: elsewhere},
		{name: "mapped-put-uncertain", method: "PUT", path: mapped + "/zoe", body: zoe, status: 503, schema: "Problem",
			prepare: func(m *apitest.Mapping) { m.ChangeErr = fmt.Errorf("disk full: %w", api.ErrUncertain) }},
		{name: "mapped-put-not-taken-over", method: "PUT", path: mapped + "/zoe", body: zoe, status: 503, schema: "Problem",
			prepare: func(m *apitest.Mapping) { m.ChangeErr = api.ErrNotTakenOver }},
		{name: "mapped-removed", method: "DELETE", path: mapped + "/alice", status: 204},
		{name: "mapped-remove-unknown", method: "DELETE", path: mapped + "/zoe", status: 404, schema: "Problem"},
		{name: "mapped-import", method: "POST", path: mapped, body: `{"users":[` + zoe + `,{"id":"alice"}],"lines":[2,3]}`, status: 200, schema: "UserChanges"},
		{name: "mapped-import-lines", method: "POST", path: mapped, body: `{"users":[` + zoe + `],"lines":[2,3]}`, status: 422, schema: "Problem"},
		{name: "mapped-import-field", method: "POST", path: mapped, body: `{"user":[]}`, status: 422, schema: "Problem"},
		{name: "mapped-import-no-users", method: "POST", path: mapped, body: `{"users":null}`, status: 422, schema: "Problem"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := apitest.NewMapping()
			if tc.prepare != nil {
				tc.prepare(m)
			}
			w := do(handlerOf(apitest.New(), m), request(tc.method, tc.path, tc.body))
			if w.Code != tc.status {
				t.Errorf("status %d, want %d", w.Code, tc.status)
			}
			if tc.schema != "" {
				conforms(t, tc.schema, w.Body.Bytes())
			}
			compare(t, tc.name, w.Body.Bytes())
		})
	}
}

func TestAChangeOfUsersIsHandedOnAsItWasSent(t *testing.T) {
	for _, tc := range []struct {
		name, method, path, body string
		want                     api.UserChange
	}{
		{"a user with the id", "PUT", mapped + "/zoe", " " + zoe + "\n", api.UserChange{Put: []api.Definition{{ID: "zoe", JSON: zoe}}}},
		{"an id as a number", "PUT", mapped + "/1001", `{"id": 1001}`, api.UserChange{Put: []api.Definition{{ID: "1001", JSON: `{"id":1001}`}}}},
		{"an id that needs quotes", "PUT", mapped + "/%22%5C", `{"sync": true}`, api.UserChange{Put: []api.Definition{{ID: `"\`, JSON: `{"id":"\"\\","sync":true}`}}}},
		{"an unknown key is for the mapping to refuse", "PUT", mapped + "/x", `{"Name":"x"}`, api.UserChange{Put: []api.Definition{{ID: "x", JSON: `{"id":"x","Name":"x"}`}}}},
		{"a removal", "DELETE", mapped + "/bob", "", api.UserChange{Remove: []presence.UserID{"bob"}}},
		{"an import", "POST", mapped, `{"users":[` + zoe + `,[1],{"name":"x"}],"dry_run":true,"lines":[7,-8,9]}`,
			api.UserChange{Import: true, DryRun: true, Put: []api.Definition{{ID: "zoe", JSON: zoe, Line: 7}, {JSON: `[1]`}, {JSON: `{"name":"x"}`, Line: 9}}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := apitest.NewMapping()
			r := request(tc.method, tc.path, tc.body)
			r.Header.Set(api.ByHeader, "cli")
			tc.want.By = "cli"
			w := do(handlerOf(apitest.New(), m), r)
			if got := m.Changes(); len(got) != 1 || !reflect.DeepEqual(got[0], tc.want) {
				t.Errorf("%d %s: %+v, want %+v", w.Code, w.Body, got, tc.want)
			}
		})
	}
}

// Some databases refuse such a text with an error, which was a 500.
func TestTheStoreIsNotAskedForATextThatItCannotHave(t *testing.T) {
	broken := errors.New("the store was asked")
	b, m := apitest.New(), apitest.NewMapping()
	b.HistoryErr, m.Err = broken, broken
	h := handlerOf(b, m)
	for _, id := range []string{"a%00b", "a%ffb"} {
		for _, path := range []string{mapped + "/" + id, "/api/v1/users/" + id + "/history", "/api/v1/history?user=" + id} {
			if w := do(h, request("GET", path, "")); w.Code != http.StatusNotFound {
				t.Errorf("%s: %d %s", path, w.Code, w.Body)
			}
		}
		if w := do(h, request("GET", "/api/v1/history?by="+id, "")); w.Code != http.StatusBadRequest {
			t.Errorf("by %s: %d %s", id, w.Code, w.Body)
		}
	}
}

func TestAUserThatMustBeNewReplacesNobody(t *testing.T) {
	m := apitest.NewMapping()
	for id, want := range map[string]int{"alice": http.StatusConflict, "zoe": http.StatusCreated} {
		r := request("PUT", mapped+"/"+id, `{"extensions":["1009"]}`)
		r.Header.Set("If-None-Match", "*")
		if w := do(handlerOf(apitest.New(), m), r); w.Code != want {
			t.Errorf("%s: %d %s", id, w.Code, w.Body)
		}
	}
}

func TestAChangeOfAUserWhoIsAnotherByNowIsRefused(t *testing.T) {
	const now = `{"extensions":["1009"]}`
	for _, tc := range []struct {
		name, method, id, match string // the last ALICE: her tag
		want                    int
	}{
		{"put", "PUT", "alice", `ALICE`, http.StatusOK},
		{"one of several", "PUT", "alice", `"x", ALICE`, http.StatusOK},
		{"anybody", "PUT", "alice", `*`, http.StatusOK},
		{"another", "PUT", "alice", `"x"`, http.StatusPreconditionFailed},
		{"a weak tag", "PUT", "alice", `W/ALICE`, http.StatusPreconditionFailed},
		{"an empty list", "PUT", "alice", ``, http.StatusPreconditionFailed},
		{"nobody", "PUT", "zoe", `*`, http.StatusPreconditionFailed},
		{"somebody else's", "PUT", "bob", `ALICE`, http.StatusPreconditionFailed},
		{"remove", "DELETE", "alice", `ALICE`, http.StatusNoContent},
		{"remove another", "DELETE", "alice", `"x"`, http.StatusPreconditionFailed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := handlerOf(apitest.New(), apitest.NewMapping())
			tag := do(h, request("GET", mapped+"/alice", "")).Header().Get("ETag")
			r := request(tc.method, mapped+"/"+tc.id, now)
			r.Header.Set("If-Match", strings.ReplaceAll(tc.match, "ALICE", tag))
			if w := do(h, r); tag == "" || w.Code != tc.want {
				t.Errorf("%d %s, want %d", w.Code, w.Body, tc.want)
			}
		})
	}
}

func TestAnImportIsBoundedAndAUserMore(t *testing.T) {
	long := `{"name":"` + strings.Repeat("x", 64<<10) + `"}`
	if w := do(handler(apitest.New()), request("PUT", mapped+"/zoe", long)); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("a long user: %d %s", w.Code, w.Body)
	}
	many := `{"users":[` + strings.TrimSuffix(strings.Repeat(zoe+",", 10_000), ",") + `]}`
	if w := do(handler(apitest.New()), request("POST", mapped, many)); w.Code != http.StatusOK {
		t.Errorf("10,000 users: %d %s", w.Code, w.Body)
	}
	if w := do(handler(apitest.New()), request("POST", mapped, `{"users":[`+strings.Repeat(" ", 64<<20)+`]}`)); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("an import of 64 MiB: %d %s", w.Code, w.Body)
	}
	m := apitest.NewMapping()
	for _, body := range []string{`{"users":[` + strings.Repeat("0,", 200_000) + `0]}`, `{"users":[],"lines":[` + strings.Repeat("0,", 200_000) + `0]}`} {
		if w := do(handlerOf(apitest.New(), m), request("POST", mapped, body)); w.Code != http.StatusUnprocessableEntity || len(m.Changes()) > 0 {
			t.Errorf("one more than 200,000: %d %s", w.Code, w.Body)
		}
	}
}

func TestWithoutAMappingThereAreNoSuchRoutes(t *testing.T) {
	if w := do(api.New(apitest.New(), api.Options{}), request("GET", mapped, "")); w.Code != http.StatusNotFound {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	m := apitest.NewMapping()
	m.Err = errors.New("secret details")
	if w := do(handlerOf(apitest.New(), m), request("GET", mapped, "")); w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// An object is bounded by its length, and a short field takes a hundred times its own in memory.
func TestABodyOfMillionsOfFieldsIsNotRead(t *testing.T) {
	var body strings.Builder
	body.WriteString(`{"users":[]`)
	for i := range 200_000 {
		fmt.Fprintf(&body, `,"%d":0`, i)
	}
	body.WriteString("}")
	h := handlerOf(apitest.New(), apitest.NewMapping())
	var w *httptest.ResponseRecorder
	allocated := testing.AllocsPerRun(1, func() { w = do(h, request("POST", mapped, body.String())) })
	if w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), "more than 64 fields") {
		t.Errorf("%d %.200s", w.Code, w.Body)
	}
	if allocated > 2000 {
		t.Errorf("%.0f allocations", allocated)
	}
}
