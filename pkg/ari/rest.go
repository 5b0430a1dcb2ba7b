package ari

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

const (
	maxBody    = 4 << 20 // bytes of an answer; a list of 20,000 endpoints has half of it
	maxRefusal = 4 << 10 // bytes of an answer other than success that are looked at
	maxShown   = 200     // bytes of what the PBX says
)

// request is something to ask of the PBX. Only the methods of Conn make one: they
// are the list of all that can be asked.
type request struct {
	call   string // what it is, for errors
	method string
	path   string // escaped, behind the URL of ARI
	query  string // escaped
	form   url.Values
	json   any
	into   any // where the answer goes; nil: it does not matter
}

// escape makes any text a part of a path or query. Asterisk takes a plus sign for
// a space in both (ast_uri_http_legacy), so that url.PathEscape does not do.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// do asks and waits for the answer, for Config.Timeout. It ends with the
// connection too.
func (c *Conn) do(ctx context.Context, r request) error {
	c.mu.Lock()
	if err := c.err; err != nil {
		c.mu.Unlock()
		return fmt.Errorf("%s: %w", r.call, err)
	}
	c.requests.Add(1)
	c.mu.Unlock()
	defer c.requests.Done()

	bound, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	defer context.AfterFunc(c.life, cancel)()
	err := c.exchange(bound, r)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", r.call, ctx.Err())
	case c.life.Err() != nil:
		return fmt.Errorf("%s: %w", r.call, c.Err())
	case bound.Err() != nil:
		return fmt.Errorf("%s: no answer within %s: %w", r.call, c.timeout, bound.Err())
	default:
		return err
	}
}

// exchange sends a request and reads the answer.
func (c *Conn) exchange(ctx context.Context, r request) error {
	body, kind, err := r.body()
	if err != nil {
		return fmt.Errorf("%s: %w", r.call, err)
	}
	address := c.base + r.path
	if r.query != "" {
		address += "?" + r.query
	}
	req, err := http.NewRequestWithContext(ctx, r.method, address, strings.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s: %w", r.call, c.cause(err))
	}
	req.Header.Set("Authorization", c.authorization.reveal())
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	answer, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("%s: %w", r.call, c.cause(err))
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode/100 != 2 {
		return c.refusal(r.call, answer)
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxBody+1))
	switch {
	case err != nil:
		return fmt.Errorf("%s: read the answer: %w", r.call, c.cause(err))
	case len(text) > maxBody:
		return fmt.Errorf("%s: %w: an answer of more than %d bytes", r.call, ErrMalformed, maxBody)
	case r.into == nil:
		return nil
	case json.Unmarshal(text, r.into) != nil: // its error repeats the answer
		return fmt.Errorf("%s: %w: an answer in other JSON than expected", r.call, ErrMalformed)
	}
	return nil
}

// body returns what the request carries and its type. A variable without a value
// crashes Asterisk 22.10.1 (funcs/func_presencestate.c:214), so none is let out,
// whoever made it.
func (r request) body() (text, kind string, err error) {
	if strings.HasSuffix(r.path, "/variable") && r.method != http.MethodGet && r.form.Get("value") == "" {
		return "", "", errors.New("a variable must have a value")
	}
	switch {
	case r.form != nil:
		return r.form.Encode(), "application/x-www-form-urlencoded", nil
	case r.json != nil:
		b, err := json.Marshal(r.json)
		return string(b), "application/json", err
	default:
		return "", "", nil
	}
}

// refusal makes an error of an answer other than success.
func (c *Conn) refusal(call string, answer *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxRefusal))
	var said struct{ Message string }
	if err != nil || json.Unmarshal(text, &said) != nil {
		said.Message = "" // a page of a web server: the number says enough
	}
	return &StatusError{Call: call, Status: answer.StatusCode, Message: c.printable(said.Message)}
}

// cause reduces an error of net/http to what may be shown: not the URL, and no
// secret, which whoever was sent it may repeat.
func (c *Conn) cause(err error) error {
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err
	}
	text := err.Error()
	switch shown := c.printable(text); {
	case shown == text:
		return err
	case c.redact(text) != text: // nobody is to get at it, by whatever way
		return errors.New(shown)
	default:
		return &brief{shown, err}
	}
}

// brief is an error with a shorter text.
type brief struct {
	text  string
	cause error
}

func (b *brief) Error() string { return b.text }
func (b *brief) Unwrap() error { return b.cause }

// printable takes the secrets out and cuts to a length for people.
func (c *Conn) printable(text string) string {
	text = c.redact(text)
	return strings.ToValidUTF8(text[:min(len(text), maxShown)], "\uFFFD")
}

func (c *Conn) redact(text string) string {
	basic, password := strings.TrimPrefix(c.authorization.reveal(), "Basic "), c.password.reveal()
	quoted := strconv.Quote(password) // as net/http shows what it does not understand
	for _, secret := range []string{basic, password, quoted[1 : len(quoted)-1]} {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, redacted)
		}
	}
	return text
}
