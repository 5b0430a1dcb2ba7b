package asterisk_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/connector/asterisk"
	"github.com/presencebridge/presencebridge/pkg/pbxsim"
)

const desk, agent = "PJSIP/1001", "Local/1001@from-queue/n"

// queued makes members of what extensions are called as phones and as agents.
func queued(cfg *asterisk.Config) {
	cfg.Members = []string{"PJSIP/{extension}", "Local/{extension}@from-queue/n"}
}

// withQueues is a PBX with an extension in two queues, and somebody else.
func withQueues() pbxsim.Config {
	users := pbxsim.DefaultUsers()
	users[0].Read, users[0].Write = "system,call,agent", "call,reporting,agent"
	return pbxsim.Config{Users: users, Members: []pbxsim.Member{
		{Queue: "sales", Interface: desk}, {Queue: "support", Interface: agent, Dynamic: true}, {Queue: "support", Interface: "Agent/7"},
	}}
}

// pauses tells who is paused and why, in the order of the members.
func (b *bubble) pauses() (all []string) {
	synctest.Wait()
	for _, m := range b.sim.Members() {
		if m.Paused {
			all = append(all, m.Queue+" "+m.Interface+" "+m.Reason)
		}
	}
	return all
}

func (b *bubble) wantPauses(want ...string) {
	b.t.Helper()
	if got := b.pauses(); !slices.Equal(got, want) {
		b.t.Errorf("paused are %q, want %q", got, want)
	}
}

func (b *bubble) wantWrites(n int) {
	b.t.Helper()
	synctest.Wait()
	if got := b.sim.Stats().Actions["QueuePause"]; got != n {
		b.t.Errorf("%d pauses written, want %d", got, n)
	}
}

// supervise pauses a member or lets it go on, as somebody else does.
func (b *bubble) supervise(queue, iface string, paused bool, reason string) {
	b.t.Helper()
	if !b.sim.PauseMember(queue, iface, paused, reason) {
		b.t.Fatalf("no %s in %s", iface, queue)
	}
	synctest.Wait()
}

const (
	lunchSales   = "sales " + desk + " presencebridge: Lunch"
	lunchSupport = "support " + agent + " presencebridge: Lunch"
)

// inQueues is inBubble with a connector that is ready.
func inQueues(t *testing.T, test func(*bubble, *asterisk.Connector)) {
	inBubble(t, withQueues(), func(_ *testing.T, b *bubble) {
		c, w := b.connect(queued)
		w.Ready()
		b.pass(5 * time.Second)
		test(b, c)
	})
}

func TestMembersArePausedWithAStatusAndGoOnWithoutIt(t *testing.T) {
	inQueues(t, func(b *bubble, c *asterisk.Connector) {
		c.Pause("1001", "")
		b.wantWrites(0)
		c.Pause("1001", "Lunch")
		b.wantPauses(lunchSales, lunchSupport)
		c.Pause("1001", "Lunch")
		b.wantWrites(2)
		c.Pause("1001", "Meeting")
		b.wantPauses("sales "+desk+" presencebridge: Meeting", "support "+agent+" presencebridge: Meeting")
		c.Pause("1001", "")
		b.wantPauses()
		b.pass(20 * time.Minute)
		b.wantPauses()
		b.wantWrites(6)
	})
}

func TestWhatSomebodyElsePausedIsNotUndone(t *testing.T) {
	inQueues(t, func(b *bubble, c *asterisk.Connector) {
		b.supervise("sales", desk, true, "coffee")
		c.Pause("1001", "Lunch")
		b.wantPauses("sales "+desk+" coffee", lunchSupport)
		c.Pause("1001", "")
		b.wantPauses("sales " + desk + " coffee")
		c.Pause("1001", "Lunch")
		b.wantPauses("sales "+desk+" coffee", lunchSupport)
		b.supervise("support", agent, true, "coffee") // takes ours over
		c.Pause("1001", "")
		b.wantPauses("sales "+desk+" coffee", "support "+agent+" coffee")
	})
}

func TestAMemberThatSomebodyLetsGoOnIsLeftAloneUntilTheStatusChanges(t *testing.T) {
	inQueues(t, func(b *bubble, c *asterisk.Connector) {
		c.Pause("1001", "Lunch")
		b.wantPauses(lunchSales, lunchSupport)
		b.supervise("sales", desk, false, "")
		b.pass(20 * time.Minute) // lists
		b.wantPauses(lunchSupport)
		b.network.Cut()
		b.pass(time.Minute)
		b.wantPauses(lunchSupport)
		c.Pause("1001", "Meeting")
		b.wantPauses("sales "+desk+" presencebridge: Meeting", "support "+agent+" presencebridge: Meeting")
	})
}

func TestPausesAreRightAfterDowntime(t *testing.T) {
	cfg := withQueues()
	cfg.Members[1].Paused, cfg.Members[1].Reason = true, "presencebridge: Lunch" // of an earlier life of the bridge
	inBubble(t, cfg, func(t *testing.T, b *bubble) {
		c, w := b.connect(queued)
		c.Pause("1001", "")
		w.Ready()
		b.pass(time.Second)
		b.wantPauses()
		b.wantWrites(1)

		c.Pause("1001", "Lunch")
		b.wantPauses(lunchSales, lunchSupport)
		b.sim.Stop()
		w.AwaitKind(connector.Down)
		b.start() // who stands in queues.conf is not paused any more
		w.Ready()
		b.pass(time.Second)
		b.wantPauses(lunchSales, lunchSupport)
		b.wantWrites(4)

		b.sim.Stop()
		w.AwaitKind(connector.Down)
		c.Pause("1001", "")
		b.start()
		w.Ready()
		b.pass(time.Second)
		b.wantPauses()
	})
}

func TestAnAgentWhoLogsInDuringLunchIsPaused(t *testing.T) {
	inQueues(t, func(b *bubble, c *asterisk.Connector) {
		c.Pause("1001", "Lunch")
		b.wantPauses(lunchSales, lunchSupport)
		b.sim.RemoveMember("support", agent)
		b.sim.AddMember(pbxsim.Member{Queue: "support", Interface: agent})
		b.wantPauses(lunchSales, lunchSupport)
		b.sim.RemoveMember("support", agent)
		synctest.Wait()
		c.Pause("1001", "")
		b.wantWrites(4) // nothing for who is gone
		b.wantPauses()
	})
}

func TestWhoIsLeftAloneGoesOnAndStaysSo(t *testing.T) {
	inQueues(t, func(b *bubble, c *asterisk.Connector) {
		c.Pause("1001", "Lunch")
		c.Unpause("1001")
		b.wantPauses()
		b.pass(10 * time.Minute)
		b.supervise("sales", desk, true, "presencebridge: Lunch") // another bridge's from now on
		b.pass(20 * time.Minute)
		b.wantPauses(lunchSales)
	})
	inQueues(t, func(b *bubble, c *asterisk.Connector) {
		c.Pause("1001", "Lunch")
		synctest.Wait()
		b.sim.Stop()
		c.Unpause("1001") // while nobody listens
		b.start()
		b.pass(time.Minute)
		b.wantPauses()
	})
}

func TestPauseAndBackInOneMomentEndsRight(t *testing.T) {
	inQueues(t, func(b *bubble, c *asterisk.Connector) {
		for range 50 {
			c.Pause("1001", "Lunch")
			c.Pause("1001", "")
			c.Pause("1001", "Lunch")
		}
		b.wantPauses(lunchSales, lunchSupport)
		for range 50 {
			c.Pause("1001", "")
			c.Pause("1001", "Lunch")
			c.Pause("1001", "")
		}
		b.wantPauses()
		b.pass(20 * time.Minute)
		b.wantPauses()
	})
}

func TestTwoWhoPauseOneMemberDoNotGoInACircle(t *testing.T) {
	inQueues(t, func(b *bubble, c *asterisk.Connector) {
		other, w := b.connect(queued, func(cfg *asterisk.Config) { cfg.Instance = "b" })
		w.Ready()
		b.pass(5 * time.Second)
		c.Pause("1001", "Lunch")
		other.Pause("1001", "")
		b.pass(time.Hour)
		if n := b.sim.Stats().Actions["QueuePause"]; n > 2*2*15 {
			t.Errorf("%d pauses written in an hour of twelve lists each, want no more than a pair for each", n)
		}
	})
}

func TestAReloadOfQueuesConfDuringLunchLeavesNobodyPaused(t *testing.T) {
	inQueues(t, func(b *bubble, c *asterisk.Connector) {
		c.Pause("1001", "Lunch")
		b.wantPauses(lunchSales, lunchSupport)
		b.sim.ReloadQueues()
		b.pass(20 * time.Minute)
		b.wantPauses(lunchSales, lunchSupport) // with the reason again
		b.sim.ReloadQueues()
		b.pass(20 * time.Minute)
		c.Pause("1001", "")
		b.wantPauses()
	})
}

func TestAPauseOfOnesOwnThatEndsDuringLunchGivesWayToLunch(t *testing.T) {
	inQueues(t, func(b *bubble, c *asterisk.Connector) {
		b.supervise("sales", desk, true, "coffee")
		c.Pause("1001", "Lunch")
		b.wantPauses("sales "+desk+" coffee", lunchSupport)
		b.supervise("sales", desk, false, "")
		b.wantPauses(lunchSales, lunchSupport)
		b.supervise("sales", desk, false, "") // but whoever ends that has decided it
		b.pass(20 * time.Minute)
		b.wantPauses(lunchSupport)
	})
}

func TestWhereEventsOfMembersDoNotComeHealthSaysSo(t *testing.T) {
	cfg := withQueues()
	cfg.Users[0].Read = "system,call"
	inBubble(t, cfg, func(t *testing.T, b *bubble) {
		c, w := b.connect(queued)
		w.Ready()
		b.pass(5 * time.Second)
		c.Pause("1001", "Lunch")
		b.wantPauses(lunchSales, lunchSupport)
		b.pass(20 * time.Minute)
		if why := c.Health().Reason; !strings.Contains(why, "set read = system,call,agent for [bridge]") {
			t.Errorf("health says %q", why)
		}
		c.Pause("1001", "")
		b.wantPauses()
	})
}

func TestTheTemplateThatSaysMostWins(t *testing.T) {
	cfg := withQueues()
	cfg.Members = []pbxsim.Member{{Queue: "sales", Interface: "PJSIP/desk-1001"}, {Queue: "support", Interface: "pjsip/1001"}, {Queue: "support", Interface: "PJSIP/é"}}
	inBubble(t, cfg, func(t *testing.T, b *bubble) {
		c, w := b.connect(func(cfg *asterisk.Config) { cfg.Members = []string{"PJSIP/{extension}", "PJSIP/desk-{extension}"} })
		w.Ready()
		c.Pause("1001", "Lunch")
		b.pass(20 * time.Minute)
		b.wantPauses("sales PJSIP/desk-1001 presencebridge: Lunch", "support pjsip/1001 presencebridge: Lunch") // names have no case
	})
}

func TestABadNameKeepsNobodyElsePaused(t *testing.T) {
	for what, name := range map[string]string{"a header": "x\r\nPaused: 0", "a frame": "x\r\n\r\nEvent: QueueMember\r\nQueue: sales"} {
		t.Run(what, func(t *testing.T) {
			inQueues(t, func(b *bubble, c *asterisk.Connector) {
				c.Pause("1001", "Lunch")
				b.wantPauses(lunchSales, lunchSupport)
				b.sim.AddMember(pbxsim.Member{Queue: "support", Interface: "Local/9@x", Name: name})
				b.network.Cut()
				b.pass(time.Minute)
				c.Pause("1001", "")
				b.pass(20 * time.Minute)
				b.wantPauses()
				if why := c.Health().Reason; what == "a header" && !strings.Contains(why, "line breaks") { // a frame is refused, and counted
					t.Errorf("health says %q", why)
				}
			})
		})
	}
}

func TestReasonsFitTheQueueLog(t *testing.T) {
	inQueues(t, func(b *bubble, c *asterisk.Connector) {
		c.Pause("1001", "Lunch; or|not,\n"+strings.Repeat("é", 50))
		for _, m := range b.pauses() {
			if !strings.HasSuffix(m, "presencebridge: Lunch  or not  "+strings.Repeat("é", 24)) {
				t.Errorf("paused is %q", m)
			}
		}
	})
}

func TestWithoutTheRightForAgentsHealthSaysWhatToDo(t *testing.T) {
	cfg := withQueues()
	cfg.Users = nil
	inBubble(t, cfg, func(t *testing.T, b *bubble) {
		c, w := b.connect(queued)
		w.Ready()
		c.Pause("1001", "Lunch")
		b.pass(20 * time.Minute)
		b.wantPauses()
		if why := c.Health().Reason; !strings.Contains(why, "write = call,reporting,agent for [bridge] in manager.conf") {
			t.Errorf("health says %q", why)
		}
		if n := strings.Count(b.log.String(), `"msg":"members of queues are not paused"`); n != 1 {
			t.Errorf("logged %d times, want once", n)
		}
	})
}

func TestAMemberWithALineBreakInItsNameForgesNoOther(t *testing.T) {
	inBubble(t, withQueues(), func(t *testing.T, b *bubble) {
		b.sim.AddMember(pbxsim.Member{Queue: "support", Interface: "Local/9@x", Name: "x\r\nLocation: " + desk + "\r\nInterface: " + desk + "\r\nPaused: 0"})
		c, w := b.connect(queued)
		w.Ready()
		c.Pause("1001", "Lunch")
		b.pass(20 * time.Minute)
		b.wantPauses(lunchSales, lunchSupport)
		b.wantWrites(2)
		if why := c.Health().Reason; !strings.Contains(why, "line breaks") {
			t.Errorf("health says %q", why)
		}
		b.sim.RemoveMember("support", "Local/9@x")
		b.pass(20 * time.Minute)
		b.wantPauses(lunchSales, lunchSupport)
		if why := c.Health().Reason; why != "" {
			t.Errorf("health says %q", why)
		}
	})
}
