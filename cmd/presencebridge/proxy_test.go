package main

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/ari"
	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

// proxy passes connections on until it is closed; then it refuses them.
type proxy struct {
	t        *testing.T
	to       string
	listener net.Listener
	tasks    sync.WaitGroup

	mu    sync.Mutex
	shut  bool
	conns map[net.Conn]struct{}
}

func newProxy(t *testing.T, to string) *proxy {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{t: t, to: to, listener: l, conns: map[net.Conn]struct{}{}}
	p.tasks.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.close()
		p.tasks.Wait()
	})
	return p
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

func (p *proxy) accept() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		out, err := net.DialTimeout("tcp", p.to, patience)
		if err != nil || !p.keep(in, out) {
			_ = in.Close()
			continue
		}
		p.tasks.Go(func() { _, _ = io.Copy(in, out); p.cut(in, out) })
		p.tasks.Go(func() { _, _ = io.Copy(out, in); p.cut(in, out) })
	}
}

func (p *proxy) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		if p.shut {
			_ = c.Close()
			continue
		}
		p.conns[c] = struct{}{}
	}
	return !p.shut
}

func (p *proxy) cut(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
		delete(p.conns, c)
	}
}

// close ends all connections and refuses new ones until open.
func (p *proxy) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shut = true
	for c := range p.conns {
		_ = c.Close()
	}
}

func (p *proxy) open() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shut = false
}

// ariProgram is another program that uses ARI.
type ariProgram struct {
	t      *testing.T
	conn   *ari.Conn
	events chan any
}

// listen registers an application with the account "full".
func listen(t *testing.T, pbx pbxtest.PBX, app string) *ariProgram {
	t.Helper()
	p := &ariProgram{t: t, events: make(chan any, 100)}
	account := pbx.User("full")
	conn, err := ari.Open(t.Context(), ari.Config{
		URL: pbx.ARI(), Username: account.Name, Password: ari.NewSecret(account.Secret), App: app, Timeout: patience,
	}, ari.Handler{Event: func(e ari.Event) {
		if u, ok := e.(*ari.ChannelUserevent); ok {
			p.events <- u.Userevent
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	p.conn = conn
	t.Cleanup(func() { _ = conn.Close() })
	return p
}

// next is the next event that reaches it.
func (p *ariProgram) next() any {
	p.t.Helper()
	select {
	case e := <-p.events:
		return e
	case <-time.After(patience):
		p.t.Fatal("no event came")
		return nil
	}
}

// hint tells the bridge that a presence may have changed.
func (p *ariProgram) hint(app, presentity string) {
	p.t.Helper()
	if err := p.conn.UserEvent(p.t.Context(), app, "PresenceStateChange", map[string]string{"Presentity": presentity}); err != nil {
		p.t.Fatal(err)
	}
}
