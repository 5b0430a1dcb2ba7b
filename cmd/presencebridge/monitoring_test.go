package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

const monitoring = "../../systemd/monitoring"

// promtool runs Prometheus' own tool, which knows the language of its queries.
func promtool(t *testing.T, stdin string, args ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("SKIPPED: promtool " + args[0] + " " + args[1] + ", which checks metrics, alerts and the queries of the dashboard. Do: apt-get install --no-install-recommends prometheus")
	}
	c := exec.Command(path, args...)
	c.Stdin = strings.NewReader(stdin)
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("promtool %q: %v\n%s", args, err, out)
	}
}

// alert is a rule of alerts.yaml.
type alert struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

func alerts(t *testing.T) []alert {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(monitoring, "alerts.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Name  string  `yaml:"name"`
			Rules []alert `yaml:"rules"`
		} `yaml:"groups"`
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil {
		t.Fatal(err)
	}
	var all []alert
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

// grafanaPanel is what this program cares about of a panel.
type grafanaPanel struct {
	ID          int    `json:"id"`
	Type        string `json:"type"`
	Title       string `json:"title"`
	Description string `json:"description"`
	GridPos     struct{ X, Y, W, H int }
	Targets     []struct {
		RefID  string `json:"refId"`
		Expr   string `json:"expr"`
		Legend string `json:"legendFormat"`
	} `json:"targets"`
}

func panels(t *testing.T) []grafanaPanel {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(monitoring, "dashboard.json"))
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Templating struct {
			List []struct{ Name string }
		}
		Panels []grafanaPanel
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, v := range board.Templating.List {
		names = append(names, v.Name)
	}
	if !slices.Equal(names, []string{"datasource", "instance"}) {
		t.Errorf("the variables are %q", names)
	}
	return slices.DeleteFunc(board.Panels, func(p grafanaPanel) bool { return p.Type == "row" })
}

// queries are what the panels and alerts ask Prometheus, by where they stand.
func queries(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, p := range panels(t) {
		for _, q := range p.Targets {
			all[fmt.Sprintf("panel %q, %s", p.Title, q.RefID)] = q.Expr
		}
	}
	for _, a := range alerts(t) {
		all["alert "+a.Alert] = a.Expr
	}
	return all
}

var (
	// notNames is what has names in a query that are none of metrics: matchers, ranges, lists of labels, strings.
	notNames = regexp.MustCompile(`\{[^}]*\}|\[[^\]]*\]|\b(by|without|on|ignoring)\s*\([^)]*\)|"[^"]*"`)
	names    = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*\s*\(?`)
)

// metricsOf are the names of metrics in a query.
func metricsOf(query string) []string {
	var found []string
	for _, name := range names.FindAllString(notNames.ReplaceAllString(query, ""), -1) {
		if name = strings.TrimSpace(name); !strings.HasSuffix(name, "(") && !slices.Contains([]string{"and", "or", "unless", "bool", "offset"}, name) {
			found = append(found, name)
		}
	}
	return found
}

func TestMetricsOfAQueryAreFound(t *testing.T) {
	for query, want := range map[string]string{
		`up{job=~"x.*"} == 0`: "up",
		`histogram_quantile(0.99, sum by (instance, le) (rate(a_bucket{instance=~"$instance"}[$__rate_interval]))) > 1`: "a_bucket",
		`a == 1 and time() - b{pbx="c"} > 120`:    "a b",
		`increase(a_total[15m]) / on (pbx) b > 5`: "a_total b",
	} {
		if got := strings.Join(metricsOf(query), " "); got != want {
			t.Errorf("%s has %q, want %q", query, got, want)
		}
	}
}

// What the dashboard and the alerts ask for is what a running bridge tells, and the
// other way round.
func TestTheDashboardAndTheAlertsAskForWhatThereIs(t *testing.T) {
	pbxtest.Run(t, pbxtest.Options{}, func(t *testing.T, pbx pbxtest.PBX) {
		r := configure(t, threeMethods, pbx)
		r.append("presencebridge.yaml", "tracing: {endpoint: 'http://127.0.0.1:9'}\n") // nobody has to answer for the figures
		r.startReady()
		r.set("alice", "dnd", "")
		r.settled("alice")
		resp, err := r.client.Get("http://bridge/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		r.keeps("/metrics", string(text))
		told := map[string]bool{"up": true} // which Prometheus adds
		for _, line := range regexp.MustCompile(`(?m)^([a-z_]+)[ {]`).FindAllStringSubmatch(string(text), -1) {
			told[line[1]] = true
		}
		shown := map[string]bool{}
		for where, query := range queries(t) {
			asked := metricsOf(query)
			if len(asked) == 0 {
				t.Errorf("%s asks for no metric: %s", where, query)
			}
			for _, name := range asked {
				shown[histogram.ReplaceAllString(name, "")] = true
				if !told[name] {
					t.Errorf("%s asks for %s, which /metrics lacks", where, name)
				}
			}
		}
		for name := range told {
			if name = histogram.ReplaceAllString(name, ""); strings.HasPrefix(name, "presencebridge_") && !shown[name] {
				t.Errorf("no panel shows %s", name)
			}
		}
		promtool(t, string(text), "check", "metrics")
	})
}

// histogram is what the names of a histogram's series end with.
var histogram = regexp.MustCompile(`_(bucket|count|sum)$`)

func TestPanelsSayWhatTheyShow(t *testing.T) {
	seen, taken := map[int]bool{}, map[[2]int]string{}
	for _, p := range panels(t) {
		if p.Title == "" || p.Description == "" || len(p.Targets) == 0 || seen[p.ID] {
			t.Errorf("panel %d %q lacks a title, a description or queries, or its id is another's", p.ID, p.Title)
		}
		seen[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("panel %q lies at %d, %d, where %q is", p.Title, x, y, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		for _, q := range p.Targets {
			if strings.Count(q.Expr, `instance=~"$instance"`) != len(metricsOf(q.Expr)) || q.Legend == "" {
				t.Errorf("panel %q, %s has no legend or does not heed the choice of the bridge: %s", p.Title, q.RefID, q.Expr)
			}
		}
	}
}

// Prometheus' own parser reads the panels' queries as rules.
func TestQueriesOfTheDashboardAreValid(t *testing.T) {
	type rule struct {
		Record string `yaml:"record"`
		Expr   string `yaml:"expr"`
	}
	var rules []rule
	for _, p := range panels(t) {
		for _, q := range p.Targets {
			expr := strings.NewReplacer("$instance", ".*", "$__rate_interval", "5m").Replace(q.Expr)
			rules = append(rules, rule{fmt.Sprintf("panel_%d_%s", p.ID, q.RefID), expr})
		}
	}
	text, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "", "check", "rules", file)
}

func TestAlertsFireWhenTheyShould(t *testing.T) {
	tests, err := os.ReadFile(filepath.Join(monitoring, "alerts.test.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range alerts(t) {
		if !strings.HasPrefix(a.Alert, "PresenceBridge") || a.Annotations["summary"] == "" || len(a.Annotations["runbook"]) < 100 || !strings.HasSuffix(a.Annotations["runbook"], ".") {
			t.Errorf("%s lacks a summary or a runbook of whole sentences", a.Alert)
		}
		if s := a.Labels["severity"]; s != "critical" && s != "warning" {
			t.Errorf("%s is %q", a.Alert, s)
		}
		if !bytes.Contains(tests, []byte(`alertname="`+a.Alert+`"`)) {
			t.Errorf("no test says when %s fires", a.Alert)
		}
	}
	promtool(t, "", "check", "rules", filepath.Join(monitoring, "alerts.yaml"))
	promtool(t, "", "test", "rules", filepath.Join(monitoring, "alerts.test.yaml"))
}

// What is wished while a PBX is away drifts until it is back.
func TestHealthTellsOfDrift(t *testing.T) {
	type health struct {
		Ready   bool
		Reasons []string
		Store   struct{ Commits int }
		PBXs    []struct{ Reconnects int }
		Drift   struct {
			Count  int
			Oldest float64
			Items  []bridge.Drifting
		}
	}
	pbxtest.Run(t, pbxtest.Options{}, func(t *testing.T, pbx pbxtest.PBX) {
		r := configure(t, threeMethods, pbx)
		r.startReady()
		now := func() (h health) {
			r.get("/api/v1/health", &h)
			return h
		}
		pbxtest.Eventually(t, patience, "something is saved", func() bool { return now().Store.Commits > 0 })
		if h := now(); !h.Ready || h.Drift.Count != 0 {
			t.Errorf("to begin with: %+v", h)
		}
		pbx.Stop()
		pbxtest.Eventually(t, patience, "the bridge knows that the PBX is away", func() bool { return !now().Ready })
		r.set("alice", "lunch", "Back at 2")
		var h health
		pbxtest.Eventually(t, patience, "the wish grows old", func() bool { h = now(); return h.Drift.Oldest > 0.5 })
		if h.Drift.Count != 2 || len(h.Drift.Items) != 2 || len(h.Reasons) != 1 {
			t.Fatalf("while the PBX is away: %+v", h)
		}
		first := h.Drift.Items[0]
		if first.User != "alice" || first.Extension != "1001" || first.Presence.Message != "Back at 2" || first.Reachable || first.Sent {
			t.Errorf("the oldest is %+v", first)
		}
		pbx.Start()
		r.settled("alice")
		if h := now(); h.Drift.Count != 0 || h.Drift.Oldest != 0 || h.PBXs[0].Reconnects == 0 {
			t.Errorf("when it is back: %+v", h)
		}
	})
}
