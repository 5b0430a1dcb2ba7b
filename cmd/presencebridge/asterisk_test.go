package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/presencebridge/presencebridge/pkg/pbxsim"
	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

// These tests run the program as an operator does, on the simulated PBX and on
// every real Asterisk there is. amigo, not our own client, is the phone.

const statuses = `
statuses:
  - {id: available, name: Available, base: connected, color: "#2e7d32", asterisk: available}
  - {id: away,      name: Away,      base: absent,    color: "#f9a825", asterisk: away}
  - {id: lunch,     name: Lunch,     base: absent,    color: "#ef6c00", asterisk: {state: away, subtype: lunch}}
  - {id: meeting,   name: Meeting,   base: busy,      color: "#c62828", asterisk: {state: xa, subtype: meeting}}
  - {id: dnd,       name: Do not disturb, base: busy, color: "#b71c1c", asterisk: dnd}
  - {id: training,  name: In training,    base: busy, color: "#6a1b9a"}
`

const threeMethods = `
sync: {incoming: latest, outgoing: all, priority: [dnd, meeting, lunch, away, available]}` + statuses + `
users:
  - {id: alice, extensions: ["1001", "1002"]}
  - {id: bob,   extensions: ["1003", "1004"], incoming: priority}
  - {id: carol, extensions: ["1005", "1006"], incoming: default, outgoing: default, default_extension: "1006"}
  - {id: dave,  extensions: ["1007", "1008"], outgoing: default}
`

func at(number string) string { return "CustomPresence:" + number }

// phone is a phone's owner: a change it makes must be taken.
type phone struct {
	t *testing.T
	*pbxtest.Observer
}

func (p phone) set(number, state, subtype, message string) {
	p.t.Helper()
	if err := p.Set(at(number), state, subtype, message); err != nil {
		p.t.Fatal(err)
	}
}

// sees waits until an extension shows a state and subtype, "*" for any message.
func (p phone) sees(number, state, subtype, message string) {
	p.t.Helper()
	pbxtest.Eventually(p.t, patience, number+" shows "+state+"/"+subtype+" "+message, func() bool {
		c, err := p.Shows(at(number))
		return err == nil && c.State == state && c.Subtype == subtype && (message == "*" || c.Message == message)
	})
}

// writes counts the events so far of these extensions. Asterisk answers before it
// sends the event, so they are counted behind the event of a write of our own.
func (p phone) writes(numbers ...string) (n int) {
	p.t.Helper()
	p.CatchUp()
	for _, c := range p.Seen() {
		for _, number := range numbers {
			if c.Presentity == at(number) {
				n++
			}
		}
	}
	return n
}

func TestStatusFollowsThePhonesByEachMethodAndReachesThem(t *testing.T) {
	overEach(t, func(t *testing.T, pbx pbxtest.PBX, over string) {
		r, p := configureOver(t, over, threeMethods, pbx), phone{t, pbxtest.Observe(t, pbx)}
		r.startReady()
		r.shows("alice", "-")

		p.set("1001", "away", "lunch", "Back at 2")
		r.showsMessage("alice", "lunch", "Back at 2")
		p.set("1002", "available", "", "")
		r.shows("alice", "available")
		p.set("1001", "dnd", "", "")
		r.shows("alice", "dnd")

		p.set("1003", "away", "", "")
		r.shows("bob", "away")
		p.set("1004", "dnd", "", "")
		r.shows("bob", "dnd")
		p.set("1003", "xa", "meeting", "")
		r.settled("bob")
		r.shows("bob", "dnd") // ranks above meeting
		p.set("1004", "available", "", "")
		r.shows("bob", "meeting")

		p.set("1005", "dnd", "", "") // not carol's default
		p.set("1006", "away", "", "")
		r.shows("carol", "away")

		r.set("alice", "meeting", "room 5")
		p.sees("1001", "xa", "meeting", "room 5")
		p.sees("1002", "xa", "meeting", "room 5")
		r.set("carol", "available", "")
		p.sees("1006", "available", "", "")
		p.sees("1005", "dnd", "", "") // outgoing: default
		r.set("dave", "dnd", "")
		p.sees("1007", "dnd", "", "")
		p.sees("1008", "not_set", "", "")

		r.settled("alice")
		before := p.writes("1001", "1002")
		r.set("alice", "training", "") // no presence expresses it
		r.shows("alice", "training")
		p.set("1001", "available", "", "")
		r.shows("alice", "available")
		if n := p.writes("1001", "1002") - before; n != 1 {
			t.Errorf("%d events on alice's extensions after a choice that is not mapped and one press of a key, want 1", n)
		}
		out, code := r.run("explain", "bob")
		if code != 0 || !strings.Contains(out, "1004") {
			t.Errorf("explain bob: exit %d:\n%s", code, out)
		}
	})
}

func TestMessagesArriveWholeInBothDirections(t *testing.T) {
	long := strings.Repeat("é", 127) // 254 bytes; one more would split a rune
	overEach(t, func(t *testing.T, pbx pbxtest.PBX, over string) {
		r, p := configureOver(t, over, threeMethods, pbx), phone{t, pbxtest.Observe(t, pbx)}
		r.startReady()
		for _, message := range []string{
			"Back at 2, call me, ok?", `it's "really" \ nice`, "🏖️ until Monday 🙂", "one\ntwo\r\nthree\ttab", long, strings.Repeat("x", 255),
		} {
			p.set("1001", "away", "", message)
			r.showsMessage("alice", "away", message)
			panel := strings.NewReplacer("\n", " ", "\r", " ", "\t", " ").Replace(message)
			r.set("alice", "lunch", message)
			p.sees("1001", "away", "lunch", panel)
			p.sees("1002", "away", "lunch", panel)
			r.settled("alice")
		}
		p.set("1001", "dnd", "", strings.Repeat("é", 200)) // 400 bytes: the event splits a rune
		r.showsMessage("alice", "dnd", long)
		r.set("alice", "away", strings.Repeat("é", 200))
		p.sees("1001", "away", "", long)
		r.settled("alice")
		r.showsMessage("alice", "away", long)
	})
}

func TestTheSameWriteTwiceAndUnmappedOnesChangeNothing(t *testing.T) {
	overEach(t, func(t *testing.T, pbx pbxtest.PBX, over string) {
		r, p := configureOver(t, over, threeMethods, pbx), phone{t, pbxtest.Observe(t, pbx)}
		r.startReady()
		p.set("1001", "away", "lunch", "")
		first := r.shows("alice", "lunch")
		p.set("1001", "away", "lunch", "")
		p.set("1001", "chat", "", "nobody maps chat")
		p.set("1003", "dnd", "", "") // events keep their order: when this has come, the others have
		r.shows("bob", "dnd")
		u := r.user("alice")
		if !u.Status.Since.Equal(first.Status.Since) || u.Status.Type != "lunch" {
			t.Errorf("alice is %+v, want lunch since %v", u.Status, first.Status.Since)
		}
		if got := u.Extensions[0].Presence.State.String(); got != "chat" {
			t.Errorf("1001 shows %s, want chat", got)
		}
	})
}

func TestWhatHappensWhileTheBridgeIsDownIsNotLost(t *testing.T) {
	overEach(t, func(t *testing.T, pbx pbxtest.PBX, over string) {
		r, p := configureOver(t, over, threeMethods, pbx), phone{t, pbxtest.Observe(t, pbx)}
		r.startReady()
		p.set("1002", "away", "", "")
		r.shows("alice", "away")
		p.set("1001", "dnd", "", "")
		r.shows("alice", "dnd")
		r.set("bob", "meeting", "")
		was := r.settled("bob").Status.Since
		r.settled("alice")

		r.kill() // nothing changes meanwhile: latest is right although Asterisk tells no times
		r.startReady()
		r.shows("alice", "dnd")
		if since := r.user("bob").Status.Since; !since.Equal(was) {
			t.Errorf("bob's status is since %v after a restart, want %v", since, was)
		}

		r.stop()
		p.set("1002", "xa", "meeting", "")
		r.startReady()
		r.shows("alice", "meeting") // it changed while nobody watched, so it is the latest

		r.set("alice", "available", "")
		r.kill() // accepted means accepted
		r.startReady()
		r.settled("alice")
		p.sees("1001", "available", "", "")
		p.sees("1002", "available", "", "")
		r.shows("alice", "available")
	})
}

func TestARestartedAsteriskIsBroughtBackIntoAgreement(t *testing.T) {
	overEach(t, func(t *testing.T, pbx pbxtest.PBX, over string) {
		r, p := configureOver(t, over, threeMethods, pbx), phone{t, pbxtest.Observe(t, pbx)}
		r.startReady()
		p.set("1003", "away", "", "")
		r.shows("bob", "away")
		pbx.Commit()

		r.set("alice", "meeting", "before the kill")
		r.settled("alice")
		pbx.Kill() // within the second that an AstDB loses
		pbxtest.Eventually(t, patience, "the loss is noticed", func() bool { return r.status("/readyz") == http.StatusServiceUnavailable })
		r.set("bob", "lunch", "chosen while the PBX is dead")
		pbx.Start()
		r.ready()
		p.sees("1001", "xa", "meeting", "before the kill")
		p.sees("1002", "xa", "meeting", "before the kill")
		p.sees("1003", "away", "lunch", "chosen while the PBX is dead")
		r.settled("alice")
		r.settled("bob")
		r.shows("alice", "meeting")
		r.shows("bob", "lunch")

		pbx.Commit()
		pbx.Restart()
		r.ready()
		r.shows("alice", "meeting")
		p.set("1002", "available", "", "")
		r.shows("alice", "available")
	})
}

func TestAnUnloadedModuleIsNoticedAndHeals(t *testing.T) {
	pbxtest.RunTogether(t, pbxtest.Options{}, func(t *testing.T, pbx pbxtest.PBX) {
		r, p := configure(t, threeMethods, pbx), phone{t, pbxtest.Observe(t, pbx)}
		r.startReady()
		p.set("1001", "away", "", "")
		r.shows("alice", "away")
		pbx.Unload(pbxsim.PresenceManager)
		p.set("1001", "dnd", "", "") // no event tells
		pbxtest.Eventually(t, patience, "missing events are noticed", func() bool { return r.status("/readyz") == http.StatusServiceUnavailable })
		pbx.Load(pbxsim.PresenceManager)
		r.ready()
		r.shows("alice", "dnd")
	})
}

// The module is back long before the next canary.
func TestWhatNoEventToldWhileAModuleWasAwayIsReadWhenItIsBack(t *testing.T) {
	pbxtest.Run(t, pbxtest.Options{}, func(t *testing.T, pbx pbxtest.PBX) {
		r, p := configure(t, threeMethods, pbx), phone{t, pbxtest.Observe(t, pbx)}
		r.startReady()
		p.set("1001", "away", "", "")
		r.shows("alice", "away")
		pbx.Unload(pbxsim.PresenceManager)
		p.set("1001", "dnd", "", "")
		pbx.Load(pbxsim.PresenceManager)
		r.shows("alice", "dnd")
	})
}

func TestAWrongSecretIsTriedThreeTimesAndExplained(t *testing.T) {
	pbxtest.RunTogether(t, pbxtest.Options{}, func(t *testing.T, pbx pbxtest.PBX) {
		r := configure(t, threeMethods, pbx)
		r.write("secret-main", "not the secret")
		r.start()
		pbxtest.Eventually(t, patience, "the refusals are counted", func() bool {
			return strings.Count(r.log.String(), "login refused") >= 3
		})
		var ready struct {
			Reasons []string `json:"reasons"`
		}
		r.get("/readyz", &ready)
		if text := strings.Join(ready.Reasons, " "); !strings.Contains(text, "manager.conf") {
			t.Errorf("/readyz says %q, want where to look", text)
		}
	})
}

func TestAUserOnTwoPBXs(t *testing.T) {
	for _, f := range pbxtest.All(t) {
		t.Run(f.Name, func(t *testing.T) {
			here, there := f.Start(t, pbxtest.Options{}), f.Start(t, pbxtest.Options{})
			r := configure(t, `sync: {incoming: latest, outgoing: all}`+statuses+`
users:
  - {id: bob, extensions: [{pbx: main, extension: "1003"}, {pbx: branch, extension: "2003"}]}
`, here, there)
			p, q := phone{t, pbxtest.Observe(t, here)}, phone{t, pbxtest.Observe(t, there)}
			r.startReady()
			p.set("1003", "away", "", "")
			r.shows("bob", "away")
			q.set("2003", "dnd", "", "")
			r.shows("bob", "dnd")
			r.set("bob", "lunch", "")
			p.sees("1003", "away", "lunch", "")
			q.sees("2003", "away", "lunch", "")
			r.settled("bob")

			there.Kill()
			pbxtest.Eventually(t, patience, "branch is seen to be away", func() bool { return !r.user("bob").Extensions[1].Reachable })
			p.set("1003", "available", "", "")
			r.shows("bob", "available")
			r.set("bob", "meeting", "")
			p.sees("1003", "xa", "meeting", "")
			there.Start()
			r.ready()
			q.sees("2003", "xa", "meeting", "")
			r.settled("bob")
			r.shows("bob", "meeting")
		})
	}
}
