package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/presencebridge/presencebridge/pkg/api/apitest"
)

func decode(t *testing.T, text []byte) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

// indented returns text for a golden file; ok is false if it is no JSON.
func indented(text []byte) (pretty []byte, ok bool) {
	var b bytes.Buffer
	if err := json.Indent(&b, bytes.TrimSpace(text), "", "  "); err != nil {
		return nil, false
	}
	return append(b.Bytes(), '\n'), true
}

func description(t *testing.T) map[string]any {
	t.Helper()
	text, err := os.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, text)
}

func TestTheDescriptionNamesWhatIsServed(t *testing.T) {
	h := handler(apitest.New())
	w := do(h, request("GET", "/api/v1/openapi.json", ""))
	if got := decode(t, w.Body.Bytes())["openapi"]; got != "3.1.0" {
		t.Errorf("openapi %v", got)
	}
	for path, item := range description(t)["paths"].(map[string]any) {
		for _, method := range []string{"get", "put", "post", "delete", "patch"} {
			if path == "/api/v1/events" && method == "get" {
				continue // does not end; see events_test.go
			}
			_, described := item.(map[string]any)[method]
			h := handler(apitest.New()) // what another request has removed is there
			w := do(h, request(strings.ToUpper(method), strings.NewReplacer("{id}", "alice", "{name}", "crm", "{account}", "crm", "{status}", "lunch").Replace(path), ""))
			if served := w.Code != http.StatusMethodNotAllowed && w.Code != http.StatusNotFound; served != described {
				t.Errorf("%s %s: described %v, served %v (%d)", method, path, described, served, w.Code)
			}
		}
	}
}

// conforms checks text against a schema of the description. It is stricter than
// JSON Schema: what is not described must not be there.
func conforms(t *testing.T, schema string, text []byte) {
	t.Helper()
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	s := schemas(description(t)["components"].(map[string]any)["schemas"].(map[string]any))
	for _, fault := range s.check("$", map[string]any{"$ref": schema}, v) {
		t.Error(fault)
	}
}

type schemas map[string]any

func (s schemas) resolve(schema map[string]any) map[string]any {
	for schema["$ref"] != nil {
		name := strings.TrimPrefix(schema["$ref"].(string), "#/components/schemas/")
		schema = s[name].(map[string]any)
	}
	if all, ok := schema["allOf"].([]any); ok {
		merged := map[string]any{"type": "object", "properties": map[string]any{}, "required": []any{}}
		for _, part := range all {
			p := s.resolve(part.(map[string]any))
			maps.Copy(merged["properties"].(map[string]any), p["properties"].(map[string]any))
			if required, ok := p["required"].([]any); ok {
				merged["required"] = append(merged["required"].([]any), required...)
			}
		}
		return merged
	}
	return schema
}

func (s schemas) check(at string, schema map[string]any, v any) (faults []string) {
	schema = s.resolve(schema)
	if one, ok := schema["oneOf"].([]any); ok {
		if v == nil {
			return nil
		}
		for _, alternative := range one {
			found := s.check(at, alternative.(map[string]any), v)
			if len(found) == 0 {
				return nil
			}
			faults = append(faults, found...)
		}
		return faults
	}
	if enum, ok := schema["enum"].([]any); ok && !slices.Contains(enum, v) {
		faults = append(faults, fmt.Sprintf("%s: %v is none of %v", at, v, enum))
	}
	if want := schema["type"]; want != kind(v) && (want != "number" || kind(v) != "integer") {
		if list, ok := want.([]any); !ok || !slices.Contains(list, any(kind(v))) {
			return append(faults, fmt.Sprintf("%s: %v is no %v", at, v, want))
		}
	}
	switch v := v.(type) {
	case []any:
		for i := range v {
			faults = append(faults, s.check(fmt.Sprintf("%s[%d]", at, i), schema["items"].(map[string]any), v[i])...)
		}
	case map[string]any:
		properties := schema["properties"].(map[string]any)
		for name, value := range v {
			p, ok := properties[name].(map[string]any)
			if !ok {
				p, ok = schema["additionalProperties"].(map[string]any)
			}
			if !ok {
				faults = append(faults, at+"."+name+" is not described")
				continue
			}
			faults = append(faults, s.check(at+"."+name, p, value)...)
		}
		for _, name := range schema["required"].([]any) {
			if _, ok := v[name.(string)]; !ok {
				faults = append(faults, fmt.Sprintf("%s.%v is missing", at, name))
			}
		}
	}
	return faults
}

func kind(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case float64:
		if v != math.Trunc(v) {
			return "number"
		}
		return "integer"
	case string:
		return "string"
	case []any:
		return "array"
	default:
		return "object"
	}
}
