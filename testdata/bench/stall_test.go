package bench

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/store"
)

const (
	stallUsers = 50_000
	stallBurst = 100_000
	stallTime  = 60 * time.Second
)

// stalling is a store whose disk hangs, for good, until it is let go.
type stalling struct {
	bridge.Store
	hang chan struct{} // closed: it works
}

func (s *stalling) Save(ctx context.Context, batch *store.Batch) error {
	<-s.hang
	return s.Store.Save(ctx, batch)
}

// BenchmarkStall lets 100,000 events come while the store hangs for a minute. The
// PBX cuts off a reader that stalls for 100 ms, as Asterisk does by itself.
func BenchmarkStall(b *testing.B) {
	figures := map[string]samples{}
	note := func(what string, f float64) { figures[what] = append(figures[what], f) }
	for b.Loop() {
		s := stall(b, &simulatedBurst{child: startChild(b, fmt.Sprint("sim ", perUser*stallUsers))}, stallUsers, stallBurst)
		note("burst, events/s", s.rate)
		note("decided after, s", s.decided.Seconds())
		note("saved after the stall, s", s.saved.Seconds())
		note("heap before, MB", s.before)
		note("heap at its end, MB", s.during)
		note("growth", s.during/s.before)
		if s.cuts != 0 {
			b.Errorf("it lost the connection %d times", s.cuts)
		}
	}
	for what, s := range figures {
		b.Logf("| %s | %s |", what, s)
	}
}

// stalled is what became of a burst while the store hung.
type stalled struct {
	rate           float64       // events/s of the burst
	decided        time.Duration // everything, since its begin
	saved          time.Duration // everything, since the store was back
	before, during float64       // heap, MB
	cuts           int           // connections that were lost
}

// stall lets a bridge of so many users have a burst while its store hangs, and fails
// where bridge and store do not agree with the PBX in the end.
func stall(b *testing.B, pbx bursting, users, events int) (s stalled) {
	dir := b.TempDir()
	_, addr := pbx.at()
	st := &stalling{openStore(b, dir), make(chan struct{})}
	close(st.hang)
	r := open(b, users, asteriskAt(b, addr), st)
	pbx.enter("bridge", r.run)
	r.decided()
	r.saved()
	r.settled()
	s.before = heap()
	hung := make(chan struct{})
	st.hang = hung
	start := time.Now()
	s.rate = float64(pbx.burst(0, events)) / time.Since(start).Seconds()
	want := pbx.sum()
	until(b, "the burst to be decided", func() bool { return fmt.Sprint(uint64(r.shown())) == want })
	s.decided = time.Since(start)
	time.Sleep(time.Until(start.Add(stallTime))) // this is what is measured
	s.during = heap()
	close(hung)
	r.saved()
	s.saved = time.Since(start) - stallTime
	s.cuts = pbx.cuts()
	r.settled()
	r.agreeOn(want, dir)
	return s
}

// heap is what lives, in MB.
func heap() float64 {
	runtime.GC()
	runtime.GC() // finalizers and pools need a second one
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / 1e6
}
