// Package pbxtest gives tests a PBX: the simulated one always, real Asterisks
// where the machine has them, both behind one interface, so that a test written
// once runs against all. It also has an observer that speaks AMI with somebody
// else's client, so that ours is never tested by itself.
package pbxtest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/presencebridge/presencebridge/pkg/pbxsim"
)

const (
	listVariable     = "PRESENCEBRIDGE_TEST_ASTERISK"          // "sid=/folder,path=/usr/sbin/asterisk"
	requiredVariable = "PRESENCEBRIDGE_TEST_ASTERISK_REQUIRED" // "1": what is listed must start
)

// PBX is an Asterisk under test. It runs when a test gets it, and its methods
// end the test where they cannot do what they say.
type PBX interface {
	Name() string                 // "sim", or what the environment calls it
	Version() string              // as CoreSettings tells it
	Addr() string                 // of AMI, the same in every life
	ARI() string                  // http://host:port/ari, the same in every life; needs Options.ARI
	User(name string) pbxsim.User // an account

	Start()   // returns when fully booted
	Stop()    // cleanly
	Kill()    // as kill -9
	Restart() // Stop and Start
	Load(pbxsim.Module)
	Unload(pbxsim.Module)
	ReloadQueues() // as after a change of queues.conf
	Commit()       // returns when all acknowledged writes survive a Kill

	Ring(phone string)   // calls one of Options.Phones: its device becomes RINGING
	PickUp(phone string) // answers what rings: INUSE
	HangUp(phone string) // ends its calls: NOT_INUSE

	UserEvent(arguments string) // a channel runs UserEvent(arguments) in the dialplan

	attach(*Observer)
}

// Options say what a test needs of its PBX. The zero value is fine.
type Options struct {
	Users        []pbxsim.User   // nil: pbxsim.DefaultUsers
	ARI          bool            // PBX.ARI answers to the same accounts; of real ones WriteOverARI works
	Phones       []string        // numbers with a device (PJSIP/1001 for 1001) for Ring, PickUp and HangUp; its events pass the bridge's filter
	Queues       []pbxsim.Member // there to begin with, of queues.conf; the accounts bridge and phone may pause them, and their events pass the bridge's filter
	Conf         Conf            // of real ones: more of their files
	WriteTimeout time.Duration   // of all accounts; 0: 5 s, as we advise; Asterisk's default is 100 ms
	Sim          pbxsim.Config   // more about the simulated one; its Users and WriteTimeout do not count
}

// Factory makes PBXs of one kind, each private to its test and gone after it.
type Factory struct {
	Name  string
	start func(testing.TB, Options) PBX
}

// Start returns a running PBX.
func (f Factory) Start(t testing.TB, o Options) PBX {
	t.Helper()
	if o.Users == nil {
		o.Users = pbxsim.DefaultUsers()
	}
	if o.Queues != nil {
		o.Users = withAgents(o.Users)
	}
	if o.WriteTimeout == 0 {
		o.WriteTimeout = 5 * time.Second
	}
	return f.start(t, o)
}

// All returns a factory for every PBX that is there to test against.
func All(t testing.TB) []Factory {
	t.Helper()
	return append([]Factory{{Name: "sim", start: startSimulated}}, Reals(t)...)
}

// Run runs a test against every PBX that is there, each as a subtest.
func Run(t *testing.T, o Options, test func(*testing.T, PBX)) {
	t.Helper()
	for _, f := range All(t) {
		t.Run(f.Name, func(t *testing.T) { test(t, f.Start(t, o)) })
	}
}

// RunTogether is Run for tests that mostly wait: all PBXs at the same time. The test
// shares nothing between its calls.
func RunTogether(t *testing.T, o Options, test func(*testing.T, PBX)) {
	t.Helper()
	for _, f := range All(t) {
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			test(t, f.Start(t, o))
		})
	}
}

// Reals returns a factory for every real Asterisk that the environment lists.
func Reals(t testing.TB) []Factory {
	t.Helper()
	list := os.Getenv(listVariable)
	if list == "" {
		t.Logf("no real Asterisk: %s is not set; `make test` installs and lists some", listVariable)
		return nil
	}
	installs, err := parseList(list)
	if err != nil {
		t.Fatalf("%s: %v", listVariable, err)
	}
	var all []Factory
	for _, in := range installs {
		all = append(all, Factory{Name: in.name, start: func(t testing.TB, o Options) PBX {
			t.Helper()
			return startListed(t, in, o)
		}})
	}
	return all
}

// startListed starts a real one; one that cannot start is a fault only where it is required.
func startListed(t testing.TB, in install, o Options) PBX {
	t.Helper()
	p, err := newReal(t, in, o)
	switch {
	case err == nil:
		return p
	case os.Getenv(requiredVariable) == "1":
		t.Fatalf("asterisk %s does not start: %v", in.name, err)
	default:
		t.Skipf("asterisk %s does not start, and %s=1 is not set: %v", in.name, requiredVariable, err)
	}
	return nil
}

// install is an Asterisk on this machine.
type install struct {
	name   string
	root   string // of a chroot; "": none
	binary string // inside it
}

func parseList(list string) ([]install, error) {
	var all []install
	for item := range strings.SplitSeq(list, ",") {
		name, path, ok := strings.Cut(strings.TrimSpace(item), "=")
		if !ok || name == "" || !filepath.IsAbs(path) {
			return nil, fmt.Errorf("%q is not NAME=/folder of a chroot or path=/file of an asterisk", item)
		}
		in := install{name: name, root: path, binary: "/usr/sbin/asterisk"}
		if name == "path" {
			in = install{name: name, binary: path}
		}
		all = append(all, in)
	}
	return all, nil
}

// Eventually waits until cond holds, and ends the test when it does not within
// the deadline. This is the only place where tests poll.
func Eventually(t testing.TB, deadline time.Duration, what string, cond func() bool) {
	t.Helper()
	if err := poll(deadline, cond); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func poll(deadline time.Duration, cond func() bool) error {
	end := time.Now().Add(deadline)
	for pause := time.Millisecond; !cond(); pause = min(2*pause, 20*time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("not within %s", deadline)
		}
		time.Sleep(pause)
	}
	return nil
}

// LeakOptions tells goleak what the observer's AMI library leaves behind: its
// reader parks for ever when a connection ends, and so does an action that was
// on its way then (amigo v0.1.11, ami.go:413 and 269).
func LeakOptions() []goleak.Option {
	return []goleak.Option{
		goleak.IgnoreAnyFunction("github.com/ivahaev/amigo.(*amiAdapter).reader.func1"),
		goleak.IgnoreAnyFunction("github.com/ivahaev/amigo.(*amiAdapter).reader"),
		goleak.IgnoreAnyFunction("github.com/ivahaev/amigo.(*amiAdapter).writer"),
		goleak.IgnoreAnyFunction("github.com/ivahaev/amigo.(*amiAdapter).exec"),
		goleak.IgnoreAnyFunction("github.com/ivahaev/amigo.newAMIAdapter.func1"),
	}
}

// accounts finds credentials by name, for both kinds of PBX.
type accounts struct {
	t     testing.TB
	users []pbxsim.User
}

// User returns an account.
func (a accounts) User(name string) pbxsim.User {
	a.t.Helper()
	for _, u := range a.users {
		if u.Name == name {
			return u
		}
	}
	a.t.Fatalf("no account %q in the Options of this test", name)
	return pbxsim.User{}
}

// watchers are the observers of a PBX. They leave before it goes and come back
// after, because amigo's own reconnecting has data races (ami.go:82).
type watchers []*Observer

func (w *watchers) attach(o *Observer) { *w = append(*w, o) }

func (w watchers) leave() {
	for _, o := range w {
		o.disconnect()
	}
}

func (w watchers) comeBack() {
	for _, o := range w {
		o.connect()
	}
}
