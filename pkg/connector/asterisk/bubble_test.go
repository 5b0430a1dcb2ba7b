package asterisk_test

import (
	"bytes"
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/presencebridge/presencebridge/pkg/ami"
	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/connector/asterisk"
	"github.com/presencebridge/presencebridge/pkg/connector/connectortest"
	"github.com/presencebridge/presencebridge/pkg/pbxsim"
	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// bubble is a simulated PBX and a connector to it in a synctest bubble, where
// time passes only when everybody waits: tests use the times that users get.
type bubble struct {
	t   *testing.T
	sim *pbxsim.PBX
	connectortest.Exchange
	network connectortest.Network
	log     *safeBuffer
	phones  bool // are followed
	queues  bool // members are paused
}

// inBubble runs a test in a bubble. The PBX is running.
func inBubble(t *testing.T, cfg pbxsim.Config, test func(*testing.T, *bubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{t: t, log: &safeBuffer{}}
		cfg.Listen = b.Listen
		b.network.Base = b.Dial
		b.sim = pbxsim.New(cfg)
		b.start()
		t.Cleanup(func() {
			b.sim.Stop()
			pbxtest.CheckChannels(t, b.sim)
		})
		t.Cleanup(b.checkOutput)
		test(t, b)
	})
}

func (b *bubble) start() {
	b.t.Helper()
	if err := b.sim.Start(); err != nil {
		b.t.Fatal(err)
	}
}

// connect starts a connector that uses the account "bridge", or as change has it.
func (b *bubble) connect(change ...func(*asterisk.Config)) (*asterisk.Connector, *connectortest.Watch) {
	b.t.Helper()
	return b.connectTo(nil, change...)
}

// connectTo is connect with extensions to follow.
func (b *bubble) connectTo(numbers []string, change ...func(*asterisk.Config)) (*asterisk.Connector, *connectortest.Watch) {
	b.t.Helper()
	cfg := asterisk.Config{
		Name:     "main",
		Instance: "a",
		AMI: ami.Config{
			Address: "pbx.example:5038", Username: "bridge", Secret: ami.NewSecret("bridge-secret"),
			Dial: b.network.Dial,
		},
	}
	for _, f := range change {
		f(&cfg)
	}
	b.phones = b.phones || cfg.Device != "" || cfg.Lamp != "" || cfg.DND != ""
	b.queues = b.queues || len(cfg.Members) > 0
	encoder := zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig())
	c, err := asterisk.New(cfg, zap.New(zapcore.NewCore(encoder, b.log, zap.DebugLevel)))
	if err != nil {
		b.t.Fatal(err)
	}
	c.Follow(connector.NewNumbers(numbers))
	return c, connectortest.Start(b.t, c)
}

func as(account string) func(*asterisk.Config) {
	return func(cfg *asterisk.Config) {
		cfg.AMI.Username, cfg.AMI.Secret = account, ami.NewSecret(account+"-secret")
	}
}

// set sets a presence as a phone would.
func (b *bubble) set(number, state string) {
	b.t.Helper()
	if err := b.sim.Set("CustomPresence:"+number, state, "", ""); err != nil {
		b.t.Fatal(err)
	}
}

// pass lets time pass.
func (b *bubble) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// lists tells how often the PBX was asked for a list.
func (b *bubble) lists() int { return b.sim.Stats().Actions["PresenceStateList"] }

// checkOutput looks for secrets in the log, and for actions that nobody allowed.
func (b *bubble) checkOutput() {
	if log := b.log.String(); strings.Contains(log, "-secret") {
		b.t.Errorf("a secret is in the log:\n%s", log)
	}
	for action := range b.sim.Stats().Actions {
		switch action {
		case "Challenge", "Login", "Logoff", "Ping", "CoreStatus", "CoreSettings", "PresenceStateList",
			"Setvar PRESENCE_STATE", "Getvar PRESENCE_STATE":
		case "QueueStatus", "QueuePause":
			if !b.queues {
				b.t.Errorf("action %s was sent without queue_members", action)
			}
		case "DeviceStateList", "Setvar DEVICE_STATE":
			if !b.phones {
				b.t.Errorf("the connector asked for %q and shall not follow phones", action)
			}
		default:
			b.t.Errorf("the connector asked for %q", action)
		}
	}
}

func id(number string) presence.ExtensionID { return presence.ExtensionID{PBX: "main", Number: number} }

func changedTo(number string, state presence.State) func(connector.Report) bool {
	return func(r connector.Report) bool {
		return r.Kind == connector.Changed && r.Extension.Number == number && r.Presence.State == state
	}
}

// count tells how many reports of a kind there are.
func count(w *connectortest.Watch, kind connector.Kind) (n int) {
	for _, r := range w.Reports() {
		if r.Kind == kind {
			n++
		}
	}
	return n
}

// mangle changes what connections that are made from now on read.
func (b *bubble) mangle(change func([]byte)) {
	b.network.Base = func(ctx context.Context, network, address string) (net.Conn, error) {
		nc, err := b.Dial(ctx, network, address)
		return &mangler{nc, change}, err
	}
}

// mangler changes what is read.
type mangler struct {
	net.Conn
	change func([]byte)
}

func (m *mangler) Read(p []byte) (int, error) {
	n, err := m.Conn.Read(p)
	m.change(p[:n])
	return n, err
}

// safeBuffer takes a log.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) Sync() error { return nil }

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
