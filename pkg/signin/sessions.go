package signin

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/alexedwards/scs/v2"
	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/store"
)

// What a session holds.
const (
	sessionAccount = "account"
	sessionBegan   = "began"
)

const (
	mostCookie      = 128    // bytes of what a cookie may hold
	mostSessions    = 50_000 // that are in memory
	mostOfOne       = 50     // sessions of one account; the one that ends first makes room
	plainCookieName = "presencebridge-session"
	hostCookieName  = "__Host-" + plainCookieName // a browser takes it from this host over TLS alone
)

// newCookies makes the manager of sessions. Cookies are Lax and not Strict: a browser
// sends a Strict one neither on the way back from a provider nor from a link in a mail,
// and nothing changes by a GET.
func newCookies(s *sessions, c *Config) *scs.SessionManager {
	// Not scs.New, which starts a goroutine that nobody can stop for certain.
	m := &scs.SessionManager{
		Store: s, Codec: codec{}, IdleTimeout: c.Idle, Lifetime: c.Longest,
		Cookie: scs.SessionCookie{Name: plainCookieName, HttpOnly: true, SameSite: http.SameSiteLaxMode, Path: "/", Persist: true},
	}
	if c.URL.Scheme == "https" {
		m.Cookie.Name, m.Cookie.Secure = hostCookieName, true
	}
	s.idle = c.Idle
	return m
}

// codec writes a session as JSON.
type codec struct{}

type encoded struct {
	Account  string    `json:"account"`
	Began    time.Time `json:"began"`
	Deadline time.Time `json:"deadline"` // however much it is used
}

// Encode is of scs.Codec.
func (codec) Encode(deadline time.Time, values map[string]any) ([]byte, error) {
	e := encoded{Deadline: deadline}
	e.Account, _ = values[sessionAccount].(string)
	e.Began, _ = values[sessionBegan].(time.Time)
	return json.Marshal(e)
}

// Decode is of scs.Codec.
func (codec) Decode(text []byte) (time.Time, map[string]any, error) {
	var e encoded
	if err := json.Unmarshal(text, &e); err != nil {
		return time.Time{}, nil, fmt.Errorf("session: %w", err)
	}
	return e.Deadline, map[string]any{sessionAccount: e.Account, sessionBegan: e.Began}, nil
}

// sessions are those of all browsers, as scs.Store has them. What is in memory is the
// truth. A session that begins is in the store before its cookie is out; that it was
// used is written now and then.
type sessions struct {
	store Store
	log   *zap.Logger
	now   func() time.Time
	idle  time.Duration // set before the first request

	writing sync.Mutex // held while the store learns of changes, so that an older one cannot come later

	mu     sync.Mutex
	byHash map[string]*session
	gone   map[string]bool // ended, and the store may not know it yet
}

// session is one of a browser.
type session struct {
	encoded
	data    []byte
	expires time.Time     // unless it is used
	written time.Time     // expires as the store has it
	ended   chan struct{} // closed when it ended, or what it may do has changed
}

func newSession(data []byte, expires time.Time) (*session, error) {
	s := &session{data: data, expires: expires, written: expires, ended: make(chan struct{})}
	if err := json.Unmarshal(data, &s.encoded); err != nil {
		return nil, fmt.Errorf("session: %w", err)
	}
	return s, nil
}

// view is a session as a request sees it.
type view struct {
	encoded
	expires time.Time
	ended   <-chan struct{}
}

func openSessions(ctx context.Context, st Store, log *zap.Logger, now func() time.Time) (*sessions, error) {
	s := &sessions{store: st, log: log, now: now, byHash: map[string]*session{}, gone: map[string]bool{}}
	list, err := st.Sessions(ctx, now())
	if err != nil {
		return nil, err
	}
	for _, l := range list {
		one, err := newSession([]byte(l.Data), l.Expires)
		if err != nil {
			return nil, err
		}
		s.byHash[l.Hash] = one
	}
	return s, nil
}

// hashOf is what is kept of a secret of 256 random bits, which nobody guesses: no slow
// hash is needed, and the time that a look-up takes tells nothing.
func hashOf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// use finds the session of a cookie, and notes that it is used. ok is false where there
// is none. The store learns of it later.
func (s *sessions) use(token string) (v view, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	one := s.byHash[hashOf(token)]
	if one == nil || !one.expires.After(now) {
		return view{}, false
	}
	if one.expires.Sub(now) < s.idle-s.idle/20 { // to a twentieth of it
		until := now.Add(s.idle)
		if until.After(one.Deadline) {
			until = one.Deadline
		}
		one.expires = until.UTC().Truncate(time.Microsecond)
	}
	return view{one.encoded, one.expires, one.ended}, true
}

// Find is of scs.Store.
func (s *sessions) Find(token string) ([]byte, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.byHash[hashOf(token)]
	if one == nil || !one.expires.After(s.now()) {
		return nil, false, nil
	}
	return one.data, true, nil
}

// Commit is of scs.Store.
func (s *sessions) Commit(token string, data []byte, expires time.Time) error {
	return s.CommitCtx(context.Background(), token, data, expires)
}

// Delete is of scs.Store.
func (s *sessions) Delete(token string) error { return s.DeleteCtx(context.Background(), token) }

// FindCtx is of scs.CtxStore.
func (s *sessions) FindCtx(_ context.Context, token string) ([]byte, bool, error) {
	return s.Find(token)
}

// CommitCtx is of scs.CtxStore. It is called for a session that begins, and for no other:
// one that was ended meanwhile would live again.
func (s *sessions) CommitCtx(ctx context.Context, token string, data []byte, expires time.Time) error {
	hash := hashOf(token)
	expires = expires.UTC().Truncate(time.Microsecond)
	one, err := newSession(data, expires)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, storeWait)
	defer cancel()
	if err := s.store.SaveSessions(ctx, []store.LoginSession{{Hash: hash, Account: one.Account, Data: string(data), Expires: expires}}, nil, s.now()); err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.gone[hash] = true // it may be there all the same
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.makeRoom(one.Account)
	s.byHash[hash] = one
	return nil
}

// makeRoom ends sessions where there are too many. The caller holds mu.
func (s *sessions) makeRoom(account string) {
	var own []string
	for hash, one := range s.byHash {
		if one.Account == account {
			own = append(own, hash)
		}
	}
	sooner := func(a, b string) int {
		return cmp.Compare(s.byHash[a].expires.UnixNano(), s.byHash[b].expires.UnixNano())
	}
	if len(own) >= mostOfOne {
		s.end(slices.MinFunc(own, sooner))
	}
	for hash := range s.byHash {
		if len(s.byHash) < mostSessions {
			return
		}
		s.end(hash)
	}
}

// end ends a session. The caller holds mu.
func (s *sessions) end(hash string) {
	if one := s.byHash[hash]; one != nil {
		close(one.ended)
		delete(s.byHash, hash)
		s.gone[hash] = true
	}
}

// DeleteCtx is of scs.CtxStore. It counts before it is written, and is written later
// where that fails: who signs out shall be out.
func (s *sessions) DeleteCtx(ctx context.Context, token string) error {
	s.mu.Lock()
	s.end(hashOf(token))
	s.mu.Unlock()
	_ = s.sweep(ctx) // told in the log
	return nil
}

// endAll ends the sessions of an account. With an error they have ended, and may be good
// again after a restart.
func (s *sessions) endAll(ctx context.Context, account string) (n int, err error) {
	s.mu.Lock()
	for hash, one := range s.byHash {
		if one.Account == account {
			s.end(hash)
			n++
		}
	}
	s.mu.Unlock()
	return n, s.sweep(ctx)
}

// changed ends what is open with the sessions of an account, so that it is opened anew
// with what that one may do now.
func (s *sessions) changed(account string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.byHash {
		if one.Account == account {
			close(one.ended)
			one.ended = make(chan struct{})
		}
	}
}

// of counts the sessions of accounts.
func (s *sessions) of() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := map[string]int{}
	for _, one := range s.byHash {
		if one.expires.After(s.now()) {
			n[one.Account]++
		}
	}
	return n
}

// sweep writes what the store does not know yet, and forgets what ran out. What the
// store does not take is tried again at the next; the log and an error tell of it.
func (s *sessions) sweep(ctx context.Context) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	now := s.now()
	var put []store.LoginSession
	var remove []string
	s.mu.Lock()
	for hash, one := range s.byHash {
		switch {
		case !one.expires.After(now):
			s.end(hash)
		case !one.expires.Equal(one.written):
			put = append(put, store.LoginSession{Hash: hash, Account: one.Account, Data: string(one.data), Expires: one.expires})
		}
	}
	for hash := range s.gone {
		remove = append(remove, hash)
	}
	s.mu.Unlock()
	if len(put)+len(remove) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeWait)
	defer cancel()
	if err := s.store.SaveSessions(ctx, put, slices.Clone(remove), now); err != nil {
		s.log.Warn("the store did not learn which sessions were used and ended", zap.Error(err))
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, hash := range remove {
		delete(s.gone, hash)
	}
	for _, l := range put {
		if one := s.byHash[l.Hash]; one != nil {
			one.written = l.Expires
		}
	}
	return nil
}
