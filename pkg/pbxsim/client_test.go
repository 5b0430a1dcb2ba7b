package pbxsim_test

import (
	"bufio"
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/presencebridge/presencebridge/pkg/pbxsim"
)

const patience = 30 * time.Second

// client is a strict, blocking AMI client that writes down the conversation.
type client struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
	log  *bytes.Buffer // nil: nothing is written down
	asks *int          // numbers ActionIDs, over all clients of a log

	fenced bool // what the last deviceFence wrote
}

func dial(t testing.TB, addr string) *client {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(2 * patience)); err != nil {
		t.Fatal(err)
	}
	return &client{t: t, conn: conn, r: bufio.NewReader(conn), asks: new(int)}
}

// login is dial and a plain login, the banner thrown away.
func login(t testing.TB, addr string, u pbxsim.User) *client {
	t.Helper()
	c := dial(t, addr)
	c.banner()
	if got := c.ask("Action: Login", "Username: "+u.Name, "Secret: "+u.Secret); !strings.Contains(got, "Success") {
		t.Fatalf("login as %s: %q", u.Name, got)
	}
	return c
}

func (c *client) banner() string {
	c.t.Helper()
	line, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Fatalf("banner: %v", err)
	}
	c.note("< ", line)
	return line
}

// send writes an action and returns its ActionID.
func (c *client) send(lines ...string) string {
	c.t.Helper()
	*c.asks++
	id := strconv.Itoa(*c.asks)
	for _, l := range lines {
		c.note("> ", l)
	}
	c.write(strings.Join(lines, "\r\n") + "\r\nActionID: " + id + "\r\n\r\n")
	return id
}

func (c *client) write(raw string) {
	c.t.Helper()
	if _, err := c.conn.Write([]byte(raw)); err != nil {
		c.t.Fatalf("write: %v", err)
	}
}

// frame reads one frame, its lines joined by CRLF; "" is the end of the connection.
func (c *client) frame() string {
	c.t.Helper()
	var b []byte
	for !bytes.HasSuffix(b, []byte("\r\n\r\n")) {
		line, err := c.r.ReadBytes('\n')
		if errors.Is(err, os.ErrDeadlineExceeded) {
			c.t.Fatalf("nothing comes; so far %q", b)
		}
		if err != nil {
			return ""
		}
		b = append(b, line...)
	}
	return strings.TrimSuffix(string(b), "\r\n\r\n")
}

// ask sends an action and returns its response. Events before it are only written down.
func (c *client) ask(lines ...string) string {
	c.t.Helper()
	return c.await("ActionID: " + c.send(lines...))
}

// await reads up to the first frame that has the line.
func (c *client) await(line string) string {
	c.t.Helper()
	for {
		f := c.frame()
		if f == "" {
			c.t.Fatalf("the connection ended before %q", line)
		}
		c.note("< ", f)
		if has(f, line) {
			return f
		}
	}
}

// bootedLate is how a FullyBooted begins that everybody is sent, after Asterisk
// says on its command line that it booted. Who logs in between gets a second one.
const bootedLate = "Event: FullyBooted\r\nPrivilege: system,all\r\nStatus: "

// ended reads up to the end of the connection.
func (c *client) ended() {
	c.t.Helper()
	for f := c.frame(); f != ""; f = c.frame() {
		c.note("< ", f)
	}
	c.note("< ", "(closed)")
}

// fence waits until every event caused so far has come: it writes a presence of
// its own and waits for the event, and leaves both out of the log.
func (c *client) fence() {
	c.t.Helper()
	*c.asks++
	id := strconv.Itoa(*c.asks)
	c.write("Action: Setvar\r\nVariable: PRESENCE_STATE(CustomPresence:fence)\r\nValue: xa," + id + "\r\nActionID: fence\r\n\r\n")
	for {
		f := c.frame()
		switch {
		case f == "":
			c.t.Fatal("the connection ended before the fence came back")
		case has(f, "ActionID: fence"):
		case has(f, "Presentity: CustomPresence:fence") && has(f, "Subtype: "+id) && has(f, "Privilege: call,all"):
			return
		default:
			c.note("< ", f)
		}
	}
}

// set asks for a write and returns the response; the echo is up to a fence.
func (c *client) set(presentity, value string) string {
	c.t.Helper()
	return c.ask("Action: Setvar", "Variable: PRESENCE_STATE("+presentity+")", "Value: "+value)
}

func (c *client) get(args string) string {
	c.t.Helper()
	f := c.ask("Action: Getvar", "Variable: PRESENCE_STATE("+args+")")
	_, value, _ := strings.Cut(f, "Value: ")
	return value
}

// list returns the presentities of a PresenceStateList in their order.
func (c *client) list() (presentities []string) {
	c.t.Helper()
	id := c.send("Action: PresenceStateList")
	for {
		f := c.frame()
		if f == "" {
			c.t.Fatal("the connection ended in the list")
		}
		c.note("< ", f)
		if !has(f, "ActionID: "+id) || has(f, "Response: Success") {
			continue
		}
		if !has(f, "Event: PresenceStateChange") {
			return presentities
		}
		_, rest, _ := strings.Cut(f, "Presentity: ")
		p, _, _ := strings.Cut(rest, "\r\n")
		presentities = append(presentities, p)
	}
}

func itoa(i int) string { return strconv.Itoa(i) }

func has(frame, line string) bool {
	return strings.Contains("\r\n"+frame+"\r\n", "\r\n"+line+"\r\n")
}

func md5Key(challenge, secret string) string {
	sum := md5.Sum([]byte(challenge + secret))
	return hex.EncodeToString(sum[:])
}

func (c *client) note(direction, text string) {
	if c.log == nil || strings.HasPrefix(text, bootedLate) {
		return
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\r\n"), "\r\n") {
		fmt.Fprintf(c.log, "%s%s\n", direction, readable(normal(line)))
	}
	if direction == "< " {
		c.log.WriteByte('\n')
	}
}

// remark puts what is done to the PBX into the log.
func (c *client) remark(text string) { fmt.Fprintf(c.log, "# %s\n", text) }

var volatile = []struct {
	re *regexp.Regexp
	to string
}{
	{regexp.MustCompile(`^(Challenge|Timestamp|Uptime|LastReload): [0-9.]+$`), "$1: (number)"},
	{regexp.MustCompile(`^(Core\w+Date): \d{4}-\d\d-\d\d$`), "$1: (date)"},
	{regexp.MustCompile(`^(Core\w+Time): \d\d:\d\d:\d\d$`), "$1: (time)"},
	{regexp.MustCompile(`^(AsteriskVersion: [0-9.]+).*$`), "$1"},
	{regexp.MustCompile(`^(LastPause|LoginTime): [1-9][0-9]*$`), "$1: (time)"},
	{regexp.MustCompile(`^Key: [0-9a-f]{32}$`), "Key: (md5)"},
	{regexp.MustCompile(`^Secret: .*$`), "Secret: (secret)"},
}

func normal(line string) string {
	for _, v := range volatile {
		line = v.re.ReplaceAllString(line, v.to)
	}
	return line
}

// readable quotes a line that a text file should not hold.
func readable(line string) string {
	invisible := func(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }
	if strings.ContainsFunc(line, invisible) || strings.TrimSpace(line) != line {
		return strconv.Quote(line)
	}
	return line
}
