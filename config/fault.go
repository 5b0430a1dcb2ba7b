package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/presencebridge/presencebridge/pkg/message"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// Fault is one thing that is wrong, or surprising, in a file.
type Fault struct {
	File    string // as it was named; "environment" or "command line" for an override
	Line    int    // 0: not of a line
	Path    string // of the setting; "": of the whole file
	What    string
	Do      string
	Warning bool

	message.Key // of What and Do together, where a page may have to tell them
}

// String returns file:line: path: what: what to do.
func (f Fault) String() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d", f.Line)
	}
	for _, part := range []string{f.Path, f.What, f.Do} {
		if part != "" {
			b.WriteString(": " + part)
		}
	}
	return b.String()
}

// Faults is a list of faults, sorted by file and line.
type Faults []Fault

// shownFaults bounds the text of an error: a wrong PBX name in a mapping of
// 100,000 users is 100,000 faults.
const shownFaults = 20

// Error returns the faults, one a line.
func (f Faults) Error() string {
	var b strings.Builder
	for i, fault := range f {
		if i == shownFaults {
			fmt.Fprintf(&b, "\nand %d more", len(f)-i)
			break
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(fault.String())
	}
	return b.String()
}

// Errors returns the faults that stand in the way of running.
func (f Faults) Errors() Faults { return f.which(false) }

// Warnings returns the faults that only surprise.
func (f Faults) Warnings() Faults { return f.which(true) }

func (f Faults) which(warning bool) Faults {
	var found Faults
	for _, fault := range f {
		if fault.Warning == warning {
			found = append(found, fault)
		}
	}
	return found
}

func (f Faults) sorted() Faults {
	slices.SortStableFunc(f, func(a, b Fault) int {
		return cmp.Or(strings.Compare(a.File, b.File), a.Line-b.Line)
	})
	return f
}

// suggest tells what to write instead of word: the nearest of the known words, or all of them.
func suggest(word string, known []string) string {
	if near := presence.Nearest(word, known); near != "" {
		return "did you mean " + near + "?"
	}
	return "use " + either(known)
}

// either joins words as a sentence does.
func either(words []string) string {
	last := len(words) - 1
	if last < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
