package presence

import (
	"slices"
	"time"
)

// Mapping is the administrator's file as the core needs it. It is immutable.
type Mapping struct {
	Types *Types
	Users []MappedUser // in the order of the file
}

// MappedUser is one user of a mapping.
type MappedUser struct {
	ID     UserID
	Name   string  // never empty: the id where the file has none
	Email  string  // "" if unknown
	Labels *Labels // nil: none
	Rules  *Rules
}

// Labels are words that tell users, or status types, apart for people and programs; nothing here looks
// at them. They are immutable.
type Labels struct {
	Tags, Groups []string
}

// Rules is the mapping as it applies to one user. It is immutable.
type Rules struct {
	*Policy
	Extensions []ExtensionID // in the order of the file; may be empty
	Default    int           // index of the default extension; 0 if there is none
}

// Policy is what users usually share of their rules. It is immutable.
type Policy struct {
	Sync         bool // false: the user is left alone in both directions
	Off          bool // with Sync false: so is everybody, whatever users set for themselves
	Incoming     Method
	Outgoing     Outgoing
	CountRepeats bool          // the same value set again by a phone counts for Latest
	StaleAfter   time.Duration // after so long an unreachable extension no longer counts; 0: it always counts
	Types        *Types
	Ranks        Ranks
	UntilText    string         // what phones show of a return time, with {time} in it; "": nothing
	Zone         *time.Location // of UntilText; nil: UTC
	Phones       *Phones        // what shows over the status while phones are in use; nil: nothing
}

// Types is the table of status types, shared by all users. It is immutable.
type Types struct {
	list    []StatusType
	removed []StatusType
	byID    map[TypeID]*StatusType
	exact   map[Image]TypeID
	byState map[State]TypeID
}

// NewTypes makes the table. Where two types are mapped to one presence, the first
// is the one that the presence means. removed are types that the mapping no
// longer has and somebody still shows: they can be looked up and nothing else.
func NewTypes(list, removed []StatusType) *Types {
	t := &Types{
		list:    slices.Clone(list),
		removed: slices.Clone(removed),
		byID:    make(map[TypeID]*StatusType, len(list)+len(removed)),
		exact:   make(map[Image]TypeID, len(list)),
		byState: make(map[State]TypeID, len(list)),
	}
	for i := range t.removed {
		t.byID[t.removed[i].ID] = &t.removed[i]
	}
	for i := range t.list {
		s := &t.list[i]
		t.byID[s.ID] = s
		if s.Asterisk == nil {
			continue
		}
		if _, taken := t.exact[*s.Asterisk]; !taken {
			t.exact[*s.Asterisk] = s.ID
		}
		if _, taken := t.byState[s.Asterisk.State]; !taken && s.Asterisk.Subtype == "" {
			t.byState[s.Asterisk.State] = s.ID
		}
	}
	return t
}

// WithRemoved returns a table that also looks up types which t no longer has: t
// itself if there are none.
func (t *Types) WithRemoved(removed []StatusType) *Types {
	if len(removed) == 0 && len(t.removed) == 0 {
		return t
	}
	return NewTypes(t.list, removed)
}

// Lost lists the types that t can look up and the next table cannot.
func (t *Types) Lost(next *Types) (lost []StatusType) {
	for _, s := range slices.Concat(t.list, t.removed) {
		if _, there := next.byID[s.ID]; !there {
			lost = append(lost, s)
		}
	}
	return lost
}

// List returns the types in the order of the mapping. The caller must not change it.
func (t *Types) List() []StatusType { return t.list }

// Lookup returns the type with this id, nil if there is none. removed says that the
// mapping no longer has it.
func (t *Types) Lookup(id TypeID) (s *StatusType, removed, ok bool) {
	s, ok = t.byID[id]
	return s, ok && !t.has(s), ok
}

// has tells whether p is one of the mapping's own types.
func (t *Types) has(p *StatusType) bool {
	return !slices.ContainsFunc(t.removed, func(r StatusType) bool { return r.ID == p.ID }) ||
		slices.ContainsFunc(t.list, func(s StatusType) bool { return s.ID == p.ID })
}

// image returns the presence that type id is mapped to; a removed type is not mapped any more.
func (t *Types) image(id TypeID) (Image, bool) {
	s, ok := t.byID[id]
	if !ok || s.Asterisk == nil || !t.has(s) {
		return Image{}, false
	}
	return *s.Asterisk, true
}

// typeOf turns a presence into a status type, once, when it is said:
//
//	the extension's own type, if it is mapped to this very presence
//	the user's type, likewise      (so Lunch, written as away, comes back as Lunch)
//	the type mapped to state and subtype
//	the type mapped to the state alone
//
// ok is false where none is: the presence is not synchronised.
func (t *Types) typeOf(p Presence, own, users TypeID) (id TypeID, ok bool) {
	img := Image{p.State, p.Subtype}
	for _, id := range [...]TypeID{own, users} {
		if i, mapped := t.image(id); mapped && i == img {
			return id, true
		}
	}
	if id, ok = t.exact[img]; ok {
		return id, true
	}
	id, ok = t.byState[p.State]
	return id, ok
}

// Ranks says how high a type stands for Priority: a lower number wins. It is immutable.
type Ranks map[TypeID]int

// stateOrder is how Asterisk itself ranks states when it combines several
// (main/presencestate.c:154), the strongest first.
var stateOrder = [...]State{DND, XA, Away, Chat, Unavailable, Available, NotSet}

// NewRanks ranks every type: those of priority in their order, then the mapped
// ones by Asterisk's order of their states, then the rest; ties in the order of the mapping.
func NewRanks(t *Types, priority []TypeID) Ranks {
	r := make(Ranks, len(t.list))
	add := func(id TypeID) {
		if _, done := r[id]; !done {
			r[id] = len(r)
		}
	}
	for _, id := range priority {
		add(id)
	}
	for _, state := range stateOrder {
		for _, s := range t.list {
			if s.Asterisk != nil && s.Asterisk.State == state {
				add(s.ID)
			}
		}
	}
	for _, s := range t.list {
		add(s.ID)
	}
	return r
}

// of returns the rank of id; a type the mapping no longer has stands last.
func (r Ranks) of(id TypeID) int {
	if rank, ok := r[id]; ok {
		return rank
	}
	return len(r)
}
