package pbxtest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/pbxsim"
)

func TestWriteOverARI(t *testing.T) {
	for _, f := range Reals(t) {
		t.Run(f.Name, func(t *testing.T) {
			pbx := started(t, f, Options{ARI: true})
			phone := Observe(t, pbx)
			const presentity = "CustomPresence:a b"
			if err := pbx.WriteOverARI(t.Context(), presentity, "dnd,s,m"); err != nil {
				t.Fatal(err)
			}
			want := pbxsim.Change{Presentity: presentity, State: "dnd", Subtype: "s", Message: "m"}
			Eventually(t, time.Minute, "the event of it", func() bool { return len(phone.Seen()) == 1 && phone.Seen()[0] == want })
			if err := pbx.WriteOverARI(t.Context(), presentity, ""); err == nil {
				t.Error("what crashes Asterisk was sent")
			}
			pbx.Stop()
			if err := pbx.WriteOverARI(t.Context(), presentity, "away"); err == nil {
				t.Error("a write to a PBX that is gone succeeded")
			}
		})
		t.Run(f.Name+" without ARI", func(t *testing.T) {
			if err := started(t, f, Options{}).WriteOverARI(t.Context(), "CustomPresence:1", "away"); err == nil {
				t.Error("a write succeeded")
			}
		})
	}
}

func started(t *testing.T, f Factory, o Options) *Real {
	t.Helper()
	pbx, ok := f.Start(t, o).(*Real)
	if !ok {
		t.Fatal("the factory of a real Asterisk made something else")
	}
	return pbx
}

func TestARIAnswersToEveryAccount(t *testing.T) {
	Run(t, Options{ARI: true}, func(t *testing.T, p PBX) {
		for _, name := range []string{"bridge", "reader"} {
			u := p.User(name)
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.ARI()+"/asterisk/info", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.SetBasicAuth(u.Name, u.Secret)
			r.Close = true
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Errorf("%s: %s", name, resp.Status)
			}
		}
	})
}

// judged is a test whose failures are what is tested.
type judged struct {
	testing.TB
	atEnd  []func()
	faults []string
}

func (j *judged) Cleanup(f func()) { j.atEnd = append(j.atEnd, f) }
func (j *judged) Errorf(format string, a ...any) {
	j.faults = append(j.faults, fmt.Sprintf(format, a...))
}

func (j *judged) end() {
	for _, f := range slices.Backward(j.atEnd) {
		f()
	}
}

func TestWhoUsesTheIDOfAChannelAgainFails(t *testing.T) {
	for _, tc := range []struct {
		name   string
		second string
		faults int
	}{
		{"an id of its own", "b", 0},
		{"the same id", "a", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			j := &judged{TB: t}
			pbx := NewSimulated(j, Options{ARI: true})
			for _, id := range []string{"a", tc.second} { // in no application, so that it is gone at once
				u := pbx.User("bridge")
				r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, pbx.ARI()+"/channels/create?endpoint=Local/s@default&app=none&channelId="+id, nil)
				if err != nil {
					t.Fatal(err)
				}
				r.SetBasicAuth(u.Name, u.Secret)
				r.Close = true
				if resp, err := http.DefaultClient.Do(r); err == nil { // which the one that crashes does not give
					_ = resp.Body.Close()
				}
			}
			j.end()
			if len(j.faults) != tc.faults || tc.faults == 1 && !strings.Contains(j.faults[0], `["a"]`) {
				t.Errorf("the test was told %q", j.faults)
			}
		})
	}
}
