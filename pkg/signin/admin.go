package signin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/api"
	"github.com/presencebridge/presencebridge/pkg/message"
	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
)

// Desk is what administrators see of accounts, as api.Accounts.
var _ api.Accounts = (*Desk)(nil)

// Accounts are all of them, in the order of their names.
func (d *Desk) Accounts() []api.Account {
	sessions := d.sessions.of()
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make([]api.Account, 0, len(d.accounts))
	for _, a := range d.accounts {
		all = append(all, shown(a, sessions[a.Name]))
	}
	slices.SortFunc(all, func(a, b api.Account) int { return strings.Compare(a.Name, b.Name) })
	return all
}

func shown(a *store.Account, sessions int) api.Account {
	v := api.Account{
		Name: a.Name, Title: a.Title, Role: a.Role, Rights: words(a.Role, a.Rights), Disabled: a.Disabled, Password: a.Hash != "",
		Made: a.Made, By: a.MadeBy, Sessions: sessions,
	}
	if a.User != "" {
		v.User = &a.User
	}
	if a.Provider != "" {
		v.Provider = &a.Provider
	}
	if !a.SignedIn.IsZero() {
		v.SignedIn = &a.SignedIn
	}
	return v
}

// words are the rights of who has a role.
func words(role, rights string) []string {
	if Role(role) == Administrator {
		return rightWords()
	}
	return append([]string{}, strings.Fields(rights)...)
}

// ChangeAccount changes what somebody may do. It counts at once, and ends what is open.
func (d *Desk) ChangeAccount(ctx context.Context, name string, c api.AccountChange, by string) (api.Account, error) {
	d.changing.Lock()
	defer d.changing.Unlock()
	before := d.account(fold(name))
	if before == nil {
		return api.Account{}, d.noAccount(name)
	}
	after, what, err := d.changed(before, c)
	if err != nil {
		return api.Account{}, err
	}
	if d.lastAdministrator(before, after) {
		return api.Account{}, api.Refusal(http.StatusConflict, fmt.Sprintf("%s is the last administrator who can sign in; make another one first.", before.Name),
			message.As("account.last", "name", before.Name))
	}
	if err := d.replace(ctx, after, &store.Act{At: d.now(), By: by, Did: "account changed", What: after.Name + ": " + what}); err != nil {
		return api.Account{}, err
	}
	return shown(after, d.sessions.of()[after.Name]), nil
}

// changed is an account after a change, and the change in words.
func (d *Desk) changed(before *store.Account, c api.AccountChange) (after *store.Account, what string, err error) {
	a := *before
	var done []string
	if c.Role != nil {
		if err := sensibleRole(*c.Role); err != nil {
			return nil, "", err
		}
		a.Role, done = *c.Role, append(done, "role "+*c.Role)
	}
	if c.User != nil {
		if err := d.sensibleUser(*c.User); err != nil {
			return nil, "", err
		}
		a.User, done = *c.User, append(done, "user "+cmp.Or(string(*c.User), "none"))
	}
	if c.Rights != nil {
		rights, err := sensibleRights(*c.Rights)
		if err != nil {
			return nil, "", err
		}
		a.Rights, done = rights, append(done, "rights "+cmp.Or(rights, "none"))
	}
	if c.Disabled != nil {
		a.Disabled, done = *c.Disabled, append(done, map[bool]string{true: "disabled", false: "enabled"}[*c.Disabled])
	}
	return &a, strings.Join(done, ", "), nil
}

// replace keeps an account as it is now. What takes something away counts before it is
// written. The caller holds changing.
func (d *Desk) replace(ctx context.Context, a *store.Account, act *store.Act) error {
	less := a.Disabled
	if less {
		d.set(a)
		_, _ = d.sessions.endAll(ctx, a.Name) // the account says so as well
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeWait)
	defer cancel()
	if err := d.store.PutAccount(ctx, a, act); err != nil {
		if !less {
			return d.unsaved(act.Did, err)
		}
		d.log.Error("the store did not take a change of accounts", zap.String("what", act.Did), zap.Error(err))
		return api.Refusal(http.StatusServiceUnavailable, "The account is disabled from now on, but that could not be written, so that it is good again after a restart: do it once more.",
			message.As("account.disabled_for_now"))
	}
	d.set(a)
	return nil
}

// lastAdministrator tells whether nobody could administer the panel any more.
func (d *Desk) lastAdministrator(before, after *store.Account) bool {
	rules := func(a *store.Account) bool {
		return a != nil && Role(a.Role) == Administrator && !a.Disabled && d.lets(a) && (a.Hash != "" || a.Provider != "")
	}
	if !rules(before) || rules(after) {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, a := range d.accounts {
		if a.Name != before.Name && rules(a) {
			return false
		}
	}
	return true
}

func sensibleRole(role string) error {
	if slices.Contains(Roles(), Role(role)) {
		return nil
	}
	return api.Refusal(http.StatusUnprocessableEntity, fmt.Sprintf("There is no role %q: take user, operator or administrator.", clip(role)), message.As("account.no_role", "role", clip(role)))
}

func (d *Desk) sensibleUser(id presence.UserID) error {
	if id == "" {
		return nil
	}
	if _, ok := d.people.NameOf(id); !ok {
		return api.Refusal(http.StatusUnprocessableEntity, fmt.Sprintf("There is no user %q in the mapping; GET /api/v1/users has them all.", clip(string(id))),
			message.As("account.no_user", "user", clip(string(id))))
	}
	return nil
}

// sensibleRights are rights in their order, a space between two.
func sensibleRights(list []string) (string, error) {
	for _, r := range list {
		if !slices.Contains(rightWords(), r) {
			return "", api.Refusal(http.StatusUnprocessableEntity, fmt.Sprintf("There is no right %q: take create, modify and delete.", clip(r)), message.As("account.no_right", "right", clip(r)))
		}
	}
	return strings.Join(slices.DeleteFunc(rightWords(), func(r string) bool { return !slices.Contains(list, r) }), " "), nil
}

func (d *Desk) noAccount(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return api.NoSuch("account", clip(name), "GET /api/v1/accounts lists those there are.", slices.Sorted(maps.Keys(d.accounts)), message.As("account.unknown", "name", clip(name)))
}

// RemoveAccount forgets an account, and ends its sessions.
func (d *Desk) RemoveAccount(ctx context.Context, name, by string) error {
	d.changing.Lock()
	defer d.changing.Unlock()
	a := d.account(fold(name))
	if a == nil {
		return d.noAccount(name)
	}
	if d.lastAdministrator(a, nil) {
		return api.Refusal(http.StatusConflict, fmt.Sprintf("%s is the last administrator who can sign in; make another one first.", a.Name),
			message.As("account.last", "name", a.Name))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeWait)
	defer cancel()
	if err := d.store.RemoveAccount(ctx, a.Name, &store.Act{At: d.now(), By: by, Did: "account removed", What: a.Name}); err != nil {
		return d.unsaved("account removed", err)
	}
	d.mu.Lock()
	delete(d.accounts, a.Name)
	maps.DeleteFunc(d.invitations, func(_ string, i *store.Invitation) bool { return i.Name == a.Name })
	d.mu.Unlock()
	_, _ = d.sessions.endAll(ctx, a.Name) // there is no account for them any more
	return nil
}

// ResetAccount takes the password of an account away, for a link by which its owner
// chooses another one.
func (d *Desk) ResetAccount(ctx context.Context, name, by string) (api.Invitation, error) {
	d.changing.Lock()
	defer d.changing.Unlock()
	before := d.account(fold(name))
	switch {
	case before == nil:
		return api.Invitation{}, d.noAccount(name)
	case before.Provider != "":
		return api.Invitation{}, api.Refusal(http.StatusConflict, fmt.Sprintf("%s has no password here: %s says who that is.", before.Name, before.Provider),
			message.As("account.no_password", "name", before.Name, "provider", before.Provider))
	case !d.local:
		return api.Invitation{}, api.Refusal(http.StatusConflict, "Nobody signs in with a password while sign_in.local is false.", message.As("account.no_passwords"))
	}
	after := *before
	after.Hash = ""
	i := store.Invitation{Name: before.Name, User: before.User, Role: before.Role, Rights: before.Rights, Again: true, MadeBy: by}
	made, err := d.inviteLocked(ctx, i, &after, "password reset", before.Name)
	if err != nil {
		return made, err
	}
	d.set(&after)
	_, _ = d.sessions.endAll(ctx, before.Name) // told in the log; the password is another one in any case
	return made, nil
}

// SignOutAccount ends the sessions of an account. It counts before it is written.
func (d *Desk) SignOutAccount(ctx context.Context, name, by string) (api.Account, error) {
	d.changing.Lock()
	defer d.changing.Unlock()
	a := d.account(fold(name))
	if a == nil {
		return api.Account{}, d.noAccount(name)
	}
	n, unwritten := d.sessions.endAll(ctx, a.Name)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeWait)
	defer cancel()
	act := &store.Act{At: d.now(), By: by, Did: "signed out everywhere", What: fmt.Sprintf("%s, sessions %d", a.Name, n)}
	if err := errors.Join(unwritten, d.store.PutAccount(ctx, a, act)); err != nil {
		d.log.Error("the store did not take a change of accounts", zap.String("what", act.Did), zap.Error(err))
		return api.Account{}, api.Refusal(http.StatusServiceUnavailable, "The sessions have ended, but that could not be written, so that they may be good again after a restart: do it once more.",
			message.As("account.signed_out_for_now"))
	}
	return shown(a, d.sessions.of()[a.Name]), nil
}

// Invitations are those that can be taken up, the oldest first.
func (d *Desk) Invitations() []api.Invitation {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []api.Invitation
	for _, i := range d.invitations {
		if i.Expires.After(d.now()) {
			all = append(all, invited(i))
		}
	}
	slices.SortFunc(all, func(a, b api.Invitation) int {
		return cmp.Or(a.Made.Compare(b.Made), strings.Compare(a.ID, b.ID))
	})
	return all
}

func invited(i *store.Invitation) api.Invitation {
	v := api.Invitation{ID: i.Hash[:12], Role: i.Role, Rights: words(i.Role, i.Rights), Again: i.Again, Made: i.Made, By: i.MadeBy, Expires: i.Expires}
	if i.Name != "" {
		v.Name = &i.Name
	}
	if i.User != "" {
		v.User = &i.User
	}
	return v
}

// Invite makes a link by which somebody makes an account.
func (d *Desk) Invite(ctx context.Context, wish api.Invitation, by string) (api.Invitation, error) {
	d.changing.Lock()
	defer d.changing.Unlock()
	i, err := d.sensible(wish)
	if err != nil {
		return api.Invitation{}, err
	}
	i.MadeBy = by
	what := cmp.Or(i.Name, "anybody") + ", " + i.Role
	if i.User != "" {
		what += ", user " + string(i.User)
	}
	return d.inviteLocked(ctx, i, nil, "invited", what)
}

// sensible tells what is wrong about an invitation that shall be made.
func (d *Desk) sensible(wish api.Invitation) (i store.Invitation, err error) {
	i.Role = cmp.Or(wish.Role, string(User))
	if wish.Name != nil {
		i.Name = fold(*wish.Name)
	}
	if wish.User != nil {
		i.User = *wish.User
	}
	switch {
	case !d.local:
		return i, api.Refusal(http.StatusConflict, "Nobody signs in with a password while sign_in.local is false; who signs in with a provider needs no invitation.",
			message.As("account.no_passwords"))
	case wish.Name != nil && (!accountName.MatchString(i.Name) || reserved(i.Name)):
		return i, api.Refusal(http.StatusUnprocessableEntity, "name has to be 1 to 64 letters, digits and _ . @ -, beginning with a letter, a digit or _; or leave it out, and who is invited chooses it.",
			message.As("account.name_bad"))
	case i.Name != "" && d.account(i.Name) != nil:
		return i, api.Refusal(http.StatusConflict, fmt.Sprintf("There is an account %s already; presencebridge admin reset %s makes a link by which its owner chooses another password.", i.Name, i.Name),
			message.As("account.exists", "name", i.Name))
	}
	if err := errors.Join(sensibleRole(i.Role), d.sensibleUser(i.User)); err != nil {
		return i, err
	}
	i.Rights, err = sensibleRights(wish.Rights)
	return i, err
}

// inviteLocked keeps an invitation, and an account that changes by it. An older one of
// the same account is over. The caller holds changing.
func (d *Desk) inviteLocked(ctx context.Context, i store.Invitation, a *store.Account, did, what string) (api.Invitation, error) {
	secret := newSecret()
	now := d.now().UTC().Truncate(time.Microsecond)
	i.Hash, i.Made, i.Expires = hashOf(secret), now, now.Add(invitedFor)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeWait)
	defer cancel()
	if err := d.forgetOlder(ctx, i.Name); err != nil {
		return api.Invitation{}, d.unsaved(did, err)
	}
	d.mu.Lock()
	full := len(d.invitations) >= mostInvitations
	d.mu.Unlock()
	if full {
		return api.Invitation{}, api.Refusal(http.StatusConflict, fmt.Sprintf("There are %d invitations already; withdraw some, or wait until they run out.", mostInvitations),
			message.As("account.invitations", "n", strconv.Itoa(mostInvitations)))
	}
	if err := d.store.Invite(ctx, &i, a, &store.Act{At: now, By: i.MadeBy, Did: did, What: what}); err != nil {
		return api.Invitation{}, d.unsaved(did, err)
	}
	d.mu.Lock()
	d.invitations[i.Hash] = &i
	d.mu.Unlock()
	v := invited(&i)
	v.URL = d.link("/invitation/" + secret)
	return v, nil
}

// forgetOlder forgets the invitations of an account.
func (d *Desk) forgetOlder(ctx context.Context, name string) error {
	var older []string
	d.mu.Lock()
	for hash, i := range d.invitations {
		if name != "" && i.Name == name {
			older = append(older, hash)
		}
	}
	d.mu.Unlock()
	if len(older) == 0 {
		return nil
	}
	if err := d.store.RemoveInvitations(ctx, older, nil); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, hash := range older {
		delete(d.invitations, hash)
	}
	return nil
}

// Withdraw takes an invitation back.
func (d *Desk) Withdraw(ctx context.Context, id, by string) error {
	d.changing.Lock()
	defer d.changing.Unlock()
	var found *store.Invitation
	var ids []string
	d.mu.Lock()
	for hash, i := range d.invitations {
		ids = append(ids, hash[:12])
		if hash[:12] == id {
			found = i
		}
	}
	d.mu.Unlock()
	if found == nil {
		return api.NoSuch("invitation", clip(id), "GET /api/v1/invitations lists those that nobody has taken up.", ids, message.As("account.no_invitation"))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeWait)
	defer cancel()
	act := &store.Act{At: d.now(), By: by, Did: "invitation withdrawn", What: cmp.Or(found.Name, "anybody") + ", " + found.Role}
	if err := d.store.RemoveInvitations(ctx, []string{found.Hash}, act); err != nil {
		return d.unsaved(act.Did, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.invitations, found.Hash)
	return nil
}
