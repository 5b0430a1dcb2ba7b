package api

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/store"
)

// Store is what the API keeps itself.
type Store interface {
	Tokens(ctx context.Context) ([]store.Token, error)
	AddToken(ctx context.Context, t *store.Token, act *store.Act) error
	RemoveToken(ctx context.Context, name string, act *store.Act) error
	UseTokens(ctx context.Context, used []store.Token) error
	Note(ctx context.Context, act *store.Act) error
	// Audit returns acts before an id, newest first; 0: from the newest.
	Audit(ctx context.Context, before int64, limit int) ([]store.Act, error)
}

const (
	mostTokens = 1000
	// usedEvery is how exact it is known when a token was last used, so that using
	// one is no write.
	usedEvery = time.Minute
	usedWait  = 5 * time.Second // for one write of it
)

// The pace of requests with one token, and of sign-ins that fail from one address.
var (
	tokenPace   = pace{burst: 200, every: 20 * time.Millisecond}
	failurePace = pace{burst: 10, every: 6 * time.Second}
)

// Tokens are the tokens of the API. What is in memory is the truth: nobody else
// writes them, and a request does not wait for the store.
type Tokens struct {
	store Store
	log   *zap.Logger
	now   func() time.Time

	changing sync.Mutex // held while a token is made or revoked, the store included

	mu     sync.Mutex
	byHash map[string]*grant
	failed peers // sign-ins, by where they came from
}

// grant is a token that somebody has.
type grant struct {
	store.Token
	bucket  bucket
	written time.Time     // Used as the store has it
	revoked chan struct{} // closed when it is
}

// OpenTokens reads the tokens. log may be nil, now too.
func OpenTokens(ctx context.Context, s Store, log *zap.Logger, now func() time.Time) (*Tokens, error) {
	t := &Tokens{store: s, log: log, now: now, byHash: map[string]*grant{}, failed: peers{}}
	if t.log == nil {
		t.log = zap.NewNop()
	}
	if t.now == nil {
		t.now = time.Now
	}
	list, err := s.Tokens(ctx)
	if err != nil {
		return nil, err
	}
	for _, token := range list {
		t.byHash[token.Hash] = newGrant(token)
	}
	return t, nil
}

func newGrant(token store.Token) *grant {
	return &grant{Token: token, written: token.Used, revoked: make(chan struct{})}
}

// Run writes when tokens were last used, until ctx ends.
func (t *Tokens) Run(ctx context.Context) {
	tick := time.NewTicker(usedEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			t.writeUsed(ctx)
		case <-ctx.Done():
			t.writeUsed(context.WithoutCancel(ctx))
			return
		}
	}
}

// writeUsed tells the store of tokens that were used. What it could not take is
// tried again with what comes next.
func (t *Tokens) writeUsed(ctx context.Context) {
	t.mu.Lock()
	var used []store.Token
	for _, g := range t.byHash {
		if g.Used.After(g.written) {
			used = append(used, g.Token)
		}
	}
	t.mu.Unlock()
	if len(used) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, usedWait)
	defer cancel()
	if err := t.store.UseTokens(ctx, used); err != nil {
		t.log.Warn("it was not written when tokens were last used", zap.Error(err))
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, u := range used {
		if g := t.byHash[u.Hash]; g != nil {
			g.written = u.Used
		}
	}
}

// access is the access of the network: by a token.
func (t *Tokens) access(r *http.Request) (caller, error) {
	token, sent := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !sent {
		return caller{}, unauthorized("Send a token, as the header Authorization: Bearer pbt_...; presencebridge token new NAME makes one where the bridge runs.")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	g := t.byHash[hashOf(token)]
	if g == nil || g.expired(now) {
		return caller{}, t.refuse(r, token, g, now)
	}
	if now.Sub(g.Used) >= usedEvery {
		g.Used = now.UTC().Truncate(time.Microsecond)
	}
	if wait := g.bucket.take(now, tokenPace); wait > 0 {
		return caller{}, tooMany("This token has sent too many requests; wait, and use GET /api/v1/events instead of asking again and again.", wait)
	}
	return caller{by: "api " + g.Name, scope: Scope(g.Scope), user: g.User, expires: g.Expires, revoked: g.revoked}, nil
}

func (g *grant) expired(now time.Time) bool { return !g.Expires.IsZero() && !now.Before(g.Expires) }

// refuse says why a token does not sign in; g is nil if it is not known. A peer that
// fails too often is no longer told why, nor is the log. It is never kept from signing
// in with a good token, for it may be a proxy with many people behind it, and a token
// cannot be guessed.
func (t *Tokens) refuse(r *http.Request, token string, g *grant, now time.Time) error {
	if wait := t.failed.take(peerOf(r.RemoteAddr), now, failurePace); wait > 0 {
		p := tooMany("Too many tokens from this address were refused; correct the token, then wait.", wait)
		p.headers.Set("Connection", "close")
		return p
	}
	why := "It is unknown, or was revoked; presencebridge token list, where the bridge runs, shows those there are."
	switch {
	case g != nil:
		why = "It ran out at " + g.Expires.UTC().Format(time.RFC3339) + "; presencebridge token new NAME makes another one."
	case !wellFormed(token):
		why = "It is mistyped or not complete: a token is " + tokenPrefix + " and 48 characters."
	}
	name := ""
	if g != nil {
		name = g.Name
	}
	t.log.Warn("sign-in refused", zap.String("peer", r.RemoteAddr), zap.String("token", name), zap.String("why", why))
	return unauthorized("The token was refused. " + why)
}

// unauthorized is the answer to who has to sign in first. The connection is closed:
// who may not ask shall not keep one.
func unauthorized(detail string) *Problem {
	p := problem(http.StatusUnauthorized, detail)
	p.headers = http.Header{"Www-Authenticate": {`Bearer realm="presencebridge"`}, "Connection": {"close"}}
	return p
}

func tooMany(detail string, wait time.Duration) *Problem {
	p := problem(http.StatusTooManyRequests, detail)
	p.headers = http.Header{"Retry-After": {strconv.Itoa(int(wait/time.Second) + 1)}}
	return p
}

// list returns the tokens in the order of their names.
func (t *Tokens) list() []store.Token {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []store.Token
	for _, g := range t.byHash {
		all = append(all, g.Token)
	}
	slices.SortFunc(all, func(a, b store.Token) int { return strings.Compare(a.Name, b.Name) })
	return all
}

var errTokenName = errors.New("there is a token of that name")

// unsaved is what a client is told of a store that does not take a change; the log
// is told why.
func (t *Tokens) unsaved(err error) error {
	t.log.Error("the store did not take a change of tokens", zap.Error(err))
	return fmt.Errorf("%w (%w)", bridge.ErrUnsaved, err)
}

// NoteReload keeps in the audit log who made the bridge take over its files, or try
// to: err is what came of it.
func (t *Tokens) NoteReload(ctx context.Context, by string, err error) {
	act := store.Act{At: t.now(), By: by, Did: "mapping taken over"}
	if err != nil {
		act.Did = "mapping refused"
	}
	if err := t.store.Note(ctx, &act); err != nil {
		t.log.Error("the store did not take a line of the audit log", zap.String("by", by), zap.String("did", act.Did), zap.Error(err))
	}
}

// add makes a token and returns its secret, which is kept nowhere.
func (t *Tokens) add(ctx context.Context, token store.Token) (store.Token, string, error) {
	t.changing.Lock()
	defer t.changing.Unlock()
	switch g, count := t.find(token.Name); {
	case g != nil:
		return token, "", errTokenName
	case count >= mostTokens:
		return token, "", problem(http.StatusConflict, fmt.Sprintf("There are %d tokens already; revoke some that nobody uses.", count))
	}
	secret := newToken()
	token.Hash, token.Made = hashOf(secret), t.now().UTC().Truncate(time.Microsecond)
	what := token.Name + ", scope " + token.Scope
	if token.User != "" {
		what += " of " + string(token.User)
	}
	if err := t.store.AddToken(ctx, &token, &store.Act{At: token.Made, By: token.MadeBy, Did: "token made", What: what}); err != nil {
		return token, "", t.unsaved(err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.byHash[token.Hash] = newGrant(token)
	return token, secret, nil
}

// revoke takes a token away, also from streams that are open with it. ok is false
// if there is none of that name.
func (t *Tokens) revoke(ctx context.Context, name, by string) (ok bool, err error) {
	t.changing.Lock()
	defer t.changing.Unlock()
	g, _ := t.find(name)
	if g == nil {
		return false, nil
	}
	if err := t.store.RemoveToken(ctx, name, &store.Act{At: t.now(), By: by, Did: "token revoked", What: name}); err != nil {
		return true, t.unsaved(err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.byHash, g.Hash)
	close(g.revoked)
	return true, nil
}

// find returns the token of a name, nil if there is none, and how many there are.
func (t *Tokens) find(name string) (found *grant, count int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for g := range maps.Values(t.byHash) {
		if g.Name == name {
			found = g
		}
	}
	return found, len(t.byHash)
}
