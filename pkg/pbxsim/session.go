package pbxsim

import (
	"bufio"
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	inbuf       = 1024             // a line and its end must fit (manager.c, get_input)
	authTimeout = 30 * time.Second // for a session that does not log in
	chunk       = 16 << 10         // written at once, under one WriteTimeout
)

// session is one AMI connection: a goroutine that reads and acts, and one that
// writes what was queued.
type session struct {
	pbx  *PBX
	conn net.Conn

	// Guarded by pbx.mu.
	wake      *sync.Cond
	out       []byte // queued, without bound: so does Asterisk
	spare     []byte // the other buffer, while the writer has one
	user      *User  // nil: not logged in
	challenge string
	read      class // the account's rights
	write     class
	mask      class // events wanted, of those it may read
	finish    bool  // close when all is written
	dead      bool  // close now
	budget    int   // bytes it may still send; unlimited
}

func (p *PBX) accept(l net.Listener) {
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
		s := &session{pbx: p, conn: conn, wake: sync.NewCond(&p.mu), budget: p.faults.nextBudget}
		p.faults.nextBudget = unlimited
		p.sessions[s] = struct{}{}
		p.stats.Sessions++
		s.queue([]byte("Asterisk Call Manager/" + p.amiVersion() + "\r\n"))
		ended := p.life.ended
		p.tasks.Go(func() { s.receive(ended) })
		p.tasks.Go(s.transmit)
		p.mu.Unlock()
	}
}

// queue adds to what will be written. The lock is held.
func (s *session) queue(b []byte) {
	s.out = append(s.out, b...)
	s.wake.Broadcast()
}

// cut ends the session without writing what is queued. The lock is held.
func (s *session) cut() {
	s.dead = true
	_ = s.conn.Close() // the peer learns of it, nobody else needs to
	s.wake.Broadcast()
}

// transmit writes until the session ends, and then closes it.
func (s *session) transmit() {
	defer s.forget()
	for {
		b, last := s.next()
		for len(b) > 0 {
			n := min(len(b), chunk)
			if err := s.conn.SetWriteDeadline(time.Now().Add(s.pbx.cfg.WriteTimeout)); err != nil {
				return
			}
			if _, err := s.conn.Write(b[:n]); err != nil {
				s.stalled(err)
				return
			}
			b = b[n:]
		}
		if last {
			return
		}
	}
}

// next waits for something to write, and says whether that is the last.
func (s *session) next() (b []byte, last bool) {
	p := s.pbx
	p.mu.Lock()
	defer p.mu.Unlock()
	for !s.dead && (p.faults.frozen || len(s.out) == 0 && !s.finish && s.budget != 0) {
		s.wake.Wait()
	}
	if s.dead {
		return nil, true
	}
	b, s.out, s.spare = s.out, s.spare[:0], s.out
	if s.budget != unlimited {
		b = b[:min(len(b), s.budget)]
		s.budget -= len(b)
	}
	// Nothing is queued any more after a finish.
	return b, s.finish || s.budget == 0
}

// stalled counts a reader that was too slow; Asterisk logs it off in the middle of a line.
func (s *session) stalled(err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		s.pbx.mu.Lock()
		defer s.pbx.mu.Unlock()
		s.pbx.stats.CutOff++
	}
}

// forget ends the session for both its goroutines.
func (s *session) forget() {
	s.pbx.mu.Lock()
	defer s.pbx.mu.Unlock()
	s.cut()
	delete(s.pbx.sessions, s)
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
