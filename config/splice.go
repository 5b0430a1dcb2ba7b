package config

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// This file changes blocks and lists of a source where they stand, so that whatever
// else the file has stays byte for byte: comments, order, quotes, the ends of lines.

// entry is a setting as it shall be.
type entry struct {
	key    string
	value  string   // as it is written; "": it shall not be there
	scalar bool     // value is one text; else it is written in brackets
	words  []string // of a list of texts
}

// pair finds a setting of a block; nil where it has none.
func pair(m *yaml.Node, key string) (k, v *yaml.Node) {
	if m == nil || m.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			return m.Content[i], m.Content[i+1]
		}
	}
	return nil, nil
}

func isFlow(n *yaml.Node) bool { return n.Style&yaml.FlowStyle != 0 }

// block makes the settings of a block what the entries say; others it leaves alone.
func (s *source) block(m *yaml.Node, entries []entry) (edits []splice) {
	var gone []*yaml.Node
	var fresh []string
	for _, e := range entries {
		k, v := pair(m, e.key)
		switch {
		case k == nil && e.value != "":
			fresh = append(fresh, e.key+": "+e.value)
		case k == nil:
		case e.value == "":
			gone = append(gone, k)
		default:
			edits = append(edits, s.replace(m, v, e)...)
		}
	}
	switch {
	case isFlow(m):
		return append(edits, s.flowPairs(m, gone, fresh)...)
	case len(m.Content) == 0:
		s.unsure = true
		return nil
	}
	for _, k := range gone {
		edits = append(edits, s.cut(m, k))
	}
	last := s.end(m, m.Column-1)
	for _, text := range fresh {
		edits = append(edits, s.lineBehind(last, strings.Repeat(" ", m.Column-1)+text))
	}
	return edits
}

// lineBehind puts a line behind the one of at.
func (s *source) lineBehind(at int, text string) splice {
	next := s.next(at)
	if next == s.contentEnd(at) { // the last line of the file has no end
		return splice{next, next, s.eol + text}
	}
	return splice{next, next, text + s.eol}
}

// replace writes another value where v stands in m.
func (s *source) replace(m, v *yaml.Node, e entry) []splice {
	switch {
	case v.Kind == yaml.SequenceNode && len(v.Content) > 0 && e.words != nil:
		return s.words(v, e.words)
	case v.Kind == yaml.MappingNode && len(v.Content) > 0:
		return s.block(v, imageEntries(e))
	}
	from, to, text := s.start(v), s.end(v, m.Column-1), e.value
	if e.scalar && v.Kind == yaml.ScalarNode && v.Tag != "!!null" {
		text = scalar(e.words[0], v.Style)
	}
	if from == to && from > 0 && s.text[from-1] == ':' { // key: with nothing behind it
		text = " " + text
	}
	return []splice{{from, to, text}}
}

// cut takes a setting out of a block, with its line where it has one of its own.
func (s *source) cut(m, k *yaml.Node) splice {
	_, v := pair(m, k.Value)
	from, to := s.start(k), s.end(v, m.Column-1)
	if line := s.line(from); strings.TrimSpace(s.text[line:from]) == "" {
		return splice{line, s.next(to), ""}
	}
	if i := slices.Index(m.Content, k); i+2 < len(m.Content) { // the next one takes its place behind the dash
		if next := s.start(m.Content[i+2]); strings.TrimSpace(s.text[to:next]) == "" {
			return splice{from, next, ""}
		}
	}
	return splice{from, to, ""}
}

func (s *source) flowPairs(m *yaml.Node, gone []*yaml.Node, fresh []string) []splice {
	if len(gone)+len(fresh) == 0 {
		return nil
	}
	var spans []splice
	keep := make([]bool, len(m.Content)/2)
	for i := range keep {
		k, v := m.Content[2*i], m.Content[2*i+1]
		spans = append(spans, splice{from: s.start(k), to: max(s.end(k, 0), s.end(v, 0))})
		keep[i] = !slices.Contains(gone, k)
	}
	behind := map[int][]string{lastOf(keep): fresh}
	return s.flow(m, spans, keep, behind)
}

// lastOf is the last one that is kept, -1 if none is.
func lastOf(keep []bool) int {
	last := len(keep) - 1
	for last >= 0 && !keep[last] {
		last--
	}
	return last
}

// words makes a list of texts another one. Those that stay keep their place where they can.
func (s *source) words(seq *yaml.Node, words []string) []splice {
	old := make(map[string]int, len(seq.Content))
	for i, n := range seq.Content {
		old[n.Value] = i
	}
	items := make([]item, len(words))
	for i, w := range words {
		from, there := old[w]
		if !there {
			from = -1
		}
		items[i] = item{old: from, fresh: func(*yaml.Node) string { return scalar(w, 0) }}
	}
	return s.list(seq, items)
}

// item is one of a list as it shall be.
type item struct {
	old   int                         // which one of the list it was; -1: none
	edits []splice                    // within that one
	fresh func(seq *yaml.Node) string // one that was none, as it is written behind a dash or comma
}

// list makes a list consist of these, in this order. As many as can stay where they
// are; in a list with dashes the others move with the comments that are theirs.
func (s *source) list(seq *yaml.Node, items []item) (edits []splice) {
	keep := make([]bool, len(seq.Content))
	for _, i := range longestRise(items) {
		keep[i] = true
	}
	spans := s.spans(seq)
	behind, at := map[int][]string{}, -1
	for _, it := range items {
		switch {
		case it.old >= 0 && keep[it.old]:
			at = it.old
			edits = append(edits, it.edits...)
		case it.old >= 0:
			behind[at] = append(behind[at], s.spliced(spans[it.old].from, spans[it.old].to, it.edits))
		default:
			text := it.fresh(seq)
			if !isFlow(seq) {
				text = strings.Repeat(" ", seq.Column-1) + "- " + text
			}
			behind[at] = append(behind[at], text)
		}
	}
	if isFlow(seq) {
		return append(edits, s.flow(seq, spans, keep, behind)...)
	}
	for i, span := range spans {
		if !keep[i] {
			edits = append(edits, splice{span.from, span.to, ""})
		}
	}
	for i := -1; i < len(spans); i++ {
		for _, text := range behind[i] {
			edits = append(edits, s.insertLines(spans, i, text))
		}
	}
	return edits
}

// insertLines puts lines behind item i of a list with dashes, -1: before the first.
func (s *source) insertLines(spans []splice, i int, text string) splice {
	if i < 0 {
		return splice{spans[0].from, spans[0].from, s.ended(text)}
	}
	at := spans[i].to
	if at == len(s.text) && lineBreak(s.text[s.contentEnd(s.line(at)):]) == 0 && s.line(at) < at {
		return splice{at, at, s.eol + strings.TrimSuffix(text, s.eol)}
	}
	return splice{at, at, s.ended(text)}
}

func (s *source) ended(text string) string { return strings.TrimSuffix(text, s.eol) + s.eol }

// longestRise picks the old items that can stay where they are: as many as have one
// order before and after.
func longestRise(items []item) []int {
	best := make([][]int, 0, len(items)) // the best that ends with each
	var longest []int
	for i, it := range items {
		var before []int
		for k := range i {
			if it.old >= 0 && items[k].old >= 0 && items[k].old < it.old && len(best[k]) > len(before) {
				before = best[k]
			}
		}
		mine := before
		if it.old >= 0 {
			mine = append(slices.Clone(before), it.old)
		}
		best = append(best, mine)
		if len(mine) > len(longest) {
			longest = mine
		}
	}
	return longest
}

// spans are what belongs to each item of a list. In brackets that is the item alone;
// with dashes whole lines, with these comments:
//
//	behind it, on its line                           its own
//	below it, further in than the dash               its own
//	above it, no empty line between                  its own; of the first item only where all
//	                                                 others have such, else it is about the list
func (s *source) spans(seq *yaml.Node) []splice {
	spans := make([]splice, len(seq.Content))
	if isFlow(seq) {
		for i, n := range seq.Content {
			spans[i] = splice{from: s.start(n), to: s.end(n, 0)}
		}
		return spans
	}
	dash := seq.Column - 1
	commented := 0
	for i, n := range seq.Content {
		from := s.dash(n, dash)
		spans[i] = splice{from: from, to: s.next(s.end(n, dash))}
		if i > 0 {
			spans[i-1].to = s.below(spans[i-1].to, from, dash)
			spans[i].from = s.above(from, spans[i-1].to)
			if spans[i].from < from {
				commented++
			}
		}
	}
	if last := len(spans) - 1; last >= 0 {
		spans[last].to = s.below(spans[last].to, len(s.text), dash)
	}
	if commented > 0 && commented == len(spans)-1 {
		spans[0].from = s.above(spans[0].from, 0)
	}
	return spans
}

// dash is the line on which the dash of an item stands.
func (s *source) dash(n *yaml.Node, column int) int {
	for line := s.line(s.start(n)); ; line = s.line(line - 1) {
		if text := s.text[line:s.contentEnd(line)]; len(text) > column && text[column] == '-' && strings.TrimLeft(text[:column], " ") == "" {
			return line
		}
		if line == s.lines[0] {
			s.unsure = true
			return line
		}
	}
}

// below is where the comments end that stand further in than column, from line from on.
func (s *source) below(from, limit, column int) int {
	for from < limit {
		if indent, ok := s.comment(from); !ok || indent <= column {
			break
		}
		from = s.next(from)
	}
	return from
}

// above is where the comments begin that stand right above a line.
func (s *source) above(line, limit int) int {
	for line > max(limit, s.lines[0]) {
		before := s.line(line - 1)
		if _, ok := s.comment(before); !ok {
			break
		}
		line = before
	}
	return line
}

// flow takes away and puts in items between brackets.
func (s *source) flow(n *yaml.Node, spans []splice, keep []bool, behind map[int][]string) (edits []splice) {
	last := lastOf(keep)
	if last < 0 {
		return []splice{s.inside(n, spans, strings.Join(behind[-1], ", "))}
	}
	between := s.between(spans)
	for i, span := range spans {
		for _, text := range behind[i] {
			edits = append(edits, splice{span.to, span.to, between + text})
		}
		switch {
		case keep[i]:
		case i < last:
			edits = append(edits, s.without(span, spans[i+1].from))
		case i == last+1:
			from := spans[last].to
			if strings.Contains(s.text[from:span.from], "#") {
				from = span.from // a comma may stand behind the last one
			}
			edits = append(edits, splice{from, spans[len(spans)-1].to, ""})
		}
	}
	for _, text := range behind[-1] {
		edits = append(edits, splice{spans[0].from, spans[0].from, text + between})
	}
	return edits
}

// inside puts a text in place of all that stands between brackets, where there is no comment.
func (s *source) inside(n *yaml.Node, spans []splice, text string) splice {
	from, end := s.start(n)+1, s.end(n, 0)-1
	at := from
	for _, span := range append(slices.Clone(spans), splice{from: end, to: end}) {
		s.unsure = s.unsure || span.from < at || strings.Contains(s.text[at:max(at, span.from)], "#")
		at = span.to
	}
	return splice{from, max(from, end), text}
}

// between is what separates the items of a list in brackets.
func (s *source) between(spans []splice) string {
	if len(spans) > 1 {
		if text := s.text[spans[0].to:spans[1].from]; strings.TrimSpace(text) == "," && strings.Contains(text, "\n") {
			return "," + text[strings.IndexByte(text, ',')+1:]
		}
	}
	return ", "
}

// without takes away an item and the comma behind it, and leaves a comment there.
func (s *source) without(span splice, next int) splice {
	if text := s.text[span.to:next]; strings.Contains(text, "#") {
		comma := strings.IndexByte(text, ',')
		if s.unsure = s.unsure || strings.IndexByte(text, '#') < comma; !s.unsure {
			return splice{span.from, span.to + comma + 1, ""}
		}
	}
	return splice{span.from, next, ""}
}
