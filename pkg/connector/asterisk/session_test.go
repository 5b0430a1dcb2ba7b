package asterisk_test

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/presencebridge/presencebridge/pkg/ami"
	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/connector/asterisk"
	"github.com/presencebridge/presencebridge/pkg/pbxsim"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

func TestLoginBeforeBootWaitsForTheList(t *testing.T) {
	inBubble(t, pbxsim.Config{BootDelay: -1, AstDB: map[string]string{"1001": "away,,"}}, func(t *testing.T, b *bubble) {
		c, w := b.connect()
		b.pass(10 * time.Second)
		if h := c.Health(); !h.Connected || h.Ready || !strings.Contains(h.Reason, "still booting") {
			t.Errorf("while the PBX boots: %+v", h)
		}
		if n := len(w.Reports()); n != 0 {
			t.Errorf("%d reports while the PBX boots", n)
		}
		b.sim.Boot()
		if got := w.Ready().Shows; got["1001"].State != presence.Away {
			t.Errorf("the first snapshot shows %v", got)
		}
		if h := c.Health(); !h.Ready || h.Version != "22.10.1" || h.Reason != "" {
			t.Errorf("when ready: %+v", h)
		}
	})
}

func TestBootIsAwaitedWithoutAsking(t *testing.T) {
	inBubble(t, pbxsim.Config{BootDelay: time.Second}, func(t *testing.T, b *bubble) {
		_, w := b.connect()
		w.Ready()
		if n := b.lists(); n != 1 {
			t.Errorf("the list was asked for %d times, want once, after FullyBooted", n)
		}
	})
}

func TestRefusedLoginsAreBounded(t *testing.T) {
	inBubble(t, pbxsim.Config{}, func(t *testing.T, b *bubble) {
		var mu sync.Mutex
		var dials []time.Time
		b.network.Base = func(ctx context.Context, network, address string) (net.Conn, error) {
			mu.Lock()
			defer mu.Unlock()
			dials = append(dials, time.Now())
			return b.Dial(ctx, network, address)
		}
		c, w := b.connect(func(cfg *asterisk.Config) { cfg.AMI.Secret = ami.NewSecret("wrong-secret") })
		b.pass(2 * time.Hour)
		mu.Lock()
		defer mu.Unlock()
		if len(dials) < 30 {
			t.Errorf("%d tries in two hours: it has given up", len(dials))
		}
		for i := 3; i < len(dials); i++ {
			if gap := dials[i].Sub(dials[i-3]); gap < 10*time.Minute {
				t.Errorf("4 tries within %s", gap)
			}
		}
		h := c.Health()
		if h.Connected || !strings.Contains(h.Reason, "[bridge] in manager.conf") {
			t.Errorf("health: %+v", h)
		}
		if n := len(w.Reports()); n != 0 {
			t.Errorf("%d reports without a session", n)
		}
		if n := strings.Count(b.log.String(), `"level":"warn"`); n != 1 {
			t.Errorf("%d warnings about the same trouble, want 1", n)
		}
	})
}

func TestUnreachablePBXIsTriedForEver(t *testing.T) {
	inBubble(t, pbxsim.Config{}, func(t *testing.T, b *bubble) {
		b.sim.Stop()
		c, w := b.connect()
		b.pass(time.Hour)
		if h := c.Health(); h.Connected || !strings.Contains(h.Reason, "connection refused") || !strings.Contains(h.Reason, "check that Asterisk runs") {
			t.Errorf("health: %+v", h)
		}
		b.sim.HoldEvents()
		b.start()
		for !c.Health().Connected {
			b.pass(time.Second)
		}
		if h := c.Health(); h.Ready || strings.Contains(h.Reason, "refused") {
			t.Errorf("health when the PBX is back: %+v", h)
		}
		b.sim.Release()
		w.AwaitFor(31*time.Second, "the first snapshot", func(r connector.Report) bool { return r.Kind == connector.Snapshot })
	})
}

func TestMissingRightsAreNamed(t *testing.T) {
	users := []pbxsim.User{
		{Name: "reader", Secret: "reader-secret", Read: "system,call", Write: "reporting"},
		{Name: "writer", Secret: "writer-secret", Read: "system,call", Write: "call"},
		{Name: "deaf", Secret: "deaf-secret", Read: "system", Write: "call,reporting"},
	}
	for _, tc := range []struct{ account, want string }{
		{"reader", "set write = call,reporting for [reader] in manager.conf"},
		{"writer", "set write = call,reporting for [writer] in manager.conf"},
		{"deaf", "[deaf] in manager.conf has read = system,call"},
	} {
		t.Run(tc.account, func(t *testing.T) {
			inBubble(t, pbxsim.Config{Users: users}, func(t *testing.T, b *bubble) {
				c, w := b.connect(as(tc.account))
				b.pass(20 * time.Second)
				if h := c.Health(); h.Ready || !strings.Contains(h.Reason, tc.want) {
					t.Errorf("health: %+v, want %q in its reason", h, tc.want)
				}
				if n := len(w.Reports()); n != 0 {
					t.Errorf("%d reports", n)
				}
				b.pass(time.Hour)
				if n := b.sim.Stats().Logins; n > 600 {
					t.Errorf("%d logins in an hour", n)
				}
			})
		})
	}
}

func TestWithoutSystemEventsTheListIsEnough(t *testing.T) {
	users := []pbxsim.User{{Name: "bridge", Secret: "bridge-secret", Read: "call", Write: "call,reporting"}}
	inBubble(t, pbxsim.Config{Users: users}, func(t *testing.T, b *bubble) {
		_, w := b.connect()
		w.AwaitFor(3*time.Second, "the first snapshot", func(r connector.Report) bool { return r.Kind == connector.Snapshot })
	})
}

func TestCanaryKeepsBeating(t *testing.T) {
	inBubble(t, pbxsim.Config{}, func(t *testing.T, b *bubble) {
		_, w := b.connect()
		w.Ready()
		b.pass(10*time.Minute - time.Second)
		if n := count(w, connector.Alive); n < 20 || n > 23 {
			t.Errorf("%d beats in ten minutes, want one every 30 s and one for each snapshot", n)
		}
		if n := count(w, connector.Heard); n < 55 || n > 60 {
			t.Errorf("%d answers to pings in ten minutes, want one every 10 s", n)
		}
		if n := count(w, connector.Snapshot); n < 2 || n > 3 {
			t.Errorf("%d snapshots in ten minutes", n)
		}
		if n := count(w, connector.Down) + count(w, connector.Changed) + count(w, connector.Loaded); n != 0 {
			t.Errorf("%d reports of which nothing is true", n)
		}
	})
}

func TestSilentEventsEndTheSession(t *testing.T) {
	inBubble(t, pbxsim.Config{}, func(t *testing.T, b *bubble) {
		c, w := b.connect()
		w.Ready()
		b.sim.HoldEvents()
		down := w.AwaitFor(36*time.Second, "Down", func(r connector.Report) bool { return r.Kind == connector.Down })
		if !strings.Contains(down.Err.Error(), "events do not arrive") {
			t.Errorf("Down because %v", down.Err)
		}
		synctest.Wait()
		if h := c.Health(); h.Ready || !strings.Contains(h.Reason, "res_manager_presencestate.so") {
			t.Errorf("health: %+v", h)
		}
		b.sim.Release()
		w.Ready()
	})
}

func TestDroppedCanaryEndsTheSession(t *testing.T) {
	inBubble(t, pbxsim.Config{}, func(t *testing.T, b *bubble) {
		_, w := b.connect()
		w.Ready()
		b.sim.DropEvents(func(c pbxsim.Change) bool { return strings.HasSuffix(c.Presentity, "-canary") })
		w.AwaitKind(connector.Down)
		b.sim.DropEvents(nil)
		w.Ready()
	})
}

func TestUnloadedModulesEndTheSessionUntilTheyAreBack(t *testing.T) {
	for _, tc := range []struct {
		module pbxsim.Module
		want   string
	}{
		{pbxsim.PresenceManager, "module load res_manager_presencestate.so"},
		{pbxsim.PresenceFunction, "module load func_presencestate.so"},
	} {
		t.Run(string(tc.module), func(t *testing.T) {
			inBubble(t, pbxsim.Config{}, func(t *testing.T, b *bubble) {
				c, w := b.connect()
				w.Ready()
				b.sim.Unload(tc.module)
				w.AwaitKind(connector.Down)
				b.pass(5 * time.Minute)
				if h := c.Health(); h.Ready || !strings.Contains(h.Reason, tc.want) {
					t.Errorf("health: %+v, want %q in its reason", h, tc.want)
				}
				b.sim.Load(tc.module)
				w.Ready()
			})
		})
	}
}

func TestModuleLoadedAgainIsTold(t *testing.T) {
	inBubble(t, pbxsim.Config{AstDB: map[string]string{"1001": "away", "1002": "not_set"}}, func(t *testing.T, b *bubble) {
		_, w := b.connect()
		w.Ready()
		b.sim.Unload(pbxsim.PresenceFunction)
		b.sim.Load(pbxsim.PresenceFunction)
		w.Await("the repeated presence", changedTo("1001", presence.Away))
		w.AwaitKind(connector.Loaded)
		if strings.Contains(b.log.String(), "somebody else") {
			t.Error("a repeated canary of ours was taken for somebody else's")
		}
	})
}

func TestSomebodyElsesCanaryIsNamed(t *testing.T) {
	inBubble(t, pbxsim.Config{}, func(t *testing.T, b *bubble) {
		_, w := b.connect()
		w.Ready()
		_, other := b.connect(func(cfg *asterisk.Config) { cfg.Instance = "b" })
		other.Ready()
		b.pass(2 * time.Minute)
		if n := count(w, connector.Changed) + count(w, connector.Loaded); n != 0 {
			t.Errorf("another instance's canary was reported %d times", n)
		}
		_, twin := b.connect()
		twin.Ready()
		w.AwaitKind(connector.Loaded)
		if !strings.Contains(b.log.String(), "somebody else writes the canary") {
			t.Error("two bridges of one instance id were not told")
		}
	})
}

func TestHalfOpenConnectionIsNoticed(t *testing.T) {
	inBubble(t, pbxsim.Config{}, func(t *testing.T, b *bubble) {
		_, w := b.connect()
		w.Ready()
		b.sim.Freeze()
		w.AwaitFor(25*time.Second, "Down", func(r connector.Report) bool { return r.Kind == connector.Down })
		b.sim.Thaw()
		w.Ready()
	})
}

func TestKilledPBXIsANewLife(t *testing.T) {
	inBubble(t, pbxsim.Config{CommitEvery: -1}, func(t *testing.T, b *bubble) {
		b.set("1001", "away")
		b.sim.Commit()
		_, w := b.connect()
		before := w.Ready()
		b.set("1001", "dnd")
		w.Await("the change that will be forgotten", changedTo("1001", presence.DND))
		b.sim.Kill()
		w.AwaitKind(connector.Down)
		b.start()
		after := w.Ready()
		if after.Incarnation == before.Incarnation {
			t.Errorf("both lives are %q", after.Incarnation)
		}
		if after.Shows["1001"].State != presence.Away {
			t.Errorf("after the kill 1001 shows %v", after.Shows["1001"])
		}
	})
}

func TestAForgedShutdownEndsNothing(t *testing.T) {
	inBubble(t, pbxsim.Config{}, func(t *testing.T, b *bubble) {
		_, w := b.connect()
		w.Ready()
		for range 100 {
			b.sim.Inject([]byte("Event: Shutdown\r\nPrivilege: system,all\r\nShutdown: Cleanly\r\n\r\n"))
		}
		b.pass(time.Minute)
		if n := count(w, connector.Down); n != 0 {
			t.Errorf("%d sessions ended", n)
		}
	})
}

func TestWhoWritesOurCanaryWithoutEndDoesNotKeepTheBridgeBusy(t *testing.T) {
	inBubble(t, pbxsim.Config{}, func(t *testing.T, b *bubble) {
		_, w := b.connect()
		w.Ready()
		for range 1000 {
			if err := b.sim.Set("CustomPresence:presencebridge-a-canary", "away", "", "x"); err != nil {
				t.Fatal(err)
			}
		}
		b.pass(10 * time.Second)
		if n := count(w, connector.Loaded); n < 1 || n > 2 {
			t.Errorf("%d loads were reported", n)
		}
	})
}

func TestShutdownIsTold(t *testing.T) {
	inBubble(t, pbxsim.Config{}, func(t *testing.T, b *bubble) {
		_, w := b.connect()
		w.Ready()
		b.sim.Stop()
		if down := w.AwaitKind(connector.Down); !strings.Contains(down.Err.Error(), "shutting down") {
			t.Errorf("Down because %v", down.Err)
		}
		b.start()
		w.Ready()
	})
}
