package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"hash/maphash"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ivahaev/amigo"

	"github.com/presencebridge/presencebridge/pkg/ami"
)

const (
	eventCount = 500_000
	phones     = 1000 // that the events are about, in turn
)

// eventStream is what the server sends behind the answer to a Ping.
func eventStream() []byte {
	var b bytes.Buffer
	for i := range eventCount {
		fmt.Fprintf(&b, "Event: PresenceStateChange\r\nPrivilege: call,all\r\nPresentity: CustomPresence:%d\r\n"+
			"Status: away\r\nSubtype: lunch\r\nMessage: Back in %d minutes\r\n\r\n", 100_000+i%phones, i)
	}
	return b.Bytes()
}

// serveEvents answers every action with success and sends the events behind a Ping.
func serveEvents() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	events := eventStream()
	fmt.Println(l.Addr())
	go func() { // the process ends with it
		for nc, err := l.Accept(); err == nil; nc, err = l.Accept() {
			go answerPings(nc, events)
		}
	}()
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func answerPings(nc net.Conn, events []byte) {
	defer func() { _ = nc.Close() }()
	_, _ = io.WriteString(nc, "Asterisk Call Manager/11.0.0\r\n")
	in := bufio.NewReader(nc)
	var name, id string
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return // the client has had enough
		}
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch key {
		case "Action":
			name = value
		case "ActionID":
			id = value
		case "":
			_, _ = fmt.Fprintf(nc, "Response: Success\r\nActionID: %s\r\n\r\n", id)
			if name == "Ping" {
				_, _ = nc.Write(events)
			}
		}
	}
}

// tally is the state that a reader ends with: the last texts of every phone.
type tally struct {
	seed  maphash.Seed
	seen  int
	state [phones]uint64
	over  chan struct{} // closed when all have come
}

func newTally(seed maphash.Seed) *tally { return &tally{seed: seed, over: make(chan struct{})} }

// note takes one event. It must cost next to nothing, and the same for every reader.
func note[T string | []byte](t *tally, presentity, status, subtype, message T) {
	number := 0
	for _, digit := range []byte(presentity[len(presentity)-6:]) {
		number = 10*number + int(digit-'0')
	}
	sum := func(text T) uint64 {
		switch text := any(text).(type) {
		case string:
			return maphash.String(t.seed, text)
		case []byte:
			return maphash.Bytes(t.seed, text)
		}
		return 0
	}
	t.state[number%phones] = sum(status) ^ 3*sum(subtype) ^ 5*sum(message)
	if t.seen++; t.seen == eventCount {
		close(t.over)
	}
}

// reader reads all events once.
type reader func(b *testing.B, addr string, t *tally)

// readBytes is the floor: it counts what comes and does not look at it.
func readBytes(b *testing.B, addr string, t *tally) {
	nc, err := net.Dial("tcp", addr)
	check(b, err)
	defer func() { _ = nc.Close() }()
	_, err = io.WriteString(nc, "Action: Ping\r\n\r\n")
	check(b, err)
	check(b, nc.(*net.TCPConn).CloseWrite()) // the server ends when it has sent everything
	n, err := io.Copy(io.Discard, nc)
	check(b, err)
	t.seen = int(n)
}

func readOurs(event func(t *tally, e ami.Event)) reader {
	return func(b *testing.B, addr string, t *tally) {
		c, err := ami.Open(b.Context(), ami.Config{Address: addr, Username: "u", Secret: ami.NewSecret("s"), Plain: true},
			ami.Handler{
				Event:     func(e ami.Event) { event(t, e) },
				Malformed: func(err error) { b.Error(err) },
			})
		check(b, err)
		defer func() { _ = c.Close() }()
		_, err = c.Do(b.Context(), ami.Ping())
		check(b, err)
		<-t.over
	}
}

func inPlace(t *tally, e ami.Event) {
	note(t, e.Bytes("Presentity"), e.Bytes("Status"), e.Bytes("Subtype"), e.Bytes("Message"))
}

func readAmigo(b *testing.B, addr string, t *tally) {
	host, port, err := net.SplitHostPort(addr)
	check(b, err)
	a := amigo.New(&amigo.Settings{Host: host, Port: port, Username: "u", Password: "s"})
	check(b, a.RegisterDefaultHandler(func(e map[string]string) {
		if e["Event"] == "PresenceStateChange" {
			note(t, e["Presentity"], e["Status"], e["Subtype"], e["Message"])
		}
	}))
	a.Connect()
	for end := time.Now().Add(10 * time.Second); !a.Connected(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			b.Fatal("amigo did not connect")
		}
	}
	defer a.Close()
	// In a goroutine of its own: amigo queues the answer behind events (ami.go:235).
	go func() { _, _ = a.Action(map[string]string{"Action": "Ping"}) }()
	<-t.over
}

// BenchmarkIngest reads 500,000 events with every reader, in turn forth and back.
func BenchmarkIngest(b *testing.B) {
	server := startChild(b, "events")
	readers := []struct {
		name string
		read reader
	}{
		{"byte counter", readBytes},
		{"ours, in place", readOurs(inPlace)},
		{"ours, all headers kept", readOurs(func(t *tally, e ami.Event) { inPlace(t, e.Clone()) })},
		{"amigo, handler", readAmigo},
	}
	seed := maphash.MakeSeed()
	want := newTally(seed)
	for i := range eventCount {
		note(want, fmt.Sprint("CustomPresence:", 100_000+i%phones), "away", "lunch", fmt.Sprintf("Back in %d minutes", i))
	}
	bytes := len("Asterisk Call Manager/11.0.0\r\nResponse: Success\r\nActionID: \r\n\r\n") + len(eventStream())
	rate, cpu, allocs := map[string]samples{}, map[string]samples{}, map[string]samples{}
	for b.Loop() {
		for turn := range 2 * len(readers) {
			r := readers[min(turn, 2*len(readers)-1-turn)]
			got := newTally(seed)
			used := measure(func() { r.read(b, server.addr, got) })
			if got.seen != bytes && (got.seen != eventCount || got.state != want.state) {
				b.Fatalf("%s lost or disordered events: %d came", r.name, got.seen)
			}
			rate[r.name] = append(rate[r.name], eventCount/used.wall.Seconds())
			cpu[r.name] = append(cpu[r.name], float64(used.cpu.Nanoseconds())/eventCount)
			allocs[r.name] = append(allocs[r.name], float64(used.allocs)/eventCount)
		}
	}
	peer := cpu["amigo, handler"].quantile(0.5)
	for _, r := range readers {
		b.Logf("| %s | %s | %s | %.2f | %s |", r.name, rate[r.name], cpu[r.name], cpu[r.name].quantile(0.5)/peer, allocs[r.name])
	}
}
