package diagnose

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

const (
	banner    = "Asterisk Call Manager/"
	maxBanner = 256

	// expiresSoon is how long before its end a certificate is worth a word.
	expiresSoon = 21 * 24 * time.Hour

	reload = "then run: asterisk -rx 'manager reload'"
)

func (x *examination) address(ctx context.Context) Step {
	host, _, err := net.SplitHostPort(x.cfg.AMI.Address)
	if err != nil {
		return failed(fmt.Sprintf("%q is not host:port", x.cfg.AMI.Address), "write ami.address as in 127.0.0.1:5038")
	}
	if net.ParseIP(host) != nil {
		return ok(host + " needs no name server")
	}
	ctx, cancel := context.WithTimeout(ctx, x.cfg.AMI.Timeout)
	defer cancel()
	ips, err := x.cfg.Lookup(ctx, host)
	var dns *net.DNSError
	switch {
	case err == nil:
		return ok(host + " is " + strings.Join(ips, ", "))
	case errors.As(err, &dns) && dns.IsNotFound:
		return failed("there is no host "+host, "correct ami.address in presencebridge.yaml, or add the name to DNS or /etc/hosts")
	}
	return failed("the name servers did not tell where "+host+" is", "mend DNS on this machine, or write the IP address into ami.address")
}

func (x *examination) connection(ctx context.Context) Step {
	wire, err := x.dial(ctx)
	switch {
	case err == nil:
		x.wire = wire
		x.local, _, _ = net.SplitHostPort(wire.LocalAddr().String())
		return ok(x.cfg.AMI.Address + " takes connections")
	case errors.Is(err, syscall.ECONNREFUSED):
		return failed("nothing listens at "+x.cfg.AMI.Address,
			"see that Asterisk runs there and that its manager interface is on: write these lines, "+reload+"; or correct ami.address",
			x.listens())
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return failed(fmt.Sprintf("%s did not answer within %s", x.cfg.AMI.Address, x.cfg.AMI.Timeout),
			"open this port in the firewalls between here and there, and see that the machine is up")
	}
	return failed(fmt.Sprintf("%s cannot be reached: %v", x.cfg.AMI.Address, cause(err)), "see that the network between here and there works")
}

// cause leaves out the addresses that package net puts before an error.
func cause(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

func (x *examination) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, x.cfg.AMI.Timeout)
	defer cancel()
	dial := x.cfg.AMI.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	return dial(ctx, "tcp", x.cfg.AMI.Address)
}

// listens is what makes Asterisk listen where we try.
func (x *examination) listens() Fix {
	host, port, _ := net.SplitHostPort(x.cfg.AMI.Address)
	if net.ParseIP(host) == nil {
		host = "0.0.0.0"
	}
	lines := []string{"enabled = yes", "bindaddr = " + host, "port = " + port}
	if x.cfg.AMI.TLS != nil {
		lines = encrypts(net.JoinHostPort(host, port))
	}
	return Fix{"manager.conf", "[general]", lines}
}

// encrypts is what makes Asterisk offer TLS at an address.
func encrypts(address string) []string {
	return []string{"enabled = yes", "tlsenable = yes", "tlsbindaddr = " + address,
		"tlscertfile = /etc/asterisk/keys/asterisk.pem", "tlsprivatekey = /etc/asterisk/keys/asterisk.key"}
}

// setting is a fix in our own configuration.
func (x *examination) setting(lines ...string) Fix {
	return Fix{"presencebridge.yaml", "pbx " + x.cfg.Name + ", ami", lines}
}

func (x *examination) encryption(ctx context.Context) Step {
	if x.cfg.AMI.TLS == nil {
		return x.unencrypted()
	}
	ctx, cancel := context.WithTimeout(ctx, x.cfg.AMI.Timeout)
	defer cancel()
	secure := tls.Client(x.wire, x.settings())
	if err := secure.HandshakeContext(ctx); err != nil {
		return x.noHandshake(err)
	}
	x.wire = secure
	state := secure.ConnectionState()
	end := state.PeerCertificates[0].NotAfter
	says := fmt.Sprintf("%s, and the certificate is good until %s", tls.VersionName(state.Version), end.UTC().Format(time.DateOnly))
	if end.Sub(x.cfg.Now()) < expiresSoon {
		return warning(says, "renew the certificate in time, "+reload)
	}
	return ok(says)
}

func (x *examination) settings() *tls.Config {
	settings := x.cfg.AMI.TLS.Clone()
	if settings.ServerName == "" {
		settings.ServerName, _, _ = net.SplitHostPort(x.cfg.AMI.Address)
	}
	return settings
}

func (x *examination) unencrypted() Step {
	addr, isTCP := x.wire.RemoteAddr().(*net.TCPAddr)
	if !isTCP || addr.IP.IsLoopback() {
		return ok("none, and none is needed on this machine")
	}
	host, _, err := net.SplitHostPort(x.cfg.AMI.Address) // its certificate will be for the name
	if err != nil {
		host = addr.IP.String()
	}
	return warning("none: whoever is on the network between here and there can read and change everything",
		"let Asterisk offer TLS with a certificate of its own, "+reload+", and let the bridge use it",
		Fix{"manager.conf", "[general]", encrypts("0.0.0.0:5039")},
		x.setting("address: "+net.JoinHostPort(host, "5039"), "tls: {enabled: true}"))
}

// noHandshake says why there was no handshake.
func (x *examination) noHandshake(err error) Step {
	var (
		record  tls.RecordHeaderError
		name    x509.HostnameError
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
	)
	const otherCertificate = "give Asterisk (tlscertfile in manager.conf) a certificate "
	switch {
	case errors.As(err, &record) && strings.HasPrefix(banner, string(record.RecordHeader[:])):
		return failed("this port speaks AMI without TLS",
			"name the port of tlsbindaddr in ami.address, and let Asterisk listen there, "+reload, Fix{"manager.conf", "[general]", encrypts("0.0.0.0:5039")})
	case errors.As(err, &record):
		return x.stranger(string(record.RecordHeader[:]))
	case errors.As(err, &name):
		names := certified(name.Certificate)
		if len(names) == 0 {
			return failed("the certificate is for no name at all", otherCertificate+"with the subject alternative name "+plain(name.Host))
		}
		return failed(fmt.Sprintf("the certificate is for %s, not for %s", strings.Join(names, ", "), plain(name.Host)),
			"if that is the right machine, tell the bridge the name; else "+otherCertificate+"for "+plain(name.Host),
			x.setting("tls: {enabled: true, server_name: "+names[0]+"}"))
	case errors.As(err, &unknown):
		return failed("nobody whom this machine trusts has signed the certificate",
			"name the certificate of who signed it, or the certificate itself if nobody did",
			x.setting("tls: {enabled: true, ca_file: /etc/presencebridge/pbx-ca.pem}"))
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && x.cfg.Now().Before(invalid.Cert.NotBefore):
		return failed("the certificate is good only from "+invalid.Cert.NotBefore.UTC().Format(time.DateOnly)+" on", "see that the clock of this machine is right")
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return failed("the certificate ended on "+invalid.Cert.NotAfter.UTC().Format(time.DateOnly), otherCertificate+"that is still good, "+reload)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return failed("this port takes connections but does not answer a TLS handshake", "see that ami.address is the address of tlsbindaddr in manager.conf")
	}
	return failed(fmt.Sprintf("no TLS handshake: %q", cause(err).Error()),
		"let Asterisk use TLS 1.2 or newer and a certificate with its key, and look in its log", Fix{"manager.conf", "[general]", encrypts("0.0.0.0:5039")})
}

// certified returns the names that a certificate is for.
func certified(c *x509.Certificate) []string {
	var names []string
	for _, n := range c.DNSNames {
		names = append(names, plain(n))
	}
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

// plain makes a name that somebody else chose fit for a line of a file.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' || strings.ContainsRune(`{}[],"'#:`, r) && net.ParseIP(s) == nil {
			return '?'
		}
		return r
	}, s)
}

func (x *examination) greeting(ctx context.Context) Step {
	defer x.hangUp()
	if err := x.wire.SetReadDeadline(time.Now().Add(x.cfg.AMI.Timeout)); err != nil {
		return failed("the connection broke at once", "try again")
	}
	line, err := bufio.NewReaderSize(x.wire, maxBanner).ReadSlice('\n')
	if version, found := strings.CutPrefix(string(line), banner); found && err == nil {
		x.version.protocol(strings.TrimSpace(version))
		return ok(fmt.Sprintf("an Asterisk greets with %.40q", strings.TrimSpace(string(line))))
	}
	switch {
	case len(line) > 0:
		return x.stranger(string(line))
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return failed("the connection is closed before Asterisk greets",
			"see that this is the port of the manager interface, and that no 50 connections wait there without a login (authlimit in manager.conf)")
	case x.cfg.AMI.TLS == nil:
		return x.silence(ctx)
	}
	return failed("what listens there is encrypted but does not greet as AMI does", "correct ami.address: it is another service's port")
}

// silence asks a port that waits for us to speak first what it is, by a TLS
// handshake: an HTTP server answers that with an error.
func (x *examination) silence(ctx context.Context) Step {
	x.hangUp()
	wire, err := x.dial(ctx)
	if err != nil {
		return failed("this port takes a connection, then no further one", "correct ami.address, or look in the log of what listens there")
	}
	x.wire = wire // closed by the caller
	ctx, cancel := context.WithTimeout(ctx, x.cfg.AMI.Timeout)
	defer cancel()
	host, _, _ := net.SplitHostPort(x.cfg.AMI.Address)
	err = tls.Client(wire, &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}).HandshakeContext(ctx)
	var (
		record   tls.RecordHeaderError
		distrust *tls.CertificateVerificationError
	)
	switch {
	case err == nil, errors.As(err, &distrust):
		return failed("this port speaks TLS", "switch TLS on, if it is the port of tlsbindaddr; or name the port without TLS in ami.address",
			x.setting("tls: {enabled: true}"))
	case errors.As(err, &record):
		return x.stranger(string(record.RecordHeader[:]))
	}
	return failed("what listens there says nothing",
		"see that ami.address is the address of port or tlsbindaddr in manager.conf; if it is, Asterisk hangs: look in its log")
}

// stranger is a server that is no AMI, as its first bytes tell.
func (x *examination) stranger(said string) Step {
	what := fmt.Sprintf("it says %.20q", strings.TrimSpace(said))
	if strings.HasPrefix(said, "HTTP/") {
		what = "it is a web server"
	}
	return failed("that is not the manager interface of an Asterisk: "+what,
		"name the port of the manager interface in ami.address: 5038, or 5039 with TLS", x.setting("address: "+x.elsewhere()))
}

// elsewhere is the address with the usual port.
func (x *examination) elsewhere() string {
	host, _, _ := net.SplitHostPort(x.cfg.AMI.Address)
	if x.cfg.AMI.TLS != nil {
		return net.JoinHostPort(host, "5039")
	}
	return net.JoinHostPort(host, "5038")
}
