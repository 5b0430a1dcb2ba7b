package pbxtest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/presencebridge/presencebridge/pkg/pbxsim"
)

// queueModules are what a real Asterisk needs to have queues.
const queueModules = "load = app_queue.so\n"

// queuesConf has the queues of some members.
func queuesConf(members []pbxsim.Member) string {
	var b strings.Builder
	b.WriteString("[general]\npersistentmembers = yes\n")
	begun := make(map[string]bool)
	for _, m := range members {
		again := map[bool]string{true: "(+)"}[begun[m.Queue]]
		fmt.Fprintf(&b, "[%s]%s\nmember => %s,0,%s\n", m.Queue, again, m.Interface, m.Name)
		begun[m.Queue] = true
	}
	return b.String()
}

// ReloadQueues has it read a queues.conf that was changed.
func (p *Simulated) ReloadQueues() { p.Sim.ReloadQueues() }

// ReloadQueues has it read a queues.conf that was changed: an unchanged one it does not read.
func (p *Real) ReloadQueues() {
	p.t.Helper()
	file := filepath.Join(p.dir, "etc", "queues.conf")
	text, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, append(text, "; changed\n"...), 0o644)
	}
	if err == nil {
		_, err = p.cli("queue reload all")
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// withAgents gives the bridge and the phone the right to pause members.
func withAgents(users []pbxsim.User) []pbxsim.User {
	users = slices.Clone(users)
	for i, u := range users {
		if u.Name == "bridge" || u.Name == "phone" {
			users[i].Read += ",agent"
			users[i].Write += ",agent"
		}
	}
	return users
}

// PauseMember pauses a member of a queue, or lets it go on, as a supervisor does.
func (o *Observer) PauseMember(queue, iface string, paused bool, reason string) error {
	return o.agent(map[string]string{"Action": "QueuePause", "Queue": queue, "Interface": iface, "Paused": fmt.Sprint(paused), "Reason": reason})
}

// AddMember logs an agent in to a queue.
func (o *Observer) AddMember(queue, iface string) error {
	return o.agent(map[string]string{"Action": "QueueAdd", "Queue": queue, "Interface": iface})
}

// RemoveMember logs an agent out.
func (o *Observer) RemoveMember(queue, iface string) error {
	return o.agent(map[string]string{"Action": "QueueRemove", "Queue": queue, "Interface": iface})
}

func (o *Observer) agent(action map[string]string) error {
	what := action["Action"] + " " + action["Interface"]
	answer, err := o.action(action)
	if err == nil && answer["Response"] != "Success" {
		err = errors.New(answer["Message"])
	}
	if err != nil {
		return fmt.Errorf("observer asks for %s: %w", what, err)
	}
	return nil
}

// Member asks whether a member of a queue is paused, and why.
func (o *Observer) Member(queue, iface string) (paused bool, reason string, err error) {
	o.mu.Lock()
	delete(o.members, queue+" "+iface)
	o.mu.Unlock()
	// amigo gives the answer to who asks and the items of the list to handlers.
	if _, err := o.action(map[string]string{"Action": "QueueStatus", "Queue": queue, "Member": iface}); err != nil {
		return false, "", fmt.Errorf("observer asks for the members of %s: %w", queue, err)
	}
	err = poll(o.deadline, func() bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		m, ok := o.members[queue+" "+iface]
		paused, reason = m.Paused, m.Reason
		return ok
	})
	return paused, reason, err
}

// noteMember is amigo's handler: it must not ask anything.
func (o *Observer) noteMember(event map[string]string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.members == nil {
		o.members = make(map[string]pbxsim.Member)
	}
	m := pbxsim.Member{Queue: event["Queue"], Interface: event["Location"], Paused: event["Paused"] == "1", Reason: event["PausedReason"]}
	o.members[m.Queue+" "+m.Interface] = m
}
