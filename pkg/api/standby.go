package api

import (
	"context"
	"maps"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/store"
)

// StandbyHeader marks every answer of a standby, and says who acts.
const StandbyHeader = "X-Presencebridge-Standby"

// readable are the paths at which a standby answers GET. A new path is not among them until
// somebody says so: nobody tells a standby what changes, nor who has signed in.
var readable = map[string]bool{
	"/api/v1/users": true, "/api/v1/users/{id}": true, "/api/v1/users/{id}/explain": true, "/api/v1/users/{id}/history": true,
	"/api/v1/history": true, "/api/v1/me": true, "/api/v1/statuses": true, "/api/v1/pbxs": true, "/api/v1/openapi.json": true,
	"/api/v1/tokens": true, "/api/v1/audit": true, "/healthz": true, "/readyz": true, "/metrics": true,
}

// onlyReads leaves of routes what a standby answers. The others keep their scope: who may
// not ask is told nothing.
func (h *Handler) onlyReads(routes map[string]methods) {
	refuse := func(http.ResponseWriter, *request) error {
		return problem(http.StatusServiceUnavailable, "This bridge is a "+h.opt.Standby()+"; ask that one.")
	}
	for path, all := range routes {
		for method, x := range all {
			if method != http.MethodGet || !readable[path] {
				all[method] = route{x.need, refuse}
			}
		}
	}
}

// TokenReader is what a standby reads of the tokens that the other bridge keeps.
type TokenReader interface {
	Tokens(ctx context.Context) ([]store.Token, error)
	Audit(ctx context.Context, q store.Query) ([]store.Act, error)
}

// followed is a Store that another bridge writes.
type followed struct{ TokenReader }

func (followed) AddToken(context.Context, *store.Token, *store.Act) error { return bridge.ErrStandby }
func (followed) RemoveToken(context.Context, string, *store.Act) error    { return bridge.ErrStandby }
func (followed) UseTokens(context.Context, []store.Token) error           { return nil } // the other one tells
func (followed) Note(context.Context, *store.Act) error                   { return bridge.ErrStandby }

const (
	// followEvery is how often a standby reads the tokens anew.
	followEvery = 2 * time.Second
	// followedFor is for how long it believes them.
	followedFor = 5 * time.Second
)

// FollowTokens returns the tokens of the API as another bridge makes and revokes them. Run
// reads them every two seconds; none is believed that was read more than five seconds ago.
// log and now may be nil.
func FollowTokens(from TokenReader, log *zap.Logger, now func() time.Time) *Tokens {
	t := newTokens(followed{from}, log, now)
	t.follow = true
	return t
}

// runFollowing reads the tokens until ctx ends.
func (t *Tokens) runFollowing(ctx context.Context) {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	failing := false
	for {
		began := t.now()
		reading, cancel := context.WithTimeout(ctx, followedFor)
		list, err := t.store.Tokens(reading)
		cancel()
		switch {
		case err == nil:
			t.take(list, began)
		case ctx.Err() == nil && !failing:
			t.log.Warn("tokens cannot be read from the store, so that nobody can sign in; trying on", zap.Error(err))
		}
		failing = err != nil
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// take makes list, which was read at a moment, the tokens. What was sent with one that
// stays goes on counting.
func (t *Tokens) take(list []store.Token, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before := maps.Clone(t.byHash)
	clear(t.byHash)
	for _, token := range list {
		g := before[token.Hash]
		if g == nil {
			g = newGrant(token)
		}
		g.Token = token
		t.byHash[token.Hash] = g
		delete(before, token.Hash)
	}
	for _, g := range before {
		close(g.revoked)
	}
	t.read = at
}

// stale tells that another bridge may have revoked what was read last.
func (t *Tokens) stale() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.follow && t.now().Sub(t.read) > followedFor
}
