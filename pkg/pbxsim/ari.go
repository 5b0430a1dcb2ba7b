package pbxsim

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// maxLine is of a line of a request with its end; a longer one is refused (http.c:86).
const maxLine = 4095

// maxBody is of the body of a request (http.c, MAX_CONTENT).
const maxBody = 40960

// ariConn is one connection to the HTTP server: requests one after the other,
// and after an upgrade the events of its applications.
type ariConn struct {
	stream
	socket bool // it is a websocket; guarded by pbx.mu
	mute   bool // a websocket whose reader was too slow; guarded by pbx.mu
	undead bool // and whose client pinged it then; guarded by pbx.mu
}

// startARI opens the port of ARI in the life that begins. The lock is held.
func (p *PBX) startARI() (net.Listener, error) {
	if !p.cfg.ARI {
		return nil, nil
	}
	l, err := p.cfg.ListenARI(p.ariAddr)
	if err != nil {
		return nil, fmt.Errorf("simulated Asterisk, ARI: %w", err)
	}
	p.ariAddr = l.Addr().String()
	p.ari = newARI()
	return l, nil
}

// ARI is where ARI answers, http://host:port/ari; "" without Config.ARI.
func (p *PBX) ARI() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.cfg.ARI {
		return ""
	}
	return "http://" + p.ariAddr + "/ari"
}

func (p *PBX) serveARI(conn net.Conn) {
	c := &ariConn{stream: newStream(p, conn, unlimited)}
	p.ari.conns[c] = struct{}{}
	p.tasks.Go(c.receive)
	ended := p.life.ended
	p.tasks.Go(func() {
		if tooSlow := c.transmit(); tooSlow {
			c.stall(ended)
		}
		c.leave()
	})
}

// stall is what becomes of a websocket whose reader was too slow, its last frame
// torn. Asterisk tries to say why (res_http_websocket.c:335). Where that still
// fits into the connection, its four bytes are taken for part of the frame, and
// nothing is said any more, not even a pong, until the client goes; where not,
// the connection is closed. Both were seen of both releases. Here it is always
// the silence, which is harder to notice; CutARI has the other end. Once a ping
// came into the silence, Asterisk does not even see the client go: only a newer
// websocket takes the application over.
func (c *ariConn) stall(ended context.Context) {
	c.pbx.mu.Lock()
	defer c.pbx.mu.Unlock()
	c.mute = c.socket
	for c.mute && !c.dead && (c.undead || !c.finish) && ended.Err() == nil {
		c.wake.Wait()
	}
}

// leave is the end of a connection for both its goroutines.
func (c *ariConn) leave() {
	c.pbx.mu.Lock()
	defer c.pbx.mu.Unlock()
	c.cut()
	delete(c.pbx.ari.conns, c)
	c.pbx.deactivate(c)
}

// receive reads requests until one becomes a websocket, and then its frames.
func (c *ariConn) receive() {
	defer func() {
		c.pbx.mu.Lock()
		defer c.pbx.mu.Unlock()
		c.finish = true
		c.wake.Broadcast()
	}()
	br := bufio.NewReaderSize(c.conn, maxLine+1)
	for more := true; more; {
		r, err := readRequest(br)
		var refusal answer
		if err != nil && !errors.As(err, &refusal) || !c.pause() {
			return
		}
		more = err == nil && !r.has("Connection", "close")
		switch {
		case err != nil:
			c.reply(refusal, more)
		case !r.isSocket():
			c.reply(c.pbx.perform(r), more)
		case c.upgrade(r):
			c.frames(br)
			return
		}
	}
}

// pause waits as long as a test wants answers late; false: the end came first.
func (c *ariConn) pause() bool {
	p := c.pbx
	p.mu.Lock()
	defer p.mu.Unlock()
	for (p.faults.frozen || p.faults.ariFrozen) && !c.dead && p.life != nil {
		c.wake.Wait()
	}
	if d := p.faults.ariDelay; d > 0 && p.life != nil {
		ended := p.life.ended
		p.mu.Unlock()
		select {
		case <-ended.Done():
		case <-time.After(d):
		}
		p.mu.Lock()
	}
	return !c.dead && p.life != nil
}

// reply queues an answer as Asterisk writes it.
func (c *ariConn) reply(a answer, more bool) {
	p := c.pbx
	b := fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nServer: Asterisk/%s\r\nDate: %s\r\n",
		a.status, a.reason(), p.cfg.Version, time.Now().UTC().Format(http.TimeFormat))
	if !more {
		b = append(b, "Connection: close\r\n"...)
	}
	b = append(append(b, "Cache-Control: no-cache, no-store\r\n"...), a.header...)
	if a.body != "" {
		b = append(append(append(b, "Content-type: "...), a.kind()...), "\r\n"...)
	}
	b = fmt.Appendf(b, "Content-Length: %d\r\n\r\n%s", len(a.body), a.body)
	p.mu.Lock()
	defer p.mu.Unlock()
	c.queue(b)
	if !more {
		c.finish = true
	}
}

// request is what a client asks for.
type request struct {
	method string
	path   string
	query  url.Values
	header http.Header
	body   []byte
}

// is tells whether the body is of a kind.
func (r request) is(kind string) bool {
	got, _, _ := strings.Cut(r.header.Get("Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(got), kind)
}

func (r request) has(header, word string) bool {
	for _, line := range r.header.Values(header) {
		for w := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(w), word) {
				return true
			}
		}
	}
	return false
}

// readRequest reads a whole request; an error may be an answer.
func readRequest(br *bufio.Reader) (r request, err error) {
	line, err := requestLine(br, "Request line too long")
	if err != nil {
		return r, err
	}
	var target string
	r.method, target, _ = strings.Cut(line, " ")
	target, _, _ = strings.Cut(target, " ")
	path, query, _ := strings.Cut(target, "?")
	r.path, r.query, r.header = path, parseQuery(query), make(http.Header)
	for {
		line, err := requestLine(br, "Header line too long")
		if err != nil {
			return r, err
		}
		if line == "" {
			break
		}
		if name, value, ok := strings.Cut(line, ":"); ok {
			r.header.Add(name, strings.TrimSpace(value))
		}
	}
	n, _ := strconv.Atoi(r.header.Get("Content-Length")) // none: 0
	if n < 0 || n > maxBody {
		return r, page(http.StatusRequestEntityTooLarge, "Body is too large")
	}
	r.body = make([]byte, n)
	for read := 0; read < n; {
		m, err := br.Read(r.body[read:])
		if err != nil {
			return r, err
		}
		read += m
	}
	return r, nil
}

func requestLine(br *bufio.Reader, tooLong string) (string, error) {
	b, err := br.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull) || len(b) > maxLine:
		return "", page(http.StatusBadRequest, tooLong)
	case err != nil:
		return "", err
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}

// parseQuery takes what net/url refuses, a raw semicolon for one: the forms that
// read presence in batches have them.
func parseQuery(query string) url.Values {
	v := make(url.Values)
	for pair := range strings.SplitSeq(query, "&") {
		if name, value, _ := strings.Cut(pair, "="); name != "" {
			v.Add(unquote(name), unquote(value))
		}
	}
	return v
}

func unquote(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil {
		return plain
	}
	return s
}

// account finds out who asks; the password is in a header or in the query.
func (p *PBX) account(r request) (User, bool) {
	pair := r.query.Get("api_key")
	if basic, ok := strings.CutPrefix(r.header.Get("Authorization"), "Basic "); ok {
		plain, err := base64.StdEncoding.DecodeString(basic)
		if err != nil {
			return User{}, false
		}
		pair = string(plain)
	}
	name, secret, _ := strings.Cut(pair, ":")
	u, ok := p.user(name)
	return u, ok && secret != "" && secret == u.Secret
}
