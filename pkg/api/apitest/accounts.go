package apitest

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/presencebridge/presencebridge/pkg/api"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// Accounts is an api.Accounts in memory. Err, set before it is used, is what it answers
// to every change.
type Accounts struct {
	Err error

	mu          sync.Mutex
	accounts    []api.Account
	invitations []api.Invitation
	preferences map[string]json.RawMessage
	by          []string // who changed something
}

// NewAccounts returns the accounts crm of alice and root, who signs in with google, and
// an invitation.
func NewAccounts() *Accounts {
	alice, bob, google := presence.UserID("alice"), presence.UserID("bob"), "google"
	used := ago(time.Minute)
	name := "bob"
	return &Accounts{
		accounts: []api.Account{
			{Name: "crm", User: &alice, Role: "operator", Rights: []string{"create"}, Password: true, Made: ago(time.Hour), By: "cli", SignedIn: &used, Sessions: 2},
			{Name: "root", Title: "Ruth Root", Role: "administrator", Rights: []string{"create", "modify", "delete"}, Provider: &google, Made: ago(2 * time.Hour), By: "provider google"},
		},
		invitations: []api.Invitation{{ID: "alice", Name: &name, User: &bob, Role: "user", Rights: []string{}, Made: ago(time.Hour), By: "cli", Expires: Now.Add(23 * time.Hour)}},
		preferences: map[string]json.RawMessage{"crm": json.RawMessage(`{"favourites":["bob"]}`)},
	}
}

// Accounts are all of them.
func (a *Accounts) Accounts() []api.Account {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.accounts)
}

// ChangeAccount changes an account.
func (a *Accounts) ChangeAccount(_ context.Context, name string, c api.AccountChange, by string) (changed api.Account, err error) {
	err = a.change(by, func() error {
		i, err := a.find(name)
		if err != nil {
			return err
		}
		one := &a.accounts[i]
		if c.User != nil {
			if one.User = c.User; *c.User == "" {
				one.User = nil
			}
		}
		if c.Role != nil {
			one.Role = *c.Role
		}
		if c.Rights != nil {
			one.Rights = *c.Rights
		}
		if c.Disabled != nil {
			one.Disabled = *c.Disabled
		}
		changed = *one
		return nil
	})
	return changed, err
}

// RemoveAccount forgets an account.
func (a *Accounts) RemoveAccount(_ context.Context, name, by string) error {
	return a.change(by, func() error {
		i, err := a.find(name)
		if err == nil {
			a.accounts = slices.Delete(a.accounts, i, i+1)
		}
		return err
	})
}

// ResetAccount invites the owner of an account.
func (a *Accounts) ResetAccount(_ context.Context, name, by string) (made api.Invitation, err error) {
	err = a.change(by, func() error {
		i, err := a.find(name)
		if err == nil {
			one := a.accounts[i]
			made = invitation(api.Invitation{Name: &one.Name, User: one.User, Role: one.Role, Rights: one.Rights, Again: true}, by)
		}
		return err
	})
	return made, err
}

// SignOutAccount ends the sessions of an account.
func (a *Accounts) SignOutAccount(_ context.Context, name, by string) (out api.Account, err error) {
	err = a.change(by, func() error {
		i, err := a.find(name)
		if err == nil {
			a.accounts[i].Sessions = 0
			out = a.accounts[i]
		}
		return err
	})
	return out, err
}

// Invitations are all of them.
func (a *Accounts) Invitations() []api.Invitation {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.invitations)
}

// Invite returns what was wished.
func (a *Accounts) Invite(_ context.Context, wish api.Invitation, by string) (made api.Invitation, err error) {
	err = a.change(by, func() error { made = invitation(wish, by); return nil })
	return made, err
}

func invitation(i api.Invitation, by string) api.Invitation {
	i.ID, i.Made, i.By, i.Expires, i.URL = "0123456789ab", Now, by, Now.Add(24*time.Hour), "https://panel.example/invitation/secret"
	if i.Rights == nil {
		i.Rights = []string{}
	}
	return i
}

// Withdraw forgets an invitation.
func (a *Accounts) Withdraw(_ context.Context, id, by string) error {
	return a.change(by, func() error {
		i := slices.IndexFunc(a.invitations, func(i api.Invitation) bool { return i.ID == id })
		if i < 0 {
			return api.NoSuch("invitation", id, "GET /api/v1/invitations lists those that nobody has taken up.", []string{"alice"})
		}
		a.invitations = slices.Delete(a.invitations, i, i+1)
		return nil
	})
}

// Preferences are those that were set.
func (a *Accounts) Preferences(account string) (json.RawMessage, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, err := a.find(account)
	return a.preferences[account], err
}

// SetPreferences keeps them.
func (a *Accounts) SetPreferences(_ context.Context, account string, p json.RawMessage) error {
	return a.change("panel "+account, func() error { a.preferences[account] = p; return nil })
}

// ChangePreferences answers with what was asked for.
func (a *Accounts) ChangePreferences(_ context.Context, account string, c *api.PreferencesChange) (p json.RawMessage, err error) {
	err = a.change("panel "+account, func() error {
		p, err = json.Marshal(map[string]any{"language": c.Set["language"], "favourites": c.Add["favourites"]})
		return err
	})
	return p, err
}

// By tells who changed something, in their order.
func (a *Accounts) By() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.by)
}

func (a *Accounts) change(by string, do func() error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.Err != nil {
		return a.Err
	}
	a.by = append(a.by, by)
	return do()
}

// find finds an account. The caller holds mu.
func (a *Accounts) find(name string) (int, error) {
	var names []string
	for i := range a.accounts {
		if a.accounts[i].Name == name {
			return i, nil
		}
		names = append(names, a.accounts[i].Name)
	}
	return 0, api.NoSuch("account", name, "GET /api/v1/accounts lists those there are.", names)
}
