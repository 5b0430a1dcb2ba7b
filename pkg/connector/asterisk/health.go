package asterisk

import (
	"time"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/message"
)

// side is what is known of one transport. All but the first two fields are under
// Connector.mu.
type side struct {
	c    *Connector
	name string // ami or ari

	connected bool
	away      bool            // the last try to log in did not succeed
	reason    message.Message // why it has no session, or what is wrong with it; zero: nothing
	trouble   message.Message // the last one logged; zero since all was well
}

func newSide(c *Connector, name string) side {
	return side{c: c, name: name, away: true, reason: message.Message{Text: "not connected yet", Key: message.As("pbx.not_yet")}}
}

// Health tells how things are now.
func (c *Connector) Health() connector.Health {
	open := ""
	if t := c.turn.Load(); t != nil {
		open = t.side().name
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	h := connector.Health{
		PBX: c.cfg.Name, Connected: c.ami.connected || c.ari.connected, Ready: open != "", Transport: open,
		Version: c.version, Malformed: c.refused, Sessions: c.sessions, Snapshot: c.took,
	}
	note := func(before, why message.Message) {
		if why.Text == "" {
			return
		}
		if before.Text != "" {
			before.Leads = true
			h.Told = append(h.Told, before)
		}
		h.Told = append(h.Told, why)
	}
	plain := message.Message{}
	switch {
	case open == c.ami.name:
		note(plain, c.ami.reason)
		note(plain, c.unheard)
		note(plain, c.unpaused)
		if c.hasARI() && !c.ari.connected {
			note(message.Message{Text: "ARI could not stand in for AMI", Key: message.As("pbx.no_stand_in")}, c.ari.trouble)
		}
	case open == c.ari.name && c.hasAMI():
		note(message.Message{Text: "AMI is down, presence is followed over ARI", Key: message.As("pbx.stands_in")}, c.ami.reason)
		note(plain, c.unheard)
	case open == c.ari.name:
		note(plain, c.unheard)
	default:
		if c.hasAMI() {
			note(plain, c.ami.reason)
		}
		if c.hasARI() {
			before := plain
			if c.hasAMI() {
				before = message.Message{Text: "over ARI", Key: message.As("pbx.over_ari")}
			}
			note(before, c.ari.reason)
		}
	}
	h.Reason = message.Join(h.Told)
	return h
}

// entered notes a login. What kept an earlier session from being ready stays the
// reason until it is known to be over.
func (s *side) entered() {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.away {
		s.away = false
		s.reason = message.Message{Text: "connected, waiting for the first snapshot", Key: message.As("pbx.waiting")}
	}
	s.connected = true
}

// notEntered notes that there was no login.
func (s *side) notEntered() {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.away = true
}

// greeted notes who has been connected to.
func (s *side) greeted(version string) {
	s.c.mu.Lock()
	s.c.version = version
	s.c.mu.Unlock()
	s.c.log.Info("connected", zap.String("over", s.name), zap.String("version", version))
}

// complain notes why there is no session. It logs each trouble once, however
// often the same one comes back.
func (s *side) complain(what string, err error, facts ...zap.Field) {
	why := reason(err)
	ready := false
	if t := s.c.turn.Load(); t != nil {
		ready = t.side() == s
	}
	s.c.mu.Lock()
	news := s.trouble.Text != why.Text
	s.trouble = why
	if !ready {
		s.reason = why
	}
	s.c.mu.Unlock()
	level := zap.DebugLevel
	if news {
		level = zap.WarnLevel
	}
	s.c.log.Log(level, what, append(facts, zap.String("over", s.name), zap.Error(err), zap.String("hint", advice(err)))...)
}

// well notes that nothing is wrong.
func (s *side) well() {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.trouble, s.reason = message.Message{}, message.Message{}
}

// opened notes that a session is open, and numbers it.
func (s *side) opened() (session uint64) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.trouble = message.Message{}
	s.c.sessions++
	return s.c.sessions
}

// closed notes that the connection is over.
func (s *side) closed(why error) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.connected, s.reason = false, reason(why)
}

// snapshotTook notes how long one took that was complete.
func (c *Connector) snapshotTook(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.took = d
}

// malformed counts a frame or message that was refused.
func (c *Connector) malformed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused++
}

// phoneTrouble notes why phones are not followed, nor lamps set, nil if they are. It
// logs that once, until it is over.
func (c *Connector) phoneTrouble(err error) {
	var why message.Message
	if err != nil {
		why = reason(err)
	}
	c.mu.Lock()
	before := c.unheard
	c.unheard = why
	c.mu.Unlock()
	switch {
	case err != nil && why.Text != before.Text:
		c.log.Warn("devices are not followed", zap.Error(err), zap.String("hint", advice(err)))
	case err == nil && before.Text != "":
		c.log.Info("devices are followed again")
	}
}

// queueTrouble notes why members of queues are not paused, nil if they are. It logs
// that once, until it is over.
func (c *Connector) queueTrouble(err error) {
	var why message.Message
	if err != nil {
		why = reason(err)
	}
	c.mu.Lock()
	before := c.unpaused
	c.unpaused = why
	c.mu.Unlock()
	switch {
	case err != nil && why.Text != before.Text:
		c.log.Warn("members of queues are not paused", zap.Error(err), zap.String("hint", advice(err)))
	case err == nil && before.Text != "":
		c.log.Info("members of queues are paused again")
	}
}

// listing notes, of a session of AMI that is ready, whether the list is damaged. It
// logs that once, however often the bridge connects, until the damage is gone.
func (c *Connector) listing(damaged bool) {
	c.mu.Lock()
	before := c.damaged
	c.damaged, c.ami.reason = damaged, message.Message{}
	if damaged {
		c.ami.reason = reason(errDamaged)
	}
	c.mu.Unlock()
	switch {
	case damaged && !before:
		c.log.Warn("the list of presences is damaged", zap.Error(errDamaged), zap.String("hint", advice(errDamaged)))
	case before && !damaged:
		c.log.Info("the list of presences is intact again")
	}
}
