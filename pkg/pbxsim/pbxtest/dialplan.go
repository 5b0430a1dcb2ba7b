package pbxtest

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/presencebridge/presencebridge/pkg/pbxsim"
)

// dialplanModules are what a dialplan with subroutines and prompts needs.
var dialplanModules = []pbxsim.Module{"func_callerid.so", "app_stack.so", "func_cut.so", "func_global.so", "app_playback.so", "res_clioriginate.so"}

// dialler is where a call of Dial begins.
const dialler = `[general]
static = yes
[dialler]
exten => call,1,Set(CALLERID(num)=${DIAL_AS})
 same => n,Goto(${DIAL_IN},${DIAL},1)
`

// Dialplan makes text the dialplan.
func (p *Real) Dialplan(text string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, "etc", "extensions.conf"), []byte(dialler+text), 0o644); err != nil {
		p.t.Fatal(err)
	}
	for _, m := range dialplanModules {
		p.Load(m)
	}
	p.CLI("dialplan reload")
}

// Dial lets somebody with a caller id dial a code of a context, and waits until the
// call is over.
func (p *Real) Dial(caller, code, context string) {
	p.t.Helper()
	for name, value := range map[string]string{"DIAL_AS": caller, "DIAL": code, "DIAL_IN": context} {
		p.CLI("dialplan set global " + name + " " + strconv.Quote(value))
	}
	calls := p.calls()
	p.CLI("channel originate Local/call@dialler application Wait 5")
	Eventually(p.t, cliDeadline, "a call of "+code+" ends", func() bool { return p.calls() > calls && p.idle() })
}

// calls is how many calls there have been.
func (p *Real) calls() (n int) {
	p.t.Helper()
	for line := range strings.Lines(p.CLI("core show calls")) {
		if text, ok := strings.CutSuffix(strings.TrimSpace(line), " calls processed"); ok {
			n, _ = strconv.Atoi(text)
		} else if strings.HasSuffix(strings.TrimSpace(line), " call processed") {
			n = 1
		}
	}
	return n
}

// idle tells whether all of Dial's calls are over; a bridge parks a channel of its own.
func (p *Real) idle() bool {
	p.t.Helper()
	return !strings.Contains(p.CLI("core show channels concise"), "Local/call@dialler-")
}

// CLI runs a command of Asterisk's console and returns what it printed.
func (p *Real) CLI(command string) string { p.t.Helper(); return p.must(command) }

// Log is what Asterisk has logged so far: notices, warnings and errors.
func (p *Real) Log() string {
	p.t.Helper()
	text, err := os.ReadFile(filepath.Join(p.dir, "log", "full"))
	if err != nil {
		p.t.Fatal(err)
	}
	return string(text)
}
