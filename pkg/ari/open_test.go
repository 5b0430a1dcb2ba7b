package ari

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestOpenRegistersAndFilters(t *testing.T) {
	for _, tc := range []struct {
		name   string
		events []string
		want   string
	}{
		{"by default", nil, `{"allowed":[{"type":"ApplicationReplaced"},{"type":"DeviceStateChanged"},{"type":"EndpointStateChange"},` +
			`{"type":"ContactStatusChange"},{"type":"PeerStatusChange"},{"type":"ChannelUserevent"}]}`},
		{"as configured", []string{"ChannelUserevent"}, `{"allowed":[{"type":"ApplicationReplaced"},{"type":"ChannelUserevent"}]}`},
		{"none", []string{}, `{"allowed":[{"type":"ApplicationReplaced"}]}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var p peer
			cfg := p.start(t)
			cfg.URL += "/" // no matter
			cfg.Events = tc.events
			c := enter(t, cfg, Handler{})
			if err := c.Err(); err != nil {
				t.Errorf("an open connection has the error %v", err)
			}
			want := []asked{
				{http.MethodGet, "/ari/events?app=bridge", "", "", ""},
				{http.MethodPut, "/ari/applications/bridge/eventFilter", "application/json", tc.want, ""},
			}
			if len(p.seen) != 2 || p.seen[0] != want[0] || p.seen[1] != want[1] {
				t.Errorf("asked %q\n want %q", p.seen, want)
			}
			_ = c.Close()
			if err := c.Err(); !errors.Is(err, ErrClosed) {
				t.Errorf("a closed connection has the error %v", err)
			}
		})
	}
}

func TestAnAsteriskWithoutFiltersIsFine(t *testing.T) {
	p := peer{answer: func(w http.ResponseWriter, a asked) bool {
		if a.method == http.MethodPut {
			refuse(w, http.StatusNotFound, "Resource not found")
			return true
		}
		return false
	}}
	if enter(t, p.start(t), Handler{}).Filtered() {
		t.Error("it is said to filter")
	}
	var newer peer
	if !enter(t, newer.start(t), Handler{}).Filtered() {
		t.Error("one that filters is said not to")
	}
}

func TestWhatOpenIsRefusedIsTyped(t *testing.T) {
	for _, tc := range []struct {
		status           int
		auth, forbidden  bool
		missing, replied bool
	}{
		{http.StatusUnauthorized, true, false, false, true},
		{http.StatusForbidden, false, true, false, true},
		{http.StatusNotFound, false, false, true, true},
		{http.StatusServiceUnavailable, false, false, false, true},
		{http.StatusFound, false, false, false, true},
		{http.StatusOK, false, false, false, true},
	} {
		for _, method := range []string{http.MethodGet, http.MethodPut} {
			if method == http.MethodPut && (tc.status == http.StatusOK || tc.status == http.StatusNotFound) {
				continue // is no refusal of the filter
			}
			t.Run(fmt.Sprint(method, tc.status), func(t *testing.T) {
				p := peer{answer: func(w http.ResponseWriter, a asked) bool {
					if a.method != method {
						return false
					}
					w.Header().Set("Location", "http://elsewhere.example.com/")
					refuse(w, tc.status, "no")
					return true
				}}
				_, err := Open(t.Context(), p.start(t), Handler{})
				if errors.Is(err, ErrAuth) != tc.auth || errors.Is(err, ErrForbidden) != tc.forbidden || errors.Is(err, ErrNotFound) != tc.missing {
					t.Errorf("error = %v", err)
				}
				var refused *StatusError
				if !errors.As(err, &refused) || refused.Status != tc.status || refused.Message != "no" {
					t.Fatalf("error = %v, want a StatusError", err)
				}
				if !strings.Contains(err.Error(), `pbx.example.com:8088 as "panel"`) || strings.Contains(err.Error(), "/ari") {
					t.Errorf("error does not say where, or too much: %v", err)
				}
			})
		}
	}
}

func TestWrongPasswordIsErrAuth(t *testing.T) {
	var p peer
	cfg := p.start(t)
	cfg.Password = NewSecret("a-wrong-" + testSecret)
	if _, err := Open(t.Context(), cfg, Handler{}); !errors.Is(err, ErrAuth) {
		t.Errorf("error = %v, want ErrAuth", err)
	}
	if len(p.seen) != 1 {
		t.Errorf("%d requests: one refusal is enough", len(p.seen))
	}
}

func TestOpenRefusesWhatCannotWork(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"no URL", func(c *Config) { c.URL = "" }, "the URL of ARI is not"},
		{"no host", func(c *Config) { c.URL = "http:///ari" }, "the URL of ARI is not"},
		{"no URL at all", func(c *Config) { c.URL = "http://[" }, "the URL of ARI is not"},
		{"another scheme", func(c *Config) { c.URL = "ws://pbx/ari" }, "the URL of ARI is not"},
		{"a password in the URL", func(c *Config) { c.URL = "http://panel:" + testSecret + "@pbx/ari" }, "the URL of ARI is not"},
		{"a key in the URL", func(c *Config) { c.URL = "http://pbx/ari?api_key=panel:" + testSecret }, "the URL of ARI is not"},
		{"a question mark", func(c *Config) { c.URL += "?" }, "the URL of ARI is not"},
		{"TLS over http", func(c *Config) { c.TLS = &tls.Config{} }, "begins with http"},
		{"no user", func(c *Config) { c.Username = "" }, "not a user"},
		{"a colon in the user", func(c *Config) { c.Username = "a:b" }, "not a user"},
		{"no application", func(c *Config) { c.App = "" }, "not a name of an application"},
		{"two applications", func(c *Config) { c.App = "a,b" }, "not a name of an application"},
		{"a hostile application", func(c *Config) { c.App = "a&subscribeAll=true" }, "not a name of an application"},
		{"a hostile event", func(c *Config) { c.Events = []string{"A", `"`} }, "not a type of event"},
		{"nobody there", func(c *Config) {
			c.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, os.ErrNotExist }
		}, "ari connect to pbx.example.com:8088"},
		{"another protocol", func(c *Config) {
			c.Dial = func(context.Context, string, string) (net.Conn, error) {
				client, server := net.Pipe()
				go func() {
					_, _ = server.Read(make([]byte, 4096))
					_, _ = io.WriteString(server, "SSH-2.0-OpenSSH_9.2 "+strings.Repeat("x", 500)+"\r\n")
					_ = server.Close()
				}()
				return client, nil
			}
		}, "malformed HTTP"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var p peer
			cfg := p.start(t)
			tc.change(&cfg)
			_, err := Open(t.Context(), cfg, Handler{})
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), testSecret) || len(err.Error()) > 400 {
				t.Errorf("error = %v, want it to contain %q and not much more", err, tc.want)
			}
			if errors.Is(err, ErrAuth) {
				t.Errorf("%v counts as a refused login", err)
			}
		})
	}
}

// mute reads and never answers.
func mute(t *testing.T) func(context.Context, string, string) (net.Conn, error) {
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	return func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		wg.Go(func() { _, _ = io.Copy(io.Discard, server) })
		return client, nil
	}
}

func TestMutePBXIsGivenUpInTime(t *testing.T) {
	t.Run("before the handshake", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var p peer
			cfg := p.start(t)
			cfg.Dial = mute(t)
			began := time.Now()
			_, err := Open(t.Context(), cfg, Handler{})
			if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != defaultTimeout {
				t.Errorf("gave up after %v with %v", time.Since(began), err)
			}
		})
	})
	t.Run("before the filter", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			p := peer{answer: func(_ http.ResponseWriter, a asked) bool {
				if a.method == http.MethodPut {
					<-release
				}
				return false
			}}
			cfg := p.start(t)
			defer close(release)
			began := time.Now()
			_, err := Open(t.Context(), cfg, Handler{})
			if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != defaultTimeout {
				t.Errorf("gave up after %v with %v", time.Since(began), err)
			}
		})
	})
}

func TestOpenEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p := peer{answer: func(http.ResponseWriter, asked) bool { cancel(); return false }}
	if _, err := Open(ctx, p.start(t), Handler{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want context.Canceled", err)
	}
}

// TestADialIsNotLeftBehind: net/http goes on with a dial that nobody waits for.
func TestADialIsNotLeftBehind(t *testing.T) {
	var p peer
	cfg := p.start(t)
	dial, blocked, left := cfg.Dial, make(chan struct{}, 10), make(chan struct{}, 10)
	hang := func(ctx context.Context, _, _ string) (net.Conn, error) {
		blocked <- struct{}{}
		<-ctx.Done()
		left <- struct{}{}
		return nil, ctx.Err()
	}
	t.Run("of Open", func(t *testing.T) {
		cfg.Dial = hang
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-blocked; cancel() }()
		if _, err := Open(ctx, cfg, Handler{}); !errors.Is(err, context.Canceled) {
			t.Errorf("error = %v", err)
		}
		<-left
	})
	t.Run("of a request", func(t *testing.T) {
		n := 0
		cfg.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			if n++; n > 2 { // the websocket and the filter
				return hang(ctx, network, address)
			}
			return dial(ctx, network, address)
		}
		p.answer = func(w http.ResponseWriter, a asked) bool {
			w.Header().Set("Connection", "close")
			return false
		}
		c := enter(t, cfg, Handler{})
		ended := make(chan error)
		go func() { _, err := c.Info(t.Context()); ended <- err }()
		<-blocked
		_ = c.Close()
		if err := <-ended; !errors.Is(err, ErrClosed) {
			t.Errorf("error = %v", err)
		}
		<-left
	})
}

func TestOverTCPAndTLS(t *testing.T) {
	var p peer
	// serve returns how to reach p as a server of HTTP over the network.
	serve := func(t *testing.T, start func(*httptest.Server)) Config {
		server := httptest.NewUnstartedServer(&p)
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		start(server)
		t.Cleanup(server.Close)
		cfg := Config{URL: server.URL + "/ari", Username: testUser, Password: NewSecret(testSecret), App: testApp}
		if server.TLS != nil {
			roots := x509.NewCertPool()
			roots.AddCert(server.Certificate())
			cfg.TLS = &tls.Config{RootCAs: roots}
		}
		return cfg
	}
	t.Run("plain", func(t *testing.T) {
		c := enter(t, serve(t, (*httptest.Server).Start), Handler{})
		if err := c.SetPresence(t.Context(), "CustomPresence:1", "dnd", "", ""); err != nil {
			t.Error(err)
		}
	})
	t.Run("a pinned authority is accepted", func(t *testing.T) {
		c := enter(t, serve(t, (*httptest.Server).StartTLS), Handler{})
		if err := c.SetPresence(t.Context(), "CustomPresence:1", "dnd", "", ""); err != nil {
			t.Error(err)
		}
	})
	t.Run("an unknown authority is refused", func(t *testing.T) {
		cfg := serve(t, (*httptest.Server).StartTLS)
		cfg.TLS = nil
		var unknown x509.UnknownAuthorityError
		if _, err := Open(t.Context(), cfg, Handler{}); !errors.As(err, &unknown) {
			t.Errorf("error = %v, want UnknownAuthorityError", err)
		}
	})
	t.Run("another name is refused", func(t *testing.T) {
		cfg := serve(t, (*httptest.Server).StartTLS)
		cfg.TLS.ServerName = "pbx.elsewhere.org"
		var name x509.HostnameError
		if _, err := Open(t.Context(), cfg, Handler{}); !errors.As(err, &name) {
			t.Errorf("error = %v, want HostnameError", err)
		}
	})
	t.Run("an old TLS is refused", func(t *testing.T) {
		cfg := serve(t, func(s *httptest.Server) {
			s.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
			s.StartTLS()
		})
		cfg.TLS.MinVersion = tls.VersionTLS10
		if _, err := Open(t.Context(), cfg, Handler{}); err == nil || !strings.Contains(err.Error(), "protocol version") {
			t.Errorf("error = %v, want one about the version", err)
		}
	})
}

// TestNoErrorHasASecret has peers that repeat what they were sent wherever they can.
func TestNoErrorHasASecret(t *testing.T) {
	basic := base64.StdEncoding.EncodeToString([]byte(testUser + ":" + testSecret))
	echo := "Basic " + basic + " " + testSecret
	raw := func(text string) func(*Config) {
		return func(cfg *Config) {
			cfg.Dial = func(context.Context, string, string) (net.Conn, error) {
				client, server := net.Pipe()
				go func() {
					_, _ = server.Read(make([]byte, 4096))
					_, _ = io.WriteString(server, text)
					_ = server.Close()
				}()
				return client, nil
			}
		}
	}
	for name, change := range map[string]func(*Config){
		"not HTTP":        raw(echo + "\r\n"),
		"a status":        raw("HTTP/1.1 " + echo + "\r\n\r\n"),
		"a header":        raw("HTTP/1.1 200 OK\r\n" + echo + "\r\n\r\n"),
		"a refusal":       raw("HTTP/1.1 403 " + echo + "\r\nContent-Length: 1000\r\n\r\n" + `{"message":"` + echo + `"}` + strings.Repeat(" ", 900)),
		"a page":          raw("HTTP/1.1 500 x\r\n\r\n<p>" + echo),
		"the handshake":   raw("HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: " + echo + "\r\n\r\n"),
		"another key":     raw("HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: " + echo + "\r\n\r\n"),
		"a redirect":      raw("HTTP/1.1 302 x\r\nLocation: http://" + echo + "/\r\n\r\n"),
		"a wrong account": func(cfg *Config) { cfg.Username = "nobody" },
	} {
		t.Run(name, func(t *testing.T) {
			var p peer
			cfg := p.start(t)
			change(&cfg)
			_, err := Open(t.Context(), cfg, Handler{})
			if err == nil {
				t.Fatal("no error")
			}
			wantNoSecret(t, err)
		})
	}
}

func TestAnErrorThatIsCutKeepsItsCauseUnlessThatHasASecret(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		keeps      bool
	}{
		{"short", "no way", true},
		{"long", strings.Repeat("no way ", 100), true},
		{"with a secret", "no way to " + testSecret, false},
		{"long, with a secret behind", strings.Repeat("no way ", 100) + testSecret, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var p peer
			cfg := p.start(t)
			cfg.Dial = func(context.Context, string, string) (net.Conn, error) {
				return nil, fmt.Errorf("%s: %w", tc.text, syscall.ECONNREFUSED)
			}
			_, err := Open(t.Context(), cfg, Handler{})
			if errors.Is(err, syscall.ECONNREFUSED) != tc.keeps || len(err.Error()) > 2*maxShown {
				t.Errorf("error = %v", err)
			}
			wantNoSecret(t, err)
		})
	}
}

func wantNoSecret(t *testing.T, err error) {
	t.Helper()
	basic := base64.StdEncoding.EncodeToString([]byte(testUser + ":" + testSecret))
	out := fmt.Sprintf("%v %+v %#v", err, err, err)
	for e := err; e != nil; e = errors.Unwrap(e) {
		out += fmt.Sprintf("%v %+v %#v", e, e, e)
	}
	var refused *StatusError
	if errors.As(err, &refused) {
		out += fmt.Sprintf("%+v", *refused)
	}
	for _, bad := range []string{testSecret, basic, "http://pbx", "?app="} {
		if strings.Contains(out, bad) {
			t.Errorf("%q is in %s", bad, out)
		}
	}
}

func TestSecretIsNeverPrinted(t *testing.T) {
	secret := NewSecret(testSecret)
	cfg := Config{Username: testUser, Password: secret}
	var p peer
	c := enter(t, p.start(t), Handler{})
	hidden := struct{ inner Config }{cfg} // fmt cannot call methods in here
	for _, value := range []any{secret, &secret, cfg, &cfg, hidden, []Secret{secret}, map[string]Secret{"a": secret}, c.password, c.authorization} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			if text := fmt.Sprintf(verb, value); strings.Contains(text, testSecret) || strings.Contains(text, fmt.Sprintf("%x", testSecret)) {
				t.Errorf("%s of %T shows it: %s", verb, value, text)
			}
		}
	}
	if secret.String() != redacted || secret.GoString() != redacted {
		t.Error("a method shows it")
	}
	text, err := json.Marshal(map[string]any{"s": secret})
	if err != nil || strings.Contains(string(text), testSecret) {
		t.Errorf("json: %s, %v", text, err)
	}
	if text, err := secret.MarshalText(); err != nil || string(text) != redacted {
		t.Errorf("text: %s, %v", text, err)
	}
	if (Secret{}).reveal() != "" {
		t.Error("the zero secret is not empty")
	}
}
