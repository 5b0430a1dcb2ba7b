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
