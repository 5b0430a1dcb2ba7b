package pbxtest

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ivahaev/amigo"

	"github.com/presencebridge/presencebridge/pkg/pbxsim"
)

const observerDeadline = 30 * time.Second

// ErrNotRunning is that of what was not even sent, since the PBX is not there.
var ErrNotRunning = errors.New("the PBX is not running")

// Observer sets presence as a phone would, sees what Asterisk tells, and asks
// it. It is built on amigo, an AMI client that shares no line with ours.
//
// It leaves and comes back with the PBX's Stop, Kill and Start. A connection lost
// in another way (pbxsim's Drop) is not for tests with an observer: amigo's
// reconnecting trips the race detector.
type Observer struct {
	t        testing.TB
	pbx      PBX
	user     pbxsim.User
	deadline time.Duration // for one action or login

	mu      sync.Mutex
	client  *amigo.Amigo  // nil: the PBX is not there
	left    chan struct{} // closed when client goes
	seen    []pbxsim.Change
	devices []pbxsim.Device
	members map[string]pbxsim.Member // as the last list of each told
	fences  int                      // written by CatchUp and CatchUpDevices
}

// Observe returns a connected observer with the account "phone".
func Observe(t testing.TB, pbx PBX) *Observer {
	t.Helper()
	o := &Observer{t: t, pbx: pbx, user: pbx.User("phone"), deadline: observerDeadline}
	pbx.attach(o)
	o.connect()
	t.Cleanup(o.disconnect)
	return o
}

func (o *Observer) connect() {
	o.t.Helper()
	host, port, err := net.SplitHostPort(o.pbx.Addr())
	if err != nil {
		o.t.Fatal(err)
	}
	client := amigo.New(&amigo.Settings{
		Host: host, Port: port, Username: o.user.Name, Password: o.user.Secret,
		ReconnectInterval: time.Minute, // a refused login is tried again for ever
		Keepalive:         false,       // its pongs block the reader (ami.go:226)
		ActionTimeout:     o.deadline,
	})
	for name, note := range map[string]func(map[string]string){"PresenceStateChange": o.note, "DeviceStateChange": o.noteDevice, "QueueMember": o.noteMember} {
		if err := client.RegisterHandler(name, note); err != nil {
			o.t.Fatal(err)
		}
	}
	client.Connect()
	Eventually(o.t, o.deadline, "the observer logs in as "+o.user.Name, client.Connected)
	o.mu.Lock()
	o.client, o.left = client, make(chan struct{})
	o.mu.Unlock()
	// What came together with the answer to the login is lost (ami.go:305), and
	// what follows may begin in the middle: this answer shows that it is over.
	if _, err := o.action(map[string]string{"Action": "Ping"}); err != nil {
		o.t.Fatalf("the observer got in, but no answer: %v", err)
	}
}

func (o *Observer) disconnect() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.client != nil {
		o.client.Close()
		o.client = nil
		close(o.left)
	}
}

// note is amigo's handler: it must not ask anything.
func (o *Observer) note(event map[string]string) {
	if event["Privilege"] == "" {
		return // an item of somebody's list
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seen = append(o.seen, pbxsim.Change{
		Presentity: event["Presentity"], State: event["Status"],
		Subtype: unescape(event["Subtype"]), Message: unescape(event["Message"]),
	})
}

// Set writes a presence, texts in base64. An error means that it was refused or
// that the PBX is not there.
func (o *Observer) Set(presentity, state, subtype, message string) error {
	return o.Write(presentity, pbxsim.Value(state, subtype, message))
}

// Write writes a raw value, as a dialplan would.
func (o *Observer) Write(presentity, value string) error {
	answer, err := o.action(map[string]string{
		"Action": "Setvar", "Variable": "PRESENCE_STATE(" + presentity + ")", "Value": value,
	})
	if err == nil && answer["Response"] != "Success" {
		err = errors.New(answer["Message"])
	}
	if err != nil {
		return fmt.Errorf("observer sets %s to %q: %w", presentity, value, err)
	}
	return nil
}

// Shows asks what the AstDB has for a presentity now.
func (o *Observer) Shows(presentity string) (pbxsim.Change, error) {
	c := pbxsim.Change{Presentity: presentity}
	for _, f := range []struct {
		args string
		to   *string
	}{{"value", &c.State}, {"subtype,e", &c.Subtype}, {"message,e", &c.Message}} {
		answer, err := o.action(map[string]string{
			"Action": "Getvar", "Variable": "PRESENCE_STATE(" + presentity + "," + f.args + ")",
		})
		if err != nil {
			return c, fmt.Errorf("observer asks for %s of %s: %w", f.args, presentity, err)
		}
		*f.to = answer["Value"]
		if text, isEncoded := strings.CutSuffix(f.args, ",e"); isEncoded {
			plain, err := base64.StdEncoding.DecodeString(answer["Value"])
			if err != nil {
				return c, fmt.Errorf("observer asks for %s of %s: %w", text, presentity, err)
			}
			*f.to = string(plain)
		}
	}
	return c, nil
}

// Seen returns every event so far, in order.
func (o *Observer) Seen() []pbxsim.Change {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]pbxsim.Change(nil), o.seen...)
}

// CatchUp waits until the events of everything that was written before have been
// seen: Asterisk sends all through one queue, so that of a write made now comes last.
func (o *Observer) CatchUp() {
	o.t.Helper()
	o.mu.Lock()
	o.fences++
	fence := pbxsim.Change{Presentity: "CustomPresence:observer-fence", State: "away", Message: strconv.Itoa(o.fences)}
	o.mu.Unlock()
	if err := o.Set(fence.Presentity, fence.State, "", fence.Message); err != nil {
		o.t.Fatal(err)
	}
	Eventually(o.t, o.deadline, "the observer sees its own write", func() bool { return slices.Contains(o.Seen(), fence) })
}

// action asks with a fresh map (amigo writes into it) and a timer of its own
// (amigo blocks for ever when the connection ends under it, ami.go:269).
func (o *Observer) action(a map[string]string) (map[string]string, error) {
	for key, value := range a {
		if strings.ContainsAny(value, "\r\n\x00") { // amigo does not look (ami.go:399)
			return nil, fmt.Errorf("%s %q would break the frame", key, value)
		}
	}
	o.mu.Lock()
	client, left := o.client, o.left
	o.mu.Unlock()
	if client == nil {
		return nil, ErrNotRunning
	}
	type result struct {
		answer map[string]string
		err    error
	}
	done := make(chan result, 1)
	go func() { // owned by amigo from here: nothing ends it when amigo hangs
		answer, err := client.Action(a)
		done <- result{answer, err}
	}()
	select {
	case r := <-done:
		if r.err == nil && r.answer["Error"] != "" { // its time-out has no error
			r.err = errors.New(r.answer["Error"])
		}
		return r.answer, r.err
	case <-left:
		return nil, errors.New("the PBX went before it answered")
	case <-time.After(o.deadline):
		return nil, errors.New("no answer")
	}
}

// unescape undoes ast_escape_c (utils.c:2056).
func unescape(s string) string {
	const letters, plain = `abfnrtv\'"?`, "\a\b\f\n\r\t\v\\'\"?"
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			if at := strings.IndexByte(letters, s[i+1]); at >= 0 {
				b.WriteByte(plain[at])
				i++
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
