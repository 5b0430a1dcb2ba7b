package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/config"
	"github.com/presencebridge/presencebridge/pkg/connector/asterisk/diagnose"
	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

// network is a running bridge that listens on TCP with TLS.
type network struct {
	*running
	address, metrics string
	web              *http.Client
}

// freeAddress is one that nobody listens on at the moment.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// certify writes a certificate for 127.0.0.1 and its key into the bridge's folder.
func (r *running) certify(end time.Time) *x509.CertPool {
	r.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		r.t.Fatal(err)
	}
	about := &x509.Certificate{
		SerialNumber: big.NewInt(end.Unix()), NotBefore: time.Now().Add(-time.Hour), NotAfter: end,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, about, about, key.Public(), key)
	if err != nil {
		r.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		r.t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyText := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
	r.write("cert.pem", string(text))
	r.write("key.pem", keyText)
	r.secrets = append(r.secrets, strings.Split(keyText, "\n")[1])
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	return pool
}

func startNetwork(t *testing.T, pbx pbxtest.PBX) *network {
	t.Helper()
	n := configureNetwork(t, threeMethods, pbx)
	n.startReady()
	return n
}

// configureNetwork does not start it.
func configureNetwork(t *testing.T, mapping string, pbx pbxtest.PBX) *network {
	t.Helper()
	n := &network{running: configure(t, mapping, pbx), address: freeAddress(t), metrics: freeAddress(t)}
	pool := n.certify(time.Now().Add(time.Hour))
	text, err := os.ReadFile(filepath.Join(n.dir, "presencebridge.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	n.write("presencebridge.yaml", strings.Replace(string(text), "http: {socket: s}",
		fmt.Sprintf("http: {socket: s, listen: %q, metrics: %q, tls: {cert_file: cert.pem, key_file: key.pem}}", n.address, n.metrics), 1))
	n.web = &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool}}}
	return n
}

// token has a token made by the command line. No output may show it from then on.
func (n *network) token(args ...string) string {
	n.t.Helper()
	c := newConsole(append([]string{"token", "new", "--socket", n.dir + "/s"}, args...)...)
	c.Now = time.Now
	if code := c.Run(n.t.Context()); code != exitDone {
		n.t.Fatalf("token new %v: exit code %d, %s", args, code, c.err.String())
	}
	token := strings.TrimSpace(c.out.String())
	n.secrets = append(n.secrets, token)
	n.keeps("the advice of token new", c.err.String())
	return token
}

// ask sends a request over the network and returns the status and the body.
func (n *network) ask(token, method, path string, body any) (int, string) {
	n.t.Helper()
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			n.t.Fatal(err)
		}
	}
	r, err := http.NewRequestWithContext(n.t.Context(), method, "https://"+n.address+path, bytes.NewReader(text))
	if err != nil {
		n.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := n.web.Do(r)
	if err != nil {
		n.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	got, err := io.ReadAll(answer.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	return answer.StatusCode, string(got)
}

func TestAProgramOnTheNetworkDoesWhatItsTokenMay(t *testing.T) {
	pbx := pbxtest.NewSimulated(t, pbxtest.Options{})
	n := startNetwork(t, pbx)
	if code, body := n.ask("", "GET", "/api/v1/users", nil); code != http.StatusUnauthorized || !strings.Contains(body, "presencebridge token new") {
		t.Errorf("without a token: %d %s", code, body)
	}
	board, phone, ops := n.token("wallboard"), n.token("phone", "--scope", "own", "--user", "alice", "--expires", "90d"), n.token("ops", "--scope", "admin")
	if code, body := n.ask(board, "GET", "/api/v1/users", nil); code != http.StatusOK || !strings.Contains(body, `"alice"`) {
		t.Errorf("reading: %d %s", code, body)
	}
	lunch := map[string]string{"type": "lunch", "message": "Back at 2"}
	for token, want := range map[string]int{board: 403, phone: 200} {
		if code, body := n.ask(token, "PUT", "/api/v1/users/alice/status", lunch); code != want {
			t.Errorf("setting: %d %s, want %d", code, body, want)
		}
	}
	n.showsMessage("alice", "lunch", "Back at 2")
	if out, _ := n.run("history", "alice"); !strings.Contains(out, "api phone") {
		t.Errorf("the history does not tell who it was:\n%s", out)
	}
	if code, body := n.ask(ops, "POST", "/api/v1/reload", nil); code != http.StatusNoContent {
		t.Errorf("reload: %d %s", code, body)
	}
	if err := n.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	pbxtest.Eventually(t, patience, "the audit log tells who did what", func() bool {
		out, _ := n.run("audit")
		for _, want := range []string{"api ops +mapping taken over", "signal +mapping taken over", "cli of [a-z0-9 ]+ +token made +phone, scope own of alice"} {
			if !regexp.MustCompile(want).MatchString(out) {
				return false
			}
		}
		return true
	})
	for path, want := range map[string]int{"/metrics": 200, "/readyz": 200, "/api/v1/users": 404} {
		answer, err := n.web.Get("http://" + n.metrics + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("the watchers' %s: %s", path, answer.Status)
		}
	}
	n.stop()
	n.startReady()
	if code, _ := n.ask(board, "GET", "/api/v1/users", nil); code != http.StatusOK {
		t.Errorf("after a restart: %d", code)
	}
	for _, command := range []string{"token list --json", "audit --json", "doctor"} {
		out, _ := n.run(strings.Fields(command)...)
		n.keeps(command, out)
	}
}

func TestARevokedTokenEndsItsStreamAndAResumedOneMissesNothing(t *testing.T) {
	n := startNetwork(t, pbxtest.NewSimulated(t, pbxtest.Options{}))
	token := n.token("board")
	follow := func(last string) (*bufio.Scanner, func()) {
		ctx, cancel := context.WithCancel(t.Context())
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+n.address+"/api/v1/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Last-Event-ID", last)
		answer, err := n.web.Do(r)
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("%v, %v", answer, err)
		}
		return bufio.NewScanner(answer.Body), func() { cancel(); _ = answer.Body.Close() }
	}
	// until reads up to the event that has text, and returns its id.
	until := func(lines *bufio.Scanner, text string) (id string) {
		for lines.Scan() {
			if rest, ok := strings.CutPrefix(lines.Text(), "id: "); ok {
				id = rest
			}
			if strings.Contains(lines.Text(), text) {
				return id
			}
		}
		t.Fatalf("the stream ended before %q: %v", text, lines.Err())
		return ""
	}
	choose := func(message string) {
		t.Helper()
		if out, code := n.run("set", "alice", "lunch", "--message", message); code != exitDone {
			t.Fatal(out)
		}
	}
	lines, end := follow("")
	choose("one")
	seen := until(lines, `"one"`)
	end()
	choose("two")
	lines, end = follow(seen)
	defer end()
	until(lines, `"two"`)
	if out, code := n.run("token", "revoke", "board"); code != exitDone {
		t.Fatal(out)
	}
	for lines.Scan() { // until it ends
	}
	if code, body := n.ask(token, "GET", "/api/v1/users", nil); code != http.StatusUnauthorized || !strings.Contains(body, "revoked") {
		t.Errorf("%d %s", code, body)
	}
}

// Each goes into every place where a text of the network's can go.
func TestNothingThatIsSentBecomesSQL(t *testing.T) {
	n := startNetwork(t, pbxtest.NewSimulated(t, pbxtest.Options{}))
	token := n.token("ops", "--scope", "admin")
	_, before := n.ask(token, "GET", "/api/v1/tokens", nil)
	for _, evil := range []string{
		`'; DROP TABLE api_tokens; --`, `' OR '1'='1`, `x') ; DELETE FROM users WHERE ('1'='1`, `" OR ""="`, `\'; SELECT 1; --`, "1; PRAGMA writable_schema=1", "%' --", "$1 ? :x @y", "\x00' OR 1=1",
	} {
		at, in := url.PathEscape(evil), url.QueryEscape(evil)
		for _, call := range []struct {
			method, path string
			body         any
		}{
			{"GET", "/api/v1/users/" + at, nil},
			{"GET", "/api/v1/users/" + at + "/explain", nil},
			{"GET", "/api/v1/users/" + at + "/history", nil},
			{"GET", "/api/v1/users/alice/history?limit=" + in + "&cursor=" + in, nil},
			{"GET", "/api/v1/users?cursor=" + in, nil},
			{"GET", "/api/v1/users?base=" + in, nil},
			{"GET", "/api/v1/events?last_event_id=" + in, nil},
			{"GET", "/api/v1/audit?limit=" + in, nil},
			{"GET", "/api/v1/audit?cursor=" + in, nil},
			{"DELETE", "/api/v1/tokens/" + at, nil},
			{"POST", "/api/v1/tokens", map[string]any{"name": evil, "scope": "read"}},
			{"POST", "/api/v1/tokens", map[string]any{"name": "x", "scope": evil}},
			{"POST", "/api/v1/tokens", map[string]any{"name": "x", "scope": "own", "user": evil}},
			{"POST", "/api/v1/tokens", map[string]any{"name": "x", "scope": "read", "expires": evil}},
			{"PUT", "/api/v1/users/" + at + "/status", map[string]any{"type": "lunch"}},
			{"PUT", "/api/v1/users/alice/status", map[string]any{"type": evil}},
			{"PUT", "/api/v1/users/alice/status", map[string]any{"type": "lunch", "until": evil}},
		} {
			if code, body := n.ask(token, call.method, call.path, call.body); code < 400 || code >= 500 || !strings.Contains(body, `"detail":`) {
				t.Errorf("%s %s %v: %d %s", call.method, call.path, call.body, code, body)
			}
		}
		for _, path := range []string{"/api/v1/users?q=" + in, "/api/v1/users?status=" + in} {
			if code, body := n.ask(token, "GET", path, nil); code != http.StatusOK || !strings.Contains(body, `"items":[]`) {
				t.Errorf("%s: %d %s", path, code, body)
			}
		}
		message := map[string]any{"type": "lunch", "message": evil}
		if code, body := n.ask(token, "PUT", "/api/v1/users/alice/status", message); code != http.StatusOK {
			t.Errorf("the message %q: %d %s", evil, code, body)
		}
	}
	if _, after := n.ask(token, "GET", "/api/v1/tokens", nil); withoutUsed(after) != withoutUsed(before) {
		t.Errorf("the tokens were %s\nand are %s", before, after)
	}
	n.stop()
	n.startReady()
	if code, body := n.ask(token, "GET", "/api/v1/users/alice", nil); code != http.StatusOK || !strings.Contains(body, "OR 1=1") {
		t.Errorf("after a restart: %d %s", code, body)
	}
}

func withoutUsed(list string) string {
	before, _, _ := strings.Cut(list, `"used"`)
	return before
}

func TestDoctorLooksAtTheNetwork(t *testing.T) {
	now := time.Now()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	_, port, err := net.SplitHostPort(taken.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	free := freeAddress(t)
	for _, tc := range []struct {
		name string
		cfg  config.HTTP
		runs bool
		want string
	}{
		{"off", config.HTTP{}, true, "[]"},
		{"free", config.HTTP{Listen: free}, false, "[network ok]"},
		{"taken", config.HTTP{Listen: free, Metrics: taken.Addr().String()}, false, "[network ok network failed]"},
		{"answers", config.HTTP{Metrics: taken.Addr().String()}, true, "[network ok]"},
		{"answers everywhere", config.HTTP{Listen: "0.0.0.0:" + port}, true, "[network ok]"},
		{"silent", config.HTTP{Listen: free}, true, "[network failed]"},
	} {
		if got := results(networkSteps(t.Context(), tc.cfg, tc.runs, now)); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
	for left, want := range map[time.Duration]string{90 * 24 * time.Hour: "[certificate ok]", 24 * time.Hour: "[certificate warning]", -time.Minute: "[certificate failed]"} {
		r := &running{t: t, dir: t.TempDir()}
		r.certify(now.Add(left))
		if got := results([]diagnose.Step{certificateStep(config.Certificate{CertFile: r.dir + "/cert.pem"}, now)}); got != want {
			t.Errorf("%v left: %s, want %s", left, got, want)
		}
		if got := results([]diagnose.Step{certificateStep(config.Certificate{CertFile: r.dir + "/key.pem"}, now.Add(-365*24*time.Hour))}); got != "[certificate failed]" {
			t.Errorf("a key: %s", got)
		}
	}
}

// results are the names and results of steps.
func results(steps []diagnose.Step) string {
	all := []string{}
	for _, s := range steps {
		all = append(all, s.Name, string(s.Result))
	}
	return fmt.Sprint(all)
}
