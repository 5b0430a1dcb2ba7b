package systemd_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

// foreign is the package for arm64, unpacked into the folder root.
type foreign struct {
	t    *testing.T
	root string
}

// command is the program of the package, on the processor of a small board of 2016: one
// without the instructions of ARMv8.1.
func (f foreign) command(args ...string) *exec.Cmd {
	c := exec.CommandContext(f.t.Context(), "qemu-aarch64-static", append([]string{"-cpu", "cortex-a53", f.root + "/usr/bin/presencebridge"}, args...)...)
	c.Env = []string{"PATH=/usr/bin", "LANG=C.UTF-8"}
	return c
}

func (f foreign) must(args ...string) string {
	f.t.Helper()
	out, err := f.command(args...).CombinedOutput()
	if err != nil {
		f.t.Fatalf("%v: %v: %s", args, err, out)
	}
	return string(out)
}

func TestThePackageForARM64Runs(t *testing.T) {
	needs(t, map[string]string{"qemu-aarch64-static": "qemu-user-static", "dpkg-deb": "dpkg", "rpm": "rpm"})
	if err := packages(); err != nil {
		t.Fatal(err)
	}
	f := foreign{t: t, root: t.TempDir()}
	unpack := exec.Command("dpkg-deb", "--extract", filepath.Join(built, "presencebridge_"+now+"-1_arm64.deb"), f.root)
	if out, err := unpack.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out := f.must("version"); !strings.HasPrefix(out, "presencebridge "+now+" (0123456789ab), go") || !strings.HasSuffix(out, ", linux/arm64\n") {
		t.Errorf("it says it is %s", out)
	}
	sum := sha256.Sum256([]byte(readFile(t, f.root+"/usr/bin/presencebridge")))
	query := exec.Command("rpm", "--query", "--package", "--queryformat", `[%{FILENAMES} %{FILEDIGESTS}\n]`, filepath.Join(built, "presencebridge-"+now+"-1.aarch64.rpm"))
	if out, err := query.CombinedOutput(); err != nil || !strings.Contains(string(out), "/usr/bin/presencebridge "+hex.EncodeToString(sum[:])+"\n") {
		t.Errorf("the rpm has another program: %v: %s", err, out)
	}

	// The files of the package, with the address of a PBX.
	pbx := pbxtest.NewSimulated(t, pbxtest.Options{})
	account := pbx.User("bridge")
	etc := filepath.Join(f.root, "etc/presencebridge")
	config := filepath.Join(etc, "presencebridge.yaml")
	for name, text := range map[string]string{
		config:                           strings.NewReplacer("address: 127.0.0.1:5038", "address: "+pbx.Addr(), "username: presencebridge", "username: "+account.Name).Replace(readFile(t, config)),
		filepath.Join(etc, "ami-secret"): account.Secret + "\n",
		filepath.Join(etc, "mapping/mapping.yaml"): readFile(t, filepath.Join(f.root, "usr/share/presencebridge/mapping.yaml")),
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f.must("check", "--config", config)

	phone := pbxtest.Observe(t, pbx)
	var log strings.Builder
	daemon := f.command("run", "--config", config)
	daemon.Stdout, daemon.Stderr = &log, &log
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	t.Cleanup(func() {
		if !ended {
			_ = daemon.Process.Kill()
			t.Logf("%v: %s", daemon.Wait(), log.String())
		}
	})
	socket := []string{"--socket", filepath.Join(etc, "presencebridge.sock")}
	pbxtest.Eventually(t, patience, "it answers", func() bool { return f.command(append(socket, "status")...).Run() == nil })
	f.must(append(socket, "set", "alice", "meeting")...)
	pbxtest.Eventually(t, patience, "her phone shows what was chosen", func() bool {
		shown, err := phone.Shows("CustomPresence:1001")
		return err == nil && shown.State == "xa" && shown.Subtype == "meeting"
	})
	if err := phone.Set("CustomPresence:1002", "away", "lunch", ""); err != nil {
		t.Fatal(err)
	}
	pbxtest.Eventually(t, patience, "her status is what a phone says", func() bool {
		return strings.Contains(f.must(append(socket, "status", "alice")...), "Lunch")
	})
	if err := daemon.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ended = true
	if err := daemon.Wait(); err != nil || !strings.Contains(log.String(), `"stopped"`) {
		t.Errorf("it ended with %v: %s", err, log.String())
	}
}
