package bridge

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// AppendJSON appends u as package json writes it without escaping HTML, byte for byte, in
// an eighth of the time, and without memory of its own unless a text has to be escaped:
// each change of a user is sent twice. TestAUserIsEncodedAsByPackageJSON finds a field that is missing here.
func (u *User) AppendJSON(b []byte) []byte {
	b = appendText(append(b, `{"id":`...), string(u.ID))
	b = appendText(append(b, `,"name":`...), u.Name)
	b = appendWords(b, `,"tags":[`, u.Tags)
	b = appendWords(b, `,"groups":[`, u.Groups)
	b = strconv.AppendUint(append(b, `,"version":`...), u.Version, 10)
	b = appendText(append(b, `,"phone":`...), u.Phone.String())
	b = strconv.AppendBool(append(b, `,"saved":`...), u.Saved)
	b = u.Status.append(append(b, `,"status":`...))
	if u.Under != nil {
		b = u.Under.append(append(b, `,"under":`...))
	}
	b = append(b, `,"extensions":`...)
	if u.Extensions == nil {
		b = append(b, "null"...)
	} else {
		b = append(b, '[')
		for i := range u.Extensions {
			if i > 0 {
				b = append(b, ',')
			}
			b = u.Extensions[i].append(b)
		}
		b = append(b, ']')
	}
	b = append(b, `,"last":`...)
	if u.Last == nil {
		return append(b, "null}"...)
	}
	return append(u.Last.append(b), '}')
}

func (st *UserStatus) append(b []byte) []byte {
	if st == nil {
		return append(b, "null"...)
	}
	b = appendText(append(b, `{"type":`...), string(st.Type))
	b = appendText(append(b, `,"name":`...), st.Name)
	b = appendText(append(b, `,"base":`...), string(st.Base))
	b = appendText(append(b, `,"color":`...), st.Color)
	b = appendText(append(b, `,"message":`...), st.Message)
	if st.Label != "" {
		b = appendText(append(b, `,"label":`...), st.Label)
	}
	b = appendTime(append(b, `,"since":`...), &st.Since)
	b = appendTime(append(b, `,"until":`...), st.Until)
	b = appendText(append(b, `,"by":`...), st.By)
	if st.Removed {
		b = append(b, `,"removed":true`...)
	}
	if st.Stale {
		b = append(b, `,"stale":true`...)
	}
	return append(b, '}')
}

func (x *UserExtension) append(b []byte) []byte {
	b = appendText(append(b, `{"pbx":`...), x.PBX)
	b = appendText(append(b, `,"extension":`...), x.Extension)
	b = strconv.AppendBool(append(b, `,"default":`...), x.Default)
	b = strconv.AppendBool(append(b, `,"reachable":`...), x.Reachable)
	b = append(b, `,"presence":`...)
	if p := x.Presence; p == nil {
		b = append(b, "null"...)
	} else {
		b = appendText(append(b, `{"state":`...), p.State.String())
		b = appendText(append(b, `,"subtype":`...), p.Subtype)
		b = append(appendText(append(b, `,"message":`...), p.Message), '}')
	}
	b = appendTime(append(b, `,"since":`...), x.Since)
	return append(strconv.AppendBool(append(b, `,"pending":`...), x.Pending), '}')
}

func (l *LastChange) append(b []byte) []byte {
	at := l.At.Time()
	b = appendTime(append(b, `{"at":`...), &at)
	b = appendText(append(b, `,"by":`...), l.By)
	return append(appendText(append(b, `,"rule":`...), string(l.Rule)), '}')
}

// appendWords appends what begins a list and the list, unless it is empty.
func appendWords(b []byte, begin string, words []string) []byte {
	for i, w := range words {
		if i == 0 {
			b = append(b, begin...)
		} else {
			b = append(b, ',')
		}
		b = appendText(b, w)
	}
	if len(words) == 0 {
		return b
	}
	return append(b, ']')
}

// appendTime appends t in RFC 3339; nil: null.
func appendTime(b []byte, t *time.Time) []byte {
	if t == nil {
		return append(b, "null"...)
	}
	return append(t.AppendFormat(append(b, '"'), time.RFC3339Nano), '"')
}

// appendText appends s in quotes. Texts of which a part has to be written otherwise are
// package json's affair.
func appendText(b []byte, s string) []byte {
	if plain(s) {
		return append(append(append(b, '"'), s...), '"')
	}
	var quoted bytes.Buffer
	e := json.NewEncoder(&quoted)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string has no errors
	return append(b, bytes.TrimSuffix(quoted.Bytes(), []byte("\n"))...)
}

// plain tells whether JSON has s as it is. Scripts take U+2028 and U+2029 for the end of
// a line, so package json escapes them.
func plain(s string) bool {
	ascii := true
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ', c == '"', c == '\\':
			return false
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return ascii || utf8.ValidString(s) && !strings.ContainsAny(s, "\u2028\u2029")
}
