package signin_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/api"
	"github.com/presencebridge/presencebridge/pkg/signin"
	"github.com/presencebridge/presencebridge/pkg/store"
)

func TestSignOutHereAndEverywhere(t *testing.T) {
	o := newOffice(t, nil)
	one, two, three := o.has("alice", "user"), o.browser("192.0.2.2"), o.browser("192.0.2.3")
	two.signIn("alice", good)
	three.signIn("alice", good)
	stolen := one.cookies["__Host-presencebridge-session"]
	ended := one.session().Ended
	one.post("/sign-out", url.Values{})
	if one.is() != "" || two.is() != "alice" || !isClosed(ended) || one.cookies[stolen.Name] != nil {
		t.Errorf("one %q %v, two %q", one.is(), one.cookies, two.is())
	}
	one.cookies[stolen.Name] = stolen
	if one.is() != "" {
		t.Error("the cookie is still good after a sign-out")
	}
	two.post("/sign-out", url.Values{"everywhere": {"1"}})
	if two.is() != "" || three.is() != "" {
		t.Error("somebody is left")
	}
	o.again()
	if two.office.is(three) != "" {
		t.Error("a session lives again after a restart")
	}
}

func (o *office) is(b *browser) string { return b.is() }

func TestAnAdministratorSignsSomebodyOutEverywhere(t *testing.T) {
	o := newOffice(t, nil)
	one, two, root := o.has("alice", "user"), o.browser("192.0.2.2"), o.has("root", "administrator")
	two.signIn("alice", good)
	ended := two.session().Ended
	a, err := o.SignOutAccount(t.Context(), "Alice", "panel root")
	if err != nil || a.Name != "alice" || a.Sessions != 0 || one.is() != "" || two.is() != "" || !isClosed(ended) || root.is() != "root" {
		t.Fatalf("%+v, %v: one %q, two %q, root %q", a, err, one.is(), two.is(), root.is())
	}
	acts, err := o.store.Audit(t.Context(), store.Query{Did: "signed out everywhere"})
	if err != nil || len(acts) != 1 || acts[0].By != "panel root" || acts[0].What != "alice, sessions 2" {
		t.Errorf("audit log %+v, %v", acts, err)
	}
	if one.signIn("alice", good); one.is() != "alice" {
		t.Error("alice cannot sign in again")
	}
	var p *api.Problem
	if _, err := o.SignOutAccount(t.Context(), "alicce", "cli"); !errors.As(err, &p) || p.Near != "alice" || p.Code != "account.unknown" {
		t.Errorf("of an unknown account: %v", err)
	}

	// It counts where the store cannot be written, and says that it may not last.
	o.store.err = errors.New("disk full")
	if _, err := o.SignOutAccount(t.Context(), "alice", "cli"); !errors.As(err, &p) || p.Status != http.StatusServiceUnavailable || one.is() != "" {
		t.Errorf("%v, and %q is in", err, one.is())
	}
	o.store.err = nil

	// Neither does it last where only the account is written.
	one.signIn("alice", good)
	o.store.sessions = errors.New("locked")
	if _, err := o.SignOutAccount(t.Context(), "alice", "cli"); !errors.As(err, &p) || p.Status != http.StatusServiceUnavailable || one.is() != "" {
		t.Errorf("%v, and %q is in", err, one.is())
	}
}

func TestWhoSignsOutEverywhereIsToldThatItMayNotLast(t *testing.T) {
	o := newOffice(t, nil)
	one := o.has("alice", "user")
	o.store.sessions = errors.New("locked")
	if w := one.post("/sign-out", url.Values{"everywhere": {"1"}}); w.Code != http.StatusServiceUnavailable || one.is() != "" {
		t.Errorf("%d, and %q is in", w.Code, one.is())
	}
}

func TestLinksToSignInLeadStraightThere(t *testing.T) {
	o := newOffice(t, func(c *signin.Config) {
		c.Providers = []signin.Provider{{Name: "google", Issuer: "https://accounts.google.com"}, {Name: "office", Title: "Our office", Issuer: "https://office.example"}}
	})
	want := []signin.SignInLink{
		{URL: "https://panel.example/sign-in"}, {Name: "google", Title: "google", URL: "https://panel.example/sign-in/google"},
		{Name: "office", Title: "Our office", URL: "https://panel.example/sign-in/office"},
	}
	if got := o.SignInLinks(); !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
}

func TestSessionsRunOut(t *testing.T) {
	o := newOffice(t, nil)
	b := o.has("alice", "user")
	for range 13 { // used every 11 hours, until the seventh day
		o.pass(11 * time.Hour)
		if b.is() != "alice" {
			t.Fatalf("out after %v", time.Duration(o.ahead.Load()))
		}
	}
	if until := b.session().Expires; until.After(time.Now().Add(7*24*time.Hour + time.Minute)) {
		t.Errorf("lasts until %v", until)
	}
	o.pass(11 * time.Hour)
	o.pass(15 * time.Hour)
	if b.is() != "" {
		t.Error("in after more than seven days")
	}
	b.signIn("alice", good)
	o.ahead.Store(0) // the deadline of scs goes by the clock of the machine
	b.signIn("alice", good)
	o.pass(13 * time.Hour)
	if b.is() != "" {
		t.Error("in after 13 idle hours")
	}
}

func TestSessionsOutliveTheBridge(t *testing.T) {
	o := newOffice(t, nil)
	b := o.has("alice", "user")
	o.again()
	if b.is() != "alice" {
		t.Error("a bridge that took over does not know who has signed in")
	}
	list, err := o.store.Sessions(t.Context(), time.Now())
	if err != nil || len(list) != 1 || strings.Contains(fmt.Sprint(list), b.cookies["__Host-presencebridge-session"].Value) {
		t.Errorf("the store has %v, %v", list, err)
	}
}
