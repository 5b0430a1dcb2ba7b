// Package api is the bridge's HTTP side: JSON under /api/v1, the live feed as
// server-sent events, and health and metrics. It translates between HTTP and a
// Bridge and decides nothing about a user.
package api

import (
	"context"
	"iter"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/message"
	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
)

// Bridge is what the API needs of the running bridge. Its methods may be called
// from any goroutine.
type Bridge interface {
	// Users are those behind a user, or all, in the order of the mapping. The error is a
	// *bridge.NearError where there is no such user. The last pair may be an error.
	Users(ctx context.Context, after presence.UserID) (iter.Seq2[bridge.User, error], error)
	Count() int // of users
	User(ctx context.Context, id presence.UserID) (bridge.User, error)
	// Choose returns once the choice is committed.
	Choose(ctx context.Context, id presence.UserID, c bridge.Choice) (bridge.User, error)
	// Settings are what the user has set for themself.
	Settings(ctx context.Context, id presence.UserID) (bridge.Settings, error)
	// Set returns once the change of the settings is committed.
	Set(ctx context.Context, id presence.UserID, c bridge.SettingsChange) (bridge.Settings, error)
	// SignedIn notes that a user has a page open, until release is called. It does not wait.
	SignedIn(id presence.UserID) (release func())
	Explain(ctx context.Context, id presence.UserID) (presence.Explanation, error)
	History(ctx context.Context, q store.Query) ([]store.Entry, error)
	Types() []presence.StatusType
	PBXs() []bridge.PBX
	// Subscribe follows the users from the item after last on. Where the bridge
	// cannot know what came after it, the first Next returns everybody.
	Subscribe(last uint64) Feed
	// Reload takes over the files again. The text of its error has one fault a line.
	Reload(ctx context.Context) error
	NotReady() []bridge.Reason // none: it is ready
	Reloads() bridge.Reloads
	Figures() bridge.Figures
	// Drift is what extensions shall show and are not known to, the oldest of it as
	// many as most.
	Drift(ctx context.Context, most int) (bridge.Drift, error)
}

// Feed is a subscription to changes of users. A slow reader costs no memory: of
// several changes of one user it gets the last.
type Feed interface {
	// Next waits for items and returns some of them. One that ctx cuts short loses nothing.
	Next(ctx context.Context) ([]bridge.FeedItem, error)
	Close()
}

// Options are what New needs beside a Bridge. The zero value is good for a unix
// socket alone.
type Options struct {
	Log       *zap.Logger      // nil: no log
	Tokens    *Tokens          // nil: nobody can sign in, and there is no audit log
	Mapping   Mapping          // nil: the users of the mapping can be neither read nor changed
	Panel     Panel            // nil: the network serves the API alone
	Accounts  Accounts         // of those who sign in to it; nil: nobody does
	Rules     Rules            // nil: the rules of the mapping can be neither read nor changed
	Standby   func() string    // says who acts instead, so that this one only answers; nil: this one acts
	Now       func() time.Time // nil: time.Now
	Heartbeat time.Duration    // of a silent event stream; 0: 15 s
	Deadline  time.Duration    // of one call of the bridge; 0: 10 s
	Store     string           // which driver keeps it, such as sqlite
	Version   string           // of the program, for /metrics

	// Warnings are told beside those of the bridge, at /readyz and on the page of health; nil: there are none.
	Warnings func() []message.Message

	Collectors []prometheus.Collector // what /metrics tells besides; each scrape registers them anew
}

// Handler serves the API as whoever may open the unix socket sees it.
type Handler struct {
	bridge  Bridge
	opt     Options                    // with its defaults
	csrf    http.CrossOriginProtection // refuses what a page of another site makes a browser send
	local   http.Handler
	streams atomic.Int64 // that are open
	encoded encodings
	buffers sync.Pool // of *[]byte, for what streams send

	stop     chan struct{} // closed: event streams end
	stopOnce sync.Once
}

// New returns the API of b.
func New(b Bridge, o Options) *Handler {
	h := &Handler{bridge: b, opt: o, stop: make(chan struct{})}
	if h.opt.Log == nil {
		h.opt.Log = zap.NewNop()
	}
	if h.opt.Now == nil {
		h.opt.Now = time.Now
	}
	if h.opt.Heartbeat == 0 {
		h.opt.Heartbeat = 15 * time.Second
	}
	if h.opt.Deadline == 0 {
		h.opt.Deadline = 10 * time.Second
	}
	h.local = h.serve(h.routes(), local)
	return h
}

// request is an HTTP request and who sent it.
type request struct {
	*http.Request
	from caller
}

// route is what a path answers to one HTTP method.
type route struct {
	need  Scope                                         // of who asks
	serve func(w http.ResponseWriter, r *request) error // answers, or returns why it cannot
}

// methods are what a path answers to, by HTTP method.
type methods map[string]route

func (h *Handler) routes() map[string]methods {
	all := map[string]methods{
		"/api/v1/users":               {"GET": {ScopeRead, h.users}},
		"/api/v1/users/{id}":          {"GET": {ScopeRead, h.user}},
		"/api/v1/users/{id}/status":   {"PUT": {ScopeOwn, h.choose}},
		"/api/v1/users/{id}/settings": {"GET": {ScopeOwn, h.settings}, "PUT": {ScopeOwn, h.set}},
		"/api/v1/users/{id}/explain":  {"GET": {ScopeRead, h.explain}},
		"/api/v1/users/{id}/history":  {"GET": {ScopeRead, h.userHistory}},
		"/api/v1/history":             {"GET": {ScopeRead, h.history}},
		"/api/v1/me":                  {"GET": {ScopeRead, h.me}},
		"/api/v1/statuses":            {"GET": {ScopeRead, h.statuses}},
		"/api/v1/pbxs":                {"GET": {ScopeRead, h.pbxs}},
		"/api/v1/health":              {"GET": {ScopeRead, h.condition}},
		"/api/v1/events":              {"GET": {ScopeRead, h.events}},
		"/api/v1/reload":              {"POST": {ScopeAdmin, h.reload}},
		"/api/v1/openapi.json":        {"GET": {ScopeRead, h.openAPI}},
	}
	maps.Copy(all, h.healthRoutes())
	maps.Copy(all, h.accountRoutes())
	if h.opt.Tokens != nil {
		all["/api/v1/tokens"] = methods{"GET": {ScopeAdmin, h.listTokens}, "POST": {ScopeAdmin, h.makeToken}}
		all["/api/v1/tokens/{name}"] = methods{"DELETE": {ScopeAdmin, h.revokeToken}}
		all["/api/v1/audit"] = methods{"GET": {ScopeAdmin, h.audit}}
	}
	if h.opt.Mapping != nil || h.opt.Standby != nil {
		all["/api/v1/mapping/users"] = methods{"GET": {ScopeAdmin, h.listMapped}, "POST": {ScopeAdmin, h.importMapped}}
		all["/api/v1/mapping/users/{id}"] = methods{
			"GET": {ScopeAdmin, h.mapped}, "PUT": {ScopeAdmin, h.putMapped}, "DELETE": {ScopeAdmin, h.removeMapped},
		}
	}
	if h.opt.Rules != nil || h.opt.Standby != nil {
		maps.Copy(all, h.ruleRoutes())
	}
	if h.opt.Standby != nil {
		h.onlyReads(all)
	}
	return all
}

func (h *Handler) healthRoutes() map[string]methods {
	return map[string]methods{
		"/healthz": {"GET": {ScopeRead, h.healthz}},
		"/readyz":  {"GET": {ScopeAdmin, h.readyz}},
		"/metrics": {"GET": {ScopeRead, h.metrics}},
	}
}

// serve answers at routes those whom an access lets in.
func (h *Handler) serve(routes map[string]methods, in access) http.Handler {
	mux := http.NewServeMux()
	handle := func(at string, answer func(w http.ResponseWriter, r *request) error) {
		mux.HandleFunc(at, func(w http.ResponseWriter, r *http.Request) {
			if h.opt.Standby != nil {
				w.Header().Set(StandbyHeader, h.opt.Standby())
			}
			from, err := in(r)
			if from.end != nil {
				defer from.end()
			}
			if err == nil {
				err = answer(w, &request{r, from})
			}
			if err != nil {
				h.fail(w, r, err)
			}
		})
	}
	for at, methods := range routes {
		handle(at, methods.serve)
	}
	handle("/", func(_ http.ResponseWriter, r *request) error {
		list := "GET /api/v1/openapi.json lists what there is"
		if _, ok := routes["/api/v1/openapi.json"]; !ok {
			list = "there are " + strings.Join(slices.Sorted(maps.Keys(routes)), ", ")
		}
		return problem(http.StatusNotFound, "There is nothing at "+r.URL.Path+"; "+list+".")
	})
	return harmless(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if at := r.URL.EscapedPath(); at != "" && at == path.Clean(at) {
			mux.ServeHTTP(w, r)
			return
		}
		// ServeMux answers such a path with a redirection, also to who may not ask.
		p := problem(http.StatusNotFound, "There is nothing at "+r.URL.Path+": a path has no // and no dots.")
		p.headers = http.Header{"Connection": {"close"}}
		h.fail(w, r, p)
	}))
}

// serve picks the route of the request's method. http.ServeMux would do it too, but
// answers a wrong one in plain text.
func (m methods) serve(w http.ResponseWriter, r *request) error {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet // net/http leaves the body out
	}
	route, ok := m[method]
	if !ok {
		allow := m.allowed()
		p := problem(http.StatusMethodNotAllowed, "This address takes "+strings.Join(allow, " or ")+" only.")
		p.headers = http.Header{"Allow": {strings.Join(allow, ", ")}}
		return p
	}
	if err := r.from.may(route.need); err != nil && (!forEditors(r.Pattern) || r.from.types == TypeRights{}) {
		return err
	}
	return route.serve(w, r)
}

func (m methods) allowed() []string {
	allow := slices.Sorted(maps.Keys(m))
	if allow[0] == http.MethodGet {
		allow = slices.Insert(allow, 1, http.MethodHead)
	}
	return allow
}

// harmless keeps browsers from doing anything with an answer but show it.
func harmless(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Cache-Control", "no-store")
		header.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("X-Content-Type-Options", "nosniff")
		h.ServeHTTP(w, r)
	})
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.local.ServeHTTP(w, r) }

// network is the API for those who have a token or have signed in to the panel, with one
// of which so many streams may be open, and beside it the panel.
func (h *Handler) network(streams int) http.Handler {
	h.opt.Tokens.under.streams = streams
	if h.opt.Panel == nil {
		return h.serve(h.routes(), h.opt.Tokens.access)
	}
	api := h.serve(h.routes(), h.tokenOrSession)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if at := r.URL.Path; strings.HasPrefix(at, "/api/") || h.healthRoutes()[at] != nil {
			api.ServeHTTP(w, r)
			return
		}
		h.opt.Panel.ServeHTTP(w, r)
	})
}

// health is what those see who watch the bridge.
func (h *Handler) health() http.Handler { return h.serve(h.healthRoutes(), watcher) }

// EndStreams ends every event stream, now and later. A server calls it when it
// shuts down, for a stream never ends by itself.
func (h *Handler) EndStreams() { h.stopOnce.Do(func() { close(h.stop) }) }

// call returns the context for a call of the bridge.
func (h *Handler) call(r *request) (context.Context, context.CancelFunc) {
	return context.WithTimeout(r.Context(), h.opt.Deadline)
}
