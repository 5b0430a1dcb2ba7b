package ari_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	cycore "github.com/CyCoreSystems/ari/v5"
	"github.com/CyCoreSystems/ari/v5/client/native"

	"github.com/presencebridge/presencebridge/pkg/ari"
	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

const patience = 30 * time.Second

// TestOnRealAsterisks runs against all that the environment lists, each started
// once for all that is claimed about it.
func TestOnRealAsterisks(t *testing.T) {
	reals := pbxtest.Reals(t)
	if len(reals) == 0 {
		t.Skip("no real Asterisk: `make test` installs some, or set PRESENCEBRIDGE_TEST_ASTERISK")
	}
	for _, f := range reals {
		t.Run(f.Name, func(t *testing.T) {
			pbx := f.Start(t, pbxtest.Options{ARI: true}).(*pbxtest.Real)
			for _, tc := range []struct {
				name string
				test func(*testing.T, *pbxtest.Real)
			}{
				{"it says which Asterisk it is", testInfo},
				{"device states are seen and read", testDevices},
				{"one device can be followed", testOneDevice},
				{"a filter keeps the rest away", testFilter},
				{"a presence is set", testSetPresence},
				{"a request that is cut sets nothing", testCut},
				{"presences are read", testPresences},
				{"user events go in and out", testUserEvents},
				{"the newest connection has the application", testReplaced},
				{"a replaced one lets the channel live", testReplacedChannel},
				{"one that was killed leaves it to the next", testLeftChannel},
				{"accounts are told apart", testAccounts},
				{"a ping is answered", testPing},
				{"many connections come and go", testManyTimes},
			} {
				t.Run(tc.name, func(t *testing.T) { tc.test(t, pbx) })
			}
			t.Run("a PBX that stops is noticed", func(t *testing.T) { testStop(t, pbx) })
			t.Run("all of it goes over TLS", func(t *testing.T) { testTLS(t, f) })
		})
	}
}

// config reaches pbx with an account and an application that no other test has.
func config(t *testing.T, pbx *pbxtest.Real, account string) ari.Config {
	u := pbx.User(account)
	app := strings.Map(func(r rune) rune {
		if r == '/' || r == '#' {
			return '-'
		}
		return r
	}, t.Name())
	return ari.Config{URL: pbx.ARI(), Username: u.Name, Password: ari.NewSecret(u.Secret), App: app[max(0, len(app)-40):], Timeout: patience}
}

// log collects what a handler is told, as lines.
type log struct {
	mu    sync.Mutex
	lines []string
}

func (l *log) add(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

func (l *log) has(line string) func() bool {
	return func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return slices.Contains(l.lines, line)
	}
}

func (l *log) handler() ari.Handler {
	return ari.Handler{
		Event: func(e ari.Event) {
			switch e := e.(type) {
			case *ari.DeviceStateChanged:
				l.add("%s %s", e.DeviceState.Name, e.DeviceState.State)
			case *ari.ChannelUserevent:
				l.add("%s %v", e.Eventname, e.Userevent)
			default:
				l.add("%s", e.GetType())
			}
		},
		Lost:      func(n int) { l.add("lost %d", n) },
		Malformed: func(err error) { l.add("%v", err) },
	}
}

func open(t *testing.T, cfg ari.Config, h ari.Handler) *ari.Conn {
	t.Helper()
	c := reach(t, cfg, h)
	t.Cleanup(func() {
		_ = c.Close()
		if n := c.Counters(); n.Malformed+n.Unknown+n.Lost > 0 {
			t.Errorf("counted %+v", n)
		}
	})
	return c
}

// reach opens a connection. A busy Asterisk 22 was once seen to leave a request without
// an answer for 30 s; whoever uses this package tries again, and so do its tests.
func reach(t *testing.T, cfg ari.Config, h ari.Handler) *ari.Conn {
	t.Helper()
	var err error
	for range 3 {
		var c *ari.Conn
		if c, err = ari.Open(t.Context(), cfg, h); err == nil {
			return c
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			break
		}
		t.Log(err)
	}
	t.Fatal(err)
	return nil
}

func testInfo(t *testing.T, pbx *pbxtest.Real) {
	c := open(t, config(t, pbx, "bridge"), ari.Handler{})
	info, err := c.Info(t.Context())
	if err != nil || info.Version != pbx.Version() || time.Since(info.Started) > time.Hour || info.EntityID == "" {
		t.Errorf("info = %+v, %v; started just now is %s", info, err, pbx.Version())
	}
}

// set makes a device of its own show a state, with ari/v5's client.
func set(t *testing.T, pbx *pbxtest.Real, name, state string) {
	t.Helper()
	_, client := observer(t, pbx, "phone")
	if err := client.Asterisk().Variables().Set(cycore.NewKey(cycore.VariableKey, "DEVICE_STATE("+name+")"), state); err != nil {
		t.Fatal(err)
	}
}

// observer is ari/v5's own client with an application of its own: a second
// implementation, so that ours is not tested by itself. It leaves connections idle
// in the default transport. Its Close races with what it has running, so one that is
// connected is left to find out that the PBX is gone, and to try again for ever.
func observer(t *testing.T, pbx *pbxtest.Real, account string) (app string, client *native.Client) {
	t.Helper()
	u := pbx.User(account)
	app = "observer"
	client = native.New(&native.Options{
		Application: app, URL: pbx.ARI(), WebsocketURL: strings.Replace(pbx.ARI(), "http", "ws", 1) + "/events",
		Username: u.Name, Password: u.Secret,
	})
	t.Cleanup(http.DefaultTransport.(*http.Transport).CloseIdleConnections)
	return app, client
}

func testDevices(t *testing.T, pbx *pbxtest.Real) {
	var seen log
	c := open(t, config(t, pbx, "bridge"), seen.handler())
	if err := c.Subscribe(t.Context(), ari.AllDevices, ari.AllEndpoints); err != nil {
		t.Fatal(err)
	}
	for _, state := range []string{"INUSE", "RINGING", "NOT_INUSE"} {
		set(t, pbx, "Custom:a+b#%?&", state)
		pbxtest.Eventually(t, patience, "the event of it", seen.has("Custom:a+b#%?& "+state))
		got, err := c.DeviceState(t.Context(), "Custom:a+b#%?&")
		if err != nil || got != (ari.DeviceState{Name: "Custom:a+b#%?&", State: state}) {
			t.Errorf("read %+v, %v", got, err)
		}
	}
	if got, err := c.DeviceState(t.Context(), "PJSIP/nobody"); err != nil || got.State != "INVALID" {
		t.Errorf("of nobody: %+v, %v", got, err)
	}
	if got, err := c.DeviceStates(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("devices of ARI: %+v, %v", got, err)
	}
	if got, err := c.Endpoints(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("endpoints without a channel driver: %+v, %v", got, err)
	}
}

func testOneDevice(t *testing.T, pbx *pbxtest.Real) {
	var seen log
	c := open(t, config(t, pbx, "bridge"), seen.handler())
	sources := make([]ari.Source, 250)
	for i := range sources {
		var err error
		if sources[i], err = ari.Device(fmt.Sprint("Custom:one+", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Subscribe(t.Context(), sources...); err != nil {
		t.Fatal(err)
	}
	set(t, pbx, "Custom:another", "INUSE")
	set(t, pbx, "Custom:one+249", "INUSE")
	pbxtest.Eventually(t, patience, "the event of it", seen.has("Custom:one+249 INUSE"))
	if seen.has("Custom:another INUSE")() {
		t.Error("another device was followed too")
	}
	nobody, err := ari.Device("Custom:nobody")
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	if err := c.Subscribe(t.Context(), nobody); !errors.Is(err, ari.ErrClosed) {
		t.Errorf("afterwards: %v", err)
	}
}

// testFilter also shows that a filter of an earlier connection does not stay. On a busy
// machine some one in twenty new applications of Asterisk 16 sends what its filter keeps
// away, though it has taken it: that costs time and does no harm, and hardly happens to
// three in a row.
func testFilter(t *testing.T, pbx *pbxtest.Real) {
	cfg := config(t, pbx, "bridge")
	app, states := cfg.App, 0
	for _, events := range [][]string{{"ChannelUserevent"}, {"DeviceStateChanged"}, nil} {
		cfg.Events = events
		for try := 1; ; try++ {
			cfg.App = fmt.Sprint("try", try, app[max(0, len(app)-38):])
			state := []string{"INUSE", "BUSY"}[states%2] // no event tells of the same again
			states++
			through := passes(t, pbx, cfg, state)
			if through == "" {
				break
			}
			if try == 3 {
				t.Fatalf("%q came through the filter %q, three times", through, events)
			}
			t.Logf("%q came through the filter %q", through, events)
		}
	}
}

// passes makes a device have a state, and sends an event, on a connection that asks for
// cfg.Events. It waits for what has to come, and returns what comes besides, or "".
func passes(t *testing.T, pbx *pbxtest.Real, cfg ari.Config, state string) (through string) {
	t.Helper()
	var seen log
	c := open(t, cfg, seen.handler())
	defer func() { _ = c.Close() }()
	if err := c.Subscribe(t.Context(), ari.AllDevices); err != nil {
		t.Fatal(err)
	}
	set(t, pbx, "Custom:filter", state)
	if err := c.UserEvent(t.Context(), cfg.App, "Fence", nil); err != nil {
		t.Fatal(err)
	}
	for line, kind := range map[string]string{"Custom:filter " + state: "DeviceStateChanged", "Fence map[eventname:Fence]": "ChannelUserevent"} {
		if cfg.Events == nil || slices.Contains(cfg.Events, kind) {
			pbxtest.Eventually(t, patience, line, seen.has(line))
		} else if seen.has(line)() {
			through = line
		}
	}
	return through
}

func testUserEvents(t *testing.T, pbx *pbxtest.Real) {
	app, client := observer(t, pbx, "phone")
	if err := client.Connect(); err != nil {
		t.Fatal(err)
	}
	sub := client.Bus().Subscribe(cycore.NewKey("", ""), cycore.Events.ChannelUserevent)
	defer sub.Cancel()

	var seen log
	cfg := config(t, pbx, "bridge")
	c := open(t, cfg, seen.handler())
	text := "a, \"b\"\n✌ ${EVAL(x)}"
	if err := c.UserEvent(t.Context(), app, "PresenceStateChange", map[string]string{"Presentity": "CustomPresence:1", "Message": text}); err != nil {
		t.Fatal(err)
	}
	select {
	case e := <-sub.Events():
		got, ok := e.(*cycore.ChannelUserevent)
		if !ok || got.Eventname != "PresenceStateChange" ||
			fmt.Sprint(got.Userevent) != fmt.Sprint(map[string]any{"Presentity": "CustomPresence:1", "Message": text, "eventname": "PresenceStateChange"}) {
			t.Errorf("the other application saw %+v", e)
		}
	case <-time.After(patience):
		t.Error("the other application saw nothing")
	}
	if err := c.UserEvent(t.Context(), "nobody", "PresenceStateChange", nil); !errors.Is(err, ari.ErrNotFound) {
		t.Errorf("to nobody: %v", err)
	}
	// In: what somebody else sends to us. ari/v5 cannot, so a second Conn does.
	cfg2 := config(t, pbx, "full")
	cfg2.App = "sender"
	if err := open(t, cfg2, ari.Handler{}).UserEvent(t.Context(), cfg.App, "PresenceStateChange", map[string]string{"Status": "dnd"}); err != nil {
		t.Fatal(err)
	}
	pbxtest.Eventually(t, patience, "the event to us", seen.has("PresenceStateChange map[Status:dnd eventname:PresenceStateChange]"))
}

func testReplaced(t *testing.T, pbx *pbxtest.Real) {
	cfg := config(t, pbx, "bridge")
	for range 3 {
		older := open(t, cfg, ari.Handler{})
		newer := open(t, cfg, ari.Handler{})
		select {
		case <-older.Done():
		case <-time.After(patience):
			t.Fatal("the older one goes on")
		}
		if err := older.Err(); !errors.Is(err, ari.ErrReplaced) {
			t.Errorf("the older one ended with %v", err)
		}
		if err := newer.Subscribe(t.Context(), ari.AllDevices); err != nil || newer.Err() != nil {
			t.Errorf("the newer one: %v, %v", err, newer.Err())
		}
		_ = newer.Close()
	}
}

func testAccounts(t *testing.T, pbx *pbxtest.Real) {
	for _, tc := range []struct {
		name   string
		change func(*ari.Config)
		want   error
	}{
		{"a wrong password", func(c *ari.Config) { c.Password = ari.NewSecret("wrong") }, ari.ErrAuth},
		{"an unknown user", func(c *ari.Config) { c.Username = "nobody" }, ari.ErrAuth},
		{"no password", func(c *ari.Config) { c.Password = ari.Secret{} }, ari.ErrAuth},
		{"an account that is read_only", func(c *ari.Config) { *c = config(t, pbx, "reader") }, ari.ErrForbidden},
		{"no ARI there", func(c *ari.Config) { c.URL = strings.TrimSuffix(c.URL, "/ari") + "/elsewhere" }, ari.ErrNotFound},
	} {
		cfg := config(t, pbx, "bridge")
		tc.change(&cfg)
		if _, err := ari.Open(t.Context(), cfg, ari.Handler{}); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		} else {
			t.Log(err)
		}
	}
}

// testPing is what noticing a half-open connection rests on.
func testPing(t *testing.T, pbx *pbxtest.Real) {
	c := open(t, config(t, pbx, "bridge"), ari.Handler{})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for range 3 {
		if err := c.Ping(ctx); err != nil {
			t.Error(err)
		}
	}
}

// testTLS has an Asterisk of its own: twice, on a busy machine, Asterisk 22 answered
// nothing over HTTP any more after it, to nobody and for good.
func testTLS(t *testing.T, f pbxtest.Factory) {
	port, certificate := pbxtest.FreePort(t), pbxtest.NewCertificate(t, "pbx.example.com", time.Now().Add(time.Hour))
	pbx := f.Start(t, pbxtest.Options{ARI: true, Conf: pbxtest.Conf{
		HTTP:  fmt.Sprintf("tlsenable = yes\ntlsbindaddr = 127.0.0.1:%d\ntlscertfile = {etc}/pbx.pem\ntlsprivatekey = {etc}/pbx.pem\n", port),
		Files: map[string]string{"pbx.pem": certificate.PEM},
	}}).(*pbxtest.Real)
	cfg := config(t, pbx, "bridge")
	cfg.URL = fmt.Sprintf("https://127.0.0.1:%d/ari", port)
	cfg.TLS = &tls.Config{RootCAs: certificate.Trusted, ServerName: "pbx.example.com"}
	var seen log
	c := open(t, cfg, seen.handler())
	if err := c.Subscribe(t.Context(), ari.AllDevices); err != nil {
		t.Fatal(err)
	}
	set(t, pbx, "Custom:tls", "INUSE")
	pbxtest.Eventually(t, patience, "the event of it", seen.has("Custom:tls INUSE"))
	if got, err := c.Presences(t.Context(), "CustomPresence:1"); err != nil || len(got) != 1 {
		t.Errorf("read %v, %v", got, err)
	}
	if err := c.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	_ = c.Close()
	cfg.TLS.ServerName = "pbx.elsewhere.org"
	var name x509.HostnameError
	if _, err := ari.Open(t.Context(), cfg, ari.Handler{}); !errors.As(err, &name) {
		t.Errorf("error = %v, want HostnameError", err)
	}
}

func testManyTimes(t *testing.T, pbx *pbxtest.Real) {
	cfg := config(t, pbx, "bridge")
	for range 30 {
		c := reach(t, cfg, ari.Handler{})
		if err := c.Subscribe(t.Context(), ari.AllDevices); err != nil {
			t.Error(err)
		}
		_ = c.Close()
		if err := c.Err(); errors.Unwrap(err) != nil {
			t.Errorf("closed with %v", err)
		}
	}
}

func testStop(t *testing.T, pbx *pbxtest.Real) {
	cfg := config(t, pbx, "bridge")
	c := reach(t, cfg, ari.Handler{})
	defer func() { _ = c.Close() }()
	pbx.Stop()
	select {
	case <-c.Done():
		t.Log(c.Err())
	case <-time.After(patience):
		t.Error("nothing was noticed")
	}
	if _, err := ari.Open(t.Context(), cfg, ari.Handler{}); err == nil {
		t.Error("an Asterisk that is gone answers")
	} else {
		t.Log(err)
	}
}
