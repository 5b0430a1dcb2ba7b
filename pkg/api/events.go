package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/presencebridge/presencebridge/pkg/bridge"
)

const (
	// writeWait is how long a reader of events may stand still. After that the
	// connection is closed; the reader comes back with its Last-Event-ID.
	writeWait = 10 * time.Second
	// gatherFor is how long a reader waits for more after it was sent something, where
	// there are a thousand and more of them. A person does not see it. Where there are fewer
	// it is gatherEach for each, so that all together are written to 20,000 times a second.
	gatherFor      = 50 * time.Millisecond
	gatherEach     = 50 * time.Microsecond
	piece          = 32 << 10 // bytes that are sent at once, about
	encodedChanges = 512
	// reconnect is what a reader is told to wait before it does.
	reconnect = 2 * time.Second
)

// events sends every change of a user as a server-sent event, until the client
// goes away or the server stops.
func (h *Handler) events(w http.ResponseWriter, r *request) error {
	last, err := lastEventID(r)
	if err != nil {
		return err
	}
	beat, err := beatAsked(r)
	if err != nil {
		return err
	}
	if r.Method == http.MethodHead {
		return nil // what would be sent has no end to wait for
	}
	if r.from.stream != nil {
		end := r.from.stream()
		if end == nil {
			return tooManyAtOnce("This token has too many streams open; close some, or have another token made.", reconnect)
		}
		defer end()
	}
	ctx, cancel := r.from.while(r.Context())
	watched := make(chan struct{})
	go func() { // ends with this request, which waits for it
		defer close(watched)
		select {
		case <-h.stop:
			cancel()
		case <-r.from.revoked:
			cancel()
		case <-ctx.Done():
		}
	}()
	defer func() { cancel(); <-watched }()

	if r.from.person && r.from.user != "" {
		defer h.bridge.SignedIn(r.from.user)()
	}
	h.streams.Add(1)
	defer h.streams.Add(-1)
	feed := h.bridge.Subscribe(last)
	defer feed.Close()
	rc := http.NewResponseController(w)
	// The server bounds how long a request may be read; a stream has no such end.
	if err := rc.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx holds events back otherwise
	// Without chunks, for net/http writes to the connection for each of a chunk's
	// three parts. The end of a stream says nothing anyway.
	w.Header().Set("Transfer-Encoding", "identity")
	h.stream(ctx, &sender{w, rc, beat}, feed)
	return nil
}

// sender writes to a reader of events who may stand still for a while only.
type sender struct {
	w    http.ResponseWriter
	rc   *http.ResponseController
	beat bool // it wants to see that the stream is alive
}

// silent is sent while nothing changes. Scripts in a browser see no comment, and could
// not tell silence from a connection that is cut.
func (s *sender) silent() error {
	if s.beat {
		return s.send([]byte("event: beat\ndata: {}\n\n"))
	}
	return s.send([]byte(": nothing new\n\n"))
}

func (s *sender) send(text []byte) error {
	if err := s.rc.SetWriteDeadline(time.Now().Add(writeWait)); err != nil {
		return err
	}
	if _, err := s.w.Write(text); err != nil {
		return err
	}
	return s.rc.Flush()
}

// stream sends the feed until ctx ends, the bridge stops or the client does not
// take it. Whichever it is, the client comes back by itself.
func (h *Handler) stream(ctx context.Context, out *sender, feed Feed) {
	if out.send(fmt.Appendf(nil, "retry: %d\n\n", reconnect.Milliseconds())) != nil {
		return
	}
	for {
		items, err := h.next(ctx, feed)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, context.DeadlineExceeded):
			err = out.silent()
		case err == nil:
			err = h.sendEvents(items, out)
			if whole := len(items) > 0 && items[len(items)-1].Whole; whole && err == nil && out.beat {
				err = out.silent()
			}
		}
		if err != nil {
			return
		}
		if more := len(items) > 0 && items[len(items)-1].Listed; !more && rest(ctx, gathering(h.streams.Load())) != nil {
			return
		}
	}
}

// gathering is how long each of so many readers waits for more: they cost by how often
// they are written to.
func gathering(readers int64) time.Duration {
	return time.Duration(min(readers, int64(gatherFor/gatherEach))) * gatherEach
}

// rest lets changes come together.
func rest(ctx context.Context, wait time.Duration) error {
	select {
	case <-time.After(wait):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// sendEvents sends items, in pieces. A stream keeps no buffer: most of them are
// silent most of the time.
func (h *Handler) sendEvents(items []bridge.FeedItem, out *sender) error {
	buf, ok := h.buffers.Get().(*[]byte)
	if !ok {
		buf = new([]byte)
	}
	defer h.buffers.Put(buf)
	text := (*buf)[:0]
	alone := h.streams.Load() == 1 // what it sends nobody else does
	for i := range items {
		if alone || items[i].Listed {
			text = appendEvent(text, &items[i])
		} else {
			text = append(text, h.encoded.event(&items[i])...)
		}
		if len(text) >= piece || i == len(items)-1 {
			if err := out.send(text); err != nil {
				return err
			}
			*buf, text = text, text[:0]
		}
	}
	return nil
}

// next waits for items for as long as the stream may be silent.
func (h *Handler) next(ctx context.Context, feed Feed) ([]bridge.FeedItem, error) {
	ctx, cancel := context.WithTimeout(ctx, h.opt.Heartbeat)
	defer cancel()
	return feed.Next(ctx)
}

// appendEvent writes one item: a user, that a user is gone, or that everybody follows.
func appendEvent(text []byte, item *bridge.FeedItem) []byte {
	text = strconv.AppendUint(append(text, "id: "...), item.ID, 10)
	switch {
	case item.Reset:
		return append(text, "\nevent: reset\ndata: {}\n\n"...)
	case item.Gone:
		text = append(text, "\nevent: gone\ndata: "...)
		return append(append(text, encode(map[string]any{"id": item.User.ID})...), '\n')
	}
	text = append(text, "\nevent: user\ndata: "...)
	return append(item.User.AppendJSON(text), "\n\n"...)
}

// encodings are the last changes as they are sent, for the many streams that send the
// same. The zero value is empty.
type encodings struct {
	mu   sync.RWMutex
	last [encodedChanges]encoding // by id modulo the length
}

type encoding struct {
	id   uint64
	text []byte // nobody changes it
}

// event returns what appendEvent makes of a change. It must not be given an item that
// is Listed: those share an id.
func (e *encodings) event(item *bridge.FeedItem) []byte {
	at := item.ID % encodedChanges
	e.mu.RLock()
	known := e.last[at]
	e.mu.RUnlock()
	if known.id == item.ID && known.text != nil {
		return known.text
	}
	text := appendEvent(nil, item)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.last[at] = encoding{item.ID, text}
	return text
}

// beatAsked reads ?beat.
func beatAsked(r *request) (bool, error) {
	switch r.URL.Query().Get("beat") {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	}
	return false, problem(http.StatusUnprocessableEntity, "beat is true or false.")
}

func lastEventID(r *request) (uint64, error) {
	s := r.Header.Get("Last-Event-ID")
	if s == "" {
		s = r.URL.Query().Get("last_event_id")
	}
	if s == "" {
		return 0, nil
	}
	last, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, problem(http.StatusBadRequest, "Last-Event-ID is not one that this bridge gave; leave it out to get everything.")
	}
	return last, nil
}
