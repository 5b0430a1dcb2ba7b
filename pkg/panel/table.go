package panel

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Flavor is how one kind of database says what the others say differently.
type Flavor struct {
	Quote byte               // around identifiers
	Text  string             // the type that everything is compared as
	Param func(n int) string // the n-th parameter, from 1; nil: ?
	Loose bool               // a column of users may hold numbers that are no texts
}

// SQLite takes a column between double quotes that is not there for a text
// (https://sqlite.org/quirks.html), and not one between others.
func SQLite() Flavor { return Flavor{Quote: '`', Text: "TEXT", Loose: true} }

// Postgres is PostgreSQL.
func Postgres() Flavor {
	return Flavor{Quote: '"', Text: "TEXT", Param: func(n int) string { return "$" + strconv.Itoa(n) }}
}

// MySQL is MariaDB as well.
func MySQL() Flavor { return Flavor{Quote: '`', Text: "CHAR"} }

// Table says where the panel keeps statuses. Message and Changed may be empty.
type Table struct {
	Name    string // table, or schema.table
	User    string // the column that says whose a row is
	Status  string
	Message string // "": messages are not synchronised
	Changed string // when a row was changed, for reading only what is new; "": everything is read each time
	Clock   Clock  // what Changed holds
}

// Clock is how a column tells a time.
type Clock string

// The clocks. The zero value is Timestamp.
const (
	Timestamp  Clock = "timestamp"   // of SQL, as CURRENT_TIMESTAMP gives it
	UnixTime   Clock = "unix"        // seconds
	UnixMillis Clock = "unix_millis" // milliseconds
)

// identifier is what may stand in a statement between quotes: no quote, no dot.
var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_$-]{0,62}$`)

// Check finds names that are none.
func (t Table) Check() error {
	parts := strings.Split(t.Name, ".")
	if len(parts) > 2 {
		return fmt.Errorf("table %q: write table or schema.table", t.Name)
	}
	for what, name := range map[string]string{"table": parts[len(parts)-1], "schema": parts[0], "column": t.User, "status column": t.Status} {
		if !identifier.MatchString(name) {
			return fmt.Errorf("%s %q: use letters, digits, _ $ and -, the first one a letter or _, at most 63", what, name)
		}
	}
	for what, name := range map[string]string{"message column": t.Message, "changed column": t.Changed} {
		if name != "" && !identifier.MatchString(name) {
			return fmt.Errorf("%s %q: use letters, digits, _ $ and -, the first one a letter or _, at most 63", what, name)
		}
	}
	return nil
}

// maxValue is how many characters of a status or message are read and compared: no
// status has more, and whoever fills a column with megabytes fills nothing else.
const maxValue = 1000

// statements are all that is ever sent to the panel's database: SELECT and UPDATE of
// the columns named.
type statements struct {
	all, since, newest, one, update, probe string

	message, changed bool
	clock            Clock
}

// statements builds them. Identifiers have been checked; values are always bound.
func (t Table) statements(f Flavor) statements {
	quote := func(name string) string {
		q := string(f.Quote)
		return q + strings.Join(strings.Split(name, "."), q+"."+q) + q
	}
	text := func(column string) string { return "CAST(" + quote(column) + " AS " + f.Text + ")" }
	// CHAR columns are filled up with blanks, and people are not particular about them.
	status := "RTRIM(SUBSTR(" + text(t.Status) + ", 1, " + strconv.Itoa(maxValue) + "))"
	message := ""
	if t.Message != "" {
		message = "SUBSTR(" + text(t.Message) + ", 1, " + strconv.Itoa(maxValue) + ")"
	}
	n := 0
	param := func() string {
		if n++; f.Param == nil {
			return "?"
		}
		return f.Param(n)
	}
	user := quote(t.User)
	if f.Loose {
		user = text(t.User)
	}
	columns := text(t.User) + ", " + status
	if t.Message != "" {
		columns += ", " + message
	}
	s := statements{message: t.Message != "", changed: t.Changed != "", clock: t.Clock}
	s.all = "SELECT " + columns + " FROM " + quote(t.Name)
	s.one = s.all + " WHERE " + user + " = " + param()
	s.probe = "UPDATE " + quote(t.Name) + " SET " + quote(t.Status) + " = " + quote(t.Status)
	if n = 0; s.changed {
		s.since = s.all + " WHERE " + quote(t.Changed) + " >= " + param()
		s.newest = "SELECT MAX(" + quote(t.Changed) + ") FROM " + quote(t.Name)
		s.probe += ", " + quote(t.Changed) + " = " + quote(t.Changed)
	}
	n = 0
	set := quote(t.Status) + " = " + param()
	if s.message {
		set += ", " + quote(t.Message) + " = " + param()
		s.probe += ", " + quote(t.Message) + " = " + quote(t.Message)
	}
	s.probe += " WHERE 1 = 0" // rights are looked at before rows are
	switch {
	case !s.changed:
	case t.Clock == UnixTime || t.Clock == UnixMillis:
		set += ", " + quote(t.Changed) + " = " + param()
	default:
		set += ", " + quote(t.Changed) + " = CURRENT_TIMESTAMP"
	}
	// The row as it was read last: what somebody has written since is never written over.
	where := user + " = " + param() + " AND COALESCE(" + status + ", '') = " + param()
	if s.message {
		where += " AND COALESCE(" + message + ", '') = " + param()
	}
	s.update = "UPDATE " + quote(t.Name) + " SET " + set + " WHERE " + where
	return s
}

// table is the panel's, with a connection.
type table struct {
	db *sql.DB
	statements
	now    func() time.Time
	mayAct func() error // says no where another bridge may be writing
	since  any          // rows changed before it have been read; nil: everything is to be read
}

// read passes on rows: all of them, or those that may have changed since the last time.
// All of one user are passed on, whatever their number.
func (t *table) read(ctx context.Context, everything bool, row func(key string, v Value)) (all bool, err error) {
	var newest any
	if t.changed {
		if err := t.db.QueryRowContext(ctx, t.newest).Scan(&newest); err != nil {
			return false, fmt.Errorf("ask when the panel's table changed: %w", err)
		}
	}
	query, args := t.all, []any(nil)
	if all = t.since == nil || everything; !all {
		query, args = t.statements.since, []any{t.since}
	}
	if err := t.rows(ctx, row, query, args...); err != nil {
		return all, err
	}
	t.since = overlap(newest, t.clock, t.now()) // of before the rows were read, so that none falls in between
	return all, nil
}

// readOne passes on the rows of one key.
func (t *table) readOne(ctx context.Context, key string, row func(string, Value)) error {
	return t.rows(ctx, row, t.one, key)
}

func (t *table) rows(ctx context.Context, row func(string, Value), query string, args ...any) error {
	rows, err := t.db.QueryContext(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("read the panel's table: %w", err)
	}
	defer func() { _ = rows.Close() }() // what it could say, Err has said
	var key, status, message sql.NullString
	columns := []any{&key, &status}
	if t.message {
		columns = append(columns, &message)
	}
	for rows.Next() {
		if err := rows.Scan(columns...); err != nil {
			return fmt.Errorf("read the panel's table: %w", err)
		}
		row(strings.TrimRight(key.String, " "), Value{status.String, message.String})
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read the panel's table: %w", err)
	}
	return nil
}

// change is one row to write.
type change struct {
	key      string // as the table has it
	from, to Value
}

// write writes a batch in one transaction, and tells of each row whether it still said
// what was read last, and so was written.
func (t *table) write(ctx context.Context, batch []change) (written []bool, err error) {
	written, err = t.transaction(ctx, batch)
	if err != nil {
		return nil, fmt.Errorf("write to the panel's table: %w", err)
	}
	return written, nil
}

func (t *table) transaction(ctx context.Context, batch []change) (written []bool, err error) {
	if err := t.mayAct(); err != nil {
		return nil, err
	}
	tx, err := t.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	stmt, err := tx.PrepareContext(ctx, t.update)
	if err != nil {
		return nil, err
	}
	defer func() { _ = stmt.Close() }() // it ends with the transaction
	written = make([]bool, len(batch))
	for i, c := range batch {
		result, err := stmt.ExecContext(ctx, t.arguments(c)...)
		if err != nil {
			return nil, err
		}
		n, err := result.RowsAffected()
		if err != nil {
			return nil, err
		}
		written[i] = n > 0
	}
	if err := t.mayAct(); err != nil {
		return nil, err
	}
	return written, tx.Commit()
}

func (t *table) arguments(c change) []any {
	args := []any{c.to.Status}
	if t.message {
		args = append(args, c.to.Message)
	}
	switch {
	case !t.changed:
	case t.clock == UnixTime:
		args = append(args, t.now().Unix())
	case t.clock == UnixMillis:
		args = append(args, t.now().UnixMilli())
	}
	args = append(args, c.key, c.from.Status)
	if t.message {
		args = append(args, c.from.Message)
	}
	return args
}
