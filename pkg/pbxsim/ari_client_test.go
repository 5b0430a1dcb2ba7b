package pbxsim_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/presencebridge/presencebridge/pkg/pbxsim"
)

// web is a client of ARI that writes down the conversation.
type web struct {
	t    testing.TB
	host string
	user pbxsim.User
	log  *bytes.Buffer // nil: nothing is written down
}

func browse(t testing.TB, ari string, u pbxsim.User) *web {
	t.Helper()
	at, err := url.Parse(ari)
	if err != nil {
		t.Fatal(err)
	}
	return &web{t: t, host: at.Host, user: u}
}

func (w *web) as(u pbxsim.User) *web {
	other := *w
	other.user = u
	return &other
}

func (w *web) remark(text string) {
	if w.log != nil {
		fmt.Fprintf(w.log, "# %s\n", text)
	}
}

// get, put, post and del ask without a body and return what comes.
func (w *web) get(path string) string  { w.t.Helper(); return w.ask("GET", path, "", "") }
func (w *web) put(path string) string  { w.t.Helper(); return w.ask("PUT", path, "", "") }
func (w *web) post(path string) string { w.t.Helper(); return w.ask("POST", path, "", "") }
func (w *web) del(path string) string  { w.t.Helper(); return w.ask("DELETE", path, "", "") }

const jsonBody = "application/json"

// ask sends a request by hand, so that nothing is hidden, and returns the status
// line, the body behind it.
func (w *web) ask(method, path, kind, body string, headers ...string) string {
	w.t.Helper()
	conn, err := net.DialTimeout("tcp", w.host, patience)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(patience))
	lines := []string{method + " " + path + " HTTP/1.1", "Host: pbx", "Connection: close"}
	if w.user.Name != "" {
		lines = append(lines, "Authorization: "+basic(w.user))
	}
	if kind != "" {
		lines = append(lines, "Content-Type: "+kind, fmt.Sprintf("Content-Length: %d", len(body)))
	}
	if _, err := io.WriteString(conn, strings.Join(append(lines, headers...), "\r\n")+"\r\n\r\n"+body); err != nil {
		w.t.Fatal(err)
	}
	raw, _ := io.ReadAll(conn) // what came until then counts: a killed PBX says nothing
	return w.note(method, path, body, string(raw))
}

func basic(u pbxsim.User) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(u.Name+":"+u.Secret))
}

// note writes down a request and its answer, and returns status and body.
func (w *web) note(method, path, body, raw string) string {
	head, content, _ := strings.Cut(raw, "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	if _, p, isPage := strings.Cut(content, "<p>"); isPage {
		p, _, _ = strings.Cut(p, "</p>")
		content = "(a page) " + p
	}
	status := strings.TrimPrefix(lines[0], "HTTP/1.1 ")
	if w.log == nil {
		return status + "\n" + content
	}
	fmt.Fprintf(w.log, "> %s %s\n", method, shorten(path))
	if body != "" {
		fmt.Fprintf(w.log, "> %s\n", body)
	}
	fmt.Fprintf(w.log, "< %s\n", status)
	for _, l := range lines[1:] {
		name, _, _ := strings.Cut(l, ":")
		if name != "Server" && name != "Date" && name != "Content-Length" {
			fmt.Fprintf(w.log, "< %s\n", l)
		}
	}
	if content != "" {
		fmt.Fprintf(w.log, "< %s\n", normalJSON(content))
	}
	w.log.WriteByte('\n')
	return status + "\n" + content
}

func shorten(s string) string {
	if len(s) > 700 {
		return s[:200] + fmt.Sprintf("(... %d bytes)", len(s))
	}
	return s
}

var volatileJSON = []struct {
	re *regexp.Regexp
	to string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d{4}`), "(time)"},
	{regexp.MustCompile(`"(asterisk_id|entity_id)":"[0-9a-f:]+"`), `"$1":"(id)"`},
	{regexp.MustCompile(`"version":"([0-9.]+)[^"]*"`), `"version":"$1"`},
	{regexp.MustCompile(`"options":"[^"]*","date":"[^"]*"`), `"options":"(options)","date":"(date)"`},
	{regexp.MustCompile(`"id":"\d+\.\d+"`), `"id":"(unique)"`},
}

func normalJSON(s string) string {
	for _, v := range volatileJSON {
		s = v.re.ReplaceAllString(s, v.to)
	}
	return readable(s)
}

// ear is a websocket; somebody else wrote its protocol.
type ear struct {
	*web
	name   string
	conn   *websocket.Conn
	fenced bool
}

func (w *web) listen(query string) *ear {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	conn, resp, err := websocket.Dial(ctx, "ws://"+w.host+"/ari/events?"+query, &websocket.DialOptions{
		HTTPHeader: http.Header{"Authorization": {basic(w.user)}},
	})
	if err != nil {
		w.t.Fatalf("listen to %s: %v", query, err)
	}
	conn.SetReadLimit(1 << 20)
	w.t.Cleanup(func() { _ = conn.CloseNow() })
	if w.log != nil {
		fmt.Fprintf(w.log, "> (websocket) %s\n< %s\n\n", query, resp.Status)
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(query, "app="), "&")
	return &ear{web: w, name: name, conn: conn}
}

// event returns the next event.
func (e *ear) event() (fields map[string]any, text string, err error) {
	ctx, cancel := context.WithTimeout(e.t.Context(), patience)
	defer cancel()
	_, b, err := e.conn.Read(ctx)
	if err != nil {
		return nil, "", err
	}
	return fields, string(b), json.Unmarshal(b, &fields)
}

// hear writes down events until one of a type came.
func (e *ear) hear(kind string) string {
	e.t.Helper()
	for {
		fields, text, err := e.event()
		if err != nil {
			e.t.Fatalf("%s waits for %s: %v", e.name, kind, err)
		}
		if e.log != nil {
			fmt.Fprintf(e.log, "< (%s) %s\n\n", e.name, normalJSON(text))
		}
		if fields["type"] == kind {
			return text
		}
	}
}

// fence writes down what was sent so far to an application: a user event comes
// last, one that follows devices sees a device of its own after all others.
func (e *ear) fence(devices bool) {
	e.t.Helper()
	quiet := e.as(e.user)
	quiet.log = nil
	mark := `"eventname":"fence"`
	if devices {
		state := "INUSE"
		if e.fenced = !e.fenced; e.fenced {
			state = "RINGING"
		}
		mark = `"Stasis:fence-` + e.name + `","state":"` + state + `"`
		quiet.put("/ari/deviceStates/Stasis:fence-" + e.name + "?deviceState=" + state)
	} else {
		quiet.post("/ari/events/user/fence?application=" + e.name)
	}
	for {
		_, text, err := e.event()
		if err != nil {
			e.t.Fatalf("%s waits for its fence: %v", e.name, err)
		}
		if strings.Contains(text, mark) {
			return
		}
		if e.log != nil {
			fmt.Fprintf(e.log, "< (%s) %s\n\n", e.name, normalJSON(text))
		}
	}
}

// hangUp closes the websocket. When its application notices is another matter.
func (e *ear) hangUp() {
	e.t.Helper()
	if err := e.conn.Close(websocket.StatusNormalClosure, ""); err != nil {
		e.t.Fatalf("close the websocket of %s: %v", e.name, err)
	}
	if e.log != nil {
		fmt.Fprintf(e.log, "# the websocket of %s is closed\n", e.name)
	}
}

// knock asks for a websocket by hand and returns the status line and the connection.
func (w *web) knock(query string, headers ...string) (status string, conn net.Conn, r *bufio.Reader) {
	w.t.Helper()
	conn, err := net.DialTimeout("tcp", w.host, patience)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	lines := append([]string{
		"GET /ari/events" + query + " HTTP/1.1", "Host: pbx", "Upgrade: websocket", "Connection: Upgrade",
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Authorization: " + basic(w.user),
	}, headers...)
	if _, err := io.WriteString(conn, strings.Join(lines, "\r\n")+"\r\n\r\n"); err != nil {
		w.t.Fatal(err)
	}
	r = bufio.NewReader(conn)
	line, err := r.ReadString('\n')
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.TrimSpace(strings.TrimPrefix(line, "HTTP/1.1 ")), conn, r
}
