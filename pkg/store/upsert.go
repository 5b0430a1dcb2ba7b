package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// Upserts are the statements that save rows. In each, {rows} stands for the groups
// of parameters, (?, ?), (?, ?), of as many rows as go together.
//
// The parameters come in the order of the columns given here, and each statement
// is harmless when it is executed twice:
//
//	User   id name email version type type_name base color message since until
//	       set_by removed stale view label; keeps a row whose version is higher
//	Entry  user_id version at ordinal type name base message since until set_by
//	       rule label; keeps a row with the same first four
//	PBX    name incarnation heard
type Upserts struct{ User, Entry, PBX string }

// OnConflict returns the Upserts in the words that SQLite and PostgreSQL share.
func OnConflict() Upserts {
	return Upserts{
		User: `
INSERT INTO users (id, name, email, version, type, type_name, base, color, message, since, until, set_by, removed, stale, view, label)
VALUES {rows}
ON CONFLICT (id) DO UPDATE SET
    name = excluded.name, email = excluded.email, version = excluded.version,
    type = excluded.type, type_name = excluded.type_name, base = excluded.base, color = excluded.color,
    message = excluded.message, since = excluded.since, until = excluded.until, set_by = excluded.set_by,
    removed = excluded.removed, stale = excluded.stale, view = excluded.view,
    label = excluded.label
WHERE excluded.version >= users.version`,
		Entry: `
INSERT INTO history (user_id, version, at, ordinal, type, name, base, message, since, until, set_by, rule, label)
VALUES {rows}
ON CONFLICT (user_id, at, version, ordinal) DO NOTHING`,
		PBX: `
INSERT INTO pbxs (name, incarnation, heard) VALUES {rows}
ON CONFLICT (name) DO UPDATE SET incarnation = excluded.incarnation, heard = excluded.heard`,
	}
}

const (
	userColumns, entryColumns, pbxColumns = 16, 13, 3

	// maxTogether bounds the rows of one statement, a power of two. PostgreSQL
	// takes 65,535 parameters; more rows than this are no faster.
	maxTogether = 256
	// maxTogetherBytes bounds their text: the least max_allowed_packet that a
	// MariaDB comes with is 1 MB, and a sign may need two bytes in a statement.
	maxTogetherBytes = 400_000
)

// many is one of the Upserts, or a deletion by key, ready to be executed.
type many struct {
	one   *sql.Stmt // of a local database, for one row; nil: texts
	texts []string  // [k] is for 2^k rows, so that there are few for a server to plan
	local bool
	noNUL bool // as in Dialect
}

// prepareMany makes a statement with {rows} ready.
func (s *SQL) prepareMany(ctx context.Context, statement string, columns int) (many, error) {
	group := "(" + strings.TrimSuffix(strings.Repeat("?, ", columns), ", ") + ")"
	if s.dialect.Local {
		one, err := s.write.PrepareContext(ctx, s.dialect.bind(strings.Replace(statement, "{rows}", group, 1)))
		return many{one: one, local: true}, err
	}
	m := many{noNUL: s.dialect.NoNUL}
	for n := 1; n <= maxTogether; n *= 2 {
		groups := strings.TrimSuffix(strings.Repeat(group+", ", n), ", ")
		m.texts = append(m.texts, s.dialect.bind(strings.Replace(statement, "{rows}", groups, 1)))
	}
	return m, nil
}

// rows executes m for each of list.
func rows[T any](ctx context.Context, tx *sql.Tx, m *many, list []T, args func(*T) []any) error {
	if len(list) == 0 {
		return nil
	}
	if m.local {
		return oneByOne(ctx, tx, m.one, list, args)
	}
	all := make([][]any, len(list))
	for i := range list {
		all[i] = args(&list[i])
		if m.noNUL {
			withoutNUL(all[i])
		}
	}
	for done := 0; done < len(all); {
		n, k := together(all[done:])
		var flat []any
		for _, row := range all[done : done+n] {
			flat = append(flat, row...)
		}
		if _, err := tx.ExecContext(ctx, m.texts[k], flat...); err != nil {
			return fmt.Errorf("rows %d to %d of %d: %w", done+1, done+n, len(all), err)
		}
		done += n
	}
	return nil
}

// together returns how many of the first rows go into one statement: n, which is 2^k.
func together(all [][]any) (n, k int) {
	bytes := textOf(all[:1])
	for n = 1; 2*n <= min(len(all), maxTogether); n, k = 2*n, k+1 {
		if bytes += textOf(all[n : 2*n]); bytes > maxTogetherBytes {
			break
		}
	}
	return n, k
}

// withoutNUL puts U+FFFD where text has a NUL byte.
func withoutNUL(row []any) {
	for i, arg := range row {
		if text, ok := arg.(string); ok && strings.Contains(text, "\x00") {
			row[i] = strings.ReplaceAll(text, "\x00", "\ufffd")
		}
	}
}

// textOf returns how many bytes of text rows have.
func textOf(rows [][]any) (bytes int) {
	for _, row := range rows {
		for _, arg := range row {
			if text, ok := arg.(string); ok {
				bytes += len(text)
			}
		}
	}
	return bytes
}

// oneByOne is for a database in this process, where rows together save nothing.
// It looks at ctx between rows: having the driver watch it costs a goroutine a
// row, a quarter of the throughput.
func oneByOne[T any](ctx context.Context, tx *sql.Tx, prepared *sql.Stmt, list []T, args func(*T) []any) error {
	each := context.WithoutCancel(ctx)
	stmt := tx.StmtContext(each, prepared)
	defer func() { _ = stmt.Close() }() // the prepared one stays
	for i := range list {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := stmt.ExecContext(each, args(&list[i])...); err != nil {
			return fmt.Errorf("row %d of %d: %w", i+1, len(list), err)
		}
	}
	return nil
}

// Numbered writes the parameters of a statement as $1, $2 ..., for Dialect.Bind.
// No statement of this package has a ? that is no parameter.
func Numbered(statement string) string {
	var b strings.Builder
	parts := strings.Split(statement, "?")
	for i, part := range parts[:len(parts)-1] {
		fmt.Fprintf(&b, "%s$%d", part, i+1)
	}
	return b.String() + parts[len(parts)-1]
}
