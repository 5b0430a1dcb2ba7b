package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"

	"github.com/presencebridge/presencebridge/pkg/presence"
)

// Mapped is a user of the mapping, where the mapping keeps its users in the store.
// What a definition means is not the store's business.
type Mapped struct {
	ID           presence.UserID
	Position     int64  // over 0, each its own; users come in its order
	Definition   string // JSON
	Tags, Groups string // words of the definition, for those who read the table; a space between two
}

const mappedSelect = `SELECT user_id, position, definition, tags, group_names FROM mapped_users`

const mappedColumns = 5

func scanMapped(scan scanner) (m Mapped, err error) {
	err = scan(&m.ID, &m.Position, &m.Definition, &m.Tags, &m.Groups)
	return m, err
}

// errEnough ends a query whose rest nobody wants.
var errEnough = errors.New("enough")

// Mapped gives the users of the mapping in their order, one by one. The last pair may
// be an error instead.
func (r *Reads) Mapped(ctx context.Context) iter.Seq2[Mapped, error] {
	return func(yield func(Mapped, error) bool) {
		err := r.each(ctx, func(scan scanner) error {
			m, err := scanMapped(scan)
			if err == nil && !yield(m, nil) {
				err = errEnough
			}
			return err
		}, mappedSelect+` ORDER BY position`)
		if err != nil && !errors.Is(err, errEnough) {
			yield(Mapped{}, r.fail(ctx, "load mapped users", err))
		}
	}
}

// MappedPage returns at most limit users behind a position.
func (r *Reads) MappedPage(ctx context.Context, after int64, limit int) ([]Mapped, error) {
	return r.someMapped(ctx, mappedSelect+` WHERE position > ? ORDER BY position LIMIT ?`, after, limit)
}

// MappedUser returns one user. ok is false where there is none.
func (r *Reads) MappedUser(ctx context.Context, id presence.UserID) (m Mapped, ok bool, err error) {
	found, err := r.someMapped(ctx, mappedSelect+` WHERE user_id = ?`, string(id))
	if err != nil || len(found) == 0 {
		return m, false, err
	}
	return found[0], true, nil
}

func (r *Reads) someMapped(ctx context.Context, query string, args ...any) (found []Mapped, err error) {
	err = r.each(ctx, func(scan scanner) error {
		m, err := scanMapped(scan)
		found = append(found, m)
		return err
	}, query, args...)
	if err != nil {
		return nil, r.fail(ctx, "read mapped users", err)
	}
	return found, nil
}

// ChangeMapped takes users out of the mapping, and puts others in, or in the place of
// those with the same id, in one transaction with the act. Ids that are not there are
// removed without an error.
func (s *SQL) ChangeMapped(ctx context.Context, put []Mapped, remove []presence.UserID, act *Act) error {
	ids := make([]presence.UserID, 0, len(put)+len(remove))
	for i := range put {
		ids = append(ids, put[i].ID)
	}
	ids = append(ids, remove...)
	err := s.inTx(ctx, func(tx *sql.Tx) error {
		// Not an upsert, of which every dialect has another.
		if err := rows(ctx, tx, &s.deleteMapped, ids, func(id *presence.UserID) []any { return []any{string(*id)} }); err != nil {
			return fmt.Errorf("remove: %w", err)
		}
		if err := rows(ctx, tx, &s.addMapped, put, mappedRow); err != nil {
			return fmt.Errorf("put: %w", err)
		}
		return s.note(ctx, tx, act)
	})
	return s.fail(ctx, "change mapped users", err)
}

func mappedRow(m *Mapped) []any {
	return []any{string(m.ID), m.Position, m.Definition, m.Tags, m.Groups}
}
