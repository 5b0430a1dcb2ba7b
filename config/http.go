package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	// The path of a unix socket has 108 bytes with its end (man 7 unix).
	maxSocket = 107

	defaultMaxConnections = 1024
	mostConnections       = 100_000
)

func readHTTP(v value, p paths) HTTP {
	o := v.object("socket", "listen", "tls", "insecure", "max_connections", "metrics", "trusted_proxies")
	h := HTTP{
		Socket:         readSocket(o.at("socket"), p),
		Listen:         readListen(o.at("listen")),
		TLS:            readCertificate(o.at("tls"), p),
		MaxConnections: o.at("max_connections").integer(defaultMaxConnections, 1, mostConnections),
		Metrics:        readListen(o.at("metrics")),
		TrustedProxies: readProxies(o.at("trusted_proxies")),
	}
	insecure := o.at("insecure").boolean(false)
	switch encrypted := h.TLS != (Certificate{}); {
	case h.Listen == "" && encrypted:
		o.at("tls").warn("listen is empty, so the certificate does nothing", "write the address under http.listen, or remove the block")
	case h.Listen != "" && !encrypted && !insecure && !onlyHere(h.Listen):
		o.at("listen").fault("tokens would cross the network in clear",
			"name a certificate under http.tls, or listen on 127.0.0.1 behind a proxy that speaks TLS, or write insecure: true if that network is yours alone")
	}
	if h.Metrics != "" && h.Metrics == h.Listen {
		o.at("metrics").fault("is the address of listen as well", "give it another port")
	}
	if h.Metrics != "" && !onlyHere(h.Metrics) {
		o.at("metrics").warn("everybody who reaches this address reads the condition of the PBXs", "listen on 127.0.0.1, or keep others away with a firewall")
	}
	return h
}

func readSocket(v value, p paths) string {
	path := p.in("RUNTIME_DIRECTORY", v.unempty(defaultSocket))
	if abs, err := filepath.Abs(path); err == nil && len(abs) > maxSocket {
		v.fault(fmt.Sprintf("a path of %d bytes, where a unix socket has at most %d", len(abs), maxSocket), "choose a shorter path, for example below /run")
	}
	return path
}

// readListen reads an address to listen on. Without a host it is every address of
// this machine.
func readListen(v value) string {
	text := v.text("")
	if text == "" {
		return ""
	}
	host, port, err := net.SplitHostPort(text)
	n, portErr := strconv.ParseUint(port, 10, 16)
	if err != nil || strings.ContainsFunc(host, unprintable) || portErr != nil || n == 0 {
		v.fault(quote(text)+" is no address to listen on", "write host:port, for example 127.0.0.1:8080 or 0.0.0.0:8443")
		return ""
	}
	return text
}

// onlyHere tells whether nobody on another machine can reach what listens on address.
func onlyHere(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && host != "" && loopback(address)
}

// readCertificate reads the names of the files of a server's certificate.
func readCertificate(v value, p paths) Certificate {
	o := v.object("cert_file", "key_file")
	cert, key := o.at("cert_file"), o.at("key_file")
	certName, keyName := cert.text(""), key.text("")
	if certName == "" && keyName == "" {
		return Certificate{}
	}
	c := Certificate{CertFile: p.credential(certName), KeyFile: p.credential(keyName)}
	switch {
	case certName == "":
		cert.fault("there is a key but no certificate", "name the file of the certificate, in PEM form")
	case keyName == "":
		key.fault("there is a certificate but no key", "name the file of its key, in PEM form")
	default:
		c.check(cert, key)
	}
	return c
}

// check tells what keeps the files from serving. Nothing of the key is shown.
func (c Certificate) check(cert, key value) {
	certText, err := readFile(c.CertFile)
	if err != nil {
		f := unreadable(c.CertFile, err)
		cert.fault(c.CertFile+": "+f.What, f.Do)
		return
	}
	if info, err := os.Stat(c.KeyFile); err == nil && !info.IsDir() && info.Mode().Perm()&0o004 != 0 {
		key.fault("everybody on this machine may read "+c.KeyFile, "run: chmod 640 "+c.KeyFile)
		return
	}
	keyText, err := readFile(c.KeyFile)
	if errors.Is(err, fs.ErrPermission) && key.doc.checking {
		return
	}
	if err != nil {
		f := unreadable(c.KeyFile, err)
		key.fault(c.KeyFile+": "+f.What, f.Do)
		return
	}
	pair, err := tls.X509KeyPair(certText, keyText)
	if err != nil { // its text is not passed on: it might quote the files
		cert.fault("the two files are no certificate and its key", "name files in PEM form that belong together; the certificate comes before those that signed it")
		return
	}
	if leaf, err := x509.ParseCertificate(pair.Certificate[0]); err == nil && time.Now().After(leaf.NotAfter) {
		cert.warn("the certificate ran out on "+leaf.NotAfter.UTC().Format(time.DateOnly), "renew it; the bridge takes the new file over by itself")
	}
}
