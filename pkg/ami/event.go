package ami

import (
	"bytes"
	"iter"
	"strings"
)

// fold compares a header name in ASCII without case, as Asterisk does.
func fold(name []byte, want string) bool {
	if string(name) == want {
		return true
	}
	if len(name) != len(want) {
		return false
	}
	for i, b := range name {
		if lower(b) != lower(want[i]) {
			return false
		}
	}
	return true
}

func lower(b byte) byte {
	if 'A' <= b && b <= 'Z' {
		return b + 'a' - 'A'
	}
	return b
}

// Event is something the PBX tells. It lies in the reader's buffer: it is valid
// only during the call that it was passed to. Header names have no case.
type Event struct{ *frame }

// Name returns the name of the event.
func (e Event) Name() string { return e.Get("Event") }

// Is tells, without allocating, whether the event has that name.
func (e Event) Is(name string) bool { return fold(e.Bytes("Event"), name) }

// Get returns the value of the first such header, "" if there is none.
func (e Event) Get(name string) string { return string(e.Bytes(name)) }

// Bytes returns the value of the first such header without copying it. nil
// means that there is none.
func (e Event) Bytes(name string) []byte { return e.find(name) }

// Has tells whether there is such a header.
func (e Event) Has(name string) bool { return e.Bytes(name) != nil }

// EndsWith tells whether the last headers are those named, in that order: behind
// what it prints of an event Asterisk prints nothing more.
func (e Event) EndsWith(names ...string) bool {
	before := len(e.headers) - len(names)
	if before < 0 {
		return false
	}
	for i, name := range names {
		if !fold(e.nameOf(e.headers[before+i]), name) {
			return false
		}
	}
	return true
}

// Headers yields names and values in the order of the wire, repeated ones too.
func (e Event) Headers() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for _, h := range e.headers {
			if !yield(string(e.nameOf(h)), string(e.valueOf(h))) {
				return
			}
		}
	}
}

// Clone returns a copy that stays valid.
func (e Event) Clone() Event {
	f := e.clone()
	return Event{&f}
}

// Response is the answer to an action. It may be kept.
type Response struct {
	Success bool // false only beside an error
	frame
}

// Get returns the value of the first such header, "" if there is none.
func (r Response) Get(name string) string { return string(r.find(name)) }

// newResponse copies the answer f.
func newResponse(f *frame) Response {
	return Response{
		Success: fold(f.first(isResponse), "Success"),
		frame:   f.clone(),
	}
}

// escapes is what Asterisk puts behind a backslash, and what it stands for
// (main/utils.c:2056).
const (
	escapes = `abfnrtv\'"?`
	escaped = "\a\b\f\n\r\t\v\\'\"?"
)

// Unescape reads a text that Asterisk escaped as a C string, as it does with the
// Subtype and Message of a PresenceStateChange. A backslash before anything that
// Asterisk would not have escaped stands for itself.
func Unescape(s string) string {
	i := strings.IndexByte(s, '\\')
	if i < 0 {
		return s
	}
	out := append(make([]byte, 0, len(s)), s[:i]...)
	for ; i < len(s); i++ {
		b := s[i]
		if b == '\\' && i+1 < len(s) {
			if k := strings.IndexByte(escapes, s[i+1]); k >= 0 {
				i++
				b = escaped[k]
			}
		}
		out = append(out, b)
	}
	return string(out)
}

// digits reads a decimal number of at most 18 digits without allocating.
func digits(b []byte) (n uint64, ok bool) {
	if len(b) == 0 || len(b) > 18 || bytes.ContainsFunc(b, func(r rune) bool { return r < '0' || r > '9' }) {
		return 0, false
	}
	for _, d := range b {
		n = 10*n + uint64(d-'0')
	}
	return n, true
}
