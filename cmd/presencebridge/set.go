package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/presencebridge/presencebridge/pkg/bridge"
)

// choice is the body of PUT /users/{id}/status.
type choice struct {
	Type    string `json:"type"`
	Message string `json:"message"`
	Label   string `json:"label,omitempty"`
	Until   string `json:"until,omitempty"` // a time, or never; "": as long as the type lasts
}

// chosen is its answer.
type chosen struct {
	bridge.User
	Notice string `json:"notice,omitempty"`
}

func (m *Main) setCommand() *cobra.Command {
	var message, label, until string
	c := m.reads(&cobra.Command{
		Use: "set USER STATUS", Short: "Choose a status for a user",
		Long: `Set chooses a status for a user, who need not be at a phone. Once it says so the
choice is kept, whatever crashes; it is written to the phones when they can be
reached. It prints the status that the user has then, and why if that is another.

Without --until it ends by itself where the mapping says how long such a status
lasts; --until never keeps it until something else is set.`,
		Example: `  presencebridge set alice lunch --message "Back at 2" --until 14:00
  presencebridge set bob dnd --until 45m
  presencebridge set bob lunch --until never
  presencebridge set bob away --label "At the dentist"
  presencebridge set bob available`,
		Args:              takes(2, 2),
		ValidArgsFunction: m.completeUserAndStatus,
		RunE: func(c *cobra.Command, args []string) error {
			return m.set(c.Context(), args[0], choice{Type: args[1], Message: message, Label: label}, until)
		},
	})
	c.Flags().StringVarP(&message, "message", "m", "", "`TEXT` that phones and colleagues see")
	c.Flags().StringVarP(&label, "label", "l", "", "`TEXT` that stands in place of the name, where the status has labels: true")
	c.Flags().StringVarP(&until, "until", "u", "", "end by itself at this `TIME`: 14:00, 45m, 2h, 2026-11-22T14:00:00Z, or never")
	return c
}

const never = "never"

func (m *Main) set(ctx context.Context, user string, what choice, until string) error {
	switch until {
	case "":
	case never:
		what.Until = never
	default:
		end, err := m.when(until)
		if err != nil {
			return &exit{exitWrong, err}
		}
		what.Until = end.Format(time.RFC3339Nano)
	}
	c, err := m.client()
	if err != nil {
		return err
	}
	var u chosen
	if err := c.do(ctx, http.MethodPut, userPath(user, "/status"), what, &u); err != nil {
		return err
	}
	if m.json {
		return m.printJSON(u)
	}
	m.printf("%s is %s.\n", plain(u.Name), m.statusText(u.Status))
	if u.Notice != "" {
		m.printf("%s\n", plain(u.Notice))
	}
	return nil
}

// statusText writes a status as part of a sentence.
func (m *Main) statusText(s *bridge.UserStatus) string {
	if s == nil {
		return "without a status"
	}
	text := named(s.Name, s.Label)
	if s.Message != "" {
		text += " " + quoted(s.Message)
	}
	if s.Until != nil {
		text += " until " + m.clock(*s.Until)
	}
	return text
}

// named is the name of a status with its label, if it has one.
func named(name, label string) string {
	if label == "" {
		return plain(name)
	}
	return plain(name) + ": " + plain(label)
}

// when reads a time in the future: a length, an hour of today or else tomorrow,
// or a whole time.
func (m *Main) when(text string) (time.Time, error) {
	now := m.Now().In(m.Zone)
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return now.Add(d), nil
	}
	if hour, err := time.Parse("15:04", text); err == nil {
		// Days are added by the calendar: some have 23 hours.
		at := func(days int) time.Time {
			return time.Date(now.Year(), now.Month(), now.Day()+days, hour.Hour(), hour.Minute(), 0, 0, m.Zone)
		}
		if today := at(0); today.After(now) {
			return today, nil
		}
		return at(1), nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil && t.After(now) {
		return t, nil
	}
	return time.Time{}, fmt.Errorf("%q is no time in the future: write --until 14:00, 45m, 2h, 2026-11-22T14:00:00Z, or never", text)
}
