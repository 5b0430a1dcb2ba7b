package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/presencebridge/presencebridge/config"
	"github.com/presencebridge/presencebridge/pkg/api"
	"github.com/presencebridge/presencebridge/pkg/bridge"
)

const (
	answerWait = time.Minute // for a whole answer; the bridge gives up before
	// silence is how long an event stream may say nothing: three heartbeats.
	silence  = 45 * time.Second
	maxEvent = 16 << 20 // bytes of one event: a user with very many extensions

	defaultSocket = "presencebridge.sock"
	runFolder     = "/run/presencebridge" // RUNTIME_DIRECTORY of the unit, which only the bridge itself is told
)

// client talks to the running bridge.
type client struct {
	path string // of the socket
	by   string // on whose behalf, as api.ByHeader wants it
	http *http.Client
}

// client finds the running bridge.
func (m *Main) client() (*client, error) {
	path, err := m.socketPath()
	if err != nil {
		return nil, &exit{exitWrong, err}
	}
	return dial(path, "cli"), nil
}

func dial(path, by string) *client {
	return &client{path, by, &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, // a command asks once or twice
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "unix", path)
		},
	}}}
}

// socketPath finds the socket. It reads nothing of the configuration but the
// socket's name: who may use the bridge need not be able to read its secrets, and
// `status` has to work while somebody is half-way through an edit.
func (m *Main) socketPath() (string, error) {
	if m.socket != "" {
		return m.socket, nil
	}
	file, findErr := config.Find(m.config)
	name := m.Env("PRESENCEBRIDGE_HTTP_SOCKET")
	if name == "" && findErr == nil {
		var err error
		if name, err = socketIn(file); err != nil {
			return "", err
		}
	}
	if name == "" {
		name = defaultSocket
	}
	if filepath.IsAbs(name) {
		return name, nil
	}
	beside, run := filepath.Join(filepath.Dir(file), name), filepath.Join(runFolder, name)
	for _, path := range []string{beside, run} {
		if _, err := os.Stat(path); findErr == nil && err == nil || path == run && !errors.Is(err, fs.ErrNotExist) {
			return path, nil
		}
	}
	if findErr != nil {
		return "", fmt.Errorf("%w, or the socket of the bridge with --socket PATH", findErr)
	}
	return beside, nil
}

// socketIn returns what a configuration says of the socket, "" if nothing.
func socketIn(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read the configuration, which tells where the bridge is (--socket PATH does too): %w", err)
	}
	var c struct {
		HTTP struct {
			Socket string `yaml:"socket"`
		} `yaml:"http"`
	}
	if err := yaml.Unmarshal(text, &c); err != nil {
		return "", fmt.Errorf("%s cannot be read (presencebridge check tells why), so name the socket with --socket PATH", file)
	}
	return c.HTTP.Socket, nil
}

// userPath is the address of a user, and of what belongs to it.
func userPath(id, rest string) string { return "/api/v1/users/" + url.PathEscape(id) + rest }

// get reads one thing.
func (c *client) get(ctx context.Context, path string, v any) error {
	return c.do(ctx, http.MethodGet, path, nil, v)
}

// readiness is what a bridge says of itself under /readyz.
type readiness struct {
	Ready    bool     `json:"ready"`
	Reasons  []string `json:"reasons"`  // why not
	Warnings []string `json:"warnings"` // what is wrong all the same
}

// readiness asks a bridge how it is. Not to be ready is an answer, too.
func (c *client) readiness(ctx context.Context) (is readiness, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://presencebridge/readyz", nil)
	if err != nil {
		return is, err
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return is, c.unreachable(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if err := json.NewDecoder(io.LimitReader(answer.Body, 1<<20)).Decode(&is); err != nil {
		return is, fmt.Errorf("what listens at %s is no bridge of this version", c.path)
	}
	return is, nil
}

// page is one page of a list.
type page[T any] struct {
	Items []T     `json:"items"`
	Next  *string `json:"next"`
}

// all reads every page of a list.
func all[T any](ctx context.Context, c *client, path string) ([]T, error) {
	items := []T{}
	for at := path; ; {
		var p page[T]
		if err := c.get(ctx, at, &p); err != nil {
			return nil, err
		}
		items = append(items, p.Items...)
		if p.Next == nil {
			return items, nil
		}
		at = path + "?cursor=" + url.QueryEscape(*p.Next)
	}
}

// do sends one request and reads the answer into v, unless v is nil.
func (c *client) do(ctx context.Context, method, path string, body, v any) error {
	return c.doWith(ctx, method, path, nil, body, v)
}

// doWith is do with a header.
func (c *client) doWith(ctx context.Context, method, path string, header http.Header, body, v any) error {
	_, err := c.doWhole(ctx, method, path, header, body, v)
	return err
}

// getTagged reads v, and the tag by which a change of it says that it means this one.
func (c *client) getTagged(ctx context.Context, path string, v any) (tag string, err error) {
	header, err := c.doWhole(ctx, http.MethodGet, path, nil, nil, v)
	return header.Get("ETag"), err
}

// doWhole is doWith, and returns the header of the answer.
func (c *client) doWhole(ctx context.Context, method, path string, header http.Header, body, v any) (http.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return nil, &exit{exitFailed, fmt.Errorf("write the request: %w", err)}
		}
	}
	answer, err := c.send(ctx, method, path, text, header)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	if v == nil {
		return answer.Header, nil
	}
	if err := json.NewDecoder(answer.Body).Decode(v); err != nil {
		return nil, &exit{exitFailed, fmt.Errorf("the bridge at %s sent what this version does not understand; use the presencebridge that runs there: %w", c.path, err)}
	}
	return answer.Header, nil
}

// send returns a good answer, whose body the caller closes.
func (c *client) send(ctx context.Context, method, path string, body []byte, header http.Header) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, "http://presencebridge"+path, bytes.NewReader(body))
	if err != nil {
		return nil, &exit{exitFailed, fmt.Errorf("make the request: %w", err)}
	}
	for name := range header {
		r.Header.Set(name, header.Get(name))
	}
	r.Header.Set(api.ByHeader, c.by)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return nil, c.unreachable(err)
	}
	if answer.StatusCode >= http.StatusBadRequest {
		defer func() { _ = answer.Body.Close() }()
		return nil, refusal(answer)
	}
	return answer, nil
}

// unreachable says why the bridge cannot be talked to and what to do.
func (c *client) unreachable(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		err = fmt.Errorf("you may not use the socket %s: join its group (sudo usermod -aG %s $USER, then sign in again), or use sudo", c.path, api.Group)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		err = fmt.Errorf("no bridge runs at %s: start it with systemctl start presencebridge, or presencebridge run", c.path)
	case errors.Is(err, context.DeadlineExceeded):
		err = fmt.Errorf("the bridge at %s did not answer in time: look at its log", c.path)
	default:
		err = fmt.Errorf("talk to the bridge at %s (is it one? it may just have stopped): %w", c.path, err)
	}
	return &exit{exitUnreachable, err}
}

// refusal is the problem that the bridge answered with.
func refusal(answer *http.Response) error {
	var p api.Problem
	if err := json.NewDecoder(io.LimitReader(answer.Body, 1<<20)).Decode(&p); err != nil || p.Detail == "" {
		p.Detail = "the bridge answered " + answer.Status
	}
	return &exit{exitFailed, &p}
}

// feed is what follow calls.
type feed struct {
	opened func() error // the stream has begun
	item   func(bridge.FeedItem) error
}

// follow reads events, those after last first, until something fails: ctx, the
// connection, or f.
func (c *client) follow(ctx context.Context, last uint64, f feed) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	alive := time.AfterFunc(silence, cancel)
	defer alive.Stop()
	answer, err := c.send(ctx, http.MethodGet, "/api/v1/events", nil, http.Header{"Last-Event-Id": {strconv.FormatUint(last, 10)}})
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if err := f.opened(); err != nil {
		return err
	}
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, maxEvent)
	var item bridge.FeedItem
	for lines.Scan() {
		alive.Reset(silence)
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch name {
		case "id":
			item.ID, err = strconv.ParseUint(value, 10, 64)
		case "event":
			item.Gone, item.Reset = value == "gone", value == "reset"
		case "data":
			item.User = new(bridge.User)
			if err = json.Unmarshal([]byte(value), item.User); err == nil {
				err = f.item(item)
			}
		}
		if err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return c.unreachable(err)
	}
	return &exit{exitUnreachable, fmt.Errorf("the bridge at %s ended the connection", c.path)}
}
