package config

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"

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
	for d, err := range definitions {
		if err != nil {
			return nil, nil, err
		}
		doc := &document{file: d.File()}
		if u, ok := c.readDefinition(doc, d); ok {
			users = append(users, u)
		}
		faults = append(faults, doc.faults...)
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
	node, err := nodeOf(text, 0)
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
	node, err := nodeOf(d.JSON, d.Line)
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

// nodeOf makes of JSON what the parser of YAML would make of the same text, so that
// one compiler reads both: that parser refuses the surrogates of JSON, and takes three
// times as long. null is YAML's way to say nothing.
func nodeOf(text string, line int) (*yaml.Node, error) {
	if !json.Valid([]byte(text)) { // which also bounds the depth
		return nil, errors.New("not valid JSON")
	}
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	node, err := nextNode(dec, line)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return node, err
}

// nextNode reads one value, nil at the end of a list or an object.
func nextNode(dec *json.Decoder, line int) (*yaml.Node, error) {
	token, err := dec.Token()
	if err != nil {
		return nil, err
	}
	n := &yaml.Node{Kind: yaml.ScalarNode, Line: line}
	switch token := token.(type) {
	case json.Delim:
		switch token {
		case '{':
			n.Kind, n.Tag = yaml.MappingNode, "!!map"
		case '[':
			n.Kind, n.Tag = yaml.SequenceNode, "!!seq"
		default:
			return nil, nil
		}
		for {
			child, err := nextNode(dec, line)
			if child == nil || err != nil {
				return n, err
			}
			n.Content = append(n.Content, child)
		}
	case string:
		n.Tag, n.Value, n.Style = "!!str", token, yaml.DoubleQuotedStyle
	case json.Number:
		n.Tag, n.Value = "!!int", token.String()
	case bool:
		n.Tag, n.Value = "!!bool", fmt.Sprint(token)
	default:
		n.Tag = "!!null"
	}
	return n, nil
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

// json is a node as nodeOf reads it.
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
