package presence

import (
	"testing"
	"time"
)

func TestAChoiceIsWrittenOnceToEveryTargetOnceItIsSaved(t *testing.T) {
	for _, tc := range []struct {
		out  Outgoing
		want []Order
	}{
		{ToAll, []Order{write(desk, dnd), write(mobile, dnd), write(remote, dnd)}},
		{ToDefault, []Order{write(desk, dnd)}},
	} {
		t.Run(string(tc.out), func(t *testing.T) {
			g := newRig(t, outgoing(tc.out))
			g.event(desk, dnd) // "already shown" is no reason to skip
			g.choose("dnd")
			g.wrote()
			g.status("dnd")
			g.save()
			g.wrote(tc.want...)
			g.fulfil()
			for _, id := range g.r.Extensions {
				if g.x(id).Wish != nil {
					t.Errorf("%s is still pending", id)
				}
			}
			g.wait(time.Hour)
			g.wrote()
		})
	}
}

func TestOnlySavingThisVersionLetsAChoiceBeWritten(t *testing.T) {
	g := newRig(t)
	before := g.v.Version
	g.choose("dnd")
	g.do(Input{Kind: Saved, Version: before})
	g.wrote()
	g.save()
	if len(g.orders) != 3 {
		t.Errorf("orders %v", g.orders)
	}
}

func TestTheNewestWishReplacesUnsentOnes(t *testing.T) {
	g := newRig(t, outgoing(ToDefault))
	g.down("main")
	g.want("dnd")
	g.want("available")
	g.connect("main", nil)
	g.wrote(write(desk, available))
	first := g.x(desk).Asked[0].ID
	g.want("away")
	g.wrote(write(desk, away))
	g.do(Input{Kind: Unsent, Extension: desk, Ask: first}) // the outbox put the newer one in its place
	g.wrote()
	if x := g.x(desk); len(x.Asked) != 1 || x.Asked[0].Presence != away {
		t.Errorf("asked %v", x.Asked)
	}
}

func TestAWriteThatWasNotSentIsSentAgain(t *testing.T) {
	g := newRig(t, only(desk))
	g.want("dnd")
	g.answer(Unsent, desk)
	g.wrote() // its session is over, and Down will tell so
	if as := g.event(desk, available); as != Older {
		t.Errorf("what came before the cut was taken for %q", as)
	}
	g.do(Input{Kind: Snapshot, PBX: "main", Session: g.x(desk).Session, Shows: map[string]Presence{"1001": meeting}})
	g.status("dnd")
	g.wait(time.Second) // no Down came
	g.wrote(write(desk, dnd))
	g.answer(Unsent, desk)
	g.down("main")
	g.connect("main", map[string]Presence{"1001": dnd})
	g.wrote(write(desk, dnd)) // shown, but not by us
}

func TestAnUnmappedChoiceHolds(t *testing.T) {
	for _, tc := range []struct {
		name string
		in   Method
		do   func(*rig)
		want TypeID
	}{
		{"until the picked extension speaks", Latest, func(g *rig) { g.event(desk, available) }, "available"},
		{"until another one is picked", Latest, func(g *rig) { g.event(mobile, meeting) }, "meeting"},
		{"while another one speaks that is not picked", Default, func(g *rig) { g.event(mobile, meeting) }, "training"},
		{"while a lower one speaks", Priority, func(g *rig) { g.event(mobile, available) }, "training"},
		{"while a repeat comes", Latest, func(g *rig) { g.event(desk, dnd) }, "training"},
		{"while something unmapped comes", Latest, func(g *rig) { g.event(desk, chat) }, "training"},
		{"through a cut", Latest, func(g *rig) { g.down("main"); g.connect("main", map[string]Presence{"1001": dnd}) }, "training"},
		{"through a restart", Latest, func(g *rig) { g.restart(); g.connect("main", map[string]Presence{"1001": dnd}) }, "training"},
		{"until a snapshot shows a change", Latest, func(g *rig) { g.down("main"); g.connect("main", nil); g.event(desk, away) }, "away"},
		{"until a mapped choice", Latest, func(g *rig) { g.want("lunch") }, "lunch"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := newRig(t, incoming(tc.in))
			g.event(desk, dnd)
			g.choose("training")
			g.save()
			g.wrote()
			g.status("training")
			tc.do(g)
			g.status(tc.want)
			if (g.v.Hold != nil) != (tc.want == "training") {
				t.Errorf("hold %+v", g.v.Hold)
			}
		})
	}
}

func TestAnUnmappedChoiceOverNothingHoldsUntilSomebodySpeaks(t *testing.T) {
	g := newRig(t)
	g.choose("training")
	g.status("training")
	g.event(mobile, chat)
	g.status("training")
	g.event(mobile, dnd)
	g.status("dnd")
}

func TestAnotherExtensionMayOverruleAChoice(t *testing.T) {
	g := newRig(t, incoming(Priority), outgoing(ToDefault))
	g.event(mobile, dnd)
	g.want("available")
	g.status("dnd")
	g.wrote(write(desk, available))
}

func TestAWriteWithoutItsEventIsReadBack(t *testing.T) {
	late := 5 * time.Second
	for _, tc := range []struct {
		name   string
		before func(*rig)
		found  Presence
		as     Verdict
		want   TypeID // of the desk
		wish   bool
	}{
		{"what was written is there", func(*rig) {}, dnd, Echo, "dnd", false},
		{"somebody changed it after us", func(*rig) {}, available, Accepted, "available", false},
		{"somebody set what means nothing", func(*rig) {}, chat, Unmapped, "dnd", false},
		{"a newer write is under way", func(g *rig) { g.want("away") }, dnd, Older, "away", true},
		{"the event came meanwhile", func(g *rig) { g.event(desk, dnd) }, dnd, Repeat, "dnd", false},
		{"it came, and then a phone spoke", func(g *rig) { g.event(desk, dnd); g.event(desk, meeting) }, meeting, Repeat, "meeting", false},
		{"it came, and a phone speaks now", func(g *rig) { g.event(desk, dnd) }, meeting, Accepted, "meeting", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := newRig(t, only(desk))
			g.want("dnd")
			g.ack(desk)
			ask := g.x(desk).Asked[0].ID
			g.wait(late - 2*time.Millisecond)
			g.wrote()
			g.wait(time.Millisecond)
			g.wrote(Order{Read: true, Extension: desk})
			if g.orders[0].Ask != ask {
				t.Errorf("it may answer up to %d, want %d", g.orders[0].Ask, ask)
			}
			g.wait(time.Hour)
			g.wrote() // one reading at a time
			tc.before(g)
			if as := g.do(Input{Kind: Answered, Extension: desk, Ask: ask, Presence: tc.found}); as != tc.as {
				t.Errorf("the answer was taken for %q, want %q", as, tc.as)
			}
			if x := g.x(desk); x.Said.Type != tc.want || (x.Wish != nil) != tc.wish || !x.Shows.is(tc.found) {
				t.Errorf("said %q wish %+v shows %v", x.Said.Type, x.Wish, x.Shows.Presence())
			}
		})
	}
}

// The module of events was away: what the next snapshot shows needs no reading.
func TestAWriteThatASnapshotShowsHasHappened(t *testing.T) {
	for _, tc := range []struct {
		name        string
		shows       Presence
		acked, late bool
		wish        bool
	}{
		{"it is there", dnd, true, false, false},
		{"something else is there", available, true, false, true},
		{"it may not have been done yet", dnd, false, false, true},
		{"the list may be older", dnd, true, true, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := newRig(t, only(desk))
			g.want("dnd")
			if tc.acked {
				g.ack(desk)
			}
			in := Input{Kind: Snapshot, PBX: "main", Session: g.x(desk).Session, Shows: map[string]Presence{"1001": tc.shows}}
			if tc.late {
				in.Late = map[string]struct{}{"1001": {}}
			}
			g.do(in)
			if x := g.x(desk); (x.Wish != nil) != tc.wish || (len(x.Asked) > 0) != tc.wish || x.Said.Type != "dnd" || x.Shows.is(dnd) == tc.wish {
				t.Errorf("wish %+v asked %v said %q shows %v", x.Wish, x.Asked, x.Said.Type, x.Shows.Presence())
			}
		})
	}
}

func TestAnUnacknowledgedWriteIsNotReadBack(t *testing.T) {
	g := newRig(t, only(desk))
	g.want("dnd")
	g.wait(time.Hour)
	g.wrote()
	g.down("main")
	g.connect("main", nil)
	g.wrote(write(desk, dnd))
}

func TestWhereNothingCanBeReadTheTimerStartsAnew(t *testing.T) {
	g := newRig(t, only(desk))
	g.want("dnd")
	g.ack(desk)
	g.wait(5 * time.Second)
	g.do(Input{Kind: Unreadable, Extension: desk})
	g.wrote()
	g.wait(4 * time.Second)
	g.wrote()
	g.wait(time.Second)
	g.wrote(Order{Read: true, Extension: desk})
}

func TestARefusedWriteIsTriedAgainLaterAndLater(t *testing.T) {
	g := newRig(t, only(desk))
	g.want("dnd")
	for n, wait := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60, 60} {
		g.refuse(desk)
		g.wrote()
		g.wait(wait*time.Second - 2*time.Millisecond)
		g.wrote()
		g.wait(time.Millisecond)
		g.wrote(write(desk, dnd))
		if got := g.x(desk).Wish.Refusals; got != n+1 {
			t.Errorf("refusals %d, want %d", got, n+1)
		}
	}
	g.ack(desk)
	if got := g.x(desk).Wish.Refusals; got != 0 {
		t.Errorf("after an acknowledgement refusals %d", got)
	}
}

func TestWhatComesWhileAWishWaitsSupersedesIt(t *testing.T) {
	for _, tc := range []struct {
		name string
		p    Presence
		want TypeID
	}{
		{"somebody's opinion", available, "available"},
		{"something unmapped", chat, "dnd"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := newRig(t, only(desk))
			g.want("dnd")
			g.refuse(desk)
			g.event(desk, tc.p)
			if w := g.x(desk).Wish; w != nil {
				t.Errorf("wish %+v is left", w)
			}
			g.status(tc.want)
			g.wait(time.Hour)
			g.wrote()
		})
	}
}

func TestAFullQueueOfWritesLetsTheNewestWishWait(t *testing.T) {
	g := newRig(t, only(desk))
	for n := range 2 * maxAsked {
		g.want([]TypeID{"dnd", "away"}[n%2])
	}
	g.want("available")
	if n := len(g.x(desk).Asked); n != maxAsked {
		t.Fatalf("%d writes under way, want %d", n, maxAsked)
	}
	first := g.x(desk).Asked[0]
	g.do(Input{Kind: Acked, Extension: desk, Ask: first.ID})
	g.event(desk, first.Presence)
	g.wrote(write(desk, available))
}

func TestAReturnTimeBringsBackWhatWasSaid(t *testing.T) {
	until := t0.Add(time.Hour)
	for _, tc := range []struct {
		name  string
		setup func(*rig)
		do    func(*rig) // after a choice of Lunch until 11:00
		desk  TypeID
		shows Presence
		want  TypeID
	}{
		{"what the phone said", func(g *rig) { g.event(desk, available) }, func(*rig) {}, "available", available, "available"},
		{"nothing, and what it showed", func(g *rig) { g.event(desk, chat) }, func(*rig) {}, "", chat, ""},
		{"an open choice", func(g *rig) { g.want("dnd"); g.fulfil() }, func(*rig) {}, "dnd", dnd, "dnd"},
		{"past a choice that ended before", func(g *rig) { g.event(desk, available) },
			func(g *rig) { g.chooseUntil("meeting", until.Add(time.Hour)); g.save(); g.fulfil() }, "available", available, "available"},
		{"past one that ended before, over nothing", func(g *rig) { g.event(desk, chat) },
			func(g *rig) { g.chooseUntil("meeting", until.Add(time.Hour)); g.save(); g.fulfil() }, "", chat, ""},
		{"one that has not ended", func(g *rig) { g.chooseUntil("dnd", until.Add(time.Hour)); g.save(); g.fulfil() }, func(*rig) {}, "dnd", dnd, "dnd"},
		{"two that end at once", func(g *rig) { g.event(desk, available); g.chooseUntil("dnd", until); g.save(); g.fulfil() }, func(*rig) {}, "available", available, "available"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := newRig(t, only(desk))
			tc.setup(g)
			before := g.x(desk).Said
			g.chooseUntil("lunch", until)
			g.save()
			g.fulfil()
			g.status("lunch")
			tc.do(g)
			g.wait(g.x(desk).Said.Until.Sub(g.at))
			if g.x(desk).Wish != nil {
				g.wrote(write(desk, tc.shows))
				g.fulfil()
			}
			g.status(tc.want)
			x := g.x(desk)
			if x.Said.Type != tc.desk || !x.Shows.is(tc.shows) {
				t.Errorf("said %q shows %v", x.Said.Type, x.Shows.Presence())
			}
			if tc.name == "what the phone said" && (!x.Said.Since.Equal(before.Since) || x.Said.By != ByExpiry) {
				t.Errorf("since %s by %q, want %s by expiry", x.Said.Since, x.Said.By, before.Since)
			}
		})
	}
}

func TestWhatWasChangedMeanwhileStaysWhenTheTimeComes(t *testing.T) {
	g := newRig(t)
	g.event(desk, available)
	g.event(mobile, available)
	g.chooseUntil("dnd", t0.Add(time.Hour))
	g.save()
	g.fulfil()
	g.event(mobile, meeting)
	g.wait(time.Hour)
	g.wrote(write(desk, available), write(remote, Presence{}))
	g.status("meeting")
	if len(g.told) != 0 {
		t.Errorf("history %v though the status did not change", g.told)
	}
}

func TestAReturnTimeThatPassedWhileTheBridgeWasDownComesAfterTheSnapshot(t *testing.T) {
	for _, tc := range []struct {
		name  string
		shows Presence
		want  TypeID
		write []Order
	}{
		{"nothing changed", dnd, "available", []Order{write(desk, available)}},
		{"a phone changed it", meeting, "meeting", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := newRig(t, only(desk))
			g.event(desk, available)
			g.chooseUntil("dnd", t0.Add(time.Minute))
			g.save()
			g.fulfil()
			g.at = g.at.Add(time.Hour)
			g.restart()
			g.connect("main", map[string]Presence{"1001": tc.shows})
			g.wait(0)
			g.status(tc.want)
			g.wrote(tc.write...)
		})
	}
}

func TestAReturnTimeThatComesWhileThePBXIsAwayGivesWayToAChange(t *testing.T) {
	for _, tc := range []struct {
		name  string
		shows Presence
		write []Order
		want  TypeID
	}{
		{"as known", dnd, []Order{write(desk, available)}, "available"},
		{"changed", meeting, nil, "meeting"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := newRig(t, only(desk))
			g.event(desk, available)
			g.chooseUntil("dnd", t0.Add(time.Minute))
			g.save()
			g.fulfil()
			g.down("main")
			g.wait(time.Minute)
			g.status("available")
			g.wrote()
			g.connect("main", map[string]Presence{"1001": tc.shows})
			g.wrote(tc.write...)
			g.status(tc.want)
		})
	}
}

func TestAHoldEndsAtItsTime(t *testing.T) {
	g := newRig(t)
	g.event(desk, dnd)
	g.chooseUntil("training", t0.Add(time.Minute))
	if !g.v.Ends.Equal(t0.Add(time.Minute)) {
		t.Errorf("ends %s", g.v.Ends)
	}
	g.wait(time.Minute)
	g.status("dnd")
	if len(g.told) != 1 || g.told[0].By != ByExpiry {
		t.Errorf("history %+v", g.told)
	}
}

func TestChoicesWithAReturnTimeDoNotPileUpForEver(t *testing.T) {
	g := newRig(t, only(desk))
	g.event(desk, away)
	for n := range 30 { // each one ends before the one under it
		g.chooseUntil("dnd", t0.Add(time.Hour-time.Duration(n)*time.Minute))
	}
	depth := 0
	for s := g.x(desk).Said.Before; s != nil; s = s.Before {
		depth++
	}
	if depth > maxBefore+2 {
		t.Errorf("%d choices lie under one another", depth)
	}
	g.wait(2 * time.Hour)
	g.status("away") // what was there before all of them
}

func TestAChoiceThatPhonesCouldNotShowIsWrittenOnceTheyCan(t *testing.T) {
	for _, tc := range []struct {
		name          string
		before, after func(*Rules)
	}{
		{"its type gets a presence", func(r *Rules) { r.Types = NewTypes(unmappedDND(), nil) }, func(*Rules) {}},
		{"sync is switched on", unsynced, func(*Rules) {}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := newRig(t, tc.before, only(desk, mobile))
			g.event(desk, away)
			g.choose("dnd")
			g.wrote()
			g.r = sample(tc.after, only(desk, mobile))
			g.do(Input{Kind: Reloaded})
			g.save()
			g.wrote(write(desk, dnd), write(mobile, dnd))
			g.fulfil()
			g.status("dnd")
			g.event(desk, available)
			g.status("available")
		})
	}
}

func unmappedDND() []StatusType {
	list := append([]StatusType(nil), allTypes...)
	for i := range list {
		if list[i].ID == "dnd" {
			list[i].Asterisk = nil
		}
	}
	return list
}

// A clock that was set back leaves the bridge's own ahead of it for a while.
func TestAReturnTimeIsJudgedByTheTimeOfDay(t *testing.T) {
	g := newRig(t, only(desk))
	g.event(desk, away)
	wall := g.at.Add(-time.Hour)
	g.chooseUntil("dnd", wall.Add(30*time.Minute))
	g.do(Input{Kind: Tick, Wall: wall})
	g.status("dnd")
	g.do(Input{Kind: Tick, Wall: wall.Add(30 * time.Minute)})
	g.status("away")
}
