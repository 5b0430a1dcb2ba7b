package bench

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"net"
	"os"
	"sync"

	"github.com/presencebridge/presencebridge/pkg/ami"
)

// skeleton is the least that a panel does, and so a floor: it parses events, commits those
// that have come meanwhile together, and then shows them as server-sent events. It decides
// nothing, has neither users nor rights, and waits for the slowest of its browsers.
type skeleton struct {
	db   *sql.DB
	wake chan struct{} // of the committer; holds one

	mu      sync.Mutex
	waiting [][4]string // what is not committed yet: presentity, status, subtype, message
	streams []chan []byte
}

// serveSkeleton is a panel as peers/README.md has them, of the PBX at an address.
func serveSkeleton(ctx context.Context, addr string) error {
	db, err := openEvents(ctx, os.Getenv("PEER_DB"))
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	s := &skeleton{db: db, wake: make(chan struct{}, 1)}
	c, err := ami.Open(ctx, ami.Config{Address: addr, Username: "listener", Secret: ami.NewSecret("secret"), Plain: true}, ami.Handler{
		Event: func(e ami.Event) {
			if e.Is("PresenceStateChange") {
				s.take([4]string{string(e.Bytes("Presentity")), string(e.Bytes("Status")), string(e.Bytes("Subtype")), string(e.Bytes("Message"))})
			}
		},
		Malformed: func(err error) { fmt.Fprintln(os.Stderr, err) },
	})
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go func() { // the process ends with it
		for nc, err := l.Accept(); err == nil; nc, err = l.Accept() {
			go s.stream(nc)
		}
	}()
	failed := make(chan error, 2)
	go func() { failed <- s.commit(ctx) }()
	go func() {
		_, err := io.Copy(io.Discard, os.Stdin)
		failed <- err
	}()
	fmt.Println("open", l.Addr(), "none")
	return <-failed
}

// take has an event committed. It never waits.
func (s *skeleton) take(event [4]string) {
	s.mu.Lock()
	s.waiting = append(s.waiting, event)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// commit writes what waits, a transaction each time, and shows it.
func (s *skeleton) commit(ctx context.Context) error {
	insert, err := s.db.PrepareContext(ctx, insertEvent)
	if err != nil {
		return err
	}
	defer func() { _ = insert.Close() }()
	for range s.wake {
		s.mu.Lock()
		events := s.waiting
		s.waiting = nil
		s.mu.Unlock()
		text, err := s.write(ctx, insert, events)
		if err != nil {
			return err
		}
		s.mu.Lock()
		streams := s.streams
		s.mu.Unlock()
		for _, to := range streams {
			to <- text
		}
	}
	return nil
}

// write commits events and returns what browsers are sent of them.
func (s *skeleton) write(ctx context.Context, insert *sql.Stmt, events [][4]string) ([]byte, error) {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback() }() // after the Commit it does nothing
	in := tx.StmtContext(ctx, insert)
	defer func() { _ = in.Close() }()
	var text bytes.Buffer
	for _, e := range events {
		if _, err := in.ExecContext(ctx, e[0], e[1], e[2], e[3]); err != nil {
			return nil, err
		}
		fmt.Fprintf(&text, "data: {\"id\":%q,\"status\":%q,\"subtype\":%q,\"message\":%q,\"saved\":true}\n\n", e[0], e[1], e[2], e[3])
	}
	return text.Bytes(), tx.Commit()
}

// stream sends a browser what is committed from now on.
func (s *skeleton) stream(nc net.Conn) {
	defer func() { _ = nc.Close() }()
	in := bufio.NewReader(nc)
	for line := []byte("GET"); len(line) > len("\r\n"); {
		var err error
		if line, err = in.ReadSlice('\n'); err != nil {
			return
		}
	}
	texts := make(chan []byte, 1024)
	s.mu.Lock()
	s.streams = append(s.streams[:len(s.streams):len(s.streams)], texts)
	s.mu.Unlock()
	_, err := io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nevent: beat\ndata: {}\n\n")
	for text := range texts {
		if err == nil { // who is gone has had enough
			_, err = nc.Write(text)
		}
	}
}
