package apitest

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
)

// Store is an api.Store in memory. Err, set before it is used, is what it answers
// to every change.
type Store struct {
	Err error

	mu     sync.Mutex
	tokens []store.Token
	acts   []store.Act
	uses   int
}

// NewStore returns one with the token crm of alice, a token of everything, and the
// acts of making them.
func NewStore() *Store {
	s := &Store{}
	for i, t := range []store.Token{
		{Name: "crm", Hash: "1", Scope: "own", User: "alice", Made: ago(time.Hour), MadeBy: "cli", Expires: Now.Add(time.Hour), Used: ago(time.Minute)},
		{Name: "ops", Hash: "2", Scope: "admin", Made: ago(26 * time.Hour), MadeBy: "api local"},
	} {
		s.tokens = append(s.tokens, t)
		s.acts = append(s.acts, store.Act{ID: int64(i) + 1, At: t.Made, By: t.MadeBy, Did: "token made", What: t.Name})
	}
	return s
}

// Tokens are those that were added and not removed.
func (s *Store) Tokens(context.Context) ([]store.Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.tokens), nil
}

// AddToken keeps a token and the act.
func (s *Store) AddToken(_ context.Context, t *store.Token, act *store.Act) error {
	return s.change(act, func() { s.tokens = append(s.tokens, *t) })
}

// RemoveToken forgets a token and keeps the act.
func (s *Store) RemoveToken(_ context.Context, name string, act *store.Act) error {
	return s.change(act, func() {
		s.tokens = slices.DeleteFunc(s.tokens, func(t store.Token) bool { return t.Name == name })
	})
}

// Note keeps an act.
func (s *Store) Note(_ context.Context, act *store.Act) error { return s.change(act, func() {}) }

func (s *Store) change(act *store.Act, do func()) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Err != nil {
		return s.Err
	}
	do()
	a := *act
	a.ID = int64(len(s.acts)) + 1
	s.acts = append(s.acts, a)
	return nil
}

// UseTokens keeps when tokens were used.
func (s *Store) UseTokens(_ context.Context, used []store.Token) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Err != nil {
		return s.Err
	}
	s.uses++
	for _, u := range used {
		for i := range s.tokens {
			if s.tokens[i].Hash == u.Hash {
				s.tokens[i].Used = u.Used
			}
		}
	}
	return nil
}

// Uses tells how often UseTokens wrote.
func (s *Store) Uses() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.uses
}

// Audit returns the acts that a query selects, newest first.
func (s *Store) Audit(_ context.Context, q store.Query) ([]store.Act, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	acts := slices.DeleteFunc(slices.Clone(s.acts), func(a store.Act) bool {
		return q.Did != "" && a.Did != q.Did && !strings.HasPrefix(a.Did, q.Did+" ") ||
			q.What != "" && a.What != q.What && !strings.HasPrefix(a.What, q.What+":") && !strings.HasPrefix(a.What, q.What+",")
	})
	acts = slices.SortedFunc(slices.Values(acts), func(a, b store.Act) int { return cmp.Or(b.At.Compare(a.At), cmp.Compare(b.ID, a.ID)) })
	return selected(slices.Values(acts), q, func(a store.Act) (presence.UserID, string, store.Place) {
		return "", a.By, store.Place{At: a.At, ID: a.ID}
	}), nil
}
