package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
)

// crashGap is added to every version after a crash: pages may have seen versions
// that were never saved, and must not see them again with another meaning. The
// time as a floor does the same where several crashes follow one another, or a
// user was never saved at all; the gap is for machines without a clock.
const crashGap = 1_000_000

// wake takes over what the store has. Users of the mapping lie side by side in its order,
// and not among what the reading leaves behind: as a rule nobody of them is ever let go of.
func (b *Bridge) wake(ctx context.Context, state store.State) error {
	heard := map[string]presence.Time{}
	for _, known := range state.PBXs {
		heard[known.Name] = presence.At(known.Heard)
		if p := b.pbxs[known.Name]; p != nil {
			p.known = known
		}
	}
	now := presence.At(b.clock.now())
	if !state.Clean {
		b.floor = uint64(now.Time().UnixMicro())
	}
	b.keepOwn(state.Own)
	reader := presence.Reader{Types: b.opt.Mapping.Types}
	room := make([]user, len(b.users.mapped))
	for i := range room {
		b.users.users[i] = &room[i]
	}
	var highest uint64
	for row, err := range b.opt.Store.Users(ctx) {
		if err != nil {
			return fmt.Errorf("load the store: %w", err)
		}
		v, err := reader.Read(row.View)
		if err != nil {
			return fmt.Errorf("the store's view of user %q cannot be read: %w", row.ID, err)
		}
		v.Wake(now, func(pbx string) presence.Time { return heard[pbx] })
		u := b.users.of(row.ID)
		if u == nil {
			u = &user{mapped: &presence.MappedUser{ID: row.ID, Name: row.Name, Email: row.Email}}
			b.parked[row.ID] = u
		}
		u.view, u.saved = v, v.Version
		if !state.Clean {
			u.view.Version = max(v.Version+crashGap, b.floor)
			b.saver.touch(u, 0) // so that the next start knows, too
		}
		b.clock.seen(newest(&v))
		highest = max(highest, u.view.Version)
	}
	if !state.Clean {
		b.floor = max(b.floor, highest) // the clock may have been ahead
	}
	for i := range room {
		if u := &room[i]; u.view.User == "" { // the store does not know them
			u.view = presence.View{User: b.users.mapped[i].ID, Version: b.floor}
		}
	}
	return nil
}

// newest is the latest time that a view knows.
func newest(v *presence.View) (t presence.Time) {
	later := func(u presence.Time) {
		if u.After(t) {
			t = u
		}
	}
	later(v.PhoneSince)
	later(v.Out)
	if v.Hold != nil {
		later(v.Hold.Since)
	}
	for i := range v.Extensions {
		later(v.Extensions[i].Said.Since)
		later(v.Extensions[i].Heard.At)
	}
	return t
}

// apply makes m the mapping, and every user's view fit it.
func (b *Bridge) apply(m *presence.Mapping) {
	b.types = m.Types.WithRemoved(b.missing(m))
	m = withTypes(m, b.types)
	old := b.users
	for _, u := range old.users {
		b.due.schedule(u, presence.Time{})
	}
	b.forgetMapping()
	b.users = newPeople(m.Users)
	for i := range m.Users {
		b.users.users[i] = b.adopt(old, &m.Users[i])
	}
	b.distribute()
	if len(b.parked) == 0 {
		b.parked = map[presence.UserID]*user{} // a map keeps the room that it once had
	}
	now := b.clock.next()
	for i, u := range old.users {
		if b.users.find(old.mapped[i].ID) < 0 {
			b.dismiss(u, now)
			b.parked[u.mapped.ID] = u
		}
	}
	for _, u := range b.parked {
		if u.view.Leave(now) {
			b.saver.touch(u, b.lately())
		}
	}
	b.disturb(now)
	b.board.reorder(b.users, b.types)
	for _, u := range b.users.users {
		b.step(u, &presence.Input{Kind: presence.Reloaded}, now)
		b.meet(u.mapped.ID)
		b.board.put(u) // the name, or nothing, may be new
		b.light(u, true)
		b.pause(u, true)
	}
}

// withTypes is m with another table of types for everybody.
func withTypes(m *presence.Mapping, types *presence.Types) *presence.Mapping {
	if m.Types == types {
		return m
	}
	users, policies := slices.Clone(m.Users), map[*presence.Policy]*presence.Policy{}
	for i := range users {
		rules := *users[i].Rules
		p := policies[rules.Policy]
		if p == nil {
			policy := *rules.Policy
			p, policy.Types = &policy, types
			policies[rules.Policy] = p
		}
		rules.Policy = p
		users[i].Rules = &rules
	}
	return &presence.Mapping{Types: types, Users: users}
}

// adopt makes the user that the mapping describes of who is known, or a new one.
func (b *Bridge) adopt(known *people, mapped *presence.MappedUser) *user {
	u := known.of(mapped.ID)
	if u == nil {
		u = b.parked[mapped.ID]
	}
	if u == nil {
		u = &user{view: presence.View{User: mapped.ID, Version: b.floor}}
	}
	delete(b.parked, mapped.ID)
	u.mapped, u.view.User = b.described(mapped), mapped.ID // which frees the text that the store gave
	return u
}

// dismiss lets go of a user whom the mapping no longer has. What is known of them
// is kept, should they come back; until then no PBX tells about them.
func (b *Bridge) dismiss(u *user, now presence.Time) {
	for _, w := range b.waiting[u] {
		w.done <- &NearError{Err: ErrNoUser, Name: string(u.mapped.ID)}
	}
	delete(b.waiting, u)
	for pbx := range b.pbxs {
		b.step(u, &presence.Input{Kind: presence.Down, PBX: pbx}, now)
	}
	b.due.schedule(u, presence.Time{})
	b.drifters.note(u, 0)
	u.detach()
}

// detach gives the user texts and rules of their own: the mapping that lost them lies
// in a few large pieces, which one of them would keep alive as a whole.
func (u *user) detach() {
	m, r := *u.mapped, *u.mapped.Rules
	m.ID, m.Name, m.Email = presence.UserID(strings.Clone(string(m.ID))), strings.Clone(m.Name), strings.Clone(m.Email)
	r.Extensions = slices.Clone(r.Extensions)
	for i := range r.Extensions {
		r.Extensions[i] = presence.ExtensionID{PBX: strings.Clone(r.Extensions[i].PBX), Number: strings.Clone(r.Extensions[i].Number)}
	}
	m.Rules = &r
	u.mapped, u.view.User = &m, m.ID
	for i := range u.view.Extensions {
		x := &u.view.Extensions[i]
		x.ID = presence.ExtensionID{PBX: strings.Clone(x.ID.PBX), Number: strings.Clone(x.ID.Number)}
	}
}

// missing collects the status types that somebody has or has said and m lacks.
func (b *Bridge) missing(m *presence.Mapping) []presence.StatusType {
	found := map[presence.TypeID]presence.StatusType{}
	note := func(v *presence.View) {
		v.EachType(func(id presence.TypeID) {
			if _, _, ok := m.Types.Lookup(id); ok {
				return
			}
			if b.types != nil {
				if t, _, ok := b.types.Lookup(id); ok {
					found[id] = withoutPause(*t)
				}
			}
			shown := []*presence.Status{v.Status, v.Under}
			if v.Later != nil {
				shown = append(shown, v.Later.Chosen)
			}
			for _, st := range shown {
				if st != nil && st.Type.ID == id {
					found[id] = withoutPause(*st.Type)
				}
			}
		})
	}
	for _, u := range b.users.users {
		note(&u.view)
	}
	for _, u := range b.parked {
		note(&u.view)
	}
	gone := make([]presence.StatusType, 0, len(found))
	for _, t := range found {
		gone = append(gone, t)
	}
	return gone
}

// Reload reads the mapping again. A bad file changes nothing; the error lists its faults.
func (b *Bridge) Reload(ctx context.Context) error {
	b.load.Lock() // of two reloads the later one has read the newer file
	defer b.load.Unlock()
	m, err := b.opt.LoadMapping()
	if err == nil {
		err = b.fits(m)
	}
	if err != nil {
		b.board.reloaded(err, b.opt.Now())
		return err // who asked for it tells the operator
	}
	err = b.run(ctx, func() {
		b.apply(m)
		for _, p := range b.pbxs {
			p.connector.Resync() // new extensions want to know what they show
		}
	})
	if err != nil {
		return err
	}
	b.board.reloaded(nil, b.opt.Now())
	b.log.Info("mapping reloaded", zap.Int("users", len(m.Users)), zap.Int("statuses", len(m.Types.List())))
	return nil
}

// fits finds users with an extension on a PBX that this bridge was not started with.
func (b *Bridge) fits(m *presence.Mapping) error {
	var faults []error
	for _, u := range m.Users {
		for _, x := range u.Rules.Extensions {
			if b.pbxs[x.PBX] == nil {
				faults = append(faults, fmt.Errorf("user %q has extension %s, but the bridge runs without PBX %q: add it to presencebridge.yaml and restart", u.ID, x, x.PBX))
			}
		}
	}
	return errors.Join(faults...)
}

// run executes f in the owner loop and waits for it.
func (b *Bridge) run(ctx context.Context, f func()) error {
	done := make(chan struct{})
	select {
	case b.do <- func() { f(); close(done) }:
		<-done // the loop always finishes what it took
		return nil
	case <-b.ended:
		return ErrStopping
	case <-ctx.Done():
		return ctx.Err()
	}
}

// withoutPause is a type that the mapping no longer has: it shows, and asks for nothing.
func withoutPause(t presence.StatusType) presence.StatusType {
	t.QueuePause = false
	return t
}
