package dialplan

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, pbxtest.LeakOptions()...) }

// onReals runs a test on every real Asterisk with the dialplan of p.
func onReals(t *testing.T, p Plan, test func(t *testing.T, pbx *pbxtest.Real, o *pbxtest.Observer)) {
	t.Helper()
	text, err := p.Text()
	if err != nil {
		t.Fatal(err)
	}
	// What is spelled is noted instead, for tests to read.
	text = strings.NewReplacer("SayAlpha(", "Set(GLOBAL(SPELLED)=", "Wait(0.5)", "Wait(0.01)").Replace(text)
	for _, f := range pbxtest.Reals(t) {
		t.Run(f.Name, func(t *testing.T) {
			pbx := f.Start(t, pbxtest.Options{}).(*pbxtest.Real)
			pbx.Dialplan(text)
			test(t, pbx, pbxtest.Observe(t, pbx))
		})
	}
}

// shows waits until an extension shows a presence.
func shows(t *testing.T, o *pbxtest.Observer, number, state, subtype string) {
	t.Helper()
	c, err := o.Shows("CustomPresence:" + number)
	if err != nil || c.State != state || c.Subtype != subtype || c.Message != "" {
		t.Errorf("%s shows %+v, %v; want %s/%s", number, c, err, state, subtype)
	}
}

func TestEveryCodeDoesOnAsteriskWhatItSays(t *testing.T) {
	onReals(t, plan(), func(t *testing.T, pbx *pbxtest.Real, o *pbxtest.Observer) {
		for _, tc := range []struct{ code, state, subtype, spelled string }{
			{"*70", "available", "", "available"},
			{"*71", "away", "", "away"},
			{"*72", "away", "lunch, or \"tea\"; ok?", "lunch"},
			{"*73", "xa", "meeting", "meeting"},
			{"*78", "dnd", "", "dnd"},
			{"*78", "available", "", "available"},
			{"*74", "dnd", "", "dnd"},
			{"*78", "available", "", "available"},
		} {
			pbx.Dial("1001", tc.code, "presence-codes")
			shows(t, o, "1001", tc.state, tc.subtype)
			pbx.Dial("1001", "*79", "presence-codes")
			if globals := pbx.CLI("dialplan show globals"); !strings.Contains(globals, "SPELLED="+tc.spelled+"\n") {
				t.Errorf("after %s the phone does not hear %s:\n%s", tc.code, tc.spelled, globals)
			}
		}
		shows(t, o, "1002", "not_set", "")

		for _, tc := range []struct{ state, subtype, spelled string }{
			{"away", "gone fishing", "away"}, {"xa", "other", "xa"}, {"not_set", "", "notset"}, {"xa", "a\nb\"]", "xa"},
		} {
			if err := o.Set("CustomPresence:1002", tc.state, tc.subtype, "with a message"); err != nil {
				t.Fatal(err)
			}
			pbx.Dial("1002", "*79", "presence-codes")
			if globals := pbx.CLI("dialplan show globals"); !strings.Contains(globals, "SPELLED="+tc.spelled+"\n") {
				t.Errorf("%s/%s is not spelled %s:\n%s", tc.state, tc.subtype, tc.spelled, globals)
			}
		}
		hints := pbx.CLI("core show hints") // 16.28 cuts names
		for _, number := range []string{"1001", "1002", "10-5", "a.b_c", "*551001", "*5510-5", "*55a.b_c"} {
			if !strings.Contains(hints, number+"@presence-h") {
				t.Errorf("core show hints lacks %s:\n%s", number, hints)
			}
		}
		quiet(t, pbx)
	})
}

func TestHintsShowTheDevicesOfDNDAndLamps(t *testing.T) {
	p := plan()
	p.Device = "" // no driver is loaded
	onReals(t, p, func(t *testing.T, pbx *pbxtest.Real, o *pbxtest.Observer) {
		for _, tc := range []struct{ number, device, state, shows string }{
			{"1001", "Custom:DND1001", "BUSY", "State:Busy"},
			{"1001", "Custom:DND1001", "UNAVAILABLE", "State:Unavailable"},
			{"*551001", "Custom:PRES1001", "ONHOLD", "State:Hold"},
			{"*5510-5", "Custom:PRES10-5", "INUSE", "State:InUse"},
		} {
			if err := o.SetDevice(tc.device, tc.state); err != nil {
				t.Fatal(err)
			}
			pbxtest.Eventually(t, time.Minute, "the hint of "+tc.number+" is "+tc.shows, func() bool {
				for line := range strings.Lines(pbx.CLI("core show hints")) {
					if strings.HasPrefix(strings.TrimSpace(line), tc.number+"@presence-h") {
						return strings.Contains(line, tc.shows)
					}
				}
				return false
			})
		}
		quiet(t, pbx)
	})
}

// quiet fails the test where Asterisk found a fault in the dialplan. Where tests run
// there are no sounds.
func quiet(t *testing.T, pbx *pbxtest.Real) {
	t.Helper()
	for line := range strings.Lines(pbx.Log()) {
		for _, file := range []string{" pbx.c", " pbx_", " app_", " ast_expr2", " config.c", " func_"} {
			if strings.Contains(line, file) && !strings.Contains(line, "beep") {
				t.Errorf("Asterisk says: %s", line)
			}
		}
	}
}

func TestACallerWhoIsNotInTheMappingSetsNothing(t *testing.T) {
	onReals(t, plan(), func(t *testing.T, pbx *pbxtest.Real, o *pbxtest.Observer) {
		for _, caller := range []string{"4711", "", "h", "s", "1001)=dnd", "${EXTEN}", `1001"`, "1001,1", "_X.", "presencebridge-x-canary"} {
			before := len(o.Seen())
			pbx.Dial(caller, "*74", "presence-codes")
			o.CatchUp()
			for _, c := range o.Seen()[before:] {
				// What is left of a name when what no number has is taken out may be a number.
				if c.State == "dnd" && c.Presentity != "CustomPresence:1001" {
					t.Errorf("caller %q set %+v", caller, c)
				}
			}
		}
		shows(t, o, "4711", "not_set", "")
	})
}

func TestHostileTextsAreNoDialplan(t *testing.T) {
	const evil = "x\n[presence-codes]\nexten => *99,1,System(id)\n;-- ${SHELL(id)} \",;]=>\\ #exec id"
	p := plan()
	p.PBX = "main"
	for i := range p.Types {
		p.Types[i].ID, p.Types[i].Name, p.Types[i].Color = presence.TypeID(fmt.Sprint(i, evil)), evil, evil
		p.Types[i].Asterisk = &presence.Image{State: presence.Away, Subtype: fmt.Sprint(i) + evil}
	}
	for i := range p.Numbers {
		p.Numbers[i].User = evil
	}
	onReals(t, p, func(t *testing.T, pbx *pbxtest.Real, o *pbxtest.Observer) {
		loaded := pbx.CLI("dialplan show presence-codes")
		if strings.Contains(loaded, "*99") || strings.Contains(loaded, "System") || !strings.Contains(loaded, "'*79'") {
			t.Errorf("loaded:\n%s", loaded)
		}
		pbx.Dial("1001", "*71", "presence-codes")
		shows(t, o, "1001", "away", "1"+evil)
		pbx.Dial("1001", "*79", "presence-codes")
		if globals := pbx.CLI("dialplan show globals"); !strings.Contains(globals, "SPELLED=1x") {
			t.Errorf("globals:\n%s", globals)
		}
		quiet(t, pbx)
	})
}
