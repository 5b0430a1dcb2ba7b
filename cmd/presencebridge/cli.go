package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Main is the program as a value, so that tests can run it. Every field is set.
type Main struct {
	Args     []string // without the program's name
	In       io.Reader
	Out, Err io.Writer
	Env      func(string) string
	Now      func() time.Time
	Zone     *time.Location                                // in which times are shown and read
	Open     func(context.Context, setup) (service, error) // what `run` and `demo` run
	Notify   func(state string)                            // tells systemd
	Terminal func() (width, height int, err error)         // of Out; an error: it is none

	config, socket string                 // flags of every command
	settings       map[string]*pflag.Flag // those that stand in for a line of the configuration
	json           bool                   // flag of the reading ones
}

// The exit codes, as `presencebridge --help` promises them.
const (
	exitDone        = 0
	exitFailed      = 1 // check: warnings only
	exitWrong       = 2 // the command line, or the configuration, is wrong
	exitUnreachable = 3
)

// exit is an error with its exit code. Without err there is nothing left to say.
type exit struct {
	code int
	err  error
}

func (e *exit) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exit) Unwrap() error { return e.err }

// Run does what Args ask for and returns the exit code. An interrupt, or SIGTERM,
// ends it in order. Further ones do nothing: stopping is bounded by deadlines, and
// wrappers such as timeout(1) send theirs twice.
func (m *Main) Run(ctx context.Context) int {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()

	root := m.root()
	root.SetArgs(m.Args)
	root.SetIn(m.In)
	root.SetOut(m.Out)
	root.SetErr(m.Err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	var e *exit
	switch {
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		e = &exit{exitFailed, errors.New("interrupted")}
	case !errors.As(err, &e):
		// Cobra's own: an unknown command or flag, a wrong number of arguments.
		e = &exit{exitWrong, errors.New(strings.Join(strings.Fields(err.Error()), " ") + "; presencebridge --help tells what there is")}
	}
	if e.err != nil {
		_, _ = fmt.Fprintln(m.Err, "presencebridge: "+plainLines(e.err.Error()))
	}
	return e.code
}

const about = `Presence Bridge keeps one truth about a person who has several phones.

It follows Asterisk presence on every extension of a user, decides the user's
status, shows it live, and writes a status that is chosen here back to Asterisk.

Exit codes:
  0  done
  1  it failed, or was refused (check, doctor: there are warnings)
  2  the command line or the configuration is wrong (doctor: or something does not work)
  3  the bridge does not run, or may not be talked to`

func (m *Main) root() *cobra.Command {
	root := &cobra.Command{
		Use: "presencebridge", Short: "One truth about a person who has several phones", Long: about,
		Example: `  presencebridge demo
  presencebridge check --config /etc/presencebridge/presencebridge.yaml
  presencebridge status --watch`,
		SilenceErrors: true, SilenceUsage: true,
	}
	flags := root.PersistentFlags()
	flags.StringVar(&m.config, "config", "", "configuration `FILE` (default ./presencebridge.yaml, then /etc/presencebridge/presencebridge.yaml)")
	flags.StringVar(&m.socket, "socket", "", "unix socket `PATH` of the running bridge (default: what the configuration says)")
	root.PersistentPreRunE = func(*cobra.Command, []string) error { return m.absoluteSocket() }
	m.settings = map[string]*pflag.Flag{"http.socket": flags.Lookup("socket")}
	root.AddCommand(m.runCommand(), m.checkCommand(), m.reloadCommand(), m.statusCommand(), m.setCommand(),
		m.explainCommand(), m.historyCommand(), m.userCommand(), m.statusesCommand(), m.tokenCommand(), m.adminCommand(), m.auditCommand(),
		m.backupCommand(), m.restoreCommand(), m.dialplanCommand(), m.doctorCommand(), m.demoCommand(), m.versionCommand(), m.manCommand())
	return root
}

// absoluteSocket makes --socket mean the same to every command: what is typed is
// relative to where it is typed, what stands in a file to that file.
func (m *Main) absoluteSocket() error {
	if m.socket == "" {
		return nil
	}
	path, err := filepath.Abs(m.socket)
	if err != nil {
		return &exit{exitWrong, fmt.Errorf("--socket %s: %w", m.socket, err)}
	}
	m.socket = path
	return nil
}

// takes checks how many arguments a command got.
func takes(least, most int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			return fmt.Errorf("use it as presencebridge %s", c.Use)
		}
		return nil
	}
}

// reads gives a reading command its flag.
func (m *Main) reads(c *cobra.Command) *cobra.Command {
	c.Flags().BoolVar(&m.json, "json", false, "print JSON")
	return c
}

func (m *Main) printf(format string, args ...any) { _, _ = fmt.Fprintf(m.Out, format, args...) }

// printJSON prints v for programs: indented for the people who look at it too.
func (m *Main) printJSON(v any) error {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return &exit{exitFailed, fmt.Errorf("write the answer: %w", err)}
	}
	m.printf("%s", plainJSON(b.String()))
	return nil
}
