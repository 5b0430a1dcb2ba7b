// Package panel keeps statuses in agreement with a table in which an existing panel
// has its users: it writes there what the bridge decides, and makes what people choose
// in the panel a choice of theirs.
//
// It decides nothing about a user and never adds or removes a row: SELECT and UPDATE of
// the columns that are named suffice. What a row said last is remembered in the bridge's
// own store, so that after any downtime it is known who has changed what.
package panel

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// Bridge is what is needed of the running bridge.
type Bridge interface {
	// Choose returns once the choice is committed.
	Choose(ctx context.Context, id presence.UserID, c bridge.Choice) (bridge.User, error)
	Types() []presence.StatusType
}

// Feed tells of changes of users; the first items tell of everybody.
type Feed interface {
	Next(ctx context.Context) ([]bridge.FeedItem, error)
}

// Store remembers what rows said, by their keys, as JSON.
type Store interface {
	PanelRows(ctx context.Context) (map[string][]byte, error)
	SavePanelRows(ctx context.Context, rows map[string][]byte) error
}

// Config says what to keep in agreement with what.
type Config struct {
	Table  Table
	Flavor Flavor
	By     By                         // what the column of users holds; "": ID
	Values map[presence.TypeID]string // what the panel calls a status; missing: its id
	Place  string                     // of the database: what is remembered of one means nothing in another
	In     bool                       // what people choose in the panel is their status
	Out    bool                       // statuses are written to the panel

	Poll  time.Duration    // from one reading to the next; 0: 5 s
	Full  time.Duration    // and to the next of the whole table, where Table.Changed tells what is new; 0: 5 min
	Wait  time.Duration    // how long reading may take; 0: 30 s
	Write time.Duration    // how long writing a batch may take: less than a lease is good for; 0: 5 s
	Meet  time.Duration    // how long the first reading of who has no status waits for their PBXs; 0: 1 min
	Rest  time.Duration    // between readings, however often Wake says that there is something new; 0: 200 ms
	Wake  <-chan struct{}  // read soon; nil: nobody says so
	Now   func() time.Time // nil: time.Now

	MayAct  func() error      // says no where another bridge may be writing; nil: there is none
	Explain func(error) error // says what to do about an error of the database; nil: nothing
}

// By is what the column of users holds.
type By string

// What it may hold. Of several extensions each may have a row, and all say the same.
const (
	ID        By = "id"
	Email     By = "email"
	Extension By = "extension"
)

const (
	batchRows  = 500              // written in one transaction
	maxBackoff = 30 * time.Second // between tries to reach the database
	soon       = time.Second      // to the next reading where one is owed
)

// Panel is one table. Run it once.
type Panel struct {
	cfg    Config
	bridge Bridge
	feed   Feed
	store  Store
	log    *zap.Logger
	table  table
	dir    direction
	types  map[string]presence.TypeID // by what the panel calls them, of Config.Values
	prefix string                     // of keys in the store: they are of this table, and these columns

	// Owned by Run.
	began    time.Time
	rows     map[string]*row              // by key
	users    map[presence.UserID]*entry   // as the feed told
	claims   map[string]presence.UserID   // by key: who waits for a row that is another's
	present  map[presence.UserID]struct{} // while the feed tells of everybody: of whom it has; nil: it does not
	whole    bool                         // it has
	memory   map[string]Memory            // of rows that no user of the mapping has yet
	owing    map[string]*row              // to be written
	outdated map[string]*row              // to be remembered
	told     map[string]struct{}          // what was complained of
	readAll  time.Time                    // when everything was read last; zero: it has to be
	last     time.Time                    // when anything was
	due      time.Time                    // when to read next
	fails    int                          // in a row
	trouble  string                       // the last one logged; "": none since all was well
}

// entry is a user, as far as the panel is concerned.
type entry struct {
	version uint64
	keys    []string // of the user's rows
	value   *Value   // what they have to say; nil: nothing
	settled bool     // their PBXs have told what their extensions show
}

// Open checks cfg and loads what rows said last. db is the caller's to close.
func Open(ctx context.Context, cfg Config, db *sql.DB, b Bridge, feed Feed, s Store, log *zap.Logger) (*Panel, error) {
	if err := cfg.Table.Check(); err != nil {
		return nil, fmt.Errorf("panel: %w", err)
	}
	for _, d := range []struct {
		value     *time.Duration
		otherwise time.Duration
	}{
		{&cfg.Poll, 5 * time.Second}, {&cfg.Full, 5 * time.Minute}, {&cfg.Wait, 30 * time.Second},
		{&cfg.Write, 5 * time.Second}, {&cfg.Meet, time.Minute}, {&cfg.Rest, 200 * time.Millisecond},
	} {
		if *d.value <= 0 {
			*d.value = d.otherwise
		}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Explain == nil {
		cfg.Explain = func(err error) error { return err }
	}
	if cfg.MayAct == nil {
		cfg.MayAct = func() error { return nil }
	}
	prefix := fingerprint(&cfg)
	memory, err := remembered(ctx, s, prefix)
	if err != nil {
		return nil, fmt.Errorf("panel: %w", err)
	}
	types := make(map[string]presence.TypeID, len(cfg.Values))
	for id, value := range cfg.Values {
		types[value] = id
	}
	return &Panel{
		cfg: cfg, bridge: b, feed: feed, store: s, log: log, types: types, memory: memory, prefix: prefix,
		dir:   direction{in: cfg.In, out: cfg.Out},
		table: table{db: db, statements: cfg.Table.statements(cfg.Flavor), now: cfg.Now, mayAct: cfg.MayAct},
		rows:  make(map[string]*row), users: make(map[presence.UserID]*entry), claims: make(map[string]presence.UserID),
		owing: make(map[string]*row), outdated: make(map[string]*row), told: make(map[string]struct{}),
	}, nil
}

// fingerprint tells what is remembered of one table from what is of another: a row means
// nothing without the columns that were read.
func fingerprint(cfg *Config) string {
	t := cfg.Table
	sum := sha256.Sum256([]byte(strings.Join([]string{cfg.Place, t.Name, t.User, t.Status, t.Message, string(cfg.By)}, "\x00")))
	return hex.EncodeToString(sum[:4]) + ":"
}

func remembered(ctx context.Context, s Store, prefix string) (map[string]Memory, error) {
	rows, err := s.PanelRows(ctx)
	if err != nil {
		return nil, err
	}
	memory := make(map[string]Memory, len(rows))
	for key, text := range rows {
		key, ours := strings.CutPrefix(key, prefix)
		if !ours {
			continue
		}
		var m Memory
		if err := json.Unmarshal(text, &m); err != nil {
			return nil, fmt.Errorf("what row %q said last cannot be read: %w", key, err)
		}
		memory[key] = m
	}
	return memory, nil
}

// Run keeps both in agreement until ctx ends. A database that cannot be reached does
// not end it.
func (p *Panel) Run(ctx context.Context) {
	ctx, end := context.WithCancel(ctx)
	news, followed := make(chan []bridge.FeedItem), make(chan struct{})
	go func() {
		defer close(followed)
		follow(ctx, p.feed, news)
	}()
	defer func() { end(); <-followed }()

	p.began = p.cfg.Now()
	// Nothing is read before it is known what everybody's status is: a row of somebody
	// without one is taken for their choice.
	for !p.whole {
		select {
		case items := <-news:
			p.take(items)
		case <-ctx.Done():
			return
		}
	}
	p.due = p.cfg.Now()
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case items := <-news:
			p.take(items)
			if p.fails > 0 {
				continue // written when the database is there again
			}
		case <-p.cfg.Wake:
			if p.fails > 0 {
				continue
			}
			p.due = p.last.Add(p.cfg.Rest)
		case <-next.C:
		case <-ctx.Done():
			return
		}
		err := p.work(ctx, !p.cfg.Now().Before(p.due))
		if ctx.Err() != nil {
			return
		}
		p.tell(err)
		next.Reset(p.pause())
	}
}

// follow passes on what the feed tells.
func follow(ctx context.Context, feed Feed, news chan<- []bridge.FeedItem) {
	for {
		items, err := feed.Next(ctx)
		if err != nil {
			return // ctx has ended
		}
		select {
		case news <- items:
		case <-ctx.Done():
			return
		}
	}
}

// pause is how long to wait for the next work, if nothing is new.
func (p *Panel) pause() time.Duration {
	if p.fails > 0 {
		d := min(maxBackoff, time.Second<<min(p.fails-1, 5))
		d = d/2 + rand.N(d/2) //nolint:gosec // jitter
		p.due = p.cfg.Now().Add(d)
		return d
	}
	if len(p.owing) > 0 {
		return 0 // the rest of them
	}
	if p.readAll.IsZero() { // somebody's row has not been read
		p.due = earlier(p.due, p.last.Add(soon))
	}
	return max(0, p.due.Sub(p.cfg.Now()))
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// tell logs a trouble once, and that it is over.
func (p *Panel) tell(err error) {
	if err != nil {
		err = p.cfg.Explain(err)
	}
	switch {
	case err == nil && p.trouble != "":
		p.log.Info("the panel's table is reached again")
		p.trouble = ""
	case err != nil && err.Error() != p.trouble:
		p.trouble = err.Error()
		p.log.Warn("the panel's table is not kept in agreement, trying again", zap.Error(err))
	}
	if p.fails++; err == nil {
		p.fails = 0
	}
}

// take notes what users' statuses are.
func (p *Panel) take(items []bridge.FeedItem) {
	for i := range items {
		switch u := items[i].User; {
		case items[i].Reset:
			p.present = make(map[presence.UserID]struct{}, len(p.users))
		case items[i].Gone:
			p.dismiss(u.ID)
		default:
			p.shows(u)
			if items[i].Listed && p.present != nil {
				p.present[u.ID] = struct{}{}
			}
		}
		if items[i].Whole {
			p.dismissOthers()
		}
	}
}

// dismissOthers lets go of those of whom the feed, when it told of everybody, did not tell.
func (p *Panel) dismissOthers() {
	for id := range p.users {
		if _, there := p.present[id]; !there {
			p.dismiss(id)
		}
	}
	p.present, p.whole = nil, true
}

// shows notes what one user's status is, unless something newer is known.
func (p *Panel) shows(u *bridge.User) {
	e := p.users[u.ID]
	if e == nil {
		e = &entry{}
		p.users[u.ID] = e
	}
	if u.Version < e.version {
		return
	}
	e.version, e.value, e.settled = u.Version, p.value(u), settled(u)
	before := e.keys
	e.keys = nil
	keys := p.keys(u)
	for _, key := range before {
		if !slices.Contains(keys, key) {
			p.release(key)
		}
	}
	for _, key := range keys {
		p.own(u.ID, e, key)
	}
}

// settled tells whether the PBXs have told what a user's extensions show.
func settled(u *bridge.User) bool {
	return !slices.ContainsFunc(u.Extensions, func(x bridge.UserExtension) bool { return !x.Reachable || x.Presence == nil })
}

// keys are those of a user's rows, each once.
func (p *Panel) keys(u *bridge.User) []string {
	var keys []string
	switch p.cfg.By {
	case Email:
		if u.Email != "" {
			keys = append(keys, u.Email)
		}
	case Extension:
		for _, x := range u.Extensions {
			if key := p.fold(x.Extension); !slices.Contains(keys, key) {
				keys = append(keys, key)
			}
		}
		return keys
	default:
		keys = append(keys, string(u.ID))
	}
	for i := range keys {
		keys[i] = p.fold(keys[i])
	}
	return keys
}

// fold is how keys are compared: addresses of mail have no case that anybody relies on.
func (p *Panel) fold(key string) string {
	if p.cfg.By == Email {
		return strings.ToLower(key)
	}
	return key
}

// own makes a row the user's. One that another user has stays with that one; whoever
// wants it is next.
func (p *Panel) own(id presence.UserID, e *entry, key string) {
	r := p.rows[key]
	switch {
	case r == nil:
		memory, kept := p.memory[key]
		delete(p.memory, key)
		r = &row{user: id, name: key, memory: memory, kept: kept}
		p.rows[key] = r
		p.readAll = time.Time{} // it was not read
	case r.user != id:
		p.claims[key] = id
		return
	}
	e.keys = append(e.keys, key)
	r.wants(e.value, p.dir)
	p.touch(key, r)
}

func (p *Panel) dismiss(id presence.UserID) {
	e := p.users[id]
	if e == nil {
		return
	}
	delete(p.users, id)
	for _, key := range e.keys {
		p.release(key)
	}
}

// release lets go of a row; what it said is remembered for who comes next.
func (p *Panel) release(key string) {
	r := p.rows[key]
	if r == nil {
		return
	}
	if r.kept {
		p.memory[key] = r.memory
	}
	delete(p.rows, key)
	delete(p.owing, key)
	id, claimed := p.claims[key]
	delete(p.claims, key)
	if e := p.users[id]; claimed && e != nil {
		p.own(id, e, key)
	}
}

// touch puts a row where it belongs.
func (p *Panel) touch(key string, r *row) {
	if delete(p.owing, key); r.owing {
		p.owing[key] = r
	}
	if r.outdated {
		p.outdated[key] = r
	}
}

// value is what a user's rows have to say; nil where the user has no status.
func (p *Panel) value(u *bridge.User) *Value {
	if u.Status == nil {
		return nil
	}
	v := &Value{Status: string(u.Status.Type)}
	if called, ok := p.cfg.Values[u.Status.Type]; ok {
		v.Status = called
	}
	if p.cfg.Table.Message != "" {
		v.Message = u.Status.Message
	}
	return v
}
