package presence

import (
	"testing"
	"time"
)

func TestTheEchoOfOurWriteIsNobodysOpinion(t *testing.T) {
	g := newRig(t)
	g.want("lunch")
	since := g.v.Status.Since
	g.ack(desk)
	if as := g.event(desk, away); as != Echo {
		t.Errorf("the echo was taken for %q", as)
	}
	if s := g.x(desk).Said; !s.Since.Equal(since) || s.Type != "lunch" || s.By != "cli" {
		t.Errorf("the echo changed what was said to %+v", s)
	}
	if x := g.x(desk); x.Wish != nil || x.Asked != nil {
		t.Errorf("after the echo wish %+v asked %v are left", x.Wish, x.Asked)
	}
}

func TestAnEventBeforeTheResponseIsNotTheEcho(t *testing.T) {
	g := newRig(t)
	g.want("dnd")
	if as := g.event(desk, dnd); as != Older {
		t.Errorf("an event before the response was taken for %q", as)
	}
	if x := g.x(desk); !x.Shows.is(dnd) || x.Wish == nil || len(x.Asked) != 1 {
		t.Errorf("shows %v wish %+v asked %v", x.Shows.Presence(), x.Wish, x.Asked)
	}
}

func TestOnlyTheOldestUnansweredWriteIsEchoed(t *testing.T) {
	g := newRig(t)
	g.want("dnd")
	g.ack(desk)
	g.want("available")
	g.ack(desk)
	if as := g.event(desk, available); as != Older {
		t.Errorf("what equals the second write was taken for %q", as)
	}
	if as := g.event(desk, dnd); as != Echo {
		t.Errorf("what equals the oldest write was taken for %q", as)
	}
	if as := g.event(desk, available); as != Echo {
		t.Errorf("then the second one was taken for %q", as)
	}
	g.status("available")
}

func TestARefusalRemovesItsOwnEntry(t *testing.T) {
	g := newRig(t)
	g.want("dnd")
	first := g.x(desk).Asked[0].ID
	g.want("available")
	g.do(Input{Kind: Refused, Extension: desk, Ask: first})
	if x := g.x(desk); len(x.Asked) != 1 || x.Asked[0].Presence != available || !x.Wish.RetryAt.IsZero() {
		t.Errorf("asked %v wish %+v", x.Asked, x.Wish)
	}
	g.ack(desk)
	if as := g.event(desk, available); as != Echo {
		t.Errorf("the echo of the other write was taken for %q", as)
	}
}

func TestThereIsNoMemoryOfLateEchoes(t *testing.T) {
	g := newRig(t)
	g.want("dnd")
	g.fulfil()
	g.event(desk, available)
	if as := g.event(desk, dnd); as != Accepted {
		t.Errorf("a value that was ours once was taken for %q", as)
	}
}

func TestARepeatIsNotAChange(t *testing.T) {
	g := newRig(t)
	g.event(desk, dnd)
	since, version := g.v.Status.Since, g.v.Version
	if as := g.event(desk, dnd); as != Repeat {
		t.Errorf("a repeat was taken for %q", as)
	}
	if !g.v.Status.Since.Equal(since) || g.v.Version != version {
		t.Error("a repeat moved the time or the version")
	}
}

func TestCountedRepeats(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func(*rig)
		want TypeID
	}{
		{"count after two seconds", func(g *rig) { g.wait(2 * time.Second) }, "dnd"},
		{"not before", func(g *rig) { g.wait(1900 * time.Millisecond) }, "available"},
		{"are cancelled by a module load", func(g *rig) { g.do(Input{Kind: Loaded, PBX: "main"}); g.wait(time.Minute) }, "available"},
		{"but not by that of another PBX", func(g *rig) { g.do(Input{Kind: Loaded, PBX: "branch"}); g.wait(time.Minute) }, "dnd"},
		{"are cancelled by a cut", func(g *rig) { g.down("main"); g.wait(time.Minute) }, "available"},
		{"are cancelled by a new opinion", func(g *rig) { g.event(desk, available); g.event(remote, meeting); g.wait(time.Minute) }, "meeting"},
		{"do not come from a snapshot", func(g *rig) {
			g.do(Input{Kind: Loaded, PBX: "main"})
			g.do(Input{Kind: Snapshot, PBX: "main", Session: g.x(desk).Session, Shows: map[string]Presence{"1001": dnd, "1002": available}})
			g.wait(time.Minute)
		}, "available"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := newRig(t, counting)
			g.event(desk, dnd)
			g.event(mobile, available)
			if as := g.event(desk, dnd); as != Repeat {
				t.Errorf("taken for %q", as)
			}
			pressed := g.at
			tc.do(g)
			g.status(tc.want)
			if tc.want == "dnd" && !g.v.Status.Since.Equal(pressed) {
				t.Errorf("it counts from %s, pressed at %s", g.v.Status.Since, pressed)
			}
		})
	}
}

func TestARepeatOfAnUnmappedPresenceDoesNotCount(t *testing.T) {
	g := newRig(t, counting)
	g.event(desk, chat)
	g.event(desk, chat)
	if !g.x(desk).RepeatAt.IsZero() {
		t.Error("it waits to be counted")
	}
}

func TestAnEventOlderThanOurWriteMovesOnlyWhatIsShown(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func(*rig)
	}{
		{"not committed", func(g *rig) { g.choose("dnd") }},
		{"sent", func(g *rig) { g.want("dnd") }},
		{"acknowledged", func(g *rig) { g.want("dnd"); g.ack(desk) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := newRig(t)
			tc.do(g)
			if as := g.event(desk, available); as != Older {
				t.Errorf("taken for %q", as)
			}
			if x := g.x(desk); !x.Shows.is(available) || x.Said.Type != "dnd" {
				t.Errorf("shows %v, said %s", x.Shows.Presence(), x.Said.Type)
			}
			g.status("dnd")
		})
	}
}

func TestAnUnmappedPresenceSaysNothing(t *testing.T) {
	for _, p := range []Presence{chat, {}, {State: Chat, Subtype: "available"}, {State: Unavailable}} {
		g := newRig(t)
		g.event(desk, dnd)
		if as := g.event(desk, p); as != Unmapped {
			t.Errorf("%v was taken for %q", p, as)
		}
		if !g.x(desk).Shows.is(p) {
			t.Errorf("it shows %v, want %v", g.x(desk).Shows.Presence(), p)
		}
		g.status("dnd")
	}
}

func TestNotSetCountsWhereTheMappingSaysSo(t *testing.T) {
	g := newRig(t, func(r *Rules) { r.Types = NewTypes(allTypes, nil) })
	g.event(desk, dnd)
	if as := g.event(desk, Presence{}); as != Accepted {
		t.Errorf("taken for %q", as)
	}
	g.status("offline")
}

func TestWhatAPhoneSaysIsKept(t *testing.T) {
	g := newRig(t)
	p := Presence{XA, "meeting", "line\nbreak \"quoted\""}
	if as := g.event(mobile, p); as != Accepted {
		t.Errorf("taken for %q", as)
	}
	want := Said{Presence: Keep(p), Type: "meeting", Since: g.at, By: "extension main/1002"}
	if got := g.x(mobile).Said; got != want {
		t.Errorf("said %+v, want %+v", got, want)
	}
	if s := g.v.Status; s.Message != p.Message || !s.Since.Equal(g.at) || s.By != want.By {
		t.Errorf("status %+v", s)
	}
	if len(g.told) != 1 || g.told[0].Rule != WonLatest || g.told[0].By != want.By {
		t.Errorf("history %+v", g.told)
	}
}

func TestLunchWrittenAsAwayRemainsLunch(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func(*rig)
		want TypeID
	}{
		{"when it is echoed", func(*rig) {}, "lunch"},
		{"when the phone repeats it", func(g *rig) { g.event(desk, away) }, "lunch"},
		{"when the phone adds a message", func(g *rig) { g.event(desk, Presence{Away, "", "back at 2"}) }, "lunch"},
		{"when another phone says away", func(g *rig) { g.event(mobile, chat); g.event(mobile, away) }, "lunch"},
		{"after Training", func(g *rig) { g.want("training"); g.event(desk, chat); g.event(desk, away) }, "lunch"},
		{"after DND on another phone", func(g *rig) { g.event(mobile, dnd); g.event(desk, chat); g.event(desk, away) }, "lunch"},
		{"but not after DND on the same phone", func(g *rig) { g.event(desk, dnd); g.event(desk, away) }, "away"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := newRig(t)
			g.want("lunch")
			g.fulfil()
			tc.do(g)
			if got := g.x(desk).Said.Type; got != tc.want {
				t.Errorf("desk said %q, want %q", got, tc.want)
			}
			if tc.want == "lunch" && tc.name != "after DND on another phone" {
				g.status("lunch")
			}
		})
	}
}

func TestAnExtensionThatTheMappingLostSaysNothing(t *testing.T) {
	g := newRig(t, only(desk))
	version := g.v.Version
	for kind := Event; kind <= Unreadable; kind++ {
		g.do(Input{Kind: kind, Extension: ExtensionID{"main", "9"}, Presence: dnd, Ask: 1})
	}
	if g.v.Version != version || g.v.Status != nil || len(g.orders) > 0 {
		t.Errorf("it changed the view: %+v", g.v)
	}
}

func TestNothingSaidIsNoStatus(t *testing.T) {
	g := newRig(t)
	g.event(desk, chat)
	if g.v.Status != nil || len(g.told) > 0 {
		t.Errorf("status %+v history %v were invented", g.v.Status, g.told)
	}
	if e := g.v.Explain(g.r, g.at); e.Rule != WonNothing || e.Status != nil {
		t.Errorf("explained as %q %v", e.Rule, e.Status)
	}
}

// After a return time an extension may show what nobody said, since no status had it then.
func TestARepeatOfWhatNobodySaidIsNotCounted(t *testing.T) {
	g := newRig(t, only(desk), counting)
	g.event(desk, chat)
	g.chooseUntil("dnd", g.at.Add(time.Minute))
	g.save()
	g.fulfil()
	g.wait(time.Minute)
	g.fulfil()
	types := NewTypes(append(sample().Types.List(), StatusType{ID: "chat", Base: Connected, Asterisk: &Image{State: Chat}}), nil)
	g.r = sample(only(desk), counting, func(r *Rules) { r.Types = types })
	g.do(Input{Kind: Reloaded})
	if as := g.event(desk, chat); as != Repeat {
		t.Errorf("taken for %q", as)
	}
	g.wait(2 * time.Second)
	if g.v.Status != nil {
		t.Errorf("status %+v", g.v.Status)
	}
}
