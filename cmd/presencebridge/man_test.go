package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/presencebridge/presencebridge/config"
)

// macros are the requests that the pages use (man 7 groff_man).
var macros = []string{".TH", ".SH", ".PP", ".TP", ".B", ".BR", ".I", ".nf", ".fi", ".nh", ".ad"}

func TestEveryCommandAndFileHasItsManualPage(t *testing.T) {
	dir := t.TempDir()
	c := newConsole("man", dir)
	if code := c.Run(t.Context()); code != exitDone || c.err.String() != "" {
		t.Fatalf("exit code %d: %s", code, c.err.String())
	}
	for name, wants := range map[string][]string{
		"man1/presencebridge.1":              {`presencebridge \- one truth`, "  3  the bridge does not run", ".BR presencebridge\\-doctor (1)", `\fB\-\-config\fR \fIFILE\fR`},
		"man1/presencebridge-set.1":          {".B presencebridge set\nUSER STATUS [flags]", `\fB\-\-until\fR`},
		"man1/presencebridge-token-new.1":    {".BR presencebridge\\-token (1)", "OPTIONS OF EVERY COMMAND"},
		"man1/presencebridge-token-list.1":   {`\fB\-\-json\fR`},
		"man1/presencebridge-completion.1":   nil,
		"man5/presencebridge.yaml.5":         {"address: 127.0.0.1:5038", "PRESENCEBRIDGE_LOG_LEVEL"},
		"man5/presencebridge-mapping.yaml.5": {"incoming: latest"},
	} {
		text := readText(t, filepath.Join(dir, name))
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("%s lacks %q", name, want)
			}
		}
	}
	pages, err := filepath.Glob(filepath.Join(dir, "man?", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		for i, line := range strings.Split(readText(t, page), "\n") {
			if macro, _, _ := strings.Cut(line, " "); strings.HasPrefix(line, "'") || strings.HasPrefix(line, ".") && !slices.Contains(macros, macro) {
				t.Errorf("%s:%d is a request that is none: %s", page, i+1, line)
			}
		}
	}
	for _, sub := range newConsole().root().Commands() {
		if sub.IsAvailableCommand() && !slices.Contains(pages, filepath.Join(dir, "man1", "presencebridge-"+sub.Name()+".1")) {
			t.Errorf("%s has no page", sub.Name())
		}
	}
}

// unroff undoes roff.
var unroff = strings.NewReplacer(`\&`, "", `\-`, "-", `\e`, `\`)

func TestTheManualPageOfAFileIsItsSample(t *testing.T) {
	for name, sample := range map[string]string{"presencebridge.yaml": config.DaemonSample, "mapping.yaml": config.MappingSample} {
		page := manPages(newConsole().root())[fileManName(name)+".5"]
		if sample != readText(t, filepath.Join("..", "..", "config", name)) || !strings.Contains(unroff.Replace(page), sample) {
			t.Errorf("the page of %s is not its sample", name)
		}
	}
}

func TestTextIsNoRequest(t *testing.T) {
	for text, want := range map[string]string{
		".so /etc/passwd": `\&.so /etc/passwd`,
		"'tis":            `\&'tis`,
		`C:\new --json`:   `C:\enew \-\-json`,
		"a.b":             "a.b",
	} {
		if got := roff(text); got != want {
			t.Errorf("roff(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestAManualPageThatCannotBeWrittenIsAnError(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c := newConsole("man", file)
	if code := c.Run(t.Context()); code != exitFailed || !regexp.MustCompile(`write the manual page presencebridge\S*: `).MatchString(c.err.String()) {
		t.Errorf("exit code %d: %s", code, c.err.String())
	}
}

func readText(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
