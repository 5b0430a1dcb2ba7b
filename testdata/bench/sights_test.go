package bench

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/presencebridge/presencebridge/testdata/bench/report"
)

// viewed are the figures of one panel under one load, a sample for each run.
type viewed struct {
	panel panel

	Panel       string  `json:"panel"`
	Ours        bool    `json:"ours"`
	Rate        int     `json:"events_per_second"`
	Browsers    int     `json:"browsers"`
	Shown50     samples `json:"shown_ms_p50"`
	Shown99     samples `json:"shown_ms_p99"`
	Saved50     samples `json:"committed_and_shown_ms_p50"`
	Saved99     samples `json:"committed_and_shown_ms_p99"`
	Never       samples `json:"share_never_shown"`
	WrongShown  samples `json:"wrong_at_browsers"`
	WrongStored samples `json:"wrong_in_store"`
	CutOffs     samples `json:"disconnects"`
	CPU         samples `json:"cpu_microseconds_per_event"`
}

// watched lets all panels bear a load, in turn forth and back.
func watched(b *testing.B, program string, l load, runs int) (all []*viewed) {
	for _, p := range panels() {
		if !p.ours && !p.installed(b.Context()) {
			b.Logf("without %s: %s is not installed", p.name, p.need)
			continue
		}
		all = append(all, &viewed{panel: p, Panel: p.name, Ours: p.ours, Rate: l.rate, Browsers: l.browsers})
	}
	sim := startChild(b, fmt.Sprint("sim ", perUser*l.users))
	for run := range runs {
		turn := slices.Clone(all)
		if run%2 == 1 {
			slices.Reverse(turn)
		}
		for _, v := range turn {
			v.add(v.panel.bear(b, program, sim, l), l)
			if v.Ours && v.WrongShown.quantile(1)+v.WrongStored.quantile(1)+v.CutOffs.quantile(1) > 0 {
				b.Errorf("%s: wrong at browsers %s, in the store %s; disconnects %s", v.Panel, v.WrongShown, v.WrongStored, v.CutOffs)
			}
		}
	}
	return all
}

func (v *viewed) add(s sight, l load) {
	for figure, value := range map[*samples]float64{
		&v.Shown50: s.shown50, &v.Shown99: s.shown99, &v.Saved50: s.saved50, &v.Saved99: s.saved99,
		&v.Never: 1 - float64(s.count)/float64(l.rate*l.seconds*l.browsers), &v.WrongShown: float64(s.wrongShown),
		&v.WrongStored: float64(s.wrongStored), &v.CutOffs: float64(s.cutOffs), &v.CPU: s.cpu,
	} {
		if !math.IsNaN(value) { // of changes that nobody was shown
			*figure = append(*figure, value)
		}
	}
}

// loss says what a panel lost, at the worst of its runs.
func (v *viewed) loss() string {
	var said []string
	for _, of := range []struct {
		s    samples
		what string
	}{{v.CutOffs, "cut off %.0f times"}, {v.WrongShown, "%.0f wrong at a browser"}, {v.WrongStored, "%.0f wrong in the store"}} {
		if n := of.s.quantile(1); n > 0 {
			said = append(said, fmt.Sprintf(of.what, n))
		}
	}
	if said == nil {
		return "none"
	}
	return strings.Join(said, ", ")
}

// watchedTable is one load's.
func watchedTable(all []*viewed) string {
	t := report.Table{Head: []string{"panel", "shown p50, ms", "p99", "committed and shown p50, ms", "p99", "changes never shown", "lost in the end", "CPU µs/event"}}
	for _, v := range all {
		t.Rows = append(t.Rows, []string{v.Panel, v.Shown50.String(), v.Shown99.String(), v.Saved50.String(), v.Saved99.String(),
			fmt.Sprintf("%.1f %%", 100*v.Never.quantile(0.5)), v.loss(), v.CPU.String()})
	}
	return t.String()
}

// threeOf are the floor, ours and the peer; nil: it was not measured.
func threeOf(all []*viewed) (floor, ours, other *viewed) {
	for _, v := range all {
		switch {
		case v.Ours:
			ours = v
		case v.panel.floor:
			floor = v
		default:
			other = v
		}
	}
	return floor, ours, other
}

// onWire is wire to commit to browser: a table for each rate, and whether the targets are met.
func onWire(b *testing.B, program string, runs int) (string, []*viewed) {
	fsync := fsyncFloor(b, b.TempDir())
	text := fmt.Sprintf("\n### From the wire to the disk to a browser (%d s, %d runs)\n\n"+
		"What phones do is committed (`synchronous=FULL`, on the disk, whose fsync of 4 kB takes %s ms, p99 %s) and shown to one browser over TCP: ours to that of users with two extensions, over "+
		"server-sent events, when it is decided and again when it is committed; the others to that of presentities, when it is committed. Times are of changes that were shown; what a newer one overtook, "+
		"or nobody heard of, was not. What a browser or the store does not have when nothing has come for %.0f s is lost.\n",
		wireSeconds, runs, short(fsync.quantile(0.5)), short(fsync.quantile(0.99)), panelLimit.Seconds())
	var all []*viewed
	for _, at := range []struct {
		rate int
		p99  float64 // the target, ms
	}{{1000, 10}, {20_000, 25}} {
		seen := watched(b, program, load{users: wireUsers(at.rate), browsers: 1, rate: at.rate, seconds: wireSeconds}, runs)
		all = append(all, seen...)
		text += fmt.Sprintf("\n%s events a second, %s users:\n\n%s\n%s", thousands(at.rate), thousands(wireUsers(at.rate)), watchedTable(seen), wireTargets(seen, at.p99))
	}
	return text, all
}

// wireTargets says whether they are met; p99 is in ms.
func wireTargets(all []*viewed, p99 float64) (text string) {
	floor, ours, other := threeOf(all)
	if ours == nil {
		return ""
	}
	line := func(what string, got, target float64) {
		text += fmt.Sprintf("- %s: %s ms, target %s, %s\n", what, short(got), short(target), verdict(got <= target))
	}
	line("shown, p99", ours.Shown99.quantile(0.5), p99)
	line("committed and shown, p99", ours.Saved99.quantile(0.5), p99)
	if floor != nil {
		line("committed and shown, p50, against twice the floor", ours.Saved50.quantile(0.5), 2*floor.Saved50.quantile(0.5))
	}
	if other != nil {
		text += fmt.Sprintf("- %s: %s ms committed and shown, p99; lost: %s\n", other.Panel, short(other.Saved99.quantile(0.5)), other.loss())
	}
	return text
}

const manySeconds = 6

// toMany is one panel and a thousand browsers: the table, and whether the targets are met.
func toMany(b *testing.B, program string, runs int) (string, []*viewed) {
	all := watched(b, program, load{users: feedUsers, browsers: feedClients, rate: feedRate, seconds: manySeconds}, runs)
	text := fmt.Sprintf("\n### The same with %s browsers (%s users, %d changes a second for %d s, %d runs)\n\n%s\n",
		thousands(feedClients), thousands(feedUsers), feedRate, manySeconds, runs, watchedTable(all))
	return text + manyTargets(all), all
}

func manyTargets(all []*viewed) string {
	_, ours, other := threeOf(all)
	if ours == nil {
		return ""
	}
	p99 := ours.Shown99.quantile(0.5)
	text := fmt.Sprintf("- shown, p99: %s ms, target 100, %s\n", short(p99), verdict(p99 <= 100))
	if other != nil {
		ratio := other.Shown99.quantile(0.5) / p99
		text += fmt.Sprintf("- %s takes %s times as long, target 3, %s\n", other.Panel, short(ratio), verdict(ratio >= 3))
	}
	return text
}

// verdict says whether a target is met.
func verdict(met bool) string {
	if met {
		return "met"
	}
	return "**not met**"
}
