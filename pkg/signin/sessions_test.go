package signin_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"
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
