package signin

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/coreos/go-oidc/v3/oidc"
	"go.uber.org/zap"
	"golang.org/x/oauth2"

	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
)

// identity is who a provider says somebody is.
type identity struct {
	subject string // unique at the issuer
	claims  map[string]json.RawMessage
}

const mostSubject = 255 // bytes, as OpenID Connect has it

// fromProvider lets in who comes back from a provider.
func (h *handler) fromProvider(w http.ResponseWriter, r *http.Request) {
	p := h.provider(r.PathValue("provider"))
	if p == nil {
		h.pages.Problem(w, r, http.StatusNotFound, NotThere())
		return
	}
	title, query := h.titleOf(p.Name), r.URL.Query()
	one, ok := h.flows.end(w, r, p.Name, query.Get("state"), h.now())
	if !ok {
		h.fromProviderFailed(w, r, p, http.StatusBadRequest, flowLost(), "/", errors.New("the state is not the one that this browser has gone with, or has come back already"))
		return
	}
	fail := func(status int, m Message, err error) { h.fromProviderFailed(w, r, p, status, m, one.Next, err) }
	if code := query.Get("error"); code != "" {
		fail(http.StatusForbidden, providerRefused(title), fmt.Errorf("the provider says %s: %s", oneLine(code), oneLine(query.Get("error_description"))))
		return
	}
	network := networkOf(h.peer(r))
	if wait := h.tryCode(network, h.now()); wait > 0 {
		w.Header().Set("Retry-After", retryAfter(wait))
		fail(http.StatusTooManyRequests, tooOften(minutes(wait)), errors.New("too many sign-ins from there have failed"))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), 2*providerWait)
	defer cancel()
	who, err := p.identify(ctx, one, query.Get("code"), query.Get("iss"), h.now)
	if err != nil {
		fail(http.StatusForbidden, notIdentified(title), err)
		return
	}
	if len(p.Roles) > 0 && who.claim(p.GroupsClaim) == nil {
		h.log.Warn("the provider does not say in which groups somebody is, who has the role user therefore", zap.String("provider", p.Name), zap.String("claim", p.GroupsClaim))
	}
	account, m, err := h.accountOf(ctx, p, who)
	if m != nil {
		fail(http.StatusForbidden, *m, fmt.Errorf("subject %s: %w", oneLine(who.subject), err))
		return
	}
	if err != nil {
		fail(http.StatusServiceUnavailable, unsaved(), err)
		return
	}
	err = h.admit(w, r, admitted{account: account, did: "signed in", how: "by " + p.Name, change: func(a *store.Account) error {
		h.refresh(a, p, who)
		return nil
	}})
	switch {
	case errors.Is(err, errDisabled):
		fail(http.StatusForbidden, disabled(), err)
	case err != nil:
		fail(http.StatusServiceUnavailable, unsaved(), err)
	default:
		h.succeededCode(network)
		http.Redirect(w, r, one.Next, http.StatusSeeOther)
	}
}

// identify takes a code for who somebody is.
func (p *provider) identify(ctx context.Context, one flow, code, issuer string, now func() time.Time) (who identity, err error) {
	if issuer != "" && issuer != p.Issuer { // RFC 9207: it came from another one
		return who, fmt.Errorf("the answer is that of the issuer %q", oneLine(issuer))
	}
	if code == "" {
		return who, errors.New("there is no code in the answer")
	}
	found, err := p.get(ctx, now())
	if err != nil {
		return who, err
	}
	ctx = oidc.ClientContext(ctx, p.client)
	tokens, err := p.oauth(found).Exchange(ctx, code, oauth2.VerifierOption(one.Verifier))
	if err != nil {
		return who, err
	}
	raw, ok := tokens.Extra("id_token").(string)
	if !ok {
		return who, errors.New("the provider sent no ID token: is openid among its scopes?")
	}
	// Zoho's documentation shows tokens whose parts are padded, which RFC 7515 forbids. The
	// signature tells whether they were signed without that.
	raw = strings.ReplaceAll(raw, "=", "")
	token, err := found.VerifierContext(ctx, &oidc.Config{ClientID: p.ClientID, Now: now}).Verify(ctx, raw)
	if err != nil {
		return who, err
	}
	if subtle.ConstantTimeCompare([]byte(token.Nonce), []byte(one.Nonce)) != 1 {
		return who, errors.New("the nonce of the ID token is not the one that was sent")
	}
	if token.Subject == "" || len(token.Subject) > mostSubject || strings.ContainsFunc(token.Subject, unicode.IsControl) {
		return who, errors.New("the subject of the ID token cannot be kept")
	}
	who = identity{subject: token.Subject}
	if err := token.Claims(&who.claims); err != nil {
		return who, err
	}
	if party := who.text("azp"); party != "" && party != p.ClientID { // OpenID Connect Core, 3.1.3.7
		return who, fmt.Errorf("the ID token was made for %q", oneLine(party))
	}
	return who, p.more(ctx, found, tokens, &who)
}

// more asks for claims that are needed and not in the token.
func (p *provider) more(ctx context.Context, found *oidc.Provider, tokens *oauth2.Token, who *identity) error {
	missing := slices.ContainsFunc(p.needed(), func(claim string) bool { return who.claim(claim) == nil })
	if !missing || found.UserInfoEndpoint() == "" {
		return nil
	}
	info, err := found.UserInfo(ctx, oauth2.StaticTokenSource(tokens))
	if err != nil {
		return fmt.Errorf("user info: %w", err)
	}
	if info.Subject != who.subject {
		return errors.New("the user info is that of somebody else")
	}
	var claims map[string]json.RawMessage
	if err := info.Claims(&claims); err != nil {
		return fmt.Errorf("user info: %w", err)
	}
	for name, value := range claims {
		if _, has := who.claims[name]; !has {
			who.claims[name] = value
		}
	}
	return nil
}

// needed are the claims by which people are known.
func (p *provider) needed() []string {
	claims := []string{p.UsernameClaim}
	if p.Match == Email {
		claims[0] = "email"
	}
	if len(p.Roles) > 0 {
		claims = append(claims, p.GroupsClaim)
	}
	return claims
}

// claim finds a claim; dots lead into objects, unless the name itself has them. nil:
// there is none.
func (i *identity) claim(name string) json.RawMessage {
	if v, ok := i.claims[name]; ok {
		return v
	}
	claims := i.claims
	parts := strings.Split(name, ".")
	for _, part := range parts[:len(parts)-1] {
		var inner map[string]json.RawMessage
		if json.Unmarshal(claims[part], &inner) != nil {
			return nil
		}
		claims = inner
	}
	return claims[parts[len(parts)-1]]
}

// text is a claim that is a text; "": it is not there, or something else.
func (i *identity) text(name string) string {
	var s string
	_ = json.Unmarshal(i.claim(name), &s) // leaves it empty
	return s
}

// verified tells whether the address was, which some write as a text.
func (i *identity) verified() bool {
	var yes bool
	return json.Unmarshal(i.claim("email_verified"), &yes) == nil && yes || i.text("email_verified") == "true"
}

// list is a claim that is a list of texts, or one.
func (i *identity) list(name string) []string {
	var all []string
	if json.Unmarshal(i.claim(name), &all) == nil {
		return all
	}
	if one := i.text(name); one != "" {
		return []string{one}
	}
	return nil
}

// user finds the user of the mapping whom a provider speaks of. m says why there is
// none; nil: there is.
func (d *Desk) user(p *provider, who *identity) (id presence.UserID, m *Message) {
	refuse := func(m Message) (presence.UserID, *Message) { return "", &m }
	if p.Match == Username {
		name := who.text(p.UsernameClaim)
		if _, ok := d.people.NameOf(presence.UserID(name)); ok && name != "" {
			return presence.UserID(name), nil
		}
		if id, ok := d.people.ByEmail(name); ok && name != "" {
			return id, nil
		}
		return refuse(unknownUser(clip(name), d.titleOf(p.Name)))
	}
	email := who.text("email")
	switch {
	case email == "":
		return refuse(noEmail(d.titleOf(p.Name)))
	case !p.TrustEmail && !who.verified():
		return refuse(notVerified(clip(email), d.titleOf(p.Name)))
	}
	if id, ok := d.people.ByEmail(email); ok {
		return id, nil
	}
	return refuse(unknownUser(clip(email), d.titleOf(p.Name)))
}

// role is the highest that somebody's groups give. ok is false where groups give none to
// anybody, so that administrators do.
func (p *provider) role(who *identity) (role Role, ok bool) {
	if len(p.Roles) == 0 {
		return "", false
	}
	groups := who.list(p.GroupsClaim)
	role = User
	for _, r := range Roles() {
		if slices.ContainsFunc(p.Roles[r], func(g string) bool { return slices.Contains(groups, g) }) {
			role = r
		}
	}
	return role, true
}

// accountOf is the name of the account of who a provider speaks of. It is made where
// there is none yet; m says why it is not.
func (d *Desk) accountOf(ctx context.Context, p *provider, who identity) (name string, m *Message, err error) {
	d.changing.Lock()
	defer d.changing.Unlock()
	if a := d.accountBy(p.Name, p.keep(who.subject)); a != nil {
		return a.Name, nil, nil
	}
	role, _ := p.role(&who)
	if _, m := d.user(p, &who); m != nil && !p.MakeAccounts && !role.covers(Operator) {
		return "", m, errors.New("the mapping has no such user")
	}
	if d.count() >= mostAccounts {
		return "", nil, errFull
	}
	now := d.now().UTC().Truncate(time.Microsecond)
	a := store.Account{
		Name: d.freeName(p, &who), Role: string(User), Made: now, MadeBy: "provider " + p.Name,
		Provider: p.Name, Subject: p.keep(who.subject), Preferences: noPreferences,
	}
	d.refresh(&a, p, who)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeWait)
	defer cancel()
	act := &store.Act{At: now, By: "panel " + a.Name, Did: "account made", What: a.Name + ", " + a.Role + ", by " + p.Name}
	if err := d.store.PutAccount(ctx, &a, act); err != nil {
		return "", nil, err
	}
	d.set(&a)
	d.log.Info("account made", zap.String("account", a.Name), zap.String("provider", p.Name), zap.String("user", string(a.User)), zap.String("role", a.Role))
	return a.Name, nil, nil
}

// keep is what is kept of a subject: another issuer under the same name speaks of others.
func (p *provider) keep(subject string) string { return hashOf(p.Issuer + " " + subject) }

// accountBy finds the account of a subject of a provider; nil: there is none.
func (d *Desk) accountBy(provider, subject string) *store.Account {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, a := range d.accounts {
		if a.Provider == provider && a.Subject == subject {
			return a
		}
	}
	return nil
}

// refresh takes over what a provider says of somebody now: the name, whose status it is,
// and the role, where groups give it.
func (d *Desk) refresh(a *store.Account, p *provider, who identity) {
	if title := printable(who.text("name")); title != "" {
		a.Title = title
	}
	if id, m := d.user(p, &who); m == nil {
		a.User = id
	}
	if role, ok := p.role(&who); ok {
		a.Role = string(role)
	}
}

var noNameSign = regexp.MustCompile(`[^a-z0-9_.@-]+`)

// freeName is what a new account is called: as people are called at the provider, and
// never as somebody else is here.
func (d *Desk) freeName(p *provider, who *identity) string {
	const room = 60 // and a number
	claim := "email"
	if p.Match == Username {
		claim = p.UsernameClaim
	}
	name := strings.Trim(noNameSign.ReplaceAllString(fold(who.text(claim)), "-"), ".@-")
	if len(name) > room {
		name = name[:room]
	}
	if name == "" {
		name = p.Name
	}
	if !accountName.MatchString(name) {
		name = "account"
	}
	for free, n := name, 2; ; n++ {
		if d.account(free) == nil && !reserved(free) {
			return free
		}
		free = fmt.Sprintf("%s-%d", name, n)
	}
}

// printable is a name that somebody else chose, at a length that a page bears, and without
// signs that nobody sees and that turn the text around them or make one name of two.
func printable(text string) string {
	const most = 100
	text = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		switch {
		case unicode.IsControl(r):
			return ' '
		case unicode.Is(unicode.Cf, r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, ""))), " ")
	if r := []rune(text); len(r) > most {
		return string(r[:most])
	}
	return text
}
