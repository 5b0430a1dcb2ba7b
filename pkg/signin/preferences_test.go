package signin_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/presencebridge/presencebridge/pkg/api"
)

func TestPreferencesThatAreChangedAtOnceAreAllKept(t *testing.T) {
	o := newOffice(t, nil)
	o.has("alice", "user")
	if err := o.SetPreferences(t.Context(), "alice", json.RawMessage(`{"stars":["x"],"other":{"kept":1}}`)); err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	for i := range 20 {
		wait.Go(func() {
			c := &api.PreferencesChange{Add: map[string][]string{"stars": {fmt.Sprint(i), fmt.Sprint(i)}}, Remove: map[string][]string{"stars": {"x", "y"}, "none": {"z"}}}
			if i == 7 {
				c.Set = map[string]json.RawMessage{"language": json.RawMessage(`"de"`)}
			}
			if _, err := o.ChangePreferences(t.Context(), "alice", c); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	o.again()
	var got struct {
		Stars, None []string
		Language    string
		Other       struct{ Kept int }
	}
	text, err := o.Preferences("alice")
	if err != nil || json.Unmarshal(text, &got) != nil || len(got.Stars) != 20 || got.None == nil || len(got.None) != 0 || got.Language != "de" || got.Other.Kept != 1 {
		t.Errorf("%s, %v", text, err)
	}
}

func TestPreferencesThatDoNotFitAreRefusedAsAWhole(t *testing.T) {
	o := newOffice(t, nil)
	o.has("alice", "user")
	const before = `{"stars":["x"],"plain":7}`
	if err := o.SetPreferences(t.Context(), "alice", json.RawMessage(before)); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, who, says string
		change          api.PreferencesChange
	}{
		{"a list that is none", "alice", "no list of texts", api.PreferencesChange{Add: map[string][]string{"stars": {"y"}, "plain": {"y"}}}},
		{"too long", "alice", "at most 16384 bytes", api.PreferencesChange{Add: map[string][]string{"stars": {strings.Repeat("x", 16<<10)}}}},
		{"no language", "alice", "language", api.PreferencesChange{Set: map[string]json.RawMessage{"language": json.RawMessage(`"<b>"`)}}},
		{"nobody", "zoe", "There is no account", api.PreferencesChange{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var p *api.Problem
			if _, err := o.ChangePreferences(t.Context(), tc.who, &tc.change); !errors.As(err, &p) || !strings.Contains(p.Detail, tc.says) {
				t.Errorf("%v, want %q", err, tc.says)
			}
		})
	}
	if text, err := o.Preferences("alice"); err != nil || string(text) != before {
		t.Errorf("%s, %v", text, err)
	}
}
