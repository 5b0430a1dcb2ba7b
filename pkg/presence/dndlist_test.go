package presence

import (
	"testing"
	"time"
)

// What DND devices say when they are listed: after downtime, and of those that are new, other ones, or gone.

// Who wins when a session begins and they do not agree.
func TestWhatADeviceSaysAfterDowntime(t *testing.T) {
	for _, tc := range []struct {
		name    string
		before  func(*rig) // both are off, and available was said
		shows   Presence
		on      bool
		newLife bool
		want    TypeID
	}{
		{"the device changed", nil, available, true, false, "dnd"},
		{"the device changed, in a new life", nil, available, true, true, "dnd"},
		{"the presence changed", nil, dnd, false, false, "dnd"},
		{"both changed, and agree", nil, dnd, true, false, "dnd"},
		{"both changed, and do not", nil, meeting, true, false, "meeting"},
		{"the presence alone, away from dnd", func(g *rig) { g.flip(desk, true); g.settle() }, meeting, true, false, "meeting"},
		{"the device alone, away from dnd", func(g *rig) { g.flip(desk, true); g.settle() }, dnd, false, false, "available"},
		{"long after it was switched, in a new life", func(g *rig) { g.flip(desk, true); g.settle(); g.wait(time.Minute) }, dnd, false, true, "available"},
		{"a killed PBX forgot it", func(g *rig) { g.flip(desk, true); g.settle() }, dnd, false, true, "dnd"},
		{"a killed PBX forgot both", func(g *rig) { g.flip(desk, true); g.settle() }, available, false, true, "dnd"},
		{"a write to it was under way", func(g *rig) { g.event(desk, dnd); g.event(desk, meeting) }, meeting, true, false, "meeting"},
		{"a choice was made meanwhile", func(g *rig) { g.down("main"); g.want("meeting") }, available, true, false, "meeting"},
		{"a choice was not written yet", func(g *rig) { g.choose("meeting") }, available, true, false, "meeting"},
	} {
		for _, restart := range []bool{false, true} {
			t.Run(tc.name, func(t *testing.T) {
				g := newQuietRig(t, only(desk))
				g.event(desk, available)
				g.wait(time.Minute)
				if tc.before != nil {
					tc.before(g)
				}
				if restart {
					g.restart()
				} else {
					g.down("main")
				}
				g.at = g.at.Add(time.Hour)
				if tc.newLife {
					g.reborn("main", map[string]Presence{"1001": tc.shows})
				} else {
					g.connect("main", map[string]Presence{"1001": tc.shows})
				}
				if tc.on {
					g.listed("main", "1001")
				} else {
					g.listed("main")
				}
				g.settle()
				g.status(tc.want)
				if x := g.x(desk); x.DND.On != (tc.want == "dnd") || x.dnd() != x.DND.On {
					t.Errorf("the device is %v, the presence %v", x.DND.On, x.Shows.Presence())
				}
			})
		}
	}
}

func TestWhatADeviceSaysWhenTheBridgeIsNew(t *testing.T) {
	for _, tc := range []struct {
		name  string
		shows Presence
		on    bool
		want  TypeID
	}{
		{"on, and FreePBX has made all available", available, true, "dnd"},
		{"on, and no presence was ever set", Presence{}, true, "dnd"},
		{"off, and the presence is dnd", dnd, false, "dnd"},
		{"off, and the presence is another", available, false, "available"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := newRig(t, only(desk))
			g.connect("main", map[string]Presence{"1001": tc.shows})
			if tc.on {
				g.listed("main", "1001")
			} else {
				g.listed("main")
			}
			g.settle()
			g.status(tc.want)
			if x := g.x(desk); x.DND.On != x.dnd() {
				t.Error("they do not agree")
			}
		})
	}
}

func TestAListInTheMiddleOfASessionRepairsWhatNobodyTold(t *testing.T) {
	g := newQuietRig(t, only(desk))
	g.event(desk, available)
	g.listed("main", "1001")
	g.status("dnd")
	g.choose("meeting") // waits for its commit
	g.listed("main", "1001")
	g.status("meeting")
}

func TestDevicesAreLeftAloneWhereNothingIsSynchronised(t *testing.T) {
	for name, edit := range map[string]func(*Rules){
		"sync is off": unsynced,
		"nothing is dnd": func(r *Rules) {
			r.Types = NewTypes([]StatusType{{ID: "available", Asterisk: &Image{State: Available}}}, nil)
		},
		"dnd is too much": func(r *Rules) { r.Types = NewTypes([]StatusType{{ID: "x", Asterisk: &Image{DND, "x"}}}, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			g := newQuietRig(t, only(desk), edit)
			g.event(desk, dnd)
			g.wrote()
			g.event(desk, available)
			g.flip(desk, true)
			g.wrote()
			if g.v.Status != nil && g.v.Status.Type.ID != "available" {
				t.Errorf("status %+v", g.v.Status)
			}
			if e := g.v.Explain(g.r, g.at); e.Extensions[0].DND != "on" {
				t.Errorf("explained as %+v", e.Extensions[0])
			}
		})
	}
}

// Each line is what happened while the user was not synchronised; the device was off
// before, and the phone showed available.
func TestWhoIsSynchronisedAgainIsAskedWhatTheirDeviceSays(t *testing.T) {
	for _, tc := range []struct {
		name      string
		meanwhile func(*rig)
		afterward func(*rig)
		want      TypeID
		devices   []Order
	}{
		{"it was switched on", func(g *rig) { g.flip(desk, true) }, nil, "dnd", nil},
		{"it was switched on and off", func(g *rig) { g.flip(desk, true); g.flip(desk, false) }, nil, "available", nil},
		{"it was switched on, and the phone spoke", func(g *rig) { g.flip(desk, true); g.event(desk, meeting) }, nil, "dnd", nil},
		{"the phone said dnd", func(g *rig) { g.event(desk, dnd) }, nil, "dnd", []Order{device(desk, true)}},
		{"its PBX went away", func(g *rig) { g.flip(desk, true); g.event(desk, meeting); g.down("main") }, func(g *rig) {
			g.connect("main", map[string]Presence{"1001": meeting})
			g.listed("main", "1001")
		}, "dnd", nil},
		{"nothing", func(*rig) {}, nil, "available", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := newQuietRig(t, only(desk))
			g.event(desk, available)
			g.r = sample(only(desk), unsynced)
			g.do(Input{Kind: Reloaded})
			tc.meanwhile(g)
			g.r = sample(only(desk))
			g.do(Input{Kind: Reloaded})
			if tc.afterward != nil {
				tc.afterward(g)
			}
			g.status(tc.want)
			g.wroteDevices(tc.devices...)
			g.settle()
			if x := g.x(desk); x.DND.On != (tc.want == "dnd") || x.dnd() != x.DND.On {
				t.Errorf("the device is %v, the presence %v", x.DND.On, x.Shows.Presence())
			}
		})
	}
}

// Each line is what was known of the device before the bridge was started with another
// template, and what the new device says; the phone shows what it did.
func TestOtherDNDDevicesAreNewToTheBridge(t *testing.T) {
	const others = "Custom:QUIET{extension}"
	for _, tc := range []struct {
		name     string
		template string // "": stored by a bridge that did not note it
		before   bool
		says     bool
		want     TypeID
	}{
		{"the same, switched off meanwhile", dndDevices, true, false, "available"},
		{"another, which is off", others, true, false, "dnd"},
		{"another, which is on", others, false, true, "dnd"},
		{"another, which is on as the old one", others, true, true, "dnd"},
		{"not noted, and switched off meanwhile", "", true, false, "available"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := newQuietRig(t, only(desk))
			g.event(desk, available)
			g.flip(desk, tc.before)
			g.settle()
			shows := g.x(desk).Shows.Presence()
			template := tc.template
			if template == "" {
				g.v.Extensions[0].DND.Of, template = "", dndDevices
			}
			g.wait(time.Minute)
			g.restart()
			g.connect("main", map[string]Presence{"1001": shows})
			g.do(Input{Kind: DNDListed, PBX: "main", DNDs: map[string]bool{"1001": tc.says}, DNDOf: template})
			g.status(tc.want)
			g.settle()
			if d := g.x(desk).DND; d.On != (tc.want == "dnd") || d.Of != template {
				t.Errorf("the device is %+v", d)
			}
		})
	}
}

func TestAChoiceMadeWhileNobodyToldDoesNotOutlastTheDevice(t *testing.T) {
	g := newQuietRig(t, only(desk))
	g.restart()
	g.connect("main", nil)
	g.event(desk, meeting) // since which it would win over the old device
	g.do(Input{Kind: DNDListed, PBX: "main", DNDs: map[string]bool{"1001": true}, DNDOf: "Custom:QUIET{extension}"})
	g.status("dnd")
}

func TestDNDDevicesThatAreNotConfiguredAnyMoreAreForgotten(t *testing.T) {
	g := newQuietRig(t, only(desk))
	g.flip(desk, true)
	g.settle()
	g.restart()
	g.connect("main", map[string]Presence{"1001": dnd})
	g.do(Input{Kind: DNDListed, PBX: "main"})
	g.status("dnd")
	if d := g.x(desk).DND; d != nil || !g.fx.Durable {
		t.Errorf("the device is %+v, durable=%v", d, g.fx.Durable)
	}
	g.do(Input{Kind: DNDListed, PBX: "main"})
	if g.fx.Durable {
		t.Error("saved again for nothing")
	}
}

func TestAPBXThatIsLostBeforeItListsANewExtensionTellsOfItsDeviceNoMore(t *testing.T) {
	g := newQuietRig(t, only(desk))
	g.r = sample(only(desk, mobile))
	g.do(Input{Kind: Reloaded})
	g.listed("main")
	if d := g.x(mobile).DND; d == nil || !d.Live {
		t.Fatalf("the device is %+v", d)
	}
	g.do(Input{Kind: Down, PBX: "main"})
	if d := g.x(mobile).DND; d.Live {
		t.Error("it is believed to be told of")
	}
}
