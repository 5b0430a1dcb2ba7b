package pbxsim

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// entityID is the asterisk_id of every simulated one.
const entityID = "02:00:00:00:00:01"

// ari is what ARI has in one life.
type ari struct {
	conns    map[*ariConn]struct{}
	apps     map[string]*app
	followed map[string]map[string]bool // devices by application; they outlive the application
	channels map[string]*channel
	gone     map[string]struct{} // ids of channels that were hung up
	created  int                 // channels ever
	stasis   map[string]string   // states of the devices that ARI has itself
}

func newARI() *ari {
	return &ari{
		conns:    make(map[*ariConn]struct{}),
		apps:     make(map[string]*app),
		followed: make(map[string]map[string]bool),
		channels: make(map[string]*channel),
		gone:     make(map[string]struct{}),
		stasis:   make(map[string]string),
	}
}

// app is a Stasis application: it is there from its first websocket on.
type app struct {
	name       string
	socket     *ariConn // nil: nobody listens, and what is sent is lost
	all        bool     // subscribeAll
	channels   bool     // follows all channels
	allowed    []string // types of events; empty: all
	disallowed []string
}

// What stands for all devices, and all channels, among those an application follows.
const (
	everyDevice  = "__AST_DEVICE_STATE_ALL_TOPIC"
	everyChannel = "__AST_CHANNEL_ALL_TOPIC"
)

// activate gives an application to a websocket. The older one is told, stays
// open and hears nothing more; what the application follows stays as it is, and
// a subscribeAll of the newer one counts for nothing.
func (p *PBX) activate(name string, c *ariConn, all bool) {
	a := p.ari.apps[name]
	if a == nil {
		a = &app{name: name, all: all}
		p.ari.apps[name] = a
	}
	if a.socket != nil {
		p.tellApp(a, "ApplicationReplaced", object{
			{"type", "ApplicationReplaced"}, {"timestamp", timestamp()}, {"application", name}, {"asterisk_id", entityID},
		})
	}
	a.socket = c
}

// deactivate is the end of a websocket: its applications go, unless they have
// channels, or in old releases follow everything. Devices that were named are
// followed again when the application comes back; all of them only in old ones.
func (p *PBX) deactivate(c *ariConn) {
	for name, a := range p.ari.apps {
		if a.socket != c {
			continue
		}
		a.socket = nil
		if len(p.channelsOf(name)) > 0 || (a.all || a.channels) && !p.release.modern {
			continue
		}
		delete(p.ari.apps, name)
		if p.release.modern {
			delete(p.ari.followed[name], everyDevice)
		}
	}
}

// tellApp sends an event to an application, if its filter lets it pass.
func (p *PBX) tellApp(a *app, kind string, event object) {
	if a.socket == nil || a.socket.mute || slices.Contains(a.disallowed, kind) || len(a.allowed) > 0 && !slices.Contains(a.allowed, kind) {
		return
	}
	text := encode(event)
	if p.faults.dropARI != nil && p.faults.dropARI(kind, string(text)) {
		return
	}
	p.stats.ARIEvents++
	a.socket.queue(appendFrame(nil, opText, text))
}

// tellDevice sends DeviceStateChanged to who follows the device: twice to who
// follows it by name and all of them.
func (p *PBX) tellDevice(d Device) {
	if p.ari == nil {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(p.ari.apps)) {
		a, followed := p.ari.apps[name], p.ari.followed[name]
		event := object{
			{"type", "DeviceStateChanged"}, {"application", name}, {"timestamp", timestamp()}, {"device_state", d.object()}, {"asterisk_id", entityID},
		}
		if a.all || followed[everyDevice] {
			p.tellApp(a, "DeviceStateChanged", event)
		}
		if followed[d.Name] {
			p.tellApp(a, "DeviceStateChanged", event)
		}
	}
}

func (d Device) object() object { return object{{"name", d.Name}, {"state", d.State}} }

// timestamp is now as ARI writes it.
func timestamp() string { return stamp(time.Now()) }

func stamp(t time.Time) string { return t.Format("2006-01-02T15:04:05.000-0700") }

// describe is what ARI tells of an application.
func (p *PBX) describe(a *app) object {
	ids := func(topic string) []string {
		if a.all {
			return []string{topic}
		}
		return []string{}
	}
	devices := ids(everyDevice)
	if !a.all {
		devices = append(devices, slices.Sorted(maps.Keys(p.ari.followed[a.name]))...)
		slices.SortStableFunc(devices, func(x, y string) int { // all of them first
			return strings.Compare(strings.TrimPrefix(x, everyDevice), strings.TrimPrefix(y, everyDevice))
		})
	}
	channels := ids(everyChannel)
	if a.channels {
		channels = []string{everyChannel}
	}
	return object{
		{"name", a.name}, {"channel_ids", append(channels, p.channelsOf(a.name)...)}, {"bridge_ids", ids("__AST_BRIDGE_ALL_TOPIC")},
		{"endpoint_ids", ids("__AST_ENDPOINT_ALL_TOPIC")}, {"device_names", devices},
		{"events_allowed", types(a.allowed)}, {"events_disallowed", types(a.disallowed)},
	}
}

func types(names []string) []object {
	list := []object{}
	for _, n := range names {
		list = append(list, object{{"type", n}})
	}
	return list
}

func (p *PBX) listApps(request, []string) answer {
	list := []object{}
	for _, name := range slices.Sorted(maps.Keys(p.ari.apps)) {
		list = append(list, p.describe(p.ari.apps[name]))
	}
	return tell(list)
}

var noApp = deny(http.StatusNotFound, "Application not found")

func (p *PBX) showApp(_ request, path []string) answer {
	if a := p.ari.apps[path[1]]; a != nil {
		return tell(p.describe(a))
	}
	return noApp
}

// subscribe makes an application follow devices, or all channels; other sources are
// not there.
func (p *PBX) subscribe(r request, path []string) answer { return p.follow(r, path[1], true) }

func (p *PBX) unsubscribe(r request, path []string) answer { return p.follow(r, path[1], false) }

func (p *PBX) follow(r request, name string, on bool) answer {
	sources, _ := r.param("eventSource")
	a := p.ari.apps[name]
	switch {
	case sources == "":
		return deny(http.StatusBadRequest, "Missing parameter eventSource")
	case a == nil:
		return noApp
	}
	var devices []string
	channels := a.channels
	for source := range strings.SplitSeq(sources, ",") {
		device, ok := strings.CutPrefix(source, "deviceState:")
		switch {
		case ok:
			devices = append(devices, device)
		case on && source == "channel:":
			channels = true
		case strings.HasPrefix(source, "channel:"), strings.HasPrefix(source, "endpoint:"), strings.HasPrefix(source, "bridge:"):
			return deny(http.StatusUnprocessableEntity, "Event source does not exist")
		default:
			return deny(http.StatusBadRequest, "Invalid event source URI scheme")
		}
	}
	a.channels = channels
	for _, device := range devices {
		p.followDevice(a, device, on)
	}
	return tell(p.describe(a))
}

func (p *PBX) followDevice(a *app, device string, on bool) {
	all := device == ""
	if all {
		device = everyDevice
	}
	switch {
	case a.all: // has them already
	case !on && all && !p.release.modern: // cannot be undone in 16.28, which says it was
	case !on:
		delete(p.ari.followed[a.name], device)
	default:
		if p.ari.followed[a.name] == nil {
			p.ari.followed[a.name] = make(map[string]bool)
		}
		p.ari.followed[a.name][device] = true
	}
}

// filter sets which types of events pass: both lists are replaced by an empty
// body, otherwise only the one that is named.
func (p *PBX) filter(r request, path []string) answer {
	a := p.ari.apps[path[1]]
	if a == nil {
		return noApp
	}
	body, _ := decodeObject(r.body)
	lists := map[string][]string{"allowed": a.allowed, "disallowed": a.disallowed}
	if len(body) == 0 {
		clear(lists)
	}
	for _, f := range body {
		if _, known := lists[f.name]; !known {
			continue
		}
		list, ok := typesOf(f.value)
		if !ok {
			return deny(http.StatusBadRequest, "Invalid format definition")
		}
		lists[f.name] = list
	}
	a.allowed, a.disallowed = lists["allowed"], lists["disallowed"]
	return tell(p.describe(a))
}

func typesOf(v any) (names []string, ok bool) {
	list, ok := v.([]any)
	for _, item := range list {
		o, isObject := item.(map[string]any)
		name, isString := o["type"].(string)
		if !isObject || !isString {
			return nil, false
		}
		names = append(names, name)
	}
	return names, ok
}

// userEvent sends an event that a program made up to one application.
func (p *PBX) userEvent(r request, path []string) answer {
	name, _ := r.param("application")
	a := p.ari.apps[name]
	source, _ := r.param("source")
	switch {
	case name == "":
		return deny(http.StatusBadRequest, "Missing parameter application")
	case a == nil:
		return noApp
	case strings.HasPrefix(source, "channel:"), strings.HasPrefix(source, "endpoint:"), strings.HasPrefix(source, "bridge:"):
		return deny(http.StatusUnprocessableEntity, "Event source was not found")
	case source != "":
		return deny(http.StatusBadRequest, "Invalid event source URI scheme")
	}
	var variables object
	if given := r.json("variables"); given != nil {
		var ok bool
		if variables, ok = decodeObject(given); !ok {
			return deny(http.StatusInternalServerError, "Error processing request")
		}
	}
	p.tellApp(a, "ChannelUserevent", object{
		{"type", "ChannelUserevent"}, {"timestamp", timestamp()}, {"eventname", path[2]}, {"userevent", variables.set("eventname", path[2])},
		{"asterisk_id", entityID}, {"application", name},
	})
	return done()
}
