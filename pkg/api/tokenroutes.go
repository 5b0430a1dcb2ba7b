package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
)

// token is a token as it is listed.
type token struct {
	Name    string           `json:"name"`
	Scope   string           `json:"scope"`
	User    *presence.UserID `json:"user"` // nil: of no one user
	Made    time.Time        `json:"made"`
	By      string           `json:"by"`
	Expires *time.Time       `json:"expires"` // nil: never
	Used    *time.Time       `json:"used"`    // nil: never
}

// madeToken is a token that was just made. It is never shown again.
type madeToken struct {
	token
	Token string `json:"token"`
}

func tokenOf(t *store.Token) token {
	v := token{Name: t.Name, Scope: t.Scope, Made: t.Made, By: t.MadeBy}
	if t.User != "" {
		v.User = &t.User
	}
	if !t.Expires.IsZero() {
		v.Expires = &t.Expires
	}
	if !t.Used.IsZero() {
		v.Used = &t.Used
	}
	return v
}

func (h *Handler) listTokens(w http.ResponseWriter, _ *request) error {
	var all []token
	for _, t := range h.opt.Tokens.list() {
		all = append(all, tokenOf(&t))
	}
	return answer(w, listOf(all, ""))
}

const exampleToken = `{"name": "wallboard", "scope": "read", "user": null, "expires": null}` //nolint:gosec // no token stands in it

func (h *Handler) makeToken(w http.ResponseWriter, r *request) error {
	t, err := h.tokenAsked(w, r)
	if err != nil {
		return err
	}
	t.MadeBy = r.from.actor()
	ctx, cancel := h.call(r)
	defer cancel()
	made, secret, err := h.opt.Tokens.add(ctx, t)
	if errors.Is(err, errTokenName) {
		return problem(http.StatusConflict, fmt.Sprintf("There is a token %q already; take another name, or revoke it first.", t.Name))
	}
	if err != nil {
		return err
	}
	write(w, http.StatusCreated, "application/json", madeToken{tokenOf(&made), secret})
	return nil
}

// tokenAsked reads the body of a request for a token.
func (h *Handler) tokenAsked(w http.ResponseWriter, r *request) (t store.Token, err error) {
	fields, err := body(w, r, exampleToken, "name", "scope", "user", "expires")
	if err != nil {
		return t, err
	}
	var expires *time.Time
	if err := errors.Join(
		field(fields, "name", &t.Name, "a text"),
		field(fields, "scope", &t.Scope, "a text"),
		field(fields, "user", &t.User, "the id of a user, or null"),
		field(fields, "expires", &expires, `a time like "2026-11-22T15:04:05Z", or null for never`),
	); err != nil {
		return t, err
	}
	if expires != nil {
		t.Expires = expires.UTC().Truncate(time.Microsecond)
	}
	return t, h.sensible(r.Context(), &t)
}

// mostYears keeps times to years that can be written and read again.
const mostYears = 10

// sensible tells what is wrong about a token that shall be made.
func (h *Handler) sensible(ctx context.Context, t *store.Token) error {
	refuse := func(what string) error { return problem(http.StatusUnprocessableEntity, what) }
	switch own := t.Scope == string(ScopeOwn); {
	case !tokenName.MatchString(t.Name):
		return refuse("name has to be 1 to 64 letters, digits and _ . @ -, for example wallboard.")
	case t.Name == "local":
		return refuse(`The name "local" stands for programs on this machine; take another one.`)
	case !slices.Contains(Scopes(), Scope(t.Scope)):
		return nearest(http.StatusUnprocessableEntity, fmt.Sprintf("There is no scope %q", t.Scope), fmt.Sprintf("Take one of %v.", Scopes()), Scope(t.Scope), Scopes())
	case own && t.User == "":
		return refuse("user is missing: a token of the scope own sets the status of one user; say of which.")
	case !own && t.User != "":
		return refuse("user goes with the scope own alone; leave it out, or take that scope.")
	case !t.Expires.IsZero() && !t.Expires.After(h.opt.Now()):
		return refuse("expires is over already; give a time in the future, or leave it out.")
	case t.Expires.After(h.opt.Now().AddDate(mostYears, 0, 0)):
		return refuse(fmt.Sprintf("expires is more than %d years ahead; leave it out, so that the token never ends.", mostYears))
	case own:
		_, err := h.bridge.User(ctx, t.User)
		return err
	}
	return nil
}

func (h *Handler) revokeToken(w http.ResponseWriter, r *request) error {
	ctx, cancel := h.call(r)
	defer cancel()
	ok, err := h.opt.Tokens.revoke(ctx, r.PathValue("name"), r.from.actor())
	switch {
	case errors.Is(err, errRevokedHere):
		return problem(http.StatusServiceUnavailable, sentence(errRevokedHere))
	case err != nil:
		return err
	}
	if !ok {
		var names []string
		for _, t := range h.opt.Tokens.list() {
			names = append(names, t.Name)
		}
		name := r.PathValue("name")
		return nearest(http.StatusNotFound, fmt.Sprintf("There is no token %q", name), "GET /api/v1/tokens lists those there are.", name, names)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// nearest is a problem with a word that is not known, and tells which was meant if
// one of those known is like it.
func nearest[T ~string](status int, what, do string, word T, known []T) *Problem {
	near := presence.Nearest(string(word), known)
	if near != "" {
		what += fmt.Sprintf(", did you mean %q?", near)
	} else {
		what += "."
	}
	p := problem(status, what+" "+do)
	p.Near = string(near)
	return p
}
