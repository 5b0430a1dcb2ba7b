package api

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
)

// userHistory is the history of one user, whom the path names.
func (h *Handler) userHistory(w http.ResponseWriter, r *request) error {
	return h.answerHistory(w, r, userID(r))
}

// history is that of everybody, or of the user in ?user.
func (h *Handler) history(w http.ResponseWriter, r *request) error {
	return h.answerHistory(w, r, presence.UserID(r.URL.Query().Get("user")))
}

func (h *Handler) answerHistory(w http.ResponseWriter, r *request, user presence.UserID) error {
	ctx, cancel := h.call(r)
	defer cancel()
	if err := h.impossible(ctx, user); err != nil {
		return err
	}
	q, err := linesOf(r.URL.Query())
	if err != nil {
		return err
	}
	q.User = user
	entries, err := h.bridge.History(ctx, q)
	if err != nil {
		return err
	}
	if len(entries) == 0 && user != "" {
		// A user that the mapping has lost keeps the history; one that never was has none.
		known, err := h.bridge.History(ctx, store.Query{User: user, Limit: 1})
		if err != nil {
			return err
		}
		if _, err := h.bridge.User(ctx, user); err != nil && len(known) == 0 {
			return err
		}
	}
	return answer(w, pageOf(entries, q.Limit, func(e *store.Entry) store.Place { return store.Place{At: e.At, ID: e.ID} }))
}

// audit is what was done to the bridge itself.
func (h *Handler) audit(w http.ResponseWriter, r *request) error {
	q := r.URL.Query()
	return h.answerAudit(w, r, q.Get("did"), q.Get("what"))
}

func (h *Handler) answerAudit(w http.ResponseWriter, r *request, did, what string) error {
	q, err := linesOf(r.URL.Query())
	if err != nil {
		return err
	}
	q.Did, q.What = did, what
	if !storable(q.Did) || !storable(q.What) {
		return problem(http.StatusBadRequest, "did or what is not UTF-8, or has a NUL in it; write did=status type and what=lunch, for example.")
	}
	ctx, cancel := h.call(r)
	defer cancel()
	acts, err := h.opt.Tokens.store.Audit(ctx, q)
	if err != nil {
		return err
	}
	return answer(w, pageOf(acts, q.Limit, func(a *store.Act) store.Place { return store.Place{At: a.At, ID: a.ID} }))
}

// linesOf reads which lines of a list are asked for, the newest first. Its limit is
// one more than that, which tells whether there is another page.
func linesOf(v url.Values) (q store.Query, err error) {
	if q.Limit, err = limitOf(v, linesPage); err != nil {
		return q, err
	}
	q.Limit++
	if q.From, err = timeOf(v, "from"); err != nil {
		return q, err
	}
	if q.To, err = timeOf(v, "to"); err != nil {
		return q, err
	}
	if q.By = v.Get("by"); !storable(q.By) {
		return q, problem(http.StatusBadRequest, "by is not UTF-8, or has a NUL in it; write an origin or its beginning, such as panel or api crm.")
	}
	if c := v.Get("cursor"); c != "" {
		place, ok := placeOf(c)
		if !ok {
			return q, problem(http.StatusBadRequest, "The cursor is not one that this bridge gave; start again without cursor.")
		}
		q.Before = place
	}
	return q, nil
}

// timeOf reads a time of a query; zero: there is none.
func timeOf(v url.Values, name string) (time.Time, error) {
	text := v.Get(name)
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if year := t.UTC().Year(); err != nil || year < 1 || year > 9999 {
		return t, problem(http.StatusUnprocessableEntity, fmt.Sprintf("%s is %q; give a time like 2026-11-22T15:04:05Z, in which + is written %%2B.", name, text))
	}
	return t, nil
}

// cursorOf writes the place of a line: its time in microseconds, and its id.
func cursorOf(p store.Place) string { return fmt.Sprintf("%d-%d", p.At.UnixMicro(), p.ID) }

func placeOf(cursor string) (p store.Place, ok bool) {
	at, id, _ := strings.Cut(cursor, "-")
	micros, err := strconv.ParseUint(at, 10, 53) // to the year 2255
	if err != nil {
		return p, false
	}
	p.At = time.UnixMicro(int64(micros)).UTC()
	p.ID, err = strconv.ParseInt(id, 10, 64)
	return p, err == nil && p.ID > 0
}

// pageOf is a page of lines, of which there may be one too many.
func pageOf[T any](lines []T, limit int, place func(*T) store.Place) list[T] {
	if len(lines) < limit {
		return listOf(lines, "")
	}
	return listOf(lines[:limit-1], cursorOf(place(&lines[limit-2])))
}
