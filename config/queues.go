package config

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/presencebridge/presencebridge/pkg/message"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

const (
	exampleMember = "Local/" + extensionMark + "@from-queue/n" // as FreePBX names its agents
	maxMember     = 79                                         // of app_queue's struct member (apps/app_queue.c)
	maxMembers    = 8                                          // templates of one PBX
)

// readMembers reads what an extension is called as a member of queues: a template, or
// a list of them.
func readMembers(v value) []string {
	items := []value{v}
	switch {
	case v.missing():
		return nil
	case v.node.Kind != yaml.ScalarNode:
		items, _ = v.list()
	}
	if len(items) > maxMembers {
		v.fault(fmt.Sprintf("%d templates are more than can be compared with every member", len(items)), fmt.Sprintf("write at most %d", maxMembers))
		return nil
	}
	var members []string
	for _, item := range items {
		switch text := item.text(""); {
		case text == "":
		case strings.Count(text, extensionMark) != 1:
			item.fault(quote(text)+" does not say where the number stands", "put "+extensionMark+" there once, as in "+defaultDevice+" or "+exampleMember)
		case strings.HasPrefix(text, extensionMark) || !strings.Contains(text, "/"):
			item.fault(quote(text)+" is no member of a queue", "write it as `queue show` does, with "+extensionMark+" where the number stands: "+defaultDevice+" or "+exampleMember)
		case len(text) > maxMember || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(";|,", r) }):
			item.fault(quote(text)+" has characters that no member has, or is too long", fmt.Sprintf("write at most %d printable characters without spaces and ; | ,", maxMember))
		case slices.Contains(members, text):
			item.fault(quote(text)+" stands here twice", "remove one of them")
		default:
			members = append(members, text)
		}
	}
	return members
}

// warnOfQueues tells of pauses that nobody is asked for.
func (c *compiler) warnOfQueues(statuses value, list []presence.StatusType) {
	pauses := func(t presence.StatusType) bool { return t.QueuePause }
	queues := slices.ContainsFunc(c.pbxs, func(p PBX) bool { return len(p.Members) > 0 })
	switch i := slices.IndexFunc(list, pauses); {
	case i >= 0 && !queues && len(c.pbxs) > 0:
		statuses.warn(fmt.Sprintf("%s has queue_pause, and no PBX of presencebridge.yaml has queue_members, so that nobody is paused", list[i].ID),
			"write there what extensions are called in queues, for example queue_members: "+defaultDevice+", or remove queue_pause",
			message.As("rules.no_queues", "status", string(list[i].ID)))
	case i < 0 && queues:
		statuses.warn("no status has queue_pause, so that queue_members of presencebridge.yaml only ends what an earlier one paused",
			"give one queue_pause: true, or remove queue_members there", message.As("rules.no_pause"))
	}
}
