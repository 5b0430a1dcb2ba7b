package main

import (
	"fmt"
	"testing"

	"github.com/presencebridge/presencebridge/pkg/pbxsim"
	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

const lunchPauses = `
statuses:
  - {id: available, name: Available, base: connected, color: "#2e7d32", asterisk: available}
  - {id: lunch,     name: Lunch,     base: absent,    color: "#ef6c00", asterisk: {state: away, subtype: lunch}, queue_pause: true}
  - {id: training,  name: In training, base: busy,    color: "#6a1b9a", queue_pause: true}
users:
  - {id: alice, extensions: ["1001", "1002"]}
  - {id: bob,   extensions: ["1003"]}
`

// member waits until a member of a queue is paused for a reason; "-": until it is not.
func (p phone) member(queue, iface, want string) {
	p.t.Helper()
	pbxtest.Eventually(p.t, patience, fmt.Sprintf("%s in %s is paused by %q", iface, queue, want), func() bool {
		paused, reason, err := p.Member(queue, iface)
		return err == nil && (paused && reason == want || !paused && want == "-")
	})
}

func TestQueuesSendNoCallsAtLunch(t *testing.T) {
	const desk, agent, bob = "PJSIP/1001", "Local/1002@from-queue/n", "PJSIP/1003"
	queues := []pbxsim.Member{
		{Queue: "support", Interface: desk}, {Queue: "support", Interface: bob}, {Queue: "sales", Interface: bob},
	}
	pbxtest.Run(t, pbxtest.Options{Queues: queues}, func(t *testing.T, pbx pbxtest.PBX) {
		r, p := configure(t, lunchPauses, pbx), phone{t, pbxtest.Observe(t, pbx)}
		r.withPBX(`queue_members: ["PJSIP/{extension}", "Local/{extension}@from-queue/n"]`)
		if err := p.AddMember("sales", agent); err != nil {
			t.Fatal(err)
		}
		r.startReady()
		p.set("1001", "away", "lunch", "Back at 2")
		p.member("support", desk, "presencebridge: Lunch")
		p.member("sales", agent, "presencebridge: Lunch")
		r.says(0, "explain alice", "Lunch pauses the members of queues that they are")
		r.set("alice", "training", "") // of which phones know nothing
		p.member("support", desk, "presencebridge: In training")
		p.set("1002", "available", "", "")
		p.member("support", desk, "-")
		p.member("sales", agent, "-")

		// What others do stays.
		if err := p.PauseMember("sales", bob, true, "coffee"); err != nil {
			t.Fatal(err)
		}
		p.set("1002", "available", "", "had coffee") // the bridge has heard of the pause once it shows this
		r.showsMessage("alice", "available", "had coffee")
		r.set("bob", "lunch", "")
		p.member("support", bob, "presencebridge: Lunch")
		p.member("sales", bob, "coffee")
		r.set("bob", "available", "")
		p.member("support", bob, "-")
		p.member("sales", bob, "coffee")

		// Downtime of the bridge: nobody is stuck in a pause.
		r.set("alice", "lunch", "")
		p.member("sales", agent, "presencebridge: Lunch")
		r.settled("alice")
		r.kill()
		p.set("1001", "available", "", "")
		p.set("1002", "available", "", "")
		r.startReady()
		r.shows("alice", "available")
		p.member("support", desk, "-")
		p.member("sales", agent, "-")

		// Downtime of the PBX, which forgets who stands in queues.conf and keeps the others.
		r.set("alice", "lunch", "")
		p.member("support", desk, "presencebridge: Lunch")
		pbx.Restart()
		r.ready()
		p.member("support", desk, "presencebridge: Lunch")
		p.member("sales", agent, "presencebridge: Lunch")
		r.set("alice", "available", "")
		p.member("support", desk, "-")
		p.member("sales", agent, "-")
	})
}
