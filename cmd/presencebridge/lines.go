package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// listing is what the flags of history and audit say.
type listing struct {
	from, to, by, format string
	what                 string // of audit
	limit                int
	all                  bool
	limited              bool // --limit was given
}

const (
	formatTable = "table"
	formatCSV   = "csv"
	formatJSON  = "json"

	standardLines = 20
	// pageLines is how many lines are asked for and kept in memory at once.
	pageLines = 1000
)

func (o *listing) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.from, "from", "", "from this `TIME` on: 2026-11-01, yesterday, 14:00, 90m or 7d (ago), 2026-11-22T14:00:00Z")
	f.StringVar(&o.to, "to", "", "up to this `TIME`, and all of a day")
	f.StringVar(&o.by, "by", "", "what this `ORIGIN` did, such as panel, or api crm")
	f.IntVarP(&o.limit, "limit", "n", standardLines, "show at most `N` lines (with --json: 1 to 5000)")
	f.BoolVar(&o.all, "all", false, "show all of them")
	f.StringVar(&o.format, "format", formatTable, "`FORMAT`: table, csv or json")
	c.MarkFlagsMutuallyExclusive("limit", "all")
	c.MarkFlagsMutuallyExclusive("json", "all")
	c.MarkFlagsMutuallyExclusive("json", "format")
	c.PreRun = func(c *cobra.Command, _ []string) { o.limited = c.Flags().Changed("limit") }
}

// selects tells whether not everything is asked for.
func (o *listing) selects() bool { return o.from != "" || o.to != "" || o.by != "" || o.what != "" }

// most is how many lines are shown; 0: all.
func (o *listing) most() int {
	if o.all || o.format != formatTable && !o.limited {
		return 0
	}
	return o.limit
}

// query is what the bridge is asked for, but for the page.
func (o *listing) query(m *Main) (url.Values, error) {
	q := url.Values{}
	if !slices.Contains([]string{formatTable, formatCSV, formatJSON}, o.format) {
		return q, fmt.Errorf("--format is %q: write table, csv or json", o.format)
	}
	if o.limit < 1 {
		return q, fmt.Errorf("--limit is %d: write a number from 1 on, or --all", o.limit)
	}
	var from, to time.Time
	var err error
	if o.from != "" {
		if from, _, err = m.past("--from", o.from); err != nil {
			return q, err
		}
		q.Set("from", from.UTC().Format(time.RFC3339Nano))
	}
	if o.to != "" {
		if _, to, err = m.past("--to", o.to); err != nil {
			return q, err
		}
		q.Set("to", to.UTC().Format(time.RFC3339Nano))
	}
	if o.from != "" && o.to != "" && !from.Before(to) {
		return q, fmt.Errorf("--from %s is not before --to %s: exchange them", o.from, o.to)
	}
	if o.by != "" {
		q.Set("by", o.by)
	}
	if o.what != "" {
		q.Set("what", o.what)
	}
	return q, nil
}

// past reads a time or a day: when it begins, and when it has ended. Of a moment
// both are the same.
func (m *Main) past(flag, text string) (begin, end time.Time, err error) {
	now := m.Now().In(m.Zone)
	// Days are added by the calendar: some have 23 hours.
	day := func(y int, month time.Month, d int) (begin, end time.Time, err error) {
		return time.Date(y, month, d, 0, 0, 0, 0, m.Zone), time.Date(y, month, d+1, 0, 0, 0, 0, m.Zone), nil
	}
	switch text {
	case "today":
		return day(now.Year(), now.Month(), now.Day())
	case "yesterday":
		return day(now.Year(), now.Month(), now.Day()-1)
	}
	if t, err := time.Parse(time.DateOnly, text); err == nil {
		return day(t.Year(), t.Month(), t.Day())
	}
	if match := days.FindStringSubmatch(text); match != nil {
		if n, err := strconv.Atoi(match[1]); err == nil {
			return now.AddDate(0, 0, -n), now.AddDate(0, 0, -n), nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), now.Add(-d), nil
	}
	if t, err := time.Parse("15:04", text); err == nil {
		t = time.Date(now.Year(), now.Month(), now.Day(), t.Hour(), t.Minute(), 0, 0, m.Zone)
		return t, t, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, t, nil
	}
	return begin, end, fmt.Errorf("%q is no time: write %s 2026-11-01, yesterday, 14:00, 90m or 7d (ago), or 2026-11-22T14:00:00Z", text, flag)
}

// lines is how a list that the bridge has, newest first, is shown.
type lines[T any] struct {
	path   string // where the bridge has it
	none   string // said where there is nothing
	table  table  // without rows
	row    func(*T) []cell
	head   []string // of the CSV
	record func(*T) []string
}

// list shows l as o says, a page at a time, so that it does not matter how long it is.
func list[T any](ctx context.Context, m *Main, o *listing, l *lines[T]) error {
	q, err := o.query(m)
	if err != nil {
		return &exit{exitWrong, err}
	}
	c, err := m.client()
	if err != nil {
		return err
	}
	if m.json {
		q.Set("limit", strconv.Itoa(o.limit))
		var p page[T]
		if err := c.get(ctx, l.path+"?"+q.Encode(), &p); err != nil {
			return err
		}
		return m.printJSON(p)
	}
	out := bufio.NewWriter(m.Out)
	printer := l.printer(m, out, o.format)
	for left := o.most(); ; {
		n := pageLines
		if left > 0 {
			n = min(n, left)
		}
		q.Set("limit", strconv.Itoa(n))
		var p page[T]
		if err := c.get(ctx, l.path+"?"+q.Encode(), &p); err != nil {
			return errors.Join(err, out.Flush())
		}
		over := left > 0 && left == len(p.Items)
		printer(p.Items, p.Next == nil || over)
		if err := out.Flush(); err != nil {
			return &exit{exitFailed, fmt.Errorf("write the list: %w", err)}
		}
		if p.Next == nil {
			return nil
		}
		if over {
			if o.format == formatTable {
				m.printf("There is more; --limit or --all shows it.\n")
			}
			return nil
		}
		left -= min(left, len(p.Items))
		q.Set("cursor", *p.Next)
	}
}

// printer returns what prints one page after the other, the last one as such. What
// goes wrong out keeps.
func (l *lines[T]) printer(m *Main, out *bufio.Writer, format string) func(items []T, last bool) {
	switch format {
	case formatCSV:
		return l.printCSV(m, out)
	case formatJSON:
		return l.printJSON(out)
	default:
		return l.printTable(m, out)
	}
}

// printTable lays every page out by itself.
func (l *lines[T]) printTable(m *Main, out *bufio.Writer) func([]T, bool) {
	width, colour := m.screen()
	begun := false
	return func(items []T, last bool) {
		if !begun && last && len(items) == 0 {
			_, _ = fmt.Fprintln(out, l.none)
			return
		}
		t := l.table
		t.rows = nil
		for i := range items {
			t.rows = append(t.rows, l.row(&items[i]))
		}
		text := t.lines(width, colour)
		if begun {
			text = text[1:] // the head stands at the top
		}
		begun = true
		for _, line := range text {
			_, _ = fmt.Fprintln(out, line)
		}
	}
}

// printJSON writes one list, with one line for each item.
func (l *lines[T]) printJSON(out *bufio.Writer) func([]T, bool) {
	before := "["
	return func(items []T, last bool) {
		for i := range items {
			var b strings.Builder
			e := json.NewEncoder(&b)
			e.SetEscapeHTML(false)
			_ = e.Encode(items[i]) // it came as JSON
			_, _ = out.WriteString(before + "\n" + plainJSON(strings.TrimSuffix(b.String(), "\n")))
			before = ","
		}
		switch {
		case last && before == "[":
			_, _ = out.WriteString("[]\n")
		case last:
			_, _ = out.WriteString("\n]\n")
		}
	}
}

func (l *lines[T]) printCSV(m *Main, out *bufio.Writer) func([]T, bool) {
	clean := func(s string) string { return s }
	if _, _, err := m.Terminal(); err == nil {
		clean = plain
	}
	begun := false
	return func(items []T, _ bool) {
		if !begun {
			_, _ = out.WriteString(csvLine(l.head))
			begun = true
		}
		for i := range items {
			record := l.record(&items[i])
			for k := range record {
				record[k] = clean(record[k])
			}
			_, _ = out.WriteString(csvLine(record))
		}
	}
}

// csvLine writes a record as RFC 4180 does. encoding/csv would make other line
// breaks of those in a message.
func csvLine(record []string) string {
	written := make([]string, len(record))
	for i, text := range record {
		text = noFormula(text)
		if strings.ContainsAny(text, "\",\r\n") {
			text = `"` + strings.ReplaceAll(text, `"`, `""`) + `"`
		}
		written[i] = text
	}
	return strings.Join(written, ",") + "\r\n"
}

// noFormula puts an apostrophe before what a spreadsheet would compute: anybody with
// a phone can write a message. What else begins with an apostrophe stays as it is.
func noFormula(text string) string {
	if isFormula(text) {
		return "'" + text
	}
	return text
}

func isFormula(text string) bool { return text != "" && strings.IndexByte("=+-@\t\r\n", text[0]) >= 0 }

// utc writes a time for programs; "": there is none.
func utc(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// second writes a time for people, to the second.
func (m *Main) second(t time.Time) string { return t.In(m.Zone).Format("2006-01-02 15:04:05") }
