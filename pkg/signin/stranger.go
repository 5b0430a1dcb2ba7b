package signin

import (
	"net/http"
	"net/netip"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/message"
)

// strangeFor is how long a proxy that nobody trusts is remembered, and how often the log
// is told of one.
const strangeFor = time.Hour

// strangers are peers from which requests come with X-Forwarded-For, and which are not said
// to be proxies. Not only proxies send that header, so it is a hint and nothing more.
type strangers struct {
	mu   sync.Mutex
	last netip.Addr // of the connection: no header says it
	seen time.Time  // the last one
	told time.Time  // the log was
}

// lookForProxies notes who forwards requests for others without being trusted: then
// everybody behind it counts as one network.
//
// Whoever connects to the panel himself and invents the header would have his own address
// named instead of the proxy's, and perhaps trusted. So it says something only on this
// machine, or where somebody who has signed in comes that way.
func (d *Desk) lookForProxies(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Forwarded-For") != "" {
			if at, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
				addr := at.Addr().Unmap().WithZone("")
				if !d.trusted(addr) && (addr.IsLoopback() || d.signedIn(r)) {
					d.noteProxy(addr)
				}
			}
		}
		h.ServeHTTP(w, r)
	})
}

// signedIn tells whether somebody who has signed in asks.
func (d *Desk) signedIn(r *http.Request) bool {
	_, in := d.Who(r)
	return in
}

func (d *Desk) noteProxy(addr netip.Addr) {
	now, s := d.now(), &d.strangers
	s.mu.Lock()
	s.last, s.seen = addr, now
	news := s.told.IsZero() || now.Sub(s.told) >= strangeFor
	if news {
		s.told = now
	}
	s.mu.Unlock()
	if news {
		d.log.Warn("a request came with X-Forwarded-For from an address that is not in http.trusted_proxies: if that is your proxy, add it there, or all behind it count as one; if it is not, do nothing",
			zap.Stringer("peer", addr))
	}
}

// Warnings are what is wrong about how people sign in although they can.
func (d *Desk) Warnings() []message.Message {
	s := &d.strangers
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen.IsZero() || d.now().Sub(s.seen) >= strangeFor {
		return nil
	}
	peer := s.last.String()
	return []message.Message{{
		Text: "requests come with X-Forwarded-For from " + peer + ", which is not in http.trusted_proxies: if that is your proxy, add it there and restart presencebridge, " +
			"or everybody behind it counts as one network when sign-ins fail; if it is not, do nothing: this is a hint, since not only proxies send that header",
		Key: message.As("health.proxy", "peer", peer),
	}}
}
