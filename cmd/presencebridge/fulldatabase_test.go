package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
	"github.com/presencebridge/presencebridge/pkg/store"
	"github.com/presencebridge/presencebridge/pkg/store/servertest"
)

// told returns the messages in the history of a user, the newest first.
func (r *running) told(id string) (messages []string) {
	r.t.Helper()
	next := ""
	for {
		var page struct {
			Items []store.Entry `json:"items"`
			Next  *string       `json:"next"`
		}
		r.get("/api/v1/users/"+id+"/history?limit=5000"+next, &page)
		for _, e := range page.Items {
			messages = append(messages, e.Message)
		}
		if page.Next == nil {
			return messages
		}
		next = "&cursor=" + *page.Next
	}
}

// The disk of the database fills up while statuses are chosen and phones change: what was
// answered with 200 is kept, the rest is refused, and all agree when there is room again.
func TestADatabaseThatFillsUpLosesNothingThatWasAccepted(t *testing.T) {
	onEachServer(t, func(t *testing.T, driver string, server *servertest.Server) {
		pbx := pbxtest.NewSimulated(t, pbxtest.Options{})
		disk := server.NewDisk("256m")
		r, p := configure(t, threeMethods, pbx), phone{t, pbxtest.Observe(t, pbx)}
		r.storeIn(driver, server.NewDatabase())
		r.startReady()
		var accepted []string
		accept := func(i int) bool {
			message := fmt.Sprint(i, " ", strings.Repeat("x", 200))
			code, _ := r.choose("alice", "lunch", message)
			if code == http.StatusOK {
				accepted = append(accepted, message)
			}
			return code == http.StatusOK
		}
		for i := range 20 {
			accept(i)
		}
		disk.Fill()
		refused := 0
		for i := 20; i < 20_000 && refused < 3; i++ { // until what the server has in reserve is used up
			if !accept(i) {
				refused++
				time.Sleep(50 * time.Millisecond)
			}
		}
		if refused == 0 {
			t.Fatal("the disk does not fill")
		}
		t.Logf("%d choices were accepted, then no more", len(accepted))
		pbxtest.Eventually(t, patience, "the full disk shows", func() bool { return r.status("/readyz") == http.StatusServiceUnavailable })
		pbxtest.Eventually(t, patience, "the full disk shows", func() bool {
			var is struct{ Reasons []string }
			r.get("/readyz", &is)
			return strings.Contains(strings.Join(is.Reasons, "; "), "is full: free some space there")
		})
		r.says(1, "set alice dnd", "store")
		p.set("1003", "dnd", "", "while it is full")
		r.showsMessage("bob", "dnd", "while it is full") // decided and shown all the same
		if code := r.status("/healthz"); code != http.StatusOK {
			t.Errorf("the full disk makes the bridge sick: %d", code)
		}

		disk.Empty()
		r.ready()
		r.settled("alice")
		r.settled("bob")
		r.set("alice", "meeting", "afterwards")
		r.settled("alice")
		r.kill()
		r.startReady()
		r.showsMessage("alice", "meeting", "afterwards")
		r.showsMessage("bob", "dnd", "while it is full")
		kept := map[string]bool{}
		for _, message := range r.told("alice") {
			kept[message] = true
		}
		for _, message := range accepted {
			if !kept[message] {
				t.Errorf("%.10q was accepted and is not in the history", message)
			}
		}
	})
}

// Each answer of the database takes a quarter of a second, so that a commit takes more than
// one: choices wait for it, phones do not, and nobody takes the bridge for dead.
func TestASlowDatabaseSlowsChoicesAlone(t *testing.T) {
	onEachServer(t, func(t *testing.T, driver string, server *servertest.Server) {
		pbx := pbxtest.NewSimulated(t, pbxtest.Options{})
		at := server.NewDatabase()
		network := servertest.NewProxy(t, at.Address)
		at.Address = network.Address()
		r, p := configure(t, threeMethods, pbx), phone{t, pbxtest.Observe(t, pbx)}
		r.storeIn(driver, at)
		r.startReady()
		network.Slow(250 * time.Millisecond)
		for i := range 5 {
			message := fmt.Sprint("slow ", i)
			p.set("1003", "away", "", message)
			if code, _ := r.choose("alice", "lunch", message); code != http.StatusOK {
				t.Errorf("choice %d: %d", i, code)
			}
			r.showsMessage("bob", "away", message)
			if code := r.status("/readyz"); code != http.StatusOK {
				t.Errorf("not ready: %d", code)
			}
		}
		p.sees("1001", "away", "lunch", "slow 4")
		network.Slow(0)
		r.settled("alice")
		r.settled("bob")
		r.kill()
		r.startReady()
		r.showsMessage("alice", "lunch", "slow 4")
		r.showsMessage("bob", "away", "slow 4")
		if text := r.log.String(); strings.Contains(text, "lease of the store not confirmed") {
			t.Error("the lease was taken for lost")
		}
	})
}
