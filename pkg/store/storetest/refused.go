package storetest

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
	"github.com/presencebridge/presencebridge/pkg/store"
	"github.com/presencebridge/presencebridge/pkg/store/servertest"
)

// Refusal is a database that cannot be opened.
type Refusal struct {
	Name   string
	Do     []string                                // what its administrator executes first; DATABASE is its name
	Change func(*servertest.Server, *store.Server) // what the bridge is told wrongly; nil: nothing
	Want   string                                  // is in the error
}

// RunRefusals tests that Open says what to do.
func RunRefusals(t *testing.T, d Servers, list []Refusal) {
	server := d.Start(t)
	for _, tc := range list {
		t.Run(tc.Name, func(t *testing.T) {
			at := server.NewDatabase()
			for _, statement := range tc.Do {
				server.Exec(strings.ReplaceAll(statement, "DATABASE_NAME", at.Database))
			}
			if tc.Change != nil {
				tc.Change(server, &at)
			}
			_, err := d.Open(t.Context(), at, store.Lease{Holder: "first", Term: term}, zap.NewNop())
			if err == nil || !strings.Contains(err.Error(), tc.Want) {
				t.Fatalf("open = %v, want something with %q", err, tc.Want)
			}
			if text := err.Error(); strings.Contains(text, "\n") || strings.Contains(text, "-secret") {
				t.Errorf("more than a line, or a secret: %v", err)
			}
		})
	}
}

// RunTLS tests that a certificate has to be right, and that a connection that
// should be encrypted is never made in clear.
func RunTLS(t *testing.T, d Servers) {
	server := d.Start(t)
	right := pbxtest.NewCertificate(t, "db.example", time.Now().Add(24*time.Hour))
	other := pbxtest.NewCertificate(t, "db.example", time.Now().Add(24*time.Hour))
	late := pbxtest.NewCertificate(t, "db.example", time.Now().Add(-time.Hour))
	try := func(t *testing.T, trusted pbxtest.Certificate, name string) error {
		at := server.NewDatabase()
		at.TLS = &tls.Config{RootCAs: trusted.Trusted, ServerName: name, MinVersion: tls.VersionTLS12}
		s, err := d.Open(t.Context(), at, store.Lease{Holder: "first", Term: term}, zap.NewNop())
		if err == nil {
			save(t, s, &store.Batch{Users: []store.User{user("alice", 1)}})
			closeStore(t, s, true)
		}
		return err
	}
	if err := try(t, right, "db.example"); err == nil || !strings.Contains(err.Error(), "does not speak TLS") {
		t.Errorf("open of a server without TLS = %v", err)
	}
	server.Encrypt(right.PEM)
	if err := try(t, right, "db.example"); err != nil {
		t.Errorf("open with its authority and name = %v", err)
	}
	if err := try(t, right, "127.0.0.1"); err == nil || !strings.Contains(err.Error(), "store.tls.server_name") {
		t.Errorf("open by another name = %v", err)
	}
	if err := try(t, other, "db.example"); err == nil || !strings.Contains(err.Error(), "store.tls.ca_file") {
		t.Errorf("open with an unknown authority = %v", err)
	}
	server.Encrypt(late.PEM)
	if err := try(t, late, "db.example"); err == nil || !strings.Contains(err.Error(), "renew it") {
		t.Errorf("open with a certificate that has ended = %v", err)
	}
}

// Changes that dialects have in common.
func wrongly(f func(*store.Server)) func(*servertest.Server, *store.Server) {
	return func(_ *servertest.Server, at *store.Server) { f(at) }
}

// Unreachable lists what goes wrong before a server says anything.
func Unreachable() []Refusal {
	return []Refusal{
		{Name: "nobody listens", Change: wrongly(func(at *store.Server) { at.Address = "127.0.0.1:1" }), Want: "cannot be reached"},
		{Name: "no such host", Change: wrongly(func(at *store.Server) { at.Address = "db.invalid:5432" }), Want: "is not known: correct store.dsn"},
		{Name: "no such socket", Change: wrongly(func(at *store.Server) { at.Address = "/nowhere/.s.PGSQL.5432" }), Want: "cannot be reached"},
		{Name: "wrong password", Change: wrongly(func(at *store.Server) { at.Password = func() string { return "wrong-secret" } }), Want: "does not let bridge in"},
		{Name: "no password", Change: wrongly(func(at *store.Server) { at.Password = nil }), Want: "does not let bridge in"},
		{Name: "no such user", Change: wrongly(func(at *store.Server) { at.User = "nobody" }), Want: "does not let nobody in"},
	}
}
