package asterisk

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff is exponential with full jitter, so that bridges which lost their PBX
// at the same moment do not come back at the same moment.
type backoff struct {
	min, max time.Duration
	tries    int
}

func (b *backoff) next() time.Duration {
	most := b.max
	if b.tries < 32 && b.min<<b.tries < b.max {
		most = b.min << b.tries
	}
	b.tries++
	return rand.N(most) + 1 //nolint:gosec // jitter
}

func (b *backoff) reset() { b.tries = 0 }

// refusals remembers what may happen so often within a window: refused logins, as
// common fail2ban settings ban an address for days after five.
type refusals struct {
	window time.Duration
	limit  int
	times  []time.Time // the last limit of them, oldest first
}

// add returns how long to wait now.
func (r *refusals) add(now time.Time) time.Duration {
	r.times = append(r.times, now)
	r.times = r.times[max(0, len(r.times)-r.limit):]
	if len(r.times) < r.limit {
		return 0
	}
	return r.times[0].Add(r.window).Sub(now)
}

// jitter returns d, give or take a fifth.
func jitter(d time.Duration) time.Duration {
	return d - d/5 + rand.N(2*d/5+1) //nolint:gosec // jitter
}

// sleep returns early when ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
