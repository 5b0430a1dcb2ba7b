package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
)

// firstNames are the users of the demo.
var firstNames = [...]string{"Alice", "Bob", "Carol", "Dave", "Erin", "Frank", "Grace", "Heidi", "Ivan", "Judy", "Mallory", "Niaj"}

// act is something that a person of the demo does.
type act struct {
	status                  string // chosen in the panel
	state, subtype, message string // or set by a phone
}

var acts = [...]act{
	{"available", "available", "", ""},
	{"available", "available", "", ""},
	{"away", "away", "", ""},
	{"lunch", "away", "lunch", "Back at 2"},
	{"meeting", "xa", "meeting", "Quarterly review"},
	{"dnd", "dnd", "", "Writing the report"},
}

// demoMapping maps people with two phones each, from 1001 on.
func demoMapping(people int) string {
	var b strings.Builder
	b.WriteString(`sync: {incoming: latest, outgoing: all}
statuses:
  - {id: available, name: Available,      base: connected, color: "#2e7d32", asterisk: available}
  - {id: away,      name: Away,           base: absent,    color: "#f9a825", asterisk: away}
  - {id: lunch,     name: Lunch,          base: absent,    color: "#ef6c00", asterisk: {state: away, subtype: lunch}}
  - {id: meeting,   name: Meeting,        base: busy,      color: "#c62828", asterisk: {state: xa, subtype: meeting}}
  - {id: dnd,       name: Do not disturb, base: busy,      color: "#b71c1c", asterisk: dnd}
  - {id: on_call,   name: On a call,      base: in_call,   color: "#ad1457"}
phone: {in_call: {status: on_call, over: [connected, absent]}}
users:
`)
	for i, name := range firstNames[:people] {
		fmt.Fprintf(&b, "  - {id: %s, name: %s, extensions: [%q, %q]}\n", strings.ToLower(name), name, demoNumber(2*i), demoNumber(2*i+1))
	}
	return b.String()
}

// opening is what the simulated Asterisk remembers when the demo begins: every
// second person was there before.
func opening(people int) map[string]string {
	rows := map[string]string{}
	for i := 0; i < people; i += 2 {
		rows[demoNumber(2*i)] = "available,,"
	}
	return rows
}

// telephones are the devices of the simulated Asterisk, all free.
func telephones(people int) map[string]string {
	devices := map[string]string{}
	for i := range 2 * people {
		devices["PJSIP/"+demoNumber(i)] = "NOT_INUSE"
	}
	return devices
}

// call is what one phone does while it is called.
var call = [...]string{"RINGING", "INUSE", "INUSE", "INUSE", "NOT_INUSE"}

func demoNumber(i int) string { return fmt.Sprint(1001 + i) }

// actor plays everybody in the demo. It plays the same piece every time.
type actor struct {
	stage *stage
	panel *client
	dice  *rand.Rand
	pause time.Duration // between two acts
	phone string        // that is called
	rang  int           // what it has done of call
}

const (
	actEvery = 900 * time.Millisecond
	oneIn    = 5 // acts that the panel does, where there are phones
	callsIn  = 3 // acts that go on with a call, likewise
)

func newActor(s *stage) *actor {
	return &actor{stage: s, panel: dial(s.socket, "panel reception"), dice: rand.New(rand.NewPCG(1, 2026)), pause: actEvery} //nolint:gosec // a play, the same every time
}

// run acts until ctx ends or somebody refuses.
func (a *actor) run(ctx context.Context) error {
	tick := time.NewTicker(a.pause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := a.act(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
}

func (a *actor) act(ctx context.Context) error {
	person, what := a.dice.IntN(a.stage.people), acts[a.dice.IntN(len(acts))]
	if a.stage.sim == nil || a.dice.IntN(oneIn) == 0 {
		path := userPath(strings.ToLower(firstNames[person]), "/status")
		return a.panel.do(ctx, http.MethodPut, path, choice{Type: what.status, Message: what.message}, nil)
	}
	phone := demoNumber(2*person + a.dice.IntN(2))
	if a.dice.IntN(callsIn) == 0 {
		return a.goOn(phone)
	}
	return a.stage.sim.Set("CustomPresence:"+phone, what.state, what.subtype, what.message)
}

// goOn goes on with the call, and calls another phone when it is over.
func (a *actor) goOn(next string) error {
	if a.phone == "" || a.rang == len(call) {
		a.phone, a.rang = next, 0
	}
	a.rang++
	return a.stage.sim.SetDevice("PJSIP/"+a.phone, call[a.rang-1])
}
