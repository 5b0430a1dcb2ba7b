package pbxtest

import (
	"net/http"
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
