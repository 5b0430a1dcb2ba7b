package config

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// nodesOf is what a nodeReader reads, by the decoder of package json.
func nodesOf(dec *json.Decoder, line int) *yaml.Node {
	token, err := dec.Token()
	if err != nil {
		return nil
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
			return nil
		}
		for child := nodesOf(dec, line); child != nil; child = nodesOf(dec, line) {
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
	return n
}

// written is a node with all that is read of it.
func written(n *yaml.Node) string {
	var b strings.Builder
	fmt.Fprintf(&b, "(%d %s %d %d %q", n.Kind, n.Tag, n.Style, n.Line, n.Value)
	for _, child := range n.Content {
		b.WriteString(written(child))
	}
	return b.String() + ")"
}

func FuzzNodesAreThoseOfPackageJSON(f *testing.F) {
	for _, text := range []string{
		`{"id":"alice","name":"Alice Martin","extensions":["1001",1002,{"pbx":"main","extension":"1003"}]}`,
		" \n{ \"a\" : [ ] , \"b\":{\t} , \"a\" : null }\r\n ", `[true,false,null,-1.5e+10,0]`, `"alone"`, "12 ", `null`, `{`, ``, `{"a":1}{`, `[1,]`,
		`{"\u0061":"\ud83c\udf63 \ud83c \" \\ \/ é 🍣"}`, "{\"bad\":\"\xff\xc3\"}", `"\\"`, `["\\",":,]}"]`, strings.Repeat("[", 100) + strings.Repeat("]", 100),
	} {
		f.Add(text)
	}
	r := &nodeReader{}
	f.Fuzz(func(t *testing.T, text string) {
		_, _ = r.read(`{"what":["was",{"read":1}],"before":[[],[2]]}`, 1) // leaves nothing
		got, err := r.read(text, 7)
		if valid := json.Valid([]byte(text)); valid != (err == nil) {
			t.Fatalf("valid %v, %v", valid, err)
		} else if !valid {
			return
		}
		dec := json.NewDecoder(strings.NewReader(text))
		dec.UseNumber()
		if got, want := written(got), written(nodesOf(dec, 7)); got != want {
			t.Errorf("\ngot  %s\nwant %s", got, want)
		}
	})
}
