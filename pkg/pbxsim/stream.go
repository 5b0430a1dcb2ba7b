package pbxsim

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

const chunk = 16 << 10 // written at once, under one WriteTimeout

// stream is the writing half of a connection: what is queued under the lock, a
// goroutine writes.
type stream struct {
	pbx  *PBX
	conn net.Conn

	// Guarded by pbx.mu.
	wake   *sync.Cond
	out    []byte // queued, without bound: so does Asterisk
	spare  []byte // the other buffer, while the writer has one
	finish bool   // close when all is written
	dead   bool   // close now
	budget int    // bytes it may still send; unlimited
	frozen bool   // nothing is written for now
}

func newStream(p *PBX, conn net.Conn, budget int) stream {
	return stream{pbx: p, conn: conn, wake: sync.NewCond(&p.mu), budget: budget}
}

// queue adds to what will be written. The lock is held.
func (s *stream) queue(b []byte) {
	s.out = append(s.out, b...)
	s.wake.Broadcast()
}

// cut ends the session without writing what is queued. The lock is held.
func (s *stream) cut() {
	s.dead = true
	_ = s.conn.Close() // the peer learns of it, nobody else needs to
	s.wake.Broadcast()
}

// transmit writes until the connection ends, or its reader was too slow.
func (s *stream) transmit() (tooSlow bool) {
	for {
		b, last := s.next()
		for len(b) > 0 {
			n := min(len(b), chunk)
			if err := s.conn.SetWriteDeadline(time.Now().Add(s.pbx.cfg.WriteTimeout)); err != nil {
				return false
			}
			if _, err := s.conn.Write(b[:n]); err != nil {
				return s.stalled(err)
			}
			b = b[n:]
		}
		if last {
			return false
		}
	}
}

// next waits for something to write, and says whether that is the last.
func (s *stream) next() (b []byte, last bool) {
	p := s.pbx
	p.mu.Lock()
	defer p.mu.Unlock()
	for !s.dead && (p.faults.frozen || s.frozen || len(s.out) == 0 && !s.finish && s.budget != 0) {
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
func (s *stream) stalled(err error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	s.pbx.mu.Lock()
	defer s.pbx.mu.Unlock()
	s.pbx.stats.CutOff++
	return true
}
