package ari

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
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
	room := maxAddress - len(c.base) - len(variables(c.note())) - len("-") - markSize
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
func variables(channel string) string { return "/channels/" + escape(channel) + "/variable" }

// ask asks one question, on another channel if the one there was is gone.
func (c *Conn) ask(ctx context.Context, query string, presentities []string) ([]Presence, error) {
	var got struct{ Value string }
	channel, err := c.park(ctx, "")
	for tries := 0; err == nil; tries++ {
		err = c.do(ctx, request{call: "presences", method: http.MethodGet, path: variables(channel), query: query, into: &got})
		if !errors.Is(err, ErrNotFound) {
			break
		}
		if tries == 1 {
			return nil, fmt.Errorf("the channel to read presence on is gone at once, as it is without app_stasis: %w", err)
		}
		channel, err = c.park(ctx, channel)
	}
	if err != nil {
		return nil, err
	}
	return parse(got.Value, presentities)
}

// park returns the channel to read on, and another one than gone: one that a
// connection before this one has left, since a channel stays when the connection of
// its application ends without a hangup (measured), or a new one. The context of the
// dialplan need not exist.
//
// No two channels ever get the same id. An Asterisk that makes one while another with
// its id is being hung up crashes: it makes no second topic of that name and publishes
// to none (main/stasis.c, link_topic_proxy; main/channel.c does not look at the result
// of ast_channel_internal_setup_topics). Seen on 22.10.1.
func (c *Conn) park(ctx context.Context, gone string) (string, error) {
	select {
	case c.parking <- struct{}{}:
		defer func() { <-c.parking }()
	case <-ctx.Done():
		return "", fmt.Errorf("presences: %w", ctx.Err())
	}
	if c.channel != gone {
		return c.channel, nil // somebody was faster
	}
	if gone == "" {
		left, err := c.left(ctx)
		if err != nil {
			return "", err
		}
		if left != "" {
			c.channel = left
			return left, nil
		}
	}
	c.channel = c.note() + "-" + rand.Text()[:markSize]
	// Both before it is there: whatever comes of this, somebody hangs it up.
	err := c.do(ctx, request{
		call: "a note of a channel", method: http.MethodPost, path: "/asterisk/variable",
		form: url.Values{"variable": {c.note()}, "value": {c.channel}},
	})
	if err == nil {
		err = c.do(ctx, request{
			call: "a channel to read presence on", method: http.MethodPost, path: "/channels/create",
			query: "endpoint=" + escape("Local/presence@"+c.app) + "&app=" + escape(c.app) + "&channelId=" + escape(c.channel),
		})
	}
	return c.channel, err
}

// markSize is how many signs tell the channels of an application apart.
const markSize = 10

// note is the global variable of Asterisk that says which channel the application
// had last, and how the ids of its channels begin. An application that is told of all
// channels does not list its own (measured).
func (c *Conn) note() string { return c.app + "-presence" }

// left is the channel that was noted last; "": none. It need not be there any more.
func (c *Conn) left(ctx context.Context) (string, error) {
	var noted struct{ Value string }
	err := c.do(ctx, request{call: "a note of a channel", method: http.MethodGet, path: "/asterisk/variable", query: "variable=" + escape(c.note()), into: &noted})
	mark, ours := strings.CutPrefix(noted.Value, c.note()+"-")
	if err != nil || !ours || len(mark) != markSize || !namePattern.MatchString(mark) {
		return "", err
	}
	return noted.Value, nil
}

// hangup ends the channel. Who took over the application has the channel too.
func (c *Conn) hangup() {
	c.parking <- struct{}{} // its requests are over
	defer func() { <-c.parking }()
	if c.channel == "" || errors.Is(c.Err(), ErrReplaced) {
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
