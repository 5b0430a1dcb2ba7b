package bench

import (
	"bufio"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/pbxsim"
	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
	"github.com/presencebridge/presencebridge/testdata/bench/report"
)

// burstRates are what a peer is tried with from above, events/s, until it is not cut off;
// 0 is as fast as the PBX can.
var burstRates = []int{0, 28_000, 20_000, 14_000, 10_000, 7_000, 5_000, 3_500}

// bursting is a PBX whose phones all change at once. It cuts off whoever stalls for 100 ms,
// which is Asterisk's own writetimeout.
type bursting interface {
	at() (name, addr string)
	// enter waits until an account, which somebody enters by come, has logged in. cuts counts from here.
	enter(account string, come func())
	// burst makes so many events, R a second, and one about lastPhone behind them; where
	// it can it ends when somebody is cut off. It returns how many there were.
	burst(rate, count int) int
	cuts() int   // how often who entered has lost the connection
	sum() string // a digest of what every extension shows
}

// simulatedBurst is bursting of a child.
type simulatedBurst struct {
	*child
	entered simStats
}

func (p *simulatedBurst) at() (name, addr string) { return "simulated PBX", p.addr }

func (p *simulatedBurst) enter(_ string, come func()) {
	p.entered = statsOf(p.child)
	come()
	until(p.tb, "a login", func() bool {
		s := statsOf(p.child)
		p.entered.sessions = s.sessions
		return s.logins > p.entered.logins
	})
}

func (p *simulatedBurst) burst(rate, count int) (n int) {
	_, err := fmt.Sscan(p.ask("burst %d %d", rate, count), &n)
	check(p.tb, err)
	return n
}

func (p *simulatedBurst) cuts() int {
	s := statsOf(p.child)
	return max(s.cutOff-p.entered.cutOff, s.sessions-p.entered.sessions)
}

func (p *simulatedBurst) sum() string { return p.ask("sum") }

// realBurst is bursting of a real Asterisk, which another AMI client makes.
type realBurst struct {
	tb      testing.TB
	pbx     pbxtest.PBX
	cli     func(string) string
	account string
	entered string // when that session began, as Asterisk says
	last    map[string]string
	written int
}

// startReal starts an Asterisk whose extensions all show something.
func startReal(b *testing.B, f pbxtest.Factory) *realBurst {
	pbx := f.Start(b, pbxtest.Options{
		Users: append(pbxsim.DefaultUsers(), listener), WriteTimeout: 100 * time.Millisecond,
		Conf: pbxtest.Conf{Account: map[string]string{"phone": "writetimeout = 60000\n"}}, // which makes the burst
	})
	p := &realBurst{tb: b, pbx: pbx, cli: pbx.(interface{ CLI(string) string }).CLI, last: map[string]string{}}
	p.burst(0, recordedPhones)
	return p
}

func (p *realBurst) at() (name, addr string) { return "Asterisk " + p.pbx.Version(), p.pbx.Addr() }

// session is when the account's began; "": it has none.
func (p *realBurst) session() string {
	for line := range strings.Lines(p.cli("manager show connected")) {
		if f := strings.Fields(line); len(f) > 3 && f[0] == p.account {
			return f[2]
		}
	}
	return ""
}

func (p *realBurst) enter(account string, come func()) {
	p.account = account
	until(p.tb, "the one before to leave", func() bool { return p.session() == "" })
	come()
	until(p.tb, "a login", func() bool { p.entered = p.session(); return p.entered != "" })
}

func (p *realBurst) cuts() int {
	if p.session() != p.entered {
		return 1
	}
	return 0
}

func (p *realBurst) burst(rate, count int) int {
	nc, err := net.Dial("tcp", p.pbx.Addr())
	check(p.tb, err)
	defer func() { _ = nc.Close() }()
	out := bufio.NewWriter(nc)
	set := func(number, value string) {
		_, _ = fmt.Fprintf(out, "Action: Setvar\r\nVariable: PRESENCE_STATE(CustomPresence:%s)\r\nValue: %s\r\n\r\n", number, value)
	}
	_, _ = out.WriteString("Action: Login\r\nUsername: phone\r\nSecret: phone-secret\r\nEvents: off\r\n\r\n")
	var writer sync.WaitGroup
	writer.Go(func() {
		paced(rate, count, func() { _ = out.Flush() }, func() bool { // the reader below says what is wrong
			k := p.written * 7919 % recordedPhones
			value := fmt.Sprintf("%s,%d", values[p.written%len(values)], p.written)
			set(number(k), value)
			p.last[number(k)] = value
			p.written++
			return true
		})
		set(lastPhone, "dnd,,the end")
		_ = out.Flush()
	})
	defer writer.Wait()
	in := bufio.NewScanner(nc)
	answers := 0
	for answers < count+2 && in.Scan() {
		if in.Text() == "Response: Success" {
			answers++
		}
	}
	if answers < count+2 {
		p.tb.Fatalf("Asterisk answered %d of %d actions: %v", answers, count+2, in.Err())
	}
	return count
}

func (p *realBurst) sum() string {
	var d digest
	for number, value := range p.last {
		f := strings.SplitN(value, ",", 3)
		d.add(number, f[0], f[1], f[2])
	}
	return fmt.Sprint(uint64(d))
}

// endured is what a burst did to one who writes what it hears.
type endured struct {
	Reader   string  `json:"reader"`
	PBX      string  `json:"pbx"`
	Ours     bool    `json:"ours"`
	Most     float64 `json:"most_events_per_second"`     // as fast as the PBX could
	Cuts     int     `json:"disconnects_then"`           // by that
	Survived float64 `json:"survived_events_per_second"` // without a disconnect; 0: none of burstRates
	CutAt    float64 `json:"cut_off_events_per_second"`  // the slowest that cut it off; 0: none
}

// bursts are how the peers, who write each event in its handler, and ours, with a store
// that hangs, bear 100,000 events at once: on the simulated PBX, and where there are some on real ones.
func bursts(b *testing.B, all []peer) (text string, results []endured) {
	events := numberOf(b, "BURST", stallBurst)
	sim := func(extensions int) bursting {
		return &simulatedBurst{child: startChild(b, fmt.Sprint("sim ", extensions))}
	}
	results = append(results, enduredByOurs(b, sim(perUser*stallUsers), stallUsers, events))
	pbxs := []bursting{sim(recordedPhones)}
	for _, f := range pbxtest.Reals(b) {
		pbx := startReal(b, f)
		pbxs = append(pbxs, pbx)
		results = append(results, enduredByOurs(b, pbx, recordedPhones/perUser, events))
	}
	for _, pbx := range pbxs {
		for _, p := range all {
			if p.writesHere(b.Context()) {
				results = append(results, p.knee(b, pbx, events))
			}
		}
	}
	return burstsTold(results, events), results
}

func enduredByOurs(b *testing.B, pbx bursting, users, events int) endured {
	s := stall(b, pbx, users, events)
	e := endured{Reader: "ours: bridge, its store hangs for 60 s", Ours: true, Most: s.rate, Cuts: s.cuts}
	e.PBX, _ = pbx.at()
	if s.cuts == 0 {
		e.Survived = s.rate
	} else {
		e.CutAt = s.rate
	}
	return e
}

// knee tries a peer with ever slower bursts until it survives one.
func (p peer) knee(b *testing.B, pbx bursting, events int) endured {
	e := endured{Reader: p.name + ", a transaction an event"}
	e.PBX, _ = pbx.at()
	for i, rate := range burstRates {
		reached, cuts := p.endure(b, pbx, rate, events)
		if i == 0 {
			e.Most, e.Cuts = reached, cuts
		}
		b.Logf("%s, %s: %.0f events/s, %d disconnects", e.PBX, e.Reader, reached, cuts)
		if cuts == 0 {
			e.Survived = reached
			break
		}
		e.CutAt = reached
	}
	return e
}

// endure lets a peer that has just connected have one burst.
func (p peer) endure(b testing.TB, pbx bursting, rate, events int) (reached float64, cuts int) {
	_, addr := pbx.at()
	r := p.start(b, addr, "PEER_DB="+filepath.Join(b.TempDir(), "peer.db"))
	last := make(chan string, 1)
	defer func() {
		_ = r.cmd.Process.Kill() // who was cut off waits for more
		r.stop()
	}()
	pbx.enter(listener.Name, func() {
		_, err := r.in.Write([]byte("go\n"))
		check(b, err)
	})
	go func() { // ends with the process
		line, _ := r.out.ReadString('\n') // that it has come to the end; "": it is no more
		last <- strings.TrimSpace(line)
	}()
	start := time.Now()
	n := pbx.burst(rate, events)
	reached = float64(n) / time.Since(start).Seconds()
	said, gone := "", false
	within(b, peerLimit, p.name+" to have everything or to be cut off", func() bool {
		over := gone // and what it said before that has had time to come
		gone = pbx.cuts() > 0
		select {
		case said = <-last:
			return true
		case <-time.After(200 * time.Millisecond):
			return over
		}
	})
	if had, atEnd := strings.CutPrefix(said, "end "); atEnd { // it has left by itself
		if had != fmt.Sprint(n) { // amigo loses what comes right behind the answer to its login (ami.go:305)
			b.Logf("%s had %s of %d events", p.name, had, n)
		}
		return reached, 0
	}
	if cuts = pbx.cuts(); cuts == 0 {
		b.Errorf("%s was not cut off, and says %q at the end. %s", p.name, said, r.said.String())
	}
	return reached, cuts
}

// burstsTold is the table, and whether the target is met.
func burstsTold(results []endured, events int) string {
	or := func(rate float64, otherwise string) string {
		if rate == 0 {
			return otherwise
		}
		return short(rate)
	}
	t := report.Table{Head: []string{"who writes", "PBX", "events/s at most", "disconnects by that", "survives, events/s", "cut off at, events/s"}}
	targets := ""
	for _, e := range results {
		t.Rows = append(t.Rows, []string{e.Reader, e.PBX, short(e.Most), fmt.Sprint(e.Cuts), or(e.Survived, "none that was tried"), or(e.CutAt, "none")})
		if e.Ours {
			targets += fmt.Sprintf("- %s, as fast as it can: %d disconnects, %s\n", e.PBX, e.Cuts, verdict(e.Cuts == 0))
		}
	}
	return fmt.Sprintf("\n### A burst of %s events, and 100 ms until a reader that stalls is cut off\n\n", thousands(events)) +
		"That is Asterisk's own `writetimeout`. The store of ours hangs for 60 s meanwhile; those of the peers work. A peer is tried with " +
		"slower bursts until it survives one.\n\n" + t.String() + "\nThe target of ours is no disconnect:\n\n" + targets
}
