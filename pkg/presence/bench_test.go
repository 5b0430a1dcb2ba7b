package presence

import (
	"testing"
	"time"
)

func BenchmarkStep(b *testing.B) {
	rules := sample()
	fresh := func() *View {
		v, fx := &View{User: "alice"}, Effects{}
		v.Step(&Input{Kind: Reloaded}, rules, t0, &fx)
		v.Step(&Input{Kind: Snapshot, PBX: "main", Session: 1}, rules, t0.Add(time.Microsecond), &fx)
		v.Step(&Input{Kind: Event, Extension: desk, Presence: dnd}, rules, t0.Add(2*time.Microsecond), &fx)
		return v
	}
	for _, bm := range []struct {
		name   string
		inputs []Input
	}{
		{"repeat", []Input{{Kind: Event, Extension: desk, Presence: dnd}}},
		{"said", []Input{{Kind: Event, Extension: desk, Presence: available}, {Kind: Event, Extension: desk, Presence: dnd}}},
		{"unmapped", []Input{{Kind: Event, Extension: desk, Presence: chat}, {Kind: Event, Extension: desk, Presence: Presence{}}}},
	} {
		b.Run(bm.name, func(b *testing.B) {
			v, fx, now := fresh(), Effects{}, t0
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				now = now.Add(time.Second)
				v.Step(&bm.inputs[n%len(bm.inputs)], rules, now, &fx)
			}
		})
	}
	b.Run("echo", func(b *testing.B) { // a choice, its commit, its write, its answer and its event
		v, fx, now := fresh(), Effects{}, t0
		one := sample(outgoing(ToDefault))
		b.ReportAllocs()
		for n := 0; b.Loop(); n++ {
			for _, in := range []Input{
				{Kind: Chosen, Type: []TypeID{"dnd", "away"}[n%2], By: "cli"},
				{Kind: Saved, Version: 1 << 62},
				{Kind: Acked, Extension: desk, Ask: v.Asks + 1},
				{Kind: Event, Extension: desk, Presence: []Presence{dnd, away}[n%2]},
			} {
				now = now.Add(time.Millisecond)
				v.Step(&in, one, now, &fx)
			}
			if fx.Heard != Echo {
				b.Fatalf("taken for %q", fx.Heard)
			}
		}
	})
}
