package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/presencebridge/presencebridge/pkg/api"
)

func (m *Main) reloadCommand() *cobra.Command {
	return &cobra.Command{
		Use: "reload", Short: "Make the running bridge take over its files again",
		Long: `Reload makes the running bridge read its files again, and the users of the mapping
where they are in the store. If they have a fault it
prints all of them, exits with 1, and the bridge goes on as before.

SIGHUP and systemctl reload do the same; a saved mapping is taken over by itself.`,
		Example:           `  presencebridge reload`,
		Args:              takes(0, 0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(c *cobra.Command, _ []string) error { return m.reload(c.Context()) },
	}
}

func (m *Main) reload(ctx context.Context) error {
	c, err := m.client()
	if err != nil {
		return err
	}
	err = c.do(ctx, http.MethodPost, "/api/v1/reload", nil, nil)
	if p := (*api.Problem)(nil); errors.As(err, &p) && len(p.Errors) > 0 {
		return &exit{exitFailed, fmt.Errorf("%s\n%s", p.Detail, strings.Join(p.Errors, "\n"))}
	}
	if err == nil {
		m.printf("The files were taken over.\n")
	}
	return err
}
