package systemd_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

// call sends a request to the API, as a program of root's does.
func (m *machine) call(method, path, body string) (status int, answer string) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), patience)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", "/proc/"+m.init+"/root/run/presencebridge/presencebridge.sock")
	}}}
	req, err := http.NewRequestWithContext(ctx, method, "http://bridge/api/v1/mapping/"+path, strings.NewReader(body))
	if err != nil {
		m.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		m.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		m.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// prefer changes the mapping as the page does.
func (m *machine) prefer(first, second string) (status int, answer string) {
	m.t.Helper()
	return m.call(http.MethodPut, "rules", fmt.Sprintf(`{"sync": {"priority": [%q, %q]}}`, first, second))
}

// saves changes the mapping as the page does, which has to succeed.
func (m *machine) saves(first, second string) {
	m.t.Helper()
	if status, answer := m.prefer(first, second); status != http.StatusOK {
		m.t.Errorf("a page saves the mapping: %d: %s", status, answer)
	}
	m.must("sh", "-c", inFolder+`grep -q "priority: \[`+first+", "+second+`\]" "$mapping" && test -s "$(realpath "$mapping")".before-*`)
}

// opens switches the web panel on.
func (m *machine) opens() {
	m.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		m.t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		m.t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(address)
	m.must("sed", "-i", `s/^  listen: ""/  listen: `+address+`/; $a sign_in: {url: "http://localhost:`+port+`"}`, folder+"/presencebridge.yaml")
}

// prescribed are the commands that doctor prints for what keeps a page from saving.
func (m *machine) prescribed() []string {
	m.t.Helper()
	if out, code := m.run("presencebridge", "check"); code != 1 || !strings.Contains(out, "the page Status sync cannot save") {
		m.t.Errorf("check: exit code %d: %s", code, out)
	}
	out, _ := m.run("presencebridge", "doctor")
	_, after, _ := strings.Cut(out, "a shell, as root:\n")
	after, _, _ = strings.Cut(after, "\n\n")
	commands := strings.Split(after, "\n")
	if after == "" {
		m.t.Fatalf("doctor prescribes nothing: %s", out)
	}
	return commands
}

func TestAPageSavesTheMappingAndEditorsDoToo(t *testing.T) {
	m := installed(t, pbxtest.NewSimulated(t, pbxtest.Options{}))
	m.opens()
	m.must("presencebridge", "check")
	m.must("useradd", "--groups=presencebridge", "panel")
	protectRegular(t)
	m.must("systemctl", "start", "presencebridge")
	rights := func(want string) {
		t.Helper()
		if out := strings.TrimSpace(m.must("stat", "-c", "%a %U %G", mapping)); out != want {
			t.Errorf("the mapping is %s, want %s", out, want)
		}
	}
	rights("660 root presencebridge")
	m.saves("meeting", "dnd")
	rights("660 presencebridge presencebridge")
	if status, answer := m.call(http.MethodPost, "undo", ""); status != http.StatusOK {
		t.Errorf("undo: %d: %s", status, answer)
	}
	m.saves("dnd", "meeting")

	edits := func(command, name string) {
		t.Helper()
		m.must("runuser", "-u", "panel", "--", "sh", "-ec", command)
		m.eventually("the edit is taken over: "+command, func() bool { return strings.Contains(m.must("presencebridge", "status"), name) })
	}
	edits(`echo '  - {id: yan, name: Yan, extensions: ["1008"]}' >>`+mapping, "Yan")
	m.saves("meeting", "dnd")
	edits("sed -i s/Yan/Yann/ "+mapping, "Yann")
	rights("660 panel presencebridge")
	m.saves("dnd", "meeting")
	rights("660 presencebridge presencebridge")

	// A file of the editor's own, which its group may not write.
	edits("cd /etc/presencebridge/mapping; sed s/Yann/Yolanda/ mapping.yaml >new; mv new mapping.yaml", "Yolanda")
	if status, answer := m.prefer("meeting", "dnd"); status != http.StatusConflict || !strings.Contains(answer, "owner and group cannot be kept") {
		t.Errorf("%d: %s", status, answer)
	}
	for _, command := range m.prescribed() {
		m.must("sh", "-c", command)
	}
	m.saves("meeting", "dnd")

	if out := m.must("systemd-tmpfiles", "--create", "presencebridge.conf"); out != "" {
		t.Errorf("systemd-tmpfiles at a boot: %s", out)
	}
	m.rights()
	m.saves("dnd", "meeting")
	m.confined()
}

// confined checks that the service, whatever becomes of it, cannot change more than the mapping.
func (m *machine) confined() {
	m.t.Helper()
	for _, command := range []string{
		"touch " + folder + "/new", "echo >>" + folder + "/presencebridge.yaml", "mv -f " + mapping + " " + folder + "/presencebridge.yaml",
		"mv -T " + folder + "/mapping " + folder + "/mine", "cat " + folder + "/ami-secret", "chmod o+rx " + folder + "/mapping",
	} {
		for where, enter := range map[string][]string{"in its namespace": {"nsenter", "--target", m.property("MainPID"), "--mount"}, "outside of it": {"env"}} {
			if command == "touch "+folder+"/new" && where == "outside of it" {
				continue // what the group may; such a file is nothing to anybody
			}
			out, code := m.run(append(enter, "runuser", "-u", "presencebridge", "--", "sh", "-c", command)...)
			if code == 0 || !regexp.MustCompile(`Read-only file system|not permitted|Permission denied|cannot`).MatchString(out) {
				m.t.Errorf("%s, the bridge's user runs %s: exit code %d: %s", where, command, code, out)
			}
		}
	}
	m.must("test", "-s", mapping)
}

// earlier makes packages of the time when the mapping lay beside presencebridge.yaml.
var earlier = sync.OnceValue(func() error {
	dir := filepath.Join(built, "earlier")
	for _, c := range []struct{ dir, command string }{
		{".", `mkdir "$0" && cp testdata/earlier/* presencebridge.sysusers ../config/*.yaml "$0" && cp "$0/../presencebridge" "$0"`},
		{".", `sed 's|/usr/local/bin/|/usr/bin/|; s|^ReadWritePaths=.*|ReadWritePaths=-/etc/presencebridge|' presencebridge.service >"$0/presencebridge.service"`},
		{dir, `for kind in deb rpm; do "$1" package --config nfpm.yaml --packager $kind --target .. || exit 1; done`},
	} {
		run := exec.Command("sh", "-c", c.command, dir, nfpm)
		run.Dir = c.dir
		run.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=1795500000")
		if out, err := run.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", c.command, err, out)
		}
	}
	return nil
})

func TestAnEarlierInstallationGoesOnAndItsMappingCanMove(t *testing.T) {
	for _, tc := range []struct {
		name            string
		install, update func(*machine)
	}{
		{"deb", func(m *machine) { m.must("dpkg", "--install", deb("0.9.0")) }, func(m *machine) {
			if out, code := m.feed("\n", "dpkg", "--install", deb(now)); code != 0 {
				m.t.Fatal(out)
			}
		}},
		{"rpm", func(m *machine) { m.must("rpm", "--install", rpm("0.9.0")) }, func(m *machine) { m.must("rpm", "--upgrade", "--replacepkgs", rpm(now)) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			pbx := pbxtest.NewSimulated(t, pbxtest.Options{})
			m := packaged(t)
			if err := earlier(); err != nil {
				t.Fatal(err)
			}
			tc.install(m)
			m.configure(pbx)
			m.opens()
			files, since := m.sums(), m.settled("zoe", "meeting")
			tc.update(m)
			m.goesOn(files, since)
			tc.update(m) // once more, with what the first one has left
			m.goesOn(files, since)

			if status, answer := m.prefer("meeting", "dnd"); status != http.StatusConflict || !strings.Contains(answer, "presencebridge doctor") {
				t.Errorf("%d: %s", status, answer)
			}
			if commands := m.prescribed(); len(commands) != 4 {
				t.Errorf("doctor prescribes %q", commands)
			} else {
				for _, command := range commands {
					if !strings.Contains(readFile(t, "../config/README.md"), "# "+strings.TrimSpace(command)+"\n") {
						t.Errorf("config/README.md does not have %q", command)
					}
					m.must("sh", "-c", command)
				}
			}
			if again := m.settled("zoe", "meeting"); again != since {
				t.Errorf("zoe's status is since %s, want %s", again, since)
			}
			m.saves("meeting", "dnd")
			m.must("test", "!", "-e", folder+"/mapping.yaml")
			tc.update(m)
			m.saves("dnd", "meeting")
		})
	}
}

// goesOn checks that an update has left an earlier installation as it was.
func (m *machine) goesOn(files, since string) {
	m.t.Helper()
	m.is(now)
	if after := m.sums(); after != files {
		m.t.Errorf("before:\n%safter:\n%s", files, after)
	}
	if again := m.settled("zoe", "meeting"); again != since {
		m.t.Errorf("zoe's status is since %s, want %s", again, since)
	}
	if out := m.must("stat", "-c", "%a %U %G %F", folder+"/mapping.yaml"); out != "660 root presencebridge regular file\n" {
		m.t.Errorf("the mapping is %s", out)
	}
	if out, code := m.run("sh", "-c", "ls "+folder+"/*.kept "+folder+"/mapping.yaml.rpmsave"); code == 0 {
		m.t.Errorf("left behind are %s", out)
	}
}

func TestANewPresencebridgeYAMLTakesNobodysMappingAway(t *testing.T) {
	for _, tc := range []struct{ name, install, update, after string }{
		{"deb", "dpkg --install " + deb("0.9.0"), "dpkg --install " + deb(now), "dpkg --purge presencebridge && test ! -e " + folder},
		{"rpm", "rpm --install " + rpm("0.9.0"), "rpm --upgrade " + rpm(now), "rpm --erase presencebridge && test -s " + folder + "/mapping.yaml"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := packaged(t)
			if err := earlier(); err != nil {
				t.Fatal(err)
			}
			m.must("sh", "-c", tc.install)
			m.must("sh", "-c", inFolder+`echo '  - {id: zoe, name: Zoe, extensions: ["1009"]}' >>$mapping; echo secret | install -m 600 /dev/stdin ami-secret`)
			m.must("systemctl", "start", "presencebridge") // at a PBX that is not there
			m.must("sh", "-c", tc.update)                  // replaces presencebridge.yaml, which nobody has changed
			m.must("grep", "-x", "mapping: mapping/mapping.yaml", folder+"/presencebridge.yaml")
			m.must("systemctl", "restart", "presencebridge")
			m.must("presencebridge", "status", "zoe")
			m.must("sed", "-i", "s/name: Zoe/name: Zora/", folder+"/mapping.yaml")
			m.eventually("an edit in the former place is taken over", func() bool { return strings.Contains(m.must("presencebridge", "status"), "Zora") })
			m.must("sh", "-c", tc.after)
		})
	}
	t.Run("a mapping that nobody has changed", func(t *testing.T) { // rpm takes such a file away
		m := packaged(t)
		if err := earlier(); err != nil {
			t.Fatal(err)
		}
		m.must("rpm", "--install", rpm("0.9.0"))
		m.must("sh", "-c", "cd "+folder+"; echo '# mine' >>presencebridge.yaml; echo secret | install -m 600 /dev/stdin ami-secret")
		sum := m.sums()
		m.must("rpm", "--upgrade", rpm(now))
		m.must("presencebridge", "check")
		if after := m.sums(); after != sum {
			t.Errorf("before:\n%safter:\n%s", sum, after)
		}
	})
}
