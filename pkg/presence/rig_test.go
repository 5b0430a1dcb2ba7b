package presence

import (
	"encoding/json"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	desk   = ExtensionID{"main", "1001"} // the default extension
	mobile = ExtensionID{"main", "1002"}
	remote = ExtensionID{"branch", "2003"}

	available = Presence{State: Available}
	away      = Presence{State: Away}
	dnd       = Presence{State: DND}
	meeting   = Presence{State: XA, Subtype: "meeting"}
	chat      = Presence{State: Chat} // no status type has it
)

// sample is alice: three phones on two PBXs, latest, all.
func sample(edit ...func(*Rules)) *Rules {
	list := allTypes[:0:0]
	for _, t := range allTypes {
		if t.ID != "offline" {
			list = append(list, t)
		}
	}
	types := NewTypes(list, nil)
	r := &Rules{
		Policy: &Policy{
			Sync: true, Incoming: Latest, Outgoing: ToAll, Types: types,
			Ranks: NewRanks(types, []TypeID{"dnd", "meeting", "lunch", "away", "available"}),
		},
		Extensions: []ExtensionID{desk, mobile, remote},
	}
	for _, e := range edit {
		e(r)
	}
	return r
}

func incoming(m Method) func(*Rules)      { return func(r *Rules) { r.Incoming = m } }
func outgoing(o Outgoing) func(*Rules)    { return func(r *Rules) { r.Outgoing = o } }
func counting(r *Rules)                   { r.CountRepeats = true }
func unsynced(r *Rules)                   { r.Sync = false }
func only(id ...ExtensionID) func(*Rules) { return func(r *Rules) { r.Extensions = id } }

// rig is one user on a table: each call lets one thing happen, a millisecond apart.
type rig struct {
	t      *testing.T
	v      *View
	r      *Rules
	at     Time
	fx     Effects
	orders []Order // of the last step
	told   []Change
	life   uint64
}

// newRig starts with every PBX connected and showing not_set.
func newRig(t *testing.T, edit ...func(*Rules)) *rig {
	g := &rig{t: t, v: &View{User: "alice"}, r: sample(edit...), at: t0}
	g.do(Input{Kind: Reloaded})
	g.connect("main", nil)
	g.connect("branch", nil)
	return g
}

func (g *rig) do(in Input) Verdict {
	g.t.Helper()
	g.at = g.at.Add(time.Millisecond)
	version := g.v.Version
	g.v.Step(&in, g.r, g.at, &g.fx)
	if g.v.Version < version || (g.v.Version > version) != g.fx.Changed {
		g.t.Errorf("version %d, then %d, changed=%v", version, g.v.Version, g.fx.Changed)
	}
	g.orders = append([]Order(nil), g.fx.Orders...)
	g.told = append([]Change(nil), g.fx.History...)
	return g.fx.Heard
}

func (g *rig) connect(pbx string, shows map[string]Presence) {
	g.t.Helper()
	g.life++
	g.do(Input{Kind: Snapshot, PBX: pbx, Session: g.life, Shows: shows})
}

func (g *rig) reborn(pbx string, shows map[string]Presence) {
	g.t.Helper()
	g.life++
	g.do(Input{Kind: Snapshot, PBX: pbx, Session: g.life, NewLife: true, Shows: shows})
}

func (g *rig) event(id ExtensionID, p Presence) Verdict {
	g.t.Helper()
	return g.do(Input{Kind: Event, Extension: id, Presence: p})
}

func (g *rig) down(pbx string)            { g.t.Helper(); g.do(Input{Kind: Down, PBX: pbx}) }
func (g *rig) ack(id ExtensionID)         { g.t.Helper(); g.answer(Acked, id) }
func (g *rig) refuse(id ExtensionID)      { g.t.Helper(); g.answer(Refused, id) }
func (g *rig) choose(id TypeID)           { g.t.Helper(); g.chooseUntil(id, Time{}) }
func (g *rig) want(id TypeID)             { g.t.Helper(); g.choose(id); g.save() }
func (g *rig) x(id ExtensionID) Extension { return g.v.Extensions[g.v.find(id)] }

func (g *rig) answer(kind InputKind, id ExtensionID) {
	g.t.Helper()
	asked := g.x(id).Asked
	if len(asked) == 0 {
		g.t.Fatalf("nothing was written to %s", id)
	}
	g.do(Input{Kind: kind, Extension: id, Ask: asked[len(asked)-1].ID})
}

func (g *rig) chooseUntil(id TypeID, until Time) {
	g.t.Helper()
	g.do(Input{Kind: Chosen, Type: id, Until: until, By: "cli"})
}

func (g *rig) save() { g.t.Helper(); g.do(Input{Kind: Saved, Version: g.v.Version}) }

// fulfil acknowledges and echoes everything that was written.
func (g *rig) fulfil() {
	g.t.Helper()
	for _, id := range g.r.Extensions {
		for len(g.x(id).Asked) > 0 {
			ask := g.x(id).Asked[0]
			g.do(Input{Kind: Acked, Extension: id, Ask: ask.ID})
			if as := g.event(id, ask.Presence); as != Echo {
				g.t.Fatalf("the event of our write to %s was taken for %q", id, as)
			}
		}
	}
}

func (g *rig) wait(d time.Duration) {
	g.t.Helper()
	g.at = g.at.Add(d)
	g.do(Input{Kind: Tick})
}

// restart is a crash of the bridge right after a commit.
func (g *rig) restart() {
	g.t.Helper()
	data, err := json.Marshal(g.v)
	if err != nil {
		g.t.Fatal(err)
	}
	at := g.at
	g.v = &View{}
	if err := json.Unmarshal(data, g.v); err != nil {
		g.t.Fatal(err)
	}
	g.at = g.at.Add(time.Millisecond)
	g.v.Wake(g.at, func(string) Time { return at })
	g.do(Input{Kind: Reloaded})
}

func (g *rig) status(want TypeID) {
	g.t.Helper()
	got := TypeID("")
	if g.v.Status != nil {
		got = g.v.Status.Type.ID
	}
	if got != want {
		g.t.Errorf("status %q, want %q", got, want)
	}
}

// wrote checks what the last step wants written, in the order of the mapping.
func (g *rig) wrote(want ...Order) {
	g.t.Helper()
	if len(g.orders) != len(want) {
		g.t.Fatalf("orders %v, want %v", g.orders, want)
	}
	for i, o := range g.orders {
		if w := want[i]; o.Extension != w.Extension || o.Presence != w.Presence || o.Read != w.Read {
			g.t.Errorf("order %v, want %v", o, w)
		}
	}
}

func write(id ExtensionID, p Presence) Order { return Order{Extension: id, Presence: p} }
