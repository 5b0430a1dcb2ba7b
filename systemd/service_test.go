package systemd_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

// installed boots a machine with the service of the samples, whose PBX is pbx.
func installed(t *testing.T, pbx pbxtest.PBX) *machine {
	t.Helper()
	m := boot(t)
	m.install()
	account := pbx.User("bridge")
	m.write("/etc/presencebridge/presencebridge.yaml", strings.NewReplacer(
		"address: 127.0.0.1:5038", "address: "+pbx.Addr(),
		"username: presencebridge", "username: "+account.Name,
	).Replace(m.must("cat", "/etc/presencebridge/presencebridge.yaml")))
	if out, code := m.feed(account.Secret+"\n", "install", "-m", "600", "/dev/stdin", "/etc/presencebridge/ami-secret"); code != 0 {
		t.Fatal(out)
	}
	m.must("presencebridge", "check")
	return m
}

// install runs `make install` in the machine.
func (m *machine) install() {
	m.t.Helper()
	m.must("make", "-C", inSource, "install", "BINARY="+inBuilt+"/presencebridge")
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// status is a user's status type and since when, "" while there is none. settled
// says that every extension shows what it shall.
func (m *machine) status(user string) (status, since string, settled bool) {
	m.t.Helper()
	out, code := m.run("presencebridge", "status", user, "--json")
	if code != 0 {
		return "", "", false
	}
	var u struct {
		Status     *struct{ Type, Since string }
		Extensions []struct{ Reachable, Pending bool }
	}
	if err := json.Unmarshal([]byte(out), &u); err != nil {
		m.t.Fatalf("%v: %s", err, out)
	}
	if u.Status == nil {
		return "", "", false
	}
	settled = true
	for _, x := range u.Extensions {
		settled = settled && x.Reachable && !x.Pending
	}
	return u.Status.Type, u.Status.Since, settled
}

// shows waits until user has the status and returns since when.
func (m *machine) shows(user, status string) (since string) {
	m.t.Helper()
	m.eventually(user+" is "+status, func() bool {
		var s string
		s, since, _ = m.status(user)
		return s == status
	})
	return since
}

// settled waits until user has the status and the phones show it. Only then its time
// is final: a choice made before the PBX is connected ranks behind the first snapshot.
func (m *machine) settled(user, status string) (since string) {
	m.t.Helper()
	m.eventually(user+" is "+status+", and the phones show it", func() bool {
		var s string
		var done bool
		s, since, done = m.status(user)
		return s == status && done
	})
	return since
}

func TestTheUnitIsCleanAndHardened(t *testing.T) {
	m := boot(t)
	m.install()
	if out, code := m.run("systemd-analyze", "verify", "presencebridge.service"); code != 0 || out != "" {
		t.Errorf("systemd-analyze verify: exit code %d: %s", code, out)
	}
	if out, code := m.run("systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold=15", "presencebridge.service"); code != 0 {
		t.Errorf("systemd-analyze security: exit code %d: %s", code, out)
	}
}

func TestTheServiceFollowsPhonesAndLetsItsGroupIn(t *testing.T) {
	pbxtest.Run(t, pbxtest.Options{}, func(t *testing.T, pbx pbxtest.PBX) {
		phone := pbxtest.Observe(t, pbx)
		m := installed(t, pbx)
		m.must("useradd", "--groups=presencebridge", "panel")
		m.must("useradd", "stranger")
		m.must("systemctl", "enable", "--now", "presencebridge")
		if out := m.must("systemctl", "is-active", "presencebridge"); out != "active\n" {
			t.Errorf("is-active: %s", out)
		}
		if err := phone.Set("CustomPresence:1001", "away", "lunch", ""); err != nil {
			t.Fatal(err)
		}
		m.shows("alice", "lunch")

		protectRegular(t)
		store := "sqlite3 -readonly /var/lib/presencebridge/presencebridge.db \"select type from users where id = 'alice'\""
		for _, tc := range []struct {
			user, command string
			want          string // in what it prints
			code          int
		}{
			{"panel", "presencebridge set alice dnd", "", 0},
			{"panel", "presencebridge status alice", "Do not disturb", 0},
			{"panel", store, "dnd", 0},
			{"panel", "echo '# mine' >>" + mapping, "", 0},
			{"panel", "cat /etc/presencebridge/ami-secret", "Permission denied", 1},
			{"panel", "mv -f " + mapping + " /etc/presencebridge/presencebridge.yaml", "not permitted", 1},
			{"panel", "mv -T /etc/presencebridge/mapping /etc/presencebridge/mine", "not permitted", 1},
			{"panel", "rm -f /etc/presencebridge/presencebridge.yaml", "not permitted", 1},
			{"panel", "chmod o+rx /etc/presencebridge/mapping", "not permitted", 1},
			{"panel", "echo >>/var/lib/presencebridge/presencebridge.db", "Permission denied", 2},
			{"stranger", "presencebridge --socket /run/presencebridge/presencebridge.sock status", "join its group", 3},
			{"stranger", store, "unable to open", 1},
			{"stranger", "cat /etc/presencebridge/presencebridge.yaml", "Permission denied", 1},
		} {
			out, code := m.run("runuser", "-u", tc.user, "--", "sh", "-c", tc.command)
			if code != tc.code || !strings.Contains(out, tc.want) {
				t.Errorf("%s runs %s: exit code %d, want %d with %q: %s", tc.user, tc.command, code, tc.code, tc.want, out)
			}
		}
		if m.logged(pbx.User("bridge").Secret) {
			t.Error("the secret stands in the journal")
		}
	})
}

func TestAPackageFindsAllBelowItsDestdir(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "any")
	const script = "#!/bin/sh\n[ \"$1\" != man ] || { mkdir -p \"$2/man1\" && echo page >\"$2/man1/presencebridge.1\"; }\n"
	if err := os.WriteFile(program, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	c := exec.Command("make", "-C", "..", "install", "BINARY="+program, "PREFIX=/usr", "DESTDIR="+filepath.Join(dir, "root"))
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if !strings.Contains(string(out), "systemctl enable --now presencebridge") {
		t.Errorf("it does not say what to do next: %s", out)
	}
	var files []string
	root := os.DirFS(filepath.Join(dir, "root"))
	err = fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{
		"etc/presencebridge/mapping/mapping.yaml", "etc/presencebridge/presencebridge.yaml", "usr/bin/presencebridge",
		"usr/lib/systemd/system/presencebridge.service", "usr/lib/sysusers.d/presencebridge.conf", "usr/lib/tmpfiles.d/presencebridge.conf",
		"usr/share/bash-completion/completions/presencebridge", "usr/share/fish/vendor_completions.d/presencebridge.fish",
		"usr/share/man/man1/presencebridge.1", "usr/share/zsh/site-functions/_presencebridge",
	}; !slices.Equal(files, want) {
		t.Errorf("installed are %q, want %q", files, want)
	}
	if text, err := fs.ReadFile(root, "etc/presencebridge/presencebridge.yaml"); err != nil || !strings.Contains(string(text), "\nmapping: mapping/mapping.yaml\n") {
		t.Errorf("presencebridge.yaml does not name the mapping: %v", err)
	}
	unit, err := fs.ReadFile(root, "usr/lib/systemd/system/presencebridge.service")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(unit), "ExecStart=/usr/bin/presencebridge run") || strings.Contains(string(unit), "/usr/local/") {
		t.Errorf("the unit names another program:\n%s", unit)
	}
}

func TestMakeInstallLeavesAMappingWhereAnEarlierOneLaidIt(t *testing.T) {
	for _, tc := range []struct{ name, file string }{
		{"both files are there", "mapping: mapping.yaml\n# mine\n"},
		{"presencebridge.yaml is made anew", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			etc := filepath.Join(dir, "etc/presencebridge")
			if err := errors.Join(os.MkdirAll(etc, 0o750), os.WriteFile(filepath.Join(etc, "mapping.yaml"), []byte("mine"), 0o600)); err != nil {
				t.Fatal(err)
			}
			if tc.file != "" {
				if err := os.WriteFile(filepath.Join(etc, "presencebridge.yaml"), []byte(tc.file), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if out, err := exec.Command("make", "-C", "..", "install", "BINARY=/bin/true", "DESTDIR="+dir).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if got := readFile(t, filepath.Join(etc, "mapping.yaml")); got != "mine" {
				t.Errorf("the mapping is %q", got)
			}
			if got := readFile(t, filepath.Join(etc, "presencebridge.yaml")); !strings.Contains("\n"+got, "\nmapping: mapping.yaml\n") || tc.file != "" && got != tc.file {
				t.Errorf("presencebridge.yaml is %q", got)
			}
			if got, _ := os.ReadDir(filepath.Join(etc, "mapping")); len(got) > 0 {
				t.Errorf("there is another mapping: %v", got)
			}
		})
	}
}

func TestInstallingAgainKeepsTheFiles(t *testing.T) {
	m := installed(t, pbxtest.NewSimulated(t, pbxtest.Options{}))
	before := m.must("sh", "-c", "cd /etc/presencebridge && sha256sum *.yaml mapping/* && stat -c '%A %U %G %n' . * mapping/*")
	m.install()
	if after := m.must("sh", "-c", "cd /etc/presencebridge && sha256sum *.yaml mapping/* && stat -c '%A %U %G %n' . * mapping/*"); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

func TestAHangingBridgeIsReplacedAndAPBXThatIsAwayHarmsNothing(t *testing.T) {
	pbx := pbxtest.NewSimulated(t, pbxtest.Options{})
	m := installed(t, pbx)
	m.write("/etc/systemd/system/presencebridge.service.d/short.conf", "[Service]\nWatchdogSec=3\n")
	m.must("systemctl", "daemon-reload")
	m.must("systemctl", "start", "presencebridge")
	m.must("presencebridge", "set", "alice", "meeting")
	since := m.settled("alice", "meeting")
	pbx.Stop()
	for range 5 { // more than one limit
		fed := m.property("WatchdogTimestampMonotonic")
		m.eventually("the watchdog is fed without a PBX", func() bool { return m.property("WatchdogTimestampMonotonic") != fed })
	}
	if n := m.property("NRestarts"); n != "0" {
		t.Fatalf("%s restarts while the PBX was away", n)
	}

	hanging := m.property("MainPID")
	m.must("systemctl", "kill", "--kill-who=main", "--signal=SIGSTOP", "presencebridge")
	m.eventually("systemd has replaced it", func() bool { return m.property("NRestarts") == "1" && m.active() })
	if pid := m.property("MainPID"); pid == hanging {
		t.Errorf("%s still runs", pid)
	}
	if !m.logged("Watchdog timeout") || !m.logged("goroutine 1 ") {
		t.Error("the journal tells nothing of the watchdog and the stacks")
	}
	if again := m.shows("alice", "meeting"); again != since {
		t.Errorf("alice's status is since %s, want %s", again, since)
	}
}

func TestReloadTakesOverAGoodMappingAndRefusesABadOne(t *testing.T) {
	m := installed(t, pbxtest.NewSimulated(t, pbxtest.Options{}))
	m.must("systemctl", "start", "presencebridge")
	pid := m.property("MainPID")
	good := m.must("cat", mapping) + "  - {id: carol, name: Carol, extensions: [\"1005\"]}\n"
	m.write(mapping, good)
	m.must("systemctl", "reload", "presencebridge")
	m.must("presencebridge", "status", "carol")

	m.write(mapping, good+"  - {id: carol, name: Carol, extensions: [\"1006\"]}\n  - {id: dave, fone: 7}\n")
	if out, code := m.run("systemctl", "reload", "presencebridge"); code == 0 {
		t.Errorf("reload of a bad mapping: exit code 0: %s", out)
	}
	for _, fault := range []string{"carol", "fone"} {
		if !m.logged(fault) {
			t.Errorf("the journal does not tell of %q", fault)
		}
	}
	if !m.active() || m.property("MainPID") != pid {
		t.Error("a bad mapping has ended the bridge")
	}
	m.must("presencebridge", "status", "carol")
	if out, code := m.run("presencebridge", "status", "dave"); code == 0 {
		t.Errorf("a user of the bad mapping is there: %s", out)
	}
}

func TestAKilledBridgeIsBackWithItsStatuses(t *testing.T) {
	pbx := pbxtest.NewSimulated(t, pbxtest.Options{})
	phone := pbxtest.Observe(t, pbx)
	m := installed(t, pbx)
	m.must("systemctl", "start", "presencebridge")
	m.must("presencebridge", "set", "alice", "meeting")
	since := m.settled("alice", "meeting")

	m.must("systemctl", "kill", "--kill-who=main", "--signal=SIGKILL", "presencebridge")
	m.eventually("systemd has started it again", func() bool { return m.property("NRestarts") == "1" && m.active() })
	if again := m.shows("alice", "meeting"); again != since {
		t.Errorf("alice's status is since %s, want %s", again, since)
	}
	if err := phone.Set("CustomPresence:1001", "away", "", ""); err != nil {
		t.Fatal(err)
	}
	m.shows("alice", "away")
}

func TestAStoppedBridgeEndsInOrderAndDoesNotComeBackByItself(t *testing.T) {
	m := installed(t, pbxtest.NewSimulated(t, pbxtest.Options{}))
	m.must("systemctl", "start", "presencebridge")
	m.must("presencebridge", "set", "alice", "meeting")
	since := m.settled("alice", "meeting")
	m.must("systemctl", "stop", "presencebridge")
	for name, want := range map[string]string{"ActiveState": "inactive", "Result": "success", "ExecMainStatus": "0", "NRestarts": "0"} {
		if got := m.property(name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	if !m.logged(`"stopped"`) {
		t.Error("it was cut off")
	}
	m.must("test", "!", "-e", "/run/presencebridge")
	if out, code := m.run("presencebridge", "status"); code != 3 || !strings.Contains(out, "systemctl start presencebridge") {
		t.Errorf("status of a stopped bridge: exit code %d: %s", code, out)
	}
	m.must("systemctl", "start", "presencebridge")
	if again := m.shows("alice", "meeting"); again != since {
		t.Errorf("alice's status is since %s, want %s", again, since)
	}
}

func TestAServiceWithoutItsSecretSaysSo(t *testing.T) {
	m := installed(t, pbxtest.NewSimulated(t, pbxtest.Options{}))
	m.must("rm", "/etc/presencebridge/ami-secret")
	if out, code := m.run("systemctl", "start", "presencebridge"); code == 0 {
		t.Errorf("it started: %s", out)
	}
	if !m.logged("ami-secret is empty: write the secret of the manager user into /etc/presencebridge/ami-secret") {
		t.Error("the journal does not say why")
	}
}

// The collector's token is one of the secrets that the unit gives the bridge: only root reads
// the file, and where nobody has one nothing is missing (every other test).
func TestTheServiceShowsTheCollectorItsToken(t *testing.T) {
	pbx := pbxtest.NewSimulated(t, pbxtest.Options{})
	tokens := make(chan string, 1)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case tokens <- r.URL.Path + " " + r.Header.Get("Authorization"):
		default: // the first one is enough
		}
	}))
	t.Cleanup(collector.Close)
	m := installed(t, pbx)
	const yaml, file = "/etc/presencebridge/presencebridge.yaml", "/etc/presencebridge/collector-token"
	m.write(yaml, strings.NewReplacer(`endpoint: ""`, "endpoint: "+collector.URL, "sample: 0.01", "sample: 1", "  #token_file:", "  token_file:").Replace(m.must("cat", yaml)))
	if out, code := m.run("systemctl", "start", "presencebridge"); code == 0 {
		t.Errorf("it started without the token: %s", out)
	}
	if !m.logged("collector-token is empty: write the token of the collector into " + file) {
		t.Error("the journal does not say why")
	}
	if out, code := m.feed("mellon\n", "install", "-m", "600", "/dev/stdin", file); code != 0 {
		t.Fatal(out)
	}
	m.must("systemctl", "restart", "presencebridge")
	phone := pbxtest.Observe(t, pbx)
	for _, subtype := range []string{"lunch", ""} { // the first one may come with the snapshot, which is not traced
		if err := phone.Set("CustomPresence:1001", "away", subtype, ""); err != nil {
			t.Fatal(err)
		}
		m.shows("alice", cmp.Or(subtype, "away"))
	}
	m.eventually("the collector is told", func() bool { return len(tokens) > 0 })
	if got, want := <-tokens, "/v1/traces Bearer mellon"; got != want {
		t.Errorf("the collector is sent %q, want %q", got, want)
	}
}

// What a sample names has to be in the unit, or its reader edits a file that the bridge
// does not see. Providers of sign-in are as many as somebody wants: the unit says what to do.
func TestTheUnitHasEverySecretOfTheSample(t *testing.T) {
	unit := readFile(t, "presencebridge.service")
	secrets := regexp.MustCompile(`(?m)^[# ]*(?:secret|password|token)_file: ([a-z-]+)$`).FindAllStringSubmatch(readFile(t, "../config/presencebridge.yaml"), -1)
	if len(secrets) < 5 {
		t.Fatalf("the sample names %q", secrets)
	}
	for _, secret := range secrets {
		for _, line := range []string{"LoadCredential=" + secret[1] + ":/etc/presencebridge/" + secret[1], "SetCredential=" + secret[1] + `:\n`} {
			if !strings.Contains(unit, "\n"+line+"\n") {
				t.Errorf("the unit lacks %s", line)
			}
		}
	}
}

// protectRegular sets what Debian and Ubuntu set and a container inherits: in a
// sticky folder nobody opens with O_CREAT, as editors do, a file that belongs to
// neither them nor the folder's owner (fs/namei.c, may_create_in_sticky).
func protectRegular(t *testing.T) {
	t.Helper()
	const setting = "/proc/sys/fs/protected_regular"
	before, err := os.ReadFile(setting)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(setting, []byte("2"), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.WriteFile(setting, before, 0); err != nil {
			t.Error(err)
		}
	})
}
