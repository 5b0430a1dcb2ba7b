package pbxtest

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

func TestTroubleComesAndGoes(t *testing.T) {
	for _, f := range Reals(t) {
		t.Run(f.Name, func(t *testing.T) {
			pbx := started(t, f, Options{})
			pbx.probe = pbx.User("bridge") // whose login answers tries
			restore := pbx.Remove("bridge")
			if err := pbx.answers(); err == nil {
				t.Error("an account that was removed got in")
			}
			Eventually(t, time.Minute, "the refusal is logged", func() bool { return pbx.Refused("bridge") == 1 })
			if n := pbx.Refused("phone"); n != 0 {
				t.Errorf("%d refusals of somebody else", n)
			}
			restore()
			pbx.Reload()
			if err := pbx.answers(); err != nil {
				t.Errorf("an account that is back: %v", err)
			}

			state := func() string {
				stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pbx.cmd.Process.Pid))
				if err != nil {
					t.Fatal(err)
				}
				_, after, _ := strings.Cut(string(stat), ") ") // of the name; proc(5)
				return after[:1]
			}
			pbx.Pause()
			Eventually(t, time.Minute, "it stands", func() bool { return state() == "T" })
			pbx.Resume()
			if err := pbx.answers(); err != nil {
				t.Errorf("after a pause: %v", err)
			}
		})
	}
}

func TestWhatAPBXTakesAlongHasNoAnswer(t *testing.T) {
	for _, f := range Reals(t) {
		t.Run(f.Name, func(t *testing.T) {
			pbx := started(t, f, Options{})
			phone := Observe(t, pbx)
			phone.deadline = time.Hour
			pbx.Pause()
			ended := make(chan error, 1)
			go func() { ended <- phone.Set("CustomPresence:1", "away", "", "") }()
			pbx.Kill()
			if err := <-ended; err == nil {
				t.Error("a PBX that stood answered")
			}
		})
	}
}
