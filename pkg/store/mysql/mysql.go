// Package mysql keeps the store in a MariaDB database, version 10.5 or newer, or in
// MySQL 8, whose SQL is the same here. A panel may read it with plain SQL while the
// bridge runs. Of several bridges on one database exactly one acts; the others wait.
package mysql

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/pressly/goose/v3"
	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/store"
)

//go:embed migrations/*.sql
var migrations embed.FS

const (
	connectTimeout = 5 * time.Second
	// A commit does not look at its context in the driver, so this is also by how
	// much a deadline can be missed.
	readTimeout  = 30 * time.Second
	writeTimeout = 10 * time.Second
	// A backup counts and sorts whole tables before the first row comes; a migration may
	// make an index of all of the history.
	longTimeout = 10 * time.Minute
	idleTime    = 5 * time.Minute // of a connection that nobody needs
)

// An assignment sees those before it, so the version comes last.
const (
	saveUser = `
INSERT INTO users (id, name, email, version, type, type_name, base, color, message, since, until, set_by, removed, stale, view, label)
VALUES {rows}
ON DUPLICATE KEY UPDATE
    name = IF(VALUES(version) >= version, VALUES(name), name),
    email = IF(VALUES(version) >= version, VALUES(email), email),
    type = IF(VALUES(version) >= version, VALUES(type), type),
    type_name = IF(VALUES(version) >= version, VALUES(type_name), type_name),
    base = IF(VALUES(version) >= version, VALUES(base), base),
    color = IF(VALUES(version) >= version, VALUES(color), color),
    message = IF(VALUES(version) >= version, VALUES(message), message),
    since = IF(VALUES(version) >= version, VALUES(since), since),
    until = IF(VALUES(version) >= version, VALUES(until), until),
    set_by = IF(VALUES(version) >= version, VALUES(set_by), set_by),
    removed = IF(VALUES(version) >= version, VALUES(removed), removed),
    stale = IF(VALUES(version) >= version, VALUES(stale), stale),
    view = IF(VALUES(version) >= version, VALUES(view), view),
    label = IF(VALUES(version) >= version, VALUES(label), label),
    version = GREATEST(version, VALUES(version))`

	// Not INSERT IGNORE, which takes anything else that is wrong for a warning.
	saveEntry = `
INSERT INTO history (user_id, version, at, ordinal, type, name, base, message, since, until, set_by, rule, label)
VALUES {rows}
ON DUPLICATE KEY UPDATE ordinal = VALUES(ordinal)`

	savePBX = `
INSERT INTO pbxs (name, incarnation, heard) VALUES {rows}
ON DUPLICATE KEY UPDATE incarnation = VALUES(incarnation), heard = VALUES(heard)`
)

// lease is made before anything else, since who holds it may migrate. It never
// changes, as an older bridge has to understand it. The first token is the time, so
// that it is new even where somebody has emptied the table.
const (
	lease = `CREATE TABLE IF NOT EXISTS lease (
    id     INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    token  BIGINT NOT NULL, -- rises whenever another bridge takes over
    beat   BIGINT NOT NULL, -- rises while the holder lives
    holder VARCHAR(255) NOT NULL -- '': nobody
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin`
	leaseRow = `INSERT INTO lease (id, token, beat, holder) VALUES (1, ROUND(UNIX_TIMESTAMP(NOW(6)) * 1000000), 0, '') ON DUPLICATE KEY UPDATE id = VALUES(id)`
)

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
		Schema:  func() (*sql.DB, error) { return pool(at, 1, longTimeout) },
		Prepare: func(ctx context.Context, db *sql.DB) error { return prepare(ctx, db, at) },
		Passing: passing,
	}, err
}

func dialect(at store.Server) (store.Dialect, error) {
	sub, err := fs.Sub(migrations, "migrations")
	return store.Dialect{
		Goose:      goose.DialectMySQL,
		Migrations: sub,
		Save:       store.Upserts{User: saveUser, Entry: saveEntry, PBX: savePBX},
		Undone:     func(err error) bool { return code(err) == deadlock },
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
	c := config(at)
	c.ReadTimeout = longTimeout
	inner, err := mysql.NewConnector(c)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector{inner, patience})
	db.SetMaxOpenConns(1)
	return store.NewReader(db, d), nil
}

// Connect makes a pool of connections to any database: not for a store.
func Connect(at store.Server, connections int) (*sql.DB, error) { return open(at, connections) }

// Code returns the number of an error that comes from the server itself; 0: it does not.
func Code(err error) uint16 { return code(err) }

// open makes a pool; it connects when it is used.
func open(at store.Server, connections int) (*sql.DB, error) {
	return pool(at, connections, readTimeout)
}

func pool(at store.Server, connections int, answer time.Duration) (*sql.DB, error) {
	c := config(at)
	c.ReadTimeout = answer
	inner, err := mysql.NewConnector(c)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector{inner, haste})
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	db.SetConnMaxIdleTime(idleTime)
	return db, nil
}

func config(at store.Server) *mysql.Config {
	c := mysql.NewConfig()
	c.Net, c.Addr = "tcp", at.Address
	if at.Unix() {
		c.Net = "unix"
	}
	c.DBName, c.User, c.Passwd, c.TLS = at.Database, at.User, at.Secret(), at.TLS
	c.Collation = "utf8mb4_bin"
	c.Timeout, c.ReadTimeout, c.WriteTimeout = connectTimeout, readTimeout, writeTimeout
	c.ClientFoundRows = true   // a row that stays as it was counts as found
	c.InterpolateParams = true // one round trip a statement, not three
	c.MaxAllowedPacket = 0     // the server's
	c.Logger = silent{}        // what it says comes as errors, too
	return c
}

// prepare refuses what is not fit for a store before anything is changed, and
// makes the table lease.
func prepare(ctx context.Context, db *sql.DB, at store.Server) error {
	ctx, cancel := context.WithTimeout(ctx, 4*connectTimeout)
	defer cancel()
	if err := check(ctx, db, at); err != nil {
		return err
	}
	if _, err := db.ExecContext(ctx, lease); err != nil {
		return err
	}
	var rows int
	if err := db.QueryRowContext(ctx, `SELECT COUNT(*) FROM lease`).Scan(&rows); err != nil || rows > 0 {
		return err // its holder may keep the row locked, which nobody has to wait for here
	}
	_, err := db.ExecContext(ctx, leaseRow)
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
	for _, statement := range []string{`CREATE TABLE IF NOT EXISTS presencebridge_doctor (x INTEGER)`, `DROP TABLE presencebridge_doctor`} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return h, err
		}
	}
	var flush, tables int
	err = db.QueryRowContext(ctx, `
SELECT VERSION(), @@innodb_flush_log_at_trx_commit,
    (SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name IN ('lease', 'goose_db_version'))`).
		Scan(&h.Version, &flush, &tables)
	if err != nil {
		return h, err
	}
	h.Version = "version " + h.Version
	if flush != 1 {
		h.Warnings = append(h.Warnings, &store.Trouble{Do: "set innodb_flush_log_at_trx_commit = 1 in its configuration",
			Err: fmt.Errorf("the last second before a power cut is lost: innodb_flush_log_at_trx_commit is %d", flush)})
	}
	if tables == 2 {
		err = db.QueryRowContext(ctx, `SELECT (SELECT MAX(version_id) FROM goose_db_version), RTRIM(LEFT(holder, 64)) FROM lease WHERE id = 1`).Scan(&h.Schema, &h.Holder)
	}
	return h, err
}

func check(ctx context.Context, db *sql.DB, at store.Server) error {
	var version string
	var readOnly bool
	if err := db.QueryRowContext(ctx, `SELECT VERSION(), @@read_only`).Scan(&version, &readOnly); err != nil {
		return err
	}
	switch {
	case !newEnough(version):
		return at.Refuse("this is version "+version, "use MariaDB 10.5 or newer, or MySQL 8")
	case readOnly:
		return at.Refuse("this server is read-only, as a replica is", "name the primary in store.dsn")
	}
	var tables, ours int
	err := db.QueryRowContext(ctx, `
SELECT COUNT(*), COUNT(CASE WHEN table_name IN ('goose_db_version', 'lease') THEN 1 END)
FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name <> 'presencebridge_doctor'`).Scan(&tables, &ours)
	if err != nil {
		return err
	}
	if tables > 0 && ours == 0 {
		return at.Refuse("this is the database of another program", "make one for the bridge alone: CREATE DATABASE presencebridge CHARACTER SET utf8mb4")
	}
	return nil
}

// newEnough judges what VERSION() says, such as 10.11.19-MariaDB or 8.0.36.
func newEnough(version string) bool {
	var major, minor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil {
		return false
	}
	if strings.Contains(version, "MariaDB") {
		return major > 10 || major == 10 && minor >= 5
	}
	return major >= 8
}
