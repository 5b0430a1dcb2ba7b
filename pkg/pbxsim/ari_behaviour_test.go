package pbxsim_test

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

// A slow reader is cut off in the middle of a frame, and mostly left there: the
// connection stays open, answers neither a ping nor a close, and the application
// counts as registered.
func TestASlowWebsocketIsCutOffInMidFrame(t *testing.T) {
	o := withARI
	o.WriteTimeout = 100 * time.Millisecond
	pbxtest.Run(t, o, func(t *testing.T, p pbxtest.PBX) {
		silent := dawdle(t, p)
		pbxtest.Eventually(t, patience, "the second one is gone", func() bool {
			return strings.HasPrefix(browse(t, p.ARI(), p.User("phone")).get("/ari/applications/slow"), "404")
		})
		if sim, ok := p.(*pbxtest.Simulated); ok && (!silent || sim.Sim.Stats().CutOff != 1) {
			t.Errorf("silent: %t, %d cut off; want one", silent, sim.Sim.Stats().CutOff)
		}
	})
}

func dawdle(t *testing.T, p pbxtest.PBX) (silent bool) {
	t.Helper()
	w := browse(t, p.ARI(), p.User("phone"))
	_, conn, r := w.knock("?app=slow", "Sec-WebSocket-Version: 13")
	skipHead(t, r.ReadString)
	const event = 30_000
	body := `{"variables":{"x":"` + strings.Repeat("y", event) + `"}}`
	for range 300 { // more than any buffer between us
		w.ask("POST", "/ari/events/user/Big?application=slow", jsonBody, body)
	}
	time.Sleep(time.Second) // so slow it is: Asterisk gives up after 100 ms, and nothing shows when it did
	const silence = 500 * time.Millisecond
	got := 0
	var err error
	for b := make([]byte, 1<<16); err == nil; {
		var n int
		_ = conn.SetDeadline(time.Now().Add(silence))
		n, err = r.Read(b)
		got += n
	}
	if got%event == 0 || got > 299*event {
		t.Errorf("%d bytes came, want less than all and no whole number of events", got)
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Logf("the connection ended: %v", err)
		return false
	}
	wants(t, w.get("/ari/applications/slow"), "200")
	_ = conn.SetDeadline(time.Now().Add(silence))
	_, _ = conn.Write([]byte{0x89, 0x80, 0, 0, 0, 0, 0x88, 0x80, 0, 0, 0, 0}) // a ping and a close
	if n, err := conn.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("it answered: %d, %v", n, err)
	}
	_ = conn.Close()
	wants(t, w.get("/ari/applications/slow"), "200") // the ping made it deaf to the end
	second := w.listen("app=slow")
	second.fence(false)
	second.hangUp()
	return true
}

func TestAPhoneIsFollowedOverARI(t *testing.T) {
	o := withARI
	o.Phones = []string{"1001"}
	pbxtest.Run(t, o, func(t *testing.T, p pbxtest.PBX) {
		w := browse(t, p.ARI(), p.User("bridge"))
		e := w.listen("app=a")
		wants(t, w.post("/ari/applications/a/subscription?eventSource=deviceState:PJSIP/1001"), "200")
		wants(t, w.get("/ari/deviceStates/PJSIP%2F1001"), `200 OK`+"\n"+`{"name":"PJSIP/1001","state":"NOT_INUSE"}`)
		for _, step := range []struct {
			do    func(string)
			state string
		}{{p.Ring, "RINGING"}, {p.PickUp, "INUSE"}, {p.HangUp, "NOT_INUSE"}} {
			step.do("1001")
			if got := e.hear("DeviceStateChanged"); !strings.Contains(got, `{"name":"PJSIP/1001","state":"`+step.state+`"}`) {
				t.Errorf("heard %s, want %s", got, step.state)
			}
		}
	})
}

// AMI does not take a line break in a name; ARI does, and AMI writes it as it is.
func TestALineBreakInTheNameOfADeviceForgesAFrame(t *testing.T) {
	pbxtest.Run(t, withARI, func(t *testing.T, p pbxtest.PBX) {
		c := login(t, p.Addr(), p.User("phone"))
		w := browse(t, p.ARI(), p.User("phone"))
		w.post("/ari/asterisk/variable?variable=DEVICE_STATE(Custom:a%0d%0a%0d%0aEvent:%20Forged)&value=BUSY")
		if f := c.await("Device: Custom:a"); has(f, "State: BUSY") {
			t.Errorf("the name was escaped: %q", f)
		}
		if f := c.await("Event: Forged"); f != "Event: Forged\r\nState: BUSY" {
			t.Errorf("the second frame is %q", f)
		}
	})
}

func TestAStoppedAsteriskSaysNoGoodbyeOverARI(t *testing.T) {
	pbxtest.Run(t, withARI, func(t *testing.T, p pbxtest.PBX) {
		w := browse(t, p.ARI(), p.User("phone"))
		_, _, r := w.knock("?app=a", "Sec-WebSocket-Version: 13")
		skipHead(t, r.ReadString)
		p.Stop()
		if rest, err := io.ReadAll(r); err != nil || len(rest) != 0 {
			t.Errorf("the end was %q, %v", rest, err)
		}
		p.Start()
		w.listen("app=a").fence(false)
	})
}
