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
	h := &Handler{log: log, mux: http.NewServeMux(), stop: make(chan struct{})}
	h.mux.Handle("/healthz", h.only(methods{"GET": h.healthz}))
	h.mux.Handle("/readyz", h.only(methods{"GET": func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Retry-After", retryAfter)
		write(w, http.StatusServiceUnavailable, "application/json", readiness{false, []string{reason()}, []string{}})
		return nil
	}}))
	h.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		h.fail(w, r, problem(http.StatusServiceUnavailable, "This bridge is a "+reason()+"; ask that one."))
	})
	return h
}
