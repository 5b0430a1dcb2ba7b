package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/presencebridge/presencebridge/config"
	"github.com/presencebridge/presencebridge/pkg/connector/asterisk/diagnose"
)

func TestWhyAPageCannotSaveIsToldWithWhatToDo(t *testing.T) {
	const file, beside = serviceFolder + "/presencebridge.yaml", serviceFolder + "/any.yaml"
	for _, tc := range []struct {
		name, mapping, who string
		err                error
		says, do           string
	}{
		{"beside presencebridge.yaml", beside, theService, config.ErrFolder, "the service may not replace files in /etc/presencebridge, where presencebridge.yaml lies too",
			"mv /etc/presencebridge/any.yaml /etc/presencebridge/mapping/\nsed -i 's|^mapping:.*|mapping: mapping/any.yaml|' /etc/presencebridge/presencebridge.yaml\n"},
		{"in another folder", "/srv/any.yaml", theService, config.ErrFolder, "the service may not replace files in /srv", "let the service make files there"},
		{"an owner that would be lost", "/srv/any.yaml", theService, config.ErrNotKept, "its owner or its group", "chmod 660 /srv/any.yaml\n"},
		{"an owner that would be lost to somebody", "/srv/any.yaml", "the user of the bridge", config.ErrNotKept, "its owner or its group", "a group that the user of the bridge is in"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := savingFault(file, tc.mapping, tc.who, tc.err)
			if s == nil || s.Result != diagnose.Warning || !strings.Contains(s.Says, tc.says) {
				t.Fatalf("got %+v, want a warning with %q", s, tc.says)
			}
			do := s.Do
			for _, f := range s.Fix {
				do += "\n" + strings.Join(f.Lines, "\n") + "\n"
			}
			if !strings.Contains(do, tc.do) {
				t.Errorf("to do is %q, want %q", do, tc.do)
			}
		})
	}
	if s := savingFault(file, beside, theService, fs.ErrNotExist); s != nil {
		t.Errorf("of a mapping that is not there: %+v", s)
	}
}

func TestAMappingWhereTheUnitDoesNotLetTheServiceWriteIsToldOf(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mapping.yaml")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if s := outsideStep(path); s == nil || s.Result != diagnose.Info || !strings.Contains(s.Do, "ReadWritePaths="+filepath.Dir(path)) {
		t.Errorf("got %+v", s)
	}
	if s := outsideStep("/nowhere/mapping.yaml"); s != nil {
		t.Errorf("of a mapping that is not there: %+v", s)
	}
}

func TestOnlyAPageHasToSaveTheMapping(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "mapping.yaml")
	cfg := &config.Config{Path: filepath.Join(dir, "presencebridge.yaml"), MappingPath: path}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	shut := func(mode os.FileMode) {
		if err := os.Chmod(dir, mode); err != nil {
			t.Error(err)
		}
	}
	shut(0o500)
	defer shut(0o700)
	if s := savingStep(cfg); s != nil {
		t.Errorf("without a panel: %+v", s)
	}
	cfg.Daemon.SignIn.URL = "http://localhost"
	if faults, want := savingFaults(cfg), os.Geteuid() != 0; (len(faults) == 1) != want { // root writes everywhere
		t.Errorf("with a panel: %v, and a warning is wanted: %v", faults, want)
	}
}
