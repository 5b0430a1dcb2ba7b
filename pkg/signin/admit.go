package signin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/store"
)

// errDisabled says that an account may not sign in any more.
var errDisabled = errors.New("the account is disabled")

// admitted is somebody who has shown who they are.
type admitted struct {
	account  string
	did, how string                     // for the audit log
	change   func(*store.Account) error // what that changes; nil: nothing. It sees the account as it is now
	alone    bool                       // all other sessions end
}

// admit keeps what signing in changes, and begins a session with another token than the
// browser had, so that nobody can have planted that.
func (h *handler) admit(w http.ResponseWriter, r *http.Request, who admitted) error {
	now := h.now().UTC().Truncate(time.Microsecond)
	act := &store.Act{At: now, By: "panel " + who.account, Did: who.did, What: who.how}
	err := h.keep(r.Context(), who.account, act, func(a *store.Account) error {
		if a.Disabled {
			return errDisabled
		}
		a.SignedIn = now
		if who.change == nil {
			return nil
		}
		return who.change(a)
	})
	if err == nil && who.alone {
		_, _ = h.sessions.endAll(r.Context(), who.account) // told in the log
	}
	if err == nil {
		err = h.begin(w, r, who.account, now)
	}
	log := h.log.With(zap.String("account", who.account), zap.String("how", who.how), zap.Stringer("peer", h.peer(r)))
	if err != nil {
		log.Error("not signed in", zap.String("did", who.did), zap.Error(err))
		return err
	}
	h.remember(w, who.account, now)
	log.Info(who.did)
	return nil
}

// begin begins a session.
func (d *Desk) begin(w http.ResponseWriter, r *http.Request, account string, now time.Time) error {
	ctx, err := d.cookies.Load(r.Context(), d.token(r))
	if err != nil {
		return err
	}
	if err := d.cookies.RenewToken(ctx); err != nil { // ends the one that was
		return err
	}
	d.cookies.Put(ctx, sessionAccount, account)
	d.cookies.Put(ctx, sessionBegan, now)
	token, _, err := d.cookies.Commit(ctx)
	if err != nil {
		return err
	}
	// The cookie lives as long as the session may at most; the bridge knows when it is idle.
	d.cookies.WriteSessionCookie(ctx, w, token, d.cookies.Deadline(ctx))
	return nil
}

// keep changes an account, in the store and then in memory. change gets a copy.
func (d *Desk) keep(ctx context.Context, name string, act *store.Act, change func(*store.Account) error) error {
	d.changing.Lock()
	defer d.changing.Unlock()
	return d.keepLocked(ctx, name, act, change)
}

// keepLocked is keep for who holds changing.
func (d *Desk) keepLocked(ctx context.Context, name string, act *store.Act, change func(*store.Account) error) error {
	before := d.account(name)
	if before == nil {
		return errGone
	}
	after := *before
	if err := change(&after); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeWait) // a browser that goes away does not leave half of it
	defer cancel()
	if err := d.store.PutAccount(ctx, &after, act); err != nil {
		return fmt.Errorf("account %s: %w", name, err)
	}
	d.set(&after)
	return nil
}

// set puts an account in memory, and ends what is open with it if it may do something else now.
func (d *Desk) set(a *store.Account) {
	d.mu.Lock()
	before := d.accounts[a.Name]
	d.accounts[a.Name] = a
	d.mu.Unlock()
	if before != nil && (before.Role != a.Role || before.User != a.User || before.Rights != a.Rights || before.Disabled != a.Disabled) {
		d.sessions.changed(a.Name)
	}
}
