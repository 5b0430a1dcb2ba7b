package presence

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// FuzzPlain holds what a panel or program may set to what a phone can take.
func FuzzPlain(f *testing.F) {
	f.Add("Back at 2, call me")
	f.Add("a\r\nb\x00\x7f\u0085\xff" + strings.Repeat("é", 130))
	f.Add("\u202e\u2028\U0010ffff\xed\xa0\x80")
	f.Fuzz(func(t *testing.T, s string) {
		got, cut := Plain(s)
		if !utf8.ValidString(got) || len(got) > MaxText || strings.ContainsFunc(got, unicode.IsControl) {
			t.Errorf("%q became %q", s, got)
		}
		if again, more := Plain(got); again != got || more {
			t.Errorf("%q became %q, then %q", s, got, again)
		}
		whole := strings.Map(func(r rune) rune {
			if unicode.IsControl(r) {
				return ' '
			}
			return r
		}, strings.ToValidUTF8(s, "\uFFFD"))
		if !cut && got != whole || cut != (len(whole) > MaxText) {
			t.Errorf("%q became %q, cut: %v", s, got, cut)
		}
	})
}

// FuzzCanonical holds the form in which presences are compared to being one.
func FuzzCanonical(f *testing.F) {
	f.Add(uint8(3), "lunch", "Back at 2")
	f.Add(uint8(9), strings.Repeat("é", 128), strings.Repeat("\xff", 300))
	f.Fuzz(func(t *testing.T, state uint8, subtype, message string) {
		p := Presence{State(state), subtype, message}
		got := p.Canonical()
		if got != got.Canonical() || got.State != p.State {
			t.Errorf("%+v becomes %+v, then %+v", p, got, got.Canonical())
		}
		for text, was := range map[string]string{got.Subtype: subtype, got.Message: message} {
			if !utf8.ValidString(text) || len(text) > MaxText {
				t.Errorf("%q became %q", was, text)
			}
			if utf8.ValidString(was) && len(text) < len(was) && len(text) <= MaxText-utf8.UTFMax {
				t.Errorf("%q lost more than it had to: %q", was, text)
			}
			if utf8.ValidString(was) && !strings.HasPrefix(was, text) {
				t.Errorf("%q became %q", was, text)
			}
		}
	})
}
