package storetest

import (
	"strings"
	"testing"
)

// panelRows are remembered, replaced, and there again after a stop.
func panelRows(t *testing.T, o Opener) {
	s := open(t, o)
	rows := map[string][]byte{"alice": []byte(`{"shows":{"status":"it's 🍣"}}`), "ALICE": []byte(`{}`), strings.Repeat("x", 255): []byte(`{"a":1}`)}
	noError(t, s.SavePanelRows(t.Context(), rows))
	noError(t, s.SavePanelRows(t.Context(), nil))
	rows["alice"] = []byte(`{"shows":{"status":"lunch"}}`)
	noError(t, s.SavePanelRows(t.Context(), map[string][]byte{"alice": rows["alice"]}))
	closeStore(t, s, true)
	got, err := open(t, o).PanelRows(t.Context())
	noError(t, err)
	same(t, "panel rows", got, rows)
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
