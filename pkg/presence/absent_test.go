package presence

import (
	"testing"
	"time"
)

// offlineWhen gives the sample mapping a phone section in which somebody is offline
// after a minute, for this reason.
func offlineWhen(when OfflineWhen) func(*Rules) {
	return func(r *Rules) {
		ringing(r)
		p := *r.Phones
		p.OfflineWhen = when
		r.Phones = &p
	}
}

func (g *rig) out(since Time) {
	g.t.Helper()
	g.do(Input{Kind: SignedOut, Heard: since})
}

// unplug takes all phones off.
func (g *rig) unplug() {
	g.t.Helper()
	g.doing("main", map[string]PhoneState{"1001": PhoneOffline, "1002": PhoneOffline})
	g.doing("branch", map[string]PhoneState{"2003": PhoneOffline})
}

func TestWhatMakesAUserOffline(t *testing.T) {
	for _, tc := range []struct {
		when               OfflineWhen
		phones, pages, all TypeID // what shows when phones are off, no page is open, both
	}{
		{"", "gone", "available", "gone"},
		{WhenDevices, "gone", "available", "gone"},
		{WhenSignedOut, "available", "gone", "gone"},
		{WhenBoth, "available", "available", "gone"},
		{WhenNever, "available", "available", "available"},
	} {
		t.Run(string(tc.when), func(t *testing.T) {
			for _, how := range []struct {
				name          string
				phones, pages bool
				want          TypeID
			}{{"phones", true, false, tc.phones}, {"pages", false, true, tc.pages}, {"both", true, true, tc.all}} {
				g := newRig(t, offlineWhen(tc.when))
				g.event(desk, available)
				since := g.v.Status.Since
				if how.pages {
					g.out(Time{})
				}
				if how.phones {
					g.unplug()
				}
				g.status("available") // for a minute
				g.wait(time.Minute)
				if g.status(how.want); t.Failed() {
					t.Fatal(how.name)
				}
				g.do(Input{Kind: SignedIn})
				g.doing("main", map[string]PhoneState{"1001": PhoneIdle})
				if g.status("available"); !g.v.Status.Since.Equal(since) || g.v.Over || len(g.orders) > 0 {
					t.Fatalf("%s: afterwards %+v, orders %v", how.name, g.v.Status, g.orders)
				}
			}
		})
	}
}

func TestAnAbsenceIsToldAndCountsFromItsBeginning(t *testing.T) {
	g := newRig(t, offlineWhen(WhenSignedOut))
	g.event(desk, available)
	g.wait(time.Second)
	left := g.at
	g.wait(30 * time.Second)
	g.out(left)
	if !g.v.Out.Equal(left) || !g.v.Due.Equal(left.Add(time.Minute)) {
		t.Errorf("out since %v, due at %v", g.v.Out, g.v.Due)
	}
	version := g.v.Version
	g.out(Time{}) // again
	if !g.v.Out.Equal(left) || g.v.Version != version {
		t.Error("told twice it counts anew")
	}
	g.wait(30 * time.Second)
	if s := g.v.Status; s.Type.ID != "gone" || s.By != "panel alice" || !s.Since.Equal(left) || g.told[0].Rule != AbsentShows {
		t.Errorf("shows %+v, told %+v", s, g.told)
	}
	g.restart()
	if g.status("gone"); !g.v.Out.Equal(left) {
		t.Errorf("after a restart out since %v", g.v.Out)
	}
	g.do(Input{Kind: SignedIn})
	if g.status("available"); len(g.told) != 1 || g.told[0].By != "panel alice" {
		t.Errorf("told %+v", g.told)
	}
}

func TestAnAbsenceNeverShowsOverWhatIsProtectedOrNewer(t *testing.T) {
	g := newRig(t, offlineWhen(WhenSignedOut))
	g.event(desk, dnd)
	g.out(Time{})
	g.wait(time.Hour)
	g.status("dnd")
	g.event(desk, away) // since the user is out: somebody is there
	g.status("away")
	g.do(Input{Kind: SignedIn})
	g.out(Time{})
	g.wait(time.Minute)
	g.status("gone")
	g.want("meeting")
	g.fulfil()
	g.status("meeting")
}

func TestACallShowsOverAnAbsence(t *testing.T) {
	g := newRig(t, offlineWhen(WhenSignedOut))
	g.event(desk, available)
	g.out(Time{})
	g.wait(time.Minute)
	g.phone(desk, PhoneInCall)
	g.status("on_call")
	if e := g.v.Explain(g.r, g.at); !e.Phone.Shows || e.Absent.Shows || e.Absent.Rule != AbsentCall {
		t.Errorf("phone %+v, absent %+v", e.Phone, e.Absent)
	}
	g.phone(desk, PhoneIdle)
	g.status("gone")
}

func TestNobodyIsOutForAMappingThatDoesNotAsk(t *testing.T) {
	g := newRig(t, offlineWhen(WhenSignedOut))
	g.event(desk, available)
	g.out(Time{})
	g.r = sample(offlineWhen(WhenDevices))
	g.do(Input{Kind: Reloaded})
	g.r = sample(offlineWhen(WhenSignedOut))
	g.do(Input{Kind: Reloaded})
	g.wait(time.Hour)
	if g.status("available"); !g.v.Out.IsZero() {
		t.Error("what nobody has told of for a while still counts")
	}
}

func TestExplainTellsWhyAnAbsenceShowsOrDoesNot(t *testing.T) {
	g := newRig(t, offlineWhen(WhenBoth))
	absent := func(want Rule) {
		t.Helper()
		e := g.v.Explain(g.r, g.at)
		if e.Absent == nil || e.Absent.Rule != want || e.Absent.Shows != (want == AbsentShows) || e.Phone.Shows {
			t.Errorf("%+v, want %q; phone %+v", e.Absent, want, e.Phone)
		}
		if !e.Status.same(g.v.Status) {
			t.Errorf("explains %+v, shows %+v", e.Status, g.v.Status)
		}
	}
	g.event(desk, available)
	if e := g.v.Explain(g.r, g.at); e.Absent != nil {
		t.Errorf("of who is there: %+v", e.Absent)
	}
	g.out(Time{})
	absent(AbsentPhone)
	g.unplug()
	absent(PhoneTooShort)
	if e := g.v.Explain(g.r, g.at); e.Phone.Rule != PhoneIgnored {
		t.Errorf("phone %+v", e.Phone)
	}
	g.wait(time.Minute)
	absent(AbsentShows)
	g.event(desk, dnd)
	absent(PhoneProtected)
}
