package ami

import (
	"bytes"
	"errors"
	"io"
	"slices"
)

const (
	maxFrame   = 64 << 10 // bytes, with the empty line that ends it
	maxHeaders = 256
	maxBanner  = 256
)

// Reasons for dropping a frame.
var (
	errOversize  = errors.New("frame larger than 64 KiB")
	errHeaders   = errors.New("frame with more than 256 headers")
	errColon     = errors.New("header line without a name")
	errDuplicate = errors.New("frame repeats a header that may come once")
	errKind      = errors.New("frame is neither an event nor a response")
	errPrivilege = errors.New("event without privilege that is in no list of ours")
	errAnswer    = errors.New("response to no action of ours")
	errBetween   = errors.New("live event between the items of a list")
)

// framer cuts a stream into frames within one buffer of fixed size.
type framer struct {
	src   io.Reader
	buf   []byte
	start int // of the frame
	scan  int // of its first line whose end was not seen; start..scan are whole lines, none empty
	end   int // of what was read
}

func newFramer(src io.Reader) *framer {
	return &framer{src: src, buf: make([]byte, maxFrame)}
}

// banner returns the one line that a PBX greets with. It has no empty line behind it.
func (r *framer) banner() (string, error) {
	for {
		if i := bytes.IndexByte(r.buf[:r.end], '\n'); i >= 0 {
			r.start, r.scan = i+1, i+1
			return string(trimCR(r.buf[:i])), nil
		}
		if r.end > maxBanner {
			return "", errors.New("greeting without a line end")
		}
		if err := r.fill(); err != nil {
			return "", err
		}
	}
}

// next reads the next frame into f, where it is valid until the next call. An error is
// that of the source, and what it cuts is dropped: Asterisk closes in the middle of a
// line when its write times out. Each line is split as soon as its end is found: the
// processor then looks for the next end meanwhile.
func (r *framer) next(f *frame) error {
	f.begin()
	oversize := false
	for {
		buf, from := r.buf[:r.end], r.scan
		for i := bytes.IndexByte(buf[from:], '\n'); i >= 0; i = bytes.IndexByte(buf[from:], '\n') {
			line := trimCR(buf[from : from+i])
			if len(line) > 0 {
				f.add(line, from-r.start)
				from += i + 1
				continue
			}
			text := buf[r.start:from]
			from += i + 1
			r.start, r.scan = from, from
			if len(text) > 0 || f.fault != nil { // else one of several empty lines (asterisk issue 761)
				f.finish(text)
				return nil
			}
		}
		r.scan = from
		if r.end-r.start == len(r.buf) {
			oversize, f.fault = true, errOversize
		}
		if oversize {
			// Two bytes of a line tell that it is not empty.
			r.start, r.end = r.scan, min(r.end, r.scan+2)
		}
		if err := r.fill(); err != nil {
			return err
		}
	}
}

// fill reads once, behind what is there, which it moves to the front for room.
func (r *framer) fill() error {
	if r.start > 0 {
		copy(r.buf, r.buf[r.start:r.end])
		r.scan -= r.start
		r.end -= r.start
		r.start = 0
	}
	n, err := r.src.Read(r.buf[r.end:])
	r.end += n
	if n > 0 {
		return nil // an error comes again
	}
	return err
}

func trimCR(line []byte) []byte {
	if n := len(line); n > 0 && line[n-1] == '\r' {
		return line[:n-1]
	}
	return line
}

// frame is one message, split into headers. Its text lies in the reader's buffer, and both
// are used again for the next.
type frame struct {
	text     []byte
	headers  []header
	at       [kinds]int16 // where the first header of each kind is, counted from 1; 0: there is none
	repeated uint16       // the kinds that came more than once, as a set
	fault    error        // why it is to be dropped; nil: it is not
}

// header says where in a frame's text a line has its parts: a name from start to colon,
// and a value up to end.
type header struct{ start, colon, value, end int32 }

func (f *frame) nameOf(h header) []byte  { return f.text[h.start:h.colon] }
func (f *frame) valueOf(h header) []byte { return f.text[h.value:h.end] }

// Kinds of headers that a frame may have once. The name of a presentity or device
// is not escaped in events (main/presencestate.c:528), so a line break in one forges
// headers; most such forgeries repeat one of these.
const (
	isAny = iota // of no kind: it may come often
	isEvent
	isResponse
	isActionID
	isPrivilege
	isPresentity
	isStatus
	isSubtype
	isMessage
	isDevice
	isState
	kinds
)

// kindNames are the names of the kinds, in the order of the constants.
var kindNames = [kinds]string{"", "Event", "Response", "ActionID", "Privilege", "Presentity", "Status", "Subtype", "Message", "Device", "State"}

// kind returns what a name is. One that is written as Asterisk does is found at once.
func kind(name []byte) int {
	switch string(name) {
	case "Event":
		return isEvent
	case "Response":
		return isResponse
	case "ActionID":
		return isActionID
	case "Privilege":
		return isPrivilege
	case "Presentity":
		return isPresentity
	case "Status":
		return isStatus
	case "Subtype":
		return isSubtype
	case "Message":
		return isMessage
	case "Device":
		return isDevice
	case "State":
		return isState
	}
	for k, known := range kindNames {
		if fold(name, known) {
			return k
		}
	}
	return isAny
}

func (f *frame) begin() {
	f.headers, f.at, f.repeated, f.fault = f.headers[:0], [kinds]int16{}, 0, nil
}

// add splits a line that is not empty and begins at start.
func (f *frame) add(line []byte, start int) {
	if f.fault != nil {
		return
	}
	if len(f.headers) == maxHeaders {
		f.fault = errHeaders
		return
	}
	colon := bytes.IndexByte(line, ':')
	if colon < 1 {
		f.fault = errColon
		return
	}
	value := colon + 1
	// One blank belongs to the protocol, more to the value.
	if value < len(line) && line[value] == ' ' {
		value++
	}
	f.headers = append(f.headers, header{int32(start), int32(start + colon), int32(start + value), int32(start + len(line))})
	k := kind(line[:colon])
	if f.at[k] == 0 {
		f.at[k] = int16(len(f.headers))
	} else if k != isAny {
		f.repeated |= 1 << k
	}
}

// finish takes the text that the lines are of, and finds what is wrong with them together.
func (f *frame) finish(text []byte) {
	f.text = text
	switch event := f.at[isEvent] > 0; {
	case f.fault != nil:
	case !event && f.at[isResponse] == 0:
		f.fault = errKind
	case !event && f.repeated == 1<<isMessage: // the PresenceState response says it twice (main/manager.c:5538)
	case f.repeated != 0:
		f.fault = errDuplicate
	}
}

// first returns the value of the first header of a kind, nil if there is none.
func (f *frame) first(kind int) []byte {
	if f.at[kind] == 0 {
		return nil
	}
	return f.valueOf(f.headers[f.at[kind]-1])
}

// find returns the value of the first header of that name, nil if there is none.
func (f *frame) find(name string) []byte {
	if k := kind([]byte(name)); k != isAny {
		return f.first(k)
	}
	for _, h := range f.headers {
		if fold(f.nameOf(h), name) {
			return f.valueOf(h)
		}
	}
	return nil
}

// clone returns a copy that stays valid.
func (f *frame) clone() frame {
	return frame{text: bytes.Clone(f.text), headers: slices.Clone(f.headers), at: f.at}
}
