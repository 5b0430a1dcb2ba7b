package api

import (
	"net/http"

	"go.uber.org/zap"
)

// Standby answers for a bridge that waits for another to let go of the store:
// alive, not ready, and nothing else. reason says who has it; it may be called from
// any goroutine. log may be nil.
func Standby(reason func() string, log *zap.Logger) *Handler {
	if log == nil {
		log = zap.NewNop()
	}
	h := &Handler{log: log, stop: make(chan struct{})}
	mux := http.NewServeMux()
	readyz := func(w http.ResponseWriter, _ *request) error {
		w.Header().Set("Retry-After", retryAfter)
		write(w, http.StatusServiceUnavailable, "application/json", readiness{false, []string{reason()}, []string{}})
		return nil
	}
	mux.Handle("/readyz", h.serve(map[string]methods{"/readyz": {"GET": {ScopeAdmin, readyz}}}, local))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		h.fail(w, r, problem(http.StatusServiceUnavailable, "This bridge is a "+reason()+"; ask that one."))
	})
	mux.Handle("/healthz", h.serve(map[string]methods{"/healthz": h.healthRoutes()["/healthz"]}, local))
	h.local = harmless(mux)
	return h
}
