package config

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// plainText is what needs no quotes, in brackets neither. There is more; this is what
// nobody has to think about.
var plainText = regexp.MustCompile(`^[\p{L}][\p{L}\p{M}\p{N}_.-]*( [\p{L}\p{M}\p{N}_.-]+)*$`)

// notText are words that mean something else to one program or another that reads YAML.
var notText = map[string]bool{"null": true, "true": true, "false": true, "yes": true, "no": true, "on": true, "off": true, "y": true, "n": true}

// scalar is a text as it is written in YAML on one line, with quotes like those before
// where there were some.
func scalar(text string, like yaml.Style) string {
	quotable := !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
	switch {
	case like&yaml.SingleQuotedStyle != 0 && quotable:
		return "'" + strings.ReplaceAll(text, "'", "''") + "'"
	case like&yaml.DoubleQuotedStyle == 0 && plainText.MatchString(text) && !notText[strings.ToLower(text)]:
		return text
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteRune('\\')
			b.WriteRune(r)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r <= 0xff:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	return b.String() + `"`
}
