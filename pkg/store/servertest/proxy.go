package servertest

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"
)

// Proxy is a network between a bridge and its server that can be cut.
type Proxy struct {
	t        testing.TB
	listener net.Listener
	to       string
	carriers sync.WaitGroup

	mu    sync.Mutex
	delay time.Duration
	cut   chan struct{} // nil: bytes pass; closed when they do again
	conns []net.Conn
}

// NewProxy is a way to address until the test ends.
func NewProxy(t testing.TB, address string) *Proxy {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{t: t, listener: l, to: address}
	p.carriers.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

// Address is where a bridge connects to.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

// Cut holds back every byte from now on, as a network does that drops packets:
// nobody is told.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut == nil {
		p.cut = make(chan struct{})
	}
}

// Heal lets everything pass again, what was held back first.
func (p *Proxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut != nil {
		close(p.cut)
		p.cut = nil
	}
}

// Slow makes every answer of the server come later by d.
func (p *Proxy) Slow(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

func (p *Proxy) close() {
	p.Heal()
	_ = p.listener.Close()
	p.mu.Lock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.carriers.Wait()
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := new(net.Dialer).DialContext(context.Background(), "tcp", p.to)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, client, server)
		p.mu.Unlock()
		p.carriers.Go(func() { p.carry(client, server, false) })
		p.carriers.Go(func() { p.carry(server, client, true) })
	}
}

// carry copies until one side closes.
func (p *Proxy) carry(from, to net.Conn, answers bool) {
	defer func() { _, _ = from.Close(), to.Close() }()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		p.pass(answers)
		if err != nil {
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// pass waits while the network is cut, and for as long as an answer takes.
func (p *Proxy) pass(answer bool) {
	p.mu.Lock()
	cut, delay := p.cut, p.delay
	p.mu.Unlock()
	if answer {
		time.Sleep(delay)
	}
	if cut != nil {
		<-cut
	}
}
