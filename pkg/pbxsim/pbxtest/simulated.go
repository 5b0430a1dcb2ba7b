package pbxtest

import (
	"maps"
	"testing"

	"github.com/presencebridge/presencebridge/pkg/pbxsim"
)

// Simulated is the simulated PBX. Sim is for what only a simulation can do.
type Simulated struct {
	Sim     *pbxsim.PBX
	version string
	phones  []string
	accounts
	watchers
}

// NewSimulated returns a running simulated PBX that ends with the test.
func NewSimulated(t testing.TB, o Options) *Simulated {
	t.Helper()
	p, ok := Factory{Name: "sim", start: startSimulated}.Start(t, o).(*Simulated)
	if !ok {
		t.Fatal("the factory made no simulated PBX") // cannot be
	}
	return p
}

func startSimulated(t testing.TB, o Options) PBX {
	t.Helper()
	cfg := o.Sim
	cfg.Users, cfg.WriteTimeout = o.Users, o.WriteTimeout
	cfg.ARI = cfg.ARI || o.ARI
	if cfg.Version == "" {
		cfg.Version = "22.10.1"
	}
	cfg.Members = append(cfg.Members, o.Queues...)
	if o.Phones != nil {
		cfg.Devices = maps.Clone(cfg.Devices)
		if cfg.Devices == nil {
			cfg.Devices = make(map[string]string)
		}
		for _, phone := range o.Phones {
			cfg.Devices["PJSIP/"+phone] = "NOT_INUSE"
		}
	}
	p := &Simulated{Sim: pbxsim.New(cfg), version: cfg.Version, phones: o.Phones, accounts: accounts{t, o.Users}}
	t.Cleanup(func() {
		p.Stop()
		CheckChannels(t, p.Sim)
	})
	p.Start()
	return p
}

// CheckChannels fails a test in which somebody used the id of a channel again, which
// crashes a real Asterisk now and then and so would hardly be seen there.
func CheckChannels(t testing.TB, sim *pbxsim.PBX) {
	t.Helper()
	if ids := sim.ReusedChannels(); len(ids) > 0 {
		t.Errorf("channels were created with ids of ones that had been hung up, %q: Asterisk crashes where the hangup is still under way, so give each channel an id of its own", ids)
	}
}

// Name is "sim".
func (p *Simulated) Name() string { return "sim" }

// Version is the release it imitates.
func (p *Simulated) Version() string { return p.version }

// Addr is where AMI listens.
func (p *Simulated) Addr() string { return p.Sim.Addr() }

// Start starts it; booting takes as long as Options.Sim says.
func (p *Simulated) Start() {
	p.t.Helper()
	if err := p.Sim.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.comeBack()
}

// Stop stops it cleanly.
func (p *Simulated) Stop() {
	p.leave()
	p.Sim.Stop()
}

// Kill ends it and loses what was not committed.
func (p *Simulated) Kill() {
	p.leave()
	p.Sim.Kill()
}

// Restart stops it cleanly and starts it again.
func (p *Simulated) Restart() {
	p.t.Helper()
	p.Stop()
	p.Start()
}

// Load loads a module.
func (p *Simulated) Load(m pbxsim.Module) { p.Sim.Load(m) }

// Unload unloads a module.
func (p *Simulated) Unload(m pbxsim.Module) { p.Sim.Unload(m) }

// Commit commits the AstDB.
func (p *Simulated) Commit() { p.Sim.Commit() }
