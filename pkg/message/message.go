// Package message names what the bridge tells people, so that a page can tell it in the
// reader's language.
//
// It has no words of its own: English stands where something is said, and translations
// stand with the pages.
package message

import "strings"

// Key names a sentence. Programs may tell sentences apart by it.
type Key struct {
	Code   string            `json:"code,omitempty"`   // stays, such as choice.over; "": there is none, and it is said in English everywhere
	Params map[string]string `json:"params,omitempty"` // what stands in it for {name}; nil: nothing
}

// As is the key of a sentence, with a name and a value by turns for what stands in it.
func As(code string, pairs ...string) Key {
	k := Key{Code: code}
	for i := 0; i+1 < len(pairs); i += 2 {
		if k.Params == nil {
			k.Params = make(map[string]string)
		}
		k.Params[pairs[i]] = pairs[i+1]
	}
	return k
}

// Only is the key of a sentence that may have been given one.
func Only(key []Key) Key {
	if len(key) == 0 {
		return Key{}
	}
	return key[0]
}

// Message is a sentence.
type Message struct {
	Text string `json:"text"` // English
	Key
	Leads bool `json:"leads,omitempty"` // the next sentence is what it speaks of, and follows a colon
}

// Join is what several sentences say in English.
func Join(list []Message) string {
	var b strings.Builder
	for i, m := range list {
		switch {
		case i == 0:
		case list[i-1].Leads:
			b.WriteString(": ")
		default:
			b.WriteString("; ")
		}
		b.WriteString(m.Text)
	}
	return b.String()
}
