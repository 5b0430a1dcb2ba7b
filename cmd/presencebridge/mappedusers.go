package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/config"
	"github.com/presencebridge/presencebridge/pkg/api"
	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
)

// mappedUsers is the api.Mapping of a running bridge. It keeps no user in memory.
type mappedUsers struct {
	mappings *mappings
	store    *store.SQL
	bridge   *bridge.Bridge

	changing sync.Mutex // held from the validation of a change until it is taken over
	behind   bool       // under changing: the store may have what the bridge has not taken over
}

// Page returns users in the order of the mapping.
func (u *mappedUsers) Page(ctx context.Context, after int64, limit int) ([]store.Mapped, error) {
	if !u.mappings.inStore.Load() {
		return nil, api.ErrUsersElsewhere
	}
	return u.mappings.store.MappedPage(ctx, after, limit)
}

// User returns one user.
func (u *mappedUsers) User(ctx context.Context, id presence.UserID) (store.Mapped, error) {
	if !u.mappings.inStore.Load() {
		return store.Mapped{}, api.ErrUsersElsewhere
	}
	found, ok, err := u.mappings.store.MappedUser(ctx, id)
	if err == nil && !ok {
		err = u.unknown(id)
	}
	return found, err
}

// rules returns what users in the store have to go with, by the files as they are now.
//
//	the bridge has users of   the files name   a change   an import
//	the store                 the store        goes       goes
//	mapping.yaml              the store        refused    goes, and the bridge has them then
//	mapping.yaml              mapping.yaml     refused    goes, unused
//	the store                 mapping.yaml     refused    refused: it would take what is in use
func (u *mappedUsers) rules(c *api.UserChange) (rules *config.Stored, unused bool, err error) {
	cfg, err := readAgain(u.mappings.start, u.mappings.load, zap.NewNop())
	if err != nil {
		return nil, false, api.UserFaults(strings.Split(err.Error(), "\n"))
	}
	switch has := u.mappings.inStore.Load(); {
	case cfg.Stored != nil && (has || c.Import):
		return cfg.Stored, false, nil
	case cfg.Stored == nil && !has && c.Import:
		return cfg.Unused, true, nil
	}
	return nil, false, api.ErrUsersElsewhere
}

// unknown is the error for a user who is not there, with who may be meant.
func (u *mappedUsers) unknown(id presence.UserID) error {
	if _, err := u.bridge.User(id); err != nil {
		return err
	}
	return &bridge.NearError{Err: bridge.ErrNoUser, Name: string(id)}
}

// commitWait bounds the commit of a change, whether or not its client still waits.
const commitWait = 45 * time.Second

// Change validates, commits and takes over.
func (u *mappedUsers) Change(ctx context.Context, c *api.UserChange) (api.UserChanges, error) {
	u.changing.Lock()
	defer u.changing.Unlock()
	for i := range c.Put {
		c.Put[i].JSON = config.Canonical(c.Put[i].JSON) // before it is validated, which also bounds it
	}
	p, err := u.plan(ctx, c)
	if err == nil && !c.DryRun && len(p.put)+len(p.remove) > 0 {
		err = u.commit(ctx, p, c)
	}
	if u.behind {
		taken := u.takeOver(ctx)
		u.behind = taken != nil || errors.Is(err, api.ErrUncertain) // which may be committed only now
		err = cmp.Or(err, taken)
	}
	return p.done, err
}

// commit writes p. After an error it may be written all the same: the answer of the
// database may have been lost.
func (u *mappedUsers) commit(ctx context.Context, p plan, c *api.UserChange) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitWait)
	defer cancel()
	u.behind = u.behind || !p.done.Unused
	if err := u.store.ChangeMapped(ctx, p.put, p.remove, p.act(c)); err != nil {
		u.mappings.log.Error("the store did not say that it took a change of users", zap.Error(err))
		return api.ErrUncertain
	}
	return nil
}

// takeOver makes the bridge read what the store has.
func (u *mappedUsers) takeOver(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), mappingWait)
	defer cancel()
	if err := u.bridge.Reload(ctx); err != nil {
		u.mappings.log.Error("what the store has of users is not taken over", zap.Error(err))
		return api.ErrNotTakenOver
	}
	return nil
}

// plan is what a change of users writes.
type plan struct {
	put    []store.Mapped
	remove []presence.UserID
	done   api.UserChanges
}

// plan validates the mapping as it would be. The users that change come last, so that
// a fault between two is told of one of them.
func (u *mappedUsers) plan(ctx context.Context, c *api.UserChange) (p plan, err error) {
	rules, unused, err := u.rules(c)
	if err != nil {
		return p, err
	}
	r := newReplacement(c)
	p.remove, p.done.Unused = c.Remove, unused
	if unused {
		if p.remove, err = u.others(ctx, r); err != nil {
			return p, err
		}
	}
	m, faults, err := rules.Mapping(r.apply(c.Put, u.mappings.store.Mapped(ctx)))
	if err != nil {
		return p, err
	}
	for _, id := range p.remove {
		if _, ok := r.replaced[id]; !ok {
			return p, u.unknown(id)
		}
	}
	for id := range r.meant {
		if !c.Matches(r.replaced[id].Definition) {
			return p, api.ErrUserDiffers
		}
	}
	if c.New && len(r.replaced) > 0 {
		return p, api.ErrUserExists
	}
	if m == nil {
		return p, userFaults(faults.Errors())
	}
	p.done.Removed = len(p.remove)
	p.done.Warnings = warningsOf(c.Put, faults)
	p.write(c.Put, r, m)
	return p, nil
}

// others are the users of the store whom a change does not mean, and means now: they go.
func (u *mappedUsers) others(ctx context.Context, r *replacement) (ids []presence.UserID, err error) {
	for row, err := range u.mappings.store.Mapped(ctx) {
		if err != nil {
			return nil, err
		}
		if !r.meant[row.ID] {
			r.meant[row.ID] = true
			ids = append(ids, row.ID)
		}
	}
	return ids, nil
}

// write fills p with what differs. m has the users of put at its end.
func (p *plan) write(put []api.Definition, r *replacement, m *presence.Mapping) {
	last := r.last
	for i, user := range m.Users[len(m.Users)-len(put):] {
		row := store.Mapped{ID: user.ID, Definition: put[i].JSON}
		if l := user.Labels; l != nil {
			row.Tags, row.Groups = strings.Join(l.Tags, " "), strings.Join(l.Groups, " ")
		}
		old, known := r.replaced[user.ID]
		switch {
		case !known:
			last++
			row.Position = last
			p.done.Added++
		case old.Definition == row.Definition:
			p.done.Unchanged++
			continue
		default:
			row.Position = old.Position
			p.done.Changed++
		}
		p.put = append(p.put, row)
	}
}

// maxNamed bounds how much an act says of who was changed, in bytes.
const maxNamed = 500

// act is the line of the audit log.
func (p *plan) act(c *api.UserChange) *store.Act {
	act := &store.Act{At: time.Now(), By: c.By}
	var ids []string
	for i := range p.put {
		ids = append(ids, string(p.put[i].ID))
	}
	for _, id := range p.remove {
		ids = append(ids, string(id))
	}
	switch {
	case len(ids) > 1:
		act.Did = "users imported"
	case len(p.remove) > 0:
		act.Did = "user removed"
	case p.done.Added > 0:
		act.Did = "user added"
	default:
		act.Did = "user changed"
	}
	for i, id := range ids {
		if len(act.What)+len(id) > maxNamed {
			act.What += fmt.Sprintf(" and %d more", len(ids)-i)
			break
		}
		if i > 0 {
			act.What += ", "
		}
		act.What += id
	}
	return act
}

// replacement is the users of the store that a change replaces or removes.
type replacement struct {
	meant    map[presence.UserID]bool
	replaced map[presence.UserID]store.Mapped // those of meant that are there
	last     int64                            // the highest position that there is
}

func newReplacement(c *api.UserChange) *replacement {
	r := &replacement{meant: map[presence.UserID]bool{}, replaced: map[presence.UserID]store.Mapped{}}
	for _, d := range c.Put {
		r.meant[d.ID] = true
	}
	for _, id := range c.Remove {
		r.meant[id] = true
	}
	return r
}

// apply gives the users as they would be: those that stay, then those that are put.
func (r *replacement) apply(put []api.Definition, rows iter.Seq2[store.Mapped, error]) iter.Seq2[config.Definition, error] {
	return func(yield func(config.Definition, error) bool) {
		for row, err := range rows {
			r.last = max(r.last, row.Position)
			if r.meant[row.ID] && err == nil {
				r.replaced[row.ID] = row
				continue
			}
			if !yield(config.Definition{ID: row.ID, JSON: row.Definition}, err) {
				return
			}
		}
		for _, d := range put {
			if !yield(config.Definition(d), nil) {
				return
			}
		}
	}
}

// maxFaults bounds an answer: one wrong PBX may be 100,000 faults.
const maxFaults = 1000

// warningsOf are those of the faults that are about who is put, as sentences.
func warningsOf(put []api.Definition, faults config.Faults) []string {
	files := make(map[string]bool, len(put))
	for _, d := range put {
		files[config.Definition(d).File()] = true
	}
	var about config.Faults
	for _, f := range faults.Warnings() {
		if files[f.File] {
			about = append(about, f)
		}
	}
	return userFaults(about)
}

// userFaults are sentences, each with the line of an import first.
func userFaults(faults config.Faults) api.UserFaults {
	var all api.UserFaults
	for i, f := range faults {
		if i == maxFaults {
			return append(all, fmt.Sprintf("and %d more", len(faults)-i))
		}
		line := ""
		if f.Line > 0 {
			line = fmt.Sprintf("line %d: ", f.Line)
		}
		f.Line = 0
		all = append(all, line+f.String())
	}
	return all
}
