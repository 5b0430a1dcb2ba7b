package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/api/apitest"
	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/connector/asterisk/diagnose"
	"github.com/presencebridge/presencebridge/pkg/pbxsim"
	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

const doctorSecret = "canary-4f1c9a"

// clinic is a configuration with a simulated PBX, and doctor for it.
type clinic struct {
	dir     string
	pbx     *pbxtest.Simulated
	console *console
}

func newClinic(t *testing.T, user, mapping string, args ...string) *clinic {
	t.Helper()
	pbx := pbxtest.NewSimulated(t, pbxtest.Options{
		Users: []pbxsim.User{
			{Name: "bridge", Secret: doctorSecret, Read: "system,call", Write: "call,reporting"},
			{Name: "reader", Secret: doctorSecret, Read: "system,call", Write: "reporting"},
			{Name: "other", Secret: "x", Read: "system,call", Write: "call,reporting"},
		},
		ARI: true,
		Sim: pbxsim.Config{RefusalDelay: -1},
	})
	daemon := fmt.Sprintf("pbx: [{name: main, ami: {address: %q, username: %s, secret_file: secret}}]\nhttp: {socket: s}\n", pbx.Addr(), user)
	c := &clinic{dir: writeConfig(t, daemon, mapping), pbx: pbx}
	c.write(t, "secret", doctorSecret)
	c.console = newConsole(append([]string{"doctor", "--config", filepath.Join(c.dir, "presencebridge.yaml")}, args...)...)
	c.console.Now = time.Now
	return c
}

func (c *clinic) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(c.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// golden compares what doctor prints with a file. What differs from run to run is
// replaced.
func (c *clinic) golden(t *testing.T, name string) {
	t.Helper()
	code := c.console.Run(t.Context())
	got := fmt.Sprintf("%s%s[exit code %d]\n", c.console.out.String(), c.console.err.String(), code)
	if strings.Contains(got, doctorSecret) {
		t.Error("the secret is in the output")
	}
	_, port, _ := net.SplitHostPort(c.pbx.Addr())
	web, err := url.Parse(c.pbx.ARI())
	if err != nil {
		t.Fatal(err)
	}
	got = strings.NewReplacer(c.dir, "DIR", port, "PORT", web.Port(), "WEBPORT").Replace(got)
	got = regexp.MustCompile(`after \d+ ms`).ReplaceAllString(got, "after N ms")
	got = regexp.MustCompile(`doctor-[0-9a-f]{8}`).ReplaceAllString(got, "doctor-INSTANCE")
	sameAsGolden(t, name, got)
}

func sameAsGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("../../testdata/cmd", name+".txt")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v: run go test -update", err)
	}
	if got != string(want) {
		t.Errorf("%s differs, got:\n%s", path, got)
	}
}

func TestDoctorPrintsWhatTheGoldenFilesSay(t *testing.T) {
	for _, tc := range []struct {
		name, user, args string
		prepare          func(*testing.T, *clinic)
	}{
		{name: "doctor-well", user: "bridge"},
		{name: "doctor-well-json", user: "bridge", args: "--json"},
		{name: "doctor-ari", user: "bridge", prepare: func(t *testing.T, c *clinic) {
			c.write(t, "presencebridge.yaml", fmt.Sprintf("pbx: [{name: main, ari: {url: %q, username: bridge, password_file: secret}}]\nhttp: {socket: s}\n", c.pbx.ARI()))
		}},
		{name: "doctor-failure", user: "reader"},
		{name: "doctor-refused", user: "other"},
		{name: "doctor-errors", user: "bridge", prepare: func(t *testing.T, c *clinic) { c.write(t, "mapping.yaml", "sync: {incoming: newest}\n") }},
		{name: "doctor-rights", user: "bridge", prepare: func(t *testing.T, c *clinic) {
			for name, mode := range map[string]os.FileMode{"secret": 0o660, "mapping.yaml": 0o666, "presencebridge.yaml": 0o606} {
				if err := os.Chmod(filepath.Join(c.dir, name), mode); err != nil {
					t.Fatal(err)
				}
			}
		}},
		{name: "doctor-bridge", user: "bridge", prepare: func(t *testing.T, c *clinic) {
			b := apitest.New()
			serve(t, b, filepath.Join(c.dir, "s"))
			if err := os.Chmod(filepath.Join(c.dir, "mapping.yaml"), 0o664); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newClinic(t, tc.user, plainMapping, strings.Fields(tc.args)...)
			if tc.prepare != nil {
				tc.prepare(t, c)
			}
			c.golden(t, tc.name)
		})
	}
}

func TestDoctorFitsATerminal(t *testing.T) {
	c := newConsole().onTerminal(60, 30)
	c.progress("main: login")
	c.progress("")
	c.printDiagnosis(&diagnosis{Subjects: []examined{{"pbx main", []diagnose.Step{
		{Name: "login", Result: diagnose.OK, Says: "Asterisk takes the account \x1b[31mbridge"},
		{Name: "presence event", Result: diagnose.Failed, Says: "the event did not come within five seconds, for one of several reasons", Do: "see that the account has the right and no other eventfilter than these",
			Fix: []diagnose.Fix{{File: "manager.conf", Section: "[bridge]", Lines: []string{"read = system,call", "eventfilter(action(include),name(PresenceStateChange)) ="}}}},
		{Name: "extensions", Result: diagnose.Info, Says: "the mapping has none on this PBX"},
		{Name: "clock", Result: diagnose.Warning, Says: "it is late", Do: "set it"},
		{Name: "version", Result: diagnose.NotTried, Says: "because the step login failed"},
	}}}}, false)
	sameAsGolden(t, "doctor-terminal", strings.NewReplacer("\x1b", "␛", "\r", "␍").Replace(c.out.String()))
}

func TestDoctorTriesARefusedAccountOnce(t *testing.T) {
	c := newClinic(t, "other", plainMapping, "--json")
	one := fmt.Sprintf("ami: {address: %q, username: other, secret_file: secret}", c.pbx.Addr())
	c.write(t, "presencebridge.yaml", "pbx:\n  - {name: main, "+one+"}\n  - {name: again, "+one+"}\nhttp: {socket: s}\n")
	if code := c.console.Run(t.Context()); code != exitWrong {
		t.Errorf("exit code %d", code)
	}
	if n := c.pbx.Sim.Stats().RefusedLogins; n != 1 {
		t.Errorf("%d logins were refused, want 1", n)
	}
	if out := c.console.out.String(); !strings.Contains(out, "failed for the PBX main") {
		t.Error(out)
	}
}

func TestDoctorLeavesTheExtensionsAlone(t *testing.T) {
	c := newClinic(t, "bridge", plainMapping, "--json")
	if code := c.console.Run(t.Context()); code != exitDone {
		t.Fatalf("exit code %d: %s", code, c.console.out.String())
	}
	for presentity := range c.pbx.Sim.Stats().Writes {
		if !regexp.MustCompile(`^(CustomPresence|Custom):presencebridge-doctor-[0-9a-f]{8}-canary$`).MatchString(presentity) {
			t.Errorf("%s was written", presentity)
		}
	}
	var d diagnosis
	if err := json.Unmarshal([]byte(c.console.out.String()), &d); err != nil || d.Result != diagnose.OK || len(d.Subjects) != 2 {
		t.Errorf("%v: %+v", err, d)
	}
	left, err := filepath.Glob(filepath.Join(c.dir, ".*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

func TestDoctorDoesNotDisturbARunningBridge(t *testing.T) {
	pbxtest.Run(t, pbxtest.Options{}, func(t *testing.T, pbx pbxtest.PBX) {
		r, p := configure(t, threeMethods, pbx), phone{t, pbxtest.Observe(t, pbx)}
		r.startReady()
		p.set("1001", "away", "lunch", "")
		before := r.shows("alice", "lunch")
		out, code := r.run("doctor", "--json")
		var d diagnosis
		if err := json.Unmarshal([]byte(out), &d); err != nil || code == exitWrong {
			t.Fatalf("exit code %d, %v: %s", code, err, out)
		}
		for _, s := range d.Subjects[0].Steps {
			if s.Name == "bridge" && s.Result != diagnose.OK {
				t.Errorf("it says of the bridge: %+v", s)
			}
		}
		p.set("1002", "dnd", "", "") // after everything that doctor did
		after := r.shows("alice", "dnd")
		if after.Version != before.Version+1 {
			t.Errorf("version %d became %d by one press of a key", before.Version, after.Version)
		}
		var pbxs page[connector.Health]
		r.get("/api/v1/pbxs", &pbxs)
		if len(pbxs.Items) != 1 || pbxs.Items[0].Sessions != 1 || !pbxs.Items[0].Ready {
			t.Errorf("the bridge has %+v", pbxs.Items)
		}
		if log := r.log.String(); strings.Contains(log, "canary") {
			t.Errorf("the bridge noticed: %s", log)
		}
	})
}

func TestDoctorEndsWhenItIsInterrupted(t *testing.T) {
	c := newClinic(t, "bridge", plainMapping)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if code := c.console.Run(ctx); code != exitFailed || !strings.Contains(c.console.err.String(), "interrupted") {
		t.Errorf("exit code %d: %s", code, c.console.err.String())
	}
}

func TestFilesThatDoctorFindsWrong(t *testing.T) {
	m := &newConsole().Main
	dir := folder(t)
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	asFile := file("file", "")
	credentials := &newConsole().Main
	credentials.Env = func(string) string { return dir }
	for _, tc := range []struct {
		name string
		got  []diagnose.Step
		want diagnose.Result
		says string
	}{
		{"a secret that is gone", m.secretSteps(file("a.yaml", "pbx: [{ami: {secret_file: /nowhere/secret}}]")), diagnose.Failed, "no such file"},
		{"a secret among the credentials", credentials.secretSteps(file("b.yaml", "pbx: [{ami: {secret_file: file}}]")), diagnose.OK, dir + "/file"},
		{"a credential that lies beside", credentials.secretSteps(file("c.yaml", "pbx: [{ami: {secret_file: none}}]")), diagnose.Failed, dir + "/none"},
		{"a configuration that changed meanwhile", m.secretSteps(file("d.yaml", "pbx: 7")), diagnose.Failed, "its form"},
		{"a configuration that is gone", m.secretSteps("/nowhere/x.yaml"), diagnose.Failed, "no such file"},
		{"a mapping that is gone", []diagnose.Step{mappingStep("/nowhere/mapping.yaml")}, diagnose.Failed, "no such file"},
		{"no folder for the store", m.storeSteps("/nowhere/db", false), diagnose.Failed, "no folder"},
		{"a file as the folder of the store", m.storeSteps(asFile+"/db", false), diagnose.Failed, "takes no file"},
		{"a folder as the store", m.storeSteps(dir, false), diagnose.Failed, "takes no file"},
		{"no folder for the socket", []diagnose.Step{socketStep("/nowhere/s", false)}, diagnose.Failed, "no folder"},
		{"no folder yet for the socket", []diagnose.Step{socketStep(runFolder+"/s", false)}, diagnose.Info, "systemd makes"},
		{"a file as the folder of the socket", []diagnose.Step{socketStep(asFile+"/s", false)}, diagnose.Failed, "takes no file"},
		{"no space to be known", []diagnose.Step{spaceStep("/nowhere")}, diagnose.Info, "not known"},
		{"a full disk", []diagnose.Step{spaceLeft("/x", 1<<20)}, diagnose.Failed, "1 MB are left"},
		{"a disk that fills", []diagnose.Step{spaceLeft("/x", 100<<20)}, diagnose.Warning, "100 MB are left"},
		{"a store of somebody else", []diagnose.Step{storeFault("/x/db", os.ErrPermission, false)}, diagnose.Failed, "you may not write"},
		{"a store of the running bridge", []diagnose.Step{storeFault("/x/db", os.ErrPermission, true)}, diagnose.Info, "user of its own"},
		{"a folder of somebody else for the socket", []diagnose.Step{socketFault("/x/s", os.ErrPermission)}, diagnose.Failed, "you may not make"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if len(tc.got) == 0 || tc.got[0].Result != tc.want || !strings.Contains(tc.got[0].Says, tc.says) {
				t.Errorf("got %+v, want %s with %q", tc.got, tc.want, tc.says)
			}
		})
	}
}

func TestDoctorTellsOfPhonesThatDoNotShowWhatWasChosen(t *testing.T) {
	item := func(mine string) string {
		return `{"drift":{"count":3,"oldest":185,"items":[{"user":"alice","pbx":"main","extension":"1002","presence":{},"since":"2026-11-22T10:00:00Z",` + mine + `}]}}`
	}
	for _, tc := range []struct {
		name, answer string
		want         diagnose.Result
		says         string
	}{
		{"none", `{"drift":{"count":0,"oldest":0,"items":[]}}`, diagnose.OK, "all show"},
		{"only just", `{"drift":{"count":1,"oldest":2.5,"items":[{"user":"alice"}]}}`, diagnose.OK, "all show"},
		{"refused", item(`"reachable":true,"sent":true,"refusals":2`), diagnose.Warning, "main/1002 of alice does not show what was chosen 3 min ago: the PBX refuses it; nor do 2 more"},
		{"away", item(`"reachable":false,"sent":true,"refusals":2`), diagnose.Warning, "its PBX is away"},
		{"without an event", item(`"reachable":true,"sent":true,"refusals":0`), diagnose.Warning, "its event has not come"},
		{"not written", item(`"reachable":true,"sent":false,"refusals":0`), diagnose.Warning, "not been written"},
		{"an earlier version", `{}`, "", ""},
		{"no bridge", `<html>`, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			steps := (&newConsole().Main).driftSteps(t.Context(), saying(t, tc.answer))
			if tc.want == "" {
				if len(steps) != 0 {
					t.Errorf("it says %+v", steps)
				}
				return
			}
			if len(steps) != 1 || steps[0].Result != tc.want || !strings.Contains(steps[0].Says, tc.says) || (steps[0].Do != "") != (tc.want == diagnose.Warning) {
				t.Errorf("it says %+v", steps)
			}
		})
	}
}

// saying returns the socket of somebody who answers everything so.
func saying(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(folder(t), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) })}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close(); <-done })
	return path
}

func TestDoctorHearsWhatTheBridgeSaysOfItself(t *testing.T) {
	for _, tc := range []struct {
		name, answer string
		want         diagnose.Result
		says         string
	}{
		{"ready", `{"ready":true,"reasons":[]}`, diagnose.OK, "is ready"},
		{"not ready", `{"ready":false,"reasons":["main: one","branch: two"]}`, diagnose.Warning, "main: one; branch: two"},
		{"standby", `{"ready":false,"reasons":["standby: one holds the store"]}`, diagnose.Info, "as standby: one holds the store"},
		{"silent", `{"ready":false}`, diagnose.Warning, "does not say why"},
		{"no bridge", `<html>`, diagnose.Info, "no bridge of this version"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			step, runs := (&newConsole().Main).bridgeStep(t.Context(), saying(t, tc.answer))
			if step.Result != tc.want || !strings.Contains(step.Says, tc.says) || runs != (tc.name != "no bridge") {
				t.Errorf("%+v, runs %t", step, runs)
			}
		})
	}
}

func TestDoctorWithoutAConfigurationSaysWhatToDo(t *testing.T) {
	t.Chdir(t.TempDir())
	c := newConsole("doctor")
	if code := c.Run(t.Context()); code != exitWrong || !strings.Contains(c.err.String(), "--config FILE") {
		t.Errorf("exit code %d: %s", code, c.err.String())
	}
}

func TestTextIsWrappedAtSpaces(t *testing.T) {
	for _, tc := range []struct {
		text string
		room int
		want string
	}{
		{"", 10, ""}, {"one two three", 0, "one two three"}, {"one two three", 7, "one two|three"}, {"unbreakable x", 3, "unbreakable|x"},
	} {
		if got := strings.Join(wrap(tc.text, tc.room), "|"); got != tc.want {
			t.Errorf("%q in %d: %q", tc.text, tc.room, got)
		}
	}
}
