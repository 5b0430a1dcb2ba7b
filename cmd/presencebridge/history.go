package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/presencebridge/presencebridge/pkg/store"
)

const aboutLines = `

Days of --from and --to are those of this machine, and the day of --to counts. --by
takes a whole origin or how it begins: panel, api crm, extension main,
extension main/1001, cli, integration, expiry, reload.

--format csv and json are exports: everything that was asked for, unless --limit is
given, with times in UTC as RFC 3339 writes them. CSV is that of RFC 4180, and a
cell that a spreadsheet would take for a formula (it begins with = + - @, or a tab
or line break) begins with an apostrophe. JSON is one list, with one line for each.`

func (m *Main) historyCommand() *cobra.Command {
	var o listing
	c := m.reads(&cobra.Command{
		Use: "history [USER]", Short: "Show what a user's status was, or everybody's, newest first",
		Long: `History shows what a user's status was, or everybody's, newest first: as long as
store.history_days keeps it.` + aboutLines,
		Example: `  presencebridge history alice
  presencebridge history alice --limit 100 --json
  presencebridge history --from yesterday --by panel
  presencebridge history --from 2026-11-01 --to 2026-11-30 --format csv > november.csv`,
		Args:              takes(0, 1),
		ValidArgsFunction: m.completeUser,
		RunE: func(c *cobra.Command, args []string) error {
			return list(c.Context(), m, &o, m.historyLines(&o, args))
		},
	})
	o.flags(c)
	return c
}

// historyLines are the lines of one user, if args name one, or of everybody.
func (m *Main) historyLines(o *listing, args []string) *lines[store.Entry] {
	l := &lines[store.Entry]{
		path: "/api/v1/history", none: "Nothing was ever said of anybody.",
		table: table{head: []string{"AT", "USER", "STATUS", "MESSAGE", "UNTIL", "BY", "BECAUSE"}, flex: 3},
		row:   m.historyRow,
		head:  []string{"id", "at", "user", "type", "name", "base", "message", "since", "until", "by", "rule", "version", "label"},
		record: func(e *store.Entry) []string {
			return []string{
				strconv.FormatInt(e.ID, 10), utc(e.At), string(e.User), string(e.Type), e.Name, string(e.Base), e.Message,
				utc(e.Since), utc(e.Until), e.By, string(e.Rule), strconv.FormatUint(e.Version, 10), e.Label,
			}
		},
	}
	if len(args) > 0 {
		l.path, l.none = userPath(args[0], "/history"), fmt.Sprintf("Nothing was ever said of %s.", plain(args[0]))
		l.table = table{head: []string{"AT", "STATUS", "MESSAGE", "UNTIL", "BY", "BECAUSE"}, flex: 2}
		l.row = func(e *store.Entry) []cell {
			row := m.historyRow(e)
			return append(row[:1:1], row[2:]...)
		}
	}
	if o.selects() {
		l.none = "The history has nothing like that; it goes back as far as store.history_days says."
	}
	return l
}

func (m *Main) historyRow(e *store.Entry) []cell {
	row := cells(m.second(e.At), plain(string(e.User)), "-", plain(e.Message), "", plain(e.By), string(e.Rule))
	if e.Type != "" {
		row[2] = cell{named(e.Name, e.Label), baseStyle(e.Base)}
	}
	if !e.Until.IsZero() {
		row[4].text = m.clock(e.Until)
	}
	return row
}
