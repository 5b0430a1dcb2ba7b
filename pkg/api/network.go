package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Network says where and how the API is served to other machines.
type Network struct {
	Address        string // host:port
	CertFile       string // "": plain HTTP
	KeyFile        string
	MaxConnections int // at a time; more are closed as they come
}

// ListenNetwork opens the listener of those who have a token.
func ListenNetwork(ctx context.Context, n Network, log *zap.Logger) (*Server, error) {
	certificate := &certificate{certFile: n.CertFile, keyFile: n.KeyFile, log: log}
	if n.CertFile != "" {
		if _, err := certificate.get(nil); err != nil {
			return nil, fmt.Errorf("http.tls: %w", err)
		}
	}
	l, err := listenTCP(ctx, "http.listen", n.Address, n.MaxConnections, "raise http.max_connections, or find who keeps them open", log)
	if err != nil {
		return nil, err
	}
	bottom := l.Listener.(*net.TCPListener)
	var top net.Listener = l
	if n.CertFile != "" {
		top = tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: certificate.get})
	}
	// A quarter of the connections is left for who asks, however many listen with one token.
	streams := max(1, n.MaxConnections-n.MaxConnections/4)
	return &Server{listener: top, bottom: bottom, log: log, view: func(h *Handler) http.Handler { return h.network(streams) }}, nil
}

// healthConnections is enough for those who watch a bridge.
const healthConnections = 64

// ListenHealth opens the listener of those who watch the bridge: health and
// metrics, and nothing else, without a token.
func ListenHealth(ctx context.Context, address string, log *zap.Logger) (*Server, error) {
	l, err := listenTCP(ctx, "http.metrics", address, healthConnections, "find who keeps them open", log)
	if err != nil {
		return nil, err
	}
	return &Server{listener: l, bottom: l.Listener.(*net.TCPListener), log: log, view: (*Handler).health}, nil
}

func listenTCP(ctx context.Context, setting, address string, most int, hint string, log *zap.Logger) (*bounded, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("%s: %w: choose a port above 1023, and let a proxy or a firewall lead there from a lower one", setting, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w: end the program that has the address, or choose another one of this machine", setting, err)
	}
	return &bounded{Listener: l, taken: make(chan struct{}, most), log: log.With(zap.String("listener", setting)), hint: hint}, nil
}

// vanished is after how long without an acknowledgement a peer is gone.
const vanished = 30 * time.Second

// fullEvery is how often it is told that there is no room for connections.
const fullEvery = time.Minute

// bounded is a listener with room for so many connections. One that comes while
// there is none is closed: to let it wait would hide why nothing answers.
type bounded struct {
	net.Listener
	taken chan struct{} // one item a connection
	log   *zap.Logger
	hint  string    // what to do where there is no room
	told  time.Time // when there was no room; Accept only
}

// Accept returns the next connection for which there is room.
func (b *bounded) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case b.taken <- struct{}{}:
			giveUp(c, vanished)
			return &boundedConn{Conn: c, leave: sync.OnceFunc(func() { <-b.taken })}, nil
		default:
			_ = c.Close()
			b.full()
		}
	}
}

func (b *bounded) full() {
	if now := time.Now(); now.Sub(b.told) >= fullEvery {
		b.told = now
		b.log.Warn("no room for more connections, so new ones are closed", zap.Int("connections", cap(b.taken)), zap.String("hint", b.hint))
	}
}

type boundedConn struct {
	net.Conn
	leave func()
}

func (c *boundedConn) Close() error {
	err := c.Conn.Close()
	c.leave()
	return err
}
