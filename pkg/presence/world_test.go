package presence

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"
)

// world is everything around one user. It behaves as the shell promises: inputs
// in order, strictly rising times, a mailbox per PBX, commits, restarts.
type world struct {
	seed   uint64
	rng    *rand.Rand
	quiet  *rand.Rand // what feature codes do, likewise
	labels *rand.Rand // of choices, likewise
	pages  *rand.Rand // who has the panel open, likewise
	calls  *rand.Rand // what devices do, so that a seed does the rest as it did before
	plans  *rand.Rand // what ends by itself, likewise
	trace  func(string)
	calm   bool // no faults, and one thing at a time

	wall, last Time          // the wall clock, which may step, and the bridge's
	mono       time.Duration // what really passed

	setup  setup
	rules  *Rules
	view   *View
	fx     Effects
	oracle *oracle
	pbxs   []*simPBX
	store  saved
	commit *saved // under way
	dirty  bool   // something waits to be committed
	stored uint64 // the version in the store
	woke   time.Duration
	synced map[string]bool

	session  uint64
	acts     int
	accepted map[ExtensionID]*promise // the last accepted choice
	fault    error
	tally    tally
}

// saved is what a commit keeps: the view, what the shell knows of each PBX, and
// beside it what the oracle thought then.
type saved struct {
	view   []byte
	oracle *oracle
	life   map[string]int
	heard  map[string]Time
}

// promise is a choice that was committed, for one extension.
type promise struct {
	version  uint64
	p        Presence
	accepted bool
	rival    bool // something happened since that may supersede it
}

// act is a write that a PBX executed.
type act struct {
	n    int
	p    Presence
	ours bool
}

func newWorld(seed uint64) *world {
	w := &world{
		seed: seed, rng: rand.New(rand.NewPCG(seed, 1)), calls: rand.New(rand.NewPCG(seed, 2)), plans: rand.New(rand.NewPCG(seed, 3)),
		quiet: rand.New(rand.NewPCG(seed, 4)), calm: seed%5 == 0, pages: rand.New(rand.NewPCG(seed, 5)), labels: rand.New(rand.NewPCG(seed, 6)),
		wall: t0, last: t0, synced: map[string]bool{}, accepted: map[ExtensionID]*promise{},
	}
	w.setup = newSetup(w.rng)
	w.setup.end(w.plans)
	w.setup.leave(w.pages)
	w.rules = w.setup.rules()
	w.view = &View{User: "alice"}
	w.oracle = &oracle{r: w.rules}
	for _, name := range []string{"main", "branch"} {
		w.pbxs = append(w.pbxs, &simPBX{w: w, name: name, up: true, life: 1, live: map[string]act{}, others: map[string]map[string]bool{}})
		w.pbxs[len(w.pbxs)-1].refit()
	}
	w.store = saved{view: []byte(`{"user":"alice"}`), oracle: w.oracle.clone(), life: map[string]int{}, heard: map[string]Time{}}
	return w
}

func (w *world) say(format string, args ...any) {
	if w.trace != nil {
		w.trace(fmt.Sprintf("%-12s ", w.mono.Round(time.Microsecond)) + fmt.Sprintf(format, args...))
	}
}

func (w *world) fail(format string, args ...any) {
	if w.fault == nil {
		w.fault = fmt.Errorf(format, args...)
		w.say("FAULT %v", w.fault)
	}
}

func (w *world) chance(percent int) bool { return w.rng.IntN(100) < percent }

func pickOne[T any](r *rand.Rand, all []T) T { return all[r.IntN(len(all))] }

// run lives a life, lets everything come to rest, and checks what is promised then.
func (w *world) run() error {
	w.step(Input{Kind: Reloaded})
	for _, p := range w.pbxs {
		if w.calm || w.chance(80) {
			p.connect()
		}
	}
	if w.calm {
		w.rest()
	}
	for n := 40 + w.rng.IntN(160); n > 0 && w.fault == nil; n-- {
		w.pass()
		w.act()
		if w.calm {
			w.rest()
		}
	}
	w.rest()
	w.checkRest()
	w.checkRestart()
	w.checkQuiet()
	return w.fault
}

// pass lets time go by.
func (w *world) pass() {
	d := time.Duration(w.rng.IntN(60)) * time.Microsecond
	switch r := w.rng.IntN(100); {
	case r < 6:
		d = time.Duration(w.rng.IntN(9000)) * time.Millisecond
	case r < 20:
		d = time.Duration(w.rng.IntN(1500)) * time.Millisecond
	case r < 50:
		d = time.Duration(w.rng.IntN(30000)) * time.Microsecond
	}
	w.mono += d
	w.wall = w.wall.Add(d)
	for _, p := range w.pbxs {
		p.flush()
	}
}

// now is the bridge's clock.
func (w *world) now() Time {
	now := w.wall
	if least := w.last.Add(2 * time.Microsecond); now.Before(least) {
		now = least
	}
	w.last = now
	return now
}

// act does one thing at random.
func (w *world) act() {
	w.device()
	w.page()
	w.flutter()
	w.feature()
	p := pickOne(w.rng, w.pbxs)
	r := w.rng.IntN(1000)
	switch {
	case r < 150:
		w.phone(p)
	case r < 230:
		w.choose()
	case r < 260:
		w.both()
	case r < 400:
		p.exec()
	case r < 560:
		p.release()
	case r < 780:
		p.deliver()
	case r < 860:
		w.save()
	case r < 900:
		w.tick()
	case r < 915:
		p.snapshot(false)
	case w.calm:
		p.snapshot(true)
	default:
		w.trouble(p)
	}
}

// fatal kills a PBX, often just after it told of something, and starts it again.
func (w *world) fatal(p *simPBX) {
	if w.chance(60) {
		p.connect()
		w.phone(p)
		p.fence()
		p.drain()
	}
	p.kill()
	if w.chance(40) { // nobody hung up: only pings that stay unanswered tell
		w.ahead(time.Duration(w.rng.IntN(15_000)) * time.Millisecond)
	}
	if w.chance(60) {
		p.connect()
		p.drain()
	}
}

// silence loses the event of a write, so that it has to be read back.
func (w *world) silence(p *simPBX) {
	p.connect()
	p.drain()
	w.choose()
	w.save()
	w.save()
	p.muted = true
	for range 2 * len(p.mail) {
		p.exec()
	}
	p.muted = w.chance(20)
	p.drain()
	w.ahead(5*time.Second + time.Duration(w.rng.IntN(3000))*time.Millisecond)
	w.tick()
}

func (w *world) trouble(p *simPBX) {
	switch r := w.rng.IntN(100); {
	case r < 40:
		p.connect()
	case r < 48:
		p.cut("cut")
	case r < 60:
		w.fatal(p)
	case r < 64:
		p.restart()
	case r < 70:
		w.crash()
	case r < 76:
		w.wall = w.wall.Add(time.Duration(w.rng.IntN(7200)-3600) * time.Second)
		w.say("clock steps to %s", w.wall.Time().Format(time.TimeOnly))
	case r < 84:
		w.reload()
	case r < 92:
		p.muted = !p.muted
		w.say("%s muted=%v", p.name, p.muted)
	case r < 94:
		w.silence(p)
	case r < 96:
		p.loadModule()
	default:
		p.refusing = !p.refusing
		w.say("%s refusing=%v", p.name, p.refusing)
	}
}

// phone lets somebody set a presence at a phone.
func (w *world) phone(p *simPBX) {
	if id, ok := w.extensionOn(p); ok {
		p.phone(id.Number, w.setup.presence(w.rng))
	}
}

func (w *world) extensionOn(p *simPBX) (ExtensionID, bool) {
	var on []ExtensionID
	for _, id := range w.rules.Extensions {
		if id.PBX == p.name {
			on = append(on, id)
		}
	}
	if len(on) == 0 {
		return ExtensionID{}, false
	}
	return pickOne(w.rng, on), true
}

func (w *world) choose() {
	in := Input{Kind: Chosen, Type: pickOne(w.rng, w.rules.Types.List()).ID, By: "panel"}
	if w.chance(25) {
		in.Message = pickOne(w.rng, []string{"x", "back at 2"})
	}
	if w.chance(25) {
		in.Until = At(w.wall.Time().Add(time.Duration(1+w.rng.IntN(40)) * time.Second).Truncate(time.Second))
		if !in.Until.After(w.wall) {
			in.Until = Time{}
		}
	}
	if w.labels.IntN(3) == 0 {
		in.Label = pickOne(w.labels, []string{"At the dentist", "x"})
		w.tally.Labels++
	}
	in.Open = in.Until.IsZero() && w.plans.IntN(3) == 0
	w.chose(in)
}

// both lets a phone and the panel set the same at the same moment.
func (w *world) both() {
	p := pickOne(w.rng, w.pbxs)
	id, ok := w.extensionOn(p)
	if !ok {
		return
	}
	t := pickOne(w.rng, w.rules.Types.List())
	if t.Asterisk == nil {
		return
	}
	set := Presence{t.Asterisk.State, t.Asterisk.Subtype, ""}
	if w.chance(50) {
		p.phone(id.Number, set)
		w.chose(Input{Kind: Chosen, Type: t.ID, By: "panel"})
		return
	}
	w.chose(Input{Kind: Chosen, Type: t.ID, By: "panel"})
	if w.chance(50) {
		w.save()
		p.exec()
	}
	p.phone(id.Number, set)
}

func (w *world) chose(in Input) {
	w.tally.Choices++
	w.step(in)
	for i := range w.view.Extensions {
		if x := &w.view.Extensions[i]; x.Wish != nil && x.Wish.Kind == Choice && x.Wish.Version == w.view.Version {
			if x.Said.Added > 0 {
				w.tally.Texts++
			}
			w.accepted[x.ID] = &promise{version: w.view.Version, p: x.Wish.Presence, rival: !x.Said.Until.IsZero()}
		}
	}
	if w.view.Hold != nil {
		w.tally.Holds++
	}
	if w.calm {
		w.save()
	}
}

// save starts a commit, or ends the one that is under way.
func (w *world) save() {
	if w.commit == nil {
		c := w.freeze()
		w.commit, w.dirty = &c, false
		w.say("commit of version %d starts", w.view.Version)
		if !w.calm {
			return
		}
	}
	w.store, w.commit = *w.commit, nil
	var v View
	w.decode(&v)
	w.stored = v.Version
	for _, a := range w.accepted {
		a.accepted = a.accepted || a.version <= v.Version
	}
	w.step(Input{Kind: Saved, Version: v.Version})
}

func (w *world) freeze() saved {
	data, err := json.Marshal(w.view)
	if err != nil {
		w.fail("marshal: %v", err)
	}
	s := saved{view: data, oracle: w.oracle.clone(), life: map[string]int{}, heard: map[string]Time{}}
	for _, p := range w.pbxs {
		s.life[p.name], s.heard[p.name] = p.known, p.heard
	}
	return s
}

func (w *world) decode(v *View) {
	if err := json.Unmarshal(w.store.view, v); err != nil {
		w.fail("unmarshal: %v", err)
	}
}

// crash kills the bridge and starts it again from what was committed.
func (w *world) crash() {
	w.tally.Crashes++
	if w.commit != nil && w.chance(50) {
		w.store = *w.commit // it reached the disk; nobody was told
	}
	w.commit, w.dirty = nil, false
	w.say("bridge crashes")
	for _, p := range w.pbxs {
		p.cut("crash")
		p.wire, p.mail, p.rang = nil, nil, nil
		p.session, p.known, p.heard = 0, w.store.life[p.name], w.store.heard[p.name]
		if w.quiet.IntN(4) == 0 {
			p.refit()
		}
	}
	shown := w.view.Version
	w.wake()
	w.stored = w.view.Version
	for id, a := range w.accepted {
		if a.accepted = a.version <= w.view.Version; !a.accepted {
			delete(w.accepted, id)
		}
	}
	w.view.Version = max(w.view.Version, shown) + 1 // the shell starts above whatever a page saw
	w.step(Input{Kind: Reloaded})
}

// wake makes the view from the store.
func (w *world) wake() {
	now := w.now()
	v := &View{}
	w.decode(v)
	heard := w.store.heard
	v.Wake(now, func(pbx string) Time { return heard[pbx] })
	w.view, w.oracle = v, w.store.oracle.clone()
	w.oracle.r = w.rules
	w.oracle.wake(now, heard)
	w.synced, w.woke = map[string]bool{}, w.mono
}

func (w *world) reload() {
	w.tally.Reloads++
	w.setup.change(w.rng)
	if w.plans.IntN(4) == 0 {
		w.setup.end(w.plans)
	}
	if w.pages.IntN(3) == 0 {
		w.setup.leave(w.pages)
	}
	w.apply()
}

// apply lets the bridge read the file.
func (w *world) apply() {
	w.rules = w.setup.rules()
	w.oracle.r = w.rules
	clear(w.accepted)
	w.say("reload %s", w.setup.String())
	w.step(Input{Kind: Reloaded})
}

// tick does what is due. After a restart return times wait for every PBX, or 30 s.
func (w *world) tick() {
	due, ends := w.view.Due, w.view.Ends
	if (due.IsZero() || w.now().Before(due)) && (ends.IsZero() || w.wall.Before(ends)) {
		return
	}
	for _, p := range w.pbxs {
		if !w.synced[p.name] && w.mono-w.woke < 30*time.Second {
			return
		}
	}
	w.step(Input{Kind: Tick})
}
