package main

import (
	"cmp"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// What `make release` knows, and a build outside a repository does not: -ldflags
// "-X main.release=1.2.3 -X main.commit=…" sets them. "": ask the build.
var release, commit string

// version is what `version` prints.
type version struct {
	Version string `json:"version"`
	Commit  string `json:"commit"` // "": built outside a repository
	Dirty   bool   `json:"dirty"`  // built with changes that are in no commit
	Go      string `json:"go"`
	System  string `json:"system"`
}

func (m *Main) versionCommand() *cobra.Command {
	return m.reads(&cobra.Command{
		Use: "version", Short: "Print which version this is",
		Example: `  presencebridge version
  presencebridge version --json`,
		Args:              takes(0, 0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			v := thisVersion()
			if m.json {
				return m.printJSON(v)
			}
			m.printf("presencebridge %s%s, %s, %s\n", v.Version, v.commit(), v.Go, v.System)
			return nil
		},
	})
}

func thisVersion() version {
	info, _ := debug.ReadBuildInfo() // nil only in a binary made without modules
	return versionOf(info).released(release, commit)
}

func versionOf(info *debug.BuildInfo) version {
	v := version{Version: "unknown", Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH}
	if info == nil {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Commit = s.Value
		case "vcs.modified":
			v.Dirty = s.Value == "true"
		}
	}
	return v
}

// released puts what a release was named over what its build says of itself; empty
// names change nothing.
func (v version) released(name, commit string) version {
	v.Version = cmp.Or(name, v.Version)
	v.Commit = cmp.Or(commit, v.Commit)
	return v
}

func (v version) commit() string {
	s := ""
	if v.Commit != "" {
		s = " (" + v.Commit[:min(12, len(v.Commit))]
		if v.Dirty {
			s += ", changed"
		}
		s += ")"
	}
	return s
}
