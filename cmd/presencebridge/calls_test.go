package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

const withCalls = statuses + `
  - {id: on_call, name: On a call, base: in_call, color: "#ad1457"}
  - {id: ringing, name: Ringing, base: in_call, color: "#ad1457"}
phone:
  in_call: on_call
  ringing: {status: ringing, over: [connected, absent]}
users:
  - {id: alice, extensions: ["1001", "1002"]}
  - {id: bob,   extensions: ["1003"]}
`

// does waits until the phones of a user do something.
func (r *running) does(id string, want presence.PhoneState) bridge.User {
	r.t.Helper()
	var u bridge.User
	pbxtest.Eventually(r.t, patience, id+"'s phones are "+want.String(), func() bool { u = r.user(id); return u.Phone == want })
	return u
}

// TestACallShowsOverTheStatusOfWhoHasIt makes real calls where there is a real Asterisk.
func TestACallShowsOverTheStatusOfWhoHasIt(t *testing.T) {
	pbxtest.RunTogether(t, pbxtest.Options{Phones: []string{"1001", "1002", "1003"}}, func(t *testing.T, pbx pbxtest.PBX) {
		r, p := configure(t, withCalls, pbx), phone{t, pbxtest.Observe(t, pbx)}
		r.startReady()
		r.does("alice", presence.PhoneIdle)
		p.set("1001", "available", "", "at my desk")
		was := r.shows("alice", "available").Status.Since

		pbx.Ring("1002")
		r.shows("alice", "ringing")
		pbx.PickUp("1002")
		if u := r.shows("alice", "on_call"); u.Phone != presence.PhoneInCall || u.Status.By != "extension main/1002" ||
			u.Under == nil || u.Under.Type != "available" || u.Under.Message != "at my desk" {
			t.Errorf("in a call %+v over %+v, phone %s", u.Status, u.Under, u.Phone)
		}
		out, code := r.run("explain", "alice")
		if code != 0 || !strings.Contains(out, "in a call") || !strings.Contains(out, "over Available") {
			t.Errorf("explain alice: exit %d:\n%s", code, out)
		}
		before := p.writes("1001", "1002")
		pbx.HangUp("1002")
		if u := r.shows("alice", "available"); u.Under != nil || !u.Status.Since.Equal(was) {
			t.Errorf("after the call %+v over %+v, want what was since %v", u.Status, u.Under, was)
		}

		r.set("bob", "dnd", "")
		r.settled("bob")
		pbx.Ring("1003")
		pbx.PickUp("1003")
		r.does("bob", presence.PhoneInCall)
		r.shows("bob", "dnd") // protected
		if n := p.writes("1001", "1002") - before; n != 0 {
			t.Errorf("%d presences were written for calls", n)
		}

		pbx.Ring("1001")
		pbx.PickUp("1001")
		r.shows("alice", "on_call")
		r.set("alice", "available", "ask me all the same") // wins, and stays
		r.showsMessage("alice", "available", "ask me all the same")
		r.kill()
		r.startReady()
		r.does("alice", presence.PhoneInCall)
		r.showsMessage("alice", "available", "ask me all the same")
		pbx.HangUp("1001")
		r.does("alice", presence.PhoneIdle)
		r.showsMessage("alice", "available", "ask me all the same")

		pbx.Ring("1002")
		pbx.PickUp("1002")
		r.shows("alice", "on_call")
		pbx.Commit()
		pbx.Kill() // nobody hangs up, and the call is over
		pbxtest.Eventually(t, patience, "the loss is noticed", func() bool { return r.status("/readyz") == http.StatusServiceUnavailable })
		r.shows("alice", "on_call") // believed for a while
		pbx.Start()
		r.ready()
		r.does("alice", presence.PhoneIdle)
		r.shows("alice", "available")
		r.says(0, "history alice", "On a call", "Ringing")
	})
}
