// Package asterisk connects the bridge to the presence of one Asterisk over AMI.
//
// It keeps one connection, which carries events, writes and readings, and
// translates between presentities and extensions. It decides nothing about a
// user, and tells the bridge nothing that could be half the truth: a snapshot
// is complete and fenced, or it is not delivered.
package asterisk

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/ami"
	"github.com/presencebridge/presencebridge/pkg/connector"
)

// Config says which Asterisk to connect to, and how.
type Config struct {
	Name       string // of the PBX, in reports and logs
	Presentity string // where an extension's presence lives; "": CustomPresence:{extension}
	Device     string // the device that is an extension's phone, such as PJSIP/{extension}; "": phones are not followed
	Lamp       string // the custom device that shows an extension's status, such as Custom:PRES{extension}; "": there are none
	DND        string // the custom device that says do not disturb, such as Custom:DND{extension}; "": there are none
	AMI        ami.Config
	Instance   string // tells the canaries of several bridges on one PBX apart: 1 to 32 of a-z 0-9 -
	Times      Times
}

// Times are how long things may take. A zero is replaced by the default.
type Times struct {
	Canary       time.Duration // from one canary to the next: 30 s
	CanaryWait   time.Duration // from the canary's answer to its event: 5 s
	Ping         time.Duration // how often to look for a half-open connection: 10 s
	Snapshot     time.Duration // from one snapshot to the next, give or take a fifth: 5 min
	Boot         time.Duration // to wait for FullyBooted before trying without: 2 s
	Retry        time.Duration // before a list is asked for again: 1 s
	BackoffMin   time.Duration // the first wait between connections is at most this: 250 ms
	BackoffMax   time.Duration // and no wait is longer than this: 30 s
	LoginWindow  time.Duration // in which LoginRefused counts: 10 min
	LoginRefused int           // refused logins that are risked in one window: 3
}

func (t Times) withDefaults() Times {
	for _, d := range []struct {
		value     *time.Duration
		otherwise time.Duration
	}{
		{&t.Canary, 30 * time.Second},
		{&t.CanaryWait, 5 * time.Second},
		{&t.Ping, 10 * time.Second},
		{&t.Snapshot, 5 * time.Minute},
		{&t.Boot, 2 * time.Second},
		{&t.Retry, time.Second},
		{&t.BackoffMin, 250 * time.Millisecond},
		{&t.BackoffMax, 30 * time.Second},
		{&t.LoginWindow, 10 * time.Minute},
	} {
		if *d.value <= 0 {
			*d.value = d.otherwise
		}
	}
	if t.LoginRefused <= 0 {
		t.LoginRefused = 3
	}
	return t
}

// Connector is a connector.Connector for one Asterisk.
type Connector struct {
	cfg    Config
	where  address
	canary string // the presentity of our canary
	device deviceTemplate
	phones bool   // follow them: there is a template
	lamps  *lamps // nil: there are none
	dnd    deviceTemplate

	deviceCanary string // the custom device that fences lists of devices
	log          *zap.Logger

	mu      sync.Mutex // never held while the sink or the network is called
	health  connector.Health
	current *session // open for orders; nil: none
	entries int      // of the last snapshot
	trouble string   // the last one logged; "" since a session was ready
	away    bool     // the last try to log in did not succeed
	damaged bool     // the last list was
	unheard string   // why phones are not followed; "": they are, or shall not be
}

var _ connector.Connector = (*Connector)(nil)

// New checks cfg. It does not connect; Run does.
func New(cfg Config, log *zap.Logger) (*Connector, error) {
	where, err := parseAddress(cfg.Presentity)
	if err != nil {
		return nil, fmt.Errorf("pbx %s: %w", cfg.Name, err)
	}
	if !regexp.MustCompile(`^[a-z0-9-]{1,32}$`).MatchString(cfg.Instance) {
		return nil, fmt.Errorf("pbx %s: instance %q: use 1 to 32 of the characters a-z, 0-9 and -", cfg.Name, cfg.Instance)
	}
	device, phones, err := parseDevice(cfg.Device)
	if err != nil {
		return nil, fmt.Errorf("pbx %s: %w", cfg.Name, err)
	}
	lamps, err := newLamps(cfg.Lamp)
	if err != nil {
		return nil, fmt.Errorf("pbx %s: %w", cfg.Name, err)
	}
	dnd, err := parseDND(cfg.DND)
	if err != nil {
		return nil, fmt.Errorf("pbx %s: %w", cfg.Name, err)
	}
	cfg.Times = cfg.Times.withDefaults()
	return &Connector{
		cfg:    cfg,
		where:  where,
		canary: provider + canaryPrefix + cfg.Instance + canarySuffix,
		device: device,
		phones: phones,
		lamps:  lamps,
		dnd:    dnd,

		deviceCanary: "Custom:" + canaryPrefix + cfg.Instance + canarySuffix,
		log:          log.With(zap.String("pbx", cfg.Name)),
		away:         true,
		health: connector.Health{
			PBX:    cfg.Name,
			Reason: "not connected yet",
		},
	}, nil
}

// Run connects until ctx ends, and returns nil then. A refused login does not
// end it: the account may be mended while it waits.
func (c *Connector) Run(ctx context.Context, sink connector.Sink) error {
	waits := backoff{min: c.cfg.Times.BackoffMin, max: c.cfg.Times.BackoffMax}
	logins := refusals{window: c.cfg.Times.LoginWindow, limit: c.cfg.Times.LoginRefused}
	for ctx.Err() == nil {
		opened, err := c.session(ctx, sink)
		if ctx.Err() != nil {
			return nil
		}
		what := "not connected"
		if opened {
			what = "lost"
			waits.reset()
		}
		wait := waits.next()
		if errors.Is(err, ami.ErrAuth) {
			now := time.Now()
			logins.add(now)
			wait = max(wait, logins.wait(now))
		}
		c.complain(what, err, zap.Duration("retry_in", wait))
		sleep(ctx, wait)
	}
	return nil
}

// Resync asks the present session, if there is one, for a snapshot soon.
func (c *Connector) Resync() {
	c.mu.Lock()
	s := c.current
	c.mu.Unlock()
	if s != nil {
		s.relist()
	}
}

// Health tells how things are now.
func (c *Connector) Health() connector.Health {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.health
	if h.Ready && h.Reason == "" {
		h.Reason = c.unheard
	}
	return h
}

// phoneTrouble notes why phones are not followed, nor lamps set, nil if they are. It
// logs that once, until it is over.
func (c *Connector) phoneTrouble(err error) {
	why := ""
	if err != nil {
		why = reason(err)
	}
	c.mu.Lock()
	before := c.unheard
	c.unheard = why
	c.mu.Unlock()
	switch {
	case err != nil && why != before:
		c.log.Warn("devices are not followed", zap.Error(err), zap.String("hint", advice(err)))
	case err == nil && before != "":
		c.log.Info("devices are followed again")
	}
}

// entered notes a login and numbers its session. What kept an earlier session
// from being ready stays the reason until it is known to be over.
func (c *Connector) entered() (session uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.away {
		c.away = false
		c.health.Reason = "connected, waiting for the first snapshot"
	}
	c.health.Connected = true
	c.health.Sessions++
	return c.health.Sessions
}

// notEntered notes that there was no login.
func (c *Connector) notEntered() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.away = true
}

// greeted notes who has been connected to.
func (c *Connector) greeted(version string) {
	c.mu.Lock()
	c.health.Version = version
	c.mu.Unlock()
	c.log.Info("connected", zap.String("version", version))
}

// complain notes why there is no session that is ready. It logs each trouble
// once, however often the same one comes back.
func (c *Connector) complain(what string, err error, facts ...zap.Field) {
	why := reason(err)
	c.mu.Lock()
	news := c.trouble != why
	c.trouble = why
	if !c.health.Ready {
		c.health.Reason = why
	}
	c.mu.Unlock()
	level := zap.DebugLevel
	if news {
		level = zap.WarnLevel
	}
	c.log.Log(level, what, append(facts, zap.Error(err), zap.String("hint", advice(err)))...)
}

// opened makes s the session for orders.
func (c *Connector) opened(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current, c.trouble = s, ""
	c.health.Ready, c.health.Reason = true, ""
}

// listing notes, of a session that is ready, whether the list is damaged. It logs
// that once, however often the bridge connects, until the damage is gone.
func (c *Connector) listing(damaged bool) {
	c.mu.Lock()
	before := c.damaged
	c.damaged, c.health.Reason = damaged, ""
	if damaged {
		c.health.Reason = reason(errDamaged)
	}
	c.mu.Unlock()
	switch {
	case damaged && !before:
		c.log.Warn("the list of presences is damaged", zap.Error(errDamaged), zap.String("hint", advice(errDamaged)))
	case before && !damaged:
		c.log.Info("the list of presences is intact again")
	}
}

// closed takes s away again; orders for it are refused from now on.
func (c *Connector) closed(s *session, why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current == s {
		c.current = nil
		c.health.Ready = false
	}
	c.health.Connected, c.health.Reason = false, reason(why)
}

// open returns the open session of that number.
func (c *Connector) open(number uint64) (*session, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current == nil || c.current.number != number {
		return nil, connector.ErrDown
	}
	return c.current, nil
}
