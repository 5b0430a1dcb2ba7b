package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/presencebridge/presencebridge/pkg/presence"
)

func (m *Main) statusesCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "statuses import", Short: "Make statuses for mapping.yaml of those of another system",
		Example: `  presencebridge statuses import --freepbx presencestate_list.csv`,
		Args:    takes(0, 0),
		RunE: func(*cobra.Command, []string) error {
			return &exit{exitWrong, errors.New("say what to do: presencebridge statuses import --freepbx FILE")}
		},
	}
	c.AddCommand(m.statusesImportCommand())
	return c
}

func (m *Main) statusesImportCommand() *cobra.Command {
	var freePBX string
	c := &cobra.Command{
		Use: "import", Short: "Print the statuses of a FreePBX as lines for mapping.yaml",
		Long: `Import reads FreePBX's table presencestate_list as CSV (columns id, type and message)
and prints the statuses for mapping.yaml. It writes nowhere and needs no bridge.

FreePBX tells its statuses of one type apart by their message alone. The first of a
type is mapped to the state; each further one has a subtype of its own, which FreePBX
itself does not set.`,
		Example: `  presencebridge statuses import --freepbx presencestate_list.csv >> mapping.yaml`,
		Args:    takes(0, 0),
		RunE: func(*cobra.Command, []string) error {
			if freePBX == "" {
				return &exit{exitWrong, errors.New("name the file: presencebridge statuses import --freepbx FILE")}
			}
			return m.statusesImport(freePBX)
		},
	}
	c.Flags().StringVar(&freePBX, "freepbx", "", "the `FILE` of the table, - for the standard input")
	return c
}

func (m *Main) statusesImport(name string) error {
	text, err := m.readAll(name)
	if err != nil {
		return err
	}
	lines, faults := freePBXStatuses(bytes.NewReader(text))
	if len(faults) > 0 {
		return notImported(name, faults, nil)
	}
	m.printf("statuses:\n%s\n", strings.Join(lines, "\n"))
	return nil
}

// freePBXTypes are the types of FreePBX's statuses, which are states of Asterisk's.
var freePBXTypes = map[string]struct {
	name string // where there is no message
	base presence.Base
}{
	"available":   {"Available", presence.Connected},
	"chat":        {"Chat", presence.Connected},
	"away":        {"Away", presence.Absent},
	"xa":          {"Extended away", presence.Absent},
	"dnd":         {"Do not disturb", presence.Busy},
	"unavailable": {"Unavailable", presence.Offline},
}

const (
	maxStatuses   = 200
	maxStatusName = 80 // characters; the table keeps no more
)

// freePBXStatuses makes lines of mapping.yaml of a table.
func freePBXStatuses(file io.Reader) (lines []string, faults []lineFault) {
	r := csvReader(file)
	head, err := r.Read()
	if err != nil {
		return nil, []lineFault{{1, "the columns id, type and message have to be named there"}}
	}
	kind, message := slices.Index(head, "type"), slices.Index(head, "message")
	if kind < 0 || message < 0 {
		return nil, []lineFault{{1, "the columns type and message have to be there: export the table presencestate_list with its names of columns"}}
	}
	taken := map[string]bool{}
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return lines, faults
		}
		if err != nil {
			return nil, append(faults, lineFaultOf(csvError(err).Error()))
		}
		line, _ := r.FieldPos(0)
		if len(record) != len(head) {
			faults = append(faults, lineFault{line, fmt.Sprintf("has %s, and the first line has %d", count(len(record), "field", "fields"), len(head))})
			continue
		}
		if !utf8.ValidString(record[message]) {
			faults = append(faults, lineFault{line, notUTF8})
			continue
		}
		text, err := freePBXStatus(record[kind], strings.TrimSpace(record[message]), taken)
		if err == nil && len(lines) == maxStatuses {
			return nil, append(faults, lineFault{line, fmt.Sprintf("is one more than the %d statuses that are read", maxStatuses)})
		}
		if err != nil {
			faults = append(faults, lineFault{line, err.Error()})
			continue
		}
		lines = append(lines, text)
	}
}

// freePBXStatus makes a line of one status. taken are the ids so far, and the types
// that a status is mapped to.
func freePBXStatus(kind, message string, taken map[string]bool) (string, error) {
	t, ok := freePBXTypes[kind]
	if !ok {
		return "", fmt.Errorf("%q is no type of FreePBX's: it has available, chat, away, xa, dnd and unavailable", kind)
	}
	if utf8.RuneCountInString(message) > maxStatusName || strings.ContainsFunc(message, unicode.IsControl) {
		return "", errors.New("its message is no line of at most 80 characters")
	}
	name := message
	if name == "" {
		name = t.name
	}
	id := freeID(name, kind, taken)
	taken[id] = true
	image := kind
	if taken["type "+kind] { // no id has a space
		image = fmt.Sprintf("{state: %s, subtype: %s}", kind, yamlText(id))
	}
	taken["type "+kind] = true
	return fmt.Sprintf("  - {id: %s, name: %s, base: %s, asterisk: %s}", yamlText(id), yamlText(name), t.base, image), nil
}

// freeID makes an id of a name: its letters and digits in lower case.
func freeID(name, otherwise string, taken map[string]bool) string {
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	id := strings.Join(words, "_")
	if id == "" {
		id = otherwise
	}
	free := id
	for n := 2; taken[free]; n++ {
		free = fmt.Sprintf("%s_%d", id, n)
	}
	return free
}

// yamlText is a text as YAML and JSON both write it.
func yamlText(text string) string {
	b, _ := json.Marshal(text) // a string always can be written
	return string(b)
}
