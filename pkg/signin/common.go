package signin

import (
	_ "embed"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	leastPassword = 12   // characters
	mostPassword  = 1024 // bytes
)

//go:embed common.txt
var commonText string

// commonWords are what passwords that everybody tries are made of, in small letters.
var commonWords = strings.Fields(commonText)

// weak tells what is wrong about a password for an account of a name; nil: nothing.
func weak(password, name string) *Message {
	switch {
	case !utf8.ValidString(password) || utf8.RuneCountInString(password) < leastPassword:
		m := passwordShort()
		return &m
	case len(password) > mostPassword:
		m := passwordLong()
		return &m
	case isName(strings.ToLower(password), name):
		m := passwordName()
		return &m
	case common(password):
		m := passwordCommon()
		return &m
	}
	return nil
}

// isName tells whether a password is a name, with nothing but digits and signs around it.
func isName(password, name string) bool {
	return name != "" && strings.Contains(password, name) && plain(strings.ReplaceAll(password, name, "")) == ""
}

// leet are signs that stand for letters in passwords that everybody tries, too.
var leet = strings.NewReplacer("0", "o", "1", "i", "3", "e", "4", "a", "5", "s", "7", "t", "@", "a", "$", "s", "!", "i")

// plain is text without capitals, and without all that is no letter at its ends.
func plain(text string) string {
	return strings.TrimFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) })
}

// common tells whether a password is one of those that everybody tries first: one or two
// of the words, with digits and signs around them; a short piece again and again; or a
// row of the keyboard, or of the digits.
func common(password string) bool {
	text := strings.ToLower(password)
	if repeats(text) || inARow(text) {
		return true
	}
	for _, t := range []string{plain(text), plain(leet.Replace(text)), plain(leet.Replace(plain(text)))} {
		t = strings.Join(strings.FieldsFunc(t, func(r rune) bool { return !unicode.IsLetter(r) }), "")
		if t == "" || made(t, 2) {
			return true
		}
	}
	return false
}

// made tells whether text is nothing but so many of the words.
func made(text string, words int) bool {
	if text == "" {
		return true
	}
	if words == 0 {
		return false
	}
	for _, w := range commonWords {
		if rest, ok := strings.CutPrefix(text, w); ok && made(rest, words-1) {
			return true
		}
	}
	return false
}

// repeats tells whether text is a piece of at most four characters again and again.
func repeats(text string) bool {
	runes := []rune(text)
	for n := 1; n <= 4; n++ {
		same := true
		for i := n; i < len(runes) && same; i++ {
			same = runes[i] == runes[i-n]
		}
		if same {
			return true
		}
	}
	return false
}

// inARow tells whether every character of text is beside the one before, in the alphabet
// or on a keyboard.
func inARow(text string) bool {
	const rows = "01234567890|abcdefghijklmnopqrstuvwxyza|qwertyuiop|qwertzuiop|azertyuiop|asdfghjkl|zxcvbnm|yxcvbnm|1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik"
	beside := 0
	runes := []rune(text)
	for i := 1; i < len(runes); i++ {
		pair := string(runes[i-1 : i+1])
		back := string([]rune{runes[i], runes[i-1]})
		if strings.Contains(rows, pair) || strings.Contains(rows, back) || runes[i-1] == runes[i] {
			beside++
		}
	}
	return beside >= len(runes)-3
}
