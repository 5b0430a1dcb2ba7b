package connectortest

import (
	"context"
	"errors"
	"net"
	"sync"
)

// Network dials, and cuts what it dialled. Its zero value is ready.
type Network struct {
	// Base makes the connections; nil: a net.Dialer.
	Base func(ctx context.Context, network, address string) (net.Conn, error)

	mu      sync.Mutex
	open    map[*wire]struct{}
	budgets []int // for the next connections, bytes to be read
	most    int   // bytes read over the newest connection
}

// Dial connects as net.Dialer.DialContext does.
func (n *Network) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	dial := n.Base
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	nc, err := dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	w := &wire{Conn: nc, network: n, left: -1}
	if len(n.budgets) > 0 {
		w.left, n.budgets = n.budgets[0], n.budgets[1:]
	}
	if n.open == nil {
		n.open = make(map[*wire]struct{})
	}
	n.open[w] = struct{}{}
	n.most = 0
	return w, nil
}

// Cut ends all open connections.
func (n *Network) Cut() {
	n.mu.Lock()
	open := n.open
	n.open = nil
	n.mu.Unlock()
	for w := range open {
		_ = w.Conn.Close() // it has nothing to lose
	}
}

// CutAfter ends each of the next connections when so many bytes were read over it.
func (n *Network) CutAfter(bytes ...int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.budgets = append(n.budgets, bytes...)
}

// pending tells how many connections CutAfter still has a limit for.
func (n *Network) pending() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.budgets)
}

// Read tells how many bytes were read over the newest connection.
func (n *Network) Read() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.most
}

// errCut ends a connection that a Network cuts.
var errCut = errors.New("the test cut this connection")

// wire is one connection.
type wire struct {
	net.Conn
	network *Network
	left    int // bytes that may still be read, by its one reader; -1: all
}

func (w *wire) Read(b []byte) (int, error) {
	if w.left == 0 {
		_ = w.Conn.Close()
		return 0, errCut
	}
	if w.left > 0 {
		b = b[:min(len(b), w.left)]
	}
	got, err := w.Conn.Read(b)
	if w.left > 0 {
		w.left -= got
	}
	w.network.mu.Lock()
	defer w.network.mu.Unlock()
	w.network.most += got
	return got, err
}

func (w *wire) Close() error {
	w.network.mu.Lock()
	delete(w.network.open, w)
	w.network.mu.Unlock()
	return w.Conn.Close()
}
