// Package dialplan writes extensions.conf for the mapped users of one PBX: hints,
// and star codes that set and tell the presence of the phone that dials them.
//
// It connects to nothing. Nothing that a mapping may hold can become dialplan: what
// is free text there is written in base64, as comment, or not at all.
package dialplan

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/presencebridge/presencebridge/pkg/presence"
)

// Plan is what is written.
type Plan struct {
	PBX        string
	Context    string // what the names of the contexts begin with
	Prefix     string // what the codes begin with
	Presentity string // with Mark in place of the number
	Device     string // likewise; "": no phone is part of a hint
	DND        string // likewise, the device that says do not disturb; "": it is not part of a hint
	Lamp       string // likewise, the device that shows the status; "": there are no lamps
	Lamps      string // what the numbers of lamps begin with; "": there are no lamps
	Numbers    []Number
	Types      []presence.StatusType // in the order of the mapping
}

// Number is an extension and whose it is.
type Number struct{ Number, User string }

// Mark stands for the number in templates.
const Mark = "{extension}"

var (
	contextPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,39}$`)
	prefixPattern  = regexp.MustCompile(`^[*#0-9]{1,8}$`)
)

// code is a number to dial and what it does.
type code struct {
	dial string
	what string
	typ  *presence.StatusType
}

// Text returns the dialplan. An error is a sentence for whoever typed the names.
func (p Plan) Text() (string, error) {
	if !contextPattern.MatchString(p.Context) {
		return "", fmt.Errorf("%q cannot begin the name of a context: use up to 40 letters, digits, dots, hyphens and underscores, with a letter or digit first", p.Context)
	}
	if !prefixPattern.MatchString(p.Prefix) {
		return "", fmt.Errorf("%q cannot begin a code: use up to 8 of the keys 0 to 9, * and #, for example *7", p.Prefix)
	}
	codes, toggle, say, err := p.codes()
	if err != nil {
		return "", err
	}
	numbers, leftOut := p.usable()
	if len(numbers) == 0 {
		return "", fmt.Errorf("no user of the mapping has an extension on the PBX %s that Asterisk takes for a number", p.PBX)
	}
	if err := p.clash(numbers, append(slices.Clone(codes), toggle, say)); err != nil {
		return "", err
	}
	var b strings.Builder
	p.head(&b, codes, toggle, say)
	p.hints(&b, numbers, leftOut)
	fmt.Fprintf(&b, "\n[%s-codes]\n", p.Context)
	for _, c := range codes {
		fmt.Fprintf(&b, "; %s\n%s%s%s", comment(c.what), p.who(c.dial), set(n, c.typ), p.done())
	}
	p.toggle(&b, toggle)
	p.say(&b, say, codes)
	p.callers(&b, numbers)
	return b.String(), nil
}

// most is how many codes of status types two digits leave room for.
const most = 98

// codes numbers the mapped types from 0 in their order; the last two numbers of
// as many digits are the toggle and what says the present status.
func (p Plan) codes() (list []code, toggle, say code, err error) {
	for i := range p.Types {
		if t := &p.Types[i]; t.Asterisk != nil {
			list = append(list, code{what: t.Name, typ: t})
		}
	}
	digits, last := 1, 9
	if len(list) > 8 {
		digits, last = 2, 99
	}
	if len(list) > most {
		return nil, code{}, code{}, fmt.Errorf("%d statuses are mapped to presences, and two digits number %d: map fewer", len(list), most)
	}
	dial := func(n int) string { return fmt.Sprintf("%s%0*d", p.Prefix, digits, n) }
	for i := range list {
		list[i].dial = dial(i)
	}
	toggle = code{dial: dial(last - 1), what: "Do not disturb, and back"}
	say = code{dial: dial(last), what: "spells what the phone shows"}
	return list, toggle, say, nil
}

func (p Plan) head(b *strings.Builder, codes []code, toggle, say code) {
	fmt.Fprintf(b, "; Hints and star codes for the PBX %s, written by: presencebridge dialplan\n", comment(p.PBX))
	b.WriteString("; Write it anew when the mapping has changed. The bridge itself needs none of it.\n;\n")
	if p.dnd() == nil || p.back() == nil {
		toggle.what = "left out: it needs a status mapped to dnd, and a connected one to come back to"
	}
	for _, c := range append(slices.Clone(codes), toggle, say) {
		fmt.Fprintf(b, ";   %-8s %s\n", c.dial, comment(c.what))
	}
	if p.lamps() {
		fmt.Fprintf(b, ";   %-8s with a number behind it: a lamp that shows the status of the number\n", p.Lamps)
	}
	fmt.Fprintf(b, ";\n; The context of the phones needs:\n;   include => %s-hints\n;   include => %[1]s-codes\n", p.Context)
}

func fill(template, number string) string { return strings.Replace(template, Mark, number, 1) }

// n begins a line of an extension behind its first.
const n = " same => n,"

// who begins a code: the presentity of the caller is in GOSUB_RETVAL then. Whoever
// is not in the mapping hears the call end. A caller may have any name, hence FILTER.
func (p Plan) who(dial string) string {
	return fmt.Sprintf("exten => %s,1,Gosub(%s-caller,${FILTER(A-Za-z0-9_.\\x2d,${CALLERID(num)})},1)\n", dial, p.Context)
}

// set writes a presence. Texts go in base64 (option e), which needs no quoting.
func set(begin string, t *presence.StatusType) string {
	return fmt.Sprintf("%sSet(PRESENCE_STATE(${GOSUB_RETVAL})=%s,%s,,e)\n", begin, t.Asterisk.State, encoded(t))
}

func encoded(t *presence.StatusType) string {
	return base64.StdEncoding.EncodeToString([]byte(t.Asterisk.Subtype))
}

func (p Plan) done() string { return fmt.Sprintf("%sGoto(%s-done,s,1)\n", n, p.Context) }

// dnd is the status that the toggle sets, nil if there is none.
func (p Plan) dnd() *presence.StatusType {
	return p.first(func(t *presence.StatusType) bool { return t.Asterisk.State == presence.DND })
}

// back is the status that the toggle comes back to, nil if there is none.
func (p Plan) back() *presence.StatusType {
	return p.first(func(t *presence.StatusType) bool {
		return t.Base == presence.Connected && t.Asterisk.State != presence.DND
	})
}

func (p Plan) first(is func(*presence.StatusType) bool) *presence.StatusType {
	for i := range p.Types {
		if t := &p.Types[i]; t.Asterisk != nil && is(t) {
			return t
		}
	}
	return nil
}

func (p Plan) toggle(b *strings.Builder, c code) {
	on, off := p.dnd(), p.back()
	if on == nil || off == nil {
		return
	}
	fmt.Fprintf(b, "; %s\n%s", comment(c.what), p.who(c.dial))
	b.WriteString(n + "GotoIf($[\"${PRESENCE_STATE(${GOSUB_RETVAL},value)}\" = \"dnd\"]?off)\n")
	b.WriteString(set(n, on) + p.done() + set(" same => n(off),", off) + p.done())
}

// say spells the id of the status that the phone shows: letters are all that is
// sure to be among Asterisk's sounds. The very presence comes first, then the state
// alone, as the bridge has it.
func (p Plan) say(b *strings.Builder, c code, types []code) {
	fmt.Fprintf(b, "; %s\n%s", comment(c.what), p.who(c.dial))
	b.WriteString(n + "Set(presence=${PRESENCE_STATE(${GOSUB_RETVAL},value)}/${PRESENCE_STATE(${GOSUB_RETVAL},subtype,e)})\n")
	b.WriteString(n + "Answer\n" + n + "Wait(0.5)\n")
	for i, t := range types {
		fmt.Fprintf(b, "%sGotoIf($[\"${presence}\" = \"%s/%s\"]?t%d)\n", n, t.typ.Asterisk.State, encoded(t.typ), i)
	}
	for i, t := range types {
		if t.typ.Asterisk.Subtype == "" {
			fmt.Fprintf(b, "%sGotoIf($[\"${CUT(presence,/,1)}\" = \"%s\"]?t%d)\n", n, t.typ.Asterisk.State, i)
		}
	}
	b.WriteString(n + "SayAlpha(${FILTER(a-z,${CUT(presence,/,1)})})\n" + n + "Hangup\n")
	for i, t := range types {
		fmt.Fprintf(b, " same => n(t%d),SayAlpha(%s)\n%sHangup\n", i, spelled(t.typ), n)
	}
}

// spelled is what can be spelled of a status: of its id, else its state.
func spelled(t *presence.StatusType) string {
	id := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, strings.ToLower(string(t.ID)))
	if id == "" {
		return strings.ReplaceAll(t.Asterisk.State.String(), "_", "")
	}
	return id
}

// callers says who may dial, and as what.
func (p Plan) callers(b *strings.Builder, numbers []Number) {
	fmt.Fprintf(b, "\n[%s-done]\nexten => s,1,Answer\n%sWait(0.5)\n%[2]sPlayback(beep)\n%[2]sHangup\n", p.Context, n)
	fmt.Fprintf(b, "\n; Whose caller id may use the codes, and the presence that they set.\n[%s-caller]\n", p.Context)
	for _, x := range numbers {
		fmt.Fprintf(b, "exten => %s,1,Return(%s)\n", x.Number, fill(p.Presentity, x.Number))
	}
}

// comment is text that ends no comment and begins none of several lines, which is
// what ;-- does (main/config.c).
func comment(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune(" .,:'()+&/@_*#-", r) {
			return r
		}
		return '_'
	}, text)
}
