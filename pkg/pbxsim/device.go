package pbxsim

import (
	"fmt"
	"slices"
	"strings"
)

// Device is the state of a device as an event tells it.
type Device struct {
	Name  string // "PJSIP/1001", "Custom:DND1001"
	State string // UNKNOWN NOT_INUSE INUSE BUSY INVALID UNAVAILABLE RINGING RINGINUSE ONHOLD
}

// deviceStates are Asterisk's words. UNKNOWN is what nobody has said; it cannot
// be written, and no list has it (devicestate.c:168).
var deviceStates = []string{"UNKNOWN", "NOT_INUSE", "INUSE", "BUSY", "INVALID", "UNAVAILABLE", "RINGING", "RINGINUSE", "ONHOLD"}

const (
	unknown   = "UNKNOWN"
	invalid   = "INVALID"
	maxDevice = 79 // ast_devstate_changed (devicestate.c:514)
)

// SetDevice gives a device a state: a "Custom:" one as the dialplan does, any
// other as its channel driver would. It fails where Asterisk would refuse.
func (p *PBX) SetDevice(device, state string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, custom := customName(device); custom {
		events, err := p.writeDevice(device, state)
		if err != nil {
			return fmt.Errorf("set device %s to %q: %w", device, state, err)
		}
		p.publishDevices(events)
		return nil
	}
	word, ok := deviceState(state)
	if !ok || !strings.Contains(device, "/") {
		return fmt.Errorf("set device %s to %q: %w", device, state, errRefused)
	}
	p.devices[device] = word
	p.publishDevices([]Device{{device, word}})
	return nil
}

// DeviceState is what Getvar would read of DEVICE_STATE(device).
func (p *PBX) DeviceState(device string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.readDevice(device)
}

// writeDevice is devstate_write (func_devstate.c:88): only "Custom:" devices are
// writable, the row keeps the word as it was written.
func (p *PBX) writeDevice(device, value string) ([]Device, error) {
	name, ok := customName(device)
	state, valid := deviceState(value)
	if !p.devstate || !ok || name == "" || !valid || state == unknown {
		return nil, errRefused
	}
	p.put(customDevstate+name, value)
	return []Device{{cut(customPrefix+name, maxDevice), state}}, nil
}

// publishDevices puts states into the cache and sends the events. Unlike a
// presence, a state that did not change is not told again (devicestate.c:717);
// that of a Local channel is never cached, and is always told.
func (p *PBX) publishDevices(changes []Device) {
	for _, d := range changes {
		if !strings.HasPrefix(d.Name, "Local/") {
			if old := p.deviceCache.known[d.Name]; old != nil && old.State == d.State {
				continue
			}
			p.deviceCache.put(d.Name, d)
		}
		p.tellDevice(d)
		if !p.deviceManager || p.faults.dropDevice != nil && p.faults.dropDevice(d) {
			continue
		}
		p.emit(event{device: &d})
	}
}

// readDevice is ast_device_state (devicestate.c:311): the cache first, then who
// provides the device. A slash makes it a channel's, before the colon counts.
func (p *PBX) readDevice(device string) string {
	if d := p.deviceCache.known[device]; d != nil && d.State != unknown {
		return d.State
	}
	if p.ari != nil && strings.HasPrefix(device, "Stasis:") {
		return unknown // the cache has what ARI was told
	}
	if strings.Contains(device, "/") {
		if state, ok := p.devices[device]; ok {
			return state
		}
		return invalid
	}
	name, ok := customName(device)
	if !ok || !p.devstate {
		return invalid
	}
	if state, ok := deviceState(p.db[customDevstate+name]); ok {
		return state
	}
	return unknown
}

// loadDevstate tells every row again under the name after its last slash
// (func_devstate.c, load_module): only what is new makes an event.
func (p *PBX) loadDevstate() {
	p.devstate = true
	var changes []Device
	for _, name := range p.rows(customDevstate) {
		if state, ok := deviceState(p.db[customDevstate+name]); ok && state != unknown {
			changes = append(changes, Device{cut(customPrefix+name[strings.LastIndexByte(name, '/')+1:], maxDevice), state})
		}
	}
	p.publishDevices(changes)
}

// bootDevices is what channel drivers tell when they load: a device is where it
// was, but no call survives.
func (p *PBX) bootDevices() {
	for name, state := range p.devices {
		if state != "UNAVAILABLE" && state != invalid && state != unknown {
			p.devices[name] = "NOT_INUSE"
		}
		if p.devices[name] != unknown && !strings.HasPrefix(name, "Local/") {
			p.deviceCache.put(name, Device{name, p.devices[name]})
		}
	}
}

const customPrefix = "Custom:"

// customName is the key in the AstDB: what follows the prefix, whose case is free.
func customName(device string) (string, bool) {
	if len(device) < len(customPrefix) || !strings.EqualFold(device[:len(customPrefix)], customPrefix) {
		return "", false
	}
	return device[len(customPrefix):], true
}

// deviceState finds a word whatever its case (ast_devstate_val).
func deviceState(word string) (string, bool) {
	i := slices.IndexFunc(deviceStates, func(s string) bool { return strings.EqualFold(s, word) })
	if i < 0 {
		return "", false
	}
	return deviceStates[i], true
}

// appendDevice adds the lines of a device and the end of the frame. The name is
// not escaped.
func appendDevice(b []byte, d Device) []byte {
	b = append(append(b, "Device: "...), d.Name...)
	b = append(append(b, "\r\nState: "...), d.State...)
	return append(b, "\r\n\r\n"...)
}

func (s *session) deviceStateList(a action) {
	s.respond(a, "Success", "EventList: start\r\nMessage: Device State Changes will follow\r\n")
	id := idLine(a)
	n := 0
	for d := range s.pbx.deviceCache.all() {
		s.out = appendDevice(append(append(s.out, "Event: DeviceStateChange\r\n"...), id...), d)
		n++
	}
	s.queue(fmt.Appendf(nil, "Event: DeviceStateListComplete\r\n%sEventList: Complete\r\nListItems: %d\r\n\r\n", id, n))
}
