package bridge

import (
	"hash/maphash"
	"math/bits"

	"github.com/presencebridge/presencebridge/pkg/presence"
)

// people are the users of a mapping in its order, to be found by id. Once they are all
// there they are never changed: a mapping brings others. A map would take five times as
// much, and would not know who stands where.
type people struct {
	mapped []presence.MappedUser // of the mapping
	users  []*user               // of each, in the same order
	seed   maphash.Seed
	places []uint32 // the hash of an id says where to begin: 1 + where it stands in mapped; 0: go no further
}

// newPeople makes people whose users are still to be filled in.
func newPeople(mapped []presence.MappedUser) *people {
	p := &people{mapped, make([]*user, len(mapped)), maphash.MakeSeed(), make([]uint32, len(mapped)+len(mapped)/2+1)}
	for i := range mapped {
		p.places[p.place(mapped[i].ID)] = uint32(i + 1)
	}
	return p
}

// find returns where a user stands, -1 if they are not there.
func (p *people) find(id presence.UserID) int {
	return int(p.places[p.place(id)]) - 1
}

// of returns a user, nil if they are not there.
func (p *people) of(id presence.UserID) *user {
	i := p.find(id)
	if i < 0 {
		return nil
	}
	return p.users[i]
}

// place returns the place of an id, or the free one where the search for it ends. A
// third of them is free.
func (p *people) place(id presence.UserID) int {
	begin, _ := bits.Mul64(maphash.String(p.seed, string(id)), uint64(len(p.places)))
	at := int(begin)
	for p.places[at] != 0 && p.mapped[p.places[at]-1].ID != id {
		if at++; at == len(p.places) {
			at = 0
		}
	}
	return at
}
