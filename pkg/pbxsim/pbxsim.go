// Package pbxsim is a simulated Asterisk that speaks AMI and ARI, for tests, load
// and the demo. It does what a real one was measured to do with presence and with
// states of devices, oddities included; the conformance suite beside it is run
// against both. It has no calls and no dialplan: a device of a channel driver is
// what SetDevice says, a channel is one that ARI parked to read presence on, and
// nobody should telephone with it.
package pbxsim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"
)

// Config says what the simulated Asterisk is like. The zero value is a booted
// Asterisk 22 on a free loopback port, with the accounts of DefaultUsers.
type Config struct {
	Addr   string                                  // "": 127.0.0.1 and a free port
	Listen func(addr string) (net.Listener, error) // nil: plain TCP
	Users  []User                                  // nil: DefaultUsers

	ARI       bool                                    // there is a HTTP server with ARI
	ARIAddr   string                                  // "": 127.0.0.1 and a free port
	ListenARI func(addr string) (net.Listener, error) // nil: plain TCP

	Version    string            // AsteriskVersion; "": 22.10.1
	AMIVersion string            // of the banner; "": what belongs to Version
	AstDB      map[string]string // rows of family CustomPresence to begin with, by name; copied
	Devices    map[string]string // states of devices to begin with, by name ("PJSIP/1001", "Custom:DND1001"); copied

	Members []Member // of queues, to begin with; copied

	BootDelay    time.Duration // from the open port to FullyBooted; < 0: until Boot is called
	RefusalDelay time.Duration // before a login is refused; 0: 1 s as in Asterisk, < 0: none
	CommitEvery  time.Duration // of the AstDB; 0: 1 s as in Asterisk, < 0: only when Commit is called
	WriteTimeout time.Duration // a reader stalling for longer is cut off; 0: 100 ms as in Asterisk
}

// User is an account of manager.conf, and of ari.conf where there is ARI.
type User struct {
	Name, Secret string
	Read, Write  string // classes, as in manager.conf: "system,call"
	ReadOnly     bool   // of ari.conf: over ARI it may only GET
}

// DefaultUsers are the accounts used when Config names none: the one a bridge
// should have, a phone's, one that may only read, and one that may do everything.
func DefaultUsers() []User {
	return []User{
		{Name: "bridge", Secret: "bridge-secret", Read: "system,call", Write: "call,reporting"},
		{Name: "phone", Secret: "phone-secret", Read: "system,call", Write: "call,reporting"},
		{Name: "reader", Secret: "reader-secret", Read: "system,call", Write: "reporting", ReadOnly: true},
		{Name: "full", Secret: "full-secret", Read: "all", Write: "all"},
	}
}

// Module names a module that presence or the states of devices depend on.
type Module string

// The modules, as Asterisk names them.
const (
	PresenceFunction Module = "func_presencestate.so"        // the provider: reads and writes
	PresenceManager  Module = "res_manager_presencestate.so" // AMI: events and PresenceStateList
	DeviceFunction   Module = "func_devstate.so"             // provides "Custom:" devices and DEVICE_STATE()
	DeviceManager    Module = "res_manager_devicestate.so"   // AMI: events and DeviceStateList
)

// PBX is one simulated Asterisk. Its methods may be called from any goroutine.
type PBX struct {
	cfg     Config
	release release
	tasks   sync.WaitGroup // every goroutine of the present life

	mu       sync.Mutex        // guards all below
	addr     string            // once known, of every later life too
	life     *life             // nil: not running
	db       map[string]string // the AstDB, by family and name
	undo     map[string]row    // what rows not yet committed were before
	devices  map[string]string // states of the devices that channel drivers have
	members  []*queueMember
	globals  map[string]string // variables of this life
	ari      *ari              // of this life; nil: none
	ariAddr  string            // once known, of every later life too
	booted   bool
	crashed  bool // and nobody waited for what was left
	sessions map[*session]struct{}

	provider      bool // func_presencestate is loaded
	manager       bool // res_manager_presencestate is loaded
	devstate      bool // func_devstate is loaded
	deviceManager bool // res_manager_devicestate is loaded
	cache         *cache[Change]
	deviceCache   *cache[Device]

	started time.Time // of this life, in whole seconds; never the same twice
	stats   Stats
	faults  faults
	reused  []string // see ReusedChannels
}

// life is what ends when the PBX is stopped or killed.
type life struct {
	listener net.Listener
	ari      net.Listener // nil: none
	ended    context.Context
	end      context.CancelFunc
}

// New returns a PBX that does not run yet.
func New(cfg Config) *PBX {
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	if cfg.ARIAddr == "" {
		cfg.ARIAddr = "127.0.0.1:0"
	}
	if cfg.Listen == nil {
		cfg.Listen = listenTCP
	}
	if cfg.ListenARI == nil {
		cfg.ListenARI = listenTCP
	}
	if cfg.Users == nil {
		cfg.Users = DefaultUsers()
	}
	if cfg.Version == "" {
		cfg.Version = "22.10.1"
	}
	cfg.RefusalDelay = orDefault(cfg.RefusalDelay, time.Second)
	cfg.CommitEvery = orDefault(cfg.CommitEvery, time.Second)
	cfg.WriteTimeout = orDefault(cfg.WriteTimeout, 100*time.Millisecond)
	p := &PBX{
		cfg:     cfg,
		release: releaseOf(cfg.Version),
		addr:    cfg.Addr,
		ariAddr: cfg.ARIAddr,
		db:      make(map[string]string, len(cfg.AstDB)),
		undo:    make(map[string]row),
		devices: make(map[string]string),
		faults:  faults{nextBudget: unlimited},
		stats:   newStats(),
	}
	for name, value := range cfg.AstDB {
		p.db[customPresence+name] = value
	}
	for device, state := range cfg.Devices {
		if name, ok := customName(device); ok {
			p.db[customDevstate+name] = state
		} else {
			p.devices[device] = state
		}
	}
	for _, m := range cfg.Members {
		p.addMember(m) // nobody listens yet
	}
	return p
}

func listenTCP(addr string) (net.Listener, error) {
	return new(net.ListenConfig).Listen(context.Background(), "tcp", addr)
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

// Start opens the port and boots. The AstDB is what the last life left of it.
func (p *PBX) Start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.life != nil {
		return errors.New("the simulated Asterisk runs already")
	}
	if p.crashed {
		p.crashed = false
		p.mu.Unlock()
		p.tasks.Wait() // crash could not
		p.mu.Lock()
	}
	l, err := p.cfg.Listen(p.addr)
	if err != nil {
		return fmt.Errorf("simulated Asterisk: %w", err)
	}
	web, err := p.startARI()
	if err != nil {
		_ = l.Close() // nobody came yet
		return err
	}
	p.addr = l.Addr().String()
	ended, end := context.WithCancel(context.Background())
	p.life = &life{listener: l, ari: web, ended: ended, end: end}
	p.globals = make(map[string]string)
	p.sessions = make(map[*session]struct{})
	p.cache = newCache[Change]("ast_presence_state_message_type")
	p.deviceCache = newCache[Device]("ast_device_state_message_type")
	p.booted, p.provider, p.manager, p.devstate, p.deviceManager = false, false, false, false, false
	// The start is told in whole seconds; two lives must differ in it.
	now := time.Now().Truncate(time.Second)
	if !now.After(p.started) {
		now = p.started.Add(time.Second)
	}
	p.started = now

	p.tasks.Go(func() { p.accept(l, p.serveAMI) })
	if web != nil {
		p.tasks.Go(func() { p.accept(web, p.serveARI) })
	}
	if p.cfg.CommitEvery > 0 {
		p.tasks.Go(func() { p.commitRegularly(ended) })
	}
	switch {
	case p.cfg.BootDelay == 0:
		p.boot()
	case p.cfg.BootDelay > 0:
		p.tasks.Go(func() { p.bootLater(ended) })
	}
	return nil
}

// Boot finishes a boot that Config.BootDelay holds back.
func (p *PBX) Boot() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.life != nil {
		p.boot()
	}
}

func (p *PBX) bootLater(ended context.Context) {
	select {
	case <-ended.Done():
	case <-time.After(p.cfg.BootDelay):
		p.mu.Lock()
		defer p.mu.Unlock()
		if ended.Err() == nil {
			p.boot()
		}
	}
}

// boot loads the modules in Asterisk's order: the providers fill the caches when
// nothing forwards their events yet (module.h:335), so a restart shows no burst.
func (p *PBX) boot() {
	if p.booted {
		return
	}
	p.bootDevices()
	p.bootQueues()
	p.loadProvider()
	p.loadDevstate()
	p.manager, p.deviceManager = true, true
	p.booted = true
	p.broadcast(classSystem, fmt.Appendf(nil,
		"Event: FullyBooted\r\nPrivilege: system,all\r\nStatus: Fully Booted\r\nUptime: %d\r\nLastReload: %[1]d\r\n\r\n", p.uptime()))
}

// Stop shuts down cleanly: everything is committed, sessions are told. It
// returns when nothing of this life runs any more.
func (p *PBX) Stop() {
	p.mu.Lock()
	p.broadcast(classSystem, []byte("Event: Shutdown\r\nPrivilege: system,all\r\nShutdown: Cleanly\r\nRestart: False\r\n\r\n"))
	p.commit()
	for s := range p.sessions {
		s.finish = true
	}
	p.eachARI(func(c *ariConn) { c.finish = true })
	p.die()
}

// Kill ends as kill -9 does: nobody is told, and what was written since the last
// commit is forgotten, although it was acknowledged.
func (p *PBX) Kill() {
	p.mu.Lock()
	p.rollback()
	p.cutAll()
	p.die()
}

// crash is a Kill from within: it does not wait, Start or Kill do. The lock is held.
func (p *PBX) crash() {
	p.rollback()
	p.cutAll()
	p.end()
	p.crashed = true
}

// die is the end of Stop and Kill: it unlocks, and waits for every goroutine.
func (p *PBX) die() {
	p.end()
	p.mu.Unlock()
	p.tasks.Wait()
}

// end makes every goroutine of this life find that it is over. The lock is held.
func (p *PBX) end() {
	dying := p.life
	p.life = nil
	p.faults.held, p.faults.frozen, p.faults.ariFrozen = nil, false, false
	if dying != nil {
		dying.end()
		_ = dying.listener.Close() // it has nothing to lose
		if dying.ari != nil {
			_ = dying.ari.Close()
		}
	}
	p.eachARI(func(c *ariConn) { c.frozen = false })
	p.wakeAll()
}

// Restart stops cleanly and starts again at the same address.
func (p *PBX) Restart() error {
	p.Stop()
	return p.Start()
}

// Addr is where AMI listens, host:port. Before the first Start it may lack the port.
func (p *PBX) Addr() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.addr
}

// Load loads a module as `module load` does; loading twice changes nothing.
func (p *PBX) Load(m Module) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case m == PresenceFunction && !p.provider:
		p.loadProvider()
	case m == PresenceManager && !p.manager:
		p.manager = true
	case m == DeviceFunction && !p.devstate:
		p.loadDevstate()
	case m == DeviceManager && !p.deviceManager:
		p.deviceManager = true
	default:
		return
	}
	p.moduleEvent("Load", m)
}

// Unload unloads a module as `module unload` does.
func (p *PBX) Unload(m Module) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case m == PresenceFunction && p.provider:
		p.provider = false
	case m == PresenceManager && p.manager:
		p.manager = false
	case m == DeviceFunction && p.devstate:
		p.devstate = false
	case m == DeviceManager && p.deviceManager:
		p.deviceManager = false
	default:
		return
	}
	p.moduleEvent("Unload", m)
}

func (p *PBX) moduleEvent(event string, m Module) {
	p.broadcast(classSystem, fmt.Appendf(nil, "Event: %s\r\nPrivilege: system,all\r\nModule: %s\r\nStatus: Success\r\n\r\n", event, m))
}

// broadcast queues an event for every session whose mask holds all of need.
func (p *PBX) broadcast(need class, event []byte) {
	for s := range p.sessions {
		if s.mask&need == need {
			s.queue(event)
		}
	}
}

func (p *PBX) uptime() int { return max(0, int(time.Since(p.started).Seconds())) }

func (p *PBX) user(name string) (User, bool) {
	i := slices.IndexFunc(p.cfg.Users, func(u User) bool { return u.Name == name })
	if i < 0 {
		return User{}, false
	}
	return p.cfg.Users[i], true
}
