package pbxsim_test

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/pbxsim"
	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

func TestDroppedARIEventsAreLost(t *testing.T) {
	p, w := startARI(t, pbxsim.Config{})
	e := w.listen("app=a&subscribeAll=true")
	p.DropARIEvents(func(kind, text string) bool {
		return kind == "DeviceStateChanged" && strings.Contains(text, "PJSIP/1001")
	})
	mustSetDevice(t, p, "PJSIP/1001", "INUSE")
	mustSetDevice(t, p, "PJSIP/1002", "INUSE")
	if got := e.hear("DeviceStateChanged"); !strings.Contains(got, "PJSIP/1002") {
		t.Errorf("heard %s, want that of 1002", got)
	}
	wants(t, w.get("/ari/deviceStates/PJSIP%2F1001"), "200 OK\n{\"name\":\"PJSIP/1001\",\"state\":\"INUSE\"}")
	if n := p.Stats().ARIEvents; n != 1 {
		t.Errorf("%d events counted, want 1", n)
	}
}

func TestAnswersOfARIMayBeLate(t *testing.T) {
	p, w := startARI(t, pbxsim.Config{})
	p.DelayARI(50 * time.Millisecond)
	began := time.Now()
	wants(t, w.get("/ari/asterisk/ping"), "200")
	if took := time.Since(began); took < 50*time.Millisecond {
		t.Errorf("answered after %s", took)
	}
	p.DelayARI(time.Hour)
	done := make(chan string)
	go func() { done <- w.get("/ari/asterisk/ping") }()
	pbxtest.Eventually(t, patience, "somebody waits", func() bool { return p.Stats().OpenARI > 0 })
	p.Kill() // must not wait for the answer
	if got := <-done; got != "\n" {
		t.Errorf("a dead one answered %q", got)
	}
}

func TestCutARIEndsInMidFrame(t *testing.T) {
	p, w := startARI(t, pbxsim.Config{})
	_, _, r := w.knock("?app=a&subscribeAll=true", "Sec-WebSocket-Version: 13")
	skipHead(t, r.ReadString)
	p.CutARI(20)
	mustSetDevice(t, p, "PJSIP/1001", "INUSE")
	if rest, err := io.ReadAll(r); err != nil || len(rest) != 20 || !strings.HasSuffix(string(rest), `{"type":"DeviceS`) {
		t.Errorf("after the cut %q, %v", rest, err)
	}
}

func skipHead(t *testing.T, line func(byte) (string, error)) {
	t.Helper()
	for {
		l, err := line('\n')
		if err != nil {
			t.Fatal(err)
		}
		if l == "\r\n" {
			return
		}
	}
}

func TestAFrozenARIIsSilentWhileAMIGoesOn(t *testing.T) {
	p, w := startARI(t, pbxsim.Config{})
	c := login(t, p.Addr(), phone)
	e := w.listen("app=a&subscribeAll=true")
	p.FreezeARI()
	done := make(chan string)
	go func() { done <- w.get("/ari/asterisk/ping") }()
	mustSetDevice(t, p, "PJSIP/1001", "INUSE")
	c.await("Device: PJSIP/1001")
	select {
	case got := <-done:
		t.Errorf("frozen, and it said %q", got)
	case <-time.After(50 * time.Millisecond):
	}
	p.ThawARI()
	wants(t, <-done, "200")
	e.hear("DeviceStateChanged")

	p.Freeze() // the whole of it
	go func() { done <- w.get("/ari/asterisk/ping") }()
	pbxtest.Eventually(t, patience, "somebody waits", func() bool { return p.Stats().OpenARI > 1 })
	p.Kill()
	if got := <-done; got != "\n" {
		t.Errorf("a dead one answered %q", got)
	}
}

func TestDropEndsWebsocketsToo(t *testing.T) {
	p, w := startARI(t, pbxsim.Config{})
	e := w.listen("app=a")
	p.Drop()
	if _, _, err := e.event(); err == nil {
		t.Error("an event after the end")
	}
	wants(t, w.get("/ari/asterisk/ping"), "200")
}

func TestBytesAndFloodsReachEveryWebsocket(t *testing.T) {
	p, w := startARI(t, pbxsim.Config{WriteTimeout: patience})
	e := w.listen("app=a")
	p.InjectARI([]byte("\x81\x11{\"type\":\"Forged\"}"))
	e.hear("Forged")
	p.FloodARI(3000)
	for i := range 3000 {
		if got := e.hear("ChannelUserevent"); !strings.Contains(got, `"n":"`+itoa(i)+`"`) {
			t.Fatalf("event %d is %s", i, got)
		}
	}
	none, _ := start(t, pbxsim.Config{})
	none.FloodARI(1) // nobody is there
	none.InjectARI(nil)
}
