package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/pressly/goose/v3"
	"go.uber.org/zap"
)

// Dialect is what one SQL database says differently from the others.
type Dialect struct {
	Goose      goose.Dialect
	Migrations fs.FS // numbered goose migrations

	Save Upserts

	// Local says that the database is in this process, so that no row waits for a
	// network.
	Local bool

	// NoNUL says that text cannot hold a NUL byte. U+FFFD stands for it then, but
	// in a view, whose JSON escapes it.
	NoNUL bool

	// Undone tells whether an error means that the database itself has undone a
	// transaction, such as one of two that waited for each other, and takes it at the
	// next try. nil: none does.
	Undone func(error) bool

	// Bind rewrites the parameters of a statement, written ?, as the database
	// wants them. nil: it wants them so.
	Bind func(statement string) string

	// Explain puts a sentence that says what to do before an error of the
	// database. nil: none.
	Explain func(error) error

	// Saved is called behind every Save that went well, and must not wait. nil: no need.
	Saved func()
}

func (d *Dialect) bind(statement string) string {
	if d.Bind == nil {
		return statement
	}
	return d.Bind(statement)
}

// Config is an opened database. Lease or Unlock tells how this bridge is the only one.
type Config struct {
	Dialect Dialect
	Write   *sql.DB
	Read    *sql.DB                 // may be the same as Write
	Schema  func() (*sql.DB, error) // of which one connection migrates, where a statement of Write has too little time; nil: Write does
	Lease   *Lease                  // to be taken; nil: Unlock
	Unlock  func() error            // lets another bridge in, which a lock has kept out so far; called last; nil: Lease
	Log     *zap.Logger
}

// openTimeout bounds an Open, migrations included, once others are kept out.
const openTimeout = 10 * time.Minute

// Reads is what of a store may be read while another bridge has it. Its methods may be
// called from any goroutine.
type Reads struct {
	dialect Dialect
	read    *sql.DB
}

// SQL is a store in a SQL database. Its methods may be called from any goroutine.
type SQL struct {
	Reads
	write *sql.DB
	lease *lease // nil: a lock keeps others out

	schema func() (*sql.DB, error) // as in Config

	unlock   func() error
	wasClean bool // as it was before this Open

	saveUser, saveEntry, savePBX, deleteUser, deleteOwn, deleteEntry, addMapped, deleteMapped many

	closing sync.Once
}

// Open brings the schema up to date and marks the store as unclean until Close
// says otherwise. With a Lease that tells whom it waits for, it returns when this
// bridge may act. It takes over what c holds: where it returns an error, all of
// that is closed.
func Open(ctx context.Context, c Config) (*SQL, error) {
	s := &SQL{Reads: Reads{dialect: c.Dialect, read: c.Read}, write: c.Write, schema: c.Schema, unlock: c.Unlock}
	if c.Lease != nil {
		s.lease = &lease{Lease: *c.Lease, dialect: &s.dialect, reads: &s.Reads, log: c.Log}
		s.lease.Term = cmp.Or(s.lease.Term, defaultTerm)
		s.unlock = s.lease.release
	}
	if err := s.open(ctx, c.Log); err != nil {
		return nil, errors.Join(s.fail(ctx, "open", err), s.release())
	}
	return s, nil
}

func (s *SQL) open(ctx context.Context, log *zap.Logger) error {
	if s.lease != nil {
		if err := s.refuseNewer(ctx); err != nil {
			return err
		}
		if err := s.lease.acquire(ctx); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	if err := s.migrate(ctx, log); err != nil {
		return err
	}
	if err := s.prepare(ctx); err != nil {
		return err
	}
	var clean string
	err := s.write.QueryRowContext(ctx, `SELECT value FROM meta WHERE name = 'clean'`).Scan(&clean)
	if err != nil {
		return err
	}
	s.wasClean = clean == "true"
	return s.markClean(ctx, false)
}

// refuseNewer looks at the schema before the lease is taken, so that an older bridge
// does not wait for what it cannot use, nor take it away from a newer one.
func (s *SQL) refuseNewer(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.lease.Term)
	defer cancel()
	p, err := s.provider(s.write)
	if err != nil {
		return err
	}
	sources := p.ListSources() // in the order of their versions
	var have int64
	if err := s.write.QueryRowContext(ctx, `SELECT MAX(version_id) FROM goose_db_version`).Scan(&have); err != nil {
		return nil // there is no such table yet; anything else shows again in a moment
	}
	if known := sources[len(sources)-1].Version; have > known {
		return newer(have, known)
	}
	return nil
}

func (s *SQL) provider(db *sql.DB) (*goose.Provider, error) {
	return goose.NewProvider(s.dialect.Goose, db, s.dialect.Migrations, goose.WithDisableGlobalRegistry(true))
}

// migrate brings the schema to the newest version, one transaction a step.
func (s *SQL) migrate(ctx context.Context, log *zap.Logger) (err error) {
	db := s.write
	if s.schema != nil {
		if db, err = s.schema(); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, db.Close()) }()
	}
	p, err := s.provider(db)
	if err != nil {
		return err
	}
	have, known, err := p.GetVersions(ctx)
	if err != nil {
		return err
	}
	if have > known {
		return newer(have, known)
	}
	if 0 < have && have < known {
		log.Info("bringing the store up to date, which takes some seconds for each million lines of history", zap.Int64("schema", have), zap.Int64("to", known))
	}
	done, err := p.Up(ctx)
	if err != nil {
		return err
	}
	for _, r := range done {
		log.Info("store migrated", zap.Int64("schema", r.Source.Version), zap.Duration("took", r.Duration))
	}
	return nil
}

func newer(have, known int64) error {
	return fmt.Errorf("%w: its schema is %d and this version knows %d; install the newer version again, or restore the backup from before it",
		ErrNewer, have, known)
}

func (s *SQL) prepare(ctx context.Context) (err error) {
	save := s.dialect.Save
	if s.saveUser, err = s.prepareMany(ctx, save.User, userColumns); err != nil {
		return err
	}
	if s.saveEntry, err = s.prepareMany(ctx, save.Entry, entryColumns); err != nil {
		return err
	}
	if s.savePBX, err = s.prepareMany(ctx, save.PBX, pbxColumns); err != nil {
		return err
	}
	if s.deleteEntry, err = s.prepareMany(ctx, `DELETE FROM history WHERE id IN ({rows})`, 1); err != nil {
		return err
	}
	if s.deleteUser, err = s.prepareMany(ctx, `DELETE FROM users WHERE id IN ({rows})`, 1); err != nil {
		return err
	}
	if s.deleteOwn, err = s.prepareMany(ctx, `DELETE FROM own_settings WHERE user_id IN ({rows})`, 1); err != nil {
		return err
	}
	if s.deleteMapped, err = s.prepareMany(ctx, `DELETE FROM mapped_users WHERE user_id IN ({rows})`, 1); err != nil {
		return err
	}
	s.addMapped, err = s.prepareMany(ctx, `INSERT INTO mapped_users (user_id, position, definition, tags, group_names) VALUES {rows}`, mappedColumns)
	return err
}

func (s *SQL) markClean(ctx context.Context, clean bool) error {
	value := "false"
	if clean {
		value = "true"
	}
	return s.inTx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, s.dialect.bind(`UPDATE meta SET value = ? WHERE name = 'clean'`), value)
		return err
	})
}

// WasClean tells whether the last bridge stopped in order, as Load does.
func (s *SQL) WasClean() bool { return s.wasClean }

// Lost is closed when another bridge has taken the store over. It is nil where a
// lock makes that impossible.
func (s *SQL) Lost() <-chan struct{} {
	if s.lease == nil {
		return nil
	}
	return s.lease.lost
}

// MayAct is nil while no other bridge can have the store. Else it says why this
// one must not act on anything that others act on, too.
func (s *SQL) MayAct() error {
	if s.lease == nil {
		return nil
	}
	return s.lease.held()
}

// Close lets go of the store. clean says that the bridge stopped in order and
// saved everything; the next Load tells. Only the first Close does anything.
func (s *SQL) Close(ctx context.Context, clean bool) error {
	var err error
	s.closing.Do(func() {
		if clean {
			err = s.fail(ctx, "close", s.markClean(ctx, true))
		}
		err = errors.Join(err, s.release())
	})
	return err
}

// release closes the connections, their statements included, and then the lock.
func (s *SQL) release() error {
	err := s.read.Close()
	if s.write != s.read {
		err = errors.Join(err, s.write.Close())
	}
	return errors.Join(err, s.unlock())
}

// tries is how often in all a transaction is tried that the database has undone.
const tries = 5

// inTx runs do in one transaction: all of it happens, or nothing, and nothing if
// another bridge has taken over. do may run several times.
func (s *SQL) inTx(ctx context.Context, do func(*sql.Tx) error) error {
	for try := 1; ; try++ {
		err := s.tryTx(ctx, do)
		if err == nil || try == tries || ctx.Err() != nil || s.dialect.Undone == nil || !s.dialect.Undone(err) {
			return err
		}
	}
}

func (s *SQL) tryTx(ctx context.Context, do func(*sql.Tx) error) error {
	if s.lease != nil && s.lease.isLost() {
		return ErrLost
	}
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err = do(tx); err != nil {
		// Its own error adds nothing: on some errors the database has rolled back already.
		_ = tx.Rollback()
		return err
	}
	if s.lease == nil {
		return tx.Commit()
	}
	start := time.Now()
	if err := s.lease.check(ctx, tx); err != nil { // last, so that its lock is short
		_ = tx.Rollback()
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	s.lease.confirm(start)
	return nil
}

// fail says what was being done, and what to do where the dialect knows. An error
// that comes from ctx can be told by errors.Is, whatever the driver made of it.
func (r *Reads) fail(ctx context.Context, doing string, err error) error {
	if err == nil {
		return nil
	}
	if r.dialect.Explain != nil {
		err = r.dialect.Explain(err)
	}
	if why := ctx.Err(); why != nil && !errors.Is(err, why) {
		err = fmt.Errorf("%w: %w", why, err)
	}
	return fmt.Errorf("store %s: %w", doing, err)
}
