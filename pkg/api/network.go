package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
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
	l, err := listenTCP(ctx, "http.listen", n.Address, n.MaxConnections, log)
	if err != nil {
		return nil, err
	}
	if n.CertFile != "" {
		l = tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: certificate.get})
	}
	return &Server{listener: l, log: log, view: (*Handler).network}, nil
}

// healthConnections is enough for those who watch a bridge.
const healthConnections = 64

// ListenHealth opens the listener of those who watch the bridge: health and
// metrics, and nothing else, without a token.
func ListenHealth(ctx context.Context, address string, log *zap.Logger) (*Server, error) {
	l, err := listenTCP(ctx, "http.metrics", address, healthConnections, log)
	if err != nil {
		return nil, err
	}
	return &Server{listener: l, log: log, view: (*Handler).health}, nil
}

func listenTCP(ctx context.Context, setting, address string, most int, log *zap.Logger) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("%s: %w: choose a port above 1023, and let a proxy or a firewall lead there from a lower one", setting, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w: end the program that has the address, or choose another one of this machine", setting, err)
	}
	return &bounded{Listener: l, taken: make(chan struct{}, most), log: log.With(zap.String("listener", setting))}, nil
}

// fullEvery is how often it is told that there is no room for connections.
const fullEvery = time.Minute

// bounded is a listener with room for so many connections. One that comes while
// there is none is closed: to let it wait would hide why nothing answers.
type bounded struct {
	net.Listener
	taken chan struct{} // one item a connection
	log   *zap.Logger
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
		b.log.Warn("no room for more connections, so new ones are closed; raise http.max_connections, or find who keeps them open", zap.Int("connections", cap(b.taken)))
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
