package diagnose

import (
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/presencebridge/presencebridge/pkg/ami"
	"github.com/presencebridge/presencebridge/pkg/pbxsim"
	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

var update = flag.Bool("update", false, "write the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, pbxtest.LeakOptions()...) }

const secret = "canary-4f1c9a"

// hides lets only FullyBooted through, in the form that every release knows.
const hides = "eventfilter = Event: FullyBooted\n"

// calls is what a filter of before phones were followed lets through.
const calls = "eventfilter = Event: (PresenceStateChange|FullyBooted|Shutdown)\n"

// accounts are those of TestWrongSetupsOfARealAsterisk, right and wrong ones.
func accounts() []pbxsim.User {
	users := []pbxsim.User{{Name: "everything", Read: "all", Write: "all"}}
	for _, name := range []string{"good", "deny", "alone", "filtered", "no-phones"} {
		users = append(users, pbxsim.User{Name: name, Read: "system,call", Write: "call,reporting"})
	}
	users = append(users,
		pbxsim.User{Name: "nosystem", Read: "call", Write: "call,reporting"},
		pbxsim.User{Name: "nocall", Read: "system", Write: "call,reporting"},
		pbxsim.User{Name: "nowrite", Read: "system,call", Write: "reporting"},
		pbxsim.User{Name: "noreport", Read: "system,call", Write: "call"},
		pbxsim.User{Name: "nothing"},
	)
	for i := range users {
		users[i].Secret = secret
	}
	return users
}

// patient waits long enough for a busy machine. What shall not come is waited for
// briefly.
func config(address, user string) Config {
	return Config{
		Name: "main", Presentity: "CustomPresence:{extension}", Device: "PJSIP/{extension}", Instance: "doctor-test",
		AMI:        ami.Config{Address: address, Username: user, Secret: ami.NewSecret(secret), Timeout: 20 * time.Second},
		Extensions: []string{"1001", "1002"},
		BootWait:   20 * time.Second, EventWait: 20 * time.Second,
	}
}

const brief = 300 * time.Millisecond

func TestWrongSetupsOfARealAsterisk(t *testing.T) {
	for _, f := range pbxtest.Reals(t) {
		t.Run(f.Name, func(t *testing.T) {
			port := strconv.Itoa(pbxtest.FreePort(t))
			pair := pbxtest.NewCertificate(t, "pbx.example.com", time.Now().Add(24*365*time.Hour))
			ills := map[string]string{
				"deny": "deny = 0.0.0.0/0.0.0.0\npermit = 192.0.2.1/255.255.255.255\n", "alone": "allowmultiplelogin = no\n", "filtered": hides, "no-phones": calls,
			}
			pbx := f.Start(t, pbxtest.Options{Users: accounts(), Conf: pbxtest.Conf{
				General: "tlsenable = yes\ntlsbindaddr = 127.0.0.1:" + port + "\ntlscertfile = {etc}/pbx.pem\ntlsprivatekey = {etc}/pbx.pem\n",
				Account: ills,
				Files:   map[string]string{"pbx.pem": pair.PEM},
			}})
			cures := maps.Clone(ills)
			encrypted := "127.0.0.1:" + port
			for _, tc := range []struct {
				name  string
				spoil func(*Config)
			}{
				{"good", nil},
				{"everything", nil},
				{"deny", nil},
				{"nosystem", func(c *Config) { c.BootWait = brief }},
				{"nocall", func(c *Config) { c.EventWait = brief }},
				{"filtered", func(c *Config) { c.EventWait = brief }},
				{"no-phones", func(c *Config) { c.EventWait = time.Second }},
				{"nowrite", nil},
				{"noreport", nil},
				{"nothing", func(c *Config) { c.BootWait = brief }},
				{"wrong-secret", func(c *Config) { c.AMI.Username, c.AMI.Secret = "good", ami.NewSecret(secret+"x") }},
				{"unknown-user", nil},
				{"alone", func(c *Config) {
					other, err := ami.Open(t.Context(), c.AMI, ami.Handler{})
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { _ = other.Close() })
				}},
				{"tls", func(c *Config) {
					c.AMI.Address, c.AMI.Username, c.AMI.TLS = encrypted, "good", &tls.Config{RootCAs: pair.Trusted, ServerName: "pbx.example.com"}
				}},
				{"tls-other-name", func(c *Config) { c.AMI.Address, c.AMI.TLS = encrypted, &tls.Config{RootCAs: pair.Trusted} }},
				{"tls-unknown-ca", func(c *Config) {
					c.AMI.Address, c.AMI.TLS = encrypted, &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "pbx.example.com"}
				}},
				{"tls-on-the-plain-port", func(c *Config) { c.AMI.TLS = &tls.Config{RootCAs: pair.Trusted} }},
				{"plain-on-the-tls-port", func(c *Config) { c.AMI.Address, c.AMI.Timeout = encrypted, time.Second }},
			} {
				t.Run(tc.name, func(t *testing.T) {
					c := config(pbx.Addr(), tc.name)
					if tc.spoil != nil {
						tc.spoil(&c)
					}
					steps := Examine(t.Context(), c, nil)
					golden(t, tc.name, steps, pbx, c.AMI.Address, encrypted)
					prescribe(cures, tc.name, steps)
				})
			}
			t.Run("nothing-listens", func(t *testing.T) {
				pbx.Stop()
				c := config(pbx.Addr(), "good")
				golden(t, "nothing-listens", Examine(t.Context(), c, nil), pbx, c.AMI.Address)
			})
			t.Run("cured", func(t *testing.T) {
				pbx := f.Start(t, pbxtest.Options{Users: accounts(), Conf: pbxtest.Conf{Account: cures}})
				for _, name := range []string{"deny", "nosystem", "nocall", "filtered", "no-phones", "nowrite", "noreport", "nothing", "alone", "everything"} {
					steps := Examine(t.Context(), config(pbx.Addr(), name), nil)
					for _, s := range steps {
						if s.Name != "version" && s.Result != OK && s.Result != Info {
							t.Errorf("%s, with the lines that it was told to write: %s is %s: %s", name, s.Name, s.Result, s.Says)
						}
					}
				}
			})
		})
	}
}

func TestModulesAndEventsThatARealAsteriskLacks(t *testing.T) {
	for _, f := range pbxtest.Reals(t) {
		for _, tc := range []struct {
			name string
			conf pbxtest.Conf
			deaf bool
		}{
			{"no-list-module", pbxtest.Conf{NoLoad: []string{"res_manager_presencestate.so"}}, false},
			{"no-function-module", pbxtest.Conf{NoLoad: []string{"func_presencestate.so"}}, false},
			{"no-device-list-module", pbxtest.Conf{NoLoad: []string{"res_manager_devicestate.so"}}, false},
			{"no-device-function-module", pbxtest.Conf{NoLoad: []string{"func_devstate.so"}}, false},
			{"disabled-events", pbxtest.Conf{General: "disabledevents = PresenceStateChange\n"}, true},
			{"declined", pbxtest.Conf{Files: map[string]string{"stasis.conf": "[declined_message_types]\ndecline = ast_presence_state_message_type\n"}}, true},
		} {
			t.Run(f.Name+"/"+tc.name, func(t *testing.T) {
				pbx := f.Start(t, pbxtest.Options{Users: accounts(), Conf: tc.conf})
				if v := releaseOf(pbx); tc.name == "disabled-events" && v.known && v.before(number{16, 25, 0}) {
					t.Skipf("Asterisk %s has no disabledevents; list one of 16.25 or newer", v)
				}
				c := config(pbx.Addr(), "good")
				if tc.deaf {
					c.EventWait = brief
				}
				golden(t, tc.name, Examine(t.Context(), c, nil), pbx, c.AMI.Address)
			})
		}
	}
}

// releaseOf is the version of a PBX.
func releaseOf(pbx pbxtest.PBX) version {
	var v version
	v.release(pbx.Version())
	return v
}

// prescribe adds the lines that an examination advised to an account.
func prescribe(cures map[string]string, name string, steps []Step) {
	for _, s := range steps {
		for _, f := range s.Fix {
			if f.File == "manager.conf" && f.Section == "["+name+"]" {
				lines := strings.Join(f.Lines, "\n") + "\n"
				cures[name] += strings.Replace(lines, "the content of the secret file", secret, 1)
			}
		}
	}
}

// golden compares steps with a file, the same for every Asterisk. What differs
// from run to run, and by the release, is replaced.
func golden(t *testing.T, name string, steps []Step, pbx pbxtest.PBX, addresses ...string) {
	t.Helper()
	v := releaseOf(pbx)
	got := strings.Replace(text(steps), strings.Join(v.filters(false), "\n    "), "THE FILTERS OF THIS RELEASE", 1)
	for _, a := range addresses {
		_, port, _ := net.SplitHostPort(a)
		got = strings.ReplaceAll(got, port, "PORT")
	}
	got = regexp.MustCompile(`seen after \d+ ms`).ReplaceAllString(got, "seen after N ms")
	got = regexp.MustCompile(`Call Manager/[0-9.]+`).ReplaceAllString(got, "Call Manager/VERSION")
	// Which advisories concern it is tested without one.
	got = regexp.MustCompile(`(?m)^version: (ok|warning): .*(\n  do:.*)?`).ReplaceAllString(got, "version: AS FOR THIS RELEASE")
	got = regexp.MustCompile(`(until|on) \d{4}-\d\d-\d\d`).ReplaceAllString(got, "$1 DATE")
	if strings.Contains(got, secret) {
		t.Error("the secret is in the output")
	}
	path := filepath.Join("../../../../testdata/diagnose", name+".txt")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v: run go test -update", err)
	}
	if got != string(want) {
		t.Errorf("%s differs, got:\n%s", path, got)
	}
}

func text(steps []Step) string {
	var b strings.Builder
	for _, s := range steps {
		fmt.Fprintf(&b, "%s: %s: %s\n", s.Name, s.Result, s.Says)
		if s.Do != "" {
			fmt.Fprintf(&b, "  do: %s\n", s.Do)
		}
		for _, f := range s.Fix {
			fmt.Fprintf(&b, "  %s %s\n    %s\n", f.File, f.Section, strings.Join(f.Lines, "\n    "))
		}
	}
	return b.String()
}

// listen serves connections until the test ends.
func listen(t *testing.T, serve func(net.Conn)) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serve(c)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l
}
