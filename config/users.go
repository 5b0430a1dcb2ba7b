package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/presencebridge/presencebridge/pkg/message"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

func (c *compiler) readUsers(v value) []presence.MappedUser {
	items, ok := v.list()
	if !ok && v.missing() && !v.broken {
		// Not even an empty list: more likely a file that was cut short than a bridge without people.
		v.fault("there are no users", "list them, or write users: [] if there shall be none yet")
	}
	users := make([]presence.MappedUser, 0, len(items))
	for _, item := range items {
		users = append(users, c.readUser(item))
	}
	return users
}

func userKeys() []string {
	return []string{"id", "name", "email", "extensions", "default_extension", "incoming", "outgoing", "priority", "sync", "tags", "groups"}
}

func (c *compiler) readUser(v value) presence.MappedUser {
	o := v.object(userKeys()...)
	id := readID(o.at("id"))
	if line, taken := c.users[id]; taken && id != "" {
		v.fault("the user of "+place(line)+" has the same id", "give each their own")
	}
	c.users[id] = v.line
	return presence.MappedUser{
		ID:     presence.UserID(id),
		Name:   readName(o.at("name"), id),
		Email:  readEmail(o.at("email")),
		Labels: c.readLabels(o),
		Rules:  c.readRules(o, id),
	}
}

// place is where a user stands.
func place(line int) string {
	if line == 0 {
		return "another place"
	}
	return fmt.Sprintf("line %d", line)
}

// maxLabels bounds the tags, and the groups, of a user, and the tags of a status type.
const maxLabels = 32

// readLabels returns the labels that all with the same words share, nil for none.
func (c *compiler) readLabels(o object) *presence.Labels {
	l := presence.Labels{Tags: readWords(o.at("tags")), Groups: readWords(o.at("groups"))}
	if len(l.Tags)+len(l.Groups) == 0 {
		return nil
	}
	key := strings.Join(l.Tags, " ") + "/" + strings.Join(l.Groups, " ") // neither is in a word
	if known := c.labels[key]; known != nil {
		return known
	}
	c.labels[key] = &l
	return &l
}

// readWords reads a list of tags or groups.
func readWords(v value) []string {
	items, _ := v.list()
	if len(items) > maxLabels {
		v.fault(fmt.Sprintf("has %d words", len(items)), fmt.Sprintf("write at most %d", maxLabels),
			message.As("rules.words", "n", strconv.Itoa(len(items)), "most", strconv.Itoa(maxLabels)))
		return nil
	}
	words := make([]string, 0, len(items))
	for _, item := range items {
		switch word, ok := item.required(); {
		case !ok:
		case utf8.RuneCountInString(word) > maxWord || strings.ContainsFunc(word, unprintable):
			item.fault(quote(word)+" is no plain word", fmt.Sprintf("write 1 to %d printable characters without spaces and slashes", maxWord),
				message.As("rules.word_bad", "value", quote(word), "most", strconv.Itoa(maxWord)))
		case slices.Contains(words, word):
			item.fault(quote(word)+" stands here twice", "remove one of them", message.As("rules.twice", "value", quote(word)))
		default:
			words = append(words, word)
		}
	}
	return words
}

func (c *compiler) readRules(o object, id string) *presence.Rules {
	s := c.global
	// sync.enabled switches everything off, whatever a user's line says.
	s.sync = o.at("sync").boolean(true) && s.sync
	s.incoming = readIncoming(o, s.incoming)
	s.outgoing = readOutgoing(o, s.outgoing)
	if o.has("priority") {
		s.priority = c.readPriority(o.at("priority"))
	}
	listed := o.at("extensions")
	extensions := c.readExtensions(listed, id)
	switch overridden := o.has("incoming") || o.has("outgoing"); {
	case listed.broken || !s.sync:
	case len(extensions) == 0 && (listed.missing() || listed.node.Kind == yaml.SequenceNode):
		o.warn("this user has no extension, so that nothing a phone does will ever show", "add extensions, or sync: false if that is meant")
	case overridden && len(extensions) > 1: // with one extension no method surprises
		warnOfMethods(o, s)
	}
	return &presence.Rules{
		Policy:     c.policy(s),
		Extensions: extensions,
		Default:    c.readDefault(o.at("default_extension"), extensions),
	}
}

// readEmail is no judge of addresses: it only catches what is plainly none.
func readEmail(v value) string {
	text := v.text("")
	local, domain, _ := strings.Cut(text, "@")
	if text != "" && (local == "" || domain == "" || strings.ContainsFunc(text, unprintable) || utf8.RuneCountInString(text) > maxText) {
		v.fault(quote(text)+" is not an address of mail", "write name@example.com, or remove the line")
	}
	return text
}

func (c *compiler) readExtensions(v value, user string) []presence.ExtensionID {
	items, _ := v.list()
	ids := make([]presence.ExtensionID, 0, len(items))
	for _, item := range items {
		id, ok := c.readExtension(item)
		if other, taken := c.owners[id]; ok && taken {
			where := ""
			if other.line > 0 {
				where = ", in " + place(other.line)
			}
			item.fault(fmt.Sprintf("%s belongs to %s already%s", id, quote(other.user), where),
				"remove it in one of the two places: an extension is one user's, and named once")
		} else if ok {
			c.owners[id] = owner{user, item.line}
		}
		ids = append(ids, id) // a faulty one too: the default extension may be meant by it
	}
	return ids
}

// readExtension reads a number on the first PBX, or {pbx, extension}.
func (c *compiler) readExtension(v value) (id presence.ExtensionID, ok bool) {
	before := len(v.doc.faults)
	number := v
	if !v.missing() && v.node.Kind == yaml.MappingNode {
		o := v.object("pbx", "extension")
		number = o.at("extension")
		id.PBX = c.readPBXName(o.at("pbx"))
	} else if len(c.pbxs) > 0 {
		id.PBX = c.pbxs[0].Name
	}
	id.Number = readWord(number)
	if i := slices.IndexFunc(c.pbxs, func(p PBX) bool { return p.Name == id.PBX }); i >= 0 {
		fits(number, id.Number, id.PBX, "presentity", c.pbxs[i].Presentity)
		fits(number, id.Number, id.PBX, "lamp", c.pbxs[i].Lamp)
		fits(number, id.Number, id.PBX, "dnd", c.pbxs[i].DND)
	}
	return id, !v.broken && !number.broken && len(v.doc.faults) == before
}

func (c *compiler) readPBXName(v value) string {
	text, ok := v.required()
	if !ok || len(c.pbxs) == 0 {
		return text
	}
	names := make([]string, 0, 4)
	for _, p := range c.pbxs {
		if p.Name == text {
			return p.Name // not text, so that 100,000 users share one string
		}
		names = append(names, p.Name)
	}
	v.fault(quote(text)+" is no PBX of presencebridge.yaml", suggest(text, names))
	return text
}

// readDefault reads which of the user's extensions is the default one: a number,
// or {pbx, extension}. The first is where nothing is said.
func (c *compiler) readDefault(v value, extensions []presence.ExtensionID) int {
	if v.missing() {
		return 0
	}
	var same func(presence.ExtensionID) bool
	var wanted string
	if v.node.Kind == yaml.MappingNode {
		id, ok := c.readExtension(v)
		if !ok {
			return 0
		}
		wanted, same = id.String(), func(e presence.ExtensionID) bool { return e == id }
	} else {
		number, ok := v.required()
		if !ok {
			return 0
		}
		wanted, same = number, func(e presence.ExtensionID) bool { return e.Number == number }
	}
	found := slices.IndexFunc(extensions, same)
	switch {
	case len(extensions) == 0:
		v.fault(quote(wanted)+" is not an extension of this user", "list it under extensions")
	case found < 0:
		v.fault(quote(wanted)+" is not an extension of this user", "use "+names(extensions)+", or list it under extensions")
	case slices.ContainsFunc(extensions[found:], func(e presence.ExtensionID) bool { return same(e) && e != extensions[found] }):
		v.fault(quote(wanted)+" is on several PBXs", "say which one: {pbx: "+extensions[found].PBX+`, extension: "`+wanted+`"}`)
	}
	return max(found, 0)
}

func names(ids []presence.ExtensionID) string {
	words := make([]string, len(ids))
	for i, id := range ids {
		words[i] = id.Number
		if slices.ContainsFunc(ids, func(o presence.ExtensionID) bool { return o.PBX != id.PBX }) {
			words[i] = fmt.Sprintf("{pbx: %s, extension: %q}", id.PBX, id.Number)
		}
	}
	return either(words)
}
