package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

const wireSeconds = 5

// wireUsers are so many that nobody's status changes more often than in two seconds and a
// half: faster ones are smoothed (package presence, decision 17), which would be what is measured.
func wireUsers(rate int) int { return max(5000, rate*5/2) }

// BenchmarkWire tells how long it takes from the moment a phone presses a key until
// a page has been told, and until it has been told that this is on the disk.
func BenchmarkWire(b *testing.B) {
	for name, dir := range disks(b) {
		for _, rate := range []int{1000, 20_000} {
			b.Run(fmt.Sprintf("%s/%d", name, rate), func(b *testing.B) { wire(b, dir, rate) })
		}
	}
}

func wire(b *testing.B, disk string, rate int) {
	users := wireUsers(rate)
	sim := startChild(b, fmt.Sprint("sim ", perUser*users))
	figures := map[string]samples{}
	note := func(what string, s samples) {
		for q, name := range map[float64]string{0.5: " p50", 0.99: " p99"} {
			figures[what+name] = append(figures[what+name], s.quantile(q))
		}
	}
	for b.Loop() {
		dir := filepath.Join(disk, strconv.FormatInt(time.Now().UnixNano(), 36))
		check(b, os.Mkdir(dir, 0o700))
		note("fsync", fsyncFloor(b, dir))
		r := open(b, users, asteriskAt(b, sim.addr), openStore(b, dir))
		r.run()
		r.decided()
		r.saved()
		w := watch(r.bridge)
		cpu := cpuTime()
		sim.ask("rate %d %d", rate, rate*wireSeconds)
		r.saved()
		figures["cpu, us/event"] = append(figures["cpu, us/event"], float64((cpuTime()-cpu).Microseconds())/float64(rate*wireSeconds))
		w.stop()
		note("decided", w.decided)
		note("committed", w.committed)
		figures["told"] = append(figures["told"], float64(len(w.committed))/float64(rate*wireSeconds))
		r.agree(sim, dir)
	}
	for _, what := range []string{"fsync p50", "fsync p99", "decided p50", "decided p99", "committed p50", "committed p99", "cpu, us/event", "told"} {
		b.Logf("| %s | %s |", what, figures[what])
	}
}

// page is a reader of the feed that takes the time. Where a newer status of a user
// overtakes an older one, the older one was never told, and has no time.
type page struct {
	cancel             context.CancelFunc
	wait               sync.WaitGroup
	known, kept        map[presence.UserID]string // the last message of a user that was told, and told as saved
	decided, committed samples                    // ms
}

func watch(br *bridge.Bridge) *page {
	p := &page{known: map[presence.UserID]string{}, kept: map[presence.UserID]string{}}
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	sub := br.Subscribe(0)
	for told := 0; told <= br.Count(); { // everybody, and that they follow
		items, _ := sub.Next(ctx)
		told += len(items)
		for i := range items {
			p.see(items[i].User, false)
		}
	}
	p.wait.Go(func() {
		for items, err := sub.Next(ctx); err == nil; items, err = sub.Next(ctx) {
			for i := range items {
				if !items[i].Reset {
					p.see(items[i].User, true)
				}
			}
		}
	})
	return p
}

func (p *page) stop() {
	p.cancel()
	p.wait.Wait()
}

func (p *page) see(u *bridge.User, timed bool) {
	if u == nil || u.Status == nil {
		return
	}
	message := u.Status.Message
	pressed, err := strconv.ParseInt(message, 10, 64)
	if err != nil || pressed < 1e15 {
		timed = false // from before
	}
	took := float64(time.Now().UnixNano()-pressed) / 1e6
	if p.known[u.ID] != message {
		p.known[u.ID] = message
		if timed {
			p.decided = append(p.decided, took)
		}
	}
	if u.Saved && p.kept[u.ID] != message {
		p.kept[u.ID] = message
		if timed {
			p.committed = append(p.committed, took)
		}
	}
}
