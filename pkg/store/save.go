package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/presencebridge/presencebridge/pkg/presence"
)

// Save writes a batch in one transaction: all of it, or nothing. Saving the same
// batch again changes nothing, so that a Save of unknown outcome can be repeated;
// all entries of one user's version belong into one batch. A row with a higher
// version is kept.
func (s *SQL) Save(ctx context.Context, b *Batch) error {
	err := s.inTx(ctx, func(tx *sql.Tx) error {
		if err := rows(ctx, tx, &s.saveUser, b.Users, userRow); err != nil {
			return fmt.Errorf("users: %w", err)
		}
		if err := rows(ctx, tx, &s.saveEntry, b.History, entryRows()); err != nil {
			return fmt.Errorf("history: %w", err)
		}
		if err := rows(ctx, tx, &s.savePBX, b.PBXs, pbxRow); err != nil {
			return fmt.Errorf("pbxs: %w", err)
		}
		for i := range b.Own {
			if err := s.saveOwn(ctx, tx, &b.Own[i]); err != nil {
				return fmt.Errorf("own settings: %w", err)
			}
		}
		return nil
	})
	if err == nil && s.dialect.Saved != nil {
		s.dialect.Saved()
	}
	return s.fail(ctx, "save", err)
}

func userRow(u *User) []any {
	row := []any{
		string(u.ID), u.Name, u.Email, u.Version,
		nil, nil, nil, nil, nil, nil, nil, nil, nil, nil,
		string(u.View), nil,
	}
	if st := u.Status; st != nil {
		copy(row[4:], []any{
			string(st.Type.ID), st.Type.Name, string(st.Type.Base), st.Type.Color,
			st.Message, timeText(st.Since.Time()), timeText(st.Until.Time()), st.By, number(st.Removed), number(st.Stale),
		})
		row[userColumns-1] = st.Label
	}
	return row
}

// number is a truth as every database keeps it.
func number(truth bool) int {
	if truth {
		return 1
	}
	return 0
}

// entryRows returns a function that numbers the entries of one step: one step may
// tell the history several things at the same instant.
func entryRows() func(*Entry) []any {
	type step struct {
		user    presence.UserID
		version uint64
		at      any
	}
	seen := make(map[step]int)
	return func(e *Entry) []any {
		of := step{e.User, e.Version, timeText(e.At)}
		ordinal := seen[of]
		seen[of]++
		return []any{
			string(e.User), e.Version, of.at, ordinal,
			string(e.Type), e.Name, string(e.Base), e.Message,
			timeText(e.Since), timeText(e.Until), e.By, string(e.Rule), e.Label,
		}
	}
}

func pbxRow(p *PBX) []any { return []any{p.Name, p.Incarnation, timeText(p.Heard)} }

// pruneStep bounds how many rows one transaction of Prune deletes, and with that
// how long a Save waits for it.
const pruneStep = 1000

// pruneTimeout bounds such a step, which nobody waits for.
const pruneTimeout = 30 * time.Second

// Prune deletes the history and the audit log from before a time and returns how
// many entries of the history that were, also with an error. A Save waits for a
// step of it at most.
func (s *SQL) Prune(ctx context.Context, before time.Time) (int64, error) {
	// People make acts, so there are never many.
	err := s.inTx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, s.dialect.bind(`DELETE FROM audit WHERE at < ?`), timeText(before))
		return err
	})
	if err != nil {
		return 0, s.fail(ctx, "prune", err)
	}
	var pruned int64
	for {
		n, err := s.pruneSome(ctx, before)
		pruned += int64(n)
		if err != nil || n < pruneStep {
			return pruned, s.fail(ctx, "prune", err)
		}
	}
}

// pruneSome deletes the oldest entries. They are looked up first, outside of the
// transaction, since not every database deletes with a limit.
func (s *SQL) pruneSome(ctx context.Context, before time.Time) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, pruneTimeout)
	defer cancel()
	var ids []int64
	err := s.each(ctx, func(scan scanner) error {
		var id int64
		err := scan(&id)
		ids = append(ids, id)
		return err
	}, `SELECT id FROM history WHERE at < ? ORDER BY at, id LIMIT ?`, timeText(before), pruneStep)
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	err = s.inTx(ctx, func(tx *sql.Tx) error {
		return rows(ctx, tx, &s.deleteEntry, ids, func(id *int64) []any { return []any{*id} })
	})
	if err != nil {
		return 0, err
	}
	return len(ids), nil
}

// Forget deletes users and what they have set, in one transaction. Their history stays until it is pruned; those
// who are not there are no error.
func (s *SQL) Forget(ctx context.Context, users []presence.UserID) error {
	return s.fail(ctx, "forget users", s.inTx(ctx, func(tx *sql.Tx) error {
		key := func(id *presence.UserID) []any { return []any{string(*id)} }
		if err := rows(ctx, tx, &s.deleteOwn, users, key); err != nil {
			return err
		}
		return rows(ctx, tx, &s.deleteUser, users, key)
	}))
}
