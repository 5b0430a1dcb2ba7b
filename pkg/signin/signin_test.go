package signin_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/api"
	"github.com/presencebridge/presencebridge/pkg/signin"
	"github.com/presencebridge/presencebridge/pkg/store"
)

func TestAnInvitationIsTakenUpOnce(t *testing.T) {
	o := newOffice(t, nil)
	link := o.link("", "administrator")
	b := o.browser("192.0.2.1")
	b.saw(b.get(link), http.StatusOK, "")
	for _, tc := range []struct{ name, password, again, key string }{
		{"", good, good, "signin.name_bad"},
		{"../x", good, good, "signin.name_bad"},
		{"local", good, good, "signin.name_bad"},
		{"root", "too short", "too short", "signin.password_short"},
		{"root", strings.Repeat("x yz", 400), "", "signin.password_long"},
		{"administrator", "Administrator", "Administrator", "signin.password_name"},
		{"root", "password1234", "password1234", "signin.password_common"},
		{"root", good, good + " ", "signin.passwords_differ"},
	} {
		b.saw(b.post(link, url.Values{"name": {tc.name}, "password": {tc.password}, "again": {tc.again}}), http.StatusUnprocessableEntity, tc.key)
	}
	form := url.Values{"name": {" Root "}, "password": {good}, "again": {good}}
	if w := b.post(link, form); w.Code != http.StatusSeeOther || b.is() != "root" {
		t.Fatalf("%d %s, and %q has signed in", w.Code, w.Body, b.is())
	}
	other := o.browser("192.0.2.2")
	other.saw(other.get(link), http.StatusNotFound, "signin.invitation_gone")
	other.saw(other.post(link, form), http.StatusNotFound, "signin.invitation_gone")
	if other.is() != "" {
		t.Error("a link was good twice")
	}
	link = o.link("", "user")
	other.saw(other.post(link, form), http.StatusUnprocessableEntity, "signin.name_taken")
	o.pass(25 * time.Hour)
	other.saw(other.get(link), http.StatusNotFound, "signin.invitation_gone")
	acts, err := o.store.Audit(t.Context(), store.Query{})
	if err != nil || len(acts) != 4 || acts[2].What != "root, administrator, invited by cli" {
		t.Errorf("audit log %+v, %v", acts, err)
	}
	for _, a := range append(o.store.invitations(t), fmt.Sprint(acts), fmt.Sprint(o.logs.All())) {
		if strings.Contains(a, link[len("/invitation/"):]) || strings.Contains(a, "wooden") {
			t.Errorf("a secret shows in %s", a)
		}
	}
}

func (m *moody) invitations(t *testing.T) (all []string) {
	t.Helper()
	list, err := m.Invitations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range list {
		all = append(all, fmt.Sprint(i))
	}
	return all
}

func TestOnlyOneOfManyTakesALinkUp(t *testing.T) {
	o := newOffice(t, nil)
	link := o.link("", "user")
	codes := make([]int, 8)
	var wait sync.WaitGroup
	for i := range codes {
		wait.Go(func() {
			b := o.browser("192.0.2.1")
			codes[i] = b.post(link, url.Values{"name": {fmt.Sprint("user", i)}, "password": {good}, "again": {good}}).Code
		})
	}
	wait.Wait()
	if n := len(o.Accounts()); n != 1 {
		t.Errorf("%d accounts, %v", n, codes)
	}
}

func TestWhoSignsInGetsAnotherToken(t *testing.T) {
	o := newOffice(t, nil)
	o.has("alice", "user")
	b := o.browser("192.0.2.9")
	const name = "__Host-presencebridge-session"
	b.cookies[name] = &http.Cookie{Name: name, Value: "planted"}
	b.signIn("alice", good)
	first := b.cookies[name].Value
	before := b.session()
	if first == "planted" || len(first) < 43 {
		t.Fatalf("the token is %q", first)
	}
	b.signIn("ALICE ", good)
	if second := b.cookies[name].Value; second == first || !isClosed(before.Ended) {
		t.Errorf("signed in twice: %q and %q, the first ended: %v", first, second, isClosed(before.Ended))
	}
	b.cookies[name].Value = first
	if b.is() != "" {
		t.Error("the token of before is still good")
	}
}

func TestCookiesStayWithTheBrowserAndTheHost(t *testing.T) {
	for _, tc := range []struct {
		url    string
		name   string
		secure bool
	}{
		{"https://panel.example", "__Host-presencebridge-session", true},
		{"http://localhost:8080", "presencebridge-session", false},
	} {
		o := newOffice(t, func(c *signin.Config) { c.URL, _ = url.Parse(tc.url) })
		b := o.has("alice", "user")
		c := b.cookies[tc.name]
		if c == nil || c.Secure != tc.secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
			t.Errorf("%s: %+v", tc.url, b.cookies)
		}
		if w := b.get("/"); (w.Header().Get("Strict-Transport-Security") != "") != tc.secure {
			t.Errorf("%s: %v", tc.url, w.Header())
		}
	}
}

func TestOneStaysInThePanel(t *testing.T) {
	o := newOffice(t, nil)
	o.has("alice", "user")
	for next, want := range map[string]string{
		"": "/", "/board?q=x#y": "/board?q=x#y", "//evil.example": "/", "https://evil.example": "/", `/\evil.example`: "/", `\\evil.example`: "/",
		"/\t/evil.example": "/", "/%2f/evil.example": "/", "javascript:alert(1)": "/", "/sign-out": "/", "/sign-in?next=/": "/", "/%5cevil": "/",
		"/api/v1/users": "/", "evil": "/", "/" + strings.Repeat("x", 2000): "/", "/\r\nSet-Cookie: x=y": "/", "http:/evil": "/",
	} {
		b := o.browser("192.0.2.1")
		w := b.post("/sign-in", url.Values{"name": {"alice"}, "password": {good}, "next": {next}})
		if got := w.Header().Get("Location"); got != want || w.Code != http.StatusSeeOther {
			t.Errorf("after a sign-in with %q to %q, want %q", next, got, want)
		}
		if got := b.get("/sign-in?next=" + url.QueryEscape(next)).Header().Get("Location"); got != want {
			t.Errorf("who has signed in, with %q to %q, want %q", next, got, want)
		}
	}
}

func TestAPageOfAnotherSiteCanDoNothing(t *testing.T) {
	o := newOffice(t, nil)
	b := o.has("alice", "user")
	link := o.link("bob", "user")
	for _, header := range []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site", "Origin: https://evil.example", "Origin: null"} {
		name, value, _ := strings.Cut(header, ": ")
		b.header = http.Header{name: {value}}
		for _, path := range []string{"/sign-in", "/sign-out", "/account/password", link, "/board"} {
			b.saw(b.post(path, url.Values{"name": {"alice"}, "password": {good}, "again": {good}, "old": {good}, "everywhere": {"1"}}), http.StatusForbidden, "signin.cross_site")
		}
	}
	b.header = http.Header{"Sec-Fetch-Site": {"same-origin"}, "Origin": {"https://panel.example"}}
	if b.is() != "alice" || len(o.Accounts()) != 1 {
		t.Error("something was done")
	}
	if w := b.post("/sign-out", url.Values{}); w.Code != http.StatusSeeOther || b.is() != "" {
		t.Errorf("from the panel: %d", w.Code)
	}
}

func TestWhatIsTakenAwayIsGoneAtOnce(t *testing.T) {
	o := newOffice(t, nil)
	root := o.has("root", "administrator")
	b := o.has("alice", "operator")
	s := b.session()
	if s.Scope != api.ScopeOwn || s.User != "alice" || !s.Others || root.session().Scope != api.ScopeAdmin {
		t.Errorf("%+v", s)
	}
	change := func(c api.AccountChange) {
		t.Helper()
		if _, err := o.ChangeAccount(t.Context(), "alice", c, "panel root"); err != nil {
			t.Fatal(err)
		}
	}
	role := "user"
	change(api.AccountChange{Role: &role})
	if !isClosed(s.Ended) {
		t.Error("what was open with the old role goes on")
	}
	if s = b.session(); s.Others || isClosed(s.Ended) {
		t.Errorf("after the change: %+v", s)
	}
	change(api.AccountChange{Rights: &[]string{"delete", "create"}})
	if !isClosed(s.Ended) || b.session().Types != (api.TypeRights{Create: true, Delete: true}) {
		t.Errorf("with rights to status types: %+v", b.session())
	}
	s = b.session()
	yes, no := true, false
	change(api.AccountChange{Disabled: &yes})
	if _, err := o.Session(b.request("GET", "/", nil)); !errors.Is(err, api.ErrSignedOut) || !isClosed(s.Ended) {
		t.Errorf("a disabled account: %v", err)
	}
	b.saw(b.signIn("alice", good), http.StatusForbidden, "signin.disabled")
	b.saw(b.signIn("alice", "something else"), http.StatusUnauthorized, "signin.refused")
	change(api.AccountChange{Disabled: &no})
	if b.is() != "" {
		t.Error("an enabled account is signed in without having signed in")
	}
	b.signIn("alice", good)
	if s = b.session(); b.is() != "alice" {
		t.Error("cannot sign in again")
	}
	if err := o.RemoveAccount(t.Context(), "alice", "cli"); err != nil || b.is() != "" || !isClosed(s.Ended) {
		t.Errorf("removed: %v", err)
	}
	for _, err := range []error{
		o.RemoveAccount(t.Context(), "root", "cli"),
		second(o.ChangeAccount(t.Context(), "root", api.AccountChange{Disabled: &yes}, "cli")),
		second(o.ChangeAccount(t.Context(), "root", api.AccountChange{Role: &role}, "cli")),
	} {
		if err == nil || !strings.Contains(err.Error(), "last administrator") {
			t.Errorf("the last administrator: %v", err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// An account counts as the other administrator only where its owner can sign in.
func TestTheLastAdministratorIsTheLastWhoCanSignIn(t *testing.T) {
	o := newOffice(t, nil)
	o.has("root", "administrator")
	o.has("bob", "administrator")
	role := "user"
	if _, err := o.ResetAccount(t.Context(), "bob", "cli"); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"removed": o.RemoveAccount(t.Context(), "root", "cli"),
		"changed": func() error {
			_, err := o.ChangeAccount(t.Context(), "root", api.AccountChange{Role: &role}, "cli")
			return err
		}(),
	} {
		if err == nil || !strings.Contains(err.Error(), "last administrator who can sign in") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := o.RemoveAccount(t.Context(), "bob", "cli"); err != nil {
		t.Errorf("one who cannot sign in: %v", err)
	}
}
