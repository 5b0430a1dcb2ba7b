package postgres

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/presencebridge/presencebridge/pkg/store"
	"github.com/presencebridge/presencebridge/pkg/store/servertest"
	"github.com/presencebridge/presencebridge/pkg/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// short is a lease that a test can wait for.
func short(holder string) store.Lease { return store.Lease{Holder: holder, Term: time.Second} }

func TestStore(t *testing.T) {
	server := servertest.Postgres(t)
	storetest.Run(t, func(t *testing.T) storetest.Opener {
		at := server.NewDatabase()
		return storetest.Opener{
			Open: func(ctx context.Context) (*store.SQL, error) {
				return Open(ctx, at, short("one"), zaptest.NewLogger(t))
			},
			Reader: func() (*store.Reader, error) { return OpenReader(at) },
			Panel:  func() (*sql.DB, error) { return server.Panel(at) },
		}
	})
}

func TestStoreOnAServerThatFails(t *testing.T) {
	storetest.RunServers(t, storetest.Servers{Start: servertest.Postgres, Open: Open, Reader: OpenReader, Lock: `BEGIN; LOCK TABLE users`})
}

func TestEveryOldStoreIsBroughtUpToDate(t *testing.T) {
	storetest.RunOldStores(t, storetest.Servers{Start: servertest.Postgres, Open: Open}, "../../../testdata/store/postgres-*.sql", `
SELECT concat(table_name, '.', column_name, ' ', data_type, ' ', is_nullable, ' ', collation_name, ' ', is_identity, ' ', column_default)
FROM information_schema.columns WHERE table_schema = 'public'
UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT concat(conrelid::regclass, ' ', replace(pg_get_constraintdef(oid), 'public.', '')) FROM pg_constraint WHERE connamespace = 'public'::regnamespace
ORDER BY 1`)
}

// A bridge that is paused within a transaction keeps its locks; the server must
// end it, or nobody could ever take over.
func TestATransactionOfAPausedBridgeEnds(t *testing.T) {
	at := servertest.Postgres(t).NewDatabase()
	d, err := driverOf(at)
	if err != nil {
		t.Fatal(err)
	}
	paused, err := d.Connect(t.Context(), short("paused"), zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _, _ = paused.Write.Close(), paused.Read.Close(), paused.Lease.DB.Close() }()
	tx, err := paused.Write.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(t.Context(), `UPDATE lease SET beat = beat + 1 WHERE id = 1`); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	next := short("next")
	next.Waiting = func(context.Context, string, *store.Reads) error { return nil }
	s, err := Open(ctx, at, next, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err == nil {
		t.Error("the transaction of the paused bridge was committed")
	}
	_ = s.Close(t.Context(), true) // its first connection was cut with a try to take over
}
