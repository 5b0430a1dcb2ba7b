package presence

import (
	"slices"
	"strings"
)

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

// Differs says in words what is set anew, for the history; "" where both are the same.
func (o Own) Differs(before Own) Rule {
	var words []string
	if o.Default != before.Default {
		if o.Default == (ExtensionID{}) {
			words = append(words, "the default extension is as the mapping says")
		} else {
			words = append(words, "the default extension is "+o.Default.String())
		}
	}
	switch {
	case o.Sync == nil && before.Sync != nil:
		words = append(words, "synchronisation is as the mapping says")
	case o.Sync == nil, before.Sync != nil && *before.Sync == *o.Sync:
	case *o.Sync:
		words = append(words, "synchronisation is on")
	default:
		words = append(words, "synchronisation is off")
	}
	if len(words) == 0 {
		return ""
	}
	return Rule("own settings: " + strings.Join(words, ", "))
}

// OwnPart is what a user's own settings have to do with an Explanation.
type OwnPart struct {
	Default        *ExtensionID `json:"default_extension"`                   // nil: none was chosen
	DefaultIgnored bool         `json:"default_extension_ignored,omitempty"` // it is not the user's any more
	Sync           *bool        `json:"sync"`                                // nil: not set
	SyncIgnored    bool         `json:"sync_ignored,omitempty"`              // the synchronisation is off for everybody
}
