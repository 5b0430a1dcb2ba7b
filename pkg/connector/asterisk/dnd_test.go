package asterisk_test

import (
	"errors"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/presencebridge/presencebridge/pkg/ami"
	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/connector/asterisk"
	"github.com/presencebridge/presencebridge/pkg/pbxsim"
	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

func quiet(cfg *asterisk.Config) { cfg.DND = "Custom:DND{extension}" }

func deviceTo(number string, on bool) func(connector.Report) bool {
	return func(r connector.Report) bool {
		return r.Kind == connector.DNDChanged && r.Extension == id(number) && r.On == on
	}
}

func TestDNDDevicesAreListedAndFollowed(t *testing.T) {
	inBubble(t, pbxsim.Config{Devices: map[string]string{"PJSIP/1001": "INUSE"}}, func(t *testing.T, b *bubble) {
		for number, state := range map[string]string{"1001": "BUSY", "1002": "NOT_INUSE", "1003": "UNAVAILABLE", "1004": "RINGING"} {
			b.device("Custom:DND"+number, state)
		}
		b.device("Custom:DND 1005", "BUSY") // no extension
		_, w := b.connect(quiet)
		w.Ready()
		want := map[string]bool{"1001": true, "1002": false, "1003": false, "1004": true}
		if got := w.AwaitKind(connector.DNDListed).DNDs; !maps.Equal(got, want) {
			t.Errorf("devices %v, want %v", got, want)
		}
		for _, step := range []struct {
			state string
			on    bool
		}{{"NOT_INUSE", false}, {"INUSE", true}, {"UNAVAILABLE", false}, {"RINGINUSE", true}, {"INVALID", false}, {"ONHOLD", true}} {
			b.device("Custom:DND1001", step.state)
			w.Await(step.state, deviceTo("1001", step.on))
		}
		synctest.Wait()
		if n := count(w, connector.DNDChanged); n != 6 {
			t.Errorf("%d changes, want 6", n)
		}
		if n := count(w, connector.PhonesListed) + count(w, connector.PhoneChanged); n != 1 {
			t.Errorf("%d reports of phones, want the one that nobody follows them", n)
		}
	})
}

func TestItIsToldWhichDNDDevicesThereAre(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change []func(*asterisk.Config)
		want   string
	}{
		{"over AMI", []func(*asterisk.Config){quiet}, "Custom:DND{extension}"},
		{"over ARI", []func(*asterisk.Config){quiet, withoutAMI}, "Custom:DND{extension}"},
		{"none over AMI", nil, ""},
		{"none over ARI", []func(*asterisk.Config){withoutAMI}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inOffice(t, pbxsim.Config{}, func(t *testing.T, o *office) {
				_, w := o.open(tc.change...)
				w.Ready()
				got := w.AwaitKind(connector.DNDListed)
				if told := tc.name == "over AMI"; got.DNDOf != tc.want || (got.DNDs != nil) != told {
					t.Errorf("told %+v", got)
				}
				o.pass(time.Minute)
				if n := count(w, connector.DNDListed); n != 1 {
					t.Errorf("told %d times", n)
				}
			})
		})
	}
}

func TestADNDDeviceIsWrittenAndItsAnswerComesFirst(t *testing.T) {
	inBubble(t, pbxsim.Config{}, func(t *testing.T, b *bubble) {
		c, w := b.connect(quiet)
		session := w.Ready().Session
		w.AwaitKind(connector.DNDListed)
		order := connector.Order{Session: session, Ask: 7, Extension: id("1001"), DND: true, On: true}
		if err := c.Write(t.Context(), order); err != nil {
			t.Fatal(err)
		}
		w.Await("the answer", func(r connector.Report) bool { return r.Kind == connector.Acked && r.Ask == 7 })
		w.Await("the event", deviceTo("1001", true))
		if state := b.sim.DeviceState("Custom:DND1001"); state != "BUSY" {
			t.Errorf("the device is %s", state)
		}
		b.sim.Unload(pbxsim.DeviceFunction)
		order.Ask, order.On = 8, false
		if err := c.Write(t.Context(), order); err != nil {
			t.Fatal(err)
		}
		w.Await("the refusal", func(r connector.Report) bool { return r.Kind == connector.Refused && r.Ask == 8 })
		order.Extension.Number = strings.Repeat("1", 64)
		if err := c.Write(t.Context(), order); err == nil || !strings.Contains(err.Error(), "DND device") {
			t.Errorf("a name that is too long: %v", err)
		}
	})
}

func TestThatNobodyTellsOfDNDDevicesIsTold(t *testing.T) {
	inBubble(t, pbxsim.Config{}, func(t *testing.T, b *bubble) {
		b.sim.Unload(pbxsim.DeviceManager)
		c, w := b.connect(quiet)
		w.Ready()
		if got := w.AwaitKind(connector.DNDListed).DNDs; got != nil {
			t.Errorf("devices %v", got)
		}
		synctest.Wait()
		if h := c.Health(); !h.Ready || !strings.Contains(h.Reason, "DND") {
			t.Errorf("health %+v", h)
		}
		b.sim.Load(pbxsim.DeviceManager)
		b.pass(10 * time.Minute)
		if got := w.AwaitKind(connector.DNDListed).DNDs; got == nil {
			t.Error("nobody tells still")
		}
	})
}

// What changes while the list is on its way is newer than its item, or leads up to it.
func TestADNDDeviceThatChangesDuringTheListIsRight(t *testing.T) {
	inBubble(t, pbxsim.Config{}, func(t *testing.T, b *bubble) {
		b.device("Custom:DND1001", "BUSY")
		b.mangle(func(p []byte) {
			if strings.Contains(string(p), "DeviceStateListComplete") {
				b.device("Custom:DND1001", "NOT_INUSE")
			}
		})
		_, w := b.connect(quiet)
		w.Ready()
		if w.AwaitKind(connector.DNDListed).DNDs["1001"] {
			t.Error("it is on")
		}
	})
}

func TestNobodyTellsOfDNDDevicesOverARI(t *testing.T) {
	inOffice(t, pbxsim.Config{}, func(t *testing.T, o *office) {
		c, w := o.open(quiet)
		w.Ready()
		if got := w.AwaitKind(connector.DNDListed).DNDs; got == nil {
			t.Error("AMI has no list")
		}
		o.noAMI(true)
		o.pass(time.Minute)
		o.says(c, "ari", "AMI is down")
		if got := w.AwaitKind(connector.DNDListed).DNDs; got != nil {
			t.Errorf("over ARI %v", got)
		}
		changes := count(w, connector.DNDChanged)
		o.device("Custom:DND1001", "BUSY")
		o.pass(time.Minute)
		if n := count(w, connector.DNDChanged) - changes; n != 0 {
			t.Errorf("%d changes over ARI", n)
		}
		order := connector.Order{Session: c.Health().Sessions, Ask: 1, Extension: id("1001"), DND: true}
		if err := c.Write(t.Context(), order); err == nil || errors.Is(err, connector.ErrDown) {
			t.Errorf("a write over ARI: %v", err)
		}
		o.noAMI(false)
		o.pass(2 * time.Minute)
		if got := w.AwaitKind(connector.DNDListed).DNDs; !got["1001"] {
			t.Errorf("AMI is back: %v", got)
		}
	})
}

func TestADNDTemplateThatIsNone(t *testing.T) {
	for _, template := range []string{"PJSIP/{extension}", "Custom:DND"} {
		if _, err := asterisk.New(asterisk.Config{Name: "main", Instance: "a", DND: template, AMI: ami.Config{Address: "pbx:5038"}}, nil); err == nil || !strings.Contains(err.Error(), template) {
			t.Errorf("%q: %v", template, err)
		}
	}
}

func TestDNDDevicesOfAPBX(t *testing.T) {
	pbxtest.Run(t, pbxtest.Options{}, func(t *testing.T, pbx pbxtest.PBX) {
		key := pbxtest.Observe(t, pbx)
		press := func(number, state string) {
			t.Helper()
			if err := key.SetDevice("Custom:DND"+number, state); err != nil {
				t.Fatal(err)
			}
		}
		press("1001", "BUSY")
		c, w := connect(t, pbx, eager, quiet)
		session := w.Ready().Session
		if got := w.AwaitKind(connector.DNDListed).DNDs; !got["1001"] || got["1002"] {
			t.Errorf("devices %v", got)
		}
		press("1001", "NOT_INUSE")
		w.Await("off", deviceTo("1001", false))
		if err := c.Write(t.Context(), connector.Order{Session: session, Ask: 1, Extension: id("1002"), DND: true, On: true}); err != nil {
			t.Fatal(err)
		}
		w.Await("on", deviceTo("1002", true))
		pbx.Restart()
		w.Ready()
		if got := w.AwaitKind(connector.DNDListed).DNDs; got["1001"] || !got["1002"] {
			t.Errorf("after the restart %v", got)
		}
	})
}

// P3 of the field's complaints: with DND switched off, whoever is gone looks idle.
func TestDNDSwitchedOffDoesNotMakeAPhoneThatIsGoneLookIdle(t *testing.T) {
	conf := pbxtest.Conf{Files: map[string]string{
		"extensions.conf": "[general]\nstatic = yes\n[default]\nexten => 1001,hint,Custom:PHONE1001&Custom:DND1001\n",
	}}
	for _, f := range pbxtest.Reals(t) {
		t.Run(f.Name, func(t *testing.T) {
			pbx := f.Start(t, pbxtest.Options{Conf: conf})
			key := pbxtest.Observe(t, pbx)
			c, w := connect(t, pbx, eager, quiet)
			session := w.Ready().Session
			w.AwaitKind(connector.DNDListed)
			for n, step := range []struct {
				phone string
				on    bool
				want  string
			}{
				{"UNAVAILABLE", true, "Busy"}, {"UNAVAILABLE", false, "Unavailable"},
				{"NOT_INUSE", true, "Busy"}, {"NOT_INUSE", false, "Idle"}, {"INUSE", false, "InUse"},
			} {
				if err := key.SetDevice("Custom:PHONE1001", step.phone); err != nil {
					t.Fatal(err)
				}
				order := connector.Order{Session: session, Ask: uint64(n + 1), Extension: id("1001"), DND: true, On: step.on}
				if err := c.Write(t.Context(), order); err != nil {
					t.Fatal(err)
				}
				var got string
				pbxtest.Eventually(t, time.Minute, "the hint shows "+step.want, func() bool {
					state, err := key.Hint("1001")
					got = state
					return err == nil && state == step.want
				})
				t.Logf("phone %s, DND %v: %s", step.phone, step.on, got)
			}
		})
	}
}
