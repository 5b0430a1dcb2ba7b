package ari_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/ari"
	"github.com/presencebridge/presencebridge/pkg/pbxsim"
	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

// oddTexts are what people and programs write.
var oddTexts = []string{
	"", "Back at 2", "a, b, c", `say "hi"`, `'`, `back\slash \n`, "line\r\nbreak\n", "emoji ✌🏽", "|;${EVAL(x)}$[1+1]", "trailing ", "\t\x01\x7f",
	strings.Repeat("x", 255), strings.Repeat("é", 127), "not UTF-8 \xff\xfe", "a&b=c%20+d", "]]>", "e", ",e",
}

func testSetPresence(t *testing.T, pbx *pbxtest.Real) {
	phone := pbxtest.Observe(t, pbx)
	c := open(t, config(t, pbx, "bridge"), ari.Handler{})
	var want []pbxsim.Change
	for i, text := range oddTexts {
		change := pbxsim.Change{Presentity: fmt.Sprint("CustomPresence:set", i), State: "away", Subtype: text, Message: oddTexts[len(oddTexts)-1-i]}
		if err := c.SetPresence(t.Context(), change.Presentity, change.State, change.Subtype, change.Message); err != nil {
			t.Fatal(err)
		}
		want = append(want, change)
	}
	phone.CatchUp()
	for _, w := range want {
		if !slices.Contains(phone.Seen(), w) {
			t.Errorf("AMI did not see %q", w)
		}
		if got, err := phone.Shows(w.Presentity); err != nil || got != w {
			t.Errorf("the AstDB has %q, want %q, %v", got, w, err)
		}
	}
}

// testCut is what a Close in the middle of a SetPresence may do: a variable
// without its value would crash Asterisk.
func testCut(t *testing.T, pbx *pbxtest.Real) {
	phone := pbxtest.Observe(t, pbx)
	u := pbx.User("bridge")
	body := "variable=PRESENCE_STATE%28CustomPresence%3Acut%29&value=away%2C%2C%2Ce"
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, pbx.ARI()+"/asterisk/variable", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(u.Name, u.Secret)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	var whole strings.Builder
	if err := req.Write(&whole); err != nil {
		t.Fatal(err)
	}
	text := whole.String()
	for i := strings.Index(text, "variable="); i < len(text); i++ {
		nc, err := new(net.Dialer).DialContext(t.Context(), "tcp", req.URL.Host)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = nc.Write([]byte(text[:i]))
		_ = nc.Close()
	}
	c := open(t, config(t, pbx, "bridge"), ari.Handler{})
	if got, err := c.Presences(t.Context(), "CustomPresence:cut"); err != nil || got[0].State != "not_set" {
		t.Errorf("afterwards it shows %+v, %v", got, err)
	}
	phone.CatchUp()
	if n := len(phone.Seen()); n != 1 { // its own fence
		t.Errorf("%d events", n)
	}
}

func testPresences(t *testing.T, pbx *pbxtest.Real) {
	phone := pbxtest.Observe(t, pbx)
	c := open(t, config(t, pbx, "bridge"), ari.Handler{})
	const n = 40
	var names []string
	var want []ari.Presence
	for i := range n {
		p := ari.Presence{
			Presentity: fmt.Sprint("CustomPresence:", 5000+i), State: []string{"dnd", "away", "xa", "chat"}[i%4],
			Subtype: oddTexts[(i+7)%len(oddTexts)], Message: oddTexts[i%len(oddTexts)],
		}
		if i == n-1 {
			p = ari.Presence{Presentity: p.Presentity, State: "not_set"} // never set
		} else if err := phone.Set(p.Presentity, p.State, p.Subtype, p.Message); err != nil {
			t.Fatal(err)
		}
		names, want = append(names, p.Presentity), append(want, p)
	}
	for range 2 {
		got, err := c.Presences(t.Context(), names...)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("read %q\nwant %q, %v", got, want, err)
		}
	}
	began := time.Now()
	for range 25 {
		if _, err := c.Presences(t.Context(), names...); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%.0f presences/s", 25*n/time.Since(began).Seconds())
	wantChannels(t, pbx, 2) // both halves
	_ = c.Close()
	wantChannels(t, pbx, 0)
}

// wantChannels waits a little: Asterisk answers before a channel is quite gone.
func wantChannels(t *testing.T, pbx *pbxtest.Real, n int) {
	t.Helper()
	_, client := observer(t, pbx, "phone")
	pbxtest.Eventually(t, patience, fmt.Sprint(n, " channels"), func() bool {
		channels, err := client.Channel().List(nil)
		return err == nil && len(channels) == n
	})
}

func testReplacedChannel(t *testing.T, pbx *pbxtest.Real) {
	cfg := config(t, pbx, "bridge")
	older := open(t, cfg, ari.Handler{})
	if _, err := older.Presences(t.Context(), "CustomPresence:1"); err != nil {
		t.Fatal(err)
	}
	newer := open(t, cfg, ari.Handler{})
	<-older.Done()
	for range 2 {
		if _, err := newer.Presences(t.Context(), "CustomPresence:1"); err != nil {
			t.Error(err)
		}
	}
	wantChannels(t, pbx, 2)
	_ = newer.Close()
	wantChannels(t, pbx, 0)
}

// testLeftChannel is about what a kill -9 leaves, who cannot hang up any more.
func testLeftChannel(t *testing.T, pbx *pbxtest.Real) {
	cfg := config(t, pbx, "bridge")
	dying := cfg
	var mu sync.Mutex
	var conns []net.Conn
	dead := false
	dying.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		mu.Lock()
		defer mu.Unlock()
		if dead {
			return nil, net.ErrClosed
		}
		nc, err := new(net.Dialer).DialContext(ctx, network, address)
		if err == nil {
			conns = append(conns, nc)
		}
		return nc, err
	}
	c := reach(t, dying, ari.Handler{})
	if _, err := c.Presences(t.Context(), "CustomPresence:1"); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	dead = true
	for _, nc := range slices.Backward(conns) { // the websocket last, so that nobody can hang up
		_ = nc.Close()
	}
	mu.Unlock()
	<-c.Done()
	wantChannels(t, pbx, 2) // both halves
	next := open(t, cfg, ari.Handler{})
	if _, err := next.Presences(t.Context(), "CustomPresence:1"); err != nil {
		t.Error(err)
	}
	wantChannels(t, pbx, 2)
	_ = next.Close()
	wantChannels(t, pbx, 0)
}
