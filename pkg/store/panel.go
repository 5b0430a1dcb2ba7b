package store

import (
	"context"
	"database/sql"
	"fmt"
)

// PanelRows returns what is remembered of the rows of a panel's table, by their keys.
// What is remembered is opaque to the store.
func (s *SQL) PanelRows(ctx context.Context) (map[string][]byte, error) {
	rows := make(map[string][]byte)
	err := s.each(ctx, func(scan scanner) error {
		var key string
		var memory []byte
		if err := scan(&key, &memory); err != nil {
			return err
		}
		rows[key] = memory
		return nil
	}, `SELECT row_key, memory FROM panel_rows`)
	if err != nil {
		return nil, s.fail(ctx, "load panel rows", err)
	}
	return rows, nil
}

// SavePanelRows remembers rows, in one transaction. Others stay as they are.
func (s *SQL) SavePanelRows(ctx context.Context, rows map[string][]byte) error {
	err := s.inTx(ctx, func(tx *sql.Tx) error {
		for key, memory := range rows {
			// Every dialect has another upsert; there is one writer, and few rows at a time.
			if _, err := tx.ExecContext(ctx, s.dialect.bind(`DELETE FROM panel_rows WHERE row_key = ?`), key); err != nil {
				return fmt.Errorf("row %q: %w", key, err)
			}
			if _, err := tx.ExecContext(ctx, s.dialect.bind(`INSERT INTO panel_rows (row_key, memory) VALUES (?, ?)`), key, string(memory)); err != nil {
				return fmt.Errorf("row %q: %w", key, err)
			}
		}
		return nil
	})
	return s.fail(ctx, "save panel rows", err)
}
