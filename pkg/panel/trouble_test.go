package panel

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

func TestAStatusWithBlanksAtItsEndIsTheStatus(t *testing.T) {
	r := newRig(t, "bob available")
	r.exec(`INSERT INTO people (login, state, note) VALUES ('alice', 'available ', '')`)
	r.bridge.set("alice", "lunch", "")
	r.bridge.set("bob", "available", "")
	r.start()
	r.says("alice", "lunch")
	r.wantChoices()
}

func TestARowThatComparesWithNothingHoldsNobodyUp(t *testing.T) {
	r := newRig(t, "alice available", "bob available")
	r.cfg.Flavor.Loose = false
	r.exec(`CREATE TABLE odd (login, state TEXT, note TEXT)`) // numbers that are no texts
	r.exec(`INSERT INTO odd VALUES (1001, 'available', ''), ('bob', 'available', '')`)
	r.cfg.Table.Name = "odd"
	r.bridge.users["1001"] = bridge.User{ID: "1001"}
	r.bridge.set("1001", "lunch", "")
	r.bridge.set("bob", "lunch", "")
	r.start()
	for range 5 {
		r.read()
	}
	var got string
	if err := r.db.QueryRowContext(t.Context(), `SELECT state FROM odd WHERE login = 'bob'`).Scan(&got); err != nil || got != "lunch" {
		t.Errorf("bob says %q, %v", got, err)
	}
}

func TestAValueThatTheDatabaseRefusesHoldsNobodyElseUp(t *testing.T) {
	r := newRig(t, "alice available", "bob available")
	r.exec(`CREATE TRIGGER narrow BEFORE UPDATE ON people WHEN length(NEW.note) > 80 BEGIN SELECT RAISE(ABORT, 'Data too long for column note'); END`)
	r.bridge.set("alice", "available", "")
	r.bridge.set("bob", "available", "")
	r.start()
	r.bridge.set("alice", "meeting", strings.Repeat("x", 81))
	r.bridge.set("bob", "lunch", "")
	r.says("bob", "lunch")
	r.read()
	if n := r.logs.FilterMessageSnippet("does not take a status").Len(); n != 1 {
		t.Errorf("told %d times", n)
	}
	r.bridge.set("alice", "meeting", "short")
	r.says("alice", "meeting short")
}

func TestOneNumberOnTwoPBXsIsOneRow(t *testing.T) {
	r := newRig(t, "1001 available")
	r.cfg.By = Extension
	u := r.bridge.users["alice"]
	u.Extensions = []bridge.UserExtension{{PBX: "main", Extension: "1001"}, {PBX: "branch", Extension: "1001"}}
	r.bridge.users["alice"] = u
	r.bridge.set("alice", "lunch", "")
	r.start()
	r.says("1001", "lunch")
	r.bridge.mu.Lock()
	delete(r.bridge.users, "alice")
	r.bridge.reset = true
	r.bridge.mu.Unlock()
	r.bridge.set("bob", "meeting", "")
	r.read()
	r.read()
}

func TestWhatPhonesShowComesBeforeAPanelThatIsMetForTheFirstTime(t *testing.T) {
	r := newRig(t, "alice available of last year")
	u := r.bridge.users["alice"]
	u.Extensions = []bridge.UserExtension{{PBX: "main", Extension: "1001"}} // its PBX has not told yet
	r.bridge.users["alice"] = u
	r.start()
	r.read()
	r.wantChoices()
	r.bridge.set("alice", "meeting", "Room 5") // now it has
	r.says("alice", "meeting Room 5")
	r.wantChoices()
}

func TestWhoHasNoPBXIsMetAfterAWhile(t *testing.T) {
	r := newRig(t, "alice available")
	u := r.bridge.users["alice"]
	u.Extensions = []bridge.UserExtension{{PBX: "main", Extension: "1001"}}
	r.bridge.users["alice"] = u
	r.cfg.Meet = time.Millisecond
	r.start()
	r.untilChosen(1)
	r.wantChoices(`alice available "" by panel alice`)
}

func TestSeveralRowsOfOneUserAreLeftAlone(t *testing.T) {
	r := newRig(t)
	r.exec(`DROP TABLE people`)
	r.exec(`CREATE TABLE people (login TEXT, state TEXT, note TEXT, changed INTEGER)`)
	r.exec(`INSERT INTO people (login, state) VALUES ('alice', 'available'), ('alice', 'lunch'), ('bob', 'lunch')`)
	r.bridge.set("alice", "available", "")
	r.start()
	for range 10 {
		r.read()
	}
	r.bridge.set("alice", "meeting", "")
	r.read()
	r.wantChoices(`bob lunch "" by panel bob`)
	r.exec(`DELETE FROM people WHERE login = 'alice' AND state = 'lunch'`)
	r.stop()
	r.start()
	r.says("alice", "meeting")
}

func TestExtensionsThatChangeHands(t *testing.T) {
	r := newRig(t, "1001 available", "1002 available")
	r.cfg.By = Extension
	for id, x := range map[presence.UserID]string{"alice": "1001", "bob": "1002"} {
		u := r.bridge.users[id]
		u.Extensions = []bridge.UserExtension{{Extension: x, Reachable: true, Presence: &presence.Presence{}}}
		r.bridge.users[id] = u
	}
	r.bridge.set("alice", "available", "")
	r.bridge.set("bob", "available", "")
	r.start()
	r.bridge.mu.Lock()
	a, b := r.bridge.users["alice"], r.bridge.users["bob"]
	a.Extensions, b.Extensions = b.Extensions, a.Extensions
	r.bridge.users["alice"], r.bridge.users["bob"] = a, b
	r.bridge.reset = true
	r.bridge.mu.Unlock()
	r.bridge.set("alice", "available", "moved")
	r.bridge.set("bob", "available", "moved")
	r.says("1002", "available moved") // the panel knows whose it is now
	r.says("1001", "available moved")
	r.choose("1001", "lunch", "bobs")
	r.untilChosen(1)
	r.choose("1002", "meeting", "alices")
	r.untilChosen(2)
	r.wantChoices(`bob lunch "bobs" by panel bob`, `alice meeting "alices" by panel alice`)
}

func TestWhatNobodyUnderstoodIsAChoiceOnceItIsUnderstood(t *testing.T) {
	r := newRig(t, "alice available")
	r.bridge.set("alice", "available", "")
	r.start()
	r.choose("alice", "training", "")
	r.read()
	r.says("alice", "training")
	r.stop()
	r.start() // a restart changes nothing
	r.read()
	r.says("alice", "training")
	r.wantChoices()
	r.stop()
	r.cfg.Values = map[presence.TypeID]string{"meeting": "training"}
	r.start()
	r.wantChoices(`alice meeting "" by panel alice`)
}

func TestWhatIsRememberedIsOfOneTable(t *testing.T) {
	r := newRig(t, "alice available note of the panel", "bob available")
	r.cfg.Table.Message = ""
	r.bridge.set("alice", "available", "")
	r.bridge.set("bob", "available", "")
	r.start()
	r.stop()
	r.cfg.Table.Message = "note"
	r.start()
	r.says("alice", "available")
	r.stop()
	r.exec(`CREATE TABLE other (login TEXT PRIMARY KEY, state TEXT, note TEXT)`)
	r.exec(`INSERT INTO other VALUES ('alice', 'meeting', 'years old'), ('bob', 'meeting', 'years old')`)
	r.cfg.Table.Name = "other"
	r.start()
	r.read()
	r.wantChoices()
}

func TestWhoMayNotActWritesNothing(t *testing.T) {
	var lost atomic.Bool
	r := newRig(t, "alice available")
	r.cfg.MayAct = func() error {
		if lost.Load() {
			return errors.New("another bridge has the store")
		}
		return nil
	}
	r.bridge.set("alice", "available", "")
	r.start()
	lost.Store(true)
	r.bridge.set("alice", "lunch", "")
	r.read()
	r.says("alice", "available")
	lost.Store(false)
	r.says("alice", "lunch")
}

func TestAClockThatIsAheadHidesNobodysChoice(t *testing.T) {
	r := newRig(t, "alice available", "bob available")
	r.cfg.Table.Changed, r.cfg.Table.Clock = "changed", UnixTime
	r.cfg.Now = func() time.Time { return time.Now().Add(time.Minute) }
	r.bridge.set("alice", "available", "")
	r.bridge.set("bob", "available", "")
	r.start()
	r.exec(`INSERT INTO people (login, state, changed) VALUES ('of 2099', 'x', 4070908800)`)
	r.bridge.set("bob", "lunch", "")
	r.says("bob", "lunch")
	r.read()
	r.exec(`UPDATE people SET state = 'meeting', changed = unixepoch() WHERE login = 'alice'`)
	r.read()
	r.wantChoices(`alice meeting "" by panel alice`)
}

func TestANewUsersRowIsReadSoon(t *testing.T) {
	r := newRig(t, "alice available", "carol available")
	r.bridge.set("alice", "available", "")
	r.start() // Poll is an hour
	r.bridge.mu.Lock()
	r.bridge.users["carol"] = bridge.User{ID: "carol"}
	r.bridge.mu.Unlock()
	r.bridge.set("carol", "lunch", "")
	r.says("carol", "lunch")
}

func TestALongTextIsCutAndHoldsNobodyUp(t *testing.T) {
	r := newRig(t, "alice available", "bob available")
	r.bridge.set("alice", "available", "")
	r.bridge.set("bob", "available", "")
	r.start()
	r.exec(`UPDATE people SET note = ? WHERE login = 'alice'`, strings.Repeat("x", 1_000_000))
	r.read()
	for _, memory := range r.store.rows {
		if len(memory) > 10_000 {
			t.Errorf("%d bytes are remembered", len(memory))
		}
	}
	r.bridge.set("bob", "lunch", "")
	r.says("bob", "lunch")
	if n := len(r.bridge.chosen()); n != 1 {
		t.Errorf("%d choices", n)
	}
}

func TestMailAddressesHaveNoCase(t *testing.T) {
	r := newRig(t, "Alice@Example.com available")
	r.cfg.By = Email
	r.bridge.set("alice", "lunch", "")
	r.start()
	r.says("Alice@Example.com", "lunch")
}

func TestAFirstMeetingThatCouldNotBeKeptGivesWayToAPhone(t *testing.T) {
	r := newRig(t, "alice available")
	r.bridge.err = fmt.Errorf("full: %w", bridge.ErrUnsaved)
	r.start()
	r.bridge.mu.Lock()
	r.bridge.err = nil
	r.bridge.mu.Unlock()
	r.bridge.set("alice", "meeting", "phone")
	r.says("alice", "meeting phone")
	r.wantChoices()
}

func TestNamesThatAreNoneAreRefused(t *testing.T) {
	for _, bad := range []Table{
		{}, {Name: "people", User: "a b", Status: "s"}, {Name: `people"; DROP TABLE people; --`, User: "u", Status: "s"},
		{Name: "a.b.c", User: "u", Status: "s"}, {Name: "people", User: "u", Status: "s", Message: "x'y"}, {Name: "people", User: "u", Status: "s", Changed: "now()"},
		{Name: ".people", User: "u", Status: "s"}, {Name: "people", User: "u", Status: strings.Repeat("s", 64)},
	} {
		if err := bad.Check(); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
	if err := (Table{Name: "public.people", User: "u-1", Status: "s$"}).Check(); err != nil {
		t.Error(err)
	}
}
