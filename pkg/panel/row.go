package panel

import "github.com/presencebridge/presencebridge/pkg/presence"

// Value is what a row of the panel's table says. A NULL is an empty text.
type Value struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

// Memory is what has to be known of a row again after a restart: the same as the
// bridge keeps of an extension.
type Memory struct {
	Shows Value  `json:"shows"`           // what it said last
	Asked *Value `json:"asked,omitempty"` // what it was to say, and it is not known whether it does; nil: nothing
}

// row is one row of the panel's table that belongs to a user. It decides and does
// nothing else.
//
//	the row says                      it is
//	what we asked                     our own: it was written
//	what it said before               no change; what we asked was not written
//	anything, and was never read      the user's status, if they have none; else it is written over
//	what the user's status is         no change
//	anything else                     somebody's choice in the panel
type row struct {
	user     presence.UserID
	memory   Memory
	kept     bool   // memory is from this row, of this life or an earlier one
	met      bool   // it was read in this life
	want     *Value // what the user's status is there; nil: they have none
	owing    bool   // want is not what it says, and shall be written
	outdated bool   // memory has changed since it was saved
}

// direction says who follows whom.
type direction struct{ in, out bool }

// wants takes what the user's status is now. The same as before asks for nothing, so
// that what the panel says and nobody understands stays until the status changes.
func (r *row) wants(v *Value, d direction) {
	if (v == nil) == (r.want == nil) && (v == nil || *v == *r.want) {
		return
	}
	r.want = v
	r.owe(d)
}

func (r *row) owe(d direction) {
	r.owing = d.out && r.met && r.want != nil && *r.want != r.memory.Shows
}

// reads takes what the row says, and tells whether somebody in the panel chose that.
func (r *row) reads(v Value, d direction) (theirs bool) {
	asked, before, kept, met := r.memory.Asked, r.memory.Shows, r.kept, r.met
	if kept && met && asked == nil && v == before {
		return false // what is owed is owed still
	}
	r.outdated = r.outdated || !kept || asked != nil || v != before
	r.memory, r.kept, r.met = Memory{Shows: v}, true, true
	switch {
	case asked != nil && v == *asked, kept && v == before, r.want != nil && v == *r.want:
	case kept, r.want == nil:
		theirs = d.in && v.Status != ""
	}
	if r.owing = false; !theirs {
		r.owe(d)
	}
	return theirs
}

// asks notes that what is wanted is about to be written, and returns it.
func (r *row) asks() Value {
	v := *r.want
	r.memory.Asked, r.outdated, r.owing = &v, true, false
	return v
}

// wrote notes that it was.
func (r *row) wrote(d direction) {
	r.memory, r.outdated = Memory{Shows: *r.memory.Asked}, true
	r.owe(d)
}

// undo makes the next reading see again what reads took for somebody's choice, which
// could not be kept.
func (r *row) undo(before Memory) { r.memory, r.outdated = before, true }
