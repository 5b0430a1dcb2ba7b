package main

import (
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/api"
	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store/servertest"
)

// over reads JSON from the API of a bridge over the network.
func (n *network) over(token, path string, into any) {
	n.t.Helper()
	code, text := n.ask(token, "GET", path, nil)
	if code != http.StatusOK {
		n.t.Fatalf("GET %s: %d %s", path, code, text)
	}
	if err := json.Unmarshal([]byte(text), into); err != nil {
		n.t.Fatalf("GET %s: %v", path, err)
	}
}

func TestAStandbyServesReads(t *testing.T) {
	onEachServer(t, func(t *testing.T, driver string, server *servertest.Server) {
		pbx := pbxtest.NewSimulated(t, pbxtest.Options{})
		at := server.NewDatabase()
		first, second := configureNetwork(t, threeMethods, pbx), configureNetwork(t, threeMethods, pbx)
		first.storeIn(driver, at)
		second.storeIn(driver, at)
		first.startReady()
		token, leaked := first.token("wallboard"), first.token("leaked")
		second.start()
		second.standsBy()

		first.set("alice", "meeting", "Room 5")
		was := first.settled("alice")
		var u bridge.User
		pbxtest.Eventually(t, patience, "the standby signs in", func() bool {
			code, _ := second.ask(token, "GET", "/api/v1/users/alice", nil)
			return code == http.StatusOK
		})
		second.over(token, "/api/v1/users/alice", &u)
		if !u.Saved || u.Version != was.Version || u.Status == nil || u.Status.Type != "meeting" || u.Status.Message != "Room 5" ||
			!u.Status.Since.Equal(was.Status.Since) || u.Status.By != was.Status.By || len(u.Extensions) != len(was.Extensions) {
			t.Errorf("the standby says %+v, the other %+v", u, was)
		}
		for i, x := range u.Extensions {
			if x.Reachable || x.Presence == nil || *x.Presence != *was.Extensions[i].Presence {
				t.Errorf("extension %+v, the other says %+v", x, was.Extensions[i])
			}
		}
		p := phone{t, pbxtest.Observe(t, pbx)}
		p.set("1001", "away", "lunch", "of the phone")
		first.showsMessage("alice", "lunch", "of the phone")
		pbxtest.Eventually(t, patience, "the standby follows", func() bool {
			second.over(token, "/api/v1/users/alice", &u)
			return u.Status.Type == "lunch" && u.Status.Message == "of the phone"
		})
		var mine, other presence.Explanation
		first.get("/api/v1/users/alice/explain", &other)
		second.over(token, "/api/v1/users/alice/explain", &mine)
		if mine.Rule != other.Rule || mine.Status == nil || mine.Status.Type.ID != "lunch" || mine.Status.Since != other.Status.Since {
			t.Errorf("the standby explains %+v, the other %+v", mine, other)
		}
		for i, x := range mine.Extensions {
			if y := other.Extensions[i]; x.Won != y.Won || x.Rule != y.Rule || x.Since != y.Since {
				t.Errorf("the standby explains %+v, the other %+v", x, y)
			}
		}
		for path, word := range map[string]string{
			"/api/v1/users": "lunch", "/api/v1/users?status=lunch": "alice", "/api/v1/statuses": "lunch", "/api/v1/pbxs": "holds the store", "/api/v1/history": "Room 5", "/api/v1/openapi.json": "3.1.0",
		} {
			if code, text := second.ask(token, "GET", path, nil); code != http.StatusOK || !strings.Contains(text, word) {
				t.Errorf("GET %s of a standby: %d %s", path, code, text)
			}
		}
		if out, code := second.run("status"); code != exitDone || !strings.Contains(out, "of the phone") || !strings.Contains(out, "standby: ") {
			t.Errorf("status of a standby: exit code %d, %s", code, out)
		}
		if out, code := second.run("set", "alice", "available"); code == exitDone || !strings.Contains(out, "holds the store; ask that one") {
			t.Errorf("set on a standby: exit code %d, %s", code, out)
		}

		if out, code := first.run("token", "revoke", "leaked"); code != exitDone {
			t.Fatal(out)
		}
		pbxtest.Eventually(t, 5*time.Second+patience/10, "the revocation counts", func() bool {
			code, _ := second.ask(leaked, "GET", "/api/v1/users", nil)
			return code == http.StatusUnauthorized
		})
		answer, err := http.Get("http://" + second.metrics + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if mark := answer.Header.Get(api.StandbyHeader); !strings.HasPrefix(mark, "standby: ") {
			t.Errorf("metrics of a standby are marked %q", mark)
		}

		first.stop()
		second.ready()
		second.showsMessage("alice", "lunch", "of the phone")
		if code, text := second.ask(token, "GET", "/api/v1/users/alice", nil); code != http.StatusOK || !strings.Contains(text, `"reachable":true`) {
			t.Errorf("after the takeover: %d %s", code, text)
		}
		second.set("alice", "meeting", "of the second")
		second.settled("alice")
	})
}

func TestAStandbyThatCannotListenSaysSoAtItsStart(t *testing.T) {
	server := servertest.Postgres(t)
	pbx := pbxtest.NewSimulated(t, pbxtest.Options{})
	at := server.NewDatabase()
	first := configure(t, threeMethods, pbx)
	first.storeIn("postgres", at)
	first.startReady()
	for setting, address := range map[string]func(*network) string{
		"http.listen":  func(n *network) string { return n.address },
		"http.metrics": func(n *network) string { return n.metrics },
	} {
		second := configureNetwork(t, threeMethods, pbx)
		second.storeIn("postgres", at)
		taken, err := net.Listen("tcp", address(second))
		if err != nil {
			t.Fatal(err)
		}
		out, code := second.run("run")
		if code != exitFailed || !strings.Contains(out, setting+": ") || !strings.Contains(out, "end the program that has the address") {
			t.Errorf("%s: exit code %d, %s", setting, code, out)
		}
		if err := taken.Close(); err != nil {
			t.Error(err)
		}
	}
	if code := first.status("/readyz"); code != http.StatusOK {
		t.Errorf("the first one is not ready any more: %d", code)
	}
}

// The users of a standby are those of the store, also when they change.
func TestAStandbyFollowsUsersInTheStore(t *testing.T) {
	server := servertest.MariaDB(t)
	pbx := pbxtest.NewSimulated(t, pbxtest.Options{})
	at := server.NewDatabase()
	first, second := configure(t, storedMapping, pbx), configure(t, storedMapping, pbx)
	first.storeIn("mysql", at)
	second.storeIn("mysql", at)
	first.startReady()
	first.must("user", "add", "alice", "--extension", "1001")
	second.start()
	second.standsBy()
	pbxtest.Eventually(t, patience, "the standby knows alice", func() bool { return second.status("/api/v1/users/alice") == http.StatusOK })
	first.must("user", "add", "bob", "--extension", "1002")
	pbxtest.Eventually(t, patience, "the standby knows bob", func() bool { return second.status("/api/v1/users/bob") == http.StatusOK })
	first.must("user", "remove", "alice")
	pbxtest.Eventually(t, patience, "the standby forgets alice", func() bool { return second.status("/api/v1/users/alice") == http.StatusNotFound })
}
