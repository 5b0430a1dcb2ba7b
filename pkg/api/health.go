package api

import (
	_ "embed" // the description of the API
	"net/http"
	"slices"
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
	reasons, warnings := h.bridge.NotReady(), []string{}
	all, warned := tellReasons(reasons, pbxs), []told(nil)
	if did := h.bridge.Reloads(); did.Fault != nil {
		at, fault := did.At.UTC().Format(time.RFC3339), firstLine(did.Fault)
		warnings = append(warnings, "the mapping was not taken over at "+at+", the one before is in force: "+fault)
		warned = append(warned, told{Parts: []message.Message{{Text: warnings[0], Key: message.As("health.reload", "at", at, "fault", fault)}}})
	}
	for _, p := range pbxs {
		if p.Ready && p.Reason != "" {
			warnings = append(warnings, ofPBX(&p))
			warned = append(warned, tellPBX(&p))
		}
	}
	if h.opt.Warnings != nil {
		for _, m := range h.opt.Warnings() {
			warnings, warned = append(warnings, m.Text), append(warned, told{Parts: []message.Message{m}})
		}
	}
	if reasons == nil {
		reasons = []string{}
	}
	return readiness{len(reasons) == 0, reasons, warnings, append(all, warned...)}
}

// ofPBX is what is wrong with a PBX, as the bridge says it.
func ofPBX(p *bridge.PBX) string { return "PBX " + p.PBX + ": " + p.Reason }

func tellPBX(p *bridge.PBX) told {
	if len(p.Told) == 0 {
		return told{p.PBX, []message.Message{{Text: p.Reason}}}
	}
	return told{p.PBX, p.Told}
}

// tellReasons are the reasons of bridge.NotReady, in parts.
func tellReasons(reasons []string, pbxs []bridge.PBX) []told {
	all := make([]told, 0, len(reasons))
	for _, reason := range reasons {
		if i := slices.IndexFunc(pbxs, func(p bridge.PBX) bool { return ofPBX(&p) == reason }); i >= 0 {
			all = append(all, tellPBX(&pbxs[i]))
			continue
		}
		m := message.Message{Text: reason}
		if why, ok := strings.CutPrefix(reason, "store: "); ok {
			m.Key = message.As("health.store", "error", why)
		}
		all = append(all, told{Parts: []message.Message{m}})
	}
	return all
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
