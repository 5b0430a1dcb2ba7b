package connectortest

import (
	"context"
	"errors"
	"net"
	"sync"
)

// Exchange connects dialers with the listener of the moment, in memory: its
// connections hold nothing, so that whoever does not read is noticed at once, and a
// synctest bubble sees that everybody waits. Its zero value is ready.
type Exchange struct {
	mu   sync.Mutex
	line *pipes // nil: nobody ever listened
}

// Listen makes a listener, whatever the address.
func (x *Exchange) Listen(string) (net.Listener, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.line = &pipes{calls: make(chan net.Conn), closed: make(chan struct{})}
	return x.line, nil
}

// Dial connects to the newest listener, whatever the address.
func (x *Exchange) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	x.mu.Lock()
	line := x.line
	x.mu.Unlock()
	near, far := net.Pipe()
	select {
	case line.calls <- far:
		return near, nil
	case <-line.closed:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// pipes is a listener in memory.
type pipes struct {
	calls  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.calls:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 5038} }
