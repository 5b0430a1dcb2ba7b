package bridge

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

func changed(number string, p presence.Presence) connector.Report {
	return connector.Report{Kind: connector.Changed, PBX: "main", Extension: ext(number), Presence: p}
}

// fullInbox is one whose loop is so far behind that it merges.
func fullInbox() *inbox {
	in := newInbox(time.Now())
	for range mergeAbove {
		in.put(connector.Report{Kind: connector.Alive})
	}
	return in
}

// after returns what came after fullInbox, as "1001 away".
func after(in *inbox) (got []string) {
	for _, r := range in.take(nil)[mergeAbove:] {
		switch r.Kind {
		case 0:
		case connector.Changed:
			got = append(got, text(r.Extension.Number, r.Presence))
		default:
			got = append(got, fmt.Sprintf("%s kind %d", r.Extension.Number, r.Kind))
		}
	}
	return got
}

func TestTheInboxMergesWhatIsAllowed(t *testing.T) {
	acked := connector.Report{Kind: connector.Acked, Extension: ext("1")}
	for _, tc := range []struct {
		name string
		put  []connector.Report
		want []string
	}{
		{"the last value wins, at the end", []connector.Report{changed("1", away), changed("2", dnd), changed("1", lunch)}, []string{"2 dnd", "1 away/lunch"}},
		{"a repeat gets no newer time", []connector.Report{changed("1", away), changed("2", dnd), changed("1", away)}, []string{"1 away", "2 dnd"}},
		{"an asked value survives", []connector.Report{changed("9", meeting), changed("9", away), changed("9", dnd)}, []string{"9 xa/meeting", "9 dnd"}},
		{"also the second time", []connector.Report{changed("9", meeting), changed("9", meeting), changed("9", dnd)}, []string{"9 xa/meeting", "9 xa/meeting", "9 dnd"}},
		{"acks keep their place", []connector.Report{changed("1", away), acked, changed("1", dnd), acked}, []string{"1 away", "1 kind 2", "1 dnd", "1 kind 2"}},
		{"nothing is merged across a snapshot", []connector.Report{changed("1", away), {Kind: connector.Snapshot}, changed("1", dnd)}, []string{"1 away", " kind 6", "1 dnd"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := fullInbox()
			in.expect(ext("9"), []presence.Ask{{ID: 1, Presence: meeting}})
			for _, r := range tc.put {
				in.put(r)
			}
			if got := after(in); !slices.Equal(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestAShortInboxMergesNothing(t *testing.T) {
	in := newInbox(time.Now())
	for range 100 {
		in.put(changed("1", away))
	}
	if got := len(in.take(nil)); got != 100 {
		t.Errorf("%d of 100 reports are left", got)
	}
}

// I8. Catches: an inbox that grows with events (return false at once in merge, or
// take maxKept away).
func TestTheInboxIsBoundedUnderAMillionEvents(t *testing.T) {
	in := newInbox(time.Now())
	in.expect(ext("0"), []presence.Ask{{ID: 1, Presence: away}})
	values := []presence.Presence{away, dnd, lunch}
	var events []connector.Report
	for i := range 30 {
		events = append(events, changed(fmt.Sprint(i%10), values[i/10]))
	}
	for i := range 1_000_000 {
		in.put(events[i%len(events)])
		if len(in.queue) > 3*mergeAbove {
			t.Fatalf("%d reports wait after %d events", len(in.queue), i)
		}
	}
	last := map[string]presence.Presence{}
	for _, r := range in.take(nil) {
		if r.Kind != 0 {
			last[r.Extension.Number] = r.Presence
		}
	}
	for i := range 10 {
		if got, want := last[fmt.Sprint(i)], values[99_999%3]; got != want {
			t.Errorf("%d ends with %v, want %v", i, got, want)
		}
	}
}

// Whatever is merged, the core ends up with the same presences, and takes the same
// events for its own, as it does with everything.
func TestAMergedInboxMeansTheSameAsAnUnmergedOne(t *testing.T) {
	rules := mappingOf(statuses(), "alice 1 2").Users[0].Rules
	rapid.Check(t, func(t *rapid.T) {
		now := presence.At(time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC))
		view := &presence.View{User: "alice"}
		var fx presence.Effects
		step := func(v *presence.View, in presence.Input) {
			now = now.Add(2 * time.Microsecond)
			v.Step(&in, rules, now, &fx)
		}
		step(view, presence.Input{Kind: presence.Reloaded})
		step(view, presence.Input{Kind: presence.Snapshot, PBX: "main", Session: 1})
		values := rapid.SampledFrom([]presence.Presence{available, away, lunch, meeting, dnd})
		chosen := rapid.SampledFrom([]presence.TypeID{"available", "away", "dnd"})
		for range rapid.IntRange(0, 4).Draw(t, "choices") {
			step(view, presence.Input{Kind: presence.Chosen, Type: chosen.Draw(t, "type")})
			step(view, presence.Input{Kind: presence.Saved, Version: view.Version})
		}
		in := fullInbox()
		unacked := map[string][]presence.Ask{}
		for _, x := range view.Extensions {
			in.expect(x.ID, x.Asked)
			unacked[x.ID.Number] = x.Asked
		}
		var all []connector.Report
		for range rapid.IntRange(0, 40).Draw(t, "reports") {
			number := rapid.SampledFrom([]string{"1", "2"}).Draw(t, "extension")
			r := changed(number, values.Draw(t, "value"))
			if u := unacked[number]; len(u) > 0 && rapid.Bool().Draw(t, "ack") {
				r = connector.Report{Kind: connector.Acked, Extension: ext(number), Ask: u[0].ID}
				unacked[number] = u[1:]
			}
			all = append(all, r)
			in.put(r)
		}
		run := func(reports []connector.Report) *presence.View {
			v := view.Clone()
			for _, r := range reports {
				if kind, ok := inputs[r.Kind]; ok {
					step(v, presence.Input{Kind: kind, Extension: r.Extension, Presence: r.Presence, Ask: r.Ask})
				}
			}
			return v
		}
		got, want := run(in.take(nil)), run(all)
		for i := range want.Extensions {
			g, w := &got.Extensions[i], &want.Extensions[i]
			if g.Shows != w.Shows || g.Said.Presence != w.Said.Presence || len(g.Asked) != len(w.Asked) || (g.Wish == nil) != (w.Wish == nil) {
				t.Fatalf("%s merged: shows %v said %v asked %d wish %v; unmerged: shows %v said %v asked %d wish %v", w.ID,
					g.Shows, g.Said.Presence, len(g.Asked), g.Wish, w.Shows, w.Said.Presence, len(w.Asked), w.Wish)
			}
		}
	})
}

func TestAnEchoSurvivesAnOwnerLoopThatIsFarBehind(t *testing.T) {
	inWorld(t, oneUser, func(t *testing.T, w *world) {
		w.main.do(func() { w.main.slow = true })
		w.choose("alice", "dnd")
		stalled, gate := make(chan struct{}), make(chan struct{})
		ended := make(chan error)
		go func() { ended <- w.b.run(t.Context(), func() { close(stalled); <-gate }) }()
		<-stalled
		w.main.do(func() {
			for range mergeAbove {
				w.main.sink(connector.Report{Kind: connector.Alive})
			}
		})
		w.main.release()
		w.main.press("1001", away) // after the echo: an opinion, if that is recognised
		close(gate)
		if err := <-ended; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		w.want("alice", "away")
	})
}

func TestTheNewestWriteTakesThePlaceOfTheOneThatWaits(t *testing.T) {
	o := newOutbox()
	put := func(number string, ask uint64, read bool) (uint64, bool) {
		return o.put(presence.Order{Extension: ext(number), Ask: ask, Read: read}, nil)
	}
	put("1", 1, false)
	put("2", 1, false)
	if _, replaced := put("2", 1, true); replaced {
		t.Error("a reading replaced a write")
	}
	if ask, replaced := put("1", 2, false); !replaced || ask != 1 {
		t.Errorf("replaced = %d, %v", ask, replaced)
	}
	if _, replaced := put("2", 1, true); replaced {
		t.Error("a replaced reading is reported as a write")
	}
	s, order, ok := o.take()
	if !ok || s.read || order.Ask != 2 || order.Extension != ext("1") {
		t.Errorf("first comes %+v", order)
	}
	put("3", 7, false)
	o.drop(ext("3"))
	if left := o.empty(); len(left) != 1 || left[0].Extension != ext("2") {
		t.Errorf("empty = %+v", left)
	}
	if _, _, ok := o.take(); ok {
		t.Error("something is left")
	}
}
