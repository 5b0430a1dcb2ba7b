package pbxsim_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/presencebridge/presencebridge/pkg/pbxsim"
	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

// TestEveryAsteriskSpeaksOfQueuesAsItsTranscript is the conversation about members of
// queues, as TestEveryAsteriskSpeaksAsItsTranscript is that about presence.
func TestEveryAsteriskSpeaksOfQueuesAsItsTranscript(t *testing.T) {
	o := quick
	o.Users = []pbxsim.User{
		{Name: "agent", Secret: "agent-secret", Read: "agent", Write: "agent"},
		{Name: "other", Secret: "other-secret", Read: "call", Write: "call"},
	}
	o.Queues = []pbxsim.Member{{Queue: "support", Interface: "PJSIP/1001", Name: "Alice"}}
	transcribe(t, o, "-queues", converseOfQueues)
}

func converseOfQueues(t *testing.T, p pbxtest.PBX) []byte {
	t.Helper()
	var log bytes.Buffer
	fmt.Fprint(&log, "# A conversation about queues, written by go test -update ./pkg/pbxsim; what differs each time stands in (brackets).\n\n")
	open := func(user string) *client {
		c := login(t, p.Addr(), p.User(user))
		c.log = &log
		return c
	}
	c := open("other")
	c.remark("an account without the right for agents")
	c.ask("Action: QueuePause", "Interface: PJSIP/1001", "Paused: true")
	c.ask("Action: QueueStatus")
	c.await("Event: QueueStatusComplete")
	c = open("agent")
	members(c)
	c.remark("queues.conf is changed and read again: a static member forgets why")
	p.ReloadQueues()
	c.queueStatus()
	c.remark("restart: who was added is there, and paused; who stands in queues.conf is not paused")
	p.Restart()
	c = open("agent")
	c.queueStatus()
	return log.Bytes()
}

func (c *client) queueStatus() {
	c.t.Helper()
	c.send("Action: QueueStatus")
	c.await("Event: QueueStatusComplete")
}

// members are pauses, taken or refused, with their events.
func members(c *client) {
	pause := func(claim string, event bool, lines ...string) {
		c.t.Helper()
		c.remark(claim)
		c.ask(append([]string{"Action: QueuePause"}, lines...)...)
		if event {
			c.await("Event: QueueMemberPause")
		}
	}
	c.queueStatus()
	c.remark("an agent logs in to a second queue")
	c.ask("Action: QueueAdd", "Queue: support", "Interface: Local/1002@from-queue/n", "MemberName: Bob")
	c.await("Event: QueueMemberAdded")
	pause("a pause", true, "Queue: support", "Interface: PJSIP/1001", "Paused: true", "Reason: presencebridge: Déjeuner")
	pause("the same again is told again", true, "Queue: support", "Interface: PJSIP/1001", "Paused: true", "Reason: presencebridge: Déjeuner")
	pause("another reason", true, "Queue: support", "Interface: PJSIP/1001", "Paused: true", "Reason: coffee")
	pause("no reason", true, "Queue: support", "Interface: PJSIP/1001", "Paused: true")
	pause("its end, with a reason", true, "Queue: support", "Interface: PJSIP/1001", "Paused: false", "Reason: presencebridge")
	pause("its end again, without", true, "Queue: support", "Interface: PJSIP/1001", "Paused: false")
	pause("in all queues", true, "Interface: Local/1002@from-queue/n", "Paused: true", "Reason: "+strings.Repeat("x", 79))
	pause("a long reason is cut", true, "Interface: Local/1002@from-queue/n", "Paused: true", "Reason: "+strings.Repeat("y", 100))
	pause("nobody", false, "Queue: support", "Interface: PJSIP/9999", "Paused: true")
	pause("in no such queue", false, "Queue: nowhere", "Interface: PJSIP/1001", "Paused: true")
	pause("names have no case", true, "Queue: support", "Interface: pjsip/1001", "Paused: true")
	pause("no interface", false, "Queue: support", "Paused: true")
	c.queueStatus()
	c.remark("the agent logs out and in: not paused")
	c.ask("Action: QueueRemove", "Queue: support", "Interface: Local/1002@from-queue/n")
	c.await("Event: QueueMemberRemoved")
	c.ask("Action: QueueAdd", "Queue: support", "Interface: Local/1002@from-queue/n", "MemberName: Bob")
	c.await("Event: QueueMemberAdded")
	pause("paused before the restart", true, "Queue: support", "Interface: Local/1002@from-queue/n", "Paused: true", "Reason: presencebridge: Lunch")
	pause("so is the other", true, "Queue: support", "Interface: PJSIP/1001", "Paused: true", "Reason: presencebridge: Lunch")
}
