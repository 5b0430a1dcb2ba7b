package config

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// source is the text of a file, and where in it what the parser found stands. Nodes
// know where they begin and nothing more; where they end is found here.
type source struct {
	text   string
	lines  []int  // the offset of each
	eol    string // how new lines end
	unsure bool   // something is written in a way that is not understood here: its place is not known
}

func newSource(text string) *source {
	s := &source{text: text, lines: []int{len(text) - len(strings.TrimPrefix(text, "\uFEFF"))}, eol: "\n"}
	if strings.Contains(text, "\r\n") {
		s.eol = "\r\n"
	}
	for i := 0; i < len(text); {
		width := lineBreak(text[i:])
		if width > 0 {
			s.lines = append(s.lines, i+width)
		}
		i += max(width, 1)
	}
	return s
}

// lineBreak is the length of the line break that text begins with, 0 if it does with
// none. There are those of YAML 1.1, by which the parser counts.
func lineBreak(text string) int {
	for _, b := range [...]string{"\r\n", "\n", "\r", "\u0085", "\u2028", "\u2029"} {
		if strings.HasPrefix(text, b) {
			return len(b)
		}
	}
	return 0
}

// start is where a node begins. The parser counts characters.
func (s *source) start(n *yaml.Node) int {
	if n.Line < 1 || n.Line > len(s.lines) {
		s.unsure = true
		return 0
	}
	at := s.lines[n.Line-1]
	for range n.Column - 1 {
		if at >= len(s.text) {
			s.unsure = true
			return len(s.text)
		}
		_, size := utf8.DecodeRuneInString(s.text[at:])
		at += size
	}
	return at
}

// end is where a node ends, which is what stands in the block of an indentation.
func (s *source) end(n *yaml.Node, indent int) int {
	at := s.start(n)
	last := len(n.Content) - 1
	switch {
	case n.Kind == yaml.ScalarNode:
		return s.scalarEnd(n, at, indent)
	case n.Style&yaml.FlowStyle == 0 && last >= 0:
		return s.end(n.Content[last], n.Column-1)
	case last >= 0:
		at = s.end(n.Content[last], indent)
	default:
		at++ // the bracket
	}
	for at < len(s.text) { // a comma may follow, and comments
		switch c := s.text[at]; {
		case c == ']' || c == '}':
			return at + 1
		case c == '#':
			at = s.contentEnd(at)
		case strings.IndexByte(", \t\r\n", c) >= 0:
			at++
		default:
			s.unsure = true
			return at
		}
	}
	s.unsure = true
	return at
}

func (s *source) scalarEnd(n *yaml.Node, at, indent int) int {
	switch {
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return s.blockEnd(at, indent)
	case n.Style&yaml.DoubleQuotedStyle != 0:
		for i := at + 1; i < len(s.text); i++ {
			switch s.text[i] {
			case '\\':
				i++
			case '"':
				return i + 1
			}
		}
	case n.Style&yaml.SingleQuotedStyle != 0:
		for i := at + 1; i < len(s.text); i++ {
			if s.text[i] != '\'' {
				continue
			}
			if !strings.HasPrefix(s.text[i:], "''") {
				return i + 1
			}
			i++
		}
	default: // over several lines there are other spaces between the words
		for _, word := range strings.Fields(n.Value) {
			at = len(s.text) - len(strings.TrimLeftFunc(s.text[at:], unicode.IsSpace))
			if !strings.HasPrefix(s.text[at:], word) {
				s.unsure = true
				return at
			}
			at += len(word)
		}
		return at
	}
	s.unsure = true
	return at
}

// blockEnd is where the text of | or > ends that begins at at.
func (s *source) blockEnd(at, indent int) int {
	end := s.contentEnd(at)
	for line := s.next(at); line < len(s.text); line = s.next(line) {
		text := s.text[line:s.contentEnd(line)]
		if strings.TrimSpace(text) == "" {
			continue
		}
		if len(text)-len(strings.TrimLeft(text, " ")) <= indent {
			break
		}
		end = line + len(text)
	}
	return end
}

// line is where the line of at begins.
func (s *source) line(at int) int {
	i, found := slices.BinarySearch(s.lines, at)
	if !found {
		i--
	}
	return s.lines[max(i, 0)]
}

// next is where the line behind that of at begins, or where the text ends.
func (s *source) next(at int) int {
	i, found := slices.BinarySearch(s.lines, at)
	if found {
		i++
	}
	if i < len(s.lines) {
		return s.lines[i]
	}
	return len(s.text)
}

// contentEnd is where the line of at ends, less its line break.
func (s *source) contentEnd(at int) int {
	end := at
	for end < len(s.text) && lineBreak(s.text[end:]) == 0 {
		end++
	}
	return end
}

// comment tells whether the line at at is a comment, and how far it is indented.
func (s *source) comment(line int) (indent int, ok bool) {
	text := s.text[line:s.contentEnd(line)]
	rest := strings.TrimLeft(text, " \t")
	return len(text) - len(rest), strings.HasPrefix(rest, "#")
}

// splice puts a text in place of another.
type splice struct {
	from, to int
	text     string
}

// spliced is the text from from to to with all that is to be changed in it.
func (s *source) spliced(from, to int, edits []splice) string {
	edits = slices.Clone(edits)
	slices.SortStableFunc(edits, func(a, b splice) int { return cmp.Or(a.from-b.from, a.to-b.to) })
	var b strings.Builder
	for _, e := range edits {
		if e.from < from || e.to < e.from || e.to > to {
			s.unsure = true
			return ""
		}
		b.WriteString(s.text[from:e.from])
		b.WriteString(e.text)
		from = e.to
	}
	b.WriteString(s.text[from:to])
	return b.String()
}
