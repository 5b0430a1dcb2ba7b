package pbxsim

import "strings"

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

// cache is what PresenceStateList shows, in the order in which it shows it.
type cache struct {
	known   map[string]*Change
	buckets [cacheBuckets][]*Change
}

const cacheBuckets = 563 // stasis_cache.c:42

func newCache() cache { return cache{known: make(map[string]*Change)} }

func (k *cache) put(c Change) {
	if old := k.known[c.Presentity]; old != nil {
		*old = c
		return
	}
	b := bucket(c.Presentity)
	k.known[c.Presentity] = &c
	k.buckets[b] = append(k.buckets[b], &c)
}

// bucket is where stasis_cache.c keeps a presentity: the sum of two string
// hashes, made positive as a C int is.
func bucket(presentity string) int {
	h := int32(hash("ast_presence_state_message_type") + hash(presentity))
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
