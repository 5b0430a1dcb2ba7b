package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/presencebridge/presencebridge/pkg/message"
	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
)

// own is what a user has set for themself.
type own struct {
	presence.Own
	mapped *presence.MappedUser // as the mapping describes the user; nil: it does not have them
}

// described is the user whom the mapping describes, with their own settings.
func (b *Bridge) described(mapped *presence.MappedUser) *presence.MappedUser {
	o := b.own[mapped.ID]
	if o == nil {
		return mapped
	}
	o.mapped = mapped
	rules := b.ownRules(mapped)
	if rules == mapped.Rules {
		return mapped
	}
	m := *mapped
	m.Rules = rules
	return &m
}

// ownRules are the rules of a user of a mapping, with their own settings.
func (b *Bridge) ownRules(mapped *presence.MappedUser) *presence.Rules {
	if o := b.own[mapped.ID]; o != nil {
		return o.Apply(mapped.Rules)
	}
	return mapped.Rules
}

// byMapping is u as the mapping alone describes them, and what they have set for themself.
func (b *Bridge) byMapping(u *user) (mapped *presence.MappedUser, o presence.Own) {
	if set := b.own[u.mapped.ID]; set != nil {
		return set.mapped, set.Own
	}
	return u.mapped, presence.Own{}
}

// Settings returns what a user has set for themself. Errors are a *NearError or wrap
// ErrStopping.
func (b *Bridge) Settings(ctx context.Context, id presence.UserID) (Settings, error) {
	if _, err := b.User(id); err != nil {
		return Settings{}, err
	}
	var s Settings
	gone := false
	err := b.run(ctx, func() {
		u := b.users.of(id)
		if gone = u == nil; !gone {
			s = b.settings(u)
		}
	})
	if err == nil && gone {
		err = &NearError{Err: ErrNoUser, Name: string(id)}
	}
	return s, err
}

func (b *Bridge) settings(u *user) Settings {
	mapped, o := b.byMapping(u)
	r := mapped.Rules
	s := Settings{Sync: o.Sync, Mapping: MappedSettings{Sync: r.Sync, Off: r.Off}}
	if x := o.Default; x != (presence.ExtensionID{}) {
		s.Default, s.DefaultIgnored = &x, !slices.Contains(r.Extensions, x)
	}
	if len(r.Extensions) > 0 {
		x := r.Extensions[r.Default]
		s.Mapping.Default = &x
	}
	return s
}

// Set changes what a user has set for themself, and returns once that is in the store.
// It holds at once: the status is decided anew. Errors are those of Choose.
func (b *Bridge) Set(ctx context.Context, id presence.UserID, c SettingsChange) (Settings, error) {
	if _, err := b.User(id); err != nil {
		return Settings{}, err
	}
	if err := b.storeErr(); err != nil {
		return Settings{}, fmt.Errorf("%w (%w): the settings were not changed, try again when it can", ErrUnsaved, err)
	}
	var (
		done    = make(chan error, 1)
		set     Settings
		refused error
	)
	err := b.run(ctx, func() {
		u := b.users.of(id)
		if u == nil {
			refused = &NearError{Err: ErrNoUser, Name: string(id)}
			return
		}
		if refused = b.set(u, &c); refused == nil {
			b.waiting[u] = append(b.waiting[u], waiter{u.view.Version, done})
			set = b.settings(u)
		}
	})
	if err = errors.Join(err, refused); err == nil {
		err = b.kept(ctx, done)
	}
	return set, err
}

// set makes the change, or says why not.
func (b *Bridge) set(u *user, c *SettingsChange) error {
	mapped, before := b.byMapping(u)
	now := before
	if c.SetDefault {
		now.Default = presence.ExtensionID{}
		if c.Default != nil {
			now.Default = *c.Default
		}
	}
	if c.SetSync {
		now.Sync = c.Sync
	}
	list := mapped.Rules.Extensions
	if x := now.Default; x != before.Default && x != (presence.ExtensionID{}) && !slices.Contains(list, x) {
		return badInput(message.As("settings.no_extension", "extension", x.String()), "%s is no extension of %s, %s", x, mapped.ID, whichAre(list))
	}
	if now == (presence.Own{}) {
		delete(b.own, mapped.ID)
	} else {
		b.own[presence.UserID(strings.Clone(string(mapped.ID)))] = &own{Own: now} // no text of a mapping, which would stay
	}
	b.saver.setOwn(mapped.ID)
	u.mapped = b.described(mapped)
	at := b.clock.next()
	b.step(u, &presence.Input{Kind: presence.Reloaded, By: c.By}, at)
	for _, rule := range now.Differs(before) {
		b.saver.remember(line{mapped.ID, u.view.Version, presence.Change{Status: statusNow(&u.view), At: at, By: c.By, Rule: rule}})
	}
	b.light(u, true)
	b.pause(u, true)
	return nil
}

// statusNow is what a line of the history says of a status that stays as it is.
func statusNow(v *presence.View) presence.Status {
	if v.Status == nil {
		return presence.Status{Type: &presence.StatusType{}}
	}
	return *v.Status
}

func whichAre(list []presence.ExtensionID) string {
	if len(list) == 0 {
		return "who has none"
	}
	words := make([]string, len(list))
	for i, id := range list {
		words[i] = id.String()
	}
	return "whose are " + strings.Join(words, ", ")
}

// keepOwn takes over what the store has.
func (b *Bridge) keepOwn(all []store.Settings) {
	for i := range all {
		b.own[all[i].User] = &own{Own: all[i].Own}
	}
}

// forgetMapping lets go of the mapping before.
func (b *Bridge) forgetMapping() {
	for _, o := range b.own {
		o.mapped = nil
	}
}

// setOwn notes that the own settings of a user have to be saved.
func (s *saver) setOwn(id presence.UserID) {
	if !slices.Contains(s.own, id) {
		s.own = append(s.own, id)
	}
}

// ownToSave are the settings that wait for a commit, as they are now.
func (b *Bridge) ownToSave() []store.Settings {
	var all []store.Settings
	for _, id := range b.saver.own {
		one := store.Settings{User: id}
		if o := b.own[id]; o != nil {
			one.Own = o.Own
		}
		all = append(all, one)
	}
	b.saver.own = nil
	return all
}
