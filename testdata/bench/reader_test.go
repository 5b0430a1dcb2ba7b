package bench

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/ivahaev/amigo"
	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/ami"
	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/connector/asterisk"
)

// kept is what a reader keeps: what every presentity showed last. The zero value is
// not ready; newKept is.
type kept struct {
	count int
	state map[string]*texts // by presentity, or by extension for who knows it by that
	over  chan struct{}     // closed when the last event has come
}

// texts are of one presentity. Their room is used again.
type texts struct{ status, subtype, message []byte }

func newKept() *kept { return &kept{state: map[string]*texts{}, over: make(chan struct{})} }

func (k *kept) keep(presentity, status, subtype, message []byte) {
	x := k.state[string(presentity)]
	if x == nil {
		x = k.first(string(presentity))
	}
	if x != nil {
		k.count++
		x.status, x.subtype, x.message = append(x.status[:0], status...), append(x.subtype[:0], subtype...), append(x.message[:0], message...)
	}
}

// keepText is keep for those who have strings.
func (k *kept) keepText(presentity, status, subtype, message string) {
	x := k.state[presentity]
	if x == nil {
		x = k.first(presentity)
	}
	if x != nil {
		k.count++
		x.status, x.subtype, x.message = append(x.status[:0], status...), append(x.subtype[:0], subtype...), append(x.message[:0], message...)
	}
}

// first returns where to keep what a presentity shows that is new; nil: it is the end.
func (k *kept) first(presentity string) *texts {
	if strings.HasSuffix(presentity, lastPhone) {
		close(k.over)
		return nil
	}
	x := &texts{}
	k.state[strings.Clone(presentity)] = x
	return x
}

// goReaders are what this binary can be for the comparison, obeying peers/README.md,
// beside a bridge (bridged).
var goReaders = map[string]func(ctx context.Context, addr string, k *kept) error{
	"bytes":     countBytes,
	"hand":      parseByHand,
	"ami":       readClient,
	"connector": readConnector,
	"amigo":     listenWithAmigo,
}

// serveReader is one of goReaders at an address: "ami 127.0.0.1:1".
func serveReader(argument string) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	kind, addr, _ := strings.Cut(argument, " ")
	if kind == "skeleton" {
		return serveSkeleton(ctx, addr)
	}
	read, ok := goReaders[kind]
	if b := (&bridged{addr: addr, saved: kind == "saved"}); kind == "decided" || b.saved {
		read, ok = b.read, true
		defer b.end()
	}
	if !ok {
		return fmt.Errorf("there is no reader %q", kind)
	}
	k := newKept()
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		if in.Text() == "go" {
			k = newKept()
			if err := read(ctx, addr, k); err != nil {
				return err
			}
			continue
		}
		const kind = "CustomPresence:"
		out := bufio.NewWriter(os.Stdout)
		for presentity, x := range k.state {
			fmt.Fprintf(out, "%s%s|%s|%s|%s\n", kind, strings.TrimPrefix(presentity, kind), x.status, x.subtype, x.message)
		}
		fmt.Fprintln(out, ".")
		if err := out.Flush(); err != nil {
			return err
		}
	}
	return in.Err()
}

func (k *kept) told() { fmt.Println("end", k.count) }

// listenRaw logs in and asks for the recording without any library.
func listenRaw(addr string) (net.Conn, error) {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	_, err = io.WriteString(nc, "Action: Login\r\nUsername: listener\r\nSecret: secret\r\n\r\nAction: Ping\r\n\r\n")
	return nc, err
}

// countBytes is the floor: it looks at nothing but the end of what it reads.
func countBytes(_ context.Context, addr string, k *kept) error {
	nc, err := listenRaw(addr)
	if err != nil {
		return err
	}
	defer func() { _ = nc.Close() }()
	end := []byte("Message: the end\r\n\r\n")
	buf, tail := make([]byte, 64<<10), 0
	for !bytes.HasSuffix(buf[:tail], end) {
		keep := min(tail, len(end))
		copy(buf, buf[tail-keep:tail])
		n, err := nc.Read(buf[keep:])
		if err != nil {
			return err
		}
		k.count += n
		tail = keep + n
	}
	k.told()
	return nil
}

// parseByHand knows which headers come in which order, and checks nothing.
func parseByHand(_ context.Context, addr string, k *kept) error {
	nc, err := listenRaw(addr)
	if err != nil {
		return err
	}
	defer func() { _ = nc.Close() }()
	in := bufio.NewReaderSize(nc, 64<<10)
	var presentity, status, subtype []byte
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		line = line[:len(line)-2]
		switch {
		case bytes.HasPrefix(line, []byte("Presentity: ")):
			presentity = append(presentity[:0], line[12:]...)
		case bytes.HasPrefix(line, []byte("Status: ")):
			status = append(status[:0], line[8:]...)
		case bytes.HasPrefix(line, []byte("Subtype: ")):
			subtype = append(subtype[:0], line[9:]...)
		case bytes.HasPrefix(line, []byte("Message: ")) && len(presentity) > 0:
			k.keep(presentity, status, subtype, line[9:])
			select {
			case <-k.over:
				k.told()
				return nil
			default:
			}
		}
	}
}

// readClient is pkg/ami alone: every frame is checked and split, four headers are read.
func readClient(ctx context.Context, addr string, k *kept) error {
	c, err := ami.Open(ctx, ami.Config{Address: addr, Username: "listener", Secret: ami.NewSecret("secret"), Plain: true}, ami.Handler{
		Event: func(e ami.Event) {
			if e.Is("PresenceStateChange") {
				k.keep(e.Bytes("Presentity"), e.Bytes("Status"), e.Bytes("Subtype"), e.Bytes("Message"))
			}
		},
		Malformed: func(err error) { fmt.Fprintln(os.Stderr, err) },
	})
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	if err := c.Send(ami.Ping(), func(ami.Response, error) {}); err != nil {
		return err
	}
	<-k.over
	k.told()
	return nil
}

// recordedPBX is a connector at the server of recorded bytes, which has the
// account bridge play when the connector is ready for events.
func recordedPBX(addr string) (*asterisk.Connector, error) {
	return asterisk.New(asterisk.Config{
		Name: "main", Instance: "bench",
		AMI: ami.Config{Address: addr, Username: "bridge", Secret: ami.NewSecret("bridge-secret"), Plain: true},
	}, zap.NewNop())
}

// readConnector is the connector of the bridge: a session with its snapshot and canary,
// and a Report for each event.
func readConnector(ctx context.Context, addr string, k *kept) error {
	c, err := recordedPBX(addr)
	if err != nil {
		return err
	}
	var numbers []string
	for i := range recordedPhones {
		numbers = append(numbers, number(i))
	}
	c.Follow(connector.NewNumbers(numbers))
	return runTo(ctx, k, c.Run, func(r connector.Report) {
		switch {
		case r.Kind == connector.Snapshot && r.First:
			if err := play(addr, ""); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		case r.Kind == connector.Changed:
			p := r.Presence
			k.keepText(r.Extension.Number, p.State.String(), p.Subtype, p.Message)
		}
	})
}

// runTo runs a connector until the last event has come.
func runTo(ctx context.Context, k *kept, run func(context.Context, connector.Sink) error, sink connector.Sink) error {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, sink) }()
	select {
	case <-k.over:
		k.told()
	case err := <-ended:
		cancel()
		return err
	}
	cancel()
	return <-ended
}

// listenWithAmigo is amigo 0.1.11 with a handler of one event, as its README has it; with
// PEER_DB the handler writes each event in a transaction of its own.
func listenWithAmigo(ctx context.Context, addr string, k *kept) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	write, err := eventWriter(ctx, os.Getenv("PEER_DB"))
	if err != nil {
		return err
	}
	a := amigo.New(&amigo.Settings{Host: host, Port: port, Username: "listener", Password: "secret"})
	connected := make(chan struct{}, 1)
	a.On("connect", func(string) { connected <- struct{}{} })
	err = a.RegisterHandler("PresenceStateChange", func(e map[string]string) {
		k.keepText(e["Presentity"], e["Status"], e["Subtype"], e["Message"])
		write(e)
	})
	if err != nil {
		return err
	}
	a.Connect()
	<-connected
	for !a.Connected() { // "connect" may come before
		time.Sleep(100 * time.Microsecond)
	}
	// In a goroutine of its own: amigo queues the answer behind events (ami.go:235).
	go func() { _, _ = a.Action(map[string]string{"Action": "Ping"}) }()
	<-k.over
	k.told()
	a.Close()
	return nil
}

// insertEvent writes one event: presentity, status, subtype, message.
const insertEvent = `INSERT OR REPLACE INTO presence VALUES (?, ?, ?, ?)`

// openEvents opens a SQLite file that has what every presentity showed last.
func openEvents(ctx context.Context, file string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	_, err = db.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS presence (presentity TEXT PRIMARY KEY, status TEXT, subtype TEXT, message TEXT)`)
	if err != nil {
		_ = db.Close()
		return nil, err
	}
	return db, nil
}

// eventWriter writes events into a SQLite file, one transaction each. Without a file it does nothing.
func eventWriter(ctx context.Context, file string) (write func(e map[string]string), err error) {
	if file == "" {
		return func(map[string]string) {}, nil
	}
	db, err := openEvents(ctx, file)
	if err != nil {
		return nil, err
	}
	return func(e map[string]string) {
		if _, err := db.ExecContext(ctx, insertEvent, e["Presentity"], e["Status"], e["Subtype"], e["Message"]); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}, nil
}

// canaryEvent is the event of a Setvar of PRESENCE_STATE as our client writes it.
func canaryEvent(variable, value string) ([]byte, error) {
	presentity := strings.TrimSuffix(strings.TrimPrefix(variable, "PRESENCE_STATE("), ")")
	parts := strings.Split(value, ",")
	if len(parts) < 3 {
		return nil, fmt.Errorf("no value of a presence: %q", value)
	}
	subtype, err := base64.StdEncoding.DecodeString(parts[1])
	if err != nil {
		return nil, err
	}
	message, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "Event: PresenceStateChange\r\nPrivilege: call,all\r\nPresentity: %s\r\nStatus: %s\r\nSubtype: %s\r\nMessage: %s\r\n\r\n",
		presentity, parts[0], subtype, message), nil
}
