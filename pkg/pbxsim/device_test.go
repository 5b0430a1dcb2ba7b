package pbxsim_test

import (
	"strings"
	"testing"

	"github.com/presencebridge/presencebridge/pkg/pbxsim"
	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

func mustSetDevice(t *testing.T, p *pbxsim.PBX, device, state string) {
	t.Helper()
	if err := p.SetDevice(device, state); err != nil {
		t.Fatal(err)
	}
}

func TestAKilledAsteriskForgetsCustomDevicesThatWereNotCommitted(t *testing.T) {
	pbxtest.Run(t, quick, func(t *testing.T, p pbxtest.PBX) {
		c := login(t, p.Addr(), p.User("phone"))
		c.setDevice("Custom:1", "BUSY")
		p.Commit()
		c.setDevice("Custom:1", "INUSE")
		p.Kill()
		p.Start()
		got := login(t, p.Addr(), p.User("phone")).device("Custom:1")
		if got != "BUSY" && (got != "INUSE" || p.Name() == "sim") {
			t.Errorf("after the kill %q; want what was committed, or of a real one what came after", got)
		}
	})
}

func TestADeviceOfAChannelDriverChangesAndLosesItsCallsInARestart(t *testing.T) {
	p, c := start(t, pbxsim.Config{Devices: map[string]string{
		"PJSIP/1001": "NOT_INUSE", "PJSIP/1002": "UNAVAILABLE", "PJSIP/1003": "UNKNOWN", "Custom:DND": "INUSE", "Custom:broken": "x",
	}})
	for device, want := range map[string]string{
		"PJSIP/1001": "NOT_INUSE", "PJSIP/1002": "UNAVAILABLE", "PJSIP/1003": "UNKNOWN", "Custom:DND": "INUSE", "Custom:broken": "UNKNOWN",
	} {
		if got := p.DeviceState(device); got != want {
			t.Errorf("%s is %s, want %s", device, got, want)
		}
	}
	mustSetDevice(t, p, "PJSIP/1001", "ringing")
	if f := c.await("Device: PJSIP/1001"); !has(f, "State: RINGING") || !has(f, "Privilege: call,all") {
		t.Errorf("event %q", f)
	}
	mustSetDevice(t, p, "PJSIP/1001", "RINGING") // is not told
	mustSetDevice(t, p, "PJSIP/1001", "INUSE")
	if f := c.await("Device: PJSIP/1001"); !has(f, "State: INUSE") {
		t.Errorf("event %q", f)
	}
	mustSetDevice(t, p, "Custom:DND", "NOT_INUSE")
	if err := p.Restart(); err != nil {
		t.Fatal(err)
	}
	for device, want := range map[string]string{"PJSIP/1001": "NOT_INUSE", "PJSIP/1002": "UNAVAILABLE", "Custom:DND": "NOT_INUSE"} {
		if got := p.DeviceState(device); got != want {
			t.Errorf("after the restart %s is %s, want %s", device, got, want)
		}
	}
}

// A Local channel was seen to tell each state twice, and to be in no list.
func TestALocalChannelIsToldEachTimeAndNeverListed(t *testing.T) {
	p, c := start(t, pbxsim.Config{})
	mustSetDevice(t, p, "Local/1@x", "INUSE")
	mustSetDevice(t, p, "Local/1@x", "INUSE")
	c.await("Device: Local/1@x")
	c.await("Device: Local/1@x")
	c.send("Action: DeviceStateList")
	if f := c.await("Event: DeviceStateListComplete"); !has(f, "ListItems: 0") {
		t.Errorf("the list ends with %q", f)
	}
	if err := p.Restart(); err != nil {
		t.Fatal(err)
	}
	if got := p.DeviceState("Local/1@x"); got != "NOT_INUSE" {
		t.Errorf("after the restart %q", got)
	}
}

func TestWhatAsteriskWouldRefuseIsNotSet(t *testing.T) {
	p, _ := start(t, pbxsim.Config{})
	for _, d := range []pbxsim.Device{{"PJSIP/1001", "away"}, {"1001", "BUSY"}, {"Custom:1", "UNKNOWN"}, {"Custom:", "BUSY"}} {
		if err := p.SetDevice(d.Name, d.State); err == nil || !strings.Contains(err.Error(), d.Name) {
			t.Errorf("%s to %s: %v", d.Name, d.State, err)
		}
	}
	p.Unload(pbxsim.DeviceFunction)
	if err := p.SetDevice("Custom:1", "BUSY"); err == nil {
		t.Error("written without its provider")
	}
	if got := p.DeviceState("Custom:1"); got != "INVALID" {
		t.Errorf("without its provider %q", got)
	}
}

func TestEventsOfDevicesAreDroppedAndHeld(t *testing.T) {
	p, c := start(t, pbxsim.Config{})
	p.DropDeviceEvents(func(d pbxsim.Device) bool { return d.Name == "PJSIP/1001" })
	mustSetDevice(t, p, "PJSIP/1001", "INUSE")
	mustSetDevice(t, p, "PJSIP/1002", "INUSE")
	if f := c.await("Privilege: call,all"); !has(f, "Device: PJSIP/1002") {
		t.Errorf("first event %q, want that of 1002", f)
	}
	p.DropDeviceEvents(nil)
	p.HoldEvents()
	mustSetDevice(t, p, "PJSIP/1001", "NOT_INUSE")
	mustSet(t, p, "CustomPresence:1", "away")
	if got := c.device("PJSIP/1001"); got != "NOT_INUSE" {
		t.Errorf("during the hold %q", got)
	}
	p.Release()
	if f := c.await("Privilege: call,all"); !has(f, "Device: PJSIP/1001") {
		t.Errorf("released %q first, want them in order", f)
	}
	c.event("CustomPresence:1")
	p.RefuseWrites(func(what, _ string) bool { return what == "Custom:1" })
	if f := c.setDevice("Custom:1", "BUSY"); !has(f, "Message: Variable not set") {
		t.Errorf("answer %q", f)
	}
	if s := p.Stats(); s.DeviceEvents != 2 || s.Writes["Custom:1"] != 1 || s.Actions["Setvar DEVICE_STATE"] != 1 {
		t.Errorf("stats %+v", s)
	}
}
