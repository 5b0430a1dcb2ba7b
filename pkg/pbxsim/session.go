package pbxsim

import (
	"bufio"
	"context"
	"errors"
	"net"
	"strings"
	"time"
)

const (
	inbuf       = 1024             // a line and its end must fit (manager.c, get_input)
	authTimeout = 30 * time.Second // for a session that does not log in
)

// session is one AMI connection: a goroutine that reads and acts, and one that
// writes what was queued.
type session struct {
	stream

	// Guarded by pbx.mu.
	user      *User // nil: not logged in
	challenge string
	read      class // the account's rights
	write     class
	mask      class // events wanted, of those it may read
}

// accept serves who connects, until the listener is closed. It holds mu when it calls serve, and p lives.
func (p *PBX) accept(l net.Listener, serve func(net.Conn)) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return // closed by die
		}
		p.mu.Lock()
		if p.life == nil {
			p.mu.Unlock()
			_ = conn.Close()
			return
		}
		serve(conn)
		p.mu.Unlock()
	}
}

func (p *PBX) serveAMI(conn net.Conn) {
	s := &session{stream: newStream(p, conn, p.faults.nextBudget)}
	p.faults.nextBudget = unlimited
	p.sessions[s] = struct{}{}
	p.stats.Sessions++
	s.queue([]byte("Asterisk Call Manager/" + p.amiVersion() + "\r\n"))
	ended := p.life.ended
	p.tasks.Go(func() { s.receive(ended) })
	p.tasks.Go(func() {
		s.transmit()
		p.forget(s)
	})
}

// receive reads actions and performs them one after the other.
func (s *session) receive(ended context.Context) {
	r := bufio.NewReaderSize(s.conn, inbuf)
	_ = s.conn.SetReadDeadline(time.Now().Add(authTimeout)) // a dead connection shows at the read
	for {
		a, err := readAction(r)
		if err != nil {
			s.pbx.mu.Lock()
			s.finish = true
			s.wake.Broadcast()
			s.pbx.mu.Unlock()
			return
		}
		if refused := s.perform(a); refused {
			s.refuseLogin(ended, a)
			return
		}
	}
}

// refuseLogin answers late, as Asterisk does, and ends the session.
func (s *session) refuseLogin(ended context.Context, a action) {
	if s.pbx.cfg.RefusalDelay > 0 {
		select {
		case <-ended.Done():
		case <-time.After(s.pbx.cfg.RefusalDelay):
		}
	}
	s.pbx.mu.Lock()
	defer s.pbx.mu.Unlock()
	s.failure(a, "Authentication failed")
	s.finish = true
}

// action is a received message: header lines, names as they came.
type action struct {
	headers []string
	tooLong bool // a line was, and is not among the headers
}

// header returns the first value of a header, or "".
func (a action) header(name string) string {
	for _, h := range a.headers {
		if key, value, ok := strings.Cut(h, ":"); ok && strings.EqualFold(key, name) {
			return strings.TrimLeft(value, " \t")
		}
	}
	return ""
}

// readAction reads up to the blank line.
func readAction(r *bufio.Reader) (a action, err error) {
	for {
		line, tooLong, err := readLine(r)
		if err != nil {
			return action{}, err
		}
		a.tooLong = a.tooLong || tooLong
		if line == "" {
			return a, nil
		}
		a.headers = append(a.headers, line)
	}
}

// readLine reads one line. Of one that overflows the buffer Asterisk keeps the
// last byte, which may be half of the line's end, and goes on with that: so a
// line of 1023 bytes seems to be followed by a blank one.
func readLine(r *bufio.Reader) (line string, tooLong bool, err error) {
	for {
		b, err := r.ReadSlice('\n')
		if !errors.Is(err, bufio.ErrBufferFull) {
			text := strings.TrimSuffix(string(b), "\n")
			return strings.TrimSuffix(text, "\r"), tooLong, err
		}
		tooLong = true
		if err := r.UnreadByte(); err != nil {
			return "", true, err
		}
	}
}

// forget ends a session for both its goroutines.
func (p *PBX) forget(s *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.cut()
	delete(p.sessions, s)
}
