package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strconv"
	"strings"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/message"
)

// Problem is an error as RFC 9457 writes it. Detail tells what to do.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`

	message.Key // of Detail

	Near   string   `json:"near,omitempty"`   // the name most like the unknown one
	Errors []string `json:"errors,omitempty"` // every fault, where there are several
	Faults []Fault  `json:"faults,omitempty"` // likewise, of the fields of a proposal

	headers http.Header // to send with it; nil: none
}

func (p *Problem) Error() string { return p.Detail }

// problem is one with a sentence, and its key where somebody can meet it on a page.
func problem(status int, detail string, key ...message.Key) *Problem {
	return &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail, Key: message.Only(key)}
}

// retryAfter is what a client is told to wait, in seconds, when the bridge cannot
// serve it now.
const retryAfter = "5"

// problemOf turns an error of the bridge into what the client gets. ok is false
// for an error that only the operator can make sense of.
func problemOf(err error) (p *Problem, ok bool) {
	var near *bridge.NearError
	var bad *bridge.InputError
	switch {
	case errors.As(err, &p):
	case errors.As(err, &near):
		p = problem(http.StatusNotFound, sentence(near)+" The list of users has them all.", message.As("user.unknown", "name", near.Name))
		if errors.Is(near, bridge.ErrNoStatus) {
			p = problem(http.StatusUnprocessableEntity, sentence(near), message.As("choice.no_status", "name", near.Name))
		}
		p.Near = near.Near
	case errors.As(err, &bad):
		p = problem(http.StatusUnprocessableEntity, sentence(err), bad.Key)
	case errors.Is(err, bridge.ErrBadInput):
		p = problem(http.StatusUnprocessableEntity, sentence(err))
	case errors.Is(err, bridge.ErrUnsaved):
		p = problem(http.StatusServiceUnavailable, "The bridge cannot write its store, so nothing was changed; look at its log and free the disk or repair the database, then try again.", message.As("store.unsaved"))
	case errors.Is(err, bridge.ErrUnread):
		p = problem(http.StatusServiceUnavailable, "The store cannot be read now, and this bridge is a standby that knows nothing else; ask the other bridge, or try again.")
	case errors.Is(err, bridge.ErrPending):
		p = problem(http.StatusServiceUnavailable, sentence(err)+" Look at GET /readyz and at the user before you try again.", message.As("store.pending"))
	case errors.Is(err, bridge.ErrStopping):
		p = problem(http.StatusServiceUnavailable, "The bridge is stopping; try again when it is back.", message.As("bridge.stopping"))
	case errors.Is(err, context.DeadlineExceeded):
		p = problem(http.StatusServiceUnavailable, "The bridge did not answer in time, so it is not known whether it did what was asked; look, then try again.", message.As("bridge.late"))
	default:
		return problem(http.StatusInternalServerError, "The bridge met an error that it did not expect; its log says which.", message.As("bridge.unexpected")), false
	}
	return p, true
}

// sentence writes an error as a sentence.
func sentence(err error) string {
	s := err.Error()
	s = strings.ToUpper(s[:1]) + s[1:]
	if !strings.HasSuffix(s, ".") && !strings.HasSuffix(s, "?") {
		s += "."
	}
	return s
}

func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	p, expected := problemOf(err)
	if !expected && r.Context().Err() != nil {
		// Hardly anybody is there to read it. But to say nothing means 200, also to
		// who was too slow to send a body and waits for an answer.
		p, expected = problem(http.StatusRequestTimeout, "The connection ended before the answer, so it is not known whether it was done; look, then try again.", message.As("bridge.cut")), true
	}
	if !expected {
		h.opt.Log.Error("request failed", zap.String("method", r.Method), zap.String("path", r.URL.Path), zap.Error(err))
	}
	if p.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", retryAfter)
	}
	maps.Copy(w.Header(), p.headers)
	write(w, p.Status, "application/problem+json", p)
}

// answer writes v as JSON.
func answer(w http.ResponseWriter, v any) error {
	write(w, http.StatusOK, "application/json", v)
	return nil
}

// answerTagged is answer with a tag, so that who has the same already gets 304 and
// nothing else: a page that polls costs little.
func answerTagged(w http.ResponseWriter, r *request, v any) error {
	text := encode(v)
	tag := tagOf(text)
	header := w.Header()
	header.Set("Cache-Control", "private, no-cache") // to be kept, and asked for again
	header.Set("ETag", tag)
	if matches(r.Header.Values("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	header.Set("Content-Type", "application/json")
	header.Set("Content-Length", strconv.Itoa(len(text)))
	_, _ = w.Write(text)
	return nil
}

// tagOf is the tag of an answer.
func tagOf(text []byte) string {
	sum := sha256.Sum256(text)
	return `"` + hex.EncodeToString(sum[:12]) + `"`
}

// matches tells whether If-None-Match names a tag, strong or weak (RFC 9110, 13.1.2).
func matches(lists []string, tag string) bool {
	for _, one := range strings.Split(strings.Join(lists, ","), ",") {
		if one = strings.TrimPrefix(strings.TrimSpace(one), "W/"); one == "*" || one == tag {
			return true
		}
	}
	return false
}

// write ends a request. Whether the client is still there to read it is not our
// business.
func write(w http.ResponseWriter, status int, contentType string, v any) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(encode(v))
}

// encode writes v as one line of JSON.
func encode(v any) []byte {
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // a buffer takes everything, and what is answered can always be written
	return buf.Bytes()
}

// list is how every list is sent. Next is the cursor of the following page.
type list[T any] struct {
	Items []T     `json:"items"`
	Next  *string `json:"next"`
}

func listOf[T any](items []T, next string) list[T] {
	l := list[T]{Items: items}
	if l.Items == nil {
		l.Items = []T{}
	}
	if next != "" {
		l.Next = &next
	}
	return l
}
