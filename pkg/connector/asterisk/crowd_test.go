package asterisk_test

import (
	"testing"

	"github.com/presencebridge/presencebridge/pkg/ami"
	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/connector/asterisk"
	"github.com/presencebridge/presencebridge/pkg/connector/connectortest"
	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// TestAThousandPhonesAtOnce changes them as fast as a PBX takes it, as a conference
// call or a switch that lost its power does.
func TestAThousandPhonesAtOnce(t *testing.T) {
	pbxtest.Run(t, pbxtest.Options{ARI: true}, func(t *testing.T, pbx pbxtest.PBX) {
		for name, change := range map[string]func(*asterisk.Config){
			"ami": func(*asterisk.Config) {},
			"ari": func(cfg *asterisk.Config) {
				cfg.AMI.Address, cfg.ARI = "", overARI(pbx, "crowd", &connectortest.Network{})
			},
		} {
			t.Run(name, func(t *testing.T) {
				device := "Custom:" + name + "-{extension}"
				cfg := asterisk.Config{Name: "main", Instance: name, Device: device, AMI: overAMI(pbx, "bridge", &connectortest.Network{})}
				change(&cfg)
				c, err := asterisk.New(cfg, logger(t))
				if err != nil {
					t.Fatal(err)
				}
				crowd := numbers(1000)
				c.Follow(connector.NewNumbers(crowd))
				w := connectortest.Start(t, c)
				w.Ready()
				if phones(w) == nil {
					t.Fatal("phones are not followed")
				}
				for _, step := range []struct {
					state string
					want  presence.PhoneState
				}{{"INUSE", presence.PhoneInCall}, {"NOT_INUSE", presence.PhoneIdle}} {
					setAll(t, pbx, "Custom:"+name+"-", crowd, step.state)
					for changed := map[string]bool{}; len(changed) < len(crowd); {
						changed[w.Await("a phone "+step.state, func(r connector.Report) bool {
							return r.Kind == connector.PhoneChanged && r.Phone == step.want
						}).Extension.Number] = true
					}
				}
				if n := count(w, connector.Down); n > 0 {
					t.Errorf("%d sessions were lost", n)
				}
			})
		}
	})
}

// setAll does not wait for one before it sends the next.
func setAll(t *testing.T, pbx pbxtest.PBX, prefix string, numbers []string, state string) {
	t.Helper()
	conn, err := ami.Open(t.Context(), overAMI(pbx, "phone", &connectortest.Network{}), ami.Handler{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	answers := make(chan error, len(numbers))
	for _, number := range numbers {
		set, err := ami.SetDevice(prefix+number, state)
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.Send(set, func(_ ami.Response, err error) { answers <- err }); err != nil {
			t.Fatal(err)
		}
	}
	for range numbers {
		if err := <-answers; err != nil {
			t.Fatal(err)
		}
	}
}
