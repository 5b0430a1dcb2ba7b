package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/presencebridge/presencebridge/config"
	"github.com/presencebridge/presencebridge/pkg/connector/asterisk/diagnose"
)

const (
	connectWait = 2 * time.Second
	// renewBefore is when somebody should look why nobody has renewed a certificate:
	// ACME does 30 days before the end.
	renewBefore = 14 * 24 * time.Hour
)

// networkSteps looks at the addresses that the bridge listens on, or will.
func networkSteps(ctx context.Context, cfg config.HTTP, runs bool, now time.Time) []diagnose.Step {
	var steps []diagnose.Step
	for _, l := range []struct{ setting, address string }{{"http.listen", cfg.Listen}, {"http.metrics", cfg.Metrics}} {
		switch {
		case l.address == "":
		case runs:
			steps = append(steps, answersStep(ctx, l.setting, l.address))
		default:
			steps = append(steps, freeStep(ctx, l.setting, l.address))
		}
	}
	if cfg.Listen != "" && cfg.TLS.CertFile != "" {
		steps = append(steps, certificateStep(cfg.TLS, now))
	}
	return steps
}

func answersStep(ctx context.Context, setting, address string) diagnose.Step {
	dialer := net.Dialer{Timeout: connectWait}
	c, err := dialer.DialContext(ctx, "tcp", reachable(address))
	if err != nil {
		return found("network", diagnose.Failed, fmt.Sprintf("the bridge runs but %s (%s) takes no connection: %v", address, setting, err), "restart the bridge, if this address is new; else look in its log")
	}
	_ = c.Close()
	return found("network", diagnose.OK, address+" takes connections", "")
}

// reachable is where to connect to what listens on address.
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		return net.JoinHostPort("localhost", port)
	}
	return address
}

func freeStep(ctx context.Context, setting, address string) diagnose.Step {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return found("network", diagnose.Failed, fmt.Sprintf("%s: %v", setting, err), "end the program that has the address, or choose another one of this machine")
	}
	_ = l.Close()
	return found("network", diagnose.OK, address+" is free for the bridge", "")
}

// certificateStep tells when the certificate ends. That it belongs to its key,
// config has checked.
func certificateStep(c config.Certificate, now time.Time) diagnose.Step {
	const name = "certificate"
	leaf, err := leafOf(c.CertFile)
	if err != nil {
		return found(name, diagnose.Failed, "read "+c.CertFile+": "+err.Error(), "name a certificate in PEM form")
	}
	end := leaf.NotAfter.UTC().Format(time.DateOnly)
	switch left := leaf.NotAfter.Sub(now); {
	case left <= 0:
		return found(name, diagnose.Failed, c.CertFile+" ran out on "+end, "renew it; the bridge takes the new file over by itself")
	case left < renewBefore:
		return found(name, diagnose.Warning, c.CertFile+" runs out on "+end, "see why nobody has renewed it yet")
	}
	return found(name, diagnose.OK, c.CertFile+" is good until "+end, "")
}

func leafOf(file string) (*x509.Certificate, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" { // the key may stand before it
			return x509.ParseCertificate(block.Bytes)
		}
	}
	return nil, errors.New("it has no certificate")
}
