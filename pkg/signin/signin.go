// Package signin is the desk at which people sign in to the web panel: local accounts
// with passwords, providers of OpenID Connect, the sessions of browsers, and who may do
// what.
//
// It renders nothing: pages are the business of whoever implements Pages. It decides
// nothing about a status.
package signin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/alexedwards/scs/v2"
	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/api"
	"github.com/presencebridge/presencebridge/pkg/message"
	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
)

// Store keeps accounts, invitations and sessions.
type Store interface {
	Accounts(ctx context.Context) ([]store.Account, error)
	PutAccount(ctx context.Context, a *store.Account, act *store.Act) error
	RemoveAccount(ctx context.Context, name string, act *store.Act) error
	Invitations(ctx context.Context) ([]store.Invitation, error)
	Invite(ctx context.Context, i *store.Invitation, a *store.Account, act *store.Act) error
	TakeUp(ctx context.Context, hash string, a *store.Account, act *store.Act) (ok bool, err error)
	RemoveInvitations(ctx context.Context, hashes []string, act *store.Act) error
	Sessions(ctx context.Context, now time.Time) ([]store.LoginSession, error)
	SaveSessions(ctx context.Context, put []store.LoginSession, remove []string, now time.Time) error
}

// People are the users of the mapping. Its methods may be called from any goroutine.
type People interface {
	NameOf(id presence.UserID) (name string, ok bool)
	// ByEmail finds the one user with an address, capitals or not. ok is false where
	// there is none, or more than one.
	ByEmail(email string) (id presence.UserID, ok bool)
}

// Config says how people sign in.
type Config struct {
	URL             *url.URL // of the panel as browsers see it, without a path; https, or http on this machine
	Local           bool     // accounts with passwords may sign in
	OperatorsMaySet bool     // the status of others
	Idle            time.Duration
	Longest         time.Duration
	TrustedProxies  []netip.Prefix // whose X-Forwarded-For is believed
	Providers       []Provider
}

// Options are what Open needs.
type Options struct {
	Config Config
	Store  Store
	People People
	Log    *zap.Logger
	Now    func() time.Time // nil: time.Now
	// MayAct says no where another bridge may have ended sessions and disabled accounts
	// meanwhile; nil: there is none.
	MayAct func() error
}

// Desk is where people sign in. Accounts and sessions in memory are the truth: nobody
// else writes them, and a request does not wait for the store.
type Desk struct {
	store           Store
	people          People
	log             *zap.Logger
	now             func() time.Time
	mayAct          func() error
	url             *url.URL
	local           bool
	operatorsMaySet bool
	proxies         []netip.Prefix
	hasher          *hasher
	cookies         *scs.SessionManager
	sessions        *sessions
	providers       []*provider
	flows           *flows

	strangers strangers                 // proxies that nobody trusts
	rejected  atomic.Uint64             // attempts to sign in, since the start
	cutSince  atomic.Pointer[time.Time] // since when mayAct has said no; nil: it does not

	changing sync.Mutex // held while an account or an invitation changes, the store included

	mu          sync.Mutex
	accounts    map[string]*store.Account    // by name; what a pointer leads to never changes
	invitations map[string]*store.Invitation // by hash
	failed      counters[attempt]
	networks    counters[netip.Prefix]
}

const (
	// storeWait bounds what nobody waits for, and what somebody does.
	storeWait = 5 * time.Second
	// cutOff is after how long without word of the store sessions are not believed any more.
	cutOff = 5 * time.Minute
	// sweepEvery is how often what changed is written and what ran out is forgotten.
	sweepEvery = time.Minute
)

// Open reads who may sign in and who has.
func Open(ctx context.Context, o Options) (*Desk, error) {
	d := &Desk{
		store: o.Store, people: o.People, log: o.Log, now: o.Now, mayAct: o.MayAct,
		url: o.Config.URL, local: o.Config.Local, operatorsMaySet: o.Config.OperatorsMaySet, proxies: o.Config.TrustedProxies,
		hasher: newHasher(standardCost), accounts: map[string]*store.Account{}, invitations: map[string]*store.Invitation{},
		failed: counters[attempt]{}, networks: counters[netip.Prefix]{},
	}
	if d.log == nil {
		d.log = zap.NewNop()
	}
	if d.now == nil {
		d.now = time.Now
	}
	accounts, err := o.Store.Accounts(ctx)
	if err != nil {
		return nil, err
	}
	for i := range accounts {
		a := &accounts[i]
		a.Preferences = cmp.Or(a.Preferences, noPreferences)
		d.accounts[a.Name] = a
	}
	invitations, err := o.Store.Invitations(ctx)
	if err != nil {
		return nil, err
	}
	for i := range invitations {
		d.invitations[invitations[i].Hash] = &invitations[i]
	}
	if d.sessions, err = openSessions(ctx, o.Store, d.log, d.now); err != nil {
		return nil, err
	}
	d.cookies = newCookies(d.sessions, &o.Config)
	d.flows = newFlows(d.secure())
	for i := range o.Config.Providers {
		d.providers = append(d.providers, newProvider(o.Config.Providers[i], d.redirectTo(o.Config.Providers[i].Name)))
	}
	return d, nil
}

// secure tells whether browsers reach the panel over TLS.
func (d *Desk) secure() bool { return d.url.Scheme == "https" }

// link is an address of the panel as people get it.
func (d *Desk) link(path string) string { return d.url.JoinPath(path).String() }

// Run writes how sessions are used, and forgets what ran out, until ctx ends.
func (d *Desk) Run(ctx context.Context) {
	var asking sync.WaitGroup
	defer asking.Wait()
	for _, p := range d.providers {
		asking.Go(func() { p.keepAsking(ctx, d.now, d.log) })
	}
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			d.lookWhetherCutOff()
			_ = d.sessions.sweep(ctx) // told in the log, as below
			d.forgetInvitations(ctx)
		case <-ctx.Done():
			_ = d.sessions.sweep(context.WithoutCancel(ctx))
			return
		}
	}
}

// lookWhetherCutOff notes since when another bridge may know better.
func (d *Desk) lookWhetherCutOff() {
	if d.mayAct == nil || d.mayAct() == nil {
		d.cutSince.Store(nil)
		return
	}
	now := d.now() // with its steady part: the time of day may be set
	d.cutSince.CompareAndSwap(nil, &now)
}

// Session tells who has signed in with the browser that sent r, as api.Panel wants it.
func (d *Desk) Session(r *http.Request) (api.Session, error) {
	if since := d.cutSince.Load(); since != nil && d.now().Sub(*since) > cutOff {
		return api.Session{}, api.Refusal(http.StatusServiceUnavailable, "This bridge is cut off from its store, so that it is not known who may still be signed in; try again, or use the other bridge.", message.As("store.cut_off"))
	}
	p, s, ok := d.who(r)
	if !ok {
		return api.Session{}, api.ErrSignedOut
	}
	scope := api.ScopeOwn
	if p.Role == Administrator {
		scope = api.ScopeAdmin
	}
	return api.Session{Name: p.Account, Scope: scope, User: p.User, Others: p.Others, Types: api.TypeRights(p.Rights), Expires: s.expires, Ended: s.ended}, nil
}

// Who tells who has signed in with the browser that sent r. ok is false where nobody has.
func (d *Desk) Who(r *http.Request) (p Person, ok bool) {
	p, _, ok = d.who(r)
	return p, ok
}

func (d *Desk) who(r *http.Request) (Person, view, bool) {
	cookie, err := r.Cookie(d.cookies.Cookie.Name)
	if err != nil || len(cookie.Value) > mostCookie {
		return Person{}, view{}, false
	}
	s, ok := d.sessions.use(cookie.Value)
	if !ok {
		return Person{}, view{}, false
	}
	a := d.account(s.Account)
	if a == nil || a.Disabled || !d.lets(a) {
		return Person{}, view{}, false
	}
	return d.person(a, s.Began), s, true
}

// lets tells whether there still is what an account signs in with.
func (d *Desk) lets(a *store.Account) bool {
	if a.Provider == "" {
		return d.local
	}
	return d.provider(a.Provider) != nil
}

// account finds an account; nil: there is none.
func (d *Desk) account(name string) *store.Account {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.accounts[name]
}

// unsaved is what somebody is told of a store that does not take a change; the log is
// told why.
func (d *Desk) unsaved(what string, err error) error {
	d.log.Error("the store did not take a change of accounts", zap.String("what", what), zap.Error(err))
	return api.Refusal(http.StatusServiceUnavailable, "The bridge cannot write its store, so nothing was changed; look at its log and free the disk or repair the database, then try again.", message.As("store.unsaved"))
}

var (
	errTaken = errors.New("the name is taken")
	errFull  = fmt.Errorf("there are %d accounts already", mostAccounts)
)
