package api_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/api"
	"github.com/presencebridge/presencebridge/pkg/api/apitest"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// events opens the stream and returns its lines.
func events(t *testing.T, url, last string) (*bufio.Scanner, func()) {
	t.Helper()
	return eventsWith(t, url, "", last)
}

// eventsWith is events with a query.
func eventsWith(t *testing.T, url, query, last string) (*bufio.Scanner, func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/api/v1/events"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	if last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	if got := answer.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Fatalf("content type %q", got)
	}
	return bufio.NewScanner(answer.Body), func() { cancel(); _ = answer.Body.Close() }
}

// ids reads n events and returns "id user" of each.
func ids(t *testing.T, lines *bufio.Scanner, n int) (got []string) {
	t.Helper()
	id := ""
	for len(got) < n && lines.Scan() {
		line := lines.Text()
		if rest, ok := strings.CutPrefix(line, "id: "); ok {
			id = rest
		}
		if rest, ok := strings.CutPrefix(line, "data: "); ok {
			conforms(t, "User", []byte(rest))
			got = append(got, id+" "+decode(t, []byte(rest))["id"].(string))
		}
	}
	if len(got) < n {
		t.Fatalf("the stream ended after %q: %v", got, lines.Err())
	}
	return got
}

func serve(t *testing.T, h *api.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(func() {
		h.EndStreams()
		s.Close()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	})
	return s.URL
}

func TestANewStreamSendsEverybodyAndThenChanges(t *testing.T) {
	b := apitest.New()
	lines, done := events(t, serve(t, handler(b)), "")
	defer done()
	if got := fmt.Sprint(ids(t, lines, 5)); got != "[1 alice 2 bob 3 carol 4 eve/../x 5 dave]" {
		t.Errorf("first %s", got)
	}
	b.Put(apitest.Users()[1])
	if got := fmt.Sprint(ids(t, lines, 1)); got != "[6 bob]" {
		t.Errorf("then %s", got)
	}
}

func TestAUserThatLeftTheMappingIsGoneFromTheStream(t *testing.T) {
	b := apitest.New()
	lines, done := events(t, serve(t, handler(b)), "5")
	defer done()
	b.Remove("bob")
	var got []string
	for len(got) < 3 && lines.Scan() {
		if line := lines.Text(); line != "" && !strings.HasPrefix(line, "retry") {
			got = append(got, line)
		}
	}
	if want := `[id: 6 event: gone data: {"id":"bob"}]`; fmt.Sprint(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestAStreamResumesBehindTheLastEventSeen(t *testing.T) {
	for _, last := range []string{"header", "query"} {
		t.Run(last, func(t *testing.T) {
			url := serve(t, handler(apitest.New()))
			var lines *bufio.Scanner
			var done func()
			if last == "header" {
				lines, done = events(t, url, "2")
			} else {
				answer, err := http.Get(url + "/api/v1/events?last_event_id=2")
				if err != nil {
					t.Fatal(err)
				}
				lines, done = bufio.NewScanner(answer.Body), func() { _ = answer.Body.Close() }
			}
			defer done()
			if got := fmt.Sprint(ids(t, lines, 3)); got != "[3 carol 4 eve/../x 5 dave]" {
				t.Errorf("got %s", got)
			}
		})
	}
}

func TestASilentStreamBeats(t *testing.T) {
	h := api.New(apitest.New(), api.Options{Heartbeat: time.Millisecond})
	lines, done := events(t, serve(t, h), "5")
	defer done()
	beats := 0
	for beats < 3 && lines.Scan() {
		if strings.HasPrefix(lines.Text(), ": ") {
			beats++
		}
	}
	if beats < 3 {
		t.Errorf("%d heartbeats: %v", beats, lines.Err())
	}
}

// A script in a browser sees events and no comments.
func TestABeatIsAnEventForWhoAsksForIt(t *testing.T) {
	h := api.New(apitest.New(), api.Options{Heartbeat: time.Hour})
	lines, done := eventsWith(t, serve(t, h), "?beat=true", "")
	defer done()
	if got := fmt.Sprint(ids(t, lines, 5)); !strings.HasSuffix(got, "5 dave]") {
		t.Errorf("first %s", got)
	}
	for _, want := range []string{"", "event: beat", "data: {}", ""} { // everybody was sent
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("then %q, want %q: %v", lines.Text(), want, lines.Err())
		}
	}
	lines, done = eventsWith(t, serve(t, api.New(apitest.New(), api.Options{Heartbeat: time.Millisecond})), "?beat=true", "5")
	defer done()
	for beats := 0; beats < 3; {
		if !lines.Scan() || strings.HasPrefix(lines.Text(), ":") {
			t.Fatalf("%q after %d beats: %v", lines.Text(), beats, lines.Err())
		}
		if lines.Text() == "event: beat" {
			beats++
		}
	}
	if w := do(handler(apitest.New()), request("GET", "/api/v1/events?beat=yes", "")); w.Code != http.StatusUnprocessableEntity {
		t.Errorf("beat=yes: %d", w.Code)
	}
}

func TestAStreamEndsWhenTheServerStops(t *testing.T) {
	b := apitest.New()
	h := handler(b)
	url := serve(t, h)
	lines, done := events(t, url, "")
	defer done()
	ids(t, lines, 5)
	h.EndStreams()
	for lines.Scan() {
	}
	if err := lines.Err(); err != nil {
		t.Errorf("the stream was cut: %v", err)
	}
	waitFor(t, func() bool { return b.Feeds() == 0 })
	again, err := http.Get(url + "/api/v1/events")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Body.Close() }()
	if _, err := io.ReadAll(again.Body); err != nil { // a stream begun later ends at once
		t.Error(err)
	}
}

func TestAFeedIsClosedWhenItsClientLeaves(t *testing.T) {
	b := apitest.New()
	lines, done := events(t, serve(t, handler(b)), "")
	ids(t, lines, 5)
	done()
	waitFor(t, func() bool { return b.Feeds() == 0 })
}

// A reader that takes nothing while everybody changes a thousand times gets the
// last state of everybody, not a thousand events.
func TestASlowReaderGetsTheLastStateOnly(t *testing.T) {
	b := apitest.New()
	ours, theirs := net.Pipe() // holds nothing: the server stands still until we read
	h := handler(b)
	server := &http.Server{Handler: h}
	served := make(chan error, 1)
	go func() { served <- server.Serve(&one{c: theirs}) }()
	if _, err := io.WriteString(ours, "GET /api/v1/events HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return b.Feeds() == 1 })
	for range 1000 {
		for _, u := range apitest.Users() {
			b.Put(u)
		}
	}
	lines := bufio.NewScanner(ours)
	seen, events := "", 0
	for seen != "id: 5005" && lines.Scan() {
		if strings.HasPrefix(lines.Text(), "id: ") {
			seen = lines.Text()
			events++
		}
	}
	if seen != "id: 5005" || events > 10 {
		t.Errorf("%d events, the last %q: %v", events, seen, lines.Err())
	}
	h.EndStreams()
	_ = ours.Close()
	_ = server.Close()
	<-served
}

// one is a listener with a single connection.
type one struct{ c net.Conn }

func (l *one) Accept() (net.Conn, error) {
	if l.c == nil {
		return nil, net.ErrClosed
	}
	c := l.c
	l.c = nil
	return c, nil
}
func (l *one) Close() error   { return nil }
func (l *one) Addr() net.Addr { return &net.UnixAddr{} }

func TestAStreamNeedsAConnectionWithDeadlines(t *testing.T) {
	if w := do(handler(apitest.New()), request("GET", "/api/v1/events", "")); w.Code != http.StatusInternalServerError {
		t.Errorf("status %d", w.Code)
	}
}

// waitFor polls, for what has no event of its own.
func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it did not happen")
		}
	}
}

// The last users of a snapshot and the first changes after it have ids that others
// had before them.
func TestEveryStreamSendsTheSameOfOneChange(t *testing.T) {
	b := apitest.New()
	url := serve(t, handler(b))
	var all []*bufio.Scanner
	for _, last := range []string{"", "5", "3", ""} {
		lines, done := events(t, url, last)
		defer done()
		all = append(all, lines)
	}
	for i, n := range []int{5, 0, 2, 5} {
		ids(t, all[i], n)
	}
	for change := range 3 {
		u := apitest.Users()[change]
		u.Version += 100
		b.Put(u)
		want := fmt.Sprintf("[%d %s]", 6+change, u.ID)
		for i := range all {
			if got := fmt.Sprint(ids(t, all[i], 1)); got != want {
				t.Errorf("stream %d: %s, want %s", i, got, want)
			}
		}
	}
}

func TestALongSnapshotComesInPiecesAndWhole(t *testing.T) {
	b := apitest.New()
	for i := range 300 { // several times what is sent at once
		u := apitest.Users()[0]
		u.ID = presence.UserID(fmt.Sprint("more-", i))
		b.Put(u)
	}
	lines, done := events(t, serve(t, handler(b)), "")
	defer done()
	if got := ids(t, lines, 305); got[304] != "305 more-299" {
		t.Errorf("the last is %s", got[304])
	}
	b.Put(apitest.Users()[1])
	if got := fmt.Sprint(ids(t, lines, 1)); got != "[306 bob]" {
		t.Errorf("then %s", got)
	}
}
