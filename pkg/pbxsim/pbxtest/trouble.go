package pbxtest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
)

// Pause stops the process where it stands: connections stay open and nothing answers.
func (p *Real) Pause() { p.t.Helper(); p.signal(syscall.SIGSTOP) }

// Resume lets a paused process go on.
func (p *Real) Resume() { p.t.Helper(); p.signal(syscall.SIGCONT) }

func (p *Real) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// Reload has it read all its files again, those of the manager first.
func (p *Real) Reload() {
	p.t.Helper()
	for _, command := range []string{"manager reload", "core reload"} {
		if out, err := p.cli(command); err != nil {
			p.t.Fatalf("%s: %v: %s", command, err, out)
		}
	}
}

// Remove takes accounts out of manager.conf, where their sessions go on, until
// restore is called.
func (p *Real) Remove(names ...string) (restore func()) {
	p.t.Helper()
	file := filepath.Join(p.dir, "etc", "manager.conf")
	text, err := os.ReadFile(file)
	if err != nil {
		p.t.Fatal(err)
	}
	without := text
	for _, name := range names {
		without = bytes.Replace(without, []byte("["+name+"]"), []byte("[removed-"+name+"]"), 1)
	}
	p.manager(file, without)
	return func() { p.t.Helper(); p.manager(file, text) }
}

func (p *Real) manager(file string, text []byte) {
	p.t.Helper()
	err := os.WriteFile(file, text, 0o644)
	if err == nil {
		_, err = p.cli("manager reload")
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// Refused counts the logins of an account that it has refused.
func (p *Real) Refused(name string) int {
	p.t.Helper()
	text, err := os.ReadFile(filepath.Join(p.dir, "log", "full"))
	if err != nil {
		p.t.Fatal(err)
	}
	return len(regexp.MustCompile(fmt.Sprintf("failed to authenticate as '%s'", regexp.QuoteMeta(name))).FindAll(text, -1))
}
