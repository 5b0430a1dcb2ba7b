package main

import (
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/presencebridge/presencebridge/config"
	"github.com/presencebridge/presencebridge/pkg/connector/asterisk/diagnose"
)

const (
	serviceUser   = "presencebridge" // of the unit
	theService    = "the service"
	mappingFolder = serviceFolder + "/mapping" // where the unit lets the bridge write

	cannotSave = "the page Status sync cannot save "
)

// saver is the user who runs the bridge, and what to call them: that of the service where
// the configuration is the service's, else whoever asks.
func saver(file string) (config.Writer, string) {
	if path, err := filepath.Abs(file); err == nil && filepath.Dir(path) == serviceFolder {
		if u, err := user.Lookup(serviceUser); err == nil {
			ids, _ := u.GroupIds()
			w := config.Writer{User: numberOf(u.Uid), Groups: []uint32{numberOf(u.Gid)}}
			for _, id := range ids {
				w.Groups = append(w.Groups, numberOf(id))
			}
			return w, theService
		}
	}
	w := config.Writer{User: uint32(os.Geteuid()), Groups: []uint32{uint32(os.Getegid())}}
	ids, _ := os.Getgroups()
	for _, id := range ids {
		w.Groups = append(w.Groups, uint32(id))
	}
	return w, "the user of the bridge"
}

// numberOf is an id as a number; one that is none is nobody's.
func numberOf(id string) uint32 {
	n, err := strconv.ParseUint(id, 10, 32)
	if err != nil {
		return ^uint32(0)
	}
	return uint32(n)
}

// savingStep tells why a page cannot save the mapping; nil: it can, or there is no page.
func savingStep(cfg *config.Config) *diagnose.Step {
	if cfg.Daemon.SignIn.URL == "" {
		return nil
	}
	w, name := saver(cfg.Path)
	s := savingFault(cfg.Path, cfg.MappingPath, name, w.MayReplace(cfg.MappingPath))
	if s == nil && name == theService {
		s = outsideStep(cfg.MappingPath)
	}
	return s
}

// savingFault is why the user called name cannot save a mapping, going by what MayReplace
// says, and how that is mended.
func savingFault(file, mapping, name string, err error) *diagnose.Step {
	s := found("saving", diagnose.Warning, "", "")
	if target, err := filepath.EvalSymlinks(mapping); err == nil {
		mapping = target
	}
	folder := filepath.Dir(mapping)
	switch {
	case errors.Is(err, config.ErrFolder) && folder == serviceFolder:
		s.Says = cannotSave + mapping + ": " + name + " may not replace files in " + folder + ", where " + filepath.Base(file) + " lies too"
		s.Do = "give the mapping a folder of its own"
		s.Fix = inShell(ownFolder(file, mapping)...)
	case errors.Is(err, config.ErrFolder):
		s.Says = cannotSave + mapping + ": " + name + " may not replace files in " + folder
		s.Do = "let " + name + " make files there, if nothing lies there that is not " + name + "'s to replace"
	case errors.Is(err, config.ErrNotKept):
		s.Says = cannotSave + mapping + ": its owner or its group would lose it to " + name
		s.Do = "give it a group that " + name + " is in, and that may do what the owner may"
		if name == theService {
			s.Fix = inShell("chgrp "+serviceUser+" "+mapping, "chmod 660 "+mapping)
		}
	default:
		return nil // of a mapping that cannot be looked at others tell
	}
	return &s
}

func inShell(commands ...string) []diagnose.Fix {
	return []diagnose.Fix{{File: "a shell", Section: "as root", Lines: commands}}
}

// ownFolder are the commands that move a mapping out of the folder of the service.
func ownFolder(file, mapping string) []string {
	name := filepath.Base(mapping)
	return []string{
		"install -d -o root -g presencebridge -m 2770 " + mappingFolder,
		"mv " + mapping + " " + mappingFolder + "/",
		"sed -i 's|^mapping:.*|mapping: mapping/" + name + "|' " + file,
		"systemctl restart presencebridge",
	}
}

// outsideStep tells what doctor cannot see: whether a drop-in lets the service write
// where the unit does not.
func outsideStep(mapping string) *diagnose.Step {
	target, err := filepath.EvalSymlinks(mapping)
	folder := filepath.Dir(target)
	if err != nil || slices.ContainsFunc([]string{mappingFolder, stateFolder}, func(mine string) bool {
		return folder == mine || strings.HasPrefix(folder, mine+"/")
	}) {
		return nil
	}
	s := found("saving", diagnose.Info, "the unit does not let the service write in "+folder,
		"if nobody has done so yet, write ReadWritePaths="+folder+" under [Service] in systemctl edit presencebridge, and restart it, so that the page Status sync can save the mapping")
	return &s
}

// savingFaults is the warning of `check`.
func savingFaults(cfg *config.Config) config.Faults {
	s := savingStep(cfg)
	if s == nil || s.Result != diagnose.Warning {
		return nil
	}
	return config.Faults{{File: cfg.Path, Path: "mapping", What: s.Says, Do: "presencebridge doctor, as root, prints what to do", Warning: true}}
}
