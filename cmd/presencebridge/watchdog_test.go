package main

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// watch feeds a watchdog of thirty seconds for a minute and returns how often it
// was fed and what was logged.
func watch(t *testing.T, alive func(context.Context) error) (fed int, logged []string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.DebugLevel)
		s := &told{}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute+time.Second)
		defer cancel()
		(&Main{Notify: s.notify}).feedWatchdog(ctx, alive, zap.New(core))
		fed = len(s.list())
		for _, line := range logs.All() {
			logged = append(logged, line.Message)
		}
	})
	return fed, logged
}

func TestTheWatchdogIsFedWhileTheOwnerLoopAnswers(t *testing.T) {
	t.Setenv("WATCHDOG_USEC", "30000000")
	fed, logged := watch(t, func(context.Context) error { return nil })
	if fed != 6 || len(logged) != 0 {
		t.Errorf("fed %d times in a minute, want 6; logged %q", fed, logged)
	}
}

func TestTheWatchdogStarvesWhileTheOwnerLoopHangs(t *testing.T) {
	t.Setenv("WATCHDOG_USEC", "30000000")
	var asked int
	fed, logged := watch(t, func(ctx context.Context) error {
		if asked++; asked < 3 {
			return nil
		}
		<-ctx.Done()
		return ctx.Err()
	})
	if fed != 2 {
		t.Errorf("fed %d times, want 2", fed)
	}
	if len(logged) == 0 || !strings.Contains(logged[0], "owner loop does not answer") {
		t.Errorf("logged %q, want that the owner loop does not answer", logged)
	}
}

func TestAStoppingBridgeDoesNotFeedTheWatchdogNorComplain(t *testing.T) {
	t.Setenv("WATCHDOG_USEC", "30000000")
	fed, logged := watch(t, func(context.Context) error { return context.Canceled })
	if fed != 0 || len(logged) != 0 {
		t.Errorf("fed %d times, logged %q", fed, logged)
	}
}

func TestWithoutAWatchdogNobodyAsksTheOwnerLoop(t *testing.T) {
	for _, tc := range []struct {
		name, usec, pid string
		logs            int
	}{
		{"not under systemd", "", "", 0},
		{"the watchdog of another process", "30000000", "1", 0},
		{"a limit that is none", "soon", "", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Setenv("WATCHDOG_USEC", tc.usec)
			t.Setenv("WATCHDOG_PID", tc.pid)
			fed, logged := watch(t, func(context.Context) error { t.Error("asked"); return nil })
			if fed != 0 || len(logged) != tc.logs {
				t.Errorf("fed %d times, logged %q", fed, logged)
			}
		})
	}
}
