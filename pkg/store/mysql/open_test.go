package mysql

import (
	"testing"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/store"
	"github.com/presencebridge/presencebridge/pkg/store/servertest"
	"github.com/presencebridge/presencebridge/pkg/store/storetest"
)

func TestOpenSaysWhatToDo(t *testing.T) {
	const reader = "CREATE OR REPLACE USER reader IDENTIFIED BY 'reader-secret'"
	asReader := func(_ *servertest.Server, at *store.Server) {
		at.User, at.Password = "reader", func() string { return "reader-secret" }
	}
	storetest.RunRefusals(t, storetest.Servers{Start: servertest.MariaDB, Open: Open}, append(storetest.Unreachable(),
		storetest.Refusal{Name: "no such database", Do: []string{"CREATE OR REPLACE USER all_rights IDENTIFIED BY 'full-secret'", "GRANT ALL ON *.* TO all_rights"}, Want: "CREATE DATABASE `nowhere` CHARACTER SET utf8mb4",
			Change: func(_ *servertest.Server, at *store.Server) {
				at.User, at.Password, at.Database = "all_rights", func() string { return "full-secret" }, "nowhere"
			}},
		storetest.Refusal{Name: "no right to the database", Do: []string{reader}, Want: "GRANT ALL ON `db_", Change: asReader},
		storetest.Refusal{Name: "no right to make tables", Do: []string{reader, "GRANT SELECT ON DATABASE_NAME.* TO reader"}, Want: "GRANT ALL ON `db_", Change: asReader},
		storetest.Refusal{Name: "read-only", Do: []string{"SET GLOBAL read_only = 1"}, Want: "this server is read-only"},
	))
}

func TestTLSHasToBeRight(t *testing.T) {
	storetest.RunTLS(t, storetest.Servers{Start: servertest.MariaDB, Open: Open})
}

func TestASocketNeedsNoAddress(t *testing.T) {
	server := servertest.MariaDB(t)
	at := server.NewDatabase()
	at.Address = server.Socket()
	s, err := Open(t.Context(), at, short("one"), zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context(), true); err != nil {
		t.Error(err)
	}
}

func TestVersionsThatAreTooOldAreRefused(t *testing.T) {
	for version, want := range map[string]bool{
		"10.5.0-MariaDB": true, "10.11.19-MariaDB-0+deb12u1": true, "11.8.1-MariaDB": true, "10.4.34-MariaDB": false, "5.5.68-MariaDB": false,
		"8.0.36": true, "9.1.0": true, "5.7.44-log": false, "": false, "MariaDB": false,
	} {
		if got := newEnough(version); got != want {
			t.Errorf("newEnough(%q) = %v", version, got)
		}
	}
}
