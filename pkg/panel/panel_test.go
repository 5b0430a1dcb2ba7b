package panel

import (
	"errors"
	"fmt"
	"testing"

	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

func TestStatusesAreWrittenAndChoicesAreTaken(t *testing.T) {
	r := newRig(t, "alice available", "bob", "carol lunch")
	r.bridge.set("alice", "meeting", "Room 5")
	r.start()
	r.says("alice", "meeting Room 5") // there was a status: it is written over
	r.says("bob", "-")                // nothing is invented
	r.wantChoices()

	r.choose("alice", "lunch", "Back at 2")
	r.read()
	r.wantChoices(`alice lunch "Back at 2" by panel alice`)
	r.bridge.set("alice", "available", "")
	r.says("alice", "available")
	r.choose("bob", "meeting", "")
	r.read()
	r.wantChoices(`alice lunch "Back at 2" by panel alice`, `bob meeting "" by panel bob`)
	r.says("carol", "lunch") // nobody's in the mapping
}

func TestWhatThePanelSaysOfWhoHasNoStatusIsTaken(t *testing.T) {
	r := newRig(t, "alice lunch Back at 2")
	r.start()
	r.wantChoices(`alice lunch "Back at 2" by panel alice`)
	r.says("alice", "lunch Back at 2")
}

func TestOurOwnWritesAreNobodysChoice(t *testing.T) {
	r := newRig(t, "alice available")
	r.start()
	before := len(r.bridge.chosen())
	for i := range 20 {
		r.bridge.set("alice", []presence.TypeID{"lunch", "meeting"}[i%2], fmt.Sprint(i))
		r.read()
	}
	r.says("alice", "meeting 19")
	r.read()
	if n := len(r.bridge.chosen()) - before; n != 0 {
		t.Errorf("%d of our own writes were taken for choices", n)
	}
}

func TestAChoiceThatIsOverruledIsWrittenOver(t *testing.T) {
	r := newRig(t, "alice available")
	r.bridge.set("alice", "available", "")
	r.bridge.rule = func(presence.TypeID) presence.TypeID { return "meeting" } // another phone has priority
	r.start()
	r.choose("alice", "lunch", "")
	r.read()
	r.says("alice", "meeting")
}

func TestNothingThatSomebodyWroteMeanwhileIsWrittenOver(t *testing.T) {
	r := newRig(t, "alice available")
	r.bridge.set("alice", "available", "")
	r.start()
	r.choose("alice", "lunch", "mine") // not read yet
	r.bridge.set("alice", "meeting", "")
	r.read()
	r.wantChoices(`alice lunch "mine" by panel alice`)
	r.says("alice", "lunch mine")
}

func TestAfterDowntimeItIsKnownWhoHasChangedWhat(t *testing.T) {
	r := newRig(t, "alice available", "bob available")
	r.bridge.set("alice", "available", "")
	r.bridge.set("bob", "available", "")
	r.start()
	r.stop()
	r.bridge.set("alice", "meeting", "") // a phone
	r.choose("bob", "lunch", "")         // somebody in the panel
	r.start()
	r.says("alice", "meeting")
	r.wantChoices(`bob lunch "" by panel bob`)
	r.says("bob", "lunch")
}

func TestAWriteThatMayHaveHappenedBeforeACrashIsOurs(t *testing.T) {
	r := newRig(t, "alice available")
	r.bridge.set("alice", "available", "")
	r.start()
	r.stop()
	// Asked, and written, but the crash came before that was remembered.
	r.store.rows[fingerprint(&r.cfg)+"alice"] = []byte(`{"shows":{"status":"available","message":""},"asked":{"status":"lunch","message":""}}`)
	r.choose("alice", "lunch", "")
	r.bridge.set("alice", "meeting", "")
	r.start()
	r.wantChoices()
	r.says("alice", "meeting")
}

func TestWhatNobodyUnderstandsIsLeftAndToldOnce(t *testing.T) {
	r := newRig(t, "alice available")
	r.bridge.set("alice", "available", "")
	r.start()
	for range 3 {
		r.choose("alice", "42", "")
		r.read()
		r.says("alice", "42")
		r.choose("alice", "42", "again")
		r.read()
	}
	r.wantChoices()
	if n := r.logs.FilterMessageSnippet("has a status that the mapping does not").Len(); n != 1 {
		t.Errorf("told %d times", n)
	}
	r.bridge.set("alice", "lunch", "")
	r.says("alice", "lunch")
}

func TestValuesAreThePanelsOwn(t *testing.T) {
	r := newRig(t, "alice 1", "bob 1")
	r.cfg.Values = map[presence.TypeID]string{"available": "1", "lunch": "3"}
	r.bridge.set("alice", "lunch", "")
	r.bridge.set("bob", "available", "")
	r.start()
	r.says("alice", "3")
	r.choose("alice", "1", "")
	r.choose("bob", "lunch", "") // which the panel calls 3
	r.read()
	r.wantChoices(`alice available "" by panel alice`)
	r.bridge.set("alice", "meeting", "") // without a value it is called by its id
	r.says("alice", "meeting")
}

func TestOneWay(t *testing.T) {
	t.Run("out", func(t *testing.T) {
		r := newRig(t, "alice available", "bob lunch")
		r.cfg.In = false
		r.bridge.set("alice", "meeting", "")
		r.start()
		r.says("alice", "meeting")
		r.choose("alice", "lunch", "")
		r.read()
		r.says("alice", "meeting")
		r.says("bob", "lunch")
		r.wantChoices()
	})
	t.Run("in", func(t *testing.T) {
		r := newRig(t, "alice available")
		r.cfg.Out = false
		r.bridge.set("alice", "meeting", "")
		r.start()
		r.choose("alice", "lunch", "")
		r.read()
		r.wantChoices(`alice lunch "" by panel alice`)
		r.bridge.set("alice", "meeting", "")
		r.read()
		r.says("alice", "lunch")
	})
}

func TestEachExtensionHasItsRow(t *testing.T) {
	r := newRig(t, "1001 available", "1002 available", "1003 available")
	r.cfg.By = Extension
	u := r.bridge.users["alice"]
	u.Extensions = []bridge.UserExtension{{Extension: "1001"}, {Extension: "1002"}}
	r.bridge.users["alice"] = u
	r.bridge.set("alice", "available", "")
	r.start()
	r.choose("1002", "lunch", "")
	r.read()
	r.says("1001", "lunch")
	r.says("1003", "available")
	r.wantChoices(`alice lunch "" by panel alice`)
}

func TestRowsByMailAndWithoutMessages(t *testing.T) {
	r := newRig(t, "alice@example.com available note")
	r.cfg.By, r.cfg.Table.Message = Email, ""
	r.bridge.set("alice", "lunch", "Back at 2")
	r.start()
	r.says("alice@example.com", "lunch note")
}

func TestOnlyWhatIsNewIsRead(t *testing.T) {
	for _, clock := range []Clock{UnixTime, UnixMillis} {
		t.Run(string(clock), func(t *testing.T) {
			r := newRig(t, "alice available", "bob available")
			r.cfg.Table.Changed, r.cfg.Table.Clock = "changed", clock
			r.bridge.set("alice", "available", "")
			r.bridge.set("bob", "available", "")
			r.start()
			r.exec(`UPDATE people SET state = 'lunch', changed = 0 WHERE login = 'bob'`) // as if it were old
			r.choose("alice", "meeting", "")
			r.read()
			r.wantChoices(`alice meeting "" by panel alice`)
			r.bridge.set("alice", "lunch", "")
			r.says("alice", "lunch")
			var changed int64
			if err := r.db.QueryRowContext(t.Context(), `SELECT changed FROM people WHERE login = 'alice'`).Scan(&changed); err != nil || changed < 1_700_000_000 {
				t.Errorf("changed is %d, %v", changed, err)
			}
			r.stop()
			r.start() // everything is read at the start
			r.wantChoices(`alice meeting "" by panel alice`, `bob lunch "" by panel bob`)
		})
	}
}

func TestAChoiceThatCannotBeKeptIsTakenLater(t *testing.T) {
	r := newRig(t, "alice available")
	r.bridge.set("alice", "available", "")
	r.start()
	r.bridge.mu.Lock()
	r.bridge.err = fmt.Errorf("disk full: %w", bridge.ErrUnsaved)
	r.bridge.mu.Unlock()
	r.choose("alice", "lunch", "")
	r.read()
	r.says("alice", "lunch") // not lost, and not written over
	r.bridge.mu.Lock()
	r.bridge.err = nil
	r.bridge.mu.Unlock()
	r.untilChosen(1)
	r.wantChoices(`alice lunch "" by panel alice`)
}

func TestATableThatIsAwayIsWrittenWhenItIsBack(t *testing.T) {
	r := newRig(t, "alice available", "bob available")
	r.bridge.set("alice", "available", "")
	r.bridge.set("bob", "available", "")
	r.start()
	r.exec(`ALTER TABLE people RENAME TO gone`)
	r.bridge.set("alice", "lunch", "")
	r.read()
	r.exec(`UPDATE gone SET state = 'meeting' WHERE login = 'bob'`)
	r.exec(`ALTER TABLE gone RENAME TO people`)
	r.read()
	r.says("alice", "lunch")
	r.wantChoices(`bob meeting "" by panel bob`)
	if n := r.logs.FilterMessageSnippet("is reached again").Len(); n != 1 {
		t.Errorf("told %d times that it is back, want once", n)
	}
}

func TestARowThatIsNotThereIsNotMade(t *testing.T) {
	r := newRig(t, "bob available")
	r.bridge.set("alice", "lunch", "")
	r.start()
	r.exec(`DELETE FROM people WHERE login = 'bob'`)
	r.bridge.set("bob", "lunch", "")
	r.read()
	var n int
	if err := r.db.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM people`).Scan(&n); err != nil || n != 0 {
		t.Errorf("%d rows, %v", n, err)
	}
	r.exec(`INSERT INTO people (login, state) VALUES ('alice', 'available'), ('bob', 'available')`)
	r.read()
	r.says("alice", "lunch")
}

func TestNothingIsWrittenThatCouldNotBeRemembered(t *testing.T) {
	r := newRig(t, "alice available")
	r.bridge.set("alice", "available", "")
	r.start()
	r.store.mu.Lock()
	r.store.err = errors.New("disk full")
	r.store.mu.Unlock()
	r.bridge.set("alice", "lunch", "")
	r.read()
	r.says("alice", "available")
	r.store.mu.Lock()
	r.store.err = nil
	r.store.mu.Unlock()
	r.read()
	r.says("alice", "lunch")
}

func TestWhoLeavesTheMappingIsLeftAloneAlsoWhenTheFeedBeginsAnew(t *testing.T) {
	r := newRig(t, "alice available", "bob available")
	r.bridge.set("alice", "lunch", "")
	r.bridge.set("bob", "lunch", "")
	r.start()
	r.says("bob", "lunch")
	r.bridge.mu.Lock()
	delete(r.bridge.users, "bob")
	r.bridge.reset = true
	r.bridge.mu.Unlock()
	r.bridge.set("alice", "meeting", "")
	r.says("alice", "meeting")
	r.read()
	r.choose("bob", "meeting", "")
	r.read()
	r.wantChoices()
	r.bridge.mu.Lock()
	r.bridge.users["bob"] = bridge.User{ID: "bob"}
	r.bridge.mu.Unlock()
	r.bridge.set("bob", "lunch", "") // is back, and somebody has chosen meanwhile
	r.untilChosen(1)
	r.wantChoices(`bob meeting "" by panel bob`)
}
