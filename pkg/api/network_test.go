package api_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/presencebridge/presencebridge/pkg/api"
	"github.com/presencebridge/presencebridge/pkg/api/apitest"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// running serves an office until the test ends.
func (o *office) running(n api.Network, run func(context.Context, *api.Server) error) string {
	o.t.Helper()
	n.Address = "127.0.0.1:0"
	if n.MaxConnections == 0 {
		n.MaxConnections = 16
	}
	core, logs := observer.New(zap.DebugLevel)
	o.logs = logs
	s, err := api.ListenNetwork(o.t.Context(), n, zap.New(core))
	if err != nil {
		o.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx, s) }()
	o.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			o.t.Error(err)
		}
	})
	return s.Addr().String()
}

func (o *office) plainly(ctx context.Context, s *api.Server) error { return s.Run(ctx, o.api) }

func (o *office) hurried(ctx context.Context, s *api.Server) error {
	return s.RunHurried(ctx, o.api, 100*time.Millisecond)
}

func connect(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

// answerTo sends text as it is and returns the status line of the answer; "": the
// connection was closed without one.
func answerTo(t *testing.T, c net.Conn, text string) string {
	t.Helper()
	_, _ = io.WriteString(c, text) // it may be closed meanwhile, which is seen below
	line, err := bufio.NewReader(c).ReadString('\n')
	if os.IsTimeout(err) {
		t.Fatal("no answer, and the connection is still open")
	}
	return strings.TrimSpace(line)
}

func TestWhoSendsSlowlyIsCut(t *testing.T) {
	o := newOffice(t)
	address := o.running(api.Network{}, o.hurried)
	token := o.of(api.ScopeAdmin)
	for name, begin := range map[string]string{
		"nothing":      "",
		"half a line":  "GET /api/v1/us",
		"half a head":  "GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: b\r\n",
		"half a body":  "PUT /api/v1/users/alice/status HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token + "\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
		"half a chunk": "POST /api/v1/tokens HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token + "\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n100\r\n{",
	} {
		t.Run(name, func(t *testing.T) {
			line := answerTo(t, connect(t, address), begin)
			if line != "" && !strings.HasPrefix(line, "HTTP/1.1 4") {
				t.Errorf("answered %q", line)
			}
		})
	}
	if c := o.bridge.Choices(); len(c) > 0 {
		t.Errorf("chosen %v", c)
	}
}

func TestFloodsAreRefused(t *testing.T) {
	o := newOffice(t)
	address := o.running(api.Network{}, o.plainly)
	token := "Authorization: Bearer " + o.of(api.ScopeAdmin) + "\r\n"
	const gib = "Content-Type: application/json\r\nContent-Length: 1073741824\r\n\r\n"
	for _, tc := range []struct{ name, head, then, want string }{
		{"a header of 20 KiB", "GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: " + strings.Repeat("x", 20<<10) + "\r\n\r\n", "", "431"},
		{"20,000 headers", "GET /healthz HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A: b\r\n", 20000) + "\r\n", "", "431"},
		{"an address of 20 KiB", "GET /" + strings.Repeat("x", 20<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n", "", "431"},
		{"a body of 1 GiB", "PUT /api/v1/users/alice/status HTTP/1.1\r\nHost: x\r\n" + token + gib, strings.Repeat("x", 1<<20), "413"},
		{"a token in 1 GiB", "POST /api/v1/tokens HTTP/1.1\r\nHost: x\r\n" + token + gib, strings.Repeat(" ", 1<<20), "413"},
		{"1 GiB without a token", "PUT /api/v1/users/alice/status HTTP/1.1\r\nHost: x\r\n" + gib, strings.Repeat("x", 1<<20), "401"},
		{"1 GiB where none is read", "POST /api/v1/reload HTTP/1.1\r\nHost: x\r\n" + token + gib, "", "204"},
		{"another protocol", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "", "400"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := connect(t, address)
			sent := make(chan struct{})
			go func() { // what the server does not read fills the pipe
				defer close(sent)
				_, _ = io.WriteString(c, tc.head)
				for range 1024 {
					if _, err := io.WriteString(c, tc.then); err != nil || tc.then == "" {
						return
					}
				}
			}()
			line, err := bufio.NewReader(c).ReadString('\n')
			if !strings.HasPrefix(line, "HTTP/1.1 "+tc.want) {
				t.Errorf("answered %q, %v; want %s", line, err, tc.want)
			}
			_ = c.Close()
			<-sent
		})
	}
}

func TestConnectionsAreBoundedAndItIsTold(t *testing.T) {
	o := newOffice(t)
	address := o.running(api.Network{MaxConnections: 2}, o.plainly)
	const ask = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
	first, second := connect(t, address), connect(t, address)
	token := "Authorization: Bearer " + o.of(api.ScopeRead) + "\r\n\r\n"
	for _, c := range []net.Conn{first, second} {
		if line := answerTo(t, c, "GET /healthz HTTP/1.1\r\nHost: x\r\n"+token); line != "HTTP/1.1 200 OK" {
			t.Fatalf("answered %q", line)
		}
	}
	for range 3 {
		if line := answerTo(t, connect(t, address), ask); line != "" {
			t.Errorf("one too many is answered %q", line)
		}
	}
	told := o.logs.FilterMessageSnippet("no room for more connections").All()
	if len(told) != 1 || !strings.Contains(fmt.Sprint(told[0].ContextMap()["hint"]), "http.max_connections") || told[0].ContextMap()["connections"] != int64(2) {
		t.Errorf("logged %v", told)
	}
	_ = first.Close()
	for { // until the server has seen it
		if line := answerTo(t, connect(t, address), ask); line != "" {
			break
		}
	}
}

// certificate makes NAME.pem and NAME-key.pem for localhost in dir, and returns who
// trusts it.
func certificate(t *testing.T, dir, name string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{
		SerialNumber: serial, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, about, about, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	err = errors.Join(os.WriteFile(filepath.Join(dir, name+".pem"), text, 0o600),
		os.WriteFile(filepath.Join(dir, name+"-key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	return pool
}

// greets tells whether a client that trusts pool gets an answer over TLS.
func greets(address string, pool *x509.CertPool, most uint16) error {
	c := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool, MaxVersion: most}}}
	answer, err := c.Get("https://" + address + "/healthz")
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusUnauthorized || answer.ProtoMajor != 1 {
		return fmt.Errorf("%s %s", answer.Proto, answer.Status)
	}
	return nil
}

func TestARenewedCertificateIsTakenOver(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	old := certificate(t, dir, "it")
	o := newOffice(t)
	address := o.running(api.Network{CertFile: path("it.pem"), KeyFile: path("it-key.pem")}, o.plainly)
	if err := greets(address, old, 0); err != nil {
		t.Fatal(err)
	}
	if err := greets(address, old, tls.VersionTLS12); err != nil {
		t.Error(err)
	}
	if err := greets(address, old, tls.VersionTLS11); err == nil {
		t.Error("TLS 1.1 will do")
	}
	if line := answerTo(t, connect(t, address), "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"); !strings.Contains(line, "400") {
		t.Errorf("plain HTTP is answered %q", line)
	}
	renewed := certificate(t, dir, "new")
	if err := os.Rename(path("new.pem"), path("it.pem")); err != nil {
		t.Fatal(err)
	}
	for range 2 { // half of it is there: the one before stays, and it is told once
		if err := greets(address, old, 0); err != nil {
			t.Error(err)
		}
	}
	if n := o.logs.FilterMessageSnippet("the certificate was not taken over").Len(); n != 1 {
		t.Errorf("told %d times", n)
	}
	if err := os.Rename(path("new-key.pem"), path("it-key.pem")); err != nil {
		t.Fatal(err)
	}
	if err := greets(address, renewed, 0); err != nil {
		t.Error(err)
	}
	if err := os.Remove(path("it.pem")); err != nil {
		t.Fatal(err)
	}
	if err := greets(address, renewed, 0); err != nil {
		t.Errorf("without the file: %v", err)
	}
	if n := o.logs.FilterMessage("certificate renewed").Len(); n != 1 {
		t.Errorf("renewed %d times", n)
	}
	for _, e := range o.logs.All() {
		if strings.Contains(fmt.Sprint(e.ContextMap()), "PRIVATE") {
			t.Errorf("the log has the key: %v", e)
		}
	}
}

func TestWhatKeepsAListenerFromOpeningIsNamed(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	at := taken.Addr().String()
	for want, open := range map[string]func() (*api.Server, error){
		"http.listen": func() (*api.Server, error) {
			return api.ListenNetwork(t.Context(), api.Network{Address: at}, zap.NewNop())
		},
		"http.metrics": func() (*api.Server, error) { return api.ListenHealth(t.Context(), at, zap.NewNop()) },
		"http.tls": func() (*api.Server, error) {
			return api.ListenNetwork(t.Context(), api.Network{Address: "127.0.0.1:0", CertFile: "no.pem", KeyFile: "no-key.pem"}, zap.NewNop())
		},
	} {
		if s, err := open(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, %v", want, s, err)
		}
	}
}

func TestSeveralListenersServeOneBridge(t *testing.T) {
	o := newOffice(t)
	network := "http://" + o.running(api.Network{}, o.plainly)
	watchers, err := api.ListenHealth(t.Context(), "127.0.0.1:0", zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- watchers.Run(ctx, o.api) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	c := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	for url, want := range map[string]int{
		network + "/metrics":                                   401,
		"http://" + watchers.Addr().String() + "/metrics":      200,
		"http://" + watchers.Addr().String() + "/readyz":       200,
		"http://" + watchers.Addr().String() + "/api/v1/users": 404,
	} {
		answer, err := c.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("%s: %s, want %d", url, answer.Status, want)
		}
	}
}

// TestWhoHasNoTokenKeepsNoConnection asks what net/http would answer by itself.
func TestWhoHasNoTokenKeepsNoConnection(t *testing.T) {
	for _, ask := range []string{"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", "GET //x HTTP/1.1\r\nHost: x\r\n\r\n", "GET /a/../b HTTP/1.1\r\nHost: x\r\n\r\n"} {
		o := newOffice(t)
		c := connect(t, o.running(api.Network{MaxConnections: 4}, o.plainly))
		if _, err := io.WriteString(c, ask); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(c) // to the end of the connection
		if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 4") {
			t.Errorf("%q is answered %q, %v", ask, answer, err)
		}
	}
}

func TestOneTokenLeavesRoomForOthers(t *testing.T) {
	o := newOffice(t)
	address := o.running(api.Network{MaxConnections: 40}, o.plainly)
	greedy, admin := o.of(api.ScopeRead), o.of(api.ScopeAdmin)
	streams := 0
	for range 40 {
		if line := answerTo(t, connect(t, address), "GET /api/v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+greedy+"\r\n\r\n"); line == "HTTP/1.1 200 OK" {
			streams++
		}
	}
	if streams != 30 {
		t.Errorf("%d streams with one token, want three quarters of 40", streams)
	}
	eventually(t, "others are let in", func() bool {
		return answerTo(t, connect(t, address), "GET /healthz HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+admin+"\r\n\r\n") == "HTTP/1.1 200 OK"
	})
}

// TestAnswersThatNobodyTakesAreFew counts, as each of them is in memory.
func TestAnswersThatNobodyTakesAreFew(t *testing.T) {
	o := newOffice(t)
	for i := range 5000 {
		u := apitest.Users()[0]
		u.ID = presence.UserID(fmt.Sprint("user", i))
		o.bridge.Put(u)
	}
	address, token := o.running(api.Network{MaxConnections: 200}, o.plainly), o.of(api.ScopeRead)
	small := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error { // so that the kernel does not take the answer
		return c.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) })
	}}
	for range 8 { // they never read
		c, err := small.DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		if _, err := io.WriteString(c, "GET /api/v1/users?limit=5000 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+token+"\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the ninth is refused", func() bool {
		c := connect(t, address)
		defer func() { _ = c.Close() }() // it may be early, and answered
		return answerTo(t, c, "GET /api/v1/users HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+token+"\r\n\r\n") == "HTTP/1.1 429 Too Many Requests"
	})
	if line := answerTo(t, connect(t, address), "GET /healthz HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+o.of(api.ScopeAdmin)+"\r\n\r\n"); line != "HTTP/1.1 200 OK" {
		t.Errorf("another token is answered %q", line)
	}
}

// eventually waits until cond holds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !cond(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}
