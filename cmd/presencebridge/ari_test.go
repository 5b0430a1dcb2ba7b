package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/pbxsim"
	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// pbx tells of the first PBX.
func (r *running) pbx() connector.Health {
	r.t.Helper()
	var pbxs page[connector.Health]
	r.get("/api/v1/pbxs", &pbxs)
	return pbxs.Items[0]
}

// over waits until presence is followed over a transport, and the bridge is ready.
func (r *running) over(transport string) connector.Health {
	r.t.Helper()
	var h connector.Health
	pbxtest.Eventually(r.t, patience, "presence is followed over "+transport, func() bool { h = r.pbx(); return h.Transport == transport })
	if code := r.status("/readyz"); code != http.StatusOK {
		r.t.Errorf("over %s /readyz says %d", transport, code)
	}
	return h
}

// behindProxy makes the bridge reach AMI through a proxy that can be cut.
func (r *running) behindProxy(pbx pbxtest.PBX) *proxy {
	r.t.Helper()
	p := newProxy(r.t, pbx.Addr())
	path := filepath.Join(r.dir, "presencebridge.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		r.t.Fatal(err)
	}
	r.write("presencebridge.yaml", strings.ReplaceAll(string(text), pbx.Addr(), p.addr()))
	return p
}

// TestAMIIsLostInTheMiddleAndARIGoesOn loses AMI twice, with changes from both sides in each part.
func TestAMIIsLostInTheMiddleAndARIGoesOn(t *testing.T) {
	pbxtest.RunTogether(t, pbxtest.Options{ARI: true}, func(t *testing.T, pbx pbxtest.PBX) {
		r, p := configureOver(t, "both", threeMethods, pbx), phone{t, pbxtest.Observe(t, pbx)}
		way := r.behindProxy(pbx)
		r.startReady()
		r.over("ami")
		lunch := "Back at 2"
		p.set("1001", "away", "lunch", lunch)
		was := r.showsMessage("alice", "lunch", lunch)
		r.set("bob", "meeting", "room 5")
		r.settled("bob")
		writes := p.writes("1001", "1002", "1003", "1004")

		for i := range 2 {
			way.close()
			h := r.over("ari")
			if !strings.Contains(h.Reason, "AMI is down, presence is followed over ARI") {
				t.Errorf("the reason is %q", h.Reason)
			}
			if u := r.showsMessage("alice", "lunch", lunch); !u.Status.Since.Equal(was.Status.Since) {
				t.Errorf("alice is at lunch since %v, want %v", u.Status.Since, was.Status.Since)
			}
			if n := p.writes("1001", "1002", "1003", "1004") - writes; n != 0 {
				t.Errorf("%d writes because the transport changed", n)
			}
			p.set("1002", "available", "", fmt.Sprint("over ARI ", i))
			r.showsMessage("alice", "available", fmt.Sprint("over ARI ", i))
			r.set("bob", "dnd", "over ARI")
			p.sees("1003", "dnd", "", "over ARI")
			p.sees("1004", "dnd", "", "over ARI")
			r.settled("bob")

			way.open()
			if h := r.over("ami"); h.Reason != "" {
				t.Errorf("the reason is %q", h.Reason)
			}
			lunch += ", or later" // the same again would be no change
			p.set("1001", "away", "lunch", lunch)
			was = r.showsMessage("alice", "lunch", lunch)
			r.set("bob", "meeting", "room 5")
			p.sees("1003", "xa", "meeting", "room 5")
			p.sees("1004", "xa", "meeting", "room 5")
			r.settled("bob")
			writes = p.writes("1001", "1002", "1003", "1004")
		}
		out, code := r.run("history", "alice", "--json")
		if n := strings.Count(out, `"available"`); code != 0 || n != 2 {
			t.Errorf("alice was available %d times, want 2:\n%s", n, out)
		}
		if n := strings.Count(r.log.String(), "PBX has restarted"); n != 0 {
			t.Errorf("a change of the transport was taken for a restart")
		}
	})
}

// TestAModuleOfAMIIsUnloadedAndARIGoesOn: AMI takes logins, and no event comes.
func TestAModuleOfAMIIsUnloadedAndARIGoesOn(t *testing.T) {
	pbxtest.RunTogether(t, pbxtest.Options{ARI: true}, func(t *testing.T, pbx pbxtest.PBX) {
		r, p := configureOver(t, "both", threeMethods, pbx), phone{t, pbxtest.Observe(t, pbx)}
		r.startReady()
		r.over("ami")
		p.set("1001", "away", "", "")
		r.shows("alice", "away")
		pbx.Unload(pbxsim.PresenceManager)
		h := r.over("ari") // the canary is missed
		if !strings.Contains(h.Reason, "AMI is down") {
			t.Errorf("the reason is %q", h.Reason)
		}
		p.set("1001", "dnd", "", "")
		r.shows("alice", "dnd")
		r.set("alice", "meeting", "")
		p.sees("1001", "xa", "meeting", "")
		p.sees("1002", "xa", "meeting", "")
		pbx.Load(pbxsim.PresenceManager)
		r.over("ami")
		r.shows("alice", "meeting")
		r.settled("alice")
	})
}

// A choice that is made in the gap between both is written by whoever comes next.
func TestAChoiceBetweenBothTransportsIsKept(t *testing.T) {
	pbxtest.RunTogether(t, pbxtest.Options{ARI: true}, func(t *testing.T, pbx pbxtest.PBX) {
		r, p := configureOver(t, "both", threeMethods, pbx), phone{t, pbxtest.Observe(t, pbx)}
		way := r.behindProxy(pbx)
		r.startReady()
		for i := range 5 {
			text := fmt.Sprint("choice ", i)
			way.close()
			r.set("alice", "lunch", text)
			p.sees("1001", "away", "lunch", text)
			p.sees("1002", "away", "lunch", text)
			way.open()
			text += " on the way back"
			r.set("alice", "meeting", text)
			p.sees("1001", "xa", "meeting", text)
			r.over("ami")
			r.settled("alice")
			r.showsMessage("alice", "meeting", text)
			p.sees("1002", "xa", "meeting", text)
		}
	})
}

func TestAWrongSecretOfAMILeavesPresenceToARI(t *testing.T) {
	pbxtest.RunTogether(t, pbxtest.Options{ARI: true}, func(t *testing.T, pbx pbxtest.PBX) {
		r, p := configureOver(t, "both", threeMethods, pbx), phone{t, pbxtest.Observe(t, pbx)}
		r.write("wrong", "not the secret")
		text, err := os.ReadFile(filepath.Join(r.dir, "presencebridge.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		r.write("presencebridge.yaml", strings.Replace(string(text), "secret_file: secret-main", "secret_file: wrong", 1))
		r.startReady()
		pbxtest.Eventually(t, patience, "both are told", func() bool {
			h := r.pbx()
			return h.Transport == "ari" && strings.Contains(h.Reason, "manager.conf")
		})
		p.set("1001", "dnd", "", "")
		r.shows("alice", "dnd")
	})
}

// TestTwoBridgesWithOneApplicationDoNotFight has each take it over at most once.
func TestTwoBridgesWithOneApplicationDoNotFight(t *testing.T) {
	pbxtest.RunTogether(t, pbxtest.Options{ARI: true}, func(t *testing.T, pbx pbxtest.PBX) {
		a, b := configureOver(t, "both", threeMethods, pbx), configureOver(t, "both", threeMethods, pbx)
		a.startReady()
		b.startReady()
		pbxtest.Eventually(t, patience, "one of them tells", func() bool {
			return strings.Contains(a.pbx().Reason+b.pbx().Reason, "another name (ari.app)")
		})
		a.over("ami")
		b.over("ami")
	})
}

func TestChangesReachAnApplicationAndItsEventsAreHints(t *testing.T) {
	pbxtest.RunTogether(t, pbxtest.Options{ARI: true}, func(t *testing.T, pbx pbxtest.PBX) {
		r, p := configureOver(t, "ari", threeMethods, pbx), phone{t, pbxtest.Observe(t, pbx)}
		text, err := os.ReadFile(filepath.Join(r.dir, "presencebridge.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		r.write("presencebridge.yaml", strings.Replace(string(text), "password_file:", "publish: panel, password_file:", 1))
		panel := listen(t, pbx, "panel")
		r.startReady()
		p.set("1001", "away", "lunch", "one, two")
		got := panel.next()
		want := map[string]any{"Presentity": "CustomPresence:1001", "Status": "away", "Subtype": "lunch", "Message": "one, two", "eventname": "PresenceStateChange"}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("published %v, want %v", got, want)
		}
		r.shows("alice", "lunch")
		r.set("alice", "dnd", "")
		panel.next()
		panel.next()
		p.set("1003", "dnd", "", "")
		panel.hint(`presencebridge`, at("1003"))
		r.shows("bob", "dnd")
	})
}

// TestACallShowsOverARI is the essence of TestACallShowsOverTheStatusOfWhoHasIt.
func TestACallShowsOverARI(t *testing.T) {
	pbxtest.RunTogether(t, pbxtest.Options{ARI: true, Phones: []string{"1001", "1002", "1003"}}, func(t *testing.T, pbx pbxtest.PBX) {
		r, p := configureOver(t, "ari", withCalls, pbx), phone{t, pbxtest.Observe(t, pbx)}
		r.startReady()
		r.does("alice", presence.PhoneIdle)
		p.set("1001", "available", "", "at my desk")
		r.shows("alice", "available")
		pbx.Ring("1002")
		r.shows("alice", "ringing")
		pbx.PickUp("1002")
		if u := r.shows("alice", "on_call"); u.Phone != presence.PhoneInCall || u.Status.By != "extension main/1002" {
			t.Errorf("in a call %+v, phone %s", u.Status, u.Phone)
		}
		r.kill()
		r.startReady() // in the middle of the call
		r.shows("alice", "on_call")
		pbx.HangUp("1002")
		r.shows("alice", "available")
		r.does("alice", presence.PhoneIdle)
	})
}

// A call that began over AMI goes on over ARI.
func TestACallOutlivesTheTransport(t *testing.T) {
	pbxtest.RunTogether(t, pbxtest.Options{ARI: true, Phones: []string{"1001", "1002", "1003"}}, func(t *testing.T, pbx pbxtest.PBX) {
		r := configureOver(t, "both", withCalls, pbx)
		way := r.behindProxy(pbx)
		r.startReady()
		r.set("alice", "available", "")
		pbx.Ring("1001")
		pbx.PickUp("1001")
		r.shows("alice", "on_call")
		way.close()
		r.over("ari")
		r.shows("alice", "on_call")
		pbx.HangUp("1001")
		r.shows("alice", "available")
		pbx.Ring("1002")
		r.shows("alice", "ringing")
		way.open()
		r.over("ami")
		pbx.PickUp("1002")
		r.shows("alice", "on_call")
		pbx.HangUp("1002")
		r.shows("alice", "available")
	})
}
