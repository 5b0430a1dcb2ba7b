package ami

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// session is what a PBX sends unasked; see the file.
func session(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("../../testdata/ami/session.txt")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// show renders the headers of a frame, names and values in turn, or why it was dropped,
// for comparison.
func show(headers []string, err error) string {
	if err != nil {
		return "dropped: " + err.Error()
	}
	var b strings.Builder
	for pair := range slices.Chunk(headers, 2) {
		fmt.Fprintf(&b, "%q=%q ", pair[0], pair[1])
	}
	return b.String()
}

// quickly reads all frames the real way.
func quickly(src io.Reader, limit int) (out []string) {
	in := &framer{src: src, buf: make([]byte, limit)}
	var f frame
	for {
		if err := in.next(&f); err != nil {
			return out
		}
		var headers []string
		for _, h := range f.headers {
			headers = append(headers, string(f.nameOf(h)), string(f.valueOf(h)))
		}
		out = append(out, show(headers, f.fault))
	}
}

// slowly reads all frames in the most obvious way.
func slowly(data string, limit int) (out []string) {
	var lines []string
	size := 0
	pieces := strings.Split(data, "\n")
	for _, piece := range pieces[:len(pieces)-1] { // behind the last line end is no line
		size += len(piece) + 1
		if line := strings.TrimSuffix(piece, "\r"); line != "" {
			lines = append(lines, line)
			continue
		}
		if size > limit {
			out = append(out, show(nil, errOversize))
		} else if len(lines) > 0 {
			out = append(out, show(slowParse(lines)))
		}
		lines, size = nil, 0
	}
	return out
}

func slowParse(lines []string) (headers []string, err error) {
	count := map[string]int{}
	for i, line := range lines {
		name, value, found := strings.Cut(line, ":")
		if i == maxHeaders {
			return nil, errHeaders
		}
		if !found || name == "" {
			return nil, errColon
		}
		count[asciiLower(name)]++
		headers = append(headers, name, strings.TrimPrefix(value, " "))
	}
	if count["event"]+count["response"] == 0 {
		return nil, errKind
	}
	for _, name := range []string{"event", "response", "actionid", "privilege", "presentity", "status", "subtype"} {
		if count[name] > 1 {
			return nil, errDuplicate
		}
	}
	if count["event"] == 1 && count["message"] > 1 {
		return nil, errDuplicate
	}
	return headers, nil
}

func asciiLower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 32
		}
		return r
	}, s)
}

// chunks gives data in pieces of the given sizes, again and again.
type chunks struct {
	data  string
	sizes []byte
	turn  int
}

func (c *chunks) Read(b []byte) (int, error) {
	if c.data == "" {
		return 0, io.EOF
	}
	size := len(c.data)
	if len(c.sizes) > 0 {
		size = 1 + int(c.sizes[c.turn%len(c.sizes)])
		c.turn++
	}
	n := copy(b, c.data[:min(size, len(c.data))])
	c.data = c.data[n:]
	return n, nil
}

func FuzzFramesAsASlowReaderSeesThem(f *testing.F) {
	f.Add(session(f), []byte{0}, uint16(200))
	f.Add(session(f), []byte{3, 200, 1}, uint16(maxFrame-4))
	f.Add("Event: a\r\n\nEvent: b\n\n\r\n\r\nResponse:c\nMessage: 1\nmessage:  2\r\n\n", []byte{}, uint16(0))
	f.Add("Event: a\r\r\n\r\n", []byte{}, uint16(100))
	f.Add("Event: too long to fit\n\nEvent: b\n\n: x\n\nEvent: a\nevent: b\n\n", []byte{1}, uint16(8))
	f.Add("Event: too long to fit\n\rno end\nEvent: a\n\nEvent: b\n\n", []byte{0}, uint16(8))
	f.Add(strings.Repeat("a:\n", maxHeaders)+"\n"+strings.Repeat("a:\n", maxHeaders+1)+"\n", []byte{250}, uint16(9000))
	f.Fuzz(func(t *testing.T, data string, sizes []byte, extra uint16) {
		limit := 4 + int(extra)
		got, want := quickly(&chunks{data: data, sizes: sizes}, limit), slowly(data, limit)
		if !slices.Equal(got, want) {
			t.Errorf("limit %d\n got %q\nwant %q", limit, got, want)
		}
	})
}

func TestFramesSurviveAnyChunking(t *testing.T) {
	text := session(t)
	want := slowly(text, maxFrame)
	if len(want) != 4 {
		t.Fatalf("session has %d frames", len(want))
	}
	for name, src := range map[string]io.Reader{
		"byte at a time": iotest.OneByteReader(strings.NewReader(text)),
		"half":           iotest.HalfReader(strings.NewReader(text)),
		"data with EOF":  iotest.DataErrReader(strings.NewReader(text)),
		"bare LF":        strings.NewReader(strings.ReplaceAll(text, "\r\n", "\n")),
		"issue 761":      strings.NewReader(strings.ReplaceAll(text, "\r\n\r\n", "\r\n\n")),
	} {
		if got := quickly(src, maxFrame); !slices.Equal(got, want) {
			t.Errorf("%s: %q", name, got)
		}
	}
	for cut := range text {
		got := quickly(strings.NewReader(text[:cut]), maxFrame)
		if whole := strings.Count(text[:cut], "\r\n\r\n"); len(got) != whole || !slices.Equal(got, want[:whole]) {
			t.Fatalf("cut at %d: %q", cut, got)
		}
	}
}

func TestOversizeFrameIsSkippedInBoundedMemory(t *testing.T) {
	exact := "Event: a\n" + strings.Repeat("x: 12345\n", 10)
	exact += "y:" + strings.Repeat("z", maxFrame-len(exact)-4) + "\n\n"
	over := "Event: a\ny:" + strings.Repeat("z", maxFrame-12) + "\n\n"
	huge := "Event: a\n" + strings.Repeat(strings.Repeat("z", 1000)+"\n", 1000) + "\n"
	next := "Event: next\n\n"
	for _, tc := range []struct {
		name, data string
		dropped    bool
	}{{"exactly the limit", exact, false}, {"one byte over", over, true}, {"a megabyte", huge, true}} {
		got := quickly(strings.NewReader(tc.data+next), maxFrame)
		if len(got) != 2 || (got[0] == show(nil, errOversize)) != tc.dropped || got[1] != `"Event"="next" ` {
			t.Errorf("%s: %d frames, %.80q", tc.name, len(got), got)
		}
	}
	if n := len(exact); n != maxFrame {
		t.Errorf("the exact frame has %d bytes", n)
	}
	if n := len(over); n != maxFrame+1 {
		t.Errorf("the frame that is over has %d bytes", n)
	}
}

// parsed is the one event that text holds.
func parsed(t testing.TB, text string) Event {
	t.Helper()
	var f frame
	if err := errors.Join(newFramer(strings.NewReader(text)).next(&f), f.fault); err != nil {
		t.Fatal(err)
	}
	return Event{&f}
}

func TestEventGivesItsHeaders(t *testing.T) {
	e := parsed(t, "Event: A\r\nPrivilege: call,all\r\nVar: 1\r\nVar:  2\r\nEmpty: \r\n\r\n")
	kept := e.Clone()
	for i := range e.text {
		e.text[i] = '#' // the reader's buffer is used again
	}
	var all []string
	for name, value := range kept.Headers() {
		all = append(all, name+"="+value)
	}
	if want := []string{"Event=A", "Privilege=call,all", "Var=1", "Var= 2", "Empty="}; !slices.Equal(all, want) {
		t.Errorf("headers %q, want %q", all, want)
	}
	next, stop := iter.Pull2(kept.Headers())
	_, _, _ = next()
	stop() // leaving early is allowed
	if !kept.Is("a") || kept.Is("B") || kept.Name() != "A" || kept.Get("VAR") != "1" || !bytes.Equal(kept.Bytes("var"), []byte("1")) {
		t.Error("lookup is wrong")
	}
	if !kept.Has("Empty") || kept.Has("Missing") || kept.Get("Missing") != "" {
		t.Error("presence of headers is wrong")
	}
	if e.Is("A") {
		t.Error("Clone did not copy")
	}
}

func TestKindsHaveNoCase(t *testing.T) {
	for want, name := range kindNames {
		for _, name := range []string{name, asciiLower(name), strings.ToUpper(name)} {
			if got := kind([]byte(name)); got != want {
				t.Errorf("%q is of kind %d, want %d", name, got, want)
			}
		}
		if got := kind([]byte(name + "s")); got != isAny {
			t.Errorf("%qs is of kind %d", name, got)
		}
	}
}

// TestARepeatedHeaderIsReadWhereItCameFirst has the one that may come twice and one of no kind.
func TestARepeatedHeaderIsReadWhereItCameFirst(t *testing.T) {
	e := parsed(t, "Response: Success\nMessage: Presence State\nmessage: Back at two\nVar: 1\nVar: 2\n\n")
	if message, other := e.Get("Message"), e.Get("var"); message != "Presence State" || other != "1" {
		t.Errorf("Message is %q, Var is %q", message, other)
	}
}

func TestUnescape(t *testing.T) {
	for escaped, want := range map[string]string{
		``:                           "",
		`plain`:                      "plain",
		`\a\b\f\n\r\t\v\\\'\"\?`:     "\a\b\f\n\r\t\v\\'\"?",
		`it\'s \"really\" nice\?\nx`: "it's \"really\" nice?\nx",
		`\\n`:                        `\n`,
		`ends with \`:                `ends with \`,
		`\x41`:                       `\x41`,
		"\xff\\n\xfe":                "\xff\n\xfe",
	} {
		if got := Unescape(escaped); got != want {
			t.Errorf("Unescape(%q) = %q, want %q", escaped, got, want)
		}
	}
}

// escaper does what Asterisk does; see escapes.
var escaper = strings.NewReplacer("\a", `\a`, "\b", `\b`, "\f", `\f`, "\n", `\n`, "\r", `\r`, "\t", `\t`,
	"\v", `\v`, `\`, `\\`, `'`, `\'`, `"`, `\"`, `?`, `\?`)

// unescaper is the reverse; a Replacer compares in the order of its arguments
// and goes on behind what it replaced.
var unescaper = strings.NewReplacer(`\a`, "\a", `\b`, "\b", `\f`, "\f", `\n`, "\n", `\r`, "\r", `\t`, "\t",
	`\v`, "\v", `\\`, `\`, `\'`, `'`, `\"`, `"`, `\?`, `?`)

func FuzzUnescape(f *testing.F) {
	f.Add(`it\'s \"really\" nice\?\nx\\n\`)
	f.Add("a\r\n\x00\xff\\")
	f.Fuzz(func(t *testing.T, s string) {
		if got := Unescape(escaper.Replace(s)); got != s {
			t.Errorf("%q comes back as %q", s, got)
		}
		if got, want := Unescape(s), unescaper.Replace(s); got != want {
			t.Errorf("Unescape(%q) = %q, want %q", s, got, want)
		}
	})
}

// endless repeats data until n bytes were read.
type endless struct {
	data []byte
	at   int
	left int
}

func (e *endless) Read(b []byte) (int, error) {
	if e.left <= 0 {
		return 0, io.EOF
	}
	n := copy(b, e.data[e.at:])
	e.at = (e.at + n) % len(e.data)
	e.left -= n
	return n, nil
}

const liveEvent = "Event: PresenceStateChange\r\nPrivilege: call,all\r\nPresentity: CustomPresence:1001\r\n" +
	"Status: away\r\nSubtype: lunch\r\nMessage: Back at two, call Bob\\?\r\n\r\n"

// pump runs n events through all that a Conn does with them but the network.
func pump(n int) (seen int) {
	in := newFramer(&endless{data: []byte(liveEvent), left: n * len(liveEvent)})
	c := &Conn{}
	h := Handler{Event: func(e Event) {
		if e.Is("PresenceStateChange") && len(e.Bytes("Message")) > 0 {
			seen++
		}
	}}
	var f frame
	for {
		if err := in.next(&f); err != nil {
			return seen
		}
		if c.take(&f, h) != nil {
			return -1
		}
	}
}

func TestEventsCostNoAllocation(t *testing.T) {
	few := testing.AllocsPerRun(5, func() { pump(10) })
	many := testing.AllocsPerRun(5, func() { pump(10_000) })
	if many-few > 1000 { // less than one in ten: the count is of the whole process
		t.Errorf("10 events allocate %v times, 10000 events %v times", few, many)
	}
}

func BenchmarkEvents(b *testing.B) {
	b.SetBytes(int64(len(liveEvent)))
	b.ReportAllocs()
	if seen := pump(b.N); seen < b.N {
		b.Errorf("saw %d of %d", seen, b.N)
	}
}
