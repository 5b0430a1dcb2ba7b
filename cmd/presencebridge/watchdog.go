package main

import (
	"context"
	"errors"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
	"go.uber.org/zap"
)

// feedsPerLimit: systemd asks for two in each limit (sd_watchdog_enabled(3)); the
// third lets one come late.
const feedsPerLimit = 3

// feedWatchdog tells systemd's watchdog, until ctx ends, that the bridge makes
// progress. It depends on alive alone: a restart mends neither a PBX that is away
// nor a full disk, and would only lose what waits for them.
func (m *Main) feedWatchdog(ctx context.Context, alive func(context.Context) error, log *zap.Logger) {
	limit, err := systemd.SdWatchdogEnabled(false)
	if err != nil {
		log.Error("systemd's watchdog cannot be fed and will restart the bridge; correct WatchdogSec= of the unit", zap.Error(err))
		return
	}
	if limit == 0 {
		return
	}
	pause := limit / feedsPerLimit
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		asked, cancel := context.WithTimeout(ctx, pause)
		err := alive(asked)
		cancel()
		switch {
		case err == nil:
			m.Notify(systemd.SdNotifyWatchdog)
		case errors.Is(err, context.DeadlineExceeded):
			log.Error("the owner loop does not answer; if it stays so, systemd restarts the bridge", zap.Duration("waited", pause), zap.Duration("limit", limit))
		}
	}
}
