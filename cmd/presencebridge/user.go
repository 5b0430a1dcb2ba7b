package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/presencebridge/presencebridge/pkg/api"
)

func (m *Main) userCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "user add|set|remove|list|import|export", Short: "Change the users of the mapping, where the store keeps them",
		Long: `Where mapping.yaml says "users: {from: store}", these commands change the users while
the bridge runs. It validates every change as it does mapping.yaml, with all users
together; one with a fault changes nothing. A good one is in force at once, and
presencebridge audit tells who made it.`,
		Example: `  presencebridge user add alice --name "Alice Martin" --extension 1001 --extension branch/2001
  presencebridge user set alice --incoming default --default-extension 1001
  presencebridge user remove alice
  presencebridge user import users.csv --dry-run`,
		Args: takes(0, 0),
		RunE: func(*cobra.Command, []string) error {
			return &exit{exitWrong, errors.New("say what to do: presencebridge user add ID, set ID, remove ID, list, import FILE, or export")}
		},
	}
	c.AddCommand(m.userAddCommand(), m.userSetCommand(), m.userRemoveCommand(), m.userListCommand(), m.userImportCommand(), m.userExportCommand())
	return c
}

// userFlags are what a flag can say of a user.
type userFlags struct {
	name, email, standard, incoming, outgoing string
	extensions, priority, tags, groups        []string
	noSync                                    bool
}

func (f *userFlags) add(to *pflag.FlagSet) {
	to.StringVar(&f.name, "name", "", "what people see: a `NAME` (default the id)")
	to.StringVar(&f.email, "email", "", "by which other systems know the user: an `ADDRESS`")
	to.StringArrayVar(&f.extensions, "extension", nil, "a `NUMBER` of the user, as 1001 or branch/2001; once for each")
	to.StringVar(&f.standard, "default-extension", "", "which `NUMBER` of them is the default extension (default the first)")
	to.StringVar(&f.incoming, "incoming", "", "how phones make the status: a `METHOD` of latest, default or priority")
	to.StringVar(&f.outgoing, "outgoing", "", "where a chosen status is written: a `METHOD` of all or default")
	to.StringArrayVar(&f.priority, "priority", nil, "the id of a `STATUS` that outranks those after it; once for each")
	to.StringArrayVar(&f.tags, "tag", nil, "a `WORD` that the API shows with the user; once for each")
	to.StringArrayVar(&f.groups, "group", nil, "a `GROUP` that the API shows with the user; once for each")
	to.BoolVar(&f.noSync, "no-sync", false, "leave the user alone in both directions")
}

// change puts into u what was given. An empty text takes away what was there.
func (f *userFlags) change(u *mappedUser, given func(name string) bool) {
	for name, set := range map[string]func(){
		"name":      func() { u.Name = f.name },
		"email":     func() { u.Email = f.email },
		"extension": func() { u.Extensions = numbersOf(unempty(f.extensions)) },
		"default-extension": func() {
			u.Default = nil
			if f.standard != "" {
				n := parseNumber(f.standard)
				u.Default = &n
			}
		},
		"incoming": func() { u.Incoming = f.incoming },
		"outgoing": func() { u.Outgoing = f.outgoing },
		"priority": func() { u.Priority = wordsOf(unempty(f.priority)) },
		"tag":      func() { u.Tags = wordsOf(unempty(f.tags)) },
		"group":    func() { u.Groups = wordsOf(unempty(f.groups)) },
		"no-sync": func() {
			u.Sync = nil
			if f.noSync {
				u.Sync = false
			}
		},
	} {
		if given(name) {
			set()
		}
	}
}

// unempty is nil where the only text is empty: a flag that clears a list.
func unempty(texts []string) []string {
	if len(texts) == 1 && texts[0] == "" {
		return nil
	}
	return texts
}

func (m *Main) userAddCommand() *cobra.Command {
	var f userFlags
	c := &cobra.Command{
		Use: "add ID", Short: "Add a user",
		Example:           `  presencebridge user add bob --name "Bob Lee" --email bob@example.com --extension 1003 --group sales`,
		Args:              takes(1, 1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			u := mappedUser{ID: args[0]}
			f.change(&u, c.Flags().Changed)
			return m.userPut(c.Context(), &u, http.Header{"If-None-Match": {"*"}}, "added")
		},
	}
	f.add(c.Flags())
	return c
}

func (m *Main) userSetCommand() *cobra.Command {
	var f userFlags
	c := &cobra.Command{
		Use: "set ID", Short: "Change a user: what no flag says stays as it is",
		Long: `Set changes what the flags say, and nothing else. --extension, --priority, --tag and
--group say all that there shall be; an empty text takes away what was there.`,
		Example: `  presencebridge user set bob --extension 1003 --extension 1004
  presencebridge user set bob --no-sync=false --tag ""`,
		Args:              takes(1, 1),
		ValidArgsFunction: m.completeUser,
		RunE: func(c *cobra.Command, args []string) error {
			return m.userSet(c.Context(), args[0], func(u *mappedUser) { f.change(u, c.Flags().Changed) })
		},
	}
	f.add(c.Flags())
	return c
}

func mappedUserPath(id string) string { return mappedPath + "/" + url.PathEscape(id) }

// setTries bounds how often a change is made anew since somebody else was faster.
const setTries = 3

func (m *Main) userSet(ctx context.Context, id string, change func(*mappedUser)) error {
	c, err := m.client()
	if err != nil {
		return err
	}
	for try := 1; ; try++ {
		var u mappedUser
		tag, err := c.getTagged(ctx, mappedUserPath(id), &u)
		if err != nil {
			return err
		}
		change(&u)
		err = m.userPut(ctx, &u, http.Header{"If-Match": {tag}}, "changed")
		if p := (*api.Problem)(nil); try == setTries || !errors.As(err, &p) || p.Status != http.StatusPreconditionFailed {
			return err
		}
	}
}

func (m *Main) userPut(ctx context.Context, u *mappedUser, header http.Header, done string) error {
	c, err := m.client()
	if err != nil {
		return err
	}
	answer, err := c.doWhole(ctx, http.MethodPut, mappedUserPath(u.ID), header, u, nil)
	if err != nil {
		return everyFault(err)
	}
	m.printf("The user %s is %s.\n", plain(u.ID), done)
	m.printWarnings(answer.Values(api.WarningHeader))
	return nil
}

// printWarnings prints what surprises, as check does.
func (m *Main) printWarnings(says []string) {
	for _, text := range says {
		m.printf("warning: %s\n", plain(text))
	}
}

// everyFault is a refusal with all its faults, one a line.
func everyFault(err error) error {
	if p := (*api.Problem)(nil); errors.As(err, &p) && len(p.Errors) > 0 {
		return &exit{exitFailed, fmt.Errorf("%s\n%s", p.Detail, strings.Join(p.Errors, "\n"))}
	}
	return err
}

func (m *Main) userRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use: "remove ID", Short: "Remove a user; the history stays",
		Example:           `  presencebridge user remove bob`,
		Args:              takes(1, 1),
		ValidArgsFunction: m.completeUser,
		RunE: func(c *cobra.Command, args []string) error {
			client, err := m.client()
			if err != nil {
				return err
			}
			if err := client.do(c.Context(), http.MethodDelete, mappedUserPath(args[0]), nil, nil); err != nil {
				return everyFault(err)
			}
			m.printf("The user %s is removed.\n", plain(args[0]))
			return nil
		},
	}
}

func (m *Main) userListCommand() *cobra.Command {
	return m.reads(&cobra.Command{
		Use: "list", Short: "List the users as the mapping has them",
		Example:           `  presencebridge user list --json`,
		Args:              takes(0, 0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(c *cobra.Command, _ []string) error { return m.userList(c.Context()) },
	})
}

func (m *Main) userList(ctx context.Context) error {
	c, err := m.client()
	if err != nil {
		return err
	}
	users, err := c.mappedUsers(ctx)
	if err != nil {
		return err
	}
	if m.json {
		return m.printJSON(users)
	}
	if len(users) == 0 {
		m.printf("There is no user; presencebridge user add ID adds one, user import FILE many.\n")
		return nil
	}
	t := &table{head: []string{"USER", "NAME", "EXTENSIONS", "METHODS", "TAGS", "GROUPS"}, flex: 2}
	for i := range users {
		u := &users[i]
		methods := strings.Trim(u.Incoming+"/"+u.Outgoing, "/")
		if u.Sync == false {
			methods = "no sync"
		}
		row := cells(u.ID, u.Name, joined(u.Extensions, number.String), methods, joined(u.Tags, word.String), joined(u.Groups, word.String))
		for k := range row {
			row[k].text = plain(row[k].text)
		}
		t.rows = append(t.rows, row)
	}
	m.print(t)
	return nil
}
