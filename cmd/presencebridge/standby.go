package main

import (
	"context"
	"sync"

	systemd "github.com/coreos/go-systemd/v22/daemon"
	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/api"
)

// standby is a bridge while another one holds its store. It is ready as far as
// systemd is concerned, feeds the watchdog, and says on the socket whom it waits
// for. nil: whoever starts the bridge does not wait.
type standby struct {
	socket string
	log    *zap.Logger
	notify func(state string)
	feed   func(ctx context.Context, alive func(context.Context) error, log *zap.Logger) // the watchdog

	mu      sync.Mutex
	holder  string // "": nobody has been waited for
	stop    context.CancelFunc
	helpers sync.WaitGroup
}

// standbyMark begins what a standby says of itself.
const standbyMark = "standby: "

// wait is told who has the store. ctx is that of the run.
func (s *standby) wait(ctx context.Context, holder string) error {
	s.mu.Lock()
	first := s.holder == ""
	s.holder = holder
	s.mu.Unlock()
	s.log.Info("another bridge holds the store, waiting to take over", zap.String("holder", holder))
	s.notify("STATUS=" + s.reason())
	if !first {
		return nil
	}
	server, err := api.Listen(ctx, s.socket, s.log)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	s.stop = stop
	s.helpers.Go(func() {
		if err := server.Run(ctx, api.Standby(s.reason, s.log)); err != nil {
			s.log.Error("socket not served while waiting", zap.Error(err))
		}
	})
	s.helpers.Go(func() { s.feed(ctx, func(context.Context) error { return nil }, s.log) })
	s.notify(systemd.SdNotifyReady)
	return nil
}

func (s *standby) reason() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return standbyMark + s.holder + " holds the store"
}

// end gives the socket back, and tells whether there was somebody to wait for.
func (s *standby) end() (waited bool) {
	if s == nil || s.stop == nil {
		return false
	}
	s.stop()
	s.helpers.Wait()
	s.stop = nil
	s.notify("STATUS=")
	return true
}

// waiting is what the store tells whom it waits for; nil: it shall not wait.
func (s *standby) waiting() func(context.Context, string) error {
	if s == nil {
		return nil
	}
	return s.wait
}
