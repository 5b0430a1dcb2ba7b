package presence

import (
	"encoding/json"
	"time"
)

// rest lets everything come to an end: all is connected, delivered, committed and
// due. Then a snapshot, as there is one now and then, repairs what nobody told.
func (w *world) rest() {
	for _, p := range w.pbxs {
		p.refusing, p.deaf = false, false
		if p.muted {
			p.cut("canary missed")
		}
	}
	w.settle()
	for _, p := range w.pbxs {
		p.snapshot(true)
	}
	w.settle()
}

func (w *world) settle() {
	for n := 0; w.fault == nil && w.busy(); n++ {
		if n > 5000 {
			w.fail("I1: it does not come to rest")
		}
	}
}

// busy does a piece of what waits to be done, and tells whether there was any.
func (w *world) busy() bool {
	busy := false
	for _, p := range w.pbxs {
		p.connect()
		for range len(p.mail) + len(p.tcp) {
			p.exec()
			busy = true
		}
		busy = busy || len(p.held)+len(p.rang)+len(p.wire) > 0
		p.fence()
		p.wire, p.rang = append(p.wire, p.rang...), nil
		p.drain()
	}
	if w.dirty || w.commit != nil {
		w.save()
		busy = true
	}
	due := w.view.Due
	earlier(&due)(w.view.Ends)
	if !busy && !due.IsZero() {
		w.ahead(max(0, due.Sub(w.wall)))
		w.tick()
		busy = true
	}
	return busy
}

// ahead lets d go by.
func (w *world) ahead(d time.Duration) {
	w.mono += d
	w.wall = w.wall.Add(d)
}

// checkRest is I1, the half of I2 that can be counted, and I3.
func (w *world) checkRest() {
	if w.view.Later != nil {
		w.fail("I1: at rest %+v is held back", *w.view.Later)
	}
	for i := range w.view.Extensions {
		x := &w.view.Extensions[i]
		live := w.pbx(x.ID.PBX).live[x.ID.Number]
		switch {
		case !x.Shows.is(live.p):
			w.fail("I1: %s shows %v on its PBX, %v in the view", x.ID, live.p, x.Shows.Presence())
		case x.Wish != nil || len(x.Asked) > 0 || x.Session == 0:
			w.fail("I1: %s is not at rest: wish %+v asked %v", x.ID, x.Wish, x.Asked)
		}
	}
	w.agree()
	for id, a := range w.accepted {
		if live := w.pbx(id.PBX).live[id.Number]; a.accepted && !a.rival && live.p != a.p {
			w.fail("I3: %s was chosen and committed for %s, nothing came after it, and it shows %v", a.p, id, live.p)
		}
	}
	if w.calm && w.tally.Writes != w.oracle.goals {
		w.fail("I2: %d writes for %d wishes", w.tally.Writes, w.oracle.goals)
	}
	if w.calm && w.tally.Flips > w.oracle.goals+w.acts {
		w.fail("I2: %d writes to devices for %d wishes and %d acts", w.tally.Flips, w.oracle.goals, w.acts)
	}
}

// checkRestart is I4: after a restart the same snapshot leads to the same result.
func (w *world) checkRestart() {
	if w.fault != nil {
		return
	}
	data, err := json.Marshal(w.view)
	if err != nil {
		w.fail("marshal: %v", err)
		return
	}
	v := &View{}
	if err := json.Unmarshal(data, v); err != nil {
		w.fail("unmarshal: %v", err)
		return
	}
	v.Wake(w.now(), func(string) Time { return w.last })
	var fx Effects
	step := func(in Input) {
		v.Step(&in, w.rules, w.now(), &fx)
		if len(fx.Orders)+len(fx.History) > 0 {
			w.fail("I4: a restart in quiet times leads to orders %v history %v", fx.Orders, fx.History)
		}
	}
	step(Input{Kind: Reloaded})
	for _, p := range w.pbxs {
		shows := map[string]Presence{}
		for number, a := range p.live {
			shows[number] = a.p
		}
		step(Input{Kind: Snapshot, PBX: p.name, Session: 1, Shows: shows})
		list := Input{Kind: DNDListed, PBX: p.name, DNDOf: p.of}
		if p.of != "" {
			list.DNDs = p.devs
		}
		step(list)
	}
	step(Input{Kind: Tick})
	w.view, v = v, w.view
	if what := w.compare(); what != "" {
		w.fail("I4: after a restart in quiet times %s", what)
	}
	w.view = v
}

// checkQuiet is the other half of I2: nothing happens by itself.
func (w *world) checkQuiet() {
	if w.fault != nil {
		return
	}
	writes, flips, status := w.tally.Writes, w.tally.Flips, w.oracle.is
	for range 3 {
		w.ahead(time.Minute)
		w.step(Input{Kind: Tick})
		for _, p := range w.pbxs {
			p.loadModule()
			p.fence()
			p.fenceDevices()
			p.drain()
		}
	}
	if w.tally.Writes != writes {
		w.fail("I2: %d writes while all was quiet", w.tally.Writes-writes)
	}
	if w.tally.Flips != flips {
		w.fail("I2: %d writes to devices while all was quiet", w.tally.Flips-flips)
	}
	if (status == nil) != (w.oracle.is == nil) || status != nil && *status != *w.oracle.is {
		w.fail("I1: the status changed while all was quiet")
	}
}
