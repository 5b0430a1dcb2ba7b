package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/presencebridge/presencebridge/config"
	"github.com/presencebridge/presencebridge/pkg/connector/asterisk/diagnose"
	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store/servertest"
)

// wantPanel tries a panel for two users, and wants the worst of what doctor says of it.
func wantPanel(t *testing.T, p config.Panel, want diagnose.Result, text string) {
	t.Helper()
	m := &newConsole().Main
	users := []presence.MappedUser{
		{ID: "alice", Email: "alice@example.com", Rules: &presence.Rules{Extensions: []presence.ExtensionID{{PBX: "main", Number: "1001"}}}},
		{ID: "bob", Rules: &presence.Rules{}},
	}
	steps := m.examinePanel(t.Context(), &config.Config{Daemon: config.Daemon{Panel: p}, Mapping: &presence.Mapping{Users: users}})
	all := ""
	for _, s := range steps {
		all += string(s.Result) + ": " + s.Says + ": " + s.Do + "\n"
	}
	if steps[0].Result != want || !strings.Contains(all, text) {
		t.Errorf("got %s, want %s with %q", all, want, text)
	}
	if strings.Contains(all, "-secret") {
		t.Errorf("a secret is shown: %s", all)
	}
}

func TestDoctorTriesAPanelInAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "panel.db")
	good := config.Panel{Store: config.Store{Driver: "sqlite", DSN: path}, Table: "people", User: "login", Status: "state", By: "id", In: true, Out: true}
	wantPanel(t, good, diagnose.Failed, "correct panel.dsn")
	admin := &thePanel{t, openFile(t, path)}
	admin.exec(`CREATE TABLE another (x TEXT)`)
	wantPanel(t, good, diagnose.Failed, "correct panel.table")
	admin.exec(`CREATE TABLE people (login TEXT, mail TEXT, phone INTEGER, state TEXT)`)
	wantPanel(t, good, diagnose.Warning, "people has 0 rows")
	admin.exec(`INSERT INTO people VALUES ('alice', 'alice@example.com', 1001, 'lunch'), ('carol', 'c@example.com', 1009, '')`)
	wantPanel(t, good, diagnose.OK, "people can be read and written; 1 of its 2 rows")
	other := good
	other.User, other.By, other.Out = "mail", "email", false
	wantPanel(t, other, diagnose.OK, "people can be read; 1 of its 2 rows")
	other.User, other.By = "phone", "extension"
	wantPanel(t, other, diagnose.OK, "1 of its 2 rows")
	other.By = "id"
	wantPanel(t, other, diagnose.Warning, "the column phone holds what panel.by says: id of users")
	other.Status = "mood"
	wantPanel(t, other, diagnose.Failed, "correct their names")
	admin.exec(`INSERT INTO people VALUES ('alice', '', 0, '')`)
	wantPanel(t, good, diagnose.Failed, `several rows of people are of "alice"`)
	admin.exec(`DELETE FROM people WHERE phone = 0`)
	admin.exec(`CREATE TRIGGER no BEFORE UPDATE ON people BEGIN SELECT RAISE(ABORT, 'no'); END`)
	wantPanel(t, good, diagnose.OK, "can be read and written") // of no row
}

func TestDoctorTriesAPanelOnAServer(t *testing.T) {
	onEachServer(t, func(t *testing.T, driver string, server *servertest.Server) {
		at := server.NewDatabase()
		db, err := server.Panel(at)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		admin := &thePanel{t, db}
		p := config.Panel{
			Store: config.Store{Driver: driver, Address: at.Address, Database: at.Database, User: "narrow", Password: config.NewSecret("narrow-secret")},
			Table: "people", User: "login", Status: "state", Changed: "changed", By: "id", In: true, Out: true,
		}
		wantPanel(t, p, diagnose.Failed, "panel.password_file")
		server.Exec(map[string]string{"postgres": `CREATE ROLE narrow LOGIN PASSWORD 'narrow-secret'`, "mysql": `CREATE USER narrow IDENTIFIED BY 'narrow-secret'`}[driver])
		admin.exec(`CREATE TABLE people (login VARCHAR(64) PRIMARY KEY, state VARCHAR(20), changed TIMESTAMP)`)
		admin.exec(`INSERT INTO people (login, state) VALUES ('alice', 'lunch')`)
		grant := func(rights string) {
			statement := `GRANT ` + rights + ` ON people TO narrow`
			if driver == "mysql" {
				server.Exec(strings.Replace(statement, " people", " "+at.Database+".people", 1))
			} else {
				admin.exec(statement)
			}
		}
		if driver == "postgres" { // MariaDB lets nobody in who may do nothing
			wantPanel(t, p, diagnose.Failed, "GRANT SELECT (login, state, changed), UPDATE (state, changed) ON people TO narrow")
		}
		grant(`SELECT (login, state, changed)`)
		wantPanel(t, p, diagnose.Failed, "GRANT SELECT (login, state, changed), UPDATE (state, changed) ON people TO narrow")
		out := p
		out.Out = false
		wantPanel(t, out, diagnose.OK, "people can be read; 1 of its 1 row ")
		grant(`UPDATE (state, changed)`)
		wantPanel(t, p, diagnose.OK, "can be read and written")
		p.Status = "mood"
		wantPanel(t, p, diagnose.Failed, "")
		p.Table = "nowhere"
		wantPanel(t, p, diagnose.Failed, map[string]string{"postgres": "panel.table", "mysql": "lacks rights"}[driver]) // MariaDB does not tell
		p.Store.Password = config.Secret{}
		wantPanel(t, p, diagnose.Warning, "run doctor as root")
		p.Store.Password, p.Store.Address = config.NewSecret("x-secret"), "127.0.0.1:1"
		wantPanel(t, p, diagnose.Failed, "cannot be reached")
		p.Store.Address, p.Store.TLS = "nowhere.invalid:1", config.TLS{Enabled: true}
		wantPanel(t, p, diagnose.Failed, "correct panel.dsn")
	})
}
