// Package report puts the figures of a benchmark where people read them: a table on
// the terminal and in BENCHMARKS.md, a chart beside it, and JSON for other programs.
package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"unicode/utf8"
)

// Table is rows of cells below a row of headings; the first column is text, the others are figures.
type Table struct {
	Head []string
	Rows [][]string
}

// String is the table in Markdown, with columns that are aligned for a terminal too.
// A row that is shorter than the head ends in empty cells.
func (t Table) String() string {
	width := make([]int, len(t.Head))
	for _, row := range append([][]string{t.Head}, t.Rows...) {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	line := func(row []string) {
		for i, w := range width {
			cell := ""
			if i < len(row) {
				cell = row[i]
			}
			fmt.Fprintf(&b, "| %s%s ", cell, strings.Repeat(" ", w-utf8.RuneCountInString(cell)))
		}
		b.WriteString("|\n")
	}
	line(t.Head)
	for _, w := range width {
		fmt.Fprintf(&b, "|%s", strings.Repeat("-", w+2))
	}
	b.WriteString("|\n")
	for _, row := range t.Rows {
		line(row)
	}
	return b.String()
}

// Replace puts text between the two markers of a section, <!-- NAME: begin … --> and
// <!-- NAME: end -->, each on a line of its own. What the first marker says behind its
// name is kept. It is an error if page has not exactly one of each, in this order.
func Replace(page []byte, name, text string) ([]byte, error) {
	begin, end := []byte("<!-- "+name+": begin"), []byte("<!-- "+name+": end -->")
	if bytes.Count(page, begin) != 1 || bytes.Count(page, end) != 1 {
		return nil, fmt.Errorf("there is not one section %s between %s --> and %s", name, begin, end)
	}
	from := bytes.Index(page, begin)
	line := bytes.IndexByte(page[from:], '\n')
	to := bytes.Index(page, end)
	if line < 0 || to < from+line {
		return nil, fmt.Errorf("section %s does not begin on a line before the one that ends it", name)
	}
	var b bytes.Buffer
	b.Write(page[:from+line+1])
	b.WriteString("\n" + strings.TrimSpace(text) + "\n\n")
	b.Write(page[to:])
	return b.Bytes(), nil
}

// Rewrite does Replace to a file.
func Rewrite(file, name, text string) error {
	page, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	page, err = Replace(page, name, text)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return os.WriteFile(file, page, 0o644)
}

// WriteJSON writes v into a file, for other programs.
func WriteJSON(file string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}
