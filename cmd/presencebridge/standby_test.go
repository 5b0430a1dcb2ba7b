package main

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/config"
	"github.com/presencebridge/presencebridge/pkg/api"
	"github.com/presencebridge/presencebridge/pkg/api/apitest"
	"github.com/presencebridge/presencebridge/pkg/store"
	"github.com/presencebridge/presencebridge/pkg/store/sqlite"
)

// newStandby is one whose watchdog does nothing.
func newStandby(t *testing.T) (w *standby, s *told, socket string) {
	t.Helper()
	dir := writeConfig(t, plainDaemon, plainMapping)
	load := func() (*config.Config, error) {
		cfg, faults := config.Load(filepath.Join(dir, "presencebridge.yaml"), config.Overrides{})
		return cfg, faults.Errors()
	}
	cfg, err := load()
	if cfg == nil {
		t.Fatal(err)
	}
	s, socket = &told{}, filepath.Join(folder(t), "s")
	cfg.Daemon.HTTP.Socket = socket
	idle := func(ctx context.Context, _ func(context.Context) error, _ *zap.Logger) { <-ctx.Done() }
	return &standby{config: cfg, load: func() (*config.Config, error) { return cfg, nil }, log: zap.NewNop(), notify: s.notify, feed: idle}, s, socket
}

// somebodys is the store of another bridge, with nothing in it.
func somebodys(t *testing.T) *store.Reads {
	t.Helper()
	st, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "db"), zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close(context.Background(), true) })
	return &st.Reads
}

func TestAStandbyTellsSystemdAndGivesTheSocketBack(t *testing.T) {
	w, s, socket := newStandby(t)
	from := somebodys(t)
	for _, holder := range []string{"one", "two"} {
		if err := w.wait(t.Context(), holder, from); err != nil {
			t.Fatal(err)
		}
	}
	c := dial(socket, "cli")
	is, err := c.readiness(t.Context())
	if err != nil || is.Ready || !slices.Equal(is.Reasons, []string{"standby: two holds the store"}) {
		t.Errorf("readiness %+v, %v", is, err)
	}
	if !w.takesOver() {
		t.Error("nobody was waited for")
	}
	if is, err := c.readiness(t.Context()); err != nil || !slices.Equal(is.Reasons, []string{"standby: it is taking the store over from two"}) {
		t.Errorf("readiness %+v, %v", is, err)
	}
	waits := make(chan error, 1)
	servers := w.end()
	go func() { waits <- dial(socket, "cli").get(t.Context(), "/api/v1/users", nil) }() // nobody serves, nobody is refused
	ctx, cancel := context.WithCancel(t.Context())
	var served sync.WaitGroup
	served.Go(func() {
		if err := servers[0].Run(ctx, api.New(apitest.New(), api.Options{})); err != nil {
			t.Error(err)
		}
	})
	if err := <-waits; err != nil || len(servers) != 1 {
		t.Errorf("%d servers, %v", len(servers), err)
	}
	cancel()
	served.Wait()
	want := []string{"STATUS=standby: one holds the store", "READY=1", "STATUS=standby: two holds the store", "STATUS="}
	if got := s.list(); !slices.Equal(got, want) {
		t.Errorf("systemd was told %q, want %q", got, want)
	}
}

func TestABridgeThatFindsNobodyIsNoStandby(t *testing.T) {
	w, s, _ := newStandby(t)
	if w.takesOver() || w.end() != nil || (*standby)(nil).takesOver() || (*standby)(nil).end() != nil || (*standby)(nil).waiting() != nil {
		t.Error("somebody was waited for")
	}
	if len(s.list()) > 0 {
		t.Errorf("systemd was told %q", s.list())
	}
}

func TestAStandbyWhoseSocketIsTakenSaysSo(t *testing.T) {
	w, _, socket := newStandby(t)
	serve(t, apitest.New(), socket)
	if err := w.wait(t.Context(), "one", somebodys(t)); err == nil || !strings.Contains(err.Error(), "another program") {
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
