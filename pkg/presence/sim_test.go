package presence

import (
	"flag"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

var (
	seedFlag = flag.Uint64("seed", 0, "replay one seed of the simulation and print every step")
	soakFlag = flag.Uint64("soak", 0, "simulate so many seeds, from a random one on, instead of the first 2,000")
)

// TestSimulation runs one user, two PBXs, phones, a panel, a store and a bridge
// against each other, with faults, and compares the core with the oracle after
// every single step. Replay a seed with -seed N; run more
// with -soak N or PRESENCEBRIDGE_SOAK_SEEDS=N.
//
// Broken on purpose, one at a time, these made it fail (and the tables too, but for
// those marked *, which only a simulation finds):
//
//	I1  a refusal leaves its entry; Older writes what was said; Down keeps Asked *; an echo matches anywhere in the queue
//	I2  an echo does not fulfil its wish; there is no echo rule; a restart writes what is shown already
//	I3  Wake drops what was sent *; a new life confirms what the old one acknowledged; a snapshot beats a choice;
//	    a choice is written before its commit; an equal snapshot confirms what was never sent; an unsent write gives way like a refused one
//	I4  a snapshot moves the time of what is unchanged; a tie goes to the last in order; the time is not saved
//	I5  what is said does not count as a change *; the version does not rise
func TestSimulation(t *testing.T) {
	if *seedFlag != 0 {
		w := newWorld(*seedFlag)
		w.trace = func(s string) { t.Log(s) }
		report(t, w)
		return
	}
	first, seeds := uint64(1), uint64(2000)
	if env := os.Getenv("PRESENCEBRIDGE_SOAK_SEEDS"); env != "" {
		n, err := strconv.ParseUint(env, 10, 64)
		if err != nil {
			t.Fatalf("PRESENCEBRIDGE_SOAK_SEEDS: %v", err)
		}
		seeds = n
	}
	if *soakFlag > 0 {
		seeds = *soakFlag
	}
	if seeds != 2000 {
		first = rand.Uint64() // a soak looks where nobody has looked
	}
	var sum tally
	for n := range seeds {
		w := newWorld(first + n)
		report(t, w)
		sum.add(w.tally)
		if t.Failed() {
			return
		}
	}
	t.Logf("%d seeds: %+v", seeds, sum)
	sum.check(t, seeds)
}

func report(t *testing.T, w *world) {
	t.Helper()
	if fault := w.run(); fault != nil {
		t.Errorf("seed %d: %v\nreplay: go test ./pkg/presence -run TestSimulation -seed %d -v", w.seed, fault, w.seed)
	}
}

// tally counts what the seeds did, so that a simulation that no longer reaches
// something is noticed.
type tally struct {
	Steps, Echoes, Older, Reverted, Repeats, Said, Unmapped  int
	Refused, Unsent, Readings, Kills, Crashes, Cuts, Reloads int
	Expired, Holds, Choices, Writes, Counted                 int
	Overlaid, Rung, Outspoken                                int
	Broke, Texts, HeldBack, Delivered                        int
	Pressed, Switched, Flips, Again, Absent, Labels          int
}

func (a *tally) add(b tally) {
	a.Steps, a.Echoes, a.Older, a.Reverted = a.Steps+b.Steps, a.Echoes+b.Echoes, a.Older+b.Older, a.Reverted+b.Reverted
	a.Repeats, a.Said, a.Unmapped, a.Refused = a.Repeats+b.Repeats, a.Said+b.Said, a.Unmapped+b.Unmapped, a.Refused+b.Refused
	a.Unsent, a.Readings, a.Kills, a.Crashes = a.Unsent+b.Unsent, a.Readings+b.Readings, a.Kills+b.Kills, a.Crashes+b.Crashes
	a.Cuts, a.Reloads, a.Expired = a.Cuts+b.Cuts, a.Reloads+b.Reloads, a.Expired+b.Expired
	a.Holds, a.Choices, a.Writes, a.Counted = a.Holds+b.Holds, a.Choices+b.Choices, a.Writes+b.Writes, a.Counted+b.Counted
	a.Overlaid, a.Rung, a.Outspoken = a.Overlaid+b.Overlaid, a.Rung+b.Rung, a.Outspoken+b.Outspoken
	a.Broke, a.Texts = a.Broke+b.Broke, a.Texts+b.Texts
	a.HeldBack, a.Delivered = a.HeldBack+b.HeldBack, a.Delivered+b.Delivered
	a.Pressed, a.Switched, a.Flips = a.Pressed+b.Pressed, a.Switched+b.Switched, a.Flips+b.Flips
	a.Again, a.Absent, a.Labels = a.Again+b.Again, a.Absent+b.Absent, a.Labels+b.Labels
}

func (a *tally) check(t *testing.T, seeds uint64) {
	if seeds < 2000 {
		return
	}
	for name, n := range map[string]int{
		"echoes": a.Echoes, "older": a.Older, "reverted": a.Reverted, "repeats": a.Repeats, "said": a.Said, "unmapped": a.Unmapped,
		"refusals": a.Refused, "unsent": a.Unsent, "readings": a.Readings, "kills": a.Kills, "crashes": a.Crashes, "cuts": a.Cuts,
		"reloads": a.Reloads, "expiries": a.Expired, "holds": a.Holds, "counted repeats": a.Counted,
		"calls over a status": a.Overlaid, "rings over a status": a.Rung, "choices in a call": a.Outspoken,
		"phones' own return times": a.Broke, "return times on phones": a.Texts,
		"changes held back": a.HeldBack, "of them delivered": a.Delivered,
		"feature codes": a.Pressed, "opinions by a device": a.Switched, "writes to a device": a.Flips,
		"devices that were on while left alone": a.Again, "absences over a status": a.Absent, "labels": a.Labels,
	} {
		if n < 50 {
			t.Errorf("the simulation reached %d %s; it tests nothing there", n, name)
		}
	}
}
