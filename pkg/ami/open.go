package ami

import (
	"context"
	"crypto/md5" //nolint:gosec // Asterisk knows no other challenge; TLS is for networks that are not trusted
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

const (
	defaultTimeout = 5 * time.Second
	defaultEvents  = "system,call" // system for FullyBooted, call for presence

	// Asterisk never closes an idle session and sends no keepalive itself, so a
	// connection whose other half is gone would stay for ever.
	userTimeout       = 20 * time.Second
	keepAliveIdle     = 10 * time.Second
	keepAliveInterval = 5 * time.Second
	keepAliveCount    = 2
)

// Open connects and logs in. When ctx ends before it is done it gives up.
func Open(ctx context.Context, cfg Config, h Handler) (*Conn, error) {
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.Events == "" {
		cfg.Events = defaultEvents
	}
	nc, err := connect(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("ami connect to %s: %w", cfg.Address, err)
	}
	c := &Conn{
		nc:      nc,
		timeout: cfg.Timeout,
		prefix:  rand.Text() + "-",
		greeted: make(chan struct{}),
		over:    make(chan struct{}),
		timed:   cfg.Timed,
	}
	c.deadline = time.Now().Add(c.timeout)
	_ = nc.SetReadDeadline(c.deadline)
	go c.read(h) // ended by Close or the connection; waited for through c.over
	if err := c.enter(ctx, cfg); err != nil {
		c.end(nil)
		<-c.over
		return nil, fmt.Errorf("ami login to %s as %q: %w", cfg.Address, cfg.Username, err)
	}
	return c, nil
}

// connect dials and, if asked, shakes hands.
func connect(ctx context.Context, cfg Config) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	dial := cfg.Dial
	if dial == nil {
		dialer := net.Dialer{
			KeepAliveConfig: net.KeepAliveConfig{
				Enable: true, Idle: keepAliveIdle, Interval: keepAliveInterval, Count: keepAliveCount,
			},
			Control: setUserTimeout,
		}
		dial = dialer.DialContext
	}
	nc, err := dial(ctx, "tcp", cfg.Address)
	if err != nil || cfg.TLS == nil {
		return nc, err
	}
	settings := cfg.TLS.Clone()
	if settings.ServerName == "" {
		settings.ServerName, _, _ = net.SplitHostPort(cfg.Address)
	}
	secure := tls.Client(nc, settings)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = nc.Close()
		return nil, fmt.Errorf("handshake: %w", err)
	}
	return secure, nil
}

// enter waits for the greeting and logs in.
func (c *Conn) enter(ctx context.Context, cfg Config) error {
	select {
	case <-c.greeted:
	case <-c.over:
		return c.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
	credentials := []string{"Secret", cfg.Secret.reveal()}
	if !cfg.Plain {
		key, err := c.challenge(ctx, cfg.Secret)
		if err != nil {
			return err
		}
		credentials = []string{"AuthType", "MD5", "Key", key}
	}
	login, err := newAction("Login", append([]string{"Username", cfg.Username, "Events", cfg.Events}, credentials...)...)
	if err != nil {
		return err
	}
	_, err = c.Do(ctx, login)
	var refused *ResponseError
	if errors.As(err, &refused) {
		// Whoever was sent the secret may repeat it.
		if secret := cfg.Secret.reveal(); secret != "" {
			refused.Message = strings.ReplaceAll(refused.Message, secret, redacted)
		}
	}
	if refused != nil && !passing(refused.Message) {
		return fmt.Errorf("%w: %w", ErrAuth, err)
	}
	return err
}

// challenge returns the key that proves the secret without sending it. MD5 is
// what Asterisk has (main/manager.c:2291); only TLS protects the rest.
func (c *Conn) challenge(ctx context.Context, secret Secret) (string, error) {
	ask, err := newAction("Challenge", "AuthType", "MD5")
	if err != nil {
		return "", err
	}
	response, err := c.Do(ctx, ask)
	if err != nil {
		return "", err
	}
	challenge := response.Get("Challenge")
	if challenge == "" {
		return "", errors.New("the PBX sent an empty challenge")
	}
	sum := md5.Sum([]byte(challenge + secret.reveal())) //nolint:gosec // see the import
	return hex.EncodeToString(sum[:]), nil
}

// passing tells whether a login was refused for a reason that says nothing
// about the account and goes away by itself (main/manager.c:7134).
func passing(message string) bool {
	return strings.EqualFold(message, "Login Already In Use") || strings.Contains(message, "shutting down")
}
