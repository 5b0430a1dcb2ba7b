package presence

import "time"

// This file smooths what phones do to the status faster than a person could. It is
// about what shows: what extensions show and say is known at once, so that nothing is
// lost and methods decide by it.

const (
	// paceBurst is how many changes in a row show at once.
	paceBurst = 5
	// paceEvery is how long it takes until one more does.
	paceEvery = 2 * time.Second
)

// Later is a status that does not show yet, as phones change it faster than a person
// could. It is never changed in place.
type Later struct {
	At     Time    `json:"at"`               // when it shows, or what it has become by then
	Chosen *Status `json:"chosen,omitempty"` // what was said or chosen; nil: nothing
}

// tooFast holds the status back where phones have used up what shows at once: then
// what showed goes on to show. A bucket of tokens, kept as the moment at which it is
// full again.
//
//	nothing new shows                     nothing is held back, or any more; whose
//	                                      phone is in the call is nothing new
//	a person, a return time or a reload   shows at once, and what was held back with it
//	there is a token                      shows at once
//	else                                  held back until there is one
func (s *step) tooFast(chosen, over *Status, overlaid bool) bool {
	v := s.v
	same := !v.Over && chosen.equals(v.Status)
	if overlaid {
		now := *over
		if v.Over {
			now.By = v.Status.By
		}
		same = v.Over && now.same(v.Status) && chosen.equals(v.Under)
	}
	if at := v.Pace.Add(-(paceBurst - 1) * paceEvery); !same && !s.free && s.now.Before(at) {
		s.holdBack(Later{at, chosen})
		return true
	}
	if !same && !s.free {
		v.Pace = later(v.Pace, s.now).Add(paceEvery)
	}
	if v.Later != nil {
		v.Later, s.fx.Durable = nil, true
	}
	return false
}

func (s *step) holdBack(l Later) {
	if old := s.v.Later; old == nil || *old != l {
		kept := l
		s.v.Later = &kept
		s.fx.HeldBack, s.fx.Durable = true, true
	}
}

func later(t, u Time) Time {
	if t.After(u) {
		return t
	}
	return u
}
