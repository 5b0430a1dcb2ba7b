package api

import (
	"encoding/json"
	"net/http"

	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

const exampleSettings = `{"default_extension": {"pbx": "main", "extension": "1001"}, "sync": null}`

func (h *Handler) settings(w http.ResponseWriter, r *request) error {
	if err := r.from.maySettle(userID(r)); err != nil {
		return err
	}
	ctx, cancel := h.call(r)
	defer cancel()
	s, err := h.bridge.Settings(ctx, userID(r))
	if err != nil {
		return err
	}
	return answerTagged(w, r, s)
}

// set changes what a user has set for themself. What the body does not name stays.
func (h *Handler) set(w http.ResponseWriter, r *request) error {
	if err := r.from.maySettle(userID(r)); err != nil {
		return err
	}
	fields, err := body(w, r, exampleSettings, "default_extension", "sync")
	if err != nil {
		return err
	}
	c := bridge.SettingsChange{By: r.from.by}
	_, c.SetDefault = fields["default_extension"]
	_, c.SetSync = fields["sync"]
	if c.Default, err = extensionIn(fields); err != nil {
		return err
	}
	if err := field(fields, "sync", &c.Sync, "true, false, or null for what the mapping says"); err != nil {
		return err
	}
	ctx, cancel := h.call(r)
	defer cancel()
	s, err := h.bridge.Set(ctx, userID(r), c)
	if err != nil {
		return err
	}
	return answer(w, s)
}

// extensionIn reads default_extension; nil: null, or nothing.
func extensionIn(fields map[string]json.RawMessage) (*presence.ExtensionID, error) {
	const want = `one of the user's extensions like {"pbx": "main", "extension": "1001"}, or null for what the mapping says`
	var parts map[string]*string // not the struct, to which PBX would be pbx
	if err := field(fields, "default_extension", &parts, want); err != nil || parts == nil {
		return nil, err
	}
	pbx, number := parts["pbx"], parts["extension"]
	if len(parts) != 2 || pbx == nil || number == nil {
		return nil, problem(http.StatusUnprocessableEntity, "default_extension has to be "+want+".")
	}
	return &presence.ExtensionID{PBX: *pbx, Number: *number}, nil
}
