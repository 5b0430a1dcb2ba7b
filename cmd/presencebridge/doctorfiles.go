package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"

	"github.com/presencebridge/presencebridge/config"
	"github.com/presencebridge/presencebridge/pkg/connector/asterisk/diagnose"
)

const (
	stateFolder   = "/var/lib/presencebridge" // STATE_DIRECTORY of the unit, which only the bridge itself is told
	serviceFolder = "/etc/presencebridge"     // of the configuration that the unit names

	// The store needs room for what is new and for SQLite's log beside it.
	littleSpace = 256 << 20 // bytes
	noSpace     = 16 << 20

	changeByAll   = 0o002 // rights of a file
	changeByGroup = 0o020
	secretMode    = 0o640
)

func found(name string, r diagnose.Result, says, do string) diagnose.Step {
	return diagnose.Step{Name: name, Result: r, Says: says, Do: do}
}

// examineFiles looks at everything on this machine, and at the store wherever that is. The Config is nil where the
// files have errors.
func (m *Main) examineFiles(ctx context.Context, file string) (*config.Config, []diagnose.Step) {
	look := m.overrides()
	look.Checking = true // a secret that only root may read is as it should be
	cfg, faults := config.Load(file, look)
	steps := configurationSteps(file, faults)
	socket, err := m.socketPath()
	if err != nil {
		return cfg, append(steps, found("socket", diagnose.Failed, err.Error(), "name it under http.socket"))
	}
	bridge, runs := m.bridgeStep(ctx, socket)
	if cfg != nil {
		steps = append(steps, m.secretSteps(file)...)
		steps = append(steps, mappingStep(cfg.MappingPath))
		if s := savingStep(cfg); s != nil {
			steps = append(steps, *s)
		}
		if cfg.Stored != nil {
			var found []diagnose.Step
			cfg, found = m.withUsers(ctx, cfg)
			steps = append(steps, found...)
		}
		if s := cfg.Daemon.Store; s.Driver == "sqlite" {
			steps = append(steps, m.storeSteps(s.DSN, runs)...)
		} else {
			steps = append(steps, m.storeServerSteps(ctx, s)...)
		}
		steps = append(steps, socketStep(socket, runs))
		steps = append(steps, networkSteps(ctx, cfg.Daemon.HTTP, runs, m.Now())...)
	}
	steps = append(steps, bridge)
	if runs {
		steps = append(steps, m.driftSteps(ctx, socket)...)
	}
	return cfg, steps
}

// configurationSteps tells what `check` tells, and who may change the file.
func configurationSteps(file string, faults config.Faults) []diagnose.Step {
	const name = "configuration"
	var steps []diagnose.Step
	for _, f := range faults {
		steps = append(steps, faultStep(name, f))
	}
	info, err := os.Stat(file)
	switch {
	case err == nil && info.Mode().Perm()&changeByAll != 0:
		steps = append(steps, found(name, diagnose.Failed, "everybody on this machine may change "+file+", and so send the secrets elsewhere", "run: chmod o-w "+file))
	case err == nil && info.Mode().Perm()&changeByGroup != 0:
		steps = append(steps, found(name, diagnose.Warning, "a whole group may change "+file+", and so send the secrets elsewhere", "run: chmod g-w "+file))
	case replaceable(filepath.Dir(file)):
		steps = append(steps, found(name, diagnose.Warning, "others may replace files in "+filepath.Dir(file)+", this configuration among them", "run: chmod +t "+filepath.Dir(file)+", or let only its owner write there"))
	case len(steps) == 0:
		steps = append(steps, found(name, diagnose.OK, file+" and its mapping have no faults", ""))
	}
	return steps
}

// withUsers is cfg with the users in the store, as far as the running bridge tells of
// them and they have no faults.
func (m *Main) withUsers(ctx context.Context, cfg *config.Config) (*config.Config, []diagnose.Step) {
	const name = "users"
	mapping, faults, err := m.wholeMapping(ctx, cfg)
	if err != nil {
		return cfg, []diagnose.Step{found(name, diagnose.Info, "they are in the store, and their extensions were not examined: "+err.Error(), "run doctor again while the bridge runs")}
	}
	var steps []diagnose.Step
	for i, f := range faults {
		if i == maxFaults {
			break
		}
		steps = append(steps, faultStep(name, f))
	}
	if mapping == nil {
		return cfg, steps
	}
	if len(steps) == 0 {
		steps = append(steps, found(name, diagnose.OK, count(len(mapping.Users), "user", "users")+" in the store without a fault", ""))
	}
	whole := *cfg
	whole.Mapping = mapping
	return &whole, steps
}

// faultStep is a fault as a step.
func faultStep(name string, f config.Fault) diagnose.Step {
	r := diagnose.Failed
	if f.Warning {
		r = diagnose.Warning
	}
	do := f.Do
	f.Do = ""
	return found(name, r, f.String(), do)
}

// replaceable tells whether somebody else than its owner may rename files in a
// folder: the sticky bit keeps them from those that are not theirs.
func replaceable(folder string) bool {
	info, err := os.Stat(folder)
	return err == nil && info.Mode()&fs.ModeSticky == 0 && info.Mode().Perm()&(changeByAll|changeByGroup) != 0
}

// secretSteps looks at the files that hold secrets. That nobody else may read them
// and that they hold something, config has checked.
func (m *Main) secretSteps(file string) []diagnose.Step {
	const name = "secret file"
	paths, err := m.secretFiles(file)
	if err != nil {
		return []diagnose.Step{found(name, diagnose.Failed, "read "+file+" for the names of the secret files: "+err.Error(), "run doctor again")}
	}
	var steps []diagnose.Step
	for _, path := range paths {
		info, err := os.Stat(path)
		switch {
		case err != nil:
			steps = append(steps, found(name, diagnose.Failed, "look at "+path+": "+err.Error(), "run doctor as root"))
		case !readable(path):
			steps = append(steps, found(name, diagnose.Info, "you may not read "+path+", which is as it should be unless you are the bridge's user", ""))
		case info.Mode().Perm()&^secretMode != 0:
			steps = append(steps, found(name, diagnose.Warning, fmt.Sprintf("more than its owner may change %s (mode %04o)", path, info.Mode().Perm()), "run: chmod 640 "+path))
		default:
			steps = append(steps, found(name, diagnose.OK, fmt.Sprintf("%s can be read, by few (mode %04o)", path, info.Mode().Perm()), ""))
		}
	}
	return steps
}

// secretFiles returns the secret files that the configuration names, each once.
// Package config hands out secrets, not where they lie.
func (m *Main) secretFiles(file string) ([]string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var c struct {
		PBX []struct {
			AMI struct {
				SecretFile string `yaml:"secret_file"`
			} `yaml:"ami"`
			ARI struct {
				PasswordFile string `yaml:"password_file"`
			} `yaml:"ari"`
		} `yaml:"pbx"`
		Store struct {
			PasswordFile string `yaml:"password_file"`
		} `yaml:"store"`
		Panel struct {
			PasswordFile string `yaml:"password_file"`
		} `yaml:"panel"`
	}
	if err := yaml.Unmarshal(text, &c); err != nil {
		return nil, errors.New("its form has changed") // the text may hold a secret
	}
	seen := map[string]bool{"": true}
	var paths []string
	names := []string{c.Store.PasswordFile, c.Panel.PasswordFile}
	for _, p := range c.PBX {
		names = append(names, p.AMI.SecretFile, p.ARI.PasswordFile)
	}
	for _, name := range names {
		if !seen[name] {
			seen[name] = true
			paths = append(paths, m.secretPath(file, name))
		}
	}
	return paths, nil
}

// secretPath finds a secret as config does: among the credentials, else beside the file.
func (m *Main) secretPath(file, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	if dir := m.Env("CREDENTIALS_DIRECTORY"); dir != "" {
		if path := filepath.Join(dir, name); exists(path) {
			return path
		}
	}
	return filepath.Join(filepath.Dir(file), name)
}

func readable(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	return f.Close() == nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func mappingStep(path string) diagnose.Step {
	const name = "mapping"
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return found(name, diagnose.Failed, "look at "+path+": "+err.Error(), "see that it is there")
	case info.Mode().Perm()&changeByAll != 0:
		return found(name, diagnose.Failed, "everybody on this machine may change "+path, "run: chmod o-w "+path)
	case info.Mode().Perm()&changeByGroup != 0:
		return found(name, diagnose.OK, "its owner and its group may edit "+path, "")
	}
	return found(name, diagnose.Info, "only its owner may edit "+path, "")
}

// storeSteps tells whether the store can be written. A user who may not is told
// so only while no bridge runs: that one has its own user.
func (m *Main) storeSteps(path string, runs bool) []diagnose.Step {
	const name = "store"
	path = storePath(path)
	folder := filepath.Dir(path)
	if err := writable(folder, path); err != nil {
		return []diagnose.Step{storeFault(path, err, runs)}
	}
	steps := []diagnose.Step{found(name, diagnose.OK, path+" can be written", "")}
	return append(steps, spaceStep(folder))
}

// storePath finds the file of a store where a configuration that names no folder is
// the unit's.
func storePath(path string) string {
	state := filepath.Join(stateFolder, filepath.Base(path))
	if !exists(path) && (exists(state) || filepath.Dir(path) == serviceFolder) {
		return state
	}
	return path
}

func storeFault(path string, err error, runs bool) diagnose.Step {
	const name = "store"
	folder := filepath.Dir(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && folder == stateFolder:
		return found(name, diagnose.Info, "systemd makes "+folder+" when it starts the bridge", "")
	case errors.Is(err, fs.ErrNotExist):
		return found(name, diagnose.Failed, "there is no folder "+folder, "make it, writable for the user of the bridge; or correct store.dsn")
	case errors.Is(err, fs.ErrPermission) && runs:
		return found(name, diagnose.Info, "you may not write "+path+", but the running bridge has a user of its own", "")
	case errors.Is(err, fs.ErrPermission):
		return found(name, diagnose.Failed, "you may not write "+path, "run doctor as the user of the bridge; if you are that, make it the owner of "+folder)
	}
	return found(name, diagnose.Failed, "the folder "+folder+" takes no file: "+err.Error(), "mend the disk, or correct store.dsn")
}

func spaceStep(folder string) diagnose.Step {
	left, err := space(folder)
	if err != nil {
		return found("space", diagnose.Info, "how much is left in "+folder+" is not known here", "")
	}
	return spaceLeft(folder, left)
}

func spaceLeft(folder string, left uint64) diagnose.Step {
	const name, do = "space", "make room: a status that cannot be kept is refused"
	switch says := fmt.Sprintf("%d MB are left in %s", left>>20, folder); {
	case left < noSpace:
		return found(name, diagnose.Failed, says, do)
	case left < littleSpace:
		return found(name, diagnose.Warning, says, do)
	}
	return found(name, diagnose.OK, "there is enough in "+folder, "")
}

// writable tells whether a folder takes new files and one of its files, if it is
// there, can be written.
func writable(folder, file string) error {
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	switch {
	case err == nil:
		_ = f.Close() // nothing was written
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return takesFiles(folder)
}

func takesFiles(folder string) error {
	f, err := os.CreateTemp(folder, ".presencebridge-doctor-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

func socketStep(path string, runs bool) diagnose.Step {
	const name = "socket"
	folder := filepath.Dir(path)
	if runs {
		return found(name, diagnose.OK, "the bridge answers at "+path, "")
	}
	if err := takesFiles(folder); err != nil {
		return socketFault(path, err)
	}
	return found(name, diagnose.OK, folder+" can take the socket", "")
}

func socketFault(path string, err error) diagnose.Step {
	const name = "socket"
	folder := filepath.Dir(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && folder == runFolder:
		return found(name, diagnose.Info, "systemd makes "+folder+" when it starts the bridge", "")
	case errors.Is(err, fs.ErrNotExist):
		return found(name, diagnose.Failed, "there is no folder "+folder, "make it, writable for the user of the bridge; or correct http.socket")
	case errors.Is(err, fs.ErrPermission):
		return found(name, diagnose.Failed, "you may not make the socket "+path, "run doctor as the user of the bridge; if you are that, make it the owner of "+folder)
	}
	return found(name, diagnose.Failed, "the folder "+folder+" takes no file: "+err.Error(), "correct http.socket")
}
