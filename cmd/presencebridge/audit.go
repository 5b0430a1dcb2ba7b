package main

import (
	"strconv"

	"github.com/spf13/cobra"

	"github.com/presencebridge/presencebridge/pkg/store"
)

func (m *Main) auditCommand() *cobra.Command {
	var o listing
	c := m.reads(&cobra.Command{
		Use: "audit", Short: "Show who made and revoked tokens and changed the mapping, newest first",
		Long: `Audit shows who made and revoked tokens, changed users, status types and settings of
the mapping over the API, reloaded it and restored a backup, newest first: as long as
store.history_days keeps it.` + aboutLines,
		Example: `  presencebridge audit
  presencebridge audit --limit 100 --json
  presencebridge audit --by api --from 7d
  presencebridge audit --what lunch
  presencebridge audit --format csv > audit.csv`,
		Args:              takes(0, 0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			return list(c.Context(), m, &o, m.auditLines(&o))
		},
	})
	o.flags(c)
	c.Flags().StringVar(&o.what, "what", "", "what was done to this `ID` of a status type or a user, or to the token of this name")
	return c
}

func (m *Main) auditLines(o *listing) *lines[store.Act] {
	l := &lines[store.Act]{
		path: "/api/v1/audit", none: "Nothing was done to the bridge yet.",
		table: table{head: []string{"AT", "BY", "DID", "WHAT"}, flex: 3},
		row: func(a *store.Act) []cell {
			return cells(m.second(a.At), plain(a.By), plain(a.Did), plain(a.What))
		},
		head: []string{"id", "at", "by", "did", "what"},
		record: func(a *store.Act) []string {
			return []string{strconv.FormatInt(a.ID, 10), utc(a.At), a.By, a.Did, a.What}
		},
	}
	if o.selects() {
		l.none = "The audit log has nothing like that; it goes back as far as store.history_days says."
	}
	return l
}
