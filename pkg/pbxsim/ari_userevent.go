package pbxsim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// UserEvent is what the application UserEvent does with these arguments on an
// ordinary channel, as ARI tells it. What AMI tells of it is not simulated.
func (p *PBX) UserEvent(arguments string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ari == nil {
		return
	}
	parts := strings.Split(arguments, ",")
	event := object{{"eventname", parts[0]}}
	for _, part := range parts[1:] {
		if name, value, ok := strings.Cut(part, ":"); ok {
			event = event.set(name, strings.TrimSpace(value)) // eventname, too
		}
	}
	channel := p.callOf(arguments)
	for _, name := range slices.Sorted(maps.Keys(p.ari.apps)) {
		if a := p.ari.apps[name]; a.all || a.channels {
			p.tellApp(a, "ChannelUserevent", object{
				{"type", "ChannelUserevent"}, {"timestamp", timestamp()}, {"eventname", event[0].value}, {"userevent", event},
				{"channel", channel}, {"asterisk_id", entityID}, {"application", name},
			})
		}
	}
}

// callOf is a channel of pbxtest's Dial that runs UserEvent.
func (p *PBX) callOf(arguments string) object {
	number, now := p.ari.created, time.Now()
	p.ari.created++
	return object{
		{"id", fmt.Sprintf("%d.%d", now.Unix(), 2*number+1)}, {"name", fmt.Sprintf("Local/call@dialler-%08x;2", number)}, {"state", "Ring"}, {"protocol_id", ""},
		{"caller", object{{"name", ""}, {"number", "1001"}}}, {"connected", object{{"name", ""}, {"number", ""}}}, {"accountcode", ""},
		{"dialplan", object{{"context", "userevent"}, {"exten", "1"}, {"priority", 1}, {"app_name", "UserEvent"}, {"app_data", arguments}}},
		{"creationtime", stamp(now)}, {"language", "en"},
	}
}
