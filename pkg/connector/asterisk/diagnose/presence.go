package diagnose

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge/pkg/ami"
)

// shown bounds how many extensions a sentence names.
const shown = 10

// list reads all presentities, by their names as Asterisk keeps them.
func (x *examination) list(ctx context.Context) (map[string]bool, error) {
	found := make(map[string]bool)
	_, err := x.conn.List(ctx, ami.PresenceStateList(), "PresenceStateListComplete", func(e ami.Event) {
		found[key(e.Get("Presentity"))] = true
	})
	return found, err
}

// key folds the provider, which Asterisk takes in any case (funcs/func_presencestate.c:218).
func key(presentity string) string {
	provider, name, _ := strings.Cut(presentity, ":")
	return strings.ToLower(provider) + ":" + name
}

func (x *examination) presenceList(ctx context.Context) Step {
	found, err := x.list(ctx)
	var answer *ami.ResponseError
	switch {
	case errors.As(err, &answer) && strings.HasPrefix(answer.Message, "Invalid/unknown command"):
		return failed("Asterisk does not know PresenceStateList: res_manager_presencestate.so is not loaded, or Asterisk is still starting",
			"write this line, remove a noload line of that module, and run: asterisk -rx 'module load res_manager_presencestate.so'",
			load("res_manager_presencestate.so"))
	case errors.Is(err, ami.ErrIncomplete):
		return failed("the list of presences is not whole: the connection broke, or a presentity has a line break in its name",
			"run doctor again; look for odd names with: asterisk -rx 'database show CustomPresence'")
	case err != nil:
		return x.denied(err, "list presences")
	}
	x.listed = found
	return ok("res_manager_presencestate.so is loaded; presentities that have a presence: " + strconv.Itoa(len(found)))
}

// load is the line that loads a module at the start.
func load(module string) Fix {
	return Fix{"modules.conf", "[modules]", []string{"load = " + module}}
}

// presenceWrite sets the presence of the canary.
func (x *examination) presenceWrite(ctx context.Context) Step {
	nonce := rand.Text()
	set, err := ami.SetPresence(x.canary(), "available", "", nonce)
	if err != nil {
		return failed(err.Error(), "report this as a bug of Presence Bridge")
	}
	x.nonce, x.wrote = nonce, time.Now()
	_, err = x.conn.Do(ctx, set)
	var answer *ami.ResponseError
	switch {
	case errors.As(err, &answer) && strings.EqualFold(answer.Message, "Variable not set"):
		x.nonce = ""
		return failed("Asterisk does not set a presence: func_presencestate.so is not loaded",
			"write this line, remove a noload line of that module, and run: asterisk -rx 'module load func_presencestate.so'",
			load("func_presencestate.so"))
	case err != nil:
		x.nonce = ""
		return x.denied(err, "set a presence")
	}
	return ok("write = call is there and func_presencestate.so is loaded: " + x.canary() + " could be set")
}

// presenceEvent waits for the event of that write.
func (x *examination) presenceEvent(ctx context.Context) Step {
	timer := time.NewTimer(x.cfg.EventWait)
	defer timer.Stop()
	for {
		select {
		case s := <-x.ear.heard:
			if s.nonce == x.nonce { // else another doctor's, who writes the same one
				return ok(fmt.Sprintf("read = call is there: the write was seen after %d ms", s.at.Sub(x.wrote).Milliseconds()+1))
			}
			continue
		case <-timer.C:
		case <-ctx.Done():
		}
		return x.deaf(ctx)
	}
}

// deaf says why the event of a write that was taken does not come. Which of three
// settings holds it back AMI does not tell: rights, filters and disabled events
// look alike from outside (main/manager.c, process_events).
func (x *examination) deaf(ctx context.Context) Step {
	found, err := x.list(ctx)
	if err == nil && !found[key(x.canary())] {
		return failed("Asterisk takes a presence but neither lists it nor tells of it: stasis.conf declines the messages of presence",
			"remove this line from stasis.conf and restart Asterisk",
			Fix{"stasis.conf", "[declined_message_types]", []string{";decline = ast_presence_state_message_type"}})
	}
	return failed(fmt.Sprintf("Asterisk took the write, but its event did not come within %s: the account may not read call events, "+
		"or an eventfilter of it drops PresenceStateChange, or disabledevents does", x.cfg.EventWait),
		"see that the account has the right and no other eventfilter than these, and that disabledevents in [general] does not name PresenceStateChange; "+reload+
			" and restart the bridge: rights are read at the login",
		x.account(append([]string{x.rights(readRights)}, x.version.filters(len(x.cfg.Members) > 0)...)...),
		Fix{"manager.conf", "[general]", []string{"disabledevents ="}})
}

// extensions tells which users' extensions never had a presence.
func (x *examination) extensions(context.Context) Step {
	var missing []string
	for _, number := range x.cfg.Extensions {
		if !x.listed[key(strings.Replace(x.cfg.Presentity, "{extension}", number, 1))] {
			missing = append(missing, number)
		}
	}
	total := len(x.cfg.Extensions)
	switch {
	case total == 0:
		return Step{Result: Info, Says: "the mapping has none on this PBX"}
	case len(missing) == 0:
		return ok(fmt.Sprintf("all %d of the mapping have a presence", total))
	}
	return Step{Result: Info,
		Says: fmt.Sprintf("%d of %d in the mapping never had a presence: %s", len(missing), total, few(missing)),
		Do: "nothing, if nobody has set one there yet; else see that presentity in presencebridge.yaml is what the hints name, as in " +
			strings.Replace(x.cfg.Presentity, "{extension}", missing[0], 1)}
}

// few names some numbers.
func few(numbers []string) string {
	names := strings.Join(numbers[:min(shown, len(numbers))], ", ")
	if more := len(numbers) - shown; more > 0 {
		names += fmt.Sprintf(" and %d more", more)
	}
	return names
}
