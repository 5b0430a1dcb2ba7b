package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/presencebridge/presencebridge/pkg/bridge"
)

const (
	// writeWait is how long a reader of events may stand still. After that the
	// connection is closed; the reader comes back with its Last-Event-ID.
	writeWait = 10 * time.Second
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
	if r.Method == http.MethodHead {
		return nil // what would be sent has no end to wait for
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

	feed := h.bridge.Subscribe(last)
	defer feed.Close()
	rc := http.NewResponseController(w)
	// The server bounds how long a request may be read; a stream has no such end.
	if err := rc.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx holds events back otherwise
	h.stream(ctx, w, rc, feed)
	return nil
}

// stream writes the feed until ctx ends, the bridge stops or the client does not
// take it. Whichever it is, the client comes back by itself.
func (h *Handler) stream(ctx context.Context, w http.ResponseWriter, rc *http.ResponseController, feed Feed) {
	var buf bytes.Buffer
	fmt.Fprintf(&buf, "retry: %d\n\n", reconnect.Milliseconds())
	for {
		if err := rc.SetWriteDeadline(time.Now().Add(writeWait)); err != nil {
			return
		}
		if _, err := w.Write(buf.Bytes()); err != nil {
			return
		}
		if err := rc.Flush(); err != nil {
			return
		}
		buf.Reset()
		items, err := h.next(ctx, feed)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, context.DeadlineExceeded):
			buf.WriteString(": nothing new\n\n")
		case err != nil:
			return
		}
		for _, item := range items {
			writeEvent(&buf, item)
		}
	}
}

// next waits for items for as long as the stream may be silent.
func (h *Handler) next(ctx context.Context, feed Feed) ([]bridge.FeedItem, error) {
	ctx, cancel := context.WithTimeout(ctx, h.heartbeat)
	defer cancel()
	return feed.Next(ctx)
}

// writeEvent writes one item: a user, that a user is gone, or that everybody follows.
func writeEvent(buf *bytes.Buffer, item bridge.FeedItem) {
	var data any = item.User
	event := "user"
	switch {
	case item.Reset:
		event, data = "reset", struct{}{}
	case item.Gone:
		event, data = "gone", map[string]any{"id": item.User.ID}
	}
	fmt.Fprintf(buf, "id: %d\nevent: %s\ndata: ", item.ID, event)
	e := json.NewEncoder(buf) // writes one line: JSON has no line breaks of its own
	e.SetEscapeHTML(false)
	_ = e.Encode(data) // a buffer takes everything, and a User can always be written
	buf.WriteByte('\n')
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
