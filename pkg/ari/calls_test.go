package ari

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// answering plays requests with the answers of a table, by "METHOD URI".
func answering(table map[string]string) func(http.ResponseWriter, asked) bool {
	return func(w http.ResponseWriter, a asked) bool {
		text, ok := table[a.method+" "+a.uri]
		if ok {
			_, _ = fmt.Fprint(w, text)
		}
		return ok
	}
}

func TestReadingCalls(t *testing.T) {
	// As Asterisk 22.10.1 answered.
	p := peer{answer: answering(map[string]string{
		"GET /ari/asterisk/info": `{"build":{"os":"Linux","options":"OPTIONAL_API","date":"2026-07-20 21:35:32 UTC"},` +
			`"system":{"version":"22.10.1","entity_id":"02:fc:00:00:00:01"},"config":{"name":"","setid":{"user":"","group":""}},` +
			`"status":{"startup_time":"2026-11-25T19:05:57.784+0100","last_reload_time":"2026-11-25T19:05:57.784+0100"}}`,
		"GET /ari/deviceStates":                             `[{"name":"Stasis:abc","state":"BUSY"}]`,
		"GET /ari/deviceStates/PJSIP%2F%2B49%23x%3F%25..~_": `{"name":"PJSIP/+49#x?%..~_","state":"INVALID"}`,
		"GET /ari/endpoints":                                `[{"technology":"PJSIP","resource":"1001","state":"online","channel_ids":["1.2"]}]`,
	})}
	c := enter(t, p.start(t), Handler{})
	info, err := c.Info(t.Context())
	if want := time.Date(2026, 11, 25, 18, 5, 57, 784e6, time.UTC); err != nil || info.Version != "22.10.1" ||
		info.EntityID != "02:fc:00:00:00:01" || !info.Started.Equal(want) {
		t.Errorf("info = %+v, %v", info, err)
	}
	all, err := c.DeviceStates(t.Context())
	if err != nil || !slices.Equal(all, []DeviceState{{"Stasis:abc", "BUSY"}}) {
		t.Errorf("device states = %+v, %v", all, err)
	}
	one, err := c.DeviceState(t.Context(), "PJSIP/+49#x?%..~_")
	if err != nil || one.State != "INVALID" {
		t.Errorf("device state = %+v, %v", one, err)
	}
	endpoints, err := c.Endpoints(t.Context())
	if err != nil || len(endpoints) != 1 || fmt.Sprint(endpoints) != "[{PJSIP 1001 online [1.2]}]" {
		t.Errorf("endpoints = %+v, %v", endpoints, err)
	}
}

func TestSubscribe(t *testing.T) {
	var p peer
	c := enter(t, p.start(t), Handler{})
	sources := []Source{AllDevices, AllEndpoints}
	for i := range 150 {
		d, err := Device(fmt.Sprint("PJSIP/+", i))
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, d)
	}
	if err := c.Subscribe(t.Context(), sources...); err != nil {
		t.Fatal(err)
	}
	got := p.requests()
	if len(got) != 2 || got[0].method != http.MethodPost || got[0].uri != "/ari/applications/bridge/subscription" ||
		got[0].kind != "application/x-www-form-urlencoded" ||
		!strings.HasPrefix(got[0].body, "eventSource=deviceState%3A%2Cendpoint%3A%2CdeviceState%3APJSIP%2F%2B0%2C") {
		t.Errorf("asked %.300q", fmt.Sprint(got))
	}
	names := 0
	for _, a := range got {
		form, err := url.ParseQuery(a.body)
		if err != nil {
			t.Fatal(err)
		}
		names += len(strings.Split(form.Get("eventSource"), ","))
	}
	if names != len(sources) {
		t.Errorf("%d sources were asked for, of %d", names, len(sources))
	}
	if err := c.Subscribe(t.Context(), Source{}); err == nil {
		t.Error("a source of nothing was subscribed to")
	}
	if err := c.Subscribe(t.Context()); err != nil || len(p.requests()) != 2 {
		t.Errorf("no source: %v", err)
	}
	p.answer = func(w http.ResponseWriter, _ asked) bool {
		refuse(w, http.StatusUnprocessableEntity, "Event source does not exist")
		return true
	}
	err := c.Subscribe(t.Context(), AllDevices)
	if err == nil || err.Error() != `the PBX refused a subscription to events: 422 Unprocessable Entity, "Event source does not exist"` {
		t.Errorf("refused with %v", err)
	}
}

func TestSetPresenceOnTheWire(t *testing.T) {
	var p peer
	c := enter(t, p.start(t), Handler{})
	if err := c.SetPresence(t.Context(), "CustomPresence:1001", "away", "lunch", "Back, \"at\" 2\r\n✌"); err != nil {
		t.Fatal(err)
	}
	want := asked{http.MethodPost, "/ari/asterisk/variable", "application/x-www-form-urlencoded",
		"value=away%2CbHVuY2g%3D%2CQmFjaywgImF0IiAyDQrinIw%3D%2Ce&variable=PRESENCE_STATE%28CustomPresence%3A1001%29", ""}
	if got := p.requests(); len(got) != 1 || got[0] != want {
		t.Errorf("asked %q\n want %q", got, want)
	}
}

// TestAPresenceIsNeverSentWithoutAValue: one without crashes Asterisk 22.10.1.
func TestAPresenceIsNeverSentWithoutAValue(t *testing.T) {
	var p peer
	c := enter(t, p.start(t), Handler{})
	sent := 0
	rapid.Check(t, func(rt *rapid.T) {
		state := rapid.OneOf(rapid.SampledFrom(append(states, "", " ", ",", "invalid")), rapid.String()).Draw(rt, "state")
		name := rapid.OneOf(rapid.Just("CustomPresence:1001"), rapid.String()).Draw(rt, "presentity")
		text := rapid.OneOf(rapid.Just(""), rapid.String())
		before := len(p.requests())
		err := c.SetPresence(t.Context(), name, state, text.Draw(rt, "subtype"), text.Draw(rt, "message"))
		got := p.requests()[before:]
		if err != nil && len(got) != 0 {
			rt.Fatalf("sent with %v: %q", err, got)
		}
		if err == nil {
			sent++
		}
		for _, a := range got {
			form, err := url.ParseQuery(a.body)
			if err != nil || len(form["value"]) != 1 || len(form["variable"]) != 1 || len(form) != 2 ||
				!slices.Contains(states, strings.Split(form.Get("value"), ",")[0]) || strings.Count(form.Get("value"), ",") != 3 ||
				!strings.HasPrefix(form.Get("variable"), "PRESENCE_STATE(CustomPresence:") || a.uri != "/ari/asterisk/variable" {
				rt.Fatalf("sent %q", a)
			}
		}
	})
	if sent == 0 {
		t.Error("nothing was sent at all")
	}
	for _, form := range []url.Values{nil, {}, {"variable": {"PRESENCE_STATE(CustomPresence:1001)"}}, {"value": {""}}} {
		err := c.do(t.Context(), request{call: "a mistake of ours", method: http.MethodPost, path: "/asterisk/variable", form: form})
		if err == nil || !strings.Contains(err.Error(), "must have a value") {
			t.Errorf("%v was let out: %v", form, err)
		}
	}
	if n := len(p.requests()); n != sent {
		t.Errorf("%d requests for %d presences", n, sent)
	}
}

func TestHostileNamesAreRefused(t *testing.T) {
	var p peer
	c := enter(t, p.start(t), Handler{})
	ctx := t.Context()
	hostile := []string{
		"", " ", "a b", "1001&variable=B", "../applications", "..", "a/b", "a,b", "1001\r\nX: y", "1001\x00", "1001)", "${X}", "é", "a?b", "a#b", "a%2fb",
		strings.Repeat("x", 300),
	}
	for _, name := range hostile {
		for call, err := range map[string]error{
			"set":      c.SetPresence(ctx, "CustomPresence:"+name, "dnd", "", ""),
			"set raw":  c.SetPresence(ctx, name, "dnd", "", ""),
			"state":    c.SetPresence(ctx, "CustomPresence:1", name, "", ""),
			"read":     second(c.Presences(ctx, "CustomPresence:1", "CustomPresence:"+name)),
			"device":   second(c.DeviceState(ctx, name)),
			"source":   second(Device(name)),
			"event":    c.UserEvent(ctx, "app", name, nil),
			"app":      c.UserEvent(ctx, name, "event", nil),
			"variable": c.UserEvent(ctx, "app", "event", map[string]string{name: "x"}),
		} {
			switch {
			case name == "a/b" && (call == "device" || call == "source"): // a technology and a name
			case name == ".." && (call == "set" || call == "read"): // no part of a path
			case err == nil:
				t.Errorf("%s of %q was taken", call, name)
			}
		}
	}
	for _, tc := range [][2]string{{strings.Repeat("x", 256), ""}, {"", strings.Repeat("x", 256)}, {"\x00", ""}, {"", "a\x00b"}} {
		if err := c.SetPresence(ctx, "CustomPresence:1", "dnd", tc[0], tc[1]); err == nil {
			t.Errorf("%.10q was taken", tc)
		}
	}
	if err := c.UserEvent(ctx, "app", "event", map[string]string{"x": strings.Repeat("x", maxUserEvent)}); err == nil {
		t.Error("an event that is too large was taken")
	}
	for _, a := range p.requests() {
		ours := strings.Contains(a.uri+a.body, "variable=bridge-presence") || a.uri == "/ari/deviceStates/a%2Fb"
		if !ours && !strings.Contains(a.uri+a.body, "CustomPresence%3A..") {
			t.Errorf("asked %q", a)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestEscapeIsWhatAsteriskReads(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := rapid.String().Draw(rt, "text")
		e := escape(s)
		// Asterisk decodes as a form does, plus signs too.
		if back, err := url.QueryUnescape(e); err != nil || back != s {
			rt.Fatalf("%q became %q", s, back)
		}
		if back, err := url.PathUnescape(e); err != nil || back != s || strings.ContainsAny(e, "/?#&+ \r\n") {
			rt.Fatalf("%q is not one part of a path: %q", s, e)
		}
	})
}

func TestUserEvent(t *testing.T) {
	p := peer{answer: func(w http.ResponseWriter, a asked) bool {
		if strings.HasSuffix(a.uri, "=nobody") {
			refuse(w, http.StatusNotFound, "Application not found")
			return true
		}
		return false
	}}
	c := enter(t, p.start(t), Handler{})
	if err := c.UserEvent(t.Context(), "panel.1", "PresenceStateChange", map[string]string{"Status": "away", "Message": "a, \"b\"\n\xff"}); err != nil {
		t.Fatal(err)
	}
	if err := c.UserEvent(t.Context(), "panel.1", "Nothing", nil); err != nil {
		t.Fatal(err)
	}
	want := []asked{
		{http.MethodPost, "/ari/events/user/PresenceStateChange?application=panel.1", "application/json",
			`{"variables":{"Message":"a, \"b\"\n\ufffd","Status":"away"}}`, ""},
		{http.MethodPost, "/ari/events/user/Nothing?application=panel.1", "application/json", `{"variables":{}}`, ""},
	}
	if got := p.requests(); !slices.Equal(got, want) {
		t.Errorf("asked %q\n want %q", got, want)
	}
	if err := c.UserEvent(t.Context(), "nobody", "X", nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("nobody there: %v", err)
	}
}

func TestAnswersAreBoundedAndTyped(t *testing.T) {
	for _, tc := range []struct {
		name string
		play func(http.ResponseWriter)
		want error
		text string
	}{
		{"not JSON", func(w http.ResponseWriter) { _, _ = fmt.Fprint(w, "<p>private") }, ErrMalformed, "the version: malformed: an answer in other JSON than expected"},
		{"another time", func(w http.ResponseWriter) { _, _ = fmt.Fprint(w, `{"status":{"startup_time":"private"}}`) }, ErrMalformed, "the version: malformed: an answer in other JSON than expected"},
		{"too much", func(w http.ResponseWriter) { _, _ = fmt.Fprint(w, strings.Repeat(" ", maxBody+1)) }, ErrMalformed, "the version: malformed: an answer of more than 4194304 bytes"},
		{"less than promised", func(w http.ResponseWriter) { w.Header().Set("Content-Length", "10"); _, _ = fmt.Fprint(w, "{") }, nil, "the version: read the answer: unexpected EOF"},
		{"unauthorized", func(w http.ResponseWriter) { refuse(w, http.StatusUnauthorized, "") }, ErrAuth, "the PBX refused the version: 401 Unauthorized"},
		{"forbidden", func(w http.ResponseWriter) { refuse(w, http.StatusForbidden, "no") }, ErrForbidden, `the PBX refused the version: 403 Forbidden, "no"`},
		{"missing", func(w http.ResponseWriter) { w.WriteHeader(http.StatusNotFound); _, _ = fmt.Fprint(w, "<p>no") }, ErrNotFound, "the PBX refused the version: 404 Not Found"},
		{"long", func(w http.ResponseWriter) { refuse(w, http.StatusInternalServerError, strings.Repeat("é", 200)) }, nil, `the PBX refused the version: 500 Internal Server Error, "` + strings.Repeat("é", 100) + `"`},
		{"endless", func(w http.ResponseWriter) { refuse(w, http.StatusInternalServerError, strings.Repeat("x", 1<<20)) }, nil, "the PBX refused the version: 500 Internal Server Error"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := peer{answer: func(w http.ResponseWriter, a asked) bool {
				if a.uri != "/ari/asterisk/info" {
					return false
				}
				tc.play(w)
				return true
			}}
			c := enter(t, p.start(t), Handler{})
			_, err := c.Info(t.Context())
			if err == nil || err.Error() != tc.text || (tc.want != nil && !errors.Is(err, tc.want)) {
				t.Errorf("error = %v\n want   %v", err, tc.text)
			}
			for _, other := range []error{ErrAuth, ErrForbidden, ErrNotFound, ErrMalformed, ErrClosed, ErrReplaced} {
				if !errors.Is(tc.want, other) && errors.Is(err, other) {
					t.Errorf("%v is %v", err, other)
				}
			}
			if c.Err() != nil {
				t.Error("a request ended the connection")
			}
		})
	}
}

func TestASlowAnswerIsGivenUpInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		p := peer{answer: func(_ http.ResponseWriter, a asked) bool {
			if a.uri == "/ari/asterisk/info" {
				<-release
			}
			return false
		}}
		cfg := p.start(t)
		cfg.Timeout = 3 * time.Second
		c := enter(t, cfg, Handler{})
		defer close(release)
		began := time.Now()
		_, err := c.Info(t.Context())
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != cfg.Timeout || !strings.Contains(err.Error(), "the version: no answer within 3s") {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began = time.Now()
		if _, err := c.Info(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		if c.Err() != nil {
			t.Error("a request ended the connection")
		}
	})
}
