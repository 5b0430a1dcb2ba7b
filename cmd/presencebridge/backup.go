package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/presencebridge/presencebridge/config"
	"github.com/presencebridge/presencebridge/pkg/store"
)

func (m *Main) backupCommand() *cobra.Command {
	return &cobra.Command{
		Use: "backup FILE|-", Short: "Write everything that the store has into one file",
		Long: `Backup writes everything that the store has into one file, or to the standard
output: users with what their phones said and when, so that "latest" is right after a
restore, the history, the audit log, and what is known of each PBX. The bridge may run
meanwhile; the backup is of one moment. It restores into SQLite, PostgreSQL or MariaDB,
whichever it was made of.

There are no passwords in it and no tokens, but the hashes of tokens, which say nothing
of them; and there are names, addresses and messages of people, so only its owner can
read the file. The configuration and the mapping are files of their own: keep them, too.`,
		Example: `  presencebridge backup /var/backups/presencebridge-$(date +%F).gz
  presencebridge backup - | ssh vault 'cat > presencebridge.gz'`,
		Args: takes(1, 1),
		RunE: func(c *cobra.Command, args []string) error { return m.backup(c.Context(), args[0]) },
	}
}

func (m *Main) restoreCommand() *cobra.Command {
	replace := false
	c := &cobra.Command{
		Use: "restore FILE", Short: "Bring back what a backup has",
		Long: `Restore brings back what a backup has: all of it, or nothing. The file is checked as a
whole before the first row is written. The bridge has to be stopped, and the store
empty; --replace deletes what it has. Run it as root or as the user of the bridge.

What happened after the backup was made is lost: presence is read from the PBXs when the
bridge starts, but a token that was revoked since is good again, and one that was made
since is gone. The audit log says that there was a restore.`,
		Example: `  systemctl stop presencebridge
  presencebridge restore /var/backups/presencebridge-2026-11-25.gz --replace
  presencebridge restore sqlite.gz --config postgres.yaml`,
		Args: takes(1, 1),
		RunE: func(c *cobra.Command, args []string) error { return m.restore(c.Context(), args[0], replace) },
	}
	c.Flags().BoolVar(&replace, "replace", false, "delete what the store has")
	return c
}

// storeSettings is the part of the configuration that tells where the store is.
func (m *Main) storeSettings() (*config.Config, error) {
	file, err := config.Find(m.config)
	if err != nil {
		return nil, &exit{exitWrong, err}
	}
	look := m.overrides()
	look.Checking = true // a secret of a PBX that only root may read is as it should be
	cfg, faults := config.LoadDaemon(file, look)
	if cfg == nil {
		return nil, &exit{exitWrong, fmt.Errorf("the configuration has faults; correct them and try again:\n%w", faults.Errors())}
	}
	s := &cfg.Daemon.Store
	switch {
	case s.Driver == "sqlite":
		s.DSN = storePath(s.DSN)
	case s.Password.Reveal() == "" && !s.Unix():
		return nil, &exit{exitFailed, fmt.Errorf("you may not read the password of %s, who has the store: run this as root", s.User)}
	}
	return cfg, nil
}

func (m *Main) backup(ctx context.Context, path string) error {
	if _, _, err := m.Terminal(); path == "-" && err == nil {
		return &exit{exitWrong, errors.New("a backup is nothing to look at: name a file, or send it on with a pipe")}
	}
	cfg, err := m.storeSettings()
	if err != nil {
		return err
	}
	from, err := openReader(cfg.Daemon.Store)
	if err != nil {
		return &exit{exitFailed, err}
	}
	defer func() { _ = from.Close() }() // nothing was written
	write := func(w io.Writer) (b store.Backup, err error) {
		return from.Backup(ctx, w, m.Now(), m.tell("backed up"))
	}
	var b store.Backup
	if path == "-" {
		b, err = write(m.Out)
	} else {
		b, err = newFile(path, write)
	}
	if err != nil {
		return &exit{exitFailed, err}
	}
	_, _ = fmt.Fprintf(m.Err, "The backup has %d rows. presencebridge restore brings them back.\n", b.Rows)
	return nil
}

// newFile has a file written that nobody sees before it is whole and on the disk.
// Nobody but its owner can read it.
func newFile(path string, write func(io.Writer) (store.Backup, error)) (store.Backup, error) {
	if _, err := os.Lstat(path); err == nil {
		return store.Backup{}, fmt.Errorf("%s is there already: name another file, or move it away", path)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // with mode 0600
	if err != nil {
		return store.Backup{}, fileFault(path, err)
	}
	b, err := write(f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // of no use
		return b, fileFault(path, err)
	}
	return b, nil
}

// fileFault says what to do about a file that cannot be written or read.
func fileFault(path string, err error) error {
	folder := filepath.Dir(path)
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("the disk of %s is full: free some space, or name a file on another: %w", path, err)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no %s: name a file in a folder that is there: %w", folder, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("you may not use %s: name a file elsewhere, or run this as another user: %w", path, err)
	}
	return err
}

func (m *Main) restore(ctx context.Context, path string, replace bool) error {
	file, err := os.Open(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &exit{exitFailed, fmt.Errorf("there is no file %s: name one that presencebridge backup wrote", path)}
	case err != nil:
		return &exit{exitFailed, fileFault(path, err)}
	}
	defer func() { _ = file.Close() }() // it was read
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return &exit{exitWrong, fmt.Errorf("%s is no file on a disk: a restore reads it twice, so save it first", path)}
	}
	cfg, err := m.storeSettings()
	if err != nil {
		return err
	}
	log, err := newLogger(config.Log{Level: "error", Format: "console"}, m.Err)
	if err != nil {
		return &exit{exitFailed, err}
	}
	into, err := openStore(ctx, cfg, nil, log)
	if err != nil {
		return &exit{exitFailed, err}
	}
	b, err := into.Restore(ctx, file, store.Restoring{
		Replace: replace, Checking: m.tell("checked"), Deleting: m.tell("deleted"), Progress: m.tell("restored"),
		Act: store.Act{At: m.Now(), By: "cli", Did: "backup restored", What: filepath.Base(path)},
	})
	// What was restored is older than what was shown last. Closing lets go of the store,
	// whatever interrupted the rest.
	clean := err != nil && into.WasClean()
	err = errors.Join(err, into.Close(context.WithoutCancel(ctx), clean))
	if s := cfg.Daemon.Store; s.Driver == "sqlite" {
		err = errors.Join(err, handOver(s.DSN))
	}
	if err != nil {
		return &exit{exitFailed, err}
	}
	_, _ = fmt.Fprintf(m.Err, "%d rows are restored, as they were on %s. Start the bridge.\n", b.Rows, m.second(b.Made))
	return nil
}

// handOver gives the files of a SQLite store that root has made to whom their folder
// belongs, for the bridge does not run as root.
func handOver(path string) error {
	folder, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return err
	}
	owner, ok := folder.Sys().(*syscall.Stat_t)
	if os.Geteuid() != 0 || !ok || owner.Uid == 0 {
		return nil
	}
	for _, suffix := range []string{"", ".lock", "-wal", "-shm"} {
		info, err := os.Lstat(path + suffix)
		if err != nil {
			continue // not there
		}
		if is, ok := info.Sys().(*syscall.Stat_t); ok && is.Uid == 0 {
			if err := os.Lchown(path+suffix, int(owner.Uid), int(owner.Gid)); err != nil {
				return fmt.Errorf("let the user of the bridge have it (chown -R presencebridge: %s): %w", filepath.Dir(path), err)
			}
		}
	}
	return nil
}

const (
	quiet     = time.Second // for as long nothing is said of what takes time
	tellEvery = 5 * time.Second
)

// tell says on the standard error how far something is that takes longer than quiet.
func (m *Main) tell(done string) store.Progress {
	next := m.Now().Add(quiet)
	return func(n, all int64) {
		if now := m.Now(); !now.Before(next) {
			next = now.Add(tellEvery)
			_, _ = fmt.Fprintf(m.Err, "%s %d of %d rows\n", done, n, all)
		}
	}
}
