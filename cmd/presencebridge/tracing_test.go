package main

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

// otelCollector takes traces as one of OpenTelemetry does.
type otelCollector struct {
	t      *testing.T
	server *httptest.Server

	mu       sync.Mutex
	status   int // of the answers; 0: 200
	hang     chan struct{}
	requests int
	bytes    []byte // of all of them
	header   http.Header
	spans    []*tracepb.Span
}

func newOTelCollector(t *testing.T) *otelCollector {
	c := &otelCollector{t: t}
	c.server = httptest.NewServer(c)
	t.Cleanup(c.server.Close)
	return c
}

func (c *otelCollector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var data tracepb.TracesData
	if err == nil {
		err = proto.Unmarshal(body, &data)
	}
	if err != nil || r.URL.Path != "/v1/traces" || r.Method != http.MethodPost {
		c.t.Errorf("%s %s: %v", r.Method, r.URL, err)
	}
	c.mu.Lock()
	status, hang := c.status, c.hang
	c.requests++
	c.bytes, c.header = append(c.bytes, body...), r.Header
	if status == 0 {
		for _, s := range data.ResourceSpans {
			c.spans = append(c.spans, s.ScopeSpans[0].Spans...)
		}
	}
	c.mu.Unlock()
	if hang != nil {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	}
	if status != 0 {
		w.WriteHeader(status)
	}
}

func (c *otelCollector) set(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

// trace waits for a trace of which one span is as wanted, and returns its spans by name,
// the root as "".
func (c *otelCollector) trace(what string, want func(*tracepb.Span) bool) map[string][]*tracepb.Span {
	c.t.Helper()
	found := map[string][]*tracepb.Span{}
	pbxtest.Eventually(c.t, patience, "the collector has "+what, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		i := slices.IndexFunc(c.spans, want)
		if i < 0 {
			return false
		}
		id := c.spans[i].TraceId
		for _, s := range c.spans {
			if bytes.Equal(s.TraceId, id) {
				found[s.Name] = append(found[s.Name], s)
			}
		}
		return true
	})
	return found
}

// says tells whether a span has an attribute.
func says(s *tracepb.Span, key, value string) bool {
	for _, a := range s.Attributes {
		if v := a.Value; a.Key == "presencebridge."+key && (v.GetStringValue() == value || fmt.Sprint(v.GetBoolValue()) == value) {
			return true
		}
	}
	return false
}

// nested checks that spans of these names are there once, in this order, within the root.
func nested(t *testing.T, spans map[string][]*tracepb.Span, root string, names ...string) {
	t.Helper()
	top := spans[root][0]
	var last *tracepb.Span
	for _, name := range names {
		if len(spans[name]) == 0 {
			t.Errorf("there is no span %s", name)
			continue
		}
		for _, s := range spans[name] {
			if !bytes.Equal(s.ParentSpanId, top.SpanId) || s.StartTimeUnixNano < top.StartTimeUnixNano || s.EndTimeUnixNano > top.EndTimeUnixNano || s.EndTimeUnixNano < s.StartTimeUnixNano {
				t.Errorf("%s does not lie within %s: %v, %v", name, root, s, top)
			}
		}
		if s := spans[name][0]; last != nil && s.StartTimeUnixNano < last.StartTimeUnixNano {
			t.Errorf("%s begins before %s", name, last.Name)
		}
		last = spans[name][0]
	}
}

// tracedBridge is a bridge that tells c of everything.
func tracedBridge(t *testing.T, c *otelCollector, users bool) (*running, phone) {
	t.Helper()
	pbx := pbxtest.NewSimulated(t, pbxtest.Options{})
	r := configure(t, threeMethods, pbx)
	r.write("collector-token", "hunter7\n")
	r.secrets = append(r.secrets, "hunter7")
	file := filepath.Join(r.dir, "presencebridge.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r.write("presencebridge.yaml", string(text)+fmt.Sprintf("tracing: {endpoint: %q, sample: 1, users: %v, token_file: collector-token}\n", c.server.URL, users))
	return r, phone{t, pbxtest.Observe(t, pbx)}
}

const parentOfPanel = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// chooseTraced chooses a status as a panel does that has begun a trace.
func (r *running) chooseTraced(id, body string) {
	r.t.Helper()
	req, err := http.NewRequest(http.MethodPut, "http://bridge/api/v1/users/"+id+"/status", strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("traceparent", parentOfPanel)
	resp, err := r.client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		r.t.Fatalf("%d: %s", resp.StatusCode, text)
	}
}

func TestACollectorIsToldOfTheWayOfEventsAndChoices(t *testing.T) {
	c := newOTelCollector(t)
	r, f := tracedBridge(t, c, true)
	r.startReady()
	f.set("1001", "xa", "meeting", "Room of secrets")
	r.shows("alice", "meeting")
	event := c.trace("the event", func(s *tracepb.Span) bool {
		return s.Name == "decide" && says(s, "verdict", "said") && says(s, "changed", "true")
	})
	nested(t, event, "presence event", "read", "inbox", "decide", "store", "page")
	if root := event["presence event"][0]; !says(root, "user", "alice") || !says(root, "extension", "1001") || !says(root, "pbx", "main") || len(root.ParentSpanId) != 0 {
		t.Errorf("the root is %v", root)
	}
	if s := event["decide"][0]; !says(s, "rule", "it spoke most recently") {
		t.Errorf("decided: %v", s)
	}

	r.chooseTraced("alice", `{"type": "lunch", "message": "Eating in secret"}`)
	f.sees("1001", "away", "lunch", "Eating in secret")
	choice := c.trace("the choice", func(s *tracepb.Span) bool { return s.Name == "choice" })
	nested(t, choice, "choice", "inbox", "decide", "store", "page", "write")
	root := choice["choice"][0]
	if got := hex.EncodeToString(root.TraceId) + " " + hex.EncodeToString(root.ParentSpanId); got != "0af7651916cd43dd8448eb211c80319c b7ad6b7169203331" {
		t.Errorf("the panel's trace goes on as %s", got)
	}
	if len(choice["write"]) != 2 {
		t.Errorf("writes: %v", choice["write"])
	}
	for _, s := range choice["write"] {
		if !says(s, "outcome", "echo") || len(s.Events) != 2 || s.StartTimeUnixNano < choice["store"][0].EndTimeUnixNano {
			t.Errorf("write: %v", s)
		}
	}
	c.trace("an echo", func(s *tracepb.Span) bool {
		return s.Name == "decide" && says(s, "verdict", "echo") && says(s, "changed", "false")
	})
	r.stop()
	c.set(func() {
		for _, text := range []string{"secret", "hunter7", "Bearer"} {
			if bytes.Contains(c.bytes, []byte(text)) {
				t.Errorf("the collector is told %q", text)
			}
		}
		if got := c.header.Get("Authorization"); got != "Bearer hunter7" {
			t.Errorf("the token came as %q", got)
		}
	})
}

func TestTracesNameNobodyByDefault(t *testing.T) {
	c := newOTelCollector(t)
	r, f := tracedBridge(t, c, false)
	r.startReady()
	f.set("1001", "away", "lunch", "")
	r.shows("alice", "lunch")
	r.set("alice", "dnd", "")
	c.trace("the choice", func(s *tracepb.Span) bool { return s.Name == "choice" })
	r.stop()
	c.set(func() {
		for _, text := range []string{"alice", "1001", "1002", "lunch"} {
			if bytes.Contains(c.bytes, []byte(text)) {
				t.Errorf("the collector is told %q", text)
			}
		}
	})
}

func TestACollectorThatDoesNotWorkHoldsNothingUp(t *testing.T) {
	for name, trouble := range map[string]func(t *testing.T, c *otelCollector){
		"it is away":         func(_ *testing.T, c *otelCollector) { c.server.Close() },
		"it is out of order": func(_ *testing.T, c *otelCollector) { c.status = http.StatusServiceUnavailable },
		"it refuses":         func(_ *testing.T, c *otelCollector) { c.status = http.StatusForbidden },
		"it hangs": func(t *testing.T, c *otelCollector) {
			c.hang = make(chan struct{})
			t.Cleanup(func() { close(c.hang) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newOTelCollector(t)
			r, f := tracedBridge(t, c, true)
			trouble(t, c)
			r.startReady()
			f.set("1001", "away", "lunch", "")
			r.shows("alice", "lunch")
			r.set("alice", "dnd", "")
			f.sees("1001", "dnd", "", "")
			if name != "it hangs" {
				pbxtest.Eventually(t, patience, "the log tells", func() bool { return strings.Contains(r.log.String(), "traces do not reach the collector") })
			}
			r.stop()
			c.set(func() {
				if len(c.spans) != 0 && c.status != 0 {
					t.Errorf("spans: %v", c.spans)
				}
			})
		})
	}
}

func TestNothingIsTracedUnlessConfigured(t *testing.T) {
	c := newOTelCollector(t)
	r, f := tracedBridge(t, c, true)
	text, err := os.ReadFile(filepath.Join(r.dir, "presencebridge.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	before, _, _ := strings.Cut(string(text), "tracing:")
	r.write("presencebridge.yaml", before)
	// What programs of OpenTelemetry otherwise heed.
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.server.URL)
	t.Setenv("OTEL_TRACES_EXPORTER", "otlp")
	r.startReady()
	f.set("1001", "away", "lunch", "")
	r.shows("alice", "lunch")
	r.chooseTraced("alice", `{"type": "dnd"}`)
	r.settled("alice")
	r.stop()
	c.set(func() {
		if c.requests != 0 {
			t.Errorf("%d requests", c.requests)
		}
	})
}

func TestWhatBecomesOfTracesIsInTheMetrics(t *testing.T) {
	c := newOTelCollector(t)
	r, f := tracedBridge(t, c, true)
	r.startReady()
	f.set("1001", "away", "lunch", "")
	c.trace("a trace", func(s *tracepb.Span) bool { return s.Name == "decide" })
	pbxtest.Eventually(t, patience, "the metrics tell", func() bool {
		resp, err := r.client.Get("http://bridge/metrics")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		return !strings.Contains(string(text), `presencebridge_traces_total{result="sent"} 0`) && strings.Contains(string(text), `presencebridge_traces_total{result="full"} 0`)
	})
}

func TestDoctorAsksTheCollector(t *testing.T) {
	c := newOTelCollector(t)
	r, _ := tracedBridge(t, c, true)
	r.startReady()
	out, _ := r.run("doctor")
	if !strings.Contains(out, c.server.URL+"/v1/traces takes traces") {
		t.Errorf("doctor says:\n%s", out)
	}
	c.set(func() { c.status = http.StatusUnauthorized })
	out, code := r.run("doctor")
	if code != exitFailed || !strings.Contains(out, "it answers 401 Unauthorized") || !strings.Contains(out, "the bridge works without") {
		t.Errorf("doctor ends with %d and says:\n%s", code, out)
	}
	c.server.Close()
	if out, _ = r.run("doctor"); !strings.Contains(out, "connection refused") {
		t.Errorf("doctor says:\n%s", out)
	}
}
