package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"runtime/debug"
	"strings"
	"time"
)

// product is what the bill is for.
type product struct {
	version string
	binary  []byte
	made    time.Time
}

// What of CycloneDX 1.5 is used. The order of fields is that of its specification.
type (
	bom struct {
		BOMFormat    string       `json:"bomFormat"`
		SpecVersion  string       `json:"specVersion"`
		SerialNumber string       `json:"serialNumber"`
		Version      int          `json:"version"`
		Metadata     metadata     `json:"metadata"`
		Components   []component  `json:"components"`
		Dependencies []dependency `json:"dependencies"`
	}
	metadata struct {
		Timestamp string    `json:"timestamp"`
		Component component `json:"component"`
	}
	component struct {
		Type       string     `json:"type"`
		Ref        string     `json:"bom-ref"`
		Name       string     `json:"name"`
		Version    string     `json:"version"`
		Hashes     []hash     `json:"hashes,omitempty"`
		Licenses   []licence  `json:"licenses"`
		PURL       string     `json:"purl"`
		Properties []property `json:"properties,omitempty"`
	}
	hash struct {
		Alg     string `json:"alg"`
		Content string `json:"content"`
	}
	// licence is one of an id and an expression of several.
	licence struct {
		License    *licenceID `json:"license,omitempty"`
		Expression string     `json:"expression,omitempty"`
	}
	licenceID struct {
		ID string `json:"id"`
	}
	property struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	dependency struct {
		Ref       string   `json:"ref"`
		DependsOn []string `json:"dependsOn,omitempty"`
	}
)

// writeSBOM writes the bill. The same binary always has the same.
func writeSBOM(out *bytes.Buffer, info *debug.BuildInfo, parts []part, of product) error {
	sum := sha256.Sum256(of.binary)
	self := component{
		Type: "application", Ref: purl(info.Main.Path, of.version), Name: "presencebridge", Version: of.version,
		Hashes:   []hash{{"SHA-256", hex.EncodeToString(sum[:])}},
		Licenses: licences([]string{"Apache-2.0"}), PURL: purl(info.Main.Path, of.version),
		Properties: []property{{"go:version", info.GoVersion}},
	}
	for _, s := range info.Settings {
		if s.Key == "GOOS" || s.Key == "GOARCH" || s.Key == "CGO_ENABLED" {
			self.Properties = append(self.Properties, property{"go:" + s.Key, s.Value})
		}
	}
	b := bom{
		BOMFormat: "CycloneDX", SpecVersion: "1.5", Version: 1, SerialNumber: "urn:uuid:" + uuid(sum),
		Metadata: metadata{Timestamp: of.made.Format(time.RFC3339), Component: self},
	}
	needs := dependency{Ref: self.Ref}
	for _, p := range parts {
		c := component{Type: "library", Ref: purl(p.path, p.version), Name: p.path, Version: p.version, Licenses: licences(p.licences), PURL: purl(p.path, p.version)}
		if p.sum != "" {
			c.Properties = []property{{"go:sum", p.sum}}
		}
		b.Components = append(b.Components, c)
		needs.DependsOn = append(needs.DependsOn, c.Ref)
	}
	b.Dependencies = []dependency{needs}
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(b)
}

func licences(ids []string) []licence {
	if len(ids) == 1 {
		return []licence{{License: &licenceID{ids[0]}}}
	}
	return []licence{{Expression: strings.Join(ids, " AND ")}}
}

// purl is the package URL of a module, lower-case as its type golang demands.
func purl(path, version string) string {
	return "pkg:golang/" + strings.ToLower(path) + "@" + strings.ReplaceAll(url.PathEscape(version), "+", "%2B")
}

// uuid makes a serial number of a sum: version 8 of RFC 9562, which is for such.
func uuid(sum [sha256.Size]byte) string {
	sum[6] = sum[6]&0x0f | 0x80
	sum[8] = sum[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[0:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}
