package main

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/presencebridge/presencebridge/pkg/presence"
)

// userColumns are the columns of a CSV file of users, in the order of an export.
var userColumns = []string{"id", "name", "email", "extensions", "default_extension", "incoming", "outgoing", "priority", "sync", "tags", "groups"}

// put puts the text of a column into u; "" takes away what was there. Lists have
// spaces between their words.
func (u *mappedUser) put(column, text string) {
	switch column {
	case "id":
		u.ID = text
	case "name":
		u.Name = text
	case "email":
		u.Email = text
	case "extensions":
		u.Extensions = numbersOf(strings.Fields(text))
	case "default_extension":
		u.Default = nil
		if text != "" {
			n := parseNumber(text)
			u.Default = &n
		}
	case "incoming":
		u.Incoming = text
	case "outgoing":
		u.Outgoing = text
	case "priority":
		u.Priority = wordsOf(strings.Fields(text))
	case "sync":
		// Another word is for the bridge to refuse.
		u.Sync = map[string]any{"": nil, "true": true, "false": false}[text]
		if u.Sync == nil && text != "" {
			u.Sync = text
		}
	case "tags":
		u.Tags = wordsOf(strings.Fields(text))
	case "groups":
		u.Groups = wordsOf(strings.Fields(text))
	}
}

// texts is u in the columns of an export.
func (u *mappedUser) texts() []string {
	standard, sync := "", ""
	if u.Default != nil {
		standard = u.Default.String()
	}
	if u.Sync != nil {
		sync = fmt.Sprint(u.Sync)
	}
	return []string{
		u.ID, u.Name, u.Email, joined(u.Extensions, number.String), standard, u.Incoming, u.Outgoing,
		joined(u.Priority, word.String), sync, joined(u.Tags, word.String), joined(u.Groups, word.String),
	}
}

// userRow is a line of a CSV file: what its columns say of a user.
type userRow struct {
	line int
	id   string
	says map[string]string // by column
}

// userFile is a CSV file of users.
type userFile struct {
	rows    []userRow
	faults  []lineFault // of its form; what it says is for the bridge to judge
	numbers bool        // the id of a new user is a number of theirs
}

type lineFault struct {
	line int
	says string
}

// notUTF8 is said of a line of another character set, which nobody can guess.
const notUTF8 = "is not UTF-8: save the file as CSV UTF-8"

// csvReader reads what databases and spreadsheets write. Its records may differ in length.
func csvReader(file io.Reader) *csv.Reader {
	in := bufio.NewReader(file)
	if mark, _ := in.Peek(3); string(mark) == "\ufeff" {
		_, _ = in.Discard(len(mark)) // what Excel begins a file of UTF-8 with
	}
	r := csv.NewReader(in)
	r.FieldsPerRecord = -1
	if first, _ := in.Peek(in.Buffered()); separatedBySemicolons(first) {
		r.Comma = ';'
	}
	return r
}

// readUserCSV reads a file of users. header makes of the first line what each column
// says, "" for one that says nothing here. An error is about the file as a whole.
func readUserCSV(file io.Reader, header func([]string) ([]string, error)) (f userFile, err error) {
	r := csvReader(file)
	head, err := r.Read()
	if errors.Is(err, io.EOF) {
		return f, errors.New("the file is empty: its first line names the columns, as in id,name,extensions")
	}
	if err != nil {
		return f, csvError(err)
	}
	if !utf8.ValidString(strings.Join(head, "")) {
		return f, errors.New("line 1: " + notUTF8)
	}
	columns, err := header(head)
	if err != nil {
		return f, err
	}
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return f, nil
		}
		if err != nil {
			return f, csvError(err)
		}
		line, _ := r.FieldPos(0)
		if len(record) != len(head) {
			f.faults = append(f.faults, lineFault{line, fmt.Sprintf("has %s, and the first line has %d: put a text with a comma in it in quotes", count(len(record), "field", "fields"), len(head))})
			continue
		}
		if !utf8.ValidString(strings.Join(record, "")) {
			f.faults = append(f.faults, lineFault{line, notUTF8})
			continue
		}
		row := userRow{line: line, says: map[string]string{}}
		for i, column := range columns {
			if column != "" {
				row.says[column] = unguarded(strings.TrimSpace(record[i]))
			}
		}
		row.id = row.says["id"]
		f.rows = append(f.rows, row)
	}
}

// separatedBySemicolons tells what a spreadsheet does where a comma is in numbers.
func separatedBySemicolons(text []byte) bool {
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.Contains(line, ";") && !strings.Contains(line, ",")
}

// csvError says where a file is no longer CSV. What comes after cannot be told.
func csvError(err error) error {
	var p *csv.ParseError
	if !errors.As(err, &p) {
		return err
	}
	return fmt.Errorf("line %d: a quote is where none can be, or is never closed: write \"\" for one within a text in quotes", p.StartLine)
}

// ownColumns reads the first line of a file with userColumns, in any order.
func ownColumns(head []string) ([]string, error) {
	columns := make([]string, len(head))
	for i, name := range head {
		name = strings.TrimSpace(name)
		switch {
		case !slices.Contains(userColumns, name):
			advice := "use " + strings.Join(userColumns, ", ")
			if near := presence.Nearest(name, userColumns); near != "" {
				advice = "did you mean " + near + "?"
			}
			return nil, fmt.Errorf("line 1: there is no column %q: %s", name, advice)
		case slices.Contains(columns, name):
			return nil, fmt.Errorf("line 1: the column %s stands there twice: remove one of them", name)
		}
		columns[i] = name
	}
	if !slices.Contains(columns, "id") {
		return nil, errors.New("line 1: there is no column id: it says which user each line is about")
	}
	return columns, nil
}

// freePBXColumns reads the first line of an export of FreePBX's table users, of which
// the number and the name are wanted, and nothing else: it may hold passwords.
func freePBXColumns(head []string) ([]string, error) {
	columns := make([]string, len(head))
	for i, name := range head {
		columns[i] = map[string]string{"extension": "id", "name": "name"}[strings.ToLower(strings.TrimSpace(name))]
	}
	for _, name := range []string{"id", "name"} {
		if n := len(slices.DeleteFunc(slices.Clone(columns), func(c string) bool { return c != name })); n != 1 {
			return nil, errors.New("line 1: the columns extension and name have to be there, once each: export the table users of FreePBX with its names of columns")
		}
	}
	return columns, nil
}

// users makes whole users of the rows: of those who are there already, what no column
// says stays.
func (f *userFile) users(there []mappedUser) (users []mappedUser, lines []int) {
	known := make(map[string]mappedUser, len(there))
	for _, u := range there {
		known[u.ID] = u
	}
	for _, row := range f.rows {
		u, old := known[row.id]
		if f.numbers && !old {
			u.Extensions = []number{{Number: row.id}}
		}
		for _, column := range slices.Sorted(maps.Keys(row.says)) {
			u.put(column, row.says[column])
		}
		users, lines = append(users, u), append(lines, row.line)
	}
	return users, lines
}

// guarded puts an apostrophe before what a spreadsheet would compute, and before what
// unguarded would take one from.
func guarded(cell string) string {
	if isFormula(strings.TrimLeft(cell, "'")) {
		return "'" + cell
	}
	return cell
}

// unguarded takes the apostrophe of guarded off.
func unguarded(cell string) string {
	if bare, ok := strings.CutPrefix(cell, "'"); ok && isFormula(strings.TrimLeft(bare, "'")) {
		return bare
	}
	return cell
}

// writeUserCSV writes users so that an import reads them again, and a spreadsheet
// computes nothing.
func writeUserCSV(file io.Writer, users []mappedUser) error {
	w := csv.NewWriter(file)
	_ = w.Write(userColumns) // Flush tells
	for i := range users {
		cells := users[i].texts()
		for k, cell := range cells {
			cells[k] = guarded(cell)
		}
		_ = w.Write(cells)
	}
	w.Flush()
	return w.Error()
}
