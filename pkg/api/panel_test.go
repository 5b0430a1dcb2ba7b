package api_test

import (
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/presencebridge/presencebridge/pkg/api"
	"github.com/presencebridge/presencebridge/pkg/api/apitest"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// desk is a panel at which who sends the cookie "who" has signed in.
type desk map[string]api.Session

func (d desk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.WriteString(w, "a page at "+r.URL.Path)
}

func (d desk) Session(r *http.Request) (api.Session, error) {
	c, err := r.Cookie("who")
	if err != nil {
		return api.Session{}, api.ErrSignedOut
	}
	s, ok := d[c.Value]
	if !ok {
		return api.Session{}, api.ErrSignedOut
	}
	return s, nil
}

// by sends a request as a browser does in which somebody has signed in.
func (o *office) by(who, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := request(method, path, body)
	r.AddCookie(&http.Cookie{Name: "who", Value: who})
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return do(o.api.Network(), r)
}

func newDesk(t *testing.T) *office {
	o := newOffice(t)
	o.open(desk{
		"alice":    {Name: "alice@example.com", Scope: api.ScopeOwn, User: "alice"},
		"operator": {Name: "otto", Scope: api.ScopeOwn, User: "bob", Others: true},
		"admin":    {Name: "root", Scope: api.ScopeAdmin},
	})
	return o
}

// people are those who sign in, by what they may do. They share an account, for whose
// is what does not matter here.
func people() desk {
	all := desk{
		"user":          {Scope: api.ScopeOwn, User: "alice"},
		"operator":      {Scope: api.ScopeOwn, User: "alice", Others: true},
		"creator":       {Scope: api.ScopeOwn, User: "alice", Types: api.TypeRights{Create: true}},
		"modifier":      {Scope: api.ScopeOwn, User: "alice", Types: api.TypeRights{Modify: true}},
		"remover":       {Scope: api.ScopeOwn, User: "alice", Types: api.TypeRights{Delete: true}},
		"administrator": {Scope: api.ScopeAdmin, User: "alice", Types: api.TypeRights{Create: true, Modify: true, Delete: true}},
	}
	for who, s := range all {
		s.Name = "crm"
		all[who] = s
	}
	return all
}

// editing are the routes of administrators that are also for people who may do something
// to status types, with what the request of this test does to them; nil: it only reads.
var editing = map[string]*api.RuleDiff{
	"GET /api/v1/mapping/rules":                     nil,
	"PUT /api/v1/mapping/rules":                     {Created: []presence.TypeID{"dinner"}},
	"POST /api/v1/mapping/preview":                  nil,
	"POST /api/v1/mapping/undo":                     {Reordered: true},
	"GET /api/v1/mapping/statuses/{status}":         nil,
	"PUT /api/v1/mapping/statuses/{status}":         {Modified: []presence.TypeID{"lunch"}},
	"DELETE /api/v1/mapping/statuses/{status}":      {Deleted: []presence.TypeID{"lunch"}},
	"GET /api/v1/mapping/statuses/{status}/history": nil,
}

// mayAsk tells whether somebody may use a route that needs a scope, for a user.
func mayAsk(what string, need api.Scope, id presence.UserID, s *api.Session) bool {
	if does, ok := editing[what]; ok && s.Scope != api.ScopeAdmin {
		switch {
		case does == nil:
			return s.Types != api.TypeRights{}
		case does.Created != nil:
			return s.Types.Create
		case does.Deleted != nil:
			return s.Types.Delete
		}
		return s.Types.Modify
	}
	switch {
	case what == "PUT /api/v1/users/{id}/status": // not even an administrator sets others'
		return s.User == id || s.Others
	case need == api.ScopeOwn:
		return s.User == id || s.Scope == api.ScopeAdmin
	}
	return slices.Index(api.Scopes(), s.Scope) >= slices.Index(api.Scopes(), need)
}

// The routes come from the description, so that a new one is covered by itself.
func TestEveryRouteIsForThoseWhoseRoleMayUseIt(t *testing.T) {
	all := people()
	routes := described(t)
	for what := range editing {
		if routes[what] != api.ScopeAdmin {
			t.Errorf("%s is no route of administrators", what)
		}
	}
	for what, need := range routes {
		t.Run(what, func(t *testing.T) {
			ids := []presence.UserID{"alice"}
			if need == api.ScopeOwn {
				ids = append(ids, "bob")
			}
			for _, who := range append(slices.Sorted(maps.Keys(all)), "", "nobody") {
				for _, id := range ids {
					o := newOffice(t)
					rules := apitest.NewRules()
					rules.Diff, o.options.Rules = editing[what], rules
					o.open(all)
					o.of(api.ScopeRead) // which is there to be revoked
					method, path, _ := strings.Cut(what, " ")
					path = strings.NewReplacer("{id}", string(id), "{name}", "read", "{account}", "crm", "{status}", "lunch").Replace(path)
					if path == "/api/v1/events" { // it has no end: what is asked is whether it begins
						method = http.MethodHead
					}
					s, known := all[who]
					w := o.by(who, method, path, bodies[what])
					switch may := known && mayAsk(what, need, id, &s); {
					case !known && w.Code != http.StatusUnauthorized:
						t.Errorf("%q: %d %s, want 401", who, w.Code, w.Body)
					case known && !may && w.Code != http.StatusForbidden:
						t.Errorf("%s, for %s: %d %s, want 403", who, id, w.Code, w.Body)
					case may && w.Code >= 400 && w.Code != http.StatusServiceUnavailable:
						t.Errorf("%s, for %s: %d %s", who, id, w.Code, w.Body)
					}
				}
			}
		})
	}
}

func TestWhoHasSignedInNeedsNoToken(t *testing.T) {
	o := newDesk(t)
	const dnd = `{"type":"dnd"}`
	for _, tc := range []struct {
		who, method, path, body string
		want                    int
	}{
		{"", "GET", "/api/v1/users", "", http.StatusUnauthorized},
		{"mallory", "GET", "/api/v1/users", "", http.StatusUnauthorized},
		{"alice", "GET", "/api/v1/users", "", http.StatusOK},
		{"alice", "PUT", "/api/v1/users/alice/status", dnd, http.StatusOK},
		{"alice", "PUT", "/api/v1/users/bob/status", dnd, http.StatusForbidden},
		{"operator", "PUT", "/api/v1/users/alice/status", dnd, http.StatusOK},
		{"admin", "PUT", "/api/v1/users/alice/status", dnd, http.StatusForbidden}, // not even an administrator
		{"alice", "GET", "/api/v1/users/alice/settings", "", http.StatusOK},
		{"alice", "PUT", "/api/v1/users/alice/settings", `{"sync":false}`, http.StatusOK},
		{"alice", "GET", "/api/v1/users/bob/settings", "", http.StatusForbidden},
		{"operator", "PUT", "/api/v1/users/alice/settings", `{"sync":null}`, http.StatusForbidden},
		{"admin", "PUT", "/api/v1/users/alice/settings", `{"sync":null}`, http.StatusOK},
		{"alice", "GET", "/api/v1/tokens", "", http.StatusForbidden},
		{"admin", "GET", "/api/v1/tokens", "", http.StatusOK},
	} {
		if w := o.by(tc.who, tc.method, tc.path, tc.body); w.Code != tc.want {
			t.Errorf("%q: %s %s: %d %s, want %d", tc.who, tc.method, tc.path, w.Code, w.Body, tc.want)
		}
	}
	if c := o.bridge.Choices(); len(c) != 2 || c[0].By != "panel alice@example.com" || c[1].By != "panel otto" {
		t.Errorf("chosen %+v", c)
	}
	if by := o.bridge.SetBy(); len(by) != 2 || by[0] != "panel alice@example.com" || by[1] != "panel root" {
		t.Errorf("settings changed by %q", by)
	}
	for who, want := range map[string]string{
		"alice": `{"by":"panel alice@example.com","scope":"own","user":"alice","others":false}`,
		"admin": `{"by":"panel root","scope":"admin","user":null,"others":false}`,
	} {
		if got := strings.TrimSpace(o.by(who, "GET", "/api/v1/me", "").Body.String()); got != want {
			t.Errorf("%s is %s, want %s", who, got, want)
		}
	}
}

func TestAPageOfAnotherSiteSetsNothing(t *testing.T) {
	o := newDesk(t)
	for _, headers := range [][]string{
		{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}, {"Origin", "null"},
	} {
		if w := o.by("alice", "PUT", "/api/v1/users/alice/status", `{"type":"dnd"}`, headers...); w.Code != http.StatusForbidden {
			t.Errorf("%v: %d %s", headers, w.Code, w.Body)
		}
	}
	if w := o.by("alice", "PUT", "/api/v1/users/alice/status", `{"type":"dnd"}`, "Sec-Fetch-Site", "same-origin"); w.Code != http.StatusOK {
		t.Errorf("from the panel: %d %s", w.Code, w.Body)
	}
}

func TestThePanelIsBesideTheAPIAndNotInIt(t *testing.T) {
	o := newDesk(t)
	for path, want := range map[string]int{
		"/": http.StatusOK, "/board": http.StatusOK, "/apix": http.StatusOK,
		"/api/v1": http.StatusUnauthorized, "/api/v2/x": http.StatusUnauthorized, "/healthz": http.StatusUnauthorized, "/metrics": http.StatusUnauthorized,
	} {
		if w := o.ask("", "GET", path, ""); w.Code != want {
			t.Errorf("%s: %d %s, want %d", path, w.Code, w.Body, want)
		}
	}
	if w := o.by("alice", "GET", "/healthz", "", "Authorization", "Bearer pbt_x"); w.Code != http.StatusUnauthorized {
		t.Errorf("a wrong token beside a session: %d", w.Code)
	}
	if w := do(o.api.Health(), request("GET", "/", "")); w.Code != http.StatusNotFound {
		t.Errorf("the panel at the watchers' address: %d", w.Code)
	}
}

func TestPreferencesAreThoseOfWhoHasSignedIn(t *testing.T) {
	o := newDesk(t)
	accounts := apitest.NewAccounts()
	o.options.Accounts = accounts
	o.open(desk{"crm": {Name: "crm", Scope: api.ScopeOwn, User: "alice"}, "admin": {Name: "root", Scope: api.ScopeAdmin}})
	const path = "/api/v1/me/preferences"
	w := o.by("crm", "GET", path, "")
	conforms(t, "Preferences", w.Body.Bytes())
	if got := strings.TrimSpace(w.Body.String()); got != `{"favourites":["bob"]}` {
		t.Errorf("crm prefers %s", got)
	}
	const wish = `{"favourites":["alice","bob"],"language":"de"}`
	if w := o.by("crm", "PUT", path, wish); w.Code != http.StatusOK || strings.TrimSpace(o.by("crm", "GET", path, "").Body.String()) != wish {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	w = o.by("crm", "PATCH", path, `{"set":{"language":"fr"},"add":{"favourites":["zoe"]}}`)
	conforms(t, "Preferences", w.Body.Bytes())
	if w.Code != http.StatusOK || strings.TrimSpace(w.Body.String()) != `{"favourites":["zoe"],"language":"fr"}` {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for body, want := range map[string]int{`{"add":["zoe"]}`: http.StatusUnprocessableEntity, `{"favourites":["zoe"]}`: http.StatusUnprocessableEntity, `{"set":{"x":"` + strings.Repeat("x", 17<<10) + `"}}`: http.StatusRequestEntityTooLarge} {
		if w := o.by("crm", "PATCH", path, body); w.Code != want {
			t.Errorf("%.40s: %d %s", body, w.Code, w.Body)
		}
	}
	for _, tc := range []struct {
		who, body string
		want      int
	}{
		{"crm", `[]`, http.StatusBadRequest}, {"crm", `{"x":"` + strings.Repeat("x", 17<<10) + `"}`, http.StatusRequestEntityTooLarge}, {"mallory", `{}`, http.StatusUnauthorized},
	} {
		if w := o.by(tc.who, "PUT", path, tc.body); w.Code != tc.want {
			t.Errorf("%s: %.40s: %d %s", tc.who, tc.body, w.Code, w.Body)
		}
	}
	if w := o.by("", "GET", path, "", "Authorization", "Bearer "+o.of(api.ScopeAdmin)); w.Code != http.StatusForbidden {
		t.Errorf("a token: %d %s", w.Code, w.Body)
	}
	for who, want := range map[string]int{"crm": http.StatusForbidden, "admin": http.StatusOK} {
		if w := o.by(who, "PATCH", "/api/v1/accounts/crm", `{"role":"user"}`); w.Code != want {
			t.Errorf("%s changes an account: %d %s", who, w.Code, w.Body)
		}
	}
	if by := accounts.By(); by[len(by)-1] != "panel root" {
		t.Errorf("changed by %v", by)
	}
}

// An open page of the panel counts as signed in; a program with a token, and an
// administrator who is nobody's user, have none.
func TestAnOpenPageIsToldToTheBridge(t *testing.T) {
	o := newDesk(t)
	s := httptest.NewServer(o.api.Network())
	defer s.Close()
	open := func(who string) (closePage func()) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/api/v1/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		if who == "" {
			r.Header.Set("Authorization", "Bearer "+o.of(api.ScopeOwn)) // alice's
		} else {
			r.AddCookie(&http.Cookie{Name: "who", Value: who})
		}
		w, err := http.DefaultTransport.RoundTrip(r)
		if err != nil || w.StatusCode != http.StatusOK {
			t.Fatalf("%v, %v", w, err)
		}
		return func() { _ = w.Body.Close() }
	}
	pages := func(id presence.UserID, want int) {
		t.Helper()
		waitFor(t, func() bool { return o.bridge.Pages(id) == want })
	}
	first, second := open("alice"), open("alice")
	others := []func(){open("operator"), open("admin"), open("")}
	pages("alice", 2)
	pages("bob", 1)
	if n := o.bridge.Pages(""); n != 0 {
		t.Errorf("%d pages of nobody", n)
	}
	first()
	pages("alice", 1)
	second()
	pages("alice", 0)
	for _, closePage := range others {
		closePage()
	}
	pages("bob", 0)
}
