// Package postgres keeps the store in a PostgreSQL database, version 13 or newer.
// A panel may read it with plain SQL while the bridge runs. Of several bridges on
// one database exactly one acts; the others wait.
package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/store"
)

//go:embed migrations/*.sql
var migrations embed.FS

const (
	oldest = 130000 // server_version_num

	connectTimeout = 5 * time.Second
	idleTime       = 5 * time.Minute // of a connection that nobody needs

	socketName = ".s.PGSQL." // of a unix socket, before the port
)

// session is what every connection asks of the server. One that a paused bridge
// has left within a transaction is cut by the server, so that its locks do not
// keep another bridge out; who waits for somebody else's lock is told in time.
var session = map[string]string{
	"application_name":                    "presencebridge",
	"default_transaction_isolation":       "read committed",
	"idle_in_transaction_session_timeout": "6s",
	"lock_timeout":                        "4s",
	"synchronous_commit":                  "on", // accepted means that it survives
	"tcp_keepalives_idle":                 "5",
	"tcp_keepalives_interval":             "2",
	"tcp_keepalives_count":                "3",
}

// lease is made before anything else, since who holds it may migrate. It never
// changes, as an older bridge has to understand it. The first token is the time, so
// that it is new even where somebody has emptied the table.
const lease = `CREATE TABLE IF NOT EXISTS lease (
    id     INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    token  BIGINT NOT NULL, -- rises whenever another bridge takes over
    beat   BIGINT NOT NULL, -- rises while the holder lives
    holder TEXT NOT NULL    -- '': nobody
);
INSERT INTO lease (id, token, beat, holder) VALUES (1, (extract(epoch FROM now()) * 1000000)::bigint, 0, '') ON CONFLICT DO NOTHING`

// Open opens, and if need be makes, the store in a database of at. It returns when
// this bridge may act; l says how long it waits for another, and needs no DB.
func Open(ctx context.Context, at store.Server, l store.Lease, log *zap.Logger) (*store.SQL, error) {
	d, err := driverOf(at)
	if err != nil {
		return nil, err
	}
	c, err := d.Connect(ctx, l, log)
	if err != nil {
		return nil, err
	}
	return store.Open(ctx, c)
}

func driverOf(at store.Server) (store.Driver, error) {
	d, err := dialect(at)
	return store.Driver{
		Dialect: d,
		Pool:    func(connections int) (*sql.DB, error) { return open(at, connections) },
		Prepare: func(ctx context.Context, db *sql.DB) error { return prepare(ctx, db, at) },
		Passing: passing,
	}, err
}

func dialect(at store.Server) (store.Dialect, error) {
	sub, err := fs.Sub(migrations, "migrations")
	return store.Dialect{
		Goose:      goose.DialectPostgres,
		Migrations: sub,
		Save:       store.OnConflict(),
		NoNUL:      true,
		Undone:     func(err error) bool { return code(err) == deadlock },
		Bind:       store.Numbered,
		Explain:    func(err error) error { return explain(at, err) },
	}, err
}

// OpenReader opens the store in a database of at, for a backup: also while a bridge
// has it. It connects when it is used.
func OpenReader(at store.Server) (*store.Reader, error) {
	d, err := dialect(at)
	if err != nil {
		return nil, err
	}
	c, err := config(at)
	if err != nil {
		return nil, err
	}
	// Whoever takes the backup may be slow, and nobody waits for what this one locks.
	c.RuntimeParams["idle_in_transaction_session_timeout"] = "0"
	db := stdlib.OpenDB(*c)
	db.SetMaxOpenConns(1)
	return store.NewReader(db, d), nil
}

// Connect makes a pool of connections to any database: not for a store.
func Connect(at store.Server, connections int) (*sql.DB, error) { return open(at, connections) }

// Listen calls news whenever somebody says NOTIFY channel, and once when it begins to
// hear, until the connection breaks or ctx ends. The error is never nil.
func Listen(ctx context.Context, at store.Server, channel string, news func()) error {
	c, err := config(at)
	if err != nil {
		return err
	}
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // what it could say, it has said
	if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{channel}.Sanitize()); err != nil {
		return err
	}
	for {
		news() // what was before has gone by unheard
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return err
		}
	}
}

// Code returns the SQLSTATE of an error that comes from PostgreSQL itself; "": it does not.
func Code(err error) string { return code(err) }

// open makes a pool; it connects when it is used. Nothing of libpq's environment
// or files counts.
func open(at store.Server, connections int) (*sql.DB, error) {
	c, err := config(at)
	if err != nil {
		return nil, err
	}
	db := stdlib.OpenDB(*c)
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	db.SetConnMaxIdleTime(idleTime)
	return db, nil
}

func config(at store.Server) (*pgx.ConnConfig, error) {
	c, err := pgx.ParseConfig("host=127.0.0.1 sslmode=disable passfile=/dev/null")
	if err != nil {
		return nil, fmt.Errorf("the environment has settings of PostgreSQL that cannot be read: unset the variables that begin with PG: %w", err)
	}
	if c.Host, c.Port, err = address(at.Address); err != nil {
		return nil, err
	}
	c.Database, c.User, c.Password = at.Database, at.User, at.Secret()
	c.TLSConfig, c.Fallbacks = at.TLS, nil
	c.ConnectTimeout = connectTimeout
	c.RuntimeParams = map[string]string{}
	for name, value := range session {
		c.RuntimeParams[name] = value
	}
	return c, nil
}

func address(a string) (host string, port uint16, err error) {
	host, text, err := net.SplitHostPort(a)
	if strings.HasPrefix(a, "/") {
		host = filepath.Dir(a)
		text, _ = strings.CutPrefix(filepath.Base(a), socketName)
		err = nil
	}
	if err == nil {
		var n uint64
		n, err = strconv.ParseUint(text, 10, 16)
		port = uint16(n)
	}
	if err != nil {
		return "", 0, fmt.Errorf("%s is no address of PostgreSQL: name host:port, or a socket such as /run/postgresql/%s5432", a, socketName)
	}
	return host, port, nil
}

// prepare refuses what is not fit for a store before anything is changed, and
// makes the table lease.
func prepare(ctx context.Context, db *sql.DB, at store.Server) error {
	ctx, cancel := context.WithTimeout(ctx, 4*connectTimeout)
	defer cancel()
	if err := check(ctx, db, at); err != nil {
		return err
	}
	var there bool
	err := db.QueryRowContext(ctx, `SELECT to_regclass('lease') IS NOT NULL`).Scan(&there)
	if err == nil && there {
		err = db.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM lease)`).Scan(&there)
	}
	if err != nil || there {
		return err
	}
	_, err = db.ExecContext(ctx, lease)
	if code(err) == uniqueViolation { // two bridges made it at the same moment
		_, err = db.ExecContext(ctx, lease)
	}
	return err
}

// Examine logs in as Open does and tries what that needs. It leaves nothing behind.
func Examine(ctx context.Context, at store.Server) (store.Health, error) {
	db, err := open(at, 1)
	if err != nil {
		return store.Health{}, err
	}
	defer func() { _ = db.Close() }()
	ctx, cancel := context.WithTimeout(ctx, 4*connectTimeout)
	defer cancel()
	h, err := examine(ctx, db, at)
	if err != nil {
		return store.Health{}, explain(at, err)
	}
	return h, nil
}

func examine(ctx context.Context, db *sql.DB, at store.Server) (h store.Health, err error) {
	if err := check(ctx, db, at); err != nil {
		return h, err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return h, err
	}
	defer func() { _ = tx.Rollback() }() // the table that was only tried goes with it
	if _, err := tx.ExecContext(ctx, `CREATE TABLE presencebridge_doctor (x INTEGER)`); err != nil {
		return h, err
	}
	var durable bool
	var ours bool
	err = tx.QueryRowContext(ctx, `
SELECT 'PostgreSQL ' || split_part(current_setting('server_version'), ' ', 1), current_setting('fsync')::bool,
    to_regclass('lease') IS NOT NULL AND to_regclass('goose_db_version') IS NOT NULL`).Scan(&h.Version, &durable, &ours)
	if err != nil {
		return h, err
	}
	if !durable {
		h.Warnings = append(h.Warnings, &store.Trouble{Do: "set fsync = on in its postgresql.conf", Err: errors.New("what is saved does not survive a power cut: fsync is off")})
	}
	if ours {
		err = tx.QueryRowContext(ctx, `SELECT (SELECT MAX(version_id) FROM goose_db_version), RTRIM(LEFT(holder, 64)) FROM lease WHERE id = 1`).Scan(&h.Schema, &h.Holder)
	}
	return h, err
}

func check(ctx context.Context, db *sql.DB, at store.Server) error {
	var version, tables, ours int
	var encoding string
	var replica bool
	err := db.QueryRowContext(ctx, `
SELECT current_setting('server_version_num')::int, current_setting('server_encoding'), pg_is_in_recovery()`).
		Scan(&version, &encoding, &replica)
	if err != nil {
		return err
	}
	switch {
	case version < oldest:
		return at.Refuse(fmt.Sprintf("this is PostgreSQL %d.%d", version/10000, version%10000), "use PostgreSQL 13 or newer")
	case encoding != "UTF8":
		return at.Refuse("its encoding is "+encoding+", which cannot hold every message",
			"make the database anew with: CREATE DATABASE "+name(at.Database)+" OWNER "+name(at.User)+" ENCODING 'UTF8' TEMPLATE template0")
	case replica:
		return at.Refuse("this server is a replica, which cannot be written", "name the primary in store.dsn")
	}
	err = db.QueryRowContext(ctx, `
SELECT COUNT(*), COUNT(CASE WHEN tablename IN ('goose_db_version', 'lease') THEN 1 END)
FROM pg_tables WHERE schemaname = current_schema()`).Scan(&tables, &ours)
	if err != nil {
		return err
	}
	if tables > 0 && ours == 0 {
		return at.Refuse("this is the database of another program", "make one for the bridge alone: CREATE DATABASE presencebridge OWNER "+name(at.User))
	}
	return nil
}
