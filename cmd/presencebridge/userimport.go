package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/presencebridge/presencebridge/config"
	"github.com/presencebridge/presencebridge/pkg/api"
)

// maxUserFile bounds a file of users, in bytes.
const maxUserFile = 16 << 20

// importWish is the body of an import.
type importWish struct {
	Users  []any `json:"users"`
	Lines  []int `json:"lines"`
	DryRun bool  `json:"dry_run"`
}

func (w *importWish) add(user any, line int) {
	w.Users, w.Lines = append(w.Users, user), append(w.Lines, line)
}

func (m *Main) userImportCommand() *cobra.Command {
	var o importOptions
	c := &cobra.Command{
		Use: "import FILE", Short: "Add and change many users from a file, all or none",
		Long: `Import reads a CSV file (- for the standard input) whose first line names the columns:
` + "\n  " + strings.Join(userColumns, ", ") + `

id has to be there, the others may be left out. A list has spaces between its words;
an extension is 1001, or branch/2001 on the PBX of that name. Users who are not there
are added, those who are get what the columns say and keep the rest; nobody is removed.
If one line has a fault, nothing changes, and every faulty line is told.

With --freepbx the file is FreePBX's table "users" as CSV: each extension becomes a user
of that id, with that number and name. A user who is there gets the name. Nothing else
of the file is looked at.

With --mapping it is a mapping.yaml that lists users, who move into the store as they
stand there. While the bridge still has them from that file they wait in the store,
exactly those of the last such import, until users: {from: store} stands in place of
the list.`,
		Example: `  presencebridge user import users.csv --dry-run
  presencebridge user import --freepbx users.csv
  presencebridge user import --mapping mapping.yaml`,
		Args: takes(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			return m.userImport(c.Context(), args[0], o)
		},
	}
	c.Flags().BoolVar(&o.dry, "dry-run", false, "validate the file and tell what would happen")
	c.Flags().BoolVar(&o.freePBX, "freepbx", false, "the file has the columns of FreePBX's table users")
	c.Flags().BoolVar(&o.mapping, "mapping", false, "the file is a mapping.yaml with a list of users")
	c.MarkFlagsMutuallyExclusive("freepbx", "mapping")
	return c
}

// importOptions are the flags of an import.
type importOptions struct{ dry, freePBX, mapping bool }

func (m *Main) userImport(ctx context.Context, name string, o importOptions) error {
	c, err := m.client()
	if err != nil {
		return err
	}
	var wish importWish
	var faults []lineFault
	if o.mapping {
		err = wish.readMapping(name)
	} else {
		faults, err = m.readUsers(ctx, c, name, o.freePBX, &wish)
	}
	if err != nil {
		return err
	}
	// A file that is not CSV everywhere is sent all the same, for its other faults.
	wish.DryRun = o.dry || len(faults) > 0
	var done api.UserChanges
	if len(wish.Users) > 0 {
		err = c.do(ctx, http.MethodPost, mappedPath, wish, &done)
	}
	if err := notImported(name, faults, err); err != nil {
		return err
	}
	if o.dry {
		m.printf("Nothing has changed. An import would make it: ")
	}
	m.printf("%s added, %d changed, %d unchanged.\n", count(done.Added, "user", "users"), done.Changed, done.Unchanged)
	m.printWarnings(done.Warnings)
	if done.Unused {
		m.printUnused(o.dry, done.Removed)
	}
	return nil
}

// printUnused says what to do with users in the store whom the bridge does not use.
func (m *Main) printUnused(dry bool, removed int) {
	if removed > 0 {
		m.printf("%s of an import before are no longer among them.\n", count(removed, "user", "users"))
	}
	if !dry {
		m.printf("They wait there: write users: {from: store} in mapping.yaml in place of the list.\n")
	}
}

// readMapping reads the users of a mapping.yaml.
func (w *importWish) readMapping(name string) error {
	users, faults := config.FileUsers(name)
	if len(faults) > 0 {
		return &exit{exitFailed, fmt.Errorf("nothing was imported:\n%w", faults)}
	}
	for _, u := range users {
		w.add(json.RawMessage(u.JSON), u.Line)
	}
	return nil
}

// readUsers reads a CSV file, and what is wrong about its form.
func (m *Main) readUsers(ctx context.Context, c *client, name string, freePBX bool, into *importWish) ([]lineFault, error) {
	text, err := m.readAll(name)
	if err != nil {
		return nil, err
	}
	there, err := c.mappedUsers(ctx)
	if err != nil {
		return nil, err
	}
	columns := ownColumns
	if freePBX {
		columns = freePBXColumns
	}
	file, err := readUserCSV(bytes.NewReader(text), columns)
	if err != nil {
		file.faults = append(file.faults, lineFaultOf(err.Error()))
	}
	file.numbers = freePBX
	users, lines := file.users(there)
	for i := range users {
		into.add(users[i], lines[i])
	}
	return file.faults, nil
}

// readAll reads a file, or the standard input for "-".
func (m *Main) readAll(name string) ([]byte, error) {
	in := m.In
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, &exit{exitFailed, fmt.Errorf("read the file: %w", err)}
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxUserFile+1))
	if err != nil {
		return nil, &exit{exitFailed, fmt.Errorf("read the file: %w", err)}
	}
	if len(text) > maxUserFile {
		return nil, &exit{exitFailed, fmt.Errorf("%s is longer than %d MiB: import it in pieces", name, maxUserFile>>20)}
	}
	return text, nil
}

var lineMark = regexp.MustCompile(`^line (\d+): `)

// lineFaultOf reads a sentence that may begin with its line.
func lineFaultOf(says string) lineFault {
	m := lineMark.FindStringSubmatch(says)
	if m == nil {
		return lineFault{says: says}
	}
	line, _ := strconv.Atoi(m[1])
	return lineFault{line, says[len(m[0]):]}
}

// notImported says why a file was not imported: by its form, or by what the bridge
// says of it, in the order of its lines. nil: it was.
func notImported(name string, faults []lineFault, err error) error {
	if name == "-" {
		name = "the input"
	}
	var p *api.Problem
	if errors.As(err, &p) && len(p.Errors) > 0 {
		for _, says := range p.Errors {
			faults = append(faults, lineFaultOf(says))
		}
	} else if p != nil && p.Status == http.StatusRequestEntityTooLarge {
		return &exit{exitFailed, fmt.Errorf("%s is too large for one import: split it", name)}
	} else if err != nil {
		return err
	}
	if len(faults) == 0 {
		return nil
	}
	slices.SortStableFunc(faults, func(a, b lineFault) int { return cmp.Compare(a.line, b.line) })
	lines := make([]string, len(faults))
	for i, f := range faults {
		if lines[i] = f.says; f.line > 0 {
			lines[i] = fmt.Sprintf("line %d: %s", f.line, f.says)
		}
	}
	return &exit{exitFailed, fmt.Errorf("%s was not imported, nothing has changed:\n%s", name, strings.Join(lines, "\n"))}
}

func (m *Main) userExportCommand() *cobra.Command {
	return &cobra.Command{
		Use: "export [FILE]", Short: "Write the users to a CSV file that import reads",
		Long: `Export writes every user, in the columns that import reads. A cell that a spreadsheet
would take for a formula (it begins with = + - @) begins with an apostrophe, which
import takes off again.`,
		Example: `  presencebridge user export > users.csv
  presencebridge user export users.csv`,
		Args: takes(0, 1),
		RunE: func(c *cobra.Command, args []string) error { return m.userExport(c.Context(), args) },
	}
}

func (m *Main) userExport(ctx context.Context, args []string) error {
	c, err := m.client()
	if err != nil {
		return err
	}
	users, err := c.mappedUsers(ctx)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := writeUserCSV(&text, users); err != nil {
		return &exit{exitFailed, fmt.Errorf("write the users: %w", err)}
	}
	if len(args) == 0 {
		_, err = m.Out.Write(text.Bytes())
	} else {
		err = os.WriteFile(args[0], text.Bytes(), 0o600)
	}
	if err != nil {
		return &exit{exitFailed, fmt.Errorf("write the users: %w", err)}
	}
	if len(args) > 0 {
		m.printf("%s written to %s.\n", count(len(users), "user", "users"), plain(args[0]))
	}
	return nil
}
