package pbxsim

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
)

// resource is a path below /ari and what may be done with it. A "*" stands for
// any name.
type resource struct {
	path    string
	methods string // in the order in which Asterisk names them
	do      map[string]func(*PBX, request, []string) answer
}

type handlers = map[string]func(*PBX, request, []string) answer

var resources = []resource{
	{"applications", "GET", handlers{"GET": (*PBX).listApps}},
	{"applications/*", "GET", handlers{"GET": (*PBX).showApp}},
	{"applications/*/subscription", "POST,DELETE", handlers{"POST": (*PBX).subscribe, "DELETE": (*PBX).unsubscribe}},
	{"applications/*/eventFilter", "PUT", handlers{"PUT": (*PBX).filter}},
	{"asterisk/info", "GET", handlers{"GET": (*PBX).info}},
	{"asterisk/ping", "GET", handlers{"GET": (*PBX).pong}},
	{"asterisk/variable", "GET,POST", handlers{"GET": (*PBX).globalVariable, "POST": (*PBX).setGlobalVariable}},
	{"channels", "GET,POST", handlers{"GET": (*PBX).listChannels}},
	{"channels/create", "POST", handlers{"POST": (*PBX).createChannel}},
	{"channels/*", "GET,POST,DELETE", handlers{"GET": (*PBX).showChannel, "DELETE": (*PBX).deleteChannel}},
	{"channels/*/variable", "GET,POST", handlers{"GET": (*PBX).channelVariable}},
	{"deviceStates", "GET", handlers{"GET": (*PBX).listStasisDevices}},
	{"deviceStates/*", "GET,PUT,DELETE", handlers{"GET": (*PBX).showDevice, "PUT": (*PBX).setStasisDevice, "DELETE": (*PBX).deleteStasisDevice}},
	{"endpoints", "GET", handlers{"GET": (*PBX).listEndpoints}},
	{"events", "GET", handlers{"GET": func(*PBX, request, []string) answer { return page(http.StatusUpgradeRequired, "") }}},
	{"events/user/*", "POST", handlers{"POST": (*PBX).userEvent}},
}

// perform does what a request asks, under one hold of the lock.
func (p *PBX) perform(r request) answer {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.Requests[r.method+" "+r.path]++
	if refusal, ok := p.admit(r); !ok {
		return refusal
	}
	path, isARI := strings.CutPrefix(r.path, "/ari")
	if isARI && path != "/" && strings.HasSuffix(path, "/") {
		return deny(http.StatusNotFound, "ARI URLs do not end with a slash. Try /ari"+strings.TrimSuffix(path, "/"))
	}
	if len(r.body) > 0 && r.is("application/json") && !json.Valid(r.body) {
		return deny(http.StatusBadRequest, "Error parsing request body")
	}
	names := strings.Split(strings.Trim(path, "/"), "/")
	for i, n := range names {
		if plain, err := url.PathUnescape(n); err == nil {
			names[i] = plain
		}
	}
	return p.route(r, names)
}

// admit lets a request in, or says why not.
func (p *PBX) admit(r request) (refusal answer, ok bool) {
	if r.path != "/ari" && !strings.HasPrefix(r.path, "/ari/") {
		return page(http.StatusNotFound, "The requested URL was not found on this server."), false
	}
	if p.life == nil || !p.booted {
		return deny(http.StatusServiceUnavailable, "Asterisk not booted"), false
	}
	u, known := p.account(r)
	switch {
	case !known:
		refusal := deny(http.StatusUnauthorized, "Authentication required")
		refusal.header = "WWW-Authenticate: Basic realm=\"Asterisk REST Interface\"\r\n"
		return refusal, false
	case u.ReadOnly && r.method != http.MethodGet && r.method != http.MethodOptions:
		return deny(http.StatusForbidden, "Write access denied"), false
	}
	return answer{}, true
}

// route finds the resource: one with its own name comes before one with any.
func (p *PBX) route(r request, names []string) answer {
	within := names[0] == ""
	for _, res := range resources {
		pattern := strings.Split(res.path, "/")
		if !matches(pattern, names) {
			within = within || len(names) < len(pattern) && matches(pattern[:len(names)], names)
			continue
		}
		if do := res.do[r.method]; do != nil && !p.lacks(res.path) {
			return do(p, r, names)
		}
		if p.lacks(res.path) {
			break
		}
		return other(r.method, "OPTIONS,"+res.methods)
	}
	if within {
		return other(r.method, "OPTIONS")
	}
	return deny(http.StatusNotFound, "Resource not found")
}

func matches(pattern, names []string) bool {
	if len(pattern) != len(names) {
		return false
	}
	for i := range pattern {
		if pattern[i] != names[i] && (pattern[i] != "*" || names[i] == "") {
			return false
		}
	}
	return true
}

// lacks tells what the release did not have yet: the filter came with 13.26 and 16.3.
func (p *PBX) lacks(path string) bool {
	return strings.HasSuffix(path, "/eventFilter") && p.release.noFilter
}

func other(method, allow string) answer {
	a := deny(http.StatusMethodNotAllowed, "Invalid method")
	if method == http.MethodOptions {
		a = done()
	}
	a.header = "Allow: " + allow + "\r\n"
	return a
}

// param is a parameter of the query, of a form, or of a JSON body, which wins.
// One that is no text in JSON counts as missing.
func (r request) param(name string) (value string, ok bool) {
	if given := r.json(name); given != nil {
		err := json.Unmarshal(given, &value)
		return value, err == nil
	}
	if r.query.Has(name) {
		return r.query.Get(name), true
	}
	if r.is("application/x-www-form-urlencoded") {
		form := parseQuery(string(r.body))
		return form.Get(name), form.Has(name)
	}
	return "", false
}

// json is a field of a JSON body; nil: none.
func (r request) json(name string) json.RawMessage {
	if !r.is("application/json") {
		return nil
	}
	var fields map[string]json.RawMessage
	_ = json.Unmarshal(r.body, &fields) // what is no object has no fields
	return fields[name]
}
