package asterisk_test

import (
	"bytes"
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

func TestThePollReadsAllInTurn(t *testing.T) {
	inOffice(t, pbxsim.Config{}, func(t *testing.T, o *office) {
		_, w := o.connectTo(numbers(2500), func(cfg *asterisk.Config) {
			cfg.ARI = ari.Config{URL: "http://pbx.example:8088/ari", Username: "bridge", Password: ari.NewSecret("bridge-secret"), App: "a", Dial: o.webNetwork.Dial}
		}, withoutAMI)
		if n := len(w.Ready().Shows); n != 2500 {
			t.Errorf("%d extensions", n)
		}
		for _, number := range []string{"1001", "2222", "3500"} {
			o.set(number, "dnd")
			w.AwaitFor(5*time.Second, number, changedTo(number, presence.DND))
		}
	})
}

func TestAHintIsReadAtOnce(t *testing.T) {
	inOffice(t, pbxsim.Config{}, func(t *testing.T, o *office) {
		_, w := o.open(withoutAMI, func(cfg *asterisk.Config) { cfg.Times.Poll = time.Hour })
		w.Ready()
		program := o.program("a-program")
		say := func(presentity string) {
			t.Helper()
			if err := program.UserEvent(t.Context(), "presencebridge", "PresenceStateChange", map[string]string{"Presentity": presentity, "Status": "whatever"}); err != nil {
				t.Fatal(err)
			}
		}
		for i, state := range []string{"away", "xa", "dnd"} {
			o.set("1002", state)
			say("CustomPresence:1002")
			w.AwaitFor(time.Minute, state, func(r connector.Report) bool {
				return r.Kind == connector.Changed && r.Presence.State.String() == state
			})
			say("custompresence:100" + fmt.Sprint(3+i)) // nothing new
			say("CustomPresence:9999")                  // not ours
			say("SIP:1001")
		}
		o.pass(time.Second)
		if n := count(w, connector.Changed); n != 3 {
			t.Errorf("%d changes", n)
		}
	})
}

// program is another program that uses ARI.
func (o *office) program(app string) *ari.Conn {
	o.t.Helper()
	return o.listen(app, func(ari.Event) {})
}

func (o *office) listen(app string, event func(ari.Event)) *ari.Conn {
	o.t.Helper()
	conn, err := ari.Open(o.t.Context(), ari.Config{
		URL: "http://pbx.example:8088/ari", Username: "full", Password: ari.NewSecret("full-secret"), App: app, Dial: o.web.Dial,
	}, ari.Handler{Event: event})
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestChangesArePublished(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change []func(*asterisk.Config)
	}{
		{"over AMI", nil},
		{"over ARI", []func(*asterisk.Config){withoutAMI}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inOffice(t, pbxsim.Config{}, func(t *testing.T, o *office) {
				_, w := o.open(append(tc.change, func(cfg *asterisk.Config) { cfg.Publish = "panel" })...)
				w.Ready()
				o.set("1001", "away") // nobody has registered the application
				o.pass(5 * time.Second)
				o.set("1002", "xa")
				o.pass(5 * time.Second)
				if n := strings.Count(o.log.String(), "changes are not published"); n != 2 || !strings.Contains(o.log.String(), "start the program that registers") {
					t.Errorf("said %d times:\n%s", n, o.log.String()) // the second time for who debugs
				}
				var got []string
				o.listen("panel", func(e ari.Event) {
					if u, ok := e.(*ari.ChannelUserevent); ok && u.Eventname == "PresenceStateChange" {
						f := u.Userevent.(map[string]any)
						got = append(got, fmt.Sprint(f["Presentity"], " ", f["Status"], " ", f["Subtype"], " ", f["Message"]))
					}
				})
				if err := o.sim.Set("CustomPresence:1003", "dnd", "sub", "a message"); err != nil {
					t.Fatal(err)
				}
				o.set("9999", "dnd") // not in the mapping
				o.pass(5 * time.Second)
				want := "CustomPresence:1001 away  |CustomPresence:1002 xa  |CustomPresence:1003 dnd sub a message"
				if strings.Join(got, "|") != want {
					t.Errorf("published %q", got)
				}
				o.set("1001", "away") // no change
				o.pass(5 * time.Second)
				if len(got) != 3 {
					t.Errorf("published %q", got)
				}
			})
		})
	}
}

func TestPhonesAreFollowedOverARI(t *testing.T) {
	inOffice(t, pbxsim.Config{Devices: map[string]string{"PJSIP/1001": "NOT_INUSE", "PJSIP/1002": "UNAVAILABLE"}}, func(t *testing.T, o *office) {
		c, w := o.open(followed, withoutAMI)
		w.Ready()
		got := phones(w)
		if len(got) != 9 || got["1001"] != presence.PhoneIdle || got["1002"] != presence.PhoneOffline {
			t.Errorf("listed %v", got)
		}
		o.device("PJSIP/1001", "RINGING")
		w.Await("ringing", phoneTo("1001", presence.PhoneRinging))
		o.device("PJSIP/9999", "RINGING") // not ours
		o.device("PJSIP/1001", "INUSE")
		w.Await("in a call", phoneTo("1001", presence.PhoneInCall))
		o.webNetwork.Cut()
		w.AwaitKind(connector.Down)
		o.device("PJSIP/1001", "NOT_INUSE")
		w.Ready()
		if got := phones(w)["1001"]; got != presence.PhoneIdle {
			t.Errorf("listed as %v", got)
		}
		c.Resync()
		if got := phones(w)["1002"]; got != presence.PhoneOffline {
			t.Errorf("listed as %v", got)
		}
		o.says(c, "ari")
	})
}

func TestDevicesOfARIDoNotCountWhileAMIHasTheFloor(t *testing.T) {
	inOffice(t, pbxsim.Config{Devices: map[string]string{"PJSIP/1001": "NOT_INUSE"}}, func(t *testing.T, o *office) {
		_, w := o.open(followed)
		w.Ready()
		phones(w)
		o.noAMI(true)
		w.Ready()
		phones(w)
		o.noAMI(false)
		w.Ready()
		phones(w)
		o.device("PJSIP/1001", "INUSE")
		o.pass(time.Second)
		if n := count(w, connector.PhoneChanged); n != 1 {
			t.Errorf("%d changes of one", n)
		}
	})
}

// What a mapping gains or loses while ARI has the floor is followed from the next snapshot on.
func TestAChangedMappingIsFollowed(t *testing.T) {
	inOffice(t, pbxsim.Config{}, func(t *testing.T, o *office) {
		c, w := o.open(withoutAMI, func(cfg *asterisk.Config) { cfg.Publish = "nobody" })
		w.Ready()
		o.set("2001", "dnd")
		o.pass(5 * time.Second)
		c.Follow(connector.NewNumbers([]string{"1001", "2001"}))
		c.Resync()
		got := w.AwaitKind(connector.Snapshot)
		if got.First || len(got.Shows) != 2 || got.Shows["2001"].State != presence.DND {
			t.Errorf("snapshot %+v", got)
		}
		o.set("1002", "dnd")
		o.set("2001", "xa")
		w.Await("the new one", changedTo("2001", presence.XA))
		o.pass(5 * time.Second)
		c.Follow(connector.NewNumbers(nil))
		c.Resync()
		if got := w.AwaitKind(connector.Snapshot); len(got.Shows) != 0 {
			t.Errorf("snapshot %+v", got)
		}
		o.pass(time.Minute)
	})
}

func TestWithoutExtensionsThePBXIsAskedNowAndThenWhetherItIsThere(t *testing.T) {
	inOffice(t, pbxsim.Config{}, func(t *testing.T, o *office) {
		c, w := o.open(withoutAMI)
		w.Ready()
		c.Follow(connector.NewNumbers(nil))
		c.Resync()
		w.AwaitKind(connector.Snapshot)
		o.pass(time.Second)
		before, alive := o.sim.Stats().Requests, count(w, connector.Alive)
		o.pass(10 * time.Minute)
		after, all := o.sim.Stats().Requests, 0
		for path, n := range after {
			all += n - before[path]
		}
		if n := count(w, connector.Alive) - alive; n < 19 || n > 21 || all != n {
			t.Errorf("%d requests, and said %d times that it lives", all, n)
		}
		c.Follow(connector.NewNumbers(numbers(1)))
		c.Resync()
		o.set("1001", "away")
		w.Await("one that came", func(r connector.Report) bool { return r.Shows["1001"].State == presence.Away })
	})
}

func TestAMissingModuleOfPresenceEndsTheSession(t *testing.T) {
	inOffice(t, pbxsim.Config{}, func(t *testing.T, o *office) {
		c, w := o.open(withoutAMI)
		w.Ready()
		o.sim.Unload(pbxsim.PresenceFunction)
		w.AwaitKind(connector.Down)
		o.pass(time.Minute)
		o.says(c, "", "func_presencestate.so")
		o.sim.Load(pbxsim.PresenceFunction)
		w.Ready()
		o.says(c, "ari")
	})
}

func TestARIThatHangsIsNoSession(t *testing.T) {
	inOffice(t, pbxsim.Config{}, func(t *testing.T, o *office) {
		c, w := o.open(withoutAMI)
		w.Ready()
		o.sim.FreezeARI()
		w.AwaitKind(connector.Down)
		o.pass(time.Minute)
		if c.Health().Ready {
			t.Error("ready without an answer")
		}
		o.sim.ThawARI()
		w.AwaitFor(15*time.Minute, "the next session", func(r connector.Report) bool { return r.Kind == connector.Snapshot && r.First })
	})
}

// misspell makes requests to ARI say something else while on is set, of the same length.
func (o *office) misspell(on *atomic.Bool, what, instead string) {
	o.webNetwork.Base = func(ctx context.Context, network, address string) (net.Conn, error) {
		nc, err := o.web.Dial(ctx, network, address)
		return &reworder{nc, func(p []byte) []byte {
			if on.Load() {
				p = bytes.ReplaceAll(p, []byte(what), []byte(instead))
			}
			return p
		}}, err
	}
}

// reworder changes what is written.
type reworder struct {
	net.Conn
	change func([]byte) []byte
}

func (r *reworder) Write(p []byte) (int, error) {
	_, err := r.Conn.Write(r.change(p))
	return len(p), err
}

func TestPhonesThatCannotBeReadAreToldAndTriedAgain(t *testing.T) {
	inOffice(t, pbxsim.Config{Devices: map[string]string{"PJSIP/1001": "UNAVAILABLE"}}, func(t *testing.T, o *office) {
		var broken atomic.Bool
		broken.Store(true)
		o.misspell(&broken, "/deviceStates/", "/deviceStat3s/")
		c, w := o.open(followed, withoutAMI)
		w.Ready()
		if got := phones(w); got != nil {
			t.Errorf("listed %v", got)
		}
		o.pass(time.Second)
		o.says(c, "ari", "res_ari_device_states.so")
		broken.Store(false)
		o.pass(7 * time.Minute)
		if got := phones(w)["1001"]; got != presence.PhoneOffline {
			t.Errorf("listed as %v", got)
		}
		o.says(c, "ari")
	})
}

// TestWhatWaitsIsPublishedToAProgramThatComesLater without another change.
func TestWhatWaitsIsPublishedToAProgramThatComesLater(t *testing.T) {
	inOffice(t, pbxsim.Config{}, func(t *testing.T, o *office) {
		_, w := o.open(func(cfg *asterisk.Config) { cfg.Publish = "panel" })
		w.Ready()
		o.set("1001", "away")
		o.pass(time.Minute)
		var heard atomic.Int64
		o.listen("panel", func(ari.Event) { heard.Add(1) })
		o.pass(5 * time.Minute)
		if n := heard.Load(); n != 1 {
			t.Errorf("published %d changes", n)
		}
	})
}

// TestALateAnswerAboutOnePhoneForgetsNoCall has a PBX that leaves one request unanswered.
func TestALateAnswerAboutOnePhoneForgetsNoCall(t *testing.T) {
	inOffice(t, pbxsim.Config{Devices: map[string]string{"PJSIP/1001": "UNAVAILABLE"}, WriteTimeout: time.Minute}, func(t *testing.T, o *office) {
		var silent atomic.Bool
		o.webNetwork.Base = func(ctx context.Context, network, address string) (net.Conn, error) {
			nc, err := o.web.Dial(ctx, network, address)
			return &reworder{nc, func(p []byte) []byte {
				if bytes.Contains(p, []byte("/deviceStates/")) && silent.Swap(false) {
					return nil
				}
				return p
			}}, err
		}
		c, w := o.open(followed, withoutAMI, func(cfg *asterisk.Config) { cfg.ARI.Queue = 1 })
		w.Ready()
		if got := phones(w)["1001"]; got != presence.PhoneOffline {
			t.Errorf("listed as %v", got)
		}
		silent.Store(true)
		o.sim.FloodARI(20_000) // events are lost, so that phones are read again
		for range 10 {
			o.pass(time.Minute)
		}
		if silent.Load() {
			t.Error("phones were not read again")
		}
		for _, r := range w.Reports() {
			if r.Kind == connector.PhonesListed && r.Phones == nil {
				t.Error("all calls were forgotten")
			}
		}
		o.says(c, "ari")
	})
}

// TestAReloadDuringTheFirstReadingIsNotLost: the snapshot that it asks for is asked of nobody.
func TestAReloadDuringTheFirstReadingIsNotLost(t *testing.T) {
	inOffice(t, pbxsim.Config{}, func(t *testing.T, o *office) {
		var c *asterisk.Connector
		var once atomic.Bool
		made := make(chan struct{}) // c
		o.webNetwork.Base = func(ctx context.Context, network, address string) (net.Conn, error) {
			<-made
			nc, err := o.web.Dial(ctx, network, address)
			return &reworder{nc, func(p []byte) []byte {
				if bytes.Contains(p, []byte("PRESENCE_STATE")) && !once.Swap(true) {
					c.Follow(connector.NewNumbers(numbers(10)))
					c.Resync()
				}
				return p
			}}, err
		}
		var w *connectortest.Watch
		c, w = o.open(withoutAMI)
		close(made)
		w.AwaitFor(time.Minute, "a snapshot with the tenth", func(r connector.Report) bool {
			_, there := r.Shows["1010"]
			return r.Kind == connector.Snapshot && there
		})
	})
}

func TestLostEventsMakePhonesBeReadAgain(t *testing.T) {
	inOffice(t, pbxsim.Config{Devices: map[string]string{"PJSIP/1001": "UNAVAILABLE"}, WriteTimeout: time.Minute}, func(t *testing.T, o *office) {
		_, w := o.open(followed, withoutAMI, func(cfg *asterisk.Config) { cfg.ARI.Queue = 1 })
		w.Ready()
		phones(w)
		o.sim.FloodARI(20_000)
		if got := phones(w)["1001"]; got != presence.PhoneOffline {
			t.Errorf("listed as %v", got)
		}
		o.pass(time.Minute)
		if n := count(w, connector.Down); n != 0 {
			t.Errorf("the session ended %d times", n)
		}
	})
}

func TestAFloodOfEventsMakesPhonesBeReadNowAndThen(t *testing.T) {
	inOffice(t, pbxsim.Config{Devices: map[string]string{"PJSIP/1001": "UNAVAILABLE"}, WriteTimeout: time.Minute}, func(t *testing.T, o *office) {
		_, w := o.open(followed, withoutAMI, func(cfg *asterisk.Config) { cfg.ARI.Queue = 1 })
		w.Ready()
		phones(w)
		before := count(w, connector.PhonesListed)
		for range 50 { // ten seconds
			o.sim.FloodARI(1000)
			o.pass(200 * time.Millisecond)
		}
		if n := count(w, connector.PhonesListed) - before; n < 2 || n > 11 {
			t.Errorf("phones were listed %d times", n)
		}
		if n := strings.Count(o.log.String(), `"level":"warn"`); n != 1 {
			t.Errorf("warned %d times:\n%s", n, o.log.String())
		}
	})
}

func TestMessagesThatNoAsteriskSendsAreCounted(t *testing.T) {
	inOffice(t, pbxsim.Config{}, func(t *testing.T, o *office) {
		c, w := o.open(withoutAMI)
		w.Ready()
		o.sim.InjectARI([]byte("\x81\x01x\x81\x01y"))
		o.pass(time.Minute)
		if h := c.Health(); h.Malformed != 2 || !h.Ready {
			t.Errorf("health %+v", h)
		}
		if n := strings.Count(o.log.String(), "message of ARI refused"); n != 1 {
			t.Errorf("logged %d times", n)
		}
	})
}

// Somebody who writes without pause keeps nobody else from being followed.
func TestAPresenceThatNeverRestsHoldsNothingUp(t *testing.T) {
	inOffice(t, pbxsim.Config{}, func(t *testing.T, o *office) {
		var restless atomic.Bool
		restless.Store(true)
		var n atomic.Int32
		o.webNetwork.Base = func(ctx context.Context, network, address string) (net.Conn, error) {
			nc, err := o.web.Dial(ctx, network, address)
			return &reworder{nc, func(p []byte) []byte {
				if restless.Load() && bytes.Contains(p, []byte("EVAL")) {
					_ = o.sim.Set("CustomPresence:1001", "away", "", fmt.Sprint(n.Add(1)))
				}
				return p
			}}, err
		}
		_, w := o.open(withoutAMI)
		w.Ready()
		o.set("1002", "dnd")
		w.Await("the one beside it", changedTo("1002", presence.DND))
		restless.Store(false)
		o.set("1001", "xa")
		w.Await("its rest", changedTo("1001", presence.XA))
	})
}

// A write of ARI that is on its way when AMI comes back is waited for: it could undo
// one of AMI's otherwise.
func TestAMIWaitsForAWriteOfARI(t *testing.T) {
	inOffice(t, pbxsim.Config{}, func(t *testing.T, o *office) {
		c, w := o.open(func(cfg *asterisk.Config) { cfg.Times.BackoffMax = 10 * time.Millisecond })
		w.Ready()
		o.noAMI(true)
		session := w.Ready().Session
		o.sim.DelayARI(2 * time.Second)
		write := func(ask uint64, number string) error {
			return c.Write(t.Context(), connector.Order{Session: session, Ask: ask, Extension: id(number), Presence: presence.Presence{State: presence.DND}})
		}
		if err := errors.Join(write(1, "1001"), write(2, "1002")); err != nil {
			t.Fatal(err)
		}
		o.pass(3 * time.Second) // a poll may have been under way
		o.noAMI(false)
		w.Await("the first", func(r connector.Report) bool { return r.Kind == connector.Acked && r.Ask == 1 })
		w.Await("its echo", changedTo("1001", presence.DND))
		w.AwaitKind(connector.Down)
		if got := w.Ready(); got.Partial || got.Shows["1001"].State != presence.DND {
			t.Errorf("over AMI %+v", got)
		}
		if err := write(3, "1003"); !errors.Is(err, connector.ErrDown) {
			t.Errorf("a write for the session that is over: %v", err)
		}
	})
}
