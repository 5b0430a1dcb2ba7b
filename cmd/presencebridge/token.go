package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/presencebridge/presencebridge/pkg/api"
)

// apiToken is a token of the API as the bridge lists it.
type apiToken struct {
	Name    string     `json:"name"`
	Scope   api.Scope  `json:"scope"`
	User    *string    `json:"user"` // nil: of no one user
	Made    time.Time  `json:"made"`
	By      string     `json:"by"`
	Expires *time.Time `json:"expires"` // nil: never
	Used    *time.Time `json:"used"`    // nil: never
}

// madeToken is a token that was just made.
type madeToken struct {
	apiToken
	Token string `json:"token"`
}

// tokenWish is the body of POST /tokens.
type tokenWish struct {
	Name    string     `json:"name"`
	Scope   string     `json:"scope"`
	User    string     `json:"user,omitempty"`
	Expires *time.Time `json:"expires"`
}

func (m *Main) tokenCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "token new|list|revoke", Short: "Make, list and revoke tokens for programs on the network",
		Long: `A token lets a program use the API at the address of http.listen, as the header
"Authorization: Bearer pbt_...". Its scope is what it may do:

  read   read users, statuses, PBXs, history, explanations, events and metrics
  own    also set the status and the settings of one user
  set    also set anybody's status
  admin  also reload, and make and revoke tokens`,
		Example: `  presencebridge token new wallboard
  presencebridge token new crm --scope set --expires 90d
  presencebridge token list
  presencebridge token revoke crm`,
		Args: takes(0, 0),
		RunE: func(*cobra.Command, []string) error {
			return &exit{exitWrong, fmt.Errorf("say what to do: presencebridge token new NAME, list, or revoke NAME")}
		},
	}
	c.AddCommand(m.tokenNewCommand(), m.tokenListCommand(), m.tokenRevokeCommand())
	return c
}

func (m *Main) tokenNewCommand() *cobra.Command {
	var wish tokenWish
	var expires string
	c := m.reads(&cobra.Command{
		Use: "new NAME", Short: "Make a token and print it, once",
		Long: `New makes a token and prints it: nothing else on the standard output, so that a
script can keep it. It is never shown again, for only its hash is kept. What is
done with it shows in the history as "api NAME".`,
		Example: `  presencebridge token new wallboard
  presencebridge token new alice-phone --scope own --user alice --expires 90d
  presencebridge token new deploy --scope admin > token`,
		Args:              takes(1, 1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			wish.Name = args[0]
			return m.tokenNew(c.Context(), wish, expires)
		},
	})
	c.Flags().StringVar(&wish.Scope, "scope", string(api.ScopeRead), "what it may do: a `SCOPE` of read, own, set or admin")
	c.Flags().StringVar(&wish.User, "user", "", "with --scope own: the `USER` whose status it may set")
	c.Flags().StringVar(&expires, "expires", "", "after this `TIME` it is refused: 90d, 12h, 2026-12-31T00:00:00Z (default never)")
	return c
}

func (m *Main) tokenNew(ctx context.Context, wish tokenWish, expires string) error {
	if expires != "" {
		end, err := m.expiry(expires)
		if err != nil {
			return &exit{exitWrong, err}
		}
		wish.Expires = &end
	}
	c, err := m.client()
	if err != nil {
		return err
	}
	var made madeToken
	if err := c.do(ctx, http.MethodPost, "/api/v1/tokens", wish, &made); err != nil {
		return err
	}
	if m.json {
		return m.printJSON(made)
	}
	m.printf("%s\n", made.Token)
	_, _ = fmt.Fprintf(m.Err, "This is the token %s of the scope %s. Keep it now: it is not shown again.\n", made.Name, made.Scope)
	return nil
}

var days = regexp.MustCompile(`^([0-9]{1,5})d$`)

// expiry reads when a token ends: after some days, or what until takes.
func (m *Main) expiry(text string) (time.Time, error) {
	if match := days.FindStringSubmatch(text); match != nil {
		n, err := strconv.Atoi(match[1])
		if err == nil && n > 0 {
			return m.Now().AddDate(0, 0, n), nil
		}
	}
	end, err := m.when(text)
	if err != nil {
		return end, fmt.Errorf("%q is no time in the future: write --expires 90d, 12h or 2026-12-31T00:00:00Z", text)
	}
	return end, nil
}

func (m *Main) tokenListCommand() *cobra.Command {
	return m.reads(&cobra.Command{
		Use: "list", Short: "List the tokens",
		Example:           `  presencebridge token list --json`,
		Args:              takes(0, 0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(c *cobra.Command, _ []string) error { return m.tokenList(c.Context()) },
	})
}

func (m *Main) tokenList(ctx context.Context) error {
	c, err := m.client()
	if err != nil {
		return err
	}
	tokens, err := all[apiToken](ctx, c, "/api/v1/tokens")
	if err != nil {
		return err
	}
	if m.json {
		return m.printJSON(tokens)
	}
	if len(tokens) == 0 {
		m.printf("There is no token; presencebridge token new NAME makes one.\n")
		return nil
	}
	t := &table{head: []string{"NAME", "SCOPE", "USER", "MADE", "BY", "EXPIRES", "USED"}, flex: 0}
	for _, k := range tokens {
		row := cells(k.Name, string(k.Scope), "", m.clock(k.Made), plain(k.By), "never", "never")
		if k.User != nil {
			row[2].text = plain(*k.User)
		}
		if k.Expires != nil {
			row[5].text = m.clock(*k.Expires)
			if !k.Expires.After(m.Now()) {
				row[5] = cell{"ran out", red}
			}
		}
		if k.Used != nil {
			row[6].text = m.clock(*k.Used)
		}
		t.rows = append(t.rows, row)
	}
	m.print(t)
	return nil
}

func (m *Main) tokenRevokeCommand() *cobra.Command {
	return &cobra.Command{
		Use: "revoke NAME", Short: "Revoke a token at once, also for streams that are open with it",
		Example: `  presencebridge token revoke crm`,
		Args:    takes(1, 1),
		ValidArgsFunction: func(c *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return complete(c.Context(), m, "/api/v1/tokens", begun, func(k apiToken) (id, name string) { return k.Name, string(k.Scope) })
		},
		RunE: func(c *cobra.Command, args []string) error { return m.tokenRevoke(c.Context(), args[0]) },
	}
}

func (m *Main) tokenRevoke(ctx context.Context, name string) error {
	c, err := m.client()
	if err != nil {
		return err
	}
	if err := c.do(ctx, http.MethodDelete, "/api/v1/tokens/"+url.PathEscape(name), nil, nil); err != nil {
		return err
	}
	m.printf("The token %s is revoked.\n", plain(name))
	return nil
}
