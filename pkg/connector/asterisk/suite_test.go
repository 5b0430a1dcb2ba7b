package asterisk_test

import (
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/presencebridge/presencebridge/pkg/ami"
	"github.com/presencebridge/presencebridge/pkg/ari"
	"github.com/presencebridge/presencebridge/pkg/connector/asterisk"
	"github.com/presencebridge/presencebridge/pkg/connector/connectortest"
	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, pbxtest.LeakOptions()...) }

// eager are times that keep tests short where the wall clock rules.
var eager = asterisk.Times{
	Boot: 50 * time.Millisecond, Retry: 10 * time.Millisecond,
	BackoffMin: time.Millisecond, BackoffMax: 20 * time.Millisecond,
	CanaryWait: connectortest.Deadline, Poll: 10 * time.Millisecond, Replaced: time.Millisecond,
}

func logger(t *testing.T) *zap.Logger { return zaptest.NewLogger(t, zaptest.Level(zap.InfoLevel)) }

func TestContract(t *testing.T) {
	pbxtest.Run(t, pbxtest.Options{}, func(t *testing.T, pbx pbxtest.PBX) {
		phone := pbxtest.Observe(t, pbx)
		instance := 0
		connectortest.Run(t, func(t *testing.T) connectortest.System {
			instance++
			network := &connectortest.Network{}
			account := pbx.User("bridge")
			c, err := asterisk.New(asterisk.Config{
				Name:     "main",
				Instance: fmt.Sprint("test-", instance),
				AMI: ami.Config{
					Address: pbx.Addr(), Username: account.Name, Secret: ami.NewSecret(account.Secret),
					Timeout: connectortest.Deadline, Dial: network.Dial,
				},
				Times: eager,
			}, logger(t))
			if err != nil {
				t.Fatal(err)
			}
			return connectortest.System{
				Connector: c,
				Network:   network,
				Set: func(number string, p presence.Presence) error {
					return phone.Set("CustomPresence:"+number, p.State.String(), p.Subtype, p.Message)
				},
				Shows: func(number string) (presence.Presence, error) { return shows(phone, number) },
			}
		})
	})
}

// TestContractOverARI has no AMI.
func TestContractOverARI(t *testing.T) {
	pbxtest.Run(t, pbxtest.Options{ARI: true}, func(t *testing.T, pbx pbxtest.PBX) {
		phone := pbxtest.Observe(t, pbx)
		instance := 0
		connectortest.Run(t, func(t *testing.T) connectortest.System {
			instance++
			network := &connectortest.Network{}
			c, err := asterisk.New(asterisk.Config{
				Name: "main", Instance: fmt.Sprint("test-", instance), Times: eager,
				ARI: overARI(pbx, fmt.Sprint("suite-", instance), network),
			}, logger(t))
			if err != nil {
				t.Fatal(err)
			}
			c.Follow(numbers(9))
			return connectortest.System{
				Connector: c,
				Network:   network,
				Set: func(number string, p presence.Presence) error {
					return phone.Set("CustomPresence:"+number, p.State.String(), p.Subtype, p.Message)
				},
				Shows: func(number string) (presence.Presence, error) { return shows(phone, number) },
				Polls: true,
			}
		})
	})
}

// TestContractOverBoth has AMI, and ARI that stands by.
func TestContractOverBoth(t *testing.T) {
	pbxtest.Run(t, pbxtest.Options{ARI: true}, func(t *testing.T, pbx pbxtest.PBX) {
		phone := pbxtest.Observe(t, pbx)
		instance := 0
		connectortest.Run(t, func(t *testing.T) connectortest.System {
			instance++
			network, times := &connectortest.Network{}, eager
			times.Grace = connectortest.Deadline // ARI stands by
			account := pbx.User("bridge")
			c, err := asterisk.New(asterisk.Config{
				Name: "main", Instance: fmt.Sprint("both-", instance), Times: times,
				AMI: ami.Config{
					Address: pbx.Addr(), Username: account.Name, Secret: ami.NewSecret(account.Secret),
					Timeout: connectortest.Deadline, Dial: network.Dial,
				},
				ARI: overARI(pbx, fmt.Sprint("both-", instance), &connectortest.Network{}),
			}, logger(t))
			if err != nil {
				t.Fatal(err)
			}
			c.Follow(numbers(9))
			return connectortest.System{
				Connector: c,
				Network:   network,
				Set: func(number string, p presence.Presence) error {
					return phone.Set("CustomPresence:"+number, p.State.String(), p.Subtype, p.Message)
				},
				Shows: func(number string) (presence.Presence, error) { return shows(phone, number) },
			}
		})
	})
}

// overARI reaches pbx as an application of that name.
func overARI(pbx pbxtest.PBX, app string, network *connectortest.Network) ari.Config {
	account := pbx.User("bridge")
	return ari.Config{
		URL: pbx.ARI(), Username: account.Name, Password: ari.NewSecret(account.Secret), App: app,
		Timeout: connectortest.Deadline, Dial: network.Dial,
	}
}

func shows(phone *pbxtest.Observer, number string) (presence.Presence, error) {
	c, err := phone.Shows("CustomPresence:" + number)
	if err != nil {
		return presence.Presence{}, err
	}
	state, ok := presence.ParseState(c.State)
	if !ok {
		return presence.Presence{}, fmt.Errorf("%s is in state %q", number, c.State)
	}
	return presence.Presence{State: state, Subtype: c.Subtype, Message: c.Message}, nil
}
