package storetest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
	"github.com/presencebridge/presencebridge/pkg/store/servertest"
)

// Servers is a dialect whose database is a server.
type Servers struct {
	Start func(t testing.TB, settings ...string) *servertest.Server
	Open  func(context.Context, store.Server, store.Lease, *zap.Logger) (*store.SQL, error)
	// Reader opens a store for a backup. Only RunServers needs it, and Lock.
	Reader func(store.Server) (*store.Reader, error)
	Lock   string // statements by which a panel locks the table users, separated by semicolons
}

const (
	term     = time.Second // of a lease that a test can wait for
	patience = 60 * time.Second
)

// RunServers runs what only a server can do wrong, on one server.
func RunServers(t *testing.T, d Servers) {
	server := d.Start(t)
	for _, tc := range []struct {
		name string
		test func(*testing.T, Servers, *servertest.Server)
	}{
		{"a bridge whose lease was taken cannot write", fenced},
		{"a bridge that is cut off stops acting before another may", cutOff},
		{"who waits goes on waiting while the server restarts", waitsOn},
		{"an ordered stop lets the next one in at once", handedOver},
		{"of two that wait one takes over", oneOfTwo},
		{"who has died on the same machine is not waited for", died},
		{"a wait ends when it is told to", waitEnds},
		{"a kill of the server in the middle of saves loses nothing", killed},
		{"a server that hangs costs no more than the deadline", hangs},
		{"a lock of somebody else is told", locked},
		{"another program's database is left alone", foreign},
		{"a newer schema is left alone", newerSchema},
		{"a lease that somebody has deleted ends who held it", deletedLease},
		{"a network that is cut in the middle of a restore changes nothing", restoreCutOff},
		{"a kill of the server in the middle of a restore changes nothing", restoreKilled},
		{"a bridge that has lost the store restores nothing", restoreFenced},
		{"whoever takes a backup may be slow", slowBackup},
		{"who waits reads what the holder saves", readingStandby},
	} {
		t.Run(tc.name, func(t *testing.T) { tc.test(t, d, server) })
	}
}

// first opens a store as a bridge that does not wait.
func (d Servers) first(t *testing.T, at store.Server) *store.SQL {
	t.Helper()
	return open(t, Opener{Open: func(ctx context.Context) (*store.SQL, error) {
		return d.Open(ctx, at, store.Lease{Holder: "first", Term: term}, zap.NewNop())
	}})
}

// standby opens a store as a bridge that waits, and returns when it does.
func (d Servers) standby(ctx context.Context, t *testing.T, at store.Server) (holder string, opened <-chan *store.SQL, failed <-chan error) {
	t.Helper()
	told, stores, errs := make(chan string, 10), make(chan *store.SQL, 1), make(chan error, 1)
	waiting := func(ctx context.Context, holder string, _ *store.Reads) error { told <- holder; return ctx.Err() }
	go func() {
		s, err := d.Open(ctx, at, store.Lease{Holder: "second", Term: term, Waiting: waiting}, zap.NewNop())
		if err != nil {
			errs <- err
			return
		}
		t.Cleanup(func() { _ = s.Close(context.Background(), false) })
		stores <- s
	}()
	return await(t, "the wait", told), stores, errs
}

func await[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("%s did not come", what)
		panic("unreachable")
	}
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s did not happen", what)
		}
	}
}

func fenced(t *testing.T, d Servers, server *servertest.Server) {
	at := server.NewDatabase()
	s := d.first(t, at)
	save(t, s, &store.Batch{Users: []store.User{user("alice", 1)}, History: []store.Entry{entry("alice", 1, noon)}})
	if err := s.MayAct(); err != nil {
		t.Errorf("MayAct = %v", err)
	}
	panelExec(t, server, at, `UPDATE lease SET token = token + 1, holder = 'second'`)

	b := store.Batch{Users: []store.User{user("alice", 2), user("bob", 1)}, History: []store.Entry{entry("alice", 2, noon)}, PBXs: []store.PBX{{Name: "main"}}}
	if err := s.Save(t.Context(), &b); !errors.Is(err, store.ErrLost) {
		t.Errorf("save = %v, want ErrLost", err)
	}
	if n, err := s.Prune(t.Context(), noon.Add(time.Hour)); n != 0 || !errors.Is(err, store.ErrLost) {
		t.Errorf("prune = %d, %v, want ErrLost", n, err)
	}
	await(t, "the end of Lost", s.Lost())
	if err := s.MayAct(); !errors.Is(err, store.ErrLost) {
		t.Errorf("MayAct = %v, want ErrLost", err)
	}
	if err := s.Close(t.Context(), true); !errors.Is(err, store.ErrLost) {
		t.Errorf("close = %v, want ErrLost", err)
	}
	same(t, "clean", panelRow(t, panelOf(server, at), `SELECT value FROM meta WHERE name = 'clean'`, 1), []string{"false"})
	same(t, "users", panelRow(t, panelOf(server, at), `SELECT COUNT(*), MAX(version) FROM users`, 2), []string{"1", "1"})
	same(t, "entries", panelRow(t, panelOf(server, at), `SELECT COUNT(*) FROM history`, 1), []string{"1"})
	same(t, "holder", panelRow(t, panelOf(server, at), `SELECT holder FROM lease`, 1), []string{"second"})
}

func cutOff(t *testing.T, d Servers, server *servertest.Server) {
	direct := server.NewDatabase()
	proxy := servertest.NewProxy(t, direct.Address)
	through := direct
	through.Address = proxy.Address()
	first := d.first(t, through)
	save(t, first, &store.Batch{Users: []store.User{user("alice", 1)}})
	holder, opened, failed := d.standby(t.Context(), t, direct)
	same(t, "holder", holder, "first")

	proxy.Cut()
	var second *store.SQL
	select {
	case second = <-opened:
	case err := <-failed:
		t.Fatal(err)
	case <-time.After(patience):
		t.Fatal("nobody took over")
	}
	if err := first.MayAct(); err == nil {
		t.Error("two bridges may act")
	}
	if err := second.MayAct(); err != nil {
		t.Errorf("nobody may act: %v", err)
	}
	same(t, "clean after a takeover", load(t, second).Clean, false)
	save(t, second, &store.Batch{Users: []store.User{user("alice", 5)}})
	proxy.Heal()
	await(t, "the end of Lost", first.Lost())
	if err := first.Save(t.Context(), &store.Batch{Users: []store.User{user("alice", 9)}}); !errors.Is(err, store.ErrLost) {
		t.Errorf("save = %v, want ErrLost", err)
	}
	same(t, "users", load(t, second).Users, loaded(user("alice", 5)))
}

func waitsOn(t *testing.T, d Servers, server *servertest.Server) {
	at := server.NewDatabase()
	first := d.first(t, at)
	_, opened, failed := d.standby(t.Context(), t, at)
	server.Kill()
	eventually(t, "the first bridge's doubt", func() bool { return first.MayAct() != nil })
	server.Start()
	// Either may have it now; the one that has not must know.
	eventually(t, "the return of a holder", func() bool { return first.MayAct() == nil || len(opened) > 0 })
	_ = first.Close(t.Context(), false) // it may have lost the store, or find its connection cut
	select {
	case second := <-opened:
		save(t, second, &store.Batch{Users: []store.User{user("alice", 1)}})
	case err := <-failed:
		t.Fatalf("who waited gave up: %v", err)
	case <-time.After(patience):
		t.Fatal("nobody took over")
	}
}

func handedOver(t *testing.T, d Servers, server *servertest.Server) {
	at := server.NewDatabase()
	first := d.first(t, at)
	save(t, first, &store.Batch{Users: []store.User{user("alice", 1)}})
	_, opened, _ := d.standby(t.Context(), t, at)
	closeStore(t, first, true)
	second := await(t, "the second bridge", opened)
	st := load(t, second)
	same(t, "clean after an ordered stop", st.Clean, true)
	same(t, "users", st.Users, loaded(user("alice", 1)))
}

// oneOfTwo is about those who see at the same moment that nobody has the store.
func oneOfTwo(t *testing.T, d Servers, server *servertest.Server) {
	at := server.NewDatabase()
	first := d.first(t, at)
	_, second, _ := d.standby(t.Context(), t, at)
	_, third, _ := d.standby(t.Context(), t, at)
	closeStore(t, first, true)
	var next *store.SQL
	other := third
	select {
	case next = <-second:
	case next = <-third:
		other = second
	case <-time.After(patience):
		t.Fatal("nobody took over")
	}
	for version := range uint64(10) {
		save(t, next, &store.Batch{Users: []store.User{user("alice", version)}})
	}
	if len(other) > 0 {
		t.Error("both took over")
	}
	closeStore(t, next, true)
	same(t, "users", load(t, await(t, "the other one", other)).Users, loaded(user("alice", 9)))
}

// died is about one whose process has ended without a release: the socket that its sign names
// is not there.
func died(t *testing.T, d Servers, server *servertest.Server) {
	at := server.NewDatabase()
	lease := store.Lease{Holder: "first", Boot: "this", Term: time.Hour}
	openAs := func() *store.SQL {
		return open(t, Opener{Open: func(ctx context.Context) (*store.SQL, error) { return d.Open(ctx, at, lease, zap.NewNop()) }})
	}
	first := openAs()
	holder := panelRow(t, panelOf(server, at), `SELECT holder FROM lease`, 1)[0]
	if sign := strings.Fields(holder); len(sign) != 4 || sign[0] != "first" || sign[1] != "this" || strings.Index(holder, "this") != 64 {
		t.Fatalf("holder %q", holder)
	}
	panelExec(t, server, at, `UPDATE lease SET holder = '`+holder[:len(holder)-1]+`-'`)
	lease.Holder = "second"
	second := openAs()
	await(t, "the end of the one that is not dead", lostOf(t, first))
	save(t, second, &store.Batch{Users: []store.User{user("alice", 1)}})
}

// lostOf has a store notice that another bridge has its lease.
func lostOf(t *testing.T, s *store.SQL) <-chan struct{} {
	t.Helper()
	if err := s.Save(t.Context(), &store.Batch{}); !errors.Is(err, store.ErrLost) {
		t.Errorf("save = %v, want ErrLost", err)
	}
	return s.Lost()
}

func waitEnds(t *testing.T, d Servers, server *servertest.Server) {
	at := server.NewDatabase()
	first := d.first(t, at)
	ctx, cancel := context.WithCancel(t.Context())
	_, _, failed := d.standby(ctx, t, at)
	cancel()
	if err := await(t, "the end of the wait", failed); !errors.Is(err, context.Canceled) {
		t.Errorf("open = %v, want context.Canceled", err)
	}
	no := errors.New("no")
	_, err := d.Open(t.Context(), at, store.Lease{Holder: "third", Term: term, Waiting: func(context.Context, string, *store.Reads) error { return no }}, zap.NewNop())
	if !errors.Is(err, no) {
		t.Errorf("open = %v, want what Waiting says", err)
	}
	save(t, first, &store.Batch{})
}

// killed kills the server again and again while batches are saved, each with the
// next version of every user and a line of history for each.
func killed(t *testing.T, d Servers, server *servertest.Server) {
	const users, rounds = 5, 4
	at := server.NewDatabase()
	s := d.first(t, at)
	batch := func(version uint64) *store.Batch {
		when := noon.Add(time.Duration(version) * time.Second)
		b := &store.Batch{PBXs: []store.PBX{{Name: "main", Incarnation: fmt.Sprint(version), Heard: when}}}
		for i := range users {
			id := presence.UserID(fmt.Sprintf("user-%02d", i))
			b.Users = append(b.Users, user(id, version))
			b.History = append(b.History, entry(id, version, when))
		}
		return b
	}
	version := uint64(0)
	for range rounds {
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
				err := s.Save(ctx, batch(version+1))
				cancel()
				if err != nil {
					return
				}
				version++
			}
		}()
		time.Sleep(200 * time.Millisecond)
		server.Kill()
		<-done
		server.Start()
		// Of the batch whose answer never came nobody knows; saving it again is harmless.
		eventually(t, "a save after the kill", func() bool { return s.Save(t.Context(), batch(version+1)) == nil })
		version++
		var st State
		// A connection from before that was idle for less than a second is not tried out first.
		eventually(t, "a load after the kill", func() (done bool) {
			var err error
			st, err = Load(t.Context(), s)
			return err == nil
		})
		for _, u := range st.Users {
			same(t, "version", u.Version, version)
		}
		same(t, "pbx", st.PBXs[0].Incarnation, fmt.Sprint(version))
		same(t, "entries", panelRow(t, panelOf(server, at), `SELECT COUNT(*) FROM history`, 1), []string{fmt.Sprint(version * users)})
	}
	if version < 2*rounds {
		t.Errorf("only %d batches were saved", version)
	}
}

func hangs(t *testing.T, d Servers, server *servertest.Server) {
	s := d.first(t, server.NewDatabase())
	save(t, s, &store.Batch{Users: []store.User{user("alice", 1)}})
	server.Pause()
	defer server.Resume()
	ctx, cancel := context.WithTimeout(t.Context(), term)
	defer cancel()
	if err := s.Save(ctx, &store.Batch{Users: []store.User{user("alice", 2)}}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("save = %v, want context.DeadlineExceeded", err)
	}
	if _, err := s.Load(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("load = %v, want context.DeadlineExceeded", err)
	}
	eventually(t, "the bridge's doubt", func() bool { return s.MayAct() != nil })
	server.Resume()
	eventually(t, "a save afterwards", func() bool { return s.Save(t.Context(), &store.Batch{Users: []store.User{user("alice", 3)}}) == nil })
	eventually(t, "the lease", func() bool { return s.MayAct() == nil })
	eventually(t, "a load afterwards", func() bool {
		st, err := Load(t.Context(), s)
		return err == nil && len(st.Users) == 1 && st.Users[0].Version == 3
	})
}

func locked(t *testing.T, d Servers, server *servertest.Server) {
	at := server.NewDatabase()
	s := d.first(t, at)
	save(t, s, &store.Batch{Users: []store.User{user("alice", 1)}})
	db, err := panelOf(server, at).Panel()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	for _, statement := range strings.Split(d.Lock, ";") {
		if _, err := conn.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	err = s.Save(t.Context(), &store.Batch{Users: []store.User{user("alice", 2)}})
	if err == nil || !strings.Contains(err.Error(), "another program holds a lock") {
		t.Errorf("save = %v, want a sentence about the lock", err)
	}
	if err := s.MayAct(); err != nil {
		t.Errorf("the lease waited for the lock: %v", err)
	}
	if _, err := conn.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	save(t, s, &store.Batch{Users: []store.User{user("alice", 2)}})
}

func foreign(t *testing.T, d Servers, server *servertest.Server) {
	at := server.NewDatabase()
	panelExec(t, server, at, `CREATE TABLE astdb (name VARCHAR(80), value VARCHAR(80))`)
	_, err := d.Open(t.Context(), at, store.Lease{Holder: "first", Term: term}, zap.NewNop())
	if err == nil || !strings.Contains(err.Error(), "database of another program") {
		t.Errorf("open = %v", err)
	}
	for _, table := range []string{"lease", "users"} {
		if err := panelTry(t, server, at, `SELECT 1 FROM `+table); err == nil {
			t.Errorf("there is a table %s now", table)
		}
	}
}

func newerSchema(t *testing.T, d Servers, server *servertest.Server) {
	at := server.NewDatabase()
	closeStore(t, d.first(t, at), true)
	panelExec(t, server, at, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, true)`)
	for range 2 { // ErrInUse would show a lease that was left behind
		_, err := d.Open(t.Context(), at, store.Lease{Holder: "first", Term: term}, zap.NewNop())
		if !errors.Is(err, store.ErrNewer) || !strings.Contains(err.Error(), "schema is 999") {
			t.Errorf("open = %v, want ErrNewer", err)
		}
	}
	same(t, "clean", panelRow(t, panelOf(server, at), `SELECT value FROM meta WHERE name = 'clean'`, 1), []string{"true"})
	// Nor does it wait for a newer bridge that holds it.
	panelExec(t, server, at, `UPDATE lease SET holder = 'newer'`)
	waiting := func(context.Context, string, *store.Reads) error { t.Error("it waits"); return errors.New("no") }
	if _, err := d.Open(t.Context(), at, store.Lease{Holder: "first", Term: term, Waiting: waiting}, zap.NewNop()); !errors.Is(err, store.ErrNewer) {
		t.Errorf("open = %v, want ErrNewer", err)
	}
}

func deletedLease(t *testing.T, d Servers, server *servertest.Server) {
	at := server.NewDatabase()
	first := d.first(t, at)
	panelExec(t, server, at, `DELETE FROM lease`)
	await(t, "the end of Lost", first.Lost())
	second := d.first(t, at)
	if err := first.Save(t.Context(), &store.Batch{Users: []store.User{user("alice", 1)}}); !errors.Is(err, store.ErrLost) {
		t.Errorf("save = %v, want ErrLost", err)
	}
	save(t, second, &store.Batch{Users: []store.User{user("alice", 2)}})
}

func panelOf(server *servertest.Server, at store.Server) Opener {
	return Opener{Panel: func() (*sql.DB, error) { return server.Panel(at) }}
}

func panelTry(t *testing.T, server *servertest.Server, at store.Server, statements string) error {
	t.Helper()
	db, err := server.Panel(at)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	_, err = db.ExecContext(t.Context(), statements)
	return err
}

func panelExec(t *testing.T, server *servertest.Server, at store.Server, statements string) {
	t.Helper()
	if err := panelTry(t, server, at, statements); err != nil {
		t.Fatalf("%s: %v", statements, err)
	}
}

func readingStandby(t *testing.T, d Servers, server *servertest.Server) {
	at := server.NewDatabase()
	s := d.first(t, at)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	told, ended := make(chan *store.Reads, 1), make(chan error, 1)
	waiting := func(ctx context.Context, _ string, from *store.Reads) error { told <- from; return ctx.Err() }
	go func() {
		_, err := d.Open(ctx, at, store.Lease{Holder: "second", Term: term, Waiting: waiting}, zap.NewNop())
		ended <- err
	}()
	from := await(t, "the wait", told)
	number := presence.Own{Default: presence.ExtensionID{PBX: "main", Number: "1001"}}
	save(t, s, &store.Batch{
		Users: []store.User{user("alice", 1), user("bob", 7)}, History: []store.Entry{entry("alice", 1, noon)},
		Own: []store.Settings{{User: "alice", Own: number}},
	})
	before, err := from.LastAct(ctx)
	same(t, "the error of the audit log", err, nil)
	same(t, "the error of a change", s.ChangeMapped(ctx, []store.Mapped{{ID: "alice", Position: 1, Definition: "{}"}}, nil, &store.Act{At: noon, By: "cli", Did: "user added"}), nil)

	users, err := from.Views(ctx, []presence.UserID{"alice", "bob", "nobody", "x' OR '1' = '1"})
	slices.SortFunc(users, func(a, b store.User) int { return strings.Compare(string(a.ID), string(b.ID)) })
	if err != nil || len(users) != 2 || users[1].ID != "bob" || users[1].Version != 7 || string(users[1].View) != string(user("bob", 7).View) {
		t.Errorf("views %+v, %v", users, err)
	}
	if own, err := from.Own(ctx, []presence.UserID{"bob", "alice"}); err != nil || len(own) != 1 || own[0].User != "alice" || own[0].Own != number {
		t.Errorf("own settings %+v, %v", own, err)
	}
	if lines, err := from.History(ctx, store.Query{}); err != nil || len(lines) != 1 {
		t.Errorf("history %v, %v", lines, err)
	}
	if after, err := from.LastAct(ctx); err != nil || after <= before {
		t.Errorf("the last act is %d after %d, %v", after, before, err)
	}
	cancel()
	if err := await(t, "the end of the wait", ended); !errors.Is(err, context.Canceled) {
		t.Errorf("open = %v", err)
	}
}
