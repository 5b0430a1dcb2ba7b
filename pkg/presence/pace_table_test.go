package presence

import (
	"testing"
	"time"
)

// burst lets the desk phone use up what shows at once, a millisecond apart.
func burst(t *testing.T) *rig {
	t.Helper()
	g := newRig(t)
	for _, p := range []Presence{available, away, dnd, meeting, available} {
		g.event(desk, p)
		if g.v.Later != nil || g.v.Status.Since != g.at || len(g.told) != 1 {
			t.Fatalf("%v is held back", p)
		}
	}
	return g
}

// later checks what shows, and what is held back; "" for nothing.
func (g *rig) later(shows, held TypeID) {
	g.t.Helper()
	g.status(shows)
	got := TypeID("")
	if l := g.v.Later; l != nil {
		got = l.Chosen.Type.ID
		if g.v.Due != l.At {
			g.t.Errorf("due at %s, want %s", g.v.Due, l.At)
		}
	}
	if got != held {
		g.t.Errorf("held back: %q, want %q", got, held)
	}
}

func TestWhatAPhoneDoesFasterThanAPersonShowsLaterAndTheLastOfItAlways(t *testing.T) {
	g := burst(t)
	g.event(desk, dnd)
	g.later("available", "dnd")
	if !g.fx.HeldBack || len(g.told) != 0 {
		t.Errorf("held back %v, told %v", g.fx.HeldBack, g.told)
	}
	if x := g.x(desk); x.Said.Type != "dnd" || !x.Shows.is(dnd) || x.Said.Since != g.at {
		t.Errorf("the desk is known to say %+v and show %v", x.Said, x.Shows.Presence())
	}
	g.event(desk, away)
	g.later("available", "away")
	at := g.v.Later.At
	g.at = at.Add(-2 * time.Millisecond)
	g.do(Input{Kind: Tick})
	g.later("available", "away")
	g.do(Input{Kind: Tick})
	g.later("away", "")
	if len(g.told) != 1 || g.told[0].By != "extension main/1001" || g.told[0].Rule != WonLatest || g.told[0].At != g.at {
		t.Errorf("told %+v", g.told)
	}

	g.event(desk, dnd) // one in two seconds
	g.later("away", "dnd")
	if wait := g.v.Later.At.Sub(at); wait != paceEvery {
		t.Errorf("the next shows %v after the one before", wait)
	}
	g.wait(paceEvery)
	g.later("dnd", "")

	g.wait(time.Minute) // and five again after a while
	for _, p := range []Presence{available, away, dnd, meeting, available} {
		g.event(desk, p)
		g.later(g.v.chosen().Type.ID, "")
	}
	g.event(desk, dnd)
	g.later("available", "dnd")
}

func TestWhatComesBackToWhatShowsIsNoChange(t *testing.T) {
	g := burst(t)
	g.do(Input{Kind: PhoneChanged, Extension: desk, Phone: PhoneIdle})
	g.r = sample(func(r *Rules) { r.Phones = &busyPhones })
	g.do(Input{Kind: PhoneChanged, Extension: desk, Phone: PhoneInCall})
	if g.later("available", "available"); g.v.Phone != PhoneInCall {
		t.Errorf("the phones are %s", g.v.Phone)
	}
	e := g.v.Explain(g.r, g.at)
	if e.Later == nil || e.Later.Status.Type.ID != "training" || e.Status.Type.ID != "available" || e.Phone.Shows || e.Phone.Rule != PhoneTooFast {
		t.Errorf("explained as %+v, later %+v, phone %+v", e.Status, e.Later, e.Phone)
	}
	g.do(Input{Kind: PhoneChanged, Extension: desk, Phone: PhoneIdle})
	g.later("available", "")
	g.wait(time.Minute)
	if len(g.told) != 0 {
		t.Errorf("told %v", g.told)
	}
}

func TestAPersonIsNeverHeldBackAndTakesAlongWhatIs(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func(*rig)
		want TypeID
		by   string
	}{
		{"a choice", func(g *rig) { g.choose("lunch") }, "lunch", "cli"},
		{"a choice that phones do not show", func(g *rig) { g.choose("training") }, "training", "cli"},
		{"a choice that another phone overrules", func(g *rig) {
			g.r = sample(incoming(Priority), outgoing(ToDefault))
			g.r.Default = 1
			g.choose("away")
		}, "dnd", "extension main/1001"},
		{"a reload", func(g *rig) { g.do(Input{Kind: Reloaded}) }, "dnd", "extension main/1001"},
		{"a reload that decides anew", func(g *rig) {
			g.v.Later = nil
			g.r = sample(incoming(Default))
			g.do(Input{Kind: Reloaded})
		}, "dnd", ByReload},
		{"a restart of the bridge", func(g *rig) { g.restart() }, "dnd", "extension main/1001"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := burst(t)
			g.event(desk, dnd)
			g.later("available", "dnd")
			tc.do(g)
			g.later(tc.want, "")
			if len(g.told) != 1 || g.told[0].By != tc.by {
				t.Errorf("told %+v, want by %s", g.told, tc.by)
			}
		})
	}
}

// TestACallThatPassesThroughHandsUsesUpNothing is about hold and resume on a second phone.
func TestACallThatPassesThroughHandsUsesUpNothing(t *testing.T) {
	g := newRig(t)
	g.r = sample(func(r *Rules) { r.Phones = &busyPhones })
	g.event(desk, available)
	g.do(Input{Kind: PhoneChanged, Extension: desk, Phone: PhoneInCall})
	for range 10 {
		g.do(Input{Kind: PhoneChanged, Extension: mobile, Phone: PhoneInCall})
		g.do(Input{Kind: PhoneChanged, Extension: desk, Phone: PhoneIdle})
		if g.v.Status.By != mobile.by() {
			t.Fatalf("it is by %s", g.v.Status.By)
		}
		g.do(Input{Kind: PhoneChanged, Extension: desk, Phone: PhoneInCall})
		g.do(Input{Kind: PhoneChanged, Extension: mobile, Phone: PhoneIdle})
	}
	g.do(Input{Kind: PhoneChanged, Extension: desk, Phone: PhoneIdle})
	g.later("available", "")
}

func TestAReturnTimeIsNotHeldBack(t *testing.T) {
	g := burst(t)
	g.chooseUntil("lunch", g.at.Add(time.Second))
	g.save()
	g.fulfil()
	g.at = g.x(desk).Said.Until
	g.do(Input{Kind: Tick})
	g.later("available", "")
}

func TestEachUserHasABurstOfTheirOwnWhateverTheNumberOfPhones(t *testing.T) {
	g := newRig(t)
	for _, id := range []ExtensionID{desk, mobile, remote, desk, mobile} {
		g.event(id, Presence{State: DND, Message: id.Number + g.at.String()})
	}
	g.later("dnd", "")
	g.event(remote, away)
	g.later("dnd", "away")
	g.event(desk, away) // the newest is the latest, also of what does not show yet
	if at := g.v.chosen().Since; at != g.at {
		t.Errorf("the latest is of %s, want %s", at, g.at)
	}
}

func TestHoldingBackNeedsNoMemoryWhereNothingChanges(t *testing.T) {
	g := burst(t)
	g.event(desk, dnd)
	g.later("available", "dnd")
	in, now := Input{Kind: Event, Extension: desk, Presence: dnd}, g.at
	if n := testing.AllocsPerRun(100, func() {
		now = now.Add(2 * time.Microsecond)
		g.v.Step(&in, g.r, now, &g.fx)
	}); n > 0 || g.fx.Changed || g.fx.HeldBack {
		t.Errorf("%v allocations, effects %+v", n, g.fx)
	}
}
