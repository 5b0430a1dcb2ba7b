package signin

import (
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge/pkg/store"
)

// pace is how often something may fail: so many times at once, and once more every now
// and then.
type pace struct {
	burst int
	every time.Duration
}

// The pace of sign-ins that fail: of one account from one network or one device, and of
// all accounts from one network, which may have many people behind it. Nothing counts for
// an account alone, so that nobody can keep another one out.
var (
	accountPace = pace{burst: 8, every: time.Minute}
	networkPace = pace{burst: 60, every: 5 * time.Second}
)

// mostCounted bounds how many of each are remembered.
const mostCounted = 10_000

// counters count what each of many did of late, in bounded memory: by when all of it is
// forgotten.
type counters[K comparable] map[K]time.Time

// wait is 0, or for how long k may not do it again.
func (c counters[K]) wait(k K, now time.Time, p pace) time.Duration {
	room := now.Add(time.Duration(p.burst-1) * p.every)
	if until := c[k]; until.After(room) {
		return until.Sub(room)
	}
	return 0
}

// count notes that k did it once.
func (c counters[K]) count(k K, now time.Time, p pace) {
	until, known := c[k]
	if !known && len(c) >= mostCounted {
		c.makeRoom(now)
	}
	if until.Before(now) {
		until = now
	}
	c[k] = until.Add(p.every)
}

// forgive takes one back.
func (c counters[K]) forgive(k K, p pace) {
	if until, ok := c[k]; ok {
		c[k] = until.Add(-p.every)
	}
}

// makeRoom forgets those of whom nothing is left to remember, and where that is not a
// tenth, any others. Who has that many networks cannot be slowed down by them.
func (c counters[K]) makeRoom(now time.Time) {
	for k, until := range c {
		if !until.After(now) {
			delete(c, k)
		}
	}
	for k := range c {
		if len(c) <= mostCounted*9/10 {
			return
		}
		delete(c, k)
	}
}

// attempt is who tries to be whom.
type attempt struct {
	account string
	network netip.Prefix // zero where there is a device
	device  string       // of that account; "": a browser in which its owner has not signed in
}

// attempt is that of who sent r and says to be the owner of a; nil: of no account. A
// device is counted by itself, so that others in its network do not keep its owner out.
func (d *Desk) attempt(r *http.Request, name string, a *store.Account) attempt {
	if device := d.device(r, a); device != "" {
		return attempt{account: a.Name, device: device}
	}
	return attempt{account: clip(name), network: networkOf(d.peer(r))}
}

// try counts a sign-in before its password is looked at, so that many at once count,
// too. wait is 0, or for how long it is not looked at.
func (d *Desk) try(a attempt, now time.Time) (wait time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	wait = d.failed.wait(a, now, accountPace)
	if a.device == "" {
		wait = max(wait, d.networks.wait(a.network, now, networkPace))
	}
	if wait > 0 {
		return wait
	}
	d.failed.count(a, now, accountPace)
	if a.device == "" {
		d.networks.count(a.network, now, networkPace)
	}
	return 0
}

// tryCode is try for who comes back from a provider, which is asked then.
func (d *Desk) tryCode(network netip.Prefix, now time.Time) (wait time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if wait = d.networks.wait(network, now, networkPace); wait == 0 {
		d.networks.count(network, now, networkPace)
	}
	return wait
}

// succeededCode takes back what tryCode has counted.
func (d *Desk) succeededCode(network netip.Prefix) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.networks.forgive(network, networkPace)
}

// succeeded takes back what try has counted.
func (d *Desk) succeeded(a attempt) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failed.forgive(a, accountPace)
	if a.device == "" {
		d.networks.forgive(a.network, networkPace)
	}
}

// peer is where a request comes from: the last address that no trusted proxy has.
func (d *Desk) peer(r *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	addr := at.Addr().Unmap().WithZone("")
	forwarded := strings.Join(r.Header.Values("X-Forwarded-For"), ",")
	hops := strings.Split(forwarded, ",")
	for i := len(hops) - 1; i >= 0 && d.trusted(addr); i-- {
		hop := strings.TrimSpace(hops[i])
		next, err := netip.ParseAddr(hop)
		if at, portErr := netip.ParseAddrPort(hop); portErr == nil { // as some proxies write it
			next, err = at.Addr(), nil
		}
		if err != nil { // whatever else stands there, the proxy has seen it
			break
		}
		addr = next.Unmap().WithZone("")
	}
	return addr
}

func (d *Desk) trusted(addr netip.Addr) bool {
	for _, p := range d.proxies {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// networkOf is the network of an address: one machine has a whole /64 of IPv6. Where
// there is no address everybody is in one network.
func networkOf(addr netip.Addr) netip.Prefix {
	bits := 64
	if addr.Is4() {
		bits = 32
	}
	p, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
