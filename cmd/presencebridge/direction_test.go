package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/presencebridge/presencebridge/"

// mayImport is the direction of design.md section 3: who may import what of ours.
// A folder that is not listed may import nothing of ours; test files are free.
var mayImport = map[string][]string{
	"pkg/message":                     {},
	"pkg/presence":                    {},
	"pkg/ami":                         {},
	"pkg/ari":                         {},
	"pkg/pbxsim":                      {},
	"config":                          {"pkg/presence", "pkg/message"},
	"pkg/connector":                   {"pkg/presence", "pkg/message"},
	"pkg/connector/asterisk":          {"pkg/presence", "pkg/message", "pkg/connector", "pkg/ami", "pkg/ari"},
	"pkg/connector/asterisk/diagnose": {"pkg/ami", "pkg/ari"},
	"pkg/connector/asterisk/dialplan": {"pkg/presence"},
	"pkg/store":                       {"pkg/presence"},
	"pkg/store/sqlite":                {"pkg/presence", "pkg/store"},
	"pkg/store/postgres":              {"pkg/store"},
	"pkg/store/mysql":                 {"pkg/store"},
	"pkg/bridge":                      {"pkg/presence", "pkg/message", "pkg/connector", "pkg/store"},
	"pkg/panel":                       {"pkg/presence", "pkg/bridge"},
	"pkg/tracing":                     {"pkg/bridge"},
	"pkg/api":                         {"pkg/presence", "pkg/message", "pkg/connector", "pkg/store", "pkg/bridge"},
	"pkg/signin":                      {"pkg/presence", "pkg/message", "pkg/store", "pkg/api"},
	"pkg/web":                         {"pkg/signin"},
	"cmd/presencebridge":              {"*"},
	// For tests only; nothing that ships imports them.
	"pkg/pbxsim/pbxtest":          {"pkg/pbxsim"},
	"pkg/store/storetest":         {"pkg/presence", "pkg/store", "pkg/store/servertest", "pkg/pbxsim/pbxtest"},
	"pkg/store/servertest":        {"pkg/store"},
	"pkg/api/apitest":             {"pkg/presence", "pkg/message", "pkg/connector", "pkg/store", "pkg/bridge", "pkg/api"},
	"pkg/connector/connectortest": {"pkg/presence", "pkg/connector"},
}

func TestImportsPointInOneDirection(t *testing.T) {
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		folder, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if ours, ok := strings.CutPrefix(name, module); ok && !allowed(filepath.ToSlash(folder), ours) {
				t.Errorf("%s imports %s, which design.md section 3 does not allow", path, ours)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func allowed(folder, imported string) bool {
	if strings.HasSuffix(imported, "test") && !strings.HasSuffix(folder, "test") {
		return false
	}
	for _, may := range mayImport[folder] {
		if may == "*" || may == imported {
			return true
		}
	}
	return false
}
