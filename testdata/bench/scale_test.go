package bench

import (
	"bufio"
	"database/sql"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/testdata/bench/report"
)

// growth is what the program takes with so many users.
type growth struct {
	Users    int     `json:"users"`
	Ended    string  `json:"ended,omitempty"`     // why it did not become ready; all below is unknown then
	First    float64 `json:"first_start_seconds"` // started to ready, nothing known before
	Again    float64 `json:"start_seconds"`       // started to ready, everything in the store
	AgainCPU float64 `json:"start_cpu_seconds"`
	Snapshot float64 `json:"snapshot_seconds"` // the second start's
	Drain    float64 `json:"drain_seconds"`    // of the same list, by who only looks for its end
	Rows     float64 `json:"rows_seconds"`     // to read the rows of that start, and keep nothing
	Finding  float64 `json:"finding_seconds"`  // of each extension once in a table of them all; see findAll
	RSS      float64 `json:"resident_mb"`      // idle, after the second start
	Peak     float64 `json:"peak_mb"`          // of that start
	CPU      float64 `json:"cpu_microseconds_per_event"`
	Decision float64 `json:"decision_milliseconds"` // mean from arrival to decision, at growthRate
	Page     samples `json:"page_milliseconds"`     // GET /users with its 500 users, from the middle
	Store    float64 `json:"store_megabytes"`       // the files of SQLite
	Wide     float64 `json:"search_milliseconds"`   // GET /users?q=, which looks at everybody
	Rate     int     `json:"events_per_second"`     // growthRate, while decisions are timed
}

const (
	growthRate  = 1000            // events/s while decisions are timed
	growthFor   = 10              // seconds
	growthLimit = 4 * time.Minute // for everything that is waited for
)

// BenchmarkScale runs the program with more and more users, who are kept in the store, on
// a simulated PBX, and writes into BENCHMARKS.md how it grows. SIZES says how many users
// ("1000 10000 100000 1000000").
func BenchmarkScale(b *testing.B) {
	sizes := os.Getenv("SIZES")
	if sizes == "" {
		sizes = "1000 10000 100000 1000000"
	}
	load, program := loadAverage(b), buildProgram(b)
	var all []growth
	for _, field := range strings.Fields(sizes) {
		users, err := strconv.Atoi(field)
		if err != nil || users < 1 {
			b.Fatalf("SIZES has %q; give numbers of users", field)
		}
		all = append(all, grow(b, program, users))
		b.Logf("%+v", all[len(all)-1])
	}
	text := fmt.Sprintf("`make bench-scale` wrote this section on %s: one round of each size, %s; load %s before, %s after.\n\n",
		time.Now().UTC().Format(time.DateOnly), machine(), load, loadAverage(b)) + growthTable(all) + linear(all)
	check(b, report.Rewrite(benchmarks, "scale", text))
	if file := os.Getenv(jsonVariable); file != "" {
		check(b, report.WriteJSON(file, all))
	}
	b.Log("\n" + text)
}

// grow measures one size.
func grow(b *testing.B, program string, users int) (g growth) {
	g.Users, g.Rate = users, growthRate
	sim := startChild(b, fmt.Sprint("sim ", perUser*users))
	dir := b.TempDir()
	writeFiles(b, dir, sim.addr, 0, storeApart)
	check(b, os.Mkdir(apart(dir), 0o700))
	storeUsers(b, dir, users)

	defer sim.end()
	d := startDaemon(b, program, dir)
	d.patience = growthLimit
	if g.Ended = d.unready(); g.Ended != "" {
		d.end(syscall.SIGKILL)
		return g
	}
	g.First = time.Since(d.started).Seconds()
	d.settledMetrics(0) // a disk that others keep busy looks like rest
	d.idle()
	d.end(syscall.SIGTERM)
	drained, _ := drain(b, sim.addr, 0)
	g.Drain, g.Rows, g.Finding = drained.Seconds(), readRows(b, dir).Seconds(), findAll(b, perUser*users).Seconds()

	d = startDaemon(b, program, dir)
	d.patience = growthLimit
	if g.Ended = d.unready(); g.Ended != "" {
		d.end(syscall.SIGKILL)
		return g
	}
	g.Again, g.AgainCPU = time.Since(d.started).Seconds(), d.cpu()
	d.settledMetrics(0)
	d.idle()
	g.RSS, g.Peak = d.rss, d.peak
	before := d.metrics()
	g.Snapshot = before["presencebridge_pbx_snapshot_seconds"]
	cpu := d.cpu()
	sim.ask("rate %d %d", growthRate, growthRate*growthFor)
	after := d.settledMetrics(before["presencebridge_event_decision_seconds_count"] + growthRate*growthFor)
	g.CPU = (d.cpu() - cpu) * 1e6 / (growthRate * growthFor)
	const timed = "presencebridge_event_decision_seconds_"
	g.Decision = 1000 * (after[timed+"sum"] - before[timed+"sum"]) / (after[timed+"count"] - before[timed+"count"])
	for range 20 {
		g.Page = append(g.Page, d.took("/api/v1/users?cursor="+string(userID(users/2))))
	}
	g.Wide = d.took("/api/v1/users?q=nobody-is-called-so")
	d.end(syscall.SIGTERM)
	g.Store = megabytes(b, apart(dir), "bench.db*")
	return g
}

// unready waits until the bridge is ready and returns "", or the reason that it gives in the end.
func (d *daemon) unready() (reason string) {
	for end := d.started.Add(d.patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		answer, err := d.client.Get("http://bridge/readyz")
		if err != nil {
			reason = err.Error()
			continue
		}
		text, _ := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if answer.StatusCode == http.StatusOK {
			return ""
		}
		reason = strings.TrimSpace(string(text))
	}
	return fmt.Sprintf("not ready within %s: %s", d.patience, reason)
}

// storeUsers makes the store have the users of the mapping, as an import would.
func storeUsers(b *testing.B, dir string, users int) {
	check(b, openStore(b, apart(dir)).Close(b.Context(), true))
	file := filepath.Join(dir, "mapping.yaml")
	text, err := os.ReadFile(file)
	check(b, err)
	text = []byte(strings.TrimSuffix(string(text), "users:\n") + "users: {from: store}\n")
	check(b, os.WriteFile(file, text, 0o600))
	db, err := sql.Open("sqlite", "file:"+filepath.Join(apart(dir), "bench.db"))
	check(b, err)
	defer func() { check(b, db.Close()) }()
	tx, err := db.BeginTx(b.Context(), nil)
	check(b, err)
	insert, err := tx.PrepareContext(b.Context(), `INSERT INTO mapped_users VALUES (?, ?, ?, '', '')`)
	check(b, err)
	defer func() { _ = insert.Close() }()
	for i := range users {
		definition := fmt.Sprintf(`{"id":%q,"name":"User Number %d","extensions":[%q,%q]}`, userID(i), i, number(perUser*i), number(perUser*i+1))
		_, err := insert.ExecContext(b.Context(), string(userID(i)), i+1, definition)
		check(b, err)
	}
	check(b, tx.Commit())
}

// readRows reads what a start reads, in the same order. Its reading connection has as
// small a cache.
func readRows(b *testing.B, dir string) time.Duration {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(apart(dir), "bench.db")+"?_pragma=cache_size(-256)")
	check(b, err)
	defer func() { check(b, db.Close()) }()
	start := time.Now()
	for _, query := range []string{
		`SELECT user_id, position, definition, tags, group_names FROM mapped_users ORDER BY position`,
		`SELECT id, name, email, version, view FROM users ORDER BY id`,
	} {
		readAll(b, db, query)
	}
	return time.Since(start)
}

// findAll looks up each of so many numbers once, in no order, as those of a list come,
// and notes something where it stands. It is what a snapshot cannot do without, and tells how much
// more the machine takes for each where tables are larger than its caches.
func findAll(b *testing.B, extensions int) time.Duration {
	places, asked, notes := make(map[string]int, extensions), make([]string, extensions), make([]presence.Presence, extensions)
	for i, k := range rand.New(rand.NewPCG(1, 1)).Perm(extensions) {
		places[number(i)] = i
		asked[i] = number(k)
	}
	runtime.GC() // what the tables left behind
	start := time.Now()
	for _, number := range asked {
		notes[places[number]].State++
	}
	took := time.Since(start)
	for i := range notes {
		if notes[i].State != 1 {
			b.Fatalf("%s was found %d times", number(i), notes[i].State)
		}
	}
	return took
}

func readAll(b *testing.B, db *sql.DB, query string) {
	rows, err := db.QueryContext(b.Context(), query)
	check(b, err)
	defer func() { check(b, rows.Close()) }()
	var columns [5]sql.RawBytes
	for rows.Next() {
		check(b, rows.Scan(&columns[0], &columns[1], &columns[2], &columns[3], &columns[4]))
	}
	check(b, rows.Err())
}

// metrics are the values of /metrics, without their labels: those of the last line of a name.
func (d *daemon) metrics() map[string]float64 {
	answer, err := d.client.Get("http://bridge/metrics")
	check(d.b, err)
	defer func() { _ = answer.Body.Close() }()
	values := map[string]float64{}
	in := bufio.NewScanner(answer.Body)
	for in.Scan() {
		at := strings.LastIndexByte(in.Text(), ' ')
		if at < 0 || in.Text()[0] == '#' {
			continue
		}
		name, _, _ := strings.Cut(in.Text()[:at], "{")
		if value, err := strconv.ParseFloat(in.Text()[at+1:], 64); err == nil {
			values[name] = value
		}
	}
	return values
}

// settledMetrics waits until so many events are decided and all is saved.
func (d *daemon) settledMetrics(decided float64) (m map[string]float64) {
	within(d.b, d.patience, "the decisions", func() bool {
		time.Sleep(50 * time.Millisecond)
		m = d.metrics()
		return m["presencebridge_event_decision_seconds_count"] >= decided && m["presencebridge_store_waiting_users"] == 0
	})
	return m
}

// took is how long a request takes until its answer is read, in ms.
func (d *daemon) took(path string) float64 {
	start := time.Now()
	answer, err := d.client.Get("http://bridge" + path)
	check(d.b, err)
	defer func() { _ = answer.Body.Close() }()
	_, err = io.Copy(io.Discard, answer.Body)
	check(d.b, err)
	if answer.StatusCode != http.StatusOK {
		d.b.Fatalf("%s answers %s", path, answer.Status)
	}
	return ms(time.Since(start))
}

// megabytes is the size of the files that match.
func megabytes(b *testing.B, dir, pattern string) (mb float64) {
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	check(b, err)
	for _, file := range files {
		info, err := os.Stat(file)
		check(b, err)
		mb += float64(info.Size()) / 1e6
	}
	return mb
}

func growthTable(all []growth) string {
	t := report.Table{Head: []string{
		"users", "resident, MB", "bytes/user", "most at the start, MB", "first start to ready, s", "later start, s", "its CPU, s",
		"reading its rows, s",
		"snapshot, s", "draining the list, s", "finding each, s", "event to decision, ms", "CPU µs/event", "a page of /users, ms", "?q= over all, ms", "store, MB",
	}}
	var ends string
	for _, g := range all {
		if g.Ended != "" {
			t.Rows = append(t.Rows, []string{thousands(g.Users), "—"})
			ends += fmt.Sprintf("\n%s users: %s.\n", thousands(g.Users), g.Ended)
			continue
		}
		t.Rows = append(t.Rows, []string{
			thousands(g.Users), short(g.RSS), fmt.Sprintf("%.0f", g.RSS*1e6/float64(g.Users)), short(g.Peak), short(g.First), short(g.Again), short(g.AgainCPU), short(g.Rows),
			short(g.Snapshot), short(g.Drain), short(g.Finding), short(g.Decision), short(g.CPU), g.Page.String(), short(g.Wide), short(g.Store),
		})
	}
	return t.String() + ends
}

// linear compares each size with the one before: how much more of everything a user
// takes. 1 is a straight line; what does not depend on the users comes out below.
func linear(all []growth) string {
	all = slices.DeleteFunc(slices.Clone(all), func(g growth) bool { return g.Ended != "" })
	if len(all) < 2 {
		return ""
	}
	t := report.Table{Head: []string{"from, to users", "memory above the first", "later start", "its CPU", "reading its rows", "snapshot", "draining the list", "finding each", "?q= over all", "store", "event to decision", "CPU/event", "a page"}}
	for i := 1; i < len(all); i++ {
		a, z := all[i-1], all[i]
		each := func(of func(growth) float64) string {
			return fmt.Sprintf("%.2f", of(z)/of(a)/(float64(z.Users)/float64(a.Users)))
		}
		same := func(of func(growth) float64) string { return fmt.Sprintf("%.2f", of(z)/of(a)) }
		memory := "" // of the users of this step alone, against those of the step before
		if i > 1 {
			o := all[i-2]
			memory = fmt.Sprintf("%.2f", (z.RSS-a.RSS)/float64(z.Users-a.Users)/((a.RSS-o.RSS)/float64(a.Users-o.Users)))
		}
		t.Rows = append(t.Rows, []string{
			thousands(a.Users) + ", " + thousands(z.Users), memory,
			each(func(g growth) float64 { return g.Again }), each(func(g growth) float64 { return g.AgainCPU }), each(func(g growth) float64 { return g.Rows }),
			each(func(g growth) float64 { return g.Snapshot }), each(func(g growth) float64 { return g.Drain }), each(func(g growth) float64 { return g.Finding }), each(func(g growth) float64 { return g.Wide }), each(func(g growth) float64 { return g.Store }),
			same(func(g growth) float64 { return g.Decision }), same(func(g growth) float64 { return g.CPU }),
			same(func(g growth) float64 { return g.Page.quantile(0.5) }),
		})
	}
	return "\nFrom one size to the next, per user (memory: of each user who is new, against those new before), and of the last three, which shall not depend on the users, as they are. 1 is a straight line:\n\n" + t.String()
}
