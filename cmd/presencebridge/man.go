package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/presencebridge/presencebridge/config"
)

// manCommand is for packages and `make install`, and hidden from people, who type
// man presencebridge.
func (m *Main) manCommand() *cobra.Command {
	return &cobra.Command{
		Use: "man DIR", Short: "Write the manual pages into a folder", Hidden: true,
		Example:           "  presencebridge man /usr/local/share/man",
		Args:              takes(1, 1),
		ValidArgsFunction: cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs),
		RunE: func(c *cobra.Command, args []string) error {
			for name, page := range manPages(c.Root()) {
				folder := filepath.Join(args[0], "man"+name[len(name)-1:])
				err := os.MkdirAll(folder, 0o755) //nolint:gosec // manual pages are for everybody
				if err == nil {
					err = os.WriteFile(filepath.Join(folder, name), []byte(page), 0o644) //nolint:gosec // manual pages are for everybody
				}
				if err != nil {
					return &exit{exitFailed, fmt.Errorf("write the manual page %s: %w", name, err)}
				}
			}
			return nil
		},
	}
}

// manPages returns every page by the name of its file: one of each command, in
// section 1, and one of each configuration file, in section 5.
func manPages(root *cobra.Command) map[string]string {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	pages := map[string]string{
		fileManName("presencebridge.yaml") + ".5": filePage("presencebridge.yaml", "presencebridge.yaml", "configuration of Presence Bridge: connections, store and listeners",
			config.DaemonSample, config.Environment()),
		fileManName("mapping.yaml") + ".5": filePage("mapping.yaml", "mapping/mapping.yaml", "configuration of Presence Bridge: methods, statuses and users",
			config.MappingSample, nil),
	}
	var add func(*cobra.Command)
	add = func(c *cobra.Command) {
		pages[manName(c)+".1"] = commandPage(c)
		for _, sub := range manual(c) {
			add(sub)
		}
	}
	add(root)
	return pages
}

// manual lists the commands below c that have a page. Those of completion are told
// of in its own help.
func manual(c *cobra.Command) []*cobra.Command {
	var found []*cobra.Command
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() && sub.Name() != "help" && c.Name() != "completion" {
			found = append(found, sub)
		}
	}
	return found
}

// manName is how man(1) is asked for a command: presencebridge-token-new.
func manName(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

// fileManName is how man(1) is asked for a file; a mapping.yaml others may have, too.
func fileManName(file string) string {
	if strings.HasPrefix(file, "presencebridge") {
		return file
	}
	return "presencebridge-" + file
}

// commandPage is the page of a command in the language of man(7).
func commandPage(c *cobra.Command) string {
	p := newManPage(manName(c), "1", c.Short)
	p.section("SYNOPSIS")
	p.line(".B " + roff(c.CommandPath()))
	if rest := strings.TrimPrefix(c.UseLine(), c.CommandPath()); rest != "" {
		p.line(roff(strings.TrimSpace(rest)))
	}
	if subs := manual(c); len(subs) > 0 {
		p.line(".PP", ".B "+roff(c.CommandPath()), ".I COMMAND", "[flags]")
	}
	p.section("DESCRIPTION")
	if c.Long != "" {
		p.text(c.Long)
	} else {
		p.text(c.Short + ".")
	}
	if subs := manual(c); len(subs) > 0 {
		p.section("COMMANDS")
		for _, sub := range subs {
			p.line(".TP", ".BR "+roff(manName(sub))+" (1)", roff(sub.Short))
		}
	}
	p.flags("OPTIONS", c.NonInheritedFlags())
	p.flags("OPTIONS OF EVERY COMMAND", c.InheritedFlags())
	if c.Example != "" {
		p.section("EXAMPLES")
		p.verbatim(c.Example)
	}
	if !c.HasParent() {
		p.section("FILES")
		p.line(".TP", ".I /etc/presencebridge/presencebridge.yaml", "Connections, the store and listeners: see", ".BR presencebridge.yaml (5).",
			".TP", ".I /etc/presencebridge/mapping/mapping.yaml", "Methods, statuses and users: see", ".BR presencebridge\\-mapping.yaml (5).",
			".TP", ".I /var/lib/presencebridge", "The store, where it is a file.",
			".TP", ".I /run/presencebridge/presencebridge.sock", "The unix socket of the service.")
	}
	p.section("SEE ALSO")
	if c.HasParent() {
		p.line(".BR " + roff(manName(c.Parent())) + " (1)")
	} else {
		p.line(".BR presencebridge.yaml (5),", ".BR presencebridge\\-mapping.yaml (5)")
	}
	return p.String()
}

// filePage is the page of a configuration file, which the service has at path below its
// folder. It is the sample: each setting has its comment there.
func filePage(name, path, short, sample string, environment []string) string {
	p := newManPage(fileManName(name), "5", short)
	p.section("DESCRIPTION")
	p.line(".I /etc/presencebridge/" + roff(path))
	p.text("has the form of YAML. This is the sample, with every setting, what it means and what it is when it is left out. " +
		"A setting that is unknown, missing or wrong is a fault, which names its line.")
	p.line(".PP", ".B presencebridge check", "tries the files without touching anything.")
	p.section("THE SAMPLE")
	p.verbatim(sample)
	if len(environment) > 0 {
		p.section("ENVIRONMENT")
		p.text("These stand in for a line of the file:")
		p.verbatim("  " + strings.Join(environment, "\n  "))
	}
	p.section("SEE ALSO")
	p.line(".BR presencebridge (1),", ".BR presencebridge\\-check (1)")
	return p.String()
}

// manPage is a manual page in the making.
type manPage struct{ strings.Builder }

func newManPage(name, section, short string) *manPage {
	p := &manPage{}
	p.line(fmt.Sprintf(`.TH "%s" %s "" "presencebridge %s" "Presence Bridge"`, roff(strings.ToUpper(name)), section, roff(thisVersion().Version)),
		".nh", ".ad l")
	p.section("NAME")
	p.line(roff(name) + ` \- ` + roff(strings.ToLower(short[:1])+short[1:]))
	return p
}

func (p *manPage) line(lines ...string) {
	for _, l := range lines {
		p.WriteString(l + "\n")
	}
}

func (p *manPage) section(title string) { p.line(".SH " + title) }

// text writes paragraphs. Lines that are indented stay as they are: they are tables.
func (p *manPage) text(s string) {
	table := false
	for _, l := range strings.Split(s, "\n") {
		indented := strings.HasPrefix(l, " ")
		switch {
		case indented && !table:
			p.line(".nf")
		case !indented && table:
			p.line(".fi")
		}
		table = indented
		if l == "" {
			p.line(".PP")
			continue
		}
		p.line(roff(l))
	}
	if table {
		p.line(".fi")
	}
}

// verbatim writes lines as they are.
func (p *manPage) verbatim(s string) {
	p.line(".nf")
	for _, l := range strings.Split(strings.TrimRight(s, "\n"), "\n") {
		p.line(roff(l))
	}
	p.line(".fi")
}

func (p *manPage) flags(title string, flags *pflag.FlagSet) {
	if !flags.HasAvailableFlags() {
		return
	}
	p.section(title)
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		value, usage := pflag.UnquoteUsage(f)
		name := `\fB` + roff("--"+f.Name) + `\fR`
		if f.Shorthand != "" {
			name = `\fB` + roff("-"+f.Shorthand) + `\fR, ` + name
		}
		if value != "" {
			name += ` \fI` + roff(value) + `\fR`
		}
		p.line(".TP", name, roff(usage))
	})
}

// roff keeps a line from being taken for anything but text: no escapes, no requests,
// and a hyphen that can be copied to a command line.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}
