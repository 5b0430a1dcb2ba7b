package pbxsim

import (
	"iter"
	"slices"
	"strings"
)

// appendChange adds the lines of a presence and the end of the frame. The
// presentity is not escaped (presencestate.c:528).
func appendChange(b []byte, c Change) []byte {
	b = append(append(b, "Presentity: "...), c.Presentity...)
	b = append(append(b, "\r\nStatus: "...), c.State...)
	b = appendEscaped(append(b, "\r\nSubtype: "...), c.Subtype)
	b = appendEscaped(append(b, "\r\nMessage: "...), c.Message)
	return append(b, "\r\n\r\n"...)
}

// appendEscaped writes s as ast_escape_c does (utils.c:2056); other control
// characters and whatever is not UTF-8 pass as they are.
func appendEscaped(b []byte, s string) []byte {
	const plain, letters = "\a\b\f\n\r\t\v\\'\"?", `abfnrtv\'"?`
	for i := range len(s) {
		if at := strings.IndexByte(plain, s[i]); at >= 0 {
			b = append(b, '\\', letters[at])
		} else {
			b = append(b, s[i])
		}
	}
	return b
}

// decode is ast_base64decode (utils.c:304) followed by a C string's end: it
// stops at '=', takes a character that is none of the alphabet for 63, and
// whatever follows a NUL is lost.
func decode(s string, limit int) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	var out []byte
	var bits, have uint
	for i := 0; i < len(s) && s[i] != '=' && len(out) < limit; i++ {
		v := strings.IndexByte(alphabet, s[i])
		if v < 0 {
			v = 63
		}
		bits, have = bits<<6|uint(v), have+6
		if have >= 8 {
			have -= 8
			out = append(out, byte(bits>>have))
		}
	}
	text, _, _ := strings.Cut(string(out), "\x00")
	return text
}

// cache is what a list shows, in the order in which it shows it.
type cache[T any] struct {
	kind    string // the name of Asterisk's message type
	known   map[string]*T
	buckets [cacheBuckets][]*T
}

const cacheBuckets = 563 // stasis_cache.c:42

func newCache[T any](kind string) *cache[T] {
	return &cache[T]{kind: kind, known: make(map[string]*T)}
}

func (k *cache[T]) put(name string, v T) {
	if old := k.known[name]; old != nil {
		*old = v
		return
	}
	b := k.bucket(name)
	k.known[name] = &v
	k.buckets[b] = append(k.buckets[b], &v)
}

// drop forgets a name.
func (k *cache[T]) drop(name string) {
	gone := k.known[name]
	if gone == nil {
		return
	}
	b := k.bucket(name)
	k.buckets[b] = slices.DeleteFunc(k.buckets[b], func(v *T) bool { return v == gone })
	delete(k.known, name)
}

// all goes through everything in Asterisk's order.
func (k *cache[T]) all() iter.Seq[T] {
	return func(yield func(T) bool) {
		for _, bucket := range k.buckets {
			for _, v := range bucket {
				if !yield(*v) {
					return
				}
			}
		}
	}
}

// bucket is where stasis_cache.c keeps a name: the sum of two string hashes,
// made positive as a C int is.
func (k *cache[T]) bucket(name string) int {
	h := int32(hash(k.kind) + hash(name))
	return int(max(h, -h)&0x7fffffff) % cacheBuckets
}

// hash is ast_hashtab_hash_string (hashtab.c).
func hash(s string) uint32 {
	var h uint32
	for i := range len(s) {
		h = h*13 + uint32(s[i])
	}
	return h
}
