package systemd_test

import (
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode"

	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

const (
	before, now = "1.0.0", "1.1.0" // the versions of the packages that are tested
	folder      = "/etc/presencebridge"
	mapping     = folder + "/mapping/mapping.yaml"
	// inFolder begins a command that knows which mapping is in force.
	inFolder = "cd " + folder + "; mapping=$(sed -n 's/^mapping: //p' presencebridge.yaml); "
	// nfpm packs; `make release` installs it.
	nfpm = "/var/cache/presencebridge/bin/nfpm"
)

// packages makes the packages of both versions, once for all tests, in the folder that
// machines see as inBuilt. The sample of the older one is another.
var packages = sync.OnceValue(func() error {
	if _, err := program(); err != nil {
		return err
	}
	for _, made := range []struct{ version, archs string }{{before, "amd64"}, {now, "amd64 arm64"}} {
		source, err := copyOfSources(made.version)
		if err != nil {
			return err
		}
		if made.version == before {
			if err := addLine(filepath.Join(source, "config/presencebridge.yaml"), "# It was shorter once.\n"); err != nil {
				return err
			}
		}
		if err := release(source, made.version, built, "ARCHS="+made.archs); err != nil {
			return err
		}
	}
	return nil
})

// release makes what a release has of the sources in a folder, in the folder to.
func release(source, version, to string, settings ...string) error {
	c := exec.Command("make", append([]string{"-C", source, "release", "DIST=" + to, "SIGN_KEY=", "RPM_KEY="}, settings...)...)
	c.Env = append(os.Environ(), "VERSION="+version, "COMMIT=0123456789abcdef", "SOURCE_DATE_EPOCH=1795600000")
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("make release: %w: %s", err, out)
	}
	return nil
}

// standIns makes packages that stand for a system with systemd in the database of rpm:
// one of the systemd that is needed, and one of RHEL 8.
var standIns = sync.OnceValue(func() error {
	for _, version := range []string{"252", "239"} {
		c := exec.Command(nfpm, "package", "--config", "testdata/system.yaml", "--packager", "rpm", "--target", built)
		c.Env = append(os.Environ(), "VERSION="+version)
		if out, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("nfpm: %w: %s", err, out)
		}
	}
	return nil
})

// copyOfSources copies what is, or could be, in the repository; where it lies must not
// matter to a release.
func copyOfSources(name string) (string, error) {
	to := filepath.Join(built, "sources-"+name)
	if err := os.Mkdir(to, 0o750); err != nil {
		return "", err
	}
	copying := exec.Command("sh", "-c", `{ git ls-files -z --cached --others --exclude-standard || find . -type f -print0; } | tar -c --null --files-from=- --ignore-failed-read | tar -x -C "$0"`, to)
	copying.Dir = ".."
	out, err := copying.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("copy the sources: %w: %s", err, out)
	}
	return to, nil
}

func addLine(name, line string) error {
	f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line)
	if closing := f.Close(); err == nil {
		err = closing
	}
	return err
}

func deb(version string) string { return inBuilt + "/presencebridge_" + version + "-1_amd64.deb" }
func rpm(version string) string { return inBuilt + "/presencebridge-" + version + "-1.x86_64.rpm" }

// standIn is the package that stands for a system with this version of systemd.
func standIn(systemd string) string { return inBuilt + "/system-" + systemd + ".0.0-1.noarch.rpm" }

// packaged boots a machine that the packages can be installed in.
func packaged(t *testing.T) *machine {
	t.Helper()
	debian(t)
	if err := packages(); err != nil {
		t.Fatal(err)
	}
	if err := standIns(); err != nil {
		t.Fatal(err)
	}
	m := boot(t)
	m.must("rpm", "--initdb")
	m.must("rpm", "--install", standIn("252")) // Debian's rpm knows nothing of what dpkg has installed
	return m
}

// configure does what the message of the package tells, and starts the service.
func (m *machine) configure(pbx pbxtest.PBX) {
	m.t.Helper()
	account := pbx.User("bridge")
	m.must("sed", "-i", "s/address: 127.0.0.1:5038/address: "+pbx.Addr()+"/; s/username: presencebridge/username: "+account.Name+"/", folder+"/presencebridge.yaml")
	if out, code := m.feed(account.Secret+"\n", "install", "-m", "600", "/dev/stdin", folder+"/ami-secret"); code != 0 {
		m.t.Fatal(out)
	}
	m.must("sh", "-c", inFolder+`echo '  - {id: zoe, name: Zoe, extensions: ["1009"]}' >>"$mapping"`)
	m.must("presencebridge", "check")
	m.must("systemctl", "enable", "--now", "presencebridge")
	m.must("presencebridge", "set", "zoe", "meeting")
}

// fresh checks what is there when the package was installed for the first time.
func (m *machine) fresh(said string) {
	m.t.Helper()
	m.must("test", "-s", "/usr/share/doc/presencebridge/README.md")
	if !strings.Contains(said, "does not run yet") || !strings.Contains(said, "systemctl enable --now presencebridge") || !strings.Contains(said, "/usr/share/doc/presencebridge/README.md") {
		m.t.Errorf("it says %q", said)
	}
	if m.active() || m.property("UnitFileState") != "disabled" {
		m.t.Error("a service that nobody has configured runs, or would at the next start")
	}
	m.is(before)
	m.rights()
	for _, file := range []string{"man/man1/presencebridge.1.gz", "man/man5/presencebridge.yaml.5.gz", "fish/vendor_completions.d/presencebridge.fish",
		"doc/presencebridge/THIRD_PARTY_LICENSES", "doc/presencebridge/LICENSE", "doc/presencebridge/copyright", "doc/presencebridge/monitoring/alerts.yaml",
		"doc/presencebridge/proxy/nginx.conf", "doc/presencebridge/proxy/Caddyfile", "presencebridge/mapping.yaml"} {
		m.must("test", "-s", "/usr/share/"+file)
	}
	m.must("bash", "-n", "/usr/share/bash-completion/completions/presencebridge")
	if out, code := m.run("systemd-analyze", "verify", "presencebridge.service"); code != 0 || out != "" {
		m.t.Errorf("systemd-analyze verify: exit code %d: %s", code, out)
	}
}

func (m *machine) is(version string) {
	m.t.Helper()
	if out := m.must("presencebridge", "version"); !strings.HasPrefix(out, "presencebridge "+version+" (0123456789ab), go") {
		m.t.Errorf("installed is %s, want %s", out, version)
	}
}

// rights checks who may do what with the files.
func (m *machine) rights() {
	m.t.Helper()
	out := m.must("stat", "-c", "%a %U %G %n", folder, folder+"/presencebridge.yaml", folder+"/mapping", mapping)
	if want := "3770 root presencebridge /etc/presencebridge\n640 root presencebridge /etc/presencebridge/presencebridge.yaml\n" +
		"2770 root presencebridge /etc/presencebridge/mapping\n660 root presencebridge /etc/presencebridge/mapping/mapping.yaml\n"; out != want {
		m.t.Errorf("the rights are\n%swant\n%s", out, want)
	}
}

func (m *machine) sums() string {
	m.t.Helper()
	return m.must("sh", "-c", inFolder+`sha256sum presencebridge.yaml "$mapping" ami-secret`)
}

// updates runs an update and checks that it keeps what the administrator has written,
// and goes on with the new program.
func (m *machine) updates(laidBeside string, update func() string) {
	m.t.Helper()
	files, pid, since, starts := m.sums(), m.property("MainPID"), m.settled("zoe", "meeting"), m.property("UnitFileState")
	said := update()
	m.is(now)
	m.rights()
	if strings.Contains(said, "does not run yet") {
		m.t.Errorf("an update says what is for the first time: %s", said)
	}
	if after := m.sums(); after != files {
		m.t.Errorf("before:\n%safter:\n%s", files, after)
	}
	m.must("test", "-s", folder+"/presencebridge.yaml"+laidBeside)
	if again := m.property("MainPID"); !m.active() || again == pid {
		m.t.Errorf("the main process was %s and is %s", pid, again)
	}
	if again := m.property("UnitFileState"); again != starts {
		m.t.Errorf("it was %s and is %s", starts, again)
	}
	if again := m.settled("zoe", "meeting"); again != since {
		m.t.Errorf("zoe's status is since %s, want %s", again, since)
	}
}

// removed checks that the service has ended in order and its program is not there any more,
// but the store and the administrator's files are.
func (m *machine) removed(kept ...string) {
	m.t.Helper()
	if !m.logged(`"stopped"`) {
		m.t.Error("it was cut off")
	}
	if load := m.property("LoadState"); load != "not-found" {
		m.t.Errorf("the unit is %s", load)
	}
	if out, code := m.run("sh", "-c", "find /usr /run -name '*presencebridge*' -not -path '/run/log/*' -not -path '/usr/share/zsh/*' | grep ."); code == 0 {
		m.t.Errorf("left behind are:\n%s", out)
	}
	for _, file := range append(kept, "/var/lib/presencebridge/presencebridge.db") {
		m.must("test", "-s", file)
	}
	m.must("getent", "passwd", "presencebridge")
}

func TestADebIsInstalledUpdatedRemovedAndPurged(t *testing.T) {
	pbx := pbxtest.NewSimulated(t, pbxtest.Options{})
	m := packaged(t)
	m.fresh(m.must("dpkg", "--install", deb(before)))
	m.configure(pbx)

	m.updates(".dpkg-dist", func() string {
		out, code := m.feed("\n", "dpkg", "--install", deb(now)) // Enter is what dpkg proposes: keep yours
		if code != 0 {
			t.Fatal(out)
		}
		return out
	})

	files, since := m.sums(), m.settled("zoe", "meeting")
	m.must("dpkg", "--remove", "presencebridge")
	m.removed(folder+"/presencebridge.yaml", mapping, folder+"/ami-secret")
	said := m.must("dpkg", "--install", deb(now))
	if m.active() || m.sums() != files {
		t.Error("installed again it has started, or changed a file")
	}
	if !strings.Contains(said, "systemctl start presencebridge") {
		t.Errorf("it does not say that it does not run: %s", said)
	}
	if state := m.property("UnitFileState"); state != "enabled" {
		t.Errorf("installed again it is %s", state)
	}
	m.must("systemctl", "start", "presencebridge")
	if again := m.settled("zoe", "meeting"); again != since {
		t.Errorf("zoe's status is since %s, want %s", again, since)
	}

	m.write(folder+"/ca.pem", "mine\n")
	m.saves("meeting", "dnd") // which leaves the version before beside it
	if out := m.must("dpkg", "--purge", "presencebridge"); !strings.Contains(out, "user and group presencebridge stay") {
		t.Errorf("it does not say what stays: %s", out)
	}
	if out := m.must("sh", "-c", "find /etc /usr /run /var/lib -name '*presencebridge*' -not -path '/run/log/*' -o -path '/etc/presencebridge/*' | sort"); out != folder+"\n"+folder+"/ca.pem\n" {
		t.Errorf("left behind are:\n%s", out)
	}
	m.must("getent", "passwd", "presencebridge")
}

func TestAnUpdateStartsNothingThatDidNotRun(t *testing.T) {
	m := packaged(t)
	apt := []string{"apt-get", "install", "--yes", "--no-install-recommends"} // as the README has it; it finds what the package needs
	m.must(append(apt, deb(before))...)
	m.must(append(apt, deb(now))...) // nobody has changed a file, so nobody is asked
	m.is(now)
	m.rights()
	if m.active() || m.property("UnitFileState") != "disabled" {
		t.Error("it runs")
	}
	if out, code := m.run("grep", "-r", "shorter once", folder); code == 0 {
		t.Errorf("files that nobody has changed are not those of the update: %s", out)
	}
	m.must("dpkg", "--purge", "presencebridge")
	m.must("test", "!", "-e", folder)
}

func TestWhoRanMakeInstallBeforeIsToldWhatHidesThePackage(t *testing.T) {
	pbx := pbxtest.NewSimulated(t, pbxtest.Options{})
	m := packaged(t)
	m.install()
	m.configure(pbx)
	files := m.sums()
	out, code := m.feed("\n", "dpkg", "--install", deb(now))
	if code != 0 || m.sums() != files {
		t.Fatalf("exit code %d, and the files are those of before: %v: %s", code, m.sums() == files, out)
	}
	commands := regexp.MustCompile(`(?m)^  ((?:rm|systemctl daemon-reload) .*)$`).FindAllStringSubmatch(out, -1)
	if len(commands) != 3 {
		t.Fatalf("it says %s", out)
	}
	for _, command := range commands {
		m.must("sh", "-c", command[1])
	}
	m.is(now)
	if path := m.property("FragmentPath"); !strings.HasPrefix(path, "/lib/") && !strings.HasPrefix(path, "/usr/lib/") {
		t.Errorf("the unit is %s", path)
	}
	if !m.active() || !strings.Contains(m.property("ExecStart"), "/usr/bin/presencebridge") {
		t.Errorf("what runs is %s", m.property("ExecStart"))
	}
}

func TestPackagesSayWhatTheyAre(t *testing.T) {
	m := packaged(t)
	for _, tc := range []struct {
		name    string
		command []string
		want    string
	}{
		{"conffiles", []string{"dpkg-deb", "--info", deb(now), "conffiles"}, `^/etc/presencebridge/presencebridge\.yaml\n$`},
		{"what the deb needs", []string{"dpkg-deb", "--field", deb(now), "Depends", "Architecture", "Version"}, `systemd \(>= 252\)\n.*amd64\n.*1\.1\.0-1\n`},
		{"config, noreplace", []string{"rpm", "--query", "--package", "--queryformat", `[%{FILENAMES} %{FILEFLAGS:fflags}\n]`, rpm(now)},
			`(?s)/etc/presencebridge \n/etc/presencebridge/presencebridge\.yaml cn\n/usr`},
		{"what the rpm needs", []string{"rpm", "--query", "--package", "--requires", rpm(now)}, `systemd >= 252\n`},
		{"of this rpm", []string{"rpm", "--query", "--package", "--queryformat", "%{NAME} %{VERSION} %{ARCH} %{LICENSE} %{BUILDHOST}", rpm(now)}, `^presencebridge 1\.1\.0 x86_64 Apache-2\.0 localhost$`},
		{"a sound rpm", []string{"rpm", "--checksig", rpm(now)}, `digests OK`},
		{"all of one time", []string{"sh", "-c", "dpkg-deb --contents " + deb(now) + " | awk '{print $4, $5}' | sort -u"}, `^2026-11-25 \d\d:\d\d\n$`},
		{"checksums", []string{"sh", "-c", "cd " + inBuilt + " && grep 1.1.0 SHA256SUMS | sha256sum --check --strict"}, `^(\S+: OK\n){8}$`},
		{"the tar", []string{"sh", "-c", "cd /tmp && tar -xzf " + inBuilt + "/presencebridge-1.1.0-linux-amd64.tar.gz && make -C presencebridge-1.1.0-linux-amd64 install && presencebridge version"},
			`presencebridge 1\.1\.0 \(0123456789ab\)`},
		{"the bill of materials", []string{"cat", inBuilt + "/presencebridge-1.1.0-linux-amd64.cdx.json"}, `(?s)"specVersion": "1\.5".*modernc\.org/sqlite`},
	} {
		if out := m.must(tc.command...); !regexp.MustCompile(tc.want).MatchString(out) {
			t.Errorf("%s: %s\nwant %s", tc.name, out, tc.want)
		}
	}
}

// A document lies elsewhere in a package than in the repository, and not all that it names
// does: nobody shall be led to a file that is not there, or to a heading.
func TestEveryLinkOfADocumentInAPackageLeadsSomewhere(t *testing.T) {
	m := packaged(t)
	links, headings := regexp.MustCompile(`\]\(([^)\s]+)\)`), regexp.MustCompile(`(?m)^#+ (.+)$`)
	for name, unpack := range map[string]string{
		"deb": "dpkg-deb --extract " + deb(now) + " ", // the rpm has the same
		"tar": "tar -xzf " + inBuilt + "/presencebridge-1.1.0-linux-amd64.tar.gz -C ",
	} {
		root := "/tmp/" + name
		m.must("sh", "-c", "mkdir "+root+" && "+unpack+root)
		files := strings.Fields(m.must("find", root))
		found := 0
		for _, doc := range files {
			if !strings.HasSuffix(doc, ".md") {
				continue
			}
			for _, link := range links.FindAllStringSubmatch(m.must("cat", doc), -1) {
				if strings.Contains(link[1], "://") {
					continue
				}
				found++
				file, heading, _ := strings.Cut(link[1], "#")
				at := doc
				switch {
				case strings.HasPrefix(file, "/"):
					at = root + file
				case file != "":
					at = path.Join(path.Dir(doc), file)
				}
				if !slices.Contains(files, at) {
					t.Errorf("%s: %s leads to %s, which is not there", name, doc, link[1])
				} else if heading != "" && !slices.ContainsFunc(headings.FindAllStringSubmatch(m.must("cat", at), -1), func(h []string) bool { return anchor(h[1]) == heading }) {
					t.Errorf("%s: %s leads to %s, a heading that is not there", name, doc, link[1])
				}
			}
		}
		if found < 10 {
			t.Errorf("%s: only %d links", name, found)
		}
	}
}

// anchor is what GitHub and others call a heading in an address.
func anchor(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, heading)
}

func TestPurgingRemovesEverySecretThatTheUnitNames(t *testing.T) {
	script := readFile(t, "packaging/postrm")
	secrets := regexp.MustCompile(`(?m)^LoadCredential=([a-z-]+):`).FindAllStringSubmatch(readFile(t, "presencebridge.service"), -1)
	if len(secrets) == 0 {
		t.Fatal("the unit names none")
	}
	for _, secret := range secrets {
		if !regexp.MustCompile(`(?m)^\tfor secret in .*\b` + secret[1] + `\b.*; do$`).MatchString(script) {
			t.Errorf("postrm does not know %s", secret[1])
		}
	}
}
