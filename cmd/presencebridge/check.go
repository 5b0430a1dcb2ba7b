package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/presencebridge/presencebridge/config"
)

func (m *Main) checkCommand() *cobra.Command {
	return m.reads(&cobra.Command{
		Use: "check", Short: "Check the configuration and the mapping",
		Long: `Check reads both files and prints every fault at once. It needs no PBX and no
running bridge. Users in the store (users: {from: store}) it does not see.

Exit codes: 0 nothing to say, 1 warnings only, 2 errors.`,
		Example: `  presencebridge check
  presencebridge check --config /etc/presencebridge/presencebridge.yaml --json`,
		Args:              takes(0, 0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(*cobra.Command, []string) error { return m.check() },
	})
}

// fault is a config.Fault for programs.
type fault struct {
	File    string `json:"file"`
	Line    int    `json:"line"` // 0: of no line
	Path    string `json:"path"`
	What    string `json:"what"`
	Do      string `json:"do"`
	Warning bool   `json:"warning"`
}

func (m *Main) check() error {
	file, err := config.Find(m.config)
	if err != nil {
		return &exit{exitWrong, err}
	}
	look := m.overrides()
	look.Checking = true
	cfg, faults := config.Load(file, look)
	if cfg != nil {
		faults = append(faults, savingFaults(cfg)...)
	}
	if m.json {
		list := []fault{}
		for _, f := range faults {
			list = append(list, fault{f.File, f.Line, f.Path, f.What, f.Do, f.Warning})
		}
		if err := m.printJSON(page[fault]{Items: list}); err != nil {
			return err
		}
	} else {
		m.printFaults(faults)
	}
	switch {
	case len(faults.Errors()) > 0:
		return &exit{code: exitWrong}
	case len(faults) > 0:
		return &exit{code: exitFailed}
	}
	if !m.json {
		users := count(len(cfg.Mapping.Users), "user", "users")
		if cfg.Stored != nil {
			users = "and users in the store, who were not looked at: the bridge validates them when it starts and with every change"
		}
		m.printf("%s: no faults: %s, %s, %s.\n", plain(file), count(len(cfg.Daemon.PBX), "PBX", "PBXs"),
			count(len(cfg.Mapping.Types.List()), "status type", "status types"), users)
	}
	return nil
}

func (m *Main) printFaults(faults config.Faults) {
	for _, f := range faults {
		kind := "error"
		if f.Warning {
			kind = "warning"
		}
		m.printf("%s: %s\n", kind, plain(f.String()))
	}
	if len(faults) > 0 {
		m.printf("%s, %s.\n", count(len(faults.Errors()), "error", "errors"), count(len(faults.Warnings()), "warning", "warnings"))
	}
}

// overrides stand in for lines of the file. --socket names the socket of a
// running bridge as well as the one to be made.
func (m *Main) overrides() config.Overrides { return config.Overrides{Flags: m.settings} }

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
