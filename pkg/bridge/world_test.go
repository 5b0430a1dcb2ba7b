package bridge

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/presencebridge/presencebridge/pkg/presence"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	available = presence.Presence{State: presence.Available}
	away      = presence.Presence{State: presence.Away}
	lunch     = presence.Presence{State: presence.Away, Subtype: "lunch"}
	meeting   = presence.Presence{State: presence.XA, Subtype: "meeting"}
	dnd       = presence.Presence{State: presence.DND}
)

// statuses are those of the sample mapping; training is not mapped.
func statuses(without ...presence.TypeID) []presence.StatusType {
	image := func(p presence.Presence) *presence.Image { return &presence.Image{State: p.State, Subtype: p.Subtype} }
	return slices.DeleteFunc([]presence.StatusType{
		{ID: "available", Name: "Available", Base: presence.Connected, Asterisk: image(available)},
		{ID: "away", Name: "Away", Base: presence.Absent, Asterisk: image(away)},
		{ID: "lunch", Name: "Lunch", Base: presence.Absent, Asterisk: image(lunch)},
		{ID: "meeting", Name: "Meeting", Base: presence.Busy, Asterisk: image(meeting)},
		{ID: "dnd", Name: "Do not disturb", Base: presence.Busy, Asterisk: image(dnd)},
		{ID: "training", Name: "In training", Base: presence.Busy, Labels: true},
	}, func(t presence.StatusType) bool { return slices.Contains(without, t.ID) })
}

func ext(s string) presence.ExtensionID {
	pbx, number, ok := strings.Cut(s, "/")
	if !ok {
		return presence.ExtensionID{PBX: "main", Number: s}
	}
	return presence.ExtensionID{PBX: pbx, Number: number}
}

// mappingOf makes a mapping with latest and all. A user reads "alice 1001 branch/2001".
func mappingOf(list []presence.StatusType, users ...string) *presence.Mapping {
	types := presence.NewTypes(list, nil)
	m := &presence.Mapping{Types: types}
	for _, line := range users {
		f := strings.Fields(line)
		r := &presence.Rules{Policy: &presence.Policy{
			Sync: true, Incoming: presence.Latest, Outgoing: presence.ToAll,
			Types: types, Ranks: presence.NewRanks(types, nil),
		}}
		for _, x := range f[1:] {
			r.Extensions = append(r.Extensions, ext(x))
		}
		m.Users = append(m.Users, presence.MappedUser{ID: presence.UserID(f[0]), Name: f[0], Rules: r})
	}
	return m
}

// world is a bridge with everything around it. It lives in a synctest bubble.
type world struct {
	t       testing.TB
	pbxs    []*fakePBX
	main    *fakePBX // the first of pbxs
	store   *fakeStore
	mapping *presence.Mapping
	badFile error // what loading the mapping returns
	opt     Options
	logs    *observer.ObservedLogs
	b       *Bridge

	cancel context.CancelFunc // nil: not running
	ended  chan error
}

// inWorld runs a test with a running bridge for these users, and stops it in the end.
func inWorld(t *testing.T, users []string, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, users...)
		w.start()
		test(t, w)
		if w.cancel != nil {
			if err := w.stop(); err != nil {
				t.Errorf("Run = %v", err)
			}
		}
	})
}

func newWorld(t testing.TB, users ...string) *world {
	core, logs := observer.New(zapcore.DebugLevel)
	w := &world{t: t, store: newFakeStore(), mapping: mappingOf(statuses(), users...), logs: logs}
	for _, name := range []string{"main", "branch"} {
		w.pbxs = append(w.pbxs, newFakePBX(name))
	}
	w.main = w.pbxs[0]
	w.opt = Options{Log: zap.New(core), LoadMapping: func() (*presence.Mapping, error) { return w.mapping, w.badFile }}
	for _, p := range w.pbxs {
		w.opt.PBXs = append(w.opt.PBXs, PBXConnector{p.name, p})
	}
	return w
}

func (w *world) start() {
	w.t.Helper()
	w.opt.Mapping, w.opt.Store = w.mapping, w.store
	b, err := Open(w.t.Context(), w.opt)
	if err != nil {
		w.t.Fatal(err)
	}
	w.b = b
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel, w.ended = cancel, make(chan error, 1)
	go func() { w.ended <- b.Run(ctx) }()
	synctest.Wait()
}

// stop ends the bridge in order.
func (w *world) stop() error {
	w.cancel()
	w.cancel = nil
	err := <-w.ended
	for _, f := range w.store.faults {
		w.t.Error("store: " + f)
	}
	return err
}

// restart stops the bridge in order and opens the next one.
func (w *world) restart() {
	w.t.Helper()
	if err := w.stop(); err != nil {
		w.t.Errorf("Run = %v", err)
	}
	w.store = w.store.copied()
	time.Sleep(startTime)
	w.start()
}

// startTime is how long the next bridge takes to start.
const startTime = 100 * time.Millisecond

// crash throws the bridge away: what it does from now on reaches nobody. The next
// one starts from left.
func (w *world) crash(left *fakeStore) {
	w.t.Helper()
	for _, p := range w.pbxs {
		p.unplug()
	}
	w.store.set(func() { w.store.before, w.store.after, w.store.fail, w.store.stall = nil, nil, nil, nil })
	_ = w.stop() // of a process that is no more
	for _, p := range w.pbxs {
		p.plug()
	}
	w.store = left
	time.Sleep(startTime)
	w.start()
}

// pass lets time go by and everything happen that is due.
func pass(d time.Duration) {
	time.Sleep(d) // of the bubble
	synctest.Wait()
}

func (w *world) press(number string, p presence.Presence) {
	w.main.press(number, p)
	synctest.Wait()
}

func (w *world) choose(user presence.UserID, id presence.TypeID) User {
	w.t.Helper()
	u, err := w.b.Choose(w.t.Context(), user, Choice{Type: id, By: "cli"})
	if err != nil {
		w.t.Errorf("choose %s for %s: %v", id, user, err)
	}
	synctest.Wait()
	return u
}

func (w *world) everybody() []User {
	all, _ := w.b.Users("")
	return slices.Collect(all)
}

func (w *world) user(id presence.UserID) User {
	w.t.Helper()
	u, err := w.b.User(id)
	if err != nil {
		w.t.Error(err)
	}
	return u
}

func (w *world) reload(m *presence.Mapping) {
	w.t.Helper()
	w.mapping = m
	if err := w.b.Reload(w.t.Context()); err != nil {
		w.t.Errorf("reload: %v", err)
	}
	synctest.Wait()
	w.wantTallies()
}

// want checks what the page and the store say of a user.
func (w *world) want(id presence.UserID, typ presence.TypeID) {
	w.t.Helper()
	if got := typeOf(w.user(id)); got != typ {
		w.t.Errorf("the page shows %s with %q, want %q", id, got, typ)
	}
	if got := w.store.saved(id); got != typ {
		w.t.Errorf("the store has %s with %q, want %q", id, got, typ)
	}
}

// wantTallies checks that what stands ready of each PBX is what is shown of everybody.
func (w *world) wantTallies() {
	w.t.Helper()
	want := map[string]tally{}
	for _, u := range w.everybody() {
		for _, x := range u.Extensions {
			t := want[x.PBX]
			t.extensions++
			if x.Pending {
				t.pending++
			}
			want[x.PBX] = t
		}
	}
	for _, p := range w.b.PBXs() {
		if got := (tally{p.Extensions, p.Pending}); got != want[p.PBX] {
			w.t.Errorf("PBX %s counts %+v, and %+v are shown", p.PBX, got, want[p.PBX])
		}
	}
}

func (w *world) wantWrites(want ...string) {
	w.t.Helper()
	if got := w.main.taken(); !slices.Equal(got, want) {
		w.t.Errorf("writes = %q, want %q", got, want)
	}
}

func (w *world) logged(message string) bool { return w.logs.FilterMessage(message).Len() > 0 }

func typeOf(u User) presence.TypeID {
	if u.Status == nil {
		return ""
	}
	return u.Status.Type
}

// journal notes what happened where, in order.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.lines)
}

var errDisk = errors.New("disk full")
