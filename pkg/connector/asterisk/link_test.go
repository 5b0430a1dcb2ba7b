package asterisk_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/ari"
	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/connector/asterisk"
	"github.com/presencebridge/presencebridge/pkg/connector/connectortest"
	"github.com/presencebridge/presencebridge/pkg/pbxsim"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// office is a bubble whose PBX has ARI.
type office struct {
	*bubble
	web        connectortest.Exchange
	webNetwork connectortest.Network
	away       atomic.Bool // AMI cannot be reached
}

// inOffice runs a test in a bubble whose PBX has ARI beside AMI.
func inOffice(t *testing.T, cfg pbxsim.Config, test func(*testing.T, *office)) {
	t.Helper()
	o := &office{}
	cfg.ARI, cfg.ListenARI = true, o.web.Listen
	inBubble(t, cfg, func(t *testing.T, b *bubble) {
		o.bubble, o.webNetwork.Base = b, o.web.Dial
		b.network.Base = func(ctx context.Context, network, address string) (net.Conn, error) {
			if o.away.Load() {
				return nil, errors.New("no route to the manager")
			}
			return b.Dial(ctx, network, address)
		}
		test(t, o)
	})
}

// numbers are the extensions that offices follow.
func numbers(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprint(1001+i))
	}
	return all
}

// open starts a connector with AMI and ARI, or as change has it.
func (o *office) open(change ...func(*asterisk.Config)) (*asterisk.Connector, *connectortest.Watch) {
	o.t.Helper()
	with := func(cfg *asterisk.Config) {
		cfg.ARI = ari.Config{
			URL: "http://pbx.example:8088/ari", Username: "bridge", Password: ari.NewSecret("bridge-secret"), App: "presencebridge",
			Dial: o.webNetwork.Dial,
		}
	}
	return o.connectTo(numbers(9), append([]func(*asterisk.Config){with}, change...)...)
}

func withoutAMI(cfg *asterisk.Config) { cfg.AMI.Address = "" }

func ariAs(account string) func(*asterisk.Config) {
	return func(cfg *asterisk.Config) {
		cfg.ARI.Username, cfg.ARI.Password = account, ari.NewSecret(account+"-secret")
	}
}

// noAMI makes AMI go away, or come back.
func (o *office) noAMI(on bool) {
	o.away.Store(on)
	if on {
		o.network.Cut()
	}
}

func (o *office) says(c connector.Connector, transport string, parts ...string) {
	o.t.Helper()
	h := c.Health()
	if h.Transport != transport || h.Ready != (transport != "") {
		o.t.Errorf("health %+v, want transport %q", h, transport)
	}
	for _, part := range parts {
		if !strings.Contains(h.Reason, part) {
			o.t.Errorf("the reason is %q, want %q in it", h.Reason, part)
		}
	}
	if len(parts) == 0 && h.Reason != "" {
		o.t.Errorf("the reason is %q", h.Reason)
	}
	if (h.Reason == "") != (len(h.Told) == 0) {
		o.t.Errorf("the reason is %q, told as %+v", h.Reason, h.Told)
	}
	for _, m := range h.Told {
		if !strings.Contains(h.Reason, m.Text) || m.Code == "" {
			o.t.Errorf("the reason is %q, told as %+v", h.Reason, m)
		}
	}
}

func TestAMIHasTheFloorWhereBothAreThere(t *testing.T) {
	inOffice(t, pbxsim.Config{}, func(t *testing.T, o *office) {
		c, w := o.open()
		w.Ready()
		o.pass(time.Minute)
		o.says(c, "ami")
		o.set("1001", "away")
		w.Await("the change", changedTo("1001", presence.Away))
		o.pass(time.Minute)
		if n := count(w, connector.Changed); n != 1 {
			t.Errorf("%d changes of one", n)
		}
		if n := o.readings(); n != 0 {
			t.Errorf("ARI reads while AMI has the floor: %d times", n)
		}
	})
}

// The note of the channel before outlives it, and Asterisk may still be hanging it up
// (pkg/ari/DESIGN.md, 12). What fails this test is the check at the end of each bubble.
func TestTheNextBridgeReadsOnAChannelWithAnIDOfItsOwn(t *testing.T) {
	inOffice(t, pbxsim.Config{}, func(t *testing.T, o *office) {
		const bridges = 3
		for range bridges {
			_, w := o.open(withoutAMI)
			w.Ready()
			w.Stop()
		}
		if n := o.sim.Stats().Requests["POST /ari/channels/create"]; n != bridges {
			t.Errorf("%d channels, want %d", n, bridges)
		}
	})
}

// TestARIStandsInAndStepsBack loses AMI and gets it back, with a change in each part.
func TestARIStandsInAndStepsBack(t *testing.T) {
	inOffice(t, pbxsim.Config{}, func(t *testing.T, o *office) {
		c, w := o.open()
		first := w.Ready()
		o.set("1001", "away")
		w.Await("the change over AMI", changedTo("1001", presence.Away))

		o.noAMI(true)
		w.AwaitKind(connector.Down)
		o.set("1002", "dnd") // nobody watches
		second := w.Ready()
		if second.Incarnation != first.Incarnation {
			t.Errorf("one life is %q over AMI and %q over ARI", first.Incarnation, second.Incarnation)
		}
		if !second.Partial || len(second.Shows) != 9 || second.Shows["1001"].State != presence.Away || second.Shows["1002"].State != presence.DND {
			t.Errorf("over ARI %+v", second)
		}
		o.says(c, "ari", "AMI is down, presence is followed over ARI", "no route to the manager")
		o.set("1003", "xa")
		w.Await("the change over ARI", changedTo("1003", presence.XA))

		o.noAMI(false)
		if down := w.AwaitKind(connector.Down); down.Session != second.Session || !strings.Contains(down.Err.Error(), "AMI is there") {
			t.Errorf("down %+v", down)
		}
		third := w.Ready()
		if third.Partial || third.Shows["1003"].State != presence.XA || third.Session <= second.Session {
			t.Errorf("over AMI again %+v", third)
		}
		o.set("1004", "chat")
		w.Await("the change over AMI again", changedTo("1004", presence.Chat))
		o.pass(time.Minute)
		o.says(c, "ami")
		if n := count(w, connector.Changed); n != 3 {
			t.Errorf("%d changes, want 3", n)
		}
	})
}

// A reconnect is no reason to change the transport.
func TestAShortLossOfAMIIsWaitedFor(t *testing.T) {
	inOffice(t, pbxsim.Config{}, func(t *testing.T, o *office) {
		_, w := o.open()
		w.Ready()
		for range 5 {
			o.network.Cut()
			w.AwaitKind(connector.Down)
			if got := w.Ready(); got.Partial {
				t.Error("ARI stood in")
			}
			o.pass(10 * time.Second)
		}
	})
}

func TestAnAMIAccountThatMayNotWriteIsStoodInFor(t *testing.T) {
	inOffice(t, pbxsim.Config{}, func(t *testing.T, o *office) {
		c, w := o.open(as("reader"))
		session := w.Ready().Session
		o.says(c, "ari", "AMI is down", "write = call,reporting")
		if err := c.Write(t.Context(), connector.Order{Session: session, Ask: 1, Extension: id("1001"), Presence: presence.Presence{State: presence.DND}}); err != nil {
			t.Fatal(err)
		}
		w.AwaitKind(connector.Acked)
		w.Await("the echo", changedTo("1001", presence.DND))
		o.pass(10 * time.Minute)
		if n := count(w, connector.Down); n != 0 {
			t.Errorf("the session ended %d times", n)
		}
	})
}

func TestAWriteThatIsIgnoredIsRefused(t *testing.T) {
	inOffice(t, pbxsim.Config{}, func(t *testing.T, o *office) {
		var ignored atomic.Bool
		o.misspell(&ignored, "variable=PRESENCE_STATE", "variable=PRESENCE_STAT3") // which Asterisk answers with success
		c, w := o.open(withoutAMI)
		session := w.Ready().Session
		o.says(c, "ari")
		write := func(ask uint64, p presence.Presence) {
			t.Helper()
			if err := c.Write(t.Context(), connector.Order{Session: session, Ask: ask, Extension: id("1001"), Presence: p}); err != nil {
				t.Fatal(err)
			}
		}
		away := presence.Presence{State: presence.Away, Subtype: "lunch", Message: "a, b"}
		ignored.Store(true)
		write(1, away)
		if r := w.AwaitKind(connector.Refused); r.Ask != 1 || !strings.Contains(r.Err.Error(), "shows what it showed before") {
			t.Errorf("refused %+v", r)
		}
		ignored.Store(false)
		write(2, away)
		if r := w.AwaitKind(connector.Acked); r.Ask != 2 {
			t.Errorf("acknowledged %+v", r)
		}
		if r := w.AwaitKind(connector.Changed); r.Presence != away {
			t.Errorf("it shows %+v", r)
		}
		ignored.Store(true)
		write(3, away) // cannot be told from one that was taken
		w.AwaitKind(connector.Acked)
		if err := c.Write(t.Context(), connector.Order{Session: session, Extension: id("1001"), Presence: presence.Presence{Message: "\x00"}}); err == nil {
			t.Error("a text that no Asterisk takes was taken")
		}
		if err := c.Read(t.Context(), connector.Order{Session: session, Extension: id("../etc")}); err == nil {
			t.Error("an extension that no Asterisk has was read")
		}
	})
}

func TestRefusedLoginsOfARIAreBounded(t *testing.T) {
	inOffice(t, pbxsim.Config{}, func(t *testing.T, o *office) {
		var calls atomic.Int32
		o.webNetwork.Base = func(ctx context.Context, network, address string) (net.Conn, error) {
			calls.Add(1)
			return o.web.Dial(ctx, network, address)
		}
		c, w := o.open(withoutAMI, ariAs("nobody"))
		o.pass(time.Hour)
		if n := calls.Load(); n < 3 || n > 3*7 {
			t.Errorf("%d logins in an hour", n)
		}
		o.says(c, "", "check the password of [nobody] in ari.conf")
		if n := len(w.Reports()); n != 0 {
			t.Errorf("%d reports", n)
		}
	})
}

func TestAReadOnlyAccountOfARIIsExplained(t *testing.T) {
	inOffice(t, pbxsim.Config{}, func(t *testing.T, o *office) {
		c, _ := o.open(withoutAMI, ariAs("reader"))
		o.pass(time.Minute)
		o.says(c, "", "remove read_only from [reader] in ari.conf")
	})
}

func TestTroubleOfARIIsToldWhileAMIHasTheFloor(t *testing.T) {
	inOffice(t, pbxsim.Config{}, func(t *testing.T, o *office) {
		c, w := o.open(ariAs("nobody"))
		w.Ready()
		o.pass(time.Minute)
		o.says(c, "ami", "ARI could not stand in for AMI", "[nobody]")
	})
}

func TestWithoutBothEachIsExplained(t *testing.T) {
	inOffice(t, pbxsim.Config{}, func(t *testing.T, o *office) {
		o.noAMI(true)
		o.webNetwork.Base = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no route to ARI") }
		c, _ := o.open()
		o.pass(time.Minute)
		o.says(c, "", "no route to the manager", "over ARI: ", "no route to ARI", "http.conf")
	})
}

// Two bridges with one application name do not fight over it. The first time may
// have been a handshake of our own, which a PBX that hung found late.
func TestAnApplicationThatWasTakenOverTwiceIsLeftAlone(t *testing.T) {
	inOffice(t, pbxsim.Config{}, func(t *testing.T, o *office) {
		c, w := o.open(withoutAMI)
		w.Ready()
		o.program("presencebridge")
		if down := w.AwaitKind(connector.Down); !errors.Is(down.Err, ari.ErrReplaced) {
			t.Errorf("down %+v", down)
		}
		w.Ready()
		other := o.program("presencebridge")
		w.AwaitKind(connector.Down)
		o.pass(5 * time.Minute)
		o.says(c, "", `the Stasis application "presencebridge"`, "ari.app")
		if err := other.Err(); err != nil {
			t.Errorf("the application was taken back: %v", err)
		}
		o.pass(10 * time.Minute)
		o.says(c, "ari")
	})
}
