package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// completionWait is how long a shell may wait for the names of users.
const completionWait = 2 * time.Second

// completeUser completes the id of a user, if the bridge runs.
func (m *Main) completeUser(c *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return complete(c.Context(), m, "/api/v1/users", begun, func(u bridge.User) (id, name string) { return string(u.ID), u.Name })
}

// completeUserAndStatus completes the arguments of set.
func (m *Main) completeUserAndStatus(c *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) != 1 {
		return m.completeUser(c, args, begun)
	}
	return complete(c.Context(), m, "/api/v1/statuses", begun, func(t presence.StatusType) (id, name string) { return string(t.ID), t.Name })
}

func complete[T any](ctx context.Context, m *Main, path, begun string, names func(T) (id, name string)) ([]cobra.Completion, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(ctx, completionWait)
	defer cancel()
	c, err := m.client()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	items, err := all[T](ctx, c, path)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var found []cobra.Completion
	for _, item := range items {
		if id, name := names(item); strings.HasPrefix(id, begun) && plain(id) == id {
			found = append(found, cobra.CompletionWithDesc(id, plain(name)))
		}
	}
	return found, cobra.ShellCompDirectiveNoFileComp
}
