package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/presencebridge/presencebridge/pkg/message"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// Accounts are those of people who sign in to the panel. Its errors for people are
// Problems; names, roles and users are checked there.
type Accounts interface {
	Accounts() []Account // in the order of their names
	ChangeAccount(ctx context.Context, name string, c AccountChange, by string) (Account, error)
	RemoveAccount(ctx context.Context, name, by string) error
	// ResetAccount takes the password of an account away, and its sessions, and returns
	// what makes another one.
	ResetAccount(ctx context.Context, name, by string) (Invitation, error)

	// SignOutAccount ends the sessions of an account, in every browser.
	SignOutAccount(ctx context.Context, name, by string) (Account, error)

	Invitations() []Invitation // the oldest first, without a URL
	Invite(ctx context.Context, i Invitation, by string) (Invitation, error)
	Withdraw(ctx context.Context, id, by string) error

	// Preferences are a JSON object, which is the panel's own.
	Preferences(account string) (json.RawMessage, error)
	SetPreferences(ctx context.Context, account string, p json.RawMessage) error
	// ChangePreferences changes some of them, and returns all. Of two changes at once
	// neither is lost.
	ChangePreferences(ctx context.Context, account string, c *PreferencesChange) (json.RawMessage, error)
}

// PreferencesChange is what shall be otherwise about preferences: fields that get
// another value, and words that are in lists, or are not. What is not named stays.
type PreferencesChange struct {
	Set    map[string]json.RawMessage
	Add    map[string][]string
	Remove map[string][]string
}

// Account is somebody who may sign in to the panel.
type Account struct {
	Name     string           `json:"name"`
	Title    string           `json:"title"` // the name of the person; "": unknown
	User     *presence.UserID `json:"user"`  // who that is in the mapping; nil: nobody
	Role     string           `json:"role"`
	Rights   []string         `json:"rights"` // to create, modify and delete status types
	Disabled bool             `json:"disabled"`
	Provider *string          `json:"provider"` // who says that it is them; nil: a password
	Password bool             `json:"password"` // there is one
	Made     time.Time        `json:"made"`
	By       string           `json:"by"`
	SignedIn *time.Time       `json:"signed_in"` // last; nil: never
	Sessions int              `json:"sessions"`  // browsers in which they are signed in
}

// AccountChange is what shall be otherwise about an account; nil: as it is.
type AccountChange struct {
	User     *presence.UserID // "": nobody
	Role     *string
	Rights   *[]string
	Disabled *bool
}

// Invitation lets somebody choose a password, once.
type Invitation struct {
	ID      string           `json:"id"`
	Name    *string          `json:"name"` // of the account; nil: who is invited chooses it
	User    *presence.UserID `json:"user"`
	Role    string           `json:"role"`
	Rights  []string         `json:"rights"`
	Again   bool             `json:"again"` // the account is there already
	Made    time.Time        `json:"made"`
	By      string           `json:"by"`
	Expires time.Time        `json:"expires"`
	URL     string           `json:"url,omitempty"` // shown once
}

func (h *Handler) accountRoutes() map[string]methods {
	if h.opt.Accounts == nil && h.opt.Standby == nil {
		return nil
	}
	return map[string]methods{
		"/api/v1/accounts":                    {"GET": {ScopeAdmin, h.listAccounts}},
		"/api/v1/accounts/{account}":          {"PATCH": {ScopeAdmin, h.changeAccount}, "DELETE": {ScopeAdmin, h.removeAccount}},
		"/api/v1/accounts/{account}/reset":    {"POST": {ScopeAdmin, h.resetAccount}},
		"/api/v1/accounts/{account}/sign-out": {"POST": {ScopeAdmin, h.signOutAccount}},
		"/api/v1/invitations":                 {"GET": {ScopeAdmin, h.listInvitations}, "POST": {ScopeAdmin, h.invite}},
		"/api/v1/invitations/{id}":            {"DELETE": {ScopeAdmin, h.withdraw}},
		"/api/v1/me/preferences":              {"GET": {ScopeRead, h.preferences}, "PUT": {ScopeRead, h.setPreferences}, "PATCH": {ScopeRead, h.changePreferences}},
	}
}

func (h *Handler) listAccounts(w http.ResponseWriter, _ *request) error {
	return answer(w, listOf(h.opt.Accounts.Accounts(), ""))
}

const exampleAccount = `{"role": "operator", "user": "alice", "rights": ["create"], "disabled": false}`

func (h *Handler) changeAccount(w http.ResponseWriter, r *request) error {
	fields, err := body(w, r, exampleAccount, "user", "role", "rights", "disabled")
	if err != nil {
		return err
	}
	var c AccountChange
	var user *presence.UserID
	if err := errors.Join(
		field(fields, "user", &user, "the id of a user, or null"),
		field(fields, "role", &c.Role, "a text"),
		field(fields, "rights", &c.Rights, "a list of texts"),
		field(fields, "disabled", &c.Disabled, "true or false"),
	); err != nil {
		return err
	}
	if _, given := fields["user"]; given {
		c.User = new(presence.UserID)
		if user != nil {
			c.User = user
		}
	}
	if c == (AccountChange{}) {
		return problem(http.StatusUnprocessableEntity, "Nothing says what shall change; send something like "+exampleAccount+".")
	}
	ctx, cancel := h.call(r)
	defer cancel()
	a, err := h.opt.Accounts.ChangeAccount(ctx, r.PathValue("account"), c, r.from.actor())
	if err != nil {
		return err
	}
	return answer(w, a)
}

func (h *Handler) removeAccount(w http.ResponseWriter, r *request) error {
	ctx, cancel := h.call(r)
	defer cancel()
	if err := h.opt.Accounts.RemoveAccount(ctx, r.PathValue("account"), r.from.actor()); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (h *Handler) resetAccount(w http.ResponseWriter, r *request) error {
	ctx, cancel := h.call(r)
	defer cancel()
	i, err := h.opt.Accounts.ResetAccount(ctx, r.PathValue("account"), r.from.actor())
	if err != nil {
		return err
	}
	write(w, http.StatusCreated, "application/json", i)
	return nil
}

func (h *Handler) signOutAccount(w http.ResponseWriter, r *request) error {
	ctx, cancel := h.call(r)
	defer cancel()
	a, err := h.opt.Accounts.SignOutAccount(ctx, r.PathValue("account"), r.from.actor())
	if err != nil {
		return err
	}
	return answer(w, a)
}

func (h *Handler) listInvitations(w http.ResponseWriter, _ *request) error {
	return answer(w, listOf(h.opt.Accounts.Invitations(), ""))
}

const exampleInvitation = `{"name": "alice", "role": "user", "user": "alice", "rights": []}`

func (h *Handler) invite(w http.ResponseWriter, r *request) error {
	fields, err := body(w, r, exampleInvitation, "name", "role", "user", "rights")
	if err != nil {
		return err
	}
	var i Invitation
	if err := errors.Join(
		field(fields, "name", &i.Name, "a text, or null"),
		field(fields, "role", &i.Role, "a text"),
		field(fields, "user", &i.User, "the id of a user, or null"),
		field(fields, "rights", &i.Rights, "a list of texts"),
	); err != nil {
		return err
	}
	ctx, cancel := h.call(r)
	defer cancel()
	made, err := h.opt.Accounts.Invite(ctx, i, r.from.actor())
	if err != nil {
		return err
	}
	write(w, http.StatusCreated, "application/json", made)
	return nil
}

func (h *Handler) withdraw(w http.ResponseWriter, r *request) error {
	ctx, cancel := h.call(r)
	defer cancel()
	if err := h.opt.Accounts.Withdraw(ctx, r.PathValue("id"), r.from.actor()); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// person is the account of who asks, who has to have signed in to the panel.
func (r *request) person() (account string, err error) {
	if !r.from.person {
		return "", problem(http.StatusForbidden, "Preferences are those of somebody who has signed in to the panel; a token and a local program have none.")
	}
	return r.from.account, nil
}

func (h *Handler) preferences(w http.ResponseWriter, r *request) error {
	account, err := r.person()
	if err != nil {
		return err
	}
	p, err := h.opt.Accounts.Preferences(account)
	if err != nil {
		return err
	}
	return answer(w, p)
}

// mostPreferences is room for favourites, in bytes.
const mostPreferences = 16 << 10

func (h *Handler) setPreferences(w http.ResponseWriter, r *request) error {
	account, err := r.person()
	if err != nil {
		return err
	}
	text, _, err := object(mostPreferences, w, r, `{"favourites": ["alice"]}`)
	if err != nil {
		return err
	}
	ctx, cancel := h.call(r)
	defer cancel()
	if err := h.opt.Accounts.SetPreferences(ctx, account, text); err != nil {
		return err
	}
	return answer(w, json.RawMessage(text))
}

const examplePreferences = `{"set": {"language": "de"}, "add": {"favourites": ["alice"]}, "remove": {"favourites": ["bob"]}}`

// changePreferences changes some preferences, so that two browsers that each add a
// favourite do not undo each other.
func (h *Handler) changePreferences(w http.ResponseWriter, r *request) error {
	account, err := r.person()
	if err != nil {
		return err
	}
	fields, err := bodyUpTo(mostPreferences, w, r, examplePreferences, "set", "add", "remove")
	if err != nil {
		return err
	}
	var c PreferencesChange
	if err := errors.Join(
		field(fields, "set", &c.Set, "an object"),
		field(fields, "add", &c.Add, "an object of lists of texts"),
		field(fields, "remove", &c.Remove, "an object of lists of texts"),
	); err != nil {
		return err
	}
	ctx, cancel := h.call(r)
	defer cancel()
	p, err := h.opt.Accounts.ChangePreferences(ctx, account, &c)
	if err != nil {
		return err
	}
	return answer(w, p)
}

// NoSuch is the Problem with the name of something that is not there. what says what,
// such as "account", and do where those are that are there.
func NoSuch(what, name, do string, known []string, key ...message.Key) *Problem {
	p := nearest(http.StatusNotFound, fmt.Sprintf("There is no %s %q", what, name), do, name, known)
	p.Key = message.Only(key)
	return p
}

// Refusal is a Problem, with a key where somebody can meet it on a page.
func Refusal(status int, detail string, key ...message.Key) *Problem {
	return problem(status, detail, key...)
}
