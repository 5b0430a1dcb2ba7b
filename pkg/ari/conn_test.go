package ari

import (
	"context"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
)

func TestEventsComeInTheirOrder(t *testing.T) {
	var want []string
	open := make(chan struct{})
	p := peer{events: func(_ context.Context, ws *websocket.Conn) {
		<-open
		for i := range 500 {
			say(ws, device(fmt.Sprint("PJSIP/", i), "INUSE"))
		}
		_ = ws.Close(websocket.StatusNormalClosure, "")
	}}
	for i := range 500 {
		want = append(want, fmt.Sprintf("PJSIP/%d INUSE", i))
	}
	var seen recorder
	c := enter(t, p.start(t), seen.handler())
	close(open)
	if err := over(t, c); !errors.Is(err, ErrClosed) || !strings.Contains(err.Error(), "the PBX closed it: 1000") {
		t.Errorf("ended with %v", err)
	}
	if !slices.Equal(seen.lines, want) {
		t.Errorf("saw %d events: %q", len(seen.lines), seen.lines[:min(3, len(seen.lines))])
	}
	if got := c.Counters(); got != (Counters{Events: 500}) {
		t.Errorf("counted %+v", got)
	}
}

func TestWhatIsNoEventEndsNothing(t *testing.T) {
	const secret = "something private"
	open := make(chan struct{})
	p := peer{events: func(_ context.Context, ws *websocket.Conn) {
		<-open
		for _, text := range []string{
			"", "null", "{", "[]", `{"application":"bridge"}`, `{"type":7}`, `{"type":""}`, "not JSON: " + secret,
			`{"type":"DeviceStateChanged","device_state":"` + secret + `"}`,
			`{"type":"DeviceStateChanged","timestamp":"25.11.2026 ` + secret + `"}`,
			`{"type":"DeviceStateChanged","timestamp":"2026-11-25T19:07:05Z"}`,
			strings.Repeat("[", 20000),
		} {
			say(ws, text)
		}
		_ = ws.Write(context.Background(), websocket.MessageBinary, []byte(device("PJSIP/0", "BUSY")))
		say(ws, `{"type":"ChannelUserevent","userevent":{"x":"`+strings.Repeat("x", maxMessage)+`"}}`)
		say(ws, `{"type":"ChannelToneDetected","application":"bridge"}`)
		say(ws, `{"type":"RESTResponse"}`)
		say(ws, `{"type":"ApplicationReplaced","application":"another"}`)
		say(ws, device("PJSIP/1", "BUSY"))
		_ = ws.Close(websocket.StatusNormalClosure, "")
	}}
	var seen recorder
	c := enter(t, p.start(t), seen.handler())
	close(open)
	_ = over(t, c)
	text := strings.Join(seen.lines, "\n")
	if !strings.HasSuffix(text, "\nApplicationReplaced\nPJSIP/1 BUSY") || strings.Contains(text, secret) {
		t.Errorf("saw:\n%s", text)
	}
	for _, want := range []error{errJSON, errFields, errBinary, errOversize} {
		if !slices.Contains(seen.lines, want.Error()) {
			t.Errorf("%v was not told", want)
		}
	}
	if got := c.Counters(); got != (Counters{Events: 2, Malformed: 14, Unknown: 2}) {
		t.Errorf("counted %+v", got)
	}
}

func TestAReplacedApplicationEndsTheConn(t *testing.T) {
	open := make(chan struct{})
	p := peer{events: func(_ context.Context, ws *websocket.Conn) {
		<-open
		say(ws, device("PJSIP/1", "BUSY"))
		say(ws, replaced)
		say(ws, device("PJSIP/2", "BUSY"))
	}}
	var seen recorder
	c := enter(t, p.start(t), seen.handler())
	close(open)
	if err := over(t, c); !errors.Is(err, ErrReplaced) || !errors.Is(err, ErrClosed) {
		t.Errorf("ended with %v", err)
	}
	if want := []string{"PJSIP/1 BUSY"}; !slices.Equal(seen.lines, want) {
		t.Errorf("saw %q, want %q", seen.lines, want)
	}
	if _, err := c.Info(t.Context()); !errors.Is(err, ErrReplaced) {
		t.Errorf("a request afterwards: %v", err)
	}
}

func TestAHandlerThatSleepsHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const events = 100
		sent := make(chan time.Duration, 1)
		more, last := make(chan struct{}), make(chan struct{})
		p := peer{events: func(_ context.Context, ws *websocket.Conn) {
			began := time.Now()
			for i := range events {
				say(ws, device(fmt.Sprint("PJSIP/", i), "INUSE"))
			}
			sent <- time.Since(began)
			<-more
			say(ws, device("PJSIP/more", "INUSE"))
			close(last)
		}}
		cfg := p.start(t)
		cfg.Queue = 10
		var seen recorder
		h := seen.handler()
		event := h.Event
		h.Event = func(e Event) {
			time.Sleep(time.Second) // of the bubble
			event(e)
		}
		c := enter(t, cfg, h)
		if took := <-sent; took > 10*time.Millisecond {
			t.Errorf("the reader was held up for %v", took)
		}
		time.Sleep(time.Minute)
		close(more)
		<-last
		time.Sleep(time.Minute)
		_ = c.Close()
		lost := c.Counters().Lost
		if lost < events-12 || lost > events-10 { // one may be with the handler already
			t.Errorf("lost %d of %d with a queue of 10", lost, events)
		}
		n := events - int(lost)
		var want []string
		for i := range n {
			want = append(want, fmt.Sprintf("PJSIP/%d INUSE", i))
		}
		want = append(want, fmt.Sprint("lost ", lost), "PJSIP/more INUSE")
		if !slices.Equal(seen.lines, want) {
			t.Errorf("saw %q\nwant %q", seen.lines, want)
		}
	})
}

func TestTheQueueIsBoundedInBytes(t *testing.T) {
	q := newQueue(1 << 30)
	const size = 100 << 10
	for range 100 {
		q.put(item{event: &DeviceStateChanged{}, size: size})
	}
	kept, lost := 0, 0
	for it, ok, _ := q.pop(); ok; it, ok, _ = q.pop() {
		if lost += it.lost; it.event != nil {
			kept++
		}
	}
	if kept != maxQueued/size || lost != 100-kept || q.dropped() != uint64(lost) || q.bytes != 0 {
		t.Errorf("kept %d, lost %d, %d bytes in an empty queue", kept, lost, q.bytes)
	}
}

func TestWhatFollowsALossWaitsForItsMark(t *testing.T) {
	q := newQueue(2)
	put := func(name string) { q.put(item{event: &ChannelUserevent{Eventname: name}}) }
	pop := func() string {
		it, ok, _ := q.pop()
		switch e, isEvent := it.event.(*ChannelUserevent); {
		case !ok:
			return "nothing"
		case isEvent:
			return e.Eventname
		default:
			return fmt.Sprint("lost ", it.lost)
		}
	}
	put("a")
	put("b")
	put("c")
	got := []string{pop()}
	put("d") // there is room, but c is missing before it
	got = append(got, pop(), pop())
	put("e")
	got = append(got, pop(), pop())
	if want := []string{"a", "b", "lost 2", "e", "nothing"}; !slices.Equal(got, want) {
		t.Errorf("came %q, want %q", got, want)
	}
	q.discard()
	put("f")
	if got := pop(); got != "nothing" || q.dropped() != 2 {
		t.Errorf("what nobody wants: %s, %d lost", got, q.dropped())
	}
}

func TestHalfOpenIsNoticed(t *testing.T) {
	for name, play := range map[string]func(net.Conn){
		"reads and is silent": func(nc net.Conn) { _, _ = io.Copy(io.Discard, nc) },
		"reads nothing":       func(net.Conn) { time.Sleep(5 * time.Minute) },
		"sends half a frame": func(nc net.Conn) {
			go func() { _, _ = nc.Write([]byte{0x81, 0x7e, 0x10, 0x00, '{'}) }()
			_, _ = io.Copy(io.Discard, nc)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := peer{}
				upgraded := make(chan struct{})
				p.answer = func(w http.ResponseWriter, a asked) bool {
					return upgrade(w, a, func(nc net.Conn) { close(upgraded); play(nc) })
				}
				c := enter(t, p.start(t), Handler{})
				<-upgraded
				began := time.Now()
				<-c.Done()
				if took := time.Since(began); took > 25*time.Second || took < pingInterval {
					t.Errorf("noticed after %v", took)
				}
				if err := c.Err(); !strings.Contains(err.Error(), "ping was not answered") {
					t.Errorf("ended with %v", err)
				}
			})
		})
	}
}

func TestPongsKeepItOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p peer // linger answers pings
		c := enter(t, p.start(t), Handler{})
		time.Sleep(10 * time.Minute)
		if err := c.Err(); err != nil {
			t.Error(err)
		}
	})
}

func TestHowItEnds(t *testing.T) {
	for name, tc := range map[string]struct {
		play func(net.Conn)
		want string
	}{
		"cut":              {func(net.Conn) {}, "the PBX closed it: EOF"},
		"cut in a message": {func(nc net.Conn) { _, _ = nc.Write([]byte{0x81, 0x7e, 0x10, 0x00, '{', '"'}) }, "EOF"},
		"cut in an oversized": {func(nc net.Conn) {
			_, _ = nc.Write(append([]byte{0x81, 0x7f, 0, 0, 0, 0, 0, 0xf, 0, 0}, make([]byte, maxMessage+10)...))
		}, "EOF"},
		"not a frame":        {func(nc net.Conn) { _, _ = nc.Write([]byte("\xffhello")); _, _ = nc.Read(make([]byte, 10)) }, "unexpected rsv bits"},
		"closed with a code": {func(nc net.Conn) { _, _ = nc.Write([]byte{0x88, 2, 0x03, 0xe9}); _, _ = nc.Read(make([]byte, 10)) }, "the PBX closed it: 1001"},
	} {
		t.Run(name, func(t *testing.T) {
			open := make(chan struct{})
			p := peer{answer: func(w http.ResponseWriter, a asked) bool {
				return upgrade(w, a, func(nc net.Conn) { <-open; tc.play(nc) })
			}}
			c := enter(t, p.start(t), Handler{})
			close(open)
			if err := over(t, c); !strings.Contains(err.Error(), tc.want) {
				t.Errorf("ended with %v, want %q", err, tc.want)
			}
		})
	}
}

// upgrade answers the handshake by hand and plays what follows.
func upgrade(w http.ResponseWriter, a asked, play func(net.Conn)) bool {
	if !strings.HasPrefix(a.uri, "/ari/events") {
		return false
	}
	nc, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return true
	}
	defer func() { _ = nc.Close() }()
	_, _ = fmt.Fprintf(nc, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %s\r\n\r\n", accept(a.key))
	play(nc)
	return true
}

// accept proves that a handshake was read (RFC 6455, 4.2.2).
func accept(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

func TestCloseInTheMiddleOfEverything(t *testing.T) {
	p := peer{
		events: func(ctx context.Context, ws *websocket.Conn) {
			for i := 0; ws.Write(ctx, websocket.MessageText, []byte(device(fmt.Sprint("PJSIP/", i), "INUSE"))) == nil; i++ {
			}
		},
		answer: func(w http.ResponseWriter, a asked) bool {
			if strings.HasSuffix(a.uri, "/info") {
				time.Sleep(time.Millisecond)
				_, _ = io.WriteString(w, `{}`)
				return true
			}
			return false
		},
	}
	cfg := p.start(t)
	for range 30 {
		after := false
		h := Handler{Event: func(Event) {
			if after {
				t.Error("an event after Close")
			}
		}}
		c, err := Open(t.Context(), cfg, h)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for {
					if _, err := c.Info(t.Context()); err != nil {
						if !errors.Is(err, ErrClosed) {
							t.Errorf("a request that Close ended: %v", err)
						}
						return
					}
				}
			})
		}
		wg.Go(func() { _ = c.Close() })
		_ = c.Close()
		after = true
		wg.Wait()
		if err := c.Err(); err == nil || errors.Unwrap(err) != nil {
			t.Errorf("closed with %v", err)
		}
	}
}

func TestCloseWaitsForNoPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var p peer
		p.answer = func(w http.ResponseWriter, a asked) bool {
			if a.method != http.MethodPut && !strings.HasPrefix(a.uri, "/ari/events") {
				<-release
			}
			return upgrade(w, a, func(net.Conn) { <-release })
		}
		c := enter(t, p.start(t), Handler{})
		defer close(release)
		ended := make(chan error)
		go func() {
			_, err := c.Presences(t.Context(), "CustomPresence:1")
			ended <- err
		}()
		synctest.Wait()
		began := time.Now()
		_ = c.Close()
		if took := time.Since(began); took > hangupTimeout+goodbyeTimeout {
			t.Errorf("closing took %v", took)
		}
		if err := <-ended; !errors.Is(err, ErrClosed) {
			t.Errorf("what was under way ended with %v", err)
		}
	})
}

func TestCloseDropsWhatWaits(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	sent := make(chan struct{})
	p := peer{events: func(_ context.Context, ws *websocket.Conn) {
		for range 10 {
			say(ws, device("PJSIP/1", "INUSE"))
		}
		close(sent)
	}}
	calls := 0
	c := enter(t, p.start(t), Handler{Event: func(Event) {
		calls++
		close(entered)
		<-leave
	}})
	<-entered
	<-sent
	closed := make(chan struct{})
	go func() { _ = c.Close(); close(closed) }()
	<-c.life.Done()
	select {
	case <-closed:
		t.Error("Close did not wait for the handler")
	default:
	}
	close(leave)
	<-closed
	if calls != 1 {
		t.Errorf("%d calls of the handler", calls)
	}
}

// BenchmarkDecode is what the reader does for each event.
func BenchmarkDecode(b *testing.B) {
	text := []byte(device("PJSIP/1001", "INUSE"))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decode(text); err != nil {
			b.Fatal(err)
		}
	}
}
