package pbxsim_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/presencebridge/presencebridge/pkg/pbxsim"
	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

var withARI = pbxtest.Options{ARI: true, Sim: quick.Sim}

// startARI returns a simulated PBX with ARI and a client that is let in.
func startARI(t *testing.T, cfg pbxsim.Config) (*pbxsim.PBX, *web) {
	t.Helper()
	cfg.ARI = true
	p, _ := start(t, cfg)
	return p, browse(t, p.ARI(), phone)
}

func wants(t *testing.T, got, want string) {
	t.Helper()
	if !strings.HasPrefix(got, want) {
		t.Errorf("answer %q, want %s", got, want)
	}
}

func TestAWebsocketNeedsAnApplicationAndAVersion(t *testing.T) {
	const version = "Sec-WebSocket-Version: 13"
	pbxtest.Run(t, withARI, func(t *testing.T, p pbxtest.PBX) {
		w := browse(t, p.ARI(), p.User("phone"))
		for _, tc := range []struct {
			name, query, want string
			headers           []string
			user              pbxsim.User
		}{
			{"right", "?app=a", "101", []string{version}, w.user},
			{"read only", "?app=a", "101", []string{version}, p.User("reader")},
			{"its protocol", "?app=a", "101", []string{version, "Sec-WebSocket-Protocol: ari"}, w.user},
			{"another protocol", "?app=a", "400", []string{version, "Sec-WebSocket-Protocol: bogus"}, w.user},
			{"no version", "?app=a", "400", nil, w.user},
			{"no application", "", "400", []string{version}, w.user},
			{"an empty application", "?app=", "400", []string{version}, w.user},
			{"nobody", "?app=a", "401", []string{version}, pbxsim.User{Name: "nobody"}},
		} {
			t.Run(tc.name, func(t *testing.T) {
				status, conn, _ := w.as(tc.user).knock(tc.query, tc.headers...)
				wants(t, status, tc.want)
				_ = conn.Close()
			})
		}
	})
}

func TestARIIsThereWhenAsteriskIsBooted(t *testing.T) {
	p, w := startARI(t, pbxsim.Config{BootDelay: -1})
	wants(t, w.get("/ari/asterisk/info"), "503 Service Unavailable\n{\"message\":\"Asterisk not booted\"}")
	p.Boot()
	wants(t, w.get("/ari/asterisk/info"), "200")
	at := p.ARI()
	e := w.listen("app=a")
	if err := p.Restart(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := e.event(); err == nil {
		t.Error("a websocket survived the restart")
	}
	if p.ARI() != at {
		t.Errorf("after the restart at %s, want %s", p.ARI(), at)
	}
	if without, _ := start(t, pbxsim.Config{}); without.ARI() != "" {
		t.Errorf("ARI at %s, and nobody asked for it", without.ARI())
	}
	busy := pbxsim.New(pbxsim.Config{ARI: true, ARIAddr: w.host})
	if err := busy.Start(); err == nil {
		t.Error("two at one address")
		busy.Stop()
	}
}

func TestTheFilterOfEventsCameLater(t *testing.T) {
	for version, want := range map[string]string{
		"13.25.0": "404", "13.26.0": "200", "15.1.0": "404", "16.2.1": "404", "16.3.0": "200", "17.0.0": "200", "22.10.1": "200",
	} {
		_, w := startARI(t, pbxsim.Config{Version: version})
		w.listen("app=a")
		wants(t, w.ask("PUT", "/ari/applications/a/eventFilter", jsonBody, "{}"), want)
	}
}

func TestAFunctionWithoutAValueKillsThePBX(t *testing.T) {
	p, w := startARI(t, pbxsim.Config{AstDB: map[string]string{"1": "away"}})
	mustSet(t, p, "CustomPresence:1", "dnd")
	if got := w.post("/ari/asterisk/variable?variable=PRESENCE_STATE(CustomPresence:1)"); got != "\n" {
		t.Errorf("a dead one answered %q", got)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	if c, _ := p.Get("CustomPresence:1"); c.State != "away" {
		t.Errorf("after the crash %q: what was not committed is lost", c.State)
	}
	wants(t, w.post("/ari/asterisk/variable?variable=PB_TEST"), "204")
	wants(t, w.post("/ari/asterisk/variable?variable=NO_FUNCTION(1)"), "204")
	w.post("/ari/asterisk/variable?variable=DEVICE_STATE(Custom:1)")
	p.Stop() // of one that is dead
}

func TestAMIAndARIShareTheirVariables(t *testing.T) {
	p, w := startARI(t, pbxsim.Config{})
	c := login(t, p.Addr(), phone)
	c.ask("Action: Setvar", "Variable: PB_TEST", "Value: 1")
	wants(t, w.get("/ari/asterisk/variable?variable=PB_TEST"), "200 OK\n{\"value\":\"1\"}")
	w.post("/ari/asterisk/variable?variable=PB_TEST&value=2")
	if f := c.ask("Action: Getvar", "Variable: PB_TEST"); !has(f, "Value: 2") {
		t.Errorf("AMI has %q", f)
	}
}

// With the client of Go's library, which keeps its connection.
func TestRequestsFollowEachOtherOnOneConnection(t *testing.T) {
	p, _ := startARI(t, pbxsim.Config{})
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for range 3 {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.ARI()+"/asterisk/info?only=system", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth(phone.Name, phone.Secret)
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		var info struct{ System struct{ Version string } }
		if err := json.NewDecoder(resp.Body).Decode(&info); err != nil || info.System.Version != "22.10.1" {
			t.Errorf("%+v, %v", info, err)
		}
		_ = resp.Body.Close()
	}
	if n := p.Stats().Requests["GET /ari/asterisk/info"]; n != 3 {
		t.Errorf("%d requests, want 3", n)
	}
}

func TestAChannelKeepsItsApplication(t *testing.T) {
	_, w := startARI(t, pbxsim.Config{})
	e := w.listen("app=a")
	w.post("/ari/channels/create?endpoint=Local/100/n&app=a&channelId=c")
	w.post("/ari/channels/create?endpoint=Local/100@x&app=a")
	e.hear("StasisStart")
	e.hear("StasisStart")
	if got := w.get("/ari/channels"); strings.Count(got, `"id"`) != 2 || !strings.Contains(got, `"context":"default","exten":"100"`) {
		t.Errorf("channels %q", got)
	}
	wants(t, w.get("/ari/channels/c/variable?variable=CONTEXT"), "200 OK\n{\"value\":\"default\"}")
	wants(t, w.get("/ari/channels/c/variable?variable=EVAL(a$%7bEXTEN;b)"), "200 OK\n{\"value\":\"a\"}")
	wants(t, w.get("/ari/channels/c/variable?variable=EVAL(x;%zz)"), "200 OK\n{\"value\":\"x;%zz\"}")
	e.hangUp()
	wants(t, w.get("/ari/applications"), "200 OK\n[{\"name\":\"a\"")
	var list []struct{ ID string }
	_, body, _ := strings.Cut(w.get("/ari/channels"), "\n")
	if err := json.Unmarshal([]byte(body), &list); err != nil {
		t.Fatal(err)
	}
	for _, c := range list {
		wants(t, w.del("/ari/channels/"+c.ID), "204")
	}
	pbxtest.Eventually(t, patience, "the application goes with its last channel", func() bool {
		return strings.HasPrefix(w.get("/ari/applications/a"), "404")
	})
}

// Where an application is not there its channel is gone at once, which is a hangup too.
func TestTheIDOfAChannelThatWasHungUpKillsThePBX(t *testing.T) {
	const create = "/ari/channels/create?endpoint=Local/s@default&channelId=c&app="
	for _, app := range []string{"a", "none"} {
		p, w := startARI(t, pbxsim.Config{})
		w.listen("app=a")
		wants(t, w.post(create+app), "200")
		if app == "a" {
			wants(t, w.post(create+app), "409") // it is there: nothing is wrong
			wants(t, w.del("/ari/channels/c"), "204")
		}
		if ids := p.ReusedChannels(); len(ids) > 0 {
			t.Errorf("%s: %q was used once", app, ids)
		}
		if got := w.post(create + "a"); got != "\n" {
			t.Errorf("%s: a dead one answered %q", app, got)
		}
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		w.listen("app=a")
		wants(t, w.post(create+"a"), "200") // another life
		if ids := p.ReusedChannels(); !slices.Equal(ids, []string{"c"}) {
			t.Errorf("%s: it remembers %q", app, ids)
		}
	}
}

func TestAnOldApplicationThatFollowsEverythingStays(t *testing.T) {
	_, w := startARI(t, pbxsim.Config{Version: "16.28.0"})
	w.listen("app=a&subscribeAll=true").hangUp()
	wants(t, w.get("/ari/applications/a"), "200")
	wants(t, w.post("/ari/applications/a/subscription?eventSource=deviceState:Custom:1"), "200")
	wants(t, w.post("/ari/events/user/Lost?application=a"), "204")
	e := w.listen("app=a")
	e.fence(true)
}

func TestTheClientOfAWebsocketMaySpeak(t *testing.T) {
	_, w := startARI(t, pbxsim.Config{})
	e := w.listen("app=a")
	write := func(n int) error {
		return e.conn.Write(t.Context(), websocket.MessageText, []byte(strings.Repeat("x", n)))
	}
	if err := errors.Join(write(10), write(300)); err != nil {
		t.Fatal(err)
	}
	e.conn.CloseRead(t.Context()) // hears the pongs
	if err := e.conn.Ping(t.Context()); err != nil {
		t.Errorf("ping: %v", err)
	}
	_ = write(70_000) // is more than it takes, and may end the connection before all is said
	pbxtest.Eventually(t, patience, "it is thrown out", func() bool { return strings.HasPrefix(w.get("/ari/applications/a"), "404") })
}

func TestBadBodiesAreRefused(t *testing.T) {
	_, w := startARI(t, pbxsim.Config{})
	e := w.listen("app=a")
	for _, body := range []string{"[1]", `{"variables":[1]}`, `{"variables":1}`} {
		got := w.ask("POST", "/ari/events/user/x?application=a", jsonBody, body)
		if body == "[1]" {
			wants(t, got, "204")
			e.hear("ChannelUserevent")
			continue
		}
		wants(t, got, "500")
	}
	wants(t, w.ask("POST", "/ari/events/user/x?application=a", jsonBody, strings.Repeat(" ", 50_000)), "413")
	wants(t, w.ask("GET", "/ari/asterisk/ping", "", "", "Authorization: Basic ???"), "200") // the first one counts
	wants(t, w.as(pbxsim.User{}).ask("GET", "/ari/asterisk/ping", "", "", "Authorization: Basic ???"), "401")
	w.ask("POST", "/ari/events/user/long?application=a", jsonBody, `{"variables":{"x":"`+strings.Repeat("\u2028", 12_000)+`"}}`)
	if got := e.hear("ChannelUserevent"); len(got) < 36_000 {
		t.Errorf("an event of %d bytes came", len(got))
	}
}
