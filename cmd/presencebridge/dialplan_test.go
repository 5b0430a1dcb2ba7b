package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

func TestTheDialplanIsPrintedAndOnATerminalWhereToPutIt(t *testing.T) {
	const (
		one     = "pbx: [{name: main, ami: {address: 'localhost:1', username: u, secret_file: secret}}]\n"
		two     = "pbx:\n  - {name: main, ami: {address: 'localhost:1', username: u, secret_file: secret}}\n  - {name: branch, device: \"\", ami: {address: 'localhost:2', username: u, secret_file: secret}}\n"
		mapping = `statuses: [{id: available, base: connected, asterisk: available}, {id: dnd, base: busy, asterisk: dnd}]
users: [{id: alice, extensions: ["1001", {pbx: BRANCH, extension: "2001"}]}]
`
	)
	alone, both := strings.ReplaceAll(mapping, "BRANCH", "main"), strings.ReplaceAll(mapping, "BRANCH", "branch")
	for _, tc := range []struct {
		name, args, daemon, mapping string
		terminal                    bool
	}{
		{"dialplan", "dialplan", one, alone, false},
		{"dialplan-terminal", "dialplan --prefix *5", one, alone, true},
		{"dialplan-branch", "dialplan --pbx branch --context floor2", two, both, false},
		{"dialplan-which", "dialplan", two, both, false},
		{"dialplan-unknown", "dialplan --pbx brunch", two, both, false},
		{"dialplan-devices", "dialplan", strings.Replace(one, "name: main,", "name: main, dnd: 'Custom:DND{extension}', lamp: 'Custom:PRES{extension}',", 1), alone, false},
		{"dialplan-clash", "dialplan --prefix 10", one, alone, false},
		{"dialplan-prefix", "dialplan --prefix star", one, alone, false},
		{"dialplan-faults", "dialplan", one, strings.Replace(alone, "busy", "bsy", 1), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := writeConfig(t, tc.daemon, tc.mapping)
			c := newConsole(append(strings.Fields(tc.args), "--config", filepath.Join(dir, "presencebridge.yaml"))...)
			if tc.terminal {
				c.onTerminal(80, 30)
			}
			c.golden(t, tc.name, tc.args, dir)
		})
	}
}

// TestACodeThatSomebodyDialsIsTheirStatus takes what the command prints, loads it into
// a real Asterisk, and dials.
func TestACodeThatSomebodyDialsIsTheirStatus(t *testing.T) {
	for _, f := range pbxtest.Reals(t) {
		t.Run(f.Name, func(t *testing.T) {
			pbx := f.Start(t, pbxtest.Options{}).(*pbxtest.Real)
			r := configure(t, threeMethods, pbx)
			text, code := r.run("dialplan")
			if code != 0 {
				t.Fatalf("dialplan: exit %d:\n%s", code, text)
			}
			pbx.Dialplan(text)
			r.startReady()
			for _, tc := range []struct{ caller, dial, user, status string }{
				{"1001", "*72", "alice", "lunch"},
				{"1002", "*74", "alice", "dnd"},
				{"1002", "*78", "alice", "available"},
				{"1003", "*78", "bob", "dnd"},
				{"1003", "*73", "bob", "meeting"},
			} {
				pbx.Dial(tc.caller, tc.dial, "presence-codes")
				if u := r.shows(tc.user, tc.status); u.Status.By != "extension main/"+tc.caller {
					t.Errorf("%s dialled %s: %+v", tc.caller, tc.dial, u.Status)
				}
			}
			r.set("carol", "meeting", "room 5")
			r.settled("carol")
			if hints := pbx.CLI("core show hints"); !strings.Contains(hints, "1006@presence-hints") {
				t.Errorf("hints:\n%s", hints)
			}
		})
	}
}
