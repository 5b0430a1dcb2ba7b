package panel

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"
)

// Found is what Examine found.
type Found struct {
	Rows  int    // of the table
	Known int    // of them with one of the keys
	Twice string // a key that several rows have; "": none
}

// Examine tries what keeping a table in agreement needs, and changes nothing. keys are
// those of users, in small letters with By Email.
func Examine(ctx context.Context, cfg Config, db *sql.DB, keys map[string]bool) (f Found, err error) {
	if err := cfg.Table.Check(); err != nil {
		return f, err
	}
	t := table{db: db, statements: cfg.Table.statements(cfg.Flavor), now: time.Now}
	seen := make(map[string]bool)
	_, err = t.read(ctx, true, func(key string, _ Value) {
		if cfg.By == Email {
			key = strings.ToLower(key)
		}
		f.Rows++
		if !keys[key] {
			return
		}
		f.Known++
		if seen[key] {
			f.Twice = key
		}
		seen[key] = true
	})
	if err != nil || !cfg.Out {
		return f, err
	}
	if _, err := db.ExecContext(ctx, t.probe); err != nil {
		return f, fmt.Errorf("write to the panel's table: %w", err)
	}
	return f, nil
}
