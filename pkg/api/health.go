package api

import (
	_ "embed" // the description of the API
	"net/http"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/message"
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
	Told     []told   `json:"told"`     // both once more, reasons first, in parts that a page can tell in another language
}

// told is a reason or a warning: sentences, of a PBX or of the bridge.
type told struct {
	PBX   string            `json:"pbx,omitempty"`
	Parts []message.Message `json:"parts"`
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
	is := readiness{Reasons: []string{}, Warnings: []string{}, Told: []told{}}
	for _, r := range h.bridge.NotReady() {
		is.Reasons, is.Told = append(is.Reasons, r.Text), append(is.Told, told{r.PBX, r.Told})
	}
	is.Ready = len(is.Reasons) == 0
	warn := func(r bridge.Reason) {
		is.Warnings, is.Told = append(is.Warnings, r.Text), append(is.Told, told{r.PBX, r.Told})
	}
	if did := h.bridge.Reloads(); did.Fault != nil {
		at, fault := did.At.UTC().Format(time.RFC3339), firstLine(did.Fault)
		warn(bridge.ReasonOf(message.Message{
			Text: "the mapping was not taken over at " + at + ", the one before is in force: " + fault,
			Key:  message.As("health.reload", "at", at, "fault", fault),
		}))
	}
	for i := range pbxs {
		if p := &pbxs[i]; p.Ready && p.Reason != "" {
			warn(p.Why())
		}
	}
	if h.opt.Warnings != nil {
		for _, m := range h.opt.Warnings() {
			warn(bridge.ReasonOf(m))
		}
	}
	return is
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
