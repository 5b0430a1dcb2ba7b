package main

import (
	"context"
	"sync"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/config"
	"github.com/presencebridge/presencebridge/pkg/api"
	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/store"
)

// standby is a bridge while another one holds its store. It is ready as far as
// systemd is concerned, feeds the watchdog, and answers at every listener from what the
// store says. nil: whoever starts the bridge does not wait.
type standby struct {
	config *config.Config
	load   func() (*config.Config, error) // reads the files again
	log    *zap.Logger
	notify func(state string)
	feed   func(ctx context.Context, alive func(context.Context) error, log *zap.Logger) // the watchdog

	mu     sync.Mutex
	holder string // "": nobody has been waited for
	taking bool   // the store is ours

	stop    context.CancelFunc // nil: nothing is served
	helpers sync.WaitGroup
	servers []*api.Server
}

// standbyMark begins what a standby says of itself.
const standbyMark = "standby: "

// renewEvery is how often a standby asks whether users have changed in the store.
const renewEvery = 2 * time.Second

// wait is told who has the store. ctx is that of the run.
func (s *standby) wait(ctx context.Context, holder string, from *store.Reads) error {
	s.mu.Lock()
	first := s.holder == ""
	s.holder = holder
	s.mu.Unlock()
	s.log.Info("another bridge holds the store, waiting to take over", zap.String("holder", holder))
	s.notify("STATUS=" + s.reason())
	if !first {
		return nil
	}
	servers, err := openServers(ctx, s.config.Daemon.HTTP, s.log)
	if err != nil {
		return err
	}
	s.servers = servers
	ctx, s.stop = context.WithCancel(ctx)
	s.serve(ctx, from)
	s.helpers.Go(func() { s.feed(ctx, func(context.Context) error { return nil }, s.log) })
	s.notify(systemd.SdNotifyReady)
	return nil
}

// serve answers at every listener until ctx ends.
func (s *standby) serve(ctx context.Context, from *store.Reads) {
	var names []string
	for _, p := range s.config.Daemon.PBX {
		names = append(names, p.Name)
	}
	reads := bridge.NewStandby(from, names, s.reason, nil)
	tokens := api.FollowTokens(from, s.log, nil)
	h := api.New(waitingBridge{reads}, api.Options{Log: s.log, Tokens: tokens, Standby: s.reason})
	maps := &mappings{start: s.config, load: s.load, store: from, log: s.log}
	s.helpers.Go(func() { tokens.Run(ctx) })
	s.helpers.Go(func() { s.renew(ctx, maps, from, reads) })
	for _, server := range s.servers {
		s.helpers.Go(func() {
			if err := server.RunFirst(ctx, h); err != nil {
				s.log.Error("not served while waiting", zap.Error(err))
			}
		})
	}
}

// renew reads the mapping, and again whenever a file was saved or somebody has changed
// users in the store, until ctx ends.
func (s *standby) renew(ctx context.Context, maps *mappings, from *store.Reads, into *bridge.Standby) {
	saved := make(chan struct{}, 1)
	if w, err := openMapWatch(s.config.MappingPath, s.config.MappingInfo); err == nil { // else it is read when the wait is over
		s.helpers.Go(func() { w.run(ctx, saved, s.log) })
	}
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	due, told, known := true, false, int64(0)
	for {
		act, err := from.LastAct(ctx)
		if err == nil && (due || act != known) {
			if err = s.remap(ctx, maps, into); err == nil {
				due, known = false, act
			}
		}
		if err != nil && ctx.Err() == nil && !told {
			s.log.Warn("the mapping cannot be read while waiting, so that users are shown as they were; trying on", zap.Error(err))
		}
		told = err != nil
		select {
		case <-tick.C:
		case <-saved:
			due = true
		case <-ctx.Done():
			return
		}
	}
}

func (s *standby) remap(ctx context.Context, maps *mappings, into *bridge.Standby) error {
	m, err := maps.again(ctx)
	if err == nil {
		into.SetMapping(m)
	}
	return err
}

// waitingBridge gives the API a standby under its own interface.
type waitingBridge struct{ *bridge.Standby }

// Subscribe is never called: a standby answers no event streams.
func (waitingBridge) Subscribe(uint64) api.Feed { panic("a standby has no feed") }

func (s *standby) reason() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taking {
		return standbyMark + "it is taking the store over from " + s.holder
	}
	return standbyMark + s.holder + " holds the store"
}

// takesOver notes that the store is ours, and tells whether there was somebody to wait for.
func (s *standby) takesOver() bool {
	if s == nil || s.stop == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taking = true
	return true
}

// end stops answering and gives the listeners to the caller; none: nobody was waited for,
// or it has ended already.
func (s *standby) end() []*api.Server {
	if s == nil || s.stop == nil {
		return nil
	}
	s.stop()
	s.helpers.Wait()
	s.stop = nil
	s.notify("STATUS=")
	servers := s.servers
	s.servers = nil
	return servers
}

// waiting is what the store tells whom it waits for; nil: it shall not wait.
func (s *standby) waiting() store.Waiting {
	if s == nil {
		return nil
	}
	return s.wait
}
