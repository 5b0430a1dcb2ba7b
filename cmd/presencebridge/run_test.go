package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/config"
	"github.com/presencebridge/presencebridge/pkg/api/apitest"
)

const (
	plainDaemon  = "pbx: [{name: main, ami: {address: \"127.0.0.1:1\", username: u, secret_file: secret}}]\nhttp: {socket: s}\n"
	plainMapping = "sync: {incoming: latest, outgoing: all}\nstatuses: [{id: available, base: connected, asterisk: available}]\nusers: [{id: alice, extensions: [\"1001\"]}]\n"
)

// told collects what systemd is told.
type told struct {
	mu  sync.Mutex
	all []string
}

func (s *told) notify(state string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first, _, _ := strings.Cut(state, "\n")
	s.all = append(s.all, first)
}

func (s *told) list() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.all)
}

// running runs `run` on a bridge that only counts reloads.
func startRun(t *testing.T, b *apitest.Bridge) (c *console, s *told, dir string, stop func() int) {
	t.Helper()
	dir = writeConfig(t, plainDaemon, plainMapping)
	c, s = newConsole("run", "--log-level", "debug", "--log-format", "console", "--config", filepath.Join(dir, "presencebridge.yaml")), &told{}
	c.Notify = s.notify
	c.Open = func(context.Context, setup) (service, error) {
		return service{reload: func(ctx context.Context, _ string) error { return b.Reload(ctx) }, run: func(ctx context.Context) error { <-ctx.Done(); return nil }}, nil
	}
	stop = c.background(t)
	eventually(t, "it started", func() bool { return strings.Contains(c.err.String(), "started") })
	return c, s, dir, stop
}

func TestRunReloadsOnHangUpAndTellsSystemd(t *testing.T) {
	b := apitest.New()
	c, s, _, stop := startRun(t, b)
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it reloaded", func() bool { return len(s.list()) == 3 })
	if code := stop(); code != exitDone {
		t.Errorf("exit code %d: %s", code, c.err.String())
	}
	if got, want := s.list(), []string{"READY=1", "RELOADING=1", "READY=1", "STOPPING=1"}; !slices.Equal(got, want) {
		t.Errorf("systemd was told %q, want %q", got, want)
	}
	if b.AskedToReload() != 1 {
		t.Errorf("%d reloads", b.AskedToReload())
	}
}

func TestRunReloadsASavedMappingAndLogsItsFaults(t *testing.T) {
	b := apitest.New()
	b.ReloadErr = apitest.Faults{"mapping.yaml:1: a fault", "mapping.yaml:2: another"}
	c, _, dir, _ := startRun(t, b)
	if err := os.WriteFile(filepath.Join(dir, "mapping.yaml"), []byte("# new\n"+plainMapping), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it reloaded", func() bool { return b.AskedToReload() > 0 }) // a slow save may count twice
	eventually(t, "the faults were logged", func() bool { return strings.Contains(c.err.String(), "mapping.yaml:2: another") })
}

func TestRunSaysWhyItCannot(t *testing.T) {
	dir := writeConfig(t, plainDaemon, plainMapping)
	file := filepath.Join(dir, "presencebridge.yaml")
	t.Run("the socket is taken", func(t *testing.T) {
		serve(t, apitest.New(), filepath.Join(dir, "s"))
		c := newConsole("run", "--config", file)
		if code := c.Run(t.Context()); code != exitFailed || !strings.Contains(c.err.String(), "another program") {
			t.Errorf("exit code %d: %s", code, c.err.String())
		}
	})
	t.Run("it breaks", func(t *testing.T) {
		c := newConsole("run", "--config", file)
		c.Open = func(_ context.Context, s setup) (service, error) {
			if _, err := s.load(); err != nil {
				t.Error(err)
			}
			if err := os.Remove(filepath.Join(dir, "mapping.yaml")); err != nil {
				t.Error(err)
			}
			if _, err := s.load(); err == nil {
				t.Error("a mapping that is gone was loaded")
			}
			return service{run: func(context.Context) error { return errors.New("it broke") }}, nil
		}
		if code := c.Run(t.Context()); code != exitFailed || !strings.Contains(c.err.String(), "presencebridge: it broke") {
			t.Errorf("exit code %d: %s", code, c.err.String())
		}
	})
}

func TestALogLevelThatIsNoneIsRefused(t *testing.T) {
	if _, err := newLogger(config.Log{Level: "loud"}, nil); err == nil {
		t.Error("it was taken")
	}
}

// watched is told of every saved version of a file, of which seen is known, until the test ends.
func watched(t *testing.T, path string, seen os.FileInfo) (saved <-chan struct{}) {
	t.Helper()
	w, err := openMapWatch(path, seen)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	told, over := make(chan struct{}, 1), make(chan struct{})
	go func() { defer close(over); w.run(ctx, told, zap.NewNop()) }()
	t.Cleanup(func() { cancel(); <-over })
	return told
}

func TestTheMappingIsWatched(t *testing.T) {
	for _, tc := range []struct {
		name string
		save func(path string) error
	}{
		{"written in place", func(path string) error { return os.WriteFile(path, []byte("two"), 0o600) }},
		{"replaced by another file", func(path string) error {
			if err := os.WriteFile(path+"~", []byte("two"), 0o600); err != nil {
				return err
			}
			return os.Rename(path+"~", path)
		}},
		{"removed and made again", func(path string) error {
			if err := os.Remove(path); err != nil {
				return err
			}
			return os.WriteFile(path, []byte("two"), 0o600)
		}},
		{"behind a link that is swapped", func(path string) error {
			if err := os.WriteFile(path+".2", []byte("two"), 0o600); err != nil {
				return err
			}
			if err := os.Symlink(path+".2", path+".link"); err != nil {
				return err
			}
			return os.Rename(path+".link", path)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "mapping.yaml")
			if err := os.WriteFile(path, []byte("one"), 0o600); err != nil {
				t.Fatal(err)
			}
			saved := watched(t, path, infoOf(t, path))
			if err := os.WriteFile(path+".other", nil, 0o600); err != nil { // concerns nobody
				t.Fatal(err)
			}
			if err := tc.save(path); err != nil {
				t.Fatal(err)
			}
			<-saved
			if text, err := os.ReadFile(path); err != nil || string(text) != "two" {
				t.Errorf("told of %q, %v", text, err)
			}
		})
	}
}

// The store may lie in the same folder, and is written to all the time.
func TestASavedMappingIsTakenOverWhileTheFolderIsBusy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mapping.yaml")
	if err := os.WriteFile(path, []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	saved := watched(t, path, infoOf(t, path))
	if err := os.WriteFile(path, []byte("more"), 0o600); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(settle / 10) {
		select {
		case <-saved:
			return
		default:
		}
		if err := os.WriteFile(path+".db-wal", nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Error("nobody was told")
}

func TestAMappingInAnotherFolderIsWatchedThroughItsLink(t *testing.T) {
	target, path := filepath.Join(t.TempDir(), "shared.yaml"), filepath.Join(t.TempDir(), "mapping.yaml")
	if err := errors.Join(os.WriteFile(target, []byte("one"), 0o600), os.Symlink(target, path)); err != nil {
		t.Fatal(err)
	}
	saved := watched(t, path, infoOf(t, path))
	if err := os.WriteFile(target, []byte("more"), 0o600); err != nil {
		t.Fatal(err)
	}
	<-saved
}

func TestAFolderThatIsNotThereCannotBeWatched(t *testing.T) {
	if _, err := openMapWatch(filepath.Join(t.TempDir(), "no", "mapping.yaml"), nil); err == nil {
		t.Error("it is watched")
	}
	if same(nil, (&mapWatch{path: "."}).look()) || !same(nil, nil) {
		t.Error("a missing file is like one that is there")
	}
}

func infoOf(t *testing.T, path string) os.FileInfo {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// Between the reading of the mapping and the watch of it lies the start. A file system
// may give two saves of one moment the same time.
func TestAMappingThatIsSavedDuringTheStartIsTakenOver(t *testing.T) {
	dir := writeConfig(t, plainDaemon, plainMapping)
	cfg, faults := config.Load(filepath.Join(dir, "presencebridge.yaml"), config.Overrides{})
	if cfg == nil {
		t.Fatal(faults)
	}
	if err := os.WriteFile(cfg.MappingPath, []byte("# new\n"+plainMapping), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(cfg.MappingPath, time.Time{}, cfg.MappingInfo.ModTime()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-watched(t, cfg.MappingPath, cfg.MappingInfo):
	case <-time.After(patience):
		t.Error("nobody was told")
	}
}
