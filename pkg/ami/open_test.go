package ami

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLoginProvesTheSecretWithoutSendingIt(t *testing.T) {
	var seen recorder
	cfg, sent := play(t, func(p *peer) {
		p.login("Event: FullyBooted\nPrivilege: system,all\n\n")
		p.drain()
	})
	c := enter(t, cfg, seen.handler())
	if c.Version() != "11.0.0" {
		t.Errorf("version = %q", c.Version())
	}
	if err := c.Err(); err != nil {
		t.Errorf("an open connection has the error %v", err)
	}
	_ = c.Close()
	if want := []string{"event FullyBooted"}; !slices.Equal(seen.lines, want) {
		t.Errorf("behind the login came %q, want %q", seen.lines, want)
	}
	text := sent()
	if strings.Contains(text, testSecret) || !strings.Contains(text, "Events: system,call\r\n") {
		t.Errorf("login sent:\n%s", text)
	}
	if !strings.HasSuffix(text, "Action: Logoff\r\n\r\n") {
		t.Errorf("close did not log off:\n%s", text)
	}
}

func TestPlainLoginOnlyWhereConfigured(t *testing.T) {
	var got asked
	cfg, _ := play(t, func(p *peer) {
		p.send("Asterisk Call Manager/1.3\n")
		got = p.action()
		p.send("Response: Success\nActionID: %s\n\n", got.id)
		p.drain()
	})
	cfg.Plain, cfg.Events = true, "system"
	c := enter(t, cfg, Handler{})
	if got.name != "Login" || got.headers["Secret"] != testSecret || got.headers["Username"] != "panel" || got.headers["Events"] != "system" {
		t.Errorf("asked %+v", got)
	}
	if c.Version() != "1.3" {
		t.Errorf("version = %q", c.Version())
	}
}

func TestOnlyARefusedAccountIsErrAuth(t *testing.T) {
	for _, tc := range []struct {
		message string
		auth    bool
	}{
		{"Authentication failed", true},
		{"Anything new that Asterisk may say", true},
		{"Login Already In Use", false},
		{"Asterisk is shutting down", false},
	} {
		t.Run(tc.message, func(t *testing.T) {
			cfg, _ := play(t, func(p *peer) {
				p.send("Asterisk Call Manager/11.0.0\n")
				p.send("Response: Success\nActionID: %s\nChallenge: 1\n\n", p.action().id)
				p.send("Response: Error\nActionID: %s\nMessage: %s\n\n", p.action().id, tc.message)
			})
			_, err := Open(t.Context(), cfg, Handler{})
			var refused *ResponseError
			if errors.Is(err, ErrAuth) != tc.auth || !errors.As(err, &refused) || refused.Message != tc.message {
				t.Errorf("error = %v, want ErrAuth: %v", err, tc.auth)
			}
			if !strings.Contains(err.Error(), `ami login to pbx.example.com:5038 as "panel"`) {
				t.Errorf("error does not say where: %v", err)
			}
		})
	}
}

func TestWrongSecretIsRefusedAndNotShown(t *testing.T) {
	cfg, _ := play(t, func(p *peer) { p.login("") })
	cfg.Secret = NewSecret("a-wrong-" + testSecret)
	_, err := Open(t.Context(), cfg, Handler{})
	if !errors.Is(err, ErrAuth) {
		t.Fatalf("error = %v, want ErrAuth", err)
	}
	for e := err; e != nil; e = errors.Unwrap(e) {
		if text := fmt.Sprintf("%v %+v %#v", e, e, e); strings.Contains(text, testSecret) {
			t.Errorf("the chain shows the secret: %s", text)
		}
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	for _, tc := range []struct {
		name   string
		script func(*peer)
		change func(*Config)
		want   string
	}{
		{"not an Asterisk", func(p *peer) { p.send("SSH-2.0-OpenSSH_9.2\n") }, nil, "not the manager port"},
		{"endless greeting", func(p *peer) { p.send("%s", strings.Repeat("x", 2*maxBanner)) }, nil, "greeting without a line end"},
		{"closed at once", func(*peer) {}, nil, "read greeting"},
		{"closed after the greeting", func(p *peer) { p.send("Asterisk Call Manager/1\n") }, nil, "ami connection closed"},
		{"no challenge", func(p *peer) {
			p.send("Asterisk Call Manager/1\n")
			p.send("Response: Success\nActionID: %s\n\n", p.action().id)
		}, nil, "empty challenge"},
		{"challenge refused", func(p *peer) {
			p.send("Asterisk Call Manager/1\n")
			p.send("Response: Error\nActionID: %s\nMessage: no\n\n", p.action().id)
		}, nil, `the PBX refused Challenge: "no"`},
		{"line break in the user name", func(p *peer) { p.login("") },
			func(cfg *Config) { cfg.Username = "a\r\nAction: Originate" }, "Username of Login contains a line break"},
		{"secret too long", func(p *peer) { p.login("") },
			func(cfg *Config) { cfg.Plain, cfg.Secret = true, NewSecret(strings.Repeat("s", 1100)) }, "Secret of Login makes a line of"},
		{"nobody there", func(*peer) {}, func(cfg *Config) {
			cfg.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, os.ErrNotExist }
		}, "ami connect to pbx.example.com:5038"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg, _ := play(t, tc.script)
			if tc.change != nil {
				tc.change(&cfg)
			}
			_, err := Open(t.Context(), cfg, Handler{})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error = %v, want it to contain %q", err, tc.want)
			}
			if errors.Is(err, ErrAuth) {
				t.Errorf("%v counts as a refused login", err)
			}
		})
	}
}

func TestMutePBXIsGivenUpInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, _ := play(t, (*peer).drain)
		began := time.Now()
		_, err := Open(t.Context(), cfg, Handler{})
		if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != defaultTimeout {
			t.Errorf("gave up after %v with %v", time.Since(began), err)
		}
	})
}

func TestOpenEndsWithItsContext(t *testing.T) {
	for _, tc := range []struct {
		name   string
		script func(p *peer, cancel func())
	}{
		{"before the greeting", func(p *peer, cancel func()) { cancel() }},
		{"before the challenge", func(p *peer, cancel func()) {
			p.send("Asterisk Call Manager/11.0.0\n")
			p.action()
			cancel()
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			cfg, _ := play(t, func(p *peer) {
				tc.script(p, cancel)
				p.drain()
			})
			if _, err := Open(ctx, cfg, Handler{}); !errors.Is(err, context.Canceled) {
				t.Errorf("error = %v, want context.Canceled", err)
			}
		})
	}
}

// listen serves one connection on loopback and returns its address.
func listen(t *testing.T, script func(*peer), wrap func(net.Conn) net.Conn) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		nc, err := listener.Accept()
		if err != nil {
			return
		}
		nc = wrap(nc)
		defer func() { _ = nc.Close() }()
		script(&peer{nc: nc, in: bufio.NewReader(nc)})
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-over
	})
	return listener.Addr().String()
}

func TestLoginOverTCP(t *testing.T) {
	address := listen(t, func(p *peer) {
		p.login("")
		p.drain()
	}, func(nc net.Conn) net.Conn { return nc })
	c := enter(t, Config{Address: address, Username: "panel", Secret: NewSecret(testSecret)}, Handler{})
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	wantClosed(t, c.Err())
}

func TestTLS(t *testing.T) {
	certificate, roots := selfSigned(t)
	serve := func(t *testing.T) Config {
		address := listen(t, func(p *peer) {
			p.login("")
			p.send("Response: Success\nActionID: %s\nPing: Pong\n\n", p.action().id)
			p.drain()
		}, func(nc net.Conn) net.Conn {
			return tls.Server(nc, &tls.Config{Certificates: []tls.Certificate{certificate}})
		})
		return Config{Address: address, Username: "panel", Secret: NewSecret(testSecret), TLS: &tls.Config{RootCAs: roots}}
	}
	t.Run("a pinned authority is accepted", func(t *testing.T) {
		c := enter(t, serve(t), Handler{})
		if response, err := c.Do(t.Context(), Ping()); err != nil || response.Get("Ping") != "Pong" {
			t.Errorf("ping = %v, %v", response, err)
		}
	})
	t.Run("an unknown authority is refused", func(t *testing.T) {
		cfg := serve(t)
		cfg.TLS.RootCAs = x509.NewCertPool()
		var unknown x509.UnknownAuthorityError
		if _, err := Open(t.Context(), cfg, Handler{}); !errors.As(err, &unknown) {
			t.Errorf("error = %v, want UnknownAuthorityError", err)
		}
	})
	t.Run("another name is refused", func(t *testing.T) {
		cfg := serve(t)
		cfg.TLS.ServerName = "pbx.example.com"
		var name x509.HostnameError
		if _, err := Open(t.Context(), cfg, Handler{}); !errors.As(err, &name) {
			t.Errorf("error = %v, want HostnameError", err)
		}
	})
}

func selfSigned(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:         true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

func TestSecretIsNeverPrinted(t *testing.T) {
	secret := NewSecret(testSecret)
	cfg := Config{Secret: secret}
	login := must(t)(newAction("Login", "Secret", testSecret))
	hidden := struct{ inner Config }{cfg} // fmt cannot call methods in here
	for _, value := range []any{secret, &secret, cfg, &cfg, hidden, []Secret{secret}, map[string]Secret{"a": secret}, login, []any{login}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			if text := fmt.Sprintf(verb, value); strings.Contains(text, testSecret) || strings.Contains(text, fmt.Sprintf("%x", testSecret)) {
				t.Errorf("%s of %T shows it: %s", verb, value, text)
			}
		}
	}
	if secret.String() != redacted || secret.GoString() != redacted {
		t.Error("a method shows it")
	}
	for _, value := range []any{secret, struct{ S Secret }{secret}, map[string]any{"s": secret}} {
		text, err := json.Marshal(value)
		if err != nil || strings.Contains(string(text), testSecret) || !strings.Contains(string(text), redacted) {
			t.Errorf("json: %s, %v", text, err)
		}
	}
	if text, err := secret.MarshalText(); err != nil || string(text) != redacted {
		t.Errorf("text: %s, %v", text, err)
	}
	if (Secret{}).reveal() != "" {
		t.Error("the zero secret is not empty")
	}
}
