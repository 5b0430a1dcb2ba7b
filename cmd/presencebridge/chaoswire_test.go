package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

// wire is a network between somebody and a PBX that can be spoilt.
type wire struct {
	t     *testing.T
	proxy *toxiproxy.Proxy
}

// behind is a PBX at the far end of a wire.
type behind struct {
	pbxtest.PBX
	addr string
}

func (b behind) Addr() string { return b.addr }

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	// A port that the kernel gives to nobody while the wire is cut.
	for range 100 {
		p := toxiproxy.NewProxy(server, "wire", net.JoinHostPort("127.0.0.1", fmt.Sprint(10000+rand.IntN(10000))), to)
		if p.Start() == nil {
			t.Cleanup(p.Stop)
			return &wire{t, p}
		}
	}
	t.Fatal("no port for a wire")
	return nil
}

func (w *wire) addr() string { return w.proxy.Listen }

// spoil adds a toxic in both directions.
func (w *wire) spoil(kind string, attributes map[string]int) {
	w.t.Helper()
	for _, stream := range []string{"upstream", "downstream"} {
		text, err := json.Marshal(map[string]any{"name": stream, "type": kind, "stream": stream, "attributes": attributes})
		if err == nil {
			_, err = w.proxy.Toxics.AddToxicJson(strings.NewReader(string(text)))
		}
		if err != nil {
			w.t.Fatalf("%s: %v", kind, err)
		}
	}
}

// mend takes the toxics away.
func (w *wire) mend() {
	w.t.Helper()
	for _, stream := range []string{"upstream", "downstream"} {
		if err := w.proxy.Toxics.RemoveToxic(context.Background(), stream); err != nil {
			w.t.Fatal(err)
		}
	}
}

// cut ends all connections and refuses new ones until join.
func (w *wire) cut() { w.proxy.Stop() }

func (w *wire) join() {
	w.t.Helper()
	pbxtest.Eventually(w.t, patience, "the wire listens again", func() bool { return w.proxy.Start() == nil })
}

// wireLeaks tells goleak what toxiproxy leaves behind: of a connection that ends in
// one direction the other's goroutines stay at their channels (v2.5.0, link.go:88-109).
func wireLeaks() []goleak.Option {
	return []goleak.Option{
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).read"),
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).write"),
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run"),
	}
}
