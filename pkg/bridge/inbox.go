package bridge

import (
	"slices"
	"sync"
	"time"

	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// mergeAbove is how many reports may wait before events of one extension are merged.
const mergeAbove = 4096

// maxKept bounds the events of one extension that are kept for the sake of asked
// values: a phone may flap between such values. Past it an echo may be lost, which
// costs a read-back. An extension has at most 16 writes under way.
const maxKept = 64

// inbox holds reports for the owner loop. Readers never wait: when the loop falls
// behind, the newest event of an extension replaces the one before, so that the
// inbox grows with extensions and not with events. What may be an answer to a
// write is kept (design.md section 2): an event that equals an asked value, and
// the order of everything else. Of a phone only what it did last counts; of a DND
// device also whether it said the opposite in between, which answers a write.
type inbox struct {
	wake  chan struct{} // holds one token while something waits
	epoch time.Time     // from which arrivals count

	mu    sync.Mutex
	queue []connector.Report
	last  map[presence.ExtensionID]int // place of an event that a newer one may replace
	rang  map[presence.ExtensionID]int // likewise, of what its phone does
	dnds  map[presence.ExtensionID]int // likewise, of what its DND device says
	kept  map[presence.ExtensionID]int // events kept for the sake of an asked value
	dead  int                          // replaced ones, Kind 0
	asked map[presence.ExtensionID][]presence.Ask
}

func newInbox(epoch time.Time) *inbox {
	return &inbox{
		wake:  make(chan struct{}, 1),
		epoch: epoch,
		last:  map[presence.ExtensionID]int{},
		rang:  map[presence.ExtensionID]int{},
		dnds:  map[presence.ExtensionID]int{},
		kept:  map[presence.ExtensionID]int{},
		asked: map[presence.ExtensionID][]presence.Ask{},
	}
}

// put adds a report. It does not block.
func (in *inbox) put(r connector.Report) {
	r.Arrived = time.Since(in.epoch)
	in.mu.Lock()
	if len(in.queue) < mergeAbove || !in.merge(&r) {
		in.queue = append(in.queue, r)
	}
	if in.dead > len(in.queue)/2 {
		in.compact()
	}
	in.mu.Unlock()
	select {
	case in.wake <- struct{}{}:
	default:
	}
}

// merge makes r replace the event of its extension that waits, if that is allowed.
// r goes to the end, where its time belongs: other extensions may have spoken since.
// A mere repeat says nothing new and must not get a newer time; then merge returns
// true, and r is not needed. (So sync.repeats: count does not count while the loop
// is this far behind.)
func (in *inbox) merge(r *connector.Report) (repeat bool) {
	switch r.Kind {
	case connector.Changed:
		i, waits := in.last[r.Extension]
		answers := in.mayAnswer(r)
		if waits && !answers && in.queue[i].Presence == r.Presence {
			return true
		}
		if waits {
			in.queue[i] = connector.Report{}
			in.dead++
		}
		if answers {
			in.kept[r.Extension]++
			delete(in.last, r.Extension)
		} else {
			in.last[r.Extension] = len(in.queue)
		}
	case connector.PhoneChanged:
		if i, waits := in.rang[r.Extension]; waits {
			in.queue[i] = connector.Report{}
			in.dead++
		}
		in.rang[r.Extension] = len(in.queue)
	case connector.DNDChanged:
		if i, waits := in.dnds[r.Extension]; waits {
			r.Flicked = r.Flicked || in.queue[i].Flicked || in.queue[i].On != r.On
			in.queue[i] = connector.Report{}
			in.dead++
		}
		in.dnds[r.Extension] = len(in.queue)
	case connector.PhonesListed: // of phones alone
	case connector.Snapshot, connector.Down, connector.Loaded, connector.DNDListed:
		clear(in.last)
		clear(in.dnds)
	default:
		delete(in.last, r.Extension)
		delete(in.dnds, r.Extension)
	}
	return false
}

// mayAnswer tells whether r could be the event of a write. Which one it is, and
// whether that write's response has come by then, only the core can tell.
func (in *inbox) mayAnswer(r *connector.Report) bool {
	return in.kept[r.Extension] < maxKept &&
		slices.ContainsFunc(in.asked[r.Extension], func(a presence.Ask) bool { return a.Presence == r.Presence })
}

func (in *inbox) compact() {
	live := in.queue[:0]
	for i, r := range in.queue {
		if r.Kind == 0 {
			continue
		}
		for _, places := range []map[presence.ExtensionID]int{in.last, in.rang, in.dnds} {
			if at, ok := places[r.Extension]; ok && at == i {
				places[r.Extension] = len(live)
			}
		}
		live = append(live, r)
	}
	clear(in.queue[len(live):])
	in.queue, in.dead = live, 0
}

// take returns what waits, oldest first, some of it with Kind 0, and gives the
// inbox spare, an emptied slice that it took before, to fill.
func (in *inbox) take(spare []connector.Report) []connector.Report {
	in.mu.Lock()
	defer in.mu.Unlock()
	waiting := in.queue
	in.queue, in.dead = spare[:0], 0
	clear(in.last)
	clear(in.rang)
	clear(in.dnds)
	clear(in.kept)
	return waiting
}

// depth is how many reports wait.
func (in *inbox) depth() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return len(in.queue) - in.dead
}

// expect tells the inbox which writes of an extension are unanswered.
func (in *inbox) expect(id presence.ExtensionID, asked []presence.Ask) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(asked) == 0 {
		delete(in.asked, id)
		return
	}
	in.asked[id] = append([]presence.Ask(nil), asked...)
}
