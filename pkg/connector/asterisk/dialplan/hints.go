package dialplan

import (
	"fmt"
	"strings"
)

// usable are the numbers that Asterisk takes for numbers, and why it does not others.
func (p Plan) usable() (numbers []Number, leftOut []string) {
	seen := map[string]string{}
	for _, x := range p.Numbers {
		first, twice := seen[dashless(x.Number)]
		switch {
		case x.Number[0] == '_':
			leftOut = append(leftOut, x.Number+", as Asterisk takes what begins with _ for a pattern")
		case twice:
			leftOut = append(leftOut, x.Number+", as Asterisk takes it for "+first)
		default:
			seen[dashless(x.Number)] = x.Number
			numbers = append(numbers, x)
		}
	}
	return numbers, leftOut
}

// dashless is a number as Asterisk compares it (main/pbx.c, ext_cmp_exten).
func dashless(number string) string { return strings.ReplaceAll(number, "-", "") }

// lamps tells whether there are hints of lamps.
func (p Plan) lamps() bool { return p.Lamp != "" && p.Lamps != "" }

// clash finds numbers that would stand in each other's way: Asterisk takes the first
// of two that are the same, and a phone that dials as keys are pressed does not wait
// for the rest of the longer one.
func (p Plan) clash(numbers []Number, codes []code) error {
	for _, x := range numbers {
		for _, c := range codes {
			if begins(dashless(x.Number), c.dial) {
				return fmt.Errorf("the code %s and the number %s of the mapping begin alike, so that one of them could not be dialled: let codes begin with something else than %q, for example *7",
					c.dial, x.Number, p.Prefix)
			}
		}
	}
	if p.Lamps != "" && !prefixPattern.MatchString(p.Lamps) {
		return fmt.Errorf("%q cannot begin the number of a lamp: use up to 8 of the keys 0 to 9, * and #, for example *55", p.Lamps)
	}
	if !p.lamps() {
		return nil
	}
	if begins(p.Prefix, p.Lamps) {
		return fmt.Errorf("codes begin with %q and the numbers of lamps with %q, which begin alike: change one of them", p.Prefix, p.Lamps)
	}
	taken := make(map[string]string, len(numbers))
	for _, x := range numbers {
		taken[dashless(x.Number)] = x.Number
	}
	for _, x := range numbers {
		if other, ok := taken[dashless(p.Lamps+x.Number)]; ok {
			return fmt.Errorf("the lamp of %s would have the number %s of the mapping: let the numbers of lamps begin with something else than %q, for example *55",
				x.Number, other, p.Lamps)
		}
	}
	return nil
}

// begins tells whether one of both is how the other begins.
func begins(a, b string) bool { return strings.HasPrefix(a, b) || strings.HasPrefix(b, a) }

// hints are for whoever watches the numbers.
func (p Plan) hints(b *strings.Builder, numbers []Number, leftOut []string) {
	fmt.Fprintf(b, "\n[%s-hints]\n", p.Context)
	for _, x := range numbers {
		fmt.Fprintf(b, "exten => %s,hint,%s,%s ; %s\n", x.Number, p.devices(x.Number), fill(p.Presentity, x.Number), comment(x.User))
	}
	if p.lamps() {
		b.WriteString("; Lamps for phones that know nothing of presence: a key for each of these numbers.\n")
		for _, x := range numbers {
			fmt.Fprintf(b, "exten => %s%s,hint,%s ; %s\n", p.Lamps, x.Number, fill(p.Lamp, x.Number), comment(x.User))
		}
	}
	for _, why := range leftOut {
		fmt.Fprintf(b, "; left out: %s\n", why)
	}
}

// devices are those whose states the hint of a number puts together.
func (p Plan) devices(number string) string {
	phone, dnd := fill(p.Device, number), fill(p.DND, number)
	if phone == "" || dnd == "" {
		return phone + dnd
	}
	return phone + "&" + dnd
}
