package bench

import (
	"bytes"
	"maps"
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

// TestEveryPanelShowsEveryChange lets every panel that is installed show a few changes
// to three browsers, as the comparison does with many.
func TestEveryPanelShowsEveryChange(t *testing.T) {
	sim, program := startChild(t, "sim 40"), buildProgram(t)
	l := load{users: 20, browsers: 3, rate: 100, seconds: 1}
	for _, p := range panels() {
		t.Run(p.name, func(t *testing.T) {
			if !p.ours && !p.installed(t.Context()) { // it takes Node 20 and a compiler, and is no part of ours
				t.Logf("left out: %s is not installed: run testdata/bench/peers/install FOLDER, and set %s=FOLDER", p.need, peersVariable)
				return
			}
			s := p.bear(t, program, sim, l)
			if s.wrongShown+s.wrongStored+s.cutOffs != 0 {
				t.Errorf("wrong at browsers %d, in the store %d; disconnects %d", s.wrongShown, s.wrongStored, s.cutOffs)
			}
			if s.count == 0 || s.messages < s.count || s.shown50 <= 0 || s.saved50 < s.shown50 || s.cpu <= 0 {
				t.Errorf("they saw %+v", s)
			}
		})
	}
}

// TestAPeerSurvivesAFewEvents lets every peer that writes have a burst that nobody is cut off by.
func TestAPeerSurvivesAFewEvents(t *testing.T) {
	pbx := &simulatedBurst{child: startChild(t, "sim 40")}
	for _, p := range peers() {
		if !p.writesHere(t.Context()) || !p.installed(t.Context()) {
			continue
		}
		if reached, cuts := p.endure(t, pbx, 0, 200); reached <= 0 || cuts != 0 {
			t.Errorf("%s: %.0f events/s, %d disconnects", p.name, reached, cuts)
		}
	}
}

// TestABurstEndsWhenSomebodyIsCutOff has a client that does not read.
func TestABurstEndsWhenSomebodyIsCutOff(t *testing.T) {
	const most = 1_000_000
	pbx := &simulatedBurst{child: startChild(t, "sim 40")}
	pbx.enter(listener.Name, func() {
		nc, err := listenRaw(pbx.addr)
		check(t, err)
		t.Cleanup(func() { _ = nc.Close() })
	})
	if n := pbx.burst(0, most); n == most || pbx.cuts() != 1 {
		t.Errorf("%d events and %d disconnects; want one before the end", n, pbx.cuts())
	}
}

func TestTargetsOfPanels(t *testing.T) {
	view := func(p panel, shown, saved float64) *viewed {
		return &viewed{panel: p, Panel: p.name, Ours: p.ours, Shown99: samples{shown}, Saved50: samples{saved / 10}, Saved99: samples{saved}, CutOffs: samples{0, 2}}
	}
	floor, ours := panel{peer{name: "floor", floor: true}}, panel{peer{name: "ours", ours: true}}
	all := []*viewed{view(floor, 1, 1), view(ours, 9, 20), view(panel{peer{name: "theirs"}}, 26, 26)}
	for _, tc := range []struct{ text, want string }{
		{wireTargets(all, 10), "- shown, p99: 9 ms, target 10, met\n- committed and shown, p99: 20 ms, target 10, **not met**\n" +
			"- committed and shown, p50, against twice the floor: 2 ms, target 0.2, **not met**\n- theirs: 26 ms committed and shown, p99; lost: cut off 2 times\n"},
		{manyTargets(all), "- shown, p99: 9 ms, target 100, met\n- theirs takes 2.89 times as long, target 3, **not met**\n"},
		{manyTargets(all[:2]), "- shown, p99: 9 ms, target 100, met\n"},
		{manyTargets(all[:1]), ""},
	} {
		if tc.text != tc.want {
			t.Errorf("got\n%s\nwant\n%s", tc.text, tc.want)
		}
	}
}

func TestTargetOfABurst(t *testing.T) {
	text := burstsTold([]endured{
		{Reader: "ours", PBX: "simulated PBX", Ours: true, Most: 200_000, Survived: 200_000},
		{Reader: "ours", PBX: "Asterisk 22", Ours: true, Most: 20_000, Cuts: 1, CutAt: 20_000},
		{Reader: "their panel", PBX: "simulated PBX", Most: 150_000, Cuts: 3, Survived: 5000, CutAt: 7000},
	}, 100_000)
	for _, want := range []string{
		"A burst of 100,000 events", "- simulated PBX, as fast as it can: 0 disconnects, met\n", "- Asterisk 22, as fast as it can: 1 disconnects, **not met**\n",
		"| none that was tried | 20 k ", "| their panel | simulated PBX | 150 k            | 3                   | 5000 ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestStampOfWhatABrowserIsSent(t *testing.T) {
	for text, want := range map[string][2]int64{
		`data: {"id":"user-000012","saved":true,"status":{"message":"1700000000000000000"}}`: {12, 1_700_000_000_000_000_000},
		`42["presence",{"id":"CustomPresence:100007","message":"1700000000000000001"}]`:      {100_007, 1_700_000_000_000_000_001},
		`data: {"id":"user-000012","status":{"message":"12"}}`:                               {0, 0},
		`event: beat`: {0, 0},
	} {
		if id, stamp := stampIn([]byte(text)); int64(id) != want[0] || stamp != want[1] {
			t.Errorf("%s: %d, %d", text, id, stamp)
		}
	}
}

func TestNewestIsOfTheBrowserThatHasTheOldest(t *testing.T) {
	bs := &browsers{all: []*browser{
		{shown: map[int]int64{1: 10, 2: 20, 3: 30}},
		{shown: map[int]int64{1: 11, 2: 19}},
	}}
	got := stampsOf(bs.newest())
	if want := map[int]int64{1: 10, 2: 19}; !maps.Equal(got, want) {
		t.Errorf("newest = %v, want %v", got, want)
	}
	if n := differences(map[int]int64{1: 10, 2: 20, 3: 30}, got); n != 2 {
		t.Errorf("%d differences", n)
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
		return growth{Users: users, RSS: mb, Again: mb, AgainCPU: mb, Snapshot: mb, Finding: mb, Wide: mb, Store: mb, Decision: 1, CPU: 1, Page: samples{1}}
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
