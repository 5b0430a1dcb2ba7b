package ami

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

const item = "Event: PresenceStateChange\nActionID: $ID\nPresentity: CustomPresence:1001\nStatus: away\nSubtype: \nMessage: \n\n"

// TestNothingIsLiveWithinAList holds to what Asterisk does: it writes a list in one go.
func TestNothingIsLiveWithinAList(t *testing.T) {
	const event = "Event: PresenceStateChange\nPrivilege: call,all\nPresentity: CustomPresence:1001\nStatus: dnd\nSubtype: \nMessage: \n\n"
	for _, tc := range []struct {
		name, within string
		want         error
	}{
		{"a live event", event, errBetween},
		{"a live shutdown", "Event: Shutdown\nPrivilege: system,all\n\n", errBetween},
		{"the end of a list, live", "Event: PresenceStateListComplete\nPrivilege: call,all\nListItems: 0\n\n", errBetween},
		{"an item without our id", strings.Replace(item, "$ID", "1", 1), errPrivilege},
		{"a header twice", strings.Replace(event, "Status", "Status: x\nStatus", 1), errDuplicate},
		{"rubbish", "X: y\n\n", errKind},
		{"an answer", "Response: Success\nActionID: 1\n\n", errAnswer},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var events, items []string
			var malformed []error
			h := Handler{
				Event:     func(e Event) { events = append(events, e.Name()) },
				Malformed: func(err error) { malformed = append(malformed, err) },
			}
			c := start(t, h, func(p *peer) {
				id := p.action().id
				text := event + "Response: Success\nActionID: $ID\nEventList: start\n\n" + item + tc.within + item +
					"Event: PresenceStateListComplete\nActionID: $ID\nEventList: Complete\nListItems: 2\n\n" + event
				p.send("%s", strings.ReplaceAll(text, "$ID", id))
				p.send("Response: Success\nActionID: %s\n\n", p.action().id)
				p.drain()
			})
			if _, err := c.List(t.Context(), PresenceStateList(), listComplete, func(e Event) { items = append(items, e.Get("Status")) }); err != nil {
				t.Error(err)
			}
			if _, err := c.Do(t.Context(), Ping()); err != nil {
				t.Error(err)
			}
			_ = c.Close()
			if want := []string{"away", "away"}; !slices.Equal(items, want) {
				t.Errorf("items %q, want %q", items, want)
			}
			if want := []string{"PresenceStateChange", "PresenceStateChange"}; !slices.Equal(events, want) {
				t.Errorf("events %q, want those before and behind the list", events)
			}
			if len(malformed) != 1 || !errors.Is(malformed[0], tc.want) || !errors.Is(malformed[0], ErrInList) {
				t.Errorf("malformed %v, want one %v in a list", malformed, tc.want)
			}
		})
	}
}

func TestAFrameThatIsRefusedBehindAListIsNotInIt(t *testing.T) {
	var malformed []error
	c := start(t, Handler{Malformed: func(err error) { malformed = append(malformed, err) }}, func(p *peer) {
		id := p.action().id
		p.send("%s", strings.ReplaceAll("Response: Success\nActionID: $ID\n\n"+item+"Event: PresenceStateListComplete\nActionID: $ID\nListItems: 1\n\nX: y\n\n", "$ID", id))
		p.send("Response: Success\nActionID: %s\n\n", p.action().id)
		p.drain()
	})
	if _, err := c.List(t.Context(), PresenceStateList(), listComplete, func(Event) {}); err != nil {
		t.Error(err)
	}
	if _, err := c.Do(t.Context(), Ping()); err != nil {
		t.Error(err)
	}
	_ = c.Close()
	if len(malformed) != 1 || errors.Is(malformed[0], ErrInList) {
		t.Errorf("malformed %v", malformed)
	}
}

func TestEndOfAnEvent(t *testing.T) {
	e := parsed(t, "Event: A\nprivilege: x\nB: 1\nC: 2\n\n")
	for _, tc := range []struct {
		names []string
		want  bool
	}{
		{nil, true},
		{[]string{"C"}, true},
		{[]string{"b", "c"}, true},
		{[]string{"Event", "Privilege", "B", "C"}, true},
		{[]string{"C", "B"}, false},
		{[]string{"B"}, false},
		{[]string{"A", "Event", "Privilege", "B", "C"}, false},
	} {
		if got := e.EndsWith(tc.names...); got != tc.want {
			t.Errorf("ends with %q: %v", tc.names, got)
		}
	}
}

// TestNoErrorOfALoginHasTheSecret goes every way in which a login can fail, with a
// peer that repeats whatever it was sent where it can.
func TestNoErrorOfALoginHasTheSecret(t *testing.T) {
	greeting := func(p *peer) { p.send("Asterisk Call Manager/11.0.0\n") }
	echo := func(p *peer, a asked) string {
		return strings.NewReplacer("\r", " ", "\n", " ").Replace(p.log.String()) + a.headers["Key"]
	}
	for _, tc := range []struct {
		name   string
		script func(*peer)
	}{
		{"gone", func(*peer) {}},
		{"another protocol", func(p *peer) { p.send("SSH-2.0\n") }},
		{"gone behind the greeting", greeting},
		{"gone behind the question", func(p *peer) { greeting(p); p.action() }},
		{"refused", func(p *peer) {
			greeting(p)
			for a := p.action(); a.name != ""; a = p.action() {
				p.send("Response: Error\nActionID: %s\nMessage: %s\n\n", a.id, echo(p, a))
			}
		}},
		{"refused behind the challenge", func(p *peer) {
			greeting(p)
			for a := p.action(); a.name != ""; a = p.action() {
				if a.name == "Challenge" {
					p.send("Response: Success\nActionID: %s\nChallenge: 1\n\n", a.id)
					continue
				}
				p.send("Response: Error\nActionID: %s\nMessage: %s\n\n", a.id, echo(p, a))
			}
		}},
		{"an echo", func(p *peer) {
			greeting(p)
			a := p.action()
			p.send("%s\n\n", strings.ReplaceAll(p.log.String(), "\r\n", "\n"))
			p.send("Event: %s\n\n%s: x\n\n", echo(p, a), echo(p, a))
		}},
	} {
		for _, plain := range []bool{false, true} {
			t.Run(fmt.Sprint(tc.name, ", plain ", plain), func(t *testing.T) {
				cfg, _ := play(t, tc.script)
				cfg.Plain = plain
				out := ""
				_, err := Open(t.Context(), cfg, Handler{Malformed: func(err error) { out += err.Error() }})
				if err == nil {
					t.Fatal("no error")
				}
				var refused *ResponseError
				if errors.As(err, &refused) {
					out += fmt.Sprintf("%+v", *refused)
				}
				if out += fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(out, testSecret) {
					t.Errorf("the secret is in %s", out)
				}
			})
		}
	}
}
