package systemd_test

import (
	"strings"
	"testing"

	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

// dnf runs dnf as an administrator does who answers every question with yes.
func (m *machine) dnf(args ...string) string {
	m.t.Helper()
	return m.must(append([]string{"dnf", "--assumeyes"}, args...)...)
}

// subscribes gives the machine a repository with one package, whose signature is checked
// with the key that signs the tests' releases.
func (m *machine) subscribes(pkg string) {
	m.t.Helper()
	m.must("sh", "-ec", `mkdir /srv/rpm; cp "$0" /srv/rpm; createrepo_c --quiet /srv/rpm`, pkg)
	m.write("/etc/yum.repos.d/presencebridge.repo", "[presencebridge]\nname=Presence Bridge\nbaseurl=file:///srv/rpm\ngpgcheck=1\ngpgkey=file://"+inBuilt+"/signed-keys/rpm.asc\n")
}

func TestAnRPMIsInstalledUpdatedAndRemoved(t *testing.T) {
	pbx := pbxtest.NewSimulated(t, pbxtest.Options{})
	m := packaged(t)
	sign(t)
	m.must("rpm", "--upgrade", "--oldpackage", standIn("239"))
	if said, code := m.run("dnf", "--assumeyes", "install", rpm(before)); code == 0 || !strings.Contains(said, "nothing provides systemd >= 252") {
		t.Errorf("with an older systemd: exit code %d: %s", code, said)
	}
	m.must("rpm", "--upgrade", standIn("252"))

	m.fresh(m.dnf("install", rpm(before)))
	m.configure(pbx)
	m.subscribes(inSigned + "/presencebridge-" + now + "-1.x86_64.rpm")
	m.updates(".rpmnew", func() string { return m.dnf("upgrade") })
	files, since := m.sums(), m.settled("zoe", "meeting")
	m.dnf("reinstall", "presencebridge")
	if again := m.settled("zoe", "meeting"); m.sums() != files || again != since {
		t.Errorf("installed once more, zoe's status is since %s, want %s, and the files are\n%swant\n%s", again, since, m.sums(), files)
	}

	if said := m.dnf("remove", "presencebridge"); !strings.Contains(said, "rm -r /etc/presencebridge /var/lib/presencebridge") {
		t.Errorf("it does not say what stays: %s", said)
	}
	m.removed(folder+"/presencebridge.yaml.rpmsave", mapping, folder+"/ami-secret")
	m.must("test", "!", "-e", "/etc/systemd/system/multi-user.target.wants/presencebridge.service")

	said := m.dnf("install", "presencebridge")
	m.rights()
	command := "mv /etc/presencebridge/presencebridge.yaml.rpmsave /etc/presencebridge/presencebridge.yaml"
	if !strings.Contains(said, "  "+command+"\n") {
		t.Fatalf("it does not say what to do with the file of before: %s", said)
	}
	m.must("sh", "-c", command)
	m.must("systemctl", "start", "presencebridge")
	if again := m.settled("zoe", "meeting"); m.sums() != files || again != since {
		t.Errorf("removed and installed again, zoe's status is since %s, want %s, and the files are\n%swant\n%s", again, since, m.sums(), files)
	}
}

// Hardened systems check what is installed from a file, too.
func TestDNFTakesOnlySignedRPMsWhereItIsToldTo(t *testing.T) {
	m := packaged(t)
	sign(t)
	strict := []string{"dnf", "--assumeyes", "--setopt=localpkg_gpgcheck=1", "install"}
	for _, tc := range []struct {
		name, prepare, pkg, want string
	}{
		{"not signed", "true", rpm(now), "is not signed"},
		{"signed by somebody unknown", "true", inSigned + "/presencebridge-" + now + "-1.x86_64.rpm", "is not installed"},
		{"changed", "rpm --import " + inBuilt + "/signed-keys/rpm.asc; cp " + inSigned + "/*.x86_64.rpm /tmp/changed.rpm; printf x | dd of=/tmp/changed.rpm bs=1 seek=100000 conv=notrunc", "/tmp/changed.rpm", "GPG check FAILED"},
	} {
		m.must("sh", "-ec", tc.prepare)
		if said, code := m.run(append(strict, tc.pkg)...); code == 0 || !strings.Contains(said, tc.want) {
			t.Errorf("%s: exit code %d, want another with %q: %s", tc.name, code, tc.want, said)
		}
	}
	m.must(append(strict, inSigned+"/presencebridge-"+now+"-1.x86_64.rpm")...)
	m.is(now)
}
