package ari

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coder/websocket"
)

const (
	defaultTimeout = 5 * time.Second
	defaultQueue   = 4096

	// Asterisk closes an idle HTTP session after 15 s (session_keep_alive of
	// http.conf): we are faster, so that no request meets the end of one.
	idleTimeout = 10 * time.Second

	maxConns   = 4        // at once for requests; http.conf's sessionlimit is 100 for all
	maxHeaders = 64 << 10 // bytes of an answer's

	// The kernel's part in noticing that the other half is gone; see ping.
	userTimeout       = 20 * time.Second
	keepAliveIdle     = 10 * time.Second
	keepAliveInterval = 5 * time.Second
	keepAliveCount    = 2
)

var defaultEvents = []string{
	"DeviceStateChanged", "EndpointStateChange", "ContactStatusChange", "PeerStatusChange", "ChannelUserevent",
}

// Open registers the application and asks for its events. When ctx ends before
// it is done it gives up.
func Open(ctx context.Context, cfg Config, h Handler) (*Conn, error) {
	base, err := check(&cfg)
	if err != nil {
		return nil, err
	}
	c := newConn(cfg, base)
	if err := c.connect(ctx, cfg); err != nil {
		c.stop()
		return nil, fmt.Errorf("ari connect to %s as %q: %w", base.Host, cfg.Username, err)
	}
	go c.run(h) // ended by Close or the connection; waited for through c.over
	if err := c.filter(ctx, cfg.Events); err != nil {
		c.end(nil)
		<-c.over
		return nil, fmt.Errorf("ari application %s at %s as %q: %w", cfg.App, base.Host, cfg.Username, err)
	}
	return c, nil
}

// check fills in defaults and refuses what cannot work.
func check(cfg *Config) (*url.URL, error) {
	base, err := url.Parse(cfg.URL)
	switch {
	case err != nil, base.Host == "", base.Scheme != "http" && base.Scheme != "https",
		base.User != nil, base.RawQuery != "", base.ForceQuery, base.Fragment != "":
		return nil, errors.New("the URL of ARI is not of the form http://host:8088/ari or https://host:8089/ari")
	case base.Scheme == "http" && cfg.TLS != nil:
		return nil, errors.New("TLS is configured, but the URL of ARI begins with http")
	case cfg.Username == "" || strings.ContainsAny(cfg.Username, ":\r\n\x00"):
		return nil, fmt.Errorf("%q is not a user of ARI", cfg.Username) // Basic ends it at the first colon
	case !namePattern.MatchString(cfg.App):
		return nil, fmt.Errorf("%q is not a name of an application: up to 64 letters, digits, dots, dashes or underscores", cfg.App)
	}
	if cfg.Events == nil {
		cfg.Events = defaultEvents
	}
	if i := slices.IndexFunc(cfg.Events, func(s string) bool { return !namePattern.MatchString(s) }); i >= 0 {
		return nil, fmt.Errorf("%q is not a type of event", cfg.Events[i])
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.Queue <= 0 {
		cfg.Queue = defaultQueue
	}
	if cfg.Dial == nil {
		dialer := net.Dialer{
			KeepAliveConfig: net.KeepAliveConfig{
				Enable: true, Idle: keepAliveIdle, Interval: keepAliveInterval, Count: keepAliveCount,
			},
			Control: setUserTimeout,
		}
		cfg.Dial = dialer.DialContext
	}
	base.Path, base.RawPath = strings.TrimRight(base.Path, "/"), ""
	return base, nil
}

// transport is HTTP without what a long-lived connection with a password does not
// want: proxies from the environment, HTTP/2, and answers without bounds.
func transport(cfg Config) *http.Transport {
	settings := &tls.Config{}
	if cfg.TLS != nil {
		settings = cfg.TLS.Clone()
	}
	settings.MinVersion = max(settings.MinVersion, tls.VersionTLS12)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		DialContext:            cfg.Dial,
		TLSClientConfig:        settings,
		Protocols:              protocols,
		DisableCompression:     true,
		MaxConnsPerHost:        maxConns,
		MaxIdleConnsPerHost:    maxConns,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxHeaders,
	}
}

// noRedirects makes a redirect an answer like any other: Asterisk sends none, and
// the password is for nobody else.
func noRedirects(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// connect opens the websocket. With its handshake the application is registered.
func (c *Conn) connect(ctx context.Context, cfg Config) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	dial := cfg.Dial
	cfg.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		nc, err := dial(ctx, network, address)
		if err == nil {
			c.nc = nc // handed over by the handshake, which makes one connection
		}
		return nc, err
	}
	once := transport(cfg) // of one connection, which the websocket takes out of it
	defer once.CloseIdleConnections()
	//nolint:bodyclose // Dial reads what there is of it and closes it itself
	ws, answer, err := websocket.Dial(ctx, c.base+"/events?app="+escape(c.app), &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: once, CheckRedirect: noRedirects},
		HTTPHeader: http.Header{"Authorization": {c.authorization.reveal()}},
	})
	switch {
	case err == nil:
		ws.SetReadLimit(-1) // message has its own
		c.ws = ws
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case answer != nil && answer.StatusCode != http.StatusSwitchingProtocols:
		return c.refusal("the events", answer)
	default:
		return fmt.Errorf("open the websocket: %w", c.cause(err))
	}
}
