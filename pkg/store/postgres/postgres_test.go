package postgres

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"go.uber.org/goleak"
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
			Panel: func() (*sql.DB, error) { return server.Panel(at) },
		}
	})
}

func TestStoreOnAServerThatFails(t *testing.T) {
	storetest.RunServers(t, storetest.Servers{Start: servertest.Postgres, Open: Open, Lock: `BEGIN; LOCK TABLE users`})
}
