package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// How many items a page of a list has, unless ?limit says otherwise.
const (
	usersPage = 500
	linesPage = 100
	maxPage   = 5000
)

func (h *Handler) users(w http.ResponseWriter, r *request) error {
	q := r.URL.Query()
	limit, err := limitOf(q, usersPage)
	if err != nil {
		return err
	}
	keep, err := filter(q)
	if err != nil {
		return err
	}
	ctx, cancel := h.call(r)
	defer cancel()
	all, err := h.bridge.Users(ctx, presence.UserID(q.Get("cursor")))
	switch {
	case errors.Is(err, bridge.ErrNoUser):
		return problem(http.StatusBadRequest, "The cursor is of a user that is no longer there; start again without cursor.")
	case err != nil:
		return err
	}
	var page []bridge.User
	for u, err := range all {
		if err != nil {
			return err
		}
		if !keep(&u) {
			continue
		}
		if len(page) == limit {
			return answerTagged(w, r, listOf(page, string(page[limit-1].ID)))
		}
		page = append(page, u)
	}
	return answerTagged(w, r, listOf(page, ""))
}

// filter reads ?status, ?base, ?tag, ?group and ?q. Any status type will do: somebody
// may still have one that the mapping has lost.
func filter(q url.Values) (keep func(*bridge.User) bool, err error) {
	status, base, text := presence.TypeID(q.Get("status")), presence.Base(q.Get("base")), strings.ToLower(q.Get("q"))
	tag, group := q.Get("tag"), q.Get("group")
	if base != "" && !slices.Contains(presence.Bases(), base) {
		return nil, problem(http.StatusUnprocessableEntity, fmt.Sprintf("%q is no base; take one of %v.", base, presence.Bases()))
	}
	return func(u *bridge.User) bool {
		switch {
		case (status != "" || base != "") && u.Status == nil:
			return false
		case status != "" && u.Status.Type != status, base != "" && u.Status.Base != base:
			return false
		case tag != "" && !slices.Contains(u.Tags, tag), group != "" && !slices.Contains(u.Groups, group):
			return false
		}
		return text == "" || mentions(u, text)
	}, nil
}

// mentions tells whether u's id, name or one of the numbers has text in it, which
// is in lower case.
func mentions(u *bridge.User, text string) bool {
	return strings.Contains(strings.ToLower(string(u.ID)), text) ||
		strings.Contains(strings.ToLower(u.Name), text) ||
		slices.ContainsFunc(u.Extensions, func(x bridge.UserExtension) bool { return strings.Contains(x.Extension, text) })
}

func limitOf(q url.Values, standard int) (int, error) {
	s := q.Get("limit")
	if s == "" {
		return standard, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > maxPage {
		return 0, problem(http.StatusUnprocessableEntity, fmt.Sprintf("limit is %q; give a number from 1 to %d.", s, maxPage))
	}
	return n, nil
}

func userID(r *request) presence.UserID { return presence.UserID(r.PathValue("id")) }

// impossible is the error for an id that no user can have, and that some databases
// refuse to be asked for.
func (h *Handler) impossible(ctx context.Context, id presence.UserID) error {
	if storable(string(id)) {
		return nil
	}
	_, err := h.bridge.User(ctx, id)
	return err
}

// storable tells whether every database takes a text.
func storable(text string) bool { return utf8.ValidString(text) && !strings.ContainsRune(text, 0) }

func (h *Handler) user(w http.ResponseWriter, r *request) error {
	ctx, cancel := h.call(r)
	defer cancel()
	u, err := h.bridge.User(ctx, userID(r))
	if err != nil {
		return err
	}
	return answerTagged(w, r, u)
}

func (h *Handler) explain(w http.ResponseWriter, r *request) error {
	ctx, cancel := h.call(r)
	defer cancel()
	e, err := h.bridge.Explain(ctx, userID(r))
	if err != nil {
		return err
	}
	if e.Extensions == nil {
		e.Extensions = []presence.Reasoning{}
	}
	return answer(w, e)
}

// statusType is a status type for those who choose one.
type statusType struct {
	presence.StatusType
	Lasts      int64    `json:"lasts,omitempty"` // seconds
	Labels     bool     `json:"labels,omitempty"`
	QueuePause bool     `json:"queue_pause,omitempty"`
	Tags       []string `json:"tags,omitempty"`
	System     bool     `json:"system,omitempty"`
}

func (h *Handler) statuses(w http.ResponseWriter, r *request) error {
	var list []statusType
	for _, t := range h.bridge.Types() {
		one := statusType{StatusType: t, Lasts: int64(t.Lasts / time.Second), Labels: t.Labels, QueuePause: t.QueuePause, System: t.System}
		if t.Tagged != nil {
			one.Tags = t.Tagged.Tags
		}
		list = append(list, one)
	}
	return answerTagged(w, r, listOf(list, ""))
}

func (h *Handler) pbxs(w http.ResponseWriter, r *request) error {
	return answerTagged(w, r, listOf(h.bridge.PBXs(), ""))
}

// reload answers with every fault, for it is people who correct them.
func (h *Handler) reload(w http.ResponseWriter, r *request) error {
	ctx, cancel := h.call(r)
	defer cancel()
	err := h.bridge.Reload(ctx)
	if h.opt.Tokens != nil {
		h.opt.Tokens.NoteReload(ctx, r.from.actor(), err)
	}
	if err == nil {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	if errors.Is(err, bridge.ErrUnsaved) || errors.Is(err, bridge.ErrStopping) || ctx.Err() != nil {
		return err
	}
	h.opt.Log.Error("mapping not taken over, the one before stays", zap.Error(err))
	p := problem(http.StatusUnprocessableEntity, "Nothing was taken over and the bridge goes on as before; correct the faults and reload again.")
	p.Errors = strings.Split(strings.TrimSpace(err.Error()), "\n")
	return p
}
