package bench

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/testdata/bench/report"
)

// What BenchmarkPeers and BenchmarkScale write, seen from this folder.
const (
	benchmarks = "../../BENCHMARKS.md"
	peerChart  = "peers.svg"
)

// jsonVariable names a file that gets the figures as JSON.
const jsonVariable = "BENCH_JSON"

// numberOf reads a number from the environment.
func numberOf(tb testing.TB, variable string, otherwise int) int {
	tb.Helper()
	s := os.Getenv(variable)
	if s == "" {
		return otherwise
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		tb.Fatalf("%s is %q; give a number of 1 and more", variable, s)
	}
	return n
}

// compared are the figures of one peer.
type compared struct {
	peer   peer
	rates  samples // events/s
	cpu    samples // seconds for a million events
	counts samples // events that its handler saw
	wrong  samples // presentities that are wrong in the end
	lost   int     // passes whose end never came
}

// figure is a compared for JSON.
type figure struct {
	Reader  string    `json:"reader"`
	Ours    bool      `json:"ours"`
	Rates   []float64 `json:"events_per_second"`
	CPU     []float64 `json:"cpu_seconds_per_million"`
	Counts  []float64 `json:"events_seen"`
	Wrong   []float64 `json:"presentities_wrong"`
	Unended int       `json:"passes_without_end"`
}

// part is one comparison of BenchmarkPeers: what it writes, and its figures for JSON.
type part struct {
	name string
	run  func(b *testing.B) (text string, figures any)
}

// BenchmarkPeers compares with every peer, who take turns forth and back, and writes what
// came out into BENCHMARKS.md, a chart and, if BENCH_JSON says so, JSON. RUNS is how often
// the recording is read (7; the other parts three times at most), EVENTS how many it has (200,000), BURST how
// many come at once (100,000). `-bench Peers/burst` runs that part alone, and writes nothing.
func BenchmarkPeers(b *testing.B) {
	events, runs := numberOf(b, "EVENTS", 200_000), numberOf(b, "RUNS", 7)
	few, load := min(runs, 3), loadAverage(b)
	var all []peer
	var missing []string
	for _, p := range peers() {
		if p.installed(b.Context()) {
			all = append(all, p)
		} else {
			missing = append(missing, p.name)
			b.Logf("without %s: %s is not installed", p.name, p.need)
		}
	}
	var results []*compared
	text, figures := "", map[string]any{}
	parts := []part{
		{"reading", func(b *testing.B) (string, any) {
			addr, size, final := record(b, events, recordedPhones)
			results = ingest(b, all, addr, events, size, final, runs)
			return told(results, events), figuresOf(results)
		}},
		{"writing", func(b *testing.B) (string, any) { return writers(b, all, few) }},
		{"wire", func(b *testing.B) (string, any) { return onWire(b, buildProgram(b), few) }},
		{"browsers", func(b *testing.B) (string, any) { return toMany(b, buildProgram(b), few) }},
		{"burst", func(b *testing.B) (string, any) { return bursts(b, all) }},
		{"commits", func(b *testing.B) (string, any) { return committed(b, few) }},
		{"memory", func(b *testing.B) (string, any) { return memories(b, all) }},
	}
	for _, p := range parts {
		b.Run(p.name, func(b *testing.B) {
			said, of := p.run(b)
			fmt.Println(said) // a log of a benchmark is cut
			text, figures[p.name] = text+said, of
		})
	}
	if file := os.Getenv(jsonVariable); file != "" {
		check(b, report.WriteJSON(file, figures))
	}
	if len(figures) < len(parts) {
		b.Logf("%s is left alone, for %d of %d parts were not run", benchmarks, len(parts)-len(figures), len(parts))
		return
	}
	head := fmt.Sprintf("`make bench-peers` wrote this section on %s: %d runs of %s events of %d bytes about %s presentities, %s; load %s before, %s after.\n",
		time.Now().UTC().Format(time.DateOnly), runs, thousands(events), eventSize, thousands(recordedPhones), machine(), load, loadAverage(b))
	if len(missing) > 0 {
		head += "\nNot installed, and so not measured: " + strings.Join(missing, ", ") + ".\n"
	}
	check(b, report.Rewrite(benchmarks, "peers", head+text))
	check(b, os.WriteFile(peerChart, []byte(chartOf(results, events).SVG()), 0o644))
}

// ingest is every peer's pass over the recording, behind a first one that warms it
// up. Forth and back take turns, so that a machine that becomes slower does so for all.
func ingest(b *testing.B, all []peer, addr string, events, size int, final map[string]shows, runs int) []*compared {
	var results []*compared
	for _, p := range all {
		results = append(results, &compared{peer: p})
	}
	for run := range runs {
		turn := slices.Clone(results)
		if run%2 == 1 {
			slices.Reverse(turn)
		}
		for _, c := range turn {
			c.measure(b, addr, events, size, final)
		}
	}
	return results
}

func (c *compared) measure(b *testing.B, addr string, events, size int, final map[string]shows) {
	r := c.peer.start(b, addr)
	defer r.stop()
	if r.pass().lost {
		c.lost++
		return
	}
	got := r.pass()
	if got.lost {
		c.lost++
		return
	}
	c.rates = append(c.rates, float64(events)/got.wall.Seconds())
	c.cpu = append(c.cpu, got.cpu.Seconds()*1e6/float64(events))
	if c.peer.floor {
		if got.count < size {
			b.Errorf("%s: %d bytes of %d", c.peer.name, got.count, size)
		}
		return
	}
	wrong := r.wrong(final)
	if (got.count != events || wrong > 0) && c.peer.ours {
		b.Errorf("%s: %d events of %d, %d presentities wrong", c.peer.name, got.count, events, wrong)
	}
	c.counts, c.wrong = append(c.counts, float64(got.count)), append(c.wrong, float64(wrong))
}

// loss says what a peer lost, over all runs.
func (c *compared) loss(events int) string {
	var said []string
	if n := float64(events) - c.counts.quantile(0); len(c.counts) > 0 && n > 0 {
		said = append(said, fmt.Sprintf("up to %.0f events", n))
	}
	if n := c.wrong.quantile(1); len(c.wrong) > 0 && n > 0 {
		said = append(said, fmt.Sprintf("up to %.0f presentities wrong", n))
	}
	if c.lost > 0 {
		said = append(said, fmt.Sprintf("no end in %d runs", c.lost))
	}
	if said == nil {
		return "none"
	}
	return strings.Join(said, ", ")
}

// best is the peer of others that reads most. Nobody whose name has the word except counts.
func best(results []*compared, except string) (top *compared) {
	for _, c := range results {
		if c.peer.ours || strings.Contains(c.peer.name, "floor") || strings.Contains(c.peer.name, except) || len(c.rates) == 0 {
			continue
		}
		if top == nil || c.rates.quantile(0.5) > top.rates.quantile(0.5) {
			top = c
		}
	}
	return top
}

// told is the table of ingest, and whether the target is met.
func told(results []*compared, events int) string {
	top := best(results, "none")
	against := func(c *compared, of func(*compared) samples) string {
		if top == nil || len(c.rates) == 0 {
			return ""
		}
		return short(of(c).quantile(0.5) / of(top).quantile(0.5))
	}
	rates, cpu := func(c *compared) samples { return c.rates }, func(c *compared) samples { return c.cpu }
	t := report.Table{Head: []string{"reader", "events/s", "against the best peer", "CPU s per million", "against its", "lost"}}
	for _, c := range results {
		t.Rows = append(t.Rows, []string{c.peer.name, c.rates.String(), against(c, rates), c.cpu.String(), against(c, cpu), c.loss(events)})
	}
	text := "\n" + t.String()
	if top == nil {
		return text + "\nNo peer is installed, so there is no target to meet.\n"
	}
	text += fmt.Sprintf("\n![Events a second of each reader, as in the table above](testdata/bench/%s)\n\nThe best peer is %s. The target is at least 5 times its events:\n\n", peerChart, top.peer.name)
	foreign := best(results, "(Go)")
	for _, c := range results {
		if c.peer.ours && len(c.rates) > 0 {
			ratio := c.rates.quantile(0.5) / top.rates.quantile(0.5)
			text += fmt.Sprintf("- %s: %s times, %s", strings.TrimPrefix(c.peer.name, "ours: "), short(ratio), verdict(ratio >= 5))
			if foreign != nil && foreign != top {
				text += fmt.Sprintf("; %s times %s", short(c.rates.quantile(0.5)/foreign.rates.quantile(0.5)), foreign.peer.name)
			}
			text += "\n"
		}
	}
	return text
}

// chartOf is the readers that decode, without the floors, next to which nobody could be seen.
func chartOf(results []*compared, events int) report.Chart {
	c := report.Chart{
		Title: fmt.Sprintf("PresenceStateChange events a second (%s events, median and spread)", thousands(events)),
		Text:  "More is better.",
	}
	for _, r := range results {
		if strings.Contains(r.peer.name, "floor") || len(r.rates) == 0 {
			continue
		}
		c.Bars = append(c.Bars, report.Bar{
			Name: r.peer.name, Ours: r.peer.ours, Label: short(r.rates.quantile(0.5)),
			Value: r.rates.quantile(0.5), Min: r.rates.quantile(0), Max: r.rates.quantile(1),
		})
	}
	return c
}

func figuresOf(results []*compared) (all []figure) {
	for _, c := range results {
		all = append(all, figure{Reader: c.peer.name, Ours: c.peer.ours, Rates: c.rates, CPU: c.cpu, Counts: c.counts, Wrong: c.wrong, Unended: c.lost})
	}
	return all
}

// written are the figures of one who writes, for JSON.
type written struct {
	Reader string  `json:"reader"`
	Ours   bool    `json:"ours"`
	Rates  samples `json:"events_per_second"`
	CPU    samples `json:"cpu_seconds_per_million"`
	Wrong  samples `json:"presentities_wrong"`
}

// writers are handlers that write each event to SQLite in a transaction of its own, as
// simple programs do, beside the bridge, which commits what is true by then together.
func writers(b *testing.B, all []peer, runs int) (string, []written) {
	const events = 20_000
	var results []written
	addr, _, final := record(b, events, recordedPhones)
	t := report.Table{Head: []string{"reader", "events/s until the last is in the file", "CPU s per million", "presentities wrong"}}
	for _, p := range all {
		if p.kind != "saved" && !p.writesHere(b.Context()) {
			continue
		}
		var rates, cpu, wrong samples
		for range runs {
			r := p.start(b, addr, "PEER_DB="+filepath.Join(b.TempDir(), "peer.db"))
			warm, got := r.pass(), r.pass()
			if warm.lost || got.lost {
				b.Fatalf("%s did not come to the end", p.name)
			}
			rates, cpu = append(rates, events/got.wall.Seconds()), append(cpu, got.cpu.Seconds()*1e6/events)
			wrong = append(wrong, float64(r.wrong(final)))
			if got.count != events || p.ours && wrong.quantile(1) > 0 {
				b.Errorf("%s: %d events of %d, up to %.0f presentities wrong", p.name, got.count, events, wrong.quantile(1))
			}
			r.stop()
		}
		name := p.name + ", a transaction an event"
		if p.ours {
			name = p.name + ", with a history"
		}
		t.Rows = append(t.Rows, []string{name, rates.String(), cpu.String(), short(wrong.quantile(1))})
		results = append(results, written{name, p.ours, rates, cpu, wrong})
	}
	return fmt.Sprintf("\n### Each event into SQLite (`synchronous=FULL`, on the disk; %s events, %d runs)\n\n%s", thousands(events), runs, t), results
}

// memories is what 100,000 presences need: in a map of each peer's own kind of
// messages, and in the bridge itself with 50,000 users, its store and its API.
func memories(b *testing.B, all []peer) (string, map[string]float64) {
	const presences = 100_000
	megabytes := map[string]float64{}
	addr, _, final := record(b, presences, presences)
	t := report.Table{Head: []string{"program", "resident, MB", "bytes a presence"}}
	row := func(name string, mb float64) {
		megabytes[name] = mb
		t.Rows = append(t.Rows, []string{name, fmt.Sprintf("%.0f", mb), fmt.Sprintf("%.0f", mb*1e6/presences)})
	}
	for _, p := range all {
		if p.floor || p.kind == "hand" || p.ours && p.kind != "ami" {
			continue
		}
		r := p.start(b, addr)
		if got := r.pass(); got.lost || r.wrong(final) > 0 {
			b.Logf("%s lost something, so its memory says nothing", p.name)
		} else {
			time.Sleep(5 * time.Second) // for whoever gives memory back
			row(p.name+", a map", r.resident())
		}
		r.stop()
	}
	sim := startChild(b, fmt.Sprint("sim ", presences))
	dir, program := b.TempDir(), buildProgram(b)
	writeFiles(b, dir, sim.addr, presences/perUser, "{driver: sqlite, dsn: bench.db}")
	d := startDaemon(b, program, dir)
	d.ready()
	d.idle()
	d.end(syscall.SIGTERM)
	row("ours: the whole program", d.rss)
	return fmt.Sprintf("\n### Memory of %s presences\n\nThe bridge has %s users with two extensions each, their names, statuses, store and API; a peer has a map of texts.\n\n%s",
		thousands(presences), thousands(presences/perUser), t), megabytes
}

// programVariable names presencebridge where it is built already, as one with another change in it.
const programVariable = "PROGRAM"

// buildProgram builds presencebridge and returns where it is.
func buildProgram(b testing.TB) string {
	b.Helper()
	if built := os.Getenv(programVariable); built != "" {
		return built
	}
	program := filepath.Join(b.TempDir(), "presencebridge")
	out, err := exec.CommandContext(b.Context(), "go", "build", "-o", program, "../../cmd/presencebridge").CombinedOutput()
	if err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	return program
}

// thousands writes 200000 as 200,000.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// loadAverage is the machine's of the last minute.
func loadAverage(tb testing.TB) string {
	text, err := os.ReadFile("/proc/loadavg")
	check(tb, err)
	return strings.Fields(string(text))[0]
}

// machine says what everything shares.
func machine() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	models := map[string]int{}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			models[strings.TrimSpace(value)]++
		}
	}
	name := strings.Join(slices.Sorted(maps.Keys(models)), ", ")
	return fmt.Sprintf("%d cores (%s) that server and reader share, %s", runtime.NumCPU(), name, runtime.Version())
}
