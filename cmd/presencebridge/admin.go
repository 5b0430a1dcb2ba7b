package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/presencebridge/presencebridge/pkg/api"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// accountWish is the body of POST /invitations.
type accountWish struct {
	Name   *string          `json:"name,omitempty"`
	Role   string           `json:"role,omitempty"`
	User   *presence.UserID `json:"user,omitempty"`
	Rights []string         `json:"rights,omitempty"`
}

func (m *Main) adminCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "admin invite|list|role|disable|enable|reset|sign-out|remove", Short: "Say who may sign in to the web panel",
		Long: `Admin makes and changes the accounts of people who sign in to the web panel, which
sign_in in the configuration switches on. A role is what somebody may do there:

  user           see everybody, and set the own status
  operator       also others' where sign_in.operators_may_set is true
  administrator  also change the settings, the statuses and the accounts`,
		Example: `  presencebridge admin invite --role administrator
  presencebridge admin invite --user alice alice
  presencebridge admin list
  presencebridge admin role alice operator
  presencebridge admin disable alice`,
		Args: takes(0, 0),
		RunE: func(*cobra.Command, []string) error {
			return &exit{exitWrong, fmt.Errorf("say what to do: presencebridge admin invite, list, role, disable, enable, reset, sign-out or remove")}
		},
	}
	c.AddCommand(m.adminInviteCommand(), m.adminListCommand(), m.adminRoleCommand(),
		m.adminSwitchCommand("disable", true, "Keep somebody from signing in, and end their sessions"),
		m.adminSwitchCommand("enable", false, "Let somebody sign in again"),
		m.adminResetCommand(), m.adminSignOutCommand(), m.adminRemoveCommand())
	return c
}

func (m *Main) adminInviteCommand() *cobra.Command {
	var wish accountWish
	var user string
	c := m.reads(&cobra.Command{
		Use: "invite [NAME]", Short: "Print a link by which somebody chooses a password, once",
		Long: `Invite prints a link: nothing else on the standard output. Whoever opens it within
24 hours chooses a password, and a name unless NAME says it. It is good once, and
is never shown again.`,
		Example: `  presencebridge admin invite --role administrator
  presencebridge admin invite --role operator --rights create,modify erin
  presencebridge admin invite --user alice alice`,
		Args:              takes(0, 1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				wish.Name = &args[0]
			}
			if user != "" {
				id := presence.UserID(user)
				wish.User = &id
			}
			return m.adminInvite(c.Context(), "/api/v1/invitations", wish)
		},
	})
	c.Flags().StringVar(&wish.Role, "role", "user", "what they may do: a `ROLE` of user, operator or administrator")
	c.Flags().StringVar(&user, "user", "", "whose status they set: a `USER` of the mapping")
	c.Flags().StringSliceVar(&wish.Rights, "rights", nil, "what they may do to statuses: `RIGHTS` of create, modify and delete")
	return c
}

// adminInvite makes a link and prints it.
func (m *Main) adminInvite(ctx context.Context, path string, wish any) error {
	c, err := m.client()
	if err != nil {
		return err
	}
	var made api.Invitation
	if err := c.do(ctx, http.MethodPost, path, wish, &made); err != nil {
		return m.noPanel(err)
	}
	if m.json {
		return m.printJSON(made)
	}
	m.printf("%s\n", made.URL)
	name := "somebody"
	if made.Name != nil {
		name = plain(*made.Name)
	}
	_, _ = fmt.Fprintf(m.Err, "Give this link to %s (%s): it is good once, until %s.\n", name, plain(made.Role), m.clock(made.Expires))
	return nil
}

func (m *Main) adminListCommand() *cobra.Command {
	return m.reads(&cobra.Command{
		Use: "list", Short: "List the accounts, and the links that nobody has used yet",
		Example:           `  presencebridge admin list --json`,
		Args:              takes(0, 0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(c *cobra.Command, _ []string) error { return m.adminList(c.Context()) },
	})
}

func (m *Main) adminList(ctx context.Context) error {
	c, err := m.client()
	if err != nil {
		return err
	}
	accounts, err := all[api.Account](ctx, c, "/api/v1/accounts")
	if err != nil {
		return m.noPanel(err)
	}
	if m.json {
		return m.printJSON(accounts)
	}
	invitations, err := all[api.Invitation](ctx, c, "/api/v1/invitations")
	if err != nil {
		return err
	}
	if len(accounts)+len(invitations) == 0 {
		m.printf("There is no account; presencebridge admin invite --role administrator makes a link for the first.\n")
		return nil
	}
	t := &table{head: []string{"NAME", "ROLE", "USER", "RIGHTS", "SIGNS IN", "LAST", "MADE", "BY"}, flex: 0}
	for i := range accounts {
		t.rows = append(t.rows, m.accountRow(&accounts[i]))
	}
	for i := range invitations {
		t.rows = append(t.rows, m.invitationRow(&invitations[i]))
	}
	m.print(t)
	return nil
}

func (m *Main) accountRow(a *api.Account) []cell {
	row := cells(plain(a.Name), plain(a.Role), "", strings.Join(a.Rights, " "), "password", "never", m.clock(a.Made), plain(a.By))
	if a.User != nil {
		row[2].text = plain(string(*a.User))
	}
	switch {
	case a.Disabled:
		row[4] = cell{"disabled", red}
	case a.Provider != nil:
		row[4].text = plain(*a.Provider)
	case !a.Password:
		row[4].text = "by a new link"
	}
	if a.SignedIn != nil {
		row[5].text = m.clock(*a.SignedIn)
	}
	return row
}

func (m *Main) invitationRow(i *api.Invitation) []cell {
	row := cells("(chosen by who is invited)", plain(i.Role), "", strings.Join(i.Rights, " "), "link until "+m.clock(i.Expires), "", m.clock(i.Made), plain(i.By))
	if i.Name != nil {
		row[0].text = plain(*i.Name)
	}
	if i.User != nil {
		row[2].text = plain(string(*i.User))
	}
	return row
}

func (m *Main) adminRoleCommand() *cobra.Command {
	var user string
	var rights []string
	c := &cobra.Command{
		Use: "role NAME ROLE", Short: "Give somebody another role: user, operator or administrator",
		Long: `Role gives somebody another role, at once also where they have the panel open. Where
a provider's groups give roles (roles: in the configuration), those count again at
the next sign-in.`,
		Example: `  presencebridge admin role alice operator
  presencebridge admin role erin user --rights create,modify
  presencebridge admin role root administrator --user ""`,
		Args:              takes(2, 2),
		ValidArgsFunction: m.completeAccount,
		RunE: func(c *cobra.Command, args []string) error {
			change := map[string]any{"role": args[1]}
			if c.Flags().Changed("user") {
				if change["user"] = nil; user != "" {
					change["user"] = user
				}
			}
			if c.Flags().Changed("rights") {
				change["rights"] = append([]string{}, rights...)
			}
			return m.adminChange(c.Context(), args[0], change, "has the role "+plain(args[1]))
		},
	}
	c.Flags().StringVar(&user, "user", "", "also whose status they set: a `USER` of the mapping, \"\" for nobody's")
	c.Flags().StringSliceVar(&rights, "rights", nil, "also what they may do to statuses: `RIGHTS` of create, modify and delete, \"\" for none")
	return c
}

func (m *Main) adminSwitchCommand(name string, disabled bool, short string) *cobra.Command {
	return &cobra.Command{
		Use: name + " NAME", Short: short,
		Example:           "  presencebridge admin " + name + " alice",
		Args:              takes(1, 1),
		ValidArgsFunction: m.completeAccount,
		RunE: func(c *cobra.Command, args []string) error {
			return m.adminChange(c.Context(), args[0], map[string]any{"disabled": disabled}, "is "+name+"d")
		},
	}
}

func (m *Main) adminChange(ctx context.Context, name string, change map[string]any, done string) error {
	return m.adminAct(ctx, http.MethodPatch, name, "", change, done)
}

// adminAct asks for something to be done to an account, at an address below its own, and
// says that it is done.
func (m *Main) adminAct(ctx context.Context, method, name, below string, body any, done string) error {
	c, err := m.client()
	if err != nil {
		return err
	}
	if err := c.do(ctx, method, "/api/v1/accounts/"+url.PathEscape(name)+below, body, nil); err != nil {
		return m.noPanel(err)
	}
	m.printf("The account %s %s.\n", plain(name), done)
	return nil
}

func (m *Main) adminResetCommand() *cobra.Command {
	return m.reads(&cobra.Command{
		Use: "reset NAME", Short: "Take a password away, and print a link by which its owner chooses another one",
		Example:           `  presencebridge admin reset alice`,
		Args:              takes(1, 1),
		ValidArgsFunction: m.completeAccount,
		RunE: func(c *cobra.Command, args []string) error {
			return m.adminInvite(c.Context(), "/api/v1/accounts/"+url.PathEscape(args[0])+"/reset", struct{}{})
		},
	})
}

func (m *Main) adminSignOutCommand() *cobra.Command {
	return &cobra.Command{
		Use: "sign-out NAME", Short: "End all sessions of somebody, who may sign in again",
		Example:           `  presencebridge admin sign-out alice`,
		Args:              takes(1, 1),
		ValidArgsFunction: m.completeAccount,
		RunE: func(c *cobra.Command, args []string) error {
			return m.adminAct(c.Context(), http.MethodPost, args[0], "/sign-out", struct{}{}, "is signed out everywhere")
		},
	}
}

func (m *Main) adminRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use: "remove NAME", Short: "Remove an account; what it did stays in the history",
		Example:           `  presencebridge admin remove alice`,
		Args:              takes(1, 1),
		ValidArgsFunction: m.completeAccount,
		RunE: func(c *cobra.Command, args []string) error {
			return m.adminAct(c.Context(), http.MethodDelete, args[0], "", nil, "is removed")
		},
	}
}

func (m *Main) completeAccount(c *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return complete(c.Context(), m, "/api/v1/accounts", begun, func(a api.Account) (id, name string) { return a.Name, a.Title })
}

// noPanel says what to do where the bridge has no web panel, and so no accounts.
func (m *Main) noPanel(err error) error {
	var p *api.Problem
	if errors.As(err, &p) && p.Status == http.StatusNotFound && strings.HasPrefix(p.Detail, "There is nothing at ") {
		return &exit{exitFailed, errors.New("the bridge has no web panel: write sign_in: into presencebridge.yaml, as the sample does, and start the bridge again")}
	}
	return err
}
