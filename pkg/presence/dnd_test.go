package presence

import (
	"encoding/json"
	"testing"
	"time"
)

// listed tells what the DND devices of a PBX say; no number: all are off.
func (g *rig) listed(pbx string, on ...string) {
	g.t.Helper()
	all := map[string]bool{}
	for _, number := range on {
		all[number] = true
	}
	g.do(Input{Kind: DNDListed, PBX: pbx, DNDs: all, DNDOf: dndDevices})
}

const dndDevices = "Custom:DND{extension}"

func (g *rig) flip(id ExtensionID, on bool) {
	g.t.Helper()
	g.do(Input{Kind: DNDChanged, Extension: id, On: on})
}

// settle answers everything, devices included, until nothing is written any more.
func (g *rig) settle() {
	g.t.Helper()
	g.save()
	for n := 0; ; n++ {
		g.fulfil()
		open := false
		for i := range g.v.Extensions {
			x := &g.v.Extensions[i]
			if d := x.DND; d != nil && d.Ask != 0 {
				open = true
				g.do(Input{Kind: Acked, Extension: x.ID, Ask: d.Ask})
				g.flip(x.ID, d.Wrote)
			}
		}
		if !open {
			return
		}
		if n > 10 {
			g.t.Fatal("it goes round")
		}
	}
}

func device(id ExtensionID, on bool) Order { return Order{Extension: id, DND: true, On: on} }

// wroteDevices checks what the last step wants written to devices.
func (g *rig) wroteDevices(want ...Order) {
	g.t.Helper()
	var got []Order
	for _, o := range g.orders {
		if o.DND {
			got = append(got, Order{Extension: o.Extension, DND: true, On: o.On})
		}
	}
	if len(got) != len(want) {
		g.t.Fatalf("devices %+v, want %+v", got, want)
	}
	for i := range got {
		if got[i] != want[i] {
			g.t.Errorf("devices %+v, want %+v", got, want)
		}
	}
}

func newQuietRig(t *testing.T, edit ...func(*Rules)) *rig {
	t.Helper()
	g := newRig(t, append([]func(*Rules){only(desk, mobile)}, edit...)...)
	g.listed("main")
	return g
}

func TestAFeatureCodeIsAnOpinionOfItsExtension(t *testing.T) {
	g := newQuietRig(t)
	lunch := Presence{Away, "", "Back at 2"}
	g.event(desk, lunch)
	g.flip(desk, true)
	g.status("dnd")
	g.wrote(write(desk, dnd)) // and the device, which says so already, is left alone
	if by := g.v.Status.By; by != "extension main/1001" {
		t.Errorf("by %q", by)
	}
	g.settle()
	g.flip(desk, false)
	g.status("away")
	g.wrote(write(desk, lunch))
	if st := g.v.Status; st.Message != "Back at 2" || !st.Since.Equal(g.at) {
		t.Errorf("afterwards %+v, want lunch as news", st)
	}
	g.settle()
	if g.x(desk).Wish != nil || g.x(mobile).DND.On {
		t.Error("something is left")
	}
}

// Each line is what was said before; the device is switched on there or dnd is said
// otherwise, and then it is switched off.
func TestSwitchedOffReturnsToWhatWasSaidBefore(t *testing.T) {
	code := func(g *rig) { g.flip(desk, true); g.settle() }
	for _, tc := range []struct {
		name   string
		before func(*rig)
		want   TypeID
	}{
		{"nothing was said", code, "available"},
		{"a phone spoke", func(g *rig) { g.event(desk, meeting); code(g) }, "meeting"},
		{"the phone set dnd itself", func(g *rig) { g.event(desk, meeting); g.event(desk, dnd); g.settle() }, "meeting"},
		{"the panel chose dnd", func(g *rig) { g.event(desk, meeting); g.want("dnd"); g.settle() }, "meeting"},
		{"dnd twice", func(g *rig) { g.event(desk, meeting); code(g); g.event(desk, Presence{DND, "", "really"}); g.settle() }, "meeting"},
		{"a choice that goes on", func(g *rig) { g.chooseUntil("lunch", g.at.Add(time.Hour)); g.settle(); code(g) }, "lunch"},
		{"a choice that has ended", func(g *rig) {
			g.event(desk, meeting)
			g.chooseUntil("lunch", g.at.Add(time.Minute))
			g.settle()
			code(g)
			g.wait(time.Hour)
		}, "meeting"},
		{"dnd until later, over a choice that ends before", func(g *rig) {
			g.chooseUntil("lunch", g.at.Add(time.Hour))
			g.chooseUntil("dnd", g.at.Add(2*time.Hour))
			g.settle()
		}, "lunch"},
		{"dnd until later", func(g *rig) { g.event(desk, meeting); g.chooseUntil("dnd", g.at.Add(time.Hour)); g.settle() }, "meeting"},
		{"the bridge was started in between", func(g *rig) {
			g.event(desk, meeting)
			code(g)
			g.restart()
			g.connect("main", map[string]Presence{"1001": dnd})
			g.listed("main", "1001")
		}, "meeting"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := newQuietRig(t)
			tc.before(g)
			g.status("dnd")
			if !g.x(desk).DND.On {
				t.Error("the device is off")
			}
			g.flip(desk, false)
			if got := g.x(desk).Said.Type; got != tc.want {
				t.Errorf("then it says %q, want %q", got, tc.want)
			}
			g.settle()
			if x := g.x(desk); x.DND.On || x.dnd() {
				t.Error("they do not agree")
			}
		})
	}
}

func TestWithoutATypeForAvailableNothingIsSaidAfterDND(t *testing.T) {
	g := newQuietRig(t, func(r *Rules) {
		r.Types = NewTypes([]StatusType{{ID: "dnd", Base: Busy, Asterisk: &Image{State: DND}}}, nil)
	})
	g.flip(desk, true)
	g.status("dnd")
	g.settle()
	g.flip(desk, false)
	g.status("")
	g.wrote(write(desk, available))
}

func TestDevicesFollowWhatPhonesAndPanelsSay(t *testing.T) {
	g := newQuietRig(t)
	g.event(desk, dnd)
	g.wroteDevices(device(desk, true))
	g.settle()
	g.event(desk, chat) // no type has it, and it is not dnd
	g.wroteDevices(device(desk, false))
	g.settle()
	g.choose("dnd")
	g.wroteDevices() // not before the choice is in the store
	g.save()
	g.wroteDevices(device(desk, true), device(mobile, true))
	g.settle()
	g.choose("training") // not mapped: phones show on what they show
	g.save()
	g.wroteDevices()
	g.choose("lunch")
	g.save()
	g.wroteDevices(device(desk, false), device(mobile, false))
	g.settle()
	g.r = sample(only(desk, mobile), outgoing(ToDefault))
	g.choose("dnd")
	g.save()
	g.wroteDevices(device(desk, true))
	g.chooseUntil("dnd", g.at.Add(time.Minute))
	g.settle()
	g.wait(time.Minute)
	g.settle()
	if x := g.x(desk); x.DND.On != x.dnd() {
		t.Error("a return time was not followed")
	}
}

func TestEventsOfADevice(t *testing.T) {
	for _, tc := range []struct {
		name string
		then func(*rig, uint64) // after dnd was chosen and written as this ask
		want TypeID
	}{
		{"our own", func(g *rig, ask uint64) { g.do(Input{Kind: Acked, Extension: desk, Ask: ask}); g.flip(desk, true) }, "dnd"},
		{"another one is not ours any more", func(g *rig, ask uint64) {
			g.do(Input{Kind: Acked, Extension: desk, Ask: ask})
			g.flip(desk, true)
			g.flip(desk, false)
		}, "available"},
		{"before the answer it is older", func(g *rig, _ uint64) { g.flip(desk, true); g.flip(desk, false) }, "dnd"},
		{"said already when the answer comes", func(g *rig, ask uint64) {
			g.flip(desk, true)
			g.do(Input{Kind: Acked, Extension: desk, Ask: ask})
			g.flip(desk, false)
		}, "available"},
		{"of which one was left out", func(g *rig, ask uint64) {
			g.do(Input{Kind: Acked, Extension: desk, Ask: ask})
			g.do(Input{Kind: DNDChanged, Extension: desk, On: false, Flicked: true})
		}, "available"},
		{"none in five seconds", func(g *rig, ask uint64) {
			g.do(Input{Kind: Acked, Extension: desk, Ask: ask})
			g.wait(5 * time.Second)
			g.flip(desk, false)
		}, "available"},
		{"that nobody tells of", func(g *rig, ask uint64) {
			g.do(Input{Kind: Acked, Extension: desk, Ask: ask})
			g.do(Input{Kind: DNDListed, PBX: "main", DNDOf: dndDevices})
			g.flip(desk, false)
		}, "dnd"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := newQuietRig(t, only(desk))
			g.event(desk, available)
			g.want("dnd")
			g.fulfil()
			tc.then(g, g.x(desk).DND.Ask)
			g.status(tc.want)
		})
	}
}

func TestARefusedDeviceIsTriedAgain(t *testing.T) {
	g := newQuietRig(t, only(desk))
	g.event(desk, dnd)
	g.do(Input{Kind: Refused, Extension: desk, Ask: g.x(desk).DND.Ask})
	g.wroteDevices()
	if want := g.at.Add(time.Second); !g.v.Due.Equal(want) {
		t.Errorf("due %v, want %v", g.v.Due, want)
	}
	g.wait(time.Second)
	g.wroteDevices(device(desk, true))
	g.do(Input{Kind: Unsent, Extension: desk, Ask: g.x(desk).DND.Ask})
	g.event(desk, available)
	g.wait(time.Hour)
	g.wroteDevices() // nothing is to be written any more
	if !g.v.Due.IsZero() {
		t.Errorf("due %v for nothing", g.v.Due)
	}
}

// P3 of the field's complaints: NOT_INUSE of the device says nothing of the phone.
func TestDNDOffDoesNotMakeAnOfflinePhoneIdle(t *testing.T) {
	g := newQuietRig(t, only(desk))
	g.do(Input{Kind: PhonesListed, PBX: "main", Phones: map[string]PhoneState{"1001": PhoneOffline}})
	g.flip(desk, true)
	g.settle()
	g.flip(desk, false)
	g.settle()
	if g.v.Phone != PhoneOffline {
		t.Errorf("the phone is %s", g.v.Phone)
	}
	g.status("available")
}

// What lies under dnd must not grow with every press of a key.
func TestPressingAFeatureCodeForeverTakesNoMemory(t *testing.T) {
	g := newQuietRig(t, only(desk))
	size := 0
	for n := range 200 {
		g.chooseUntil("lunch", g.at.Add(time.Duration(n+1)*time.Hour))
		g.settle()
		g.flip(desk, true)
		g.settle()
		if n%2 == 0 {
			g.flip(desk, false)
			g.settle()
		}
		row, err := json.Marshal(g.v)
		if err != nil {
			t.Fatal(err)
		}
		if n == 20 {
			size = len(row)
		} else if n > 20 && len(row) > 2*size {
			t.Fatalf("%d bytes after %d rounds, %d after 20", len(row), n, size)
		}
	}
}

func TestWhatADeviceRepeatsTakesNoMemory(t *testing.T) {
	g := newQuietRig(t, only(desk))
	g.event(desk, available)
	in, now := Input{Kind: DNDChanged, Extension: desk}, g.at
	if n := testing.AllocsPerRun(100, func() {
		now = now.Add(time.Millisecond)
		g.v.Step(&in, g.r, now, &g.fx)
	}); n != 0 || g.fx.Durable || g.fx.Changed {
		t.Errorf("%v allocations, durable=%v changed=%v", n, g.fx.Durable, g.fx.Changed)
	}
}

// What follows is where DND devices meet types that end by themselves.

func TestAFeatureCodeLastsAsItsTypeDoes(t *testing.T) {
	g := newQuietRig(t, lasting("dnd", time.Hour))
	g.event(desk, meeting)
	g.flip(desk, true)
	g.until(g.at.Add(time.Hour))
	g.settle()
	g.wait(time.Hour)
	g.status("meeting")
	g.wroteDevices(device(desk, false))
	if w := g.x(desk).Wish; w == nil || w.Presence != meeting {
		t.Errorf("wish %+v", w)
	}
	g.settle()
	if x := g.x(desk); x.DND.On || x.dnd() {
		t.Error("they do not agree")
	}
	if by := g.v.Status.By; by != ByExpiry {
		t.Errorf("by %q", by)
	}
}

func TestWhatLiesUnderADNDSurvivesAnyNumberOfKeys(t *testing.T) {
	g := newQuietRig(t, lasting("dnd", time.Hour), counting)
	end := g.at.Add(30 * time.Minute)
	g.chooseUntil("lunch", end)
	g.settle()
	for range 20 {
		g.event(desk, dnd)
		g.wait(repeatWait)
	}
	g.settle()
	g.flip(desk, false)
	g.status("lunch")
	g.until(end)
}

func TestWhatADeviceReturnsToIsTheSameMessage(t *testing.T) {
	g := newQuietRig(t, telling("until {time}"))
	g.do(Input{Kind: Chosen, Type: "lunch", Message: "Pizza", Until: g.at.Add(time.Hour), By: "cli"})
	g.settle()
	shown := g.x(desk).Shows.Presence()
	g.flip(desk, true)
	g.settle()
	g.flip(desk, false)
	g.status("lunch")
	g.wrote(write(desk, shown))
	if g.v.Status.Message != "Pizza" || shown.Message == "Pizza" {
		t.Errorf("the panel shows %q, phones %q", g.v.Status.Message, shown.Message)
	}
}

func TestWhatComesBackAfterDNDDoesNotBeginAnew(t *testing.T) {
	g := newQuietRig(t, lasting("available", time.Minute))
	g.flip(desk, true)
	g.settle()
	g.flip(desk, false)
	g.status("available")
	g.until(Time{}) // else it would come back to dnd
}

func TestWhatHasEndedDoesNotComeBackWhenTheClockIsSetBack(t *testing.T) {
	g := newQuietRig(t)
	g.flip(desk, true)
	g.chooseUntil("lunch", g.at.Add(time.Minute))
	g.settle()
	g.wait(time.Minute)
	g.status("dnd")
	g.settle()
	g.do(Input{Kind: DNDChanged, Extension: desk, On: false, Wall: t0.Add(-time.Hour)})
	g.status("available")
}
