package signin_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc/oidctest"

	"github.com/presencebridge/presencebridge/pkg/signin"
)

const clientSecret = "the secret of the client"

// newKey makes a key once, for it takes long.
var newKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err) // never fails (crypto/rsa)
	}
	return key
})

// idp is a provider of OpenID Connect that believes everybody: codes are good once, with
// the verifier that belongs to them.
type idp struct {
	*httptest.Server
	key  *rsa.PrivateKey
	oidc oidctest.Server

	mu     sync.Mutex
	claims map[string]any        // of the next ID token
	info   map[string]any        // of user info; nil: there is none
	codes  map[string]url.Values // what was asked for by the code
	sign   func(claims string) string
	down   bool
	asked  int // for the description
}

func newIDP(t *testing.T) *idp {
	t.Helper()
	key := newKey()
	p := &idp{key: key, codes: map[string]url.Values{}}
	p.sign = func(claims string) string { return oidctest.SignIDToken(key, "key", "RS256", claims) }
	p.oidc.PublicKeys = []oidctest.PublicKey{{PublicKey: key.Public(), KeyID: "key", Algorithm: "RS256"}}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	p.oidc.SetIssuer(p.URL)
	return p
}

func (p *idp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case r.URL.Path == "/.well-known/openid-configuration" && p.down:
		p.asked++
		http.Error(w, "out to lunch", http.StatusServiceUnavailable)
	case r.URL.Path == "/.well-known/openid-configuration" && p.info != nil:
		_ = json.NewEncoder(w).Encode(map[string]any{
			"issuer": p.URL, "authorization_endpoint": p.URL + "/auth", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/keys",
			"userinfo_endpoint": p.URL + "/info", "token_endpoint_auth_methods_supported": []string{"client_secret_post"}, "id_token_signing_alg_values_supported": []string{"RS256"},
		})
	case r.URL.Path == "/info":
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(p.info)
	case r.URL.Path == "/token":
		p.token(w, r)
	default:
		p.oidc.ServeHTTP(w, r)
	}
}

// token gives an ID token for a code. The caller holds mu.
func (p *idp) token(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	asked, ok := p.codes[r.PostForm.Get("code")]
	delete(p.codes, r.PostForm.Get("code"))
	sum := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
	id, secret, inHeader := r.BasicAuth()
	if p.info != nil && !inHeader { // it says so then
		id, secret = r.PostForm.Get("client_id"), url.QueryEscape(r.PostForm.Get("client_secret"))
	}
	w.Header().Set("Content-Type", "application/json")
	if !ok || base64.RawURLEncoding.EncodeToString(sum[:]) != asked.Get("code_challenge") || asked.Get("code_challenge_method") != "S256" ||
		r.PostForm.Get("redirect_uri") != asked.Get("redirect_uri") || id != "bridge" || secret != url.QueryEscape(clientSecret) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprint(w, `{"error":"invalid_grant","error_description":"that code is not good"}`)
		return
	}
	claims := map[string]any{"iss": p.URL, "aud": "bridge", "sub": "s-1", "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix(), "nonce": asked.Get("nonce")}
	maps.Copy(claims, p.claims)
	text, _ := json.Marshal(claims)
	_ = json.NewEncoder(w).Encode(map[string]any{"access_token": "access", "token_type": "Bearer", "id_token": p.sign(string(text))})
}

// says sets what the provider says of who comes next.
func (p *idp) says(claims map[string]any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.claims = claims
}

// lets sends somebody back with a code, as the provider does; at is where the panel has
// sent them.
func (p *idp) lets(t *testing.T, at string) (back string) {
	t.Helper()
	u, err := url.Parse(at)
	if err != nil || !strings.HasPrefix(at, p.URL+"/auth?") {
		t.Fatalf("sent to %q, %v", at, err)
	}
	q := u.Query()
	p.mu.Lock()
	defer p.mu.Unlock()
	code := fmt.Sprint("code", len(p.codes), time.Now().UnixNano())
	p.codes[code] = q
	to, err := url.Parse(q.Get("redirect_uri"))
	if err != nil {
		t.Fatal(err)
	}
	to.RawQuery = url.Values{"code": {code}, "state": {q.Get("state")}}.Encode()
	return to.RequestURI()
}

func withProvider(t *testing.T, change func(*signin.Provider)) (*office, *idp) {
	t.Helper()
	p := newIDP(t)
	one := signin.Provider{
		Name: "idp", Title: "The Office", Issuer: p.URL, ClientID: "bridge", ClientSecret: clientSecret, Scopes: []string{"email", "profile"},
		Match: signin.Email, GroupsClaim: "groups",
	}
	if change != nil {
		change(&one)
	}
	return newOffice(t, func(c *signin.Config) { c.Providers = []signin.Provider{one} }), p
}

// through signs in through the provider.
func (b *browser) through(p *idp) *httptest.ResponseRecorder {
	b.Helper()
	w := b.get("/sign-in/idp?next=/board")
	if w.Code != http.StatusSeeOther {
		b.Fatalf("to the provider: %d %s", w.Code, w.Body)
	}
	return b.get(p.lets(b.T, w.Header().Get("Location")))
}
