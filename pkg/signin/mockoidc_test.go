package signin_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/oauth2-proxy/mockoidc"

	"github.com/presencebridge/presencebridge/pkg/signin"
)

// TestAProviderOfSomebodyElse is one that others have written, so that ours is not
// tested by itself.
func TestAProviderOfSomebodyElse(t *testing.T) {
	provider, err := mockoidc.Run()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = provider.Shutdown() })
	o := newOffice(t, func(c *signin.Config) {
		c.Providers = []signin.Provider{{
			Name: "idp", Issuer: provider.Issuer(), ClientID: provider.Config().ClientID, ClientSecret: provider.Config().ClientSecret,
			Scopes: []string{"email", "profile", "groups"}, Match: signin.Email, GroupsClaim: "groups",
			Roles: map[signin.Role][]string{signin.Operator: {"reception"}},
		}}
	})
	for _, tc := range []struct {
		name string
		user mockoidc.MockUser
		want string
		role signin.Role
		key  string
	}{
		{"in a group", mockoidc.MockUser{Subject: "1", Email: "alice@example.com", EmailVerified: true, Groups: []string{"reception"}}, "alice@example.com", signin.Operator, ""},
		{"out of it", mockoidc.MockUser{Subject: "1", Email: "alice@example.com", EmailVerified: true}, "alice@example.com", signin.User, ""},
		{"not verified", mockoidc.MockUser{Subject: "2", Email: "bob@example.com"}, "", "", "signin.email_not_verified"},
		{"unknown", mockoidc.MockUser{Subject: "3", Email: "zoe@example.com", EmailVerified: true}, "", "", "signin.unknown_user"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			provider.QueueUser(&tc.user)
			b := o.browser("192.0.2.1")
			back := follow(t, b.get("/sign-in/idp").Header().Get("Location"))
			w := b.get(back)
			if w.Header().Get("X-Message") != tc.key || b.is() != tc.want {
				t.Fatalf("%d %v %s: %q is in", w.Code, w.Header(), w.Body, b.is())
			}
			if p, _ := o.Who(b.request("GET", "/", nil)); p.Role != tc.role {
				t.Errorf("role %q, want %q", p.Role, tc.role)
			}
			again := o.browser("192.0.2.1")
			if w := again.get(back); w.Header().Get("X-Message") != "signin.flow_lost" || again.is() != "" {
				t.Errorf("the same answer in another browser: %d", w.Code)
			}
		})
	}
}

// follow goes to the provider, and returns where that sends the browser back to.
func follow(t *testing.T, at string) string {
	t.Helper()
	c := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	w, err := c.Get(at)
	if err != nil {
		t.Fatal(err)
	}
	_ = w.Body.Close()
	back, err := url.Parse(w.Header.Get("Location"))
	if err != nil || !strings.HasPrefix(back.String(), "https://panel.example/sign-in/idp/callback?") {
		t.Fatalf("%d: sent back to %q, %v", w.StatusCode, back, err)
	}
	return back.RequestURI()
}
