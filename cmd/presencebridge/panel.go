package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/config"
	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/panel"
	"github.com/presencebridge/presencebridge/pkg/store"
	"github.com/presencebridge/presencebridge/pkg/store/mysql"
	"github.com/presencebridge/presencebridge/pkg/store/postgres"
	"github.com/presencebridge/presencebridge/pkg/store/sqlite"
)

// panelTable is the table of an existing panel, with its connections.
type panelTable struct {
	panel  *panel.Panel
	db     *sql.DB
	listen func(ctx context.Context) // tells of changes until ctx ends; nil: they are only looked for
}

// openPanel returns nil where the configuration has no panel. It does not connect.
func openPanel(ctx context.Context, cfg config.Panel, b *bridge.Bridge, st *store.SQL, log *zap.Logger) (*panelTable, error) {
	if cfg.Table == "" {
		return nil, nil
	}
	log = log.With(zap.String("panel", cfg.Table))
	db, flavor, at, err := connectPanel(cfg.Store)
	if err != nil {
		return nil, err
	}
	t := &panelTable{db: db}
	wake := make(chan struct{}, 1)
	if cfg.Notify != "" {
		t.listen = func(ctx context.Context) { hearPanel(ctx, cfg, at, wake, log) }
	}
	c := panelConfig(cfg, flavor)
	c.Wake, c.MayAct = wake, st.MayAct
	c.Explain = func(err error) error { return panelAdvice(cfg, at, err) }
	t.panel, err = panel.Open(ctx, c, db, b, b.Subscribe(0), st, log)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return t, nil
}

func panelConfig(cfg config.Panel, flavor panel.Flavor) panel.Config {
	return panel.Config{
		Table: panel.Table{
			Name: cfg.Table, User: cfg.User, Status: cfg.Status, Message: cfg.Message, Changed: cfg.Changed, Clock: panel.Clock(cfg.Clock),
		},
		Place: cfg.Store.Driver + " " + cfg.Store.Address + " " + cfg.Store.Database + " " + cfg.Store.DSN,
		By:    panel.By(cfg.By), Flavor: flavor, Values: cfg.Values, In: cfg.In, Out: cfg.Out, Poll: cfg.Poll,
	}
}

// connectPanel makes the pool of one writer and one reader.
func connectPanel(s config.Store) (db *sql.DB, flavor panel.Flavor, at store.Server, err error) {
	const connections = 2
	if s.Driver == "sqlite" {
		db, err = sqlite.Connect(s.DSN)
		return db, panel.SQLite(), at, err
	}
	if at, err = storeServer(s); err != nil {
		return nil, flavor, at, err
	}
	at.Setting = "panel"
	switch s.Driver {
	case "postgres":
		db, err = postgres.Connect(at, connections)
		return db, panel.Postgres(), at, err
	case "mysql":
		db, err = mysql.Connect(at, connections)
		return db, panel.MySQL(), at, err
	}
	return nil, flavor, at, fmt.Errorf("panel.driver %q is not known: set it to sqlite, postgres or mysql", s.Driver)
}

// run keeps the table in agreement until ctx ends.
func (t *panelTable) run(ctx context.Context) {
	if t == nil {
		return
	}
	var wait sync.WaitGroup
	if t.listen != nil {
		wait.Go(func() { t.listen(ctx) })
	}
	t.panel.Run(ctx)
	wait.Wait()
}

// close ends the connections.
func (t *panelTable) close() error {
	if t == nil {
		return nil
	}
	return t.db.Close()
}

// hearPanel wakes who reads whenever the panel says that something has changed.
func hearPanel(ctx context.Context, cfg config.Panel, at store.Server, wake chan<- struct{}, log *zap.Logger) {
	const pause = 10 * time.Second
	told := false
	for {
		err := postgres.Listen(ctx, at, cfg.Notify, func() {
			select {
			case wake <- struct{}{}:
			default: // it will read anyway
			}
		})
		if ctx.Err() != nil {
			return
		}
		level := zap.DebugLevel
		if !told {
			level = zap.WarnLevel
		}
		told = true
		log.Log(level, "the panel's NOTIFY is not heard, its table is read now and then; trying again", zap.String("channel", cfg.Notify), zap.Error(panelAdvice(cfg, at, err)))
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}
