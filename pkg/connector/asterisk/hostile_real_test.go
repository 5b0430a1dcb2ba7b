package asterisk_test

import (
	"database/sql"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/connector/asterisk"
	"github.com/presencebridge/presencebridge/pkg/connector/connectortest"
	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// TestForgeriesOverARIHealOnARealAsterisk does what somebody with an ARI account can do.
func TestForgeriesOverARIHealOnARealAsterisk(t *testing.T) {
	for _, f := range pbxtest.Reals(t) {
		t.Run(f.Name, func(t *testing.T) {
			pbx, ok := f.Start(t, pbxtest.Options{ARI: true}).(*pbxtest.Real)
			if !ok {
				t.Fatal("the factory of a real Asterisk made something else")
			}
			phone := pbxtest.Observe(t, pbx)
			if err := phone.Set("CustomPresence:1001", "away", "lunch", ""); err != nil {
				t.Fatal(err)
			}
			honest := map[string]presence.Presence{"1001": {State: presence.Away, Subtype: "lunch"}}
			c, w := connect(t, pbx, eager)
			w.Ready()
			for _, forged := range forgeries {
				before := c.Health().Malformed
				if err := pbx.WriteOverARI(t.Context(), forged.presentity, "chat"); err != nil {
					t.Fatal(err)
				}
				// A write over AMI that is seen has everything before it.
				if err := phone.Set("CustomPresence:1009", "away", "", forged.name); err != nil {
					t.Fatal(err)
				}
				w.Await("the honest change behind it", changedTo("1009", presence.Away))
				if c.Health().Malformed == before {
					c.Resync() // what is honest in form heals with the next snapshot
				}
				healed := w.Await("a snapshot", func(r connector.Report) bool {
					return r.Kind == connector.Snapshot && r.Shows["1009"].Message == forged.name
				})
				delete(healed.Shows, "1009")
				if got := shown(healed); !maps.Equal(got, honest) {
					t.Errorf("after %s the snapshot shows %v", forged.name, got)
				}
			}
			damaged := func(when string) {
				t.Helper()
				r := w.Ready()
				delete(r.Shows, "1009")
				if got := shown(r); !maps.Equal(got, honest) {
					t.Errorf("%s the snapshot shows %v", when, got)
				}
				if h := c.Health(); !h.Ready || !strings.Contains(h.Reason, "line breaks") {
					t.Errorf("%s: %+v", when, h)
				}
			}
			w.Stop()
			c, w = connect(t, pbx, eager)
			damaged("in a new session")
			pbx.Restart()
			damaged("after a restart")

			advice := c.Health().Reason
			pbx.Stop()
			mend(t, pbx.AstDB(), advice)
			pbx.Start()
			r := w.Ready()
			delete(r.Shows, "1009")
			if h := c.Health(); !h.Ready || h.Reason != "" || !maps.Equal(shown(r), honest) {
				t.Errorf("after what the bridge advised: %+v, %v", h, r.Shows)
			}
		})
	}
}

// mend does to an AstDB what advice says.
func mend(t *testing.T, file, advice string) {
	t.Helper()
	_, quoted, ok := strings.Cut(advice, `astdb.sqlite3 "`)
	statement, _, closed := strings.Cut(quoted, `" in its astdbdir`)
	if !ok || !closed {
		t.Fatalf("no statement in %q", advice)
	}
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }() // the result was checked
	result, err := db.ExecContext(t.Context(), statement)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := result.RowsAffected(); err != nil || n != int64(len(forgeries)) {
		t.Errorf("%d rows were deleted, want %d: %v", n, len(forgeries), err)
	}
}

// TestNoEventComesBetweenTheItemsOfAList holds Asterisk to what the refusal of such
// events rests on, while phones are as busy as can be.
func TestNoEventComesBetweenTheItemsOfAList(t *testing.T) {
	pbxtest.Run(t, pbxtest.Options{}, func(t *testing.T, pbx pbxtest.PBX) {
		c, w := connect(t, pbx, asterisk.Times{Retry: time.Millisecond, CanaryWait: connectortest.Deadline})
		session := w.Ready().Session
		const extensions, lists = 300, 20
		stop, ended := make(chan struct{}), make(chan struct{})
		phone := pbxtest.Observe(t, pbx)
		go func() {
			defer close(ended)
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if err := phone.Set(fmt.Sprint("CustomPresence:", i%extensions), "away", "", fmt.Sprint(i)); err != nil {
					t.Error(err)
					return
				}
			}
		}()
		w.Await("all of them", func(r connector.Report) bool {
			return r.Kind == connector.Changed && r.Extension.Number == fmt.Sprint(extensions-1)
		})
		for range lists {
			c.Resync()
			w.AwaitKind(connector.Snapshot)
		}
		close(stop)
		<-ended
		if h := c.Health(); h.Malformed != 0 || h.Sessions != session || h.Reason != "" {
			t.Errorf("after %d lists amid changes: %+v", lists, h)
		}
	})
}
