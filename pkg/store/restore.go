package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"strings"
)

// ErrNotEmpty says that a store has something that a restore would have to delete.
var ErrNotEmpty = errors.New("the store is not empty")

// Restoring says how a backup is taken back.
type Restoring struct {
	Replace  bool     // delete what the store has; else a store that has anything is ErrNotEmpty
	Act      Act      // is noted, after those in the backup
	Checking Progress // of the first reading
	Deleting Progress // of what the store has
	Progress Progress // of what is written
}

// Restore writes what a backup has into the store: all of it, or nothing. The backup
// is read twice: as a whole before anything is changed, which finds whatever is
// wrong about the file, and then for what is in it.
//
// What a bridge showed after the backup was made is in no backup, so the store has to
// be closed as not clean.
func (s *SQL) Restore(ctx context.Context, file io.ReadSeeker, o Restoring) (Backup, error) {
	known, err := s.dialect.schema()
	if err != nil {
		return Backup{}, err
	}
	checked := counter{tell: o.Checking}
	whole, err := readBackup(file, known, func(part *backupPart, list [][]any) error {
		checked.add(len(list), part.all)
		return ctx.Err()
	})
	if err != nil {
		return Backup{}, err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return Backup{}, fmt.Errorf("read the backup again: %w", err)
	}
	// Before the transaction: it may have the only connection.
	inserts, err := s.prepareInserts(ctx, whole.parts)
	defer closeInserts(inserts)
	if err != nil {
		return Backup{}, s.fail(ctx, "restore", err)
	}
	err = s.inTx(ctx, func(tx *sql.Tx) error {
		if err := s.makeRoom(ctx, tx, &o); err != nil {
			return err
		}
		written := counter{tell: o.Progress}
		again, err := readBackup(file, known, func(part *backupPart, list [][]any) error {
			insert := inserts[part.table.name]
			if err := rows(ctx, tx, &insert, list, func(row *[]any) []any { return *row }); err != nil {
				return fmt.Errorf("%s: %w", part.table.name, err)
			}
			written.add(len(list), whole.Rows)
			return nil
		})
		switch {
		case err != nil:
			return err
		case again.sum != whole.sum:
			return errors.New("the file changed while it was read: try again")
		}
		return s.note(ctx, tx, &o.Act)
	})
	return whole.Backup, s.fail(ctx, "restore", err)
}

// prepareInserts makes a statement ready for each table of a backup, by its name.
func (s *SQL) prepareInserts(ctx context.Context, parts []*backupPart) (map[string]many, error) {
	inserts := map[string]many{}
	for _, p := range parts {
		columns := names(p.columns)
		insert, err := s.prepareMany(ctx, `INSERT INTO `+p.table.name+` (`+strings.Join(columns, ", ")+`) VALUES {rows}`, len(columns))
		if err != nil {
			return inserts, err
		}
		inserts[p.table.name] = insert
	}
	return inserts, nil
}

func closeInserts(inserts map[string]many) {
	for _, insert := range inserts {
		if insert.one != nil {
			_ = insert.one.Close() // the transaction has ended
		}
	}
}

// makeRoom sees that there are no rows, or deletes them.
func (s *SQL) makeRoom(ctx context.Context, tx *sql.Tx, o *Restoring) error {
	all := int64(0)
	for i := range keptTables {
		k := &keptTables[i]
		n, err := count(ctx, tx, k)
		if err != nil {
			return err
		}
		if n > 0 && !o.Replace {
			return fmt.Errorf("%w: %s has %d rows, which --replace deletes for the backup; take a backup of them first", ErrNotEmpty, k.name, n)
		}
		all += n
	}
	// Who has signed in to the bridge that was does so again.
	if _, err := tx.ExecContext(ctx, `DELETE FROM sessions`); err != nil {
		return fmt.Errorf("delete sessions: %w", err)
	}
	deleted := counter{tell: o.Deleting}
	for i := range keptTables {
		k := &keptTables[i]
		if err := s.deleteAll(ctx, tx, k, func(n int) { deleted.add(n, all) }); err != nil {
			return fmt.Errorf("delete %s: %w", k.name, err)
		}
	}
	return nil
}

// deleteStep is how many rows one statement deletes at most, so that none takes as
// long as a server is waited for.
const deleteStep = 20_000

func (s *SQL) deleteAll(ctx context.Context, tx *sql.Tx, k *kept, deleted func(rows int)) error {
	for {
		var last any // as the driver has it, text or a number
		err := tx.QueryRowContext(ctx, s.dialect.bind(`SELECT `+k.order+` FROM `+k.name+` ORDER BY `+k.order+` LIMIT 1 OFFSET ?`), deleteStep-1).Scan(&last)
		if errors.Is(err, sql.ErrNoRows) {
			_, err = tx.ExecContext(ctx, `DELETE FROM `+k.name) //nolint:gosec // a name of kept.go
			return err
		}
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, s.dialect.bind(`DELETE FROM `+k.name+` WHERE `+k.order+` <= ?`), last); err != nil {
			return err
		}
		deleted(deleteStep)
	}
}
