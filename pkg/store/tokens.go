package store

import (
	"context"
	"database/sql"
	"fmt"
)

// Tokens returns every token of the API, ordered by name.
func (r *Reads) Tokens(ctx context.Context) ([]Token, error) {
	var tokens []Token
	err := r.each(ctx, func(scan scanner) error {
		var t Token
		err := scan(&t.Name, &t.Hash, &t.Scope, &t.User, (*timeColumn)(&t.Made), &t.MadeBy, (*timeColumn)(&t.Expires), (*timeColumn)(&t.Used))
		if err != nil {
			return err
		}
		tokens = append(tokens, t)
		return nil
	}, `SELECT name, hash, scope, user_id, made, made_by, expires, used FROM api_tokens ORDER BY name`)
	if err != nil {
		return nil, r.fail(ctx, "tokens", err)
	}
	return tokens, nil
}

// AddToken keeps a token, and in the same transaction the act of making it. A name
// or a hash that is there already is an error.
func (s *SQL) AddToken(ctx context.Context, t *Token, act *Act) error {
	return s.fail(ctx, "add token", s.acted(ctx, act,
		`INSERT INTO api_tokens (name, hash, scope, user_id, made, made_by, expires, used) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		t.Name, t.Hash, t.Scope, string(t.User), timeText(t.Made), t.MadeBy, timeText(t.Expires), timeText(t.Used)))
}

// RemoveToken forgets a token, and keeps the act. One that is not there is no error.
func (s *SQL) RemoveToken(ctx context.Context, name string, act *Act) error {
	return s.fail(ctx, "remove token", s.acted(ctx, act, `DELETE FROM api_tokens WHERE name = ?`, name))
}

// UseTokens writes when tokens were last used. Those that are gone stay so.
func (s *SQL) UseTokens(ctx context.Context, used []Token) error {
	return s.fail(ctx, "use tokens", s.inTx(ctx, func(tx *sql.Tx) error {
		for i := range used {
			_, err := tx.ExecContext(ctx, s.dialect.bind(`UPDATE api_tokens SET used = ? WHERE name = ? AND hash = ?`),
				timeText(used[i].Used), used[i].Name, used[i].Hash)
			if err != nil {
				return fmt.Errorf("token %s: %w", used[i].Name, err)
			}
		}
		return nil
	}))
}

// Note keeps an act.
func (s *SQL) Note(ctx context.Context, act *Act) error {
	return s.fail(ctx, "note", s.inTx(ctx, func(tx *sql.Tx) error { return s.note(ctx, tx, act) }))
}

// acted executes a statement and keeps the act that it was.
func (s *SQL) acted(ctx context.Context, act *Act, statement string, args ...any) error {
	return s.inTx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, s.dialect.bind(statement), args...); err != nil {
			return err
		}
		return s.note(ctx, tx, act)
	})
}

func (s *SQL) note(ctx context.Context, tx *sql.Tx, act *Act) error {
	_, err := tx.ExecContext(ctx, s.dialect.bind(`INSERT INTO audit (at, done_by, did, what) VALUES (?, ?, ?, ?)`),
		timeText(act.At), act.By, act.Did, act.What)
	return err
}

// Audit returns acts, newest first.
func (r *Reads) Audit(ctx context.Context, q Query) ([]Act, error) {
	text, args := q.sql(`SELECT id, at, done_by, did, what FROM audit`, "done_by")
	var acts []Act
	err := r.each(ctx, func(scan scanner) error {
		var a Act
		if err := scan(&a.ID, (*timeColumn)(&a.At), &a.By, &a.Did, &a.What); err != nil {
			return err
		}
		acts = append(acts, a)
		return nil
	}, text, args...)
	if err != nil {
		return nil, r.fail(ctx, "audit", err)
	}
	return acts, nil
}
