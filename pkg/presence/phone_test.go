package presence

import (
	"testing"
	"time"
)

// ringing gives the sample mapping a phone section.
func ringing(r *Rules) {
	list := append(append([]StatusType(nil), r.Types.List()...),
		StatusType{ID: "on_call", Name: "On a call", Base: InCall}, StatusType{ID: "gone", Name: "Gone", Base: Offline})
	r.Types = NewTypes(list, nil)
	r.Phones = &Phones{
		InCall:  PhoneRule{Show: "on_call", Over: []Base{Connected}},
		Offline: PhoneRule{Show: "gone", Over: []Base{Connected, Absent}, After: time.Minute},
	}
}

func (g *rig) phone(id ExtensionID, does PhoneState) {
	g.t.Helper()
	g.do(Input{Kind: PhoneChanged, Extension: id, Phone: does})
}

// doing tells what a PBX says of all its devices.
func (g *rig) doing(pbx string, phones map[string]PhoneState) {
	g.t.Helper()
	g.do(Input{Kind: PhonesListed, PBX: pbx, Phones: phones})
}

// chosen is what the methods decided, whatever phones show over it.
func (e *Explanation) chosen() *Status {
	if e.Phone.Shows || e.Absent != nil && e.Absent.Shows {
		return e.Under
	}
	return e.Status
}

func (g *rig) phones(want PhoneState) {
	g.t.Helper()
	if g.v.Phone != want {
		g.t.Errorf("the phones are %s, want %s", g.v.Phone, want)
	}
}

func TestACallShowsOverTheStatusAndVanishes(t *testing.T) {
	g := newRig(t, ringing)
	g.event(desk, available)
	since := g.v.Status.Since
	g.phone(mobile, PhoneInCall)
	g.status("on_call")
	if s := g.v.Status; s.By != "extension main/1002" || !s.Since.Equal(g.at) || g.v.Under == nil || g.v.Under.Type.ID != "available" {
		t.Errorf("over %+v shows %+v", g.v.Under, s)
	}
	if len(g.told) != 1 || g.told[0].Rule != PhoneShows || len(g.orders) != 0 {
		t.Errorf("history %+v, orders %v; a call is told and never written", g.told, g.orders)
	}
	g.phone(mobile, PhoneIdle)
	g.status("available")
	if !g.v.Status.Since.Equal(since) || g.v.Under != nil {
		t.Errorf("after the call %+v over %+v, want what was before, since %v", g.v.Status, g.v.Under, since)
	}
}

func TestASecondPhoneInTheSameCallIsNoNews(t *testing.T) {
	g := newRig(t, ringing)
	g.event(desk, available)
	g.phone(mobile, PhoneInCall)
	g.phone(desk, PhoneInCall) // stands first in the mapping
	if len(g.told) > 0 {
		t.Errorf("told %+v", g.told)
	}
	g.status("on_call")
}

// After an outage that was longer than what is believed, the call of before must not
// flash up until the phones have been listed.
func TestACallOfBeforeALongOutageDoesNotComeBack(t *testing.T) {
	g := newRig(t, ringing)
	g.event(desk, available)
	g.phone(desk, PhoneInCall)
	g.down("main")
	g.at = g.at.Add(time.Hour) // and no tick: the bridge was busy, or down
	g.connect("main", map[string]Presence{"1001": available})
	g.status("available")
	g.phones(PhoneUnknown)
}

func TestAProtectedStatusStays(t *testing.T) {
	for _, tc := range []struct {
		name string
		p    Presence
		want TypeID
	}{
		{"do not disturb", dnd, "dnd"},
		{"away", away, "away"},
		{"available", available, "on_call"},
	} {
		g := newRig(t, ringing)
		g.event(desk, tc.p)
		g.phone(desk, PhoneInCall)
		if g.status(tc.want); t.Failed() {
			t.Fatal(tc.name)
		}
	}
}

func TestACallShowsWhereNothingWasSaid(t *testing.T) {
	g := newRig(t, ringing)
	g.phone(desk, PhoneInCall)
	g.status("on_call")
	g.phone(desk, PhoneIdle)
	g.status("")
}

func TestWhatIsChosenInACallWinsAndStays(t *testing.T) {
	for _, how := range []string{"in the panel", "at a phone"} {
		g := newRig(t, ringing)
		g.event(desk, away)
		g.phone(desk, PhoneInCall)
		if how == "in the panel" {
			g.want("available")
			g.fulfil()
		} else {
			g.event(mobile, available)
		}
		g.status("available")
		g.phone(desk, PhoneOnHold) // hold and resume are the same call
		g.phone(desk, PhoneInCall)
		g.phone(mobile, PhoneInCall) // and so is a second one
		g.phone(desk, PhoneIdle)
		g.status("available")
		g.restart()
		g.status("available")
		g.connect("main", map[string]Presence{"1001": g.x(desk).Shows.Presence(), "1002": g.x(mobile).Shows.Presence()})
		g.doing("main", map[string]PhoneState{"1001": PhoneIdle, "1002": PhoneInCall})
		if g.status("available"); t.Failed() {
			t.Fatal(how)
		}
		g.phone(mobile, PhoneIdle)
		g.phone(mobile, PhoneInCall) // the next one is news
		g.status("on_call")
	}
}

func TestAStateShowsAfterItHasLastedAndNotBefore(t *testing.T) {
	g := newRig(t, ringing)
	g.event(desk, available)
	for _, id := range []ExtensionID{desk, mobile} {
		g.phone(id, PhoneOffline)
		g.status("available")
	}
	g.phones(PhoneUnknown) // nobody told of the third one: it may be in use
	g.phone(remote, PhoneOffline)
	g.phones(PhoneOffline)
	g.wait(time.Minute - 10*time.Millisecond)
	g.status("available")
	if due := g.v.PhoneSince.Add(time.Minute); !g.v.Due.Equal(due) {
		t.Errorf("due at %v, want %v", g.v.Due, due)
	}
	g.wait(10 * time.Millisecond)
	g.status("gone")
	g.phone(mobile, PhoneIdle)
	g.status("available")
}

func TestAPhoneThatDoesNotExistIsNotOffline(t *testing.T) {
	g := newRig(t, ringing)
	g.doing("main", map[string]PhoneState{"1001": PhoneOffline}) // 1002 is no device
	g.doing("branch", map[string]PhoneState{})
	g.phones(PhoneOffline)
	g.doing("main", map[string]PhoneState{})
	g.phones(PhoneUnknown)
}

func TestWhatAPhoneDidIsNotBelievedForEverOfALostPBX(t *testing.T) {
	g := newRig(t, ringing)
	g.event(desk, available)
	g.phone(remote, PhoneInCall)
	g.down("branch")
	g.status("on_call") // a short loss changes nothing
	g.wait(DefaultPhoneTTL)
	g.phones(PhoneUnknown)
	g.status("available")
	g.connect("branch", nil)
	g.doing("branch", map[string]PhoneState{"2003": PhoneInCall})
	g.status("on_call")
}

func TestPhonesOfWhoIsLeftAloneShowNothing(t *testing.T) {
	g := newRig(t, ringing)
	g.event(desk, available)
	g.r = sample(ringing, unsynced)
	g.do(Input{Kind: Reloaded})
	g.phone(desk, PhoneInCall)
	g.phones(PhoneInCall)
	g.status("available")
	g.r = sample(ringing)
	g.do(Input{Kind: Reloaded})
	g.status("on_call")
}

func TestExplainTellsWhyPhonesShowOrDoNot(t *testing.T) {
	g := newRig(t, ringing)
	rule := func(want Rule) {
		t.Helper()
		e := g.v.Explain(g.r, g.at)
		if e.Phone.Rule != want || e.Phone.Shows != (want == PhoneShows) || e.Phone.State != g.v.Phone {
			t.Errorf("%+v, want %q", e.Phone, want)
		}
		if st := e.chosen(); st == nil || !st.same(g.v.chosen()) || !e.Status.same(g.v.Status) {
			t.Errorf("explains %+v over %+v, want %+v over %+v", e.Status, e.Under, g.v.Status, g.v.Under)
		}
	}
	g.event(desk, available)
	g.phone(desk, PhoneIdle)
	rule(PhoneUnmapped)
	g.phone(desk, PhoneInCall)
	rule(PhoneShows)
	g.event(desk, dnd)
	rule(PhoneProtected)
	g.event(desk, available)
	rule(PhoneChosen)
	g.doing("main", map[string]PhoneState{"1001": PhoneOffline})
	g.doing("branch", map[string]PhoneState{})
	rule(PhoneTooShort)
	g.r = sample(ringing, unsynced)
	g.do(Input{Kind: Reloaded})
	rule(PhoneLeftAlone)
}

func TestPhoneWords(t *testing.T) {
	for p := range PhoneState(len(phoneNames)) {
		text, err := p.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var back PhoneState
		if err := back.UnmarshalText(text); err != nil || back != p {
			t.Errorf("%s became %s, %v", p, back, err)
		}
	}
	var p PhoneState
	if err := p.UnmarshalText([]byte("of a newer version")); err != nil || p != PhoneUnknown || PhoneState(99).String() != "phone(99)" {
		t.Errorf("a word of a newer version is taken for %s: %v", p, err)
	}
}

// A status that phones show over belongs to nobody's phone: what is written and
// what an echo means goes by the status under it.
func TestAnEchoInACallIsStillOfTheChosenType(t *testing.T) {
	g := newRig(t, ringing, func(r *Rules) { r.Outgoing = ToDefault })
	g.event(mobile, dnd)
	g.want("lunch") // looks like away
	g.fulfil()
	g.r = sample(ringing, func(r *Rules) { r.Phones.InCall.Over = Bases() })
	g.do(Input{Kind: Reloaded})
	g.phone(desk, PhoneInCall)
	g.status("on_call")
	g.event(mobile, away)
	if got := g.x(mobile).Said.Type; got != "lunch" {
		t.Errorf("said %s, want lunch, which the user has and which looks the same", got)
	}
}
