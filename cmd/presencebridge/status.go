package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

func (m *Main) statusCommand() *cobra.Command {
	watch := false
	c := m.reads(&cobra.Command{
		Use: "status [USER]", Short: "Show everybody's status, or one user's in detail",
		Long: `Status shows every user: the status, its message, since and until when, and what
each extension shows. With a USER it shows that one in detail.

With --watch it goes on showing until you press Ctrl-C; in a pipe it then prints
a line for every change, with --json a user as one line of JSON.`,
		Example: `  presencebridge status
  presencebridge status alice
  presencebridge status --watch
  presencebridge status --watch --json | jq .status`,
		Args:              takes(0, 1),
		ValidArgsFunction: m.completeUser,
	})
	c.Flags().BoolVarP(&watch, "watch", "w", false, "go on showing changes")
	c.RunE = func(c *cobra.Command, args []string) error {
		only := strings.Join(args, "")
		if watch {
			return m.watch(c.Context(), only)
		}
		return m.status(c.Context(), only)
	}
	return c
}

func (m *Main) status(ctx context.Context, only string) error {
	c, err := m.client()
	if err != nil {
		return err
	}
	if only != "" {
		var u bridge.User
		if err := c.get(ctx, userPath(only, ""), &u); err != nil {
			return err
		}
		if m.json {
			return m.printJSON(u)
		}
		m.printUser(&u)
		return nil
	}
	users, err := all[bridge.User](ctx, c, "/api/v1/users")
	if err != nil {
		return err
	}
	if m.json {
		return m.printJSON(page[bridge.User]{Items: users})
	}
	m.print(m.userTable(users, false))
	return m.printConcerns(ctx, c)
}

// printConcerns tells, below the statuses, why they may not be the truth.
func (m *Main) printConcerns(ctx context.Context, c *client) error {
	is, err := c.readiness(ctx)
	if err != nil {
		return err
	}
	for _, text := range append(is.Reasons, is.Warnings...) {
		_, _ = fmt.Fprintln(m.Err, "! "+plainLines(text))
	}
	return nil
}

// userTable has a line for each user; last adds the column that the demo shows.
func (m *Main) userTable(users []bridge.User, last bool) *table {
	t := &table{head: []string{"USER", "STATUS", "MESSAGE", "SINCE", "UNTIL", "EXTENSIONS"}, flex: 2}
	if last {
		t.head, t.flex = append(t.head, "LAST CHANGE"), len(t.head)
	}
	prefix := severalPBXs(users)
	for i := range users {
		u := &users[i]
		row := append(m.userCells(u), cell{text: extensions(u, prefix)})
		if last {
			short := strings.Replace(m.lastChange(u), " by extension ", " by ", 1)
			row = append(row, cell{text: short, style: dim})
		}
		t.rows = append(t.rows, row)
	}
	return t
}

func (m *Main) userCells(u *bridge.User) []cell {
	row := []cell{{text: plain(u.Name)}, {text: "-", style: dim}, {}, {}, {}}
	s := u.Status
	if s == nil {
		return row
	}
	row[1] = cell{named(s.Name, s.Label) + marks(s) + over(u), baseStyle(s.Base)}
	row[2].text = plain(s.Message)
	row[3].text = age(m.Now().Sub(s.Since))
	if s.Until != nil {
		row[4].text = m.clock(*s.Until)
	}
	return row
}

// over says what was said or chosen, where phones show something over it.
func over(u *bridge.User) string {
	if u.Under == nil {
		return ""
	}
	return " (" + plain(u.Under.Name) + ")"
}

// phoneWords are for people.
var phoneWords = map[presence.PhoneState]string{presence.PhoneNone: "no such device", presence.PhoneInCall: "in a call", presence.PhoneOnHold: "on hold"}

func phoneText(p presence.PhoneState) string {
	if words, ok := phoneWords[p]; ok {
		return words
	}
	return p.String()
}

// marks says what is odd about a status.
func marks(s *bridge.UserStatus) string {
	text := ""
	if s.Removed {
		text += " (no longer in the mapping)"
	}
	if s.Stale {
		text += " (stale)"
	}
	return text
}

func severalPBXs(users []bridge.User) bool {
	first := ""
	for i := range users {
		for _, x := range users[i].Extensions {
			if first == "" {
				first = x.PBX
			}
			if x.PBX != first {
				return true
			}
		}
	}
	return false
}

// extensions writes what each extension shows, in few words.
func extensions(u *bridge.User, prefix bool) string {
	list := make([]string, len(u.Extensions))
	for i, x := range u.Extensions {
		name := x.Extension
		if prefix {
			name = x.PBX + "/" + name
		}
		list[i] = plain(name) + " " + shows(x.Presence) + condition(&x)
	}
	return strings.Join(list, ", ")
}

func condition(x *bridge.UserExtension) string {
	switch {
	case !x.Reachable:
		return " (unreachable)"
	case x.Pending:
		return " (pending)"
	}
	return ""
}

func (m *Main) lastChange(u *bridge.User) string {
	if u.Last == nil {
		return ""
	}
	return ago(m.Now().Sub(u.Last.At.Time())) + " by " + plain(u.Last.By) + ": " + string(u.Last.Rule)
}

// printUser prints one user in detail.
func (m *Main) printUser(u *bridge.User) {
	m.printf("%s (%s)\n", plain(u.Name), plain(string(u.ID)))
	if s := u.Status; s == nil {
		m.printf("Status       none, nothing was ever said\n")
	} else {
		_, colour := m.screen()
		m.printf("Status       %s%s\n", painted(named(s.Name, s.Label), baseStyle(s.Base), colour), marks(s))
		if s.Message != "" {
			m.printf("Message      %s\n", plain(s.Message))
		}
		m.printf("Since        %s, %s, by %s\n", m.clock(s.Since), ago(m.Now().Sub(s.Since)), plain(s.By))
		if s.Until != nil {
			m.printf("Until        %s\n", m.clock(*s.Until))
		}
	}
	if s := u.Under; s != nil {
		m.printf("Under it     %s%s, %s, by %s\n", named(s.Name, s.Label), marks(s), ago(m.Now().Sub(s.Since)), plain(s.By))
	}
	m.printf("Phone        %s\n", phoneText(u.Phone))
	if u.Last != nil {
		m.printf("Last change  %s\n", m.lastChange(u))
	}
	if !u.Saved {
		m.printf("Not in the store yet.\n")
	}
	t := &table{head: []string{"EXTENSION", "SHOWS", "MESSAGE", "SINCE", ""}, flex: 2}
	for _, x := range u.Extensions {
		row := cells(plain(x.PBX+"/"+x.Extension), shows(x.Presence), "", "", strings.TrimSpace(condition(&x)))
		if x.Default {
			row[0].text += " (default)"
		}
		if x.Presence != nil {
			row[2].text = plain(x.Presence.Message)
		}
		if x.Since != nil {
			row[3].text = age(m.Now().Sub(*x.Since))
		}
		t.rows = append(t.rows, row)
	}
	if len(t.rows) > 0 {
		m.printf("\n")
		m.print(t)
	}
}

func painted(text string, s style, colour bool) string {
	if !colour {
		return text
	}
	return string(s) + text + resetStyle
}
