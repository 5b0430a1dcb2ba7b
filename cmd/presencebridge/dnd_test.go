package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

// TestFeatureCodesPhonesAndPanelAgreeAboutDND sets devices as feature codes do.
func TestFeatureCodesPhonesAndPanelAgreeAboutDND(t *testing.T) {
	pbxtest.RunTogether(t, pbxtest.Options{}, func(t *testing.T, pbx pbxtest.PBX) {
		r, p := configure(t, threeMethods, pbx), phone{t, pbxtest.Observe(t, pbx)}
		r.withPBX(`dnd: "Custom:DND{extension}"`)
		press := func(number, state string) {
			t.Helper()
			if err := p.SetDevice("Custom:DND"+number, state); err != nil {
				t.Fatal(err)
			}
		}
		press("1003", "BUSY") // before there was a bridge, and no presence ever was set
		r.startReady()
		r.shows("bob", "dnd")
		p.sees("1003", "dnd", "", "")

		p.set("1001", "away", "lunch", "Back at 2")
		r.showsMessage("alice", "lunch", "Back at 2")
		press("1001", "INUSE")
		r.shows("alice", "dnd")
		p.sees("1001", "dnd", "", "")
		r.says(0, "explain alice", "its device is on, since ")
		press("1001", "NOT_INUSE")
		r.showsMessage("alice", "lunch", "Back at 2")
		p.sees("1001", "away", "lunch", "Back at 2")

		r.set("alice", "dnd", "") // outgoing: all
		p.device("Custom:DND1001", "BUSY")
		p.device("Custom:DND1002", "BUSY")
		p.set("1002", "available", "", "")
		p.device("Custom:DND1002", "UNAVAILABLE")
		p.device("Custom:DND1001", "BUSY") // a phone's change is never copied
		r.settled("alice")

		r.stop()
		press("1002", "BUSY")
		r.startReady()
		r.shows("alice", "dnd")
		p.sees("1002", "dnd", "", "")
		pbx.Restart()
		r.ready()
		r.set("alice", "lunch", "")
		p.device("Custom:DND1001", "UNAVAILABLE")
		p.device("Custom:DND1002", "UNAVAILABLE")

		r.settled("alice")
		p.CatchUpDevices()
		before, devices := p.writes("1001", "1002"), len(p.SeenDevices())
		press("1001", "BUSY")
		p.sees("1001", "dnd", "", "")
		r.settled("alice")
		p.CatchUpDevices()
		if n, d := p.writes("1001", "1002")-before, len(p.SeenDevices())-devices; n != 1 || d != 3 { // and two of the fence
			t.Errorf("%d presences and %d states of devices for one press of a key", n, d-2)
		}

		r.stop()
		r.without(`    dnd: "Custom:DND{extension}"` + "\n")
		r.startReady()
		pbxtest.Eventually(t, time.Minute, "a device that is not configured any more is forgotten", func() bool {
			out, code := r.run("explain", "alice")
			return code == 0 && !strings.Contains(out, "its device")
		})
		r.shows("alice", "dnd") // which the phone shows still
	})
}

// without takes lines out of presencebridge.yaml.
func (r *running) without(lines string) {
	r.t.Helper()
	text, err := os.ReadFile(filepath.Join(r.dir, "presencebridge.yaml"))
	if err != nil || !strings.Contains(string(text), lines) {
		r.t.Fatalf("%v: no %q in\n%s", err, lines, text)
	}
	r.write("presencebridge.yaml", strings.Replace(string(text), lines, "", 1))
}
