package bench

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge/pkg/pbxsim"
)

// values are what phones set in turn; a message travels with each.
var values = []string{"away,lunch", "dnd,", "available,"}

const firstNumber = 100_000

func number(i int) string { return strconv.Itoa(firstNumber + i) }

// listener is the account of peers.
var listener = pbxsim.User{Name: "listener", Secret: "secret", Read: "system,call", Write: "call,reporting"}

// serveSim is a simulated Asterisk with so many extensions that obeys these lines:
//
//	rate R N    N events, R a second; 0: as fast as it can. A message is the time of its event in nanoseconds
//	burst R N   the same until somebody is cut off, and then one about lastPhone; answers how many came before
//	drop        closes every connection
//	sum         answers with a digest of what every extension shows
//	stamps      answers with NUMBER=MESSAGE of every extension
//	stats       answers how many sessions, sessions that were cut off, and logins there were
func serveSim(argument string) error {
	n, err := strconv.Atoi(argument)
	if err != nil {
		return err
	}
	debug.SetGCPercent(400) // it has to list millions within the time that its clients wait
	rows := make(map[string]string, n)
	for i := range n {
		rows[number(i)] = values[i%len(values)] + "," + strconv.Itoa(i)
	}
	sim := pbxsim.New(pbxsim.Config{AstDB: rows, Users: append(pbxsim.DefaultUsers(), listener)})
	if err := sim.Start(); err != nil {
		return err
	}
	fmt.Println(sim.Addr())
	p := phonesOf{sim: sim, extensions: n}
	in := bufio.NewReader(os.Stdin)
	for {
		line, err := in.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		answer, err := p.obey(line)
		if err != nil {
			return err
		}
		fmt.Println(answer)
	}
}

// phonesOf are all phones of a simulated Asterisk.
type phonesOf struct {
	sim        *pbxsim.PBX
	extensions int
	written    int // events so far
}

// obey does what a line says and returns the answer.
func (p *phonesOf) obey(line string) (any, error) {
	var rate, count int
	word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	if word == "rate" || word == "burst" {
		if _, err := fmt.Sscan(rest, &rate, &count); err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
	}
	switch word {
	case "rate":
		_, err := p.press(rate, count, func() bool { return false })
		return "done", err
	case "burst":
		before := p.sim.Stats().CutOff
		n, err := p.press(rate, count, func() bool { return p.sim.Stats().CutOff > before })
		return n, errors.Join(err, p.sim.Write("CustomPresence:"+lastPhone, "dnd,,the end"))
	case "drop":
		p.sim.Drop()
		return "done", nil
	case "sum":
		return uint64(simDigest(p.sim, p.extensions)), nil
	case "stamps":
		var text strings.Builder
		for i := range p.extensions {
			c, _ := p.sim.Get("CustomPresence:" + number(i))
			fmt.Fprintf(&text, "%s=%s ", number(i), c.Message)
		}
		return text.String(), nil
	case "stats":
		s := p.sim.Stats()
		return fmt.Sprint(s.Sessions, s.CutOff, s.Logins), nil
	}
	return nil, fmt.Errorf("no command: %q", line)
}

// press lets phones set presences, until it is enough.
func (p *phonesOf) press(rate, count int, enough func() bool) (n int, err error) {
	paced(rate, count, func() {}, func() bool {
		if n%100 == 0 && enough() {
			return false
		}
		k := p.written * 7919 % p.extensions // neighbours do not press together
		value := values[p.written%len(values)] + "," + strconv.FormatInt(time.Now().UnixNano(), 10)
		if err = p.sim.Write("CustomPresence:"+number(k), value); err != nil {
			return false
		}
		p.written++
		n++
		return true
	})
	return n, err
}

// paced calls do so many times, as long as it wants to, rate times a second; 0: as fast as
// it can. Before a pause, of a millisecond or so, it calls rest.
func paced(rate, count int, rest func(), do func() bool) {
	start := time.Now()
	for i := range count {
		if rate > 0 {
			if early := time.Until(start.Add(time.Duration(i) * time.Second / time.Duration(rate))); early > 0 {
				rest()
				time.Sleep(early)
			}
		}
		if !do() {
			return
		}
	}
}

// simStats is the answer to stats.
type simStats struct{ sessions, cutOff, logins int }

func statsOf(sim *child) (s simStats) {
	_, err := fmt.Sscan(sim.ask("stats"), &s.sessions, &s.cutOff, &s.logins)
	check(sim.tb, err)
	return s
}

func simDigest(sim *pbxsim.PBX, extensions int) (d digest) {
	for i := range extensions {
		c, _ := sim.Get("CustomPresence:" + number(i))
		d.add(number(i), c.State, c.Subtype, c.Message)
	}
	return d
}
