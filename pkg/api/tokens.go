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
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/message"
	"github.com/presencebridge/presencebridge/pkg/store"
)

// Store is what the API keeps itself.
type Store interface {
	Tokens(ctx context.Context) ([]store.Token, error)
	AddToken(ctx context.Context, t *store.Token, act *store.Act) error
	RemoveToken(ctx context.Context, name string, act *store.Act) error
	UseTokens(ctx context.Context, used []store.Token) error
	Note(ctx context.Context, act *store.Act) error
	Audit(ctx context.Context, q store.Query) ([]store.Act, error) // newest first
}

const (
	mostTokens = 1000
	// usedEvery is how exact it is known when a token was last used, so that using
	// one is no write.
	usedEvery = time.Minute
	storeWait = 5 * time.Second // for a write that nobody waits for
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

	// MayAct says no where another bridge may have made and revoked tokens meanwhile;
	// nil: there is none. Set it before the first request.
	MayAct func() error

	follow   bool                      // another bridge writes the tokens
	refused  atomic.Uint64             // requests whose token was refused
	cutSince atomic.Pointer[time.Time] // since when MayAct has said no; nil: it does not
	under    underWay

	changing sync.Mutex // held while a token is made or revoked, the store included

	mu     sync.Mutex
	byHash map[string]*grant
	failed peers     // sign-ins, by where they came from
	read   time.Time // when byHash was read, with follow; zero: never
}

// grant is a token that somebody has.
type grant struct {
	store.Token // of which only Used changes
	bucket      bucket
	written     time.Time     // Used as the store has it
	revoked     chan struct{} // closed when it is
	dead        bool          // revoked, and the store does not know it yet
}

// OpenTokens reads the tokens. log may be nil, now too.
func OpenTokens(ctx context.Context, s Store, log *zap.Logger, now func() time.Time) (*Tokens, error) {
	t := newTokens(s, log, now)
	list, err := s.Tokens(ctx)
	if err != nil {
		return nil, err
	}
	for _, token := range list {
		t.byHash[token.Hash] = newGrant(token)
	}
	return t, nil
}

func newTokens(s Store, log *zap.Logger, now func() time.Time) *Tokens {
	t := &Tokens{store: s, log: log, now: now, byHash: map[string]*grant{}, failed: peers{}}
	if t.log == nil {
		t.log = zap.NewNop()
	}
	if t.now == nil {
		t.now = time.Now
	}
	return t
}

func newGrant(token store.Token) *grant {
	return &grant{Token: token, written: token.Used, revoked: make(chan struct{})}
}

// Run writes when tokens were last used, or reads which there are, until ctx ends.
func (t *Tokens) Run(ctx context.Context) {
	if t.follow {
		t.runFollowing(ctx)
		return
	}
	tick := time.NewTicker(usedEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			t.lookWhetherCutOff()
			t.writeUsed(ctx)
		case <-ctx.Done():
			t.writeUsed(context.WithoutCancel(ctx))
			return
		}
	}
}

// cutOff is after how long without word of the store tokens are not believed any more.
const cutOff = 5 * time.Minute

// lookWhetherCutOff notes since when another bridge may know better.
func (t *Tokens) lookWhetherCutOff() {
	switch {
	case t.MayAct == nil || t.MayAct() == nil:
		t.cutSince.Store(nil)
	default:
		now := t.now() // with its steady part: the time of day may be set
		t.cutSince.CompareAndSwap(nil, &now)
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
	ctx, cancel := context.WithTimeout(ctx, storeWait)
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
	if since := t.cutSince.Load(); since != nil && t.now().Sub(*since) > cutOff {
		return caller{}, unsure()
	}
	if t.stale() {
		return caller{}, unsure()
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return caller{}, unauthorized("Send a token, as the header Authorization: Bearer pbt_...; presencebridge token new NAME makes one where the bridge runs.")
	}
	now := t.now()
	token = strings.TrimSpace(token)
	g, wait := t.use(hashOf(token), now)
	switch {
	case g == nil || g.expired(now):
		return caller{}, t.refuse(r, token, g, now)
	case wait > 0:
		return caller{}, tooMany("This token has sent too many requests; wait, and use one stream of GET /api/v1/events instead of asking again and again.", wait)
	}
	end := t.under.begin(g)
	if end == nil {
		return caller{}, tooManyAtOnce(fmt.Sprintf("This token, or all together, have too many answers under way that nobody takes; take them, and ask for %d at a time at most.", mostAnswers), time.Second)
	}
	return caller{
		by: "api " + g.Name, scope: Scope(g.Scope), user: g.User, expires: g.Expires, revoked: g.revoked,
		end: end, stream: func() func() { end(); return t.under.stream(g) },
	}, nil
}

// unsure refuses everybody.
func unsure() error {
	p := problem(http.StatusServiceUnavailable, "This bridge is cut off from its store, so that it is not known which tokens are good; ask the other bridge, or try again.")
	p.headers = http.Header{"Retry-After": {"60"}, "Connection": {"close"}}
	return p
}

// use finds the token of a hash, nil if there is none, and counts a request with it.
// wait is 0, or for how long it may not be used yet.
func (t *Tokens) use(hash string, now time.Time) (g *grant, wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	g = t.byHash[hash]
	if g != nil && g.dead {
		return nil, 0
	}
	if g == nil || g.expired(now) {
		return g, 0
	}
	if now.Sub(g.Used) >= usedEvery {
		g.Used = now.UTC().Truncate(time.Microsecond)
	}
	return g, g.bucket.take(now, tokenPace)
}

func (g *grant) expired(now time.Time) bool { return !g.Expires.IsZero() && !now.Before(g.Expires) }

// refuse says why a token does not sign in; g is nil if it is not known. A peer that
// fails too often is no longer told why, nor is the log. It is never kept from signing
// in with a good token, for it may be a proxy with many people behind it, and a token
// cannot be guessed.
func (t *Tokens) refuse(r *http.Request, token string, g *grant, now time.Time) error {
	t.refused.Add(1)
	if wait := t.fail(r.RemoteAddr, now); wait > 0 {
		p := tooMany("Too many tokens from this address were refused; correct the token, then wait.", wait)
		p.headers.Set("Connection", "close")
		return p
	}
	name, why := "", "It is unknown, or was revoked; presencebridge token list, where the bridge runs, shows those there are."
	switch {
	case g != nil:
		name, why = g.Name, "It ran out at "+g.Expires.UTC().Format(time.RFC3339)+"; presencebridge token new NAME makes another one."
	case !wellFormed(token):
		why = "It is mistyped or not complete: a token is " + tokenPrefix + " and 48 characters."
	}
	t.log.Warn("sign-in refused", zap.String("peer", r.RemoteAddr), zap.String("token", name), zap.String("why", why))
	return unauthorized("The token was refused. " + why)
}

// fail counts a sign-in that failed. wait is 0, or for how long no more of its peer
// are listened to.
func (t *Tokens) fail(remote string, now time.Time) (wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failed.take(peerOf(remote), now, failurePace)
}

// unauthorized is the answer to who has to sign in first. The connection is closed:
// who may not ask shall not keep one.
func unauthorized(detail string) *Problem {
	p := problem(http.StatusUnauthorized, detail)
	p.headers = http.Header{"Www-Authenticate": {`Bearer realm="presencebridge"`}, "Connection": {"close"}}
	return p
}

// tooManyAtOnce is the answer to who has something open already, which the connection
// would only be more of.
func tooManyAtOnce(detail string, wait time.Duration, key ...message.Key) *Problem {
	p := tooMany(detail, wait, key...)
	p.headers.Set("Connection", "close")
	return p
}

func tooMany(detail string, wait time.Duration, key ...message.Key) *Problem {
	p := problem(http.StatusTooManyRequests, detail, key...)
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
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeWait) // it is done already
	defer cancel()
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
		t.takeBack(ctx, &token)
		return token, "", t.unsaved(err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.byHash[token.Hash] = newGrant(token)
	return token, secret, nil
}

// takeBack removes a token of which it is not known whether the store has it: it would
// be good after the next start, and nobody has its secret.
func (t *Tokens) takeBack(ctx context.Context, token *store.Token) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeWait)
	defer cancel()
	act := store.Act{At: t.now(), By: token.MadeBy, Did: "token taken back", What: token.Name}
	if err := t.store.RemoveToken(ctx, token.Name, &act); err != nil {
		t.log.Warn("a token that was not made may be in the store", zap.String("token", token.Name), zap.Error(err))
	}
}

// errRevokedHere is a revocation that the store does not know.
var errRevokedHere = errors.New("the token is refused from now on, but that could not be written, so that it is good again after a restart: revoke it once more")

// revoke takes a token away at once, also from streams that are open with it. ok is
// false if there is none of that name.
func (t *Tokens) revoke(ctx context.Context, name, by string) (ok bool, err error) {
	t.changing.Lock()
	defer t.changing.Unlock()
	g, _ := t.find(name)
	if g == nil {
		return false, nil
	}
	t.mu.Lock()
	if !g.dead {
		g.dead = true
		close(g.revoked)
	}
	t.mu.Unlock()
	if err := t.store.RemoveToken(ctx, name, &store.Act{At: t.now(), By: by, Did: "token revoked", What: name}); err != nil {
		return true, fmt.Errorf("%w (%w)", errRevokedHere, t.unsaved(err))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.byHash, g.Hash)
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
