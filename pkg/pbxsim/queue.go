package pbxsim

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Member is who takes calls of a queue.
type Member struct {
	Queue     string
	Interface string // "PJSIP/1001", "Local/1001@from-queue/n"
	Name      string // "": the interface
	Dynamic   bool   // it was added by somebody, and Asterisk keeps it with its pause; else it stands in queues.conf
	Paused    bool
	Reason    string // of the pause
}

// maxQueueReason is what app_queue keeps of a reason (apps/app_queue.c, struct member).
const maxQueueReason = 79

// queueMember is a member with what its events tell beside.
type queueMember struct {
	Member
	since, pausedAt time.Time
}

// Members returns all members, in the order of the queues.
func (p *PBX) Members() []Member {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]Member, len(p.members))
	for i, m := range p.members {
		all[i] = m.Member
	}
	return all
}

// AddMember adds a member as an agent who logs in does.
func (p *PBX) AddMember(m Member) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m.Dynamic = true; p.member(m.Queue, m.Interface) == nil {
		p.addMember(m)
	}
}

// RemoveMember removes one as an agent who logs out does.
func (p *PBX) RemoveMember(queue, iface string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m := p.member(queue, iface); m != nil {
		p.removeMember(m)
	}
}

// PauseMember pauses a member, or lets it go on, as a supervisor would; an empty queue
// is all of them. It tells whether there is such a member.
func (p *PBX) PauseMember(queue, iface string, paused bool, reason string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pauseMembers(queue, iface, paused, reason)
}

// ReloadQueues reads a queues.conf that was changed: who stands there keeps a pause and
// loses its reason, and no event tells (transcripts 16-queues and 22-queues).
func (p *PBX) ReloadQueues() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.members {
		if !m.Dynamic {
			m.Reason = ""
		}
		if !m.Dynamic && m.Paused {
			m.pausedAt = time.Now()
		}
	}
}

// bootQueues reads queues.conf, where nobody is paused, and what the AstDB has of others.
func (p *PBX) bootQueues() {
	for _, m := range p.members {
		m.since, m.pausedAt = p.started, time.Time{}
		if !m.Dynamic {
			m.Paused, m.Reason = false, ""
		} else if m.Paused {
			m.pausedAt = p.started
		}
	}
}

func (p *PBX) member(queue, iface string) *queueMember {
	i := slices.IndexFunc(p.members, func(m *queueMember) bool { return m.Queue == queue && strings.EqualFold(m.Interface, iface) })
	if i < 0 {
		return nil
	}
	return p.members[i]
}

// addMember takes in somebody who is not there yet.
func (p *PBX) addMember(m Member) {
	if m.Name == "" {
		m.Name = m.Interface
	}
	added := &queueMember{Member: m, since: time.Now()}
	p.members = append(p.members, added)
	p.tellMember("QueueMemberAdded", added, "")
}

func (p *PBX) removeMember(m *queueMember) {
	p.members = slices.DeleteFunc(p.members, func(other *queueMember) bool { return other == m })
	p.tellMember("QueueMemberRemoved", m, "")
}

// pauseMembers tells of every member, changed or not.
func (p *PBX) pauseMembers(queue, iface string, paused bool, reason string) (found bool) {
	for _, m := range p.members {
		if !strings.EqualFold(m.Interface, iface) || queue != "" && m.Queue != queue {
			continue
		}
		found = true
		m.Paused, m.Reason = paused, cut(reason, maxQueueReason)
		if paused {
			m.pausedAt = time.Now()
		} else if !p.release.modern {
			m.Reason = "" // told once more, in a header of its own
		}
		last := ""
		if !p.release.modern && reason != "" {
			last = "Reason: " + reason + "\r\n"
		}
		p.tellMember("QueueMemberPause", m, last)
	}
	return found
}

func (p *PBX) tellMember(event string, m *queueMember, last string) {
	p.broadcast(classAgent, fmt.Appendf(nil, "Event: %s\r\nPrivilege: agent,all\r\nQueue: %s\r\nMemberName: %s\r\nInterface: %s\r\n%sRinginuse: 1\r\nWrapuptime: 0\r\n%s\r\n",
		event, m.Queue, m.Name, m.Interface, m.lines(), last))
}

// lines are what events and lists have in common.
func (m *queueMember) lines() string {
	return fmt.Sprintf("StateInterface: %s\r\nMembership: %s\r\nPenalty: 0\r\nCallsTaken: 0\r\nLastCall: 0\r\nLastPause: %d\r\nLoginTime: %d\r\nInCall: 0\r\nStatus: 4\r\nPaused: %s\r\nPausedReason: %s\r\n",
		m.Interface, map[bool]string{true: "dynamic", false: "static"}[m.Dynamic], unixOrZero(m.pausedAt), unixOrZero(m.since),
		map[bool]string{true: "1", false: "0"}[m.Paused], m.Reason)
}

func unixOrZero(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// queueStatus lists queues in the order in which they got their first member.
func (s *session) queueStatus(a action) {
	s.respond(a, "Success", "EventList: start\r\nMessage: Queue status will follow\r\n")
	id, n := idLine(a), 0
	var told []string
	for _, first := range s.pbx.members {
		queue := first.Queue
		if slices.Contains(told, queue) || a.header("Queue") != "" && a.header("Queue") != queue {
			continue
		}
		told = append(told, queue)
		s.queue(fmt.Appendf(nil, "Event: QueueParams\r\nQueue: %s\r\nMax: 0\r\nStrategy: ringall\r\nCalls: 0\r\nHoldtime: 0\r\nTalkTime: 0\r\nCompleted: 0\r\nAbandoned: 0\r\nServiceLevel: 0\r\nServicelevelPerf: 0.0\r\nServicelevelPerf2: 0.0\r\nWeight: 0\r\n%s\r\n", queue, id))
		n++
		for _, m := range s.pbx.members {
			if m.Queue == queue {
				s.queue(fmt.Appendf(nil, "Event: QueueMember\r\nQueue: %s\r\nName: %s\r\nLocation: %s\r\n%sWrapuptime: 0\r\n%s\r\n", queue, m.Name, m.Interface, m.lines(), id))
				n++
			}
		}
	}
	s.queue(fmt.Appendf(nil, "Event: QueueStatusComplete\r\n%sEventList: Complete\r\nListItems: %d\r\n\r\n", id, n))
}

// queuePause is manager_pause_queue_member (apps/app_queue.c).
func (s *session) queuePause(a action) {
	iface, paused := a.header("Interface"), a.header("Paused")
	if iface == "" || paused == "" {
		s.failure(a, "Need 'Interface' and 'Paused' parameters.")
		return
	}
	on := slices.Contains([]string{"yes", "true", "y", "t", "1", "on"}, strings.ToLower(paused))
	p := s.pbx
	if !slices.ContainsFunc(p.members, func(m *queueMember) bool {
		return strings.EqualFold(m.Interface, iface) && (a.header("Queue") == "" || m.Queue == a.header("Queue"))
	}) {
		s.failure(a, "Interface not found")
		return
	}
	s.respond(a, "Success", "Message: Interface "+map[bool]string{true: "", false: "un"}[on]+"paused successfully\r\n")
	p.pauseMembers(a.header("Queue"), iface, on, a.header("Reason"))
}

// queueAdd and queueRemove are for agents who log in and out.
func (s *session) queueAdd(a action) {
	m := Member{Queue: a.header("Queue"), Interface: a.header("Interface"), Name: a.header("MemberName"), Dynamic: true}
	if s.pbx.member(m.Queue, m.Interface) != nil {
		s.failure(a, "Unable to add interface: Already there")
		return
	}
	s.respond(a, "Success", "Message: Added interface to queue\r\n")
	s.pbx.addMember(m)
}

func (s *session) queueRemove(a action) {
	m := s.pbx.member(a.header("Queue"), a.header("Interface"))
	if m == nil {
		s.failure(a, "Unable to remove interface: Not there")
		return
	}
	s.respond(a, "Success", "Message: Removed interface from queue\r\n")
	s.pbx.removeMember(m)
}
