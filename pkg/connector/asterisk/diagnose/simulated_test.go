package diagnose

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/ami"
	"github.com/presencebridge/presencebridge/pkg/pbxsim"
	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

// find returns a step.
func find(t *testing.T, steps []Step, name string) Step {
	t.Helper()
	i := slices.IndexFunc(steps, func(s Step) bool { return s.Name == name })
	if i < 0 {
		t.Fatalf("there is no step %q in\n%s", name, text(steps))
	}
	return steps[i]
}

// expect looks at a step: its result, and a part of what it says.
func expect(t *testing.T, steps []Step, name string, want Result, says string) Step {
	t.Helper()
	s := find(t, steps, name)
	if s.Result != want || !strings.Contains(s.Says, says) {
		t.Errorf("%s is %s: %q, want %s with %q", name, s.Result, s.Says, want, says)
	}
	if (s.Result == Failed || s.Result == Warning) && s.Do == "" {
		t.Errorf("%s does not say what to do", name)
	}
	return s
}

// simulated starts a PBX with the accounts of accounts.
func simulated(t *testing.T, sim pbxsim.Config) *pbxtest.Simulated {
	sim.RefusalDelay = -1
	return pbxtest.NewSimulated(t, pbxtest.Options{Users: accounts(), Sim: sim})
}

func TestAGoodSetupPasses(t *testing.T) {
	pbx := simulated(t, pbxsim.Config{AstDB: map[string]string{"1001": "away,,,e", "1002": "dnd,,,e"}})
	var begun []string
	steps := Examine(t.Context(), config(pbx.Addr(), "good"), func(step string) { begun = append(begun, step) })
	if Worst(steps) != OK || len(begun) != len(steps) {
		t.Errorf("%d of these were begun:\n%s", len(begun), text(steps))
	}
	expect(t, steps, "extensions", OK, "all 2")
	if got := pbx.Sim.Stats(); got.Logins != 1 || got.Actions["Setvar PRESENCE_STATE"] != 2 {
		t.Errorf("%d logins, actions %v", got.Logins, got.Actions)
	}
	pbxtest.Eventually(t, 10*time.Second, "every connection is gone", func() bool { return pbx.Sim.Stats().Open == 0 })
	o := pbxtest.Observe(t, &named{pbx})
	if c, err := o.Shows("CustomPresence:presencebridge-doctor-test-canary"); err != nil || c.State != "not_set" {
		t.Errorf("the canary shows %+v, %v", c, err)
	}
}

// named has the account that the observer asks for.
type named struct{ *pbxtest.Simulated }

func (n *named) User(string) pbxsim.User { return n.Simulated.User("good") }

func TestWhatASimulatedAsteriskLacks(t *testing.T) {
	for _, tc := range []struct {
		name    string
		sim     pbxsim.Config
		prepare func(*pbxtest.Simulated, *Config)
		step    string
		want    Result
		says    string
	}{
		{"the list module", pbxsim.Config{}, func(p *pbxtest.Simulated, _ *Config) { p.Unload(pbxsim.PresenceManager) }, "presence list", Failed, "res_manager_presencestate.so"},
		{"the function module", pbxsim.Config{}, func(p *pbxtest.Simulated, _ *Config) { p.Unload(pbxsim.PresenceFunction) }, "presence write", Failed, "func_presencestate.so"},
		{"the boot", pbxsim.Config{BootDelay: -1}, func(_ *pbxtest.Simulated, c *Config) { c.BootWait = brief }, "presence list", Failed, "still starting"},
		{"events", pbxsim.Config{}, func(p *pbxtest.Simulated, c *Config) {
			p.Sim.DropEvents(func(pbxsim.Change) bool { return true })
			c.EventWait = brief
		}, "presence event", Failed, "did not come"},
		{"an old AMI", pbxsim.Config{AMIVersion: "2.7.0", Version: "13.4.0"}, nil, "version", Failed, "older than 13.5"},
		{"an old Asterisk", pbxsim.Config{Version: "13.4.2"}, nil, "version", Failed, "13.4.2 is older"},
		{"a new one", pbxsim.Config{Version: "22.10.0"}, nil, "version", Warning, "GHSA-wcvv-g26m-wx5c"},
		{"a number", pbxsim.Config{Version: "GIT-master-1234"}, nil, "version", Info, "new enough"},
		{"a comparable number", pbxsim.Config{Version: "20.7-cert5"}, nil, "version", Info, "cannot be told"},
		{"the right to tell its version", pbxsim.Config{}, func(_ *pbxtest.Simulated, c *Config) { c.AMI.Username = "noreport" }, "version", Info, "does not tell"},
		{"our time", pbxsim.Config{}, func(_ *pbxtest.Simulated, c *Config) {
			c.Now = func() time.Time { return time.Now().Add(-time.Hour) }
		}, "clock", Warning, "1h0m0s ahead of ours"},
		{"later time", pbxsim.Config{}, func(_ *pbxtest.Simulated, c *Config) {
			c.Now = func() time.Time { return time.Now().Add(time.Hour) }
		}, "clock", Warning, "behind ours"},
		{"extensions", pbxsim.Config{}, func(_ *pbxtest.Simulated, c *Config) { c.Extensions = nil }, "extensions", Info, "none on this PBX"},
		{"many extensions", pbxsim.Config{}, func(_ *pbxtest.Simulated, c *Config) { c.Extensions = strings.Split("1234567890ab", "") }, "extensions", Info, "0 and 2 more"},
		{"trust after a refusal", pbxsim.Config{}, func(_ *pbxtest.Simulated, c *Config) { c.Refused = "the login failed before" }, "login", Failed, "not tried again"},
		{"what lamps need", pbxsim.Config{}, func(p *pbxtest.Simulated, c *Config) {
			p.Unload(pbxsim.DeviceFunction)
			c.Device, c.Lamp = "", "Custom:PRES{extension}"
		}, "phones", Warning, "no lamp is set: whether"},
		{"what DND needs", pbxsim.Config{}, func(p *pbxtest.Simulated, c *Config) {
			p.Unload(pbxsim.DeviceManager)
			c.DND = "Custom:DND{extension}"
		}, "phones", Warning, "calls show in no status, DND of feature codes"},
		{"no lamp", pbxsim.Config{}, func(_ *pbxtest.Simulated, c *Config) { c.Device, c.Lamp = "", "Custom:PRES{extension}" }, "phones", OK, "phones are not followed"},
		{"a good name for us", pbxsim.Config{}, func(_ *pbxtest.Simulated, c *Config) { c.Instance = "a/b" }, "presence write", Failed, "is not a presentity"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			pbx := simulated(t, tc.sim)
			c := config(pbx.Addr(), "good")
			if tc.prepare != nil {
				tc.prepare(pbx, &c)
			}
			steps := Examine(t.Context(), c, nil)
			expect(t, steps, tc.step, tc.want, tc.says)
			if tc.want != Info && Worst(steps) != tc.want {
				t.Errorf("the worst is %s", Worst(steps))
			}
			if c.Refused != "" && pbx.Sim.Stats().Actions["Login"] != 0 {
				t.Error("it was tried again")
			}
		})
	}
}

func TestAPBXThatGoesAwayInTheMiddle(t *testing.T) {
	for _, at := range []string{"status queries", "clock", "presence list", "presence write", "presence event", "other rights"} {
		t.Run(at, func(t *testing.T) {
			pbx := simulated(t, pbxsim.Config{})
			c := config(pbx.Addr(), "good")
			c.EventWait = brief
			steps := Examine(t.Context(), c, func(step string) {
				if step == at {
					pbx.Kill()
				}
			})
			want := Failed
			if at == "other rights" { // the last, and no fault of the setup
				want = Info
			}
			if at != "presence event" { // that one may have come already
				expect(t, steps, at, want, "")
			}
		})
	}
}

func TestWhatListensInsteadOfAMI(t *testing.T) {
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	webTLS := httptest.NewUnstartedServer(http.NotFoundHandler())
	webTLS.Config.ErrorLog = log.New(io.Discard, "", 0) // broken handshakes are what is tested
	webTLS.StartTLS()
	defer webTLS.Close()
	pool := webTLS.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	expired := pbxtest.NewCertificate(t, "pbx", time.Now().Add(-time.Hour))
	early := pbxtest.NewCertificate(t, "pbx", time.Now().Add(20*365*24*time.Hour))
	nameless := pbxtest.NewCertificate(t, "", time.Now().Add(time.Hour))
	soon := pbxtest.NewCertificate(t, "pbx", time.Now().Add(24*time.Hour))
	server := func(p pbxtest.Certificate) string {
		return listen(t, func(c net.Conn) {
			s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{p.Pair}})
			_, _ = io.WriteString(s, "Asterisk Call Manager/11.0.0\r\n")
			_, _ = io.Copy(io.Discard, s)
		}).Addr().String()
	}
	says := func(text string) string {
		return listen(t, func(c net.Conn) { _, _ = io.WriteString(c, text) }).Addr().String()
	}
	silent := listen(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }).Addr().String()
	for _, tc := range []struct {
		name, address string
		tls           *tls.Config
		step          string
		want          Result
		says          string
	}{
		{"a web server", web.Listener.Addr().String(), nil, "greeting", Failed, "web server"},
		{"a web server, with TLS", web.Listener.Addr().String(), &tls.Config{}, "encryption", Failed, "web server"},
		{"an encrypted web server", webTLS.Listener.Addr().String(), &tls.Config{RootCAs: pool}, "greeting", Failed, "does not greet"},
		{"an encrypted web server, without TLS", webTLS.Listener.Addr().String(), nil, "greeting", Failed, "speaks TLS"},
		{"a mail server", says("220 mail\x1b[31m ready\r\n"), nil, "greeting", Failed, `"220 mail\x1b[31m ready"`},
		{"a mail server, with TLS", says("220 mail ready\r\n"), &tls.Config{}, "encryption", Failed, `"220 m"`},
		{"a server that hangs up", says(""), nil, "greeting", Failed, "closed before"},
		{"a server that hangs up, with TLS", says(""), &tls.Config{}, "encryption", Failed, "no TLS handshake"},
		{"a server that says nothing", silent, nil, "greeting", Failed, "says nothing"},
		{"a server that says nothing, with TLS", silent, &tls.Config{}, "encryption", Failed, "does not answer a TLS handshake"},
		{"an expired certificate", server(expired), &tls.Config{RootCAs: expired.Trusted, ServerName: "pbx"}, "encryption", Failed, "ended on"},
		{"a certificate of the future", server(early), &tls.Config{RootCAs: early.Trusted, ServerName: "pbx"}, "encryption", Failed, "good only from"},
		{"a certificate for nobody", server(nameless), &tls.Config{RootCAs: nameless.Trusted, ServerName: "pbx"}, "encryption", Failed, "for no name"},
		{"a certificate that ends soon", server(soon), &tls.Config{RootCAs: soon.Trusted, ServerName: "pbx"}, "encryption", Warning, "good until"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := config(tc.address, "good")
			c.AMI.TLS, c.AMI.Timeout = tc.tls, time.Second
			expect(t, Examine(t.Context(), c, nil), tc.step, tc.want, tc.says)
		})
	}
}

func TestAddressesThatLeadNowhere(t *testing.T) {
	fails := func(err error) func(*Config) {
		return func(c *Config) {
			c.AMI.Dial = func(context.Context, string, string) (net.Conn, error) {
				return nil, &net.OpError{Op: "dial", Net: "tcp", Err: err}
			}
		}
	}
	lookup := func(ips []string, err error) func(*Config) {
		return func(c *Config) {
			c.AMI.Address = "pbx.example.com:5038"
			c.Lookup = func(context.Context, string) ([]string, error) { return ips, err }
			c.AMI.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, syscall.ECONNREFUSED }
		}
	}
	for _, tc := range []struct {
		name  string
		spoil func(*Config)
		step  string
		want  Result
		says  string
	}{
		{"no port", func(c *Config) { c.AMI.Address = "pbx" }, "address", Failed, `"pbx" is not host:port`},
		{"a name", lookup([]string{"192.0.2.1", "2001:db8::1"}, nil), "address", OK, "192.0.2.1, 2001:db8::1"},
		{"a name where nothing listens", lookup([]string{"192.0.2.1"}, nil), "connection", Failed, "nothing listens"},
		{"no such name", lookup(nil, &net.DNSError{IsNotFound: true}), "address", Failed, "there is no host pbx.example.com"},
		{"no name server", lookup(nil, errors.New("timeout")), "address", Failed, "name servers"},
		{"a firewall that drops", fails(os.ErrDeadlineExceeded), "connection", Failed, "did not answer"},
		{"no way", fails(syscall.ENETUNREACH), "connection", Failed, "network is unreachable"},
		{"something else", func(c *Config) {
			c.AMI.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("odd") }
		}, "connection", Failed, "odd"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := config("192.0.2.1:5038", "good")
			tc.spoil(&c)
			steps := Examine(t.Context(), c, nil)
			expect(t, steps, tc.step, tc.want, tc.says)
			expect(t, steps, "login", NotTried, "because the step ")
		})
	}
	c := config("192.0.2.1:5039", "good")
	c.AMI.TLS = &tls.Config{}
	fails(syscall.ECONNREFUSED)(&c)
	if s := find(t, Examine(t.Context(), c, nil), "connection"); s.Fix[0].Lines[1] != "tlsenable = yes" {
		t.Errorf("for a port of TLS it advises %q", s.Fix)
	}
}

// far pretends that a connection goes to another machine.
type far struct {
	net.Conn
	closed bool
}

func (f *far) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 5038} }
func (f *far) SetReadDeadline(t time.Time) error {
	if f.closed {
		return net.ErrClosed
	}
	return f.Conn.SetReadDeadline(t)
}

func TestAMIInClearBetweenMachinesIsWarnedOf(t *testing.T) {
	pbx := simulated(t, pbxsim.Config{})
	c := config(strings.Replace(pbx.Addr(), "127.0.0.1", "localhost", 1), "good")
	c.AMI.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, pbx.Addr())
		return &far{Conn: conn}, err
	}
	s := expect(t, Examine(t.Context(), c, nil), "encryption", Warning, "can read and change everything")
	if len(s.Fix) != 2 || s.Fix[1].Lines[0] != "address: localhost:5039" {
		t.Errorf("it advises %+v", s.Fix)
	}
	c.AMI.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		return &far{conn, true}, err
	}
	expect(t, Examine(t.Context(), c, nil), "greeting", Failed, "broke at once")
}

func TestAServerThatTakesOneConnectionOnly(t *testing.T) {
	silent := listen(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	c := config(silent.Addr().String(), "good")
	c.AMI.Timeout = brief
	dials := 0
	c.AMI.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if dials++; dials > 1 {
			return nil, syscall.ECONNREFUSED
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	expect(t, Examine(t.Context(), c, nil), "greeting", Failed, "no further one")
}

func TestWhyThereIsNoLogin(t *testing.T) {
	x := &examination{cfg: config("127.0.0.1:5038", "good"), local: "2001:db8::7"}
	for _, tc := range []struct {
		err  error
		says string
	}{
		{fmt.Errorf("x: %w", ami.ErrAuth), "only its log says why"},
		{&ami.ResponseError{Action: "Login", Message: "Login Already In Use"}, "allows one login"},
		{&ami.ResponseError{Action: "Login", Message: "Asterisk is shutting down"}, "shutting down"},
		{io.EOF, "ended the connection"},
	} {
		if s := x.refused(tc.err); s.Result != Failed || !strings.Contains(s.Says, tc.says) || s.Do == "" {
			t.Errorf("%v: %+v", tc.err, s)
		}
	}
	if got := x.permitted(); got != "2001:db8::7/128" {
		t.Errorf("permit %s", got)
	}
	if x.local = "unknown"; x.permitted() != "the address of this machine" {
		t.Errorf("permit %s", x.permitted())
	}
	if s := x.denied(&ami.ResponseError{Action: "Ping", Message: "odd"}, ""); !strings.Contains(s.Says, `refuses Ping: "odd"`) {
		t.Error(s.Says)
	}
}

func TestFiltersFitTheRelease(t *testing.T) {
	for text, advanced := range map[string]bool{
		"": false, "13.38.3": false, "16.30.0": false, "18.25.9": false, "18.26.0": true, "19.8.1": false, "20.10.0": false, "20.11.1": true,
		"21.5.0": false, "21.6.0": true, "22.0.0": false, "22.1.0~dfsg": true, "23.0.0": true, "24.1.0": true, "certified/18.9-cert4": false, "GIT-22-abc": false,
	} {
		var v version
		v.release(text)
		if got := len(v.filters(false)) == 5; got != advanced {
			t.Errorf("%q: %q", text, v.filters(false))
		}
	}
}

func TestAdvisoriesNameReleases(t *testing.T) {
	for text, want := range map[string]string{
		"22.10.0": "GHSA-wcvv", "22.10.1": "", "20.20.0": "", "18.23.0": "35190", "18.22.9": "", "18.23.1": "", "20.8.0": "35190", "21.3.0": "35190",
		"16.25.1": "26651", "16.28.0~dfsg-0+deb11u4": "", "18.11.1": "26651", "19.3.2": "", "23.0.0": "",
	} {
		var v version
		v.release(text)
		var got []string
		for _, a := range advisories() {
			if a.applies(v.number) {
				got = append(got, a.ids)
			}
		}
		if len(got) > 1 || strings.Join(got, "") == "" != (want == "") || !strings.Contains(strings.Join(got, ""), want) {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func TestNamesOfACertificateAreHarmless(t *testing.T) {
	for name, want := range map[string]string{"pbx.example.com": "pbx.example.com", "a}\r\nb: c": "a???b??c", "2001:db8::1": "2001:db8::1", "é": "?"} {
		if got := plain(name); got != want {
			t.Errorf("%q became %q", name, got)
		}
	}
}
