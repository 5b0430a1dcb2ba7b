package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/config"
	"github.com/presencebridge/presencebridge/pkg/api"
	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// daemon is a bridge with its API, put together from a configuration.
type daemon struct {
	bridge *bridge.Bridge
	store  bridge.Store
	server *api.Server
	log    *zap.Logger
}

// openDaemon opens the store and the socket. Nothing is half open after an error.
// load reads the configuration again, for a reload.
func openDaemon(ctx context.Context, cfg *config.Config, load func() (*config.Config, error), log *zap.Logger) (*daemon, error) {
	pbxs, err := connect(cfg, log)
	if err != nil {
		return nil, err
	}
	st, err := openStore(ctx, cfg, log) // first, since its lock tells two bridges apart for certain
	if err != nil {
		return nil, err
	}
	server, err := api.Listen(ctx, cfg.Daemon.HTTP.Socket, log)
	if err != nil {
		return nil, errors.Join(err, st.Close(ctx, false))
	}
	b, err := bridge.Open(ctx, bridge.Options{
		Mapping: cfg.Mapping,
		LoadMapping: func() (*presence.Mapping, error) {
			return reload(cfg, load, log)
		},
		PBXs:    pbxs,
		Store:   st,
		Log:     log,
		History: time.Duration(cfg.Daemon.Store.HistoryDays) * 24 * time.Hour,
		Settled: settled,
	})
	if err != nil {
		return nil, errors.Join(err, st.Close(ctx, false), server.Close())
	}
	return &daemon{bridge: b, store: st, server: server, log: log}, nil
}

// gcPercent is for a heap that lives long. With 100,000 users 100 took 0.16 cores and
// 375 MB at 20,000 events a second, 50 takes 0.24 cores and 300 MB, and 25 took 0.48 and
// 275; at 1,000 a second none takes a twentieth. It is so from the start, whose peak it
// lowers from 450 MB to 330 for 0.4 s of the processor: what the runtime needs to keep
// account of its memory grows with the peak and is never given back.
const gcPercent = 50

// collectEarly keeps the heap small. An operator's own limits stand.
func collectEarly() {
	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetGCPercent(gcPercent)
	}
}

// settled gives back what a start, a reload or a snapshot needed for a moment: the
// runtime by itself keeps half as much again as is in use.
func settled() { debug.FreeOSMemory() }

// run serves until ctx ends or the API fails, and stops in order: requests
// first, so that nothing is accepted that could not be kept.
func (d *daemon) run(ctx context.Context) error {
	working, stop := context.WithCancel(context.Background())
	defer stop()
	var bridgeErr error
	var wait sync.WaitGroup
	wait.Go(func() { bridgeErr = d.bridge.Run(working) })
	serveErr := d.server.Run(ctx, api.New(feeds{d.bridge}, api.Options{Log: d.log}))
	stop()
	wait.Wait()
	return errors.Join(serveErr, bridgeErr)
}

// feeds gives the API the bridge's subscriptions under its own interface.
type feeds struct{ *bridge.Bridge }

// Subscribe follows the feed behind id last.
func (f feeds) Subscribe(last uint64) api.Feed { return f.Bridge.Subscribe(last) }

// reload reads the configuration again and returns its mapping. Connections are
// made once, at the start; a change of theirs has to wait for the next.
func reload(old *config.Config, load func() (*config.Config, error), log *zap.Logger) (*presence.Mapping, error) {
	cfg, err := load()
	if err != nil {
		return nil, err
	}
	if cfg.MappingPath != old.MappingPath {
		return nil, fmt.Errorf("%s: mapping is another file now, %s: restart presencebridge to use it", cfg.Path, cfg.MappingPath)
	}
	if !slices.EqualFunc(cfg.Daemon.PBX, old.Daemon.PBX, func(a, b config.PBX) bool { return a.Name == b.Name && a.Presentity == b.Presentity }) {
		return nil, fmt.Errorf("%s: the list of PBXs has changed: restart presencebridge to apply it", cfg.Path)
	}
	if !sameSettings(cfg, old) {
		log.Warn("settings of connections, store, listeners or log have changed; they apply after a restart", zap.String("file", cfg.Path))
	}
	return cfg.Mapping, nil
}

func sameSettings(a, b *config.Config) bool {
	samePBX := func(x, y config.PBX) bool {
		x.AMI.Secret, y.AMI.Secret = config.Secret{}, config.Secret{}
		x.ARI.Password, y.ARI.Password = config.Secret{}, config.Secret{}
		return x == y
	}
	sameSecret := func(x, y config.PBX) bool {
		return x.AMI.Secret.Equal(y.AMI.Secret) && x.ARI.Password.Equal(y.ARI.Password)
	}
	return slices.EqualFunc(a.Daemon.PBX, b.Daemon.PBX, samePBX) && slices.EqualFunc(a.Daemon.PBX, b.Daemon.PBX, sameSecret) &&
		a.Daemon.Store == b.Daemon.Store && a.Daemon.HTTP == b.Daemon.HTTP && a.Daemon.Log == b.Daemon.Log
}
