package tracing

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/protobuf/proto"

	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// theCollector takes requests in place of the network.
type theCollector struct {
	mu       sync.Mutex
	status   []int // of the next answers; none: 200
	retry    string
	answer   []byte
	hangs    bool // until whoever asks gives up
	down     bool
	requests []*http.Request
	bodies   [][]byte
}

func (c *theCollector) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.requests, c.bodies = append(c.requests, r), append(c.bodies, body)
	status := http.StatusOK
	if len(c.status) > 0 {
		status, c.status = c.status[0], c.status[1:]
	}
	hangs, down := c.hangs, c.down
	w := &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(c.answer)), Request: r}
	if c.retry != "" {
		w.Header.Set("Retry-After", c.retry)
	}
	c.mu.Unlock()
	if hangs {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	if down {
		return nil, errors.New("dial tcp 192.0.2.1:4318: connection refused")
	}
	return w, nil
}

func (c *theCollector) set(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

func (c *theCollector) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.requests)
}

// request returns what came, the first as 0.
func (c *theCollector) request(i int) (http.Header, string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.requests[i].Header, string(c.bodies[i])
}

// spans are all spans of all requests, in order.
func (c *theCollector) spans(t *testing.T) []*tracepb.Span {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []*tracepb.Span
	for _, body := range c.bodies {
		var data tracepb.TracesData
		if err := proto.Unmarshal(body, &data); err != nil {
			t.Fatal(err)
		}
		for _, r := range data.ResourceSpans {
			for _, s := range r.ScopeSpans {
				all = append(all, s.Spans...)
			}
		}
	}
	return all
}

// office is an Exporter in a bubble, with its collector.
type office struct {
	*Exporter

	collector *theCollector
	logs      *observer.ObservedLogs
	stop      func() (took time.Duration)
}

func inOffice(t *testing.T, cfg Config, test func(t *testing.T, o *office)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.DebugLevel)
		cfg.URL = "http://collector:4318/v1/traces"
		o := &office{New(cfg, zap.New(core)), &theCollector{}, logs, nil}
		o.Exporter.collector.http.Transport = o.collector
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { o.Run(ctx); close(ended) }()
		o.stop = func() time.Duration {
			began := time.Now()
			cancel()
			<-ended
			return time.Since(began)
		}
		defer o.stop()
		test(t, o)
	})
}

// way is one of a choice that was written to one extension.
func way() *bridge.Way {
	at := time.Now()
	ms := func(n int) time.Time { return at.Add(time.Duration(n) * time.Millisecond) }
	x := presence.ExtensionID{PBX: "main", Number: "1001"}
	return &bridge.Way{
		Kind: bridge.ChoiceWay, User: "alice", By: "panel", Arrived: at, Began: ms(1), Decided: ms(2), Durable: true, Shown: ms(2), Published: ms(3), Rendered: ms(4),
		Committed: ms(3), Saved: ms(6), Commits: 1, Rule: presence.WonLatest, Changed: true, Ended: ms(10),
		Writes: []bridge.WayWrite{{Extension: x, Asked: ms(6), Sent: ms(7), Taken: ms(8), Ended: ms(10), Outcome: bridge.Echoed}},
	}
}

func TestAWayBecomesATrace(t *testing.T) {
	inOffice(t, Config{Users: true}, func(t *testing.T, o *office) {
		w := way()
		w.Parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
		o.Trace(w)
		time.Sleep(2 * batchWait)
		all := o.collector.spans(t)
		var root *tracepb.Span
		byName := map[string]*tracepb.Span{}
		for _, s := range all {
			byName[s.Name] = s
			if s.Name == "choice" {
				root = s
			}
		}
		if len(all) != 6 || root == nil {
			t.Fatalf("spans: %v", all)
		}
		if got := fmt.Sprintf("%x %x", root.TraceId, root.ParentSpanId); got != "0af7651916cd43dd8448eb211c80319c b7ad6b7169203331" {
			t.Errorf("the trace that goes on is %s", got)
		}
		for _, name := range []string{"inbox", "decide", "page", "store", "write"} {
			s := byName[name]
			if s == nil || !bytes.Equal(s.ParentSpanId, root.SpanId) || !bytes.Equal(s.TraceId, root.TraceId) ||
				s.StartTimeUnixNano < root.StartTimeUnixNano || s.EndTimeUnixNano > root.EndTimeUnixNano || s.StartTimeUnixNano > s.EndTimeUnixNano {
				t.Errorf("%s is %v in %v", name, s, root)
			}
		}
		if e := byName["write"].Events; len(e) != 2 || e[0].Name != "sent" || e[1].Name != "taken" {
			t.Errorf("events of the write: %v", e)
		}
		if f := o.Figures(); f.Sent != 1 || f.Waiting != 0 {
			t.Errorf("figures %+v", f)
		}
		if h, _ := o.collector.request(0); h.Get("Content-Type") != "application/x-protobuf" || h.Get("Authorization") != "" {
			t.Errorf("header %v", h)
		}
	})
}

func TestTracesNameNobodyUnlessAsked(t *testing.T) {
	for _, users := range []bool{false, true} {
		t.Run(fmt.Sprint(users), func(t *testing.T) {
			inOffice(t, Config{Users: users, Header: "X-Key", Token: func() string { return "hunter2" }}, func(t *testing.T, o *office) {
				event := way()
				event.Kind, event.Extension = bridge.PresenceWay, presence.ExtensionID{PBX: "main", Number: "1001"}
				o.Trace(way())
				o.Trace(event)
				time.Sleep(2 * batchWait)
				header, body := o.collector.request(0)
				for _, name := range []string{"alice", "1001"} {
					if strings.Contains(body, name) != users {
						t.Errorf("with users: %v it has %s: %v", users, name, !users)
					}
				}
				if strings.Contains(body, "hunter2") || header.Get("X-Key") != "hunter2" {
					t.Errorf("the token is in the wrong place: %v", header)
				}
			})
		})
	}
}

func TestAShareIsFollowedAndATraceIsCarriedOn(t *testing.T) {
	const sampled, not = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
	for _, tc := range []struct {
		share  float64
		parent string
		least  int // of 10,000
		most   int
	}{
		{0, "", 0, 0},
		{1, "", 10_000, 10_000},
		{0.1, "", 800, 1200}, // seven standard deviations
		{0, sampled, 10_000, 10_000},
		{1, not, 0, 0},
		{0, "00-00000000000000000000000000000000-b7ad6b7169203331-01", 0, 0},
		{1, "nonsense", 10_000, 10_000},
		{0, strings.Repeat("0", 128), 0, 0},
	} {
		e, n := New(Config{Share: tc.share}, zap.NewNop()), 0
		for range 10_000 {
			if e.Follows(tc.parent) {
				n++
			}
		}
		if n < tc.least || n > tc.most {
			t.Errorf("of 10,000 with the share %v and %q %d are followed", tc.share, tc.parent, n)
		}
	}
}

func TestACollectorThatIsBackGetsWhatWaited(t *testing.T) {
	inOffice(t, Config{}, func(t *testing.T, o *office) {
		o.collector.set(func() { o.collector.status = []int{503, 429} })
		o.Trace(way())
		time.Sleep(time.Minute)
		if f := o.Figures(); f.Sent != 1 || f.Away+f.Refused+f.Full != 0 || o.collector.count() != 3 {
			t.Errorf("after %d requests %+v", o.collector.count(), f)
		}
		_, first := o.collector.request(0)
		if _, last := o.collector.request(2); first != last {
			t.Error("another trace was sent the third time")
		}
		if o.logs.FilterMessage("traces are taken again").Len() != 1 {
			t.Errorf("log: %v", o.logs.All())
		}
	})
}

func TestWhatTheCollectorDoesNotTakeIsCounted(t *testing.T) {
	for _, tc := range []struct {
		name     string
		trouble  func(c *theCollector)
		requests int
		want     Figures
	}{
		{"it is away", func(c *theCollector) { c.down = true }, tries, Figures{Away: 1}},
		{"it hangs", func(c *theCollector) { c.hangs = true }, tries, Figures{Away: 1}},
		{"it is out of order", func(c *theCollector) { c.status = []int{502, 503, 504, 503} }, tries, Figures{Away: 1}},
		{"it does not know the token", func(c *theCollector) { c.status = []int{401} }, 1, Figures{Refused: 1}},
		{"it leads elsewhere", func(c *theCollector) { c.status = []int{307} }, 1, Figures{Refused: 1}},
		{"it takes a part", func(c *theCollector) { c.answer = []byte{0x0a, 0x02, 0x08, 0x03} }, 1, Figures{Sent: 1, Rejected: 3}},
		{"it answers nonsense", func(c *theCollector) { c.answer = []byte{0xff, 0xff, 0x0a} }, 1, Figures{Sent: 1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inOffice(t, Config{}, func(t *testing.T, o *office) {
				o.collector.set(func() { tc.trouble(o.collector) })
				o.Trace(way())
				time.Sleep(2 * time.Minute)
				if f := o.Figures(); f != tc.want || o.collector.count() != tc.requests {
					t.Errorf("after %d requests %+v", o.collector.count(), f)
				}
				told := o.logs.FilterMessageSnippet("do not reach").Len()
				if trouble := tc.want != (Figures{Sent: 1}); told > 1 || trouble != (told == 1) {
					t.Errorf("log: %v", o.logs.All())
				}
			})
		})
	}
}

func TestTheQueueIsBoundedAndNobodyWaits(t *testing.T) {
	inOffice(t, Config{}, func(t *testing.T, o *office) {
		o.collector.set(func() { o.collector.hangs = true })
		o.Trace(way())
		time.Sleep(2 * batchWait) // it is being sent
		for range maxQueue + 100 {
			o.Trace(way())
		}
		if f := o.Figures(); f.Full != 100 || f.Waiting != maxQueue {
			t.Errorf("figures %+v", f)
		}
		if took := o.stop(); took > flushWait {
			t.Errorf("it stopped after %v", took)
		}
		if f := o.Figures(); f.Sent != 0 || f.Away != maxQueue+1 || f.Waiting != 0 {
			t.Errorf("in the end %+v", f)
		}
	})
}

func TestAStopSendsWhatIsLeft(t *testing.T) {
	inOffice(t, Config{}, func(t *testing.T, o *office) {
		for range 2*maxBatch + 1 {
			o.Trace(way())
		}
		if took := o.stop(); took != 0 {
			t.Errorf("it waited for %v", took)
		}
		if f := o.Figures(); f.Sent != 2*maxBatch+1 || o.collector.count() != 3 {
			t.Errorf("in %d requests: %+v", o.collector.count(), f)
		}
	})
}

func TestTheLogTellsOnceInAWhile(t *testing.T) {
	inOffice(t, Config{Header: "Authorization", Token: func() string { return "Bearer hunter2" }}, func(t *testing.T, o *office) {
		o.collector.set(func() { o.collector.down = true })
		for range 60 {
			o.Trace(way())
			time.Sleep(time.Minute)
		}
		if n := o.logs.Len(); n < 6 || n > 7 {
			t.Errorf("%d lines in an hour", n)
		}
		if text := fmt.Sprint(o.logs.All()); strings.Contains(text, "hunter2") {
			t.Errorf("the log has the token: %s", text)
		}
	})
}

func TestACollectorIsLeftAloneForAsLongAsItAsks(t *testing.T) {
	inOffice(t, Config{}, func(t *testing.T, o *office) {
		o.collector.set(func() { o.collector.status, o.collector.retry = []int{429}, "20" })
		o.Trace(way())
		time.Sleep(15 * time.Second)
		if n := o.collector.count(); n != 1 {
			t.Errorf("%d requests", n)
		}
		time.Sleep(10 * time.Second)
		if f := o.Figures(); f.Sent != 1 {
			t.Errorf("figures %+v", f)
		}
	})
}

func TestTheCollectorIsReachedOverTLSAndItsCertificateHasToBeRight(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer server.Close()
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	right := x509.NewCertPool()
	right.AddCert(server.Certificate())
	for _, tc := range []struct {
		name string
		tls  *tls.Config
		well bool
	}{
		{"its authority is known", &tls.Config{RootCAs: right, MinVersion: tls.VersionTLS12}, true},
		{"its authority is not", &tls.Config{MinVersion: tls.VersionTLS12}, false},
		{"it is another one", &tls.Config{RootCAs: right, ServerName: "other.example", MinVersion: tls.VersionTLS12}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := asked.Load()
			err := Ask(t.Context(), Config{URL: server.URL + "/v1/traces", TLS: tc.tls})
			if (err == nil) != tc.well || (asked.Load() > before) != tc.well {
				t.Errorf("err = %v, asked %v", err, asked.Load() > before)
			}
			if err != nil && strings.Contains(err.Error(), server.URL) {
				t.Errorf("the error has the address: %v", err)
			}
		})
	}
}
