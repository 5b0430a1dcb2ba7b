package bridge

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/presencebridge/presencebridge/pkg/message"
	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
)

// This file holds what the API asks of the bridge.

// Users are those behind a user in the order of the mapping, behind "" everybody, each
// as they are, and rendered, when their turn comes. ok is false where there is no such
// user.
func (b *Bridge) Users(after presence.UserID) (users iter.Seq[User], ok bool) {
	rest, ok := b.board.behind(after)
	if !ok {
		return nil, false
	}
	return func(yield func(User) bool) {
		for s := range b.board.all(rest) {
			if !yield(s.render()) {
				return
			}
		}
	}, true
}

// Count is how many users there are.
func (b *Bridge) Count() int {
	everybody, _ := b.board.behind("")
	return len(everybody)
}

// User returns one user. The error is a *NearError.
func (b *Bridge) User(id presence.UserID) (User, error) {
	if s := b.board.find(id); s != nil {
		return s.render(), nil
	}
	var ids []presence.UserID
	everybody, _ := b.board.behind("")
	for s := range b.board.all(everybody) {
		ids = append(ids, s.user.ID)
	}
	return User{}, &NearError{ErrNoUser, string(id), string(presence.Nearest(string(id), ids))}
}

// Types returns the status types of the mapping in its order.
func (b *Bridge) Types() []presence.StatusType {
	b.board.mu.RLock()
	defer b.board.mu.RUnlock()
	return b.board.types.List()
}

// statusType finds a type that can be chosen.
func (b *Bridge) statusType(id presence.TypeID) (*presence.StatusType, error) {
	b.board.mu.RLock()
	defer b.board.mu.RUnlock()
	if t, removed, ok := b.board.types.Lookup(id); ok && !removed {
		return t, nil
	}
	list := b.board.types.List()
	ids := make([]presence.TypeID, len(list))
	for i, t := range list {
		ids[i] = t.ID
	}
	return nil, &NearError{ErrNoStatus, string(id), string(presence.Nearest(string(id), ids))}
}

// maxLabel is how many characters a label may have: it takes the place of a name.
const maxLabel = 64

// labelOf is a label as it is kept, if the type may have one.
func labelOf(t *presence.StatusType, text string) (string, error) {
	text, _ = presence.Plain(text)
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		return "", nil
	case !t.Labels:
		return "", badInput(message.As("choice.no_label", "status", t.Name), "the status %s takes no label: leave it out, or have labels: true written for it in the mapping", t.ID)
	case utf8.RuneCountInString(text) > maxLabel:
		return "", badInput(message.As("choice.label_long", "most", strconv.Itoa(maxLabel)), "the label has more than %d characters, which no page has room for: shorten it", maxLabel)
	}
	return text, nil
}

// maxYears is how far ahead a return time may be: whoever means more means for ever.
const maxYears = 10

// Choose makes c the user's status and returns the user once that is in the
// store. Errors are a *NearError, or wrap ErrBadInput, ErrUnsaved (nothing was
// changed), ErrPending (it may yet be saved) or ErrStopping.
func (b *Bridge) Choose(ctx context.Context, id presence.UserID, c Choice) (User, error) {
	if _, err := b.User(id); err != nil {
		return User{}, err
	}
	t, err := b.statusType(c.Type)
	if err != nil {
		return User{}, err
	}
	if c.Label, err = labelOf(t, c.Label); err != nil {
		return User{}, err
	}
	if !c.Until.IsZero() && !c.Until.After(b.opt.Now()) {
		return User{}, badInput(message.As("choice.over"), "the return time %s has passed already", c.Until.Format(time.RFC3339))
	}
	if c.Until.After(b.opt.Now().AddDate(maxYears, 0, 0)) {
		return User{}, badInput(message.As("choice.far", "years", strconv.Itoa(maxYears)), "the return time %s is more than %d years ahead", c.Until.Format(time.RFC3339), maxYears)
	}
	if err := b.storeErr(); err != nil {
		return User{}, fmt.Errorf("%w (%w): the status was not changed, try again when it can", ErrUnsaved, err)
	}
	c.Message, _ = presence.Plain(c.Message)
	way := b.followChoice(&c)
	var (
		done   = make(chan error, 1)
		chosen User
		gone   bool
	)
	err = b.run(ctx, func() {
		u := b.users.of(id)
		if gone = u == nil; gone {
			return
		}
		if c.IfNone && u.view.Said() {
			chosen = u.shown.render()
			done <- nil
			return
		}
		b.ways.choice(way, u)
		b.step(u, &presence.Input{Kind: presence.Chosen, Type: c.Type, Message: c.Message, Label: c.Label, Until: presence.At(c.Until), Open: c.Open, By: c.By}, b.clock.next())
		b.waiting[u] = append(b.waiting[u], waiter{u.view.Version, done})
		chosen = u.shown.render()
	})
	if err != nil {
		return User{}, err
	}
	if gone {
		return b.User(id)
	}
	if err := b.kept(ctx, done); err != nil {
		return User{}, err
	}
	chosen.Saved = true
	return chosen, nil
}

// kept waits for the commit of what a person has decided.
func (b *Bridge) kept(ctx context.Context, done <-chan error) (err error) {
	limit := time.NewTimer(b.opt.AcceptWait)
	defer limit.Stop()
	select {
	case err := <-done:
		return err
	case <-limit.C:
		err = fmt.Errorf("the store did not answer in %v", b.opt.AcceptWait)
	case <-ctx.Done():
		err = ctx.Err()
	}
	return fmt.Errorf("%w: %w; it will be kept, and written to the phones, once it is saved, unless the bridge stops before", ErrPending, err)
}

// Explain tells why a user's status is what it is.
func (b *Bridge) Explain(ctx context.Context, id presence.UserID) (presence.Explanation, error) {
	if _, err := b.User(id); err != nil {
		return presence.Explanation{}, err
	}
	var e presence.Explanation
	err := b.run(ctx, func() {
		if u := b.users.of(id); u != nil {
			e = u.view.Explain(u.mapped.Rules, b.clock.last)
			mapped, o := b.byMapping(u)
			e.Own = o.Explain(mapped.Rules)
		}
	})
	return e, err
}

// History returns lines of the history, the newest first.
func (b *Bridge) History(ctx context.Context, q store.Query) ([]store.Entry, error) {
	return b.opt.Store.History(ctx, q)
}

// PBXs returns every PBX in the order of the configuration.
func (b *Bridge) PBXs() []PBX {
	list := make([]PBX, len(b.opt.PBXs))
	for i, p := range b.opt.PBXs {
		list[i].Health = p.Connector.Health()
		list[i].PBX = p.Name
		t := b.board.tally(p.Name)
		list[i].Extensions, list[i].Pending = t.extensions, t.pending
	}
	return list
}

// Alive returns when the owner loop has answered: nil means that it makes progress.
// It says nothing of a PBX or the store.
func (b *Bridge) Alive(ctx context.Context) error { return b.run(ctx, func() {}) }

// NotReady lists why the bridge is not ready; none: it is.
func (b *Bridge) NotReady() []Reason {
	var reasons []Reason
	for _, p := range b.opt.PBXs {
		is := PBX{Health: p.Connector.Health()}
		is.PBX = p.Name
		if !is.Ready {
			reasons = append(reasons, is.Why())
		}
	}
	err := b.storeErr()
	if err == nil {
		err = b.opt.MayAct()
	}
	if err != nil {
		reasons = append(reasons, ReasonOf(message.Message{Text: "store: " + err.Error(), Key: message.As("health.store", "error", err.Error())}))
	}
	return reasons
}

// storeErr is why nothing can be accepted now: the last commit failed, or the
// present one does not end.
func (b *Bridge) storeErr() error {
	b.board.mu.RLock()
	defer b.board.mu.RUnlock()
	since := b.board.committing
	if hung := b.opt.Now().Sub(since); !since.IsZero() && hung > b.opt.SaveTimeout {
		return fmt.Errorf("a commit has not ended for %v", hung.Round(time.Second))
	}
	return b.board.storeErr
}

// Reloads tells how reloads went since the start.
func (b *Bridge) Reloads() Reloads {
	b.board.mu.RLock()
	defer b.board.mu.RUnlock()
	return b.board.reloads
}

// HeldBack is how often since the start a status changed faster than a person could
// change it, so that it showed later.
func (b *Bridge) HeldBack() uint64 { return b.counted.heldBack.Load() }

func quote(s string) string { return strconv.Quote(s) }
