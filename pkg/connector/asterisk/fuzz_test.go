package asterisk

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/presencebridge/presencebridge/pkg/ami"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// FuzzAddress holds the translation between extensions and presentities to its
// promise for every template and presentity, as phones and forgers write them.
func FuzzAddress(f *testing.F) {
	f.Add("", "CustomPresence:1001")
	f.Add("CustomPresence:desk-{extension}.x", "custompresence:desk-1001.x")
	f.Add("CustomPresence:aa{extension}aa", "CustomPresence:aaa")
	f.Add("CustomPresence:{extension}{extension}", "CustomPresence:1")
	f.Add("CustomPresence:presencebridge-{extension}", "CustomPresence:presencebridge-a-canary")
	f.Add("CustomPresence:{extension}", "CustomPresence:1001\r\nStatus: dnd")
	f.Add("CustomPresence:{extension}", "CUSTOMPRESENCE:"+strings.Repeat("9", 65))
	f.Fuzz(func(t *testing.T, template, presentity string) {
		where, err := parseAddress(template)
		if err != nil {
			return
		}
		number := string(where.number([]byte(presentity)))
		if number == "" {
			return
		}
		if !strings.EqualFold(where.presentity(number), presentity) {
			t.Errorf("with %q the extension of %q is %q, whose presentity is %q", template, presentity, number, where.presentity(number))
		}
		if again := string(where.number([]byte(where.presentity(number)))); again != number {
			t.Errorf("%q becomes %q on the way there and back", number, again)
		}
		if _, err := ami.SetPresence(where.presentity(number), "away", "", ""); err != nil {
			t.Errorf("extension %q was understood but cannot be written: %v", number, err)
		}
		if strings.ContainsAny(number, "\r\n\x00/&,)") || !utf8.ValidString(number) {
			t.Errorf("extension %q", number)
		}
	})
}

// FuzzTranslation holds what is reported to its form, whatever the wire says, and
// to itself: what is remembered is what would be computed.
func FuzzTranslation(f *testing.F) {
	f.Add("away", `Back at 2\nor 3`, "\xff\\", true)
	f.Add("DND", strings.Repeat("é", 128), `\q\`, false)
	f.Fuzz(func(t *testing.T, status, subtype, message string, escaped bool) {
		where, err := parseAddress("")
		if err != nil {
			t.Fatal(err)
		}
		translate := newTranslator(where, deviceTemplate{}, following())
		translate.escaped = escaped
		once, ok := translate.presence([]byte(status), []byte(subtype), []byte(message))
		again, _ := translate.presence([]byte(status), []byte(subtype), []byte(message))
		if once != again || once != once.Canonical() {
			t.Errorf("%q %q is %+v, then %+v", subtype, message, once, again)
		}
		if state, valid := presence.ParseState(status); ok != valid || state != once.State {
			t.Errorf("state %q is %v, %v", status, once.State, ok)
		}
	})
}
