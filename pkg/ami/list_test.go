package ami

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// listAnswer is a whole list of three; %s is its ActionID.
func listAnswer(id string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Response: Success\nActionID: %s\nEventList: start\nMessage: Presence State Changes will follow\n\n", id)
	for n := range 3 {
		fmt.Fprintf(&b, "Event: PresenceStateChange\nActionID: %s\nPresentity: CustomPresence:10%d\nStatus: away\nSubtype: \nMessage: \n\n", id, n)
	}
	fmt.Fprintf(&b, "Event: PresenceStateListComplete\nActionID: %s\nEventList: Complete\nListItems: 3\n\n", id)
	return b.String()
}

func TestListPassesItsItemsInOrder(t *testing.T) {
	var seen recorder
	c := start(t, seen.handler(), func(p *peer) {
		text := strings.ReplaceAll(listAnswer(p.action().id), "\n", "\r\n")
		for i := range text { // byte at a time
			_, _ = p.nc.Write([]byte{text[i]})
		}
		p.drain()
	})
	var got []string
	response, err := c.List(t.Context(), PresenceStateList(), listComplete, func(e Event) { got = append(got, e.Get("Presentity")) })
	if err != nil || response.Get("EventList") != "start" {
		t.Errorf("list = %+v, %v", response, err)
	}
	if want := []string{"CustomPresence:100", "CustomPresence:101", "CustomPresence:102"}; !slices.Equal(got, want) {
		t.Errorf("items = %q, want %q", got, want)
	}
	_ = c.Close()
	if len(seen.lines) > 0 {
		t.Errorf("the handler was told of the list: %q", seen.lines)
	}
}

// I7. Catches: a list that is believed without its count (drop the comparison with
// ListItems in listed).
func TestNoListIsWholeThatIsNot(t *testing.T) {
	whole := listAnswer("ID")
	drop := func(part string) string {
		if !strings.Contains(whole, part) {
			t.Fatalf("no %q in the list", part)
		}
		return strings.Replace(whole, part, "", 1)
	}
	for name, text := range map[string]string{
		"an item is missing":     drop("Event: PresenceStateChange\nActionID: ID\nPresentity: CustomPresence:101\nStatus: away\nSubtype: \nMessage: \n\n"),
		"an item is malformed":   strings.Replace(whole, "Status: away", "Status: away\nStatus: dnd", 1),
		"an item is of nobody":   strings.Replace(whole, "Event: PresenceStateChange\nActionID: ID", "Event: PresenceStateChange\nActionID: 1", 1),
		"no count":               drop("ListItems: 3\n"),
		"a count that is no one": strings.Replace(whole, "ListItems: 3", "ListItems: +3", 1),
		"too few":                strings.Replace(whole, "ListItems: 3", "ListItems: 4", 1),
		"too many":               strings.Replace(whole, "ListItems: 3", "ListItems: 2", 1),
	} {
		t.Run(name, func(t *testing.T) {
			c := start(t, Handler{}, func(p *peer) {
				p.send("%s", strings.ReplaceAll(text, "ID: ID", "ID: "+p.action().id))
				p.drain()
			})
			if _, err := c.List(t.Context(), PresenceStateList(), listComplete, func(Event) {}); !errors.Is(err, ErrIncomplete) {
				t.Errorf("error = %v, want ErrIncomplete", err)
			}
			if err := c.Err(); err != nil {
				t.Errorf("the connection ended: %v", err)
			}
		})
	}
}

// I7. Catches: a list that ends with its connection and counts as whole.
func TestListCutAnywhereIsIncomplete(t *testing.T) {
	size := len(strings.ReplaceAll(listAnswer("ID"), "\n", "\r\n"))
	for cut := 0; cut <= size; cut++ {
		whole := false
		c := start(t, Handler{}, func(p *peer) {
			id := p.action().id
			text := strings.ReplaceAll(listAnswer(id), "\n", "\r\n")
			end := cut + len(text) - size // the cut is counted from the end, as ids are long
			whole = end >= len(text)
			_, _ = p.nc.Write([]byte(text[:max(end, 0)]))
		})
		items := 0
		_, err := c.List(t.Context(), PresenceStateList(), listComplete, func(Event) { items++ })
		<-c.Done()
		if (err == nil) != whole || whole && items != 3 {
			t.Fatalf("cut at %d of %d: %v with %d items", cut, size, err, items)
		}
		if err != nil && !errors.Is(err, ErrIncomplete) {
			t.Fatalf("cut at %d: %v", cut, err)
		}
	}
}

func TestRefusedListIsAResponseError(t *testing.T) {
	c := start(t, Handler{}, func(p *peer) {
		p.send("Response: Error\nActionID: %s\nMessage: Invalid/unknown command: PresenceStateList.\n\n", p.action().id)
		p.drain()
	})
	_, err := c.List(t.Context(), PresenceStateList(), listComplete, func(Event) { t.Error("an item") })
	var refused *ResponseError
	if !errors.As(err, &refused) || errors.Is(err, ErrIncomplete) || refused.Action != "PresenceStateList" {
		t.Errorf("error = %v", err)
	}
}

func TestForgedFramesAreDroppedAndReported(t *testing.T) {
	for _, tc := range []struct {
		name, frame string
		want        error
	}{
		{"no colon", "Event: PresenceStateChange\nPrivilege: call,all\nstray\n\n", errColon},
		{"no name", "Event: A\nPrivilege: call,all\n: x\n\n", errColon},
		{"two events", "Event: A\nPrivilege: call,all\nEvent: B\n\n", errDuplicate},
		{"two presentities", "Event: A\nPrivilege: call,all\nPresentity: 1\npresentity: 2\n\n", errDuplicate},
		{"two states", "Event: A\nPrivilege: call,all\nStatus: 1\nSTATUS: 2\n\n", errDuplicate},
		{"two subtypes", "Event: A\nPrivilege: call,all\nSubtype: 1\nSubtype: 2\n\n", errDuplicate},
		{"two messages in an event", "Event: A\nPrivilege: call,all\nMessage: 1\nMessage: 2\n\n", errDuplicate},
		{"two responses", "Response: Success\nResponse: Error\n\n", errDuplicate},
		{"two action ids", "Event: A\nPrivilege: call,all\nActionID: 1\nActionID: 2\n\n", errDuplicate},
		{"no kind", "Presentity: CustomPresence:101\nStatus: dnd\n\n", errKind},
		{"no privilege", "Event: PresenceStateChange\nPresentity: CustomPresence:101\nStatus: dnd\n\n", errPrivilege},
		{"item of an unknown list", "Event: PresenceStateChange\nActionID: 7\nStatus: dnd\n\n", errPrivilege},
		{"item before the answer", "Event: PresenceStateChange\nActionID: $ID\nStatus: dnd\n\n", errPrivilege},
		{"answer to nobody", "Response: Success\nActionID: 7\n\n", errAnswer},
		{"answer to a number of nobody", "Response: Success\nActionID: $ID9\n\n", errAnswer},
		{"answer to no number", "Response: Success\nActionID: $IDx\n\n", errAnswer},
		{"answer without ActionID", "Response: Error\nMessage: Failed to parse message: line too long\n\n", errAnswer},
		{"a second banner", "Asterisk Call Manager/11.0.0\n\n", errColon},
		{"oversize", "Event: A\nX: " + strings.Repeat("x", maxFrame) + "\n\n", errOversize},
		{"headers", "Event: A\n" + strings.Repeat("x: y\n", maxHeaders) + "\n", errHeaders},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var events []string
			var malformed []error
			h := Handler{
				Event:     func(e Event) { events = append(events, e.Name()) },
				Malformed: func(err error) { malformed = append(malformed, err) },
			}
			c := start(t, h, func(p *peer) {
				id := p.action().id
				p.send("%s", strings.ReplaceAll(tc.frame, "$ID", id))
				p.send("Event: Honest\nPrivilege: call,all\n\nResponse: Success\nActionID: %s\n\n", id)
				p.drain()
			})
			if _, err := c.Do(t.Context(), Ping()); err != nil {
				t.Errorf("the connection did not survive: %v", err)
			}
			_ = c.Close()
			if len(malformed) != 1 || !errors.Is(malformed[0], tc.want) {
				t.Errorf("reported %v, want %v", malformed, tc.want)
			}
			if !slices.Equal(events, []string{"Honest"}) {
				t.Errorf("events %q", events)
			}
		})
	}
}

func TestSecondAnswerToAListIsReported(t *testing.T) {
	var seen recorder
	c := start(t, seen.handler(), func(p *peer) {
		id := p.action().id
		p.send("Response: Success\nActionID: %s\n\nResponse: Error\nActionID: %s\n\nEvent: Done\nActionID: %s\nListItems: 0\n\n", id, id, id)
		p.drain()
	})
	if _, err := c.List(t.Context(), PresenceStateList(), "Done", func(Event) {}); err != nil {
		t.Error(err)
	}
	_ = c.Close()
	if want := []string{"malformed " + errAnswer.Error() + ", in a list"}; !slices.Equal(seen.lines, want) {
		t.Errorf("seen %q, want %q", seen.lines, want)
	}
}

func TestLiveEventsMayCarryForeignHeaders(t *testing.T) {
	var seen recorder
	cfg, _ := play(t, func(p *peer) {
		p.login(strings.ReplaceAll(session(t), "\r\n", "\n"))
		p.send("Response: Success\nActionID: %s\n\n", p.action().id)
		p.drain()
	})
	c := enter(t, cfg, seen.handler())
	if _, err := c.Do(t.Context(), Ping()); err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	want := []string{
		"event FullyBooted",
		`event PresenceStateChange Back at 2, it\'s \"really\" nice\?\nsecond line`,
		"event PresenceStateChange",
		"event OriginateResponse",
	}
	if !slices.Equal(seen.lines, want) {
		t.Errorf("seen %q, want %q", seen.lines, want)
	}
}
