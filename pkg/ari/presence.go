package ari

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Asterisk reads the line of a request into 4096 bytes (main/http.c:86). This
// leaves room for the method, the version and what an intermediary adds.
const maxAddress = 3900

// Presence is what a presentity shows. The texts are as Asterisk stores them:
// whatever was set, and not always UTF-8.
type Presence struct {
	Presentity string
	State      string // not_set unavailable available away xa chat dnd; "": one that Asterisk cannot read itself
	Subtype    string
	Message    string
}

// Presences asks what presentities show and answers in their order. Asterisk
// evaluates PRESENCE_STATE only for a channel (resource_asterisk.c:804), so the
// first call parks one: half of a Local channel that is never dialled. It rings
// nothing and runs no dialplan, is seen in "core show channels", and is hung up
// when the connection ends. The values are those of the moment when Asterisk
// reads them, some 20 in one request.
func (c *Conn) Presences(ctx context.Context, presentities ...string) ([]Presence, error) {
	for _, p := range presentities {
		if err := checkPresentity(p); err != nil {
			return nil, err
		}
	}
	all := make([]Presence, 0, len(presentities))
	for len(presentities) > 0 {
		query, n := c.question(presentities)
		some, err := c.ask(ctx, query, presentities[:n])
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(some, readable) {
			if err := c.probe(ctx); err != nil {
				return nil, err
			}
		}
		all = append(all, some...)
		presentities = presentities[n:]
	}
	return all, nil
}

// nobody is a presentity that Asterisk knows to be not_set, as nobody sets it.
const nobody = "CustomPresence:presencebridge-nobody"

// probe tells one that Asterisk cannot read, as its entry of AstDB is damaged
// (funcs/func_presencestate.c:105), from an Asterisk that reads none at all.
func (c *Conn) probe(ctx context.Context) error {
	query, _ := c.question([]string{nobody})
	got, err := c.ask(ctx, query, []string{nobody})
	if err == nil && !readable(got[0]) {
		err = fmt.Errorf("presences: %w: none came, as without func_presencestate", ErrMalformed)
	}
	return err
}

func readable(p Presence) bool { return p.State != "" }

// question is what asks for as many of the presentities as fit, and how many.
// The names are validated: nothing in them has a meaning for EVAL.
func (c *Conn) question(presentities []string) (query string, n int) {
	room := maxAddress - len(c.base) - len(c.variables())
	var b strings.Builder
	b.WriteString("variable=" + escape("EVAL("))
	for ; n < len(presentities); n++ {
		p := presentities[n]
		part := escape("${PRESENCE_STATE(" + p + ",value)}|" +
			"${PRESENCE_STATE(" + p + ",subtype,e)}|" +
			"${PRESENCE_STATE(" + p + ",message,e)};")
		if n > 0 && b.Len()+len(part) > room {
			break
		}
		b.WriteString(part)
	}
	b.WriteString(escape(")"))
	return b.String(), n
}

// variables is the path of the channel's variables.
func (c *Conn) variables() string { return "/channels/" + escape(c.channel) + "/variable" }

// ask asks one question, and parks the channel where there is none.
func (c *Conn) ask(ctx context.Context, query string, presentities []string) ([]Presence, error) {
	var got struct{ Value string }
	ask := request{call: "presences", method: http.MethodGet, path: c.variables(), query: query, into: &got}
	c.park() // one may be there from before
	err := c.do(ctx, ask)
	if errors.Is(err, ErrNotFound) {
		if err := c.create(ctx); err != nil {
			return nil, err
		}
		err = c.do(ctx, ask)
	}
	if errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("the channel to read presence on is gone at once, as it is without app_stasis: %w", err)
	}
	if err != nil {
		return nil, err
	}
	return parse(got.Value, presentities)
}

func (c *Conn) park() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.parked = true
}

// create makes the channel. It has one name for each application: a channel
// stays when the connection of its application ends without a hangup (measured),
// and who comes next takes it over. The context of the dialplan need not exist.
func (c *Conn) create(ctx context.Context) error {
	err := c.do(ctx, request{
		call: "a channel to read presence on", method: http.MethodPost, path: "/channels/create",
		query: "endpoint=" + escape("Local/presence@"+c.app) + "&app=" + escape(c.app) + "&channelId=" + escape(c.channel),
	})
	var refused *StatusError
	if errors.As(err, &refused) && refused.Status == http.StatusConflict {
		return nil // somebody was faster
	}
	return err
}

// hangup ends the channel. Who took over the application has the channel too.
func (c *Conn) hangup() {
	c.mu.Lock()
	ours := c.parked && !errors.Is(c.err, ErrReplaced)
	c.mu.Unlock()
	if !ours {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), min(c.timeout, hangupTimeout))
	defer cancel()
	// What it leaves is taken over by the next.
	_ = c.exchange(ctx, request{call: "a hangup", method: http.MethodDelete, path: "/channels/" + escape(c.channel)})
}

// parse reads the answer to a question.
func parse(text string, presentities []string) ([]Presence, error) {
	parts := strings.Split(text, ";")
	if len(parts) != len(presentities)+1 || parts[len(presentities)] != "" {
		return nil, fmt.Errorf("presences: %w: %d were asked for, %d came", ErrMalformed, len(presentities), len(parts)-1)
	}
	all := make([]Presence, len(presentities))
	for i, name := range presentities {
		fields := strings.Split(parts[i], "|")
		if parts[i] != "||" && (len(fields) != 3 || !slices.Contains(states, fields[0])) {
			return nil, fmt.Errorf("presences: %w: what came of %s is no presence", ErrMalformed, name)
		}
		subtype, err1 := base64.StdEncoding.DecodeString(fields[1])
		message, err2 := base64.StdEncoding.DecodeString(fields[2])
		if err1 != nil || err2 != nil {
			return nil, fmt.Errorf("presences: %w: a text of %s is not base64", ErrMalformed, name)
		}
		all[i] = Presence{Presentity: name, State: fields[0], Subtype: string(subtype), Message: string(message)}
	}
	return all, nil
}
