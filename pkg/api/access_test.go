package api_test

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/presencebridge/presencebridge/pkg/api"
	"github.com/presencebridge/presencebridge/pkg/api/apitest"
)

// office is an API with tokens and a clock of its own.
type office struct {
	t      *testing.T
	bridge *apitest.Bridge
	store  *apitest.Store
	tokens *api.Tokens
	api    *api.Handler
	logs   *observer.ObservedLogs

	options api.Options
	mu      sync.Mutex
	now     time.Time
}

func newOffice(t *testing.T) *office {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	o := &office{t: t, bridge: apitest.New(), store: &apitest.Store{}, logs: logs, now: apitest.Now}
	clock := func() time.Time { o.mu.Lock(); defer o.mu.Unlock(); return o.now }
	var err error
	if o.tokens, err = api.OpenTokens(t.Context(), o.store, zap.New(core), clock); err != nil {
		t.Fatal(err)
	}
	o.options = api.Options{Log: zap.New(core), Tokens: o.tokens, Mapping: apitest.NewMapping(), Rules: apitest.NewRules(), Accounts: apitest.NewAccounts(), Now: clock}
	o.api = api.New(o.bridge, o.options)
	return o
}

// open opens a panel beside the API.
func (o *office) open(p api.Panel) {
	o.options.Panel = p
	o.api = api.New(o.bridge, o.options)
}

func (o *office) pass(d time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.now = o.now.Add(d)
}

// token has a token made over the socket, as the command line does.
func (o *office) token(body string) string {
	o.t.Helper()
	w := do(o.api, request("POST", "/api/v1/tokens", body))
	if w.Code != http.StatusCreated {
		o.t.Fatalf("%s: %d %s", body, w.Code, w.Body)
	}
	conforms(o.t, "MadeToken", w.Body.Bytes())
	return decode(o.t, w.Body.Bytes())["token"].(string)
}

// of has a token of a scope made.
func (o *office) of(scope api.Scope) string {
	o.t.Helper()
	if scope == api.ScopeOwn {
		return o.token(`{"name":"own","scope":"own","user":"alice"}`)
	}
	return o.token(fmt.Sprintf(`{"name":%q,"scope":%q}`, scope, scope))
}

// ask sends a request over the network; "": without a token.
func (o *office) ask(token, method, path, body string) *httptest.ResponseRecorder {
	r := request(method, path, body)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return do(o.api.Network(), r)
}

func detail(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	conforms(t, "Problem", w.Body.Bytes())
	return decode(t, w.Body.Bytes())["detail"].(string)
}

// bodies are good ones for the routes that take one.
var bodies = map[string]string{
	"PUT /api/v1/users/{id}/status":   `{"type":"dnd"}`,
	"PUT /api/v1/users/{id}/settings": `{"sync":false}`,
	"POST /api/v1/tokens":             `{"name":"made","scope":"read"}`,
	"PUT /api/v1/me/preferences":      `{"language":"de"}`,
	"PATCH /api/v1/me/preferences":    `{"add":{"favourites":["bob"]}}`,

	"POST /api/v1/mapping/users":     `{"users":[{"id":"zoe"}]}`,
	"PUT /api/v1/mapping/users/{id}": `{"name":"Alice"}`,

	"PATCH /api/v1/accounts/{account}":      `{"disabled":false}`,
	"POST /api/v1/invitations":              `{"role":"user"}`,
	"PUT /api/v1/mapping/rules":             `{"sync":{}}`,
	"POST /api/v1/mapping/preview":          `{"sync":{}}`,
	"PUT /api/v1/mapping/statuses/{status}": `{"base":"busy"}`,
}

// ofPeople are routes that no token opens.
var ofPeople = []string{"GET /api/v1/me/preferences", "PUT /api/v1/me/preferences", "PATCH /api/v1/me/preferences"}

// The routes come from the description, so that a new one is covered by itself.
func TestEveryRouteNeedsATokenOfItsScope(t *testing.T) {
	for what, need := range described(t) {
		t.Run(what, func(t *testing.T) {
			method, path, _ := strings.Cut(what, " ")
			path = strings.NewReplacer("{id}", "alice", "{name}", "read", "{account}", "crm", "{status}", "lunch").Replace(path)
			o := newOffice(t)
			for _, token := range []string{"", "pbt_", "secret"} {
				w := o.ask(token, method, path, bodies[what])
				if w.Code != http.StatusUnauthorized || w.Header().Get("WWW-Authenticate") == "" || !strings.Contains(detail(t, w), "oken") {
					t.Errorf("with the token %q: %d %s", token, w.Code, w.Body)
				}
			}
			enough := false
			for _, scope := range api.Scopes() {
				enough = enough || scope == need
				token := o.of(scope)
				r := request(method, path, bodies[what])
				r.Header.Set("Authorization", "Bearer "+token)
				if path == "/api/v1/events" { // it has no end: what is asked is whether it begins
					r.Method = http.MethodHead
				}
				w := do(o.api.Network(), r)
				switch {
				case slices.Contains(ofPeople, what):
					if w.Code != http.StatusForbidden {
						t.Errorf("%s: %d %s, want 403", scope, w.Code, w.Body)
					}
				case enough && w.Code >= 400 && w.Code != http.StatusServiceUnavailable:
					t.Errorf("%s: %d %s", scope, w.Code, w.Body)
				case !enough && (w.Code != http.StatusForbidden || !strings.Contains(detail(t, w), string(need))):
					t.Errorf("%s: %d %s, want 403", scope, w.Code, w.Body)
				}
				if enough {
					break // the greater ones would ask for what is done
				}
			}
			if !enough {
				t.Errorf("no scope is %q", need)
			}
		})
	}
}

// described is the scope that the description says each "METHOD /path" needs.
func described(t *testing.T) map[string]api.Scope {
	t.Helper()
	all := map[string]api.Scope{}
	for path, item := range description(t)["paths"].(map[string]any) {
		for method, operation := range item.(map[string]any) {
			for _, needs := range operation.(map[string]any)["security"].([]any) {
				all[strings.ToUpper(method)+" "+path] = api.Scope(needs.(map[string]any)["token"].([]any)[0].(string))
			}
		}
	}
	return all
}

func TestTheDescriptionIsWhatIsServed(t *testing.T) {
	got, want := described(t), newOffice(t).api.Served()
	if !maps.Equal(got, want) {
		t.Errorf("described %v\nserved %v", got, want)
	}
}

func TestNobodySignsInAtAWrongAddressOrWithAWrongMethodEither(t *testing.T) {
	o := newOffice(t)
	for _, what := range []string{"GET /", "GET /api/v2/users", "DELETE /api/v1/users", "BREW /healthz"} {
		method, path, _ := strings.Cut(what, " ")
		if w := o.ask("", method, path, ""); w.Code != http.StatusUnauthorized {
			t.Errorf("%s: %d", what, w.Code)
		}
	}
	if w := o.ask(o.of(api.ScopeRead), "GET", "/api/v2/users", ""); w.Code != http.StatusNotFound {
		t.Errorf("with a token: %d", w.Code)
	}
}

func TestWhatSignsInIsNotWhatAProxyOrTheSocketSays(t *testing.T) {
	o := newOffice(t)
	token := o.of(api.ScopeSet)
	r := request("PUT", "/api/v1/users/bob/status", `{"type":"dnd"}`)
	for name, value := range map[string]string{api.ByHeader: "cli", "X-Forwarded-For": "127.0.0.1", "X-Forwarded-User": "root", "Forwarded": "for=127.0.0.1", "Host": "localhost"} {
		r.Header.Set(name, value)
	}
	if w := do(o.api.Network(), r); w.Code != http.StatusUnauthorized {
		t.Fatalf("without a token: %d", w.Code)
	}
	r = request("PUT", "/api/v1/users/bob/status", `{"type":"dnd"}`)
	r.Header.Set(api.ByHeader, "cli")
	r.Header.Set("Authorization", "Bearer "+token)
	do(o.api.Network(), r)
	if c := o.bridge.Choices(); len(c) != 1 || c[0].By != "api set" {
		t.Errorf("chosen %+v", c)
	}
	for _, path := range []string{"/api/v1/users?token=" + token, "/api/v1/events?access_token=" + token} {
		if w := o.ask("", "GET", path, ""); w.Code != http.StatusUnauthorized {
			t.Errorf("a token in the address: %d", w.Code)
		}
	}
}

func TestATokenOfItsOwnSetsNobodyElse(t *testing.T) {
	o := newOffice(t)
	token := o.of(api.ScopeOwn)
	for _, other := range []string{"bob", "ALICE", "alice%00", "zoe", "eve%2F..%2Falice"} {
		w := o.ask(token, "PUT", "/api/v1/users/"+other+"/status", `{"type":"dnd"}`)
		if w.Code != http.StatusForbidden || !strings.Contains(detail(t, w), `"alice" alone`) {
			t.Errorf("%s: %d %s", other, w.Code, w.Body)
		}
	}
	if w := o.ask(token, "PUT", "/api/v1/users/alice/status", `{"type":"dnd"}`); w.Code != http.StatusOK {
		t.Errorf("alice: %d %s", w.Code, w.Body)
	}
	if c := o.bridge.Choices(); len(c) != 1 || c[0].By != "api own" {
		t.Errorf("chosen %+v", c)
	}
}

func TestARefusedTokenLearnsWhy(t *testing.T) {
	o := newOffice(t)
	good := o.token(`{"name":"good","scope":"read","expires":"2026-11-22T12:00:00Z"}`)
	gone := o.token(`{"name":"gone","scope":"read"}`)
	if w := do(o.api, request("DELETE", "/api/v1/tokens/gone", "")); w.Code != http.StatusNoContent {
		t.Fatalf("revoke: %d %s", w.Code, w.Body)
	}
	for _, tc := range []struct{ name, token, want string }{
		{"cut short", good[:len(good)-1], "mistyped"},
		{"one character changed", good[:10] + flip(good[10]) + good[11:], "mistyped"},
		{"in upper case", strings.ToUpper(good), "mistyped"},
		{"of something else", "ghp_abc", "mistyped"},
		{"very long", "pbt_" + strings.Repeat("A", 10000), "mistyped"},
		{"revoked", gone, "revoked"},
	} {
		if w := o.ask(tc.token, "GET", "/api/v1/users", ""); w.Code != http.StatusUnauthorized || !strings.Contains(detail(t, w), tc.want) {
			t.Errorf("%s: %d %s", tc.name, w.Code, w.Body)
		}
	}
	if w := o.ask(good, "GET", "/api/v1/users", ""); w.Code != http.StatusOK {
		t.Errorf("the good one: %d %s", w.Code, w.Body)
	}
	r := request("GET", "/api/v1/users", "")
	r.Header.Set("Authorization", "bearer "+good) // RFC 9110, 11.1: schemes have no case
	if w := do(o.api.Network(), r); w.Code != http.StatusOK {
		t.Errorf("in small letters: %d %s", w.Code, w.Body)
	}
	o.pass(2 * time.Hour)
	if w := o.ask(good, "GET", "/api/v1/users", ""); w.Code != http.StatusUnauthorized || !strings.Contains(detail(t, w), "ran out at 2026-11-22T12:00:00Z") {
		t.Errorf("ran out: %d %s", w.Code, w.Body)
	}
	for _, e := range o.logs.All() {
		for _, secret := range []string{good, gone, good[:20]} {
			if strings.Contains(fmt.Sprint(e.Message, e.ContextMap()), secret) {
				t.Errorf("the log has a token: %v", e)
			}
		}
	}
	if n := o.logs.FilterMessage("sign-in refused").Len(); n != 7 {
		t.Errorf("%d refusals are logged", n)
	}
}

func flip(c byte) string {
	if c == 'A' {
		return "B"
	}
	return "A"
}

func TestATokenThatAsksTooOftenWaitsAndNobodyElseDoes(t *testing.T) {
	o := newOffice(t)
	eager, other := o.of(api.ScopeRead), o.of(api.ScopeSet)
	for i := range 200 {
		if w := o.ask(eager, "GET", "/healthz", ""); w.Code != http.StatusOK {
			t.Fatalf("request %d: %d", i+1, w.Code)
		}
	}
	w := o.ask(eager, "GET", "/healthz", "")
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "1" || detail(t, w) == "" {
		t.Errorf("the next one: %d, Retry-After %q, %s", w.Code, w.Header().Get("Retry-After"), w.Body)
	}
	if w := o.ask(other, "GET", "/healthz", ""); w.Code != http.StatusOK {
		t.Errorf("another token: %d", w.Code)
	}
	o.pass(time.Second)
	for i := range 50 {
		if w := o.ask(eager, "GET", "/healthz", ""); w.Code != http.StatusOK {
			t.Fatalf("a second later, request %d: %d", i+1, w.Code)
		}
	}
	if w := o.ask(eager, "GET", "/healthz", ""); w.Code != http.StatusTooManyRequests {
		t.Errorf("and after those: %d", w.Code)
	}
}

func TestWhoGuessesIsSlowedDownAndLocksNobodyOut(t *testing.T) {
	o := newOffice(t)
	good := o.of(api.ScopeRead)
	codes := map[int]int{}
	for range 1000 {
		w := o.ask("pbt_guess", "GET", "/api/v1/users", "")
		codes[w.Code]++
		if w.Header().Get("Connection") != "close" {
			t.Fatal("who is refused keeps the connection")
		}
	}
	if codes[401] != 10 || codes[429] != 990 {
		t.Errorf("answers %v", codes)
	}
	if n := o.logs.FilterMessage("sign-in refused").Len(); n != 10 {
		t.Errorf("%d refusals are logged", n)
	}
	if text := do(o.api.Health(), request("GET", "/metrics", "")).Body.String(); !strings.Contains(text, "\npresencebridge_sign_ins_refused_total 1000\n") {
		t.Errorf("the metrics are %s", text)
	}
	// From the same address, as behind a proxy.
	if w := o.ask(good, "GET", "/api/v1/users", ""); w.Code != http.StatusOK {
		t.Errorf("the good token: %d %s", w.Code, w.Body)
	}
	o.pass(time.Minute)
	if w := o.ask("pbt_guess", "GET", "/api/v1/users", ""); w.Code != http.StatusUnauthorized {
		t.Errorf("a minute later: %d", w.Code)
	}
}

func TestRevokedAndExpiredTokensEndTheirStreams(t *testing.T) {
	for name, end := range map[string]func(*office){
		"revoked": func(o *office) { do(o.api, request("DELETE", "/api/v1/tokens/it", "")) },
		"expired": func(*office) {}, // by itself
	} {
		t.Run(name, func(t *testing.T) {
			o := newOffice(t)
			body := `{"name":"it","scope":"read"}`
			if name == "expired" {
				o.now = time.Now()
				body = fmt.Sprintf(`{"name":"it","scope":"read","expires":%q}`, o.now.Add(300*time.Millisecond).Format(time.RFC3339Nano))
			}
			token, other := o.token(body), o.of(api.ScopeSet)
			s := httptest.NewServer(o.api.Network())
			defer s.Close()
			defer o.api.EndStreams()
			lines, done := stream(t, s.URL, token)
			defer done()
			others, otherDone := stream(t, s.URL, other)
			defer otherDone()
			ids(t, others, 5)
			if text := do(o.api, request("GET", "/metrics", "")).Body.String(); name == "revoked" && !strings.Contains(text, "\npresencebridge_event_streams 2\n") {
				t.Errorf("the metrics are %s", text)
			}
			end(o)
			for lines.Scan() { // until it ends
			}
			if err := lines.Err(); err != nil {
				t.Errorf("it did not end in order: %v", err)
			}
			o.bridge.Put(apitest.Users()[1])
			if got := ids(t, others, 1); got[0] != "6 bob" {
				t.Errorf("the other stream has %v", got)
			}
		})
	}
}

// stream opens the events with a token.
func stream(t *testing.T, url, token string) (*bufio.Scanner, func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/api/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("status %s", answer.Status)
	}
	return bufio.NewScanner(answer.Body), func() {
		cancel()
		_ = answer.Body.Close()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	}
}

func TestTheWatchersAddressServesNothingElse(t *testing.T) {
	o := newOffice(t)
	var open []string
	for what := range o.api.Served() {
		method, path, _ := strings.Cut(what, " ")
		path = strings.NewReplacer("{id}", "alice", "{name}", "read", "{account}", "crm").Replace(path)
		if w := do(o.api.Health(), request(method, path, bodies[what])); w.Code != http.StatusNotFound {
			open = append(open, what)
		}
	}
	slices.Sort(open)
	if got, want := fmt.Sprint(open), "[GET /healthz GET /metrics GET /readyz]"; got != want {
		t.Errorf("open are %s, want %s", got, want)
	}
}

func TestRefusalsAreAsTheGoldenFiles(t *testing.T) {
	o := newOffice(t)
	reader, owner := o.of(api.ScopeRead), o.of(api.ScopeOwn)
	for range 200 {
		o.ask(owner, "GET", "/healthz", "")
	}
	busy := o.ask(owner, "GET", "/healthz", "")
	o.pass(time.Minute)
	for _, tc := range []struct {
		name   string
		w      *httptest.ResponseRecorder
		status int
	}{
		{"no-token", o.ask("", "GET", "/api/v1/users", ""), http.StatusUnauthorized},
		{"bad-token", o.ask("pbt_x", "GET", "/api/v1/users", ""), http.StatusUnauthorized},
		{"small-scope", o.ask(reader, "POST", "/api/v1/reload", ""), http.StatusForbidden},
		{"somebody-elses-settings", o.ask(owner, "GET", "/api/v1/users/bob/settings", ""), http.StatusForbidden},
		{"somebody-else", o.ask(owner, "PUT", "/api/v1/users/bob/status", `{"type":"dnd"}`), http.StatusForbidden},
		{"too-many", busy, http.StatusTooManyRequests},
	} {
		if tc.w.Code != tc.status {
			t.Errorf("%s: %d", tc.name, tc.w.Code)
		}
		conforms(t, "Problem", tc.w.Body.Bytes())
		compare(t, tc.name, tc.w.Body.Bytes())
	}
}
