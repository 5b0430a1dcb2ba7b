package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/presencebridge/presencebridge/config"
	"github.com/presencebridge/presencebridge/pkg/connector/asterisk/diagnose"
)

func (m *Main) doctorCommand() *cobra.Command {
	return m.reads(&cobra.Command{
		Use: "doctor", Short: "Try everything that the bridge needs, and say what to mend",
		Long: `Doctor looks at the files and at the running bridge, if there is one, and tries each
PBX end to end: whether it can be reached, TLS, the login, the rights in both
directions, the modules, the event filter and the clock, and with dnd whether the
AstDB, by which FreePBX decides about calls, agrees. Of a running bridge it tells
which phone has not shown for a minute what was chosen. For what is wrong it prints
the lines to write, and into which file.

Where the store is on a server it logs in there, and tries to make a table. With
panel it reads that table, and tries whether it may write to it. With tracing it
sends the collector a request without traces. It logs in once to each PBX and sets the
presence of a presentity of its own. A running bridge is not disturbed. Run it as the
user of the bridge; of a service, as root.

Exit codes: 0 all is well, 1 warnings only, 2 something does not work.`,
		Example: `  presencebridge doctor
  sudo presencebridge doctor --config /etc/presencebridge/presencebridge.yaml
  presencebridge doctor --json`,
		Args:              takes(0, 0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(c *cobra.Command, _ []string) error { return m.doctor(c.Context()) },
	})
}

// examined is a subject with what came of its steps.
type examined struct {
	Subject string          `json:"subject"` // files, or pbx NAME
	Steps   []diagnose.Step `json:"steps"`
}

// diagnosis is what doctor found.
type diagnosis struct {
	Result   diagnose.Result `json:"result"`
	Subjects []examined      `json:"subjects"`
}

func (m *Main) doctor(ctx context.Context) error {
	file, err := config.Find(m.config)
	if err != nil {
		return &exit{exitWrong, err}
	}
	cfg, steps := m.examineFiles(ctx, file)
	d := diagnosis{Subjects: []examined{{"files", steps}}}
	if cfg != nil {
		d.Subjects = append(d.Subjects, m.examinePBXs(ctx, cfg)...)
		if cfg.Daemon.Panel.Table != "" {
			d.Subjects = append(d.Subjects, examined{"panel", m.examinePanel(ctx, cfg)})
		}
		if cfg.Daemon.SignIn.URL != "" {
			d.Subjects = append(d.Subjects, examined{"sign-in", m.examineSignIn(ctx, cfg.Daemon.SignIn)})
		}
		if cfg.Daemon.Tracing.URL != "" {
			d.Subjects = append(d.Subjects, examined{"tracing", m.examineTracing(ctx, cfg.Daemon.Tracing)})
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	var all []diagnose.Step
	for _, s := range d.Subjects {
		all = append(all, s.Steps...)
	}
	d.Result = diagnose.Worst(all)
	if m.json {
		if err := m.printJSON(d); err != nil {
			return err
		}
	} else {
		m.printDiagnosis(&d, cfg == nil)
	}
	switch d.Result {
	case diagnose.Failed:
		return &exit{code: exitWrong}
	case diagnose.Warning:
		return &exit{code: exitFailed}
	}
	return nil
}

// examinePBXs examines one PBX after the other: several wrong logins at once look
// like an attack.
func (m *Main) examinePBXs(ctx context.Context, cfg *config.Config) []examined {
	var found []examined
	refused := make(map[string]string) // by account: the PBX where its login failed
	for _, p := range cfg.Daemon.PBX {
		for _, e := range m.examinations(cfg, p) {
			begin := func(step string) { m.progress(e.subject + ": " + step) }
			steps := e.examine(ctx, refused[e.account], begin)
			if earlier := refused[e.account]; earlier == "" && loginFailed(steps) {
				refused[e.account] = "the login of this account failed for the PBX " + p.Name
			}
			found = append(found, examined{e.subject, steps})
		}
	}
	m.progress("")
	return found
}

// examination is one transport of a PBX to examine.
type examination struct {
	subject string
	account string // and where
	examine func(ctx context.Context, refused string, begin func(string)) []diagnose.Step
}

func (m *Main) examinations(cfg *config.Config, p config.PBX) []examination {
	about := diagnose.Config{
		Name:       p.Name,
		Presentity: p.Presentity,
		Device:     p.Device,
		Lamp:       p.Lamp,
		DND:        p.DND,
		Members:    p.Members,
		Instance:   "doctor-" + instance(cfg, p.Name),
		Extensions: numbers(cfg, p.Name),
	}
	var all []examination
	add := func(subject, account string, secret config.Secret, fill func(*diagnose.Config) error, examine func(context.Context, diagnose.Config, func(string)) []diagnose.Step) {
		all = append(all, examination{subject, account, func(ctx context.Context, refused string, begin func(string)) []diagnose.Step {
			if secret.Reveal() == "" {
				return []diagnose.Step{found("login", diagnose.Warning, "nothing was tried: you may not read the secret", "run doctor as root")}
			}
			about := about
			about.Refused = refused
			if err := fill(&about); err != nil {
				return []diagnose.Step{{Name: "encryption", Result: diagnose.Failed, Says: err.Error(), Do: "correct tls.ca_file of this PBX"}}
			}
			return examine(ctx, about, begin)
		}})
	}
	if p.AMI.Address != "" {
		add("pbx "+p.Name, p.AMI.Username+" at "+p.AMI.Address, p.AMI.Secret,
			func(c *diagnose.Config) (err error) { c.AMI, err = amiConfig(p.AMI); return err }, diagnose.Examine)
	}
	if p.ARI.URL != "" {
		add("pbx "+p.Name+", ari", p.ARI.Username+" at "+p.ARI.URL, p.ARI.Password,
			func(c *diagnose.Config) (err error) { c.ARI, err = ariConfig(p.ARI); return err }, diagnose.ExamineARI)
	}
	return all
}

func loginFailed(steps []diagnose.Step) bool {
	for _, s := range steps {
		if s.Name == "login" {
			return s.Result == diagnose.Failed
		}
	}
	return false
}

// numbers returns the extensions that users have on a PBX, in the mapping's order.
func numbers(cfg *config.Config, pbx string) []string {
	var found []string
	for _, u := range cfg.Mapping.Users {
		for _, x := range u.Rules.Extensions {
			if x.PBX == pbx {
				found = append(found, x.Number)
			}
		}
	}
	return found
}

// progress tells on a terminal what is being tried; "" wipes that.
func (m *Main) progress(what string) {
	if _, _, err := m.Terminal(); err != nil || m.json {
		return
	}
	if what != "" {
		what = "trying " + plain(what) + " ..."
	}
	m.printf("\r\x1b[2K%s", what)
}

// resultStyle colours a result.
func resultStyle(r diagnose.Result) style {
	switch r {
	case diagnose.OK:
		return green
	case diagnose.Warning:
		return yellow
	case diagnose.Failed:
		return red
	default:
		return dim
	}
}

// printDiagnosis prints a table for each subject, then what to do.
func (m *Main) printDiagnosis(d *diagnosis, blind bool) {
	width, _ := m.screen()
	for _, s := range d.Subjects {
		m.printf("%s\n", plain(s.Subject))
		m.print(diagnosisTable(s.Steps, width))
		m.printf("\n")
	}
	if blind {
		m.printf("No PBX was tried, because the configuration has errors.\n\n")
	}
	failures, warnings := m.printAdvice(d, width)
	if failures+warnings == 0 {
		m.printf("All is well.\n")
		return
	}
	m.printf("%s, %s.\n", count(failures, "failure", "failures"), count(warnings, "warning", "warnings"))
}

const (
	stepColumns   = 14 // the longest name of a step
	resultColumns = len("not tried")
	minFinding    = 20
)

func diagnosisTable(steps []diagnose.Step, width int) *table {
	t := &table{head: []string{"STEP", "RESULT", "FINDING"}, flex: 2}
	room := 0
	if width > 0 {
		room = max(minFinding, width-stepColumns-resultColumns-2*gap)
	}
	for _, s := range steps {
		for i, part := range wrap(plain(s.Says), room) {
			row := []cell{{}, {}, {text: part}}
			if i == 0 {
				row[0].text, row[1] = fmt.Sprintf("%-*s", stepColumns, s.Name), cell{string(s.Result), resultStyle(s.Result)}
			}
			t.rows = append(t.rows, row)
		}
	}
	return t
}

// printAdvice prints what to do, for everything where something can be done, and
// counts what is not well.
func (m *Main) printAdvice(d *diagnosis, width int) (failures, warnings int) {
	for _, s := range d.Subjects {
		for _, step := range s.Steps {
			switch step.Result {
			case diagnose.Failed:
				failures++
			case diagnose.Warning:
				warnings++
			default:
				if step.Do == "" {
					continue
				}
			}
			m.printf("%s, %s (%s)\n", plain(s.Subject), step.Name, step.Result)
			for _, part := range wrap(plain(step.Do), max(0, width-2)) {
				m.printf("  %s\n", part)
			}
			for _, f := range step.Fix {
				m.printf("    %s, %s:\n", f.File, plain(f.Section))
				for _, line := range f.Lines {
					m.printf("      %s\n", plain(line))
				}
			}
			m.printf("\n")
		}
	}
	return failures, warnings
}

// wrap breaks text at spaces into lines of at most room columns; 0: as long as it is.
func wrap(text string, room int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case room > 0 && columns(line)+1+columns(word) > room:
			lines, line = append(lines, line), word
		default:
			line += " " + word
		}
	}
	return append(lines, line)
}

// bridgeStep asks the bridge that runs, if one does, what it says of itself.
func (m *Main) bridgeStep(ctx context.Context, socket string) (s diagnose.Step, runs bool) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	is, err := dial(socket, "cli").readiness(ctx)
	s.Name = "bridge"
	switch {
	case err != nil:
		s.Result, s.Says = diagnose.Info, err.Error()
		return s, false
	case is.Ready && len(is.Warnings) > 0:
		s.Result, s.Says, s.Do = diagnose.Warning, "a bridge runs at "+socket+": "+strings.Join(is.Warnings, "; "), "correct what it names; presencebridge check lists the faults of the files"
	case is.Ready:
		s.Result, s.Says = diagnose.OK, "a bridge runs at "+socket+" and is ready"
	case len(is.Reasons) == 1 && strings.HasPrefix(is.Reasons[0], standbyMark):
		s.Result, s.Says = diagnose.Info, "a bridge runs at "+socket+" as "+is.Reasons[0]
	default:
		s.Result, s.Says = diagnose.Warning, "a bridge runs at "+socket+" but is not ready: "+cmp.Or(strings.Join(is.Reasons, "; "), "it does not say why")
		s.Do = "mend what is said of its PBXs here; if nothing is, look in its log"
		if len(is.Warnings) > 0 {
			s.Says += "; besides, " + strings.Join(is.Warnings, "; ")
		}
	}
	return s, true
}
