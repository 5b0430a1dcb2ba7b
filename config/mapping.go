package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge/pkg/message"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// compiler turns mapping.yaml into a presence.Mapping.
type compiler struct {
	pbxs    []PBX // empty: they could not be read, which is a fault already
	types   *presence.Types
	typeIDs []string
	global  settings
	phones  *presence.Phones
	until   string                    // sync.until_text
	ranks   map[string]presence.Ranks // by the priority they come from
	shared  map[settings]*presence.Policy
	owners  map[presence.ExtensionID]owner
	users   map[string]int              // line by id
	labels  map[string]*presence.Labels // by their words
	nodes   nodeReader                  // of definitions
}

type owner struct {
	user string
	line int
}

// settings are what a user may override, and the rest of sync.
type settings struct {
	sync     bool
	incoming presence.Method
	outgoing presence.Outgoing
	repeats  bool
	stale    time.Duration
	priority string // key of compiler.ranks
}

func loadMapping(path string, pbxs []PBX) (m *presence.Mapping, stored, unused *Stored, faults Faults) {
	doc, root := open(path)
	if root.broken {
		return nil, nil, nil, doc.faults
	}
	m, stored, unused = compile(root, pbxs)
	return m, stored, unused, doc.faults
}

// LoadMapping reads the text of a mapping.yaml as Load reads the file. file is how
// faults name it; statuses they name by their numbers. The mapping is nil where there
// is at least one error; its users may be elsewhere, of which Stored tells.
func LoadMapping(file string, text []byte, pbxs []PBX) (*presence.Mapping, *Stored, Faults) {
	doc := &document{file: file, numbered: true}
	root := doc.parse(text)
	if root.broken {
		return nil, nil, doc.faults
	}
	m, stored, _ := compile(root, pbxs)
	return m, stored, doc.faults.sorted()
}

// compile returns nil where anything is wrong: there is no half of a mapping. stored
// is nil where the users stand in the file, and unused where they do not.
func compile(root value, pbxs []PBX) (m *presence.Mapping, stored, unused *Stored) {
	top := root.object("sync", "statuses", "phone", "users")
	list := readTypes(top.at("statuses"))
	c := newCompiler(pbxs, list)
	c.warnOfDND(top.at("statuses"), list)
	c.warnOfQueues(top.at("statuses"), list)
	c.global = c.readSync(top.at("sync"))
	c.phones = c.readPhones(top.at("phone"))
	var users []presence.MappedUser
	at := top.at("users")
	if at.isBlock() {
		stored = &Stored{rules: c}
		readFrom(at)
	} else {
		users = c.readUsers(at)
		rules := *c
		rules.forget() // these users, of whom none would be among those in the store
		unused = &Stored{rules: &rules}
	}
	if len(root.doc.faults.Errors()) > 0 {
		return nil, nil, nil
	}
	pack(users)
	return &presence.Mapping{Types: c.types, Users: users}, stored, unused
}

func newCompiler(pbxs []PBX, list []presence.StatusType) *compiler {
	c := &compiler{
		pbxs:  pbxs,
		types: presence.NewTypes(list, nil),
		ranks: make(map[string]presence.Ranks),
	}
	c.forget()
	for _, t := range list {
		c.typeIDs = append(c.typeIDs, string(t.ID))
	}
	return c
}

// readFrom reads what stands in place of a list of users.
func readFrom(v value) {
	if at := v.object("from").at("from"); at.missing() {
		at.fault("nothing says where the users are", "write users: {from: store}, or list them")
	} else {
		at.oneOf("store", "store")
	}
}

// forget makes c ready for users, as if it had read none yet.
func (c *compiler) forget() {
	c.shared = make(map[settings]*presence.Policy)
	c.owners = make(map[presence.ExtensionID]owner)
	c.users = make(map[string]int)
	c.labels = make(map[string]*presence.Labels)
}

func (c *compiler) readSync(v value) settings {
	o := v.object(syncKeys()...)
	c.until = readUntilText(o.at("until_text"))
	s := settings{
		sync:     o.at("enabled").boolean(true),
		incoming: readIncoming(o, presence.Latest),
		outgoing: readOutgoing(o, presence.ToAll),
		repeats:  o.at("repeats").oneOf("ignore", "ignore", "count") == "count",
		stale:    o.at("stale_after").duration(defaultStaleAfter),
		priority: c.readPriority(o.at("priority")),
	}
	warnOfMethods(o, s)
	return s
}

// maxUntilText leaves most of a phone's message to people. In bytes.
const maxUntilText = 100

// readUntilText reads what phones show of a return time.
func readUntilText(v value) string {
	text := v.text("")
	switch {
	case text == "":
	case strings.Count(text, presence.UntilMark) != 1:
		v.fault(quote(text)+" does not say where the time stands", `put `+presence.UntilMark+` there once, as in "until `+presence.UntilMark+`"`,
			message.As("rules.until_mark", "value", quote(text), "mark", presence.UntilMark))
	case strings.ContainsFunc(text, isControl) || len(text) > maxUntilText:
		v.fault("is no text that fits a phone", fmt.Sprintf("write at most %d bytes without line breaks", maxUntilText),
			message.As("rules.until_long", "most", strconv.Itoa(maxUntilText)))
	}
	return text
}

func readIncoming(o object, otherwise presence.Method) presence.Method {
	return presence.Method(o.at("incoming").oneOf(string(otherwise),
		string(presence.Default), string(presence.Latest), string(presence.Priority)))
}

func readOutgoing(o object, otherwise presence.Outgoing) presence.Outgoing {
	return presence.Outgoing(o.at("outgoing").oneOf(string(otherwise), string(presence.ToDefault), string(presence.ToAll)))
}

// warnOfMethods tells of methods that together do what few expect (design.md section 2).
func warnOfMethods(o object, s settings) {
	at := o.at("incoming")
	if at.missing() {
		at = o.at("outgoing")
	}
	var what string
	var key message.Key
	do := "use incoming: latest with outgoing: all, which surprises least"
	switch {
	case s.incoming == presence.Priority && s.outgoing == presence.ToAll:
		what = "with incoming: priority and outgoing: all a status chosen in the panel stands on every phone, " +
			"so that a high one such as DND cannot be cleared from a single phone, and a choice can be overruled at once"
		key = message.As("rules.priority_all")
	case s.incoming == presence.Priority:
		what = "with incoming: priority and outgoing: default another extension that ranks higher overrules a choice at once, " +
			"and a high status such as DND, chosen in the panel, cannot be cleared from another phone"
		key = message.As("rules.priority_default")
	case s.incoming == presence.Default && s.outgoing == presence.ToAll:
		what = "with incoming: default and outgoing: all a choice is written to every phone, " +
			"but what people then change on any but the default extension is ignored"
		do, key = "use outgoing: default, or incoming: latest", message.As("rules.default_all")
	default:
		return
	}
	at.warn(what, do, key)
}

func (c *compiler) readPriority(v value) (key string) {
	items, _ := v.list()
	first := make(map[string]int, len(items))
	ids := make([]presence.TypeID, 0, len(items))
	for _, item := range items {
		text, ok := item.required()
		if !ok {
			continue
		}
		t, _, known := c.types.Lookup(presence.TypeID(text))
		line, twice := first[text]
		switch {
		case !known:
			item.fault(quote(text)+" is no status of this mapping", suggest(text, c.typeIDs), message.As("rules.no_status", "value", quote(text)))
		case twice:
			item.fault(text+" stands here twice"+since(line), "remove one of them", message.As("rules.twice", "value", quote(text)))
		case t.Asterisk == nil:
			item.warn(text+" is not mapped to a presence, so that no phone ever says it and its place here has no effect", "give it asterisk:, or remove it here",
				message.As("rules.unmapped", "status", text))
		}
		first[text] = item.line
		ids = append(ids, presence.TypeID(text))
	}
	return c.rank(ids)
}

// rank ranks the types once for all who have the same priority.
func (c *compiler) rank(ids []presence.TypeID) (key string) {
	var b strings.Builder
	for _, id := range ids {
		b.WriteString(string(id) + "/") // no id has a slash
	}
	key = b.String()
	if _, ok := c.ranks[key]; !ok {
		c.ranks[key] = presence.NewRanks(c.types, ids)
	}
	return key
}

// policy returns the policy that all with the same settings share.
func (c *compiler) policy(s settings) *presence.Policy {
	p := c.shared[s]
	if p == nil {
		p = &presence.Policy{
			Sync: s.sync, Off: !c.global.sync, Incoming: s.incoming, Outgoing: s.outgoing, CountRepeats: s.repeats, StaleAfter: s.stale,
			Types: c.types, Ranks: c.ranks[s.priority], Phones: c.phones,
			UntilText: c.until, Zone: time.Local,
		}
		c.shared[s] = p
	}
	return p
}
