package bridge

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// fakeTracer keeps the ways that it is given.
type fakeTracer struct {
	mu   sync.Mutex
	none bool // nothing is followed
	ways []*Way
	told []string // the parents that it was asked about
}

func (f *fakeTracer) Follows(parent string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.told = append(f.told, parent)
	return !f.none
}

func (f *fakeTracer) Trace(w *Way) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ways = append(f.ways, w)
}

// taken returns the ways since the last call.
func (f *fakeTracer) taken() []*Way {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := f.ways
	f.ways = nil
	return w
}

// traced runs a test with a bridge whose ways are all followed.
func traced(t *testing.T, users []string, test func(t *testing.T, w *world, f *fakeTracer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w, f := newWorld(t, users...), &fakeTracer{}
		w.opt.Tracer = f
		w.start()
		test(t, w, f)
		if w.cancel != nil {
			if err := w.stop(); err != nil {
				t.Errorf("Run = %v", err)
			}
		}
		if n := w.b.board.renders.waiting.Load(); n != 0 || len(w.b.board.renders.of) != 0 {
			t.Errorf("%d records are waited for still", n)
		}
	})
}

// one is the way of the only thing that has happened.
func (f *fakeTracer) one(t *testing.T) *Way {
	t.Helper()
	pass(time.Second)
	all := f.taken()
	if len(all) != 1 {
		t.Fatalf("%d ways, want one: %+v", len(all), all)
	}
	inOrder(t, all[0])
	return all[0]
}

// inOrder checks that nothing of a way comes before what it follows from.
func inOrder(t *testing.T, w *Way) {
	t.Helper()
	last, at := time.Time{}, ""
	next := func(name string, when time.Time) {
		if when.IsZero() {
			return
		}
		if when.Before(last) {
			t.Errorf("%s at %v is before %s at %v", name, when, at, last)
		}
		last, at = when, name
	}
	for _, chain := range [][]time.Time{
		{w.Read, w.Arrived, w.Began, w.Decided, w.Shown, w.Published, w.Ended},
		{w.Shown, w.Rendered, w.Ended},
		{w.Decided, w.Committed, w.Saved, w.Ended},
	} {
		last = time.Time{}
		for i, when := range chain {
			next(fmt.Sprint(i), when)
		}
	}
	for _, x := range w.Writes {
		last = time.Time{}
		for i, when := range []time.Time{w.Decided, x.Asked, x.Sent, x.Taken, x.Ended, w.Ended} {
			next(fmt.Sprint("write ", i), when)
		}
	}
}

// outcomes lists what became of the writes of a way.
func outcomes(w *Way) string {
	var all []string
	for _, x := range w.Writes {
		all = append(all, x.Extension.Number+" "+string(x.Outcome))
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func TestTheWayOfAnEvent(t *testing.T) {
	traced(t, []string{"alice 1001 1002"}, func(t *testing.T, w *world, f *fakeTracer) {
		w.press("1001", lunch)
		got := f.one(t)
		if got.Kind != PresenceWay || got.User != "alice" || got.Extension != ext("1001") || got.By != "" || got.Parent != "" {
			t.Errorf("it is of %+v", got)
		}
		if got.Verdict != presence.Accepted || !got.Changed || got.Rule != presence.WonLatest || got.HeldBack || got.Cut {
			t.Errorf("decided %+v", got)
		}
		if got.Shown.IsZero() || got.Published.IsZero() || !got.Rendered.IsZero() || !got.Durable || got.Saved.IsZero() || got.Commits != 1 || len(got.Writes) != 0 {
			t.Errorf("what came of it is %+v", got)
		}
		w.press("1001", lunch)
		if got := f.one(t); got.Verdict != presence.Repeat || got.Changed || !got.Shown.IsZero() || got.Durable || got.Rule != presence.WonLatest {
			t.Errorf("a repeat is %+v", got)
		}
		w.press("4711", lunch)
		pass(time.Second)
		if all := f.taken(); len(all) != 0 {
			t.Errorf("an extension that is nobody's has a way: %+v", all[0])
		}
	})
}

func TestTheWayBeginsWhereTheConnectorHasReadIt(t *testing.T) {
	traced(t, []string{"alice 1001"}, func(t *testing.T, w *world, f *fakeTracer) {
		pass(time.Minute)
		at := time.Now()
		w.main.do(func() {
			w.main.tell(connector.Report{Kind: connector.PhoneChanged, Extension: ext("1001"), Phone: presence.PhoneInCall, Held: 3 * time.Millisecond})
		})
		got := f.one(t)
		if got.Kind != PhoneWay || !got.Arrived.Equal(at) || got.Arrived.Sub(got.Read) != 3*time.Millisecond {
			t.Errorf("at %v: %+v", at, got)
		}
	})
}

func TestTheWayOfAChoice(t *testing.T) {
	traced(t, []string{"alice 1001 1002"}, func(t *testing.T, w *world, f *fakeTracer) {
		feed := w.b.Subscribe(0)
		for range 2 { // everybody, and nothing more
			_, _ = feed.take()
		}
		go func() { _, _ = feed.Next(t.Context()) }()
		synctest.Wait()
		if _, err := w.b.Choose(t.Context(), "alice", Choice{Type: "dnd", Message: "hush", By: "panel alice", TraceParent: "00-trace"}); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		all := f.taken()
		if len(all) != 3 { // of the choice, and of its two echoes
			t.Fatalf("%d ways", len(all))
		}
		i := slices.IndexFunc(all, func(w *Way) bool { return w.Kind == ChoiceWay })
		got := all[i]
		inOrder(t, got)
		if got.By != "panel" || got.Parent != "00-trace" || f.told[0] != "00-trace" || got.User != "alice" || !got.Changed || got.Saved.IsZero() || got.Cut {
			t.Errorf("the way of the choice is %+v", got)
		}
		if got.Rendered.IsZero() {
			t.Error("the page that was open has not seen it")
		}
		if outcomes(got) != "1001 echo, 1002 echo" {
			t.Errorf("writes: %s", outcomes(got))
		}
		for _, x := range got.Writes {
			if x.Sent.IsZero() || x.Taken.IsZero() || x.DND || x.Asked.Before(got.Saved) {
				t.Errorf("a write: %+v", x)
			}
		}
		for _, w := range slices.Delete(all, i, i+1) {
			if inOrder(t, w); w.Verdict != presence.Echo || w.Changed || len(w.Writes) != 0 {
				t.Errorf("the way of an echo is %+v", w)
			}
		}
		if strings.Contains(fmt.Sprintf("%+v", got), "hush") {
			t.Error("the message is in it")
		}
	})
}

func TestWhatBecomesOfWrites(t *testing.T) {
	for _, tc := range []struct {
		name    string
		trouble func(*fakePBX)
		want    string
		cut     bool
	}{
		{"no event comes", func(f *fakePBX) { f.dropEchoes = true }, "1001 read back", false},
		{"the PBX is away", func(f *fakePBX) { f.attached = false; f.disconnect() }, "", true},
		{"the connector takes nothing", func(f *fakePBX) { f.writeErr = connector.ErrDown }, "1001 not sent", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			traced(t, []string{"alice 1001"}, func(t *testing.T, w *world, f *fakeTracer) {
				w.main.do(func() { tc.trouble(w.main) })
				synctest.Wait()
				w.choose("alice", "dnd")
				pass(wayMost + time.Second)
				all := f.taken()
				if len(all) == 0 || all[0].Kind != ChoiceWay {
					t.Fatalf("ways: %+v", all)
				}
				got, _, _ := strings.Cut(outcomes(all[0]), ", ") // what is tried again has the same
				if inOrder(t, all[0]); got != tc.want || all[0].Cut != tc.cut {
					t.Errorf("cut %v, writes: %s", all[0].Cut, outcomes(all[0]))
				}
				w.main.do(func() { w.main.writeErr = nil })
			})
		})
	}
}

func TestASnapshotOrTheEndOfTheSessionEndsAWrite(t *testing.T) {
	for want, act := range map[string]func(*fakePBX){"1001 read back": (*fakePBX).Resync, "1001 connection lost": (*fakePBX).cut} {
		t.Run(want, func(t *testing.T) {
			traced(t, []string{"alice 1001"}, func(t *testing.T, w *world, f *fakeTracer) {
				w.main.do(func() { w.main.dropEchoes = true })
				w.choose("alice", "dnd")
				act(w.main)
				pass(wayMost + time.Second)
				all := f.taken()
				if inOrder(t, all[0]); len(all) != 1 || outcomes(all[0]) != want {
					t.Errorf("%d ways, writes: %s", len(all), outcomes(all[0]))
				}
			})
		})
	}
}

func TestARefusedWriteIsTriedAgainOnTheSameWay(t *testing.T) {
	traced(t, []string{"alice 1001"}, func(t *testing.T, w *world, f *fakeTracer) {
		w.main.do(func() { w.main.refuse = errors.New("no") })
		w.choose("alice", "dnd")
		pass(500 * time.Millisecond)
		w.main.do(func() { w.main.refuse = nil })
		pass(2 * time.Second)
		all := f.taken()
		i := slices.IndexFunc(all, func(w *Way) bool { return w.Kind == ChoiceWay })
		if inOrder(t, all[i]); outcomes(all[i]) != "1001 echo, 1001 refused" || all[i].Cut {
			t.Errorf("cut %v, writes: %s", all[i].Cut, outcomes(all[i]))
		}
	})
}

func TestADNDDeviceIsOnTheWay(t *testing.T) {
	traced(t, []string{"alice 1001"}, func(t *testing.T, w *world, f *fakeTracer) {
		w.main.do(func() { w.main.devices = map[string]bool{} })
		w.main.cut()
		w.main.attach()
		pass(time.Second)
		f.taken()
		w.press("1001", dnd) // the device follows
		pass(time.Second)
		all := f.taken()
		if len(all) != 2 || all[0].Kind != PresenceWay && all[1].Kind != PresenceWay {
			t.Fatalf("%d ways", len(all))
		}
		for _, got := range all {
			inOrder(t, got)
			switch got.Kind {
			case PresenceWay:
				if outcomes(got) != "1001 echo" || !got.Writes[0].DND {
					t.Errorf("the device: %+v", got.Writes)
				}
			default:
				if got.Kind != DNDWay || len(got.Writes) != 0 {
					t.Errorf("the echo of the device is %+v", got)
				}
			}
		}
	})
}

func TestAWayWaitsForAStoreThatFails(t *testing.T) {
	traced(t, []string{"alice 1001"}, func(t *testing.T, w *world, f *fakeTracer) {
		w.store.set(func() { w.store.fail = errDisk })
		w.press("1001", lunch)
		pass(250 * time.Millisecond)
		if all := f.taken(); len(all) != 0 {
			t.Fatalf("it has ended: %+v", all[0])
		}
		w.store.set(func() { w.store.fail = nil })
		pass(time.Second)
		got := f.one(t)
		if got.Commits < 2 || got.Cut || !got.Saved.After(got.Committed) {
			t.Errorf("%d commits, first %v, saved %v", got.Commits, got.Committed, got.Saved)
		}
	})
}

func TestWaysAreBounded(t *testing.T) {
	traced(t, []string{"alice 1001"}, func(t *testing.T, w *world, f *fakeTracer) {
		unstall := make(chan struct{})
		w.store.set(func() { w.store.stall = unstall })
		for range maxWays {
			w.press("1001", lunch)
			w.press("1001", away)
		}
		var open int
		_ = w.b.run(t.Context(), func() { open = len(w.b.ways.open) })
		all := f.taken()
		if open > maxWays || len(all) == 0 || !slices.ContainsFunc(all, func(w *Way) bool { return w.Cut }) {
			t.Errorf("%d are open, %d have ended", open, len(all))
		}
		close(unstall)
	})
}

func TestAStopHandsOverWhatIsUnderWay(t *testing.T) {
	traced(t, []string{"alice 1001 branch/2001"}, func(t *testing.T, w *world, f *fakeTracer) {
		w.pbxs[1].cut()
		w.choose("alice", "dnd")
		if err := w.stop(); err != nil {
			t.Error(err)
		}
		all := f.taken()
		i := slices.IndexFunc(all, func(w *Way) bool { return w.Kind == ChoiceWay })
		if i < 0 || !all[i].Cut || all[i].Saved.IsZero() || outcomes(all[i]) != "1001 echo" {
			t.Errorf("of %d: %+v", len(all), all[max(i, 0)])
		}
	})
}

func TestWhoLeavesTheMappingEndsTheWay(t *testing.T) {
	traced(t, []string{"alice 1001", "bob 1002"}, func(t *testing.T, w *world, f *fakeTracer) {
		w.main.cut()
		w.choose("alice", "dnd")
		w.reload(mappingOf(statuses(), "bob 1002"))
		pass(wayMost + time.Second)
		if got := f.one(t); got.User != "alice" {
			t.Errorf("it is of %+v", got)
		}
	})
}

func TestAChoiceThatIsNotMadeHasNoWay(t *testing.T) {
	traced(t, []string{"alice 1001"}, func(t *testing.T, w *world, f *fakeTracer) {
		w.press("1001", lunch)
		f.one(t)
		if _, err := w.b.Choose(t.Context(), "alice", Choice{Type: "dnd", IfNone: true, By: "cli"}); err != nil {
			t.Error(err)
		}
		if _, err := w.b.Choose(t.Context(), "alice", Choice{Type: "nothing", By: "cli"}); err == nil {
			t.Error("it was made")
		}
		pass(time.Second)
		if all := f.taken(); len(all) != 0 {
			t.Errorf("a way: %+v", all[0])
		}
	})
}

// A share of the events is followed; the others cost nothing.
func TestAnEventThatIsNotFollowedAllocatesNothing(t *testing.T) {
	for _, tracer := range []Tracer{nil, unfollowed{}} {
		t.Run(fmt.Sprintf("%T", tracer), func(t *testing.T) {
			w := newWorld(t, "alice 1001 1002")
			w.opt.Mapping, w.opt.Store, w.opt.Log, w.opt.Tracer = w.mapping, w.store, zap.NewNop(), tracer
			b, err := Open(t.Context(), w.opt)
			if err != nil {
				t.Fatal(err)
			}
			b.report(&connector.Report{Kind: connector.Snapshot, PBX: "main", Session: 1, First: true, Incarnation: "life 1"})
			event := changed("1001", away)
			b.report(&event)
			if n := testing.AllocsPerRun(1000, func() { b.report(&event) }); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

type unfollowed struct{}

func (unfollowed) Follows(string) bool { return false }
func (unfollowed) Trace(*Way)          {}
