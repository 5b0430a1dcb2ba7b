package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	systemd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/config"
)

func (m *Main) runCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "run", Short: "Run the bridge",
		Long: `Run runs the bridge until SIGTERM or Ctrl-C, and logs to stderr. A PBX that is
down does not keep it from starting: it waits for it. So it does where another
bridge holds the store: it answers what is asked of it from there, changes
nothing, and takes over when that one is gone for 8 s, or has died on the same
machine; with SQLite that is an error.

SIGHUP makes it take over its files again; a saved mapping is taken over by
itself. A file with a fault changes nothing and is logged.`,
		Example: `  presencebridge run --config /etc/presencebridge/presencebridge.yaml
  presencebridge run --log-level debug --log-format console`,
		Args:              takes(0, 0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(c *cobra.Command, _ []string) error { return m.run(c.Context()) },
	}
	for setting, help := range map[string]string{"log.level": "`LEVEL`: debug, info, warn or error", "log.format": "`FORMAT`: json or console"} {
		name := strings.ReplaceAll(setting, ".", "-")
		c.Flags().String(name, "", help+" (default: what the configuration says)")
		m.settings[setting] = c.Flags().Lookup(name)
	}
	return c
}

// setup is what a bridge is made from.
type setup struct {
	config *config.Config
	load   func() (*config.Config, error) // reads the files again
	log    *zap.Logger
	wait   *standby // nil: where another bridge has the store, that is an error
}

// service is a bridge that can be run, once, and told to read its files again
// meanwhile.
type service struct {
	run    func(context.Context) error
	reload func(ctx context.Context, by string) error // by is for the audit log
	alive  func(context.Context) error                // returns when the owner loop has answered
	users  int                                        // with whom it starts
}

func openService(ctx context.Context, s setup) (service, error) {
	d, err := openDaemon(ctx, s.config, s.load, s.wait, s.log)
	if err != nil {
		return service{}, err
	}
	return service{run: d.run, reload: d.reload, alive: d.bridge.Alive, users: d.bridge.Count()}, nil
}

func (m *Main) run(ctx context.Context) error {
	// Before anything else: until it is caught, a SIGHUP kills.
	hangUp := make(chan os.Signal, 1)
	signal.Notify(hangUp, syscall.SIGHUP)
	defer signal.Stop(hangUp)

	collectEarly()
	threads()
	file, err := config.Find(m.config)
	if err != nil {
		return &exit{exitWrong, err}
	}
	cfg, faults := config.Load(file, m.overrides())
	if cfg == nil {
		return &exit{exitWrong, fmt.Errorf("the configuration has faults; correct them and start again:\n%w", faults.Errors())}
	}
	log, err := newLogger(cfg.Daemon.Log, m.Err)
	if err != nil {
		return &exit{exitWrong, err}
	}
	for _, f := range faults {
		log.Warn("configuration surprises", zap.Stringer("warning", f))
	}
	load := func() (*config.Config, error) {
		cfg, faults := config.Load(file, m.overrides())
		if cfg == nil {
			return nil, faults.Errors()
		}
		return cfg, nil
	}
	wait := &standby{config: cfg, load: load, log: log, notify: m.Notify, feed: m.feedWatchdog}
	s, err := m.Open(ctx, setup{cfg, load, log, wait})
	if err != nil && ctx.Err() != nil && wait.holder != "" {
		log.Info("stopped while another bridge held the store")
		return nil
	}
	if err != nil {
		return &exit{exitFailed, err}
	}
	m.Notify(systemd.SdNotifyReady)
	log.Info("started", zap.String("config", cfg.Path), zap.String("mapping", cfg.MappingPath), zap.String("socket", cfg.Daemon.HTTP.Socket),
		zap.String("listen", cfg.Daemon.HTTP.Listen), zap.String("metrics", cfg.Daemon.HTTP.Metrics), zap.Int("users", s.users))
	if err := m.attend(ctx, s, hangUp, cfg, log); err != nil {
		return &exit{exitFailed, err}
	}
	log.Info("stopped")
	return nil
}

// attend runs s, tells the watchdog of it, and makes it reload when it is told to,
// or a mapping was saved.
func (m *Main) attend(ctx context.Context, s service, hangUp <-chan os.Signal, cfg *config.Config, log *zap.Logger) error {
	ctx, cancel := context.WithCancel(ctx)
	var helpers sync.WaitGroup
	saved := make(chan struct{}, 1) // full: a reload is due already
	w, err := openMapWatch(cfg.MappingPath, cfg.MappingInfo)
	if err != nil {
		log.Warn("a saved mapping will not be noticed; send SIGHUP instead", zap.String("mapping", cfg.MappingPath), zap.Error(err))
	} else {
		helpers.Go(func() { w.run(ctx, saved, log) })
	}
	helpers.Go(func() {
		for {
			select {
			case <-ctx.Done():
				m.Notify(systemd.SdNotifyStopping)
				return
			case <-hangUp:
				m.Notify(systemd.SdNotifyReloading + "\n" + systemd.SdNotifyMonotonicUsec())
				m.takeOver(ctx, s, "signal", log)
				m.Notify(systemd.SdNotifyReady)
			case <-saved:
				m.takeOver(ctx, s, bySavedFile, log)
			}
		}
	})
	helpers.Go(func() { m.feedWatchdog(ctx, s.alive, log) })
	err = s.run(ctx)
	cancel()
	helpers.Wait()
	return err
}

// bySavedFile is who made the bridge reload where the mapping was saved.
const bySavedFile = "saved file"

func (m *Main) takeOver(ctx context.Context, s service, by string, log *zap.Logger) {
	err := s.reload(ctx, by)
	switch {
	case err == nil:
		log.Info("files taken over")
	case errors.Is(err, context.Canceled): // we are stopping
	default:
		log.Error("files not taken over, the bridge goes on as before; correct them and save again", zap.Strings("faults", strings.Split(err.Error(), "\n")))
	}
}
