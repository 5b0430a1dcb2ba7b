package bridge

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// fakePBX is a connector with a small Asterisk behind it: it keeps a value per
// extension, answers a write before it tells of it, and repeats itself. It can be
// made to misbehave in the ways that a real one was seen to.
type fakePBX struct {
	name string

	mu       sync.Mutex
	sink     connector.Sink // nil: Run is not running
	attached bool           // the network is there
	deadEnd  bool           // the bridge is dead: nothing of it arrives
	session  uint64         // of the present connection; 0: none
	sessions uint64
	life     int // of the Asterisk
	values   map[string]presence.Presence
	writes   []string        // "1001 away", as they came
	devices  map[string]bool // DND devices; nil: it has none
	lamps    []string        // what Light and Leave were told
	queues   []string        // what Pause and Unpause were told
	reads    int
	resyncs  int
	follows  [][]string // what Follow was told, as it came
	partial  bool       // it has no list of all, and is slow to take what Follow says: it tells of what it was told first

	loseWrites bool // writes get lost with everything that follows from them
	dropEchoes bool // writes happen, their events get lost
	slow       bool // everything that is told waits for release
	held       []connector.Report
	refuse     error            // writes are refused
	writeErr   error            // Write returns it
	unreadable bool             // a Read cannot be answered
	block      chan struct{}    // Write waits for it, or for its context
	deaf       bool             // and not for its context
	onWrite    func(string)     // before a write happens
	health     connector.Health // what Health returns
}

func newFakePBX(name string) *fakePBX {
	return &fakePBX{
		name: name, attached: true, life: 1, values: map[string]presence.Presence{},
		health: connector.Health{Connected: true, Ready: true, Version: "22.0"},
	}
}

// count reads one of f's counters; goroutines of the bridge write them.
func (f *fakePBX) count(n *int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return *n
}

func (f *fakePBX) Run(ctx context.Context, sink connector.Sink) error {
	f.do(func() {
		f.sink = sink
		if f.attached {
			f.connect()
		}
	})
	<-ctx.Done()
	f.do(func() {
		f.disconnect()
		f.sink = nil
	})
	return nil
}

func (f *fakePBX) do(g func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	g()
}

func (f *fakePBX) connect() {
	if f.sink == nil || f.session != 0 || f.deadEnd {
		return
	}
	f.sessions++
	f.session = f.sessions
	f.snapshot(true)
}

func (f *fakePBX) Follow(numbers *connector.Numbers) {
	f.do(func() { f.follows = append(f.follows, numbers.List()) })
}

func (f *fakePBX) snapshot(first bool) {
	r := connector.Report{
		Kind: connector.Snapshot, Session: f.session, First: first,
		Incarnation: fmt.Sprintf("life %d", f.life), Shows: maps.Clone(f.values), Partial: f.partial,
	}
	if f.partial {
		r.Shows = map[string]presence.Presence{}
		for _, number := range f.follows[0] {
			r.Shows[number] = f.values[number]
		}
	}
	f.tell(r)
	f.tell(connector.Report{Kind: connector.Alive})
	if f.devices != nil {
		f.tell(connector.Report{Kind: connector.DNDListed, DNDs: maps.Clone(f.devices), DNDOf: "Custom:DND{extension}"})
	}
}

func (f *fakePBX) disconnect() {
	if f.session == 0 {
		return
	}
	f.held = nil
	f.sink(connector.Report{Kind: connector.Down, Session: f.session, Err: errors.New("cut")})
	f.session = 0
}

func (f *fakePBX) Write(ctx context.Context, o connector.Order) error {
	f.mu.Lock()
	block, deaf := f.block, f.deaf
	f.mu.Unlock()
	if block != nil {
		over := ctx.Done()
		if deaf {
			over = nil
		}
		select {
		case <-block:
		case <-over:
			return ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.session == 0 || o.Session != f.session:
		return connector.ErrDown
	case f.writeErr != nil:
		return f.writeErr
	}
	if o.DND {
		f.writeDND(o)
		return nil
	}
	if f.onWrite != nil {
		f.onWrite(text(o.Extension.Number, o.Presence))
	}
	f.writes = append(f.writes, text(o.Extension.Number, o.Presence))
	if f.refuse != nil {
		f.tell(connector.Report{Kind: connector.Refused, Extension: o.Extension, Ask: o.Ask, Err: f.refuse})
		return nil
	}
	if f.loseWrites {
		return nil
	}
	f.values[o.Extension.Number] = o.Presence
	f.tell(connector.Report{Kind: connector.Acked, Extension: o.Extension, Ask: o.Ask})
	if !f.dropEchoes {
		f.tell(connector.Report{Kind: connector.Changed, Extension: o.Extension, Presence: o.Presence})
	}
	return nil
}

// tell reports in the order of the wire, also while that is slow.
func (f *fakePBX) tell(r connector.Report) {
	if f.slow {
		f.held = append(f.held, r)
	} else {
		f.sink(r)
	}
}

func (f *fakePBX) Read(_ context.Context, o connector.Order) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reads++
	switch {
	case f.session == 0 || o.Session != f.session:
		return connector.ErrDown
	case f.writeErr != nil:
		return f.writeErr
	case f.unreadable:
		f.tell(connector.Report{Kind: connector.Unreadable, Extension: o.Extension, Ask: o.Ask, Err: errors.New("no answer")})
	default:
		f.tell(connector.Report{Kind: connector.Answered, Extension: o.Extension, Ask: o.Ask, Presence: f.values[o.Extension.Number]})
	}
	return nil
}

func (f *fakePBX) writeDND(o connector.Order) {
	f.writes = append(f.writes, fmt.Sprintf("%s device %v", o.Extension.Number, o.On))
	if f.refuse != nil {
		f.tell(connector.Report{Kind: connector.Refused, Extension: o.Extension, Ask: o.Ask, Err: f.refuse})
		return
	}
	f.tell(connector.Report{Kind: connector.Acked, Extension: o.Extension, Ask: o.Ask})
	f.flipped(o.Extension.Number, o.On)
}

// flipped sets a DND device; of what does not change nothing is told.
func (f *fakePBX) flipped(number string, on bool) {
	if f.devices[number] == on {
		return
	}
	f.devices[number] = on
	if f.session != 0 {
		f.tell(connector.Report{Kind: connector.DNDChanged, Extension: presence.ExtensionID{PBX: f.name, Number: number}, On: on})
	}
}

// code is a feature code that somebody dials.
func (f *fakePBX) code(number string, on bool) { f.do(func() { f.flipped(number, on) }) }

func (f *fakePBX) Light(number string, base presence.Base) {
	f.do(func() { f.lamps = append(f.lamps, number+" "+string(base)) })
}

func (f *fakePBX) Leave(number string) {
	f.do(func() { f.lamps = append(f.lamps, number+" left") })
}

func (f *fakePBX) Pause(number, why string) {
	f.do(func() { f.queues = append(f.queues, strings.TrimSpace(number+" "+why)) })
}

func (f *fakePBX) Unpause(number string) {
	f.do(func() { f.queues = append(f.queues, number+" left") })
}

// queuesTold returns what queues were told since the last call, sorted, each once.
func (f *fakePBX) queuesTold() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	told := f.queues
	f.queues = nil
	slices.Sort(told)
	return slices.Compact(told)
}

// lampsTold returns what lamps were told since the last call, sorted, each once.
func (f *fakePBX) lampsTold() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	told := f.lamps
	f.lamps = nil
	slices.Sort(told)
	return slices.Compact(told)
}

func (f *fakePBX) Resync() {
	f.do(func() {
		f.resyncs++
		if f.session != 0 {
			f.snapshot(false)
		}
	})
}

func (f *fakePBX) Health() connector.Health {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.health
}

// press is a phone, or the dialplan, that sets a presence.
func (f *fakePBX) press(number string, p presence.Presence) {
	f.do(func() {
		f.values[number] = p
		if f.session != 0 {
			f.tell(connector.Report{Kind: connector.Changed, Extension: presence.ExtensionID{PBX: f.name, Number: number}, Presence: p})
		}
	})
}

// cut ends the connection; attach brings it back.
func (f *fakePBX) cut() {
	f.do(func() {
		f.attached = false
		f.disconnect()
	})
}

func (f *fakePBX) attach() {
	f.do(func() {
		f.attached = true
		f.connect()
	})
}

// unplug lets nothing of a bridge that has crashed arrive; plug is for the next one.
func (f *fakePBX) unplug() {
	f.do(func() {
		f.deadEnd = true
		f.disconnect()
	})
}

func (f *fakePBX) plug() { f.do(func() { f.deadEnd = false }) }

// kill ends the Asterisk; with attach a new life begins, which has forgotten what
// it acknowledged last and shows lost instead.
func (f *fakePBX) kill(lost map[string]presence.Presence) {
	f.cut()
	f.do(func() {
		f.life++
		maps.Copy(f.values, lost)
	})
}

// blockWrites makes every Write hang until the returned function is called.
func (f *fakePBX) blockWrites(deaf bool) (unblock func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	block := make(chan struct{})
	f.block, f.deaf = block, deaf
	return func() {
		f.do(func() { f.block = nil })
		close(block)
	}
}

// release lets come what was held, oldest first.
func (f *fakePBX) release() {
	f.do(func() {
		f.slow = false
		for _, r := range f.held {
			f.sink(r)
		}
		f.held = nil
	})
}

// taken returns the writes since the last call.
func (f *fakePBX) taken() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := slices.Clone(f.writes)
	f.writes = nil
	return w
}

func text(number string, p presence.Presence) string {
	s := number + " " + p.State.String()
	if p.Subtype != "" {
		s += "/" + p.Subtype
	}
	return s
}
