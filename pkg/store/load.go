package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"time"
)

// loadTimeout bounds a Load, and the reading of all users: a server that hangs must not
// hang a start. 100,000 users take a second or two.
const loadTimeout = 2 * time.Minute

// Users gives everybody's row, one by one, ordered by their ids. The last pair may be an
// error instead. A View is good until the next row; a Status is left nil, the view holds it.
func (r *Reads) Users(ctx context.Context) iter.Seq2[User, error] {
	return func(yield func(User, error) bool) {
		ctx, cancel := context.WithTimeout(ctx, loadTimeout)
		defer cancel()
		err := r.each(ctx, func(scan scanner) error {
			var u User
			err := scan(&u.ID, &u.Name, &u.Email, &u.Version, (*sql.RawBytes)(&u.View))
			if err == nil && !yield(u, nil) {
				err = errEnough
			}
			return err
		}, `SELECT id, name, email, version, view FROM users ORDER BY id`)
		if err != nil && !errors.Is(err, errEnough) {
			yield(User{}, r.fail(ctx, "load users", err))
		}
	}
}

// Load returns what a bridge starts from, beside its users. PBXs and settings are ordered
// by their ids.
func (s *SQL) Load(ctx context.Context) (State, error) {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	st := State{Clean: s.wasClean}
	err := s.each(ctx, func(scan scanner) error {
		var p PBX
		if err := scan(&p.Name, &p.Incarnation, (*timeColumn)(&p.Heard)); err != nil {
			return err
		}
		st.PBXs = append(st.PBXs, p)
		return nil
	}, `SELECT name, incarnation, heard FROM pbxs ORDER BY name`)
	if err != nil {
		return State{}, s.fail(ctx, "load pbxs", err)
	}
	if st.Own, err = s.loadOwn(ctx); err != nil {
		return State{}, s.fail(ctx, "load own settings", err)
	}
	return st, nil
}

// History returns entries, newest first.
func (r *Reads) History(ctx context.Context, q Query) ([]Entry, error) {
	text, args := q.sql(`SELECT id, user_id, at, type, name, base, message, since, until, set_by, rule, version, label FROM history`, "set_by")
	var entries []Entry
	err := r.each(ctx, func(scan scanner) error {
		var e Entry
		err := scan(&e.ID, &e.User, (*timeColumn)(&e.At), &e.Type, &e.Name, &e.Base, &e.Message,
			(*timeColumn)(&e.Since), (*timeColumn)(&e.Until), &e.By, &e.Rule, &e.Version, &e.Label)
		if err != nil {
			return err
		}
		entries = append(entries, e)
		return nil
	}, text, args...)
	if err != nil {
		return nil, r.fail(ctx, "history", err)
	}
	return entries, nil
}

// scanner reads the columns of one row.
type scanner func(columns ...any) error

// each calls row for every row that a query finds.
func (r *Reads) each(ctx context.Context, row func(scanner) error, query string, args ...any) error {
	rows, err := r.read.QueryContext(ctx, r.dialect.bind(query), args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // what it could say, Err has said
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// timeLayout is RFC 3339 in UTC with all six digits of the microseconds: text that
// sorts as the times do, in every database and in a shell.
const timeLayout = "2006-01-02T15:04:05.000000Z07:00"

// timeText returns t as it is stored: NULL where t is zero.
func timeText(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(timeLayout)
}

// timeColumn scans what timeText has written.
type timeColumn time.Time

// Scan implements sql.Scanner.
func (c *timeColumn) Scan(value any) error {
	var text sql.NullString
	if err := text.Scan(value); err != nil {
		return err
	}
	if !text.Valid {
		*c = timeColumn{}
		return nil
	}
	t, err := time.Parse(timeLayout, text.String)
	if err != nil {
		return fmt.Errorf("column is not a time of the store: %w", err)
	}
	*c = timeColumn(t)
	return nil
}
