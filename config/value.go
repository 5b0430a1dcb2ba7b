package config

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/presencebridge/presencebridge/pkg/message"
)

// value is a place in a file, whether something stands there or not. Its readers
// report what is wrong and return a harmless value, so that one pass finds every
// fault.
type value struct {
	doc    *document
	node   *yaml.Node // nil: nothing stands there
	line   int        // of the node, or of where it is missing
	path   string
	origin string // of an override; "": the file
	broken bool   // reported already
}

const (
	whatAlias = "anchors (&name) and aliases (*name) are not used here"
	doAlias   = "write the value out, or put it in quotes if it begins with & or *"
)

// value makes a value of a node. Text is taken as it was written, so a tag would
// have no effect, and an alias can stand for more than memory holds.
func (d *document) value(n *yaml.Node, path string) value {
	v := value{doc: d, node: n, line: n.Line, path: path}
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		v.fault(whatAlias, doAlias)
	case n.Style&yaml.TaggedStyle != 0:
		v.fault("tags (!name) are not used here", "remove it, or put the value in quotes if it begins with !")
	default:
		return v
	}
	v.node, v.broken = nil, true
	return v
}

func (v value) report(f Fault) {
	f.File, f.Line, f.Path = v.doc.file, v.line, v.path
	if v.origin != "" {
		f.File, f.Line = v.origin, 0
	}
	v.doc.faults = append(v.doc.faults, f)
}

// fault and warn report what is wrong and what to do, with its key where somebody can
// do it on a page of the panel.
func (v value) fault(what, do string, key ...message.Key) {
	v.report(Fault{What: what, Do: do, Key: message.Only(key)})
}

func (v value) warn(what, do string, key ...message.Key) {
	v.report(Fault{What: what, Do: do, Key: message.Only(key), Warning: true})
}

// missing tells whether nothing stands there, or YAML's way to say so.
func (v value) missing() bool {
	return v.node == nil || v.node.Kind == yaml.ScalarNode && v.node.Tag == "!!null"
}

// is tells whether something of this kind stands there; another kind is a fault.
func (v value) is(kind yaml.Kind) bool {
	if v.missing() {
		return false
	}
	if v.node.Kind == kind {
		return true
	}
	kinds := map[yaml.Kind]string{yaml.ScalarNode: "a single value", yaml.SequenceNode: "a list", yaml.MappingNode: "a block of settings"}
	v.fault(fmt.Sprintf("this is %s, where %s is expected", kinds[v.node.Kind], kinds[kind]), "see the sample file for how it is written")
	return false
}

// isBlock tells whether settings stand there rather than a single value.
func (v value) isBlock() bool { return !v.missing() && v.node.Kind == yaml.MappingNode }

// text returns what was written, character for character: 0123 and 1e3 are no numbers here.
func (v value) text(otherwise string) string {
	// An empty value and ~ are meant as nothing; somebody is called Null.
	if v.node != nil && v.missing() && v.node.Value != "" && v.node.Value != "~" {
		v.fault(v.node.Value+" means nothing at all in YAML", `write "`+v.node.Value+`" in quotes if it is meant as text, else remove it`)
		return otherwise
	}
	if !v.is(yaml.ScalarNode) {
		return otherwise
	}
	return v.node.Value
}

// unempty is text that may be left out, but has to say something where it is not.
func (v value) unempty(otherwise string) string {
	text := v.text(otherwise)
	if text == "" && !v.missing() && v.node.Kind == yaml.ScalarNode {
		v.fault("is empty", "write a value, or remove the line to have "+otherwise)
		return otherwise
	}
	return text
}

// required is text that must be there. ok is false where it is not.
func (v value) required() (text string, ok bool) {
	before := len(v.doc.faults)
	text = v.text("")
	if text == "" && !v.broken && len(v.doc.faults) == before {
		v.fault("is missing or empty", "write a value", message.As("rules.missing"))
	}
	return text, text != ""
}

// oneOf is one of a few words.
func (v value) oneOf(otherwise string, words ...string) string {
	text := v.text(otherwise)
	if v.missing() || v.node.Kind != yaml.ScalarNode || slices.Contains(words, text) {
		return text
	}
	v.fault(quote(text)+" is not known here", suggest(text, words), message.As("rules.word", "value", quote(text), "words", strings.Join(words, ", ")))
	return otherwise
}

func (v value) boolean(otherwise bool) bool {
	if !v.is(yaml.ScalarNode) {
		return otherwise
	}
	if plain := v.node.Style == 0; plain && (v.node.Value == "true" || v.node.Value == "false") {
		return v.node.Value == "true"
	}
	v.fault("is neither true nor false", "write true or false, in small letters and without quotes")
	return otherwise
}

func (v value) integer(otherwise, least, most int) int {
	if !v.is(yaml.ScalarNode) {
		return otherwise
	}
	n, err := strconv.Atoi(v.node.Value)
	if err != nil || v.node.Style != 0 || strconv.Itoa(n) != v.node.Value || n < least || n > most {
		v.fault("is not a number that fits", fmt.Sprintf("write a whole number from %d to %d, without quotes", least, most))
		return otherwise
	}
	return n
}

func (v value) duration(otherwise time.Duration) time.Duration {
	if !v.is(yaml.ScalarNode) {
		return otherwise
	}
	d, err := time.ParseDuration(v.node.Value)
	if err != nil || d < 0 {
		v.fault(quote(v.node.Value)+" is not a length of time", "write a number with its unit, for example 90s, 15m or 2h, or 0",
			message.As("rules.duration", "value", quote(v.node.Value)))
		return otherwise
	}
	return d
}

// list returns the items; ok is false where there is no list at all.
func (v value) list() (items []value, ok bool) {
	if !v.is(yaml.SequenceNode) {
		return nil, false
	}
	items = make([]value, len(v.node.Content))
	for i, n := range v.node.Content {
		at := label(n, i)
		if v.doc.numbered && v.path == "statuses" {
			at = strconv.Itoa(i)
		}
		items[i] = v.doc.value(n, v.path+"["+at+"]")
	}
	return items, true
}

// label names an item of a list as people call it: by its id or name, else its number.
func label(n *yaml.Node, i int) string {
	if n.Kind == yaml.MappingNode {
		for k := 0; k+1 < len(n.Content); k += 2 {
			key, val := n.Content[k], n.Content[k+1]
			if (key.Value == "id" || key.Value == "name") && wordPattern.MatchString(val.Value) {
				return val.Value
			}
		}
	}
	return strconv.Itoa(i)
}

// object is a block of settings.
type object struct {
	value
	fields []field // a few: a map of them would be most of what reading a user leaves behind
}

// field is a setting of a block.
type field struct {
	key   string
	value value
}

// object reads a block with these keys; others are faults. Where the block is
// missing its settings are missing too, or come from overrides.
func (v value) object(keys ...string) object {
	o := object{value: v}
	if v.is(yaml.MappingNode) {
		o.fields = make([]field, 0, len(v.node.Content)/2)
		for i := 0; i+1 < len(v.node.Content); i += 2 {
			o.add(v.node.Content[i], v.node.Content[i+1], keys)
		}
	} else if !v.missing() {
		o.broken = true // reported, so that its settings need not be
	}
	if len(v.doc.overrides) == 0 {
		return o
	}
	for _, key := range keys {
		if over, ok := v.doc.overrides[v.child(key)]; ok {
			o.fields = slices.DeleteFunc(o.fields, func(f field) bool { return f.key == key })
			o.fields = append(o.fields, field{key, value{doc: v.doc, path: over.name, origin: over.origin,
				node: &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: over.text}}})
		}
	}
	return o
}

func (o *object) add(key, val *yaml.Node, keys []string) {
	at := value{doc: o.doc, line: key.Line, path: o.path}
	known := key.Kind == yaml.ScalarNode && slices.Contains(keys, key.Value)
	if !known && (key.Kind != yaml.ScalarNode || !wordPattern.MatchString(key.Value)) {
		// It is not shown: "secret:hunter2" without a space is a key as well.
		at.fault("a key that is not known", "use "+either(keys)+", each followed by a colon and a space")
		return
	}
	at.path = o.child(key.Value)
	if !known {
		at.fault("unknown key", suggest(key.Value, keys))
		return
	}
	if first, twice := o.find(key.Value); twice {
		at.fault("the key stands twice"+since(first.line), "remove one of them")
		return
	}
	o.fields = append(o.fields, field{key.Value, o.doc.value(val, at.path)})
}

func (v value) child(key string) string {
	if v.path == "" {
		return key
	}
	return v.path + "." + key
}

func (o *object) find(key string) (v value, ok bool) {
	for i := range o.fields {
		if o.fields[i].key == key {
			return o.fields[i].value, true
		}
	}
	return value{}, false
}

// at returns a setting of the block.
func (o object) at(key string) value {
	if v, ok := o.find(key); ok {
		return v
	}
	return value{doc: o.doc, line: o.line, path: o.child(key), origin: o.origin, broken: o.broken}
}

// has tells whether the block says anything about key.
func (o object) has(key string) bool { return !o.at(key).missing() }

// wordPattern is what a name of Asterisk's, and every key, is made of
// (funcs/func_presencestate.c:858 leaves 64 characters).
var wordPattern = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

// since says where something stood first; what comes from the store has no lines.
func since(line int) string {
	if line == 0 {
		return ""
	}
	return fmt.Sprintf(", first in line %d", line)
}

// quote shows what somebody wrote, at a length that a sentence bears.
func quote(text string) string {
	const most = 64
	if r := []rune(text); len(r) > most {
		text = string(r[:most]) + "..."
	}
	return strconv.Quote(text)
}
