package pbxtest

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/presencebridge/presencebridge/pkg/pbxsim"
)

const patience = 30 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, LeakOptions()...) }

func TestTheObserverSetsSeesAndAsks(t *testing.T) {
	Run(t, Options{}, func(t *testing.T, p PBX) {
		o := Observe(t, p)
		want := pbxsim.Change{
			Presentity: "CustomPresence:1", State: "away", Subtype: "lunch",
			Message: "it's \"really\" nice?\r\nsecond line, with a comma \\ and é\a",
		}
		if err := o.Set(want.Presentity, want.State, want.Subtype, want.Message); err != nil {
			t.Fatal(err)
		}
		Eventually(t, patience, "the event comes", func() bool { return len(o.Seen()) > 0 })
		if got := o.Seen()[0]; got != want {
			t.Errorf("seen %+v, want %+v", got, want)
		}
		if got, err := o.Shows(want.Presentity); err != nil || got != want {
			t.Errorf("shows %+v, %v; want %+v", got, err, want)
		}
		if err := o.Write("CustomPresence:1", "away,,a, b"); err == nil || !strings.Contains(err.Error(), "Variable not set") {
			t.Errorf("a comma in a plain text: %v; want it refused", err)
		}
		if err := o.Write("CustomPresence:1", "away\r\nAction: Logoff"); err == nil {
			t.Error("a line break went into the frame")
		}
	})
}

func TestTheObserverSurvivesItsPBX(t *testing.T) {
	Run(t, Options{}, func(t *testing.T, p PBX) {
		o := Observe(t, p)
		if err := o.Set("CustomPresence:1", "away", "", ""); err != nil {
			t.Fatal(err)
		}
		p.Commit()
		p.Kill()
		if err := o.Set("CustomPresence:1", "dnd", "", ""); err == nil {
			t.Error("a killed PBX took a write")
		}
		if _, err := o.Shows("CustomPresence:1"); err == nil {
			t.Error("a killed PBX answered")
		}
		p.Start()
		if got, err := o.Shows("CustomPresence:1"); err != nil || got.State != "away" {
			t.Errorf("after the kill %+v, %v; want what was committed", got, err)
		}
		p.Unload(pbxsim.PresenceFunction)
		if err := o.Set("CustomPresence:1", "dnd", "", ""); err == nil {
			t.Error("a PBX without the provider took a write")
		}
		p.Load(pbxsim.PresenceFunction)
		p.Restart()
		if err := o.Set("CustomPresence:1", "dnd", "", ""); err != nil {
			t.Error(err)
		}
	})
}

func TestInstancesAreStrangersToEachOther(t *testing.T) {
	for _, f := range All(t) {
		t.Run(f.Name, func(t *testing.T) {
			one, two := f.Start(t, Options{}), f.Start(t, Options{})
			if one.Addr() == two.Addr() || one.Name() != two.Name() || one.Version() != two.Version() {
				t.Errorf("%s %s at %s, %s %s at %s", one.Name(), one.Version(), one.Addr(), two.Name(), two.Version(), two.Addr())
			}
			if err := Observe(t, one).Set("CustomPresence:1", "away", "", ""); err != nil {
				t.Fatal(err)
			}
			if got, err := Observe(t, two).Shows("CustomPresence:1"); err != nil || got.State != "not_set" {
				t.Errorf("the other one shows %+v, %v", got, err)
			}
		})
	}
}

func TestTheListOfAsterisksIsStrict(t *testing.T) {
	got, err := parseList("sid=/folder, path=/usr/sbin/asterisk")
	want := []install{
		{name: "sid", root: "/folder", binary: "/usr/sbin/asterisk"},
		{name: "path", binary: "/usr/sbin/asterisk"},
	}
	if err != nil || len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("parseList = %+v, %v; want %+v", got, err, want)
	}
	for _, bad := range []string{"sid", "=/folder", "sid=folder", "sid=/folder,"} {
		if _, err := parseList(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestAnAsteriskThatDoesNotStartFailsOnlyWhereRequired(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "asterisk")
	if err := os.WriteFile(broken, []byte("#!/bin/sh\n[ \"$1\" = -V ] && { echo Asterisk 1.0; exit; }\necho no modules; exit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ name, list, required, want string }{
		{"missing and required", "path=/nowhere/asterisk", "1", "fatal: asterisk path does not start"},
		{"missing", "path=/nowhere/asterisk", "", "skipped: asterisk path does not start"},
		{"broken", "path=" + broken, "1", "fatal: asterisk path does not start"},
		{"not a list", "sid", "", "fatal: " + listVariable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Setenv(listVariable, tc.list)
			t.Setenv(requiredVariable, tc.required)
			got := outcome(t, func(t testing.TB) {
				for _, f := range Reals(t) {
					f.Start(t, Options{})
				}
			})
			if !strings.HasPrefix(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestWithoutAListOnlyTheSimulationIsThere(t *testing.T) {
	t.Setenv(listVariable, "")
	if all := All(t); len(all) != 1 || all[0].Name != "sim" {
		t.Errorf("All = %+v", all)
	}
}

func TestHelpersEndTheTest(t *testing.T) {
	busy := NewSimulated(t, Options{})
	for _, tc := range []struct {
		name string
		do   func(testing.TB)
		want string
	}{
		{"waiting in vain", func(t testing.TB) { Eventually(t, time.Millisecond, "the moon", func() bool { return false }) }, "fatal: the moon: not within 1ms"},
		{"no such account", func(t testing.TB) { accounts{t: t}.User("nobody") }, `fatal: no account "nobody"`},
		{"an address in use", func(t testing.TB) {
			NewSimulated(t, Options{Sim: pbxsim.Config{Addr: busy.Addr()}})
		}, "fatal: simulated Asterisk: listen"},
		{"a module that is not there", func(t testing.TB) {
			p := &Real{accounts: accounts{t: t}, install: install{name: "path", binary: "/nowhere/asterisk"}}
			p.Load(pbxsim.PresenceFunction)
		}, "fatal: module load func_presencestate.so"},
		{"a simulated one without ARI", func(t testing.TB) { (&Simulated{accounts: accounts{t: t}, Sim: busy.Sim}).ARI() }, "fatal: this PBX has no ARI"},
		{"a real one without ARI", func(t testing.TB) { (&Real{accounts: accounts{t: t}}).ARI() }, "fatal: this Asterisk has no ARI"},
		{"no such phone", func(t testing.TB) { (&Simulated{accounts: accounts{t: t}, Sim: busy.Sim}).Ring("1001") }, `fatal: no phone "1001"`},
		{"a phone of a PBX that is not there", func(t testing.TB) {
			(&Real{accounts: accounts{t: t}, install: install{name: "path", binary: "/nowhere/asterisk"}}).Ring("1001")
		}, "fatal: dialplan set global"},
		{"a start without an asterisk", func(t testing.TB) {
			(&Real{accounts: accounts{t: t}, dir: "/nowhere"}).Start()
		}, "fatal: open /nowhere/output"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := outcome(t, tc.do); !strings.HasPrefix(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestAnObserverOfASilentPBXGivesUp(t *testing.T) {
	p := NewSimulated(t, Options{})
	o := Observe(t, p)
	o.deadline = 50 * time.Millisecond
	p.Sim.Freeze()
	if err := o.Set("CustomPresence:1", "away", "", ""); err == nil {
		t.Error("a frozen PBX answered")
	}
	p.Sim.Thaw()
	o.deadline = observerDeadline
	if err := o.Set("CustomPresence:1", "dnd", "", ""); err != nil {
		t.Error(err)
	}
}

func TestSomebodyElsesAsteriskIsNotTakenForOurs(t *testing.T) {
	other := NewSimulated(t, Options{Sim: pbxsim.Config{RefusalDelay: -1}})
	_, port, err := net.SplitHostPort(other.Addr())
	if err != nil {
		t.Fatal(err)
	}
	p := &Real{probe: pbxsim.User{Name: "probe-1", Secret: "x"}}
	if p.port, err = strconv.Atoi(port); err != nil {
		t.Fatal(err)
	}
	if err := p.answers(); err == nil || !strings.Contains(err.Error(), "another Asterisk answers") {
		t.Errorf("answers = %v", err)
	}
	other.Stop()
	if err := p.answers(); err == nil {
		t.Error("nobody answered, and that was fine")
	}
}

func TestListItemsAreNotEvents(t *testing.T) {
	o := &Observer{}
	o.note(map[string]string{"Presentity": "CustomPresence:1", "Status": "away"})
	if got := o.Seen(); len(got) != 0 {
		t.Errorf("seen %+v", got)
	}
}

func TestVersionsAreCompared(t *testing.T) {
	for version, want := range map[string]int{"22.10.1+dfsg": 22, "16.28.0~dfsg": 16, "GIT-master": 0} {
		if got := major(version); got != want {
			t.Errorf("major(%q) = %d, want %d", version, got, want)
		}
	}
}

// recorder is a testing.TB of which the end can be looked at.
type recorder struct {
	testing.TB
	end string
}

func (r *recorder) Fatal(args ...any)            { r.stop("fatal: " + fmt.Sprint(args...)) }
func (r *recorder) Fatalf(f string, args ...any) { r.stop("fatal: " + fmt.Sprintf(f, args...)) }
func (r *recorder) Skipf(f string, args ...any)  { r.stop("skipped: " + fmt.Sprintf(f, args...)) }

func (r *recorder) stop(how string) {
	r.end = how
	runtime.Goexit()
}

// outcome runs do to its end and says how it ended the test.
func outcome(t *testing.T, do func(testing.TB)) string {
	t.Helper()
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		do(r)
	}()
	<-done
	return r.end
}
