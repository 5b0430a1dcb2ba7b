package asterisk

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/presencebridge/presencebridge/pkg/ami"
	"github.com/presencebridge/presencebridge/pkg/message"
)

// problem is an error that a person can do something about.
type problem struct {
	err    error
	advice string
	key    message.Key // of both together; its error is added
}

func (p *problem) Error() string { return p.err.Error() }
func (p *problem) Unwrap() error { return p.err }

// The ways in which a session ends or is kept from being ready, beside those
// of package ami.
var (
	errShutdown = errors.New("the PBX is shutting down")
	errBroken   = errors.New("a malformed frame came during the snapshot")
	errInvalid  = errors.New("the PBX has no valid presence there")
	errTorn     = errors.New("the presence changed while it was read")
	errFields   = errors.New("presence event with other headers than Asterisk writes")
)

// errDamaged is no reason not to be ready: all is known, but dearly. The rows
// survive a restart, and no command of Asterisk's CLI can name them.
var errDamaged error = &problem{
	errors.New("somebody has put line breaks into names of presentities, which forge frames in every list; all extensions are read one by one instead"),
	`stop Asterisk, run sqlite3 astdb.sqlite3 "DELETE FROM astdb WHERE key LIKE '/CustomPresence/%' AND (instr(key, char(10)) OR instr(key, char(13)))" ` +
		"in its astdbdir, start it, and find out who may set variables over ARI or what in the dialplan builds names from what callers send",
	message.As("pbx.damaged"),
}

// advice returns what to do about err, "" where time will do.
func advice(err error) string {
	var p *problem
	if errors.As(err, &p) {
		return p.advice
	}
	return ""
}

// reason returns err as a sentence for people, with what to do.
func reason(err error) message.Message {
	var p *problem
	switch {
	case err == nil, errors.Is(err, context.Canceled):
		return message.Message{Text: "the bridge has ended this connection", Key: message.As("pbx.ended")}
	case errors.As(err, &p):
		key := p.key
		key.Params = maps.Clone(key.Params)
		if key.Params == nil {
			key.Params = make(map[string]string)
		}
		key.Params["error"] = err.Error()
		return message.Message{Text: fmt.Sprintf("%v; %s", err, p.advice), Key: key}
	case errors.Is(err, errShutdown):
		return message.Message{Text: err.Error(), Key: message.As("pbx.shutdown")}
	}
	return message.Message{Text: err.Error()}
}

// unreachable explains why there is no login.
func (c *Connector) unreachable(err error) error {
	if errors.Is(err, ami.ErrAuth) {
		return &problem{err, fmt.Sprintf("check secret, deny, permit and acl of [%s] in manager.conf, then run 'manager reload' "+
			"in the Asterisk CLI; at most %d logins are tried in %s, so that no address gets banned",
			c.cfg.AMI.Username, c.cfg.Times.LoginRefused, c.cfg.Times.LoginWindow),
			message.As("pbx.refused", "account", c.cfg.AMI.Username, "logins", strconv.Itoa(c.cfg.Times.LoginRefused), "window", c.cfg.Times.LoginWindow.String())}
	}
	return &problem{err, "check that Asterisk runs and that manager.conf has enabled = yes, and port and bindaddr of this address", message.As("pbx.unreachable")}
}

// unanswered explains why an action that every session needs was refused.
func (c *Connector) unanswered(err error) error {
	var refused *ami.ResponseError
	switch {
	case !errors.As(err, &refused):
		return err
	case denied(refused):
		return &problem{err, fmt.Sprintf("set write = call,reporting for [%s] in manager.conf, then run 'manager reload'", c.cfg.AMI.Username),
			message.As("pbx.denied", "account", c.cfg.AMI.Username)}
	case unknown(refused):
		return &problem{err, "Asterisk is still booting, or needs 'module load res_manager_presencestate.so'", message.As("pbx.booting")}
	case refused.Action == "Setvar":
		return &problem{err, "run 'module load func_presencestate.so' in the Asterisk CLI", message.As("pbx.no_function")}
	}
	return err
}

// deaf explains why a canary did not come back.
func (c *Connector) deaf() error {
	return &problem{
		fmt.Errorf("events do not arrive: the canary %s was written but its event did not come within %s", c.canary, c.cfg.Times.CanaryWait),
		fmt.Sprintf("check that res_manager_presencestate.so is loaded, and that [%s] in manager.conf has read = system,call and no eventfilter that drops PresenceStateChange",
			c.cfg.AMI.Username),
		message.As("pbx.deaf", "account", c.cfg.AMI.Username),
	}
}

// What Asterisk says (main/manager.c, process_message).
func denied(e *ami.ResponseError) bool { return strings.EqualFold(e.Message, "Permission denied") }

func unknown(e *ami.ResponseError) bool {
	return strings.HasPrefix(e.Message, "Invalid/unknown command")
}
