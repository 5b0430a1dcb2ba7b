package main

import (
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/config"
	"github.com/presencebridge/presencebridge/pkg/connector/asterisk/diagnose"
	"github.com/presencebridge/presencebridge/pkg/store"
	"github.com/presencebridge/presencebridge/pkg/store/servertest"
)

func TestDoctorTriesTheServerOfTheStore(t *testing.T) {
	onEachServer(t, func(t *testing.T, driver string, server *servertest.Server) {
		m := &newConsole().Main
		good := func(at store.Server) config.Store {
			return config.Store{Driver: driver, Address: at.Address, Database: at.Database, User: at.User, Password: config.NewSecret(at.Secret())}
		}
		expect := func(s config.Store, want diagnose.Result, text string) {
			t.Helper()
			steps := m.storeServerSteps(t.Context(), s)
			all := ""
			for _, step := range steps {
				all += string(step.Result) + ": " + step.Says + ": " + step.Do + "\n"
			}
			if steps[0].Result != want || !strings.Contains(all, text) {
				t.Errorf("got %s, want %s with %q", all, want, text)
			}
			if strings.Contains(all, "-secret") {
				t.Errorf("a secret is shown: %s", all)
			}
		}
		at := server.NewDatabase()
		s := good(at)
		expect(s, diagnose.OK, "it is empty")
		expect(s, diagnose.OK, "power cut") // servers of tests take it easy
		st, err := openStore(t.Context(), &config.Config{Daemon: config.Daemon{Store: s}}, nil, zap.NewNop())
		if err != nil {
			t.Fatal(err)
		}
		expect(s, diagnose.OK, "a bridge on "+holder()+" holds it")
		if err := st.Close(t.Context(), true); err != nil {
			t.Error(err)
		}
		expect(s, diagnose.OK, "no bridge holds it")

		wrong := s
		wrong.Password = config.NewSecret("wrong-secret")
		expect(wrong, diagnose.Failed, "store.password_file")
		wrong.Password = config.Secret{}
		expect(wrong, diagnose.Warning, "run doctor as root")
		wrong = s
		wrong.Address = "127.0.0.1:1"
		expect(wrong, diagnose.Failed, "cannot be reached")
		wrong = s
		wrong.TLS = config.TLS{Enabled: true, CAFile: "/nowhere.pem"}
		expect(wrong, diagnose.Failed, "tls.ca_file")
	})
}

func TestTheCertificateOfAServerIsForItsHost(t *testing.T) {
	for _, tc := range []struct {
		name string
		tls  config.TLS
		want string
	}{
		{"the host", config.TLS{Enabled: true}, "db.example"},
		{"another name", config.TLS{Enabled: true, ServerName: "db"}, "db"},
	} {
		at, err := storeServer(config.Store{Address: "db.example:5432", TLS: tc.tls})
		if err != nil || at.TLS == nil || at.TLS.ServerName != tc.want {
			t.Errorf("%s: %+v, %v", tc.name, at.TLS, err)
		}
	}
	if at, err := storeServer(config.Store{Address: "127.0.0.1:5432"}); err != nil || at.TLS != nil {
		t.Errorf("without TLS: %+v, %v", at.TLS, err)
	}
}
