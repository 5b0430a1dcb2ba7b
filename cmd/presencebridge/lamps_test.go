package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

// withPBX adds settings to the first PBX.
func (r *running) withPBX(settings string) {
	r.t.Helper()
	text, err := os.ReadFile(filepath.Join(r.dir, "presencebridge.yaml"))
	if err != nil {
		r.t.Fatal(err)
	}
	with := strings.Replace(string(text), "- name: main\n", "- name: main\n    "+settings+"\n", 1)
	if with == string(text) {
		r.t.Fatalf("no PBX main in\n%s", text)
	}
	r.write("presencebridge.yaml", with)
}

// device waits until a custom device shows a state.
func (p phone) device(name, state string) {
	p.t.Helper()
	pbxtest.Eventually(p.t, patience, name+" is "+state, func() bool {
		got, err := p.Device(name)
		return err == nil && got == state
	})
}

func TestAnyPhonesLampShowsTheStatus(t *testing.T) {
	pbxtest.RunTogether(t, pbxtest.Options{Phones: []string{"1001", "1002"}}, func(t *testing.T, pbx pbxtest.PBX) {
		r, p := configure(t, withCalls, pbx), phone{t, pbxtest.Observe(t, pbx)}
		r.withPBX(`lamp: "Custom:PRES{extension}"`)
		if err := p.SetDevice("Custom:PRES1003", "INUSE"); err != nil { // of a time before the bridge
			t.Fatal(err)
		}
		r.startReady()
		p.device("Custom:PRES1003", "NOT_INUSE") // bob has no status
		p.set("1001", "away", "lunch", "")
		p.device("Custom:PRES1001", "ONHOLD")
		p.device("Custom:PRES1002", "ONHOLD")
		r.set("alice", "meeting", "")
		p.device("Custom:PRES1001", "INUSE")
		r.set("alice", "available", "")
		p.device("Custom:PRES1002", "NOT_INUSE")
		pbx.Ring("1001")
		pbx.PickUp("1001")
		p.device("Custom:PRES1002", "INUSE") // a call over the status
		pbx.HangUp("1001")
		p.device("Custom:PRES1002", "NOT_INUSE")

		r.stop()
		p.set("1003", "dnd", "", "")
		r.startReady()
		p.device("Custom:PRES1003", "INUSE")
		pbx.Restart()
		r.ready()
		r.set("bob", "lunch", "")
		p.device("Custom:PRES1003", "ONHOLD")
	})
}
