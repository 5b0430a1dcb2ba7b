package presence

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"
)

// Reader reads views from the store. It shares the words that recur among them. The
// zero value is ready; it belongs to one goroutine.
type Reader struct {
	Types *Types // a status has its type from here if it is the same; nil: none has

	words      map[string]string // by how they stand in the row
	texts      [8]string         // read last; a message or a name stands several times in a row
	next       int               // of texts: what is replaced next
	page       *strings.Builder  // where texts go, side by side
	extensions []Extension       // of the row that is read
	room       []Extension       // where extensions of views go, side by side
	rest       []byte            // of the row
	bad        bool              // it is not what AppendJSON writes
}

const (
	// maxWords bounds Reader.words.
	maxWords = 4096
	// roomSize is how many extensions lie side by side, and are in memory as long as
	// one of them is.
	roomSize = 128
	// pageSize is how many bytes of texts do.
	pageSize = 4096
)

// Read reads what AppendJSON has written, in a sixth of the time of package json and
// without its garbage: a start reads everybody's view. Whatever looks different, such
// as a row of another version, is left to package json. TestAViewIsReadAsPackageJSONDoes
// compares the two.
func (r *Reader) Read(row []byte) (v View, err error) {
	r.rest, r.bad = row, false
	r.view(&v)
	if !r.bad && len(r.rest) == 0 {
		return v, nil
	}
	v = View{}
	err = json.Unmarshal(row, &v)
	return v, err
}

func (r *Reader) view(v *View) {
	r.must(`{"user":`)
	v.User = UserID(r.name())
	r.must(`,"version":`)
	v.Version = r.number()
	r.must(`,"asks":`)
	v.Asks = r.number()
	v.Alone = r.is(`,"alone":true`)
	v.Over = r.is(`,"over":true`)
	v.Phone = r.phone()
	if r.must(`,"status":`); !r.is("null") {
		v.Status = r.status()
	}
	if r.is(`,"under":`) {
		v.Under = r.status()
	}
	if r.is(`,"later":`) {
		v.Later = r.later()
	}
	v.PhoneSince = r.optional(`,"phone_since":`)
	v.Out = r.optional(`,"out":`)
	if r.is(`,"hold":`) {
		v.Hold = r.hold()
	}
	if r.is(`,"label":`) {
		v.Label = r.label()
	}
	v.Gone = r.optional(`,"gone":`)
	r.must(`,"default":`)
	v.Default = r.whole()
	if r.must(`,"extensions":`); !r.is("null") {
		r.extensions = all(r, r.extensions[:0], r.extension)
		v.Extensions = r.settle(r.extensions)
	}
	r.must("}")
}

// settle gives extensions a place that stays. One by one they would lie among what the
// reading leaves behind.
func (r *Reader) settle(list []Extension) []Extension {
	if cap(r.room)-len(r.room) < max(len(list), 1) {
		r.room = make([]Extension, 0, max(len(list), roomSize))
	}
	start := len(r.room)
	r.room = append(r.room, list...)
	return r.room[start:len(r.room):len(r.room)]
}

func (r *Reader) status() *Status {
	st := &Status{}
	r.must(`{"type":`)
	st.Type = r.statusType()
	r.must(`,"message":`)
	st.Message = r.text()
	if r.is(`,"label":`) {
		st.Label = r.text()
	}
	r.must(`,"since":`)
	st.Since = r.moment()
	st.Until = r.optional(`,"until":`)
	r.must(`,"by":`)
	st.By = r.text()
	st.Removed = r.is(`,"removed":true`)
	st.Stale = r.is(`,"stale":true`)
	r.must("}")
	return st
}

// statusType takes the type of a status. One of its own in every status would make the
// first step of every user renew the status.
func (r *Reader) statusType() *StatusType {
	var t StatusType
	var img Image
	r.must(`{"id":`)
	t.ID = TypeID(r.word())
	r.must(`,"name":`)
	t.Name = r.word()
	r.must(`,"base":`)
	t.Base = Base(r.word())
	r.must(`,"color":`)
	t.Color = r.word()
	mapped := r.is(`,"asterisk":{"state":`)
	if mapped {
		img.State = r.state()
		if r.is(`,"subtype":`) {
			img.Subtype = r.word()
		}
		r.must("}")
	}
	r.must("}")
	if r.Types != nil {
		known, _, ok := r.Types.Lookup(t.ID)
		if ok && known.looksLike(&t) && (known.Asterisk != nil) == mapped && (!mapped || *known.Asterisk == img) {
			return known
		}
	}
	own := t
	if mapped {
		own.Asterisk = &Image{img.State, img.Subtype}
	}
	return &own
}

func (r *Reader) later() *Later {
	l := &Later{}
	r.must(`{"at":`)
	l.At = r.moment()
	if r.is(`,"chosen":`) {
		l.Chosen = r.status()
	}
	r.must("}")
	return l
}

func (r *Reader) hold() *Hold {
	h := &Hold{}
	r.must(`{"type":`)
	h.Type = TypeID(r.word())
	r.must(`,"message":`)
	h.Message = r.text()
	r.must(`,"since":`)
	h.Since = r.moment()
	h.Until = r.optional(`,"until":`)
	r.must(`,"by":`)
	h.By = r.text()
	if r.is(`,"over":`) {
		h.Over = r.id()
	}
	h.OverAt = r.optional(`,"over_since":`)
	r.must("}")
	return h
}

func (r *Reader) label() *Label {
	l := &Label{}
	r.must(`{"since":`)
	l.Since = r.moment()
	if r.is(`,"of":`) {
		l.Of = r.id()
	}
	r.must(`,"text":`)
	l.Text = r.text()
	if r.is(`,"next":`) {
		l.Next = r.label()
	}
	r.must("}")
	return l
}

func (r *Reader) extension() (x Extension) {
	r.must(`{"id":`)
	x.ID = r.id()
	r.must(`,"known":`)
	x.Known = r.truth()
	x.Phone = r.phone()
	r.must(`,"shows":`)
	x.Shows = Keep(r.presence())
	if r.is(`,"recent":`) {
		x.Recent = all(r, nil, r.shown)
	}
	r.must(`,"said":`)
	x.Said = r.said()
	if r.is(`,"wish":`) {
		x.Wish = r.wish()
	}
	if r.is(`,"asked":`) {
		x.Asked = all(r, nil, r.ask)
	}
	r.must(`,"heard":{"at":`)
	x.Heard.At = r.moment()
	r.must(`,"as":`)
	_ = x.Heard.As.UnmarshalText([]byte(r.word()))
	r.must("}")
	if r.is(`,"dnd":`) {
		x.DND = r.dnd()
	}
	x.AwayAt = r.optional(`,"away_since":`)
	r.must("}")
	return x
}

func (r *Reader) dnd() *DNDDevice {
	d := &DNDDevice{}
	r.must(`{"on":`)
	d.On = r.truth()
	d.At = r.optional(`,"at":`)
	d.Spoken = r.is(`,"spoken":true`)
	if r.is(`,"ask":`) {
		d.Ask = r.number()
	}
	if r.is(`,"of":`) {
		d.Of = r.word()
	}
	r.must("}")
	return d
}

func (r *Reader) said() (s Said) {
	r.must(`{"presence":`)
	s.Presence = Keep(r.presence())
	if r.is(`,"added":`) {
		s.Added = r.byte()
	}
	r.must(`,"type":`)
	s.Type = TypeID(r.word())
	s.Since = r.optional(`,"since":`)
	s.Until = r.optional(`,"until":`)
	r.must(`,"by":`)
	s.By = r.text()
	if r.is(`,"before":`) {
		before := r.said()
		s.Before = &before
	}
	r.must("}")
	return s
}

func (r *Reader) wish() *Wish {
	w := &Wish{}
	r.must(`{"presence":`)
	w.Presence = r.presence()
	r.must(`,"kind":`)
	w.Kind = WishKind(r.word())
	r.must(`,"since":`)
	w.Since = r.moment()
	r.must(`,"version":`)
	w.Version = r.number()
	if r.is(`,"ask":`) {
		w.Ask = r.number()
	}
	w.Sent = r.is(`,"sent":true`)
	w.Acked = r.is(`,"acked":true`)
	if r.is(`,"refusals":`) {
		w.Refusals = r.whole()
	}
	r.must("}")
	return w
}

func (r *Reader) ask() (a Ask) {
	r.must(`{"id":`)
	a.ID = r.number()
	r.must(`,"presence":`)
	a.Presence = r.presence()
	r.must(`,"acked":`)
	a.Acked = r.truth()
	r.must(`,"at":`)
	a.At = r.moment()
	r.must("}")
	return a
}

func (r *Reader) shown() (s Shown) {
	r.must(`{"presence":`)
	s.Presence = Keep(r.presence())
	r.must(`,"until":`)
	s.Until = r.moment()
	r.must("}")
	return s
}

func (r *Reader) presence() (p Presence) {
	r.must(`{"state":`)
	p.State = r.state()
	r.must(`,"subtype":`)
	p.Subtype = r.word()
	r.must(`,"message":`)
	p.Message = r.text()
	r.must("}")
	return p
}

func (r *Reader) id() (id ExtensionID) {
	r.must(`{"pbx":`)
	id.PBX = r.word()
	r.must(`,"extension":`)
	id.Number = r.name()
	r.must("}")
	return id
}

// all appends the items of a list.
func all[T any](r *Reader, items []T, item func() T) []T {
	r.must("[")
	for !r.bad && !r.is("]") {
		if len(items) > 0 {
			r.must(",")
		}
		items = append(items, item())
	}
	return items
}

// is takes s if it comes next.
func (r *Reader) is(s string) bool {
	rest, ok := bytes.CutPrefix(r.rest, []byte(s))
	r.rest = rest
	return ok
}

func (r *Reader) must(s string) {
	if !r.is(s) {
		r.bad = true
	}
}

// quoted takes a text with its quotes. plain says that only those have to go.
func (r *Reader) quoted() (text []byte, plain bool) {
	text, plain = r.rest, true
	for i := 1; i < len(text) && text[0] == '"'; i++ {
		switch c := text[i]; {
		case c == '"':
			r.rest = text[i+1:]
			return text[:i+1], plain
		case c == '\\':
			plain = false
			i++
		case escapes(c):
			plain = false
		}
	}
	r.bad = true
	return []byte(`""`), true
}

// name is a text that the mapping has as well, whose copy takes its place (share).
func (r *Reader) name() string { return r.unquote(r.quoted()) }

// text is a text of this row, which keeps it once, beside those of other rows.
func (r *Reader) text() string {
	text, plain := r.quoted()
	if !plain {
		return r.unquote(text, plain)
	}
	text = text[1 : len(text)-1]
	for _, known := range r.texts {
		if known == string(text) {
			return known
		}
	}
	if r.page == nil || r.page.Cap()-r.page.Len() < len(text) {
		r.page = &strings.Builder{}
		r.page.Grow(max(len(text), pageSize))
	}
	r.page.Write(text)
	all := r.page.String()
	r.next = (r.next + 1) % len(r.texts)
	r.texts[r.next] = all[len(all)-len(text):]
	return r.texts[r.next]
}

func (r *Reader) unquote(text []byte, plain bool) (s string) {
	if plain {
		return string(text[1 : len(text)-1])
	}
	if err := json.Unmarshal(text, &s); err != nil {
		r.bad = true
	}
	return s
}

// word is a text that others have as well.
func (r *Reader) word() string {
	text, plain := r.quoted()
	word, known := r.words[string(text)]
	if known {
		return word
	}
	if word = r.unquote(text, plain); r.bad {
		return ""
	}
	if len(r.words) == maxWords || r.words == nil {
		r.words = map[string]string{}
	}
	r.words[string(text)] = word
	return word
}

func (r *Reader) state() State {
	s, ok := ParseState(r.word())
	if !ok {
		r.bad = true
	}
	return s
}

func (r *Reader) phone() (p PhoneState) {
	if r.is(`,"phone":`) {
		_ = p.UnmarshalText([]byte(r.word())) // takes any word
	}
	return p
}

func (r *Reader) moment() (t Time) {
	text, plain := r.quoted()
	if err := t.UnmarshalText(text[1 : len(text)-1]); err != nil || !plain {
		r.bad = true
	}
	return t
}

// optional takes the moment behind key; never where that is missing.
func (r *Reader) optional(key string) Time {
	if !r.is(key) {
		return Time{}
	}
	return r.moment()
}

func (r *Reader) truth() bool {
	if r.is("true") {
		return true
	}
	r.must("false")
	return false
}

func (r *Reader) number() uint64 {
	digits := 0
	for digits < len(r.rest) && '0' <= r.rest[digits] && r.rest[digits] <= '9' {
		digits++
	}
	n, err := strconv.ParseUint(string(r.rest[:digits]), 10, 64)
	if err != nil || digits > 1 && r.rest[0] == '0' {
		r.bad = true
	}
	r.rest = r.rest[digits:]
	return n
}

func (r *Reader) byte() uint8 {
	n := r.number()
	if n > math.MaxUint8 {
		r.bad = true
	}
	return uint8(n)
}

// whole is a number that may be negative.
func (r *Reader) whole() int {
	negative := r.is("-")
	n := r.number()
	if n > math.MaxInt {
		r.bad = true
	}
	if negative {
		return -int(n)
	}
	return int(n)
}
