package bridge

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

func TestAFeatureCodeAndThePresenceDNDAreOneTruth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "alice 1001 1002")
		w.main.devices = map[string]bool{}
		w.start()
		code := func(number string, on bool) { w.main.code(number, on); synctest.Wait() }
		w.press("1001", lunch)
		code("1001", true)
		w.want("alice", "dnd")
		w.wantWrites("1001 dnd")
		code("1001", false)
		w.want("alice", "lunch")
		w.wantWrites("1001 away/lunch")

		w.choose("alice", "dnd")
		w.wantWrites("1001 dnd", "1001 device true", "1002 dnd", "1002 device true")
		w.press("1002", available)
		w.want("alice", "available")
		w.wantWrites("1002 device false")

		w.downFor(time.Minute, func() { w.main.code("1001", false) })
		w.want("alice", "lunch")
		w.wantWrites("1001 away/lunch")
		w.downFor(time.Minute, func() { w.main.code("1002", true) })
		w.want("alice", "dnd")
		w.wantWrites("1002 dnd")
		w.restart()
		w.press("1002", meeting)
		w.wantWrites("1002 device false")
		time.Sleep(time.Hour)
		w.wantWrites()
		if err := w.stop(); err != nil {
			t.Error(err)
		}
	})
}

// I1 of devices. Catches: a mailbox that loses what a device shall say (On in put), a
// list or an event that does not reach the core (DNDs and On in report), a refused
// write that is never given up (Ask in dndAnswered).
func TestAfterAnyTroubleDevicesAndPresencesAgree(t *testing.T) {
	for seed := range uint64(100) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "alice 1001 1002", "bob 1003 branch/2003")
				for _, p := range w.pbxs {
					p.devices = map[string]bool{}
				}
				w.start()
				r := rand.New(rand.NewPCG(seed, 8))
				for range 60 {
					w.trouble(r)
					if r.IntN(2) == 0 {
						number := []string{"1001", "1002", "1003", "2003"}[r.IntN(4)]
						w.pbxs[r.IntN(2)].code(number, r.IntN(2) == 0)
					}
				}
				w.heal()
				w.wantAgreement()
				for _, u := range w.everybody() {
					for _, x := range u.Extensions {
						p := w.pbxs[slices.IndexFunc(w.pbxs, func(p *fakePBX) bool { return p.name == x.PBX })]
						if on := p.devices[x.Extension]; on != (x.Presence.State == presence.DND) {
							t.Errorf("the device of %s/%s is %v, it shows %s", x.PBX, x.Extension, on, x.Presence.State)
						}
					}
				}
				if err := w.stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestTheInboxTellsThatADeviceFlicked(t *testing.T) {
	says := func(number string, on bool) connector.Report {
		return connector.Report{Kind: connector.DNDChanged, PBX: "main", Extension: ext(number), On: on}
	}
	acked := connector.Report{Kind: connector.Acked, Extension: ext("1")}
	for _, tc := range []struct {
		name    string
		put     []connector.Report
		want    int
		flicked bool
	}{
		{"there and back", []connector.Report{says("1", true), says("1", false)}, 1, true},
		{"more than once", []connector.Report{says("1", true), says("1", false), says("1", true)}, 1, true},
		{"the same again", []connector.Report{says("1", true), says("1", true)}, 1, false},
		{"another extension", []connector.Report{says("1", true), says("2", false)}, 2, false},
		{"not across an answer", []connector.Report{says("1", true), acked, says("1", false)}, 3, false},
		{"nor a list", []connector.Report{says("1", true), {Kind: connector.DNDListed}, says("1", false)}, 3, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := fullInbox()
			for _, r := range tc.put {
				in.put(r)
			}
			n, last := 0, connector.Report{}
			for _, r := range in.take(nil)[mergeAbove:] {
				if r.Kind != 0 {
					n, last = n+1, r
				}
			}
			if want := tc.put[len(tc.put)-1]; n != tc.want || last.On != want.On || last.Flicked != tc.flicked {
				t.Errorf("%d reports, the last on=%v flicked=%v", n, last.On, last.Flicked)
			}
		})
	}
}
