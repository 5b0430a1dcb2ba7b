package main

import (
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

// counted reads a counter without labels from /metrics.
func (r *running) counted(name string) int {
	r.t.Helper()
	resp, err := r.client.Get("http://bridge/metrics")
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^` + name + ` (\d+)$`).FindSubmatch(text)
	if found == nil {
		r.t.Fatalf("/metrics lacks %s:\n%s", name, text)
	}
	n, _ := strconv.Atoi(string(found[1]))
	return n
}

func TestAPhoneThatChangesFasterThanAPersonIsSmoothed(t *testing.T) {
	pbxtest.Run(t, pbxtest.Options{}, func(t *testing.T, pbx pbxtest.PBX) {
		r, p := configure(t, threeMethods, pbx), phone{t, pbxtest.Observe(t, pbx)}
		r.startReady()
		const presses = 60
		for i := range presses {
			p.set("1001", []string{"away", "dnd", "available"}[i%3], "", fmt.Sprint("press ", i))
		}
		last := fmt.Sprint("press ", presses-1)
		pbxtest.Eventually(t, patience, "the bridge knows what the phone shows", func() bool {
			shows := r.user("alice").Extensions[0].Presence
			return shows != nil && shows.Message == last
		})
		if r.user("alice").Status.Message != last { // unless that took long
			out, _ := r.run("explain", "alice")
			if r.user("alice").Status.Message != last && !strings.Contains(out, "faster than a person") {
				t.Errorf("explain alice:\n%s", out)
			}
		}
		u := r.set("alice", "meeting", "a person does not wait")
		if u.Status.Type != "meeting" {
			t.Errorf("chosen: %+v", u.Status)
		}
		r.settled("alice")
		p.set("1002", "away", "", last)
		r.showsMessage("alice", "away", last)
		if n := r.counted("presencebridge_changes_held_back_total"); n == 0 || n > presses+1 {
			t.Errorf("%d changes were held back", n)
		}
		out, _ := r.run("history", "alice", "--limit", "100")
		if lines := strings.Count(out, "press "); lines < 5 || lines > presses/2 {
			t.Errorf("%d lines of history for %d presses within moments:\n%s", lines, presses, out)
		}
	})
}
