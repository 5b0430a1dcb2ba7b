package panel

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 30 * time.Second

// fakeBridge has users whose status is what was chosen last, or what a phone says.
type fakeBridge struct {
	mu      sync.Mutex
	users   map[presence.UserID]bridge.User
	version uint64
	news    chan struct{}
	choices []string
	reset   bool                                  // the feed has to begin anew
	err     error                                 // of Choose
	rule    func(presence.TypeID) presence.TypeID // what becomes of a choice; nil: it is the status
}

func newFakeBridge(ids ...presence.UserID) *fakeBridge {
	b := &fakeBridge{users: make(map[presence.UserID]bridge.User), news: make(chan struct{})}
	for _, id := range ids {
		b.users[id] = bridge.User{ID: id, Email: string(id) + "@example.com"}
	}
	return b
}

func (b *fakeBridge) Types() []presence.StatusType {
	return []presence.StatusType{{ID: "available"}, {ID: "lunch"}, {ID: "meeting"}}
}

// set is what a phone does; "" takes the status away.
func (b *fakeBridge) set(id presence.UserID, t presence.TypeID, message string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.put(id, t, message, "extension main/1001")
}

func (b *fakeBridge) put(id presence.UserID, t presence.TypeID, message, by string) {
	b.version++
	u := b.users[id]
	u.Version = b.version
	if u.Status = nil; t != "" {
		u.Status = &bridge.UserStatus{Type: t, Message: message, By: by}
	}
	b.users[id] = u
	close(b.news)
	b.news = make(chan struct{})
}

func (b *fakeBridge) Choose(_ context.Context, id presence.UserID, c bridge.Choice) (bridge.User, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return bridge.User{}, b.err
	}
	if c.IfNone && b.users[id].Status != nil {
		return b.users[id], nil
	}
	b.choices = append(b.choices, fmt.Sprintf("%s %s %q by %s", id, c.Type, c.Message, c.By))
	t := c.Type
	if b.rule != nil {
		t = b.rule(t)
	}
	b.put(id, t, c.Message, c.By)
	return b.users[id], nil
}

func (b *fakeBridge) chosen() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.choices)
}

// feed is a subscription.
type feed struct {
	b    *fakeBridge
	seen uint64
	old  bool
	left []bridge.FeedItem // of everybody, who comes one by one
}

func (f *feed) Next(ctx context.Context) ([]bridge.FeedItem, error) {
	for {
		if len(f.left) > 0 {
			first := f.left[:1]
			f.left = f.left[1:]
			return first, nil
		}
		f.b.mu.Lock()
		if f.b.reset {
			f.old, f.b.reset = false, false
		}
		f.b.mu.Unlock()
		f.b.mu.Lock()
		var items []bridge.FeedItem
		everybody := !f.old
		if everybody {
			items = append(items, bridge.FeedItem{Reset: true, Listed: true})
		}
		for _, id := range slices.Sorted(maps.Keys(f.b.users)) {
			if u := f.b.users[id]; !f.old || u.Version > f.seen {
				items = append(items, bridge.FeedItem{User: u, Listed: everybody})
			}
		}
		if everybody {
			items[len(items)-1].Whole = true
			f.left, items = items, nil
		}
		f.old, f.seen = true, f.b.version
		news := f.b.news
		f.b.mu.Unlock()
		if len(items) > 0 {
			return items, nil
		}
		if len(f.left) > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-news:
		}
	}
}

// memories is a store.
type memories struct {
	mu   sync.Mutex
	rows map[string][]byte
	err  error
}

func (m *memories) PanelRows(context.Context) (map[string][]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.rows), nil
}

func (m *memories) SavePanelRows(_ context.Context, rows map[string][]byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == nil {
		maps.Copy(m.rows, rows)
	}
	return m.err
}

// rig is a panel's database with a bridge.
type rig struct {
	t      *testing.T
	db     *sql.DB
	bridge *fakeBridge
	store  *memories
	cfg    Config
	wake   chan struct{}
	logs   *observer.ObservedLogs
	stop   func()
}

// newRig makes a table with these rows: "alice available Back at 2".
func newRig(t *testing.T, rows ...string) *rig {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "panel.db")+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	r := &rig{t: t, db: db, bridge: newFakeBridge("alice", "bob"), store: &memories{rows: make(map[string][]byte)}, wake: make(chan struct{})}
	r.cfg = Config{
		Table:  Table{Name: "people", User: "login", Status: "state", Message: "note"},
		Flavor: SQLite(), In: true, Out: true, Poll: time.Hour, Rest: 1, Wake: r.wake,
	}
	r.exec(`CREATE TABLE people (login TEXT PRIMARY KEY, state TEXT, note TEXT, changed INTEGER, other TEXT DEFAULT 'x')`)
	for _, row := range rows {
		f := append(strings.SplitN(row, " ", 3), "", "")
		r.exec(`INSERT INTO people (login, state, note, changed) VALUES (?, ?, ?, 1000000000)`, f[0], null(f[1]), null(f[2]))
	}
	return r
}

func null(text string) any {
	if text == "" {
		return nil
	}
	return text
}

func (r *rig) exec(query string, args ...any) {
	r.t.Helper()
	if _, err := r.db.ExecContext(r.t.Context(), query, args...); err != nil {
		r.t.Fatal(err)
	}
}

// start runs a panel until the test ends, or stop.
func (r *rig) start() {
	r.t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	r.logs = logs
	p, err := Open(r.t.Context(), r.cfg, r.db, r.bridge, &feed{b: r.bridge}, r.store, zap.New(core))
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); p.Run(ctx) }()
	r.stop = sync.OnceFunc(func() { cancel(); <-done })
	r.t.Cleanup(r.stop)
	r.read()
}

// read makes the panel read, and returns when it has begun with the next thing after.
func (r *rig) read() {
	r.t.Helper()
	for range 2 {
		select {
		case r.wake <- struct{}{}:
		case <-time.After(patience):
			r.t.Fatal("the panel does not read")
		}
	}
}

// choose is what somebody does in the panel.
func (r *rig) choose(login, state, note string) {
	r.t.Helper()
	r.exec(`UPDATE people SET state = ?, note = ?, changed = changed + 1 WHERE login = ?`, null(state), null(note), login)
}

func (r *rig) says(login, want string) {
	r.t.Helper()
	var got string
	deadline := time.Now().Add(patience)
	for {
		err := r.db.QueryRowContext(r.t.Context(), `SELECT COALESCE(state, '-') || ' ' || COALESCE(note, '') FROM people WHERE login = ?`, login).Scan(&got)
		if err != nil {
			r.t.Fatal(err)
		}
		if got = strings.TrimSpace(got); got == want {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("%s says %q, want %q", login, got, want)
		}
		time.Sleep(time.Millisecond)
	}
}

// untilChosen waits until there were that many choices.
func (r *rig) untilChosen(n int) {
	r.t.Helper()
	for deadline := time.Now().Add(patience); len(r.bridge.chosen()) < n && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		r.read() // perhaps before the feed has told, or in a pause after a failure
	}
}

func (r *rig) wantChoices(want ...string) {
	r.t.Helper()
	if got := r.bridge.chosen(); !slices.Equal(got, want) {
		r.t.Errorf("choices are %q, want %q", got, want)
	}
}

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
	r.bridge.set("alice", "available", "")
	r.read()
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
