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
	Shows   Value  `json:"shows"`             // what it said last
	Asked   *Value `json:"asked,omitempty"`   // what it was to say, and it is not known whether it does; nil: nothing
	Strange bool   `json:"strange,omitempty"` // somebody chose Shows, and nobody understood it
}

// row is one row of the panel's table that belongs to a user. It decides and does
// nothing else.
//
//	the row says                      it is
//	what we asked                     our own: it was written
//	what it said before               no change; what we asked was not written
//	                                  and if it was not understood then: tried again, now and then
//	anything, and was never read      the user's status, if they have none; else it is written over
//	what the user's status is         no change
//	anything else                     somebody's choice in the panel
type row struct {
	user     presence.UserID
	name     string // its key as the table has it
	memory   Memory
	kept     bool   // memory is from this row, of this life or an earlier one
	met      bool   // it was read in this life
	twice    bool   // the table has several of this key: they are left alone
	want     *Value // what the user's status is there; nil: they have none
	barred   *Value // what the table did not take; nil: nothing. Not tried again before everything is read
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
	r.owing = d.out && r.met && !r.twice && r.want != nil && *r.want != r.memory.Shows && (r.barred == nil || *r.barred != *r.want)
}

// reads takes what the row says, and tells whether somebody in the panel chose that.
// again asks about what nobody understood once more.
func (r *row) reads(v Value, d direction, again bool) (theirs bool) {
	before, kept, met := r.memory, r.kept, r.met
	same := kept && v == before.Shows
	if same && before.Strange && (again || !met) && d.in {
		r.met = true
		return true
	}
	if same && (met || before.Strange) && before.Asked == nil {
		r.met = true
		return false // what is owed is owed still
	}
	r.outdated = r.outdated || !kept || before.Asked != nil || !same
	r.memory, r.kept, r.met = Memory{Shows: v}, true, true
	switch {
	case before.Asked != nil && v == *before.Asked, same, r.want != nil && v == *r.want:
	case kept, r.want == nil:
		theirs = d.in && v.Status != ""
	}
	if r.owing = false; !theirs {
		r.owe(d)
	}
	return theirs
}

// strange notes that nobody understood what somebody chose.
func (r *row) strange() {
	r.outdated = r.outdated || !r.memory.Strange
	r.memory.Strange, r.owing = true, false
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

// refused notes that the table does not take it.
func (r *row) refused() {
	r.barred = r.memory.Asked
	r.memory.Asked, r.outdated, r.owing = nil, true, false
}

// retry lets what the table did not take be tried again.
func (r *row) retry(d direction) {
	if r.barred != nil {
		r.barred = nil
		r.owe(d)
	}
}
