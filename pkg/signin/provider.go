package signin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"go.uber.org/zap"
	"golang.org/x/oauth2"
)

// Provider is somebody who says who people are, by OpenID Connect.
type Provider struct {
	Name         string // part of the link to sign in
	Title        string // for people
	Issuer       string // https, or http on this machine
	ClientID     string
	ClientSecret string
	Scopes       []string // beside openid

	Match         Match
	UsernameClaim string            // of Username
	TrustEmail    bool              // an address counts although nobody says that it is verified
	GroupsClaim   string            // dots lead into objects
	Roles         map[Role][]string // groups; empty: administrators give roles
	MakeAccounts  bool              // also for who is no user of the mapping
}

// Match is by what people are found among the users of the mapping.
type Match string

// The matches.
const (
	Email    Match = "email"    // the claim email, if it is verified
	Username Match = "username" // the claim UsernameClaim, as an id or an address
)

const (
	providerWait = 10 * time.Second // for one answer
	mostAnswer   = 1 << 20          // bytes of one
	firstRetry   = 5 * time.Second
	lastRetry    = 5 * time.Minute
	askAgain     = 24 * time.Hour // what a provider says of itself
)

// errDown says that a provider could not be reached a moment ago.
var errDown = errors.New("it could not be reached a moment ago")

// provider is a Provider that may have been reached.
type provider struct {
	Provider
	redirect string // where it sends people back to
	client   *http.Client

	asking chan struct{} // one item while somebody asks it

	mu    sync.Mutex
	found *oidc.Provider // nil: not yet
	err   error          // of the last time; nil: it was reached, or nobody tried
	tried time.Time
}

func newProvider(p Provider, redirect string) *provider {
	return &provider{Provider: p, redirect: redirect, client: NewClient(), asking: make(chan struct{}, 1)}
}

// RedirectPath is where a provider sends people back to.
func RedirectPath(name string) string { return "/sign-in/" + name + "/callback" }

func (d *Desk) redirectTo(name string) string { return d.link(RedirectPath(name)) }

// NewClient is for what is asked of providers: every answer has a deadline and a bound,
// and nothing leaves TLS but to this machine.
func NewClient() *http.Client {
	return &http.Client{
		Timeout: providerWait,
		Transport: boundedAnswers{&http.Transport{
			Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, // a sign-in asks once or twice
			TLSHandshakeTimeout: providerWait, ResponseHeaderTimeout: providerWait, MaxResponseHeaderBytes: 64 << 10,
		}},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) >= 3 {
				return errors.New("it leads on and on")
			}
			return Safe(r.URL)
		},
	}
}

// Safe tells whether an address is https, or on this machine.
func Safe(u *url.URL) error {
	host := u.Hostname()
	ip := net.ParseIP(host)
	if u.Host != "" && (u.Scheme == "https" || u.Scheme == "http" && (host == "localhost" || ip != nil && ip.IsLoopback())) {
		return nil
	}
	return errors.New("it leads to an address that is not https")
}

// boundedAnswers cuts answers that are too long.
type boundedAnswers struct{ http.RoundTripper }

// RoundTrip is of http.RoundTripper.
func (b boundedAnswers) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := Safe(r.URL); err != nil {
		return nil, err
	}
	answer, err := b.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	answer.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(answer.Body, mostAnswer), answer.Body}
	return answer, nil
}

// Ask asks a provider what it says of itself.
func Ask(ctx context.Context, client *http.Client, issuer string) (*oidc.Provider, error) {
	return oidc.NewProvider(oidc.ClientContext(ctx, client), issuer)
}

// get is the provider as it has described itself. It is asked if nobody has, and not
// more often than the back-off of somebody in a hurry.
func (p *provider) get(ctx context.Context, now time.Time) (*oidc.Provider, error) {
	if found, err := p.known(now); found != nil || err != nil {
		return found, err
	}
	select {
	case p.asking <- struct{}{}:
		defer func() { <-p.asking }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if found, err := p.known(now); found != nil || err != nil { // somebody else has asked meanwhile
		return found, err
	}
	return p.ask(ctx, now)
}

func (p *provider) known(now time.Time) (*oidc.Provider, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.found == nil && p.err != nil && now.Sub(p.tried) < firstRetry {
		return nil, errors.Join(errDown, p.err)
	}
	return p.found, nil
}

// ask asks it. What it has said before stands where that fails.
func (p *provider) ask(ctx context.Context, now time.Time) (*oidc.Provider, error) {
	found, err := Ask(ctx, p.client, p.Issuer)
	p.mu.Lock()
	defer p.mu.Unlock()
	if ctx.Err() != nil && err != nil { // who asked has gone away, which says nothing about it
		return p.found, err
	}
	p.err, p.tried = err, now
	if err == nil {
		p.found = found
	}
	return p.found, err
}

// down tells whether nobody can be sent there.
func (p *provider) down() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.found == nil && p.err != nil
}

// keepAsking asks a provider until it answers, and every day, until ctx ends.
func (p *provider) keepAsking(ctx context.Context, now func() time.Time, log *zap.Logger) {
	log = log.With(zap.String("provider", p.Name), zap.String("issuer", p.Issuer))
	failed := false
	for wait := firstRetry; ; {
		select {
		case p.asking <- struct{}{}:
		case <-ctx.Done():
			return
		}
		_, err := p.ask(ctx, now())
		<-p.asking
		next := askAgain
		switch {
		case err == nil && failed:
			log.Info("the provider of sign-ins answers again")
			failed, wait = false, firstRetry
		case err != nil:
			if !failed && ctx.Err() == nil {
				log.Warn("the provider of sign-ins does not answer as it should; it is asked again and again", zap.Error(err))
			}
			failed, next = true, wait/2+rand.N(wait/2) //nolint:gosec // jitter
			wait = min(2*wait, lastRetry)
		}
		timer := time.NewTimer(next)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// oauth is how the provider is asked. How it takes the secret is what it says of itself:
// to try both would send it a code twice that may be good once.
func (p *provider) oauth(found *oidc.Provider) *oauth2.Config {
	var says struct {
		Methods []string `json:"token_endpoint_auth_methods_supported"`
	}
	at := found.Endpoint()
	at.AuthStyle = oauth2.AuthStyleInHeader // where it says nothing (OpenID Connect Discovery, 3)
	if err := found.Claims(&says); err == nil && slices.Contains(says.Methods, "client_secret_post") {
		at.AuthStyle = oauth2.AuthStyleInParams // which knows no two ways to escape a secret
	}
	return &oauth2.Config{
		ClientID: p.ClientID, ClientSecret: p.ClientSecret, Endpoint: at, RedirectURL: p.redirect,
		Scopes: append([]string{oidc.ScopeOpenID}, p.Scopes...),
	}
}

// provider finds one by its name; nil: there is none.
func (d *Desk) provider(name string) *provider {
	for _, p := range d.providers {
		if p.Name == name {
			return p
		}
	}
	return nil
}

func (d *Desk) titleOf(name string) string {
	if p := d.provider(name); p != nil {
		return cmp.Or(p.Title, p.Name)
	}
	return name
}

// links lead to the providers, and then to next.
func (d *Desk) links(next string) []ProviderLink {
	var all []ProviderLink
	for _, p := range d.providers {
		path := "/sign-in/" + p.Name
		if next != "/" {
			path += "?" + url.Values{"next": {next}}.Encode()
		}
		all = append(all, ProviderLink{Name: p.Name, Title: d.titleOf(p.Name), Path: path, Down: p.down()})
	}
	return all
}

// SignInLinks are the page to sign in, and the providers, each by itself.
func (d *Desk) SignInLinks() []SignInLink {
	all := []SignInLink{{URL: d.link("/sign-in")}}
	for _, p := range d.links("/") {
		all = append(all, SignInLink{p.Name, p.Title, d.link(p.Path)})
	}
	return all
}

// toProvider sends somebody to a provider. The link can be kept and copied.
func (h *handler) toProvider(w http.ResponseWriter, r *http.Request) {
	p := h.provider(r.PathValue("provider"))
	if p == nil {
		h.pages.Problem(w, r, http.StatusNotFound, NotThere())
		return
	}
	next := localPath(r.URL.Query().Get("next"))
	if _, ok := h.Who(r); ok {
		http.Redirect(w, r, next, http.StatusSeeOther) //nolint:gosec // a path of ours: localPath
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), providerWait)
	defer cancel()
	found, err := p.get(ctx, h.now())
	if err != nil {
		h.fromProviderFailed(w, r, p, http.StatusBadGateway, providerDown(h.titleOf(p.Name)), next, err)
		return
	}
	one := flow{Provider: p.Name, State: newSecret(), Nonce: newSecret(), Verifier: oauth2.GenerateVerifier(), Next: next, Expires: h.now().Add(flowLasts)}
	h.flows.begin(w, one)
	http.Redirect(w, r, p.oauth(found).AuthCodeURL(one.State, oidc.Nonce(one.Nonce), oauth2.S256ChallengeOption(one.Verifier)), http.StatusSeeOther)
}

// fromProviderFailed shows the page to sign in with what went wrong; the log has why.
func (h *handler) fromProviderFailed(w http.ResponseWriter, r *http.Request, p *provider, status int, m Message, next string, why error) {
	h.reject(status)
	h.log.Warn("sign-in refused", zap.String("provider", p.Name), zap.Stringer("peer", h.peer(r)), zap.String("said", m.Key), zap.Error(Shortened(why)))
	h.show(w, r, SignInPage{Status: status, Error: &m, Next: next})
}

// Shortened is an error whose text is bounded and has no secret: that of oauth2 quotes
// the answer of the provider, which may hold tokens.
func Shortened(err error) error {
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) {
		return fmt.Errorf("the provider refused the code: %d %s %s", refused.Response.StatusCode, oneLine(refused.ErrorCode), oneLine(refused.ErrorDescription))
	}
	var at *url.Error
	if errors.As(err, &at) { // its URL has none, but is long
		return at.Err
	}
	return errors.New(oneLine(err.Error()))
}

// oneLine is text of others for the log.
func oneLine(text string) string {
	const most = 300
	text = strings.Join(strings.Fields(text), " ")
	if r := []rune(text); len(r) > most {
		return string(r[:most])
	}
	return text
}
