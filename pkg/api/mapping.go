package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
)

// Mapping is the users of the mapping, where they are kept in the store. Its methods
// may be called from any goroutine. Each is ErrUsersElsewhere where they are not kept
// there, but for an import.
type Mapping interface {
	// Page returns at most limit users behind a position; 0: from the first.
	Page(ctx context.Context, after int64, limit int) ([]store.Mapped, error)
	User(ctx context.Context, id presence.UserID) (store.Mapped, error)
	// Change returns once the change is committed and the bridge has taken it over. It
	// is a UserFaults where the whole mapping would not be good, and nothing changes then.
	// It makes of each definition of Put how it is kept.
	Change(ctx context.Context, c *UserChange) (UserChanges, error)
}

// Definition is a user as the mapping describes one.
type Definition struct {
	ID   presence.UserID
	JSON string // with the keys of a user in mapping.yaml; not yet validated
	Line int    // of the file that it comes from, for the faults; 0: of none
}

// UserChange is what shall become of users of the mapping.
type UserChange struct {
	Put    []Definition      // a user with such an id is replaced
	Remove []presence.UserID // each has to be there
	New    bool              // the users of Put must not be there
	Import bool              // may be of users whom nobody uses yet, since they stand in mapping.yaml; such an import replaces another
	DryRun bool              // only tell what would happen
	Match  []string          // the values of If-Match, for a change of one user; nil: whatever is there
	By     string
}

// Matches tells whether a definition is one that Match wants to change; "": there is none.
func (c *UserChange) Matches(definition string) bool {
	if c.Match == nil {
		return true
	}
	tag := tagOf(encode(json.RawMessage(definition)))
	for _, one := range strings.Split(strings.Join(c.Match, ","), ",") {
		// A weak tag matches nothing here (RFC 9110, 13.1.1).
		if one = strings.TrimSpace(one); definition != "" && (one == "*" || one == tag) {
			return true
		}
	}
	return false
}

// UserChanges counts what has become of users.
type UserChanges struct {
	Added     int `json:"added"`
	Changed   int `json:"changed"`
	Unchanged int `json:"unchanged"`
	Removed   int `json:"removed,omitempty"` // of an import: those of another one before it that was not used either

	// Unused says that the users wait in the store for a mapping.yaml that takes them from there.
	Unused bool `json:"unused,omitempty"`

	// Warnings are what surprises about who was put, one sentence each.
	Warnings []string `json:"warnings,omitempty"`
}

// WarningHeader says what surprises about a user who was put, once for each sentence.
const WarningHeader = "X-Presencebridge-Warning"

// UserFaults are what is wrong about users, one sentence each.
type UserFaults []string

func (f UserFaults) Error() string { return strings.Join(f, "\n") }

// Errors of a Mapping.
var (
	ErrUsersElsewhere = errors.New("the users stand in mapping.yaml: change them there, or move them into the store with presencebridge user import --mapping FILE and write users: {from: store} in place of the list")
	ErrUserExists     = errors.New("there is a user of that id already: change that one, or take another id")
	ErrUserDiffers    = errors.New("somebody has changed or removed the user meanwhile: read the user again, and repeat the change if it is still wanted")
	ErrUncertain      = errors.New("the store did not say whether it took the change, so it is not known whether it was done: look with presencebridge user list, then try again")
	ErrNotTakenOver   = errors.New("the change is kept, but the bridge has not taken it over: see what presencebridge reload says")
)

const (
	mappedPage = 500
	// maxImport bounds the body of an import, in bytes: 200,000 users with every setting.
	maxImport      = 64 << 20
	maxImportUsers = 200_000
	// changeDeadline is for a change among 100,000 users, all of whom are validated.
	changeDeadline = 45 * time.Second

	exampleDefinition = `{"name": "Alice Martin", "extensions": ["1001", "1002"]}`
	exampleImport     = `{"users": [{"id": "alice", "extensions": ["1001"]}]}`
)

// refusedUsers makes of an error of a Mapping what the client gets.
func refusedUsers(err error) error {
	var faults UserFaults
	switch {
	case errors.As(err, &faults):
		p := problem(http.StatusUnprocessableEntity, "Nothing was changed and the bridge goes on as before; correct the faults and try again.")
		p.Errors = faults
		return p
	case errors.Is(err, ErrUsersElsewhere), errors.Is(err, ErrUserExists):
		return problem(http.StatusConflict, sentence(err))
	case errors.Is(err, ErrUserDiffers):
		return problem(http.StatusPreconditionFailed, sentence(err))
	case errors.Is(err, ErrUncertain), errors.Is(err, ErrNotTakenOver):
		return problem(http.StatusServiceUnavailable, sentence(err))
	}
	return err
}

// mappedPlace reads how many users are asked for, and behind which position.
func mappedPlace(q url.Values) (limit int, after int64, err error) {
	if limit, err = limitOf(q, mappedPage); err != nil {
		return 0, 0, err
	}
	if c := q.Get("cursor"); c != "" {
		if after, err = strconv.ParseInt(c, 10, 64); err != nil || after < 1 {
			return 0, 0, problem(http.StatusBadRequest, "The cursor is not one that this bridge gave; start again without cursor.")
		}
	}
	return limit, after, nil
}

func (h *Handler) listMapped(w http.ResponseWriter, r *request) error {
	limit, after, err := mappedPlace(r.URL.Query())
	if err != nil {
		return err
	}
	ctx, cancel := h.call(r)
	defer cancel()
	users, err := h.opt.Mapping.Page(ctx, after, limit+1)
	if err != nil {
		return refusedUsers(err)
	}
	next := ""
	if len(users) > limit {
		users = users[:limit]
		next = strconv.FormatInt(users[limit-1].Position, 10)
	}
	items := make([]json.RawMessage, len(users))
	for i := range users {
		items[i] = json.RawMessage(users[i].Definition)
	}
	return answerTagged(w, r, listOf(items, next))
}

func (h *Handler) mapped(w http.ResponseWriter, r *request) error {
	if err := h.impossible(r.Context(), userID(r)); err != nil {
		return err
	}
	ctx, cancel := h.call(r)
	defer cancel()
	u, err := h.opt.Mapping.User(ctx, userID(r))
	if err != nil {
		return refusedUsers(err)
	}
	return answerTagged(w, r, json.RawMessage(u.Definition))
}

// putMapped makes a user, or replaces one; with If-None-Match: * it only makes one, and
// with If-Match it only replaces that one.
func (h *Handler) putMapped(w http.ResponseWriter, r *request) error {
	text, fields, err := object(maxBody, w, r, exampleDefinition)
	if err != nil {
		return err
	}
	id := userID(r)
	if said, ok := fields["id"]; !ok {
		text = withID(text, id)
	} else if idOf(said) != id {
		return problem(http.StatusUnprocessableEntity, fmt.Sprintf("id is not %q, as the address says; leave it out, or put the user under its own address.", id))
	}
	change := &UserChange{Put: []Definition{{ID: id, JSON: compact(text)}}, New: r.Header.Get("If-None-Match") == "*", Match: r.Header.Values("If-Match"), By: r.from.actor()}
	done, err := h.change(r, change)
	if err != nil {
		return err
	}
	for _, says := range done.Warnings {
		w.Header().Add(WarningHeader, says)
	}
	status := http.StatusOK
	if done.Added > 0 {
		status = http.StatusCreated
	}
	write(w, status, "application/json", json.RawMessage(change.Put[0].JSON))
	return nil
}

func (h *Handler) removeMapped(w http.ResponseWriter, r *request) error {
	if _, err := h.change(r, &UserChange{Remove: []presence.UserID{userID(r)}, Match: r.Header.Values("If-Match"), By: r.from.actor()}); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// importMapped puts many users, all or none.
func (h *Handler) importMapped(w http.ResponseWriter, r *request) error {
	fields, err := bodyUpTo(maxImport, w, r, exampleImport, "users", "lines", "dry_run")
	if err != nil {
		return err
	}
	var users importList[json.RawMessage]
	var lines importList[int]
	change := &UserChange{Import: true, By: r.from.actor()}
	if err := errors.Join(
		field(fields, "users", &users, "a list of at most 200000 users; import more in pieces"),
		field(fields, "lines", &lines, "a list of numbers, one for each user"),
		field(fields, "dry_run", &change.DryRun, "true or false"),
	); err != nil {
		return err
	}
	if users == nil || lines != nil && len(lines) != len(users) {
		return problem(http.StatusUnprocessableEntity, "users has to be a list of users, and lines, if it is there, the line of each.")
	}
	for i, text := range users {
		var user struct {
			ID json.RawMessage `json:"id"`
		}
		_ = json.Unmarshal(text, &user) // one that is no object is a fault of the mapping
		d := Definition{ID: idOf(user.ID), JSON: compact(text)}
		if lines != nil {
			d.Line = max(lines[i], 0)
		}
		change.Put = append(change.Put, d)
	}
	done, err := h.change(r, change)
	if err != nil {
		return err
	}
	return answer(w, done)
}

func (h *Handler) change(r *request, c *UserChange) (UserChanges, error) {
	ctx, cancel := context.WithTimeout(r.Context(), changeDeadline)
	defer cancel()
	done, err := h.opt.Mapping.Change(ctx, c)
	if err != nil {
		return done, refusedUsers(err)
	}
	return done, nil
}

// importList is a list of JSON of which no more is read than an import may have:
// millions of items would take many times the length of the body.
type importList[T any] []T

// UnmarshalJSON implements json.Unmarshaler.
func (l *importList[T]) UnmarshalJSON(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	switch begin, err := d.Token(); {
	case err != nil || begin == nil:
		return err
	case begin != json.Delim('['):
		return errors.New("no list")
	}
	*l = importList[T]{}
	for d.More() {
		if len(*l) == maxImportUsers {
			return errors.New("too many")
		}
		var item T
		if err := d.Decode(&item); err != nil {
			return err
		}
		*l = append(*l, item)
	}
	return nil
}

// idOf is the id that a definition gives: a text, or a number as it was written.
func idOf(raw json.RawMessage) presence.UserID {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		text = string(raw)
	}
	return presence.UserID(text)
}

// withID puts the id before the other fields of an object.
func withID(text []byte, id presence.UserID) []byte {
	rest := bytes.TrimSpace(bytes.TrimSpace(text)[1:])
	start := append([]byte(`{"id":`), bytes.TrimSpace(encode(id))...)
	if rest[0] != '}' {
		start = append(start, ',')
	}
	return append(start, rest...)
}

// compact is valid JSON without what has no meaning in it, as the store keeps it.
func compact(text []byte) string {
	var b bytes.Buffer
	_ = json.Compact(&b, text) // it was read already
	return b.String()
}
