// Package api is the bridge's HTTP side: JSON under /api/v1, the live feed as
// server-sent events, and health and metrics. It translates between HTTP and a
// Bridge and decides nothing about a user.
package api

import (
	"context"
	"iter"
	"net/http"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
)

// Bridge is what the API needs of the running bridge. Its methods may be called
// from any goroutine.
type Bridge interface {
	// Users are those behind a user, or all, in the order of the mapping. ok is false
	// where there is no such user.
	Users(after presence.UserID) (users iter.Seq[bridge.User], ok bool)
	Count() int // of users
	User(id presence.UserID) (bridge.User, error)
	// Choose returns once the choice is committed.
	Choose(ctx context.Context, id presence.UserID, c bridge.Choice) (bridge.User, error)
	Explain(ctx context.Context, id presence.UserID) (presence.Explanation, error)
	History(ctx context.Context, q store.Query) ([]store.Entry, error)
	Types() []presence.StatusType
	PBXs() []bridge.PBX
	// Subscribe follows the users from the item after last on. Where the bridge
	// cannot know what came after it, the first Next returns everybody.
	Subscribe(last uint64) Feed
	// Reload takes over the files again. The text of its error has one fault a line.
	Reload(ctx context.Context) error
	NotReady() []string // the reasons; empty: ready
	Reloads() bridge.Reloads
	HeldBack() uint64 // changes of statuses that phones made too fast to show at once, since the start
}

// Feed is a subscription to changes of users. A slow reader costs no memory: of
// several changes of one user it gets the last.
type Feed interface {
	// Next waits for items. One that ctx cuts short loses nothing.
	Next(ctx context.Context) ([]bridge.FeedItem, error)
	Close()
}

// Options are what New needs beside a Bridge. The zero value serves a unix socket.
type Options struct {
	Log       *zap.Logger                         // nil: no log
	By        func(*http.Request) (string, error) // who asks, for the history; nil: Local
	Now       func() time.Time                    // nil: time.Now
	Heartbeat time.Duration                       // of a silent event stream; 0: 15 s
	Deadline  time.Duration                       // of one call of the bridge; 0: 10 s
}

// Handler serves the API.
type Handler struct {
	bridge    Bridge
	log       *zap.Logger
	by        func(*http.Request) (string, error)
	now       func() time.Time
	heartbeat time.Duration
	deadline  time.Duration
	mux       *http.ServeMux

	stop     chan struct{} // closed: event streams end
	stopOnce sync.Once
}

// New returns the API of b.
func New(b Bridge, o Options) *Handler {
	h := &Handler{
		bridge: b, log: o.Log, by: o.By, now: o.Now, heartbeat: o.Heartbeat, deadline: o.Deadline,
		mux: http.NewServeMux(), stop: make(chan struct{}),
	}
	if h.log == nil {
		h.log = zap.NewNop()
	}
	if h.by == nil {
		h.by = Local
	}
	if h.now == nil {
		h.now = time.Now
	}
	if h.heartbeat == 0 {
		h.heartbeat = 15 * time.Second
	}
	if h.deadline == 0 {
		h.deadline = 10 * time.Second
	}
	for path, methods := range h.routes() {
		h.mux.Handle(path, h.only(methods))
	}
	h.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		h.fail(w, r, problem(http.StatusNotFound, "There is nothing at "+r.URL.Path+"; GET /api/v1/openapi.json lists what there is."))
	})
	return h
}

// methods are what a path answers to, by HTTP method.
type methods map[string]handlerFunc

// handlerFunc answers a request, or returns why it cannot.
type handlerFunc func(w http.ResponseWriter, r *http.Request) error

func (h *Handler) routes() map[string]methods {
	return map[string]methods{
		"/api/v1/users":              {"GET": h.users},
		"/api/v1/users/{id}":         {"GET": h.user},
		"/api/v1/users/{id}/status":  {"PUT": h.choose},
		"/api/v1/users/{id}/explain": {"GET": h.explain},
		"/api/v1/users/{id}/history": {"GET": h.history},
		"/api/v1/statuses":           {"GET": h.statuses},
		"/api/v1/pbxs":               {"GET": h.pbxs},
		"/api/v1/events":             {"GET": h.events},
		"/api/v1/reload":             {"POST": h.reload},
		"/api/v1/openapi.json":       {"GET": h.openAPI},
		"/healthz":                   {"GET": h.healthz},
		"/readyz":                    {"GET": h.readyz},
		"/metrics":                   {"GET": h.metrics},
	}
}

// only picks the handler of a method. http.ServeMux would do it too, but answers
// a wrong one in plain text.
func (h *Handler) only(m methods) http.Handler {
	allow := "PUT"
	switch {
	case m["GET"] != nil:
		allow = "GET, HEAD"
	case m["POST"] != nil:
		allow = "POST"
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		method := r.Method
		if method == http.MethodHead {
			method = http.MethodGet // net/http leaves the body out
		}
		serve, ok := m[method]
		if !ok {
			w.Header().Set("Allow", allow)
			h.fail(w, r, problem(http.StatusMethodNotAllowed, "This address takes "+strings.ReplaceAll(allow, ", ", " or ")+" only."))
			return
		}
		if err := serve(w, r); err != nil {
			h.fail(w, r, err)
		}
	})
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	h.mux.ServeHTTP(w, r)
}

// EndStreams ends every event stream, now and later. A server calls it when it
// shuts down, for a stream never ends by itself.
func (h *Handler) EndStreams() { h.stopOnce.Do(func() { close(h.stop) }) }

// call returns the context for a call of the bridge.
func (h *Handler) call(r *http.Request) (context.Context, context.CancelFunc) {
	return context.WithTimeout(r.Context(), h.deadline)
}
