package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/pbxsim"
	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

// These tests let somebody do to a running bridge what a PBX, its callers and
// its programs can do.

// forge writes to a presentity whose name has line breaks, which AMI would not take.
func forge(t *testing.T, pbx pbxtest.PBX, presentity string) {
	t.Helper()
	var err error
	switch p := pbx.(type) {
	case *pbxtest.Real:
		err = p.WriteOverARI(t.Context(), presentity, "chat")
	case *pbxtest.Simulated:
		err = p.Sim.Write(presentity, "chat")
	}
	if err != nil {
		t.Fatal(err)
	}
}

// main returns what the bridge tells of its first PBX.
func (r *running) main() bridge.PBX {
	r.t.Helper()
	var list struct {
		Items []bridge.PBX `json:"items"`
	}
	r.get("/api/v1/pbxs", &list)
	return list.Items[0]
}

func TestAForgedFrameHealsAtOnceAndANameThatForgesForEverIsNamed(t *testing.T) {
	const forged = "CustomPresence:1001\r\nStatus: dnd\r\nSubtype: \r\nMessage: forged\r\n\r\n"
	pbxtest.Run(t, pbxtest.Options{ARI: true}, func(t *testing.T, pbx pbxtest.PBX) {
		r, p := configure(t, threeMethods, pbx), phone{t, pbxtest.Observe(t, pbx)}
		r.startReady()
		p.set("1001", "away", "lunch", "honest")
		r.showsMessage("alice", "lunch", "honest")

		forge(t, pbx, forged+"X: y") // one whole event and the rest of another
		pbxtest.Eventually(t, patience, "the frame is counted and the list is known to be damaged", func() bool {
			m := r.main()
			return m.Malformed > 0 && strings.Contains(m.Reason, "line breaks")
		})
		r.showsMessage("alice", "lunch", "honest")
		if !r.main().Ready || r.status("/readyz") != http.StatusOK {
			t.Error("the bridge is not ready any more")
		}
		if n := strings.Count(r.log.String(), "frame refused"); n != 1 {
			t.Errorf("logged %d times", n)
		}
		if out, _ := r.run("history", "alice"); !strings.Contains(out, "forged") {
			t.Logf("the forgery was healed before it was decided:\n%s", out)
		}

		// Nothing is wrong about these two events, until the list repeats them.
		forge(t, pbx, forged+"Event: PresenceStateChange\r\nPrivilege: call,all\r\nPresentity: CustomPresence:x")
		for _, again := range []func(){
			func() { r.kill(); r.startReady() },
			func() { r.stop(); r.startReady() },
			pbx.Restart,
		} {
			pbx.Commit()
			again()
			pbxtest.Eventually(t, patience, "the bridge is ready, and says what is wrong", func() bool {
				m := r.main()
				return m.Ready && strings.Contains(m.Reason, "DELETE FROM astdb")
			})
			r.showsMessage("alice", "lunch", "honest")
			p.set("1003", "dnd", "", "")
			r.shows("bob", "dnd")
			p.set("1003", "away", "", "")
			r.shows("bob", "away")
		}
		r.set("alice", "meeting", "chosen")
		r.settled("alice")
		p.sees("1001", "xa", "meeting", "chosen")
	})
}

// TestNoOutputHasTheSecret goes, at level debug, every way in which a login can
// fail, and reads all that the program says meanwhile and when it is shot.
func TestNoOutputHasTheSecret(t *testing.T) {
	const secret = "canary-4f1c9a"
	account := func(password string) []pbxsim.User {
		return []pbxsim.User{{Name: "bridge", Secret: password, Read: "system,call", Write: "call,reporting"}}
	}
	sim := func(t *testing.T, users []pbxsim.User) string {
		return pbxtest.NewSimulated(t, pbxtest.Options{Users: users, Sim: pbxsim.Config{RefusalDelay: -1}}).Addr()
	}
	for _, tc := range []struct {
		name string
		at   func(t *testing.T) string // address
		ami  string                    // more settings
		says string                    // the reason why it is not ready
	}{
		{"accepted", func(t *testing.T) string { return sim(t, account(secret)) }, "", ""},
		{"accepted in clear", func(t *testing.T) string { return sim(t, account(secret)) }, ", plain_login: true", ""},
		{"refused", func(t *testing.T) string { return sim(t, account("another")) }, "", "login refused"},
		{"refused in clear", func(t *testing.T) string { return sim(t, account("another")) }, ", plain_login: true", "login refused"},
		{"unknown account", func(t *testing.T) string { return sim(t, pbxsim.DefaultUsers()[1:]) }, "", "login refused"},
		{"no rights", func(t *testing.T) string {
			return sim(t, []pbxsim.User{{Name: "bridge", Secret: secret}})
		}, "", "manager.conf"},
		{"nobody there", func(t *testing.T) string { return answer(t, nil) }, "", "check that Asterisk runs"},
		{"another protocol", func(t *testing.T) string { return answer(t, []byte("SSH-2.0-x\r\n")) }, "", "not the manager port"},
		{"a peer that repeats", func(t *testing.T) string { return answer(t, []byte("Asterisk Call Manager/11.0.0\r\n")) }, ", plain_login: true", "check that Asterisk runs"},
		{"no TLS there", func(t *testing.T) string { return sim(t, account(secret)) }, ", tls: {enabled: true}", "handshake"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := secretly(t, secret, tc.at(t), tc.ami)
			r.start()
			if tc.says == "" {
				r.ready()
			} else {
				pbxtest.Eventually(t, patience, "the reason names "+tc.says, func() bool { return strings.Contains(r.main().Reason, tc.says) })
			}
			for _, path := range []string{"/readyz", "/healthz", "/metrics", "/api/v1/pbxs", "/api/v1/users", "/api/v1/openapi.json", "/api/v1/users/alice/explain"} {
				r.status(path)
			}
			for _, command := range []string{"check", "status", "explain alice", "doctor"} {
				r.run(strings.Fields(command)...)
			}
			if err := r.cmd.Process.Signal(syscall.SIGQUIT); err != nil {
				t.Fatal(err)
			}
			<-r.gone
			r.cmd = nil
			if !strings.Contains(r.log.String(), "goroutine ") {
				t.Error("no trace of the program when it was shot")
			}
		})
	}
}

// secretly configures a bridge for one PBX at address.
func secretly(t *testing.T, secret, address, more string) *running {
	t.Helper()
	r := configure(t, threeMethods)
	r.secrets = []string{secret}
	r.write("secret-main", secret+"\n")
	r.write("presencebridge.yaml", fmt.Sprintf("pbx: [{name: main, ami: {address: %q, username: bridge, secret_file: secret-main%s}}]\n"+
		"http: {socket: s}\nlog: {level: debug}\n", address, more))
	return r
}

func TestNoFaultOfASecretShowsIt(t *testing.T) {
	const secret = "canary-4f1c9a"
	for _, tc := range []struct {
		name  string
		spoil func(r *running)
		want  string
	}{
		{"two lines", func(r *running) { r.write("secret-main", secret+"\nx\n") }, "one line"},
		{"too long", func(r *running) { r.write("secret-main", strings.Repeat(secret, 100)) }, "1300 bytes"},
		{"control characters", func(r *running) { r.write("secret-main", secret+"\x00") }, "control characters"},
		{"readable by all", func(r *running) {
			if err := os.Chmod(filepath.Join(r.dir, "secret-main"), 0o644); err != nil {
				t.Fatal(err)
			}
		}, "chmod"},
		{"as a list", func(r *running) {
			r.write("presencebridge.yaml", "pbx: [{name: main, ami: {address: 'x:1', username: u, secret: ["+secret+"]}}]\n")
		}, "secret"},
		{"twice", func(r *running) {
			r.write("presencebridge.yaml", "pbx: [{name: main, ami: {address: 'x:1', username: u, secret: "+secret+", secret: "+secret+"}}]\n")
		}, "secret"},
		{"in YAML that is none", func(r *running) { r.write("presencebridge.yaml", "pbx: [{name: main, ami: {secret: \""+secret+"}}]\n") }, ""},
		{"with a tag", func(r *running) {
			r.write("presencebridge.yaml", "pbx: [{name: main, ami: {address: 'x:1', username: u, secret: !!int "+secret+"}}]\n")
		}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := secretly(t, secret, "127.0.0.1:1", "")
			tc.spoil(r)
			for _, command := range []string{"run", "check", "check --json"} {
				out, code := r.run(strings.Fields(command)...)
				if code == 0 || !strings.Contains(out, tc.want) {
					t.Errorf("%s: exit %d, want a fault with %q:\n%s", command, code, tc.want, out)
				}
			}
		})
	}
}

// answer is a peer that greets and then repeats what it is sent; nil: there is none.
func answer(t *testing.T, greeting []byte) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() {
		_ = l.Close()
		<-ended
	})
	if greeting == nil {
		_ = l.Close()
	}
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write(greeting)
			b := make([]byte, 4096)
			n, _ := c.Read(b) // the login, or nothing
			_, _ = c.Write(b[:n])
			_ = c.Close()
		}
	}()
	return l.Addr().String()
}
