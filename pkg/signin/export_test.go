package signin

import "net/netip"

// Cheap makes passwords cost little, for tests of something else.
func (d *Desk) Cheap() { d.hasher = newHasher(cost{time: 1, memory: 64, threads: 1}) }

func (d *Desk) LookWhetherCutOff() { d.lookWhetherCutOff() }

func Prefixes(texts ...string) (all []netip.Prefix) {
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

// Dear makes passwords cost what they do.
func (d *Desk) Dear() { d.hasher = newHasher(standardCost) }
