package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge/config"
	"github.com/presencebridge/presencebridge/pkg/connector/asterisk/diagnose"
	"github.com/presencebridge/presencebridge/pkg/panel"
	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
	"github.com/presencebridge/presencebridge/pkg/store/mysql"
	"github.com/presencebridge/presencebridge/pkg/store/postgres"
)

// panelAdvice says what to do about an error of the panel's database.
func panelAdvice(cfg config.Panel, at store.Server, err error) error {
	var known *store.Trouble
	if err == nil || errors.As(err, &known) {
		return err
	}
	if do := panelCure(cfg, err); do != "" {
		return &store.Trouble{Do: do, Err: err}
	}
	if cfg.Store.Driver == "sqlite" {
		return err
	}
	if trouble := at.Unreachable(map[string]string{"postgres": "PostgreSQL", "mysql": "MariaDB"}[cfg.Store.Driver], err); trouble != nil {
		return trouble
	}
	return err
}

// panelCure knows the SQLSTATEs of PostgreSQL, the numbers of MariaDB and the words of SQLite.
func panelCure(cfg config.Panel, err error) string {
	sqlite := ""
	if cfg.Store.Driver == "sqlite" {
		sqlite = err.Error()
	}
	says := func(words string) bool { return sqlite != "" && strings.Contains(sqlite, words) }
	switch state, number := postgres.Code(err), mysql.Code(err); {
	case state == "28P01", state == "28000", number == 1045, number == 1698, number == 1130:
		return "the panel's database does not let " + cfg.Store.User + " in: correct the file that panel.password_file names, and see that the account may come from this machine"
	case state == "3D000", number == 1049, says("unable to open database file"):
		return "there is no such database: correct panel.dsn"
	case state == "42P01", number == 1146, says("no such table"):
		return "there is no table " + cfg.Table + " that this account may see: correct panel.table, or give it the rights"
	case state == "42703", number == 1054, says("no such column"):
		return "the table " + cfg.Table + " does not have all the columns under panel.columns: correct their names"
	case state == "42501", number == 1142, number == 1143, number == 1044:
		return "the account lacks rights; " + panelGrant(cfg)
	case state == "25006", number == 1290, number == 1792, number == 1836, says("readonly database"):
		return "the panel's database is read-only: name the primary in panel.dsn, let presencebridge write the file, or write direction: in"
	case says("database is locked"), state == "55P03", number == 1205:
		return "another program holds a lock on the panel's table; it is tried again"
	}
	return ""
}

// panelGrant is the statement that gives exactly the rights that are needed.
func panelGrant(cfg config.Panel) string {
	columns := func(names ...string) string {
		var list []string
		for _, name := range names {
			if name != "" {
				list = append(list, name)
			}
		}
		return strings.Join(list, ", ")
	}
	grant := "give them with: GRANT SELECT (" + columns(cfg.User, cfg.Status, cfg.Message, cfg.Changed) + ")"
	if cfg.Out {
		grant += ", UPDATE (" + columns(cfg.Status, cfg.Message, cfg.Changed) + ")"
	}
	return grant + " ON " + cfg.Table + " TO " + cfg.Store.User
}

// panelWait is how long doctor waits for the panel's database.
const panelWait = 20 * time.Second

// examinePanel tries the panel's table.
func (m *Main) examinePanel(ctx context.Context, cfg *config.Config) []diagnose.Step {
	const name = "table"
	p := cfg.Daemon.Panel
	if p.Store.Driver != "sqlite" && p.Store.Password.Reveal() == "" && !p.Store.Unix() {
		return []diagnose.Step{found(name, diagnose.Warning, "nothing was tried: you may not read the password of "+p.Store.User, "run doctor as root")}
	}
	m.progress("panel: " + p.Table)
	defer m.progress("")
	db, flavor, at, err := connectPanel(p.Store)
	if err != nil {
		return []diagnose.Step{found(name, diagnose.Failed, err.Error(), "correct what stands under panel")}
	}
	defer func() { _ = db.Close() }() // nothing was written
	ctx, cancel := context.WithTimeout(ctx, panelWait)
	defer cancel()
	f, err := panel.Examine(ctx, panelConfig(p, flavor), db, panelKeys(p, cfg.Mapping))
	rows := count(f.Rows, "row", "rows")
	var trouble *store.Trouble
	switch err = panelAdvice(p, at, err); {
	case errors.As(err, &trouble):
		return []diagnose.Step{found(name, diagnose.Failed, trouble.Err.Error(), trouble.Do)}
	case err != nil:
		return []diagnose.Step{found(name, diagnose.Failed, err.Error(), "see the log of the panel's database")}
	case f.Twice != "":
		return []diagnose.Step{found(name, diagnose.Failed, fmt.Sprintf("several rows of %s are of %q, so that nobody knows which counts; they are left alone", p.Table, f.Twice),
			"name a column under panel.columns.user that is unique, or make it so")}
	case f.Known == 0:
		return []diagnose.Step{found(name, diagnose.Warning, fmt.Sprintf("%s has %s, and none of them is a user's of the mapping", p.Table, rows),
			fmt.Sprintf("see that the column %s holds what panel.by says: %s of users", p.User, p.By))}
	}
	return []diagnose.Step{found(name, diagnose.OK, fmt.Sprintf("%s can be read%s; %d of its %s belong to users of the mapping",
		p.Table, map[bool]string{true: " and written"}[p.Out], f.Known, rows), "")}
}

// panelKeys is what rows of users may be called.
func panelKeys(p config.Panel, m *presence.Mapping) map[string]bool {
	keys := make(map[string]bool)
	for _, u := range m.Users {
		switch panel.By(p.By) {
		case panel.Email:
			keys[strings.ToLower(u.Email)] = true
		case panel.Extension:
			for _, x := range u.Rules.Extensions {
				keys[x.Number] = true
			}
		default:
			keys[string(u.ID)] = true
		}
	}
	delete(keys, "")
	return keys
}
