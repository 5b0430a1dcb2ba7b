package main

import (
	"bytes"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// kinds tell licences by a sentence that stands in each of its copies. What comes
// first is looked for first; only BSD-2-Clause is told by what does not stand there.
var kinds = []struct {
	id, says string
	not      string // "": nothing is excluded
}{
	{"Apache-2.0", "apache license,? version 2\\.0", ""},
	{"MIT", "permission is hereby granted, free of charge, to any person obtaining a copy", ""},
	{"ISC", "permission to use, copy, modify, and(/or)? distribute this software for any purpose with or without fee", ""},
	{"BSD-3-Clause", "redistribution and use in source and binary forms.*(neither the names? of|may not be used to endorse)", ""},
	{"BSD-2-Clause", "redistribution and use in source and binary forms", "neither the names? of|may not be used to endorse"},
	{"MPL-2.0", "mozilla public license,? version 2\\.0", ""},
	{"blessing", "dedicated to the public domain by the authors", ""},
	{"GPL", "gnu (lesser |library |affero )?general public license", "mozilla public license"}, // which names it as an alternative
	{"SSPL", "server side public license", ""},
	{"BUSL", "business source license", ""},
}

// permitted are the licences under which something may be linked into a binary that
// is given away under Apache-2.0. MPL-2.0 asks for the sources of what it covers, and
// they are, unchanged, what its path and version name.
var permitted = []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MPL-2.0", "blessing"}

// set aside are files that a person has read, and why they say nothing of the binary.
var setAside = map[string]string{
	"modernc.org/memory LICENSE-LOGO":         "the address of a picture, which is linked nowhere",
	"modernc.org/sqlite LICENSE-3RD-PARTY.md": "tells of its tests too; what it says is linked are modules and texts that are listed here by themselves",
}

// judged names the licences of a part by its texts. Notices and lists of authors are
// passed on and not judged.
func judged(p part) (part, error) {
	for _, t := range p.texts {
		base := strings.ToLower(path.Base(t.name))
		if setAside[p.path+" "+t.name] != "" || strings.HasPrefix(base, "notice") || strings.HasPrefix(base, "patents") || strings.HasPrefix(base, "authors") {
			continue
		}
		ids := licencesIn(t.body)
		if len(ids) == 0 {
			return p, fmt.Errorf("%s %s: nobody knows the licence in %s: read it, then add it to kinds or setAside in systemd/packaging/bill", p.path, p.version, t.name)
		}
		p.licences = append(p.licences, ids...)
	}
	slices.Sort(p.licences)
	p.licences = slices.Compact(p.licences)
	if len(p.licences) == 0 {
		return p, fmt.Errorf("%s %s comes without a licence, so it may not be passed on", p.path, p.version)
	}
	for _, id := range p.licences {
		if !slices.Contains(permitted, id) {
			return p, fmt.Errorf("%s %s is under %s, which is not permitted: use something else", p.path, p.version, id)
		}
	}
	return p, nil
}

func licencesIn(body string) []string {
	plain := strings.ToLower(strings.Join(strings.Fields(body), " "))
	var ids []string
	for _, k := range kinds {
		if regexp.MustCompile(k.says).MatchString(plain) && (k.not == "" || !regexp.MustCompile(k.not).MatchString(plain)) {
			ids = append(ids, k.id)
		}
	}
	return ids
}

// writeLicences writes the text that goes with the binary. Equal texts stand there
// once for each part, as several licences ask.
func writeLicences(out *bytes.Buffer, parts []part) {
	fmt.Fprintf(out, "Presence Bridge is under the Apache License 2.0, in the file LICENSE. Linked into it are:\n\n")
	for _, p := range parts {
		fmt.Fprintf(out, "  %s %s: %s\n", name(p), p.version, strings.Join(p.licences, " AND "))
	}
	fmt.Fprintf(out, "\nThe sources of each, unchanged, are those of that path and version. Their licences and notices:\n")
	for _, p := range parts {
		for _, t := range p.texts {
			fmt.Fprintf(out, "\n%s\n%s %s, %s\n%[1]s\n\n%[5]s\n", strings.Repeat("=", 80), name(p), p.version, t.name, strings.TrimSpace(t.body))
		}
	}
}

func name(p part) string {
	if p.path == "std" {
		return "the Go library"
	}
	return p.path
}
