package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"

	"golang.org/x/text/width"

	"github.com/presencebridge/presencebridge/pkg/presence"
)

// zeroWidthJoiner makes one picture of several emoji. It is the only character
// of its kind (Cf) that may go to a terminal.
const zeroWidthJoiner = '\u200d'

// plain escapes what must not reach a terminal: anybody with a phone can put
// control characters into a message.
func plain(s string) string {
	var b strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) || r == zeroWidthJoiner {
			b.WriteRune(r)
			continue
		}
		b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
	}
	return b.String()
}

// plainJSON escapes the same in JSON text, where only strings can have it. The
// encoder leaves C1 controls, DEL and marks of direction as they are.
func plainJSON(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case unicode.IsPrint(r) || r == '\n':
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// plainLines is plain for texts of several lines, which our own faults are.
func plainLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = plain(lines[i])
	}
	return strings.Join(lines, "\n")
}

// columns counts the columns that s takes on a terminal.
func columns(s string) (n int) {
	for _, r := range s {
		n += runeColumns(r)
	}
	return n
}

func runeColumns(r rune) int {
	if unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf) {
		return 0
	}
	if k := width.LookupRune(r).Kind(); k == width.EastAsianWide || k == width.EastAsianFullwidth {
		return 2
	}
	return 1
}

// fit cuts s to n columns; the last one then shows that something is missing.
func fit(s string, n int) string {
	if columns(s) <= n {
		return s
	}
	used := 0
	for i, r := range s {
		w := runeColumns(r)
		if used+w > n-1 {
			return s[:i] + "…"
		}
		used += w
	}
	return s
}

// age writes a length of time as people say it.
func age(d time.Duration) string {
	switch {
	case d < time.Second:
		return "now"
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	default:
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	}
}

// ago is age with the word that belongs to it.
func ago(d time.Duration) string {
	if d < time.Second {
		return "just now"
	}
	return age(d) + " ago"
}

// clock writes a point in time, as short as it is clear.
func (m *Main) clock(t time.Time) string {
	t, now := t.In(m.Zone), m.Now().In(m.Zone)
	switch days := t.Sub(now).Hours() / 24; {
	case t.YearDay() == now.YearDay() && t.Year() == now.Year():
		return t.Format("15:04")
	case -6 < days && days < 6:
		return t.Format("Mon 15:04")
	default:
		return t.Format("2006-01-02 15:04")
	}
}

// shows writes what an extension shows, without its message.
func shows(p *presence.Presence) string {
	switch {
	case p == nil:
		return "unknown"
	case p.Subtype == "":
		return p.State.String()
	default:
		return p.State.String() + ":" + plain(p.Subtype)
	}
}

// presenceText is shows with the message.
func presenceText(p *presence.Presence) string {
	if p == nil || p.Message == "" {
		return shows(p)
	}
	return shows(p) + " " + quoted(p.Message)
}

// quoted writes a message as part of a sentence.
func quoted(s string) string { return `"` + plain(s) + `"` }
