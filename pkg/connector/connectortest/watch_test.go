package connectortest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// liar is a connector that does what a script says.
type liar struct {
	script func(ctx context.Context, sink connector.Sink)
	ran    chan struct{} // closed when the script is over
}

func (l *liar) Run(ctx context.Context, sink connector.Sink) error {
	l.script(ctx, sink)
	close(l.ran)
	return errors.New("the script is over")
}
func (l *liar) Write(context.Context, connector.Order) error { return nil }
func (l *liar) Read(context.Context, connector.Order) error  { return nil }
func (l *liar) Resync()                                      {}
func (l *liar) Health() connector.Health                     { return connector.Health{PBX: "main"} }

// complaints is a test that takes its failures down. Fatalf does not end it.
type complaints struct {
	testing.TB
	all []string
}

func (c *complaints) Helper()                   {}
func (c *complaints) Cleanup(func())            {}
func (c *complaints) Error(args ...any)         { c.all = append(c.all, fmt.Sprint(args...)) }
func (c *complaints) Fatalf(s string, a ...any) { panic(fmt.Sprintf(s, a...)) }

func TestWatchSeesEveryBreachOfTheContract(t *testing.T) {
	id := presence.ExtensionID{PBX: "main", Number: "1001"}
	snapshot := func(session uint64, first bool) connector.Report {
		return connector.Report{
			Kind: connector.Snapshot, PBX: "main", Session: session, First: first,
			Incarnation: "life", Shows: map[string]presence.Presence{},
		}
	}
	down := func(session uint64) connector.Report {
		return connector.Report{Kind: connector.Down, PBX: "main", Session: session, Err: io.EOF}
	}
	with := func(r connector.Report, change func(*connector.Report)) connector.Report {
		change(&r)
		return r
	}
	said := connector.Report{Kind: connector.Changed, PBX: "main", Extension: id}
	for _, tc := range []struct {
		name    string
		reports []connector.Report
		want    string // "": no complaint
	}{
		{"an honest session", []connector.Report{snapshot(1, true), said, snapshot(1, false), down(1), snapshot(2, true), down(2)}, ""},
		{"a change before the snapshot", []connector.Report{said, snapshot(1, true), down(1)}, "Changed outside of a session"},
		{"a change after Down", []connector.Report{snapshot(1, true), down(1), said}, "Changed outside of a session"},
		{"a second Down", []connector.Report{snapshot(1, true), down(1), down(1)}, "Down of session 1 while 0 is open"},
		{"another session's Down", []connector.Report{snapshot(2, true), down(1)}, "Down of session 1 while 2 is open"},
		{"no Down", []connector.Report{snapshot(1, true)}, "without the Down of session 1"},
		{"Down without a reason", []connector.Report{snapshot(1, true), with(down(1), func(r *connector.Report) { r.Err = nil })}, "Down without a reason"},
		{"a session number again", []connector.Report{snapshot(1, true), down(1), snapshot(1, true), down(1)}, "first snapshot of session 1 after session 1"},
		{"first twice", []connector.Report{snapshot(1, true), snapshot(2, true), down(2)}, "first snapshot of session 2"},
		{"never first", []connector.Report{snapshot(1, false), down(1)}, "a later snapshot of session 1 while 0 is open"},
		{"no incarnation", []connector.Report{with(snapshot(1, true), func(r *connector.Report) { r.Incarnation = "" }), down(1)}, "without incarnation"},
		{"a snapshot that is too long", []connector.Report{with(snapshot(1, true), func(r *connector.Report) {
			r.Shows["1"] = presence.Presence{Message: strings.Repeat("x", 256)}
		}), down(1)}, "not canonical"},
		{"a change that is too long", []connector.Report{snapshot(1, true), with(said, func(r *connector.Report) { r.Presence.Subtype = "\xff" }), down(1)}, "not canonical"},
		{"another PBX", []connector.Report{snapshot(1, true), with(said, func(r *connector.Report) { r.PBX = "branch" }), down(1)}, `of PBX "branch"`},
		{"another PBX's extension", []connector.Report{snapshot(1, true), {Kind: connector.Acked, PBX: "main"}, down(1)}, "Acked of"},
		{"refused without a reason", []connector.Report{snapshot(1, true), {Kind: connector.Refused, PBX: "main", Extension: id}, down(1)}, "Refused without a reason"},
		{"a kind that is none", []connector.Report{{Kind: 99, PBX: "main"}}, "kind 99 outside"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := &liar{ran: make(chan struct{}), script: func(ctx context.Context, sink connector.Sink) {
				for _, r := range tc.reports {
					sink(r)
				}
				<-ctx.Done()
			}}
			expect(t, l, tc.want)
		})
	}
}

func TestWatchSeesReportsAfterRun(t *testing.T) {
	var sink connector.Sink
	l := &liar{ran: make(chan struct{}), script: func(_ context.Context, s connector.Sink) { sink = s }}
	c := &complaints{TB: t}
	w := Start(c, l)
	w.Stop()
	sink(connector.Report{Kind: connector.Loaded, PBX: "main"})
	w.Stop()
	if got := strings.Join(c.all, "\n"); !strings.Contains(got, "Loaded after Run returned") {
		t.Errorf("complaints: %s", got)
	}
}

func TestWatchSeesRunGiveUp(t *testing.T) {
	l := &liar{ran: make(chan struct{}), script: func(context.Context, connector.Sink) {}}
	c := &complaints{TB: t}
	w := Start(c, l)
	<-w.ended
	w.Stop()
	if got := strings.Join(c.all, "\n"); !strings.Contains(got, "Run returned by itself: the script is over") {
		t.Errorf("complaints: %s", got)
	}
}

func TestWatchSeesOverlappingCalls(t *testing.T) {
	l := &liar{ran: make(chan struct{}), script: func(ctx context.Context, _ connector.Sink) { <-ctx.Done() }}
	c := &complaints{TB: t}
	w := Start(c, l)
	w.mu.Lock()
	w.busy = true // what a call leaves that is under way
	w.mu.Unlock()
	w.sink(connector.Report{Kind: connector.Alive, PBX: "main"})
	w.Stop()
	if got := strings.Join(c.all, "\n"); !strings.Contains(got, "two calls of the sink at a time") {
		t.Errorf("complaints: %s", got)
	}
}

func TestAwaitSaysWhatDidNotCome(t *testing.T) {
	l := &liar{ran: make(chan struct{}), script: func(ctx context.Context, sink connector.Sink) {
		sink(connector.Report{Kind: connector.Loaded, PBX: "main"})
		<-ctx.Done()
	}}
	w := Start(&complaints{TB: t}, l)
	defer w.Stop()
	w.AwaitKind(connector.Loaded)
	defer func() {
		if said := fmt.Sprint(recover()); !strings.Contains(said, "the snapshot did not come") || !strings.Contains(said, "Loaded") {
			t.Errorf("Await says %s", said)
		}
	}()
	w.AwaitFor(1, "the snapshot", func(connector.Report) bool { return false })
}

func expect(t *testing.T, l *liar, want string) {
	t.Helper()
	c := &complaints{TB: t}
	w := Start(c, l)
	w.Stop()
	got := strings.Join(c.all, "\n")
	if want == "" && got != "" || !strings.Contains(got, want) {
		t.Errorf("complaints: %q, want %q", got, want)
	}
}

func TestNetworkCutsAtTheByte(t *testing.T) {
	near, far := net.Pipe()
	t.Cleanup(func() { _ = far.Close() })
	n := Network{Base: func(context.Context, string, string) (net.Conn, error) { return near, nil }}
	n.CutAfter(3)
	c, err := n.Dial(t.Context(), "tcp", "anywhere")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = far.Write([]byte("hello")) }() // ends when the connection is cut
	got, err := io.ReadAll(c)
	if string(got) != "hel" || !errors.Is(err, errCut) || n.Read() != 3 || n.pending() != 0 {
		t.Errorf("read %q (%d counted), %v", got, n.Read(), err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	n.Cut() // nothing is open
	n.Base = func(context.Context, string, string) (net.Conn, error) { return nil, io.EOF }
	if _, err := n.Dial(t.Context(), "tcp", "anywhere"); !errors.Is(err, io.EOF) {
		t.Errorf("dial: %v", err)
	}
}
