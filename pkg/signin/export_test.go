package signin

import "net/netip"

func (d *Desk) LookWhetherCutOff() { d.lookWhetherCutOff() }

func Prefixes(texts ...string) (all []netip.Prefix) {
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}
