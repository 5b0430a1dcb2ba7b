package asterisk

import (
	"context"
	"errors"
	"fmt"

	"github.com/presencebridge/presencebridge/pkg/ami"
	"github.com/presencebridge/presencebridge/pkg/message"
)

// keepQueues pauses members of queues until the session ends, a few at a time.
func (s *session) keepQueues(ctx context.Context) error {
	return inBatches(ctx, s.c.queues.wake, s.c.queues.next, s.pauseMembers)
}

// pauseMembers writes and waits for the answers. An error ends the session.
func (s *session) pauseMembers(ctx context.Context, batch []memberWrite) error {
	actions := make([]ami.Action, 0, len(batch))
	sent := make([]memberWrite, 0, len(batch))
	for _, w := range batch {
		action, err := ami.PauseMember(w.member.id.queue, w.member.id.location, w.paused, w.reason)
		if err != nil { // a name that no action can carry
			s.notPaused(w, err)
			continue
		}
		actions, sent = append(actions, action), append(sent, w)
	}
	return s.doAll(ctx, actions, func(i int, refused error) {
		if refused != nil {
			s.notPaused(sent[i], refused)
		} else {
			s.idle.Store(false)
		}
	})
}

// notPaused notes a refusal. A member that is not there any more is none.
func (s *session) notPaused(w memberWrite, err error) {
	s.c.queues.refused(w)
	var refused *ami.ResponseError
	if !errors.As(err, &refused) || denied(refused) || unknown(refused) {
		s.idle.Store(true)
		s.c.queueTrouble(s.c.unpausable(err))
	}
}

// followQueues lists the members of all queues, if anybody wants to pause some. What
// keeps it from that is told to people; presence goes on without.
func (s *session) followQueues(ctx context.Context) {
	if s.c.queues == nil {
		return
	}
	n := s.c.queues.list()
	bad := 0 // reader only until the list is complete
	_, err := s.conn.List(ctx, ami.QueueStatus(), "QueueStatusComplete", func(e ami.Event) {
		if !e.Is("QueueMember") {
			return // a queue, or who waits in one
		}
		id, number, paused, reason, ok := s.memberFields(e, "Location")
		switch {
		case !ok:
			bad++
		case number != "":
			n.found[id] = listed{number: number, paused: paused, reason: reason}
		}
	})
	n.partial = bad > 0 || errors.Is(err, ami.ErrIncomplete)
	switch {
	case ctx.Err() != nil || errors.Is(err, ami.ErrClosed):
		return
	case n.partial:
		s.c.queues.deliver(n) // what it says is true, and nobody shall stay paused for another's name
		err = errMembersForged
	case err == nil && s.c.queues.deliver(n):
		err = s.c.deafToMembers()
	case err == nil && s.idle.Load():
		return // what keeps members from being paused is known
	}
	s.c.queueTrouble(s.c.unpausable(err))
}

// memberTold takes a live event about a member. It runs on the reader.
func (s *session) memberTold(e ami.Event) {
	q := s.c.queues
	if q == nil {
		return
	}
	id, number, paused, reason, ok := s.memberFields(e, "Interface")
	switch {
	case !ok:
		s.c.malformed()
		s.c.queueTrouble(errMembersForged)
	case number == "":
	case e.Is("QueueMemberRemoved"):
		q.removed(number, id)
	case e.Is("QueueMemberAdded"):
		q.added(number, id, paused, reason)
	default:
		q.told(number, id, paused, reason)
	}
}

// memberFields reads what an event or an item of a list says of a member; number is ""
// if it is no extension. Asterisk does not escape the names of members
// (apps/app_queue.c, queue_member_blob_create), so that one with a line break could say
// something else: ok is false where what is read stands there twice, or not at all.
//
// Before 18 the reason of an unpause is only in the header Reason (measured on 16.28).
func (s *session) memberFields(e ami.Event, location string) (id memberID, number string, paused bool, reason string, ok bool) {
	seen := map[string]int{}
	for name, value := range e.Headers() {
		switch name {
		case "Queue":
			id.queue = value
		case location:
			id.location = value
		case "Paused":
			paused = value == "1"
		case "PausedReason":
			reason = value
		default:
			continue
		}
		seen[name]++
	}
	if seen["Queue"] != 1 || seen[location] != 1 || seen["Paused"] != 1 || seen["PausedReason"] > 1 {
		return memberID{}, "", false, "", false
	}
	if reason == "" && !paused {
		reason = e.Get("Reason")
	}
	return id, s.c.queues.number(id.location), paused, reason, true
}

var (
	errMembers = errors.New("members of queues are not paused with a status")

	errMembersForged error = &problem{
		fmt.Errorf("%w: somebody has put line breaks into the name of one", errMembers),
		"find it with 'queue show' in the Asterisk CLI and remove it with 'queue remove member', and find out what names members so",
		message.As("pbx.members_forged"),
	}
)

// deafToMembers explains why nothing is heard of members.
func (c *Connector) deafToMembers() error {
	return &problem{
		fmt.Errorf("%w as it should be: events about them do not come, so that who logs in is paused late, and who is let go on by somebody is paused again", errMembers),
		fmt.Sprintf("set read = system,call,agent for [%s] in manager.conf, add eventfilter(action(include),name(QueueMemberPause)) = , the same for QueueMemberAdded and "+
			"QueueMemberRemoved if it has eventfilter lines, run 'manager reload' and restart the bridge", c.cfg.AMI.Username),
		message.As("pbx.members_deaf", "account", c.cfg.AMI.Username),
	}
}

// unpausable explains why members are not paused.
func (c *Connector) unpausable(err error) error {
	var refused *ami.ResponseError
	switch {
	case err == nil || errors.Is(err, errMembers):
		return err
	case errors.As(err, &refused) && denied(refused):
		return &problem{fmt.Errorf("%w: %w", errMembers, err),
			fmt.Sprintf("set read = system,call,agent and write = call,reporting,agent for [%s] in manager.conf, run 'manager reload' and restart the bridge", c.cfg.AMI.Username),
			message.As("pbx.members_denied", "account", c.cfg.AMI.Username)}
	case errors.As(err, &refused) && unknown(refused):
		return &problem{fmt.Errorf("%w: %w", errMembers, err), "run 'module load app_queue.so' in the Asterisk CLI, or remove queue_members from presencebridge.yaml", message.As("pbx.no_queues")}
	}
	return fmt.Errorf("%w: %w", errMembers, err)
}
