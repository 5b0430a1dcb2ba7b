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
	"github.com/presencebridge/presencebridge/pkg/connector"
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
	testContract(t, pbxtest.Options{}, false, func(pbx pbxtest.PBX, _ string, network *connectortest.Network) asterisk.Config {
		return asterisk.Config{Times: eager, AMI: overAMI(pbx, "bridge", network)}
	})
}

// TestContractOverARI has no AMI.
func TestContractOverARI(t *testing.T) {
	testContract(t, pbxtest.Options{ARI: true}, true, func(pbx pbxtest.PBX, instance string, network *connectortest.Network) asterisk.Config {
		return asterisk.Config{Times: eager, ARI: overARI(pbx, "suite-"+instance, network)}
	})
}

// TestContractOverBoth has AMI, and ARI that stands by.
func TestContractOverBoth(t *testing.T) {
	testContract(t, pbxtest.Options{ARI: true}, false, func(pbx pbxtest.PBX, instance string, network *connectortest.Network) asterisk.Config {
		times := eager
		times.Grace = connectortest.Deadline // ARI stands by
		return asterisk.Config{Times: times, AMI: overAMI(pbx, "bridge", network), ARI: overARI(pbx, "both-"+instance, &connectortest.Network{})}
	})
}

// testContract runs the suite of connectors. Each connector has a name of its own.
func testContract(t *testing.T, options pbxtest.Options, polls bool, reach func(pbx pbxtest.PBX, instance string, network *connectortest.Network) asterisk.Config) {
	pbxtest.Run(t, options, func(t *testing.T, pbx pbxtest.PBX) {
		phone := pbxtest.Observe(t, pbx)
		instance := 0
		connectortest.Run(t, func(t *testing.T) connectortest.System {
			instance++
			network := &connectortest.Network{}
			cfg := reach(pbx, fmt.Sprint(instance), network)
			cfg.Name, cfg.Instance = "main", fmt.Sprint("test-", instance)
			c, err := asterisk.New(cfg, logger(t))
			if err != nil {
				t.Fatal(err)
			}
			c.Follow(connector.NewNumbers(numbers(9)))
			return connectortest.System{
				Connector: c,
				Network:   network,
				Set: func(number string, p presence.Presence) error {
					return phone.Set("CustomPresence:"+number, p.State.String(), p.Subtype, p.Message)
				},
				Shows: func(number string) (presence.Presence, error) { return shows(phone, number) },
				Polls: polls,
			}
		})
	})
}

// overAMI reaches pbx with an account.
func overAMI(pbx pbxtest.PBX, account string, network *connectortest.Network) ami.Config {
	u := pbx.User(account)
	return ami.Config{
		Address: pbx.Addr(), Username: u.Name, Secret: ami.NewSecret(u.Secret),
		Timeout: connectortest.Deadline, Dial: network.Dial,
	}
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
