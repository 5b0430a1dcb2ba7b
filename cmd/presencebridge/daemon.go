package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"reflect"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/config"
	"github.com/presencebridge/presencebridge/pkg/api"
	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
)

// daemon is a bridge with its API, put together from a configuration.
type daemon struct {
	bridge  *bridge.Bridge
	store   *store.SQL
	tokens  *api.Tokens
	users   *mappedUsers
	rules   *mappingRules
	panel   *panelTable // nil: there is none
	desk    *desk       // nil: there is no web panel
	tracer  *tracer     // nil: nothing is traced
	servers []*api.Server
	driver  string // of the store
	log     *zap.Logger
}

// openDaemon opens the store and the listeners. Nothing is half open after an error.
// load reads the configuration again, for a reload. It returns when no other bridge
// has the store; with a standby it waits for that.
func openDaemon(ctx context.Context, cfg *config.Config, load func() (*config.Config, error), wait *standby, log *zap.Logger) (*daemon, error) {
	pbxs, err := connect(cfg, log)
	if err != nil {
		return nil, err
	}
	st, err := openStore(ctx, cfg, wait.waiting(), log) // first, since its lock tells two bridges apart for certain
	if err != nil {
		return nil, errors.Join(err, closeAll(wait.end()))
	}
	d, err := openOnStore(ctx, cfg, load, pbxs, st, wait, log)
	if err != nil {
		return nil, errors.Join(err, closeAll(wait.end()), st.Close(ctx, false))
	}
	return d, nil
}

// openOnStore opens the rest. An error leaves the store, and what wait has open, to the
// caller.
func openOnStore(ctx context.Context, cfg *config.Config, load func() (*config.Config, error), pbxs []bridge.PBXConnector, st *store.SQL, wait *standby, log *zap.Logger) (*daemon, error) {
	maps := &mappings{start: cfg, load: load, store: &st.Reads, log: log}
	begin := maps.first
	waited := wait.takesOver()
	if waited {
		begin = maps.afterWait
	}
	mapping, err := begin(ctx)
	if err != nil {
		return nil, err
	}
	tokens, err := api.OpenTokens(ctx, st, log, nil)
	if err != nil {
		return nil, err
	}
	tokens.MayAct = st.MayAct
	var servers []*api.Server
	if !waited {
		if servers, err = openServers(ctx, cfg.Daemon.HTTP, log); err != nil {
			return nil, err
		}
	}
	tracer, err := openTracing(cfg.Daemon.Tracing, log)
	if err != nil {
		return nil, errors.Join(err, closeAll(servers))
	}
	b, err := bridge.Open(ctx, bridge.Options{
		Mapping:     mapping,
		LoadMapping: func() (*presence.Mapping, error) { return maps.again(ctx) },
		PBXs:        pbxs,
		Store:       st,
		MayAct:      st.MayAct,
		Log:         log,
		History:     time.Duration(cfg.Daemon.Store.HistoryDays) * 24 * time.Hour,
		Settled:     settled,
		Tracer:      tracer.follows(),
	})
	if err != nil {
		return nil, errors.Join(err, closeAll(servers))
	}
	table, err := openPanel(ctx, cfg.Daemon.Panel, b, st, log)
	if err != nil {
		return nil, errors.Join(err, closeAll(servers))
	}
	front, err := openDesk(ctx, cfg.Daemon, b, st, log)
	if err != nil {
		return nil, errors.Join(err, table.close(), closeAll(servers))
	}
	if waited {
		servers = wait.end() // which have answered from the store so far
	}
	users := &mappedUsers{mappings: maps, store: st, bridge: b}
	return &daemon{
		bridge: b, store: st, tokens: tokens, desk: front, tracer: tracer, users: users, rules: &mappingRules{users}, panel: table, servers: servers, driver: cfg.Daemon.Store.Driver, log: log,
	}, nil
}

// openServers opens the listeners that are configured: the socket first, which tells
// whether another bridge runs.
func openServers(ctx context.Context, cfg config.HTTP, log *zap.Logger) (servers []*api.Server, err error) {
	add := func(open func() (*api.Server, error)) {
		if err != nil {
			return
		}
		s, e := open()
		if err = e; err == nil {
			servers = append(servers, s)
		}
	}
	add(func() (*api.Server, error) { return api.Listen(ctx, cfg.Socket, log) })
	if cfg.Listen != "" {
		add(func() (*api.Server, error) {
			return api.ListenNetwork(ctx, api.Network{
				Address: cfg.Listen, CertFile: cfg.TLS.CertFile, KeyFile: cfg.TLS.KeyFile, MaxConnections: cfg.MaxConnections,
			}, log)
		})
	}
	if cfg.Metrics != "" {
		add(func() (*api.Server, error) { return api.ListenHealth(ctx, cfg.Metrics, log) })
	}
	if err != nil {
		return nil, errors.Join(err, closeAll(servers))
	}
	return servers, nil
}

func closeAll(servers []*api.Server) error {
	var err error
	for _, s := range servers {
		err = errors.Join(err, s.Close())
	}
	return err
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

// spareThreads is how many more threads run Go code than there are cores. A goroutine that
// waits for the network is looked for when one of them has nothing else to do: SQLite and
// the collector kept two of two busy for 10 ms and more, while events waited in the socket.
const spareThreads = 2

// threads lets the system share the cores out. An operator's own number stands, and so does
// the limit of a container: more threads would only use it up sooner.
func threads() {
	if os.Getenv("GOMAXPROCS") != "" {
		return
	}
	runtime.SetDefaultGOMAXPROCS() // where this is not the first daemon of a process
	if cores := runtime.GOMAXPROCS(0); cores == runtime.NumCPU() {
		runtime.GOMAXPROCS(cores + spareThreads)
	}
}

// settled gives back what a start, a reload or a snapshot needed for a moment: the
// runtime by itself keeps half as much again as is in use.
func settled() { debug.FreeOSMemory() }

// run serves until ctx ends, the API fails or another bridge has the store, and
// stops in order: requests first, so that nothing is accepted that could not be kept.
func (d *daemon) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	working, stop := context.WithCancel(context.Background())
	defer stop()
	var bridgeErr error
	var wait sync.WaitGroup
	tracing, untrace := context.WithCancel(context.Background())
	defer untrace()
	var traces sync.WaitGroup
	traces.Go(func() { d.tracer.run(tracing) })
	wait.Go(func() { bridgeErr = d.bridge.Run(working) })
	wait.Go(func() {
		select {
		case <-d.store.Lost():
			cancel()
		case <-ctx.Done():
		}
	})
	var table sync.WaitGroup
	table.Go(func() { d.panel.run(ctx) })
	serveErr := d.serve(ctx)
	cancel()
	finished := make(chan struct{})
	wait.Go(func() { table.Wait(); close(finished) })
	select { // it makes choices, and remembers in the store
	case <-finished:
	case <-time.After(panelStop): // its database hangs, and the bridge has to be stopped in time
	}
	stop()
	wait.Wait()
	untrace() // the bridge has handed over what was under way
	traces.Wait()
	err := errors.Join(serveErr, bridgeErr, d.panel.close())
	if errors.Is(d.store.MayAct(), store.ErrLost) {
		d.log.Warn("stopped for another bridge", zap.Error(err)) // what could not be saved
		return fmt.Errorf("%w; start it again, to wait for that one", store.ErrLost)
	}
	return err
}

// panelStop is how long a stop waits for the panel's table before the bridge is stopped.
const panelStop = 5 * time.Second

// serve serves at every listener until ctx ends or one of them fails.
func (d *daemon) serve(ctx context.Context) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	o := api.Options{
		Log: d.log, Tokens: d.tokens, Mapping: d.users, Rules: d.rules, Store: d.driver, Version: thisVersion().Version,
		Collectors: []prometheus.Collector{
			collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), d.desk.refused(), d.tracer,
		},
	}
	d.desk.offer(&o)
	h := api.New(feeds{d.bridge}, o)
	failed := make([]error, len(d.servers))
	var wait sync.WaitGroup
	wait.Go(func() { d.tokens.Run(ctx) })
	wait.Go(func() { d.desk.run(ctx) })
	for i, s := range d.servers {
		wait.Go(func() {
			defer end()
			failed[i] = s.Run(ctx, h)
		})
	}
	wait.Wait()
	return errors.Join(failed...)
}

// reload takes over the files again, and keeps who made it do so.
func (d *daemon) reload(ctx context.Context, by string) error {
	if by == bySavedFile && d.users.mappings.upToDate() {
		return nil
	}
	err := d.bridge.Reload(ctx)
	if ctx.Err() == nil {
		d.tokens.NoteReload(ctx, by, err)
	}
	return err
}

// feeds gives the API the bridge under its own interface. What the bridge has in memory
// needs no context.
type feeds struct{ *bridge.Bridge }

// Users are those behind a user.
func (f feeds) Users(_ context.Context, after presence.UserID) (iter.Seq2[bridge.User, error], error) {
	users, ok := f.Bridge.Users(after)
	if !ok {
		return nil, &bridge.NearError{Err: bridge.ErrNoUser, Name: string(after)}
	}
	return func(yield func(bridge.User, error) bool) {
		for u := range users {
			if !yield(u, nil) {
				return
			}
		}
	}, nil
}

// User is one user.
func (f feeds) User(_ context.Context, id presence.UserID) (bridge.User, error) {
	return f.Bridge.User(id)
}

// Subscribe follows the feed behind id last.
func (f feeds) Subscribe(last uint64) api.Feed { return f.Bridge.Subscribe(last) }

func sameSettings(a, b *config.Config) bool {
	samePBX := func(x, y config.PBX) bool {
		x.AMI.Secret, y.AMI.Secret = config.Secret{}, config.Secret{}
		x.ARI.Password, y.ARI.Password = config.Secret{}, config.Secret{}
		return reflect.DeepEqual(x, y)
	}
	sameSecret := func(x, y config.PBX) bool {
		return x.AMI.Secret.Equal(y.AMI.Secret) && x.ARI.Password.Equal(y.ARI.Password)
	}
	return slices.EqualFunc(a.Daemon.PBX, b.Daemon.PBX, samePBX) && slices.EqualFunc(a.Daemon.PBX, b.Daemon.PBX, sameSecret) &&
		sameStore(a.Daemon.Store, b.Daemon.Store) && samePanel(a.Daemon.Panel, b.Daemon.Panel) && reflect.DeepEqual(a.Daemon.HTTP, b.Daemon.HTTP) && sameSignIn(a.Daemon.SignIn, b.Daemon.SignIn) && sameTracing(a.Daemon.Tracing, b.Daemon.Tracing) &&
		a.Daemon.Log == b.Daemon.Log
}

func sameStore(a, b config.Store) bool {
	same := a.Password.Equal(b.Password)
	a.Password, b.Password = config.Secret{}, config.Secret{}
	return same && a == b
}

func samePanel(a, b config.Panel) bool {
	same := sameStore(a.Store, b.Store)
	a.Store, b.Store = config.Store{}, config.Store{}
	return same && reflect.DeepEqual(a, b)
}
