package main

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/config"
	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
)

// mappings reads the mapping: from the files, and the users from the store where the
// files say so.
type mappings struct {
	start *config.Config                 // what the bridge was started with
	load  func() (*config.Config, error) // reads the files again
	store *store.Reads
	log   *zap.Logger

	inStore atomic.Bool                    // where the users are whom the bridge has
	count   atomic.Int64                   // of them
	loaded  atomic.Pointer[config.Version] // of mapping.yaml, as again last read it; nil: it did not, or there were faults
}

// mappingWait bounds a reading of the users in the store; 100,000 take some seconds.
const mappingWait = 2 * time.Minute

// first returns the mapping of the start.
func (m *mappings) first(ctx context.Context) (*presence.Mapping, error) {
	mapping, faults, err := m.of(ctx, m.start, "put the former mapping.yaml or presencebridge.yaml back, start, then change the users (of a PBX with another name see config/README.md)")
	if err != nil {
		return nil, err
	}
	for _, f := range faults {
		m.log.Warn("a user in the store surprises", zap.Stringer("warning", f))
	}
	return mapping, nil
}

// again reads the files and the users anew.
func (m *mappings) again(ctx context.Context) (*presence.Mapping, error) {
	m.loaded.Store(nil)
	// Before it is loaded: a version that comes in between is then loaded once more, not never.
	v, unread := config.ReadVersion(m.start.MappingPath)
	cfg, err := readAgain(m.start, m.load, m.log)
	if err != nil {
		return nil, err
	}
	if cfg.Stored != nil && !m.inStore.Load() && m.count.Load() > 0 {
		if err := m.refuseEmpty(ctx, cfg); err != nil {
			return nil, err
		}
	}
	mapping, _, err := m.of(ctx, cfg, "correct it, or change the users, all at once, with presencebridge user import FILE")
	if err == nil && unread == nil {
		m.loaded.Store(&config.Version{Tag: v.Tag})
	}
	return mapping, err
}

// upToDate tells whether mapping.yaml is as it was when it was last loaded, as it is
// when it was the bridge that has saved it.
func (m *mappings) upToDate() bool {
	loaded := m.loaded.Load()
	now, err := config.ReadVersion(m.start.MappingPath)
	return err == nil && loaded != nil && now.Tag == loaded.Tag
}

// refuseEmpty is for users who move from the file into the store: nobody shall be let go
// of because they are not there yet.
func (m *mappings) refuseEmpty(ctx context.Context, cfg *config.Config) error {
	found, err := m.store.MappedPage(ctx, 0, 1)
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("%s: users: the store has no users yet, and everybody would be let go of: run presencebridge user import --mapping FILE with a mapping.yaml that lists them; to begin with nobody restart presencebridge", cfg.MappingPath)
	}
	return err
}

// afterWait returns the mapping as it is when a standby takes over, or as the files
// were when the wait began if they have faults by now.
func (m *mappings) afterWait(ctx context.Context) (*presence.Mapping, error) {
	m.log.Info("taking over the store")
	mapping, err := m.again(ctx)
	if err == nil {
		return mapping, nil
	}
	m.log.Error("the mapping has changed while this bridge waited and was not taken over; correct it and save again", zap.Error(err))
	return m.first(ctx)
}

// of returns the whole mapping of cfg, and what surprises about the users in the store.
// wayOut is what to do where they do not go with it.
func (m *mappings) of(ctx context.Context, cfg *config.Config, wayOut string) (*presence.Mapping, config.Faults, error) {
	if cfg.Stored == nil {
		m.inStore.Store(false)
		m.count.Store(int64(len(cfg.Mapping.Users)))
		return cfg.Mapping, nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, mappingWait)
	defer cancel()
	mapping, faults, err := cfg.Stored.Mapping(definitions(m.store.Mapped(ctx)))
	switch {
	case err != nil:
		return nil, nil, err
	case mapping == nil:
		return nil, nil, fmt.Errorf("users in the store do not go with %s: %s\n%w", cfg.MappingPath, wayOut, faults.Errors())
	}
	m.inStore.Store(true)
	m.count.Store(int64(len(mapping.Users)))
	return mapping, faults, nil
}

func definitions(rows iter.Seq2[store.Mapped, error]) iter.Seq2[config.Definition, error] {
	return func(yield func(config.Definition, error) bool) {
		for row, err := range rows {
			if !yield(config.Definition{ID: row.ID, JSON: row.Definition}, err) {
				return
			}
		}
	}
}

// readAgain reads the configuration again. Connections are made once, at the start; a
// change of theirs has to wait for the next.
func readAgain(old *config.Config, load func() (*config.Config, error), log *zap.Logger) (*config.Config, error) {
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
		log.Warn("settings of connections, store, listeners, sign-in or log have changed; they apply after a restart", zap.String("file", cfg.Path))
	}
	return cfg, nil
}
