package systemd_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
)

// inSigned is where a machine sees the release that is signed.
const inSigned = inBuilt + "/signed"

// signed makes the release of now once more, signed with keys that are thrown away, once
// for all tests.
var signed = sync.OnceValue(func() error {
	keys, to := filepath.Join(built, "signed-keys"), filepath.Join(built, "signed")
	const makeKeys = `umask 077; mkdir "$0" "$0/gnupg"; export GNUPGHOME="$0/gnupg"
for key in ssh another; do ssh-keygen -q -t ed25519 -N '' -C '' -f "$0/$key"; done
gpg --batch --quiet --pinentry-mode loopback --passphrase '' --quick-generate-key presencebridge rsa2048 sign never
gpg --batch --quiet --armor --export-secret-keys >"$0/rpm"
gpg --batch --quiet --armor --export >"$0/rpm.asc"
gpgconf --kill all`
	if out, err := exec.Command("sh", "-ec", makeKeys, keys).CombinedOutput(); err != nil {
		return fmt.Errorf("make keys: %w: %s", err, out)
	}
	return release(filepath.Join(built, "sources-"+now), now, to, "ARCHS=amd64", "SIGN_KEY="+filepath.Join(keys, "ssh"), "RPM_KEY="+filepath.Join(keys, "rpm"))
})

// sign has a signed release made; the packages have to be there.
func sign(t *testing.T) {
	t.Helper()
	needs(t, map[string]string{"ssh-keygen": "openssh-client", "gpg": "gpg", "gpg-agent": "gpg-agent", "rpm": "rpm"})
	if err := signed(); err != nil {
		t.Fatal(err)
	}
}

func TestASignedReleaseIsVerifiedAsTheREADMESays(t *testing.T) {
	if err := packages(); err != nil {
		t.Fatal(err)
	}
	sign(t)
	commands := regexp.MustCompile("(?m)^```\n(ssh-keygen -Y verify (?:.|\n)*?)\n```$").FindStringSubmatch(readFile(t, "../README.md"))
	if commands == nil {
		t.Fatal("the README has no commands that verify a release")
	}
	for _, tc := range []struct {
		name, spoil string
		good        bool
	}{
		{"as it was made", ":", true},
		{"only what one has need of", "rm *.rpm *.tar.gz *.json", true},
		{"nothing that was signed", "rm *.rpm *.tar.gz *.json *.deb", false},
		{"a changed byte", "printf x | dd of=$(echo *.deb) bs=1 seek=100000 conv=notrunc", false},
		{"a changed byte, and its sum with it", "printf x | dd of=$(echo *.deb) bs=1 seek=100000 conv=notrunc; sha256sum *.deb >SHA256SUMS", false},
		{"signed by another", "rm *.sig; ssh-keygen -Y sign -n presencebridge -f keys/another SHA256SUMS", false},
		{"signed for something else", "rm *.sig; ssh-keygen -Y sign -n file -f keys/ssh SHA256SUMS", false},
		{"not signed", "rm *.sig", false},
	} {
		dir := filepath.Join(t.TempDir(), "download")
		const download = `cp -r "$0/signed" "$1"; cp -r "$0/signed-keys" "$1/keys"; cd "$1"; echo "presencebridge $(cat keys/ssh.pub)" >allowed_signers; `
		if out, err := exec.Command("sh", "-ec", download+tc.spoil, built, dir).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", tc.name, err, out)
		}
		c := exec.Command("sh", "-ec", commands[1])
		c.Dir = dir
		if out, err := c.CombinedOutput(); (err == nil) != tc.good {
			t.Errorf("%s: %v: %s", tc.name, err, out)
		}
	}
}

func TestASignatureIsOutsideOfWhatIsCompared(t *testing.T) {
	if err := packages(); err != nil {
		t.Fatal(err)
	}
	sign(t)
	if _, err := os.Stat(filepath.Join(built, "SHA256SUMS.sig")); !os.IsNotExist(err) {
		t.Errorf("a release without a key is signed: %v", err)
	}
	const compare = `cd "$0"; ls signed/*.deb signed/*.tar.gz signed/*.json; for file in signed/*.deb signed/*.tar.gz signed/*.json; do cmp $file ${file#signed/}; done
same=$(rpm --query --package --queryformat '%{SHA256HEADER}\n' *-1.1.0-1.x86_64.rpm signed/*.rpm | uniq); echo "$same"; test "$(echo "$same" | wc -l)" = 1
cmp -s *-1.1.0-1.x86_64.rpm signed/*.rpm && exit 1 || true`
	if out, err := exec.Command("sh", "-ec", compare, built).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func TestAKeyThatIsNotThereIsToldBeforeAnythingIsMade(t *testing.T) {
	for _, key := range []string{"SIGN_KEY", "RPM_KEY"} {
		dist := filepath.Join(t.TempDir(), "dist")
		c := exec.Command("packaging/build", dist)
		c.Env = append(os.Environ(), "VERSION=1.1.0", "COMMIT=0123456789abcdef", "SOURCE_DATE_EPOCH=1795600000", "SIGN_KEY=", "RPM_KEY=", key+"=/nowhere/key")
		out, err := c.CombinedOutput()
		if err == nil || string(out) != key+": there is no file /nowhere/key that can be read\n" {
			t.Errorf("%s: %v: %s", key, err, out)
		}
		if _, err := os.Stat(dist); !os.IsNotExist(err) {
			t.Errorf("%s: something is made: %v", key, err)
		}
	}
}
