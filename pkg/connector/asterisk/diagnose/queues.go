package diagnose

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/presencebridge/presencebridge/pkg/ami"
)

// queues tries what pausing members of queues needs, as far as that goes without
// pausing anybody. Presence works without it, so that nothing here is a failure.
func (x *examination) queues(ctx context.Context) Step {
	var members []string
	_, err := x.conn.List(ctx, ami.QueueStatus(), "QueueStatusComplete", func(e ami.Event) {
		if e.Is("QueueMember") {
			members = append(members, e.Get("Location"))
		}
	})
	var answer *ami.ResponseError
	switch {
	case errors.As(err, &answer) && strings.HasPrefix(answer.Message, "Invalid/unknown command"):
		return warning("nobody is paused with a status: Asterisk does not know QueueStatus, as app_queue.so is not loaded",
			"write this line, remove a noload line of that module, and run: asterisk -rx 'module load app_queue.so'", load("app_queue.so"))
	case errors.Is(err, ami.ErrIncomplete):
		return warning("nobody is paused with a status: the list of queues is not whole: the connection broke, or somebody in it has a line break in a name",
			"run doctor again; look for odd names with: asterisk -rx 'queue show'")
	case err != nil:
		denied := x.denied(err, "list queues")
		denied.Result = Warning
		return denied
	}
	// Whoever has the right is told that there is nobody.
	if nobody, err := ami.PauseMember("presencebridge-doctor", "Custom/presencebridge-nobody", false, ""); err == nil {
		if _, err = x.conn.Do(ctx, nobody); err != nil && (!errors.As(err, &answer) || strings.EqualFold(answer.Message, "Permission denied")) {
			return x.mayNotPause(err)
		}
	}
	return x.members(members)
}

// mayNotPause says why a pause was not taken.
func (x *examination) mayNotPause(err error) Step {
	denied := x.denied(err, "pause members of queues")
	denied.Result = Warning
	if len(denied.Fix) > 0 {
		denied.Fix = []Fix{x.account(append([]string{x.rights(readRights), x.rights(writeRights)}, x.version.filters(true)...)...)}
	}
	return denied
}

// members tells how many of them are extensions of the mapping.
func (x *examination) members(found []string) Step {
	of := make(map[string]bool)
	for _, number := range x.cfg.Extensions {
		for _, template := range x.cfg.Members {
			of[strings.Replace(template, "{extension}", number, 1)] = true
		}
	}
	theirs, stranger := 0, ""
	for _, member := range found {
		if of[member] {
			theirs++
		} else if stranger == "" {
			stranger = member
		}
	}
	switch {
	case len(found) == 0:
		return Step{Result: Info, Says: "the account may pause members of queues; there are none now"}
	case theirs == 0:
		return warning(fmt.Sprintf("none of %d members of queues is an extension of the mapping: one is %q", len(found), stranger),
			"write into queue_members of presencebridge.yaml what `queue show` calls them, with {extension} where the number stands")
	}
	return ok(fmt.Sprintf("the account may pause members of queues; %d of %d are extensions of the mapping. Whether it is told of them (read = agent, and the eventfilter lines) "+
		"cannot be tried without pausing somebody: the bridge says so in presencebridge status", theirs, len(found)))
}
