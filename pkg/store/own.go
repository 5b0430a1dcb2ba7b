package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/presencebridge/presencebridge/pkg/presence"
)

// Settings are what a user has set for themself. Those of the zero Own are forgotten.
type Settings struct {
	User presence.UserID
	Own  presence.Own
}

// loadOwn returns everybody's settings, ordered by the user.
func (r *Reads) loadOwn(ctx context.Context) ([]Settings, error) {
	return r.someOwn(ctx, ` ORDER BY user_id`)
}

func (r *Reads) someOwn(ctx context.Context, which string, args ...any) (all []Settings, err error) {
	err = r.each(ctx, func(scan scanner) error {
		var one Settings
		var pbx, number sql.NullString
		var sync sql.NullBool
		if err := scan(&one.User, &pbx, &number, &sync); err != nil {
			return err
		}
		one.Own.Default = presence.ExtensionID{PBX: pbx.String, Number: number.String}
		if sync.Valid {
			one.Own.Sync = &sync.Bool
		}
		all = append(all, one)
		return nil
	}, `SELECT user_id, pbx, extension, sync FROM own_settings`+which, args...)
	return all, err
}

// saveOwn takes the place of what was kept of one user. It is no upsert, of which every
// dialect has another: people change few settings.
func (s *SQL) saveOwn(ctx context.Context, tx *sql.Tx, one *Settings) error {
	if _, err := tx.ExecContext(ctx, s.dialect.bind(`DELETE FROM own_settings WHERE user_id = ?`), string(one.User)); err != nil {
		return fmt.Errorf("user %q: %w", one.User, err)
	}
	if one.Own == (presence.Own{}) {
		return nil
	}
	var pbx, extension, sync any
	if x := one.Own.Default; x != (presence.ExtensionID{}) {
		pbx, extension = x.PBX, x.Number
	}
	if one.Own.Sync != nil {
		sync = number(*one.Own.Sync)
	}
	_, err := tx.ExecContext(ctx, s.dialect.bind(`INSERT INTO own_settings (user_id, pbx, extension, sync) VALUES (?, ?, ?, ?)`),
		string(one.User), pbx, extension, sync)
	if err != nil {
		return fmt.Errorf("user %q: %w", one.User, err)
	}
	return nil
}
