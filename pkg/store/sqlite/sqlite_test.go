package sqlite

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"

	"go.uber.org/zap/zaptest"

	"github.com/presencebridge/presencebridge/pkg/store"
	"github.com/presencebridge/presencebridge/pkg/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Opener {
		path := filepath.Join(t.TempDir(), "presence bridge 100%?#.db")
		return storetest.Opener{
			Open:   func(ctx context.Context) (*store.SQL, error) { return Open(ctx, path, zaptest.NewLogger(t)) },
			Reader: func() (*store.Reader, error) { return OpenReader(path) },
			Panel:  func() (*sql.DB, error) { return sql.Open("sqlite", dsn(path, nil)) },
		}
	})
}
