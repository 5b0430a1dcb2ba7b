package postgres

import (
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/store"
	"github.com/presencebridge/presencebridge/pkg/store/servertest"
	"github.com/presencebridge/presencebridge/pkg/store/storetest"
)

func TestOpenSaysWhatToDo(t *testing.T) {
	storetest.RunRefusals(t, storetest.Servers{Start: servertest.Postgres, Open: Open}, append(storetest.Unreachable(),
		storetest.Refusal{Name: "no such database", Want: "CREATE DATABASE nowhere OWNER bridge ENCODING 'UTF8'",
			Change: func(_ *servertest.Server, at *store.Server) { at.Database = "nowhere" }},
		storetest.Refusal{Name: "no right to make tables", Do: []string{"ALTER DATABASE DATABASE_NAME OWNER TO postgres"}, Want: "lacks rights in this database; give them with: ALTER DATABASE"},
		storetest.Refusal{Name: "read-only", Do: []string{"ALTER DATABASE DATABASE_NAME SET default_transaction_read_only = on"}, Want: "is read-only"},
		storetest.Refusal{Name: "another encoding", Want: "its encoding is SQL_ASCII",
			Do: []string{"DROP DATABASE DATABASE_NAME", "CREATE DATABASE DATABASE_NAME OWNER bridge ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"},
		},
		storetest.Refusal{Name: "no address", Want: "is no address of PostgreSQL", Change: func(_ *servertest.Server, at *store.Server) { at.Address = "127.0.0.1" }},
	))
}

func TestTLSHasToBeRight(t *testing.T) {
	storetest.RunTLS(t, storetest.Servers{Start: servertest.Postgres, Open: Open})
}

// The variables of libpq and its file of passwords do not count.
func TestTheEnvironmentOfPostgreSQLDoesNotCount(t *testing.T) {
	server := servertest.Postgres(t)
	for name, value := range map[string]string{"PGHOST": "db.invalid", "PGUSER": "nobody", "PGPASSWORD": "wrong-secret", "PGDATABASE": "nowhere", "PGSSLMODE": "require", "PGOPTIONS": "-c default_transaction_read_only=on"} {
		t.Setenv(name, value)
	}
	at := server.NewDatabase()
	at.Address = server.Socket()
	at.Password = nil
	s, err := Open(t.Context(), at, short("one"), zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context(), true); err != nil {
		t.Error(err)
	}
	t.Setenv("PGSERVICE", "nowhere")
	if _, err := Open(t.Context(), at, short("one"), zap.NewNop()); err == nil || !strings.Contains(err.Error(), "unset the variables that begin with PG") {
		t.Errorf("open = %v", err)
	}
}

func TestAdviceQuotesNamesThatNeedIt(t *testing.T) {
	at := store.Server{User: "presence-bridge", Database: "panel"}
	if got := advice(at, "3D000"); !strings.Contains(got, `CREATE DATABASE panel OWNER "presence-bridge" ENCODING`) {
		t.Errorf("advice %q", got)
	}
}
