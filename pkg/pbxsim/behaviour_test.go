package pbxsim_test

import (
	"strings"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/pbxsim"
	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

func TestAKilledAsteriskForgetsAtMostWhatWasNotCommitted(t *testing.T) {
	pbxtest.Run(t, quick, func(t *testing.T, p pbxtest.PBX) {
		c := login(t, p.Addr(), p.User("phone"))
		c.set("CustomPresence:1", "away,committed")
		p.Commit()
		c.set("CustomPresence:1", "dnd,acknowledged")
		c.set("CustomPresence:2", "dnd,acknowledged")
		p.Kill()
		p.Start()
		c = login(t, p.Addr(), p.User("phone"))
		first, second := c.get("CustomPresence:1,subtype"), c.get("CustomPresence:2,subtype")
		lost := first == "committed" && second == ""
		kept := first == "acknowledged" && (second == "acknowledged" || second == "")
		switch {
		case p.Name() == "sim" && !lost:
			t.Errorf("the simulation must lose both writes; it has %q and %q", first, second)
		case !lost && !kept:
			t.Errorf("after the kill: %q and %q; want what was committed or what came after, in order", first, second)
		}
	})
}

func TestACleanStopKeepsEverything(t *testing.T) {
	pbxtest.Run(t, quick, func(t *testing.T, p pbxtest.PBX) {
		c := login(t, p.Addr(), p.User("phone"))
		c.set("CustomPresence:1", "dnd,acknowledged")
		p.Restart()
		if got := login(t, p.Addr(), p.User("phone")).get("CustomPresence:1,subtype"); got != "acknowledged" {
			t.Errorf("after the restart %q, want %q", got, "acknowledged")
		}
	})
}

func TestEachLifeHasItsOwnStartupTime(t *testing.T) {
	pbxtest.Run(t, quick, func(t *testing.T, p pbxtest.PBX) {
		startup := func() string {
			_, rest, _ := strings.Cut(login(t, p.Addr(), p.User("phone")).ask("Action: CoreStatus"), "CoreStartupDate: ")
			date, _, _ := strings.Cut(rest, "\r\nCoreReloadDate")
			return date
		}
		before := startup()
		if again := startup(); again != before {
			t.Errorf("one life with two startups: %q, %q", before, again)
		}
		if p.Name() != "sim" { // the real one tells whole seconds and restarts faster
			p.Stop()
			pbxtest.Eventually(t, patience, "the second passes", func() bool {
				return !strings.Contains(before, time.Now().UTC().Format(time.TimeOnly))
			})
			p.Start()
		} else {
			p.Restart()
		}
		if after := startup(); after == before {
			t.Errorf("two lives with one startup: %q", after)
		}
	})
}

func TestAWrongLoginIsRefusedAfterASecond(t *testing.T) {
	pbxtest.Run(t, pbxtest.Options{}, func(t *testing.T, p pbxtest.PBX) {
		c := dial(t, p.Addr())
		c.banner()
		began := time.Now()
		got := c.ask("Action: Login", "Username: phone", "Secret: wrong")
		if took := time.Since(began); took < time.Second || !has(got, "Message: Authentication failed") {
			t.Errorf("after %s %q; want a refusal, and not before a second", took, got)
		}
		c.ended()
	})
}

func TestPresenceOfManyIsListedWholeAndInOrder(t *testing.T) {
	const n = 2000
	want := make(map[string][]string) // by PBX name; all must agree
	pbxtest.Run(t, quick, func(t *testing.T, p pbxtest.PBX) {
		c := login(t, p.Addr(), p.User("phone"))
		for i := range n {
			c.set("CustomPresence:"+number(i), "away")
		}
		got := c.list()
		if len(got) != n {
			t.Fatalf("%d presentities listed, want %d", len(got), n)
		}
		want[p.Name()] = got
		if sim := strings.Join(want["sim"], " "); strings.Join(got, " ") != sim {
			t.Errorf("the order differs from the simulation's")
		}
	})
}

func number(i int) string { return "1" + strings.Repeat("0", i%3) + string(rune('a'+i%26)) + itoa(i) }

func TestASlowReaderIsCutOffInMidLine(t *testing.T) {
	o := quick
	o.WriteTimeout = 100 * time.Millisecond
	p := pbxtest.NewSimulated(t, o)
	slow := login(t, p.Addr(), p.User("phone"))
	filler := strings.Repeat("x", 255)
	pbxtest.Eventually(t, 2*patience, "the slow reader is cut off", func() bool {
		for i := range 2000 {
			if err := p.Sim.Set("CustomPresence:"+itoa(i), "away", filler, filler); err != nil {
				t.Fatal(err)
			}
		}
		return p.Sim.Stats().CutOff > 0
	})
	var last []byte
	for {
		b := make([]byte, 1<<16)
		n, err := slow.r.Read(b)
		if n > 0 {
			last = b[:n]
		}
		if err != nil {
			break
		}
	}
	if strings.HasSuffix(string(last), "\r\n\r\n") {
		t.Error("the stream ends with a whole frame; a partial write leaves half of one")
	}
}

func TestTheSimulationIsFasterThanAnyAsterisk(t *testing.T) {
	const n = 100_000
	rows := make(map[string]string, n)
	for i := range n {
		rows[itoa(i)] = pbxsim.Value("away", "lunch", "Back at 2")
	}
	o := quick
	o.Sim.AstDB = rows
	o.WriteTimeout = patience
	p := pbxtest.NewSimulated(t, o)
	c := login(t, p.Addr(), p.User("phone"))
	began := time.Now()
	if got := len(c.list()); got != n {
		t.Fatalf("%d presentities listed, want %d", got, n)
	}
	listed := time.Since(began)
	began = time.Now()
	for i := range n {
		if err := p.Sim.Set("CustomPresence:"+itoa(i), "dnd", "", "x"); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("list of %d: %s, %.0f events/s (told, not judged: the machine is shared)", n, listed, n/time.Since(began).Seconds())
	c.fence()
}
