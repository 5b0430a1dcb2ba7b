package asterisk

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/ari"
	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// outlet gives a Stasis application the event that ARI lacks: a user event for each
// change of presence of an extension of the mapping, over whatever it came. It is
// bounded by the extensions: of one only the newest presence waits.
type outlet struct {
	c    *Connector
	news chan struct{} // of one place: something waits

	mu    sync.Mutex
	known map[string]presence.Presence // by number: what it shows; missing: not known yet
	queue []string                     // numbers, each once, in the order of the changes
	due   map[string]struct{}          // those in the queue
}

func newOutlet(c *Connector) *outlet {
	return &outlet{
		c: c, news: make(chan struct{}, 1),
		known: make(map[string]presence.Presence), due: make(map[string]struct{}),
	}
}

// note takes what is reported. It does not wait.
func (o *outlet) note(r *connector.Report) {
	follows := o.c.follows.Load()
	o.mu.Lock()
	defer o.mu.Unlock()
	switch r.Kind {
	case connector.Changed:
		if follows.Has(r.Extension.Number) {
			o.shows(r.Extension.Number, r.Presence)
		}
	case connector.Snapshot:
		for number := range o.known {
			if !follows.Has(number) {
				delete(o.known, number)
			}
		}
		for _, number := range follows.List() {
			if p, ok := r.Shows[number]; ok || !r.Partial {
				o.shows(number, p)
			}
		}
	default:
		return
	}
	if len(o.queue) > 0 {
		o.rouse()
	}
}

// shows notes a presence. The first of an extension is no change.
func (o *outlet) shows(number string, p presence.Presence) {
	before, known := o.known[number]
	o.known[number] = p
	if !known || before == p {
		return
	}
	if _, waits := o.due[number]; !waits {
		o.due[number] = struct{}{}
		o.queue = append(o.queue, number)
	}
}

func (o *outlet) rouse() {
	select {
	case o.news <- struct{}{}:
	default:
	}
}

// run sends what waits, until ctx ends. An application that is not there is tried
// again with the next change, and after a while.
func (o *outlet) run(ctx context.Context, conn *ari.Conn) {
	var again <-chan time.Time
	wrong := false // the last one was not taken
	o.rouse()      // what an earlier connection left
	for {
		select {
		case <-o.news:
		case <-again:
		case <-ctx.Done():
			return
		}
		again = nil
		for number, p, ok := o.first(); ok && again == nil; number, p, ok = o.first() {
			err := o.send(ctx, conn, number, p)
			if ctx.Err() != nil {
				return
			}
			wrong = o.came(err, wrong)
			if err == nil || hopeless(err) {
				o.sent(number, p)
			} else {
				again = time.After(jitter(o.c.cfg.Times.BackoffMax))
			}
		}
	}
}

func (o *outlet) send(ctx context.Context, conn *ari.Conn, number string, p presence.Presence) error {
	return conn.UserEvent(ctx, o.c.cfg.Publish, hintEvent, map[string]string{
		"Presentity": o.c.where.presentity(number), "Status": p.State.String(), "Subtype": p.Subtype, "Message": p.Message,
	})
}

// hopeless tells whether the PBX refused a change for what is in it: others, which
// wait behind it, may well be taken.
func hopeless(err error) bool {
	var refused *ari.StatusError
	if !errors.As(err, &refused) {
		return false
	}
	switch refused.Status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return true
	}
	return false
}

// came tells people once what came of it, and returns whether it went wrong.
func (o *outlet) came(err error, before bool) (wrong bool) {
	level := zap.WarnLevel
	if before {
		level = zap.DebugLevel
	}
	switch {
	case err != nil:
		o.c.log.Log(level, "changes are not published", zap.String("application", o.c.cfg.Publish), zap.Error(err), zap.String("hint", absence(err)))
	case before:
		o.c.log.Info("changes are published again", zap.String("application", o.c.cfg.Publish))
	}
	return err != nil
}

// absence says what to do about an event that was not taken.
func absence(err error) string {
	if errors.Is(err, ari.ErrNotFound) {
		return "start the program that registers this application, or correct ari.publish; it is tried again with the next change, and now and then"
	}
	return ""
}

// first is what has waited longest.
func (o *outlet) first() (number string, p presence.Presence, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.queue) > 0 {
		if p, ok := o.known[o.queue[0]]; ok {
			return o.queue[0], p, true
		}
		delete(o.due, o.queue[0]) // it has left the mapping
		o.queue = o.queue[1:]
	}
	o.queue = nil
	return "", presence.Presence{}, false
}

// sent takes it out, or to the end where it has changed again.
func (o *outlet) sent(number string, p presence.Presence) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.queue = o.queue[1:]
	if o.known[number] == p {
		delete(o.due, number)
	} else {
		o.queue = append(o.queue, number)
	}
}
