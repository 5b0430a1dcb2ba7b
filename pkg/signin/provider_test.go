package signin_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc/oidctest"

	"github.com/presencebridge/presencebridge/pkg/api"
	"github.com/presencebridge/presencebridge/pkg/signin"
)

var alice = map[string]any{"email": "Alice@Example.com", "email_verified": true, "name": "Alice\n Martin"}

func TestAProviderSaysWhoSomebodyIs(t *testing.T) {
	o, p := withProvider(t, nil)
	b := o.browser("192.0.2.1")
	p.says(alice)
	w := b.through(p)
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/board" {
		t.Fatalf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	who, _ := o.Who(b.request("GET", "/", nil))
	if who.Account != "alice@example.com" || who.User != "alice" || who.Role != signin.User || who.Name != "Alice Martin" || who.Provider != "idp" {
		t.Errorf("%+v", who)
	}
	if len(b.cookies) != 1 {
		t.Errorf("cookies are left: %v", b.cookies)
	}
	o.again() // the account stays the same, also under another address
	p.says(map[string]any{"email": "bob@example.com", "email_verified": "true"})
	b = o.browser("192.0.2.1")
	b.through(p)
	if who, _ := o.Who(b.request("GET", "/", nil)); who.Account != "alice@example.com" || who.User != "bob" || len(o.Accounts()) != 1 {
		t.Errorf("%+v", who)
	}
	b.saw(b.get("/account/password"), http.StatusForbidden, "signin.no_password")
	if w := b.get("/sign-in/idp"); w.Header().Get("Location") != "/" {
		t.Errorf("who has signed in is sent to %q", w.Header().Get("Location"))
	}
}

func TestWhomAProviderIsNotBelieved(t *testing.T) {
	unsigned := func(header string) func(string) string {
		return func(claims string) string {
			b64 := base64.RawURLEncoding.EncodeToString
			return b64([]byte(header)) + "." + b64([]byte(claims)) + "."
		}
	}
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	with := func(name string, value any) map[string]any {
		claims := maps.Clone(alice)
		claims[name] = value
		return claims
	}
	for _, tc := range []struct {
		name   string
		claims map[string]any
		sign   func(string) string
		key    string // of the message
		log    string
	}{
		{"another nonce", with("nonce", "x"), nil, "signin.not_identified", "nonce"},
		{"no nonce", with("nonce", ""), nil, "signin.not_identified", "nonce"},
		{"ran out", with("exp", time.Now().Add(-time.Hour).Unix()), nil, "signin.not_identified", "expired"},
		{"another issuer", with("iss", "https://evil.example"), nil, "signin.not_identified", "different provider"},
		{"for somebody else", with("aud", "another"), nil, "signin.not_identified", "audience"},
		{"given to somebody else", with("azp", "another"), nil, "signin.not_identified", "made for"},
		{"no subject", with("sub", ""), nil, "signin.not_identified", "subject"},
		{"a long subject", with("sub", strings.Repeat("x", 256)), nil, "signin.not_identified", "subject"},
		{"not signed", alice, unsigned(`{"alg":"none"}`), "signin.not_identified", "unexpected signature algorithm"},
		{"signed with the secret", alice, func(claims string) string {
			return oidctest.SignIDToken([]byte(strings.Repeat(clientSecret, 2)), "key", "HS256", claims)
		}, "signin.not_identified", "HS256"},
		{"signed by somebody else", alice, func(claims string) string { return oidctest.SignIDToken(stranger, "key", "RS256", claims) }, "signin.not_identified", "signature"},
		{"rubbish", alice, func(string) string { return "rubbish" }, "signin.not_identified", "malformed"},
		{"an address that is not verified", with("email_verified", false), nil, "signin.email_not_verified", "no such user"},
		{"nothing about it", map[string]any{"email": "alice@example.com"}, nil, "signin.email_not_verified", "no such user"},
		{"no address", map[string]any{"name": "Alice"}, nil, "signin.no_email", "no such user"},
		{"nobody's address", map[string]any{"email": "zoe@example.com", "email_verified": true}, nil, "signin.unknown_user", "no such user"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o, p := withProvider(t, nil)
			if tc.sign != nil {
				p.sign = tc.sign
			}
			p.says(tc.claims)
			b := o.browser("192.0.2.1")
			b.saw(b.through(p), http.StatusForbidden, tc.key)
			if n := o.Refused(); n != 1 {
				t.Errorf("%d were refused, want 1", n)
			}
			if b.is() != "" || len(o.Accounts()) != 0 || len(b.cookies) != 0 {
				t.Errorf("%q is in, with %d accounts and %v", b.is(), len(o.Accounts()), b.cookies)
			}
			logged := fmt.Sprint(o.logs.FilterMessage("sign-in refused").All()[0].ContextMap())
			if !strings.Contains(logged, tc.log) || strings.Contains(logged, clientSecret) || strings.Contains(logged, "eyJ") {
				t.Errorf("the log has %s", logged)
			}
		})
	}
}

func TestAReturnBelongsToWhoHasGone(t *testing.T) {
	o, p := withProvider(t, nil)
	p.says(alice)
	begin := func(b *browser) string { return p.lets(t, b.get("/sign-in/idp").Header().Get("Location")) }
	for name, come := range map[string]func(b *browser) *httptest.ResponseRecorder{
		"another browser": func(*browser) *httptest.ResponseRecorder {
			return o.browser("192.0.2.3").get(begin(o.browser("192.0.2.2")))
		},
		"another state": func(b *browser) *httptest.ResponseRecorder {
			return b.get(strings.Replace(begin(b), "state=", "state=x", 1))
		},
		"no state": func(b *browser) *httptest.ResponseRecorder {
			return b.get(strings.Replace(begin(b), "state=", "x=", 1))
		},
		"another provider": func(b *browser) *httptest.ResponseRecorder { begin(b); return b.get("/sign-in/idp/callback?code=x") },
		"too late": func(b *browser) *httptest.ResponseRecorder {
			back := begin(b)
			o.pass(11 * time.Minute)
			return b.get(back)
		},
		"twice": func(b *browser) *httptest.ResponseRecorder {
			back := begin(b)
			flow := maps.Clone(b.cookies)
			b.get(back)
			if b.is() == "" {
				t.Error("nobody is in after the first time")
			}
			b.cookies = flow
			return b.get(back)
		},
		"a cookie of its own making": func(b *browser) *httptest.ResponseRecorder {
			back := begin(b)
			for _, c := range b.cookies {
				c.Value = base64.RawURLEncoding.EncodeToString([]byte(`{"provider":"idp"} and some more to be long enough`))
			}
			return b.get(back)
		},
	} {
		b := o.browser("192.0.2.1")
		w := come(b)
		if w.Code != http.StatusBadRequest || w.Header().Get("X-Message") != "signin.flow_lost" {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
		if b.is() != "" {
			t.Errorf("%s: %s is in", name, b.is())
		}
	}
}

func TestACodeIsGoodOnceAndWithItsVerifier(t *testing.T) {
	o, p := withProvider(t, nil)
	p.says(alice)
	one, two := o.browser("192.0.2.1"), o.browser("192.0.2.2")
	stolen := p.lets(t, one.get("/sign-in/idp").Header().Get("Location"))
	code := strings.Split(stolen, "code=")[1]
	own := p.lets(t, two.get("/sign-in/idp").Header().Get("Location"))
	replayed := strings.Split(own, "code=")[0] + "code=" + strings.Split(code, "&")[0] + "&state=" + strings.Split(own, "state=")[1]
	two.saw(two.get(replayed), http.StatusForbidden, "signin.not_identified")
	if log := fmt.Sprint(o.logs.All()); !strings.Contains(log, "that code is not good") || strings.Contains(log, strings.Split(code, "&")[0]) {
		t.Errorf("the log has %s", log)
	}
	if two.is() != "" {
		t.Errorf("%s is in with a stolen code", two.is())
	}
	b := o.browser("192.0.2.3")
	at, err := url.Parse(b.get("/sign-in/idp").Header().Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	b.saw(b.get("/sign-in/idp/callback?error=access_denied&error_description=%0Aforged&state="+at.Query().Get("state")), http.StatusForbidden, "signin.provider_refused")
	at, _ = url.Parse(b.get("/sign-in/idp").Header().Get("Location"))
	b.saw(b.get("/sign-in/idp/callback?code=x&iss=https://evil.example&state="+at.Query().Get("state")), http.StatusForbidden, "signin.not_identified")
}

func TestGroupsGiveRolesAtEachSignIn(t *testing.T) {
	o, p := withProvider(t, func(p *signin.Provider) {
		p.GroupsClaim = "realm_access.roles"
		p.Roles = map[signin.Role][]string{signin.Administrator: {"it"}, signin.Operator: {"desk", "reception"}}
	})
	in := func(groups any) map[string]any {
		claims := maps.Clone(alice)
		claims["realm_access"] = map[string]any{"roles": groups}
		return claims
	}
	var open api.Session
	for i, tc := range []struct {
		groups any
		want   signin.Role
	}{
		{[]string{"staff", "reception"}, signin.Operator}, {[]string{"it", "desk"}, signin.Administrator}, {"it", signin.Administrator}, {[]string{}, signin.User}, {7, signin.User},
	} {
		p.says(in(tc.groups))
		b := o.browser("192.0.2.1")
		b.through(p)
		who, _ := o.Who(b.request("GET", "/", nil))
		if who.Role != tc.want || i == 3 && !isClosed(open.Ended) {
			t.Errorf("%v: %s, want %s", tc.groups, who.Role, tc.want)
		}
		open = b.session()
	}
	p.says(alice)
	b := o.browser("192.0.2.1")
	b.through(p)
	if n := o.logs.FilterMessageSnippet("does not say in which groups").Len(); n != 1 || b.session().Scope != api.ScopeOwn {
		t.Errorf("without groups: logged %d times, %+v", n, b.session())
	}
	// Who has a role needs no user.
	p.says(map[string]any{"sub": "s-2", "email": "zoe@example.com", "email_verified": true, "realm_access": map[string]any{"roles": []string{"it"}}})
	b = o.browser("192.0.2.1")
	b.through(p)
	if who, _ := o.Who(b.request("GET", "/", nil)); who.Role != signin.Administrator || who.User != "" || who.Account != "zoe@example.com" {
		t.Errorf("%+v", who)
	}
}

func TestMatchesByOtherClaims(t *testing.T) {
	for _, tc := range []struct {
		name    string
		change  func(*signin.Provider)
		claims  map[string]any
		account string
		user    string
	}{
		{"by the username, an id", func(p *signin.Provider) { p.Match, p.UsernameClaim = signin.Username, "preferred_username" }, map[string]any{"preferred_username": "bob"}, "bob", "bob"},
		{"by the username, an address", func(p *signin.Provider) { p.Match, p.UsernameClaim = signin.Username, "upn" }, map[string]any{"upn": "bob@example.com"}, "bob@example.com", "bob"},
		{"a trusted address", func(p *signin.Provider) { p.TrustEmail = true }, map[string]any{"email": "alice@example.com"}, "alice@example.com", "alice"},
		{"anybody", func(p *signin.Provider) { p.MakeAccounts = true }, map[string]any{"email": "Zoë+x@example.com", "email_verified": true}, "zo-x@example.com", ""},
		{"anybody without a name", func(p *signin.Provider) { p.MakeAccounts = true }, map[string]any{}, "idp", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o, p := withProvider(t, tc.change)
			p.says(tc.claims)
			b := o.browser("192.0.2.1")
			b.through(p)
			if who, _ := o.Who(b.request("GET", "/", nil)); who.Account != tc.account || string(who.User) != tc.user {
				t.Errorf("%+v", who)
			}
		})
	}
}

// TestTokensLikeThoseOfZoho have parts that are padded, and another name for the key.
func TestTokensLikeThoseOfZoho(t *testing.T) {
	o, p := withProvider(t, nil)
	p.sign = func(claims string) string {
		b64 := base64.RawURLEncoding
		head, body := b64.EncodeToString([]byte(`{"key_id":"key","typ":"JWS","alg":"RS256"}`)), b64.EncodeToString([]byte(claims))
		sum := sha256.Sum256([]byte(head + "." + body))
		signature, err := rsa.SignPKCS1v15(rand.Reader, p.key, crypto.SHA256, sum[:])
		if err != nil {
			t.Error(err)
		}
		padded := func(part string) string { return part + strings.Repeat("=", (4-len(part)%4)%4) }
		return padded(head) + "." + padded(body) + "." + padded(b64.EncodeToString(signature))
	}
	p.says(alice)
	b := o.browser("192.0.2.1")
	if b.through(p); b.is() != "alice@example.com" {
		t.Errorf("%q is in", b.is())
	}
}

func TestALocalAccountIsNobodyElses(t *testing.T) {
	o, p := withProvider(t, nil)
	local := o.has("alice@example.com", "administrator")
	p.says(alice)
	b := o.browser("192.0.2.1")
	b.through(p)
	if b.is() != "alice@example.com-2" || local.is() != "alice@example.com" || b.session().Scope != api.ScopeOwn {
		t.Errorf("%q, beside %q", b.is(), local.is())
	}
	if w := b.signIn("alice@example.com-2", ""); w.Code != http.StatusUnauthorized {
		t.Errorf("an account without a password lets in with none: %d", w.Code)
	}
	yes := true
	if _, err := o.ChangeAccount(t.Context(), "alice@example.com-2", api.AccountChange{Disabled: &yes}, "cli"); err != nil {
		t.Fatal(err)
	}
	b = o.browser("192.0.2.1")
	b.saw(b.through(p), http.StatusForbidden, "signin.disabled")
	if _, err := o.ResetAccount(t.Context(), "alice@example.com-2", "cli"); err == nil || !strings.Contains(err.Error(), "idp says who that is") {
		t.Errorf("reset: %v", err)
	}
}

func TestAnotherIssuerOrNoneSpeaksOfOthers(t *testing.T) {
	o, p := withProvider(t, nil)
	p.says(alice)
	b := o.browser("192.0.2.1")
	b.through(p)
	other := newIDP(t) // under the same name, with the same subject
	other.says(map[string]any{"email": "bob@example.com", "email_verified": true})
	o.by.Providers[0].Issuer = other.URL
	o.again()
	bob := o.browser("192.0.2.2")
	if bob.through(other); bob.is() != "bob@example.com" || len(o.Accounts()) != 2 {
		t.Errorf("%q is in, of %d accounts", bob.is(), len(o.Accounts()))
	}
	link := o.link("root", "user")
	o.by.Providers, o.by.Local = nil, false
	o.again()
	if b.is() != "" || bob.is() != "" {
		t.Error("who has signed in with a provider that is gone is still in")
	}
	b.saw(b.post(link, url.Values{"password": {good}, "again": {good}}), http.StatusForbidden, "signin.no_passwords")
}

// A name that turns the text around it, or looks like another one, is that of nobody.
func TestANameFromOutsideHasNoSignsThatNobodySees(t *testing.T) {
	for name, want := range map[string]string{
		"Alice \u202eecilA\u2066":                 "Alice ecilA",
		"\ufeffAl\u200bi\u200d\u00adce\u061c":     "Alice",
		"\u200e\u200f\u2060":                      "Name of alice", // nothing is left, so the mapping has it
		"Zo\u00eb\u2028Lef\u00e8vre\tJ\u00fa\x00": "Zo\u00eb Lef\u00e8vre J\u00fa",
	} {
		o, p := withProvider(t, nil)
		p.says(map[string]any{"email": "alice@example.com", "email_verified": true, "name": name})
		b := o.browser("192.0.2.1")
		b.through(p)
		if got, _ := b.Who(b.request("GET", "/", nil)); got.Name != want {
			t.Errorf("%+q is shown as %+q, want %+q", name, got.Name, want)
		}
	}
}

func TestAWayOnThatIsTooLongIsLeftOut(t *testing.T) {
	o, p := withProvider(t, nil)
	p.says(alice)
	b := o.browser("192.0.2.1")
	w := b.get("/sign-in/idp?next=" + url.QueryEscape("/board?"+strings.Repeat("&", 1000)))
	if w = b.get(p.lets(t, w.Header().Get("Location"))); w.Header().Get("Location") != "/" || b.is() == "" {
		t.Errorf("%d to %q, and %q is in", w.Code, w.Header().Get("Location"), b.is())
	}
}

func TestCodesThatAreNotGoodAreBounded(t *testing.T) {
	o, p := withProvider(t, nil)
	b := o.browser("198.51.100.7")
	var last *httptest.ResponseRecorder
	for range 61 {
		at, err := url.Parse(b.get("/sign-in/idp").Header().Get("Location"))
		if err != nil {
			t.Fatal(err)
		}
		last = b.get("/sign-in/idp/callback?code=x&state=" + at.Query().Get("state"))
	}
	b.saw(last, http.StatusTooManyRequests, "signin.too_often")
	p.says(alice)
	other := o.browser("192.0.2.1")
	if other.through(p); other.is() != "alice@example.com" {
		t.Error("others are kept out")
	}
}

func TestWhatTheTokenDoesNotSayIsAskedFor(t *testing.T) {
	o, p := withProvider(t, nil)
	p.mu.Lock()
	p.info = map[string]any{"sub": "s-1", "email": "alice@example.com", "email_verified": true}
	p.mu.Unlock()
	b := o.browser("192.0.2.1")
	if b.through(p); b.is() != "alice@example.com" {
		t.Errorf("%q is in", b.is())
	}
	p.mu.Lock()
	p.info["sub"] = "s-2"
	p.mu.Unlock()
	b = o.browser("192.0.2.1")
	b.saw(b.through(p), http.StatusForbidden, "signin.not_identified")
}

func TestAProviderThatIsDownHoldsNobodyUp(t *testing.T) {
	o, p := withProvider(t, nil)
	p.mu.Lock()
	p.down = true
	p.mu.Unlock()
	b := o.browser("192.0.2.1")
	w := b.get("/sign-in/idp")
	b.saw(w, http.StatusBadGateway, "signin.provider_down")
	if text := w.Header().Get("X-Text"); !strings.HasPrefix(text, "The Office cannot be reached") || !strings.Contains(w.Body.String(), "Down:true") {
		t.Errorf("%s: %s", text, w.Body)
	}
	for range 5 { // it is not asked again and again
		b.saw(b.get("/sign-in/idp"), http.StatusBadGateway, "signin.provider_down")
	}
	p.mu.Lock()
	asked := p.asked
	p.down = false
	p.mu.Unlock()
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
	if n := o.Refused(); n != 0 {
		t.Errorf("%d were refused by nobody", n)
	}
	local := o.has("root", "administrator")
	o.pass(6 * time.Second)
	p.says(alice)
	if b.through(p); b.is() != "alice@example.com" || local.is() != "root" {
		t.Errorf("%q is in after it is back", b.is())
	}
	b.saw(o.browser("192.0.2.1").get("/sign-in/nobody"), http.StatusNotFound, "signin.not_there")
}

func TestRunAsksProvidersByItself(t *testing.T) {
	o, p := withProvider(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	p.mu.Lock()
	p.down = true
	p.mu.Unlock()
	go func() { defer close(done); o.Desk.Run(ctx) }()
	for o.logs.FilterMessage("the provider of sign-ins does not answer as it should; it is asked again and again").Len() == 0 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	<-done
}

func TestNothingIsAskedInClear(t *testing.T) {
	for at, ok := range map[string]bool{
		"https://idp.example/x": true, "http://127.0.0.1:8080": true, "http://[::1]": true, "http://localhost": true,
		"http://idp.example": false, "http://10.0.0.1": false, "file:///etc/passwd": false, "http://localhost.evil.example": false,
	} {
		u, err := url.Parse(at)
		if err != nil {
			t.Fatal(err)
		}
		if err := signin.Safe(u); (err == nil) != ok {
			t.Errorf("%s: %v", at, err)
		}
	}
	server := httptest.NewServer(http.RedirectHandler("http://192.0.2.1/", http.StatusFound))
	defer server.Close()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := signin.NewClient().Do(r); err == nil {
		_ = answer.Body.Close()
		t.Error("a redirection out of TLS was followed")
	}
}
