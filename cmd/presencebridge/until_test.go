package main

import (
	"strings"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

// A break of a minute would be a minute of this test.
var withBreaks = strings.NewReplacer(`asterisk: {state: away, subtype: lunch}`, `asterisk: {state: away, subtype: lunch}, lasts: 3s`).Replace(`
sync: {until_text: "until {time}"}` + statuses + `
users:
  - {id: alice, extensions: ["1001", "1002"]}
`)

func TestABreakEndsByItselfOnPhonesAndInThePanel(t *testing.T) {
	pbxtest.RunTogether(t, pbxtest.Options{}, func(t *testing.T, pbx pbxtest.PBX) {
		r, p := configure(t, withBreaks, pbx), phone{t, pbxtest.Observe(t, pbx)}
		r.startReady()
		p.set("1001", "available", "", "at my desk")
		was := r.shows("alice", "available").Status.Since

		p.set("1001", "away", "lunch", "soup")
		if u := r.showsMessage("alice", "lunch", "soup"); u.Status.Until == nil || u.Status.Until.Sub(u.Status.Since).Round(time.Second) != 3*time.Second {
			t.Errorf("pressed: %+v", u.Status)
		}
		p.sees("1001", "available", "", "at my desk")
		if u := r.showsMessage("alice", "available", "at my desk"); !u.Status.Since.Equal(was) || u.Status.By != "expiry" {
			t.Errorf("after the break %+v, want since %v", u.Status, was)
		}
		r.settled("alice")

		u := r.set("alice", "lunch", "soup") // lasts
		if u.Status.Message != "soup" || u.Status.Until == nil {
			t.Errorf("chosen: %+v", u.Status)
		}
		text := "soup, until " + u.Status.Until.In(time.Local).Format("15:04")
		pbxtest.Eventually(t, patience, "a phone tells the return time", func() bool {
			for _, c := range p.Seen() { // it may be over already
				if c.Presentity == at("1002") && c.Message == text {
					return true
				}
			}
			return false
		})
		r.showsMessage("alice", "available", "at my desk")
		p.sees("1001", "available", "", "at my desk")
		p.sees("1002", "not_set", "", "")

		r.says(0, "set alice lunch --until never", "Lunch")
		p.sees("1001", "away", "lunch", "")
		if u := r.settled("alice"); u.Status.Until != nil {
			t.Errorf("until never: %+v", u.Status)
		}
		r.says(0, "history alice", "Lunch", "expiry")
	})
}
