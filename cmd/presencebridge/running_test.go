package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

// patience is how long anything may take on a busy machine before a test gives up.
const patience = 60 * time.Second

// built is where program puts the bridge; empty until it does.
var built string

// program builds the bridge once for all tests.
var program = sync.OnceValues(func() (path string, err error) {
	if built, err = os.MkdirTemp("", "presencebridge-test-"); err != nil {
		return "", err
	}
	path = filepath.Join(built, "presencebridge")
	out, err := exec.Command("go", "build", raceFlag, "-o", path, ".").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	return path, err
})

func removeProgram() {
	if built != "" {
		_ = os.RemoveAll(built)
	}
}

// running is a bridge in a process of its own, as an operator runs it.
type running struct {
	t      *testing.T
	dir    string
	client *http.Client
	cmd    *exec.Cmd
	log    *lockedBuffer
	gone   chan error

	secrets []string // that nothing may show
}

// lockedBuffer collects the log of a process.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// configure writes the files of a bridge for these PBXs (the first is "main", the
// second "branch"), which it reaches over AMI, and does not start it.
func configure(t *testing.T, mapping string, pbxs ...pbxtest.PBX) *running {
	t.Helper()
	return configureOver(t, "ami", mapping, pbxs...)
}

// configureOver is configure with the transports that over names: ami, ari, or both.
func configureOver(t *testing.T, over, mapping string, pbxs ...pbxtest.PBX) *running {
	t.Helper()
	r := &running{t: t, dir: t.TempDir(), log: &lockedBuffer{}}
	socket := filepath.Join(r.dir, "s")
	var list strings.Builder
	for i, p := range pbxs {
		account := p.User("bridge")
		name := []string{"main", "branch"}[i]
		r.write("secret-"+name, account.Secret+"\n")
		r.secrets = append(r.secrets, account.Secret)
		fmt.Fprintf(&list, "  - name: %s\n", name)
		if over != "ari" {
			fmt.Fprintf(&list, "    ami: {address: %q, username: %s, secret_file: secret-%s}\n", p.Addr(), account.Name, name)
		}
		if over != "ami" {
			fmt.Fprintf(&list, "    ari: {url: %q, username: %s, password_file: secret-%s}\n", p.ARI(), account.Name, name)
		}
	}
	r.write("presencebridge.yaml", "pbx:\n"+list.String()+"http: {socket: s}\nlog: {level: debug}\n")
	r.write("mapping.yaml", mapping)
	r.client = &http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
	return r
}

// overEach runs a test once with AMI alone and once with ARI alone.
func overEach(t *testing.T, test func(t *testing.T, pbx pbxtest.PBX, over string)) {
	t.Helper()
	for _, over := range []string{"ami", "ari"} {
		t.Run(over, func(t *testing.T) {
			run := pbxtest.RunTogether
			if over == "ari" { // Asterisk 22 was seen to answer nothing over HTTP any more, on a loaded machine
				run = pbxtest.Run
			}
			run(t, pbxtest.Options{ARI: over == "ari"}, func(t *testing.T, pbx pbxtest.PBX) { test(t, pbx, over) })
		})
	}
}

func (r *running) write(name, text string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// start runs the bridge and waits until it answers.
func (r *running) start() {
	r.t.Helper()
	r.launch()
	r.t.Cleanup(r.cleanup)
	pbxtest.Eventually(r.t, patience, "the bridge answers", func() bool { return r.status("/healthz") == http.StatusOK })
}

// launch runs the bridge.
func (r *running) launch() {
	r.t.Helper()
	path, err := program()
	if err != nil {
		r.t.Fatal(err)
	}
	r.cmd = exec.Command(path, "run", "--config", filepath.Join(r.dir, "presencebridge.yaml"))
	r.cmd.Stderr, r.cmd.Stdout = r.log, r.log
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.gone = make(chan error, 1)
	go func(cmd *exec.Cmd, gone chan<- error) { gone <- cmd.Wait() }(r.cmd, r.gone)
}

// startReady runs the bridge and waits until it is ready.
func (r *running) startReady() {
	r.t.Helper()
	r.start()
	r.ready()
}

func (r *running) ready() {
	r.t.Helper()
	pbxtest.Eventually(r.t, patience, "the bridge is ready", func() bool { return r.status("/readyz") == http.StatusOK })
}

func (r *running) cleanup() {
	if r.cmd != nil {
		_ = r.cmd.Process.Kill()
		<-r.gone
		r.cmd = nil
	}
	text := r.log.String()
	if r.t.Failed() {
		r.t.Logf("log of the bridge:\n%s", text)
	}
	for _, bad := range []string{"DATA RACE", "panic:"} {
		if strings.Contains(text, bad) {
			r.t.Errorf("the bridge's output has %q:\n%s", bad, text)
		}
	}
	r.keeps("the bridge's output", text)
}

// keeps fails the test where an output shows a secret.
func (r *running) keeps(what, text string) {
	r.t.Helper()
	for _, secret := range r.secrets {
		if strings.Contains(text, secret) {
			r.t.Errorf("%s shows the secret %q:\n%s", what, secret, text)
		}
	}
}

// kill ends the bridge as a power cut would.
func (r *running) kill() {
	r.t.Helper()
	if err := r.cmd.Process.Kill(); err != nil {
		r.t.Fatal(err)
	}
	<-r.gone
	r.cmd = nil
}

// stop ends the bridge as systemd does.
func (r *running) stop() {
	r.t.Helper()
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		r.t.Fatal(err)
	}
	if err := <-r.gone; err != nil {
		r.t.Errorf("an orderly stop ended with %v", err)
	}
	r.cmd = nil
}

// status returns the HTTP status of a GET, 0 if nobody answers.
func (r *running) status(path string) int {
	resp, err := r.client.Get("http://bridge" + path)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body) // a feed that was cut is as good
	r.keeps(path, string(text))
	return resp.StatusCode
}

// get reads JSON from the API.
func (r *running) get(path string, into any) {
	r.t.Helper()
	resp, err := r.client.Get("http://bridge" + path)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatalf("GET %s: %v", path, err)
	}
	r.keeps(path, string(text))
	if err := json.Unmarshal(text, into); err != nil {
		r.t.Fatalf("GET %s: %v", path, err)
	}
}

func (r *running) user(id string) bridge.User {
	r.t.Helper()
	var u bridge.User
	r.get("/api/v1/users/"+id, &u)
	return u
}

// shows waits until the user has the status, "-" for none.
func (r *running) shows(id, status string) bridge.User {
	r.t.Helper()
	return r.showsMessage(id, status, "*")
}

// showsMessage waits for a status and a message, "*" for any.
func (r *running) showsMessage(id, status, message string) bridge.User {
	r.t.Helper()
	var u bridge.User
	pbxtest.Eventually(r.t, patience, fmt.Sprintf("%s is %s, %q", id, status, message), func() bool {
		u = r.user(id)
		if u.Status == nil {
			return status == "-"
		}
		return string(u.Status.Type) == status && (message == "*" || u.Status.Message == message)
	})
	return u
}

// put sends JSON to the API, and returns what comes back.
func (r *running) put(path string, body any) (code int, text []byte) {
	r.t.Helper()
	sent, err := json.Marshal(body)
	if err != nil {
		r.t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodPut, "http://bridge"+path, bytes.NewReader(sent))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := r.client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, err = io.ReadAll(resp.Body); err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, text
}

// choose sets a status, which may be refused.
func (r *running) choose(id, status, message string) (code int, text []byte) {
	r.t.Helper()
	return r.put("/api/v1/users/"+id+"/status", map[string]any{"type": status, "message": message})
}

// set chooses a status over the API.
func (r *running) set(id, status, message string) bridge.User {
	r.t.Helper()
	code, text := r.choose(id, status, message)
	if code != http.StatusOK {
		r.t.Fatalf("set %s %s: %d: %s", id, status, code, text)
	}
	var u bridge.User
	if err := json.Unmarshal(text, &u); err != nil {
		r.t.Fatal(err)
	}
	return u
}

// settled waits until nothing of the user's is pending.
func (r *running) settled(id string) bridge.User {
	r.t.Helper()
	var u bridge.User
	pbxtest.Eventually(r.t, patience, id+" is settled", func() bool {
		u = r.user(id)
		for _, x := range u.Extensions {
			if x.Pending || !x.Reachable {
				return false
			}
		}
		return u.Saved
	})
	return u
}

// run runs a command of the program beside the bridge.
func (r *running) run(args ...string) (out string, code int) {
	r.t.Helper()
	path, err := program()
	if err != nil {
		r.t.Fatal(err)
	}
	cmd := exec.Command(path, append(args, "--config", filepath.Join(r.dir, "presencebridge.yaml"))...)
	text, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		r.t.Fatal(err)
	}
	r.keeps(strings.Join(args, " "), string(text))
	return string(text), cmd.ProcessState.ExitCode()
}
