package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/presencebridge/presencebridge/pkg/message"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// Rules are what a mapping.yaml says of everybody: how statuses are synchronised, and
// which there are.
type Rules struct {
	Sync     SyncRules
	Statuses []presence.StatusType
}

// SyncRules is the block sync.
type SyncRules struct {
	Enabled      bool
	Incoming     presence.Method
	Outgoing     presence.Outgoing
	CountRepeats bool
	Priority     []presence.TypeID // empty: none is given
	StaleAfter   time.Duration
	UntilText    string
}

// Repeats is CountRepeats in the words of the file.
func (s *SyncRules) Repeats() string {
	if s.CountRepeats {
		return "count"
	}
	return "ignore"
}

func syncKeys() []string {
	return []string{"enabled", "incoming", "outgoing", "repeats", "priority", "stale_after", "until_text"}
}

func typeKeys() []string {
	return []string{"id", "name", "base", "color", "asterisk", "lasts", "labels", "queue_pause", "tags", "system"}
}

// ReadRules reads the rules of a mapping.yaml, of which there are none where there is
// at least one error; the faults hold warnings as well. file is how they name it.
func ReadRules(file string, text []byte) (Rules, Faults) {
	r, ok := readRules(file, text)
	if !ok {
		r.Rules = Rules{}
	}
	return r.Rules, r.doc.faults.sorted()
}

// readText is a mapping.yaml of which the rules were read.
type readText struct {
	Rules
	doc  *document
	root *yaml.Node
}

func readRules(file string, text []byte) (r readText, ok bool) {
	r.doc = &document{file: file, numbered: true}
	root := r.doc.parse(text)
	if root.broken {
		return r, false
	}
	r.root = root.node
	top := root.object("sync", "statuses", "phone", "users")
	r.Statuses = readTypes(top.at("statuses"))
	r.Sync = newCompiler(nil, r.Statuses).readSyncRules(top.at("sync"))
	return r, len(r.doc.faults.Errors()) == 0
}

func (c *compiler) readSyncRules(v value) SyncRules {
	g := c.readSync(v)
	s := SyncRules{
		Enabled: g.sync, Incoming: g.incoming, Outgoing: g.outgoing, CountRepeats: g.repeats, StaleAfter: g.stale, UntilText: c.until,
	}
	for id := range strings.SplitSeq(strings.TrimSuffix(g.priority, "/"), "/") {
		if id != "" {
			s.Priority = append(s.Priority, presence.TypeID(id))
		}
	}
	return s
}

// maxStatuses bounds a proposal.
const maxStatuses = 500

// propose reads which rules somebody wants in place of these: JSON with the keys of
// mapping.yaml. A setting of sync that is left out stays as it is, and so do the
// statuses as a whole; of a status what is left out is its default. Faults name the
// statuses by their numbers.
func (r *Rules) propose(proposal string) (want Rules, faults Faults) {
	doc := &document{numbered: true}
	node, err := new(nodeReader).read(proposal, 0)
	if err != nil || node.Kind != yaml.MappingNode {
		return want, Faults{{What: "the rules are not a JSON object", Do: `write something like {"sync": {"incoming": "latest"}}`}}
	}
	top := doc.value(node, "").object("sync", "statuses", "undo", "warnings") // the last two are what the API tells beside them
	want.Statuses = r.Statuses
	if at := top.at("statuses"); at.node != nil {
		want.Statuses = readTypes(at)
		if len(want.Statuses) > maxStatuses {
			at.fault(fmt.Sprintf("there are %d statuses", len(want.Statuses)), fmt.Sprintf("write at most %d", maxStatuses),
				message.As("rules.statuses", "n", strconv.Itoa(len(want.Statuses)), "most", strconv.Itoa(maxStatuses)))
		}
		if len(doc.faults.Errors()) == 0 {
			r.protect(at, want.Statuses)
		}
	}
	at := top.at("sync")
	want.Sync = newCompiler(nil, want.Statuses).readSyncRules(at)
	want.Sync.keep(&r.Sync, at)
	if k, _ := pair(at.node, "priority"); k == nil {
		want.kept(at)
	}
	return want, doc.faults.Errors()
}

// kept finds statuses that the priority of the file has and that there shall not be.
func (r *Rules) kept(sync value) {
	for i, id := range r.Sync.Priority {
		if r.find(id) == nil {
			sync.path = fmt.Sprintf("sync.priority[%d]", i)
			sync.fault(quote(string(id))+" stands there in the file, and is no status any more", "write the priority without it, too",
				message.As("rules.kept", "status", quote(string(id))))
		}
	}
}

// keep takes what is not proposed from the rules as they are.
func (s *SyncRules) keep(now *SyncRules, proposed value) {
	is := func(key string) bool {
		k, _ := pair(proposed.node, key)
		return k == nil
	}
	if is("enabled") {
		s.Enabled = now.Enabled
	}
	if is("incoming") {
		s.Incoming = now.Incoming
	}
	if is("outgoing") {
		s.Outgoing = now.Outgoing
	}
	if is("repeats") {
		s.CountRepeats = now.CountRepeats
	}
	if is("priority") {
		s.Priority = now.Priority
	}
	if is("stale_after") {
		s.StaleAfter = now.StaleAfter
	}
	if is("until_text") {
		s.UntilText = now.UntilText
	}
}

// protect keeps what the file protects, and keeps everybody but its editors from
// protecting anything. want are the statuses that were read of v without a fault.
func (r *Rules) protect(v value, want []presence.StatusType) {
	items, _ := v.list()
	for i := range want {
		at := func(key string) value {
			_, n := pair(items[i].node, key)
			return v.doc.value(n, items[i].child(key))
		}
		now := r.find(want[i].ID)
		system := now != nil && now.System
		if k, _ := pair(items[i].node, "system"); k == nil {
			want[i].System = system
		}
		switch {
		case want[i].System != system:
			at("system").fault("is set in the file alone", "leave it out, or edit mapping.yaml by hand", message.As("rules.system"))
		case system && want[i].Base != now.Base:
			at("base").fault(fmt.Sprintf("%s is protected (system: true), and its base is %s", now.ID, now.Base), "leave it so, or edit mapping.yaml by hand",
				message.As("rules.protected_base", "status", string(now.ID), "base", string(now.Base)))
		}
	}
	for _, t := range r.Statuses {
		if t.System && !slices.ContainsFunc(want, func(w presence.StatusType) bool { return w.ID == t.ID }) {
			v.fault(string(t.ID)+" is protected (system: true) and has to stay", "keep it under this id, or edit mapping.yaml by hand",
				message.As("rules.protected", "status", string(t.ID)))
		}
	}
}

func (r *Rules) find(id presence.TypeID) *presence.StatusType {
	for i := range r.Statuses {
		if r.Statuses[i].ID == id {
			return &r.Statuses[i]
		}
	}
	return nil
}

// entries are the settings of the block, and which is what it is without a line.
func (s *SyncRules) entries() []entry {
	ids := make([]string, len(s.Priority))
	for i, id := range s.Priority {
		ids[i] = string(id)
	}
	return []entry{
		{key: "enabled", value: fmt.Sprint(s.Enabled)},
		textEntry("incoming", string(s.Incoming)),
		textEntry("outgoing", string(s.Outgoing)),
		textEntry("repeats", s.Repeats()),
		wordsEntry("priority", ids),
		{key: "stale_after", value: DurationText(s.StaleAfter)},
		textEntry("until_text", s.UntilText),
	}
}

// typeEntries are the settings of a status.
func typeEntries(t *presence.StatusType) []entry {
	lasts, tags := "", []string(nil)
	if t.Lasts > 0 {
		lasts = DurationText(t.Lasts)
	}
	if t.Tagged != nil {
		tags = t.Tagged.Tags
	}
	return []entry{
		textEntry("id", string(t.ID)),
		textEntry("name", t.Name),
		textEntry("base", string(t.Base)),
		textEntry("color", t.Color),
		imageEntry(t.Asterisk),
		{key: "lasts", value: lasts},
		{key: "labels", value: fmt.Sprint(t.Labels)},
		{key: "queue_pause", value: fmt.Sprint(t.QueuePause)},
		wordsEntry("tags", tags),
		{key: "system", value: fmt.Sprint(t.System)},
	}
}

func textEntry(key, text string) entry {
	return entry{key: key, value: scalar(text, 0), scalar: true, words: []string{text}}
}

func wordsEntry(key string, words []string) entry {
	if len(words) == 0 {
		return entry{key: key}
	}
	texts := make([]string, len(words))
	for i, w := range words {
		texts[i] = scalar(w, 0)
	}
	return entry{key: key, value: "[" + strings.Join(texts, ", ") + "]", words: words}
}

func imageEntry(img *presence.Image) entry {
	switch {
	case img == nil:
		return entry{key: "asterisk"}
	case img.Subtype == "":
		return textEntry("asterisk", img.State.String())
	}
	words := []string{img.State.String(), img.Subtype}
	return entry{key: "asterisk", value: "{state: " + words[0] + ", subtype: " + scalar(words[1], 0) + "}", words: words}
}

// imageEntries are those of the block that e is written as.
func imageEntries(e entry) []entry {
	list := []entry{textEntry("state", e.words[0]), {key: "subtype"}}
	if len(e.words) > 1 {
		list[1] = textEntry("subtype", e.words[1])
	}
	return list
}

// DurationText writes a length of time as people do.
func DurationText(d time.Duration) string {
	text := d.String()
	for _, nothing := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, nothing) {
			text = text[:len(text)-2]
		}
	}
	if text == "0s" {
		return "0"
	}
	return text
}

// differing are the entries of want that now has not.
func differing(now, want []entry) (entries []entry) {
	for i, e := range want {
		if e.value != now[i].value {
			entries = append(entries, e)
		}
	}
	return entries
}
