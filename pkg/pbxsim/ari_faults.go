package pbxsim

import (
	"fmt"
	"time"
)

// DropARIEvents loses every event of ARI that match names by its type and its
// JSON, for all websockets; nil loses none. match must not call the PBX.
func (p *PBX) DropARIEvents(match func(kind, text string) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults.dropARI = match
}

// DelayARI makes every answer of ARI late by d, and by no more than the life of
// the PBX; events are as fast as ever.
func (p *PBX) DelayARI(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults.ariDelay = d
}

// CutARI ends every open connection of ARI after n more bytes, wherever in a
// frame that is.
func (p *PBX) CutARI(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.eachARI(func(c *ariConn) {
		c.budget = n
		c.wake.Broadcast()
	})
}

// FreezeARI stops ARI, AMI goes on: connections stay, nothing is said on them.
// ThawARI goes on where it stopped.
func (p *PBX) FreezeARI() { p.freezeARI(true) }

// ThawARI ends FreezeARI.
func (p *PBX) ThawARI() { p.freezeARI(false) }

func (p *PBX) freezeARI(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults.ariFrozen = on
	p.eachARI(func(c *ariConn) {
		c.frozen = on
		c.wake.Broadcast()
	})
}

// InjectARI sends bytes as they are to every websocket.
func (p *PBX) InjectARI(raw []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.eachSocket(func(c *ariConn) { c.queue(raw) })
}

// FloodARI sends n events named Flood to every application, as a program gone
// wild would; each has its number in the field n.
func (p *PBX) FloodARI(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ari == nil {
		return
	}
	for i := range n {
		for name, a := range p.ari.apps {
			p.tellApp(a, "ChannelUserevent", object{
				{"type", "ChannelUserevent"}, {"timestamp", timestamp()}, {"eventname", "Flood"},
				{"userevent", object{{"n", fmt.Sprint(i)}, {"eventname", "Flood"}}}, {"asterisk_id", entityID}, {"application", name},
			})
		}
	}
}

func (p *PBX) eachARI(do func(*ariConn)) {
	if p.ari == nil {
		return
	}
	for c := range p.ari.conns {
		do(c)
	}
}

func (p *PBX) eachSocket(do func(*ariConn)) {
	p.eachARI(func(c *ariConn) {
		if c.socket {
			do(c)
		}
	})
}
