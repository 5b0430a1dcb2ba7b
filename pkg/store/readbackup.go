package store

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"time"
)

const (
	// maxLine bounds a row in bytes: MariaDB takes no view that is longer.
	maxLine = 64 << 20
	// A group of rows ends at either.
	groupRows, groupBytes = 512, 1 << 20
)

// ErrBackup says that a file is no backup, or not whole any more.
var ErrBackup = errors.New("this is no whole backup of presencebridge, so nothing was changed: take another file")

// wholeBackup is what is known of a backup that was read to its end.
type wholeBackup struct {
	Backup
	parts []*backupPart
	sum   string
}

// backupPart is a table in a backup.
type backupPart struct {
	table   *kept
	columns []column
	all     int64 // rows of all parts
}

// readBackup reads a backup of a schema up to known and gives its rows to do, in
// groups. It is whole, and every row has the form of its table, if there is no error.
func readBackup(file io.Reader, known int64, do func(*backupPart, [][]any) error) (*wholeBackup, error) {
	zip, err := gzip.NewReader(bufio.NewReader(file))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBackup, err)
	}
	r := &backupReader{lines: bufio.NewScanner(zip), sum: sha256.New(), do: do}
	r.lines.Buffer(nil, maxLine)
	r.lines.Split(wholeLines)
	found, err := r.read(known)
	if errors.Is(err, ErrNewer) {
		// One bit can make a version newer: that is not to be told of a damaged file.
		if _, damage := io.Copy(io.Discard, zip); damage != nil { //nolint:gosec // nothing of it is kept, and who restores waits for a file of their own
			return nil, fmt.Errorf("%w: %w", ErrBackup, damage)
		}
	}
	return found, err
}

// wholeLines splits at line breaks, which stay. A last line needs one, too.
func wholeLines(data []byte, atEOF bool) (advance int, token []byte, err error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i+1], nil
	}
	if atEOF && len(data) > 0 {
		return 0, nil, io.ErrUnexpectedEOF
	}
	return 0, nil, nil
}

type backupReader struct {
	lines *bufio.Scanner
	sum   hash.Hash
	do    func(*backupPart, [][]any) error

	found wholeBackup
	rows  int64
	group [][]any
	bytes int // of group
}

// next returns a line. Its error says what to do.
func (r *backupReader) next() ([]byte, error) {
	if r.lines.Scan() {
		return r.lines.Bytes(), nil
	}
	if err := r.lines.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBackup, err)
	}
	return nil, fmt.Errorf("%w: its end is missing", ErrBackup)
}

func (r *backupReader) read(known int64) (*wholeBackup, error) {
	line, err := r.next()
	if err != nil {
		return nil, err
	}
	if err := r.head(line, known); err != nil {
		return nil, err
	}
	for {
		r.sum.Write(line) // never fails, see package hash
		if line, err = r.next(); err != nil {
			return nil, err
		}
		if line[0] == '[' {
			if err := r.row(line); err != nil {
				return nil, err
			}
			continue
		}
		if err := r.flush(); err != nil {
			return nil, err
		}
		var end backupEnd
		if strict(line, &end) == nil {
			if err := r.end(end); err != nil {
				return nil, err
			}
			return &r.found, nil
		}
		if err := r.table(line); err != nil {
			return nil, err
		}
	}
}

func (r *backupReader) head(line []byte, known int64) error {
	b := &r.found.Backup
	err := strict(line, b)
	switch {
	case b.What != backupWhat:
		return fmt.Errorf("%w: it is something else", ErrBackup)
	case b.Version > backupVersion:
		return fmt.Errorf("%w: the backup has the form %d and this version knows %d; restore it with the newer version", ErrNewer, b.Version, backupVersion)
	case err != nil || b.Version < 1 || b.Schema < 1 || b.Rows < 0:
		return r.wrong("its first line is damaged")
	case b.Schema > known:
		return fmt.Errorf("%w: the schema of the backup is %d and this version knows %d; restore it with the newer version", ErrNewer, b.Schema, known)
	}
	return nil
}

// table begins a part.
func (r *backupReader) table(line []byte) error {
	var t backupTable
	if err := strict(line, &t); err != nil {
		return r.wrong("a line of it is damaged")
	}
	part := &backupPart{table: keptTable(t.Table), all: r.found.Rows}
	if part.table == nil || slices.ContainsFunc(r.found.parts, func(p *backupPart) bool { return p.table == part.table }) {
		return r.wrong(fmt.Sprintf("it has the table %q, which is unknown or comes twice", t.Table))
	}
	// What stands here becomes part of a statement: only names that are known.
	all := part.table.columns(everyColumn)
	for _, name := range t.Columns {
		i := slices.IndexFunc(all, func(c column) bool { return c.name == name })
		if i < 0 || slices.Contains(part.columns, all[i]) {
			return r.wrong(fmt.Sprintf("%s has the column %q, which is unknown or comes twice", t.Table, name))
		}
		part.columns = append(part.columns, all[i])
	}
	if len(part.columns) == 0 {
		return r.wrong(t.Table + " has no columns")
	}
	r.found.parts = append(r.found.parts, part)
	return nil
}

// row takes a row into the group.
func (r *backupReader) row(line []byte) error {
	if len(r.found.parts) == 0 || r.rows == r.found.Rows {
		return r.wrong("it has rows where there should be none")
	}
	columns := r.found.parts[len(r.found.parts)-1].columns
	row, err := values(line, columns)
	if err != nil {
		return r.wrong(fmt.Sprintf("row %d: %v", r.rows+1, err))
	}
	r.rows++
	r.group = append(r.group, row)
	if r.bytes += len(line); len(r.group) == groupRows || r.bytes >= groupBytes {
		return r.flush()
	}
	return nil
}

func (r *backupReader) flush() error {
	if len(r.group) == 0 {
		return nil
	}
	err := r.do(r.found.parts[len(r.found.parts)-1], r.group)
	r.group, r.bytes = nil, 0
	return err
}

func (r *backupReader) end(end backupEnd) error {
	r.found.sum = hex.EncodeToString(r.sum.Sum(nil))
	switch {
	case end.SHA256 != r.found.sum:
		return r.wrong("its checksum is wrong")
	case r.rows != r.found.Rows:
		return r.wrong(fmt.Sprintf("it has %d rows of %d", r.rows, r.found.Rows))
	case r.lines.Scan():
		return r.wrong("it goes on after its end")
	}
	if err := r.lines.Err(); err != nil { // gzip has a checksum, too
		return fmt.Errorf("%w: %w", ErrBackup, err)
	}
	return nil
}

func (r *backupReader) wrong(what string) error {
	made := ""
	if t := r.found.Made; !t.IsZero() {
		made = " (made at " + t.Format(time.RFC3339) + ")"
	}
	return fmt.Errorf("%w: %s%s", ErrBackup, what, made)
}

// values reads the values of a row: text, whole numbers, and nil for NULL.
func values(line []byte, columns []column) ([]any, error) {
	var row []any
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	if err := d.Decode(&row); err != nil {
		return nil, err
	}
	if len(row) != len(columns) {
		return nil, fmt.Errorf("it has %d values for %d columns", len(row), len(columns))
	}
	for i, c := range columns {
		switch v := row[i].(type) {
		case nil:
		case string:
			if c.number {
				return nil, fmt.Errorf("%s is no number", c.name)
			}
		case json.Number:
			n, err := v.Int64()
			if err != nil || !c.number {
				return nil, fmt.Errorf("%s is %s", c.name, v)
			}
			row[i] = n
		default:
			return nil, fmt.Errorf("%s is neither text nor a number", c.name)
		}
	}
	return row, nil
}

// strict reads a line that has the fields of v and no others.
func strict(line []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	return d.Decode(v)
}
