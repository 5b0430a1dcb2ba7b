package bridge

import (
	"sync"
	"time"
)

// TimingBounds are the upper ends of the buckets of every Timing but the last, which
// has none. What takes less than the first is too quick to matter.
var TimingBounds = [...]time.Duration{
	50 * time.Microsecond, 100 * time.Microsecond, 200 * time.Microsecond, 500 * time.Microsecond,
	1 * time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond,
	1 * time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 20 * time.Second, 50 * time.Second, 100 * time.Second,
}

// recentMinutes is how far back P50 and P99 of a Timing look, the present minute included.
const recentMinutes = 5

// buckets count how often something took how long, by the bounds of TimingBounds.
type buckets [len(TimingBounds) + 1]uint64

// Timing is how long something took, since the start and lately.
type Timing struct {
	Counts   buckets // since the start
	Count    uint64  // their sum
	Sum      time.Duration
	P50, P99 time.Duration // of the last five minutes; 0: nothing happened then
	Last     time.Duration
}

// timing collects a Timing in room that does not grow. It takes and gives times since
// the start of the bridge, by a clock that nobody sets.
type timing struct {
	mu     sync.Mutex
	counts buckets
	sum    time.Duration
	last   time.Duration
	minute int64                  // the last one that began
	before [recentMinutes]buckets // counts at the beginning of each of the last minutes, by minute modulo their number
}

// observe notes that something took so long and ended at.
func (t *timing) observe(at, took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.turn(at)
	t.counts[bucketOf(took)]++
	t.sum += took
	t.last = took
}

// bucketOf looks from the quick end, where nearly everything is.
func bucketOf(took time.Duration) int {
	for i, most := range TimingBounds {
		if took <= most {
			return i
		}
	}
	return len(TimingBounds)
}

// turn begins the minutes that have begun by at.
func (t *timing) turn(at time.Duration) {
	minute := int64(at / time.Minute)
	for m := max(t.minute+1, minute-recentMinutes+1); m <= minute; m++ {
		t.before[m%recentMinutes] = t.counts
	}
	t.minute = max(t.minute, minute)
}

// read returns what has been collected by at.
func (t *timing) read(at time.Duration) Timing {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.turn(at)
	r := Timing{Counts: t.counts, Sum: t.sum, Last: t.last}
	lately := t.counts
	for i, n := range t.before[(t.minute+1)%recentMinutes] { // the oldest
		r.Count += t.counts[i]
		lately[i] -= n
	}
	r.P50, r.P99 = lately.quantile(0.50), lately.quantile(0.99)
	return r
}

// quantile is the time that the share q of all did not exceed, on a straight line
// within its bucket, as Prometheus has it; the last bucket counts as its lower end.
func (b *buckets) quantile(q float64) time.Duration {
	var all uint64
	for _, n := range b {
		all += n
	}
	rank, below := q*float64(all), 0.0
	var low time.Duration
	for i, n := range b[:len(TimingBounds)] {
		if high := TimingBounds[i]; n > 0 && below+float64(n) >= rank {
			return low + time.Duration(float64(high-low)*(rank-below)/float64(n))
		}
		below += float64(n)
		low = TimingBounds[i]
	}
	if all == 0 {
		return 0
	}
	return low
}
