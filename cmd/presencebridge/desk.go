package main

import (
	"context"
	"net/url"
	"reflect"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/config"
	"github.com/presencebridge/presencebridge/pkg/api"
	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/signin"
	"github.com/presencebridge/presencebridge/pkg/store"
	"github.com/presencebridge/presencebridge/pkg/web"
)

// desk is where people sign in to the web panel, and what they see there and then.
type desk struct {
	*signin.Desk
	pages *web.Pages
}

// openDesk returns nil where the configuration has no web panel.
func openDesk(ctx context.Context, cfg config.Daemon, b *bridge.Bridge, st *store.SQL, log *zap.Logger) (*desk, error) {
	if cfg.SignIn.URL == "" {
		return nil, nil
	}
	c, err := deskConfig(cfg)
	if err != nil {
		return nil, err
	}
	d, err := signin.Open(ctx, signin.Options{Config: c, Store: st, People: people{b}, Log: log.Named("signin"), MayAct: st.MayAct})
	if err != nil {
		return nil, err
	}
	pages, err := web.New(d, log.Named("web"))
	if err != nil {
		return nil, err
	}
	return &desk{d, pages}, nil
}

func deskConfig(cfg config.Daemon) (c signin.Config, err error) {
	s := cfg.SignIn
	c = signin.Config{
		Local: s.Local, OperatorsMaySet: s.OperatorsMaySet, Idle: s.Idle, Longest: s.Longest, TrustedProxies: cfg.HTTP.TrustedProxies,
	}
	if c.URL, err = url.Parse(s.URL); err != nil {
		return c, err
	}
	for _, p := range s.Providers {
		one := signin.Provider{
			Name: p.Name, Title: p.Title, Issuer: p.Issuer, ClientID: p.ClientID, ClientSecret: p.ClientSecret.Reveal(), Scopes: p.Scopes,
			Match: signin.Match(p.Match), UsernameClaim: p.UsernameClaim, TrustEmail: p.TrustEmail, GroupsClaim: p.GroupsClaim, MakeAccounts: p.MakeAccounts,
			Roles: map[signin.Role][]string{},
		}
		for role, groups := range p.Roles {
			one.Roles[signin.Role(role)] = groups
		}
		c.Providers = append(c.Providers, one)
	}
	return c, nil
}

// offer adds the web panel to what the API serves.
func (d *desk) offer(o *api.Options) {
	if d == nil {
		return
	}
	o.Panel, o.Accounts, o.Warnings = d.Panel(d.pages, d.pages), d.Desk, d.Warnings
}

// refused counts whom the web panel did not let in; without a panel nobody.
func (d *desk) refused() prometheus.Collector {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "presencebridge_panel_sign_ins_refused_total", Help: "Attempts to sign in to the web panel that were refused since the start.",
	}, func() float64 {
		if d == nil {
			return 0
		}
		return float64(d.Refused())
	})
}

// run keeps sessions until ctx ends.
func (d *desk) run(ctx context.Context) {
	if d != nil {
		d.Run(ctx)
	}
}

// people are the users of the mapping, for who signs in.
type people struct{ *bridge.Bridge }

// NameOf is the name of a user.
func (p people) NameOf(id presence.UserID) (string, bool) {
	u, err := p.User(id)
	return u.Name, err == nil
}

// ByEmail finds the one user with an address.
func (p people) ByEmail(email string) (id presence.UserID, ok bool) {
	users, _ := p.Users("")
	for u := range users {
		if email == "" || !strings.EqualFold(u.Email, email) {
			continue
		}
		if ok {
			return "", false
		}
		id, ok = u.ID, true
	}
	return id, ok
}

func sameSignIn(a, b config.SignIn) bool {
	if len(a.Providers) != len(b.Providers) {
		return false
	}
	open := func(s config.SignIn) config.SignIn {
		s.Providers = append([]config.Provider(nil), s.Providers...)
		for i := range s.Providers {
			s.Providers[i].ClientSecret = config.Secret{}
		}
		return s
	}
	for i := range a.Providers {
		if !a.Providers[i].ClientSecret.Equal(b.Providers[i].ClientSecret) {
			return false
		}
	}
	return reflect.DeepEqual(open(a), open(b))
}
