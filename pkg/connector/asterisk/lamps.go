package asterisk

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/ami"
	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// customDevices is the provider of devices that can be set (funcs/func_devstate.c:88).
const customDevices = "Custom:"

// lampStates is what a lamp shows for a base, in the words that Asterisk has for what
// its subscribers get (res/res_pjsip/presence_xml.c, ast_sip_presence_exten_state_to_str):
//
//	connected  NOT_INUSE    terminated                   off
//	absent     ONHOLD       confirmed, and not rendered  blinks where the phone knows hold, else on
//	busy       INUSE        confirmed                    on
//	in_call    INUSE        confirmed                    on
//	offline    UNAVAILABLE  terminated                   off, greyed where the phone knows it
//
// RINGING (early) blinks on more phones, but those also ring or offer to pick up.
var lampStates = map[presence.Base]string{
	presence.Connected: lampOff,
	presence.Absent:    "ONHOLD",
	presence.Busy:      "INUSE",
	presence.InCall:    "INUSE",
	presence.Offline:   "UNAVAILABLE",
}

const (
	lampOff = "NOT_INUSE"
	// maxLamps is how many lamps are on the wire unanswered: a presence that comes
	// behind them waits for no more.
	maxLamps = 8
)

var _ connector.Lamps = (*Connector)(nil)

// lamps is what the lamps of a PBX shall show, and what it is known to show. It
// outlives sessions. A lamp is written when what it shall show changes, and when a
// list shows something else; never because of an event. So whoever sets it to
// something else is answered once a list, and nothing can go in a circle.
type lamps struct {
	where deviceTemplate
	wake  chan struct{} // of one place: something waits

	mu    sync.Mutex // never held while the network is called
	all   map[string]*lamp
	todo  []string // numbers to look at, each once
	lists uint64   // begun so far
	known bool     // one was taken in the present session
}

// lamp is one of them. States are Asterisk's words.
type lamp struct {
	want  string
	shows string // "": not known, and not asked until the next list
	wrote uint64 // how many lists had begun when it was last written
	waits bool   // it is in todo
	leave bool   // it is nobody's: forgotten once it is out
}

// newLamps reads a template; nil where there is none.
func newLamps(template string) (*lamps, error) {
	where, ok, err := parseDevice(template)
	if err != nil || !ok {
		return nil, err
	}
	if !strings.HasPrefix(where.before, customDevices) {
		return nil, fmt.Errorf("lamp %q: only devices that begin with %s can be set", template, customDevices)
	}
	return &lamps{where: where, wake: make(chan struct{}, 1), all: map[string]*lamp{}}, nil
}

// Light makes the lamp of an extension show a base.
func (c *Connector) Light(number string, base presence.Base) {
	if c.lamps != nil {
		c.lamps.set(number, lampStates[base], false)
	}
}

// Leave puts the lamp of an extension out for good.
func (c *Connector) Leave(number string) {
	if c.lamps != nil {
		c.lamps.set(number, lampOff, true)
	}
}

func (l *lamps) set(number, want string, leave bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	x := l.all[number]
	if x == nil {
		x = &lamp{}
		l.all[number] = x
	}
	x.want, x.leave = want, leave
	l.consider(number, x)
}

// consider queues a lamp that is known to show something else, and forgets one that
// is to be left and is out. The caller holds mu.
func (l *lamps) consider(number string, x *lamp) {
	switch {
	case !l.known || x.shows == "" || x.waits:
	case x.shows != x.want:
		x.waits = true
		l.todo = append(l.todo, number)
		select {
		case l.wake <- struct{}{}:
		default:
		}
	case x.leave:
		delete(l.all, number)
	}
}

// lampWrite is a lamp on its way.
type lampWrite struct{ number, state string }

// next takes up to maxLamps out of the queue. They count as shown from here on.
func (l *lamps) next() (batch []lampWrite) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.todo) > 0 && len(batch) < maxLamps {
		number := l.todo[0]
		l.todo = l.todo[1:]
		x := l.all[number]
		x.waits = false
		if x.shows != x.want {
			x.shows, x.wrote = x.want, l.lists
			batch = append(batch, lampWrite{number, x.want})
		}
	}
	if len(l.todo) == 0 {
		l.todo = nil
	}
	return batch
}

// taken notes that a lamp was set.
func (l *lamps) taken(w lampWrite) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if x := l.all[w.number]; x != nil {
		l.consider(w.number, x)
	}
}

// refused notes that a lamp was not set: it is tried again after the next list.
func (l *lamps) refused(w lampWrite) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if x := l.all[w.number]; x != nil && x.shows == w.state {
		x.shows = ""
	}
}

// lost forgets what lamps show, as the session is over.
func (l *lamps) lost() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known, l.todo = false, nil
	for _, x := range l.all {
		x.shows, x.waits = "", false
	}
}

// lampList is what a list and the events beside it say about lamps. The zero value is
// of a PBX without.
type lampList struct {
	of    *lamps
	shows map[string]string // by number; missing: UNKNOWN, which no lamp tells from off
	began uint64
}

func (l *lamps) list() lampList {
	if l == nil {
		return lampList{}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lists++
	return lampList{of: l, shows: make(map[string]string, len(l.all)), began: l.lists}
}

// note takes the state of a device if that is a lamp. It runs on the reader.
func (n *lampList) note(device, state []byte) {
	if n.of == nil {
		return
	}
	if number := n.of.where.number(device); number != nil {
		n.shows[string(number)] = string(state)
	}
}

// deliver compares what all lamps show with what they shall show. What was written
// since the list began may be missing in it.
func (n *lampList) deliver() {
	if n.of == nil {
		return
	}
	n.of.mu.Lock()
	defer n.of.mu.Unlock()
	n.of.known = true
	for number, x := range n.of.all {
		if x.shows == "" || x.wrote < n.began {
			x.shows = lampOff
			if state := n.shows[number]; state != "" && state != "UNKNOWN" {
				x.shows = state
			}
		}
		n.of.consider(number, x)
	}
}

// keepLamps sets lamps until the session ends, a few at a time.
func (s *session) keepLamps(ctx context.Context) error {
	return inBatches(ctx, s.c.lamps.wake, s.c.lamps.next, s.light)
}

// inBatches writes what next returns whenever wake says that there is something, until
// ctx ends or a write fails. The error is never nil.
func inBatches[W any](ctx context.Context, wake <-chan struct{}, next func() []W, write func(context.Context, []W) error) error {
	for {
		select {
		case <-wake:
		case <-ctx.Done():
			return ctx.Err()
		}
		for batch := next(); len(batch) > 0; batch = next() {
			if err := write(ctx, batch); err != nil {
				return err
			}
		}
	}
}

// light sets some lamps and waits for the answers. An error ends the session.
func (s *session) light(ctx context.Context, batch []lampWrite) error {
	writes := make([]ami.Action, 0, len(batch))
	lit := make([]lampWrite, 0, len(batch))
	for _, w := range batch {
		write, err := ami.SetDevice(s.c.lamps.where.name(w.number), w.state)
		if err != nil { // the name is too long, which the configuration does not allow
			s.unlit(w, err)
			continue
		}
		writes, lit = append(writes, write), append(lit, w)
	}
	return s.doAll(ctx, writes, func(i int, refused error) {
		if refused != nil {
			s.unlit(lit[i], refused)
		} else {
			s.c.lamps.taken(lit[i])
		}
	})
}

func (s *session) unlit(w lampWrite, err error) {
	s.c.lamps.refused(w)
	s.c.log.Warn("lamp not set, trying again after the next list", zap.String("extension", w.number), zap.Error(err))
}
