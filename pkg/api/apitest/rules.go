package apitest

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"github.com/presencebridge/presencebridge/pkg/api"
	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// Rules is an api.Rules in memory, which takes every proposal. Its exported fields are
// set before it is used.
type Rules struct {
	Err       error // of everything
	ChangeErr error
	Raced     int           // so many changes find that somebody else was faster
	Diff      *api.RuleDiff // what changes do; nil: nobody is asked whether they may
	NoPast    bool          // there is nothing to undo

	mu      sync.Mutex
	set     api.RuleSet
	past    api.RuleSet
	changes []api.RuleChange
}

// NewRules returns one with two status types.
func NewRules() *Rules {
	lasts := "1h"
	r := &Rules{set: api.RuleSet{
		Tag:  "1",
		Sync: api.Sync{Enabled: true, Incoming: presence.Latest, Outgoing: presence.ToAll, Repeats: "ignore", Priority: []presence.TypeID{"lunch", "available"}, StaleAfter: "0"},
		Statuses: []api.Type{
			{ID: "available", Name: "Available", Base: presence.Connected, Color: "#2e7d32", Asterisk: &presence.Image{State: presence.Available}, Tags: []string{}, System: true},
			{ID: "lunch", Name: "Lunch", Base: presence.Absent, Color: "#ef6c00", Asterisk: &presence.Image{State: presence.Away, Subtype: "lunch"}, Lasts: &lasts, Tags: []string{"break"}},
		},
		Warnings: []api.Fault{},
	}}
	r.past = r.now()
	return r
}

func (r *Rules) now() api.RuleSet {
	set := r.set
	set.Statuses, set.Sync.Priority = slices.Clone(set.Statuses), slices.Clone(set.Sync.Priority)
	set.Undo = !r.NoPast
	return set
}

// Read returns the rules.
func (r *Rules) Read(context.Context) (api.RuleSet, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now(), r.Err
}

// Change takes a proposal over.
func (r *Rules) Change(_ context.Context, c *api.RuleChange) (api.RuleSet, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes = append(r.changes, *c)
	if r.Raced > 0 {
		r.Raced--
		r.bump()
	}
	if err := cmp.Or(r.Err, r.ChangeErr); err != nil {
		return api.RuleSet{}, err
	}
	if !c.Matches(r.set.Tag) {
		return api.RuleSet{}, api.ErrRulesDiffer
	}
	if err := r.allows(c); err != nil {
		return api.RuleSet{}, err
	}
	before, next := r.now(), r.now()
	next.Statuses = nil // else what is proposed would be mixed with what there is
	if err := json.Unmarshal([]byte(c.Proposal), &next); err != nil {
		return api.RuleSet{}, api.RuleFaults{{What: err.Error(), Do: "correct it"}}
	}
	if next.Statuses == nil {
		next.Statuses = before.Statuses
	}
	for i := range next.Statuses {
		next.Statuses[i].Tags = append([]string{}, next.Statuses[i].Tags...)
	}
	r.past, r.set, r.NoPast = before, next, false
	r.bump()
	return r.now(), nil
}

// allows asks whether who changes something may do what changes do.
func (r *Rules) allows(c *api.RuleChange) error {
	if c.Allow == nil || r.Diff == nil {
		return nil
	}
	return c.Allow(r.Diff)
}

func (r *Rules) bump() {
	var n int
	_, _ = fmt.Sscan(r.set.Tag, &n) // it is a number
	r.set.Tag = fmt.Sprint(n + 1)
}

// Preview tells of one user.
func (r *Rules) Preview(_ context.Context, proposal string, most int) (api.RulePreview, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes = append(r.changes, api.RuleChange{Proposal: proposal})
	if err := cmp.Or(r.Err, r.ChangeErr); err != nil {
		return api.RulePreview{}, err
	}
	p := api.RulePreview{
		Preview: bridge.Preview{Users: 3, Total: 2, Items: []bridge.PreviewChange{
			{User: "alice", Name: "Alice Martin", Before: status(1, "Back at 2", ago(0), "cli"), After: status(2, "", ago(0), "extension main/1001"), Why: presence.WonPriority},
			{User: "bob", Name: "Bob Lee", Before: status(1, "", ago(0), "cli"), Why: presence.WonNothing},
		}},
		Changes:  api.RuleDiff{Created: []presence.TypeID{}, Modified: []presence.TypeID{"lunch"}, Deleted: []presence.TypeID{}, Sync: true},
		Warnings: []api.Fault{{Field: "sync.incoming", What: "it surprises", Do: "use latest"}},
	}
	p.Items = p.Items[:min(most, len(p.Items))]
	return p, nil
}

// Undo goes back one step.
func (r *Rules) Undo(_ context.Context, c *api.RuleChange) (api.RuleSet, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.Err != nil:
		return api.RuleSet{}, r.Err
	case !c.Matches(r.set.Tag):
		return api.RuleSet{}, api.ErrRulesDiffer
	case r.NoPast:
		return api.RuleSet{}, api.ErrNothingPast
	}
	if err := r.allows(c); err != nil {
		return api.RuleSet{}, err
	}
	before := r.now()
	tag := r.set.Tag
	r.set, r.past = r.past, before
	r.set.Tag = tag
	r.bump()
	return r.now(), nil
}

// Changes are the changes and previews that were asked for.
func (r *Rules) Changes() []api.RuleChange {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.changes)
}
