package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/presencebridge/presencebridge/pkg/presence"
)

func (m *Main) explainCommand() *cobra.Command {
	return m.reads(&cobra.Command{
		Use: "explain USER", Short: "Tell why a user's status is what it is",
		Long: `Explain tells which extension decides a user's status, by which rule, and why the
others do not; and for each extension what it shows, what was said on it, what
was last heard of it, and what became of that.`,
		Example: `  presencebridge explain alice
  presencebridge explain alice --json`,
		Args:              takes(1, 1),
		ValidArgsFunction: m.completeUser,
		RunE:              func(c *cobra.Command, args []string) error { return m.explain(c.Context(), args[0]) },
	})
}

func (m *Main) explain(ctx context.Context, user string) error {
	c, err := m.client()
	if err != nil {
		return err
	}
	var e presence.Explanation
	if err := c.get(ctx, userPath(user, "/explain"), &e); err != nil {
		return err
	}
	if m.json {
		return m.printJSON(e)
	}
	m.printf("%s\n", m.outcome(&e))
	if e.Later != nil {
		m.printf("%s\n", m.heldBack(e.Later))
	}
	if text := m.phonePart(&e); text != "" {
		m.printf("%s\n", text)
	}
	if e.Absent != nil {
		m.printf("%s\n", m.absence(&e))
	}
	if e.Pauses != nil {
		m.printf("%s pauses the members of queues that they are, where the PBX has queue_members.\n", plain(e.Pauses.Name))
	}
	m.printf("%s\n%s\n", why(&e), target(&e))
	for _, text := range ownPart(e.Own) {
		m.printf("%s\n", text)
	}
	for i := range e.Extensions {
		m.printReasoning(&e.Extensions[i])
	}
	return nil
}

// outcome tells what the status is.
func (m *Main) outcome(e *presence.Explanation) string {
	user := plain(string(e.User))
	s := e.Status
	if s == nil {
		return user + " has no status."
	}
	text := fmt.Sprintf("%s is %s", user, named(s.Type.Name, s.Label))
	if s.Message != "" {
		text += " " + quoted(s.Message)
	}
	text += fmt.Sprintf(" since %s (%s), set by %s", m.clock(s.Since.Time()), age(m.Now().Sub(s.Since.Time())), plain(s.By))
	if !s.Until.IsZero() {
		text += ", until " + m.clock(s.Until.Time())
	}
	switch {
	case s.Removed:
		text += "; the mapping no longer has that status"
	case s.Stale:
		text += "; none of the extensions can be reached"
	}
	return text + "."
}

// heldBack tells what the phones have made of the status meanwhile.
func (m *Main) heldBack(l *presence.HeldBack) string {
	name := "no status"
	if l.Status != nil {
		name = named(l.Status.Type.Name, l.Status.Label)
	}
	return fmt.Sprintf("The phone changes faster than a person; shown again at %s: %s, if it stays so.", l.At.Time().In(m.Zone).Format(time.TimeOnly), name)
}

// phonePart tells what the phones have to do with it; "" where nobody follows them.
func (m *Main) phonePart(e *presence.Explanation) string {
	p := &e.Phone
	if p.State == presence.PhoneUnknown {
		return ""
	}
	text := fmt.Sprintf("The phones are %s", phoneText(p.State))
	if !p.Since.IsZero() {
		text += fmt.Sprintf(" since %s (%s)", m.clock(p.Since.Time()), age(m.Now().Sub(p.Since.Time())))
	}
	switch {
	case p.Rule == presence.PhoneUnmapped:
		return text + "."
	case !p.Shows:
		return text + ", which does not show: " + string(p.Rule) + "."
	}
	return text + ". " + lying(e)
}

// absence tells what it has to do with it that the user has no page open.
func (m *Main) absence(e *presence.Explanation) string {
	a := e.Absent
	text := fmt.Sprintf("No page of the panel has been open since %s (%s)", m.clock(a.Since.Time()), age(m.Now().Sub(a.Since.Time())))
	if !a.Shows {
		return text + ", which does not show: " + string(a.Rule) + "."
	}
	return text + ". " + lying(e)
}

// lying tells what lies under what phones, or an absence, show.
func lying(e *presence.Explanation) string {
	if e.Under == nil {
		return "That shows until it is over; under it nothing was ever said."
	}
	return fmt.Sprintf("That shows over %s, set by %s, until it is over.", named(e.Under.Type.Name, e.Under.Label), plain(e.Under.By))
}

// why tells which rule decided.
func why(e *presence.Explanation) string {
	for _, x := range e.Extensions {
		if x.Won {
			return fmt.Sprintf("By the method %q %s decides: %s.", e.Incoming, x.Extension, e.Rule)
		}
	}
	if e.Rule == presence.WonHold {
		return "No extension decides: " + string(e.Rule) + ". That ends when somebody sets another presence."
	}
	return fmt.Sprintf("By the method %q no extension decides: %s.", e.Incoming, e.Rule)
}

// target tells where a chosen status goes.
func target(e *presence.Explanation) string {
	switch {
	case !e.Sync:
		return "Synchronisation is off for this user, so phones are neither listened to nor written."
	case e.Outgoing == presence.ToAll:
		return "A status chosen in the panel is written to all extensions."
	default:
		return "A status chosen in the panel is written to the default extension."
	}
}

// ownPart tells what the user has set for themself, a sentence each.
func ownPart(o *presence.OwnPart) (sentences []string) {
	if o == nil {
		return nil
	}
	switch {
	case o.Default == nil:
	case o.DefaultIgnored:
		sentences = append(sentences, fmt.Sprintf("The user chose %s as the default extension, which is not theirs any more: the one of the mapping holds.", plain(o.Default.String())))
	default:
		sentences = append(sentences, fmt.Sprintf("The user chose the default extension, %s.", plain(o.Default.String())))
	}
	switch {
	case o.Sync == nil:
	case o.SyncIgnored:
		sentences = append(sentences, "The user switched synchronisation on, but sync.enabled has it off for everybody.")
	case *o.Sync:
		sentences = append(sentences, "The user switched synchronisation on.")
	default:
		sentences = append(sentences, "The user switched synchronisation off.")
	}
	return sentences
}

func (m *Main) printReasoning(x *presence.Reasoning) {
	title := plain(x.Extension.String())
	if x.Default {
		title += ", the default extension"
	}
	if !x.Reachable {
		title += ", unreachable"
		if !x.AwaySince.IsZero() {
			title += " for " + age(m.Now().Sub(x.AwaySince.Time()))
		}
	}
	verb := "loses"
	if x.Won {
		verb = "wins"
	}
	m.printf("\n%s\n", title)
	row := func(name, text string) { m.printf("  %-8s %s\n", name, text) }
	row(verb, string(x.Rule))
	row("shows", presenceText(x.Shows))
	row("said", m.said(x))
	row("heard", m.heard(&x.Heard))
	if x.Phone != presence.PhoneUnknown {
		row("phone", phoneText(x.Phone))
	}
	if x.DND != "" {
		row("dnd", m.dnd(x))
	}
	if x.Wish != nil {
		row("pending", m.wish(x.Wish))
	}
}

// dnd tells what an extension's DND device says, or said when it was last told of.
func (m *Main) dnd(x *presence.Reasoning) string {
	is, since := "is", ""
	if x.DNDStale {
		is = "was last known to be"
	}
	if !x.DNDSince.IsZero() {
		since = ", since " + m.clock(x.DNDSince.Time())
	}
	return "its device " + is + " " + plain(x.DND) + since
}

func (m *Main) said(x *presence.Reasoning) string {
	if x.Type == nil {
		return "nothing that counts"
	}
	text := named(x.Type.Name, x.Label)
	if x.Message != "" {
		text += " " + quoted(x.Message)
	}
	text += fmt.Sprintf(", %s, by %s", m.since(x.Since), plain(x.By))
	if !x.Until.IsZero() {
		text += ", until " + m.clock(x.Until.Time())
	}
	return text
}

func (m *Main) since(t presence.Time) string {
	return fmt.Sprintf("%s (%s)", ago(m.Now().Sub(t.Time())), m.clock(t.Time()))
}

// verdicts tell what became of a report.
var verdicts = map[string]string{
	presence.Echo.String():      "the echo of what was written, so nobody's opinion",
	presence.Repeat.String():    "a repeat of what it showed already, so no change",
	presence.Older.String():     "older than what was written since, so not taken over",
	presence.LeftAlone.String(): "synchronisation is off, so not taken over",
	presence.Unmapped.String():  "no status is mapped to it, so not taken over",
	presence.Accepted.String():  "taken over as what was said",
	presence.Reverted.String():  "the PBX had forgotten what it showed, so that was written back",
}

func (m *Main) heard(h *presence.Report) string {
	if h.At.IsZero() {
		return "nothing yet"
	}
	verdict, ok := verdicts[h.As]
	if !ok {
		verdict = plain(h.As) // a newer bridge has words of its own
	}
	return fmt.Sprintf("%s %s: %s", presenceText(&h.Presence), m.since(h.At), verdict)
}

func (m *Main) wish(w *presence.WishInfo) string {
	text := fmt.Sprintf("%s, wished %s, ", presenceText(&w.Presence), m.since(w.Since))
	if w.Sent {
		text += "sent and not seen yet"
	} else {
		text += "not sent yet"
	}
	if w.Refusals > 0 {
		text += ", refused " + count(w.Refusals, "time", "times")
	}
	return text
}
