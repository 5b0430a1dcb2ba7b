package api

import (
	_ "embed" // the description of the API
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge/pkg/bridge"
)

//go:embed openapi.json
var description []byte

func (h *Handler) openAPI(w http.ResponseWriter, _ *request) error {
	w.Header().Set("Content-Type", "application/vnd.oai.openapi+json;version=3.1")
	_, _ = w.Write(description)
	return nil
}

// healthz tells that the process is alive, and nothing more: a bridge without its
// PBX must not be restarted for that.
func (h *Handler) healthz(w http.ResponseWriter, _ *request) error {
	return answer(w, struct {
		Status string `json:"status"`
	}{"ok"})
}

// readiness is the answer of /readyz.
type readiness struct {
	Ready    bool     `json:"ready"`
	Reasons  []string `json:"reasons"`  // why not
	Warnings []string `json:"warnings"` // what is wrong and does not matter to readiness
}

func (h *Handler) readyz(w http.ResponseWriter, _ *request) error {
	ready := h.readiness(h.bridge.PBXs())
	if ready.Ready {
		return answer(w, ready)
	}
	w.Header().Set("Retry-After", retryAfter)
	write(w, http.StatusServiceUnavailable, "application/json", ready)
	return nil
}

func (h *Handler) readiness(pbxs []bridge.PBX) readiness {
	reasons, warnings := h.bridge.NotReady(), []string{}
	if did := h.bridge.Reloads(); did.Fault != nil {
		warnings = append(warnings, "the mapping was not taken over at "+did.At.UTC().Format(time.RFC3339)+", the one before is in force: "+firstLine(did.Fault))
	}
	for _, p := range pbxs {
		if p.Ready && p.Reason != "" {
			warnings = append(warnings, "PBX "+p.PBX+": "+p.Reason)
		}
	}
	if reasons == nil {
		reasons = []string{}
	}
	return readiness{len(reasons) == 0, reasons, warnings}
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// metrics writes Prometheus' text format, version 0.0.4.
func (h *Handler) metrics(w http.ResponseWriter, _ *request) error {
	var b strings.Builder
	pbxs := h.bridge.PBXs()
	family := func(name, kind, help string, value func(i int) uint64) {
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
		for i := range pbxs {
			fmt.Fprintf(&b, "%s{pbx=\"%s\"} %d\n", name, label.Replace(pbxs[i].PBX), value(i))
		}
	}
	fmt.Fprintf(&b, "# HELP presencebridge_users Users in the mapping.\n# TYPE presencebridge_users gauge\npresencebridge_users %d\n", h.bridge.Count())
	did := h.bridge.Reloads()
	fmt.Fprintf(&b, "# HELP presencebridge_reloads_total Reloads of the mapping since the start.\n# TYPE presencebridge_reloads_total counter\n")
	fmt.Fprintf(&b, "presencebridge_reloads_total{result=\"done\"} %d\npresencebridge_reloads_total{result=\"refused\"} %d\n", did.Done, did.Failed)
	fmt.Fprintf(&b, "# HELP presencebridge_reload_refused Whether the last reload was refused and an older mapping is in force.\n# TYPE presencebridge_reload_refused gauge\npresencebridge_reload_refused %d\n", truth(did.Fault != nil))
	fmt.Fprintf(&b, "# HELP presencebridge_changes_held_back_total Changes of statuses that phones made faster than a person could, so that they showed later or not at all.\n# TYPE presencebridge_changes_held_back_total counter\npresencebridge_changes_held_back_total %d\n", h.bridge.Figures().HeldBack)
	fmt.Fprintf(&b, "# HELP presencebridge_event_streams Readers of events that are connected.\n# TYPE presencebridge_event_streams gauge\npresencebridge_event_streams %d\n", h.streams.Load())
	if h.tokens != nil {
		fmt.Fprintf(&b, "# HELP presencebridge_sign_ins_refused_total Requests whose token was refused since the start.\n# TYPE presencebridge_sign_ins_refused_total counter\npresencebridge_sign_ins_refused_total %d\n", h.tokens.refused.Load())
	}
	family("presencebridge_pbx_connected", "gauge", "Whether the bridge is logged in to the PBX.", func(i int) uint64 { return truth(pbxs[i].Connected) })
	family("presencebridge_pbx_ready", "gauge", "Whether the PBX has a complete snapshot and its canary was seen.", func(i int) uint64 { return truth(pbxs[i].Ready) })
	family("presencebridge_pbx_extensions", "gauge", "Extensions of users on the PBX.", func(i int) uint64 { return uint64(pbxs[i].Extensions) })
	family("presencebridge_pbx_pending", "gauge", "Extensions that are not known to show what they shall.", func(i int) uint64 { return uint64(pbxs[i].Pending) })
	family("presencebridge_pbx_sessions_total", "counter", "Sessions begun since the start.", func(i int) uint64 { return pbxs[i].Sessions })
	family("presencebridge_pbx_malformed_total", "counter", "Frames refused since the start.", func(i int) uint64 { return pbxs[i].Malformed })
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = w.Write([]byte(b.String()))
	return nil
}

// label escapes the value of a label.
var label = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func truth(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
