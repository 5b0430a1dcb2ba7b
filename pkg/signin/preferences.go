package signin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"

	"github.com/presencebridge/presencebridge/pkg/api"
	"github.com/presencebridge/presencebridge/pkg/message"
	"github.com/presencebridge/presencebridge/pkg/store"
)

// Preferences are those of an account.
func (d *Desk) Preferences(name string) (json.RawMessage, error) {
	a := d.account(name)
	if a == nil {
		return nil, d.noAccount(name)
	}
	return json.RawMessage(a.Preferences), nil
}

// language is a tag of a language, such as de or pt-BR.
var language = regexp.MustCompile(`^([a-zA-Z]{2,3}(-[a-zA-Z0-9]{1,8}){0,3})?$`)

// SetPreferences keeps those of an account. What they say under language is Person.Language.
func (d *Desk) SetPreferences(ctx context.Context, name string, p json.RawMessage) error {
	return d.keepPreferences(ctx, name, func(json.RawMessage) (json.RawMessage, error) { return p, nil })
}

// ChangePreferences changes some of those of an account, as they are by then.
func (d *Desk) ChangePreferences(ctx context.Context, name string, c *api.PreferencesChange) (after json.RawMessage, err error) {
	err = d.keepPreferences(ctx, name, func(now json.RawMessage) (json.RawMessage, error) {
		after, err = changedPreferences(now, c)
		return after, err
	})
	return after, err
}

// changedPreferences are preferences after a change. A list has each word once; of a
// word that is added and removed the removal counts.
func changedPreferences(now json.RawMessage, c *api.PreferencesChange) (json.RawMessage, error) {
	all := map[string]json.RawMessage{}
	if err := json.Unmarshal(now, &all); err != nil {
		return nil, fmt.Errorf("preferences as they are: %w", err)
	}
	maps.Copy(all, c.Set)
	lists := maps.Clone(c.Add)
	if lists == nil {
		lists = map[string][]string{}
	}
	for name := range c.Remove {
		if _, ok := lists[name]; !ok {
			lists[name] = nil
		}
	}
	for name, more := range lists {
		var list []string
		if text, ok := all[name]; ok {
			if err := json.Unmarshal(text, &list); err != nil {
				return nil, api.Refusal(http.StatusUnprocessableEntity, fmt.Sprintf("%s is no list of texts; set it as a whole.", clip(name)))
			}
		}
		taken := make(map[string]bool, len(c.Remove[name])) // or there already
		for _, word := range c.Remove[name] {
			taken[word] = true
		}
		after := make([]string, 0, len(list)+len(more))
		for _, word := range slices.Concat(list, more) {
			if !taken[word] {
				taken[word] = true
				after = append(after, word)
			}
		}
		text, err := json.Marshal(after)
		if err != nil {
			return nil, err
		}
		all[name] = text
	}
	return json.Marshal(all)
}

// keepPreferences keeps what change makes of those of an account.
func (d *Desk) keepPreferences(ctx context.Context, name string, change func(json.RawMessage) (json.RawMessage, error)) error {
	err := d.keep(ctx, name, nil, func(a *store.Account) error {
		p, err := change(json.RawMessage(a.Preferences))
		if err != nil {
			return err
		}
		tag, err := sensiblePreferences(p)
		a.Preferences, a.Language = string(p), tag
		return err
	})
	var refused *api.Problem
	switch {
	case errors.Is(err, errGone):
		return d.noAccount(name)
	case err == nil, errors.As(err, &refused):
		return err
	}
	return d.unsaved("preferences", err)
}

// sensiblePreferences is the language of preferences; "": none.
func sensiblePreferences(p json.RawMessage) (tag string, err error) {
	var known struct{ Language *string }
	refusal := fmt.Sprintf("Preferences are a JSON object of at most %d bytes, with a text, if any, under language.", mostPreferences)
	if len(p) > mostPreferences {
		return "", api.Refusal(http.StatusUnprocessableEntity, refusal, message.As("account.preferences", "most", strconv.Itoa(mostPreferences)))
	}
	if json.Unmarshal(p, &known) != nil {
		return "", api.Refusal(http.StatusUnprocessableEntity, refusal)
	}
	if known.Language != nil {
		tag = *known.Language
	}
	if !language.MatchString(tag) {
		return "", api.Refusal(http.StatusUnprocessableEntity, "language has to be the tag of a language, for example en, fr or de.")
	}
	return tag, nil
}
