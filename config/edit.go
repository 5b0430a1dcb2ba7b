package config

import (
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/presencebridge/presencebridge/pkg/message"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// Edited is a mapping.yaml with other rules.
type Edited struct {
	Text    []byte // as it was where nothing changes
	Rules   Rules
	Changes RuleChanges
}

// RuleChanges are what an edit does to rules, for people.
type RuleChanges struct {
	Created   []TypeChange
	Modified  []TypeChange
	Deleted   []TypeChange
	Sync      string // "incoming latest -> priority"; "": nothing
	Follows   bool   // Sync is no more than that the priority loses what is deleted
	Reordered bool   // the statuses that stay have another order
}

// TypeChange is what becomes of a status type.
type TypeChange struct {
	ID   presence.TypeID
	What string // "name Lunch -> Canteen, color ..."; of a new one what it is
}

// None tells whether nothing changes.
func (c *RuleChanges) None() bool {
	return len(c.Created)+len(c.Modified)+len(c.Deleted) == 0 && c.Sync == "" && !c.Reordered
}

// EditRules puts other rules into the text of a mapping.yaml: those of a proposal, JSON
// with the keys of the file. What the proposal does not change stays byte for byte.
// Faults of the proposal name its settings, as in statuses[3].color; those of the text
// name the file. It judges the rules alone; what users and the rest of the file
// say to them LoadMapping tells of the text.
func EditRules(file string, text []byte, proposal string) (Edited, Faults) {
	now, ok := readRules(file, text)
	if !ok {
		return Edited{}, now.doc.faults.Errors()
	}
	want, faults := now.propose(proposal)
	if len(faults) > 0 {
		return Edited{}, faults
	}
	e := Edited{Text: text, Rules: want, Changes: Compare(&now.Rules, &want)}
	if e.Changes.None() {
		return e, nil
	}
	after, sure := now.edit(string(text), &want)
	if !sure || !now.became(file, after, &want) {
		return Edited{}, Faults{{File: file, What: "is written in a way that cannot be changed without touching the rest of it",
			Do: "write sync and statuses as the sample does, or make this change in the file by hand", Key: message.As("rules.not_understood")}}
	}
	e.Text = []byte(after)
	return e, nil
}

// Compare tells what becomes of rules.
func Compare(now, want *Rules) (c RuleChanges) {
	c.Sync = differences(now.Sync.entries(), want.Sync.entries())
	for i := range want.Statuses {
		t := &want.Statuses[i]
		old := now.find(t.ID)
		if old == nil {
			c.Created = append(c.Created, TypeChange{t.ID, description(t)})
		} else if what := differences(typeEntries(old), typeEntries(t)); what != "" {
			c.Modified = append(c.Modified, TypeChange{t.ID, what})
		}
	}
	for i := range now.Statuses {
		if t := &now.Statuses[i]; want.find(t.ID) == nil {
			c.Deleted = append(c.Deleted, TypeChange{t.ID, description(t)})
		}
	}
	follows := now.Sync
	follows.Priority = slices.DeleteFunc(slices.Clone(now.Sync.Priority), func(id presence.TypeID) bool { return want.find(id) == nil })
	c.Follows = c.Sync != "" && differences(follows.entries(), want.Sync.entries()) == ""
	stay := func(a, b *Rules) (ids []presence.TypeID) {
		for _, t := range a.Statuses {
			if b.find(t.ID) != nil {
				ids = append(ids, t.ID)
			}
		}
		return ids
	}
	c.Reordered = !slices.Equal(stay(now, want), stay(want, now))
	return c
}

func differences(now, want []entry) string {
	var parts []string
	for _, e := range differing(now, want) {
		i := slices.IndexFunc(now, func(o entry) bool { return o.key == e.key })
		parts = append(parts, e.key+" "+orNone(now[i].value)+" -> "+orNone(e.value))
	}
	return strings.Join(parts, ", ")
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}

func description(t *presence.StatusType) string {
	var parts []string
	for _, e := range fresh(t)[1:] {
		parts = append(parts, e.key+" "+e.value)
	}
	return strings.Join(parts, ", ")
}

// fresh are the settings of a status that is written anew: those that say something.
func fresh(t *presence.StatusType) []entry {
	return slices.DeleteFunc(typeEntries(t), func(e entry) bool { return e.value == "" || e.value == "false" && !e.scalar })
}

// edit writes want into the text that r was read from. sure is false where the text is
// written in a way that is not understood.
func (r *readText) edit(text string, want *Rules) (after string, sure bool) {
	if !utf8.ValidString(text) {
		return "", false
	}
	s := newSource(text)
	_, list := pair(r.root, "statuses")
	edits := s.list(list, r.items(s, list, want))
	if changes := differing(r.Sync.entries(), want.Sync.entries()); len(changes) > 0 {
		edits = append(edits, s.sync(r.root, changes)...)
	}
	after = s.spliced(0, len(text), edits)
	return after, !s.unsure
}

// items are the statuses of want as items of the list that r has.
func (r *readText) items(s *source, list *yaml.Node, want *Rules) []item {
	items := make([]item, len(want.Statuses))
	for i := range want.Statuses {
		t := &want.Statuses[i]
		items[i].old = slices.IndexFunc(r.Statuses, func(o presence.StatusType) bool { return o.ID == t.ID })
		if k := items[i].old; k >= 0 {
			items[i].edits = s.block(list.Content[k], differing(typeEntries(&r.Statuses[k]), typeEntries(t)))
			continue
		}
		items[i].fresh = func(seq *yaml.Node) string {
			model := seq.Content[len(seq.Content)-1]
			var lines []string
			for _, e := range fresh(t) {
				lines = append(lines, e.key+": "+e.value)
			}
			if isFlow(model) {
				return "{" + strings.Join(lines, ", ") + "}"
			}
			return strings.Join(lines, s.eol+strings.Repeat(" ", seq.Column+1))
		}
	}
	return items
}

// sync changes settings of the block sync, which may not be there yet.
func (s *source) sync(root *yaml.Node, changes []entry) []splice {
	k, v := pair(root, "sync")
	if k != nil && v.Kind == yaml.MappingNode {
		return s.block(v, changes)
	}
	var lines []string
	for _, e := range changes {
		if e.value != "" {
			lines = append(lines, e.key+": "+e.value)
		}
	}
	flow := "{" + strings.Join(lines, ", ") + "}"
	switch {
	case k != nil:
		return s.replace(root, v, entry{key: "sync", value: flow})
	case isFlow(root):
		return s.flowPairs(root, nil, []string{"sync: " + flow})
	}
	// Before everything else, with the comment above that, unless the file begins with it.
	at := s.line(s.start(root.Content[0]))
	if above := s.above(at, 0); above > s.lines[0] {
		at = above
	}
	indent := strings.Repeat(" ", root.Column-1)
	text := indent + "sync:" + s.eol
	for _, line := range lines {
		text += indent + "  " + line + s.eol
	}
	return []splice{{at, at, text + s.eol}}
}

// became tells whether a text is the one that r was read from with the rules of want,
// and nothing else: neither another setting nor a comment that went astray.
func (r *readText) became(file, after string, want *Rules) bool {
	got, ok := readRules(file, []byte(after))
	if !ok {
		return false
	}
	if c := Compare(want, &got.Rules); !c.None() || len(want.Statuses) != len(got.Statuses) {
		return false
	}
	rest := func(root *yaml.Node) []*yaml.Node {
		var list []*yaml.Node
		for i := 0; i+1 < len(root.Content); i += 2 {
			if k := root.Content[i]; k.Value != "sync" && k.Value != "statuses" {
				list = append(list, k, root.Content[i+1])
			}
		}
		return list
	}
	return slices.EqualFunc(rest(r.root), rest(got.root), sameNode)
}

// sameNode tells whether two nodes are written alike, comments aside.
func sameNode(a, b *yaml.Node) bool {
	return a.Kind == b.Kind && a.Style == b.Style && a.Tag == b.Tag && a.Value == b.Value && slices.EqualFunc(a.Content, b.Content, sameNode)
}
