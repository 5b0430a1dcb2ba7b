package panel

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
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
		var items []bridge.FeedItem
		everybody := !f.old
		if everybody {
			items = append(items, bridge.FeedItem{Reset: true, Listed: true})
		}
		for _, id := range slices.Sorted(maps.Keys(f.b.users)) {
			if u := f.b.users[id]; !f.old || u.Version > f.seen {
				items = append(items, bridge.FeedItem{User: &u, Listed: everybody})
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
