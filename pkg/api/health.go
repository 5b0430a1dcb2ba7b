package api

import (
	_ "embed" // the description of the API
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
