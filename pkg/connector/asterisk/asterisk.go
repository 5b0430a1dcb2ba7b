// Package asterisk connects the bridge to the presence of one Asterisk, over AMI
// and, where that is away or not to be had, over ARI.
//
// One transport at a time has the floor: its session alone reports, writes and
// reads. It translates between presentities and extensions, decides nothing about
// a user, and tells the bridge nothing that could be half the truth: a snapshot is
// complete and fenced, or it is not delivered.
package asterisk

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/ami"
	"github.com/presencebridge/presencebridge/pkg/ari"
	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/message"
)

// Config says which Asterisk to connect to, and how.
type Config struct {
	Name       string     // of the PBX, in reports and logs
	Presentity string     // where an extension's presence lives; "": CustomPresence:{extension}
	Device     string     // the device that is an extension's phone, such as PJSIP/{extension}; "": phones are not followed
	Lamp       string     // the custom device that shows an extension's status, such as Custom:PRES{extension}, over AMI alone; "": there are none
	DND        string     // the custom device that says do not disturb, such as Custom:DND{extension}, over AMI alone; "": there are none
	Members    []string   // what an extension is called as a member of queues, such as PJSIP/{extension}, over AMI alone; none: queues are left alone
	AMI        ami.Config // no Address: AMI is not used
	ARI        ari.Config // no URL: ARI is not used; its Events are chosen here. One of both is needed
	Publish    string     // the Stasis application that is told of changes over ARI; "": none
	Instance   string     // tells the canaries of several bridges on one PBX apart: 1 to 32 of a-z 0-9 -
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
	Grace        time.Duration // without AMI until ARI stands in: 2 s
	Poll         time.Duration // in which ARI reads all of up to 2,000 extensions: 1 s
	Replaced     time.Duration // to leave the application to whoever took it over twice: 10 min
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
		{&t.Grace, 2 * time.Second},
		{&t.Poll, time.Second},
		{&t.Replaced, 10 * time.Minute},
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
	phones bool    // follow them: there is a template
	lamps  *lamps  // nil: there are none
	queues *queues // nil: they are left alone
	dnd    deviceTemplate

	deviceCanary string // the custom device that fences lists of devices
	log          *zap.Logger

	floor   sync.Mutex           // held while sink is called
	sink    connector.Sink       // of this Run; under floor
	left    time.Time            // when AMI lost the floor, or Run began; under floor
	turn    atomic.Pointer[turn] // who has the floor; changes under floor
	moved   chan struct{}        // of one place: AMI took or lost the floor
	writing chan struct{}        // of one place, taken while ARI writes, or AMI takes the floor
	follows atomic.Pointer[connector.Numbers]
	outlet  *outlet // nil: nothing is published

	mu       sync.Mutex // never held while the sink or the network is called
	ami, ari side
	version  string          // of the PBX
	sessions uint64          // ever open
	refused  uint64          // frames and messages
	entries  int             // of the last snapshot
	took     time.Duration   // it did
	damaged  bool            // the last list was
	unheard  message.Message // why phones are not followed; zero: they are, or shall not be
	unpaused message.Message // why members of queues are not paused; zero: they are, or shall not be
}

var (
	_ connector.Connector = (*Connector)(nil)
	_ connector.Follower  = (*Connector)(nil)
)

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
	if cfg.AMI.Address == "" && cfg.ARI.URL == "" {
		return nil, fmt.Errorf("pbx %s: neither AMI nor ARI is configured", cfg.Name)
	}
	lamps, err := newLamps(cfg.Lamp)
	if err != nil {
		return nil, fmt.Errorf("pbx %s: %w", cfg.Name, err)
	}
	dnd, err := parseDND(cfg.DND)
	if err != nil {
		return nil, fmt.Errorf("pbx %s: %w", cfg.Name, err)
	}
	queues, err := newQueues(cfg.Members)
	if err != nil {
		return nil, fmt.Errorf("pbx %s: %w", cfg.Name, err)
	}
	if queues != nil && cfg.AMI.Events == "" {
		cfg.AMI.Events = "system,call,agent"
	}
	cfg.Times = cfg.Times.withDefaults()
	cfg.ARI.Events = []string{"ChannelUserevent"}
	if phones {
		cfg.ARI.Events = append(cfg.ARI.Events, "DeviceStateChanged")
	}
	c := &Connector{
		cfg:    cfg,
		where:  where,
		canary: provider + canaryPrefix + cfg.Instance + canarySuffix,
		device: device,
		phones: phones,
		lamps:  lamps,
		queues: queues,
		dnd:    dnd,

		deviceCanary: "Custom:" + canaryPrefix + cfg.Instance + canarySuffix,
		log:          log.With(zap.String("pbx", cfg.Name)),
		moved:        make(chan struct{}, 1),
		writing:      make(chan struct{}, 1),
	}
	c.ami = newSide(c, "ami")
	c.ari = newSide(c, "ari")
	c.follows.Store(connector.NewNumbers(nil))
	if cfg.Publish != "" {
		c.outlet = newOutlet(c)
	}
	return c, nil
}

func (c *Connector) hasAMI() bool { return c.cfg.AMI.Address != "" }
func (c *Connector) hasARI() bool { return c.cfg.ARI.URL != "" }

// Run connects until ctx ends, and returns nil then. A refused login does not
// end it: the account may be mended while it waits.
func (c *Connector) Run(ctx context.Context, sink connector.Sink) error {
	c.floor.Lock()
	c.sink, c.left = sink, time.Now()
	c.floor.Unlock()
	var sides sync.WaitGroup
	if c.hasAMI() {
		sides.Go(func() { c.keep(ctx, &c.ami, c.session) })
	}
	if c.hasARI() {
		sides.Go(func() { c.keep(ctx, &c.ari, c.link) })
	}
	sides.Wait()
	return nil
}

// maxReplaced is how often within Times.Replaced the application may be lost to
// somebody, and be taken back: once. That may have been a handshake of our own, given
// up, which a PBX that hung found late; after that it is another program.
const maxReplaced = 2

// keep tries again and again to have one side connected. opened tells of a try
// that it came to something.
func (c *Connector) keep(ctx context.Context, s *side, try func(context.Context) (opened bool, err error)) {
	waits := backoff{min: c.cfg.Times.BackoffMin, max: c.cfg.Times.BackoffMax}
	logins := refusals{window: c.cfg.Times.LoginWindow, limit: c.cfg.Times.LoginRefused}
	losses := refusals{window: c.cfg.Times.Replaced, limit: maxReplaced}
	for ctx.Err() == nil {
		opened, err := try(ctx)
		if ctx.Err() != nil {
			return
		}
		what := "not connected"
		if opened {
			what = "lost"
			waits.reset()
		}
		wait := waits.next()
		switch {
		case errors.Is(err, ami.ErrAuth), errors.Is(err, ari.ErrAuth):
			wait = max(wait, logins.add(time.Now()))
		case errors.Is(err, ari.ErrReplaced):
			wait = max(wait, jitter(c.cfg.Times.BackoffMax), losses.add(time.Now()))
		}
		s.complain(what, err, zap.Duration("retry_in", wait))
		sleep(ctx, wait)
	}
}

// Resync asks the present session, if there is one, for a snapshot soon. One that is
// only about to have its first looks for itself whether the mapping has changed.
func (c *Connector) Resync() {
	if t := c.turn.Load(); t != nil {
		t.relist()
	}
}

// Write puts one order on the wire. While too many are unanswered it waits. An
// error other than ErrDown says that no Asterisk can take this presence.
func (c *Connector) Write(ctx context.Context, o connector.Order) error {
	s, err := c.open(o.Session)
	if err != nil {
		return err
	}
	return s.write(ctx, o)
}

// Read asks what the extension really shows.
func (c *Connector) Read(ctx context.Context, o connector.Order) error {
	s, err := c.open(o.Session)
	if err != nil {
		return err
	}
	return s.read(ctx, o)
}

// Follow says which extensions matter: over ARI there is no list of all, and the
// numbers of AMI's events need no memory of their own.
func (c *Connector) Follow(numbers *connector.Numbers) { c.follows.Store(numbers) }
