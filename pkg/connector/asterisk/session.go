package asterisk

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/ami"
	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// maxUnderWay bounds the orders that are on the wire unanswered, so that a burst
// of them never fills the socket.
const maxUnderWay = 64

// session is one connection, from the login to its end. Everything it reports,
// it reports from the connection's reader, except the Down at the end.
//
// Its goroutines: the reader of conn; run, in the goroutine of Connector.Run,
// which owns all others; follow, which takes snapshots; pulse, which writes
// canaries and sends the readings that wait for one; keepLamps, which sets lamps;
// keepQueues, which pauses members of queues; and one that tells when the connection is over.
type session struct {
	c    *Connector
	conn *ami.Conn               // set before follow and pulse start
	end  context.CancelCauseFunc // ends the session; the first cause counts
	over <-chan struct{}         // closed then

	booted    chan struct{} // closed by FullyBooted
	lists     chan struct{} // of one place: a snapshot is wanted
	canaries  chan struct{} // of one place: somebody waits for a fence
	underWay  chan struct{} // of maxUnderWay places, taken by orders on the wire
	translate *translator   // reader only
	announced bool          // reader only: booted is closed
	stranger  bool          // reader only: somebody else writes our canary, and it was logged
	loaded    time.Time     // reader only: when Loaded was last reported
	unheard   int           // follow only: how often in a row phones could not be listed
	goodbye   bool          // reader only until the connection is over: the PBX said that it shuts down
	invalid   atomic.Uint64 // reports without a valid state
	malformed atomic.Uint64 // frames refused
	idle      atomic.Bool   // the last pause of a member was not taken

	mu        sync.Mutex // never held while the sink or the network is called
	opened    bool       // the first snapshot was delivered
	following bool       // so was a list of phones
	snapshot  *snapshot  // being taken; nil: none
	phones    *phoneList // likewise
	waiting   fence      // what the next canary will be the fence of
	awaited   fence      // the canary that is on its way; no nonce: none
	last      string     // nonce of the last canary that was seen
}

// session connects and stays until something ends it. opened tells whether it
// came to its first snapshot; err is never nil.
func (c *Connector) session(ctx context.Context) (opened bool, err error) {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	s := &session{
		c: c, end: end, over: ctx.Done(),
		booted:    make(chan struct{}),
		lists:     make(chan struct{}, 1),
		canaries:  make(chan struct{}, 1),
		underWay:  make(chan struct{}, maxUnderWay),
		translate: newTranslator(c.where, c.device, &c.follows),
	}
	conn, err := ami.Open(ctx, c.cfg.AMI, ami.Handler{Event: s.event, Malformed: s.refuse})
	if err != nil {
		c.ami.notEntered()
		return false, c.unreachable(err)
	}
	s.conn = conn
	c.ami.entered()
	s.translate.escaped = escapes(conn.Version())
	return s.run(ctx)
}

// run does all after the login, and waits for all of it to end.
func (s *session) run(ctx context.Context) (opened bool, err error) {
	var tasks sync.WaitGroup
	tasks.Go(func() { s.end(s.follow(ctx, &tasks)) })
	if s.c.lamps != nil {
		defer s.c.lamps.lost()
		tasks.Go(func() { s.end(s.keepLamps(ctx)) })
	}
	if s.c.queues != nil {
		defer s.c.queues.lost()
		tasks.Go(func() { s.end(s.keepQueues(ctx)) })
	}
	tasks.Go(func() {
		select {
		case <-s.conn.Done():
			s.end(s.conn.Err())
		case <-ctx.Done():
		}
	})
	<-ctx.Done()
	err = context.Cause(ctx)
	_ = s.conn.Close() // always nil; from here on the reader reports nothing
	tasks.Wait()
	if s.goodbye && errors.Is(err, ami.ErrClosed) {
		err = errShutdown
	}

	s.mu.Lock()
	opened = s.opened
	s.mu.Unlock()
	s.c.ami.closed(err)
	if opened {
		s.c.log.Debug("session over", zap.Uint64("malformed", s.malformed.Load()), zap.Uint64("invalid", s.invalid.Load()))
		s.c.leave(s, err)
	}
	return opened, err
}

// report tells the sink.
func (s *session) report(r connector.Report) { s.c.tell(s, r) }

// tell reports the event that the reader hands out.
func (s *session) tell(r connector.Report) {
	if s.c.cfg.AMI.Timed {
		r.Held = time.Since(s.conn.Came())
	}
	s.report(r)
}

func (s *session) side() *side { return &s.c.ami }

// silence has nothing to do: whoever takes the floor from a session of AMI has
// closed its connection.
func (s *session) silence(error) {}

// event takes what the PBX sends unasked. It runs on the reader.
func (s *session) event(e ami.Event) {
	switch {
	case e.Is("PresenceStateChange"):
		s.changed(e)
	case e.Is("DeviceStateChange"):
		s.deviceChanged(e)
	case e.Is("QueueMemberPause"), e.Is("QueueMemberAdded"), e.Is("QueueMemberRemoved"):
		s.memberTold(e)
	case e.Is("FullyBooted"):
		if !s.announced {
			s.announced = true
			close(s.booted)
		}
	case e.Is("Shutdown"):
		s.goodbye = true // only a reason: a forged one must not end sessions
	case e.Is("Load"):
		s.loadedModule(string(e.Bytes("Module")))
	}
}

// loadedModule wants to know what happened while a module that makes events was not
// there: one that was back before the next canary nobody has missed.
func (s *session) loadedModule(name string) {
	switch name {
	case "res_manager_presencestate.so", "res_manager_devicestate.so":
		s.c.log.Debug("module loaded, everything is read again", zap.String("pbx", s.c.cfg.Name), zap.String("module", name))
		s.relist()
	}
}

// changed takes a live PresenceStateChange.
func (s *session) changed(e ami.Event) {
	presentity, status, subtype, message := fields(e)
	if presentity == nil {
		s.refuse(errFields)
		return
	}
	s.mu.Lock()
	opened, taking := s.opened, s.snapshot
	s.mu.Unlock()
	if !opened && taking == nil {
		return // before the first list everything is in that list
	}
	if string(presentity) == s.c.canary {
		s.canarySeen(string(message))
		return
	}
	number := s.translate.number(presentity)
	p, ok := s.said(number, status, subtype, message)
	if !ok {
		return
	}
	if taking != nil {
		taking.live[number] = p
	}
	if opened {
		s.tell(connector.Report{Kind: connector.Changed, Extension: s.extension(number), Presence: p})
	}
}

// said translates what an event or item of a list says of an extension. ok is false
// where number is "", which is none, or what it says is nothing valid.
func (s *session) said(number string, status, subtype, message []byte) (p presence.Presence, ok bool) {
	if number == "" {
		return presence.Presence{}, false
	}
	if p, ok = s.translate.presence(status, subtype, message); !ok {
		s.ignore(number, string(status))
	}
	return p, ok
}

// fields returns what Asterisk prints last in every PresenceStateChange, or nil if
// it is not there: then somebody has put a line break into a presentity, which
// Asterisk does not escape (main/presencestate.c:528).
func fields(e ami.Event) (presentity, status, subtype, message []byte) {
	if !e.EndsWith("Presentity", "Status", "Subtype", "Message") {
		return nil, nil, nil, nil
	}
	return e.Bytes("Presentity"), e.Bytes("Status"), e.Bytes("Subtype"), e.Bytes("Message")
}

// refuse notes a frame that no honest Asterisk sends. A snapshot that is being
// taken is not to be trusted then. A new one is wanted at once, so that what
// was forged around the frame does not stand; but not because of a frame in a
// list, which the next list would have again. It runs on the reader.
func (s *session) refuse(err error) {
	s.c.malformed()
	if s.malformed.Add(1) == 1 {
		s.c.log.Warn("frame refused, further ones of this session are only counted", zap.Error(err))
	}
	listed := errors.Is(err, ami.ErrInList)
	s.mu.Lock()
	if n := s.phones; n != nil {
		n.damaged = n.damaged || listed
	} else if n := s.snapshot; n != nil {
		n.damaged = n.damaged || listed
		n.broken = n.broken || !listed
	}
	s.mu.Unlock()
	if !listed {
		s.relist()
	}
}

// ignore notes a report of a state that is none.
func (s *session) ignore(number, status string) {
	if s.invalid.Add(1) == 1 {
		s.c.log.Warn("report without a valid state ignored, further ones of this session are only counted",
			zap.String("extension", number), zap.String("status", status))
	}
}

// doAll sends some actions, few enough not to fill the socket, and waits for all
// answers. answered is told what came of each; it runs on the reader. An error says
// that the session is over.
func (s *session) doAll(ctx context.Context, actions []ami.Action, answered func(i int, refused error)) error {
	answers := make(chan error, len(actions))
	for i, a := range actions {
		err := s.conn.Send(a, func(_ ami.Response, err error) {
			var refused *ami.ResponseError
			if err == nil || errors.As(err, &refused) {
				answered(i, err)
				err = nil
			}
			answers <- err
		})
		if err != nil {
			return err
		}
	}
	for range actions {
		select {
		case err := <-answers:
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// relist asks for a snapshot soon. Asking twice is asking once.
func (s *session) relist() {
	select {
	case s.lists <- struct{}{}:
	default:
	}
}

func (s *session) extension(number string) presence.ExtensionID {
	return presence.ExtensionID{PBX: s.c.cfg.Name, Number: number}
}
