// Package sqlite keeps the store in one SQLite file. A panel may read it with
// plain SQL while the bridge runs; only the bridge writes.
package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"

	"github.com/pressly/goose/v3"
	"go.uber.org/zap"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/presencebridge/presencebridge/pkg/store"
)

//go:embed migrations/*.sql
var migrations embed.FS

// busyTimeout is how long SQLite waits for somebody else's lock. It does not look
// at the context meanwhile (sqliteDefaultBusyCallback in main.c), so this is also
// by how much a deadline can be missed.
const busyTimeout = "busy_timeout(500)"

// smallCache is for connections that look at a page once: 256 kB instead of 2 MB.
const smallCache = "cache_size(-256)"

// readers is how many queries may run at once beside the writer.
const readers = 4

// Open opens, and if need be makes, the store in the file at path. Only one
// bridge can have it open: store.ErrInUse says that another one has.
func Open(ctx context.Context, path string, log *zap.Logger) (*store.SQL, error) {
	path, err := resolve(path)
	if err != nil {
		return nil, err
	}
	unlock, err := lock(path + ".lock")
	if err != nil {
		return nil, err
	}
	c, err := connect(ctx, path)
	if err != nil {
		return nil, errors.Join(err, unlock())
	}
	moves, err := startCheckpointer(path, log)
	if err != nil {
		return nil, errors.Join(err, c.Write.Close(), c.Read.Close(), unlock())
	}
	c.Dialect.Saved = moves.saved
	c.Unlock = func() error { return errors.Join(moves.close(), unlock()) }
	c.Log = log
	return store.Open(ctx, c)
}

// Connect opens the file of another program, which stays as it is but for what is
// written into it: not for a store.
func Connect(path string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", dsn(path, url.Values{"mode": {"rw"}, "_txlock": {"immediate"}, "_pragma": {busyTimeout}}))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return db, nil
}

// connect opens the file, which is ours alone by now.
func connect(ctx context.Context, path string) (store.Config, error) {
	if err := create(path); err != nil {
		return store.Config{}, err
	}
	d, err := dialect(path)
	if err != nil {
		return store.Config{}, err
	}
	write, err := sql.Open("sqlite", dsn(path, url.Values{
		"_txlock": {"immediate"}, // a transaction that writes later could not wait for the lock
		"_pragma": {busyTimeout, "synchronous(FULL)", "foreign_keys(1)", "journal_size_limit(67108864)", walPages},
	}))
	if err != nil {
		return store.Config{}, err
	}
	write.SetMaxOpenConns(1)
	if err := check(ctx, write, path); err != nil {
		return store.Config{}, errors.Join(err, write.Close())
	}
	read, err := sql.Open("sqlite", dsn(path, url.Values{"_pragma": {busyTimeout, "query_only(1)", smallCache}}))
	if err != nil {
		return store.Config{}, errors.Join(err, write.Close())
	}
	read.SetMaxOpenConns(readers)
	read.SetMaxIdleConns(readers)
	return store.Config{Write: write, Read: read, Dialect: d}, nil
}

func dialect(path string) (store.Dialect, error) {
	sub, err := fs.Sub(migrations, "migrations")
	return store.Dialect{
		Goose:      goose.DialectSQLite3,
		Migrations: sub,
		Local:      true,
		Save:       store.OnConflict(),
		Explain:    func(err error) error { return explain(path, err) },
	}, err
}

// OpenReader opens the store in the file at path, for a backup: also while a bridge
// has it. The file has to be there.
func OpenReader(path string) (*store.Reader, error) {
	switch _, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("there is no store %s: correct store.dsn, or start the bridge, which makes it", path)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("store %s: %s: %w", path, whoReads, err)
	}
	path, err := resolve(path)
	if err != nil {
		return nil, err
	}
	d, err := dialect(path)
	if err != nil {
		return nil, err
	}
	d.Explain = func(err error) error { return explainReading(path, err) }
	db, err := sql.Open("sqlite", dsn(path, url.Values{"mode": {"ro"}, "_pragma": {busyTimeout, "query_only(1)"}}))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return store.NewReader(db, d), nil
}

// dsn names the file as the driver wants it: a path may hold ? and % itself.
func dsn(path string, options url.Values) string {
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + options.Encode()
}

// check refuses another program's database before anything is changed in it, and
// puts ours in WAL mode, in which nobody who reads holds up who writes.
func check(ctx context.Context, db *sql.DB, path string) error {
	var tables, ours int
	err := db.QueryRowContext(ctx, `SELECT COUNT(*), COUNT(CASE WHEN name = 'goose_db_version' THEN 1 END) FROM sqlite_master`).
		Scan(&tables, &ours)
	if err != nil {
		return explain(path, err)
	}
	if tables > 0 && ours == 0 {
		return fmt.Errorf("%s is the database of another program: give store.dsn a file of its own", path)
	}
	if ours > 0 {
		// Goose would take a table that cannot be read for one that is not there.
		var version int64
		if err := db.QueryRowContext(ctx, `SELECT MAX(version_id) FROM goose_db_version`).Scan(&version); err != nil {
			return explain(path, err)
		}
	}
	var mode string
	if err := db.QueryRowContext(ctx, `PRAGMA journal_mode = WAL`).Scan(&mode); err != nil {
		return explain(path, err)
	}
	if mode != "wal" {
		return fmt.Errorf("%s is on a file system without shared memory: move the store to a local disk", path)
	}
	return nil
}
