package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"go.uber.org/zap"
)

const (
	// Group may open the unix socket, where the system has it.
	Group = "presencebridge"
	// socketMode lets the owner and the group in; connecting needs write permission.
	socketMode fs.FileMode = 0o660
	// maxSocketPath is the room for a path in sockaddr_un, less the final zero (unix(7)).
	maxSocketPath = 107
	// shutdownWait is how long requests under way may take to end: less than the
	// bridge's own stop needs, so that both together stay within 5 s and a little.
	shutdownWait = time.Second
)

// Server serves the API at one listener.
type Server struct {
	listener net.Listener
	bottom   deadliner // of listener
	log      *zap.Logger
	view     func(*Handler) http.Handler // what is served here, and to whom
}

// Listen opens the unix socket at path. A socket that a killed bridge left behind
// is taken over; one that is alive is an error.
func Listen(ctx context.Context, path string, logger *zap.Logger) (*Server, error) {
	if err := makeWay(ctx, path); err != nil {
		return nil, err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	if err := share(path, Group); err != nil {
		if !errors.Is(err, fs.ErrPermission) {
			_ = l.Close()
			return nil, err
		}
		logger.Warn("socket not given to its group, so only the bridge's own user can use it; add that user to the group", zap.String("group", Group), zap.Error(err))
	}
	return &Server{listener: identified{l}, bottom: l.(*net.UnixListener), log: logger, view: func(h *Handler) http.Handler { return h }}, nil
}

// makeWay makes sure that path can be listened on.
func makeWay(ctx context.Context, path string) error {
	if len(path) > maxSocketPath {
		return fmt.Errorf("the path of the socket %s is longer than %d bytes: set http.socket to a shorter one", path, maxSocketPath)
	}
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return fmt.Errorf("the folder for the socket %s cannot be used: make it, or set http.socket to another path: %w", path, err)
	}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("look at the socket: %w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s is in the way and is no socket: move it, or set http.socket to another path", path)
	}
	dialer := net.Dialer{Timeout: time.Second}
	c, err := dialer.DialContext(ctx, "unix", path)
	if errors.Is(err, syscall.ECONNREFUSED) {
		// Nobody listens: it was left behind by a bridge that was killed.
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("remove the socket that an earlier bridge left behind: %w", err)
		}
		return nil
	}
	if err != nil { // it may be alive and busy
		return fmt.Errorf("it cannot be told whether a program answers on %s: stop it, or remove the file if there is none: %w", path, err)
	}
	defer func() { _ = c.Close() }()
	return fmt.Errorf("another program%s answers on %s: stop it, or set http.socket to another path", peer(c), path)
}

// share lets the group in.
func share(path, group string) error {
	if g, err := user.LookupGroup(group); err == nil {
		gid, err := strconv.Atoi(g.Gid)
		if err != nil {
			return fmt.Errorf("group %s has the odd id %q: %w", group, g.Gid, err)
		}
		if err := os.Chown(path, -1, gid); err != nil {
			return fmt.Errorf("give the socket to group %s: %w", group, err)
		}
	}
	if err := os.Chmod(path, socketMode); err != nil {
		return fmt.Errorf("set the mode of the socket: %w", err)
	}
	return nil
}

// limits bound what a client may take of a server.
type limits struct {
	header   time.Duration // to send the header, and to shake hands for TLS
	request  time.Duration // to send all of it
	answer   time.Duration // to take the answer; an event stream sets its own
	idle     time.Duration // between two requests
	shutdown time.Duration // for requests under way when the server stops
}

func standardLimits() limits {
	return limits{
		header:   5 * time.Second,
		request:  30 * time.Second, // longer than a call of the bridge may take
		answer:   time.Minute,
		idle:     2 * time.Minute,
		shutdown: shutdownWait,
	}
}

// maxHeader bounds the header of a request, in bytes; net/http adds 4 KiB to it.
const maxHeader = 16<<10 - 4<<10

// Run serves h until ctx ends, lets requests under way end, and removes the socket.
func (s *Server) Run(ctx context.Context, h *Handler) error {
	return s.run(ctx, h, s.listener, standardLimits())
}

// RunFirst is Run, but keeps the listener: who connects between two runs waits for the
// second. An error that is not nil means that there can be none.
func (s *Server) RunFirst(ctx context.Context, h *Handler) error {
	if err := s.run(ctx, h, lent{s.listener, s.bottom}, standardLimits()); err != nil {
		return err
	}
	return s.bottom.SetDeadline(time.Time{})
}

// deadliner is a listener whose Accept can be called off.
type deadliner interface{ SetDeadline(t time.Time) error }

// lent is a listener that whoever closes it has given back.
type lent struct {
	net.Listener
	bottom deadliner
}

func (l lent) Close() error { return l.bottom.SetDeadline(time.Unix(1, 0)) }

func (s *Server) run(ctx context.Context, h *Handler, l net.Listener, most limits) error {
	server := &http.Server{
		Handler:           s.view(h),
		ReadHeaderTimeout: most.header,
		ReadTimeout:       most.request,
		WriteTimeout:      most.answer,
		IdleTimeout:       most.idle,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          log.New(serverLog{s.log.Named("http")}, "", 0),
		Protocols:         new(http.Protocols),
		// OPTIONS * is answered here, where it ends the connection, and not to anybody.
		DisableGeneralOptionsHandler: true,
	}
	// HTTP/1 alone: a connection is one request at a time, so that what bounds
	// connections bounds everything.
	server.Protocols.SetHTTP1(true)
	server.RegisterOnShutdown(h.EndStreams)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve on %s: %w", s.listener.Addr(), err)
	case <-ctx.Done():
	}
	wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), most.shutdown)
	defer cancel()
	if err := server.Shutdown(wait); err != nil { // a client that is slow, or says nothing, is no fault of ours
		s.log.Info("requests that did not end were cut", zap.Duration("after", most.shutdown))
		_ = server.Close()
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Addr is where the server listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Close gives the socket back without ever having served.
func (s *Server) Close() error { return s.listener.Close() }

// serverLog takes what net/http says. Who does not get as far as a request is
// somebody's mistake or a scanner, and as many lines as they like.
type serverLog struct{ log *zap.Logger }

func (l serverLog) Write(line []byte) (int, error) {
	text := zap.ByteString("says", bytes.TrimSpace(line))
	if bytes.HasPrefix(line, []byte("http: TLS handshake error")) {
		l.log.Debug("no connection made", text)
	} else {
		l.log.Warn("http server", text)
	}
	return len(line), nil
}
