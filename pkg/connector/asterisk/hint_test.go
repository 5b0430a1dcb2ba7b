package asterisk_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/connector/asterisk"
	"github.com/presencebridge/presencebridge/pkg/connector/connectortest"
	"github.com/presencebridge/presencebridge/pkg/pbxsim"
	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// readings counts the questions for presence so far.
func (o *office) readings() (n int) {
	for what, times := range o.sim.Stats().Requests {
		if strings.HasPrefix(what, "GET /ari/channels/presencebridge-presence-") && strings.HasSuffix(what, "/variable") {
			n += times
		}
	}
	return n
}

// TestAUserEventOfTheDialplanIsAHint: what it says of the status is not believed.
func TestAUserEventOfTheDialplanIsAHint(t *testing.T) {
	pbxtest.Run(t, pbxtest.Options{ARI: true}, func(t *testing.T, pbx pbxtest.PBX) {
		phone := pbxtest.Observe(t, pbx)
		c, w := connect(t, pbx, asterisk.Times{Poll: time.Hour}, withoutAMI, func(cfg *asterisk.Config) {
			cfg.ARI = overARI(pbx, "hints", &connectortest.Network{})
		})
		c.Follow(connector.NewNumbers(numbers(2)))
		w.Ready()
		for _, tc := range []struct {
			state presence.State
			event string
		}{
			{presence.Away, "PresenceStateChange,Presentity: CustomPresence:1001,Status: away"},
			{presence.XA, "PresenceStateChange,Status: dnd,Message: not true,Presentity:custompresence:1001"},
		} {
			if err := phone.Set("CustomPresence:1001", tc.state.String(), "", ""); err != nil {
				t.Fatal(err)
			}
			pbx.UserEvent(tc.event)
			w.Await("the change", changedTo("1001", tc.state))
		}
	})
}

func TestCallsAreFollowedForHintsOnlyWhereItIsWorthIt(t *testing.T) {
	for _, tc := range []struct {
		name, version string
		change        func(*asterisk.Config)
		want          int // events
	}{
		{"without AMI", "22.10.1", withoutAMI, 1},
		{"AMI is away", "22.10.1", func(*asterisk.Config) {}, 0},
		{"an Asterisk that cannot filter", "16.2.1", withoutAMI, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inOffice(t, pbxsim.Config{Version: tc.version}, func(t *testing.T, o *office) {
				o.away.Store(true)
				_, w := o.open(tc.change, func(cfg *asterisk.Config) { cfg.Times.Poll = time.Hour })
				w.Ready()
				events, readings := o.sim.Stats().ARIEvents, o.readings()
				o.sim.UserEvent("PresenceStateChange,Presentity: CustomPresence:1001")
				o.pass(time.Second)
				if n, m := o.sim.Stats().ARIEvents-events, o.readings()-readings; n != tc.want || m != tc.want {
					t.Errorf("%d events and %d readings, want %d", n, m, tc.want)
				}
			})
		})
	}
}

func TestWithoutTheHintsOfTheDialplanPresenceIsPolled(t *testing.T) {
	inOffice(t, pbxsim.Config{}, func(t *testing.T, o *office) {
		var broken atomic.Bool
		broken.Store(true)
		o.misspell(&broken, "eventSource=channel", "eventSource=chamnel")
		c, w := o.open(withoutAMI)
		w.Ready()
		o.says(c, "ari")
		o.set("1001", "away")
		w.Await("the change", changedTo("1001", presence.Away))
		if !strings.Contains(o.log.String(), "the dialplan's hints are not heard") {
			t.Errorf("logged:\n%s", o.log.String())
		}
	})
}

func TestAFloodOfHintsCostsFewReadings(t *testing.T) {
	inOffice(t, pbxsim.Config{WriteTimeout: time.Minute}, func(t *testing.T, o *office) {
		_, w := o.open(withoutAMI, func(cfg *asterisk.Config) { cfg.Times.Poll = time.Hour })
		w.Ready()
		before := o.readings()
		for i := range 1000 { // a second
			for _, number := range []string{"1001", "1002", "9999"} {
				o.sim.UserEvent("PresenceStateChange,Presentity: CustomPresence:" + number)
			}
			if i == 500 {
				o.set("1001", "dnd")
			}
			o.pass(time.Millisecond)
		}
		w.Await("the change among them", changedTo("1001", presence.DND))
		if n := o.readings() - before; n > 30 { // one in 50 ms, and again for what changed
			t.Errorf("%d readings", n)
		}
	})
}
