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

	// ForShare ends a SELECT that keeps its rows from changing until the
	// transaction ends. Only a store with a Lease needs it.
	ForShare string

	// Bind rewrites the parameters of a statement, written ?, as the database
	// wants them. nil: it wants them so.
	Bind func(statement string) string

	// Explain puts a sentence that says what to do before an error of the
	// database. nil: none.
	Explain func(error) error
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
	Read    *sql.DB      // may be the same as Write
	Lease   *Lease       // to be taken; nil: Unlock
	Unlock  func() error // lets another bridge in, which a lock has kept out so far; called last; nil: Lease
	Log     *zap.Logger
}

// openTimeout bounds an Open, migrations included, once others are kept out.
const openTimeout = 10 * time.Minute

// SQL is a store in a SQL database. Its methods may be called from any goroutine.
type SQL struct {
	dialect     Dialect
	write, read *sql.DB
	lease       *lease // nil: a lock keeps others out
	unlock      func() error
	wasClean    bool // as it was before this Open

	saveUser, saveEntry, savePBX, deleteEntry, addMapped, deleteMapped many

	closing sync.Once
}

// Open brings the schema up to date and marks the store as unclean until Close
// says otherwise. With a Lease that tells whom it waits for, it returns when this
// bridge may act. It takes over what c holds: where it returns an error, all of
// that is closed.
func Open(ctx context.Context, c Config) (*SQL, error) {
	s := &SQL{dialect: c.Dialect, write: c.Write, read: c.Read, unlock: c.Unlock}
	if c.Lease != nil {
		s.lease = &lease{Lease: *c.Lease, dialect: &s.dialect, log: c.Log}
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

// migrate brings the schema to the newest version, one transaction a step.
func (s *SQL) migrate(ctx context.Context, log *zap.Logger) error {
	p, err := goose.NewProvider(s.dialect.Goose, s.write, s.dialect.Migrations,
		goose.WithDisableGlobalRegistry(true))
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

// inTx runs do in one transaction: all of it happens, or nothing, and nothing if
// another bridge has taken over.
func (s *SQL) inTx(ctx context.Context, do func(*sql.Tx) error) error {
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
func (s *SQL) fail(ctx context.Context, doing string, err error) error {
	if err == nil {
		return nil
	}
	if s.dialect.Explain != nil {
		err = s.dialect.Explain(err)
	}
	if why := ctx.Err(); why != nil && !errors.Is(err, why) {
		err = fmt.Errorf("%w: %w", why, err)
	}
	return fmt.Errorf("store %s: %w", doing, err)
}
