package main

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"

	"github.com/presencebridge/presencebridge/config"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// mappedUser is a user of the mapping as mapping.yaml and the API write one. The
// bridge judges it; here any text will do.
type mappedUser struct {
	ID         string   `json:"id"`
	Name       string   `json:"name,omitempty"`
	Email      string   `json:"email,omitempty"`
	Extensions []number `json:"extensions,omitempty"`
	Default    *number  `json:"default_extension,omitempty"` // nil: the first
	Incoming   string   `json:"incoming,omitempty"`          // "": as under sync, likewise below
	Outgoing   string   `json:"outgoing,omitempty"`
	Priority   []word   `json:"priority,omitempty"`
	Sync       any      `json:"sync,omitempty"` // nil: true
	Tags       []word   `json:"tags,omitempty"`
	Groups     []word   `json:"groups,omitempty"`
}

const mappedPath = "/api/v1/mapping/users"

// mappedUsers reads every user of the mapping.
func (c *client) mappedUsers(ctx context.Context) ([]mappedUser, error) {
	return all[mappedUser](ctx, c, mappedPath)
}

// word is a text that JSON may hold as a number.
type word string

// UnmarshalJSON implements json.Unmarshaler.
func (w *word) UnmarshalJSON(text []byte) error {
	if bytes.HasPrefix(text, []byte(`"`)) {
		return json.Unmarshal(text, (*string)(w))
	}
	*w = word(text)
	return nil
}

// number is an extension: on the first PBX where PBX is "".
type number struct{ PBX, Number string }

// parseNumber reads 1001, or branch/2001.
func parseNumber(text string) number {
	if pbx, n, named := strings.Cut(text, "/"); named {
		return number{pbx, n}
	}
	return number{Number: text}
}

func (n number) String() string {
	if n.PBX == "" {
		return n.Number
	}
	return n.PBX + "/" + n.Number
}

// namedNumber is a number in JSON that names its PBX.
type namedNumber struct {
	PBX       word `json:"pbx"`
	Extension word `json:"extension"`
}

// MarshalJSON implements json.Marshaler.
func (n number) MarshalJSON() ([]byte, error) {
	if n.PBX == "" {
		return json.Marshal(n.Number)
	}
	return json.Marshal(namedNumber{word(n.PBX), word(n.Number)})
}

// UnmarshalJSON implements json.Unmarshaler.
func (n *number) UnmarshalJSON(text []byte) error {
	if !bytes.HasPrefix(text, []byte("{")) {
		*n = number{}
		return (*word)(&n.Number).UnmarshalJSON(text)
	}
	var named namedNumber
	err := json.Unmarshal(text, &named)
	*n = number{string(named.PBX), string(named.Extension)}
	return err
}

func numbersOf(texts []string) (list []number) {
	for _, text := range texts {
		list = append(list, parseNumber(text))
	}
	return list
}

func wordsOf(texts []string) (list []word) {
	for _, text := range texts {
		list = append(list, word(text))
	}
	return list
}

// joined is a list as one text, a space between two.
func joined[T any](list []T, text func(T) string) string {
	texts := make([]string, len(list))
	for i, v := range list {
		texts[i] = text(v)
	}
	return strings.Join(texts, " ")
}

func (w word) String() string { return string(w) }

// wholeMapping returns the mapping of cfg with the users as the running bridge has
// them in the store, where they are kept there. It is nil where they have faults.
func (m *Main) wholeMapping(ctx context.Context, cfg *config.Config) (*presence.Mapping, config.Faults, error) {
	if cfg.Stored == nil {
		return cfg.Mapping, nil, nil
	}
	c, err := m.client()
	if err != nil {
		return nil, nil, err
	}
	texts, err := all[json.RawMessage](ctx, c, mappedPath)
	if err != nil {
		return nil, nil, err
	}
	return cfg.Stored.Mapping(func(yield func(config.Definition, error) bool) {
		for _, text := range texts {
			var u struct{ ID word }
			err := json.Unmarshal(text, &u)
			if !yield(config.Definition{ID: presence.UserID(u.ID), JSON: string(text)}, err) {
				return
			}
		}
	})
}
