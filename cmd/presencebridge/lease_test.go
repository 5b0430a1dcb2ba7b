package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
	"github.com/presencebridge/presencebridge/pkg/store"
	"github.com/presencebridge/presencebridge/pkg/store/servertest"
)

// leaseTerm is that of the bridge.
const leaseTerm = 8 * time.Second

// storeIn makes r keep its store in a database.
func (r *running) storeIn(driver string, at store.Server) {
	r.t.Helper()
	file := filepath.Join(r.dir, "presencebridge.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		r.t.Fatal(err)
	}
	r.write("db-password", at.Secret()+"\n")
	r.secrets = append(r.secrets, at.Secret())
	r.write("presencebridge.yaml", string(text)+
		fmt.Sprintf("store: {driver: %s, dsn: \"%s://%s@%s/%s\", password_file: db-password}\n", driver, driver, at.User, at.Address, at.Database))
}

// standsBy waits until r says that it waits for the holder of the store.
func (r *running) standsBy() {
	r.t.Helper()
	var answer struct {
		Ready   bool     `json:"ready"`
		Reasons []string `json:"reasons"`
	}
	pbxtest.Eventually(r.t, patience, "the bridge stands by", func() bool {
		if r.status("/readyz") != http.StatusServiceUnavailable {
			return false
		}
		r.get("/readyz", &answer)
		return strings.HasPrefix(strings.Join(answer.Reasons, ""), "standby: ")
	})
	host, err := os.Hostname()
	if want := "standby: " + host + " holds the store"; err != nil || answer.Ready || answer.Reasons[0] != want {
		r.t.Errorf("readiness %+v, %v; want %q", answer, err, want)
	}
}

// signal sends r a signal.
func (r *running) signal(s os.Signal) {
	r.t.Helper()
	if err := r.cmd.Process.Signal(s); err != nil {
		r.t.Fatal(err)
	}
}

// onEachServer runs a test once with each kind of database server.
func onEachServer(t *testing.T, test func(t *testing.T, driver string, server *servertest.Server)) {
	t.Helper()
	t.Run("postgres", func(t *testing.T) {
		t.Parallel() // they wait for the lease, mostly
		test(t, "postgres", servertest.Postgres(t))
	})
	t.Run("mariadb", func(t *testing.T) {
		t.Parallel()
		test(t, "mysql", servertest.MariaDB(t))
	})
}

// The first bridge is stopped with a wish that it has not written, wakes two terms
// later, and must not write it over what the phone did meanwhile.
func TestAPausedBridgeActsNoMoreWhenAnotherHasTakenOver(t *testing.T) {
	onEachServer(t, func(t *testing.T, driver string, server *servertest.Server) {
		pbx := pbxtest.NewSimulated(t, pbxtest.Options{})
		at := server.NewDatabase()
		first, second := configure(t, threeMethods, pbx), configure(t, threeMethods, pbx)
		first.storeIn(driver, at)
		second.storeIn(driver, at)
		first.startReady()
		second.start()
		second.standsBy()
		first.set("alice", "meeting", "")
		first.settled("alice")

		pbx.Stop()
		pbxtest.Eventually(t, patience, "the first bridge misses the PBX", func() bool { return first.status("/readyz") != http.StatusOK })
		first.set("alice", "lunch", "of the first")
		first.signal(syscall.SIGSTOP)
		paused := time.Now()
		pbx.Start()
		second.ready()
		t.Logf("taken over after %v", time.Since(paused))
		p := phone{t, pbxtest.Observe(t, pbx)}
		p.sees("1001", "away", "lunch", "of the first") // accepted is accepted
		second.settled("alice")
		p.set("1001", "xa", "meeting", "of the phone")
		second.showsMessage("alice", "meeting", "of the phone")
		time.Sleep(2*leaseTerm - time.Since(paused))
		before := p.writes("1001", "1002")

		first.signal(syscall.SIGCONT)
		select {
		case err := <-first.gone:
			if err == nil {
				t.Error("the first bridge ended as if all were well")
			}
			first.cmd = nil
		case <-time.After(patience):
			t.Fatal("the first bridge goes on")
		}
		if text := first.log.String(); strings.Count(text, "presencebridge: another presencebridge has taken the store over") != 1 {
			t.Error("the first bridge does not say why it ended")
		}
		if n := p.writes("1001", "1002") - before; n != 0 {
			t.Errorf("%d writes after the first bridge woke", n)
		}
		if u := second.settled("alice"); u.Status.Message != "of the phone" {
			t.Errorf("status %+v", u.Status)
		}

		first.start()
		first.standsBy()
		second.stop()
		first.ready()
		first.showsMessage("alice", "meeting", "of the phone")
	})
}

func TestAStandbyStopsWhenItIsTold(t *testing.T) {
	server := servertest.Postgres(t)
	pbx := pbxtest.NewSimulated(t, pbxtest.Options{})
	at := server.NewDatabase()
	first, second := configure(t, threeMethods, pbx), configure(t, threeMethods, pbx)
	first.storeIn("postgres", at)
	second.storeIn("postgres", at)
	first.startReady()
	second.start()
	second.standsBy()
	if out, code := second.run("set", "alice", "dnd"); code == exitDone || !strings.Contains(out, "holds the store; ask that one") {
		t.Errorf("set on a standby: exit code %d, %s", code, out)
	}
	second.stop()
	first.set("alice", "lunch", "")
}

// While the server is away for longer than the lease, the bridge decides on and
// shows it, writes nothing to the PBX, and saves and writes when it is back.
func TestADatabaseThatRestartsCostsNothing(t *testing.T) {
	onEachServer(t, func(t *testing.T, driver string, server *servertest.Server) {
		pbx := pbxtest.NewSimulated(t, pbxtest.Options{})
		r, p := configure(t, threeMethods, pbx), phone{t, pbxtest.Observe(t, pbx)}
		r.storeIn(driver, server.NewDatabase())
		r.startReady()
		server.Kill()
		killed := time.Now()
		p.set("1001", "away", "lunch", "while it was down")
		r.showsMessage("alice", "lunch", "while it was down")
		pbxtest.Eventually(t, patience, "the bridge says that it may not act", func() bool { return strings.Contains(r.log.String(), "lease of the store not confirmed") })
		time.Sleep(leaseTerm - time.Since(killed))
		if code := r.status("/readyz"); code != http.StatusServiceUnavailable {
			t.Errorf("ready without a store: %d", code)
		}
		server.Start()
		if u := r.settled("alice"); u.Status.Message != "while it was down" {
			t.Errorf("status %+v", u.Status)
		}
		r.ready()
		r.set("alice", "dnd", "afterwards")
		p.sees("1001", "dnd", "", "afterwards")
		r.kill()
		r.startReady()
		r.showsMessage("alice", "dnd", "afterwards")
	})
}
