package diagnose

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge/pkg/ami"
)

const (
	readRights  = "read = system,call"
	writeRights = "write = call,reporting"
	agents      = ",agent" // for queues

	// tolerance is how far the clocks may differ: less confuses nobody who
	// compares two logs.
	tolerance = 2 * time.Second
)

// ear hears the events that the examination waits for. All channels have one place; what finds it taken is of no interest.
type ear struct {
	booted chan struct{}
	canary string
	heard  chan sighting
	device string        // the canary among devices
	rang   chan struct{} // it was told to be on
}

// sighting is an event of the canary.
type sighting struct {
	nonce string
	at    time.Time
}

// event runs on the reader of the connection.
func (e *ear) event(event ami.Event) {
	switch {
	case event.Is("FullyBooted"):
		select {
		case e.booted <- struct{}{}:
		default:
		}
	case event.Is("PresenceStateChange") && event.Get("Presentity") == e.canary:
		select {
		case e.heard <- sighting{event.Get("Message"), time.Now()}:
		default:
		}
	case event.Is("DeviceStateChange") && event.Get("Device") == e.device && event.Get("State") == ami.CustomDeviceOn:
		select {
		case e.rang <- struct{}{}:
		default:
		}
	}
}

// login logs in, once: a second wrong try may already ban this address.
func (x *examination) login(ctx context.Context) Step {
	if x.cfg.Refused != "" {
		return Step{Result: Failed, Says: "not tried again: " + x.cfg.Refused, Do: "mend that one first"}
	}
	x.ear = &ear{booted: make(chan struct{}, 1), canary: x.canary(), heard: make(chan sighting, 1), device: x.deviceCanary(), rang: make(chan struct{}, 1)}
	conn, err := ami.Open(ctx, x.cfg.AMI, ami.Handler{Event: x.ear.event})
	if err != nil {
		return x.refused(err)
	}
	x.conn = conn
	return ok("Asterisk takes the account " + x.cfg.AMI.Username)
}

// refused says why there was no login.
func (x *examination) refused(err error) Step {
	user := x.cfg.AMI.Username
	var answer *ami.ResponseError
	switch {
	case errors.Is(err, ami.ErrAuth):
		// The words of main/manager.c, authenticate().
		return failed("Asterisk refuses the account "+user+"; only its log says why",
			fmt.Sprintf("look there for this machine's address: \"tried to authenticate with nonexistent user\" means that there is no section %s; "+
				"\"failed to pass IP ACL\" that deny, permit or acl keep this machine out; \"failed to authenticate as\" that the secret is another. "+
				"Correct that, %s. Do not try often: fail2ban may ban this address", x.section(), reload),
			x.account("secret = the content of the secret file", "permit = "+x.permitted()))
	case errors.As(err, &answer) && strings.EqualFold(answer.Message, "Login Already In Use"):
		return failed("somebody is logged in as "+user+", most likely the running bridge, and Asterisk allows one login at a time",
			"allow several: a bridge whose connection broke is kept out by its own old one too; "+reload, x.account("allowmultiplelogin = yes"))
	case errors.As(err, &answer):
		return failed(fmt.Sprintf("Asterisk does not take logins now: %q", answer.Message), "try again when it is up")
	}
	return failed("Asterisk ended the connection, or fell silent, during the login", "try again, and look in the log of Asterisk")
}

// rights adds to a line of rights what queues need, where members are paused.
func (x *examination) rights(line string) string {
	if len(x.cfg.Members) > 0 {
		line += agents
	}
	return line
}

// permitted is the line that lets this machine in.
func (x *examination) permitted() string {
	ip := net.ParseIP(x.local)
	switch {
	case ip == nil:
		return "the address of this machine"
	case ip.To4() != nil:
		return x.local + "/255.255.255.255"
	}
	return x.local + "/128"
}

// systemEvents tells whether the account reads system events: right behind the
// login FullyBooted goes past every filter, if that right is there.
func (x *examination) systemEvents(ctx context.Context) Step {
	timer := time.NewTimer(x.cfg.BootWait)
	defer timer.Stop()
	select {
	case <-x.ear.booted:
		return ok("read = system is there: Asterisk says that it is fully booted")
	case <-timer.C:
	case <-ctx.Done():
	}
	return warning("Asterisk did not say that it is fully booted: the account may not read system events, or Asterisk is still starting. "+
		"The bridge then waits in vain at each connection, and is not told when Asterisk stops",
		"add the right, "+reload, x.account(x.rights(readRights)))
}

// statusQueries tells whether the account may ask for status.
func (x *examination) statusQueries(ctx context.Context) Step {
	if _, err := x.conn.Do(ctx, ami.CoreStatus()); err != nil {
		return x.denied(err, "ask when Asterisk was started, by which the bridge notices a restart")
	}
	return ok("write = reporting is there: Asterisk tells since when it runs")
}

// denied says why an action that needs nothing but a right did not succeed.
func (x *examination) denied(err error, what string) Step {
	var answer *ami.ResponseError
	switch {
	case !errors.As(err, &answer):
		return failed("Asterisk ended the connection, or fell silent", "run doctor again, and look in the log of Asterisk")
	case strings.EqualFold(answer.Message, "Permission denied"):
		return failed("the account may not "+what, "add the right, "+reload+" and restart the bridge: rights are read at the login", x.account(x.rights(writeRights)))
	}
	return failed(fmt.Sprintf("Asterisk refuses %s: %q", answer.Action, answer.Message), "look in the log of Asterisk")
}

// clock compares Asterisk's clock with ours.
func (x *examination) clock(ctx context.Context) Step {
	asked := x.cfg.Now()
	pong, err := x.conn.Do(ctx, ami.Ping())
	if err != nil {
		return x.denied(err, "ask for the time")
	}
	answered := x.cfg.Now()
	seconds, err := strconv.ParseFloat(pong.Get("Timestamp"), 64)
	if err != nil || math.Abs(seconds) > math.MaxInt32 {
		return Step{Result: Info, Says: "Asterisk does not tell the time"}
	}
	theirs := time.UnixMicro(int64(seconds * 1e6))
	ahead := theirs.Sub(answered)
	if behind := asked.Sub(theirs); behind > tolerance {
		return x.skew(behind, "behind")
	}
	if ahead > tolerance {
		return x.skew(ahead, "ahead of")
	}
	return ok(fmt.Sprintf("that of Asterisk and ours agree within %s", tolerance))
}

func (x *examination) skew(by time.Duration, how string) Step {
	return warning(fmt.Sprintf("the clock of Asterisk is %s %s ours: logs of both do not fit together, though no status depends on it", by.Round(time.Second), how),
		"let both machines synchronise their clocks, for example with chrony")
}

// writeTimeout cannot look: no action of AMI tells that setting.
func (x *examination) writeTimeout(context.Context) Step {
	return Step{Result: Info,
		Says: "AMI does not tell it; Asterisk's own 100 ms end the connection whenever this machine is busy for a moment",
		Do:   "see that the account has this line",
		Fix:  []Fix{x.account("writetimeout = 5000")}}
}

// otherRights warns of rights that the bridge does not need and through which
// an account was, or is, the whole machine.
func (x *examination) otherRights(ctx context.Context) Step {
	list, err := x.conn.Do(ctx, ami.ListCommands())
	if err != nil {
		return Step{Result: Info, Says: "Asterisk does not tell what else the account may do"}
	}
	var rights, why []string
	for _, r := range []struct{ right, action, why string }{
		{"originate", "Originate", "originate ran programs in releases before CVE-2024-42365 was mended"},
		{"command", "Command", "command is the whole Asterisk CLI"},
		{"config", "UpdateConfig", "config reads and writes files (CVE-2022-42706, CVE-2023-49294, GHSA-33x6-fj46-6rfh)"},
		{"system", "ModuleLoad", "system loads modules and stops Asterisk"},
	} {
		if list.Get(r.action) != "" {
			rights, why = append(rights, r.right), append(why, r.why)
		}
	}
	if len(rights) == 0 {
		return ok("none of originate, command, config and system")
	}
	return warning("the account may write "+strings.Join(rights, ", ")+", which the bridge never uses: "+strings.Join(why, "; "),
		"leave it the rights that it needs, "+reload, x.account(x.rights(readRights), x.rights(writeRights)))
}
