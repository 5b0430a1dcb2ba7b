package pbxsim

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"
)

// info tells of Asterisk; only what `only` names, if it is there.
func (p *PBX) info(r request, _ []string) answer {
	started := stamp(p.started)
	all := object{
		{"build", object{{"os", "Linux"}, {"kernel", "unknown"}, {"machine", "unknown"}, {"options", ""}, {"date", "2026-01-01 00:00:00 UTC"}, {"user", "nobody"}}},
		{"system", object{{"version", p.cfg.Version}, {"entity_id", entityID}}},
		{"config", object{{"name", ""}, {"default_language", "en"}, {"setid", object{{"user", ""}, {"group", ""}}}}},
		{"status", object{{"startup_time", started}, {"last_reload_time", started}}},
	}
	only, ok := r.param("only")
	if !ok || only == "" {
		return tell(all)
	}
	wanted := strings.Split(only, ",")
	return tell(slices.DeleteFunc(all, func(f field) bool { return !slices.Contains(wanted, f.name) }))
}

func (p *PBX) pong(request, []string) answer {
	return tell(object{{"ping", "pong"}, {"timestamp", timestamp()}, {"asterisk_id", entityID}})
}

// globalVariable reads a variable; a function is none, and empty.
func (p *PBX) globalVariable(r request, _ []string) answer {
	name, _ := r.param("variable")
	if name == "" {
		return deny(http.StatusBadRequest, "Variable name is required")
	}
	return tell(object{{"value", p.globals[name]}})
}

// setGlobalVariable writes a variable or to a function, and is content whatever
// came of it. A function that gets no value at all ends Asterisk
// (func_presencestate.c:214); 16.28 and 22.10 did both.
func (p *PBX) setGlobalVariable(r request, _ []string) answer {
	name, _ := r.param("variable")
	value, given := r.param("value")
	call, isCall := strings.CutSuffix(name, ")")
	function, what, _ := strings.Cut(call, "(")
	switch {
	case name == "":
		return deny(http.StatusBadRequest, "Variable name is required")
	case !isCall:
		p.setGlobal(name, value)
	case !given && p.has(function):
		p.crash()
	case p.has(function):
		if publish, err := p.evaluate(function, what, value); err == nil {
			publish()
		}
	}
	return done()
}

// setGlobal sets a variable, which applications that follow everything are told.
func (p *PBX) setGlobal(name, value string) {
	p.globals[name] = value
	if p.ari == nil {
		return
	}
	for _, app := range slices.Sorted(maps.Keys(p.ari.apps)) {
		if a := p.ari.apps[app]; a.all {
			p.tellApp(a, "ChannelVarset", object{
				{"variable", name}, {"value", value}, {"type", "ChannelVarset"}, {"timestamp", timestamp()}, {"asterisk_id", entityID}, {"application", app},
			})
		}
	}
}

// has tells whether a function of the dialplan is there.
func (p *PBX) has(function string) bool {
	return function == presenceFunction && p.provider || function == deviceFunction && p.devstate
}

// listStasisDevices lists what ARI itself has, and no other device.
func (p *PBX) listStasisDevices(request, []string) answer {
	list := []object{}
	for _, name := range slices.Sorted(maps.Keys(p.ari.stasis)) {
		list = append(list, Device{name, p.ari.stasis[name]}.object())
	}
	return tell(list)
}

func (p *PBX) showDevice(_ request, path []string) answer {
	if !utf8.ValidString(path[1]) {
		return deny(http.StatusInternalServerError, "Error building response")
	}
	return tell(Device{path[1], p.readDevice(path[1])}.object())
}

// stasisDevice is the name of a device that ARI has itself, or why it is not one.
func stasisDevice(name string) (device string, refusal answer, ok bool) {
	const prefix = "Stasis:"
	switch {
	case len(name) < len(prefix) || !strings.EqualFold(name[:len(prefix)], prefix):
		return "", deny(http.StatusConflict, "Uncontrolled device specified"), false
	case len(name) == len(prefix):
		return "", deny(http.StatusNotFound, "Device name is missing"), false
	}
	return prefix + name[len(prefix):], answer{}, true
}

func (p *PBX) setStasisDevice(r request, path []string) answer {
	device, refusal, ok := stasisDevice(path[1])
	if !ok {
		return refusal
	}
	value, _ := r.param("deviceState")
	state, ok := deviceState(value)
	if !ok || state == unknown {
		return deny(http.StatusInternalServerError, "Unknown device")
	}
	p.ari.stasis[device] = state
	p.publishDevices([]Device{{device, state}})
	return done()
}

// deleteStasisDevice forgets a device. 16.28 tells each time that it is UNKNOWN,
// and lists it so; 22.10 says nothing.
func (p *PBX) deleteStasisDevice(_ request, path []string) answer {
	device, refusal, ok := stasisDevice(path[1])
	if !ok {
		return refusal
	}
	delete(p.ari.stasis, device)
	p.deviceCache.drop(device)
	if !p.release.modern {
		p.publishDevices([]Device{{device, unknown}})
	}
	return done()
}

// listEndpoints is empty: the channel drivers here have devices and nothing else.
func (p *PBX) listEndpoints(request, []string) answer { return tell([]object{}) }
