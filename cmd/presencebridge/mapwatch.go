package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/zap"
)

// settle is how long a file has to be left alone before it counts as saved: an
// editor writes in several steps.
const settle = 300 * time.Millisecond

// mapWatch notices that a file was saved. It watches the folder: editors replace
// a file by another one, and a watch of the file itself would die with the old.
type mapWatch struct {
	watcher *fsnotify.Watcher
	path    string
	quiet   time.Duration
	seen    os.FileInfo // of the version that was read before; nil: none
}

// openMapWatch watches path, of which somebody has read the version seen: another one is
// told of at once.
func openMapWatch(path string, seen os.FileInfo) (*mapWatch, error) {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch files: %w", err)
	}
	w := &mapWatch{watcher: watcher, path: path, quiet: settle, seen: seen}
	if err := w.follow(); err != nil {
		_ = watcher.Close()
		return nil, err
	}
	return w, nil
}

// follow watches the folder of the file and, where it is a link, of what it leads to.
func (w *mapWatch) follow() error {
	folders := []string{filepath.Dir(w.path)}
	if target, err := filepath.EvalSymlinks(w.path); err == nil {
		folders = append(folders, filepath.Dir(target))
	}
	for _, folder := range folders {
		if err := w.watcher.Add(folder); err != nil {
			return fmt.Errorf("watch a folder: %w", err)
		}
	}
	return nil
}

// run tells saved of every new version until ctx ends.
func (w *mapWatch) run(ctx context.Context, saved chan<- struct{}, log *zap.Logger) {
	defer func() { _ = w.watcher.Close() }()
	settled := time.NewTimer(0)
	<-settled.C // stopped until something happens
	last := w.look()
	if !same(last, w.seen) {
		settled.Reset(w.quiet)
	}
	for {
		select {
		case <-ctx.Done():
			settled.Stop()
			return
		case <-w.watcher.Events:
			// Whatever happened, the file itself tells whether it concerns us: it may
			// be a link to elsewhere, and the store, which is written to all the time, may
			// lie in the same folder.
			if now := w.look(); !same(now, last) {
				last = now
				settled.Reset(w.quiet)
			}
		case err := <-w.watcher.Errors:
			log.Warn("watching the mapping was disturbed; if a saved mapping is not taken over, send SIGHUP", zap.Error(err))
		case <-settled.C:
			if w.look() == nil {
				continue // in the middle of being replaced
			}
			if err := w.follow(); err != nil {
				log.Warn("the mapping leads to a folder that cannot be watched; after the next change send SIGHUP", zap.Error(err))
			}
			select {
			case saved <- struct{}{}:
			default: // a reload is due already and will read this version
			}
		}
	}
}

func (w *mapWatch) look() os.FileInfo {
	info, err := os.Stat(w.path)
	if err != nil {
		return nil
	}
	return info
}

func same(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}
