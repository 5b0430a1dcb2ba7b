package bridge

import (
	"math"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// loop is the owner loop: everything that happens to a user happens here.
func (b *Bridge) loop(stop <-chan struct{}) {
	var spare []connector.Report
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-stop:
			return
		case <-b.inbox.wake:
			spare = b.reports(spare)
		case <-b.pages.wake:
			b.pagesChanged()
		case f := <-b.do:
			f()
		case err := <-b.saver.done:
			b.committed(err, b.clock.next())
		case <-timer.C:
		}
		now := b.clock.next()
		b.clockSet(now)
		b.tick(now)
		b.leave(now)
		b.commit(now)
		b.settle(now)
		more := b.board.announce()
		if len(b.ways.open) > 0 {
			b.ways.published()
		}
		timer.Reset(b.idle(now, more))
	}
}

// idle is how long the loop may sleep. more is whether the board has something left to
// announce.
func (b *Bridge) idle(now presence.Time, more bool) time.Duration {
	next := now.Add(time.Minute)
	if more {
		next = now
	}
	if len(b.due) > 0 && b.due[0].due.Before(next) {
		next = b.due[0].due
	}
	if r := b.saver.retry; len(b.saver.under) == 0 && r.After(now) && r.Before(next) {
		next = r
	}
	if !b.settling.IsZero() && b.settling.Before(next) {
		next = b.settling
	}
	if due := b.pages.due(now); !due.IsZero() && due.Before(next) {
		next = due
	}
	wait := max(next.Sub(now), time.Millisecond)
	if len(b.ways.open) > 0 {
		wait = min(wait, wayLook)
	}
	return wait
}

const (
	// settleWait is how long the loop has to have nothing to save until it is at rest.
	settleWait = 2 * time.Second
	// settleMost is how long it waits for that: in an office that telephones there is
	// always something to save.
	settleMost = 30 * time.Second
)

// disturb notes that a mapping or a snapshot has to be dealt with.
func (b *Bridge) disturb(now presence.Time) {
	b.settling, b.settleBy = now.Add(settleWait), now.Add(settleMost)
}

// settle tells once that a mapping or a snapshot has been dealt with.
func (b *Bridge) settle(now presence.Time) {
	switch {
	case b.settling.IsZero():
	case now.Before(b.settleBy) && (len(b.saver.under) > 0 || !b.nothingLeft()):
		b.settling = now.Add(settleWait)
	case !now.Before(b.settling):
		b.settling = presence.Time{}
		if b.opt.Settled != nil && b.resting.over() {
			b.resting = carry("what the bridge does at rest", b.opt.Settled)
		}
	}
}

// reports takes everything out of the inbox.
func (b *Bridge) reports(spare []connector.Report) []connector.Report {
	waiting := b.inbox.take(spare)
	for i := range waiting {
		if waiting[i].Kind != 0 {
			b.report(&waiting[i])
		}
	}
	clear(waiting)
	if cap(waiting) > 2*mergeAbove {
		return nil // after a burst it would hold a report for each event of it
	}
	return waiting
}

// inputs says which input of the core a report about one extension becomes.
var inputs = map[connector.Kind]presence.InputKind{
	connector.Changed:    presence.Event,
	connector.Acked:      presence.Acked,
	connector.Refused:    presence.Refused,
	connector.Unsent:     presence.Unsent,
	connector.Answered:   presence.Answered,
	connector.Unreadable: presence.Unreadable,

	connector.PhoneChanged: presence.PhoneChanged,
	connector.DNDChanged:   presence.DNDChanged,
}

func (b *Bridge) report(r *connector.Report) {
	p := b.pbxs[r.PBX]
	now := b.clock.next()
	if fromPBX(r.Kind) {
		p.known.Heard = now.Time()
	}
	b.count(p, r)
	switch r.Kind {
	case connector.Alive:
		p.dirty = true
	case connector.Heard: // that was all
	case connector.Snapshot:
		b.snapshot(p, r, now)
	case connector.PhonesListed:
		b.stepAll(p, &presence.Input{Kind: presence.PhonesListed, PBX: p.name, Phones: r.Phones}, now)
	case connector.DNDListed:
		b.stepAll(p, &presence.Input{Kind: presence.DNDListed, PBX: p.name, DNDs: r.DNDs, DNDOf: r.DNDOf}, now)
	case connector.Loaded:
		b.log.Debug("presence module loaded again", zap.String("pbx", p.name))
		b.stepAll(p, &presence.Input{Kind: presence.Loaded, PBX: p.name}, now)
	case connector.Down:
		b.down(p, now)
	default:
		u := p.owners.of(r.Extension.Number)
		if u == nil {
			return // nobody's extension
		}
		if r.Kind == connector.Refused {
			b.log.Warn("write refused", zap.Stringer("extension", r.Extension), zap.Error(r.Err))
		}
		if b.ways.tracer != nil {
			b.ways.event(r, u, b.epoch)
		}
		b.in = presence.Input{Kind: inputs[r.Kind], Extension: r.Extension, Presence: r.Presence, Ask: r.Ask, Phone: r.Phone, On: r.On, Flicked: r.Flicked}
		b.step(u, &b.in, now)
	}
}

// fromPBX tells whether a report is a sign of life. A loss is none, and neither
// is what the bridge may have told itself.
func fromPBX(k connector.Kind) bool {
	switch k {
	case connector.Changed, connector.PhoneChanged, connector.PhonesListed, connector.DNDChanged, connector.DNDListed, connector.Acked, connector.Answered, connector.Snapshot, connector.Loaded, connector.Alive, connector.Heard:
		return true
	default:
		return false
	}
}

func (b *Bridge) snapshot(p *pbx, r *connector.Report, now presence.Time) {
	newLife := p.known.Incarnation != "" && p.known.Incarnation != r.Incarnation
	in := &presence.Input{Kind: presence.Snapshot, PBX: p.name, Session: r.Session, NewLife: newLife, Shows: r.Shows, Late: r.Late}
	for u := range p.owners.all() {
		if !r.Partial || covers(r.Shows, p.name, u) {
			b.step(u, in, now)
		}
	}
	b.disturb(now)
	p.known.Incarnation, p.dirty, p.synced = r.Incarnation, true, true
	if newLife {
		b.log.Info("PBX has restarted; what it forgot is written back", zap.String("pbx", p.name))
	}
	b.log.Debug("snapshot taken", zap.String("pbx", p.name), zap.Int("presentities", len(r.Shows)), zap.Bool("first", r.First))
}

// covers tells whether a snapshot has all extensions of a user. One that was taken
// while the mapping changed may not: the next one has, which a session takes that
// finds out.
func covers(shows map[string]presence.Presence, pbx string, u *user) bool {
	return !slices.ContainsFunc(u.mapped.Rules.Extensions, func(x presence.ExtensionID) bool {
		_, there := shows[x.Number]
		return x.PBX == pbx && !there
	})
}

func (b *Bridge) down(p *pbx, now presence.Time) {
	for _, o := range p.outbox.empty() {
		if u := p.owners.of(o.Extension.Number); u != nil {
			b.step(u, &presence.Input{Kind: presence.Unsent, Extension: o.Extension, Ask: o.Ask}, now)
		}
	}
	for u := range p.owners.all() {
		if b.stopping && !underWay(u) {
			continue // the next start knows as much from when the PBX was heard of; see Wake
		}
		b.step(u, &presence.Input{Kind: presence.Down, PBX: p.name, Heard: presence.At(p.known.Heard)}, now)
	}
	p.dirty = true
}

// underWay tells whether something was written for the user that is not answered,
// or waits to be.
func underWay(u *user) bool {
	return slices.ContainsFunc(u.view.Extensions, func(x presence.Extension) bool { return len(x.Asked) > 0 || x.Wish != nil })
}

func (b *Bridge) stepAll(p *pbx, in *presence.Input, now presence.Time) {
	for u := range p.owners.all() {
		b.step(u, in, now)
	}
}

// step lets the core decide and does what it wants done.
func (b *Bridge) step(u *user, in *presence.Input, now presence.Time) {
	fx := &b.fx
	if in.Wall.IsZero() {
		in.Wall = presence.At(b.opt.Now())
	}
	way := b.ways.begin()
	u.view.Step(in, u.mapped.Rules, now, fx)
	if way != nil {
		b.ways.decided(way, now, fx)
	}
	if fx.Durable {
		b.saver.touch(u, b.lately())
	}
	if in.Kind == presence.Event {
		b.counted.decided[fx.Heard].Add(1)
	}
	for i := range fx.History {
		b.tell(u, &fx.History[i])
	}
	if fx.HeldBack {
		b.counted.heldBack.Add(1)
	}
	if fx.Changed {
		b.board.put(u)
		b.light(u, false)
		b.pause(u, false)
	}
	if way != nil && fx.Changed {
		b.ways.shows(way)
	}
	b.waits(u) // before anything is sent: its event may come at once
	if b.ways.of[u] > 0 {
		b.ways.stepped(u, in, fx, way)
	}
	if len(fx.Orders) > 0 {
		b.order(u, slices.Clone(fx.Orders), now)
	}
	b.due.schedule(u, u.wants(in.Wall, now))
}

// wants is when the user wants a tick, by our clock. Where the wall clock was set back
// ours runs at half speed, until the two meet.
func (u *user) wants(wall, now presence.Time) presence.Time {
	due, ends := u.view.Due, u.view.Ends
	if ends.IsZero() {
		return due
	}
	if meets := now.Add(ends.Sub(wall) / 2); meets.After(ends) {
		ends = meets
	}
	if due.IsZero() || ends.Before(due) {
		return ends
	}
	return due
}

// waits notes what the user's extensions are asked, for the inbox, and wished.
func (b *Bridge) waits(u *user) {
	asking, wishes := false, 0
	for i := range u.view.Extensions {
		x := &u.view.Extensions[i]
		asking = asking || len(x.Asked) > 0
		if x.Wish != nil {
			wishes++
		}
	}
	b.drifters.note(u, uint8(min(wishes, math.MaxUint8)))
	if !asking && !u.asking {
		return
	}
	u.asking = asking
	for i := range u.view.Extensions {
		x := &u.view.Extensions[i]
		b.inbox.expect(x.ID, x.Asked)
	}
}

// order hands orders to the mailboxes. A write that another one replaces was not sent.
func (b *Bridge) order(u *user, orders []presence.Order, now presence.Time) {
	for _, o := range orders {
		p := b.pbxs[o.Extension.PBX]
		if ask, replaced := p.outbox.put(o, b.ways.sending(u, o)); replaced {
			b.step(u, &presence.Input{Kind: presence.Unsent, Extension: o.Extension, Ask: ask}, now)
		}
	}
}

// tell writes a line of the history.
func (b *Bridge) tell(u *user, c *presence.Change) {
	b.counted.changes.Add(1)
	u.last = &LastChange{At: c.At, By: c.By, Rule: c.Rule}
	b.saver.remember(line{u.mapped.ID, u.view.Version, *c})
	if line := b.log.Check(zap.DebugLevel, "status changed"); line != nil {
		line.Write(zap.String("user", string(u.mapped.ID)), zap.String("status", string(c.Status.Type.ID)),
			zap.String("by", c.By), zap.String("rule", string(c.Rule)))
	}
}

// tick does what is due. Return times that passed while the bridge was down wait
// for the first snapshot of the user's PBXs, within reason: it may show that
// somebody has changed the phone since.
func (b *Bridge) tick(now presence.Time) {
	gate := b.opt.ExpiryWait - time.Since(b.started)
	for len(b.due) > 0 && !b.due[0].due.After(now) {
		u := b.due[0]
		if gate > 0 && !b.synced(u) {
			b.due.schedule(u, now.Add(max(gate, time.Millisecond)))
			continue
		}
		b.step(u, &presence.Input{Kind: presence.Tick}, now)
		if !u.due.IsZero() && !u.due.After(now) { // never spin, whatever the core wants
			b.due.schedule(u, now.Add(time.Millisecond))
		}
	}
}

// synced tells whether every PBX of the user has had a snapshot.
func (b *Bridge) synced(u *user) bool {
	return !slices.ContainsFunc(u.view.Extensions, func(x presence.Extension) bool { return !b.pbxs[x.ID.PBX].synced })
}
