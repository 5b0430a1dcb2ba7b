package ari

import "sync"

// maxQueued bounds what waits in the queue, in bytes of JSON; decoded, an event
// takes a few times as much.
const maxQueued = 4 << 20

// item is what the handler is told: one of event, err and lost.
type item struct {
	event Event
	size  int // bytes of JSON it was
	err   error
	lost  int
}

// queue stands between the reader, which must never wait, and the handler, which
// may take its time. It holds so many items; when it is full, what comes is only
// counted until all that waits has been taken and the count as well: then whoever
// is told of it reads anew, and what follows is newer than what was lost.
type queue struct {
	limit int
	wake  chan struct{} // of one: something changed

	mu       sync.Mutex
	items    []item
	bytes    int
	lost     int    // since the last item; 0: nothing
	total    uint64 // lost ever
	finished bool   // nothing more will come
	unwanted bool   // nobody wants what comes
}

func newQueue(limit int) *queue {
	return &queue{limit: limit, wake: make(chan struct{}, 1)}
}

// put never blocks.
func (q *queue) put(it item) {
	q.mu.Lock()
	switch {
	case q.unwanted:
	case q.lost > 0, len(q.items) >= q.limit, q.bytes+it.size > maxQueued:
		q.lost++
		q.total++
	default:
		q.items = append(q.items, it)
		q.bytes += it.size
	}
	q.mu.Unlock()
	q.rouse()
}

func (q *queue) rouse() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// next waits for the next item. It is for one goroutine. false: there will be none.
func (q *queue) next() (item, bool) {
	for {
		it, ok, finished := q.pop()
		if ok || finished {
			return it, ok
		}
		<-q.wake
	}
}

func (q *queue) pop() (it item, ok, finished bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case len(q.items) > 0:
		it = q.items[0]
		q.items[0] = item{} // let go of the event
		q.items = q.items[1:]
		q.bytes -= it.size
		return it, true, false
	case q.lost > 0:
		it.lost, q.lost = q.lost, 0
		return it, true, false
	default:
		return item{}, false, q.finished
	}
}

// finish says that nothing more will come.
func (q *queue) finish() {
	q.mu.Lock()
	q.finished = true
	q.mu.Unlock()
	q.rouse()
}

// discard drops what waits and all that comes: nobody wants it any more.
func (q *queue) discard() {
	q.mu.Lock()
	q.items, q.bytes, q.lost, q.unwanted = nil, 0, 0, true
	q.mu.Unlock()
}

func (q *queue) dropped() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.total
}
