package pbxsim_test

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/pbxsim"
	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

// start returns a simulated PBX and a client that is logged in.
func start(t *testing.T, cfg pbxsim.Config) (*pbxsim.PBX, *client) {
	t.Helper()
	cfg.RefusalDelay, cfg.CommitEvery = -1, -1
	p := pbxsim.New(cfg)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	return p, login(t, p.Addr(), phone)
}

var phone = pbxsim.User{Name: "phone", Secret: "phone-secret"}

// event waits for the next event of a presentity and returns its frame.
func (c *client) event(presentity string) string {
	c.t.Helper()
	return c.await("Presentity: " + presentity)
}

func mustSet(t *testing.T, p *pbxsim.PBX, presentity, state string) {
	t.Helper()
	if err := p.Set(presentity, state, "", ""); err != nil {
		t.Fatal(err)
	}
}

func TestAPhoneSetsAndTheDatabaseShows(t *testing.T) {
	p, c := start(t, pbxsim.Config{})
	if err := p.Set("CustomPresence:1", "away", "lunch", "Back at 2, maybe"); err != nil {
		t.Fatal(err)
	}
	if f := c.event("CustomPresence:1"); !has(f, "Message: Back at 2, maybe") {
		t.Errorf("event %q", f)
	}
	want := pbxsim.Change{Presentity: "CustomPresence:1", State: "away", Subtype: "lunch", Message: "Back at 2, maybe"}
	if got, ok := p.Get("CustomPresence:1"); !ok || got != want {
		t.Errorf("Get = %+v, %t; want %+v", got, ok, want)
	}
	if err := p.Set("CustomPresence:1", "busy", "", ""); err == nil {
		t.Error("a state that Asterisk does not know was taken")
	}
	if _, ok := p.Get("Foo:1"); ok {
		t.Error("an unknown provider has a presence")
	}
}

func TestDroppedEventsAreLostAndTheWriteIsNot(t *testing.T) {
	p, c := start(t, pbxsim.Config{})
	p.DropEvents(func(c pbxsim.Change) bool { return c.Presentity == "CustomPresence:1" })
	mustSet(t, p, "CustomPresence:1", "away")
	mustSet(t, p, "CustomPresence:2", "away")
	if f := c.await("Privilege: call,all"); !has(f, "Presentity: CustomPresence:2") {
		t.Errorf("first event %q, want that of 2", f)
	}
	if got := c.get("CustomPresence:1,value"); got != "away" {
		t.Errorf("the write is lost too: %q", got)
	}
	p.DropEvents(nil)
	mustSet(t, p, "CustomPresence:1", "dnd")
	c.event("CustomPresence:1")
}

func TestHeldEventsComeLaterAndInOrder(t *testing.T) {
	p, c := start(t, pbxsim.Config{})
	p.HoldEvents()
	c.set("CustomPresence:1", "away")
	c.set("CustomPresence:1", "dnd")
	if got := c.get("CustomPresence:1,value"); got != "dnd" {
		t.Errorf("Getvar during the hold = %q, want dnd", got)
	}
	p.Release()
	for _, want := range []string{"Status: away", "Status: dnd"} {
		if f := c.event("CustomPresence:1"); !has(f, want) {
			t.Errorf("released %q, want %q", f, want)
		}
	}
	c.fence() // and nothing is held any more
}

func TestRefusedWritesChangeNothing(t *testing.T) {
	p, c := start(t, pbxsim.Config{})
	p.RefuseWrites(func(presentity, value string) bool { return presentity == "CustomPresence:1" && value == "away" })
	if f := c.set("CustomPresence:1", "away"); !has(f, "Message: Variable not set") {
		t.Errorf("answer %q", f)
	}
	if got, _ := p.Get("CustomPresence:1"); got.State != "not_set" {
		t.Errorf("refused, and yet %q", got.State)
	}
	p.RefuseWrites(nil)
	if f := c.set("CustomPresence:1", "away"); !has(f, "Response: Success") {
		t.Errorf("answer %q", f)
	}
}

func TestCutAfterEndsTheStreamAtThatByte(t *testing.T) {
	p, c := start(t, pbxsim.Config{})
	c.fence()
	p.CutAfter(20)
	mustSet(t, p, "CustomPresence:1", "away")
	if rest, err := io.ReadAll(c.r); err != nil || string(rest) != "Event: PresenceState" {
		t.Errorf("after the cut %q, %v", rest, err)
	}
	pbxtest.Eventually(t, patience, "the session is forgotten", func() bool { return p.Stats().Open == 0 })

	p.CutAfter(5) // nobody is there: the next one
	if rest, err := io.ReadAll(dial(t, p.Addr()).r); err != nil || string(rest) != "Aster" {
		t.Errorf("the next session got %q, %v", rest, err)
	}
	login(t, p.Addr(), phone) // and only that one
	p.CutAfter(0)
}

func TestDropEndsConnectionsAndNothingElse(t *testing.T) {
	p, c := start(t, pbxsim.Config{})
	mustSet(t, p, "CustomPresence:1", "away")
	c.event("CustomPresence:1")
	p.Drop()
	if f := c.frame(); f != "" {
		t.Errorf("a frame after the end: %q", f)
	}
	if got := login(t, p.Addr(), phone).get("CustomPresence:1,value"); got != "away" {
		t.Errorf("after the drop %q", got)
	}
}

func TestInjectedBytesReachWhoIsLoggedIn(t *testing.T) {
	p, c := start(t, pbxsim.Config{})
	stranger := dial(t, p.Addr())
	stranger.banner()
	p.Inject([]byte("Event: Forged\r\nStatus: dnd\r\n\r\n"))
	c.await("Event: Forged")
	if f := stranger.ask("Action: Logoff"); !has(f, "Response: Goodbye") {
		t.Errorf("the stranger got %q", f)
	}
}

func TestAFrozenPBXIsSilentAndGoesOnWhenThawed(t *testing.T) {
	p, c := start(t, pbxsim.Config{})
	c.fence()
	p.Freeze()
	c.send("Action: Ping")
	mustSet(t, p, "CustomPresence:1", "away")
	if err := c.conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.r.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("a frozen PBX said something (%d, %v)", n, err)
	}
	if err := c.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	p.Thaw()
	c.event("CustomPresence:1")
	c.await("Ping: Pong")

	p.Freeze()
	p.Kill() // must not wait for the thaw
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	login(t, p.Addr(), phone).ask("Action: Ping")
}

func TestLoginWorksBeforePresenceIsThere(t *testing.T) {
	p, c := start(t, pbxsim.Config{BootDelay: -1, AstDB: map[string]string{"1": "away", "2": "not_set", "3": "broken"}})
	if f := c.ask("Action: PresenceStateList"); !strings.Contains(f, "Invalid/unknown command") {
		t.Errorf("list before the boot: %q", f)
	}
	if f := c.set("CustomPresence:1", "dnd"); !has(f, "Message: Variable not set") {
		t.Errorf("write before the boot: %q", f)
	}
	p.Boot()
	p.Boot() // a second time changes nothing
	c.await("Event: FullyBooted")
	if got := strings.Join(c.list(), " "); got != "CustomPresence:1 CustomPresence:3" {
		t.Errorf("listed %q; a not_set row is not, a broken one is", got)
	}
	if f := c.ask("Action: PresenceState", "Provider: CustomPresence:3"); !strings.Contains(f, "invalid state") {
		t.Errorf("a broken row: %q", f)
	}
}

func TestABootTakesItsTime(t *testing.T) {
	p := pbxsim.New(pbxsim.Config{BootDelay: 20 * time.Millisecond})
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	login(t, p.Addr(), phone).await("Event: FullyBooted")
	p.Stop()
	slow := pbxsim.New(pbxsim.Config{BootDelay: time.Hour})
	if err := slow.Start(); err != nil {
		t.Fatal(err)
	}
	slow.Stop() // does not wait for the boot
}

func TestTheAstDBCommitsByItself(t *testing.T) {
	p := pbxsim.New(pbxsim.Config{CommitEvery: time.Millisecond})
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	defer p.Stop()
	mustSet(t, p, "CustomPresence:1", "away")
	pbxtest.Eventually(t, patience, "a write survives a kill", func() bool {
		p.Kill()
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		if c, _ := p.Get("CustomPresence:1"); c.State == "away" {
			return true
		}
		mustSet(t, p, "CustomPresence:1", "away") // and now the pause of Eventually
		return false
	})
}

func TestStatsTellWhatWasAsked(t *testing.T) {
	p, c := start(t, pbxsim.Config{})
	c.set("CustomPresence:1", "away")
	c.set("CustomPresence:1", "no such state")
	c.get("CustomPresence:1,value")
	c.fence()
	wrong := dial(t, p.Addr())
	wrong.banner()
	wrong.ask("Action: Login", "Username: phone", "Secret: wrong")
	wrong.ended()
	s := p.Stats()
	if s.Sessions != 2 || s.Logins != 1 || s.RefusedLogins != 1 || s.Events != 2 {
		t.Errorf("stats %+v", s)
	}
	if s.Writes["CustomPresence:1"] != 2 || s.Actions["Setvar PRESENCE_STATE"] != 3 ||
		s.Actions["Getvar PRESENCE_STATE"] != 1 || s.Actions["Login"] != 2 {
		t.Errorf("writes %v, actions %v", s.Writes, s.Actions)
	}
	s.Writes["CustomPresence:1"] = 0
	if p.Stats().Writes["CustomPresence:1"] != 2 {
		t.Error("the statistics are not a copy")
	}
}

func TestModulesLoadOnce(t *testing.T) {
	p, c := start(t, pbxsim.Config{})
	p.Load(pbxsim.PresenceManager)
	p.Load(pbxsim.PresenceFunction)
	p.Unload(pbxsim.PresenceFunction)
	p.Unload(pbxsim.PresenceFunction)
	if f := c.await("Privilege: system,all"); !has(f, "Event: FullyBooted") && !has(f, "Event: Unload") {
		t.Errorf("loading twice said %q", f)
	}
	if err := p.Set("CustomPresence:1", "away", "", ""); err == nil {
		t.Error("a write without the provider was taken")
	}
}

func TestStartTellsWhyItCannot(t *testing.T) {
	p, _ := start(t, pbxsim.Config{})
	if err := p.Start(); err == nil {
		t.Error("started twice")
	}
	if err := pbxsim.New(pbxsim.Config{Addr: p.Addr()}).Start(); err == nil {
		t.Error("two at one address")
	}
	p.Stop()
	p.Stop() // a second time changes nothing
	p.Boot()
	if err := p.Restart(); err != nil {
		t.Error(err)
	}
}

func TestAnyListenerWillDo(t *testing.T) {
	asked := ""
	p, _ := start(t, pbxsim.Config{Listen: func(addr string) (net.Listener, error) {
		asked = addr
		return net.Listen("tcp", addr)
	}})
	if err := p.Restart(); err != nil || asked != p.Addr() {
		t.Errorf("listened at %q, %v; want %q again", asked, err, p.Addr())
	}
}

func TestTheBannerFollowsTheRelease(t *testing.T) {
	for _, tc := range []struct{ version, ami, want string }{
		{"", "", "11.0.0"}, {"16.28.0", "", "5.0.4"}, {"18.10.0", "", "7.0.3"}, {"20.9.3", "", "9.0.0"},
		{"22.1.0", "", "11.0.0"}, {"GIT-master", "", "11.0.0"}, {"13.1.0", "2.4.0", "2.4.0"},
	} {
		p := pbxsim.New(pbxsim.Config{Version: tc.version, AMIVersion: tc.ami})
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		if got := dial(t, p.Addr()).banner(); got != "Asterisk Call Manager/"+tc.want+"\r\n" {
			t.Errorf("version %q: banner %q, want %s", tc.version, got, tc.want)
		}
		p.Stop()
	}
}
