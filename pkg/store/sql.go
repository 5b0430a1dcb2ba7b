package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/pressly/goose/v3"
	"go.uber.org/zap"
)

// Dialect is what one SQL database says differently from the others.
//
// The save statements take their parameters in the order of the columns given
// here, and each of them is harmless when it is executed twice:
//
//	SaveUser   id name email version type type_name base color message since until
//	           set_by removed stale view; keeps a row whose version is higher
//	SaveEntry  user_id version at ordinal type name base message since until set_by
//	           rule; keeps a row with the same first four
//	SavePBX    name incarnation heard
type Dialect struct {
	Goose      goose.Dialect
	Migrations fs.FS // numbered goose migrations

	SaveUser, SaveEntry, SavePBX string

	// Local says that no row waits for a network. Then Save looks at its context
	// between rows, since having the driver watch it costs a goroutine a row,
	// a quarter of the throughput.
	Local bool

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

// Config is an opened database of which this bridge is the only one.
type Config struct {
	Dialect Dialect
	Write   *sql.DB
	Read    *sql.DB      // may be the same as Write
	Unlock  func() error // lets another bridge in; called last
	Log     *zap.Logger
}

// SQL is a store in a SQL database. Its methods may be called from any goroutine.
type SQL struct {
	dialect     Dialect
	write, read *sql.DB
	unlock      func() error
	wasClean    bool // as it was before this Open

	saveUser, saveEntry, savePBX, deleteEntry *sql.Stmt // on write

	closing sync.Once
}

// Open brings the schema up to date and marks the store as unclean until Close
// says otherwise. It takes over what c holds: where it returns an error, all of
// that is closed.
func Open(ctx context.Context, c Config) (*SQL, error) {
	s := &SQL{dialect: c.Dialect, write: c.Write, read: c.Read, unlock: c.Unlock}
	if err := s.open(ctx, c.Log); err != nil {
		return nil, errors.Join(s.fail(ctx, "open", err), s.release())
	}
	return s, nil
}

func (s *SQL) open(ctx context.Context, log *zap.Logger) error {
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
		return fmt.Errorf("%w: its schema is %d and this version knows %d; install the newer version again, or restore the backup from before it",
			ErrNewer, have, known)
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

func (s *SQL) prepare(ctx context.Context) (err error) {
	if s.saveUser, err = s.write.PrepareContext(ctx, s.dialect.SaveUser); err != nil {
		return err
	}
	if s.saveEntry, err = s.write.PrepareContext(ctx, s.dialect.SaveEntry); err != nil {
		return err
	}
	if s.savePBX, err = s.write.PrepareContext(ctx, s.dialect.SavePBX); err != nil {
		return err
	}
	s.deleteEntry, err = s.write.PrepareContext(ctx, s.dialect.bind(`DELETE FROM history WHERE id = ?`))
	return err
}

func (s *SQL) markClean(ctx context.Context, clean bool) error {
	value := "false"
	if clean {
		value = "true"
	}
	_, err := s.write.ExecContext(ctx, s.dialect.bind(`UPDATE meta SET value = ? WHERE name = 'clean'`), value)
	return err
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

// inTx runs do in one transaction: all of it happens, or nothing.
func (s *SQL) inTx(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := do(tx); err != nil {
		// Its own error adds nothing: on some errors the database has rolled back already.
		_ = tx.Rollback()
		return err
	}
	return tx.Commit()
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
