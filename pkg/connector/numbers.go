package connector

import (
	"hash/maphash"
	"math/bits"
)

// Numbers are the extensions of one PBX that matter, to be found by number. They are
// never changed. A map of 200,000 would take four times as much. NewNumbers makes them.
type Numbers struct {
	list   []string
	seed   maphash.Seed
	places []uint32 // the hash of a number says where to begin: 1 + where it stands in list; 0: go no further
}

// NewNumbers keeps list, which nobody may change any more. No number stands there twice.
func NewNumbers(list []string) *Numbers {
	n := &Numbers{list: list, seed: maphash.MakeSeed(), places: make([]uint32, len(list)+len(list)/2+1)}
	for i, number := range list {
		n.places[n.place(number)] = uint32(i + 1)
	}
	return n
}

// List returns all of them. Nobody may change it.
func (n *Numbers) List() []string { return n.list }

// Find returns where in the list a number stands, -1 if it is not one of them.
func (n *Numbers) Find(number string) int {
	return int(n.places[n.place(number)]) - 1
}

// Has tells whether number is one of them.
func (n *Numbers) Has(number string) bool { return n.Find(number) >= 0 }

// place returns the place of number, or the free one where the search for it ends. A
// third of them is free.
func (n *Numbers) place(number string) int {
	begin, _ := bits.Mul64(maphash.String(n.seed, number), uint64(len(n.places)))
	at := int(begin)
	for n.places[at] != 0 && n.list[n.places[at]-1] != number {
		if at++; at == len(n.places) {
			at = 0
		}
	}
	return at
}
