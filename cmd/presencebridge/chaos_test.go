package main

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

// What make chaos sets; nothing of it is set in make test.
const (
	chaosFor   = "PRESENCEBRIDGE_TEST_CHAOS"       // how long, such as 10m; "": a few faults
	chaosSeed  = "PRESENCEBRIDGE_TEST_CHAOS_SEED"  // of the schedule; "": 1
	chaosUsers = "PRESENCEBRIDGE_TEST_CHAOS_USERS" // "": 60
	chaosKills = "PRESENCEBRIDGE_TEST_CHAOS_KILLS" // "": 10
	chaosJSON  = "PRESENCEBRIDGE_TEST_CHAOS_JSON"  // a file for the report; "": none
)

// wished is a number of the environment.
func wished(t *testing.T, variable string, standard int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return standard
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s is %q; want a number from 1", variable, text)
	}
	return n
}

// healing is how long the world may take to agree when a fault is over.
const healing = 90 * time.Second

// Faults on a real Asterisk, while phones and the API change statuses. After each,
// bridge, store, Asterisk and what people did must agree.
func TestFaults(t *testing.T) {
	long, lasts := os.Getenv(chaosFor) != "", 0*time.Second
	if long {
		var err error
		if lasts, err = time.ParseDuration(os.Getenv(chaosFor)); err != nil {
			t.Fatal(err)
		}
	}
	reals := pbxtest.Reals(t)
	if len(reals) == 0 {
		t.Skip("needs a real Asterisk, which make test installs")
	}
	seed := wished(t, chaosSeed, 1)
	t.Logf("seed %d, Asterisk %s; again with SEED=%[1]d make chaos", seed, reals[0].Name)
	for _, kind := range []struct {
		driver string
		faults []trouble
		few    int // of them in make test
	}{{"sqlite", slices.Concat(everywhere, ofSQLite), 12}, {"postgres", slices.Concat(ofPostgres, everywhere), 4}} {
		t.Run(kind.driver, func(t *testing.T) {
			if !long {
				t.Parallel() // they wait, mostly
			}
			rng := rand.New(rand.NewPCG(uint64(seed), uint64(len(kind.faults))))
			w := newWorld(t, reals[0], kind.driver, uint64(seed), wished(t, chaosUsers, 60))
			s := &schedule{world: w, rng: rng, faults: kind.faults, report: report{Seed: seed, Store: kind.driver, Asterisk: w.pbx.Version(), Users: len(w.people.people)}}
			if long {
				s.run(func(n int, begun time.Time) bool { return n < len(kind.faults) || time.Since(begun) < lasts/2 }, false)
			} else {
				s.run(func(n int, _ time.Time) bool { return n < kind.few }, true)
			}
			s.end(map[bool]time.Duration{true: 30 * time.Second, false: 3 * time.Second}[long])
		})
	}
}

// schedule is a run of faults in a world.
type schedule struct {
	*world
	rng    *rand.Rand
	faults []trouble
	report report
}

// run lets one fault happen after the other, each of them once before any happens again.
func (s *schedule) run(more func(n int, begun time.Time) bool, short bool) {
	s.t.Helper()
	wake := s.people.rest()
	if _, err := s.agree(healing); err != nil {
		s.t.Fatalf("before any fault: %v", err)
	}
	s.naive.knows(s.people.people)
	wake()
	ctx, cancel := context.WithCancel(context.Background())
	defer s.people.tasks.Wait()
	defer cancel()
	s.people.run(ctx)
	var order []trouble
	begun := time.Now()
	for n := 0; more(n, begun); n++ {
		if len(order) == 0 {
			order = s.shuffled(n > 0, short)
		}
		s.suffer(n, order[0])
		order = order[1:]
	}
}

func (s *schedule) shuffled(again, short bool) (order []trouble) {
	for _, f := range s.faults {
		if (!again || !f.once) && (!short || !f.long) {
			order = append(order, f)
		}
	}
	s.rng.Shuffle(len(order), func(i, k int) { order[i], order[k] = order[k], order[i] })
	return order
}

// suffer lets a fault happen and sees that all is well again behind it.
func (s *schedule) suffer(n int, f trouble) {
	s.t.Helper()
	// Work as usual, for longer than Asterisk waits with a commit: what phones set while
	// no bridge was there, and a kill forgot, would be two crashes at once.
	time.Sleep(between(s.rng, 1200, 1800))
	begun := time.Now()
	remark := f.do(s.world, s.rng)
	healed := time.Now()
	wake := s.people.rest()
	defer wake()
	when, err := s.agree(healing)
	if err != nil {
		s.t.Fatalf("fault %d of seed %d, %q: %s later: %v\n%s", n+1, s.report.Seed, f.name, healing, err, s.explained())
	}
	wrong, of, err := s.naive.wrong(s.people.people)
	if err != nil {
		s.t.Fatal(err)
	}
	r := outcome{Fault: f.name, Lasted: seconds(healed.Sub(begun)), Agreed: seconds(when.Sub(healed)), Naive: wrong, Of: of, Remark: remark}
	s.report.Rows = append(s.report.Rows, r)
	s.t.Logf("%2d %s", n+1, r)
}

// end counts who is wrong a while after the last fault, and looks at what is true of
// the whole run.
func (s *schedule) end(after time.Duration) {
	s.t.Helper()
	wake := s.people.rest()
	defer wake()
	time.Sleep(after)
	if _, err := s.look(); err != nil {
		s.report.Ours++
		s.t.Errorf("%s after the last fault: %v", after, err)
	}
	var err error
	if s.report.Naive, s.report.Of, err = s.naive.wrong(s.people.people); err != nil {
		s.t.Fatal(err)
	}
	s.report.After = after.Seconds()
	s.report.Accepted, s.report.Doubted = s.people.accepted, s.people.doubted
	s.report.Refused = s.pbx.Refused("bridge")
	if s.report.Refused > 3 {
		s.t.Errorf("%d logins were refused", s.report.Refused)
	}
	s.writes()
	s.report.print(s.t)
}

// writes counts what was written to the phones of those who only choose, where only
// the bridges write: a choice never comes after a later one.
func (s *schedule) writes() {
	s.t.Helper()
	s.people.phones.CatchUp()
	last := make(map[string]string)
	for _, p := range s.people.people {
		if p.habit == chooses {
			last[at(p.phones[0])], last[at(p.phones[1])] = "", ""
		}
	}
	for _, c := range s.people.phones.Seen() {
		before, ok := last[c.Presentity]
		if !ok {
			continue
		}
		s.report.Writes++
		if c.Message < before {
			s.t.Errorf("%s was written over by %q after %q", c.Presentity, c.Message, before)
		}
		last[c.Presentity] = c.Message
	}
}

// The bridge dies again and again, while phones and the API change statuses: no
// accepted choice is lost and the database stays whole.
func TestKillsUnderLoad(t *testing.T) {
	kills, seed := wished(t, chaosKills, 10), wished(t, chaosSeed, 1)
	rng := rand.New(rand.NewPCG(uint64(seed), 2))
	pbx := pbxtest.PBX(pbxtest.NewSimulated(t, pbxtest.Options{}))
	r := configure(t, "", pbx)
	l := newLoad(uint64(seed), wished(t, chaosUsers, 60), pbxtest.Observe(t, pbx), r)
	w := &world{t: t, bridges: []*running{r}, people: l, seen: followFeed(t, l.clients)}
	r.write("mapping.yaml", l.mapping())
	r.quieten()
	r.startReady()
	if err := l.begin(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.run(ctx)
	for range kills {
		time.Sleep(between(rng, 5, 400))
		r.kill()
		l.died()
		r.launch()
		if rng.IntN(2) == 0 { // else it may die before it answers
			pbxtest.Eventually(t, patience, "the bridge answers", func() bool { return r.status("/healthz") != 0 })
		}
	}
	time.Sleep(time.Second) // a last one at work
	cancel()
	l.tasks.Wait()
	if _, err := w.agree(healing); err != nil {
		t.Errorf("after %d kills of seed %d: %v", kills, seed, err)
	}
	t.Logf("%d kills: %d choices and %d changes by phone were accepted, %d are in doubt", kills, l.accepted[0], l.accepted[1], l.doubted)
	r.stop()
	if got := integrity(t, filepath.Join(r.dir, "presencebridge.db")); got != "ok" {
		t.Errorf("integrity_check says %q", got)
	}
}

func integrity(t *testing.T, file string) (says string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+file+"?mode=ro")
	if err == nil {
		err = db.QueryRow(`PRAGMA integrity_check`).Scan(&says)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return says
}

func seconds(d time.Duration) float64 {
	f, err := strconv.ParseFloat(fmt.Sprintf("%.2f", d.Seconds()), 64)
	if err != nil {
		panic(err) // cannot be
	}
	return f
}
