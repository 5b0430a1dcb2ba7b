package presence

import (
	"strings"
	"testing"
	"time"
)

// lasting gives a status type a length.
func lasting(id TypeID, d time.Duration) func(*Rules) {
	return func(r *Rules) {
		list := append([]StatusType(nil), r.Types.List()...)
		for i := range list {
			if list[i].ID == id {
				list[i].Lasts = d
			}
		}
		r.Types = NewTypes(list, nil)
	}
}

func telling(text string) func(*Rules) { return func(r *Rules) { r.UntilText, r.Zone = text, tokyo } }

func (g *rig) until(want Time) {
	g.t.Helper()
	if got := g.v.Status.Until; !got.Equal(want) {
		g.t.Errorf("until %s, want %s", got, want)
	}
}

func TestATypeThatLastsEndsByItselfUnlessSaidOtherwise(t *testing.T) {
	at := t0.Add(10 * time.Minute)
	for _, tc := range []struct {
		name  string
		in    Input
		lasts bool
		want  Time // zero: by the type
	}{
		{"a choice without a time", Input{Type: "lunch"}, true, Time{}},
		{"a choice with a time of its own", Input{Type: "lunch", Until: at}, false, at},
		{"a choice that is to stay", Input{Type: "lunch", Open: true}, false, Time{}},
		{"a choice of another type", Input{Type: "away"}, false, Time{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := newRig(t, lasting("lunch", time.Hour))
			g.event(desk, available)
			tc.in.Kind, tc.in.By = Chosen, "cli"
			g.do(tc.in)
			want := tc.want
			if tc.lasts {
				want = g.at.Add(time.Hour)
			}
			g.until(want)
			if x := g.x(desk); !x.Said.Until.Equal(want) {
				t.Errorf("the desk says so until %s, want %s", x.Said.Until, want)
			}
		})
	}
}

func TestAChoiceThatPhonesDoNotShowLastsAsItsTypeDoes(t *testing.T) {
	g := newRig(t, lasting("training", time.Hour))
	g.event(desk, away)
	g.choose("training")
	g.until(g.at.Add(time.Hour))
	g.wait(time.Hour)
	g.status("away")
}

func TestWhatAPhoneSaysEndsByItselfToo(t *testing.T) {
	g := newRig(t, lasting("dnd", time.Hour))
	g.event(desk, available)
	since := g.at
	g.event(desk, dnd)
	g.until(g.at.Add(time.Hour))
	g.wait(time.Hour)
	g.status("available")
	g.wrote(write(desk, available))
	if s := g.v.Status; !s.Since.Equal(since) || s.By != ByExpiry || !s.Until.IsZero() {
		t.Errorf("came back as %+v", s)
	}
	g.fulfil()
}

func TestWhatAPhoneChangesMeanwhileStays(t *testing.T) {
	g := newRig(t, lasting("dnd", time.Hour))
	g.event(desk, available)
	g.event(desk, dnd)
	g.event(desk, away)
	g.until(Time{})
	g.wait(2 * time.Hour)
	g.status("away")
	g.wrote()
}

func TestAPhoneWithNothingToComeBackToStays(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func(*rig)
	}{
		{"the first that is heard of it", func(g *rig) { g.connect("main", map[string]Presence{"1001": dnd}) }},
		{"what it shows already", func(g *rig) {
			g.r = sample(only(desk), lasting("dnd", time.Hour), unsynced)
			g.do(Input{Kind: Reloaded})
			g.connect("main", map[string]Presence{"1001": dnd})
			g.r = sample(only(desk), lasting("dnd", time.Hour))
			g.do(Input{Kind: Reloaded})
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := &rig{t: t, v: &View{User: "alice"}, r: sample(only(desk), lasting("dnd", time.Hour)), at: t0}
			g.do(Input{Kind: Reloaded})
			tc.do(g)
			g.status("dnd")
			g.until(Time{})
		})
	}
	t.Run("but one that shows something else comes back to that", func(t *testing.T) {
		g := newRig(t, lasting("dnd", time.Hour))
		g.event(desk, dnd)
		g.wait(time.Hour)
		g.status("")
		g.wrote(write(desk, Presence{}))
	})
}

func TestPressingAgainBeginsTheTimeAnew(t *testing.T) {
	g := newRig(t, lasting("dnd", time.Hour), counting)
	g.event(desk, available)
	g.event(desk, dnd)
	g.at = g.at.Add(30 * time.Minute)
	g.event(desk, dnd)
	g.wait(repeatWait)
	g.until(g.at.Add(time.Hour))
	g.wait(time.Hour)
	g.status("available")
	g.fulfil()

	g.do(Input{Kind: Chosen, Type: "dnd", Open: true, By: "cli"})
	g.save()
	g.fulfil()
	g.event(desk, dnd)
	g.wait(repeatWait)
	g.until(Time{}) // it was meant to stay
}

// TestPressingAgainKeepsTheTimeThatAPersonChose: phones show it, and it is not forgotten.
func TestPressingAgainKeepsTheTimeThatAPersonChose(t *testing.T) {
	g := newRig(t, counting)
	g.event(desk, available)
	until := g.at.Add(time.Hour)
	g.chooseUntil("dnd", until)
	g.save()
	g.fulfil()
	g.event(desk, g.x(desk).Shows.Presence())
	at := g.at
	g.wait(repeatWait)
	if g.until(until); g.v.Status.Since != at {
		t.Errorf("it counts from %s, pressed at %s", g.v.Status.Since, at)
	}
	g.at = until
	g.do(Input{Kind: Tick})
	g.status("available")
}

func TestAClockThatWasSetBackDoesNotLengthenABreak(t *testing.T) {
	g := newRig(t, lasting("lunch", time.Hour))
	g.event(desk, available)
	wall := t0.Add(-time.Hour) // behind the bridge's own
	g.do(Input{Kind: Chosen, Type: "lunch", By: "cli", Wall: wall})
	g.until(wall.Add(time.Hour))
}

func TestPhonesTellTheReturnTime(t *testing.T) {
	long := strings.Repeat("é", 120)
	for _, tc := range []struct {
		name, message string
		until         Time
		want          string
	}{
		{"alone", "", t0.Add(time.Hour), "until 20:00"},
		{"behind what was written", "Back soon", t0.Add(time.Hour), "Back soon, until 20:00"},
		{"on another day", "", t0.Add(6 * time.Hour), "until 2026-11-23 01:00"},
		{"no return time", "Back soon", Time{}, "Back soon"},
		{"no room", long + "xxxxx", t0.Add(time.Hour), long + "xxxxx"},
		{"just room", long + "x", t0.Add(time.Hour), long + "x, until 20:00"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := newRig(t, telling("until {time}"))
			g.do(Input{Kind: Chosen, Type: "away", Message: tc.message, Until: tc.until, By: "cli"})
			g.save()
			want := Presence{State: Away, Message: tc.want}
			g.wrote(write(desk, want), write(mobile, want), write(remote, want))
			if g.v.Status.Message != tc.message {
				t.Errorf("the panel shows %q, want %q", g.v.Status.Message, tc.message)
			}
			g.fulfil()
			g.restart()
			if e := g.v.Explain(g.r, g.at); e.Status.Message != tc.message || e.Extensions[0].Message != tc.message || e.Extensions[0].Shows.Message != tc.want {
				t.Errorf("explained as %+v, %+v", e.Status, e.Extensions[0])
			}
		})
	}
}

func TestWhatAPhoneWritesItselfGetsNoReturnTimeAdded(t *testing.T) {
	g := newRig(t, lasting("dnd", time.Hour), telling("until {time}"))
	g.event(desk, available)
	g.event(desk, dnd)
	g.save()
	g.wrote()
	if g.v.Status.Message != "" || g.v.Status.Until.IsZero() {
		t.Errorf("status %+v", g.v.Status)
	}
}

func TestARowWithMoreAddedThanThereIsDoesNoHarm(t *testing.T) {
	s := Said{Presence: Keep(Presence{State: Away, Message: "x"}), Added: 9}
	if got := s.message(); got != "" {
		t.Errorf("message %q", got)
	}
}

func TestWhatAReturnTimeLeftUnsaidIsNotSaidAgain(t *testing.T) {
	g := newRig(t, counting, lasting("dnd", time.Hour))
	g.event(desk, dnd)
	g.wait(time.Hour)
	g.fulfil()
	g.status("")
	g.r = sample(counting, func(r *Rules) {
		r.Types = NewTypes(append(r.Types.List(), StatusType{ID: "gone", Base: Offline, Asterisk: &Image{State: NotSet}}), nil)
	})
	g.do(Input{Kind: Reloaded})
	g.event(desk, Presence{}) // a repeat of what we wrote
	g.wait(repeatWait)
	if g.v.Status != nil {
		t.Errorf("status %+v", g.v.Status)
	}
}
