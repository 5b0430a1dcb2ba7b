package postgres

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/presencebridge/presencebridge/pkg/store"
)

// Codes of PostgreSQL, appendix A of its manual.
const (
	uniqueViolation = "23505"
	deadlock        = "40P01"
)

// plainName needs no quotes.
var plainName = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)

// code returns the code of an error that comes from PostgreSQL itself; "": it does not.
func code(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// explain puts what to do before an error.
func explain(at store.Server, err error) error {
	var known *store.Trouble
	if errors.As(err, &known) {
		return err
	}
	if do := advice(at, code(err)); do != "" {
		return &store.Trouble{Do: do, Err: err}
	}
	if strings.Contains(err.Error(), "server refused TLS") {
		return &store.Trouble{Do: "PostgreSQL at " + at.Address + " does not speak TLS: set ssl = on in its postgresql.conf", Err: err}
	}
	if unreachable := at.Unreachable("PostgreSQL", err); unreachable != nil {
		return unreachable
	}
	return err
}

func advice(at store.Server, code string) string {
	user, database := name(at.User), name(at.Database)
	switch code {
	case "28P01", "28000":
		return "PostgreSQL does not let " + at.User + " in: correct the file that store.password_file names, see that pg_hba.conf has a line for it, " +
			"or make it with: CREATE ROLE " + user + " LOGIN PASSWORD '...'"
	case "3D000":
		return "there is no such database; make it with: CREATE DATABASE " + database + " OWNER " + user + " ENCODING 'UTF8' TEMPLATE template0"
	case "42501":
		return at.User + " lacks rights in this database; give them with: ALTER DATABASE " + database + " OWNER TO " + user +
			"; GRANT ALL ON SCHEMA public TO " + user
	case "42P01":
		return "there is no store in this database, or a part of one is missing: start the bridge, which makes it, or restore a backup"
	case "25006":
		return "this server or database is read-only: name the primary in store.dsn, or see default_transaction_read_only"
	case "53300":
		return "PostgreSQL has no connection left: raise max_connections; a bridge needs seven"
	case "53100":
		return "the disk of PostgreSQL is full: free some space there"
	case "55P03":
		return "another program holds a lock on the store: end its transaction; panels and backups may only read"
	case "25P03":
		return "PostgreSQL ended a transaction in which the bridge was silent; it is tried again"
	case "57P01", "57P02", "57P03":
		return "PostgreSQL at " + at.Address + " is stopping or starting; it is tried again"
	}
	return ""
}

// name writes a name as a statement needs it. It has no quotes itself.
func name(s string) string {
	if plainName.MatchString(s) {
		return s
	}
	return `"` + s + `"`
}

// passing tells whether an error may be gone the next time: the network's, or that
// of a server which restarts.
func passing(err error) bool {
	c := code(err)
	return c == "" || c == "25006" || slices.Contains([]string{"08", "53", "57"}, c[:2]) // its class
}
