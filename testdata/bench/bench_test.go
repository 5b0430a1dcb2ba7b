// Package bench measures Presence Bridge against floors and peers of the same run.
// `make bench` runs it; BENCHMARKS.md has the results. It lies under testdata so that
// no `./...` runs it by accident.
//
// What sends, an Asterisk that is simulated or a stream of events, is a process of its
// own, so that the CPU time and the memory of this one are those of what is measured.
// Everything shares the machine's cores; only ratios of one run mean anything.
package bench

import (
	"fmt"
	"hash/fnv"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// childVariable says what this binary is to be instead of a benchmark.
const childVariable = "PRESENCEBRIDGE_BENCH_CHILD"

func TestMain(m *testing.M) {
	kind, argument, _ := strings.Cut(os.Getenv(childVariable), " ")
	var err error
	switch kind {
	case "":
		os.Exit(m.Run())
	case "events":
		err = serveEvents()
	case "sim":
		err = serveSim(argument)
	case "recording":
		err = serveRecording(argument)
	case "reader":
		err = serveReader(argument)
	case "commits":
		err = serveCommits(argument)
	case "browsers":
		err = serveBrowsers()
	default:
		err = fmt.Errorf("%s=%q is nothing this binary can be", childVariable, kind)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// samples are the values that one figure had in several rounds.
type samples []float64

func (s samples) quantile(q float64) float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(s))
	return sorted[int(q*float64(len(sorted)-1)+0.5)]
}

// String gives the median and, in brackets, the least and the most.
func (s samples) String() string {
	return fmt.Sprintf("%s (%s-%s)", short(s.quantile(0.5)), short(s.quantile(0)), short(s.quantile(1)))
}

// short writes three significant digits.
func short(f float64) string {
	switch {
	case math.Abs(f) >= 1e6:
		return strconv.FormatFloat(f/1e6, 'f', 2, 64) + " M"
	case math.Abs(f) >= 1e4:
		return strconv.FormatFloat(f/1e3, 'f', 0, 64) + " k"
	case math.Abs(f) >= 100:
		return strconv.FormatFloat(f, 'f', 0, 64)
	default:
		return strconv.FormatFloat(f, 'g', 3, 64)
	}
}

// usage is what a piece of work took.
type usage struct {
	wall, cpu time.Duration
	allocs    uint64
}

// measure runs work on a clean heap and tells what it took this process.
func measure(work func()) usage {
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu, start := cpuTime(), time.Now()
	work()
	u := usage{wall: time.Since(start), cpu: cpuTime() - cpu}
	runtime.ReadMemStats(&after)
	u.allocs = after.Mallocs - before.Mallocs
	return u
}

// cpuTime is what this process has used so far, in user and kernel mode.
func cpuTime() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic(err) // cannot fail with these arguments
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// disks are the folders that a store is measured in.
func disks(b *testing.B) map[string]string {
	b.Helper()
	all := map[string]string{"disk": b.TempDir()}
	if dir, err := os.MkdirTemp("/dev/shm", "presencebridge-bench-"); err == nil {
		b.Cleanup(func() { _ = os.RemoveAll(dir) })
		all["tmpfs"] = dir
	}
	return all
}

// fsyncFloor is how long appending 4 kB and waiting for the disk takes, in ms.
func fsyncFloor(b *testing.B, dir string) samples {
	b.Helper()
	f, err := os.Create(filepath.Join(dir, "fsync"))
	check(b, err)
	defer func() { _ = f.Close() }()
	var took samples
	for range 300 {
		start := time.Now()
		_, err := f.Write(make([]byte, 4096))
		check(b, err)
		check(b, f.Sync())
		took = append(took, ms(time.Since(start)))
	}
	return took
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// digest is the sum of one hash for each extension, so that their order does not matter.
type digest uint64

func (d *digest) add(number, state, subtype, message string) {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s|%s|%s|%s", number, state, subtype, message)
	*d += digest(h.Sum64())
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
