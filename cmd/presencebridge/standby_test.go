package main

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/config"
	"github.com/presencebridge/presencebridge/pkg/api/apitest"
)

// newStandby is one whose watchdog does nothing.
func newStandby(t *testing.T) (w *standby, s *told, socket string) {
	t.Helper()
	s, socket = &told{}, filepath.Join(folder(t), "s")
	idle := func(ctx context.Context, _ func(context.Context) error, _ *zap.Logger) { <-ctx.Done() }
	return &standby{socket: socket, log: zap.NewNop(), notify: s.notify, feed: idle}, s, socket
}

func TestAStandbyTellsSystemdAndGivesTheSocketBack(t *testing.T) {
	w, s, socket := newStandby(t)
	for _, holder := range []string{"one", "two"} {
		if err := w.wait(t.Context(), holder); err != nil {
			t.Fatal(err)
		}
	}
	c := dial(socket, "cli")
	is, err := c.readiness(t.Context())
	if err != nil || is.Ready || !slices.Equal(is.Reasons, []string{"standby: two holds the store"}) {
		t.Errorf("readiness %+v, %v", is, err)
	}
	if !w.end() {
		t.Error("nobody was waited for")
	}
	serve(t, apitest.New(), socket) // it is free
	want := []string{"STATUS=standby: one holds the store", "READY=1", "STATUS=standby: two holds the store", "STATUS="}
	if got := s.list(); !slices.Equal(got, want) {
		t.Errorf("systemd was told %q, want %q", got, want)
	}
}

func TestABridgeThatFindsNobodyIsNoStandby(t *testing.T) {
	w, s, _ := newStandby(t)
	if w.end() || (*standby)(nil).end() || (*standby)(nil).waiting() != nil {
		t.Error("somebody was waited for")
	}
	if len(s.list()) > 0 {
		t.Errorf("systemd was told %q", s.list())
	}
}

func TestAStandbyWhoseSocketIsTakenSaysSo(t *testing.T) {
	w, _, socket := newStandby(t)
	serve(t, apitest.New(), socket)
	if err := w.wait(t.Context(), "one"); err == nil || !strings.Contains(err.Error(), "another program") {
		t.Errorf("wait = %v", err)
	}
}

func TestAFaultInTheMappingDoesNotKeepAStandbyFromTakingOver(t *testing.T) {
	dir := writeConfig(t, plainDaemon, plainMapping)
	load := func() *config.Config {
		cfg, faults := config.Load(filepath.Join(dir, "presencebridge.yaml"), config.Overrides{})
		if cfg == nil {
			t.Fatal(faults)
		}
		return cfg
	}
	cfg := load()
	fault := errors.New("mapping.yaml:1: a fault")
	m := &mappings{start: cfg, load: func() (*config.Config, error) { return nil, fault }, log: zap.NewNop()}
	if got, err := m.afterWait(t.Context()); got != cfg.Mapping || err != nil {
		t.Errorf("the mapping of the start is not kept: %v", err)
	}
	newer := load()
	m.load = func() (*config.Config, error) { return newer, nil }
	if got, err := m.afterWait(t.Context()); got != newer.Mapping || err != nil {
		t.Errorf("the newer mapping is not taken: %v", err)
	}
}
