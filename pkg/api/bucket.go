package api

import (
	"net/netip"
	"time"
)

// pace is how often something may be done: so many at once, and one more every now
// and then.
type pace struct {
	burst int
	every time.Duration
}

// bucket counts what was done of late. The zero value is nothing.
type bucket struct {
	full time.Time // by when all that was done is forgotten
}

// take does something once. wait is 0, or for how long it may not be done yet.
func (b *bucket) take(now time.Time, p pace) (wait time.Duration) {
	if b.full.Before(now) {
		b.full = now
	}
	if room := now.Add(time.Duration(p.burst-1) * p.every); b.full.After(room) {
		return b.full.Sub(room)
	}
	b.full = b.full.Add(p.every)
	return 0
}

// mostPeers bounds how many peers are remembered.
const mostPeers = 4096

// peers counts what each of many peers did of late, in bounded memory.
type peers map[netip.Prefix]*bucket

// take is bucket.take for a peer.
func (ps peers) take(peer netip.Prefix, now time.Time, p pace) (wait time.Duration) {
	b := ps[peer]
	if b == nil {
		ps.makeRoom(now)
		b = &bucket{}
		ps[peer] = b
	}
	return b.take(now, p)
}

// makeRoom forgets peers if there are too many: those of whom nothing is left to
// remember, else any one. Who has that many addresses cannot be slowed down by them.
func (ps peers) makeRoom(now time.Time) {
	if len(ps) < mostPeers {
		return
	}
	for peer, b := range ps {
		if !b.full.After(now) {
			delete(ps, peer)
		}
	}
	for peer := range ps {
		if len(ps) < mostPeers {
			return
		}
		delete(ps, peer)
	}
}

// peerOf is the network of a remote address: one machine has a whole /64 of IPv6.
// Where it is no address, as with a unix socket, everybody is one peer.
func peerOf(remote string) netip.Prefix {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{}
	}
	addr, bits := at.Addr().Unmap().WithZone(""), 64
	if addr.Is4() {
		bits = 32
	}
	peer, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return peer
}
