package sqlite

import (
	"context"
	"database/sql"
	"net/url"
	"sync"
	"time"

	"go.uber.org/zap"
)

const (
	// checkpointWait is how long what was committed stays in the log alone: whatever is
	// committed meanwhile is moved with it, by one sync.
	checkpointWait = 250 * time.Millisecond
	// walPages is how long the log may become until a commit itself moves what is left
	// of it, so that it begins anew: 64 MB, as journal_size_limit says.
	walPages = "wal_autocheckpoint(16384)"
)

// checkpointer moves what was committed from the log into the file, beside the
// connection that writes. Left to that one, every thousandth page makes a commit wait
// until all of them are in the file and synced.
type checkpointer struct {
	db   *sql.DB // of one connection
	log  *zap.Logger
	news chan struct{} // of one place: something was committed
	stop context.CancelFunc
	wait sync.WaitGroup
}

// startCheckpointer runs one until it is closed.
func startCheckpointer(path string, log *zap.Logger) (*checkpointer, error) {
	db, err := sql.Open("sqlite", dsn(path, url.Values{"_pragma": {busyTimeout, "synchronous(FULL)", smallCache}}))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	ctx, stop := context.WithCancel(context.Background())
	c := &checkpointer{db: db, log: log, news: make(chan struct{}, 1), stop: stop}
	c.wait.Go(func() { c.run(ctx) })
	return c, nil
}

// saved notes that something was committed. It does not wait.
func (c *checkpointer) saved() {
	select {
	case c.news <- struct{}{}:
	default:
	}
}

func (c *checkpointer) run(ctx context.Context) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.news:
		}
		pause.Reset(checkpointWait)
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
		// Passive: neither who writes nor who reads waits for it.
		_, err := c.db.ExecContext(ctx, `PRAGMA wal_checkpoint(PASSIVE)`)
		if err != nil && !failing && ctx.Err() == nil {
			c.log.Warn("the log of the store grows, its file cannot be written", zap.Error(err))
		}
		failing = err != nil
	}
}

// close waits for the end of it. The last connection to close leaves no log behind.
func (c *checkpointer) close() error {
	c.stop()
	c.wait.Wait()
	return c.db.Close()
}
