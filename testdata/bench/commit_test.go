package bench

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
	"github.com/presencebridge/presencebridge/testdata/bench/report"
)

const commitUsers = 20_000

// loader is a connector without a PBX: a benchmark tells it what to report.
type loader struct{ sink chan connector.Sink }

func newLoader() *loader { return &loader{sink: make(chan connector.Sink, 1)} }

func (l *loader) Run(ctx context.Context, sink connector.Sink) error {
	sink(connector.Report{Kind: connector.Snapshot, Session: 1, First: true, Incarnation: "one"})
	l.sink <- sink
	<-ctx.Done()
	return nil
}

func (l *loader) Write(context.Context, connector.Order) error { return connector.ErrDown }
func (l *loader) Read(context.Context, connector.Order) error  { return connector.ErrDown }
func (l *loader) Resync()                                      {}
func (l *loader) Health() connector.Health                     { return connector.Health{Ready: true} }

// recorder notes what is saved.
type recorder struct {
	bridge.Store
	mu      sync.Mutex
	batches []*store.Batch
}

func (r *recorder) Save(ctx context.Context, batch *store.Batch) error {
	err := r.Store.Save(ctx, batch)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.batches = append(r.batches, batch)
	return err
}

// take returns what was saved since the last call, and how many users and lines that were.
func (r *recorder) take() (batches []*store.Batch, users, lines int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	batches, r.batches = r.batches, nil
	for _, batch := range batches {
		users += len(batch.Users)
		lines += len(batch.History)
	}
	return batches, users, lines
}

// BenchmarkCommit lets everybody's status change at once and takes the time until all
// of it is in the store. One floor is a loop that writes the same rows in the same
// transactions, with what it needs for that ready in memory; another writes each change in
// a transaction of its own; both are processes of their own. Each round is the bridge, the loop, the changes alone, the loop and
// the bridge again, so that a disk that is slow for a while, or becomes slower, is so for all.
func BenchmarkCommit(b *testing.B) {
	for name, dir := range disks(b) {
		b.Run(name, func(b *testing.B) {
			c := newCommits(b, dir)
			for b.Loop() {
				c.round()
			}
			c.stop()
			b.Logf("| bridge, user changes/s | %s |", c.Bridge)
			b.Logf("| raw batch loop | %s |", c.Loop)
			b.Logf("| a transaction a change | %s |", c.Alone)
			b.Logf("| ratio to the loop | %s |", c.Ratio)
			b.Logf("| ratio to a transaction a change | %s |", c.AloneRatio)
			b.Logf("| processor of the bridge, us/change | %s |", c.BridgeCPU)
			b.Logf("| processor of the loop, us/change | %s |", c.LoopCPU)
		})
	}
}

// aloneChanges is how many changes are written alone in a round.
const aloneChanges = commitUsers / 4

// commits is a bridge whose users all change, beside its floors. The rates are user changes/s.
type commits struct {
	b       *testing.B
	rig     *rig
	sink    connector.Sink
	saves   *recorder
	loop    *rawLoop
	alone   *rawLoop
	rounds  int
	waiting [][]*store.Batch // saved by the bridge, and not yet written by the loop

	Disk       string  `json:"disk"`
	Bridge     samples `json:"bridge_changes_per_second"`
	Loop       samples `json:"batch_loop_changes_per_second"`
	Alone      samples `json:"transaction_a_change_per_second"`
	Ratio      samples `json:"bridge_to_batch_loop"`
	AloneRatio samples `json:"bridge_to_transaction_a_change"`
	BridgeCPU  samples `json:"bridge_cpu_microseconds"`
	LoopCPU    samples `json:"batch_loop_cpu_microseconds"`
}

func newCommits(b *testing.B, dir string) *commits {
	l := newLoader()
	c := &commits{b: b, saves: &recorder{Store: openStore(b, dir)}}
	c.rig = open(b, commitUsers, bridge.PBXConnector{Name: "main", Connector: l}, c.saves)
	c.rig.run()
	c.sink = <-l.sink
	c.loop, c.alone = newRawLoop(b, filepath.Join(dir, "loop")), newRawLoop(b, filepath.Join(dir, "alone"))
	until(b, "the first snapshot", func() bool { u, _ := c.rig.bridge.User(userID(commitUsers - 1)); return u.Saved })
	c.rig.settled()
	first, _, _ := c.saves.take()
	c.loop.write(first) // so that all three find the same rows on the same pages
	c.alone.write(first)
	c.bridged()
	c.looped()
	c.bridged() // which the loop writes in the first round
	return c
}

func (c *commits) stop() { c.rig.stop() }

// bridged lets everybody's status change and waits until all is saved.
func (c *commits) bridged() time.Duration {
	c.rounds++
	message := "round " + strconv.Itoa(c.rounds)
	start := time.Now()
	for i := range commitUsers {
		c.sink(connector.Report{Kind: connector.Changed, Extension: presence.ExtensionID{PBX: "main", Number: number(perUser * i)},
			Presence: presence.Presence{State: presence.DND, Message: message}})
	}
	until(c.b, "the last decision", func() bool {
		u, _ := c.rig.bridge.User(userID(commitUsers - 1))
		return u.Status != nil && u.Status.Message == message
	})
	c.rig.saved()
	took := time.Since(start)
	batches, users, lines := c.saves.take()
	if users < commitUsers || lines != commitUsers {
		c.b.Fatalf("saved %d users and %d lines", users, lines)
	}
	c.waiting = append(c.waiting, batches)
	return took
}

// looped writes what the bridge saved first of what waits, in the same transactions.
func (c *commits) looped() usage {
	batches := c.waiting[0]
	c.waiting = c.waiting[1:]
	return c.loop.write(batches)
}

// single writes the first changes of what waits, each with its line of the history alone.
func (c *commits) single() time.Duration {
	lines := map[presence.UserID]store.Entry{}
	var changes []*store.Batch
	for _, batch := range c.waiting[0] {
		for _, e := range batch.History {
			lines[e.User] = e
		}
	}
	for _, batch := range c.waiting[0] {
		for _, row := range batch.Users {
			if e, ok := lines[row.ID]; ok && len(changes) < aloneChanges {
				changes = append(changes, &store.Batch{Users: []store.User{row}, History: []store.Entry{e}})
				delete(lines, row.ID)
			}
		}
	}
	if len(changes) < aloneChanges {
		c.b.Fatalf("%d changes with their lines", len(changes))
	}
	return c.alone.write(changes).wall
}

func (c *commits) round() {
	cpu := cpuTime()
	took := c.bridged()
	cpu = cpuTime() - cpu
	loop := c.looped()
	alone := c.single()
	again := c.looped()
	loop.wall, loop.cpu = loop.wall+again.wall, loop.cpu+again.cpu
	behind := cpuTime()
	took += c.bridged()
	cpu += cpuTime() - behind
	bridged, aloneRate := 2*commitUsers/took.Seconds(), aloneChanges/alone.Seconds()
	for figure, value := range map[*samples]float64{
		&c.Bridge: bridged, &c.Loop: 2 * commitUsers / loop.wall.Seconds(), &c.Alone: aloneRate,
		&c.Ratio: loop.wall.Seconds() / took.Seconds(), &c.AloneRatio: bridged / aloneRate,
		&c.BridgeCPU: float64(cpu.Microseconds()) / (2 * commitUsers), &c.LoopCPU: float64(loop.cpu.Microseconds()) / (2 * commitUsers),
	} {
		*figure = append(*figure, value)
	}
}

// committed is BenchmarkCommit for the comparison: a table, and whether the targets are met.
func committed(b *testing.B, runs int) (string, []*commits) {
	t := report.Table{Head: []string{"store", "bridge, user changes/s", "raw batch loop", "a transaction a change", "bridge to the loop", "bridge to a transaction a change"}}
	text, all, on := "", []*commits(nil), disks(b)
	for _, name := range slices.Sorted(maps.Keys(on)) {
		c := newCommits(b, on[name])
		c.Disk = name
		for range runs {
			c.round()
		}
		c.stop()
		all = append(all, c)
		t.Rows = append(t.Rows, []string{name, c.Bridge.String(), c.Loop.String(), c.Alone.String(), c.Ratio.String(), c.AloneRatio.String()})
		loop, alone := c.Ratio.quantile(0.5), c.AloneRatio.quantile(0.5)
		text += fmt.Sprintf("- %s: %s of the loop, target 0.8, %s; %s times a transaction a change, target 4, %s\n",
			name, short(loop), verdict(loop >= 0.8), short(alone), verdict(alone >= 4))
	}
	return fmt.Sprintf("\n### Commits: %s users change at once (%d runs)\n\nA change is a row of the user and a line of the history. Both loops have the rows ready in memory and write them into the same tables. "+
		"On tmpfs a commit waits for no disk, which is what changes that are committed together save.\n\n%s\n%s",
		thousands(commitUsers), runs, t, text), all
}
