package presence

import (
	"fmt"
	"testing"
	"time"
)

func TestASnapshotAtTheStartOfASession(t *testing.T) {
	// desk said DND and shows it; what follows happens while its PBX is away.
	for _, tc := range []struct {
		name    string
		before  func(*rig) // connected
		away    func(*rig)
		shows   Presence
		newLife bool
		write   []Order
		said    TypeID
		moved   bool // the time of what was said is of the snapshot or later
		wish    bool
	}{
		{name: "unchanged keeps its time", shows: dnd, said: "dnd"},
		{name: "unchanged after a restart of the PBX", shows: dnd, newLife: true, said: "dnd"},
		{name: "changed gets the snapshot's time", shows: meeting, said: "meeting", moved: true},
		{name: "unmapped", shows: chat, said: "dnd"},
		{name: "missing is not_set", said: "dnd"},
		{name: "a choice made meanwhile is written", away: func(g *rig) { g.want("away") }, shows: dnd, write: []Order{write(desk, away)}, said: "away", moved: true, wish: true},
		{name: "also over what a phone set", away: func(g *rig) { g.want("away") }, shows: meeting, write: []Order{write(desk, away)}, said: "away", moved: true, wish: true},
		{name: "also where it is shown, since it was not sent", away: func(g *rig) { g.want("away") }, shows: away, write: []Order{write(desk, away)}, said: "away", moved: true, wish: true},
		{name: "a choice that was not committed is not written", away: func(g *rig) { g.choose("away") }, shows: dnd, said: "away", moved: true, wish: true},
		{name: "a sent choice that is shown is confirmed", before: func(g *rig) { g.want("away") }, shows: away, said: "away"},
		{name: "a sent choice that is not shown is sent again", before: func(g *rig) { g.want("away") }, shows: dnd, write: []Order{write(desk, away)}, said: "away", wish: true},
		{name: "an acknowledged choice was changed after us", before: func(g *rig) { g.want("away"); g.ack(desk) }, shows: meeting, said: "meeting", moved: true},
		{name: "a new life forgot an acknowledged choice", before: func(g *rig) { g.want("away"); g.ack(desk) }, shows: dnd, newLife: true, write: []Order{write(desk, away)}, said: "away", wish: true},
		{name: "a new life forgot a fulfilled choice", before: func(g *rig) { g.want("away"); g.fulfil() }, shows: dnd, newLife: true, write: []Order{write(desk, away)}, said: "away", wish: true},
		{name: "a refused choice is tried at once", before: func(g *rig) { g.want("away"); g.refuse(desk) }, shows: dnd, write: []Order{write(desk, away)}, said: "away", wish: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := newRig(t, only(desk))
			g.event(desk, dnd)
			g.at = g.at.Add(time.Second)
			if tc.before != nil {
				tc.before(g)
			}
			g.down("main")
			if tc.away != nil {
				tc.away(g)
			}
			g.life++
			g.do(Input{Kind: Snapshot, PBX: "main", Session: g.life, NewLife: tc.newLife, Shows: map[string]Presence{"1001": tc.shows}})
			g.wrote(tc.write...)
			x := g.x(desk)
			if x.Said.Type != tc.said || !x.Shows.is(tc.shows) || (x.Wish != nil) != tc.wish {
				t.Errorf("said %q shows %v wish %+v", x.Said.Type, x.Shows.Presence(), x.Wish)
			}
			if moved := !x.Said.Since.Before(g.at); moved != tc.moved {
				t.Errorf("said since %s, the snapshot is of %s", x.Said.Since, g.at)
			}
		})
	}
}

func TestAChoiceMadeWhileAPBXWasAwayRanksJustAfterItsSnapshot(t *testing.T) {
	g := newRig(t, only(desk, mobile), outgoing(ToDefault))
	g.down("main")
	g.want("dnd")
	g.connect("main", map[string]Presence{"1001": available, "1002": meeting})
	if d := g.x(desk).Said.Since.Sub(g.x(mobile).Said.Since); d != time.Microsecond {
		t.Errorf("the choice stands %s after the snapshot's values", d)
	}
	g.status("dnd")
	g.event(mobile, away)
	g.status("away")
}

func TestAllChangesOfOneSnapshotHaveOneTimeAndTheTieRuleDecides(t *testing.T) {
	for def, want := range []TypeID{"available", "meeting"} {
		g := newRig(t, only(desk, mobile), func(r *Rules) { r.Default = def })
		g.down("main")
		g.connect("main", map[string]Presence{"1001": available, "1002": meeting})
		if !g.x(desk).Said.Since.Equal(g.x(mobile).Said.Since) {
			t.Error("two times of one snapshot")
		}
		g.status(want)
	}
}

func TestWhatAKilledPBXForgotIsWrittenBack(t *testing.T) {
	for _, tc := range []struct {
		name    string
		after   time.Duration // from DND to the end of the old life
		newLife bool
		shows   Presence
		want    bool
	}{
		{"within the last two seconds", time.Second, true, available, true},
		{"at their edge", 2*time.Second - time.Millisecond, true, available, true},
		{"before them", 2100 * time.Millisecond, true, available, false},
		{"not in the same life", time.Second, false, available, false},
		{"not what it never showed", time.Second, true, away, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := newRig(t, only(desk))
			g.event(desk, available)
			g.event(desk, dnd)
			since := g.x(desk).Said.Since
			g.at = g.at.Add(tc.after)
			g.down("main")
			g.at = g.at.Add(time.Hour) // how long it is away does not matter
			g.life++
			as := g.do(Input{Kind: Snapshot, PBX: "main", Session: g.life, NewLife: tc.newLife, Shows: map[string]Presence{"1001": tc.shows}})
			if (as == Reverted) != tc.want {
				t.Errorf("the snapshot's value was taken for %q", as)
			}
			if !tc.want {
				g.wrote()
				return
			}
			g.wrote(write(desk, dnd))
			if !g.x(desk).Said.Since.Equal(since) {
				t.Error("the time of what was said moved")
			}
			g.fulfil()
			g.status("dnd")
		})
	}
}

func TestAnUnmappedPresenceThatWasForgottenIsWrittenBackToo(t *testing.T) {
	g := newRig(t, only(desk))
	g.event(desk, available)
	g.event(desk, chat)
	g.down("main")
	g.reborn("main", map[string]Presence{"1001": available})
	g.wrote(write(desk, chat))
}

func TestARestoreGivesWayToAChange(t *testing.T) {
	for _, tc := range []struct {
		name  string
		shows Presence
		write []Order
	}{
		{"still forgotten", available, []Order{write(desk, dnd)}},
		{"changed", meeting, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := newRig(t, only(desk))
			g.event(desk, available)
			g.event(desk, dnd)
			g.down("main")
			g.reborn("main", map[string]Presence{"1001": available})
			g.down("main")
			g.connect("main", map[string]Presence{"1001": tc.shows})
			g.wrote(tc.write...)
		})
	}
}

func TestAFlappingPhoneIsRememberedInBounds(t *testing.T) {
	g := newRig(t, only(desk))
	for n := range 200 {
		g.event(desk, Presence{Available, "", fmt.Sprint(n)})
	}
	if n := len(g.x(desk).Recent); n > maxRecent {
		t.Errorf("%d old values are kept", n)
	}
	g.at = g.at.Add(time.Minute)
	g.event(desk, dnd)
	if n := len(g.x(desk).Recent); n != 1 {
		t.Errorf("after a minute %d old values are kept, want the last", n)
	}
}

func TestASnapshotInTheMiddleOfASession(t *testing.T) {
	for _, tc := range []struct {
		name   string
		before func(*rig)
		shows  Presence
		want   TypeID
	}{
		{"repairs what nobody told", func(g *rig) { g.event(desk, dnd) }, available, "available"},
		{"moves nothing that is unchanged", func(g *rig) { g.event(desk, dnd) }, dnd, "dnd"},
		{"leaves alone what is under way", func(g *rig) { g.want("dnd") }, available, "dnd"},
		{"and what is not committed", func(g *rig) { g.choose("dnd") }, available, "dnd"},
		{"supersedes what was refused", func(g *rig) { g.want("dnd"); g.refuse(desk) }, available, "available"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := newRig(t, only(desk))
			tc.before(g)
			since := g.v.Status.Since
			g.do(Input{Kind: Snapshot, PBX: "main", Session: g.x(desk).Session, Shows: map[string]Presence{"1001": tc.shows}})
			g.status(tc.want)
			g.wrote()
			if tc.want == "dnd" && !g.v.Status.Since.Equal(since) {
				t.Error("the time moved")
			}
		})
	}
}

func TestAPBXThatIsAwayKeepsWhatItsExtensionsSaid(t *testing.T) {
	g := newRig(t)
	g.event(desk, available)
	g.event(remote, dnd)
	g.down("branch")
	g.status("dnd")
	if e := g.v.Explain(g.r, g.at).Extensions[2]; e.Reachable || !e.AwaySince.Equal(g.at) || !e.Won {
		t.Errorf("explained as %+v", e)
	}
	g.wait(1000 * time.Hour)
	g.status("dnd") // stale_after is off
	g.down("branch")
	if g.x(remote).AwayAt.Equal(g.at) {
		t.Error("a second Down made it younger")
	}
}

func TestStaleAfter(t *testing.T) {
	stale := func(r *Rules) { r.StaleAfter = time.Minute }
	t.Run("an unreachable extension no longer counts", func(t *testing.T) {
		g := newRig(t, stale)
		g.event(desk, available)
		g.event(remote, dnd)
		g.down("branch")
		if want := g.at.Add(time.Minute); !g.v.Due.Equal(want) {
			t.Errorf("due %s, want %s", g.v.Due, want)
		}
		g.wait(59 * time.Second)
		g.status("dnd")
		g.wait(time.Second)
		g.status("available")
		g.connect("branch", map[string]Presence{"2003": dnd})
		g.status("dnd")
	})
	t.Run("if none counts the status stays and is marked", func(t *testing.T) {
		g := newRig(t, stale, only(desk))
		g.event(desk, dnd)
		g.down("main")
		g.wait(time.Minute)
		g.status("dnd")
		if !g.v.Status.Stale {
			t.Error("it is not marked")
		}
		if !g.v.Due.IsZero() {
			t.Errorf("due %s though nothing more happens", g.v.Due)
		}
		g.connect("main", map[string]Presence{"1001": dnd})
		if g.v.Status.Stale {
			t.Error("it is still marked")
		}
	})
	t.Run("a choice made meanwhile is news", func(t *testing.T) {
		g := newRig(t, stale, outgoing(ToDefault))
		g.event(remote, available)
		g.down("main")
		g.wait(time.Hour)
		g.want("dnd")
		g.status("dnd")
		g.wait(time.Minute)
		g.status("available")
	})
}

func TestSyncOffLeavesAUserAloneInBothDirections(t *testing.T) {
	g := newRig(t, unsynced, only(desk))
	if as := g.event(desk, dnd); as != LeftAlone {
		t.Errorf("an event was taken for %q", as)
	}
	g.status("")
	g.want("available")
	g.wrote()
	g.status("available")
	g.event(desk, away)
	g.status("available")
	g.chooseUntil("meeting", g.at.Add(time.Minute))
	g.wait(time.Minute)
	g.status("")
}

func TestSyncOffAndOn(t *testing.T) {
	g := newRig(t, only(desk))
	g.event(desk, available)
	g.down("main")
	g.want("dnd")
	g.r = sample(only(desk), unsynced)
	g.do(Input{Kind: Reloaded})
	if g.x(desk).Wish != nil {
		t.Error("a wish is left")
	}
	g.status("dnd")
	g.connect("main", map[string]Presence{"1001": meeting})
	g.status("dnd")
	g.restart() // also while the bridge is down
	g.connect("main", map[string]Presence{"1001": meeting})
	g.r = sample(only(desk))
	g.do(Input{Kind: Reloaded})
	g.status("meeting")
	if !g.x(desk).Said.Since.Equal(g.at) {
		t.Error("it is not said now")
	}
	g.do(Input{Kind: Reloaded})
	if len(g.told) != 0 {
		t.Errorf("a second reload changed the status: %v", g.told)
	}
}

func TestAReturnTimeWhileSyncIsOffWritesNothing(t *testing.T) {
	g := newRig(t, only(desk))
	g.event(desk, available)
	g.chooseUntil("dnd", g.at.Add(time.Minute))
	g.save()
	g.fulfil()
	g.r = sample(only(desk), unsynced)
	g.do(Input{Kind: Reloaded})
	g.wait(time.Minute)
	g.wrote()
	g.status("available")
}

func TestReload(t *testing.T) {
	noLunch := func(r *Rules) {
		var list, removed []StatusType
		for _, s := range r.Types.List() {
			if s.ID == "lunch" {
				removed = append(removed, s)
			} else {
				list = append(list, s)
			}
		}
		r.Types = NewTypes(list, nil).WithRemoved(removed)
	}
	for _, tc := range []struct {
		name  string
		rules *Rules
		want  TypeID
		tells bool
	}{
		{"without a change tells nothing", sample(), "lunch", false},
		{"with another default extension", sample(incoming(Default), func(r *Rules) { r.Default = 1 }), "meeting", true},
		{"with another method", sample(incoming(Priority)), "dnd", true},
		{"without the extension that won", sample(only(desk, mobile)), "meeting", true},
		{"with a new extension", sample(only(ExtensionID{"main", "9"}, desk, mobile, remote)), "lunch", false},
		{"without its type keeps and marks it", sample(noLunch), "lunch", true},
		{"without any extension", sample(only()), "", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := newRig(t)
			g.event(desk, dnd)
			g.event(mobile, meeting)
			g.want("lunch")
			g.fulfil()
			g.event(desk, dnd)
			g.event(mobile, meeting)
			g.event(remote, dnd)
			g.r = sample(only(desk, mobile, remote))
			g.want("lunch")
			g.fulfil()
			g.event(desk, dnd)
			g.event(mobile, meeting)
			g.event(remote, chat)
			g.v.Extensions[2].Said.Since = g.at // lunch is the latest
			g.do(Input{Kind: Reloaded})
			g.status("lunch")
			g.r = tc.rules
			g.do(Input{Kind: Reloaded})
			g.status(tc.want)
			if (len(g.told) > 0) != tc.tells {
				t.Errorf("history %v", g.told)
			}
			for _, c := range g.told {
				if c.By != ByReload {
					t.Errorf("by %q", c.By)
				}
			}
			if tc.want == "lunch" && g.v.Status.Removed != tc.tells {
				t.Errorf("removed=%v", g.v.Status.Removed)
			}
		})
	}
}

func TestATypeThatTheMappingLostIsNeverSaidAgain(t *testing.T) {
	g := newRig(t, only(desk))
	g.want("lunch")
	g.fulfil()
	lunch, _, _ := g.r.Types.Lookup("lunch")
	var list []StatusType
	for _, s := range g.r.Types.List() {
		if s.ID != "lunch" {
			list = append(list, s)
		}
	}
	g.r = sample(only(desk), func(r *Rules) { r.Types = NewTypes(list, []StatusType{*lunch}) })
	g.do(Input{Kind: Reloaded})
	g.status("lunch")
	g.event(desk, Presence{Away, "", "back at 2"})
	g.status("away")
}

func TestATypeThatNobodyKnowsIsShownByItsID(t *testing.T) {
	g := newRig(t, only(desk))
	g.want("lunch")
	g.r = sample(only(desk), func(r *Rules) { r.Types = NewTypes(nil, nil) })
	g.do(Input{Kind: Reloaded})
	if s := g.v.Status; s.Type.ID != "lunch" || s.Type.Name != "lunch" || !s.Removed {
		t.Errorf("status %+v", s)
	}
}

func TestAnExtensionThatComesBackWithAReloadStartsWithItsSnapshot(t *testing.T) {
	g := newRig(t, only(desk, mobile))
	g.event(mobile, dnd)
	g.r = sample(only(desk))
	g.do(Input{Kind: Reloaded})
	g.status("")
	g.r = sample(only(desk, mobile))
	g.do(Input{Kind: Reloaded})
	g.status("")
	g.do(Input{Kind: Snapshot, PBX: "main", Session: g.x(desk).Session, Shows: map[string]Presence{"1002": dnd}})
	g.status("dnd")
}

// A PBX whose host lost power closes no connection; only pings that stay
// unanswered tell. What it can have forgotten is counted from its last sign of life.
func TestWhatAKilledPBXForgotIsWrittenBackAlsoIfItsLossWasNoticedLate(t *testing.T) {
	g := newRig(t, only(desk))
	g.event(desk, available)
	g.want("dnd")
	g.fulfil()
	heard := g.at
	g.wait(15 * time.Second)
	g.do(Input{Kind: Down, PBX: "main", Heard: heard})
	for _, w := range []struct{ name string }{{"in this run"}, {"after a restart of the bridge"}} {
		c := g.v.Clone()
		if w.name != "in this run" {
			c.Wake(g.at, func(string) Time { return heard })
		}
		var fx Effects
		c.Step(&Input{Kind: Snapshot, PBX: "main", Session: 9, NewLife: true, Shows: map[string]Presence{"1001": available}}, g.r, g.at.Add(time.Hour), &fx)
		if fx.Heard != Reverted || c.Status.Type.ID != "dnd" {
			t.Errorf("%s: taken for %q, status %s", w.name, fx.Heard, c.Status.Type.ID)
		}
	}
}

// An extension that a reload added has no session until the next list, but its PBX
// tells of it: what it showed long ago cannot be what a kill made the PBX forget.
func TestAnExtensionThatIsNewInTheMappingRemembersNoLongerThanOthers(t *testing.T) {
	g := newRig(t, only(desk))
	g.r = sample(only(desk, mobile))
	g.do(Input{Kind: Reloaded})
	g.event(mobile, dnd)
	g.event(mobile, away)
	g.wait(time.Minute)
	g.down("main")
	g.reborn("main", map[string]Presence{"1001": g.x(desk).Shows.Presence(), "1002": dnd})
	if x := g.x(mobile); x.Wish != nil || x.Said.Type != "dnd" {
		t.Errorf("said %s, wish %+v; somebody set dnd after a minute", x.Said.Type, x.Wish)
	}
}
