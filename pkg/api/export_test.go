package api

import (
	"context"
	"net/http"
	"time"
)

// What tests of other packages' kind see of this one.

// Network is what those see who need a token.
func (h *Handler) Network() http.Handler { return h.network(0) }

// Health is what those see who watch the bridge.
func (h *Handler) Health() http.Handler { return h.health() }

// Served is the scope that each "METHOD /path" needs.
func (h *Handler) Served() map[string]Scope {
	all := map[string]Scope{}
	for path, methods := range h.routes() {
		for method, route := range methods {
			all[method+" "+path] = route.need
		}
	}
	return all
}

// LookWhetherCutOff is what Run does every minute.
func (t *Tokens) LookWhetherCutOff() { t.lookWhetherCutOff() }

// RunHurried is Run for clients that have less time than usual to ask.
func (s *Server) RunHurried(ctx context.Context, h *Handler, wait time.Duration) error {
	most := standardLimits()
	most.header, most.request = wait, wait
	return s.run(ctx, h, s.listener, most)
}
