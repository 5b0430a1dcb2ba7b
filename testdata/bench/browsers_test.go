package bench

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// browsers are clients of a panel in a process of their own. They obey these lines:
//
//	open ADDRESS TOKEN   one more reader of server-sent events, which has everybody when it answers
//	join ADDRESS         one more client of socket.io, which is connected when it answers
//	forget               forgets what was measured, and measures only changes from now on
//	ages                 answers in ms how old changes were when they came: half, 99 %, all; the same of those
//	                     said to be saved; how many were shown to all browsers together; how many messages these were
//	newest               answers with ID=STAMP of everybody, of the browser that has the oldest
//
// A change's message is the moment in which the phone set it, in ns: its stamp.
type browsers struct {
	mu           sync.Mutex
	shown, saved samples
	messages     int
	since        int64 // stamps before are not measured
	all          []*browser
	fail         error // why one of them has ended
}

// browser is one of them. What it knows is guarded by browsers.mu.
type browser struct {
	shown, saved map[int]int64 // the newest stamp by numberIn of the id
}

func serveBrowsers() error {
	bs := &browsers{}
	fmt.Println("ready")
	in := bufio.NewReader(os.Stdin)
	for {
		line, err := in.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		words := strings.Fields(line)
		switch words[0] {
		case "open", "join":
			if err := bs.open(words); err != nil {
				return err
			}
			fmt.Println("open")
		case "forget":
			bs.mu.Lock()
			bs.shown, bs.saved, bs.messages, bs.since = nil, nil, 0, time.Now().UnixNano()
			bs.mu.Unlock()
			fmt.Println("done")
		case "ages":
			bs.mu.Lock()
			for _, s := range []samples{bs.shown, bs.saved} {
				fmt.Print(s.quantile(0.5), " ", s.quantile(0.99), " ", s.quantile(1), " ")
			}
			fmt.Println(len(bs.shown), bs.messages)
			err := bs.fail
			bs.mu.Unlock()
			if err != nil {
				return err
			}
		case "newest":
			fmt.Println(bs.newest())
		default:
			return fmt.Errorf("no command: %q", line)
		}
	}
}

// newest is the answer to that command.
func (bs *browsers) newest() string {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	oldest := map[int]int64{}
	for i, b := range bs.all {
		for id, stamp := range b.shown {
			if was, ok := oldest[id]; i == 0 || ok && stamp < was {
				oldest[id] = stamp
			}
		}
		for id := range oldest {
			if _, ok := b.shown[id]; !ok {
				delete(oldest, id)
			}
		}
	}
	var text strings.Builder
	for id, stamp := range oldest {
		fmt.Fprintf(&text, "%d=%d ", id, stamp)
	}
	return text.String()
}

// open connects one more, as the words say.
func (bs *browsers) open(words []string) error {
	c, err := net.Dial("tcp", words[1])
	if err != nil {
		return err
	}
	b := &browser{shown: map[int]int64{}, saved: map[int]int64{}}
	bs.mu.Lock()
	bs.all = append(bs.all, b)
	bs.mu.Unlock()
	have := make(chan error, 2)
	read := bs.join
	if words[0] == "open" {
		read = func(b *browser, c net.Conn, have chan<- error) error { return bs.stream(b, c, words[2], have) }
	}
	go func() { // the process ends with it
		err := read(b, c, have)
		have <- err
		bs.mu.Lock()
		defer bs.mu.Unlock()
		bs.fail = err
	}()
	return <-have
}

// stream reads server-sent events. Everybody has come with the first beat.
func (bs *browsers) stream(b *browser, c net.Conn, token string, have chan<- error) error {
	_, err := fmt.Fprintf(c, "GET /api/v1/events?beat=true HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer %s\r\n\r\n", token)
	if err != nil {
		return err
	}
	in, had := bufio.NewReaderSize(c, 4096), false
	if status, err := in.ReadString('\n'); err == nil && !strings.Contains(status, " 200 ") {
		return fmt.Errorf("events are answered by %q", status)
	}
	for {
		line, err := in.ReadSlice('\n')
		switch {
		case err != nil:
			return err
		case had:
			bs.note(b, line)
		case bytes.HasPrefix(line, []byte("event: beat")):
			had = true
			have <- nil
		}
	}
}

// join is a client of socket.io over a websocket, by hand (its protocol 5 in Engine.IO 4), so that what
// it costs beside the panel is what stream costs.
func (bs *browsers) join(b *browser, c net.Conn, have chan<- error) error {
	_, err := io.WriteString(c, "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\n"+
		"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: YSBrZXkgb2YgMTYgYnl0ZQ==\r\n\r\n")
	if err != nil {
		return err
	}
	in := bufio.NewReaderSize(c, 4096)
	for line := []byte("HTTP"); len(line) > len("\r\n"); {
		if line, err = in.ReadSlice('\n'); err != nil {
			return err
		}
	}
	for {
		text, err := frame(in)
		switch {
		case err != nil:
			return err
		case bytes.HasPrefix(text, []byte("42")): // an event
			bs.note(b, text)
		case bytes.HasPrefix(text, []byte("40")): // connected
			have <- nil
		case bytes.HasPrefix(text, []byte("0")): // Engine.IO is open
			_, err = c.Write([]byte{0x81, 0x82, 0, 0, 0, 0, '4', '0'})
		case bytes.HasPrefix(text, []byte("2")): // a ping
			_, err = c.Write([]byte{0x81, 0x81, 0, 0, 0, 0, '3'})
		}
		if err != nil {
			return err
		}
		if _, err := in.Discard(len(text)); err != nil {
			return err
		}
	}
}

// frame returns the text of a websocket's next frame, which is whole and of a server,
// where in holds it: it is to be discarded.
func frame(in *bufio.Reader) ([]byte, error) {
	head, err := in.Peek(2)
	if err != nil {
		return nil, err
	}
	if head[0] != 0x81 || head[1] > 126 {
		return nil, fmt.Errorf("a frame begins with % x, and not as a short text", head)
	}
	size, skip := int(head[1]), 2
	if size == 126 {
		if head, err = in.Peek(4); err != nil {
			return nil, err
		}
		size, skip = int(binary.BigEndian.Uint16(head[2:])), 4
	}
	if _, err := in.Discard(skip); err != nil {
		return nil, err
	}
	return in.Peek(size)
}

// note takes the age of a change, unless the browser has seen it before.
func (bs *browsers) note(b *browser, text []byte) {
	id, stamp := stampIn(text)
	age, saved := ms(time.Duration(time.Now().UnixNano()-stamp)), bytes.Contains(text, []byte(`"saved":true`))
	bs.mu.Lock()
	defer bs.mu.Unlock()
	if stamp == 0 || stamp < bs.since {
		return
	}
	bs.messages++
	if b.shown[id] != stamp {
		b.shown[id] = stamp
		bs.shown = append(bs.shown, age)
	}
	if saved && b.saved[id] != stamp {
		b.saved[id] = stamp
		bs.saved = append(bs.saved, age)
	}
}

// stampIn returns the number of who is told of, a user or a presentity, and the
// time that is the message; 0: none.
func stampIn(text []byte) (id int, stamp int64) {
	_, rest, ok := bytes.Cut(text, []byte(`{"id":"`))
	if !ok {
		return 0, 0
	}
	name, rest, _ := bytes.Cut(rest, []byte(`"`))
	_, rest, _ = bytes.Cut(rest, []byte(`"message":"`))
	message, _, _ := bytes.Cut(rest, []byte(`"`))
	stamp, err := strconv.ParseInt(string(message), 10, 64)
	if err != nil || stamp < 1e15 {
		return 0, 0 // what an extension had at first
	}
	return numberIn(name), stamp
}

// numberIn is the number that a name ends with: 12 of user-000012.
func numberIn(name []byte) int {
	from := len(name)
	for from > 0 && '0' <= name[from-1] && name[from-1] <= '9' {
		from--
	}
	n, _ := strconv.Atoi(string(name[from:]))
	return n
}
