package presence

import (
	"maps"
	"slices"
	"time"
)

// simPBX is an Asterisk as it was measured: it acknowledges a write at once and
// tells of it later, in order, on one connection; it repeats itself; it forgets up
// to a second of writes when it is killed.
type simPBX struct {
	w    *world
	name string
	up   bool
	life int

	live     map[string]act
	undo     []undo // what a kill would forget
	held     []Input
	muted    bool // events are lost (res_manager_presencestate is not loaded)
	refusing bool

	session uint64  // of the connection; 0: none
	mail    []Order // the outbox: not on the wire yet
	tcp     []Order // on the wire
	wire    []Input // on its way to the bridge

	of     string                     // which DND devices the bridge is to look at; "": none
	devs   map[string]bool            // what they say
	others map[string]map[string]bool // likewise, of all there are
	rang   []Input                    // held events of devices, which take another way
	deaf   bool                       // they are lost

	known int  // the life that the bridge knows
	heard Time // when the bridge last heard of it
}

type undo struct {
	at     time.Duration
	number string
	was    act
	dev    bool // on is what the device said instead
	on     bool
}

// flush is AstDB's commit, once a second.
func (p *simPBX) flush() {
	p.undo = slices.DeleteFunc(p.undo, func(u undo) bool { return p.w.mono-u.at > time.Second })
}

func (p *simPBX) set(number string, v Presence, ours bool) {
	p.undo = append(p.undo, undo{at: p.w.mono, number: number, was: p.live[number]})
	p.w.acts++
	p.live[number] = act{p.w.acts, v, ours}
	p.tell(number, v)
}

// tell queues the event of a write. Only a connected bridge gets it.
func (p *simPBX) tell(number string, v Presence) {
	if p.session != 0 && !p.muted {
		p.held = append(p.held, Input{Kind: Event, Extension: ExtensionID{p.name, number}, Presence: v})
	}
}

func (p *simPBX) phone(number string, v Presence) {
	if !p.up {
		return
	}
	p.w.say("phone %s/%s sets %v", p.name, number, v)
	p.set(number, v, false)
	if a := p.w.accepted[ExtensionID{p.name, number}]; a != nil {
		a.rival = true
	}
	if p.w.calm {
		p.w.rest()
	}
}

// post takes an order into the outbox; a newer write of an extension takes the
// place of one that waits.
func (p *simPBX) post(o Order) {
	i := slices.IndexFunc(p.mail, func(m Order) bool { return m.Extension == o.Extension && m.Read == o.Read && m.DND == o.DND })
	if i < 0 {
		p.mail = append(p.mail, o)
		return
	}
	old := p.mail[i]
	p.mail[i] = o
	if !o.Read {
		p.w.step(Input{Kind: Unsent, Extension: o.Extension, Ask: old.Ask})
	}
}

// exec puts the next order on the wire, or executes the next one that is there.
func (p *simPBX) exec() {
	if p.session == 0 {
		return
	}
	if len(p.mail) > 0 && p.mail[0].Session == p.session && (len(p.tcp) == 0 || p.w.chance(50)) {
		p.tcp = append(p.tcp, p.mail[0])
		p.mail = p.mail[1:]
		return
	}
	if len(p.tcp) == 0 {
		return
	}
	o := p.tcp[0]
	p.tcp = p.tcp[1:]
	in := Input{Extension: o.Extension, Ask: o.Ask}
	switch {
	case o.Read:
		p.read(o)
		return
	case p.refusing:
		in.Kind = Refused
	case o.DND:
		in.Kind = Acked
		p.w.say("%s executes %d: device %v", p.name, o.Ask, o.On)
		p.flip(o.Extension.Number, o.On)
	default:
		in.Kind = Acked
		p.w.say("%s executes %d: %v", p.name, o.Ask, o.Presence)
		p.set(o.Extension.Number, o.Presence, true)
	}
	p.wire = append(p.wire, in)
}

// read is the fence and then the value: a phone may act between them.
func (p *simPBX) read(o Order) {
	if p.muted {
		p.wire = append(p.wire, Input{Kind: Unreadable, Extension: o.Extension, Ask: o.Ask})
		return
	}
	p.fence()
	if p.w.chance(20) {
		p.phone(o.Extension.Number, p.w.setup.presence(p.w.rng))
	}
	p.wire = append(p.wire, Input{Kind: Answered, Extension: o.Extension, Ask: o.Ask, Presence: p.live[o.Extension.Number].p})
}

func (p *simPBX) fence() {
	p.wire = append(p.wire, p.held...)
	p.held = nil
}

// release lets events go that were held.
func (p *simPBX) release() {
	n := min(len(p.held), 1+p.w.rng.IntN(3))
	p.wire = append(p.wire, p.held[:n]...)
	p.held = slices.Clone(p.held[n:])
	if len(p.rang) > 0 && p.w.quiet.IntN(2) == 0 {
		p.wire, p.rang = append(p.wire, p.rang[0]), slices.Clone(p.rang[1:])
	}
}

// deliver gives the bridge the next report. Events may be merged with the next one
// of the same extension, unless they equal an asked value.
func (p *simPBX) deliver() {
	if len(p.wire) == 0 {
		return
	}
	in := p.wire[0]
	p.wire = p.wire[1:]
	if in.Kind == Event && p.w.chance(30) && p.mergeable(&in) {
		p.w.say("%s %v merged away", in.Extension, in.Presence)
		if a := p.w.accepted[in.Extension]; a != nil {
			a.rival = true // should a kill bring this value back, nobody knows that it is an old one: README, limits
		}
		return
	}
	if in.Kind == DNDChanged && p.flicked(&in) {
		return
	}
	if in.Kind == Snapshot {
		in.NewLife = p.known != 0 && int(in.Ask) != p.known
		p.known, in.Ask = int(in.Ask), 0
		p.w.synced[p.name] = true
	}
	if in.Kind == Down && in.Heard.Before(p.heard) {
		in.Heard = p.heard
	}
	p.w.step(in)
	if in.Kind != Down {
		p.heard = p.w.last
		return
	}
	mail := p.mail
	p.mail = nil
	for _, o := range mail {
		if !o.Read {
			p.w.step(Input{Kind: Unsent, Extension: o.Extension, Ask: o.Ask})
		}
	}
}

func (p *simPBX) drain() {
	for len(p.wire) > 0 && p.w.fault == nil {
		p.deliver()
	}
}

func (p *simPBX) mergeable(in *Input) bool {
	i := p.w.view.find(in.Extension)
	if i < 0 || slices.ContainsFunc(p.w.view.Extensions[i].Asked, func(a Ask) bool { return a.Presence == in.Presence }) {
		return false
	}
	for _, next := range p.wire {
		if next.Kind != Event {
			return false
		}
		if next.Extension == in.Extension {
			return true
		}
	}
	return false
}

// connect brings the PBX and the connection up.
func (p *simPBX) connect() {
	p.up = true
	if p.session != 0 {
		return
	}
	p.muted = false
	p.w.session++
	p.session, p.held, p.rang = p.w.session, nil, nil
	p.snapshot(false)
}

// snapshot sends a fenced list. Ask carries the PBX's life.
func (p *simPBX) snapshot(connect bool) {
	if connect {
		p.connect()
	}
	if p.session == 0 || p.muted {
		return
	}
	p.fence()
	shows := map[string]Presence{}
	for number, a := range p.live {
		if a.p != (Presence{}) || p.w.chance(50) {
			shows[number] = a.p
		}
	}
	late := p.meanwhile()
	p.wire = append(p.wire, Input{Kind: Snapshot, PBX: p.name, Session: p.session, Shows: shows, Late: late, Ask: uint64(p.life)})
	p.fenceDevices()
}

// meanwhile lets things happen between the list and the end of its fence: answers of
// writes come before the snapshot, the events of all that behind it.
func (p *simPBX) meanwhile() (late map[string]struct{}) {
	if p.w.calm || !p.w.chance(30) {
		return nil
	}
	if numbers := slices.Sorted(maps.Keys(p.live)); len(numbers) > 0 && p.w.chance(30) {
		p.phone(numbers[p.w.rng.IntN(len(numbers))], p.w.setup.presence(p.w.rng))
	}
	late = map[string]struct{}{}
	for range 4 {
		before := len(p.wire)
		if len(p.tcp) > 0 && p.tcp[0].Read {
			break // it has a fence of its own
		}
		p.exec()
		if len(p.wire) > before && p.wire[before].Kind == Acked {
			late[p.wire[before].Extension.Number] = struct{}{}
		}
	}
	return late
}

// cut ends the connection: some of what is on the wire is executed, some is lost.
func (p *simPBX) cut(why string) {
	if p.session == 0 {
		return
	}
	p.w.tally.Cuts++
	p.w.say("%s %s", p.name, why)
	for n := p.w.rng.IntN(len(p.tcp) + 1); n > 0; n-- {
		if o := p.tcp[0]; o.DND && !p.refusing {
			p.w.say("%s executes %d unheard: device %v", p.name, o.Ask, o.On)
			p.flip(o.Extension.Number, o.On)
		} else if !o.Read && !p.refusing {
			p.w.say("%s executes %d unheard: %v", p.name, o.Ask, o.Presence)
			p.set(o.Extension.Number, o.Presence, true)
		}
		p.tcp = p.tcp[1:]
	}
	keep := p.w.rng.IntN(len(p.wire) + 1)
	down := Input{Kind: Down, PBX: p.name, Session: p.session, Heard: p.heard}
	if p.heard.IsZero() || p.w.chance(50) { // it answered a ping just before
		down.Heard = p.w.last
	}
	p.wire = append(slices.Clone(p.wire[:keep]), down)
	if len(p.mail) > 0 && !p.mail[0].Read && p.mail[0].Session == p.session && p.w.chance(50) { // the sender notices first
		unsent := Input{Kind: Unsent, Extension: p.mail[0].Extension, Ask: p.mail[0].Ask}
		p.wire = slices.Insert(p.wire, p.w.rng.IntN(len(p.wire)), unsent)
		p.mail = p.mail[1:]
	}
	p.tcp, p.held, p.rang, p.session = nil, nil, nil, 0
}

// kill is kill -9: what was not committed is forgotten.
func (p *simPBX) kill() {
	p.w.tally.Kills++
	p.cut("killed")
	forget := p.w.rng.IntN(len(p.undo) + 1)
	for ; forget > 0; forget-- {
		u := p.undo[len(p.undo)-1]
		p.undo = p.undo[:len(p.undo)-1]
		if u.dev {
			p.w.say("%s forgets the device %s: %v, so %v", p.name, u.number, p.devs[u.number], u.on)
			p.devs[u.number] = u.on
			continue
		}
		p.w.say("%s forgets %s: %v, so %v", p.name, u.number, p.live[u.number].p, u.was.p)
		p.live[u.number] = u.was
	}
	p.undo, p.up, p.refusing = nil, false, false
	p.life++
}

func (p *simPBX) restart() {
	p.cut("restarts")
	p.undo, p.up, p.refusing = nil, false, false
	p.life++
}

// loadModule is func_presencestate loaded again: it repeats everything but not_set.
func (p *simPBX) loadModule() {
	if p.session == 0 || p.muted {
		return
	}
	for _, id := range p.w.rules.Extensions {
		if a := p.live[id.Number]; id.PBX == p.name && a.p.State != NotSet {
			p.tell(id.Number, a.p)
		}
	}
	p.held = append(p.held, Input{Kind: Loaded, PBX: p.name})
}
