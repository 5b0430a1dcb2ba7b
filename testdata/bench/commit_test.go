package bench

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
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
// of it is in the store. The floor is a loop that writes the same rows in the same
// transactions, with what it needs for that ready in memory. Each round is the bridge,
// the floor twice and the bridge again, so that a disk that is slow for a while, or
// becomes slower, is so for both.
func BenchmarkCommit(b *testing.B) {
	for name, dir := range disks(b) {
		b.Run(name, func(b *testing.B) { commit(b, dir) })
	}
}

func commit(b *testing.B, dir string) {
	l, rec := newLoader(), &recorder{Store: openStore(b, dir)}
	r := open(b, commitUsers, bridge.PBXConnector{Name: "main", Connector: l}, rec)
	r.run()
	sink := <-l.sink
	raw := openRaw(b, dir)
	var bridged, looped, ratio, bridgedCPU, loopedCPU samples
	round := 0
	var waiting [][]*store.Batch // saved by the bridge, and not yet written by the floor
	once := func() time.Duration {
		round++
		message := "round " + strconv.Itoa(round)
		start := time.Now()
		for i := range commitUsers {
			sink(connector.Report{Kind: connector.Changed, Extension: presence.ExtensionID{PBX: "main", Number: number(perUser * i)},
				Presence: presence.Presence{State: presence.DND, Message: message}})
		}
		until(b, "the last decision", func() bool {
			u, _ := r.bridge.User(userID(commitUsers - 1))
			return u.Status != nil && u.Status.Message == message
		})
		r.saved()
		took := time.Since(start)
		batches, users, lines := rec.take()
		if users < commitUsers || lines != commitUsers {
			b.Fatalf("saved %d users and %d lines", users, lines)
		}
		waiting = append(waiting, batches)
		return took
	}
	floor := func() time.Duration {
		start := time.Now()
		for _, batch := range waiting[0] {
			raw(batch)
		}
		waiting = waiting[1:]
		return time.Since(start)
	}
	until(b, "the first snapshot", func() bool { u, _ := r.bridge.User(userID(commitUsers - 1)); return u.Saved })
	r.settled()
	rec.take()
	once()
	floor()
	once() // which the floor writes in the first round
	for b.Loop() {
		cpu := cpuTime()
		took := once()
		between := cpuTime()
		least := floor() + floor()
		cpu, between = between-cpu, cpuTime()-between
		behind := cpuTime()
		took += once()
		cpu += cpuTime() - behind
		bridgedCPU = append(bridgedCPU, float64(cpu.Microseconds())/(2*commitUsers))
		loopedCPU = append(loopedCPU, float64(between.Microseconds())/(2*commitUsers))
		bridged = append(bridged, 2*commitUsers/took.Seconds())
		looped = append(looped, 2*commitUsers/least.Seconds())
		ratio = append(ratio, least.Seconds()/took.Seconds())
	}
	b.Logf("| bridge, user changes/s | %s |", bridged)
	b.Logf("| raw batch loop | %s |", looped)
	b.Logf("| ratio | %s |", ratio)
	b.Logf("| processor of the bridge, us/change | %s |", bridgedCPU)
	b.Logf("| processor of the loop, us/change | %s |", loopedCPU)
	r.stop()
}

// openRaw makes a database with the schema of the store, and returns what writes a batch to it.
func openRaw(b *testing.B, dir string) func(*store.Batch) {
	name := filepath.Join(dir, "raw")
	check(b, os.Mkdir(name, 0o700))
	st := openStore(b, name)
	check(b, st.Close(b.Context(), true))
	db, err := sql.Open("sqlite", "file:"+filepath.Join(name, "bench.db")+"?_txlock=immediate&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	check(b, err)
	b.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(1)
	user, err := db.Prepare(`INSERT INTO users (id, name, email, version, type, type_name, base, color, message, since, until, set_by, removed, stale, view, label)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET
		name = excluded.name, email = excluded.email, version = excluded.version, type = excluded.type, type_name = excluded.type_name, base = excluded.base, color = excluded.color,
		message = excluded.message, since = excluded.since, until = excluded.until, set_by = excluded.set_by,
		removed = excluded.removed, stale = excluded.stale, view = excluded.view, label = excluded.label`)
	check(b, err)
	line, err := db.Prepare(`INSERT INTO history (user_id, version, at, ordinal, type, name, base, message, since, until, set_by, rule, label)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
	check(b, err)
	const layout = "2006-01-02T15:04:05.000000Z07:00"
	return func(batch *store.Batch) {
		tx, err := db.Begin()
		check(b, err)
		u, h := tx.Stmt(user), tx.Stmt(line)
		defer func() { _, _ = u.Close(), h.Close() }()
		for _, row := range batch.Users {
			st := row.Status
			_, err := u.Exec(string(row.ID), row.Name, row.Email, row.Version, string(st.Type.ID), st.Type.Name, string(st.Type.Base),
				st.Type.Color, st.Message, st.Since.Time().Format(layout), nil, st.By, false, false, string(row.View), st.Label)
			check(b, err)
		}
		for _, e := range batch.History {
			_, err := h.Exec(string(e.User), e.Version, e.At.Format(layout), 0, string(e.Type), e.Name, string(e.Base), e.Message,
				e.Since.Format(layout), nil, e.By, string(e.Rule), e.Label)
			check(b, err)
		}
		check(b, tx.Commit())
	}
}
