package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/presencebridge/presencebridge/config"
	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
	"github.com/presencebridge/presencebridge/pkg/store/servertest"
)

// thePanel is the database of an existing panel, as its administrator sees it.
type thePanel struct {
	t  *testing.T
	db *sql.DB
}

func (p *thePanel) exec(statement string, args ...any) {
	p.t.Helper()
	if _, err := p.db.ExecContext(p.t.Context(), statement, args...); err != nil {
		p.t.Fatalf("%s: %v", statement, err)
	}
}

// row waits until a row says something: "meeting Room 5".
func (p *thePanel) row(query, want string) {
	p.t.Helper()
	var got string
	pbxtest.Eventually(p.t, patience, fmt.Sprintf("the panel says %q", want), func() bool {
		err := p.db.QueryRowContext(p.t.Context(), query).Scan(&got)
		return err == nil && got == want
	})
}

// openFile opens, and if need be makes, a file of SQLite.
func openFile(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// withPanel adds a block to the configuration.
func (r *running) withPanel(block string) {
	r.t.Helper()
	text, err := os.ReadFile(filepath.Join(r.dir, "presencebridge.yaml"))
	if err != nil {
		r.t.Fatal(err)
	}
	r.write("presencebridge.yaml", string(text)+block)
}

// livePanel is what is the same with every database. query tells what a user's row
// says; choose is a choice in the panel.
func livePanel(t *testing.T, r *running, pbx pbxtest.PBX, p *thePanel, query func(user string) string, choose func(user, status, message string)) {
	t.Helper()
	f := phone{t, pbxtest.Observe(t, pbx)}
	r.startReady()
	p.row(query("bob"), "3 ") // as the panel had it: taken for bob's choice
	r.shows("bob", "lunch")
	f.set("1001", "xa", "meeting", "Room 5")
	p.row(query("alice"), "meeting Room 5")
	choose("alice", "3", "Back at 2")
	r.showsMessage("alice", "lunch", "Back at 2")
	f.sees("1001", "away", "lunch", "Back at 2")
	f.sees("1002", "away", "lunch", "Back at 2")
	if by := r.user("alice").Status.By; by != "panel alice" {
		t.Errorf("set by %q", by)
	}
	r.set("alice", "dnd", "")
	p.row(query("alice"), "dnd ")

	// Downtime: who has changed what is known.
	r.settled("alice")
	r.kill()
	f.set("1003", "dnd", "", "")
	choose("alice", "available", "")
	r.startReady()
	r.shows("alice", "available")
	r.shows("bob", "dnd")
	p.row(query("bob"), "dnd ")
	p.row(query("alice"), "available ")
}

const panelValues = "values: [{status: lunch, value: '3'}]"

func TestAPanelInASQLiteFile(t *testing.T) {
	pbxtest.RunTogether(t, pbxtest.Options{}, func(t *testing.T, pbx pbxtest.PBX) {
		r := configure(t, threeMethods, pbx)
		p := &thePanel{t, openFile(t, filepath.Join(r.dir, "panel.db"))}
		// As FreePBX has it: statuses are numbers.
		p.exec(`CREATE TABLE people (login TEXT PRIMARY KEY, state TEXT, note TEXT, changed INTEGER NOT NULL DEFAULT 0)`)
		p.exec(`INSERT INTO people (login, state, note) VALUES ('alice', NULL, NULL), ('bob', '3', ''), ('somebody else', '3', '')`)
		r.withPanel("panel: {driver: sqlite, dsn: panel.db, table: people, columns: {user: login, status: state, message: note, changed: changed}, clock: unix, poll: 100ms, " + panelValues + "}\n")
		livePanel(t, r, pbx, p,
			func(user string) string {
				return "SELECT COALESCE(state, '') || ' ' || COALESCE(note, '') FROM people WHERE login = '" + user + "'"
			},
			func(user, status, message string) {
				p.exec(`UPDATE people SET state = ?, note = ?, changed = unixepoch() + 1 WHERE login = ?`, status, message, user)
			})
		p.row("SELECT state FROM people WHERE login = 'somebody else'", "3")
	})
}

// TestAPanelOnAServer uses accounts that may do no more than SELECT and UPDATE on the
// columns that are named.
func TestAPanelOnAServer(t *testing.T) {
	onEachServer(t, func(t *testing.T, driver string, server *servertest.Server) {
		pbx := pbxtest.NewSimulated(t, pbxtest.Options{})
		at := server.NewDatabase()
		db, err := server.Panel(at)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		p := &thePanel{t, db}
		notify := ""
		if driver == "postgres" {
			p.exec(`CREATE TABLE people (login TEXT PRIMARY KEY, state TEXT, note TEXT, changed TIMESTAMPTZ NOT NULL DEFAULT now(), salary INTEGER)`)
			server.Exec(`CREATE ROLE narrow LOGIN PASSWORD 'narrow-secret'`)
			p.exec(`GRANT SELECT (login, state, note, changed), UPDATE (state, note, changed) ON people TO narrow`)
			notify = "notify: people, poll: 1h, "
		} else {
			p.exec(`CREATE TABLE people (login VARCHAR(64) PRIMARY KEY, state CHAR(20), note TEXT, changed TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6), salary INTEGER)`)
			server.Exec(`CREATE USER narrow IDENTIFIED BY 'narrow-secret'`)
			server.Exec(`GRANT SELECT (login, state, note, changed), UPDATE (state, note, changed) ON ` + at.Database + `.people TO narrow`)
			notify = "poll: 100ms, "
		}
		p.exec(`INSERT INTO people (login, state, note) VALUES ('alice', NULL, NULL), ('bob', '3', '')`)
		r := configure(t, threeMethods, pbx)
		r.write("panel-password", "narrow-secret\n")
		r.secrets = append(r.secrets, "narrow-secret")
		r.withPanel(fmt.Sprintf("panel: {driver: %s, dsn: %q, password_file: panel-password, table: people, "+
			"columns: {user: login, status: state, message: note, changed: changed}, %s%s}\n",
			driver, driver+"://narrow@"+at.Address+"/"+at.Database, notify, panelValues))
		livePanel(t, r, pbx, p,
			func(user string) string {
				return "SELECT CONCAT(COALESCE(state, ''), ' ', COALESCE(note, '')) FROM people WHERE login = '" + user + "'"
			},
			func(user, status, message string) {
				if driver == "postgres" {
					p.exec(`UPDATE people SET state = $1, note = $2, changed = clock_timestamp() WHERE login = $3`, status, message, user)
					p.exec(`NOTIFY people`)
				} else {
					p.exec(`UPDATE people SET state = ?, note = ?, changed = NOW(6) WHERE login = ?`, status, message, user)
				}
			})
		deadServer(t, r, p, server)
	})
}

// deadServer ends the panel's database in the middle of it.
func deadServer(t *testing.T, r *running, p *thePanel, server *servertest.Server) {
	t.Helper()
	server.Kill()
	r.set("alice", "meeting", "while it was away")
	server.Start()
	p.row("SELECT CONCAT(state, ' ', note) FROM people WHERE login = 'alice'", "meeting while it was away")
}

// TestThePanelsOfTheGuideWork takes tables and blocks from the guide as they stand, with a
// file of SQLite in place of the server.
func TestThePanelsOfTheGuideWork(t *testing.T) {
	guide, err := os.ReadFile("../../config/README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```yaml\n(panel:\n.*?)```").FindAllSubmatch(guide, -1)
	if len(blocks) != 2 {
		t.Fatalf("the guide has %d panels", len(blocks))
	}
	server := regexp.MustCompile(`(?m)^  (driver|dsn|password_file): .*\n`)
	for i, tc := range []struct{ table, alice, bob string }{
		{"isymphony-like", "SELECT status_name || ' ' || status_message FROM panel_users WHERE username = 'alice'", "SELECT status_name FROM panel_users WHERE username = 'bob'"},
		{"freepbx-like", "SELECT item_id || ' ' || note FROM presence_current WHERE extension = '1002'", "SELECT CAST(item_id AS TEXT) FROM presence_current WHERE extension = '1003'"},
	} {
		t.Run(tc.table, func(t *testing.T) {
			pbx := pbxtest.NewSimulated(t, pbxtest.Options{})
			r := configure(t, threeMethods, pbx)
			p := &thePanel{t, openFile(t, filepath.Join(r.dir, "panel.db"))}
			table, err := os.ReadFile("../../testdata/panel/" + tc.table + ".sql")
			if err != nil {
				t.Fatal(err)
			}
			p.exec(string(table))
			r.withPanel(strings.Replace(server.ReplaceAllString(string(blocks[i][1]), ""), "panel:\n", "panel:\n  driver: sqlite\n  dsn: panel.db\n  poll: 100ms\n", 1))
			f := phone{t, pbxtest.Observe(t, pbx)}
			r.startReady()
			r.showsMessage("bob", "lunch", "Back at 2")
			f.sees("1003", "away", "lunch", "Back at 2")
			r.settled("alice") // what a phone does while our write is under way counts as older than it
			f.set("1001", "xa", "meeting", "Room 5")
			p.row(tc.alice, map[string]string{"isymphony-like": "In a meeting Room 5", "freepbx-like": "4 Room 5"}[tc.table])
			r.set("bob", "dnd", "")
			p.row(tc.bob, map[string]string{"isymphony-like": "Do not disturb", "freepbx-like": "5"}[tc.table])
		})
	}
}

// TestAColumnOfNumbersHoldsNobodyUp has a status without a value, which no number is.
func TestAColumnOfNumbersHoldsNobodyUp(t *testing.T) {
	onEachServer(t, func(t *testing.T, driver string, server *servertest.Server) {
		at := server.NewDatabase()
		db, err := server.Panel(at)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		p := &thePanel{t, db}
		p.exec(`CREATE TABLE presence_current (extension INTEGER PRIMARY KEY, item_id INTEGER, note VARCHAR(10))`)
		p.exec(`INSERT INTO presence_current VALUES (1001, NULL, ''), (1002, NULL, ''), (1003, NULL, '')`)
		r := configure(t, threeMethods, pbxtest.NewSimulated(t, pbxtest.Options{}))
		r.write("panel-password", at.Secret()+"\n")
		r.withPanel(fmt.Sprintf("panel: {driver: %s, dsn: %q, password_file: panel-password, table: presence_current, by: extension, poll: 100ms, "+
			"columns: {user: extension, status: item_id, message: note}, values: [{status: available, value: '1'}, {status: lunch, value: '3'}, {status: dnd, value: '5'}]}\n",
			driver, driver+"://"+at.User+"@"+at.Address+"/"+at.Database))
		r.startReady()
		r.says(1, "doctor", "presence_current can be read and written; 3 of its 3 rows", "give each a value")
		bob, alice := "SELECT CONCAT(item_id, ' ', note) FROM presence_current WHERE extension = 1003", "SELECT CONCAT(item_id, ' ', note) FROM presence_current WHERE extension = 1001"
		r.set("bob", "dnd", "")
		p.row(bob, "5 ")
		r.set("alice", "training", "") // has no number
		r.set("bob", "lunch", "this is longer than the column")
		r.set("bob", "lunch", "short")
		p.row(bob, "3 short")
		r.set("alice", "available", "")
		p.row(alice, "1 ")
	})
}

// A panel's database has settings of its own, and store.password_file is not among them.
func TestARefusedListenerNamesTheSettingsOfThePanel(t *testing.T) {
	at := servertest.Postgres(t).NewDatabase()
	at.Password, at.Setting = func() string { return "wrong" }, "panel"
	cfg := config.Panel{Table: "people", Notify: "people", Store: config.Store{Driver: "postgres", User: at.User}}
	core, logged := observer.New(zap.WarnLevel)
	ctx, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	wait.Go(func() { hearPanel(ctx, cfg, at, make(chan struct{}), zap.New(core)) })
	pbxtest.Eventually(t, patience, "a warning", func() bool { return logged.Len() > 0 })
	cancel()
	wait.Wait()
	says := fmt.Sprint(logged.All()[0].ContextMap()["error"])
	if !strings.Contains(says, "panel.password_file") || strings.Contains(says, "store.") {
		t.Errorf("the warning says %q, and should name panel.password_file alone", says)
	}
}
