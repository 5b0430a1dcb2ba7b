package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/presencebridge/presencebridge/pkg/pbxsim"
	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

// trouble is something that happens to a world. do lets it happen, and returns when it
// is over with a remark, "" for none.
type trouble struct {
	name string
	do   func(w *world, rng *rand.Rand) (remark string)
	long bool // it takes half a minute, or has a test of its own: not in make test
	once bool // in a schedule
}

// between is a time to let a fault last, in ms.
func between(rng *rand.Rand, least, most int) time.Duration {
	return time.Duration(least+rng.IntN(most-least)) * time.Millisecond
}

// spoilt is a fault of the wire.
func spoilt(kind string, attributes map[string]int) func(*world, *rand.Rand) string {
	return func(w *world, rng *rand.Rand) string {
		w.each(func(x *wire) { x.spoil(kind, attributes) })
		time.Sleep(between(rng, 1500, 3000))
		w.each((*wire).mend)
		return ""
	}
}

// everywhere are the faults of every world.
var everywhere = slices.Concat(ofClocks, []trouble{
	{name: "wire: 300 ms latency, 200 ms jitter", do: spoilt("latency", map[string]int{"latency": 300, "jitter": 200})},
	{name: "wire: connections reset", do: spoilt("reset_peer", map[string]int{"timeout": 200})},
	{name: "wire: slices of 1 to 7 bytes", do: spoilt("slicer", map[string]int{"average_size": 4, "size_variation": 3, "delay": 100})},
	{name: "wire: 4 kB/s", do: spoilt("bandwidth", map[string]int{"rate": 4})},
	{name: "wire: cut in the middle of a frame", do: spoilt("limit_data", map[string]int{"bytes": 1777})},
	{name: "wire: silent (half-open)", do: halfOpen, long: true},
	{name: "wire: silent, while nobody does anything", do: halfOpenAtRest, long: true},
	{name: "wire: refused", do: refused},
	{name: "wire: comes and goes", do: flapping},
	{name: "bridge: kill -9", do: bridgeKilled},
	{name: "bridge: SIGSTOP", do: bridgePaused},
	{name: "bridge: restarted in order", do: bridgeRestarted},
	{name: "Asterisk: kill -9", do: asteriskKilled},
	{name: "Asterisk: SIGSTOP", do: asteriskPaused},
	{name: "Asterisk: restarted in order", do: func(w *world, _ *rand.Rand) string { w.pbx.Restart(); return "" }},
	{name: "bridge and Asterisk: kill -9", do: bothKilled},
	{name: "Asterisk: res_manager_presencestate unloaded", do: unloaded(pbxsim.PresenceManager)},
	{name: "Asterisk: func_presencestate unloaded", do: unloaded(pbxsim.PresenceFunction)},
	{name: "Asterisk: reloaded ten times", do: asteriskReloaded},
	{name: "Asterisk: the AMI account removed", do: accountRemoved, once: true},
	{name: "mapping: bad, and SIGHUP twenty times", do: badMapping},
})

// ofSQLite and ofPostgres are those of stores.
var (
	ofSQLite = []trouble{
		{name: "store: SQLite locked by another process", do: sqliteLocked},
		{name: "store: the disk is full", do: diskFull},
	}
	ofPostgres = slices.Concat(ofTwoClocks, []trouble{
		{name: "store: PostgreSQL stalls (SIGSTOP)", do: serverPaused},
		{name: "store: PostgreSQL kill -9", do: serverKilled},
		{name: "store: tables locked", do: tablesLocked},
		{name: "two bridges: the holder is stopped past its lease", do: holderPaused},
		{name: "two bridges: the holder kill -9", do: holderKilled},
	})
)

// halfOpen lets the wire swallow everything until the bridge has noticed.
func halfOpen(w *world, _ *rand.Rand) string {
	w.each(func(x *wire) { x.spoil("timeout", map[string]int{"timeout": 0}) })
	begun := time.Now()
	pbxtest.Eventually(w.t, patience, "the bridge notices that nothing comes any more", func() bool {
		return w.holder() != nil && w.holder().status("/readyz") == http.StatusServiceUnavailable
	})
	noticed := time.Since(begun)
	w.each((*wire).mend)
	return fmt.Sprintf("noticed after %.1f s", noticed.Seconds())
}

// halfOpenAtRest leaves the bridge nothing to notice it by but its own questions.
func halfOpenAtRest(w *world, rng *rand.Rand) string {
	wake := w.people.rest()
	defer wake()
	time.Sleep(between(rng, 0, 5000)) // somewhere between two questions
	return halfOpen(w, rng)
}

func refused(w *world, rng *rand.Rand) string {
	w.each((*wire).cut)
	time.Sleep(between(rng, 1000, 3000))
	w.each((*wire).join)
	return ""
}

func flapping(w *world, rng *rand.Rand) string {
	for range 8 {
		w.each((*wire).cut)
		time.Sleep(between(rng, 20, 150))
		w.each((*wire).join)
		time.Sleep(between(rng, 20, 400))
	}
	return ""
}

// acting is the bridge that acts, once there is one.
func (w *world) acting() (r *running) {
	w.t.Helper()
	pbxtest.Eventually(w.t, patience, "a bridge acts", func() bool { r = w.holder(); return r != nil })
	return r
}

func bridgeKilled(w *world, rng *rand.Rand) string {
	r := w.acting()
	r.kill()
	w.people.died()
	w.naive.kill()
	time.Sleep(between(rng, 100, 1500))
	r.start()
	w.naive.start()
	return ""
}

func bridgePaused(w *world, rng *rand.Rand) string {
	r := w.acting()
	r.signal(syscall.SIGSTOP)
	w.naive.signal(syscall.SIGSTOP)
	time.Sleep(between(rng, 2000, 4000)) // half of a lease at most
	r.signal(syscall.SIGCONT)
	w.naive.signal(syscall.SIGCONT)
	return ""
}

func bridgeRestarted(w *world, _ *rand.Rand) string {
	r := w.acting()
	r.stop()
	w.naive.kill()
	r.start()
	w.naive.start()
	return ""
}

// unseen is how long an event may take from Asterisk's answer to the bridge: one that
// dies with Asterisk nobody has seen.
const unseen = 200 * time.Millisecond

func asteriskKilled(w *world, rng *rand.Rand) string {
	w.pbx.Kill()
	w.people.forgiven(unseen)
	time.Sleep(between(rng, 100, 1000))
	w.pbx.Start()
	return ""
}

// bothKilled loses what Asterisk has not committed and the bridge has seen but not saved.
func bothKilled(w *world, _ *rand.Rand) string {
	r := w.acting()
	r.kill()
	w.people.died()
	w.pbx.Kill()
	w.people.forgiven(2 * time.Second)
	w.naive.kill()
	r.start()
	w.naive.start()
	w.pbx.Start()
	return ""
}

func asteriskPaused(w *world, rng *rand.Rand) string {
	w.pbx.Pause()
	time.Sleep(between(rng, 2000, 5000))
	w.pbx.Resume()
	return ""
}

func asteriskReloaded(w *world, rng *rand.Rand) string {
	for range 10 {
		w.pbx.Reload()
		time.Sleep(between(rng, 10, 100))
	}
	return ""
}

func unloaded(m pbxsim.Module) func(*world, *rand.Rand) string {
	return func(w *world, rng *rand.Rand) string {
		w.pbx.Unload(m)
		time.Sleep(between(rng, 1000, 3000))
		w.pbx.Load(m)
		return ""
	}
}

// accountRemoved gives the account back once the bridge has been refused.
func accountRemoved(w *world, _ *rand.Rand) string {
	before := w.pbx.Refused("bridge")
	restore := w.pbx.Remove("bridge", "naive")
	w.each((*wire).cut)
	w.each((*wire).join)
	pbxtest.Eventually(w.t, patience, "the bridge is refused", func() bool { return w.pbx.Refused("bridge") > before })
	restore()
	return ""
}

func badMapping(w *world, _ *rand.Rand) string {
	r := w.acting()
	r.write("mapping.yaml", strings.Replace(w.mapping, "incoming: latest", "incoming: newest", 1))
	for range 20 {
		r.signal(syscall.SIGHUP)
	}
	if out, code := r.run("reload"); code == exitDone || !strings.Contains(out, "newest") {
		w.t.Errorf("reload of a bad mapping: exit code %d, %s", code, out)
	}
	time.Sleep(time.Second)
	r.write("mapping.yaml", w.mapping)
	if out, code := r.run("reload"); code != exitDone {
		w.t.Errorf("reload of the mapping: exit code %d, %s", code, out)
	}
	return ""
}

func sqliteLocked(w *world, rng *rand.Rand) string {
	unlock := []func(){w.lock(w.file()), w.lock(w.naive.file)}
	time.Sleep(between(rng, 3000, 7000))
	for _, f := range unlock {
		f()
	}
	return ""
}

// lock takes the write lock of a SQLite file.
func (w *world) lock(file string) (unlock func()) {
	w.t.Helper()
	db, err := sql.Open("sqlite", "file:"+file+"?_txlock=immediate&_pragma=busy_timeout(10000)")
	if err != nil {
		w.t.Fatal(err)
	}
	tx, err := db.BeginTx(context.Background(), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return func() { _ = errors.Join(tx.Rollback(), db.Close()) }
}

// diskFull leaves not one block.
func diskFull(w *world, rng *rand.Rand) string {
	if !w.small {
		return "left out: a small disk takes root"
	}
	path := filepath.Join(w.disk, "filler")
	f, err := os.Create(path)
	if err != nil {
		w.t.Fatal(err)
	}
	at := int64(0)
	for size := int64(64 << 20); size >= 4096; {
		if syscall.Fallocate(int(f.Fd()), 0, at, size) == nil {
			at += size
		} else {
			size /= 2
		}
	}
	time.Sleep(between(rng, 2000, 4000))
	if err := errors.Join(f.Close(), os.Remove(path)); err != nil {
		w.t.Fatal(err)
	}
	return ""
}

func serverPaused(w *world, rng *rand.Rand) string {
	unlock := w.lock(w.naive.file)
	w.server.Pause()
	time.Sleep(between(rng, 2000, 5000))
	w.server.Resume()
	unlock()
	return ""
}

func serverKilled(w *world, rng *rand.Rand) string {
	w.server.Kill()
	time.Sleep(between(rng, 500, 3000))
	w.server.Start()
	return ""
}

func tablesLocked(w *world, rng *rand.Rand) string {
	unlock := w.lock(w.naive.file)
	db, err := w.server.Panel(w.at)
	if err != nil {
		w.t.Fatal(err)
	}
	tx, err := db.BeginTx(context.Background(), nil)
	if err == nil {
		_, err = tx.ExecContext(context.Background(), `LOCK TABLE users, history IN ACCESS EXCLUSIVE MODE`)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	time.Sleep(between(rng, 2000, 5000))
	_ = errors.Join(tx.Rollback(), db.Close())
	unlock()
	return ""
}

// holderPaused wakes the bridge that had the store when the other has taken it over.
func holderPaused(w *world, _ *rand.Rand) string {
	r := w.acting()
	r.signal(syscall.SIGSTOP)
	begun := time.Now()
	other := w.bridges[0]
	if other == r {
		other = w.bridges[1]
	}
	pbxtest.Eventually(w.t, patience, "the other bridge takes over", func() bool { return other.status("/readyz") == http.StatusOK })
	after := time.Since(begun)
	r.signal(syscall.SIGCONT)
	select {
	case <-r.gone:
		r.cmd = nil
	case <-time.After(patience):
		w.t.Fatal("the bridge that lost the store goes on")
	}
	r.start()
	return fmt.Sprintf("taken over after %.1f s", after.Seconds())
}

func holderKilled(w *world, _ *rand.Rand) string {
	r := w.acting()
	r.kill()
	w.people.died()
	begun := time.Now()
	w.acting()
	after := time.Since(begun)
	r.start()
	return fmt.Sprintf("taken over after %.1f s", after.Seconds())
}
