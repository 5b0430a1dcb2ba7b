package config

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/presencebridge/presencebridge/pkg/presence"
)

// Stored is a mapping that lacks its users, since they are in the store. It is
// immutable and may be used from any goroutine.
type Stored struct{ rules *compiler }

// Definition is what the store keeps of a user.
type Definition struct {
	ID   presence.UserID
	JSON string // an object with the keys of a user in mapping.yaml
	Line int    // of the file that it was imported from, for the faults; 0: of none
}

// File stands in faults for the file that d was read from.
func (d Definition) File() string { return "user " + quote(string(d.ID)) }

// MaxDefinition bounds the JSON of one user, in bytes.
const MaxDefinition = 64 << 10

// Mapping returns the whole mapping, with the users in the order in which they come.
// It is nil where there is at least one error; the faults hold warnings as well, and
// name the user in place of a file. Definitions are read one by one and not kept. err
// is that of the sequence.
func (s *Stored) Mapping(definitions iter.Seq2[Definition, error]) (m *presence.Mapping, faults Faults, err error) {
	c := *s.rules
	c.forget()
	c.ranks = maps.Clone(c.ranks)
	var users []presence.MappedUser
	doc := &document{}
	for d, err := range definitions {
		if err != nil {
			return nil, nil, err
		}
		if u, ok := c.readDefinition(doc, d); ok {
			users = append(users, u)
		}
		for _, f := range doc.faults {
			f.File = d.File()
			faults = append(faults, f)
		}
		doc.faults = nil
	}
	if len(faults.Errors()) > 0 {
		return nil, faults, nil
	}
	pack(users)
	return &presence.Mapping{Types: c.types, Users: users}, faults, nil
}

// Canonical is a definition as it is kept: two that say the same in another order of
// keys, or with a number in place of a text, are the same text then. What is no JSON
// object stays as it is, for Mapping to refuse.
func Canonical(text string) string {
	if len(text) > MaxDefinition {
		return text
	}
	node, err := new(nodeReader).read(text, 0)
	if err != nil || node.Kind != yaml.MappingNode {
		return text
	}
	order(node)
	return new(document).json(node, "")
}

// order puts the keys of an object, and of those in it, into the order in which people
// write them, and leaves out those that say nothing. Of two equal keys both stay.
func order(n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		for _, item := range n.Content {
			order(item)
		}
		return
	}
	var pairs [][]*yaml.Node
	for pair := range slices.Chunk(n.Content, 2) {
		if order(pair[1]); pair[1].Tag != "!!null" {
			pairs = append(pairs, pair)
		}
	}
	keys := append(userKeys(), "pbx", "extension")
	slices.SortStableFunc(pairs, func(a, b []*yaml.Node) int {
		return cmp.Compare(slices.Index(keys, a[0].Value), slices.Index(keys, b[0].Value))
	})
	n.Content = slices.Concat(pairs...)
}

// readDefinition reads one user as readUser reads one of the file. ok is false where
// the text is no object at all, or another user's.
func (c *compiler) readDefinition(doc *document, d Definition) (u presence.MappedUser, ok bool) {
	at := value{doc: doc, line: d.Line}
	if len(d.JSON) > MaxDefinition {
		at.fault("the definition is too long", fmt.Sprintf("write at most %d KiB", MaxDefinition>>10))
		return u, false
	}
	node, err := c.nodes.read(d.JSON, d.Line)
	if err != nil || node.Kind != yaml.MappingNode {
		at.fault("the definition is not a JSON object", `write something like {"id": "alice", "extensions": ["1001"]}`)
		return u, false
	}
	u = c.readUser(doc.value(node, ""))
	if u.ID != d.ID && u.ID != "" {
		at.path = "id"
		at.fault(quote(string(u.ID))+" is the id of somebody else", "write "+quote(string(d.ID))+", or leave it to the bridge")
	}
	return u, true
}

// nodeReader makes of JSON what the parser of YAML would make of the same text, so that
// one compiler reads both: that parser refuses the surrogates of JSON, and takes ten times
// as long. null is YAML's way to say nothing. A start reads the definitions of everybody,
// so nodes are used again: they are good until the next text. The zero value is ready.
type nodeReader struct {
	rest  string // of the text
	line  int
	nodes []*yaml.Node
	used  int // of nodes
}

func (r *nodeReader) read(text string, line int) (*yaml.Node, error) {
	if !json.Valid([]byte(text)) { // which also bounds the depth
		return nil, errors.New("not valid JSON")
	}
	r.rest, r.line, r.used = strings.TrimLeft(text, jsonSpace), line, 0
	return r.next(), nil
}

const jsonSpace = " \t\r\n"

// next takes one value of a text that is known to be valid.
func (r *nodeReader) next() *yaml.Node {
	n := r.node()
	switch r.rest[0] {
	case '{':
		n.Kind, n.Tag = yaml.MappingNode, "!!map"
		r.list(n)
	case '[':
		n.Kind, n.Tag = yaml.SequenceNode, "!!seq"
		r.list(n)
	case '"':
		n.Tag, n.Value, n.Style = "!!str", r.text(), yaml.DoubleQuotedStyle
	case 't', 'f':
		n.Tag, n.Value = "!!bool", r.word()
	case 'n':
		n.Tag = "!!null"
		r.word()
	default:
		n.Tag, n.Value = "!!int", r.word()
	}
	return n
}

func (r *nodeReader) node() *yaml.Node {
	if r.used == len(r.nodes) {
		r.nodes = append(r.nodes, &yaml.Node{})
	}
	n := r.nodes[r.used]
	r.used++
	*n = yaml.Node{Kind: yaml.ScalarNode, Line: r.line, Content: n.Content[:0]}
	return n
}

// list takes the items of a list, or the keys and values of an object, up to its end.
func (r *nodeReader) list(n *yaml.Node) {
	for r.rest = r.rest[1:]; ; {
		r.rest = strings.TrimLeft(r.rest, jsonSpace+",:")
		if c := r.rest[0]; c == ']' || c == '}' {
			r.rest = r.rest[1:]
			return
		}
		n.Content = append(n.Content, r.next())
	}
}

// text takes what stands in quotes. It is a copy: the rest of what it stands in shall
// not stay.
func (r *nodeReader) text() (s string) {
	end, plain := 1, true
	for ; r.rest[end] != '"'; end++ {
		if c := r.rest[end]; c == '\\' {
			plain = false
			end++
		} else if c >= utf8.RuneSelf { // possibly no UTF-8, which becomes U+FFFD
			plain = false
		}
	}
	quoted := r.rest[:end+1]
	r.rest = r.rest[end+1:]
	if plain {
		return strings.Clone(quoted[1:end])
	}
	_ = json.Unmarshal([]byte(quoted), &s) // it is valid
	return s
}

// word takes a number, true, false or null.
func (r *nodeReader) word() string {
	end := strings.IndexAny(r.rest, jsonSpace+",]}")
	if end < 0 {
		end = len(r.rest)
	}
	word := r.rest[:end]
	r.rest = r.rest[end:]
	return strings.Clone(word)
}

// FileUsers reads the users that stand in a mapping.yaml as definitions, so that they
// can move into the store. It judges nothing but the form of the file.
func FileUsers(path string) ([]Definition, Faults) {
	doc, root := open(path)
	if root.broken {
		return nil, doc.faults
	}
	at := value{doc: doc, path: "users"}
	if root.is(yaml.MappingNode) {
		for i := 0; i+1 < len(root.node.Content); i += 2 {
			if root.node.Content[i].Value == "users" {
				at = doc.value(root.node.Content[i+1], "users")
			}
		}
	}
	items, ok := at.list()
	if !ok && len(doc.faults) == 0 {
		at.fault("the file has no list of users", "name a mapping.yaml that has one")
	}
	var users []Definition
	for _, item := range items {
		var id string
		for i := 0; item.isBlock() && i+1 < len(item.node.Content); i += 2 {
			if item.node.Content[i].Value == "id" {
				id = item.node.Content[i+1].Value
			}
		}
		users = append(users, Definition{ID: presence.UserID(id), JSON: doc.json(item.node, item.path), Line: item.line})
	}
	return users, doc.faults
}

// json is a node as a nodeReader reads it.
func (d *document) json(n *yaml.Node, path string) string {
	if n == nil || d.value(n, path).broken { // a fault already
		return "null"
	}
	parts := make([]string, 0, len(n.Content))
	switch {
	case n.Kind == yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			parts = append(parts, jsonText(n.Content[i].Value)+":"+d.json(n.Content[i+1], path))
		}
		return "{" + strings.Join(parts, ",") + "}"
	case n.Kind == yaml.SequenceNode:
		for _, item := range n.Content {
			parts = append(parts, d.json(item, path))
		}
		return "[" + strings.Join(parts, ",") + "]"
	case n.Tag == "!!null":
		return "null"
	case n.Tag == "!!bool" && n.Style == 0 && (n.Value == "true" || n.Value == "false"):
		return n.Value
	}
	return jsonText(n.Value)
}

func jsonText(s string) string {
	var text strings.Builder
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string always can be written
	return strings.TrimSuffix(text.String(), "\n")
}
