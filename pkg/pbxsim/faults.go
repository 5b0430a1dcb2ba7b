package pbxsim

import (
	"maps"
	"time"
)

// unlimited is the budget of a session that CutAfter has not limited.
const unlimited = -1

// faults are what tests do to a PBX.
type faults struct {
	drop       func(Change) bool
	dropDevice func(Device) bool
	refuse     func(what, value string) bool
	holding    bool
	held       []event
	frozen     bool
	nextBudget int

	dropARI   func(kind, text string) bool
	ariDelay  time.Duration
	ariFrozen bool
}

// DropEvents loses every presence event that match names, for all sessions; nil
// loses none. The write itself happens. match must not call the PBX.
func (p *PBX) DropEvents(match func(Change) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults.drop = match
}

// DropDeviceEvents loses every event of a device that match names, for all
// sessions; nil loses none. The device changes. match must not call the PBX.
func (p *PBX) DropDeviceEvents(match func(Device) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults.dropDevice = match
}

// RefuseWrites answers `Variable not set` to those writes over AMI that match
// names by presentity or device; nil refuses none. match must not call the PBX.
func (p *PBX) RefuseWrites(match func(what, value string) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults.refuse = match
}

// HoldEvents keeps the events of presence and devices back until Release. Answers still come, so
// every echo is late; lists tell what is held back already, as Asterisk's do.
func (p *PBX) HoldEvents() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults.holding = true
}

// Release sends what HoldEvents kept back, in order.
func (p *PBX) Release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.faults.held {
		p.send(e)
	}
	p.faults.holding, p.faults.held = false, nil
}

// event is that a presence or a device changed.
type event struct {
	presence *Change
	device   *Device // nil: a presence
}

// emit sends an event, or keeps it until Release.
func (p *PBX) emit(e event) {
	if p.faults.holding {
		p.faults.held = append(p.faults.held, e)
		return
	}
	p.send(e)
}

func (p *PBX) send(e event) {
	if e.device != nil {
		p.stats.DeviceEvents++
		p.broadcast(classCall, appendDevice([]byte("Event: DeviceStateChange\r\nPrivilege: call,all\r\n"), *e.device))
		return
	}
	p.stats.Events++
	p.broadcast(classCall, appendChange([]byte("Event: PresenceStateChange\r\nPrivilege: call,all\r\n"), *e.presence))
}

// CutAfter ends every open session after n more bytes, wherever in a line that
// is; if none is open, the next one.
func (p *PBX) CutAfter(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.sessions) == 0 {
		p.faults.nextBudget = n
	}
	for s := range p.sessions {
		s.budget = n
		s.wake.Broadcast()
	}
}

// Drop closes every connection, as a network that resets them would.
func (p *PBX) Drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cutAll()
}

// cutAll closes every connection.
func (p *PBX) cutAll() {
	for s := range p.sessions {
		s.cut()
	}
	p.eachARI(func(c *ariConn) { c.cut() })
}

// Inject sends bytes as they are to every session that is logged in.
func (p *PBX) Inject(raw []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for s := range p.sessions {
		if s.user != nil {
			s.queue(raw)
		}
	}
}

// Freeze stops reading and writing, connections stay: what a half-open
// connection or a stopped process looks like. Thaw goes on where it stopped.
func (p *PBX) Freeze() { p.freeze(true) }

// Thaw ends Freeze.
func (p *PBX) Thaw() { p.freeze(false) }

func (p *PBX) freeze(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults.frozen = on
	p.wakeAll()
}

func (p *PBX) wakeAll() {
	for s := range p.sessions {
		s.wake.Broadcast()
	}
	p.eachARI(func(c *ariConn) { c.wake.Broadcast() })
}

// Stats counts what happened since New, over all lives.
type Stats struct {
	Open          int            // sessions now, logged in or not
	OpenARI       int            // connections of ARI now, websockets or not
	Sessions      int            // sessions ever
	Logins        int            // accepted
	RefusedLogins int            //
	CutOff        int            // sessions and websockets cut off because their reader stalled
	Websockets    int            // of ARI, ever
	ARIEvents     int            // sent, for each application
	Events        int            // presence events sent, once however many sessions see them
	DeviceEvents  int            // the same of devices
	Writes        map[string]int // Setvar of PRESENCE_STATE or DEVICE_STATE over AMI by presentity or device, refused ones too
	Actions       map[string]int // everything received over AMI; "Setvar PRESENCE_STATE" for a function
	Requests      map[string]int // everything received over ARI, websockets aside, by method and path: "GET /ari/asterisk/info"
}

func newStats() Stats {
	return Stats{Writes: make(map[string]int), Actions: make(map[string]int), Requests: make(map[string]int)}
}

// Stats returns a copy of the counters.
func (p *PBX) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stats
	s.Open = len(p.sessions)
	p.eachARI(func(*ariConn) { s.OpenARI++ })
	s.Writes, s.Actions, s.Requests = maps.Clone(s.Writes), maps.Clone(s.Actions), maps.Clone(s.Requests)
	return s
}
