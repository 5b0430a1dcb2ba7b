package api

import "sync"

const (
	// mostAnswers is how many answers one token or person may have under way: each may be of
	// thousands of users, and stays in memory until the client has taken it.
	mostAnswers = 8
	// mostTogether is how many answers all of them together may.
	mostTogether = 64
)

// underWay counts what is under way for those who ask, so that no one of them takes all
// the memory or all the connections. Streams are not answers: they cost little and stay.
type underWay struct {
	streams int // of one who asks, at most; 0: no bound

	mu      sync.Mutex
	answers int // of all
	of      map[asker]*counts
}

// asker is who asks: a token, or somebody who has signed in to the panel.
type asker any

type counts struct{ answers, streams int }

// begin counts a request. end has to be called once it is answered; it is nil where
// there are too many.
func (u *underWay) begin(who asker) (end func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	c := u.of[who]
	if c == nil {
		c = &counts{}
		if u.of == nil {
			u.of = make(map[asker]*counts)
		}
		u.of[who] = c
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
		u.forget(who, c)
	})
}

// stream makes a stream of a request that has begun, whose end has been called. It is
// nil where there are too many.
func (u *underWay) stream(who asker) (end func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	c := u.of[who]
	if c == nil {
		c = &counts{}
		u.of[who] = c
	}
	if u.streams > 0 && c.streams >= u.streams {
		u.forget(who, c)
		return nil
	}
	c.streams++
	return sync.OnceFunc(func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		c.streams--
		u.forget(who, c)
	})
}

// forget lets go of counts of nothing. The caller holds mu.
func (u *underWay) forget(who asker, c *counts) {
	if *c == (counts{}) {
		delete(u.of, who)
	}
}
