package main

import (
	"strings"

	"github.com/presencebridge/presencebridge/pkg/presence"
)

// style is an escape sequence that a text begins with; "" is none.
type style string

const (
	bold   style = "\x1b[1m"
	dim    style = "\x1b[2m"
	red    style = "\x1b[31m"
	green  style = "\x1b[32m"
	yellow style = "\x1b[33m"
	blue   style = "\x1b[34m"
)

const resetStyle = "\x1b[0m"

// baseStyle colours a status. The sixteen colours of a terminal are used, not
// those of the mapping: they are readable on every background.
func baseStyle(b presence.Base) style {
	switch b {
	case presence.Connected:
		return green
	case presence.Absent:
		return yellow
	case presence.Busy:
		return red
	case presence.InCall:
		return blue
	default:
		return dim
	}
}

// cell is one field of a table. Its text is plain.
type cell struct {
	text  string
	style style
}

func cells(texts ...string) []cell {
	row := make([]cell, len(texts))
	for i, text := range texts {
		row[i].text = text
	}
	return row
}

// table lays out rows in columns.
type table struct {
	head []string
	rows [][]cell
	flex int // the column that gives way when a line is too long
}

const (
	gap     = 2 // columns between fields
	minFlex = 8 // columns that a flexible field keeps
)

// lines returns the table, a line for each row. width is that of the terminal; 0:
// as wide as it needs. Without colour it has no escape sequences.
func (t *table) lines(width int, colour bool) []string {
	widths := make([]int, len(t.head))
	rows := append([][]cell{cells(t.head...)}, t.rows...)
	for i := range rows[0] {
		rows[0][i].style = bold
	}
	for _, row := range rows {
		for i := range row {
			widths[i] = max(widths[i], columns(row[i].text))
		}
	}
	if width > 0 {
		total := -gap
		for _, w := range widths {
			total += w + gap
		}
		if over := total - width; over > 0 {
			widths[t.flex] = max(min(widths[t.flex], minFlex), widths[t.flex]-over)
		}
	}
	lines := make([]string, len(rows))
	for i, row := range rows {
		lines[i] = line(row, widths, width, colour)
	}
	return lines
}

func line(row []cell, widths []int, width int, colour bool) string {
	var b strings.Builder
	at, pad := 0, 0
	for i, c := range row {
		text := fit(c.text, widths[i])
		if width > 0 && at+pad+columns(text) > width {
			if text = fit(text, max(0, width-at-pad)); width-at-pad <= 0 {
				break
			}
		}
		if text != "" {
			b.WriteString(strings.Repeat(" ", pad))
			at += pad + columns(text)
			pad = 0
			if colour && c.style != "" {
				text = string(c.style) + text + resetStyle
			}
			b.WriteString(text)
		}
		pad += widths[i] - columns(fit(c.text, widths[i])) + gap
	}
	return b.String()
}

// screen tells how wide Out is, 0 where it is no terminal, and whether it takes colour.
func (m *Main) screen() (width int, colour bool) {
	width, _, err := m.Terminal()
	if err != nil {
		return 0, false
	}
	return width, m.Env("NO_COLOR") == "" && m.Env("TERM") != "dumb"
}

// print prints a table.
func (m *Main) print(t *table) {
	width, colour := m.screen()
	for _, line := range t.lines(width, colour) {
		m.printf("%s\n", line)
	}
}
