package api

import "sync"

const (
	// mostAnswers is how many answers one token may have under way: each may be of
	// thousands of users, and stays in memory until the client has taken it.
	mostAnswers = 8
	// mostTogether is how many answers all of them together may.
	mostTogether = 64
)

// underWay counts what is under way with tokens, so that no one of them takes all the
// memory or all the connections. Streams are not answers: they cost little and stay.
type underWay struct {
	streams int // of one token, at most; 0: no bound

	mu      sync.Mutex
	answers int // of all tokens
	of      map[*grant]*counts
}

type counts struct{ answers, streams int }

// begin counts a request. end has to be called once it is answered; it is nil where
// there are too many.
func (u *underWay) begin(g *grant) (end func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	c := u.of[g]
	if c == nil {
		c = &counts{}
		if u.of == nil {
			u.of = make(map[*grant]*counts)
		}
		u.of[g] = c
	}
	if c.answers == mostAnswers || u.answers == mostTogether {
		return nil
	}
	c.answers++
	u.answers++
	return sync.OnceFunc(func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.answers--
		c.answers--
		u.forget(g, c)
	})
}

// stream makes a stream of a request that has begun, whose end has been called. It is
// nil where there are too many.
func (u *underWay) stream(g *grant) (end func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	c := u.of[g]
	if c == nil {
		c = &counts{}
		u.of[g] = c
	}
	if u.streams > 0 && c.streams >= u.streams {
		u.forget(g, c)
		return nil
	}
	c.streams++
	return sync.OnceFunc(func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		c.streams--
		u.forget(g, c)
	})
}

// forget lets go of counts of nothing. The caller holds mu.
func (u *underWay) forget(g *grant, c *counts) {
	if *c == (counts{}) {
		delete(u.of, g)
	}
}
