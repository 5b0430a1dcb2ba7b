package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
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

	readers := startChild(b, "browsers")
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
		seen := sightOf(readers)
		b.ReportMetric(seen.shown50, "p50-ms")
		b.ReportMetric(seen.shown99, "p99-ms")
		b.ReportMetric(seen.most, "max-ms")
		b.ReportMetric(float64(seen.messages)/float64(max(1, seen.count)), "events/change")
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
