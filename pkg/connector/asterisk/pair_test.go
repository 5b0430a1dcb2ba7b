package asterisk_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/connector/connectortest"
	"github.com/presencebridge/presencebridge/pkg/pbxsim"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// TestBothTransportsTellOneTruth lets AMI and ARI come and go at random, while phones
// set presences and orders are written. Whatever happened, what was reported last is
// what the PBX shows, and every order of a session was answered by its end.
func TestBothTransportsTellOneTruth(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			inOffice(t, pbxsim.Config{}, func(t *testing.T, o *office) {
				dice := rand.New(rand.NewPCG(seed, 1))
				c, w := o.open()
				w.Ready()
				for step := range 60 {
					number := fmt.Sprint(1001 + dice.IntN(9))
					switch dice.IntN(10) {
					case 0:
						o.noAMI(!o.away.Load())
					case 1:
						o.webNetwork.Cut()
					case 2:
						o.network.Cut()
					case 3:
						o.sim.DelayARI(time.Duration(dice.IntN(300)) * time.Millisecond)
					case 4, 5, 6:
						o.set(number, []string{"away", "xa", "dnd", "chat", "available"}[dice.IntN(5)])
					default:
						_ = c.Write(t.Context(), connector.Order{ // ErrDown is as good
							Session: c.Health().Sessions, Ask: uint64(step + 1), Extension: id(number),
							Presence: presence.Presence{State: presence.Away, Message: fmt.Sprint("order ", step)},
						})
					}
					o.pass(time.Duration(dice.IntN(3000)) * time.Millisecond)
				}
				o.noAMI(dice.IntN(2) == 0)
				o.sim.DelayARI(0)
				o.pass(2 * time.Minute)
				compare(t, o, w)
			})
		})
	}
}

// compare looks at what was reported last of each extension, and at the answers.
func compare(t *testing.T, o *office, w *connectortest.Watch) {
	t.Helper()
	shown, asked := map[string]presence.Presence{}, map[uint64]int{}
	for _, r := range w.Reports() {
		switch r.Kind {
		case connector.Snapshot:
			shown = r.Shows
		case connector.Changed:
			shown[r.Extension.Number] = r.Presence
		case connector.Acked, connector.Refused:
			asked[r.Ask]++
		}
	}
	for ask, n := range asked {
		if n != 1 {
			t.Errorf("order %d was answered %d times", ask, n)
		}
	}
	for _, number := range numbers(9) {
		got, _ := o.sim.Get("CustomPresence:" + number)
		state, _ := presence.ParseState(got.State)
		if want := (presence.Presence{State: state, Subtype: got.Subtype, Message: got.Message}); shown[number] != want {
			t.Errorf("of %s %+v was reported last, and it shows %+v", number, shown[number], want)
		}
	}
}
