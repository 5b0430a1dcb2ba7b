package asterisk_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/presencebridge/presencebridge/pkg/ami"
	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/connector/asterisk"
	"github.com/presencebridge/presencebridge/pkg/connector/connectortest"
	"github.com/presencebridge/presencebridge/pkg/pbxsim"
	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// lit gives every extension a lamp.
func lit(cfg *asterisk.Config) { cfg.Lamp = "Custom:PRES{extension}" }

// lightAll connects and says what lamps shall show, which the next list, or the one
// after it, brings about.
func (b *bubble) lightAll(lamps map[string]presence.Base) (*asterisk.Connector, *connectortest.Watch) {
	b.t.Helper()
	c, w := b.connect(lit)
	for number, base := range lamps {
		c.Light(number, base)
	}
	w.Ready()
	c.Resync()
	b.pass(5 * time.Second)
	return c, w
}

func (b *bubble) lampShows(number, want string) {
	b.t.Helper()
	synctest.Wait()
	if got := b.sim.DeviceState("Custom:PRES" + number); got != want {
		b.t.Errorf("the lamp of %s shows %s, want %s", number, got, want)
	}
}

// devicesSet counts the writes of devices but those of the canary, two for each list.
func (b *bubble) devicesSet() int {
	synctest.Wait()
	actions := b.sim.Stats().Actions
	return actions["Setvar DEVICE_STATE"] - 2*actions["DeviceStateList"]
}

func TestLampsShowWhatIsWantedAndNothingIsWrittenTwice(t *testing.T) {
	inBubble(t, pbxsim.Config{}, func(t *testing.T, b *bubble) {
		b.device("Custom:PRES1002", "INUSE") // as it shall be
		b.device("Custom:PRES1003", "INUSE")
		c, w := b.lightAll(map[string]presence.Base{
			"1001": presence.Absent, "1002": presence.Busy, "1003": presence.Connected, "1004": presence.Connected, "1005": presence.Offline, "1006": presence.InCall,
		})
		for number, state := range map[string]string{
			"1001": "ONHOLD", "1002": "INUSE", "1003": "NOT_INUSE", "1004": "UNKNOWN", "1005": "UNAVAILABLE", "1006": "INUSE",
		} {
			b.lampShows(number, state)
		}
		if n := b.devicesSet(); n != 4 { // 1002 shows it, and 1004 has never been lit
			t.Errorf("%d lamps written, want 4", n)
		}
		c.Light("1001", presence.Busy)
		b.lampShows("1001", "INUSE")
		c.Light("1001", presence.InCall) // the same
		b.pass(20 * time.Minute)
		if n := b.devicesSet(); n != 5 {
			t.Errorf("%d lamps written, want 5", n)
		}
		if n := count(w, connector.PhonesListed) + count(w, connector.PhoneChanged); n != 1 || w.AwaitKind(connector.PhonesListed).Phones != nil {
			t.Errorf("%d reports of phones, want the one that nobody follows them", n)
		}
	})
}

func TestALampThatSomebodyElseSetsIsSetAgainOnceAList(t *testing.T) {
	inBubble(t, pbxsim.Config{}, func(t *testing.T, b *bubble) {
		b.lightAll(map[string]presence.Base{"1001": presence.Busy})
		b.lampShows("1001", "INUSE")
		before := b.devicesSet()
		for range 10 {
			b.device("Custom:PRES1001", "RINGING")
			b.device("Custom:PRES1001", "NOT_INUSE")
			synctest.Wait()
		}
		b.lampShows("1001", "NOT_INUSE")
		if n := b.devicesSet() - before; n != 0 {
			t.Errorf("%d writes before the list", n)
		}
		b.pass(7 * time.Minute)
		b.lampShows("1001", "INUSE")
		if n := b.devicesSet() - before; n != 1 {
			t.Errorf("%d writes, want 1", n)
		}
	})
}

func TestLampsAreRightAfterARestart(t *testing.T) {
	inBubble(t, pbxsim.Config{}, func(t *testing.T, b *bubble) {
		c, w := b.lightAll(map[string]presence.Base{"1001": presence.Busy, "1002": presence.Absent})
		b.lampShows("1001", "INUSE")
		b.sim.Commit()
		b.sim.Kill()
		w.AwaitKind(connector.Down)
		c.Light("1001", presence.Connected)
		before := b.devicesSet()
		b.start()
		w.Ready()
		b.lampShows("1001", "NOT_INUSE")
		b.lampShows("1002", "ONHOLD")
		if n := b.devicesSet() - before; n != 1 {
			t.Errorf("%d lamps written, want 1", n)
		}
	})
}

func TestALampThatIsLeftIsPutOutOnce(t *testing.T) {
	inBubble(t, pbxsim.Config{}, func(t *testing.T, b *bubble) {
		c, _ := b.lightAll(map[string]presence.Base{"1001": presence.Busy})
		b.lampShows("1001", "INUSE")
		c.Leave("1001")
		b.lampShows("1001", "NOT_INUSE")
		b.device("Custom:PRES1001", "RINGING") // somebody else's from now on
		b.pass(20 * time.Minute)
		b.lampShows("1001", "RINGING")
	})
}

func TestALampThatIsLeftIsNotForgottenBeforeItIsOut(t *testing.T) {
	inBubble(t, pbxsim.Config{}, func(t *testing.T, b *bubble) {
		c, _ := b.lightAll(map[string]presence.Base{"1001": presence.Busy})
		b.sim.Unload(pbxsim.DeviceFunction)
		c.Leave("1001") // refused
		b.pass(time.Second)
		b.lampShows("1001", "INUSE")
		b.sim.Load(pbxsim.DeviceFunction)
		b.pass(10 * time.Minute)
		b.lampShows("1001", "NOT_INUSE")
	})
}

func TestALampThatCannotBeSetIsTriedAgainAtTheNextList(t *testing.T) {
	inBubble(t, pbxsim.Config{}, func(t *testing.T, b *bubble) {
		c, w := b.connect(lit)
		w.Ready()
		b.pass(time.Second)
		c.Light("1001", presence.Busy)
		b.pass(10 * time.Minute) // it is unknown until a list
		b.lampShows("1001", "INUSE")
		b.sim.Unload(pbxsim.DeviceFunction)
		c.Light("1001", presence.Connected)
		b.pass(time.Second)
		if log := b.log.String(); strings.Count(log, "lamp not set") != 1 {
			t.Errorf("log %s", log)
		}
		b.sim.Load(pbxsim.DeviceFunction)
		b.pass(10 * time.Minute)
		b.lampShows("1001", "NOT_INUSE")
		if h := c.Health(); !h.Ready || h.Reason != "" {
			t.Errorf("health %+v", h)
		}
	})
}

func TestManyLampsAreSetAFewAtATime(t *testing.T) {
	inBubble(t, pbxsim.Config{}, func(t *testing.T, b *bubble) {
		all := map[string]presence.Base{}
		for n := range 1000 {
			all[fmt.Sprint(2000+n)] = presence.Busy
		}
		c, _ := b.lightAll(all)
		for range 5 { // the newest counts, however often it changes
			for n := range 1000 {
				c.Light(fmt.Sprint(2000+n), presence.Absent)
				c.Light(fmt.Sprint(2000+n), presence.Offline)
			}
		}
		b.pass(time.Second)
		for n := range 1000 {
			b.lampShows(fmt.Sprint(2000+n), "UNAVAILABLE")
		}
	})
}

func TestLampsAreSetRightWhenAMIIsBack(t *testing.T) {
	inOffice(t, pbxsim.Config{}, func(t *testing.T, o *office) {
		c, w := o.open(lit)
		c.Light("1001", presence.Busy)
		w.Ready()
		c.Resync()
		o.pass(5 * time.Second)
		o.says(c, "ami")
		o.lampShows("1001", "INUSE")
		o.noAMI(true)
		o.pass(time.Minute)
		o.says(c, "ari", "AMI is down")
		c.Light("1001", presence.Absent)
		o.pass(10 * time.Minute)
		o.lampShows("1001", "INUSE") // over ARI nobody sets it
		o.noAMI(false)
		o.pass(2 * time.Minute)
		o.says(c, "ami")
		o.lampShows("1001", "ONHOLD")
	})
}

func TestALampTemplateThatIsNone(t *testing.T) {
	for _, template := range []string{"PJSIP/{extension}", "Custom:PRES", "Custom:{extension}\r\n"} {
		if _, err := asterisk.New(asterisk.Config{Name: "main", Instance: "a", Lamp: template, AMI: ami.Config{Address: "pbx:5038"}}, nil); err == nil || !strings.Contains(err.Error(), template[:5]) {
			t.Errorf("%q: %v", template, err)
		}
	}
}

// TestLampsOfAPBX sets lamps on real ones, too, and looks with somebody else's client.
func TestLampsOfAPBX(t *testing.T) {
	pbxtest.Run(t, pbxtest.Options{}, func(t *testing.T, pbx pbxtest.PBX) {
		watcher := pbxtest.Observe(t, pbx)
		if err := watcher.SetDevice("Custom:PRES1003", "INUSE"); err != nil {
			t.Fatal(err)
		}
		shows := func(number, want string) {
			t.Helper()
			pbxtest.Eventually(t, time.Minute, "the lamp of "+number+" shows "+want, func() bool {
				state, err := watcher.Device("Custom:PRES" + number)
				return err == nil && state == want
			})
		}
		c, w := connect(t, pbx, eager, lit)
		c.Light("1001", presence.Absent)
		c.Light("1002", presence.Busy)
		c.Light("1003", presence.Connected)
		w.Ready()
		c.Resync()
		shows("1001", "ONHOLD")
		shows("1002", "INUSE")
		shows("1003", "NOT_INUSE")
		c.Light("1001", presence.Offline)
		shows("1001", "UNAVAILABLE")
		pbx.Restart()
		c.Light("1002", presence.Absent)
		w.Ready()
		shows("1002", "ONHOLD")
		shows("1001", "UNAVAILABLE")
		watcher.CatchUpDevices()
		seen := 0
		for _, d := range watcher.SeenDevices() {
			if strings.HasPrefix(d.Name, "Custom:PRES") {
				seen++
			}
		}
		if seen > 6 { // those of above, and what a load of the module may tell again
			t.Errorf("%d events of lamps: %v", seen, watcher.SeenDevices())
		}
	})
}
