package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/presencebridge/presencebridge/pkg/presence"
)

// Account is what is kept of somebody who may sign in to the panel.
type Account struct {
	Name        string
	Title       string          // the name of the person; "": unknown
	Hash        string          // of the password, with its parameters; "": there is none
	User        presence.UserID // who that is in the mapping; "": nobody
	Role        string
	Rights      string // words, a space between two
	Disabled    bool
	Made        time.Time
	MadeBy      string
	SignedIn    time.Time // when they last did; zero: never
	Provider    string    // who says that it is them; "": the password does
	Subject     string    // what they are called there
	Language    string    // "": what the browser asks for
	Preferences string    // JSON
}

// Invitation lets somebody choose the password of an account, once.
type Invitation struct {
	Hash    string // SHA-256 of what the link ends in, in hex
	Name    string // of the account; "": who is invited chooses it
	User    presence.UserID
	Role    string
	Rights  string
	Again   bool // the account is there, and gets another password
	Made    time.Time
	MadeBy  string
	Expires time.Time
}

// LoginSession is kept of a browser in which somebody has signed in.
type LoginSession struct {
	Hash    string // SHA-256 of what the cookie holds
	Account string
	Data    string // JSON
	Expires time.Time
}

const accountColumnNames = `name, title, hash, user_id, role, rights, disabled, made, made_by, signed_in, provider, subject, language, preferences`

// Accounts returns every account, ordered by name.
func (s *SQL) Accounts(ctx context.Context) ([]Account, error) {
	var all []Account
	err := s.each(ctx, func(scan scanner) error {
		var a Account
		var provider, subject sql.NullString
		err := scan(&a.Name, &a.Title, &a.Hash, &a.User, &a.Role, &a.Rights, &a.Disabled, (*timeColumn)(&a.Made), &a.MadeBy, (*timeColumn)(&a.SignedIn),
			&provider, &subject, &a.Language, &a.Preferences)
		a.Provider, a.Subject = provider.String, subject.String
		all = append(all, a)
		return err
	}, `SELECT `+accountColumnNames+` FROM accounts ORDER BY name`)
	if err != nil {
		return nil, s.fail(ctx, "accounts", err)
	}
	return all, nil
}

// PutAccount keeps an account, in the place of one with the same name. act is nil where
// it is none for the audit log.
func (s *SQL) PutAccount(ctx context.Context, a *Account, act *Act) error {
	return s.fail(ctx, "put account", s.inTx(ctx, func(tx *sql.Tx) error {
		if err := s.putAccount(ctx, tx, a); err != nil {
			return err
		}
		return s.noteIf(ctx, tx, act)
	}))
}

func (s *SQL) putAccount(ctx context.Context, tx *sql.Tx, a *Account) error {
	// Not an upsert, of which every dialect has another.
	if _, err := tx.ExecContext(ctx, s.dialect.bind(`DELETE FROM accounts WHERE name = ?`), a.Name); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, s.dialect.bind(`INSERT INTO accounts (`+accountColumnNames+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`),
		a.Name, a.Title, a.Hash, string(a.User), a.Role, a.Rights, number(a.Disabled), timeText(a.Made), a.MadeBy, timeText(a.SignedIn),
		textOrNull(a.Provider), textOrNull(a.Subject), a.Language, a.Preferences)
	return err
}

func (s *SQL) noteIf(ctx context.Context, tx *sql.Tx, act *Act) error {
	if act == nil {
		return nil
	}
	return s.note(ctx, tx, act)
}

// RemoveAccount forgets an account, its sessions and what it is invited to, and keeps
// the act. One that is not there is no error.
func (s *SQL) RemoveAccount(ctx context.Context, name string, act *Act) error {
	return s.fail(ctx, "remove account", s.inTx(ctx, func(tx *sql.Tx) error {
		for _, statement := range []string{`DELETE FROM sessions WHERE account = ?`, `DELETE FROM invitations WHERE name = ?`, `DELETE FROM accounts WHERE name = ?`} {
			if _, err := tx.ExecContext(ctx, s.dialect.bind(statement), name); err != nil {
				return err
			}
		}
		return s.note(ctx, tx, act)
	}))
}

// Invitations returns those that nobody has taken up yet, the oldest first.
func (s *SQL) Invitations(ctx context.Context) ([]Invitation, error) {
	var all []Invitation
	err := s.each(ctx, func(scan scanner) error {
		var i Invitation
		err := scan(&i.Hash, &i.Name, &i.User, &i.Role, &i.Rights, &i.Again, (*timeColumn)(&i.Made), &i.MadeBy, (*timeColumn)(&i.Expires))
		all = append(all, i)
		return err
	}, `SELECT hash, name, user_id, role, rights, again, made, made_by, expires FROM invitations ORDER BY made, hash`)
	if err != nil {
		return nil, s.fail(ctx, "invitations", err)
	}
	return all, nil
}

// Invite keeps an invitation and the act; with an account that changes by it, that too.
func (s *SQL) Invite(ctx context.Context, i *Invitation, a *Account, act *Act) error {
	return s.fail(ctx, "invite", s.inTx(ctx, func(tx *sql.Tx) error {
		if a != nil {
			if err := s.putAccount(ctx, tx, a); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, s.dialect.bind(`INSERT INTO invitations (hash, name, user_id, role, rights, again, made, made_by, expires) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`),
			i.Hash, i.Name, string(i.User), i.Role, i.Rights, number(i.Again), timeText(i.Made), i.MadeBy, timeText(i.Expires))
		if err != nil {
			return err
		}
		return s.note(ctx, tx, act)
	}))
}

// TakeUp keeps the account of an invitation, which is gone then. Taken up once, it is
// not there again: ok is false.
func (s *SQL) TakeUp(ctx context.Context, hash string, a *Account, act *Act) (ok bool, err error) {
	err = s.inTx(ctx, func(tx *sql.Tx) error {
		ok = false
		done, err := tx.ExecContext(ctx, s.dialect.bind(`DELETE FROM invitations WHERE hash = ?`), hash)
		if err != nil {
			return err
		}
		if n, err := done.RowsAffected(); err != nil || n == 0 {
			return err
		}
		ok = true
		if err := s.putAccount(ctx, tx, a); err != nil {
			return err
		}
		return s.note(ctx, tx, act)
	})
	return ok && err == nil, s.fail(ctx, "take up an invitation", err)
}

// RemoveInvitations forgets invitations, and keeps the act, which is nil for those that
// ran out.
func (s *SQL) RemoveInvitations(ctx context.Context, hashes []string, act *Act) error {
	return s.fail(ctx, "remove invitations", s.inTx(ctx, func(tx *sql.Tx) error {
		for _, hash := range hashes {
			if _, err := tx.ExecContext(ctx, s.dialect.bind(`DELETE FROM invitations WHERE hash = ?`), hash); err != nil {
				return err
			}
		}
		return s.noteIf(ctx, tx, act)
	}))
}

// Sessions returns every session that has not run out by now.
func (s *SQL) Sessions(ctx context.Context, now time.Time) ([]LoginSession, error) {
	var all []LoginSession
	err := s.each(ctx, func(scan scanner) error {
		var l LoginSession
		err := scan(&l.Hash, &l.Account, &l.Data, (*timeColumn)(&l.Expires))
		all = append(all, l)
		return err
	}, `SELECT hash, account, data, expires FROM sessions WHERE expires > ? ORDER BY hash`, timeText(now))
	if err != nil {
		return nil, s.fail(ctx, "sessions", err)
	}
	return all, nil
}

// SaveSessions keeps sessions, in the place of those with the same hash, and forgets
// others, and those that have run out by now.
func (s *SQL) SaveSessions(ctx context.Context, put []LoginSession, remove []string, now time.Time) error {
	for i := range put {
		remove = append(remove, put[i].Hash)
	}
	return s.fail(ctx, "save sessions", s.inTx(ctx, func(tx *sql.Tx) error {
		for _, hash := range remove {
			if _, err := tx.ExecContext(ctx, s.dialect.bind(`DELETE FROM sessions WHERE hash = ?`), hash); err != nil {
				return err
			}
		}
		for i := range put {
			l := &put[i]
			_, err := tx.ExecContext(ctx, s.dialect.bind(`INSERT INTO sessions (hash, account, data, expires) VALUES (?, ?, ?, ?)`), l.Hash, l.Account, l.Data, timeText(l.Expires))
			if err != nil {
				return fmt.Errorf("session of %s: %w", l.Account, err)
			}
		}
		_, err := tx.ExecContext(ctx, s.dialect.bind(`DELETE FROM sessions WHERE expires <= ?`), timeText(now))
		return err
	}))
}

func textOrNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}
