package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
)

// ours is the command that is asked about.
const ours = "github.com/presencebridge/presencebridge/cmd/presencebridge"

// part is a module that is linked into the binary, or Go's own library.
type part struct {
	path, version, sum string
	licences           []string // SPDX identifiers, sorted; at least one
	texts              []text   // of its licences and notices
}

type text struct{ name, body string }

// goModule is what `go list` tells of a module.
type goModule struct {
	Path, Version, Dir string
	Main               bool
}

// partsOf finds the parts of a binary, sorted by path, and their licences.
func partsOf(ctx context.Context, info *debug.BuildInfo) ([]part, error) {
	folders, err := linkedFolders(ctx, info)
	if err != nil {
		return nil, err
	}
	var parts []part
	var faults []error
	for _, dep := range info.Deps {
		if dep.Replace != nil {
			faults = append(faults, fmt.Errorf("%s is replaced by %s: name that instead", dep.Path, dep.Replace.Path))
			continue
		}
		m := goModule{Path: dep.Path, Version: dep.Version}
		found, linked := folders[m.Path+"@"+m.Version]
		if !linked {
			faults = append(faults, fmt.Errorf("the binary has %s %s, these sources do not: build it anew", dep.Path, dep.Version))
			continue
		}
		p, err := licensed(part{path: dep.Path, version: dep.Version, sum: dep.Sum}, found.root, found.packages)
		if err != nil {
			faults = append(faults, err)
		}
		parts = append(parts, p)
	}
	goroot, err := goTool(ctx, nil, "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	root := strings.TrimSpace(string(goroot))
	std, err := licensed(part{path: "std", version: strings.TrimPrefix(info.GoVersion, "go")}, root, []string{root})
	if err != nil {
		faults = append(faults, err)
	}
	parts = append(parts, std)
	slices.SortFunc(parts, func(a, b part) int { return cmp.Compare(a.path, b.path) })
	return parts, errors.Join(faults...)
}

// folders are where a module and those of its packages are that are linked.
type folders struct {
	root     string
	packages []string
}

// linkedFolders asks the sources, for the system that the binary is for, by path@version.
func linkedFolders(ctx context.Context, info *debug.BuildInfo) (map[string]folders, error) {
	env := []string{"CGO_ENABLED=0"}
	for _, s := range info.Settings {
		if s.Key == "GOOS" || s.Key == "GOARCH" {
			env = append(env, s.Key+"="+s.Value)
		}
	}
	out, err := goTool(ctx, env, "list", "-deps", "-json=Dir,Module", ours)
	if err != nil {
		return nil, err
	}
	found := make(map[string]folders)
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			Dir    string
			Module *goModule // nil: of Go itself
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return found, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		if p.Module == nil || p.Module.Main {
			continue
		}
		name := p.Module.Path + "@" + p.Module.Version
		found[name] = folders{root: p.Module.Dir, packages: append(found[name].packages, p.Dir)}
	}
}

func goTool(ctx context.Context, env []string, args ...string) ([]byte, error) {
	c := exec.CommandContext(ctx, cmp.Or(os.Getenv("GO"), "go"), args...) //nolint:gosec // the Go of whoever makes a release
	c.Env = append(os.Environ(), env...)
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w", args[0], err)
	}
	return out, nil
}

// legal are the names of files that a licence may ask to be passed on.
var legal = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents|authors|unlicense)([-._].*)?$`)

// licensed reads the licences of a part: the files in the folder of the module, in
// those of its packages and between the two.
func licensed(p part, root string, packages []string) (part, error) {
	seen := make(map[string]bool)
	for _, dir := range packages {
		for ; len(dir) >= len(root) && !seen[dir]; dir = filepath.Dir(dir) {
			seen[dir] = true
			entries, err := os.ReadDir(dir)
			if err != nil {
				return p, err
			}
			for _, e := range entries {
				if e.IsDir() || !legal.MatchString(e.Name()) || strings.HasSuffix(e.Name(), ".go") {
					continue
				}
				body, err := os.ReadFile(filepath.Join(dir, e.Name()))
				if err != nil {
					return p, err
				}
				name, err := filepath.Rel(root, filepath.Join(dir, e.Name()))
				if err != nil {
					return p, err
				}
				p.texts = append(p.texts, text{name: filepath.ToSlash(name), body: string(body)})
			}
		}
	}
	slices.SortFunc(p.texts, func(a, b text) int { return cmp.Compare(a.name, b.name) })
	return judged(p)
}
