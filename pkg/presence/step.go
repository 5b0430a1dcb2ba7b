package presence

import (
	"slices"
	"time"
)

// InputKind says what an Input is.
type InputKind uint8

// The kinds of inputs. The fields they use stand behind them.
const (
	Event        InputKind = iota + 1 // Extension, Presence: the PBX sent an event
	Acked                             // Extension, Ask: the PBX took a write
	Refused                           // Extension, Ask: it did not
	Unsent                            // Extension, Ask: the write never reached a wire
	Answered                          // Extension, Ask, Presence: what a reading found; it may answer writes up to Ask
	Unreadable                        // Extension: the reading failed
	Snapshot                          // PBX, Session, NewLife, Shows, Late
	PhoneChanged                      // Extension, Phone: its device does something else
	PhonesListed                      // PBX, Phones: what every device does
	DNDChanged                        // Extension, On, Flicked: its DND device says something else
	DNDListed                         // PBX, DNDOf, DNDs: what every DND device says
	Loaded                            // PBX: its presence module was loaded again and repeated everything
	Down                              // PBX, Heard: the connection is lost
	Chosen                            // Type, Message, Label, Until, Open, By
	Saved                             // Version: the view of this version is in the store
	Tick                              // nothing but time has passed
	Reloaded                          // By: the rules are new, by the user's own settings or, "", by the mapping
	SignedIn                          // the user has opened a page
	SignedOut                         // Heard: the user has had no page open since then; zero: now
)

// Input is one thing that happened to a user. Presences are canonical.
type Input struct {
	Kind      InputKind
	Extension ExtensionID
	Presence  Presence
	Ask       uint64
	PBX       string
	Session   uint64
	NewLife   bool                // the PBX has restarted since its last session
	Shows     map[string]Presence // by number; missing means not_set
	Late      map[string]struct{} // the numbers that were written since those were listed
	Phone     PhoneState
	Phones    map[string]PhoneState // by number; missing means that the PBX has no such device; nil: nobody tells
	On        bool
	Flicked   bool            // it said the opposite in between
	DNDs      map[string]bool // by number; missing means off; nil: nobody tells
	DNDOf     string          // which devices those are, as a template; "": the PBX has none
	Type      TypeID
	Message   string
	Label     string // "": none
	Until     Time
	Open      bool // no return time, whatever the type's
	By        string
	Version   uint64
	Heard     Time // when the PBX was last heard of, as a loss may be noticed late; zero: now
	Wall      Time // the time of day, by which return times are judged; zero: now. A clock that was set back is behind now
}

// Order asks the shell to write or read an extension on a session of its PBX.
type Order struct {
	Read      bool
	Extension ExtensionID
	Session   uint64
	Ask       uint64 // names the write; for a reading: the newest write it may answer
	Presence  Presence
	DND       bool // write On to the DND device instead
	On        bool
}

// Change is a line of the history: what the status became and who or what made it so.
type Change struct {
	Status Status
	At     Time
	By     string
	Rule   Rule
}

// Effects is what Step wants done. A caller may use one again and again: Step
// empties it first.
type Effects struct {
	Orders  []Order
	History []Change
	Changed bool // a page shows something new; the version has risen
	Durable bool // the view has to be saved
	Heard   Verdict
	// HeldBack says that the status changed and does not show it yet: phones change it
	// faster than a person could.
	HeldBack bool

	candidates []candidate
}

const (
	// echoWait is how long a write may go without its event before it is read back.
	echoWait = 5 * time.Second
	// repeatWait is how long a repeat waits to be counted: long enough for a
	// module load, which repeats everything, to be recognised.
	repeatWait = 2 * time.Second
	// maxAsked bounds the writes of one extension that are under way; the newest
	// wish waits for its turn behind them.
	maxAsked = 16
	// maxBefore bounds the choices with a return time that lie under one another, the
	// lowest one aside.
	maxBefore = 8
)

// Step lets one thing happen to a user at a time that must be later than any time
// it was given before, in whole microseconds. It changes v and fills fx.
func (v *View) Step(in *Input, r *Rules, now Time, fx *Effects) {
	*fx = Effects{Orders: fx.Orders[:0], History: fx.History[:0], candidates: fx.candidates[:0]}
	s := step{v: v, r: r, now: now, fx: fx, in: in}
	s.run()
	if fx.Changed {
		v.Version++
		fx.Durable = true
	}
	v.Due, v.Ends = s.due(), v.ends()
}

// step is the working state of one Step.
type step struct {
	v   *View
	r   *Rules
	now Time
	fx  *Effects
	in  *Input
	by  string // who or what changes the status, where it is not who said it

	free bool // what changes the status is no phone, so that it shows at once
}

func (s *step) run() {
	in := s.in
	switch in.Kind {
	case Snapshot:
		s.snapshot()
	case PhonesListed:
		s.phonesListed()
	case DNDListed:
		s.dndListed()
	case Loaded, Down:
		s.lost()
	case Chosen:
		s.choose()
	case Saved:
		s.saved()
	case Tick:
		s.tick()
	case Reloaded:
		s.reload()
	case SignedIn, SignedOut:
		s.signed()
	default:
		i := s.v.find(in.Extension)
		if i < 0 {
			return // the mapping no longer has it
		}
		s.extension(&s.v.Extensions[i])
	}
	s.forgetLabels()
	s.decide()
	for i := range s.v.Extensions {
		s.pump(&s.v.Extensions[i])
		s.dndPump(&s.v.Extensions[i])
	}
}

// extension handles what concerns one extension only.
func (s *step) extension(x *Extension) {
	if s.dndAnswered(x) {
		return
	}
	switch in := s.in; in.Kind {
	case Event:
		s.hear(x, in.Presence, s.event(x, in.Presence))
	case Acked:
		s.acked(x)
	case Refused:
		s.refused(x)
	case Unsent:
		s.unsent(x)
	case Answered:
		s.answered(x)
	case Unreadable:
		s.unreadable(x)
	case PhoneChanged:
		x.Phone = in.Phone
	case DNDChanged:
		s.dndChanged(x)
	}
}

// event sorts one event by the rules of design.md section 2, in their order.
func (s *step) event(x *Extension, p Presence) Verdict {
	if len(x.Asked) > 0 && x.Asked[0].Acked && x.Asked[0].Presence == p {
		s.answer(x, x.Asked[0].ID)
		return Echo
	}
	if x.Known && x.Shows.is(p) && !s.countable(x) {
		return Repeat
	}
	if len(x.Asked) > 0 || x.Wish != nil && !x.Wish.refused() {
		return Older
	}
	return s.opinion(x, p)
}

// opinion is what a presence means that is neither ours nor older than ours.
func (s *step) opinion(x *Extension, p Presence) Verdict {
	x.Wish = nil // one that waits after a refusal is superseded
	if !s.r.Sync {
		return LeftAlone
	}
	var users TypeID
	if st := s.v.chosen(); st != nil {
		users = st.Type.ID
	}
	id, ok := s.r.Types.typeOf(p, x.Said.Type, users)
	if !ok {
		return Unmapped
	}
	if x.Known && x.Shows.is(p) && x.Said.Presence.is(p) && s.in.Kind == Event {
		x.RepeatAt = s.now // counted when no module load is recognised meanwhile
		return Repeat
	}
	s.say(x, s.lasting(x, Said{Presence: Keep(p), Type: id, Since: s.now, By: x.ID.by()}))
	return Accepted
}

// countable tells whether a repeat may be somebody pressing the same key again. What
// nobody has said cannot be said again.
func (s *step) countable(x *Extension) bool {
	return s.r.CountRepeats && !x.Said.Since.IsZero() && len(x.Asked) == 0 && x.Wish == nil && x.Said.Presence == x.Shows
}

func (s *step) say(x *Extension, said Said) {
	if x.DND != nil && said.dnd() && said.Before == nil {
		said.Before = x.beforeDND()
	}
	s.dndSet(x)
	x.Said, x.RepeatAt = said, Time{}
	s.fx.Changed = true
}

// hear notes a report, what became of it, and what the extension shows now.
func (s *step) hear(x *Extension, p Presence, as Verdict) {
	s.fx.Heard = as
	x.Heard = Heard{s.now, as}
	if !x.Known || !x.Shows.is(p) {
		if !x.Shows.is(p) { // to be known to show nothing is not to be set
			s.dndSet(x)
		}
		x.show(p, s.now)
		s.fx.Changed = true
	}
	if x.Session == 0 { // new in the mapping: nobody will tell when its PBX was last heard of
		x.forget(s.now)
	}
}

// answer closes the writes up to ask that the PBX took: they have happened.
func (s *step) answer(x *Extension, ask uint64) {
	x.Asked = slices.DeleteFunc(x.Asked, func(a Ask) bool { return a.ID <= ask && a.Acked })
	if len(x.Asked) == 0 {
		x.Asked = nil
	}
	s.fx.Durable = true
	if w := x.Wish; w != nil && w.Flying && w.Acked && w.Ask <= ask {
		x.Wish = nil
		s.fx.Changed = true // no longer pending
	}
}

func (s *step) acked(x *Extension) {
	i := slices.IndexFunc(x.Asked, func(a Ask) bool { return a.ID == s.in.Ask })
	if i < 0 {
		return
	}
	x.Asked[i].Acked, x.Asked[i].At = true, s.now
	if w := x.Wish; w != nil && w.Ask == s.in.Ask {
		w.Acked, w.Refusals = true, 0
	}
	s.fx.Durable = true
}

// forgetAsk removes a write that will not happen.
func (s *step) forgetAsk(x *Extension) (mine bool) {
	x.Asked = slices.DeleteFunc(x.Asked, func(a Ask) bool { return a.ID == s.in.Ask })
	if len(x.Asked) == 0 {
		x.Asked = nil
	}
	s.fx.Durable = true
	return x.Wish != nil && x.Wish.Ask == s.in.Ask
}

func (s *step) refused(x *Extension) {
	if !s.forgetAsk(x) {
		return
	}
	w := x.Wish
	w.Flying = false
	w.RetryAt = s.now.Add(min(time.Second<<min(w.Refusals, 6), time.Minute))
	w.Refusals++
}

func (s *step) unsent(x *Extension) {
	if s.forgetAsk(x) {
		x.Wish.Flying, x.Wish.Sent = false, x.Wish.Again
		x.Wish.RetryAt = s.now.Add(time.Second) // its session is over, and Down will tell so
		x.Wish.Refusals = 0                     // nobody refused it
	}
}

// answered takes what a reading found behind everything the PBX sent before. It
// answers the writes before it; what differs from the wish was set after it.
func (s *step) answered(x *Extension) {
	x.Reading = false
	p, wish := s.in.Presence, x.Wish
	s.answer(x, s.in.Ask)
	switch {
	case len(x.Asked) > 0 || x.Wish != nil:
		s.hear(x, p, Older)
	case wish != nil && p == wish.Presence:
		s.hear(x, p, Echo)
	case wish != nil || !x.Shows.is(p):
		s.hear(x, p, s.opinion(x, p))
	default:
		s.hear(x, p, Repeat)
	}
}

func (s *step) unreadable(x *Extension) {
	x.Reading = false
	for i := range x.Asked {
		if x.Asked[i].Acked {
			x.Asked[i].At = s.now
		}
	}
}

// lost handles Down, and Loaded: what a module load repeats is nobody's key.
func (s *step) lost() {
	for i := range s.v.Extensions {
		x := &s.v.Extensions[i]
		if x.ID.PBX != s.in.PBX {
			continue
		}
		x.RepeatAt = Time{}
		switch {
		case s.in.Kind != Down:
		case x.Session != 0:
			x.away(s.now, or(s.in.Heard, s.now))
			s.fx.Changed = true
		default: // new in the mapping, and its PBX was heard before it was listed
			x.forget(or(s.in.Heard, s.now))
			if x.DND != nil {
				x.DND.away(or(s.in.Heard, s.now))
				s.fx.Durable = true
			}
		}
	}
}

func or(t, otherwise Time) Time {
	if t.IsZero() {
		return otherwise
	}
	return t
}

// away takes the extension off its connection: writes that were not answered
// there never will be. heard is the last sign of life of its PBX.
func (x *Extension) away(now, heard Time) {
	x.Session, x.AwayAt, x.Asked, x.Reading, x.RepeatAt = 0, now, nil, false, Time{}
	x.forget(heard)
	if x.DND != nil {
		x.DND.away(heard)
	}
	if x.Wish != nil {
		x.Wish.Flying = false
	}
}

// Wake prepares a view that comes from the store: no PBX is connected. heard
// tells when each PBX was last heard of; a killed bridge left no better sign.
func (v *View) Wake(now Time, heard func(pbx string) Time) {
	for i := range v.Extensions {
		x := &v.Extensions[i]
		at, end := x.AwayAt, Time{} // what it had to forget it forgot when it was lost
		if at.IsZero() {
			at = now
			if end = heard(x.ID.PBX); !end.IsZero() {
				at = end
			}
		}
		x.away(at, end)
		if x.Wish != nil {
			x.Wish.Saved, x.Wish.RetryAt = true, Time{}
		}
	}
	v.Due = now
}

// Leave notes that the mapping lacks the user, until it is Reloaded with rules. It tells
// whether that is new.
func (v *View) Leave(now Time) bool {
	if !v.Gone.IsZero() {
		return false
	}
	v.Gone = now
	return true
}
