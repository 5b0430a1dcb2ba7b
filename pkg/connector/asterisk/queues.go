package asterisk

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/presencebridge/presencebridge/pkg/connector"
)

const (
	// mark begins the reason of every pause of ours. Asterisk keeps the reason with the
	// member, over restarts where it keeps the member (apps/app_queue.c, dump_queue_members),
	// so that nobody else has to remember what is ours.
	mark = "presencebridge"

	// maxReason is the longest reason that app_queue keeps (struct member).
	maxReason = 79

	// maxPauses is how many members are on the wire unanswered.
	maxPauses = 8
)

var _ connector.Queues = (*Connector)(nil)

// queues is who shall be paused in the queues of a PBX, and who is known to be. It
// outlives sessions.
//
//	wanted   the member is                        then
//	paused   not paused                           it is paused, unless somebody let it go on since it was wanted
//	paused   paused by us, for another status     its reason is set
//	not      paused by us                         it goes on
//	either   paused by somebody else              nothing
//
// It is looked at when what is wanted changes, when a member is added, when a pause of
// somebody else ends, and after each list; never because a pause of ours is ended: so
// whoever pauses and unpauses members as well is answered once, and nothing can go in a
// circle.
type queues struct {
	where []deviceTemplate
	wake  chan struct{} // of one place: something waits

	mu     sync.Mutex        // never held while the network is called
	agents map[string]*agent // by number: of whom something is wanted, or who is a member
	todo   []*member         // to look at, each once
	lists  uint64            // begun so far
	known  bool              // one was taken in the present session
	heard  bool              // an event has come in it
	deaf   bool              // one should have
}

// agent is an extension in the queues.
type agent struct {
	told    bool   // something is wanted
	want    string // why it shall be paused; "": it shall not be
	leave   bool   // it is nobody's: forgotten once what was paused goes on
	members []*member
}

// member is an agent in one queue, or under one of its names there.
type member struct {
	agent  *agent
	id     memberID
	paused bool
	reason string // why; of ours, if it begins with mark
	freed  bool   // somebody let it go on although it was wanted paused: left alone until something else is wanted
	waits  bool   // it is in todo
	owed   int    // writes of ours whose events have not come: until then events tell of what was before
	at     uint64 // how many lists had begun when it was last written, or told of
}

// memberID names a member as Asterisk does.
type memberID struct{ queue, location string }

// newQueues reads templates; nil where there are none.
func newQueues(templates []string) (*queues, error) {
	if len(templates) == 0 {
		return nil, nil
	}
	q := &queues{wake: make(chan struct{}, 1), agents: map[string]*agent{}}
	for _, t := range templates {
		where, ok, err := parseDevice(t)
		if err != nil || !ok {
			return nil, fmt.Errorf("member of queues %q: use what an extension is called there with %s where the number stands, such as PJSIP/%[2]s", t, placeholder)
		}
		q.where = append(q.where, where)
	}
	// Of PJSIP/{extension} and PJSIP/desk-{extension} the latter says more.
	slices.SortStableFunc(q.where, func(a, b deviceTemplate) int {
		return len(b.before) + len(b.after) - len(a.before) - len(a.after)
	})
	return q, nil
}

// Pause pauses the members that are an extension, or ends that.
func (c *Connector) Pause(number, why string) {
	if c.queues != nil {
		c.queues.want(number, pauseReason(why), false)
	}
}

// Unpause ends what was paused and leaves the extension alone.
func (c *Connector) Unpause(number string) {
	if c.queues != nil {
		c.queues.want(number, "", true)
	}
}

// pauseReason is what Asterisk and its queue_log keep of why: without what separates
// their fields, and cut.
func pauseReason(why string) string {
	if why == "" {
		return ""
	}
	text := mark + ": " + strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || strings.ContainsRune(";|,", r) || r == utf8.RuneError {
			return ' '
		}
		return r
	}, why)
	if len(text) <= maxReason {
		return text
	}
	text = text[:maxReason]
	for !utf8.ValidString(text) {
		text = text[:len(text)-1]
	}
	return text
}

// ours tells whether a reason is of a pause of ours.
func ours(reason string) bool { return reason == mark || strings.HasPrefix(reason, mark+":") }

// number returns the extension that a member is, "" if it is none.
func (q *queues) number(location string) string {
	for _, where := range q.where {
		end := len(location) - len(where.after)
		// Names of members have no case (apps/app_queue.c compares with strcasecmp).
		if end <= len(where.before) || !strings.EqualFold(location[:len(where.before)], where.before) || !strings.EqualFold(location[end:], where.after) {
			continue
		}
		number := location[len(where.before):end]
		if len(number) <= maxName && !strings.ContainsFunc(number, func(r rune) bool { return r > unicode.MaxASCII || !plain(byte(r)) }) {
			return number
		}
	}
	return ""
}

// agent returns that of a number. The caller holds mu.
func (q *queues) agent(number string) *agent {
	a := q.agents[number]
	if a == nil {
		a = &agent{}
		q.agents[number] = a
	}
	return a
}

// want notes what is wanted of an extension, and looks at its members.
func (q *queues) want(number, reason string, leave bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	a := q.agent(number)
	changed := !a.told || a.want != reason
	a.told, a.want, a.leave = true, reason, leave
	if !changed {
		return
	}
	for _, m := range a.members {
		m.freed = false
		q.consider(m)
	}
}

// consider queues a member with which something has to be done. The caller holds mu.
func (q *queues) consider(m *member) {
	if _, _, due := m.due(); !due || m.waits || !q.known {
		return
	}
	m.waits = true
	q.todo = append(q.todo, m)
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// due tells what has to be done with a member, if something has to.
func (m *member) due() (paused bool, reason string, due bool) {
	want := m.agent.want
	switch {
	case !m.agent.told, m.paused && !ours(m.reason):
	case want != "" && !m.paused && !m.freed, want != "" && m.paused && m.reason != want:
		return true, want, true
	case want == "" && m.paused:
		return false, mark, true
	}
	return false, "", false
}

// memberWrite is a write on its way.
type memberWrite struct {
	member *member
	paused bool
	reason string
}

// next takes up to maxPauses out of the queue. They count as done from here on.
func (q *queues) next() (batch []memberWrite) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.todo) > 0 && len(batch) < maxPauses {
		m := q.todo[0]
		q.todo = q.todo[1:]
		m.waits = false
		if m.agent.find(m.id) != m {
			continue // it has gone, and perhaps come again
		}
		if paused, reason, due := m.due(); due {
			m.paused, m.reason, m.at = paused, reason, q.lists
			m.owed++
			batch = append(batch, memberWrite{m, paused, reason})
		}
	}
	if len(q.todo) == 0 {
		q.todo = nil
	}
	return batch
}

// refused notes that a write was not taken: it is not tried again before a list.
func (q *queues) refused(w memberWrite) {
	q.mu.Lock()
	defer q.mu.Unlock()
	a := w.member.agent
	a.members = slices.DeleteFunc(a.members, func(m *member) bool { return m == w.member })
}

// lost notes that the session is over, and with it what was to be told.
func (q *queues) lost() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.known, q.heard, q.deaf, q.todo = false, false, false, nil
	for _, a := range q.agents {
		for _, m := range a.members {
			m.waits, m.owed = false, 0
		}
	}
}

// find returns a member of an agent, nil if there is none of that name.
func (a *agent) find(id memberID) *member {
	for _, m := range a.members {
		if m.id == id {
			return m
		}
	}
	return nil
}

// told takes what the event of a pause says of a member.
func (q *queues) told(number string, id memberID, paused bool, reason string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.heard = true
	a := q.agent(number)
	m := a.find(id)
	wasOurs := m == nil // so new that no list has told of it: who lets it go on knows why
	switch {
	case m == nil:
		m = &member{agent: a, id: id}
		a.members = append(a.members, m)
	case m.owed > 0 && !ours(reason):
		return // it was before what we wrote
	case m.owed > 0:
		if m.owed--; m.owed > 0 {
			return
		}
	default:
		wasOurs = m.paused && ours(m.reason)
	}
	m.paused, m.reason, m.at = paused, reason, q.lists
	switch {
	case paused:
		m.freed = false
	case ours(reason) || a.want == "":
	case wasOurs:
		m.freed = true
	default: // a pause of their own is over, and the status is not
		q.consider(m)
	}
}

// added takes that there is a member now.
func (q *queues) added(number string, id memberID, paused bool, reason string) {
	q.removed(number, id)
	q.mu.Lock()
	defer q.mu.Unlock()
	a := q.agent(number)
	m := &member{agent: a, id: id, paused: paused, reason: reason, at: q.lists}
	a.members = append(a.members, m)
	q.consider(m)
}

// removed takes that there is none any more.
func (q *queues) removed(number string, id memberID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.heard = true
	if a := q.agents[number]; a != nil {
		a.members = slices.DeleteFunc(a.members, func(m *member) bool { return m.id == id })
	}
}

// memberList is a list of members, while it is taken.
type memberList struct {
	began   uint64
	found   map[memberID]listed // the reader's until the list is complete
	partial bool                // there may be more
}

// listed is what a list says of one member.
type listed struct {
	number, reason string
	paused         bool
}

func (q *queues) list() *memberList {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.lists++
	return &memberList{began: q.lists, found: make(map[memberID]listed)}
}

// deliver takes over what a list says, but for what was written or told of since it
// began, and looks at everybody. deaf tells that no event has come, although some should.
func (q *queues) deliver(n *memberList) (deaf bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for id, found := range n.found {
		a := q.agent(found.number)
		m := a.find(id)
		if m == nil {
			m = &member{agent: a, id: id}
			a.members = append(a.members, m)
		} else if m.at >= n.began {
			continue
		}
		q.deaf = q.deaf || m.owed > 0
		m.take(found)
		m.at = n.began
	}
	q.known = true
	for number, a := range q.agents {
		if !n.partial {
			a.members = slices.DeleteFunc(a.members, func(m *member) bool { return m.at < n.began })
		}
		busy := false
		for _, m := range a.members {
			q.consider(m)
			busy = busy || m.waits
		}
		if a.leave && !busy {
			a.told = false
		}
		if !a.told && len(a.members) == 0 {
			delete(q.agents, number)
		}
	}
	return q.deaf && !q.heard
}

// take takes over what a list says. A reload of a queues.conf that was changed keeps who
// is paused and forgets why, without an event (measured on 16.28 and 22.10.1): a pause
// that was ours is still.
func (m *member) take(found listed) {
	if found.paused && found.reason == "" && m.paused && ours(m.reason) {
		found.reason = mark
	}
	m.paused, m.reason, m.owed = found.paused, found.reason, 0
	m.freed = m.freed && !m.paused
}
