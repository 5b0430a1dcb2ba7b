// Package diagnose tries one Asterisk in every way in which the bridge uses it,
// and says for people what is wrong and which line of which file mends it.
//
// It logs in once to AMI and to ARI, writes only a presentity and a device of its own, which no bridge
// takes for an extension, and changes nothing else. It keeps nothing and prints nothing.
package diagnose

import (
	"cmp"
	"context"
	"net"
	"time"

	"github.com/presencebridge/presencebridge/pkg/ami"
	"github.com/presencebridge/presencebridge/pkg/ari"
)

// Config says what to examine.
type Config struct {
	Name       string     // of the PBX, as the configuration calls it
	Presentity string     // where an extension's presence lives: CustomPresence:{extension}
	Device     string     // the device that is an extension's phone: PJSIP/{extension}; "": phones are not followed
	Lamp       string     // the device that shows an extension's status; "": there are no lamps
	DND        string     // the device that says do not disturb; "": there are none
	Members    []string   // what extensions are called as members of queues; none: queues are left alone
	AMI        ami.Config // for Examine
	ARI        ari.Config // for ExamineARI
	Instance   string     // tells the presentity that is written from those of bridges: a-z 0-9 -
	Extensions []string   // the numbers of users on this PBX
	Refused    string     // why this account must not be tried again; "": it may be

	BootWait  time.Duration // for FullyBooted after the login; 0: 2 s
	EventWait time.Duration // for the event of a write; 0: 5 s

	Now    func() time.Time                                               // nil: time.Now
	Lookup func(ctx context.Context, host string) (ips []string, e error) // nil: the system's resolver
}

// Result is what came of a step.
type Result string

// The results, from good to bad.
const (
	OK       Result = "ok"
	Info     Result = "info"      // nothing to mend
	NotTried Result = "not tried" // an earlier step did not succeed
	Warning  Result = "warning"   // works, but not as it should
	Failed   Result = "failed"
)

// Step is one thing that was tried.
type Step struct {
	Name   string `json:"step"`
	Result Result `json:"result"`
	Says   string `json:"says"`          // what was found
	Do     string `json:"do,omitempty"`  // what to do about it
	Fix    []Fix  `json:"fix,omitempty"` // the lines to write
}

// Fix is what to write into a file.
type Fix struct {
	File    string   `json:"file"`
	Section string   `json:"section"` // with its brackets, or the path of a block
	Lines   []string `json:"lines"`
}

// Worst returns the worst of the steps' results, OK if there are none.
func Worst(steps []Step) Result {
	for _, r := range []Result{Failed, Warning} {
		for _, s := range steps {
			if s.Result == r {
				return r
			}
		}
	}
	return OK
}

// examination is one run. Its steps are run one after the other, and each
// leaves here what later ones need.
type examination struct {
	cfg   Config
	steps []Step

	wire    net.Conn  // from the connection to the greeting
	local   string    // our own address, as the PBX sees it where no NAT is between
	ear     *ear      // from the login on
	conn    *ami.Conn // from the login on
	version version   // the zero value: unknown
	listed  map[string]bool
	wrote   time.Time       // when the canary was
	nonce   string          // of that canary
	rang    bool            // so was the device
	on      map[string]bool // by device: it would say do not disturb; nil: not listed
}

// step is one thing to try, once all of its needs have succeeded.
type step struct {
	name  string
	needs []string
	try   func(context.Context) Step
}

// The steps that others need.
const (
	stepAddress    = "address"
	stepConnection = "connection"
	stepEncryption = "encryption"
	stepGreeting   = "greeting"
	stepLogin      = "login"
	stepList       = "presence list"
	stepWrite      = "presence write"
	stepEvent      = "presence event"
)

func (x *examination) plan() []step {
	steps := []step{
		{stepAddress, nil, x.address},
		{stepConnection, []string{stepAddress}, x.connection},
		{stepEncryption, []string{stepConnection}, x.encryption},
		{stepGreeting, []string{stepEncryption}, x.greeting},
		{stepLogin, []string{stepGreeting}, x.login},
		{"system events", []string{stepLogin}, x.systemEvents},
		{"status queries", []string{stepLogin}, x.statusQueries},
		{"version", []string{stepLogin}, x.release},
		{"clock", []string{stepLogin}, x.clock},
		{stepList, []string{stepLogin}, x.presenceList},
		{stepWrite, []string{stepLogin}, x.presenceWrite},
		{stepEvent, []string{stepList, stepWrite}, x.presenceEvent},
		{"extensions", []string{stepList}, x.extensions},
		{"phones", []string{stepEvent}, x.phones},
		{"write timeout", []string{stepLogin}, x.writeTimeout},
		{"other rights", []string{stepLogin}, x.otherRights},
	}
	if len(x.cfg.Members) > 0 {
		steps = append(steps, step{"queues", []string{stepLogin}, x.queues})
	}
	if x.cfg.DND != "" {
		steps = append(steps, step{"dnd", []string{stepEvent}, x.dnd})
	}
	return steps
}

// Examine tries everything, in order. begin, if not nil, is told the name of each
// step before it is tried. When ctx ends the rest is reported as it comes out then.
func Examine(ctx context.Context, cfg Config, begin func(step string)) []Step {
	cfg.BootWait = cmp.Or(cfg.BootWait, 2*time.Second)
	cfg.EventWait = cmp.Or(cfg.EventWait, 5*time.Second)
	cfg.AMI.Timeout = cmp.Or(cfg.AMI.Timeout, 5*time.Second)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Lookup == nil {
		cfg.Lookup = net.DefaultResolver.LookupHost
	}
	x := &examination{cfg: cfg}
	defer x.leave(ctx)
	x.steps = try(ctx, x.plan(), begin)
	return x.steps
}

// try runs steps in order. What needs one that failed is not tried.
func try(ctx context.Context, plan []step, begin func(step string)) []Step {
	var steps []Step
	blame := make(map[string]string) // by step that did not succeed: the failure behind it
	for _, s := range plan {
		if cause := firstOf(blame, s.needs); cause != "" {
			blame[s.name] = cause
			steps = append(steps, Step{Name: s.name, Result: NotTried, Says: "because the step " + cause + " failed"})
			continue
		}
		if begin != nil {
			begin(s.name)
		}
		result := s.try(ctx)
		result.Name = s.name
		if result.Result == Failed {
			blame[s.name] = s.name
		}
		steps = append(steps, result)
	}
	return steps
}

func firstOf(blame map[string]string, needs []string) string {
	for _, need := range needs {
		if cause := blame[need]; cause != "" {
			return cause
		}
	}
	return ""
}

// leave takes back what was written, as far as Asterisk can, and ends both connections.
func (x *examination) leave(ctx context.Context) {
	x.hangUp()
	if x.conn == nil {
		return
	}
	if reset, err := ami.SetPresence(x.canary(), "not_set", "", ""); err == nil && x.nonce != "" {
		// Not worth a word: the next run writes the same row.
		_, _ = x.conn.Do(context.WithoutCancel(ctx), reset)
	}
	if off, err := ami.SetCustomDevice(x.deviceCanary(), false); err == nil && x.rang {
		_, _ = x.conn.Do(context.WithoutCancel(ctx), off)
	}
	_ = x.conn.Close() // always nil
}

func (x *examination) hangUp() {
	if x.wire != nil {
		_ = x.wire.Close() // nothing was asked of it
		x.wire = nil
	}
}

// canary is the presentity that is written. Bridges leave alone what is named so
// (package asterisk, address.go).
func (x *examination) canary() string { return x.cfg.canary() }

func (c *Config) canary() string { return "CustomPresence:presencebridge-" + c.Instance + "-canary" }

// section is the account's section of manager.conf.
func (x *examination) section() string { return "[" + x.cfg.AMI.Username + "]" }

// account is a fix in the account's section.
func (x *examination) account(lines ...string) Fix {
	return Fix{"manager.conf", x.section(), lines}
}

func ok(says string) Step { return Step{Result: OK, Says: says} }

func failed(says, do string, fix ...Fix) Step {
	return Step{Result: Failed, Says: says, Do: do, Fix: fix}
}

func warning(says, do string, fix ...Fix) Step {
	return Step{Result: Warning, Says: says, Do: do, Fix: fix}
}
