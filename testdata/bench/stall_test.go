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
	for b.Loop() {
		dir := b.TempDir()
		sim := startChild(b, fmt.Sprint("sim ", perUser*stallUsers))
		st := &stalling{openStore(b, dir), make(chan struct{})}
		close(st.hang)
		r := open(b, stallUsers, asteriskAt(b, sim.addr), st)
		r.run()
		r.decided()
		r.saved()
		r.settled()
		before := heap()
		hung := make(chan struct{})
		st.hang = hung
		start := time.Now()
		sim.ask("rate 0 %d", stallBurst)
		figures["burst, events/s"] = append(figures["burst, events/s"], stallBurst/time.Since(start).Seconds())
		want := sim.ask("sum")
		until(b, "the burst to be decided", func() bool { return fmt.Sprint(uint64(r.shown())) == want })
		figures["decided after, s"] = append(figures["decided after, s"], time.Since(start).Seconds())
		time.Sleep(time.Until(start.Add(stallTime))) // this is what is measured
		during := heap()
		close(hung)
		r.saved()
		figures["saved after the stall, s"] = append(figures["saved after the stall, s"], time.Since(start).Seconds()-stallTime.Seconds())
		figures["heap before, MB"] = append(figures["heap before, MB"], before)
		figures["heap at its end, MB"] = append(figures["heap at its end, MB"], during)
		figures["growth"] = append(figures["growth"], during/before)
		var sessions, cutOff, events int
		_, err := fmt.Sscan(sim.ask("stats"), &sessions, &cutOff, &events)
		check(b, err)
		if sessions != 1 || cutOff != 0 {
			b.Errorf("%d sessions, of which %d were cut off; want one that lasts", sessions, cutOff)
		}
		r.settled()
		r.agree(sim, dir)
	}
	for what, s := range figures {
		b.Logf("| %s | %s |", what, s)
	}
}

// heap is what lives, in MB.
func heap() float64 {
	runtime.GC()
	runtime.GC() // finalizers and pools need a second one
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / 1e6
}
