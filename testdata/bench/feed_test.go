package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/api"
	"github.com/presencebridge/presencebridge/pkg/api/apitest"
	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

const (
	feedUsers   = 1000
	feedClients = 1000
	feedRate    = 200 // changes a second
	feedSeconds = 20
)

// BenchmarkFeed is how long it takes from a key on a phone to a thousand readers of
// events on TCP, with a token each, and what they cost. Readers, phones and bridge
// share the machine.
func BenchmarkFeed(b *testing.B) {
	sim := startChild(b, fmt.Sprint("sim ", perUser*feedUsers))
	r := open(b, feedUsers, asteriskAt(b, sim.addr), openStore(b, disks(b)["disk"]))
	r.run()
	defer r.stop()
	r.decided()
	address, newToken, stop := serveFeed(b, r.bridge)
	defer stop()

	readers := startChild(b, "readers")
	before := inUse()
	for i := range feedClients {
		readers.ask("open %s %s", address, newToken(i))
	}
	r.settled()
	each := (inUse() - before) / feedClients
	for b.Loop() {
		readers.ask("forget")
		u := measure(func() { sim.ask("rate %d %d", feedRate, feedRate*feedSeconds) })
		time.Sleep(time.Second) // what is under way still
		for i, word := range strings.Fields(readers.ask("quantiles")) {
			figure, err := strconv.ParseFloat(word, 64)
			check(b, err)
			b.ReportMetric(figure, []string{"p50-ms", "p99-ms", "max-ms", "events/change"}[i])
		}
		b.ReportMetric(u.cpu.Seconds()/u.wall.Seconds(), "cores")
	}
	b.ReportMetric(each, "B/client")
}

// inUse is the memory of the heap and the stacks, in bytes.
func inUse() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapInuse + m.StackInuse)
}

// feeds gives the API the bridge. Nobody asks it for lists here.
type feeds struct{ *bridge.Bridge }

func (feeds) Users(context.Context, presence.UserID) (iter.Seq2[bridge.User, error], error) {
	return nil, errors.ErrUnsupported
}

func (f feeds) User(_ context.Context, id presence.UserID) (bridge.User, error) {
	return f.Bridge.User(id)
}

func (f feeds) Subscribe(last uint64) api.Feed { return f.Bridge.Subscribe(last) }

// serveFeed serves the API on TCP and makes a token whenever it is asked to.
func serveFeed(b *testing.B, br *bridge.Bridge) (address string, newToken func(i int) string, stop func()) {
	b.Helper()
	tokens, err := api.OpenTokens(b.Context(), &apitest.Store{}, zap.NewNop(), nil)
	check(b, err)
	h := api.New(feeds{br}, api.Options{Tokens: tokens})
	s, err := api.ListenNetwork(b.Context(), api.Network{Address: "127.0.0.1:0", MaxConnections: feedClients + 10}, zap.NewNop())
	check(b, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, h) }()
	newToken = func(i int) string {
		r := httptest.NewRequest(http.MethodPost, "/api/v1/tokens", strings.NewReader(fmt.Sprintf(`{"name":"reader-%d","scope":"read"}`, i)))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		var made struct {
			Token string `json:"token"`
		}
		check(b, json.Unmarshal(w.Body.Bytes(), &made))
		return made.Token
	}
	return s.Addr().String(), newToken, func() {
		cancel()
		check(b, <-done)
	}
}

// readers are clients of the feed in a process of their own. They obey these lines:
//
//	open ADDRESS TOKEN   one more client, which has everybody when it answers
//	forget               forgets what was measured
//	quantiles            answers in ms how old changes were when they came: half, 99 %, all; and how many events a change and client had
type readers struct {
	mu   sync.Mutex
	ages samples
	all  int // events, those included that tell what is known
	fail error
}

func serveReaders() error {
	rs := &readers{}
	fmt.Println("ready")
	in := bufio.NewReader(os.Stdin)
	for {
		line, err := in.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		var address, token string
		switch c, _ := fmt.Sscanf(line, "open %s %s", &address, &token); {
		case err != nil:
			return err
		case c == 2:
			if err := rs.open(address, token); err != nil {
				return err
			}
			fmt.Println("open")
		case line == "forget\n":
			rs.mu.Lock()
			rs.ages, rs.all = nil, 0
			rs.mu.Unlock()
			fmt.Println("done")
		case line == "quantiles\n":
			rs.mu.Lock()
			fmt.Println(rs.ages.quantile(0.5), rs.ages.quantile(0.99), rs.ages.quantile(1), float64(rs.all)/float64(max(1, len(rs.ages))))
			err := rs.fail
			rs.mu.Unlock()
			if err != nil {
				return err
			}
		}
	}
}

func (rs *readers) open(address, token string) error {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(c, "GET /api/v1/events HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer %s\r\n\r\n", token); err != nil {
		return err
	}
	have := make(chan error, 1)
	go rs.read(c, have)
	return <-have
}

// read reads events. Everybody has come when the last user has.
func (rs *readers) read(c net.Conn, have chan<- error) {
	lines := bufio.NewReaderSize(c, 4096)
	last, had := []byte(userID(feedUsers-1)), false
	newest := map[string]int64{} // the time that is the message, of each user
	for {
		line, err := lines.ReadSlice('\n')
		if err != nil {
			rs.mu.Lock()
			rs.fail = err
			rs.mu.Unlock()
			if !had {
				have <- err
			}
			return
		}
		id, stamp := stampIn(line)
		if !had {
			if had = bytes.Contains(line, last); had {
				have <- nil
			}
			continue
		}
		if stamp == 0 {
			continue
		}
		age := ms(time.Duration(time.Now().UnixNano() - stamp))
		fresh := newest[id] != stamp
		newest[id] = stamp
		rs.mu.Lock()
		rs.all++
		if fresh {
			rs.ages = append(rs.ages, age)
		}
		rs.mu.Unlock()
	}
}

// stampIn returns the user of a line of data and the time that its status has as
// its message; 0: none.
func stampIn(line []byte) (id string, stamp int64) {
	_, rest, ok := bytes.Cut(line, []byte(`data: {"id":"`))
	if !ok {
		return "", 0
	}
	name, rest, _ := bytes.Cut(rest, []byte(`"`))
	_, rest, _ = bytes.Cut(rest, []byte(`"message":"`))
	text, _, _ := bytes.Cut(rest, []byte(`"`))
	stamp, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil || stamp < 1e15 {
		return "", 0 // what an extension had at first
	}
	return string(name), stamp
}
