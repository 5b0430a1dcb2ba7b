package ami

import (
	"bytes"
	"errors"
	"io"
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
func (f *framer) banner() (string, error) {
	for {
		if i := bytes.IndexByte(f.buf[:f.end], '\n'); i >= 0 {
			f.start, f.scan = i+1, i+1
			return string(trimCR(f.buf[:i])), nil
		}
		if f.end > maxBanner {
			return "", errors.New("greeting without a line end")
		}
		if err := f.fill(); err != nil {
			return "", err
		}
	}
}

// next returns the lines of the next frame, valid until the next call. After
// errOversize, when the frame has been skipped to its end, it can go on. A frame
// that the end of the stream cuts is dropped: Asterisk closes in the middle of
// a line when its write times out.
func (f *framer) next() ([]byte, error) {
	oversize := false
	for {
		for i := bytes.IndexByte(f.buf[f.scan:f.end], '\n'); i >= 0; i = bytes.IndexByte(f.buf[f.scan:f.end], '\n') {
			from := f.scan
			f.scan += i + 1
			if len(trimCR(f.buf[from:from+i])) > 0 {
				continue
			}
			lines := f.buf[f.start:from]
			f.start = f.scan
			if oversize {
				return nil, errOversize
			}
			if len(lines) > 0 { // else one of several empty lines (asterisk issue 761)
				return lines, nil
			}
		}
		if f.end-f.start == len(f.buf) {
			oversize = true
		}
		if oversize {
			// Two bytes of a line tell that it is not empty.
			f.start, f.end = f.scan, min(f.end, f.scan+2)
		}
		if err := f.fill(); err != nil {
			return nil, err
		}
	}
}

// fill reads once, behind what is there, which it moves to the front for room.
func (f *framer) fill() error {
	if f.start > 0 {
		copy(f.buf, f.buf[f.start:f.end])
		f.scan -= f.start
		f.end -= f.start
		f.start = 0
	}
	n, err := f.src.Read(f.buf[f.end:])
	f.end += n
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

// frame is one message, split into headers. It is used again for the next.
type frame struct {
	headers    []header
	event      int // the places of these headers; -1: there is none
	response   int
	actionID   int
	privileged bool
}

// Headers that a frame may have once, as a set. The name of a presentity or device
// is not escaped in events (main/presencestate.c:528), so a line break in one forges
// headers; most such forgeries repeat one of these.
const (
	isEvent uint16 = 1 << iota
	isResponse
	isActionID
	isPrivilege
	isPresentity
	isStatus
	isSubtype
	isMessage
	isDevice
	isState
)

// kind returns the set that holds name alone, or nothing.
func kind(name []byte) uint16 {
	switch {
	case fold(name, "Event"):
		return isEvent
	case fold(name, "Response"):
		return isResponse
	case fold(name, "ActionID"):
		return isActionID
	case fold(name, "Privilege"):
		return isPrivilege
	case fold(name, "Presentity"):
		return isPresentity
	case fold(name, "Status"):
		return isStatus
	case fold(name, "Subtype"):
		return isSubtype
	case fold(name, "Message"):
		return isMessage
	case fold(name, "Device"):
		return isDevice
	case fold(name, "State"):
		return isState
	}
	return 0
}

// parse splits lines as next returns them.
func (f *frame) parse(lines []byte) error {
	*f = frame{headers: f.headers[:0], event: -1, response: -1, actionID: -1}
	var seen, repeated uint16
	for len(lines) > 0 {
		if len(f.headers) == maxHeaders {
			return errHeaders
		}
		i := bytes.IndexByte(lines, '\n')
		line := trimCR(lines[:i])
		lines = lines[i+1:]
		colon := bytes.IndexByte(line, ':')
		if colon < 1 {
			return errColon
		}
		h := header{line[:colon], line[colon+1:]}
		// One blank belongs to the protocol, more to the value.
		if len(h.value) > 0 && h.value[0] == ' ' {
			h.value = h.value[1:]
		}
		k := kind(h.name)
		repeated |= seen & k
		seen |= k
		f.place(k, len(f.headers))
		f.headers = append(f.headers, h)
	}
	switch {
	case f.event < 0 && f.response < 0:
		return errKind
	case f.event < 0 && repeated == isMessage:
		return nil // the PresenceState response says it twice (main/manager.c:5538)
	case repeated != 0:
		return errDuplicate
	}
	return nil
}

// place remembers where the headers that sort a frame are.
func (f *frame) place(kind uint16, at int) {
	switch kind {
	case isEvent:
		f.event = at
	case isResponse:
		f.response = at
	case isActionID:
		f.actionID = at
	case isPrivilege:
		f.privileged = true
	}
}
