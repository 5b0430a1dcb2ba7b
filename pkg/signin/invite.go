package signin

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/store"
)

const (
	invitedFor      = 24 * time.Hour
	mostInvitations = 1000
)

var errGone = errors.New("it is not there any more")

// newSecret is what a link ends in.
func newSecret() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(b)
}

// invitation finds the invitation of a link that can be taken up; nil: there is none.
func (d *Desk) invitation(token string) *store.Invitation {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := d.invitations[hashOf(token)]
	if i == nil || !i.Expires.After(d.now()) {
		return nil
	}
	return i
}

func (h *handler) invitationPage(w http.ResponseWriter, r *http.Request) {
	i := h.invitation(r.PathValue("token"))
	if i == nil {
		h.pages.Problem(w, r, http.StatusNotFound, invitationGone())
		return
	}
	h.pages.Invitation(w, r, pageOf(i))
}

func pageOf(i *store.Invitation) InvitationPage {
	return InvitationPage{Status: http.StatusOK, Name: i.Name, NameChosen: i.Name != "", Reset: i.Again, Role: Role(i.Role), Least: leastPassword}
}

// takeUp makes the account of an invitation, or gives it another password, and signs in.
func (h *handler) takeUp(w http.ResponseWriter, r *http.Request) {
	i := h.invitation(r.PathValue("token"))
	if i == nil {
		h.pages.Problem(w, r, http.StatusNotFound, invitationGone())
		return
	}
	if !h.local {
		h.pages.Problem(w, r, http.StatusForbidden, noLocal())
		return
	}
	if !h.form(w, r) {
		return
	}
	name := i.Name
	if name == "" {
		name = fold(r.PostForm.Get("name"))
	}
	again := func(status int, m Message) {
		p := pageOf(i)
		p.Status, p.Error, p.Name = status, &m, clip(name)
		h.pages.Invitation(w, r, p)
	}
	password := r.PostForm.Get("password")
	if m := h.unfit(i, name, password, r.PostForm.Get("again")); m != nil {
		again(http.StatusUnprocessableEntity, *m)
		return
	}
	hash, err := h.hasher.hash(r.Context(), password)
	if err != nil {
		again(http.StatusServiceUnavailable, busy())
		return
	}
	switch err := h.redeem(r.Context(), i, name, hash); {
	case errors.Is(err, errTaken):
		again(http.StatusConflict, nameTaken(name))
		return
	case errors.Is(err, errGone):
		h.pages.Problem(w, r, http.StatusNotFound, invitationGone())
		return
	case err != nil:
		h.log.Error("an invitation was not taken up", zap.String("account", i.Name), zap.Error(err))
		again(http.StatusServiceUnavailable, unsaved())
		return
	}
	if err := h.admit(w, r, admitted{account: name, did: "signed in", how: "with an invitation", alone: true}); err != nil {
		http.Redirect(w, r, "/sign-in", http.StatusSeeOther) // the password is kept, and good for that
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// unfit tells what is wrong about what somebody has chosen; nil: nothing.
func (h *handler) unfit(i *store.Invitation, name, password, again string) *Message {
	var m Message
	switch {
	case !accountName.MatchString(name) || reserved(name):
		m = nameBad()
	case !i.Again && h.account(name) != nil:
		m = nameTaken(name)
	case weak(password, name) != nil:
		return weak(password, name)
	case password != again:
		m = passwordsDiffer()
	default:
		return nil
	}
	return &m
}

// redeem makes what an invitation promises, once.
func (d *Desk) redeem(ctx context.Context, i *store.Invitation, name, hash string) error {
	d.changing.Lock()
	defer d.changing.Unlock()
	now := d.now().UTC().Truncate(time.Microsecond)
	a := store.Account{Name: name, User: i.User, Role: i.Role, Rights: i.Rights, Made: now, MadeBy: i.MadeBy, Preferences: noPreferences}
	act := &store.Act{At: now, By: "panel " + name, Did: "account made", What: name + ", " + i.Role + ", invited by " + i.MadeBy}
	have, count := d.account(name), d.count()
	switch {
	case i.Again && have == nil:
		return errGone
	case i.Again:
		a, act.Did, act.What = *have, "password chosen anew", name
	case have != nil:
		return errTaken
	case count >= mostAccounts:
		return errFull
	}
	a.Hash = hash
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeWait)
	defer cancel()
	ok, err := d.store.TakeUp(ctx, i.Hash, &a, act)
	if err != nil {
		return err
	}
	d.mu.Lock()
	delete(d.invitations, i.Hash)
	d.mu.Unlock()
	if !ok {
		return errGone
	}
	d.set(&a)
	return nil
}

func (d *Desk) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.accounts)
}

// forgetInvitations forgets those that ran out.
func (d *Desk) forgetInvitations(ctx context.Context) {
	now := d.now()
	var over []string
	d.mu.Lock()
	for hash, i := range d.invitations {
		if !i.Expires.After(now) {
			over = append(over, hash)
		}
	}
	d.mu.Unlock()
	if len(over) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, storeWait)
	defer cancel()
	if err := d.store.RemoveInvitations(ctx, over, nil); err != nil {
		d.log.Warn("invitations that ran out are still in the store", zap.Error(err))
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, hash := range over {
		delete(d.invitations, hash)
	}
}
