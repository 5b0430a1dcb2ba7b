package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"
)

// built is what a binary for the architecture says of itself.
func built(t *testing.T, arch string) *debug.BuildInfo {
	t.Helper()
	info := &debug.BuildInfo{GoVersion: "go1.26.8", Main: debug.Module{Path: "github.com/presencebridge/presencebridge"},
		Settings: []debug.BuildSetting{{Key: "GOOS", Value: "linux"}, {Key: "GOARCH", Value: arch}}}
	found, err := linkedFolders(t.Context(), info)
	if err != nil {
		t.Fatal(err)
	}
	for name := range found {
		path, version, _ := strings.Cut(name, "@")
		info.Deps = append(info.Deps, &debug.Module{Path: path, Version: version, Sum: "h1:of " + path})
	}
	return info
}

func TestEveryDependencyHasAPermittedLicence(t *testing.T) {
	for _, arch := range []string{"amd64", "arm64"} {
		parts, err := partsOf(t.Context(), built(t, arch))
		if err != nil {
			t.Errorf("%s: %v", arch, err)
		}
		if len(parts) < 30 || !slices.ContainsFunc(parts, func(p part) bool { return p.path == "std" }) {
			t.Errorf("%s: only %d parts", arch, len(parts))
		}
	}
}

func TestABinaryOfOtherSourcesIsRefused(t *testing.T) {
	info := built(t, "amd64")
	info.Deps = append(info.Deps, &debug.Module{Path: "example.com/gone", Version: "v1.0.0"},
		&debug.Module{Path: "example.com/own", Version: "v1.0.0", Replace: &debug.Module{Path: "../own"}})
	_, err := partsOf(t.Context(), info)
	if err == nil || !strings.Contains(err.Error(), "example.com/gone v1.0.0, these sources do not") || !strings.Contains(err.Error(), "replaced by ../own") {
		t.Error(err)
	}
}

const (
	mit  = "MIT License\n\nPermission is hereby granted, free of\ncharge, to any person obtaining a copy of ..."
	bsd2 = "Redistribution and use in source and binary\nforms, with or without ..."
	bsd3 = bsd2 + "\n * Neither the name of Google Inc. nor ..."
)

func TestLicencesAreJudged(t *testing.T) {
	for _, tc := range []struct {
		name  string
		texts []text
		want  string // the licences, or what the error says
	}{
		{"none at all", nil, "comes without a licence"},
		{"notices alone", []text{{"NOTICE", "by us"}, {"AUTHORS", "we"}}, "comes without a licence"},
		{"one nobody knows", []text{{"LICENSE", "do what I say"}}, "nobody knows the licence in LICENSE"},
		{"one nobody knows beside a good one", []text{{"LICENSE", mit}, {"LICENSE-X", "but ask me"}}, "nobody knows the licence in LICENSE-X"},
		{"one that is not permitted", []text{{"COPYING", "GNU General\nPublic License"}}, "is under GPL, which is not permitted"},
		{"Affero", []text{{"LICENSE", "GNU AFFERO GENERAL PUBLIC LICENSE\nVersion 3"}}, "not permitted"},
		{"two clauses", []text{{"LICENSE", bsd2}}, "BSD-2-Clause"},
		{"three clauses", []text{{"LICENSE", bsd3}}, "BSD-3-Clause"},
		{"Mozilla's, which names GNU's", []text{{"LICENSE", "Mozilla Public License Version 2.0 ... the GNU General Public License"}}, "MPL-2.0"},
		{"several", []text{{"LICENSE", mit}, {"NOTICE", "x"}, {"sub/LICENSE", bsd3}, {"sub/NOTICE", "y"}}, "BSD-3-Clause MIT"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, err := judged(part{path: "example.com/x", version: "v1", texts: tc.texts})
			got := strings.Join(p.licences, " ")
			if err != nil {
				got = err.Error()
			}
			if err == nil && got != tc.want || !strings.Contains(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestLicencesOfFoldersBetweenAreFound(t *testing.T) {
	root := t.TempDir()
	for name, body := range map[string]string{
		"LICENSE": mit, "licenses.go": "package x", "a/LICENCE.txt": bsd2, "a/b/b.go": "package b", "other/COPYING": "GNU General Public License",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p, err := licensed(part{path: "example.com/x"}, root, []string{filepath.Join(root, "a", "b"), root})
	if err != nil || !slices.Equal(p.licences, []string{"BSD-2-Clause", "MIT"}) || len(p.texts) != 2 {
		t.Errorf("%+v, %v; a folder that is not linked does not count, those above a package do", p, err)
	}
}

func TestTheBillNamesWhatIsLinked(t *testing.T) {
	parts := []part{
		{path: "example.com/Own", version: "v1.0.0+incompatible", sum: "h1:x", licences: []string{"Apache-2.0", "MIT"}},
		{path: "std", version: "1.26.8", licences: []string{"BSD-3-Clause"}},
	}
	info := &debug.BuildInfo{GoVersion: "go1.26.8", Main: debug.Module{Path: "example.com/bridge"}, Settings: []debug.BuildSetting{{Key: "GOARCH", Value: "arm64"}}}
	of := product{version: "1.2.3", binary: []byte("binary"), made: time.Unix(86400, 0).UTC()}
	var once, again bytes.Buffer
	if err := writeSBOM(&once, info, parts, of); err != nil {
		t.Fatal(err)
	}
	if err := writeSBOM(&again, info, parts, of); err != nil || once.String() != again.String() {
		t.Errorf("twice it is not the same: %v", err)
	}
	var got bom
	if err := json.Unmarshal(once.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.BOMFormat != "CycloneDX" || got.SpecVersion != "1.5" || got.SerialNumber != "urn:uuid:9a3a45d0-1531-820e-89ac-6ae10b0b0beb" ||
		got.Metadata.Timestamp != "1970-01-02T00:00:00Z" || len(got.Components) != 2 {
		t.Errorf("%+v", got)
	}
	if self := got.Metadata.Component; self.Version != "1.2.3" || !slices.Contains(self.Properties, property{"go:GOARCH", "arm64"}) {
		t.Errorf("%+v", self)
	}
	if c := got.Components[0]; c.PURL != "pkg:golang/example.com/own@v1.0.0%2Bincompatible" || c.Licenses[0].Expression != "Apache-2.0 AND MIT" {
		t.Errorf("%+v", c)
	}
	if c := got.Components[1]; c.Licenses[0].License.ID != "BSD-3-Clause" || c.Properties != nil {
		t.Errorf("%+v", c)
	}
	if !slices.Equal(got.Dependencies[0].DependsOn, []string{got.Components[0].Ref, got.Components[1].Ref}) {
		t.Errorf("%+v", got.Dependencies)
	}
}

func TestTheLicencesGoWithTheirParts(t *testing.T) {
	var out bytes.Buffer
	writeLicences(&out, []part{{path: "example.com/own", version: "v1", licences: []string{"MIT"}, texts: []text{{"LICENSE", mit}, {"NOTICE", "by me"}}}})
	for _, want := range []string{"  example.com/own v1: MIT\n", "example.com/own v1, LICENSE\n", "free of\ncharge", "example.com/own v1, NOTICE\n", "by me"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it lacks %q:\n%s", want, out.String())
		}
	}
}

func TestWhatCannotBeToldIsAnError(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("no binary"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOURCE_DATE_EPOCH", "")
	for _, tc := range []struct{ args, want string }{
		{"", "use it as"},
		{"sbom " + text + " 1", "what is in " + text},
		{"sbom " + self + " 1", "SOURCE_DATE_EPOCH"},
		{"sbom " + self, "is unknown"},
		{"praise " + self, "is unknown"},
	} {
		if err := run(t.Context(), strings.Fields(tc.args)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q: %v, want %q", tc.args, err, tc.want)
		}
	}
}
