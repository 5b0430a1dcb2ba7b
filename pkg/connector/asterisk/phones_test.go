package asterisk_test

import (
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/connector/asterisk"
	"github.com/presencebridge/presencebridge/pkg/connector/connectortest"
	"github.com/presencebridge/presencebridge/pkg/pbxsim"
	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// followed makes the connector follow phones.
func followed(cfg *asterisk.Config) { cfg.Device = "PJSIP/{extension}" }

func (b *bubble) device(name, state string) {
	b.t.Helper()
	if err := b.sim.SetDevice(name, state); err != nil {
		b.t.Fatal(err)
	}
}

// phones waits for the next list of what phones do; nil: that nobody tells.
func phones(w *connectortest.Watch) map[string]presence.PhoneState {
	return w.AwaitKind(connector.PhonesListed).Phones
}

func phoneTo(number string, does presence.PhoneState) func(connector.Report) bool {
	return func(r connector.Report) bool {
		return r.Kind == connector.PhoneChanged && r.Extension == id(number) && r.Phone == does
	}
}

func TestPhonesAreListedBehindTheSnapshotAndFollowed(t *testing.T) {
	inBubble(t, pbxsim.Config{Devices: map[string]string{
		"PJSIP/1001": "NOT_INUSE", "PJSIP/1002": "UNAVAILABLE", "PJSIP/trunk provider": "INUSE", "SIP/1003": "INUSE",
	}}, func(t *testing.T, b *bubble) {
		c, w := b.connect(followed)
		w.Ready()
		want := map[string]presence.PhoneState{"1001": presence.PhoneIdle, "1002": presence.PhoneOffline}
		if got := phones(w); !maps.Equal(got, want) {
			t.Errorf("phones %v, want %v", got, want)
		}
		for _, step := range []struct {
			state string
			does  presence.PhoneState
		}{
			{"RINGING", presence.PhoneRinging}, {"INUSE", presence.PhoneInCall}, {"RINGINUSE", presence.PhoneInCall}, {"ONHOLD", presence.PhoneOnHold},
			{"BUSY", presence.PhoneInCall}, {"NOT_INUSE", presence.PhoneIdle}, {"UNAVAILABLE", presence.PhoneOffline}, {"INVALID", presence.PhoneNone},
		} {
			b.device("PJSIP/1001", step.state)
			w.Await(step.state, phoneTo("1001", step.does))
		}
		b.device("SIP/1003", "NOT_INUSE")
		synctest.Wait()
		if n := count(w, connector.PhoneChanged); n != 8 {
			t.Errorf("%d changes, want 8", n)
		}
		if h := c.Health(); !h.Ready || h.Reason != "" {
			t.Errorf("health %+v", h)
		}
	})
}

func TestPhonesAreLeftAloneWithoutADevice(t *testing.T) {
	inBubble(t, pbxsim.Config{Devices: map[string]string{"PJSIP/1001": "INUSE"}}, func(t *testing.T, b *bubble) {
		_, w := b.connect()
		w.Ready()
		b.device("PJSIP/1001", "NOT_INUSE")
		b.pass(time.Minute) // checkOutput finds an action that was not for presence
		if n := count(w, connector.PhoneChanged); n != 0 {
			t.Errorf("%d reports of phones", n)
		}
		// Once: that nobody tells. Else who was in a call when phones were followed last would be for ever.
		if n := count(w, connector.PhonesListed); n != 1 || phones(w) != nil {
			t.Errorf("%d lists of phones", n)
		}
	})
}

// What changes while the list is on its way is newer than its item, or leads up to it.
func TestAPhoneThatChangesDuringTheListIsRight(t *testing.T) {
	inBubble(t, pbxsim.Config{Devices: map[string]string{"PJSIP/1001": "NOT_INUSE"}}, func(t *testing.T, b *bubble) {
		b.mangle(func(p []byte) {
			if strings.Contains(string(p), "DeviceStateListComplete") {
				b.device("PJSIP/1001", "RINGING")
				b.device("PJSIP/1001", "INUSE")
			}
		})
		_, w := b.connect(followed)
		w.Ready()
		if got := phones(w)["1001"]; got != presence.PhoneInCall {
			t.Errorf("listed as %s", got)
		}
	})
}

func TestWhyPhonesAreNotFollowedIsTold(t *testing.T) {
	for _, tc := range []struct {
		name   string
		broken func(*bubble)
		mend   func(*bubble)
		want   string
	}{
		{"no list", func(b *bubble) { b.sim.Unload(pbxsim.DeviceManager) }, func(b *bubble) { b.sim.Load(pbxsim.DeviceManager) }, "res_manager_devicestate.so"},
		{"no function", func(b *bubble) { b.sim.Unload(pbxsim.DeviceFunction) }, func(b *bubble) { b.sim.Load(pbxsim.DeviceFunction) }, "func_devstate.so"},
		{"events are filtered", func(b *bubble) { b.sim.DropDeviceEvents(func(pbxsim.Device) bool { return true }) },
			func(b *bubble) { b.sim.DropDeviceEvents(nil) }, "eventfilter(action(include),name(DeviceStateChange))"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, pbxsim.Config{Devices: map[string]string{"PJSIP/1001": "INUSE"}}, func(t *testing.T, b *bubble) {
				tc.broken(b)
				c, w := b.connect(followed)
				w.Ready()
				if got := phones(w); got != nil {
					t.Errorf("listed %v", got)
				}
				synctest.Wait()
				if h := c.Health(); !h.Ready || !strings.Contains(h.Reason, tc.want) {
					t.Errorf("health %+v, want %q", h, tc.want)
				}
				if log := b.log.String(); strings.Count(log, "phones are not followed") == 0 || !strings.Contains(log, "DeviceState") && !strings.Contains(log, "device") {
					t.Errorf("log %s", log)
				}
				b.device("PJSIP/1001", "NOT_INUSE")
				synctest.Wait()
				if n := count(w, connector.PhoneChanged); n != 0 {
					t.Errorf("%d changes of phones that are not followed", n)
				}
				tc.mend(b)
				b.pass(10 * time.Minute) // the next snapshots
				if got := phones(w); got["1001"] != presence.PhoneIdle {
					t.Errorf("after the mend %v", got)
				}
				if h := c.Health(); !h.Ready || h.Reason != "" {
					t.Errorf("after the mend %+v", h)
				}
			})
		})
	}
}

// A name with a line break forges whole events of devices, as one of a presentity does.
func TestAForgedNameOfADeviceDoesNotMakeSomebodyBusy(t *testing.T) {
	inBubble(t, pbxsim.Config{Devices: map[string]string{"PJSIP/1001": "NOT_INUSE"}}, func(t *testing.T, b *bubble) {
		c, w := b.connect(followed)
		w.Ready()
		phones(w)
		b.device("Custom:x\r\nState: INUSE\r\n\r\nEvent: DeviceStateChange\r\nDevice: PJSIP/1001", "BUSY")
		b.pass(time.Second)
		if c.Health().Malformed == 0 {
			t.Error("no frame was refused")
		}
		c.Resync()
		b.pass(time.Minute)
		if h := c.Health(); !h.Ready || !strings.Contains(h.Reason, "line breaks") {
			t.Errorf("health %+v", h)
		}
		for _, r := range w.Reports() {
			if r.Phones["1001"] == presence.PhoneInCall || r.Phone == presence.PhoneInCall {
				t.Errorf("the forger was believed: %+v", r)
			}
		}
	})
}

func TestADeviceTemplateThatIsNone(t *testing.T) {
	inBubble(t, pbxsim.Config{}, func(t *testing.T, b *bubble) {
		for _, template := range []string{"PJSIP/1001", "{extension}", "PJSIP/{extension}\r\n", "PJSIP/" + strings.Repeat("x", 80) + "{extension}"} {
			if _, err := asterisk.New(asterisk.Config{Name: "main", Instance: "a", Device: template}, nil); err == nil || !strings.Contains(err.Error(), "device") {
				t.Errorf("%q: %v", template, err)
			}
		}
	})
}

// TestPhonesThatRing uses real calls where there is a real PBX.
func TestPhonesThatRing(t *testing.T) {
	pbxtest.Run(t, pbxtest.Options{Phones: []string{"1001", "1002"}}, func(t *testing.T, pbx pbxtest.PBX) {
		_, w := connect(t, pbx, eager, followed)
		w.Ready()
		if got := phones(w); got["1001"] != presence.PhoneIdle || got["1002"] != presence.PhoneIdle {
			t.Errorf("phones %v", got)
		}
		pbx.Ring("1001")
		w.Await("ringing", phoneTo("1001", presence.PhoneRinging))
		pbx.PickUp("1001")
		w.Await("the call", phoneTo("1001", presence.PhoneInCall))
		pbx.HangUp("1001")
		w.Await("the end of the call", phoneTo("1001", presence.PhoneIdle))
		pbx.Ring("1002")
		w.Await("ringing", phoneTo("1002", presence.PhoneRinging))
		pbx.Restart()
		w.Ready()
		if got := phones(w); got["1002"] != presence.PhoneIdle {
			t.Errorf("after the restart %v", got)
		}
	})
}
