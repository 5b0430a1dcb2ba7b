package presence

import "time"

// Rule says why an extension won, or did not.
type Rule string

// The rules: of a winner, of what wins without one, of a loser.
const (
	WonDefault  Rule = "it is the default extension"
	WonLatest   Rule = "it spoke most recently"
	WonPriority Rule = "its status ranks highest"
	WonHold     Rule = "it was chosen, and phones do not show it"
	WonNothing  Rule = "nothing was said yet"

	LostSilent      Rule = "nobody has set a mapped presence on it"
	LostUnreachable Rule = "its PBX has been unreachable for too long"
	LostNotDefault  Rule = "it is not the default extension"
	LostEarlier     Rule = "it spoke earlier"
	LostRank        Rule = "its status ranks lower"
	LostTieDefault  Rule = "it spoke at the same moment, and the other is the default extension"
	LostTieOrder    Rule = "it spoke at the same moment, and the other stands first in the mapping"
	LostHold        Rule = "a status was chosen that phones do not show"
)

// candidate is an extension that a method looks at.
type candidate struct {
	x    *Extension
	def  bool // the default extension
	rank int  // of what it says; lower wins
	rule Rule // why it lost; "" while it counts
}

// method picks one of the candidates that count, -1 for none, and gives every
// other one the rule by which it lost.
type method func(all []candidate) (winner int, won Rule)

// methods are the incoming methods. A new one is a function and an entry here.
var methods = map[Method]method{
	Default:  byDefault,
	Latest:   func(all []candidate) (int, Rule) { return best(all, lostByTime), WonLatest },
	Priority: func(all []candidate) (int, Rule) { return best(all, lostByRank), WonPriority },
}

// byDefault: the default extension, whoever else spoke.
func byDefault(all []candidate) (int, Rule) {
	winner := -1
	for i := range all {
		switch c := &all[i]; {
		case c.rule != "":
		case c.def:
			winner = i
		default:
			c.rule = LostNotDefault
		}
	}
	return winner, WonDefault
}

// best finds the candidate that beats every other one. lost says why b loses
// against a; "" means that a loses. It is a total order.
func best(all []candidate, lost func(a, b *candidate) Rule) int {
	winner := -1
	for i := range all {
		if all[i].rule == "" && (winner < 0 || lost(&all[winner], &all[i]) == "") {
			winner = i
		}
	}
	for i := range all {
		if i != winner && all[i].rule == "" {
			all[i].rule = lost(&all[winner], &all[i])
		}
	}
	return winner
}

// lostByTime: the most recent wins; a tie goes to the default extension, then to
// the order of the mapping, in which a stands first unless b is the default.
func lostByTime(a, b *candidate) Rule {
	switch {
	case a.x.Said.Since.After(b.x.Said.Since):
		return LostEarlier
	case b.x.Said.Since.After(a.x.Said.Since), b.def:
		return ""
	case a.def:
		return LostTieDefault
	default:
		return LostTieOrder
	}
}

// lostByRank: the type that stands highest wins; a tie goes to the most recent.
func lostByRank(a, b *candidate) Rule {
	switch {
	case a.rank < b.rank:
		return LostRank
	case a.rank > b.rank:
		return ""
	default:
		return lostByTime(a, b)
	}
}

// weigh lets the method look at every extension. stale says that nobody counted
// because all are unreachable for too long; then what they said last still stands.
func (s *step) weigh() (all []candidate, winner int, won Rule, stale bool) {
	all, winner, won = s.weighAt(s.r.StaleAfter)
	if winner >= 0 {
		return all, winner, won, false
	}
	for i := range all {
		stale = stale || all[i].rule == LostUnreachable
	}
	if stale {
		all, winner, won = s.weighAt(0)
	}
	return all, winner, won, stale
}

func (s *step) weighAt(staleAfter time.Duration) (all []candidate, winner int, won Rule) {
	all = s.fx.candidates[:0]
	for i := range s.v.Extensions {
		x := &s.v.Extensions[i]
		c := candidate{x: x, def: i == s.r.Default, rank: s.r.Ranks.of(x.Said.Type)}
		switch {
		case x.Said.Since.IsZero():
			c.rule = LostSilent
		case staleAfter > 0 && s.reached(s.staleAt(x)):
			c.rule = LostUnreachable
		}
		all = append(all, c)
	}
	s.fx.candidates = all
	winner, won = methods[s.r.Incoming](all)
	return all, winner, won
}

// staleAt is when an unreachable extension no longer counts; zero: never. What
// was chosen while it was away is news, not a leftover.
func (s *step) staleAt(x *Extension) Time {
	if s.r.StaleAfter == 0 || x.Session != 0 || x.AwayAt.IsZero() {
		return Time{}
	}
	since := x.AwayAt
	if x.Said.Since.After(since) {
		since = x.Said.Since
	}
	return since.Add(s.r.StaleAfter)
}

// picked names the extension that the method picks; the zero value: none.
type picked struct {
	id    ExtensionID
	since Time
}

func pick(all []candidate, winner int) picked {
	if winner < 0 {
		return picked{}
	}
	return picked{all[winner].x.ID, all[winner].x.Said.Since}
}

var noType StatusType // of a line of the history that says that a user has no status any more

// outcome is what the user's status has to be, and by which rule. ok is false
// where nothing was said. It changes nothing: decide and Explain share it.
func (s *step) outcome() (st Status, rule Rule, held, ok bool) {
	all, winner, won, stale := s.weigh()
	if h := s.v.Hold; h != nil {
		over := pick(all, winner)
		if !s.r.Sync || over.id == h.Over && over.since.Equal(h.OverAt) {
			st = s.status(h.Type, h.Message, h.Since, h.Until, h.By)
			st.Label = s.v.label(ExtensionID{}, h.Since)
			return st, WonHold, true, true
		}
	}
	if winner < 0 {
		return Status{}, WonNothing, false, false
	}
	said := &all[winner].x.Said
	st = s.status(said.Type, said.message(), said.Since, said.Until, said.By)
	st.Label, st.Stale = s.v.label(all[winner].x.ID, said.Since), stale
	return st, won, false, true
}

func (s *step) status(id TypeID, message string, since, until Time, by string) Status {
	t, removed, ok := s.r.Types.Lookup(id)
	if !ok {
		t, removed = &StatusType{ID: id, Name: string(id)}, true
	}
	return Status{Type: t, Message: message, Since: since, Until: until, By: by, Removed: removed}
}

// decide makes the outcome the user's status, and lets the phones show over it,
// unless they do so faster than a person could.
func (s *step) decide() {
	s.followPhones()
	st, rule, held, ok := s.outcome()
	if !held && s.v.Hold != nil {
		s.v.Hold = nil
		s.fx.Durable = true
	}
	v, old := s.v, s.v.Status
	chosen := renewed(v.chosen(), st, ok)
	over, why, overlaid := s.overlay(chosen)
	by := s.by
	if v.Later != nil && chosen.equals(v.Later.Chosen) {
		by = "" // who said it did so earlier
	}
	if s.tooFast(chosen, &over, overlaid) {
		return
	}
	shown, under := chosen, (*Status)(nil)
	if overlaid {
		shown, under, rule = renewed(old, over, true), chosen, why
	}
	changed := !shown.equals(old) || !under.equals(v.Under) || overlaid != v.Over
	v.Status, v.Under, v.Over = shown, under, overlaid
	if !changed {
		return
	}
	s.fx.Changed = true
	if !shown.equals(old) {
		s.tell(old, shown, rule, by)
	}
}

// renewed returns old if it is st, so that a Step that changes nothing needs no
// memory; nil where there is no status. One with the type of the store, or of the
// mapping before, is renewed all the same: all shall share one.
func renewed(old *Status, st Status, ok bool) *Status {
	switch {
	case !ok:
		return nil
	case old != nil && st.same(old) && st.Type == old.Type:
		return old
	}
	changed := st // so that st stays off the heap when nothing changes
	return &changed
}

// tell writes a line of the history if the change belongs there.
// by is who did it, and "" who said it.
func (s *step) tell(old, st *Status, rule Rule, by string) {
	if st == nil {
		st = &Status{Type: &noType}
	} else if old != nil && !s.worthTelling(old, st) {
		return
	}
	if by == "" {
		by = st.By
	}
	s.fx.History = append(s.fx.History, Change{Status: *st, At: s.now, By: by, Rule: rule})
}

// worthTelling tells whether a change belongs into the history: new names and
// colours do not, nor does a time that a snapshot moved, nor that another phone joins
// a call.
func (s *step) worthTelling(old, st *Status) bool {
	return old.Type.ID != st.Type.ID || old.Message != st.Message || old.Label != st.Label || old.Removed != st.Removed ||
		!old.Until.Equal(st.Until) || !old.Since.Equal(st.Since) && s.in.Kind != Snapshot
}

// equals is same for what may be nil.
func (st *Status) equals(o *Status) bool {
	return st == o || st != nil && o != nil && st.same(o)
}

func (st *Status) same(o *Status) bool {
	return (st.Type == o.Type || st.Type.looksLike(o.Type)) &&
		st.Message == o.Message && st.Label == o.Label && st.By == o.By && st.Since.Equal(o.Since) && st.Until.Equal(o.Until) &&
		st.Removed == o.Removed && st.Stale == o.Stale
}

// looksLike tells whether a page shows both in the same way.
func (t *StatusType) looksLike(o *StatusType) bool {
	return t.ID == o.ID && t.Name == o.Name && t.Base == o.Base && t.Color == o.Color
}
