package ari

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/coder/websocket"
)

// parking plays channels, a variable and EVAL.
type parking struct {
	shows  func(presentity, field string) string
	mu     sync.Mutex
	note   string   // the variable
	there  []string // ids of channels
	made   []string // of all that were ever made
	vanish bool     // what is made is gone at once, as without app_stasis
	asked  []int
}

func (p *parking) none() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.there) == 0
}

func (p *parking) hangUpAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.there = nil
}

var item3 = regexp.MustCompile(`\$\{PRESENCE_STATE\(([^,]+),([^)]+)\)\}`)

func (p *parking) answer(w http.ResponseWriter, a asked) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	u, err := url.Parse(a.uri)
	if err != nil {
		panic(err)
	}
	at, ofChannel := strings.CutPrefix(u.Path, "/ari/channels/")
	id, variable := strings.CutSuffix(at, "/variable")
	switch {
	case a.method == http.MethodGet && u.Path == "/ari/asterisk/variable" && u.Query().Get("variable") == "bridge-presence":
		_, _ = fmt.Fprintf(w, `{"value":%q}`, p.note)
		return true
	case u.Path == "/ari/asterisk/variable":
		form, _ := url.ParseQuery(a.body)
		p.note = form.Get("value")
	case a.method == http.MethodPost && at == "create":
		id := u.Query().Get("channelId")
		p.made = append(p.made, id)
		if !p.vanish {
			p.there = append(p.there, id)
		}
	case a.method == http.MethodDelete && ofChannel:
		p.there = slices.DeleteFunc(p.there, func(s string) bool { return s == id })
	case a.method == http.MethodGet && ofChannel && variable:
		if !slices.Contains(p.there, id) {
			refuse(w, http.StatusNotFound, "Provided channel was not found")
			return true
		}
		text, _ := strings.CutPrefix(u.Query().Get("variable"), "EVAL(")
		text = strings.TrimSuffix(text, ")")
		p.asked = append(p.asked, strings.Count(text, ";"))
		text = item3.ReplaceAllStringFunc(text, func(s string) string {
			m := item3.FindStringSubmatch(s)
			field, encoded := strings.CutSuffix(m[2], ",e")
			value := p.shows(m[1], field)
			if encoded {
				value = base64.StdEncoding.EncodeToString([]byte(value))
			}
			return value
		})
		_, _ = fmt.Fprintf(w, `{"value":%q}`, text)
		return true
	default:
		return false
	}
	w.WriteHeader(http.StatusNoContent)
	return true
}

func shown(presentity, field string) string {
	if field == "value" {
		return "away"
	}
	return field + " of " + presentity + ";|)\x00\xff"
}

func TestPresencesAreReadInTheirOrder(t *testing.T) {
	park := &parking{shows: shown}
	p := peer{answer: park.answer}
	c := enter(t, p.start(t), Handler{})
	var names []string
	for i := range 100 {
		names = append(names, fmt.Sprintf("CustomPresence:%d%s", 1000+i, strings.Repeat("x", i%60)))
	}
	for range 2 {
		got, err := c.Presences(t.Context(), names...)
		if err != nil || len(got) != len(names) {
			t.Fatalf("%d presences, %v", len(got), err)
		}
		for i, n := range names {
			if want := (Presence{n, "away", shown(n, "subtype"), shown(n, "message")}); got[i] != want {
				t.Fatalf("presence = %+v, want %+v", got[i], want)
			}
		}
	}
	created, longest := 0, 0
	for _, a := range p.requests() {
		longest = max(longest, len(a.method+" "+a.uri+" HTTP/1.1\r\n"))
		if a.method == http.MethodPost && strings.HasPrefix(a.uri, "/ari/channels") {
			created++
			if want := "/ari/channels/create?endpoint=Local%2Fpresence%40bridge&app=bridge&channelId=bridge-presence-"; !strings.HasPrefix(a.uri, want) {
				t.Errorf("created by %s", a.uri)
			}
		}
	}
	if created != 1 || longest > 4000 || longest < 3500 {
		t.Errorf("%d channels, a line of %d bytes", created, longest)
	}
	_ = c.Close()
	if !park.none() {
		t.Error("the channel stays behind")
	}
	if got, err := c.Presences(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("nobody's: %v, %v", got, err)
	}
}

func TestManyExtensionsFitInOneRequest(t *testing.T) {
	park := &parking{shows: shown}
	p := peer{answer: park.answer}
	c := enter(t, p.start(t), Handler{})
	var names []string
	for i := range 36 {
		names = append(names, fmt.Sprint("CustomPresence:", 1000+i))
	}
	if _, err := c.Presences(t.Context(), names...); err != nil || park.asked[0] < 18 {
		t.Errorf("asked %d at a time, %v", park.asked, err)
	}
}

func TestAChannelFromBeforeIsTakenOver(t *testing.T) {
	const left = "bridge-presence-ABCDEFGHIJ"
	for _, tc := range []struct {
		name, note string
		there      []string
		made       int
	}{
		{"it is there", left, []string{left}, 0},
		{"it is gone", left, nil, 1},
		{"nobody left one", "", nil, 1},
		{"the note is somebody else's", "bridge-presence-../../x", nil, 1},
		{"the note is of another channel", "1001", nil, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			park := &parking{shows: shown, note: tc.note, there: tc.there}
			p := peer{answer: park.answer}
			c := enter(t, p.start(t), Handler{})
			if _, err := c.Presences(t.Context(), "CustomPresence:1"); err != nil || len(park.made) != tc.made {
				t.Errorf("made %q, %v", park.made, err)
			}
			_ = c.Close()
			if !park.none() {
				t.Errorf("%q stay behind", park.there)
			}
		})
	}
}

// An Asterisk that makes a channel while another with its id goes crashes (see park).
func TestNoTwoChannelsEverHaveOneID(t *testing.T) {
	park := &parking{shows: shown}
	p := peer{answer: park.answer}
	url := p.start(t)
	for range 2 {
		c := enter(t, url, Handler{})
		for range 3 {
			var readers sync.WaitGroup
			for range 4 {
				readers.Go(func() {
					if _, err := c.Presences(t.Context(), "CustomPresence:1"); err != nil {
						t.Error(err)
					}
				})
			}
			readers.Wait()
			if len(park.there) != 1 {
				t.Errorf("channels %q", park.there)
			}
			park.hangUpAll()
		}
		_ = c.Close()
	}
	if slices.Sort(park.made); len(park.made) != 6 || len(slices.Compact(park.made)) != 6 {
		t.Errorf("made %q", park.made)
	}
}

func TestAChannelThatIsGoneAtOnceIsNotMadeForEver(t *testing.T) {
	park := &parking{shows: shown, vanish: true}
	p := peer{answer: park.answer}
	c := enter(t, p.start(t), Handler{})
	_, err := c.Presences(t.Context(), "CustomPresence:1")
	if !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "app_stasis") || len(park.made) != 2 {
		t.Errorf("a channel that is gone at once: %v, made %q", err, park.made)
	}
}

func TestWhoIsReplacedLeavesTheChannel(t *testing.T) {
	park := &parking{shows: shown}
	replace := make(chan struct{})
	p := peer{answer: park.answer, events: func(_ context.Context, ws *websocket.Conn) {
		<-replace
		say(ws, replaced)
	}}
	c := enter(t, p.start(t), Handler{})
	if _, err := c.Presences(t.Context(), "CustomPresence:1"); err != nil {
		t.Error(err)
	}
	close(replace)
	if err := over(t, c); !errors.Is(err, ErrReplaced) || park.none() {
		t.Errorf("ended with %v; the channels are %q", err, park.there)
	}
}

func TestAConnThatBreaksHangsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		park := &parking{shows: shown}
		end := make(chan struct{})
		p := peer{answer: park.answer, events: func(_ context.Context, ws *websocket.Conn) {
			<-end
			_ = ws.CloseNow()
		}}
		c := enter(t, p.start(t), Handler{})
		if _, err := c.Presences(t.Context(), "CustomPresence:1"); err != nil {
			t.Error(err)
		}
		close(end)
		<-c.Done()
		if !park.none() {
			t.Error("the channel stays behind")
		}
	})
}

// TestADamagedEntryIsNoReasonToReadNothing is about what somebody wrote into AstDB.
func TestADamagedEntryIsNoReasonToReadNothing(t *testing.T) {
	park := &parking{shows: func(name, field string) string {
		if name == "CustomPresence:2" {
			return ""
		}
		return shown(name, field)
	}}
	p := peer{answer: park.answer}
	c := enter(t, p.start(t), Handler{})
	for _, names := range [][]string{{"CustomPresence:1", "CustomPresence:2"}, {"CustomPresence:2"}} {
		got, err := c.Presences(t.Context(), names...)
		if err != nil || len(got) != len(names) || got[len(got)-1] != (Presence{Presentity: "CustomPresence:2"}) {
			t.Errorf("read %v, %v", got, err)
		}
	}
}

func TestStrangePresencesAreRefused(t *testing.T) {
	for name, shows := range map[string]func(string, string) string{
		"without func_presencestate": func(string, string) string { return "" },
		"an unknown state":           func(string, string) string { return "sleeping" },
		"a semicolon more":           func(string, string) string { return "away;" },
		"a bar more":                 func(string, string) string { return "|away" },
	} {
		t.Run(name, func(t *testing.T) {
			p := peer{answer: (&parking{shows: shows}).answer}
			c := enter(t, p.start(t), Handler{})
			if got, err := c.Presences(t.Context(), "CustomPresence:1", "CustomPresence:2"); !errors.Is(err, ErrMalformed) {
				t.Errorf("read %v, %v", got, err)
			}
		})
	}
	if _, err := parse("away|!|;", []string{"a"}); !errors.Is(err, ErrMalformed) {
		t.Errorf("not base64: %v", err)
	}
	t.Run("a refusal", func(t *testing.T) {
		p := peer{answer: func(w http.ResponseWriter, a asked) bool {
			switch {
			case strings.HasPrefix(a.uri, "/ari/asterisk/variable"):
				_, _ = io.WriteString(w, `{"value":""}`)
			case !strings.Contains(a.uri, "/channels/"):
				return false
			case a.method == http.MethodGet:
				refuse(w, http.StatusNotFound, "Provided channel was not found")
			default:
				refuse(w, http.StatusForbidden, "no")
			}
			return true
		}}
		c := enter(t, p.start(t), Handler{})
		if _, err := c.Presences(t.Context(), "CustomPresence:1"); !errors.Is(err, ErrForbidden) {
			t.Errorf("error = %v", err)
		}
	})
}
