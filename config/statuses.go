package config

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/presencebridge/presencebridge/pkg/message"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

const (
	maxID   = 128 // characters
	maxWord = 64  // of a tag or a group
	maxText = 200 // characters of a name or an address that people read
)

func readTypes(v value) []presence.StatusType {
	items, ok := v.list()
	if v.missing() && !v.broken || ok && len(items) == 0 {
		v.fault("there is no status", "list the statuses of the panel, as the sample does", message.As("rules.no_statuses"))
	}
	ids := make(map[presence.TypeID]int, len(items))
	images := make(map[presence.Image]presence.TypeID, len(items))
	types := make([]presence.StatusType, 0, len(items))
	for _, item := range items {
		before := len(v.doc.faults)
		t := readType(item)
		if t.ID == "" {
			continue
		}
		if line, taken := ids[t.ID]; taken {
			item.fault("the status of "+place(line)+" has the same id", "give each its own", message.As("rules.same_id", "id", quote(string(t.ID))))
			continue
		}
		ids[t.ID] = item.line
		if sound := len(v.doc.faults) == before; sound && t.Asterisk != nil {
			if first, taken := images[*t.Asterisk]; taken {
				item.warn(fmt.Sprintf("%s is mapped to the presence of %s, so that a phone that sets it is always taken for %s", t.ID, first, first),
					"give one of them a subtype of its own, or accept it", message.As("rules.same_presence", "status", string(t.ID), "first", string(first)))
			} else {
				images[*t.Asterisk] = t.ID
			}
		}
		types = append(types, t)
	}
	return types
}

func readType(v value) presence.StatusType {
	o := v.object(typeKeys()...)
	id := readID(o.at("id"))
	return presence.StatusType{
		ID:       presence.TypeID(id),
		Name:     readName(o.at("name"), id),
		Base:     readBase(o.at("base")),
		Color:    readColor(o.at("color")),
		Asterisk: readImage(o.at("asterisk")),
		Lasts:    readLasts(o.at("lasts")),

		Labels:     o.at("labels").boolean(false),
		QueuePause: o.at("queue_pause").boolean(false),
		Tagged:     readTags(o.at("tags")),
		System:     o.at("system").boolean(false),
	}
}

func readTags(v value) *presence.Labels {
	words := readWords(v)
	if len(words) == 0 {
		return nil
	}
	return &presence.Labels{Tags: words}
}

// readID reads the id of a user or a status, which has to fit a URL.
func readID(v value) string {
	id, ok := v.required()
	if !ok {
		return ""
	}
	if utf8.RuneCountInString(id) > maxID || strings.ContainsFunc(id, unprintable) || id == "." || id == ".." {
		v.fault(quote(id)+" cannot be an id", fmt.Sprintf("write 1 to %d printable characters without spaces and slashes", maxID),
			message.As("rules.id", "value", quote(id), "most", strconv.Itoa(maxID)))
	}
	return id
}

func readName(v value, otherwise string) string {
	name := v.text(otherwise)
	switch {
	case strings.TrimSpace(name) == "" && !v.missing() && v.node.Kind == yaml.ScalarNode:
		v.fault("is empty", "write a name, or remove the line to show the id", message.As("rules.name_empty"))
	case strings.ContainsFunc(name, isControl) || utf8.RuneCountInString(name) > maxText:
		v.fault("is no name that fits a line", fmt.Sprintf("write at most %d characters without line breaks", maxText), message.As("rules.name_long", "most", strconv.Itoa(maxText)))
	}
	return name
}

func readBase(v value) presence.Base {
	words := make([]string, 0, len(presence.Bases()))
	for _, b := range presence.Bases() {
		words = append(words, string(b))
	}
	if v.missing() && !v.broken {
		v.fault("nothing says what kind of status this is", "write one of "+either(words))
		return ""
	}
	return presence.Base(v.oneOf("", words...))
}

var colorPattern = regexp.MustCompile(`^#[0-9a-fA-F]{6}$`)

func readColor(v value) string {
	if v.node != nil && v.missing() {
		v.fault("is empty, perhaps because # begins a comment", `put the colour in quotes: "#2e7d32"`)
		return defaultColor
	}
	text := v.text(defaultColor)
	if !v.missing() && v.node.Kind == yaml.ScalarNode && !colorPattern.MatchString(text) {
		v.fault(quote(text)+" is not a colour", `write # and six hexadecimal digits in quotes: "#2e7d32"`, message.As("rules.color", "value", quote(text)))
	}
	return strings.ToLower(text)
}

// readLasts reads after how long a status ends by itself; 0: it does not.
func readLasts(v value) time.Duration {
	const least, most = time.Second, 366 * 24 * time.Hour
	d := v.duration(0)
	if d != 0 && d < least || d > most {
		v.fault(quote(v.node.Value)+" is not how long a break lasts", "write something from 1s to 8784h, or remove the line so that it stays until something else is set",
			message.As("rules.lasts", "value", quote(v.node.Value)))
		return 0
	}
	return d.Truncate(time.Second)
}

// readImage reads the presence of a status: a state, or {state, subtype}.
func readImage(v value) *presence.Image {
	if v.missing() {
		return nil
	}
	state, subtype := v, ""
	if v.isBlock() {
		o := v.object("state", "subtype")
		if state = o.at("state"); state.missing() && !state.broken {
			state.fault("a presence needs a state", "use "+either(presence.StateNames()))
		}
		subtype = readSubtype(o.at("subtype"))
	}
	// Not ParseState alone: it takes any case, and one spelling is enough for a file.
	word := state.oneOf(presence.NotSet.String(), presence.StateNames()...)
	s, _ := presence.ParseState(word)
	return &presence.Image{State: s, Subtype: subtype}
}

func readSubtype(v value) string {
	text := v.text("")
	switch {
	case len(text) > presence.MaxText:
		v.fault(fmt.Sprintf("has %d bytes, of which Asterisk keeps %d", len(text), presence.MaxText), "write a shorter one",
			message.As("rules.subtype_long", "bytes", strconv.Itoa(len(text)), "most", strconv.Itoa(presence.MaxText)))
	case strings.ContainsFunc(text, isControl):
		v.fault("has line breaks or control characters", "write plain text", message.As("rules.control"))
	}
	return text
}
