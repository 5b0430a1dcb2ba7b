package pbxsim

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// channel is one half of a Local channel that an application parked; the other
// half rings for ever, at nobody.
type channel struct {
	id       string
	number   int
	exten    string
	context  string
	app      string
	creation time.Time
}

// object is what ARI tells of it; app is the application it is in, "" none.
func (c *channel) object(app string) object {
	application := ""
	if app != "" {
		application = "Stasis"
	}
	nobody := object{{"name", ""}, {"number", ""}}
	return object{
		{"id", c.id}, {"name", fmt.Sprintf("Local/%s@%s-%08x;1", c.exten, c.context, c.number)}, {"state", "Down"}, {"protocol_id", ""},
		{"caller", nobody}, {"connected", nobody}, {"accountcode", ""},
		{"dialplan", object{{"context", c.context}, {"exten", c.exten}, {"priority", 1}, {"app_name", application}, {"app_data", app}}},
		{"creationtime", stamp(c.creation)}, {"language", "en"},
	}
}

func (p *PBX) channelsOf(app string) (ids []string) {
	for id, c := range p.ari.channels {
		if c.app == app {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

func (p *PBX) listChannels(request, []string) answer {
	list := []object{}
	for _, id := range slices.Sorted(maps.Keys(p.ari.channels)) {
		c := p.ari.channels[id]
		list = append(list, c.object(c.app))
	}
	return tell(list)
}

var noChannel = deny(http.StatusNotFound, "Channel not found")

func (p *PBX) showChannel(_ request, path []string) answer {
	if c := p.ari.channels[path[1]]; c != nil {
		return tell(c.object(c.app))
	}
	return noChannel
}

// ReusedChannels are the ids for which somebody created a channel although one with that
// id had been hung up in the same life.
//
// Where the hangup is still under way, Asterisk publishes the new channel to a topic that
// was never made, and crashes (pkg/ari/DESIGN.md, 12; seen on 22.10.1). Nobody who
// creates can know whether it is, so this one crashes each time.
func (p *PBX) ReusedChannels() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.reused)
}

// createChannel parks a Local channel in an application. Where the application
// is not there Asterisk says the same, and the channel is gone at once.
func (p *PBX) createChannel(r request, _ []string) answer {
	endpoint, _ := r.param("endpoint")
	technology, dial, ok := strings.Cut(endpoint, "/")
	id, _ := r.param("channelId")
	switch {
	case endpoint == "":
		return deny(http.StatusBadRequest, "Endpoint must be specified")
	case !ok:
		return deny(http.StatusBadRequest, "Invalid endpoint specified")
	case technology != "Local":
		return answer{status: http.StatusInternalServerError, body: `{"error":"Allocation failed"}`}
	}
	dial, _, _ = strings.Cut(dial, "/")
	exten, context, ok := strings.Cut(dial, "@")
	if !ok {
		context = "default"
	}
	c := &channel{id: id, number: p.ari.created, exten: exten, context: context, creation: time.Now()}
	p.ari.created++
	if p.ari.channels[id] != nil {
		return deny(http.StatusConflict, "Channel with given unique ID already exists")
	}
	if _, gone := p.ari.gone[id]; gone {
		p.reused = append(p.reused, id)
		p.crash()
		return done()
	}
	if c.id == "" {
		c.id = fmt.Sprintf("%d.%d", c.creation.Unix(), 2*c.number)
	}
	c.app, _ = r.param("app")
	reply := tell(c.object(""))
	if a := p.ari.apps[c.app]; a != nil {
		p.ari.channels[c.id] = c
		p.tellChannel(c, object{{"type", "ChannelDialplan"}, {"timestamp", timestamp()}, {"dialplan_app", "Stasis"}, {"dialplan_app_data", c.app}})
		p.tellChannel(c, object{{"variable", "STASISSTATUS"}, {"value", ""}, {"type", "ChannelVarset"}, {"timestamp", timestamp()}})
		p.tellChannel(c, object{{"type", "StasisStart"}, {"timestamp", timestamp()}, {"args", []string{}}})
	} else {
		p.ari.gone[c.id] = struct{}{}
	}
	return reply
}

// deleteChannel hangs up.
func (p *PBX) deleteChannel(_ request, path []string) answer {
	c := p.ari.channels[path[1]]
	if c == nil {
		return noChannel
	}
	p.tellChannel(c, object{{"cause", 32}, {"soft", true}, {"type", "ChannelHangupRequest"}, {"timestamp", timestamp()}})
	p.tellChannel(c, object{{"type", "StasisEnd"}, {"timestamp", timestamp()}})
	p.tellChannel(c, object{{"variable", "STASISSTATUS"}, {"value", "SUCCESS"}, {"type", "ChannelVarset"}, {"timestamp", timestamp()}})
	p.tellChannel(c, object{{"type", "ChannelDestroyed"}, {"timestamp", timestamp()}, {"cause", 16}, {"cause_txt", "Normal Clearing"}})
	delete(p.ari.channels, c.id)
	p.ari.gone[c.id] = struct{}{}
	if a := p.ari.apps[c.app]; a != nil && a.socket == nil && len(p.channelsOf(a.name)) == 0 {
		delete(p.ari.apps, a.name) // only the channel had kept it
	}
	return done()
}

// tellChannel sends an event of a channel to its application.
func (p *PBX) tellChannel(c *channel, event object) {
	a := p.ari.apps[c.app]
	kind, in := "", c.app
	for _, f := range event {
		if f.name == "type" {
			kind, _ = f.value.(string)
		}
	}
	if kind == "ChannelDestroyed" {
		in = ""
	}
	p.tellApp(a, kind, append(event, field{"channel", c.object(in)}, field{"asterisk_id", entityID}, field{"application", c.app}))
}

// channelVariable reads a variable or a function, which is how ARI reads
// presence: there has to be a channel.
func (p *PBX) channelVariable(r request, path []string) answer {
	name, _ := r.param("variable")
	c := p.ari.channels[path[1]]
	switch {
	case name == "":
		return deny(http.StatusBadRequest, "Variable name is required")
	case c == nil:
		a := deny(http.StatusNotFound, "Provided channel was not found")
		a.text = "Channel Not Found"
		return a
	}
	value, err := p.expression(c, name)
	switch {
	case err == nil:
		return tell(object{{"value", value}})
	case strings.HasSuffix(name, ")"):
		a := deny(http.StatusInternalServerError, "Unable to read provided function")
		a.text = "Error With Function"
		return a
	default:
		a := deny(http.StatusNotFound, "Provided variable was not found")
		a.text = "Variable Not Found"
		return a
	}
}

var errNoSuch = errors.New("no such variable or function")

// expression reads what stands between ${ and }: a variable, a function, or EVAL
// of a text with more of them. That is all of Asterisk's language that is here.
func (p *PBX) expression(c *channel, name string) (string, error) {
	call, isCall := strings.CutSuffix(name, ")")
	if !isCall {
		value, ok := map[string]string{"EXTEN": c.exten, "CONTEXT": c.context}[name]
		if !ok {
			value, ok = p.globals[name]
		}
		if !ok {
			return "", errNoSuch
		}
		return value, nil
	}
	function, args, _ := strings.Cut(call, "(")
	switch {
	case function == "EVAL" && args != "":
		return p.substitute(c, args), nil
	case function == deviceFunction && p.devstate:
		return p.readDevice(args), nil
	case function == presenceFunction && p.provider && strings.Contains(args, ","):
		presentity, _, _ := strings.Cut(args, ",")
		if _, ok := p.read(presentity); ok {
			return p.field(args), nil
		}
	}
	return "", errNoSuch
}

// substitute replaces every ${...}; what cannot be read is empty.
func (p *PBX) substitute(c *channel, text string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, "${")
		b.WriteString(before)
		name, after, closed := strings.Cut(rest, "}")
		if !found || !closed {
			return b.String()
		}
		value, _ := p.expression(c, name) // "" is right
		b.WriteString(value)
		text = after
	}
}
