package apitest

import (
	"context"
	"slices"
	"sync"

	"github.com/presencebridge/presencebridge/pkg/api"
	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
)

// Mapping is an api.Mapping in memory, which takes every definition. Its exported
// fields are set before it is used.
type Mapping struct {
	Err       error // of everything
	ChangeErr error

	mu      sync.Mutex
	users   []store.Mapped
	changes []api.UserChange
}

// NewMapping returns one with alice and bob.
func NewMapping() *Mapping {
	return &Mapping{users: []store.Mapped{
		{ID: "alice", Position: 1, Definition: `{"id":"alice","name":"Alice Martin","email":"alice@example.com","extensions":["1001","1002"],"tags":["vip"],"groups":["sales"]}`},
		{ID: "bob", Position: 3, Definition: `{"id":"bob","name":"Bob Lee","extensions":["1003",{"pbx":"branch","extension":"2003"}],"default_extension":"2003","incoming":"priority","outgoing":"default","priority":["dnd"],"sync":true}`},
	}}
}

// Page returns users behind a position.
func (m *Mapping) Page(_ context.Context, after int64, limit int) ([]store.Mapped, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var page []store.Mapped
	for _, u := range m.users {
		if u.Position > after && len(page) < limit {
			page = append(page, u)
		}
	}
	return page, m.Err
}

// User returns one.
func (m *Mapping) User(_ context.Context, id presence.UserID) (store.Mapped, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if i := m.find(id); i >= 0 && m.Err == nil {
		return m.users[i], nil
	}
	if m.Err != nil {
		return store.Mapped{}, m.Err
	}
	return store.Mapped{}, &bridge.NearError{Err: bridge.ErrNoUser, Name: string(id)}
}

func (m *Mapping) find(id presence.UserID) int {
	return slices.IndexFunc(m.users, func(u store.Mapped) bool { return u.ID == id })
}

// Change keeps what is put.
func (m *Mapping) Change(_ context.Context, c *api.UserChange) (done api.UserChanges, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.changes = append(m.changes, *c)
	switch {
	case m.Err != nil:
		return done, m.Err
	case m.ChangeErr != nil:
		return done, m.ChangeErr
	case c.New && m.find(c.Put[0].ID) >= 0:
		return done, api.ErrUserExists
	}
	for _, d := range c.Put {
		there := ""
		if i := m.find(d.ID); i >= 0 {
			there = m.users[i].Definition
		}
		if !c.Matches(there) {
			return done, api.ErrUserDiffers
		}
	}
	for _, id := range c.Remove {
		i := m.find(id)
		if i < 0 {
			return done, &bridge.NearError{Err: bridge.ErrNoUser, Name: string(id)}
		}
		if !c.Matches(m.users[i].Definition) {
			return done, api.ErrUserDiffers
		}
		m.users = slices.Delete(m.users, i, i+1)
		done.Removed++
	}
	for _, d := range c.Put {
		i := m.find(d.ID)
		switch {
		case i < 0:
			done.Added++
		case m.users[i].Definition == d.JSON:
			done.Unchanged++
		default:
			done.Changed++
		}
		if c.DryRun {
			continue
		}
		if i < 0 {
			m.users, i = append(m.users, store.Mapped{ID: d.ID, Position: int64(len(m.users)) + 10}), len(m.users)
		}
		m.users[i].Definition = d.JSON
	}
	return done, nil
}

// Changes are what was asked for so far.
func (m *Mapping) Changes() []api.UserChange {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.changes)
}
