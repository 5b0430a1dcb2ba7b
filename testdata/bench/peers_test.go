package bench

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const recordedPhones = 10_000

// record writes a recording into a file and starts its server.
func record(tb testing.TB, events, phones int) (addr string, size int, final map[string]shows) {
	tb.Helper()
	raw, final := recording(events, phones)
	file := filepath.Join(tb.TempDir(), "recording")
	check(tb, os.WriteFile(file, raw, 0o600))
	return startChild(tb, "recording "+file).addr, len(raw), final
}

// TestEveryPeerSeesEveryEvent reads a short recording twice with every peer that is
// installed, as the comparison does with a long one.
func TestEveryPeerSeesEveryEvent(t *testing.T) {
	const events = 1000
	addr, size, final := record(t, events, 300)
	for _, p := range peers() {
		t.Run(p.name, func(t *testing.T) {
			if !p.installed(t.Context()) {
				t.Skipf("%s is not installed: run testdata/bench/peers/install FOLDER, and set %s=FOLDER", p.need, peersVariable)
			}
			r := p.start(t, addr)
			defer r.stop()
			for range 2 {
				got := r.pass()
				switch {
				case got.lost:
					t.Fatal("it has not seen the end")
				case p.floor:
					if got.count < size {
						t.Errorf("%d bytes of %d", got.count, size)
					}
					continue
				case got.count != events:
					t.Errorf("%d events of %d", got.count, events)
				}
				if n := r.wrong(final); n > 0 {
					t.Errorf("%d presentities are wrong", n)
				}
				if got.wall <= 0 || got.cpu <= 0 {
					t.Errorf("it took %v, and %v of the processor", got.wall, got.cpu)
				}
			}
			if mb := r.resident(); mb <= 0 {
				t.Errorf("%f MB are resident", mb)
			}
		})
	}
}

// ofRate is a peer that read so many events a second, three times.
func ofRate(name string, ours bool, rate float64) *compared {
	return &compared{
		peer: peer{name: name, ours: ours}, rates: samples{rate, rate - 1, rate + 1}, cpu: samples{1, 1, 1},
		counts: samples{100, 100, 100}, wrong: samples{0, 0, 0},
	}
}

func TestComparisonSaysWhetherTheTargetIsMet(t *testing.T) {
	results := []*compared{
		ofRate("bytes (floor)", false, 1e6), ofRate("ours: quick", true, 5000), ofRate("ours: slow", true, 4900), ofRate("a peer", false, 10), ofRate("the best (Go)", false, 1000),
	}
	text := told(results, 100)
	for _, want := range []string{"The best peer is the best (Go).", "- quick: 5 times, met; 500 times a peer\n", "- slow: 4.9 times, **not met**; 490 times a peer\n", "| none |"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if bars := chartOf(results, 100).Bars; len(bars) != 4 || !bars[0].Ours || bars[0].Max != 5001 {
		t.Errorf("the chart has %+v", bars)
	}
}

func TestComparisonShowsLosses(t *testing.T) {
	c := ofRate("a peer", false, 10)
	c.counts, c.wrong, c.lost = samples{100, 97}, samples{0, 2}, 1
	if got, want := c.loss(100), "up to 3 events, up to 2 presentities wrong, no end in 1 runs"; got != want {
		t.Errorf("loss = %q, want %q", got, want)
	}
	never := &compared{peer: peer{name: "never"}, lost: 3}
	if got := never.loss(100); got != "no end in 3 runs" {
		t.Errorf("loss = %q", got)
	}
	if text := told([]*compared{never}, 100); !strings.Contains(text, "no target") {
		t.Errorf("without a peer that came to the end it says\n%s", text)
	}
}

func TestGrowthPerUser(t *testing.T) {
	size := func(users int, mb float64) growth {
		return growth{Users: users, RSS: mb, Again: mb, AgainCPU: mb, Snapshot: mb, Wide: mb, Store: mb, Decision: 1, CPU: 1, Page: samples{1}}
	}
	text := linear([]growth{size(10, 10), size(100, 100), size(1000, 2000)})
	for _, want := range []string{"| 10, 100 ", "| 1.00 ", "| 100, 1,000 ", "| 2.11 ", "| 2.00 "} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if linear([]growth{size(10, 10)}) != "" {
		t.Error("one size is compared with nothing")
	}
}

func TestRecordingHasEventsOfOneSize(t *testing.T) {
	const events = 1000
	raw, final := recording(events, 30)
	if len(final) != 30 {
		t.Errorf("%d presentities", len(final))
	}
	frames := bytes.Split(raw, []byte("\r\n\r\n"))
	if len(frames) != events+2 { // the last event, and nothing behind it
		t.Fatalf("%d frames", len(frames))
	}
	for _, f := range frames[:events] {
		if len(f)+len("\r\n\r\n") != eventSize {
			t.Fatalf("%d bytes: %q", len(f)+4, f)
		}
	}
}
