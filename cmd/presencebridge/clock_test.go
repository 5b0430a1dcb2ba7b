package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
	"github.com/presencebridge/presencebridge/pkg/store"
)

// clockIs makes the wall clock of r differ from the machine's, and lets the owner loop
// look at it: somebody else's status is chosen.
func (r *running) clockIs(ahead time.Duration) {
	r.t.Helper()
	if err := r.setClock(ahead); errors.Is(err, errNoSteps) {
		r.t.Skip(err)
	} else if err != nil {
		r.t.Fatal(err)
	}
	r.set("dave", "available", "")
}

// lunchUntil chooses lunch for alice with a return time.
func (r *running) lunchUntil(until time.Time) {
	r.t.Helper()
	if code, text := r.put("/api/v1/users/alice/status", map[string]any{"type": "lunch", "message": "soup", "until": until}); code != http.StatusOK {
		r.t.Fatalf("lunch until %s: %d: %s", until, code, text)
	}
	r.settled("alice")
}

func TestReturnTimesGoByTheWallClockThatIsInForce(t *testing.T) {
	r, pbx := simulated(t)
	p := phone{t, pbxtest.Observe(t, pbx)}
	p.set("1001", "away", "", "first")
	r.showsMessage("alice", "away", "first")
	begun := time.Now()
	r.lunchUntil(begun.Add(30 * time.Minute))
	for _, ahead := range []time.Duration{20 * time.Minute, -time.Hour, 25 * time.Minute} {
		if r.clockIs(ahead); r.user("alice").Status.Type != "lunch" {
			t.Fatalf("lunch has ended %s after it began", ahead)
		}
	}
	r.clockIs(31 * time.Minute)
	if u := r.showsMessage("alice", "away", "first"); u.Status.By != "expiry" {
		t.Errorf("lunch ended as %+v", u.Status)
	}
	p.sees("1001", "away", "", "first")
	if !strings.Contains(r.log.String(), "the wall clock was set") {
		t.Error("the log does not say that the wall clock was set")
	}
	r.clockIs(0)
	if u := r.settled("alice"); u.Status.Type != "away" {
		t.Errorf("it is half past again, and alice is %+v", u.Status)
	}

	// The bridge's own clock goes on from half past; what is chosen now ends by the wall.
	r.lunchUntil(time.Now().Add(10 * time.Minute))
	p.set("1003", "dnd", "", "") // time passes
	r.shows("bob", "dnd")
	if u := r.user("alice"); u.Status.Type != "lunch" {
		t.Errorf("a break of ten minutes is over at once: %+v", u.Status)
	}
	r.clockIs(11 * time.Minute)
	r.showsMessage("alice", "away", "first")
	r.stop()
}

func TestNothingIsLostWhenTheWallClockStepsBack(t *testing.T) {
	r := configure(t, threeMethods, pbxtest.NewSimulated(t, pbxtest.Options{}))
	panel := r.withSignIn()
	r.secrets = append(r.secrets, goodPassword)
	r.startReady()
	link := r.invites("admin", "invite", "--role", "administrator", "--user", "alice", "root")
	browser := newBrowser(t)
	send(t, browser, "POST", link, url.Values{"password": {goodPassword}, "again": {goodPassword}})
	token := strings.TrimSpace(strings.Split(r.must("token", "new", "door", "--expires", "1d"), "\n")[0])
	r.secrets = append(r.secrets, token)
	feed := r.feed()
	var want []string
	for _, ahead := range []time.Duration{0, time.Hour, 0, -time.Hour, 10 * time.Minute} {
		r.clockIs(ahead)
		if code := r.status("/readyz"); code != http.StatusOK {
			t.Errorf("%s: /readyz is %d", ahead, code)
		}
		if got := send(t, browser, "GET", panel+"/api/v1/me", nil); !strings.Contains(got, `"by":"panel root"`) {
			t.Errorf("%s: the session is %s", ahead, got)
		}
		another := newBrowser(t)
		send(t, another, "POST", panel+"/sign-in", url.Values{"name": {"root"}, "password": {goodPassword}})
		if got := send(t, another, "GET", panel+"/api/v1/me", nil); !strings.Contains(got, `"by":"panel root"`) {
			t.Errorf("%s: a new session is %s", ahead, got)
		}
		if code := bearer(t, panel, token); code != http.StatusOK {
			t.Errorf("%s: the token is answered with %d", ahead, code)
		}
		for _, message := range []string{"first", "second"} {
			message += " at " + strconv.Itoa(len(want))
			r.set("alice", "meeting", message)
			r.sees(feed, "user", `{"id":"alice"`)
			want = append(want, message)
		}
		r.says(0, "explain alice", "set by api local", "(now)") // by the clock of the command, also where since is to come
	}
	slices.Reverse(want)
	if got := r.told("alice"); !slices.Equal(got, want) {
		t.Errorf("the history, newest first, is %q, want %q", got, want)
	}
	r.stop()
}

// bearer asks with a token.
func bearer(t *testing.T, at, token string) int {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, at+"/api/v1/users", nil)
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Authorization", "Bearer "+token)
	answer, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}

// It dies while its clock is an hour ahead, and the next one begins an hour earlier.
func TestABridgeThatBeginsBeforeItsStoreGoesOnBehindIt(t *testing.T) {
	r, pbx := simulated(t)
	p := phone{t, pbxtest.Observe(t, pbx)}
	p.set("1001", "away", "", "in order")
	r.showsMessage("alice", "away", "in order")
	r.clockIs(time.Hour)
	r.lunchUntil(time.Now().Add(2 * time.Hour))
	p.set("1001", "dnd", "", "an hour ahead")
	ahead := r.showsMessage("alice", "dnd", "an hour ahead")
	r.put("/api/v1/users/bob/status", map[string]any{"type": "training", "message": "short", "until": time.Now().Add(time.Hour + 2*time.Second)})
	r.showsMessage("bob", "-", "*")
	for _, id := range []string{"alice", "bob"} { // what was decided is saved
		r.settled(id)
	}
	r.kill()

	r.startReady()
	if u := r.showsMessage("alice", "dnd", "an hour ahead"); u.Version <= ahead.Version {
		t.Errorf("version %d after %d", u.Version, ahead.Version)
	}
	p.set("1002", "available", "", "the later one") // the other extension, which must win by latest
	later := r.showsMessage("alice", "available", "the later one")
	if !later.Status.Since.After(ahead.Status.Since) {
		t.Errorf("since %s, after %s", later.Status.Since, ahead.Status.Since)
	}
	r.set("bob", "meeting", "the later one")
	r.settled("alice")
	r.kill()
	r.startReady()
	r.showsMessage("alice", "available", "the later one")

	for id, want := range map[string][]string{"alice": {"the later one", "an hour ahead", "soup", "in order"}, "bob": {"the later one", "", "short"}} {
		var page struct{ Items []store.Entry }
		r.get("/api/v1/users/"+id+"/history", &page)
		var got []string
		for _, e := range page.Items {
			got = append(got, e.Message)
		}
		if !slices.Equal(got, want) {
			text, _ := json.MarshalIndent(page.Items, "", " ")
			t.Errorf("the history of %s, newest first, is %q, want %q\n%s", id, got, want, text)
		}
	}
	r.clockIs(-time.Hour)
	if u := r.user("alice"); u.Status.Message != "the later one" {
		t.Errorf("alice is %+v", u.Status)
	}
	r.stop()
}
