package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"flag"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "write the golden files anew")

const testdata = "../testdata/config"

func TestMain(m *testing.M) {
	for _, name := range []string{"STATE_DIRECTORY", "RUNTIME_DIRECTORY", "CREDENTIALS_DIRECTORY"} {
		_ = os.Unsetenv(name)
	}
	goleak.VerifyTestMain(m)
}

// write makes a file that only its owner may read.
func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// folder is a new working directory with a good pair of files and their secret.
func folder(t *testing.T) string {
	t.Helper()
	good, mapping := read(t, testdata+"/good-presencebridge.yaml"), read(t, testdata+"/good-mapping.yaml")
	dir := t.TempDir()
	t.Chdir(dir)
	write(t, "presencebridge.yaml", good)
	write(t, "mapping.yaml", mapping)
	write(t, "ami-secret", "hunter2\n")
	return dir
}

// mustLoad loads the working directory's files, which have no error.
func mustLoad(t *testing.T, overrides Overrides) *Config {
	t.Helper()
	cfg, faults := Load("presencebridge.yaml", overrides)
	if cfg == nil {
		t.Fatalf("not loaded:\n%v", faults)
	}
	return cfg
}

func TestSamplesAreClean(t *testing.T) {
	daemon, mapping := read(t, "presencebridge.yaml"), read(t, "mapping.yaml")
	dir := folder(t)
	write(t, "presencebridge.yaml", daemon)
	write(t, "mapping.yaml", mapping)
	cfg, faults := Load("presencebridge.yaml", Overrides{})
	if len(faults) > 0 || cfg == nil {
		t.Fatalf("the samples have faults:\n%v", faults)
	}
	if got := cfg.Daemon.PBX[0].AMI.Secret.Reveal(); got != "hunter2" {
		t.Errorf("secret = %q, want it without its newline", got)
	}
	if want := filepath.Join(dir, "mapping.yaml"); cfg.MappingPath != want {
		t.Errorf("MappingPath = %s, want %s", cfg.MappingPath, want)
	}
	if cfg.Daemon.Store.HistoryDays != 365 || cfg.Daemon.Log != (Log{Level: "info", Format: "json"}) {
		t.Errorf("daemon = %+v", cfg.Daemon)
	}
	bob := cfg.Mapping.Users[1]
	if bob.Rules.Default != 1 || bob.Rules.Extensions[1].String() != "main/1004" || bob.Rules.Incoming != "default" {
		t.Errorf("bob = %+v", bob.Rules)
	}
}

// TestTheSampleOfARIIsClean takes the # away from what stands ready in the sample.
func TestTheSampleOfARIIsClean(t *testing.T) {
	before, after, _ := strings.Cut(read(t, "presencebridge.yaml"), "    #ari:")
	daemon := before + "    ari:" + strings.ReplaceAll(after, "\n    #", "\n    ")
	dir := folder(t)
	write(t, "presencebridge.yaml", daemon)
	write(t, "ari-password", "hunter3\n")
	cfg, faults := Load("presencebridge.yaml", Overrides{})
	if len(faults) > 0 || cfg == nil {
		t.Fatalf("the sample has faults:\n%v", faults)
	}
	got := cfg.Daemon.PBX[0].ARI
	if got.Password.Reveal() != "hunter3" {
		t.Errorf("password %q", got.Password.Reveal())
	}
	got.Password = Secret{}
	if want := (ARI{URL: "http://127.0.0.1:8088/ari", Username: "presencebridge", App: "presencebridge"}); got != want {
		t.Errorf("read %+v, want %+v", got, want)
	}
	write(t, "ca.pem", authority())
	write(t, "presencebridge.yaml", `pbx: [{name: a, ari: {url: "https://pbx:8089/ari/", username: u, password_file: ari-password, app: b, publish: c, tls: {ca_file: ca.pem}}}]`)
	got = mustLoad(t, Overrides{}).Daemon.PBX[0].ARI
	got.Password = Secret{}
	if want := (ARI{URL: "https://pbx:8089/ari/", Username: "u", App: "b", Publish: "c", TLS: TLS{Enabled: true, CAFile: filepath.Join(dir, "ca.pem")}}); got != want {
		t.Errorf("read %+v, want %+v", got, want)
	}
}

// TestTheSampleOfSignInIsClean takes the # away from what stands ready in the sample.
func TestTheSampleOfSignInIsClean(t *testing.T) {
	before, after, _ := strings.Cut(read(t, "presencebridge.yaml"), "#sign_in:")
	block, rest, _ := strings.Cut(after, "\nlog:")
	block = regexp.MustCompile(`(?m)^#((?:  )+)#([a-z])`).ReplaceAllString(block, "#$1$2") // what is left out by default
	daemon := before + "sign_in:" + strings.ReplaceAll(block, "\n#", "\n") + "\nlog:" + rest
	daemon = strings.Replace(daemon, `listen: ""`, `listen: 127.0.0.1:8080`, 1)
	daemon = strings.Replace(daemon, "trusted_proxies: []", "trusted_proxies: [127.0.0.1, 10.1.2.3/8]", 1)
	daemon = strings.Replace(daemon, "match: email", "match: username", 1)
	folder(t)
	write(t, "presencebridge.yaml", daemon)
	write(t, "google-secret", "hunter3\n")
	cfg, faults := Load("presencebridge.yaml", Overrides{})
	if len(faults) > 0 || cfg == nil {
		t.Fatalf("the sample has faults:\n%v", faults)
	}
	got := cfg.Daemon.SignIn
	if got.Providers[0].ClientSecret.Reveal() != "hunter3" {
		t.Errorf("secret %q", got.Providers[0].ClientSecret.Reveal())
	}
	got.Providers[0].ClientSecret = Secret{}
	want := SignIn{
		URL: "https://presence.example.com", Local: true, Idle: 12 * time.Hour, Longest: 168 * time.Hour,
		Providers: []Provider{{
			Name: "google", Title: "Google", Issuer: "https://accounts.google.com", ClientID: "1234567890.apps.googleusercontent.com", Scopes: []string{"email", "profile"},
			Match: "username", UsernameClaim: "preferred_username", GroupsClaim: "groups", Roles: map[string][]string{"administrator": {"it"}, "operator": {"reception"}},
		}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read %+v, want %+v", got, want)
	}
	if p := fmt.Sprint(cfg.Daemon.HTTP.TrustedProxies); p != "[127.0.0.1/32 10.0.0.0/8]" {
		t.Errorf("proxies %s", p)
	}
}

// TestEachRuleHasItsFault loads every daemon-*.yaml and mapping-*.yaml beside a
// good other half and compares the faults with its golden file.
func TestEachRuleHasItsFault(t *testing.T) {
	files, err := filepath.Glob(testdata + "/*-*.yaml")
	if err != nil || len(files) < 50 {
		t.Fatalf("%d bad files found: %v", len(files), err)
	}
	for _, file := range files {
		kind, rule, _ := strings.Cut(strings.TrimSuffix(filepath.Base(file), ".yaml"), "-")
		if kind == "good" {
			continue
		}
		t.Run(kind+"/"+rule, func(t *testing.T) {
			bad := read(t, file)
			golden, err := filepath.Abs(strings.TrimSuffix(file, ".yaml") + ".golden")
			if err != nil {
				t.Fatal(err)
			}
			folder(t)
			write(t, "empty-secret", "\n")
			write(t, "two-secrets", "hunter2\nhunter3\n")
			write(t, "long-secret", strings.Repeat("hunter2", 100))
			write(t, "open-secret", "hunter2")
			if err := os.Chmod("open-secret", 0o644); err != nil {
				t.Fatal(err)
			}
			writeCertificate(t, "server", time.Now().Add(time.Hour))
			writeCertificate(t, "other", time.Now().Add(time.Hour))
			writeCertificate(t, "old", time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC))
			write(t, "open-key.pem", read(t, "server-key.pem"))
			if err := os.Chmod("open-key.pem", 0o644); err != nil {
				t.Fatal(err)
			}
			write(t, map[string]string{"daemon": "presencebridge.yaml", "mapping": "mapping.yaml"}[kind], bad)
			cfg, faults := Load("presencebridge.yaml", Overrides{})
			if (cfg == nil) != (len(faults.Errors()) > 0) {
				t.Errorf("config %v with errors %v", cfg, faults.Errors())
			}
			got := "errors:\n" + lines(faults.Errors()) + "warnings:\n" + lines(faults.Warnings())
			if strings.Contains(got, "hunter") || strings.Contains(got, "PRIVATE") {
				t.Errorf("a secret is in the faults:\n%s", got)
			}
			if *update {
				write(t, golden, got)
				if err := os.Chmod(golden, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want := read(t, golden); got != want {
				t.Errorf("faults:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func lines(faults Faults) string {
	var b strings.Builder
	for _, f := range faults {
		b.WriteString(f.String() + "\n")
	}
	return b.String()
}

// writeCertificate makes NAME.pem and NAME-key.pem of a server, good until end.
func writeCertificate(t testing.TB, name string, end time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: end.Add(-24 * time.Hour), NotAfter: end, DNSNames: []string{"localhost"}}
	cert, err := x509.CreateCertificate(rand.Reader, about, about, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, name+".pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})))
	write(t, name+"-key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})))
}
