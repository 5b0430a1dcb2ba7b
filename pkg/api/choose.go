package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/message"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// maxBody bounds what a request may send, in bytes.
const maxBody = 64 << 10

// ByHeader tells on whose behalf a local program asks.
const ByHeader = "X-Presencebridge-By"

var (
	byWords   = regexp.MustCompile(`^(cli|(panel|api|integration) [A-Za-z0-9_.@-]{1,64})$`)
	tokenName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}$`) // "..", say, is no part of a path
)

// chosen is a user after a choice.
type chosen struct {
	bridge.User
	Notice string            `json:"notice,omitempty"` // why the user may not show what was chosen
	Told   []message.Message `json:"told,omitempty"`   // the sentences that Notice joins
}

func (h *Handler) choose(w http.ResponseWriter, r *request) error {
	if err := r.from.mayChooseFor(userID(r)); err != nil {
		return err
	}
	c, cut, err := h.choice(w, r)
	if err != nil {
		return err
	}
	c.By, c.TraceParent = r.from.by, traceParent(r)
	ctx, cancel := h.call(r)
	defer cancel()
	u, err := h.bridge.Choose(ctx, userID(r), c)
	if errors.Is(err, bridge.ErrNoStatus) {
		p, _ := problemOf(err)
		p.Detail += " " + h.typesThere()
		return p
	}
	if err != nil {
		return err
	}
	var told []message.Message
	if cut {
		told = append(told, message.Message{
			Text: fmt.Sprintf("The message was cut to %d bytes, which is all that a phone can show.", presence.MaxText),
			Key:  message.As("choice.cut", "bytes", strconv.Itoa(presence.MaxText)),
		})
	}
	if e, err := h.bridge.Explain(ctx, u.ID); err == nil { // it is committed: a missing notice is no failure
		if m := overruled(&u, &c, &e); m.Text != "" {
			told = append(told, m)
		}
	}
	notices := make([]string, len(told))
	for i, m := range told {
		notices[i] = m.Text
	}
	return answer(w, chosen{u, strings.Join(notices, " "), told})
}

// maxTraceParent is more than the header takes in any version that there is.
const maxTraceParent = 128

// traceParent is the trace that a request belongs to, "" if none or several.
func traceParent(r *request) string {
	if all := r.Header.Values("Traceparent"); len(all) == 1 && len(all[0]) <= maxTraceParent {
		return all[0]
	}
	return ""
}

// overruled says why a choice does not show, nothing if it does.
func overruled(u *bridge.User, c *bridge.Choice, e *presence.Explanation) message.Message {
	if !e.Sync {
		return message.Message{Text: "Synchronisation is off for " + u.Name + ", so the phones do not learn of it.", Key: message.As("choice.sync_off", "name", u.Name)}
	}
	decided := u.Status
	if u.Under != nil {
		decided = u.Under
	}
	if decided != nil && decided.Type == c.Type {
		return message.Message{}
	}
	i := slices.IndexFunc(e.Extensions, func(x presence.Reasoning) bool { return x.Won })
	if i < 0 || decided == nil {
		return message.Message{Text: "The choice is kept, but the status is another one.", Key: message.As("choice.another")}
	}
	x := &e.Extensions[i]
	return message.Message{
		Text: fmt.Sprintf("The choice is kept, but %s decides: by the method %q %s, so the status is %s.", x.Extension, e.Incoming, x.Rule, decided.Name),
		Key:  message.As("choice.overruled", "extension", x.Extension.String(), "status", decided.Name),
	}
}

// typesThere is a sentence that lists the status types, as far as it is short.
func (h *Handler) typesThere() string {
	const enough = 20
	var ids []string
	for i, t := range h.bridge.Types() {
		if i == enough {
			ids = append(ids, "and more")
			break
		}
		ids = append(ids, string(t.ID))
	}
	return "There are: " + strings.Join(ids, ", ") + "."
}

// choice reads the body of a choice. cut says that the message was too long.
func (h *Handler) choice(w http.ResponseWriter, r *request) (c bridge.Choice, cut bool, err error) {
	fields, err := body(w, r, exampleChoice, "type", "message", "label", "until")
	if err != nil {
		return c, false, err
	}
	var text string
	if err := field(fields, "type", &c.Type, "the id of a status type"); err != nil {
		return c, false, err
	}
	if err := field(fields, "message", &text, "a text"); err != nil {
		return c, false, err
	}
	if err := field(fields, "label", &c.Label, "a text"); err != nil {
		return c, false, err
	}
	if err := h.until(fields, &c); err != nil {
		return c, false, err
	}
	if c.Type == "" {
		return c, false, problem(http.StatusUnprocessableEntity, "type is missing. "+h.typesThere(), message.As("choice.no_type"))
	}
	c.Message, cut = presence.Plain(text)
	return c, cut, nil
}

// never is an until that keeps a choice open, however long its type lasts.
const never = "never"

// until reads when a choice ends by itself.
func (h *Handler) until(fields map[string]json.RawMessage, c *bridge.Choice) error {
	if string(fields["until"]) == `"`+never+`"` {
		c.Open = true
		return nil
	}
	var until *time.Time
	if err := field(fields, "until", &until, `a time like "2026-11-22T15:04:05Z", "never", or null for as long as such a status lasts`); err != nil {
		return err
	}
	if until == nil {
		return nil
	}
	if !until.After(h.opt.Now()) {
		return problem(http.StatusUnprocessableEntity, "until is over already; give a time in the future, or leave it out.", message.As("choice.over"))
	}
	c.Until = *until
	return nil
}

// body reads a JSON object that may have the fields named.
func body(w http.ResponseWriter, r *request, example string, names ...string) (map[string]json.RawMessage, error) {
	return bodyUpTo(maxBody, w, r, example, names...)
}

func bodyUpTo(most int64, w http.ResponseWriter, r *request, example string, names ...string) (map[string]json.RawMessage, error) {
	_, fields, err := object(most, w, r, example)
	if err != nil {
		return nil, err
	}
	for name := range fields {
		if !slices.Contains(names, name) {
			return nil, problem(http.StatusUnprocessableEntity, fmt.Sprintf("%q is no field of this request; it takes %s.", name, strings.Join(names, ", ")))
		}
	}
	return fields, nil
}

// object reads a JSON object of at most so many bytes.
func object(most int64, w http.ResponseWriter, r *request, example string) (text []byte, fields map[string]json.RawMessage, err error) {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return nil, nil, problem(http.StatusUnsupportedMediaType, "Send JSON, with the header Content-Type: application/json.")
	}
	text, err = io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	if tooLong := (*http.MaxBytesError)(nil); errors.As(err, &tooLong) {
		return nil, nil, problem(http.StatusRequestEntityTooLarge, fmt.Sprintf("Send at most %d bytes.", most), message.As("bridge.long", "most", strconv.FormatInt(most, 10)))
	}
	if err != nil {
		return nil, nil, problem(http.StatusBadRequest, "The request ended early; send it again.", message.As("bridge.early"))
	}
	if !utf8.Valid(text) {
		return nil, nil, problem(http.StatusBadRequest, "The body is not UTF-8; send it in that encoding.")
	}
	var read fieldMap
	switch err := json.Unmarshal(text, &read); {
	case errors.Is(err, errTooManyFields):
		return nil, nil, problem(http.StatusUnprocessableEntity, fmt.Sprintf("The body has more than %d fields; send something like %s.", maxFields, example))
	case err != nil || read == nil:
		return nil, nil, problem(http.StatusBadRequest, "The body is not a JSON object; send something like "+example+".")
	}
	return text, read, nil
}

// maxFields is more than any request takes.
const maxFields = 64

var errTooManyFields = errors.New("too many fields")

// fieldMap is an object of which no more is read than a request may have: millions of
// fields would take many times the length of the body. Of equal names the last one counts.
type fieldMap map[string]json.RawMessage

// UnmarshalJSON implements json.Unmarshaler.
func (f *fieldMap) UnmarshalJSON(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	if begin, err := d.Token(); err != nil || begin != json.Delim('{') {
		return errors.Join(err, errors.New("no object"))
	}
	*f = fieldMap{}
	for n := 0; d.More(); n++ {
		if n == maxFields {
			return errTooManyFields
		}
		name, err := d.Token()
		if err != nil {
			return err
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return err
		}
		(*f)[name.(string)] = value // valid JSON has nothing else there
	}
	return nil
}

const exampleChoice = `{"type": "lunch", "message": "Back at 2", "until": null}`

// field reads one field into v. A missing one leaves v alone.
func field(fields map[string]json.RawMessage, name string, v any, want string) error {
	text, ok := fields[name]
	if !ok {
		return nil
	}
	if err := json.Unmarshal(text, v); err != nil {
		return problem(http.StatusUnprocessableEntity, name+" has to be "+want+".")
	}
	return nil
}
