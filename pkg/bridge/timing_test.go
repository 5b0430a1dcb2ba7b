package bridge

import (
	"testing"
	"time"
)

func TestATimingTellsOfTheLastMinutesAndOfAll(t *testing.T) {
	var x timing
	if got := x.read(0); got != (Timing{}) {
		t.Errorf("nothing happened: %+v", got)
	}
	for range 99 {
		x.observe(time.Second, 15*time.Millisecond)
	}
	x.observe(2*time.Second, 30*time.Second)
	got := x.read(2 * time.Second)
	if got.Count != 100 || got.Sum != 99*15*time.Millisecond+30*time.Second || got.Last != 30*time.Second {
		t.Errorf("read = %+v", got)
	}
	if got.P50 < 10*time.Millisecond || got.P50 > 20*time.Millisecond || got.P99 != 20*time.Millisecond {
		t.Errorf("p50 %v, p99 %v; nearly all took between 10 and 20 ms", got.P50, got.P99)
	}
	for _, tc := range []struct {
		at    time.Duration
		there bool
	}{
		{4*time.Minute + 59*time.Second, true},
		{5 * time.Minute, false},
		{time.Hour, false},
	} {
		got := x.read(tc.at)
		if there := got.P50 != 0; there != tc.there || got.Count != 100 {
			t.Errorf("after %v: p50 %v, count %d", tc.at, got.P50, got.Count)
		}
	}
	x.observe(time.Hour, time.Millisecond)
	if got := x.read(time.Hour + 4*time.Minute); got.P99 > time.Millisecond || got.P50 == 0 || got.Count != 101 {
		t.Errorf("an hour later: %+v", got)
	}
}

func TestABucketHasItsUpperEnd(t *testing.T) {
	for i, most := range TimingBounds {
		if got := bucketOf(most); got != i {
			t.Errorf("%v is in bucket %d, want %d", most, got, i)
		}
		if got := bucketOf(most + 1); got != i+1 {
			t.Errorf("more than %v is in bucket %d, want %d", most, got, i+1)
		}
	}
}

func TestWhatTookLongerThanAllBoundsCountsAsTheLast(t *testing.T) {
	var x timing
	x.observe(time.Hour, time.Hour)
	if got := x.read(time.Hour).P50; got != 100*time.Second {
		t.Errorf("p50 = %v", got)
	}
}

func TestATimingNeedsNoMemory(t *testing.T) {
	var x timing
	at := time.Duration(0)
	if n := testing.AllocsPerRun(1000, func() { at += time.Second; x.observe(at, at) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
