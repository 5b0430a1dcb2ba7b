package asterisk_test

import (
	"strings"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/connector/asterisk"
	"github.com/presencebridge/presencebridge/pkg/connector/connectortest"
	"github.com/presencebridge/presencebridge/pkg/pbxsim"
	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// TestLifeOfAPBX goes with simulated and real PBXs through what administrators do to them.
func TestLifeOfAPBX(t *testing.T) {
	pbxtest.Run(t, pbxtest.Options{}, func(t *testing.T, pbx pbxtest.PBX) {
		phone := pbxtest.Observe(t, pbx)
		set := func(presentity, state, message string) {
			t.Helper()
			if err := phone.Set(presentity, state, "", message); err != nil {
				t.Fatal(err)
			}
		}
		set("CustomPresence:1001", "away", "before everything")
		set("custompresence:1002", "away", "by another name")
		set("CustomPresence:1002", "dnd", "by its name")
		set("CustomPresence:1003", "xa", strings.Repeat("x", 254)+"é") // Asterisk cuts the é in two
		set("CustomPresence:1004", "away", "")
		set("CustomPresence:1004", "not_set", "") // not in the list after a restart

		c, w := connect(t, pbx, asterisk.Times{
			Boot: time.Second, Retry: 50 * time.Millisecond, BackoffMin: time.Millisecond, BackoffMax: 100 * time.Millisecond,
			Canary: 500 * time.Millisecond, CanaryWait: 3 * time.Second,
		})
		want := map[string]presence.Presence{
			"1001": {State: presence.Away, Message: "before everything"},
			"1002": {State: presence.DND, Message: "by its name"},
			"1003": {State: presence.XA, Message: strings.Repeat("x", 254)},
			"1004": {},
		}
		snapshot := w.Ready()
		compare := func(when string) {
			t.Helper()
			for number, p := range want {
				if got := snapshot.Shows[number]; got != p {
					t.Errorf("%s %s shows %+v, want %+v", when, number, got, p)
				}
			}
		}
		compare("at first")
		if h := c.Health(); h.Version != pbx.Version() && !strings.HasPrefix(h.Version, pbx.Version()) {
			t.Errorf("version %q, want %q", h.Version, pbx.Version())
		}

		pbx.Unload(pbxsim.PresenceFunction)
		pbx.Load(pbxsim.PresenceFunction)
		if w.Await("the reloaded module or the lost session", func(r connector.Report) bool {
			return r.Kind == connector.Loaded || r.Kind == connector.Down
		}).Kind == connector.Down {
			snapshot = w.Ready() // a canary came while the module was away
			compare("after the module was loaded again")
		}

		session := newest(w)
		pbx.Commit()
		pbx.Kill()
		w.Await("Down", func(r connector.Report) bool { return r.Kind == connector.Down && r.Session == session })
		pbx.Start()
		before := snapshot.Incarnation
		snapshot = w.Ready()
		compare("after the kill")
		if snapshot.Incarnation == before {
			t.Errorf("both lives are %q", before)
		}

		session = newest(w)
		pbx.Unload(pbxsim.PresenceManager)
		w.Await("Down", func(r connector.Report) bool { return r.Kind == connector.Down && r.Session == session })
		set("CustomPresence:1001", "chat", "nobody saw it")
		want["1001"] = presence.Presence{State: presence.Chat, Message: "nobody saw it"}
		pbx.Load(pbxsim.PresenceManager)
		snapshot = w.Ready()
		compare("after the module of events was back")

		pbx.Restart()
		w.AwaitKind(connector.Down)
		snapshot = w.Ready()
		compare("after a restart")
	})
}

// newest is the session that was opened last.
func newest(w *connectortest.Watch) (session uint64) {
	for _, r := range w.Reports() {
		if r.Kind == connector.Snapshot {
			session = r.Session
		}
	}
	return session
}

func connect(t *testing.T, pbx pbxtest.PBX, times asterisk.Times, change ...func(*asterisk.Config)) (*asterisk.Connector, *connectortest.Watch) {
	t.Helper()
	cfg := asterisk.Config{Name: "main", Instance: "life", Times: times, AMI: overAMI(pbx, "bridge", &connectortest.Network{})}
	for _, f := range change {
		f(&cfg)
	}
	c, err := asterisk.New(cfg, logger(t))
	if err != nil {
		t.Fatal(err)
	}
	return c, connectortest.Start(t, c)
}
