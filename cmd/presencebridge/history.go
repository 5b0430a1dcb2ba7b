package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/presencebridge/presencebridge/pkg/store"
)

func (m *Main) historyCommand() *cobra.Command {
	limit := 20
	c := m.reads(&cobra.Command{
		Use: "history USER", Short: "Show what a user's status was, newest first",
		Example: `  presencebridge history alice
  presencebridge history alice --limit 100 --json`,
		Args:              takes(1, 1),
		ValidArgsFunction: m.completeUser,
		RunE:              func(c *cobra.Command, args []string) error { return m.history(c.Context(), args[0], limit) },
	})
	c.Flags().IntVarP(&limit, "limit", "n", limit, "show at most `N` changes (1 to 5000)")
	return c
}

func (m *Main) history(ctx context.Context, user string, limit int) error {
	c, err := m.client()
	if err != nil {
		return err
	}
	var p page[store.Entry]
	if err := c.get(ctx, userPath(user, fmt.Sprintf("/history?limit=%d", limit)), &p); err != nil {
		return err
	}
	if m.json {
		return m.printJSON(p)
	}
	if len(p.Items) == 0 {
		m.printf("Nothing was ever said of %s.\n", plain(user))
		return nil
	}
	t := &table{head: []string{"AT", "STATUS", "MESSAGE", "UNTIL", "BY", "BECAUSE"}, flex: 2}
	for _, e := range p.Items {
		row := cells(e.At.In(m.Zone).Format("2006-01-02 15:04:05"), "-", plain(e.Message), "", plain(e.By), string(e.Rule))
		if e.Type != "" {
			row[1] = cell{plain(e.Name), baseStyle(e.Base)}
		}
		if !e.Until.IsZero() {
			row[3].text = m.clock(e.Until)
		}
		t.rows = append(t.rows, row)
	}
	m.print(t)
	if p.Next != nil {
		m.printf("There is more; --limit shows it.\n")
	}
	return nil
}
