package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/presencebridge/presencebridge/pkg/message"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// Scope is what a caller may do. Each includes the ones before it.
type Scope string

// The scopes, from the least to the most.
const (
	ScopeRead  Scope = "read"  // users, statuses, PBXs, history, explanations, events, metrics
	ScopeOwn   Scope = "own"   // also to set the status, and to read and change the settings, of the one user it belongs to
	ScopeSet   Scope = "set"   // also to set anybody's
	ScopeAdmin Scope = "admin" // also to reload, to change the users and the rules of the mapping, to make and revoke tokens, and why the bridge is not ready
)

// Scopes are all of them, from the least to the most.
func Scopes() []Scope { return []Scope{ScopeRead, ScopeOwn, ScopeSet, ScopeAdmin} }

func (s Scope) covers(need Scope) bool {
	return slices.Index(Scopes(), s) >= slices.Index(Scopes(), need)
}

// caller is who sent a request, and what that one may do.
type caller struct {
	by      string // for the history and the audit log
	login   string // of this machine, who asks over the unix socket; "": it is not known, or another listener
	scope   Scope
	user    presence.UserID // whose status ScopeOwn may set
	person  bool            // it is somebody who has signed in to the panel
	account string          // of a person
	others  bool            // a person who may set the status of others
	types   TypeRights      // a person's
	expires time.Time       // when the right to ask ends; zero: never
	revoked <-chan struct{} // closed when it was taken away; nil: it cannot be

	end    func()        // of the request; nil: nobody counts
	stream func() func() // makes the request a stream, and returns its end, nil where there are too many; nil: nobody counts
}

// actor is who did something, for the audit log. What a local program says of itself is
// believed for a choice, and is no proof of who made a token: the system says who runs it.
func (c *caller) actor() string {
	if c.person || c.revoked != nil {
		return c.by
	}
	by := c.by
	if by != "cli" && by != "api local" {
		by = "local program as " + by
	}
	if c.login != "" {
		by += " of " + c.login
	}
	return by
}

// access tells who sent a request, or refuses it with a Problem.
type access func(*http.Request) (caller, error)

// local is the access of the unix socket. Whoever may open it may act for everybody,
// so it is believed who asks.
func local(r *http.Request) (caller, error) {
	c := caller{by: r.Header.Get(ByHeader), login: localUser(r.RemoteAddr), scope: ScopeAdmin}
	switch {
	case c.by == "":
		c.by = "api local"
	case !byWords.MatchString(c.by):
		return caller{}, problem(http.StatusBadRequest, ByHeader+` is "cli", "panel NAME", "api NAME" or "integration NAME"; leave it out to be "api local".`)
	}
	return c, nil
}

// watcher is the access of those who watch the bridge: to health and metrics, and
// those they serve nothing else.
func watcher(*http.Request) (caller, error) { return caller{scope: ScopeAdmin}, nil }

// may refuses a caller whose scope is too small.
func (c *caller) may(need Scope) error {
	if c.scope.covers(need) {
		return nil
	}
	if c.person {
		return problem(http.StatusForbidden, "This takes more rights than you have: ask an administrator of the panel.", message.As("rights.lacking"))
	}
	how := "--scope " + string(need)
	if need == ScopeOwn {
		how = "--scope own --user USER, or --scope set"
	}
	return problem(http.StatusForbidden, fmt.Sprintf("The token is of the scope %q, and this takes one of the scope %q: have it made with presencebridge token new NAME %s.", c.scope, need, how))
}

// mayChange refuses a change of the rules that is more than a person may do.
func (c *caller) mayChange(d *RuleDiff) error {
	if c.scope.covers(ScopeAdmin) {
		return nil
	}
	for _, part := range []struct {
		done, may bool
		what      string
		key       message.Key
	}{
		{d.Sync, false, "change how statuses are synchronised", message.As("rights.sync")},
		{len(d.Created) > 0, c.types.Create, "create status types", message.As("rights.create")},
		{len(d.Modified) > 0 || d.Reordered, c.types.Modify, "modify status types", message.As("rights.modify")},
		{len(d.Deleted) > 0, c.types.Delete, "delete status types", message.As("rights.delete")},
	} {
		if part.done && !part.may {
			return problem(http.StatusForbidden, "You may not "+part.what+", so nothing was changed: leave that out, or ask an administrator of the panel.", part.key)
		}
	}
	return nil
}

// mayChooseFor refuses a caller who may act for another user only.
func (c *caller) mayChooseFor(id presence.UserID) error {
	if c.person {
		if c.others || c.user == id {
			return nil
		}
		return problem(http.StatusForbidden, "A status is changed by the one whose it is; operators may do it for others where the operator of the bridge has written sign_in.operators_may_set: true.",
			message.As("rights.others"))
	}
	if c.scope != ScopeOwn || c.user == id {
		return nil
	}
	return problem(http.StatusForbidden, fmt.Sprintf("The token is for the status and the settings of %q alone; for others take one of the scope %q.", c.user, ScopeSet))
}

// maySettle refuses a caller who may read and change the settings of another user only. An
// administrator of the panel may those of everybody, which win over the mapping.
func (c *caller) maySettle(id presence.UserID) error {
	switch {
	case !c.person:
		return c.mayChooseFor(id)
	case c.user == id, c.scope.covers(ScopeAdmin):
		return nil
	}
	return problem(http.StatusForbidden, "Settings are those of a user: you may change your own, and administrators of the panel everybody's.", message.As("rights.settings"))
}

// while is ctx for as long as the caller may ask at most.
func (c *caller) while(ctx context.Context) (context.Context, context.CancelFunc) {
	if c.expires.IsZero() {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, c.expires)
}
