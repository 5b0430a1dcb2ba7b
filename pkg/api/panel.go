package api

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/presencebridge/presencebridge/pkg/message"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// Panel is the web panel, which is served beside the API on the network.
type Panel interface {
	http.Handler // of what is not the API's

	// Session tells who has signed in to the panel with the browser that sent r. It is
	// ErrSignedOut where nobody has, and a Problem where that one may not ask now.
	Session(r *http.Request) (Session, error)
}

// ErrSignedOut says that nobody has signed in with a browser.
var ErrSignedOut = errors.New("nobody has signed in")

// Session is who has signed in to the panel, and what that one may do.
type Session struct {
	Name    string          // of the account, for the history and the audit log
	Scope   Scope           // ScopeOwn at least
	User    presence.UserID // who that is in the mapping; "": nobody
	Others  bool            // may set the status of others, too
	Types   TypeRights      // beyond those of the scope
	Expires time.Time       // when the session ends by itself
	Ended   <-chan struct{} // closed when it was ended otherwise
}

// TypeRights say what somebody may do to status types who is no administrator.
type TypeRights struct{ Create, Modify, Delete bool }

// tokenOrSession is the access of the network where there is a panel. A token goes
// before a cookie, for nobody sends one by mistake.
func (h *Handler) tokenOrSession(r *http.Request) (caller, error) {
	if r.Header.Get("Authorization") != "" {
		return h.opt.Tokens.access(r)
	}
	if err := h.csrf.Check(r); err != nil {
		return caller{}, problem(http.StatusForbidden, "The request came from a page of another site; send it from the panel, or with a token.", message.As("rights.cross_site"))
	}
	s, err := h.opt.Panel.Session(r)
	if errors.Is(err, ErrSignedOut) {
		return caller{}, unauthorized("Sign in to the panel, or send a token, as the header Authorization: Bearer pbt_...; presencebridge token new NAME makes one where the bridge runs.")
	}
	if err != nil {
		return caller{}, err
	}
	by := asker("panel " + s.Name)
	end := h.opt.Tokens.under.begin(by)
	if end == nil {
		return caller{}, tooManyAtOnce(fmt.Sprintf("You, or all together, have too many answers under way that nobody takes; take them, and ask for %d at a time at most.", mostAnswers), time.Second, message.As("bridge.many"))
	}
	return caller{
		by: "panel " + s.Name, scope: s.Scope, user: s.User, person: true, account: s.Name, others: s.Others, types: s.Types, expires: s.Expires, revoked: s.Ended,
		end: end, stream: func() func() { end(); return h.opt.Tokens.under.stream(by) },
	}, nil
}

// me is who asks, and what that one may do.
type me struct {
	By     string           `json:"by"` // as it stands in the history
	Scope  Scope            `json:"scope"`
	User   *presence.UserID `json:"user"`   // whose status they set; nil: no one user's
	Others bool             `json:"others"` // they set the status of others, too
}

func (h *Handler) me(w http.ResponseWriter, r *request) error {
	m := me{By: r.from.by, Scope: r.from.scope, Others: r.from.scope.covers(ScopeSet)}
	if r.from.person {
		m.Others = r.from.others
	}
	if r.from.user != "" {
		m.User = &r.from.user
	}
	return answer(w, m)
}
