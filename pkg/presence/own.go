package presence

import "slices"

// Own is what a user has set for themself. It wins over the mapping, to which the zero
// value leaves everything. It is immutable.
type Own struct {
	Default ExtensionID // the zero value: the mapping's
	Sync    *bool       // nil: as the mapping says
}

// Apply returns the rules of a user with these settings: r itself where they change
// nothing. A default extension that is no longer the user's is ignored, and so is a
// switch where the synchronisation is off for everybody.
func (o Own) Apply(r *Rules) *Rules {
	own, i := *r, slices.Index(r.Extensions, o.Default)
	if i >= 0 {
		own.Default = i
	}
	if o.Sync != nil && *o.Sync != r.Sync && !r.Off {
		p := *r.Policy
		p.Sync = *o.Sync
		own.Policy = &p
	}
	if own.Default == r.Default && own.Policy == r.Policy {
		return r
	}
	return &own
}

// Explain tells what of the settings holds; nil where nothing was set. r are the rules
// of the mapping.
func (o Own) Explain(r *Rules) *OwnPart {
	if o == (Own{}) {
		return nil
	}
	e := &OwnPart{Sync: o.Sync, SyncIgnored: o.Sync != nil && *o.Sync && r.Off}
	if id := o.Default; id != (ExtensionID{}) {
		e.Default, e.DefaultIgnored = &id, !slices.Contains(r.Extensions, id)
	}
	return e
}

// The lines of the history that tell what a user has set for themself.
const (
	OwnDefault    Rule = "another default extension was chosen for the user"
	OwnNoDefault  Rule = "the default extension is the one of the mapping again"
	OwnSyncOn     Rule = "synchronisation was switched on for the user"
	OwnSyncOff    Rule = "synchronisation was switched off for the user"
	OwnSyncMapped Rule = "synchronisation is as the mapping says again"
)

// Differs tells what is set anew, for the history; none where both are the same.
func (o Own) Differs(before Own) (rules []Rule) {
	switch o.Default {
	case before.Default:
	case ExtensionID{}:
		rules = append(rules, OwnNoDefault)
	default:
		rules = append(rules, OwnDefault)
	}
	switch {
	case o.Sync == nil && before.Sync != nil:
		rules = append(rules, OwnSyncMapped)
	case o.Sync == nil, before.Sync != nil && *before.Sync == *o.Sync:
	case *o.Sync:
		rules = append(rules, OwnSyncOn)
	default:
		rules = append(rules, OwnSyncOff)
	}
	return rules
}

// OwnPart is what a user's own settings have to do with an Explanation.
type OwnPart struct {
	Default        *ExtensionID `json:"default_extension"`                   // nil: none was chosen
	DefaultIgnored bool         `json:"default_extension_ignored,omitempty"` // it is not the user's any more
	Sync           *bool        `json:"sync"`                                // nil: not set
	SyncIgnored    bool         `json:"sync_ignored,omitempty"`              // the synchronisation is off for everybody
}
