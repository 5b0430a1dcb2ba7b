package api_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/presencebridge/presencebridge/pkg/api"
	"github.com/presencebridge/presencebridge/pkg/api/apitest"
	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/message"
)

var update = flag.Bool("update", false, "write the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const golden = "../../testdata/api"

// handler returns the API of b at the time of apitest, with two tokens and what was
// done before.
func handler(b api.Bridge) *api.Handler { return handlerOf(b, apitest.NewMapping()) }

func handlerOf(b api.Bridge, m *apitest.Mapping) *api.Handler {
	now := func() time.Time { return apitest.Now }
	tokens, err := api.OpenTokens(context.Background(), apitest.NewStore(), nil, now)
	if err != nil {
		panic(err) // a store in memory has nothing to say
	}
	return api.New(b, api.Options{Tokens: tokens, Mapping: m, Rules: apitest.NewRules(), Accounts: apitest.NewAccounts(), Now: now, Store: "sqlite", Version: "1.2.3"})
}

func request(method, path, body string) *http.Request {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

func do(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestAnswersAreAsTheGoldenFiles(t *testing.T) {
	for _, tc := range []struct {
		name, method, path, body string
		status                   int
		schema                   string // of the answer, in openapi.json
		prepare                  func(*apitest.Bridge)
	}{
		{name: "users", path: "/api/v1/users", status: 200, schema: "UserList"},
		{name: "users-page", path: "/api/v1/users?limit=2", status: 200, schema: "UserList"},
		{name: "users-next-page", path: "/api/v1/users?limit=2&cursor=bob", status: 200, schema: "UserList"},
		{name: "users-filtered", path: "/api/v1/users?status=lunch&base=absent&q=MART", status: 200, schema: "UserList"},
		{name: "users-by-number", path: "/api/v1/users?q=1003", status: 200, schema: "UserList"},
		{name: "users-by-tag", path: "/api/v1/users?tag=vip&group=sales", status: 200, schema: "UserList"},
		{name: "users-by-group", path: "/api/v1/users?tag=vip&group=support", status: 200, schema: "UserList"},
		{name: "users-none", path: "/api/v1/users?base=offline", status: 200, schema: "UserList"},
		{name: "users-limit", path: "/api/v1/users?limit=0", status: 422, schema: "Problem"},
		{name: "users-base", path: "/api/v1/users?base=bussy", status: 422, schema: "Problem"},
		{name: "users-cursor", path: "/api/v1/users?cursor=zoe", status: 400, schema: "Problem"},
		{name: "user", path: "/api/v1/users/alice", status: 200, schema: "User"},
		{name: "user-odd-id", path: "/api/v1/users/eve%2F..%2Fx", status: 200, schema: "User"},
		{name: "user-unknown", path: "/api/v1/users/alcie", status: 404, schema: "Problem"},
		{name: "user-unlike-any", path: "/api/v1/users/zoe", status: 404, schema: "Problem"},
		{name: "choose", method: "PUT", path: "/api/v1/users/alice/status", body: `{"type":"dnd","message":"In\r\na review","until":"2026-11-22T12:00:00+01:00"}`, status: 200, schema: "ChosenUser"},
		{name: "choose-cut", method: "PUT", path: "/api/v1/users/alice/status", body: `{"type":"dnd","message":"` + strings.Repeat("é", 200) + `"}`, status: 200, schema: "ChosenUser"},
		{name: "choose-label", method: "PUT", path: "/api/v1/users/alice/status", body: `{"type":"training","label":"Course on wine"}`, status: 200, schema: "ChosenUser"},
		{name: "choose-never", method: "PUT", path: "/api/v1/users/alice/status", body: `{"type":"dnd","until":"never"}`, status: 200, schema: "ChosenUser"},
		{name: "choose-overruled", method: "PUT", path: "/api/v1/users/bob/status", body: `{"type":"lunch","until":null}`, status: 200, schema: "ChosenUser"},
		{name: "choose-unsynchronised", method: "PUT", path: "/api/v1/users/carol/status", body: `{"type":"lunch"}`, status: 200, schema: "ChosenUser"},
		{name: "choose-unknown-user", method: "PUT", path: "/api/v1/users/zoe/status", body: `{"type":"lunch"}`, status: 404, schema: "Problem"},
		{name: "choose-unknown-type", method: "PUT", path: "/api/v1/users/bob/status", body: `{"type":"lunsh"}`, status: 422, schema: "Problem"},
		{name: "choose-unsaved", method: "PUT", path: "/api/v1/users/bob/status", body: `{"type":"lunch"}`, status: 503, schema: "Problem",
			prepare: func(b *apitest.Bridge) { b.ChooseErr = fmt.Errorf("disk full: %w", bridge.ErrUnsaved) }},
		{name: "choose-bad", method: "PUT", path: "/api/v1/users/bob/status", body: `{"type":"lunch"}`, status: 422, schema: "Problem",
			prepare: func(b *apitest.Bridge) {
				b.ChooseErr = fmt.Errorf("%w: bob may not have lunch", bridge.ErrBadInput)
			}},
		{name: "stopping", method: "PUT", path: "/api/v1/users/bob/status", body: `{"type":"lunch"}`, status: 503, schema: "Problem",
			prepare: func(b *apitest.Bridge) { b.ChooseErr = bridge.ErrStopping }},
		{name: "settings", path: "/api/v1/users/alice/settings", status: 200, schema: "Settings"},
		{name: "settings-unknown-user", path: "/api/v1/users/alcie/settings", status: 404, schema: "Problem"},
		{name: "settings-change", method: "PUT", path: "/api/v1/users/bob/settings", body: `{"default_extension":{"pbx":"main","extension":"1003"},"sync":false}`, status: 200, schema: "Settings"},
		{name: "settings-not-own", method: "PUT", path: "/api/v1/users/bob/settings", body: `{"default_extension":{"pbx":"main","extension":"1001"}}`, status: 422, schema: "Problem"},
		{name: "settings-unsaved", method: "PUT", path: "/api/v1/users/bob/settings", body: `{"sync":null}`, status: 503, schema: "Problem",
			prepare: func(b *apitest.Bridge) { b.ChooseErr = fmt.Errorf("disk full: %w", bridge.ErrUnsaved) }},
		{name: "slow", path: "/api/v1/users/alice/explain", status: 503, schema: "Problem",
			prepare: func(b *apitest.Bridge) { b.ExplainErr = context.DeadlineExceeded }},
		{name: "unexpected", path: "/api/v1/users/alice/explain", status: 500, schema: "Problem",
			prepare: func(b *apitest.Bridge) { b.ExplainErr = errors.New("secret details") }},
		{name: "explain", path: "/api/v1/users/alice/explain", status: 200, schema: "Explanation"},
		{name: "explain-own", path: "/api/v1/users/carol/explain", status: 200, schema: "Explanation"},
		{name: "explain-nothing", path: "/api/v1/users/eve%2F..%2Fx/explain", status: 200, schema: "Explanation"},
		{name: "history", path: "/api/v1/users/alice/history?limit=2", status: 200, schema: "History"},
		{name: "history-next-page", path: "/api/v1/users/alice/history?limit=2&cursor=1795339800000000-7", status: 200, schema: "History"},
		{name: "history-none", path: "/api/v1/users/bob/history", status: 200, schema: "History"},
		{name: "history-of-a-lost-user", path: "/api/v1/users/gone/history", status: 200, schema: "History"},
		{name: "history-unknown", path: "/api/v1/users/zoe/history", status: 404, schema: "Problem"},
		{name: "history-of-a-lost-user-later", path: "/api/v1/users/gone/history?from=2026-11-22T09:00:00Z", status: 200, schema: "History"},
		{name: "history-all", path: "/api/v1/history", status: 200, schema: "History"},
		{name: "history-selected", path: "/api/v1/history?user=alice&from=2026-11-22T10:00:00%2B01:00&to=2026-11-22T10:27:00.000001Z&by=extension%20main", status: 200, schema: "History"},
		{name: "history-of-nobody", path: "/api/v1/history?user=alcie", status: 404, schema: "Problem"},
		{name: "history-from", path: "/api/v1/history?from=2026-11-22", status: 422, schema: "Problem"},
		{name: "history-to", path: "/api/v1/history?to=2026-11-22T10:00:00+01:00", status: 422, schema: "Problem"},
		{name: "history-cursor", path: "/api/v1/users/alice/history?cursor=x", status: 400, schema: "Problem"},
		{name: "me", path: "/api/v1/me", status: 200, schema: "Caller"},
		{name: "statuses", path: "/api/v1/statuses", status: 200, schema: "StatusTypeList"},
		{name: "pbxs", path: "/api/v1/pbxs", status: 200, schema: "PBXList"},
		{name: "reload", method: "POST", path: "/api/v1/reload", status: 204},
		{name: "reload-faults", method: "POST", path: "/api/v1/reload", status: 422, schema: "Problem",
			prepare: func(b *apitest.Bridge) {
				b.ReloadErr = apitest.Faults{"mapping.yaml:3: sync.incoming: unknown", "mapping.yaml:9: users: twice"}
			}},
		{name: "reload-stopping", method: "POST", path: "/api/v1/reload", status: 503, schema: "Problem",
			prepare: func(b *apitest.Bridge) { b.ReloadErr = bridge.ErrStopping }},
		{name: "tokens", path: "/api/v1/tokens", status: 200, schema: "TokenList"},
		{name: "token-name", method: "POST", path: "/api/v1/tokens", body: `{"name":"a b","scope":"read"}`, status: 422, schema: "Problem"},
		{name: "token-local", method: "POST", path: "/api/v1/tokens", body: `{"name":"local","scope":"read"}`, status: 422, schema: "Problem"},
		{name: "token-scope", method: "POST", path: "/api/v1/tokens", body: `{"name":"x","scope":"admn"}`, status: 422, schema: "Problem"},
		{name: "token-no-user", method: "POST", path: "/api/v1/tokens", body: `{"name":"x","scope":"own"}`, status: 422, schema: "Problem"},
		{name: "token-user-for-nothing", method: "POST", path: "/api/v1/tokens", body: `{"name":"x","scope":"set","user":"alice"}`, status: 422, schema: "Problem"},
		{name: "token-unknown-user", method: "POST", path: "/api/v1/tokens", body: `{"name":"x","scope":"own","user":"alcie"}`, status: 404, schema: "Problem"},
		{name: "token-expires", method: "POST", path: "/api/v1/tokens", body: `{"name":"x","scope":"read","expires":"2026-11-22T09:59:00Z"}`, status: 422, schema: "Problem"},
		{name: "token-no-json", method: "POST", path: "/api/v1/tokens", body: `[]`, status: 400, schema: "Problem"},
		{name: "token-field", method: "POST", path: "/api/v1/tokens", body: `{"name":"x","scope":"read","expires":"90d"}`, status: 422, schema: "Problem"},
		{name: "token-twice", method: "POST", path: "/api/v1/tokens", body: `{"name":"crm","scope":"read"}`, status: 409, schema: "Problem"},
		{name: "token-revoked", method: "DELETE", path: "/api/v1/tokens/crm", status: 204},
		{name: "token-unknown", method: "DELETE", path: "/api/v1/tokens/crn", status: 404, schema: "Problem"},
		{name: "token-unlike-any", method: "DELETE", path: "/api/v1/tokens/zoe", status: 404, schema: "Problem"},
		{name: "accounts", path: "/api/v1/accounts", status: 200, schema: "AccountList"},
		{name: "account-changed", method: "PATCH", path: "/api/v1/accounts/crm", body: `{"role":"user","user":null,"rights":[],"disabled":true}`, status: 200, schema: "Account"},
		{name: "account-unchanged", method: "PATCH", path: "/api/v1/accounts/crm", body: `{}`, status: 422, schema: "Problem"},
		{name: "account-field", method: "PATCH", path: "/api/v1/accounts/crm", body: `{"disabled":"yes"}`, status: 422, schema: "Problem"},
		{name: "account-unknown", method: "PATCH", path: "/api/v1/accounts/rot", body: `{"disabled":true}`, status: 404, schema: "Problem"},
		{name: "account-removed", method: "DELETE", path: "/api/v1/accounts/crm", status: 204},
		{name: "account-signed-out", method: "POST", path: "/api/v1/accounts/crm/sign-out", status: 200, schema: "Account"},
		{name: "account-reset", method: "POST", path: "/api/v1/accounts/crm/reset", status: 201, schema: "MadeInvitation"},
		{name: "invitations", path: "/api/v1/invitations", status: 200, schema: "InvitationList"},
		{name: "invited", method: "POST", path: "/api/v1/invitations", body: `{"role":"administrator"}`, status: 201, schema: "MadeInvitation"},
		{name: "invitation-field", method: "POST", path: "/api/v1/invitations", body: `{"scope":"admin"}`, status: 422, schema: "Problem"},
		{name: "invitation-withdrawn", method: "DELETE", path: "/api/v1/invitations/alice", status: 204},
		{name: "invitation-unknown", method: "DELETE", path: "/api/v1/invitations/x", status: 404, schema: "Problem"},
		{name: "preferences-of-nobody", path: "/api/v1/me/preferences", status: 403, schema: "Problem"},
		{name: "audit", path: "/api/v1/audit", status: 200, schema: "Audit"},
		{name: "audit-page", path: "/api/v1/audit?limit=1", status: 200, schema: "Audit"},
		{name: "audit-selected", path: "/api/v1/audit?by=cli&from=2026-11-22T00:00:00Z", status: 200, schema: "Audit"},
		{name: "audit-what", path: "/api/v1/audit?what=crm&did=token", status: 200, schema: "Audit"},
		{name: "audit-what-no-text", path: "/api/v1/audit?what=%ff", status: 400, schema: "Problem"},
		{name: "audit-cursor", path: "/api/v1/audit?cursor=x", status: 400, schema: "Problem"},
		{name: "health", path: "/api/v1/health", status: 200, schema: "Condition"},
		{name: "health-slow", path: "/api/v1/health", status: 503, schema: "Problem",
			prepare: func(b *apitest.Bridge) { b.DriftErr = context.DeadlineExceeded }},
		{name: "health-troubled", path: "/api/v1/health", status: 200, schema: "Condition", prepare: troubled},
		{name: "healthz", path: "/healthz", status: 200, schema: "Health"},
		{name: "readyz", path: "/readyz", status: 200, schema: "Readiness"},
		{name: "readyz-not", path: "/readyz", status: 503, schema: "Readiness", prepare: func(b *apitest.Bridge) { b.Reasons = []bridge.Reason{apitest.Reason("branch: no snapshot yet")} }},
		{name: "pbxs-standing-in", path: "/api/v1/pbxs", status: 200, schema: "PBXList", prepare: func(b *apitest.Bridge) {
			h := &b.Conditions[0].Health
			h.Transport, h.Told = "ari", []message.Message{
				{Text: "AMI is down, presence is followed over ARI", Key: message.As("pbx.stands_in"), Leads: true}, {Text: "connection refused"},
			}
			h.Reason = message.Join(h.Told)
		}},
		{name: "metrics", path: "/metrics", status: 200},
		{name: "nothing-there", path: "/api/v2/users", status: 404, schema: "Problem"},
		{name: "wrong-method", method: "DELETE", path: "/api/v1/users/alice/status", status: 405, schema: "Problem"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := apitest.New()
			if tc.prepare != nil {
				tc.prepare(b)
			}
			w := do(handler(b), request(tc.method, tc.path, tc.body))
			if w.Code != tc.status {
				t.Errorf("status %d, want %d", w.Code, tc.status)
			}
			if (tc.status == 503) != (w.Header().Get("Retry-After") != "") {
				t.Errorf("Retry-After %q with status %d", w.Header().Get("Retry-After"), tc.status)
			}
			if tc.schema != "" {
				conforms(t, tc.schema, w.Body.Bytes())
			}
			compare(t, tc.name, w.Body.Bytes())
		})
	}
}

// troubled makes b a bridge whose every part is in trouble.
func troubled(b *apitest.Bridge) {
	fault := errors.New("disk full on /var/lib/presencebridge")
	b.Reasons = []bridge.Reason{
		apitest.Reason("PBX branch: connection refused"),
		apitest.Reason("store: "+fault.Error(), message.As("health.store", "error", fault.Error())),
	}
	b.Counted.Store.Err = fault
	b.Reloaded = bridge.Reloads{Failed: 1, Fault: errors.New("mapping.yaml:3: users: a fault: mend it\nmapping.yaml:9: another"), At: apitest.Now}
	b.Drifts = bridge.Drift{}
}

func TestTheWordsOfErrorsAreForAdministrators(t *testing.T) {
	o := newOffice(t)
	troubled(o.bridge)
	reader := o.of(api.ScopeRead)
	w := o.ask(reader, "GET", "/api/v1/health", "")
	conforms(t, "Condition", w.Body.Bytes())
	compare(t, "health-for-readers", w.Body.Bytes())
	for _, secret := range []string{"/var/lib", "mapping.yaml"} {
		if strings.Contains(w.Body.String(), secret) {
			t.Errorf("a reader is told of %s", secret)
		}
	}
}

// compare compares with a golden file, indented if it is JSON.
func compare(t *testing.T, name string, got []byte) {
	t.Helper()
	name = filepath.Join(golden, name)
	if json, ok := indented(got); ok {
		name, got = name+".json", json
	} else {
		name += ".txt"
	}
	if *update {
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatalf("%v: run go test -update", err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs, got:\n%s", name, got)
	}
}

func TestHostileInputIsRefusedWithAProblem(t *testing.T) {
	const put, own = "/api/v1/users/alice/status", "/api/v1/users/alice/settings"
	for _, tc := range []struct {
		name, method, path, body, contentType, by string
		status                                    int
		detail                                    string // part of it
	}{
		{name: "no body", method: "PUT", path: put, status: 400, detail: "not a JSON object"},
		{name: "null", method: "PUT", path: put, body: `null`, status: 400, detail: "not a JSON object"},
		{name: "an array", method: "PUT", path: put, body: `[]`, status: 400, detail: "not a JSON object"},
		{name: "two objects", method: "PUT", path: put, body: `{"type":"dnd"}{}`, status: 400, detail: "not a JSON object"},
		{name: "deep nesting", method: "PUT", path: put, body: strings.Repeat("[", 20000), status: 400, detail: "not a JSON object"},
		{name: "an unknown field", method: "PUT", path: put, body: `{"type":"dnd","retour":null}`, status: 422, detail: "type, message, label, until"},
		{name: "a field in upper case", method: "PUT", path: put, body: `{"Type":"dnd"}`, status: 422, detail: `"Type" is no field`},
		{name: "a type that is a number", method: "PUT", path: put, body: `{"type":1}`, status: 422, detail: "type has to be"},
		{name: "a message that is a list", method: "PUT", path: put, body: `{"type":"dnd","message":[]}`, status: 422, detail: "message has to be"},
		{name: "a label that is a number", method: "PUT", path: put, body: `{"type":"dnd","label":1}`, status: 422, detail: "label has to be"},
		{name: "no type", method: "PUT", path: put, body: `{"message":"x"}`, status: 422, detail: "type is missing"},
		{name: "until that is no time", method: "PUT", path: put, body: `{"type":"dnd","until":"tomorrow"}`, status: 422, detail: "until has to be"},
		{name: "until in the past", method: "PUT", path: put, body: `{"type":"dnd","until":"2026-11-22T10:30:00Z"}`, status: 422, detail: "over already"},
		{name: "a token until then", method: "POST", path: "/api/v1/tokens", body: `{"name":"x","scope":"read","expires":"9999-12-31T23:00:00-05:00"}`, status: 422, detail: "10 years ahead"},
		{name: "too long", method: "PUT", path: put, body: `{"message":"` + strings.Repeat("x", 64<<10) + `"}`, status: 413, detail: "65536"},
		{name: "a form", method: "PUT", path: put, body: `type=dnd`, contentType: "application/x-www-form-urlencoded", status: 415, detail: "application/json"},
		{name: "plain text", method: "PUT", path: put, body: `{"type":"dnd"}`, contentType: "text/plain", status: 415, detail: "application/json"},
		{name: "a forged origin", method: "PUT", path: put, body: `{"type":"dnd"}`, by: "extension main/1001", status: 400, detail: "api local"},
		{name: "a line break in the origin", method: "PUT", path: put, body: `{"type":"dnd"}`, by: "panel a\tb", status: 400, detail: "api local"},
		{name: "a switch that is a text", method: "PUT", path: own, body: `{"sync":"on"}`, status: 422, detail: "sync has to be true, false, or null"},
		{name: "an unknown setting", method: "PUT", path: own, body: `{"incoming":"latest"}`, status: 422, detail: "default_extension, sync"},
		{name: "a number alone", method: "PUT", path: own, body: `{"default_extension":"1002"}`, status: 422, detail: `like {"pbx": "main"`},
		{name: "an extension without a PBX", method: "PUT", path: own, body: `{"default_extension":{"extension":"1002"}}`, status: 422, detail: `like {"pbx": "main"`},
		{name: "an extension in upper case", method: "PUT", path: own, body: `{"default_extension":{"PBX":"main","extension":"1002"}}`, status: 422, detail: `like {"pbx": "main"`},
		{name: "an extension of a null", method: "PUT", path: own, body: `{"default_extension":{"pbx":null,"extension":"1002"}}`, status: 422, detail: `like {"pbx": "main"`},
		{name: "settings of nobody", method: "PUT", path: "/api/v1/users/%00/settings", body: `{}`, status: 404, detail: "No such user"},
		{name: "an event id that is no number", method: "GET", path: "/api/v1/events?last_event_id=-1", status: 400, detail: "Last-Event-ID"},
		{name: "a limit beyond all bounds", method: "GET", path: "/api/v1/users?limit=99999999999999999999", status: 422, detail: "limit"},
		{name: "a history limit that is no number", method: "GET", path: "/api/v1/users/alice/history?limit=x", status: 422, detail: "limit"},
		{name: "a year that the store cannot write", method: "GET", path: "/api/v1/history?from=0000-01-01T00:00:00Z", status: 422, detail: "from is"},
		{name: "a cursor without an id", method: "GET", path: "/api/v1/history?cursor=1795339800000000", status: 400, detail: "cursor"},
		{name: "a cursor of another list", method: "GET", path: "/api/v1/audit?cursor=alice", status: 400, detail: "cursor"},
		{name: "a cursor beyond all bounds", method: "GET", path: "/api/v1/history?cursor=99999999999999999-1", status: 400, detail: "cursor"},
		{name: "a user with control characters", method: "GET", path: "/api/v1/users/%00%1b%5b2J", status: 404, detail: `\x00\x1b[2J`},
		{name: "an unknown method", method: "BREW", path: "/healthz", status: 405, detail: "GET or HEAD only"},
		{name: "reading what is written", method: "GET", path: "/api/v1/reload", status: 405, detail: "POST only"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := apitest.New()
			r := request(tc.method, tc.path, tc.body)
			r.Header.Set("Content-Type", "application/json; charset=utf-8")
			if tc.contentType != "" {
				r.Header.Set("Content-Type", tc.contentType)
			}
			if tc.by != "" {
				r.Header.Set(api.ByHeader, tc.by)
			}
			w := do(handler(b), r)
			if w.Code != tc.status || w.Header().Get("Content-Type") != "application/problem+json" {
				t.Errorf("%d %s, want a problem with %d", w.Code, w.Header().Get("Content-Type"), tc.status)
			}
			conforms(t, "Problem", w.Body.Bytes())
			if detail := decode(t, w.Body.Bytes())["detail"].(string); !strings.Contains(detail, tc.detail) {
				t.Errorf("detail %q does not tell %q", detail, tc.detail)
			}
			if len(b.Choices())+len(b.SetBy()) > 0 {
				t.Error("it was chosen all the same")
			}
		})
	}
}

func TestABodyThatEndsEarlyIsRefused(t *testing.T) {
	r := httptest.NewRequest(http.MethodPut, "/api/v1/users/alice/status", io.MultiReader(strings.NewReader(`{"ty`), broken{}))
	r.Header.Set("Content-Type", "application/json")
	if w := do(handler(apitest.New()), r); w.Code != http.StatusBadRequest {
		t.Errorf("status %d, want 400", w.Code)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestAWrongMethodTellsWhichAreAllowed(t *testing.T) {
	for path, want := range map[string]string{
		"/api/v1/users": "GET, HEAD", "/api/v1/users/alice/status": "PUT", "/api/v1/reload": "POST", "/api/v1/tokens": "GET, HEAD, POST", "/api/v1/tokens/x": "DELETE",
	} {
		if got := do(handler(apitest.New()), request("PATCH", path, "")).Header().Get("Allow"); got != want {
			t.Errorf("%s allows %q, want %q", path, got, want)
		}
	}
}

func TestHeadIsAnsweredLikeGet(t *testing.T) {
	for _, path := range []string{"/api/v1/users", "/api/v1/events"} {
		if w := do(handler(apitest.New()), request("HEAD", path, "")); w.Code != http.StatusOK {
			t.Errorf("%s: status %d", path, w.Code)
		}
	}
	c := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := c.Head(serve(t, handler(apitest.New())) + "/api/v1/users")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if text, err := io.ReadAll(answer.Body); len(text) > 0 || err != nil || answer.ContentLength <= 0 || answer.Header.Get("ETag") == "" {
		t.Errorf("%d bytes, %v, length %d", len(text), err, answer.ContentLength)
	}
}

func TestAChoiceNamesWhoAsked(t *testing.T) {
	for header, want := range map[string]string{"": "api local", "cli": "cli", "panel root": "panel root", "integration crm.eu": "integration crm.eu"} {
		b := apitest.New()
		r := request("PUT", "/api/v1/users/alice/status", `{"type":"dnd"}`)
		r.Header.Set(api.ByHeader, header)
		do(handler(b), r)
		if c := b.Choices(); len(c) != 1 || c[0].By != want {
			t.Errorf("header %q: %+v, want by %q", header, c, want)
		}
	}
}

func TestAChoiceBringsItsTraceAlong(t *testing.T) {
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for _, tc := range []struct {
		headers []string
		want    string
	}{
		{nil, ""},
		{[]string{parent}, parent},
		{[]string{"nonsense"}, "nonsense"}, // who reads it knows better
		{[]string{parent, parent}, ""},
		{[]string{strings.Repeat("x", 129)}, ""},
	} {
		b := apitest.New()
		r := request("PUT", "/api/v1/users/alice/status", `{"type":"dnd"}`)
		for _, h := range tc.headers {
			r.Header.Add("traceparent", h)
		}
		do(handler(b), r)
		if c := b.Choices(); len(c) != 1 || c[0].TraceParent != tc.want {
			t.Errorf("headers %q: %+v", tc.headers, c)
		}
	}
}

func TestAnOverruledChoiceWithoutAWinnerIsToldToo(t *testing.T) {
	b := apitest.New()
	e := b.Explanations["bob"]
	e.Extensions = nil
	b.Explanations["bob"] = e
	w := do(handler(b), request("PUT", "/api/v1/users/bob/status", `{"type":"lunch"}`))
	if got := decode(t, w.Body.Bytes())["notice"]; got != "The choice is kept, but the status is another one." {
		t.Errorf("notice %q", got)
	}
}

func TestTheOperatorLearnsWhatTheClientDoesNot(t *testing.T) {
	core, logged := observer.New(zap.InfoLevel)
	b := apitest.New()
	b.ExplainErr = errors.New("secret details")
	w := do(api.New(b, api.Options{Log: zap.New(core)}), request("GET", "/api/v1/users/alice/explain", ""))
	if strings.Contains(w.Body.String(), "secret") {
		t.Errorf("the client got %s", w.Body)
	}
	if all := logged.FilterField(zap.Error(b.ExplainErr)).All(); len(all) != 1 || all[0].Level != zap.ErrorLevel {
		t.Errorf("logged %+v", logged.All())
	}
}

func TestAClientThatLeftIsNoFaultOfOursAndNotToldThatAllIsWell(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	core, logged := observer.New(zap.InfoLevel)
	b := apitest.New()
	b.ExplainErr = context.Canceled
	h := api.New(b, api.Options{Log: zap.New(core)})
	if w := do(h, request("GET", "/api/v1/users/alice/explain", "").WithContext(ctx)); w.Code != http.StatusRequestTimeout {
		t.Errorf("answered %d %s", w.Code, w.Body)
	}
	if logged.Len() > 0 {
		t.Errorf("logged %v", logged.All())
	}
}

func TestWhoHasTheSameAlreadyGetsNothing(t *testing.T) {
	for _, path := range []string{"/api/v1/users", "/api/v1/users?limit=2", "/api/v1/users/alice", "/api/v1/statuses", "/api/v1/pbxs"} {
		b := apitest.New()
		h := handler(b)
		first := do(h, request("GET", path, ""))
		tag := first.Header().Get("ETag")
		for _, sent := range []string{tag, "W/" + tag, `"x", ` + tag, "*"} {
			r := request("GET", path, "")
			r.Header.Set("If-None-Match", sent)
			if w := do(h, r); w.Code != http.StatusNotModified || w.Body.Len() > 0 || w.Header().Get("ETag") != tag {
				t.Errorf("%s with %s: %d %s", path, sent, w.Code, w.Body)
			}
		}
		u := apitest.Users()[0]
		u.Version++
		b.Put(u)
		b.StatusTypes, b.Conditions = b.StatusTypes[1:], b.Conditions[1:]
		r := request("GET", path, "")
		r.Header.Set("If-None-Match", tag)
		if w := do(h, r); w.Code != http.StatusOK || w.Header().Get("ETag") == tag || w.Body.Len() == 0 {
			t.Errorf("%s after a change: %d", path, w.Code)
		}
	}
}
