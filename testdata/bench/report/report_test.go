package report_test

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/presencebridge/presencebridge/testdata/bench/report"
)

func TestTableIsAlignedMarkdown(t *testing.T) {
	got := report.Table{Head: []string{"reader", "events/s"}, Rows: [][]string{{"ours", "2.0 M"}, {"µ"}}}.String()
	want := "| reader | events/s |\n|--------|----------|\n| ours   | 2.0 M    |\n| µ      |          |\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestReplaceChangesOnlyItsSection(t *testing.T) {
	page := "# A\n<!-- one: begin (do not edit) -->\nold\n<!-- one: end -->\nB\n<!-- two: begin -->\n<!-- two: end -->\n"
	got, err := report.Replace([]byte(page), "one", "new\n")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Replace(page, "\nold\n", "\n\nnew\n\n", 1)
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	again, err := report.Replace(got, "one", "new\n")
	if err != nil || string(again) != want {
		t.Errorf("the same once more gave %v and\n%s", err, again)
	}
}

func TestReplaceRefusesAPageWithoutTheSection(t *testing.T) {
	for name, page := range map[string]string{
		"no markers":       "# A\n",
		"no end":           "<!-- one: begin -->\n",
		"twice":            strings.Repeat("<!-- one: begin -->\n<!-- one: end -->\n", 2),
		"the end is first": "<!-- one: end -->\n<!-- one: begin -->\n",
		"on one line":      "<!-- one: begin --><!-- one: end -->\n",
	} {
		if got, err := report.Replace([]byte(page), "one", "new"); err == nil {
			t.Errorf("%s: got %s", name, got)
		}
	}
}

func TestRewriteLeavesAPageWithoutTheSectionAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(file, []byte("# A\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := report.Rewrite(file, "one", "new"); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("err = %v, want one that names the file", err)
	}
	if page, _ := os.ReadFile(file); string(page) != "# A\n" {
		t.Errorf("the page is now %q", page)
	}
}

func TestChartIsXMLThatSaysEverythingAsText(t *testing.T) {
	svg := report.Chart{Title: "Events & seconds", Text: "More is better.", Bars: []report.Bar{
		{Name: "ours <fast>", Value: 200, Min: 100, Max: 400, Label: "200", Ours: true},
		{Name: "a peer", Value: 0.001, Label: "0.001"},
	}}.SVG()
	parser := xml.NewDecoder(strings.NewReader(svg))
	var texts strings.Builder
	for {
		token, err := parser.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, svg)
		}
		if text, ok := token.(xml.CharData); ok {
			texts.Write(text)
		}
	}
	for _, want := range []string{"Events & seconds", "More is better. ours <fast>: 200. a peer: 0.001."} {
		if !strings.Contains(texts.String(), want) {
			t.Errorf("%q is not among the texts", want)
		}
	}
	for _, want := range []string{`role="img"`, "prefers-color-scheme:dark", `class="ours" x="250" y="44" width="165.0"`, `class="peer" x="250" y="72" width="1.0"`} {
		if !strings.Contains(svg, want) {
			t.Errorf("no %s in\n%s", want, svg)
		}
	}
}

func TestChartWithoutBars(t *testing.T) {
	if svg := (report.Chart{Title: "Nothing"}).SVG(); !strings.Contains(svg, "</svg>") || strings.Contains(svg, "NaN") {
		t.Error(svg)
	}
}
