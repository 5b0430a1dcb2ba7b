package store

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
	"time"
)

// A backup is gzip'd JSON, a line each: the Backup itself; for every table a line
// that names it and its columns, then its rows as arrays; and the SHA-256 of all the
// lines before.
//
//	{"presencebridge":"backup","version":1,"schema":5,"made":"2026-11-25T23:00:00Z","rows":2}
//	{"table":"users","columns":["id","name", ...]}
//	["alice","Alice Martin", ...]
//	...
//	{"sha256":"5891b5b5..."}

// Backup says what a backup is. It is its first line.
type Backup struct {
	What    string    `json:"presencebridge"` // backup
	Version int       `json:"version"`        // of this form
	Schema  int64     `json:"schema"`         // of the store that it was made of
	Made    time.Time `json:"made"`
	Rows    int64     `json:"rows"` // of all tables
}

type backupTable struct {
	Table   string   `json:"table"`
	Columns []string `json:"columns"`
}

type backupEnd struct {
	SHA256 string `json:"sha256"`
}

const (
	backupWhat    = "backup"
	backupVersion = 1
)

// Progress is told now and then how many of all rows are done. nil: nobody is.
type Progress func(done, all int64)

// progressRows is after how many rows.
const progressRows = 500

// counter counts rows for a Progress.
type counter struct {
	tell Progress
	done int64
}

func (c *counter) add(n int, all int64) {
	before := c.done / progressRows
	c.done += int64(n)
	if c.tell != nil && c.done/progressRows > before {
		c.tell(c.done, all)
	}
}

// Reader reads a store of which a bridge may be writing the next version: it needs
// no lock and no lease, and changes nothing.
type Reader struct {
	db      *sql.DB
	dialect Dialect
}

// NewReader reads the store in db, whose transactions can be repeatable reads. It
// takes db over.
func NewReader(db *sql.DB, d Dialect) *Reader { return &Reader{db, d} }

// Close closes the database.
func (r *Reader) Close() error { return r.db.Close() }

// Backup writes everything of the store to w as it is at one moment, whoever writes it
// meanwhile. made is what the backup says of its time.
func (r *Reader) Backup(ctx context.Context, w io.Writer, made time.Time, p Progress) (Backup, error) {
	b := Backup{What: backupWhat, Version: backupVersion, Made: made.UTC().Truncate(time.Second)}
	tx, err := r.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err == nil {
		err = r.backup(ctx, tx, newBackupWriter(w), &b, p)
		_ = tx.Rollback() // nothing was written
	}
	// A disk that is full is not the database's.
	var output *outputError
	if errors.As(err, &output) {
		return b, output
	}
	return b, (&Reads{dialect: r.dialect}).fail(ctx, "backup", err)
}

func (r *Reader) backup(ctx context.Context, tx *sql.Tx, w *backupWriter, b *Backup, p Progress) error {
	known, err := r.dialect.schema()
	if err != nil {
		return err
	}
	if b.Schema, err = schemaOf(ctx, tx); err != nil {
		return err
	}
	if b.Schema > known {
		return newer(b.Schema, known)
	}
	for i := range keptTables {
		if k := &keptTables[i]; k.since <= b.Schema {
			n, err := count(ctx, tx, k)
			if err != nil {
				return err
			}
			b.Rows += n
		}
	}
	w.line(b)
	done := counter{tell: p}
	for i := range keptTables {
		if k := &keptTables[i]; k.since <= b.Schema {
			if err := w.table(ctx, tx, k, b.Schema, func() { done.add(1, b.Rows) }); err != nil {
				return fmt.Errorf("%s: %w", k.name, err)
			}
		}
	}
	return w.end()
}

// schemaOf is the schema that a store has.
func schemaOf(ctx context.Context, tx *sql.Tx) (int64, error) {
	var schema sql.NullInt64
	if err := tx.QueryRowContext(ctx, `SELECT MAX(version_id) FROM goose_db_version`).Scan(&schema); err != nil {
		return 0, fmt.Errorf("schema: %w", err)
	}
	return schema.Int64, nil
}

func count(ctx context.Context, tx *sql.Tx, k *kept) (n int64, err error) {
	err = tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM `+k.name).Scan(&n)
	return n, err
}

// backupWriter writes lines. Its first error stays.
type backupWriter struct {
	zip  *gzip.Writer
	sum  hash.Hash
	json *json.Encoder
	err  error
}

func newBackupWriter(w io.Writer) *backupWriter {
	b := &backupWriter{zip: gzip.NewWriter(w), sum: sha256.New()}
	b.json = json.NewEncoder(io.MultiWriter(b.zip, b.sum))
	b.json.SetEscapeHTML(false)
	return b
}

func (w *backupWriter) line(v any) {
	if w.err == nil {
		w.err = w.json.Encode(v)
	}
}

func (w *backupWriter) table(ctx context.Context, tx *sql.Tx, k *kept, schema int64, done func()) error {
	columns := k.columns(schema)
	w.line(backupTable{k.name, names(columns)})
	rows, err := tx.QueryContext(ctx, `SELECT `+strings.Join(names(columns), ", ")+` FROM `+k.name+` ORDER BY `+k.order) //nolint:gosec // names of kept.go, never of anybody else
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // what it could say, Err has said
	texts, numbers := make([]sql.NullString, len(columns)), make([]sql.NullInt64, len(columns))
	into, row := make([]any, len(columns)), make([]any, len(columns))
	for i, c := range columns {
		into[i] = &texts[i]
		if c.number {
			into[i] = &numbers[i]
		}
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		for i := range columns {
			switch {
			case texts[i].Valid:
				row[i] = texts[i].String
			case numbers[i].Valid:
				row[i] = numbers[i].Int64
			default:
				row[i] = nil
			}
		}
		if w.line(row); w.err != nil {
			return &outputError{w.err}
		}
		done()
	}
	return rows.Err()
}

func (w *backupWriter) end() error {
	w.line(backupEnd{hex.EncodeToString(w.sum.Sum(nil))})
	if w.err == nil {
		w.err = w.zip.Close()
	}
	if w.err != nil {
		return &outputError{w.err}
	}
	return nil
}

// outputError is one of where a backup goes, not of where it comes from.
type outputError struct{ err error }

func (e *outputError) Error() string { return "write the backup: " + e.err.Error() }

func (e *outputError) Unwrap() error { return e.err }
