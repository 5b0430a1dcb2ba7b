package config

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestAStoreOnAServerIsTakenApart(t *testing.T) {
	const pbx = `pbx: [{name: main, ami: {address: "127.0.0.1:5038", username: u, secret_file: ami-secret}}]` + "\n"
	dir := folder(t)
	write(t, "ca.pem", authority())
	for _, tc := range []struct {
		name, store, password string
		want                  Store
	}{
		{"postgres", `{driver: postgres, dsn: "postgres://u@127.0.0.1/d", password_file: ami-secret}`, "hunter2",
			Store{Driver: "postgres", DSN: "postgres://u@127.0.0.1/d", Address: "127.0.0.1:5432", User: "u", Database: "d"}},
		{"mysql with a port", `{driver: mysql, dsn: "mysql://u@[::1]:3307/d", password_file: ami-secret, history_days: 7}`, "hunter2",
			Store{Driver: "mysql", DSN: "mysql://u@[::1]:3307/d", Address: "[::1]:3307", User: "u", Database: "d", HistoryDays: 7}},
		{"a socket needs no password", `{driver: mysql, dsn: "mysql://u@/d?socket=/run/mysqld/mysqld.sock"}`, "",
			Store{Driver: "mysql", DSN: "mysql://u@/d?socket=/run/mysqld/mysqld.sock", Address: "/run/mysqld/mysqld.sock", User: "u", Database: "d"}},
		{"a socket may have one", `{driver: postgres, dsn: "postgres://u@/d?socket=/run/postgresql/.s.PGSQL.5432", password_file: ami-secret}`, "hunter2",
			Store{Driver: "postgres", DSN: "postgres://u@/d?socket=/run/postgresql/.s.PGSQL.5432", Address: "/run/postgresql/.s.PGSQL.5432", User: "u", Database: "d"}},
		{"a password in the address is taken out", `{driver: postgres, dsn: "postgres://u:hunter2%40@127.0.0.1/d"}`, "hunter2@",
			Store{Driver: "postgres", DSN: "postgres://u@127.0.0.1/d", Address: "127.0.0.1:5432", User: "u", Database: "d"}},
		{"TLS to another machine", `{driver: postgres, dsn: "postgres://u@db.example/d", password_file: ami-secret, tls: {enabled: true, ca_file: ca.pem, server_name: db}}`, "hunter2",
			Store{Driver: "postgres", DSN: "postgres://u@db.example/d", Address: "db.example:5432", User: "u", Database: "d",
				TLS: TLS{Enabled: true, CAFile: filepath.Join(dir, "ca.pem"), ServerName: "db"}}},
		{"a network of one's own", `{driver: mysql, dsn: "mysql://u@db.example/d", password_file: ami-secret, insecure: true}`, "hunter2",
			Store{Driver: "mysql", DSN: "mysql://u@db.example/d", Address: "db.example:3306", User: "u", Database: "d"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			write(t, "presencebridge.yaml", pbx+"store: "+tc.store+"\n")
			got := mustLoad(t, Overrides{}).Daemon.Store
			if secret := got.Password.Reveal(); secret != tc.password {
				t.Errorf("password %q", secret)
			}
			got.Password = Secret{}
			if tc.want.HistoryDays == 0 {
				tc.want.HistoryDays = defaultHistoryDays
			}
			if got != tc.want {
				t.Errorf("read %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestAStoreOnAServerCanComeFromTheEnvironment(t *testing.T) {
	folder(t)
	for name, value := range map[string]string{
		"DRIVER": "mysql", "DSN": "mysql://u@db.example/d", "PASSWORD_FILE": "ami-secret", "INSECURE": "true",
	} {
		t.Setenv("PRESENCEBRIDGE_STORE_"+name, value)
	}
	got := mustLoad(t, Overrides{}).Daemon.Store
	if got.Address != "db.example:3306" || got.Password.Reveal() != "hunter2" {
		t.Errorf("read %+v", got)
	}
	t.Setenv("PRESENCEBRIDGE_STORE_DSN", "mysql://u:hunter3@db.example/d")
	if cfg, faults := Load("presencebridge.yaml", Overrides{}); cfg != nil || strings.Contains(faults.Error(), "hunter") {
		t.Errorf("two passwords: %v, %v", cfg, faults)
	}
}

// TestTheSampleOfAServerIsClean takes the # away from what stands ready in the sample.
func TestTheSampleOfAServerIsClean(t *testing.T) {
	daemon := read(t, "presencebridge.yaml")
	folder(t)
	before, after, found := strings.Cut(daemon, "  driver: sqlite\n")
	settings, rest, more := strings.Cut(after, "  # How long the history")
	if !found || !more {
		t.Fatal("the sample is another one")
	}
	// A comment has one space behind its #, a setting none, and what is below it two.
	settings = regexp.MustCompile(`(?m)^  #(\w|  )`).ReplaceAllString(settings[strings.Index(settings, "  #password_file"):], "  $1")
	settings = "  dsn: postgres://presencebridge@127.0.0.1:5432/presencebridge\n" + settings
	write(t, "presencebridge.yaml", before+"  driver: postgres\n"+settings+"  # How long the history"+rest)
	write(t, "db-password", "hunter3\n")
	cfg, faults := Load("presencebridge.yaml", Overrides{})
	if len(faults) > 0 || cfg == nil {
		t.Fatalf("the sample has faults:\n%v", faults)
	}
	if got := cfg.Daemon.Store.Password.Reveal(); got != "hunter3" {
		t.Errorf("password %q", got)
	}
}
