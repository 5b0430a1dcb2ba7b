package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc/oidctest"
	"github.com/oauth2-proxy/mockoidc"

	"github.com/presencebridge/presencebridge/config"
	"github.com/presencebridge/presencebridge/pkg/connector/asterisk/diagnose"
	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
	"github.com/presencebridge/presencebridge/pkg/store/servertest"
)

// withSignIn lets people sign in to a bridge at the address that it returns.
func (r *running) withSignIn() (at string) {
	r.t.Helper()
	address := freeAddress(r.t)
	text, err := os.ReadFile(filepath.Join(r.dir, "presencebridge.yaml"))
	if err != nil {
		r.t.Fatal(err)
	}
	at = "http://" + address
	r.write("presencebridge.yaml", strings.Replace(string(text), "http: {socket: s}", "http: {socket: s, listen: \""+address+"\"}\nsign_in: {url: \""+at+"\"}", 1))
	return at
}

// invites returns the link that a command prints.
func (r *running) invites(args ...string) string {
	r.t.Helper()
	link, _, _ := strings.Cut(r.must(args...), "\n")
	r.secrets = append(r.secrets, link[strings.LastIndex(link, "/")+1:])
	return link
}

const goodPassword = "four wooden ladders"

// newBrowser keeps cookies, and so a session.
func newBrowser(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar, Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
}

// It begins with nothing but the command line, as the first administrator does.
func TestSomebodySignsInToTheRunningBridge(t *testing.T) {
	r := configure(t, threeMethods, pbxtest.NewSimulated(t, pbxtest.Options{}))
	r.secrets = append(r.secrets, goodPassword)
	at := r.withSignIn()
	r.startReady()
	link := r.invites("admin", "invite", "--role", "administrator", "--user", "alice", "root")
	if !strings.HasPrefix(link, at+"/invitation/") {
		t.Fatalf("the link is %q", link)
	}
	browser := newBrowser(t)
	send(t, browser, "POST", link, url.Values{"password": {goodPassword}, "again": {goodPassword}})
	if got := send(t, browser, "GET", at+"/api/v1/me", nil); !strings.Contains(got, `"by":"panel root","scope":"admin","user":"alice"`) {
		t.Errorf("it is %s", got)
	}
	r.says(0, "admin list", "root", "administrator", "alice", "password")
	r.says(1, "admin disable root", "last administrator")
	if got := send(t, browser, "POST", at+"/sign-out", url.Values{}); !strings.Contains(got, `name="password"`) {
		t.Errorf("signed out: %s", got)
	}
	if got := send(t, browser, "GET", at+"/api/v1/me", nil); !strings.Contains(got, "Sign in to the panel") {
		t.Errorf("after the sign-out: %s", got)
	}
	r.says(0, "audit", "root, administrator, invited by cli", "signed in", "panel root")
	r.stop()
}

func TestSomebodySignsInWithAProvider(t *testing.T) {
	provider, err := mockoidc.Run()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = provider.Shutdown() })
	r := configure(t, threeMethods+"  - {id: ann, name: Ann, email: Ann@example.com, extensions: [\"1077\"]}\n", pbxtest.NewSimulated(t, pbxtest.Options{}))
	at := r.withSignIn()
	r.write("idp-secret", provider.Config().ClientSecret)
	r.secrets = append(r.secrets, provider.Config().ClientSecret)
	text, err := os.ReadFile(filepath.Join(r.dir, "presencebridge.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	r.write("presencebridge.yaml", strings.Replace(string(text), "sign_in: {url: \""+at+"\"}", fmt.Sprintf(`sign_in:
  url: %s
  local: false
  providers:
    - {name: idp, issuer: %q, client_id: %s, client_secret_file: idp-secret, scopes: [email, groups], roles: {operator: [reception]}}`,
		at, provider.Issuer(), provider.Config().ClientID), 1))
	r.startReady()
	// The mapping surprises, so that it is 1.
	r.says(exitFailed, "doctor", "provider        ok", at+"/sign-in/idp/callback")
	r.says(exitFailed, "admin invite", "needs no invitation")
	provider.QueueUser(&mockoidc.MockUser{Subject: "1", Email: "ann@example.com", EmailVerified: true, Groups: []string{"reception"}})
	browser := newBrowser(t)
	send(t, browser, "GET", at+"/sign-in/idp", nil) // there and back
	if got := send(t, browser, "GET", at+"/api/v1/me", nil); !strings.Contains(got, `"by":"panel ann@example.com","scope":"own","user":"ann"`) {
		t.Errorf("it is %s", got)
	}
	r.says(exitDone, "admin list", "ann@example.com", "operator", "idp")
	r.stop()
}

func TestASessionSurvivesATakeover(t *testing.T) {
	onEachServer(t, func(t *testing.T, driver string, server *servertest.Server) {
		pbx := pbxtest.NewSimulated(t, pbxtest.Options{})
		at := server.NewDatabase()
		first, second := configure(t, threeMethods, pbx), configure(t, threeMethods, pbx)
		first.storeIn(driver, at)
		second.storeIn(driver, at)
		first.withSignIn()
		panel := second.withSignIn() // with one proxy before both of them it would be one address
		first.startReady()
		second.start()
		second.standsBy()
		browser := newBrowser(t)
		link := first.invites("admin", "invite", "--role", "administrator", "--user", "alice", "root")
		send(t, browser, "POST", link, url.Values{"password": {goodPassword}, "again": {goodPassword}})
		first.kill()
		second.ready()
		if got := send(t, browser, "GET", panel+"/api/v1/me", nil); !strings.Contains(got, `"by":"panel root"`) { // a cookie goes to every port of a host
			t.Errorf("the other bridge says %s", got)
		}
		if got := send(t, browser, "GET", panel+"/sign-in/x", nil); !strings.Contains(got, "There is nothing here") {
			t.Errorf("the other bridge says %s", got)
		}
		second.stop()
	})
}

// send sends a form, or nothing, and returns what comes in the end.
func send(t *testing.T, browser *http.Client, method, at string, form url.Values) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, at, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	w, err := browser.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Body.Close() }()
	var b bytes.Buffer
	if _, err := b.ReadFrom(w.Body); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestABridgeWithoutAPanelSaysSo(t *testing.T) {
	r, _ := simulated(t)
	for _, command := range []string{"admin list", "admin invite", "admin disable alice", "admin reset alice", "admin remove alice"} {
		r.says(exitFailed, command, "write sign_in: into presencebridge.yaml")
	}
	r.stop()
}

func TestDoctorAsksProviders(t *testing.T) {
	var idp oidctest.Server
	server := httptest.NewServer(&idp)
	defer server.Close()
	idp.SetIssuer(server.URL)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": "https://evil.example"})
	}))
	defer other.Close()
	m := Main{Out: &bytes.Buffer{}, Terminal: func() (int, int, error) { return 0, 0, http.ErrNotSupported }}
	steps := m.examineSignIn(t.Context(), config.SignIn{URL: "https://panel.example", Local: true, Providers: []config.Provider{
		{Name: "good", Issuer: server.URL}, {Name: "other", Issuer: other.URL}, {Name: "none", Issuer: "http://127.0.0.1:1"}, {Name: "clear", Issuer: "http://192.0.2.1"},
	}})
	for i, want := range []struct {
		result diagnose.Result
		text   string
	}{
		{diagnose.OK, "https://panel.example/sign-in"},
		{diagnose.OK, "https://panel.example/sign-in/good/callback"},
		{diagnose.Failed, "evil.example"},
		{diagnose.Failed, "connection refused"},
		{diagnose.Failed, "not https"},
	} {
		if s := steps[i]; s.Result != want.result || !strings.Contains(s.Says+s.Do, want.text) {
			t.Errorf("%+v, want %s with %s", s, want.result, want.text)
		}
	}
}
