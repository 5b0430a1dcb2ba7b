package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/presencebridge/presencebridge/config"
	"github.com/presencebridge/presencebridge/pkg/connector/asterisk/dialplan"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

func (m *Main) dialplanCommand() *cobra.Command {
	var pbx string
	p := dialplan.Plan{}
	c := &cobra.Command{
		Use: "dialplan", Short: "Print hints and star codes for Asterisk's dialplan",
		Long: `Dialplan prints what Asterisk's extensions.conf needs for the users of the mapping:
a hint for each of their numbers, so that phones can watch them, and codes that
people dial: one for each status that is mapped to a presence, in the order of the
mapping, one that sets and clears Do not disturb, and one that spells what the
phone shows. The bridge hears of a code as of any other change of a phone.

With up to eight such statuses the codes are *70 to *77, *78 and *79, with more
*700 and so on, *798 and *799. A new status belongs at the end of the list, or the
codes behind it change. Many systems use *7 for other things: choose a --prefix.

Where presencebridge.yaml has dnd, hints of numbers show that device as well. Where
it has lamp, each lamp has a hint of its own, at *55 and the number (--lamps).

It reads the two files, and a running bridge only for users who are in its store, and
writes nowhere.`,
		Example: `  presencebridge dialplan
  presencebridge dialplan > /etc/asterisk/extensions_presence.conf
  presencebridge dialplan --pbx branch --context floor2 --prefix '*5'`,
		Args:              takes(0, 0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(c *cobra.Command, _ []string) error { return m.dialplan(c.Context(), p, pbx) },
	}
	c.Flags().StringVar(&pbx, "pbx", "", "`NAME` of the PBX; may be left out where there is one")
	c.Flags().StringVar(&p.Context, "context", "presence", "what the `NAME` of each context begins with")
	c.Flags().StringVar(&p.Prefix, "prefix", "*7", "what each code begins with: `KEYS` of a phone")
	c.Flags().StringVar(&p.Lamps, "lamps", "*55", "what the number of each lamp begins with: `KEYS` of a phone; empty for none")
	return c
}

func (m *Main) dialplan(ctx context.Context, p dialplan.Plan, name string) error {
	file, err := config.Find(m.config)
	if err != nil {
		return &exit{exitWrong, err}
	}
	look := m.overrides()
	look.Checking = true // no secret is needed
	cfg, faults := config.Load(file, look)
	if cfg == nil {
		return &exit{exitWrong, fmt.Errorf("the configuration has faults:\n%w", faults.Errors())}
	}
	pbx, err := pickPBX(cfg.Daemon.PBX, name)
	if err != nil {
		return &exit{exitWrong, err}
	}
	p.PBX, p.Presentity, p.Types = pbx.Name, pbx.Presentity, cfg.Mapping.Types.List()
	p.Device, p.DND, p.Lamp = pbx.Device, pbx.DND, pbx.Lamp
	mapping, faults, err := m.wholeMapping(ctx, cfg)
	if err != nil {
		return err
	}
	if mapping == nil {
		return &exit{exitWrong, fmt.Errorf("the users in the store have faults:\n%w", faults.Errors())}
	}
	p.Numbers = numbersOn(mapping, pbx.Name)
	text, err := p.Text()
	if err != nil {
		return &exit{exitWrong, err}
	}
	m.printf("%s", text)
	if _, _, err := m.Terminal(); err == nil {
		_, _ = fmt.Fprintf(m.Err, "\n"+putIt, p.Context)
	}
	return nil
}

// putIt is for people, not for the file.
const putIt = `Put this into a file beside extensions.conf, with the same command and
  > /etc/asterisk/extensions_presence.conf
add a line at the end of extensions.conf (FreePBX: extensions_custom.conf):
  #include extensions_presence.conf
and two in the context of the phones (FreePBX: [from-internal-custom]):
  include => %[1]s-hints
  include => %[1]s-codes
then run: asterisk -rx 'dialplan reload'
`

func pickPBX(pbxs []config.PBX, name string) (config.PBX, error) {
	names := make([]string, len(pbxs))
	for i, p := range pbxs {
		if names[i] = p.Name; p.Name == name || name == "" && len(pbxs) == 1 {
			return p, nil
		}
	}
	if name == "" {
		return config.PBX{}, fmt.Errorf("there are %d PBXs, each with a dialplan of its own: name one of them, as in --pbx %s", len(pbxs), names[0])
	}
	return config.PBX{}, fmt.Errorf("%q is no PBX of presencebridge.yaml, which has: %s", name, strings.Join(names, ", "))
}

// numbersOn are the extensions of one PBX, in the order of the mapping.
func numbersOn(mapping *presence.Mapping, pbx string) (numbers []dialplan.Number) {
	for _, u := range mapping.Users {
		for _, x := range u.Rules.Extensions {
			if x.PBX == pbx {
				numbers = append(numbers, dialplan.Number{Number: x.Number, User: u.Name})
			}
		}
	}
	return numbers
}
