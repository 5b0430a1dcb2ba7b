package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/presencebridge/presencebridge/pkg/store"
)

func (m *Main) auditCommand() *cobra.Command {
	limit := 20
	c := m.reads(&cobra.Command{
		Use: "audit", Short: "Show who made and revoked tokens and reloaded the mapping, newest first",
		Example: `  presencebridge audit
  presencebridge audit --limit 100 --json`,
		Args:              takes(0, 0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(c *cobra.Command, _ []string) error { return m.audit(c.Context(), limit) },
	})
	c.Flags().IntVarP(&limit, "limit", "n", limit, "show at most `N` lines (1 to 5000)")
	return c
}

func (m *Main) audit(ctx context.Context, limit int) error {
	c, err := m.client()
	if err != nil {
		return err
	}
	var p page[store.Act]
	if err := c.get(ctx, fmt.Sprintf("/api/v1/audit?limit=%d", limit), &p); err != nil {
		return err
	}
	if m.json {
		return m.printJSON(p)
	}
	if len(p.Items) == 0 {
		m.printf("Nothing was done to the bridge yet.\n")
		return nil
	}
	t := &table{head: []string{"AT", "BY", "DID", "WHAT"}, flex: 3}
	for _, a := range p.Items {
		t.rows = append(t.rows, cells(a.At.In(m.Zone).Format("2006-01-02 15:04:05"), plain(a.By), plain(a.Did), plain(a.What)))
	}
	m.print(t)
	if p.Next != nil {
		m.printf("There is more; --limit shows it.\n")
	}
	return nil
}
