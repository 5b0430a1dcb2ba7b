package pbxtest

import (
	"slices"
	"testing"

	"github.com/presencebridge/presencebridge/pkg/pbxsim"
)

func TestTheObserverSetsSeesAndAsksForDevices(t *testing.T) {
	Run(t, Options{}, func(t *testing.T, p PBX) {
		o := Observe(t, p)
		for _, state := range []string{"INUSE", "INUSE", "NOT_INUSE"} {
			if err := o.SetDevice("Custom:DND1001", state); err != nil {
				t.Fatal(err)
			}
		}
		o.CatchUpDevices()
		want := []pbxsim.Device{{Name: "Custom:DND1001", State: "INUSE"}, {Name: "Custom:DND1001", State: "NOT_INUSE"}}
		if got := o.SeenDevices(); !slices.Equal(got[:min(2, len(got))], want) {
			t.Errorf("seen %v, want %v", got, want)
		}
		if state, err := o.Device("Custom:DND1001"); err != nil || state != "NOT_INUSE" {
			t.Errorf("asked: %q, %v", state, err)
		}
		if err := o.SetDevice("PJSIP/1001", "INUSE"); err == nil {
			t.Error("a device of a channel driver was written")
		}
		p.Stop()
		if err := o.SetDevice("Custom:DND1001", "INUSE"); err == nil {
			t.Error("a PBX that is gone took a write")
		}
		if _, err := o.Device("Custom:DND1001"); err == nil {
			t.Error("a PBX that is gone answered")
		}
	})
}

func TestDevicesOfAListAreNotEvents(t *testing.T) {
	o := &Observer{}
	o.noteDevice(map[string]string{"Device": "Custom:1", "State": "BUSY"})
	if got := o.SeenDevices(); len(got) != 0 {
		t.Errorf("seen %v", got)
	}
}

func TestAPhoneRingsIsPickedUpAndHungUp(t *testing.T) {
	Run(t, Options{Phones: []string{"1001", "1002"}}, func(t *testing.T, p PBX) {
		o := Observe(t, p)
		var want []string
		for _, step := range []struct {
			do    func(string)
			state string
		}{{p.Ring, "RINGING"}, {p.PickUp, "INUSE"}, {p.HangUp, "NOT_INUSE"}, {p.Ring, "RINGING"}, {p.HangUp, "NOT_INUSE"}} {
			step.do("1001")
			want = append(want, step.state)
			Eventually(t, patience, "PJSIP/1001 is "+step.state, func() bool { return len(statesOf(o, "PJSIP/1001")) == len(want) })
		}
		if got := statesOf(o, "PJSIP/1001"); !slices.Equal(got, want) {
			t.Errorf("seen %v, want %v", got, want)
		}
		if got := statesOf(o, "PJSIP/1002"); got != nil {
			t.Errorf("nobody called 1002, and it was seen %v", got)
		}
		p.Ring("1001")
		p.Restart()
		if state, err := o.Device("PJSIP/1001"); err != nil || state != "NOT_INUSE" {
			t.Errorf("a call survived the restart: %q, %v", state, err)
		}
	})
}

// statesOf are those that the observer saw of a device, in order.
func statesOf(o *Observer, device string) (states []string) {
	for _, d := range o.SeenDevices() {
		if d.Name == device {
			states = append(states, d.State)
		}
	}
	return states
}
