package panel

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Examine tries what keeping a table in agreement needs, and changes nothing. It tells
// how many rows there are, and how many of them have one of these keys.
func Examine(ctx context.Context, t Table, f Flavor, out bool, db *sql.DB, keys map[string]bool) (rows, known int, err error) {
	if err := t.Check(); err != nil {
		return 0, 0, err
	}
	it := table{db: db, statements: t.statements(f), now: time.Now}
	err = it.read(ctx, true, func(key string, _ Value) {
		rows++
		if keys[key] {
			known++
		}
	})
	if err != nil || !out {
		return rows, known, err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return rows, known, fmt.Errorf("write to the panel's table: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // it was never to be committed
	// Rights are looked at before rows are: this one is nobody's.
	nobody := change{key: "presencebridge doctor, who is nobody", from: Value{"presencebridge", "presencebridge"}}
	if _, err := tx.ExecContext(ctx, it.update, it.arguments(nobody)...); err != nil {
		return rows, known, fmt.Errorf("write to the panel's table: %w", err)
	}
	return rows, known, nil
}
