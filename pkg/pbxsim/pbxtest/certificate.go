package pbxtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"testing"
	"time"
)

// Certificate is a self-signed certificate and its key.
type Certificate struct {
	PEM     string // the key and the certificate, as Asterisk wants them
	Public  string // the certificate alone, for who has to trust it
	Pair    tls.Certificate
	Trusted *x509.CertPool // has the certificate
}

// NewCertificate makes a certificate for a host, "" for none, that ends at until.
func NewCertificate(t testing.TB, host string, until time.Time) Certificate {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host},
		NotBefore: until.Add(-10 * 365 * 24 * time.Hour), NotAfter: until,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	if host != "" {
		template.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	must(err)
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	secret := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	c := Certificate{PEM: string(secret) + string(public), Public: string(public), Trusted: x509.NewCertPool()}
	c.Pair, err = tls.X509KeyPair(public, secret)
	must(err)
	c.Trusted.AppendCertsFromPEM(public)
	return c
}

// FreePort returns a TCP port of loopback that nobody uses.
func FreePort(t testing.TB) int {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}
