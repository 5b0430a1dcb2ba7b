package presence

import (
	"testing"
	"time"
)

// name chooses a status with a label.
func (g *rig) name(id TypeID, message, label string, until Time) {
	g.t.Helper()
	g.do(Input{Kind: Chosen, Type: id, Message: message, Label: label, Until: until, By: "panel alice"})
	g.save()
}

// called checks the label and the message of the status.
func (g *rig) called(label, message string) {
	g.t.Helper()
	if s := g.v.Status; s == nil || s.Label != label || s.Message != message {
		g.t.Errorf("the status is %+v, want it called %q with the message %q", s, label, message)
	}
}

func TestALabelStaysThroughItsOwnEcho(t *testing.T) {
	g := newRig(t)
	g.name("away", "", "At the dentist", Time{})
	if p := g.x(desk).Asked[0].Presence; p != (Presence{State: Away, Message: "At the dentist"}) {
		t.Errorf("written was %v", p)
	}
	g.called("At the dentist", "")
	g.fulfil()
	g.called("At the dentist", "")
	if as := g.event(desk, Presence{State: Away, Message: "At the dentist"}); as != Repeat {
		t.Errorf("a repeat was taken for %q", as)
	}
	g.called("At the dentist", "")
	if e := g.v.Explain(g.r, g.at); e.Status.Label != "At the dentist" || e.Extensions[0].Label != "At the dentist" {
		t.Errorf("explains %+v", e)
	}
	g.restart()
	g.connect("main", map[string]Presence{"1001": {Away, "", "At the dentist"}, "1002": {Away, "", "At the dentist"}})
	g.called("At the dentist", "")
	g.event(mobile, available)
	g.called("", "")
	if g.event(mobile, away); g.v.Status.Label != "" {
		t.Error("a key has a label")
	}
}

func TestPhonesShowTheMessageWhereThereIsOne(t *testing.T) {
	g := newRig(t, func(r *Rules) { r.UntilText = "until {time}" })
	g.name("away", "Back soon", "At the dentist", g.at.Add(time.Hour))
	if p := g.x(desk).Asked[0].Presence; p.Message != "Back soon, until 11:00" {
		t.Errorf("written was %v", p)
	}
	g.called("At the dentist", "Back soon")
	g.fulfil()
	g.name("away", "", "At the dentist", g.at.Add(time.Hour))
	if p := g.x(desk).Asked[0].Presence; p.Message != "At the dentist, until 11:00" {
		t.Errorf("written was %v", p)
	}
	g.called("At the dentist", "")
}

func TestALabelComesBackWithItsChoiceAndGoesWithIt(t *testing.T) {
	g := newRig(t)
	g.name("away", "", "Gardening", Time{})
	g.fulfil()
	g.name("dnd", "", "Deep work", g.at.Add(time.Minute))
	g.fulfil()
	g.called("Deep work", "")
	g.wait(time.Minute)
	g.status("away")
	g.called("Gardening", "")
	g.fulfil()
	g.want("meeting")
	if g.called("", ""); g.v.Label != nil {
		t.Errorf("kept are %+v", g.v.Label)
	}
}

// A choice that nobody can write ranks after the next snapshot, at another moment than
// that of another extension's choice that does the same.
func TestALabelFollowsItsChoiceToAnotherTime(t *testing.T) {
	g := newRig(t, func(r *Rules) { r.Outgoing, r.Incoming = ToDefault, Default })
	g.down("main")
	g.name("away", "", "At the dentist", Time{})
	g.r = sample(func(r *Rules) { r.Outgoing, r.Incoming, r.Default = ToDefault, Default, 1 })
	g.do(Input{Kind: Reloaded})
	g.name("away", "", "Fetching the children", Time{})
	g.connect("main", map[string]Presence{"1001": dnd, "1002": dnd})
	if a, b := g.x(desk).Said.Since, g.x(mobile).Said.Since; !a.Equal(b) {
		t.Fatalf("the test reaches nothing: %v, %v", a, b)
	}
	g.called("Fetching the children", "")
	g.r = sample(func(r *Rules) { r.Outgoing, r.Incoming = ToDefault, Default })
	g.do(Input{Kind: Reloaded})
	g.called("At the dentist", "")
}

func TestALabelOfAStatusThatPhonesDoNotKnow(t *testing.T) {
	g := newRig(t)
	g.name("training", "", "Course on wine", Time{})
	g.called("Course on wine", "")
	g.restart()
	g.do(Input{Kind: Reloaded})
	g.called("Course on wine", "")
	list := append([]StatusType(nil), g.r.Types.List()...)
	for i := range list {
		if list[i].ID == "training" {
			list[i].Asterisk = &Image{State: Chat}
		}
	}
	g.r = sample(func(r *Rules) { r.Types = NewTypes(list, nil) })
	g.do(Input{Kind: Reloaded}) // phones can show it now
	if g.called("Course on wine", ""); g.x(desk).Wish.Presence.Message != "Course on wine" {
		t.Errorf("wished is %+v", g.x(desk).Wish)
	}
}
