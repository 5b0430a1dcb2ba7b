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

// strangers are addresses from which requests come with X-Forwarded-For, and which are not
// said to be proxies. Anybody can send that header, so it is a hint and nothing more.
type strangers struct {
	mu   sync.Mutex
	last netip.Addr
	seen time.Time // the last one
	told time.Time // the log was
}

// lookForProxies notes who forwards requests for others without being trusted: then
// everybody behind it counts as one network.
func (d *Desk) lookForProxies(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Forwarded-For") != "" {
			if at, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
				d.noteProxy(at.Addr().Unmap().WithZone(""))
			}
		}
		h.ServeHTTP(w, r)
	})
}

func (d *Desk) noteProxy(addr netip.Addr) {
	if d.trusted(addr) {
		return
	}
	now, s := d.now(), &d.strangers
	s.mu.Lock()
	s.last, s.seen = addr, now
	news := s.told.IsZero() || now.Sub(s.told) >= strangeFor
	if news {
		s.told = now
	}
	s.mu.Unlock()
	if news {
		d.log.Warn("a request came with X-Forwarded-For from an address that is not in http.trusted_proxies: if that is your proxy, add it there, or all behind it count as one",
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
			"or everybody behind it counts as one network when sign-ins fail",
		Key: message.As("health.proxy", "peer", peer),
	}}
}
