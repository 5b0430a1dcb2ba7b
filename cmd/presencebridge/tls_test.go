package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

// The simulated PBX speaks no TLS; these need a real Asterisk.
func TestAPBXIsReachedOverTLSAndItsCertificateHasToBeRight(t *testing.T) {
	for _, f := range pbxtest.Reals(t) {
		t.Run(f.Name, func(t *testing.T) {
			port := pbxtest.FreePort(t)
			certificate := pbxtest.NewCertificate(t, "pbx.example.com", time.Now().Add(24*time.Hour))
			pbx := f.Start(t, pbxtest.Options{Conf: pbxtest.Conf{
				General: fmt.Sprintf("tlsenable = yes\ntlsbindaddr = 127.0.0.1:%d\ntlscertfile = {etc}/pbx.pem\ntlsprivatekey = {etc}/pbx.pem\n", port),
				Files:   map[string]string{"pbx.pem": certificate.PEM},
			}})
			p := phone{t, pbxtest.Observe(t, pbx)}
			for _, tc := range []struct{ name, tls, fault string }{
				{"with its authority and name", "{enabled: true, ca_file: ca.pem, server_name: pbx.example.com}", ""},
				{"by another name", "{enabled: true, ca_file: ca.pem}", "certificate"},
				{"by an unknown authority", "{enabled: true, server_name: pbx.example.com}", "certificate"},
			} {
				t.Run(tc.name, func(t *testing.T) {
					r := configure(t, threeMethods, pbx)
					r.write("ca.pem", certificate.Public)
					r.write("presencebridge.yaml", fmt.Sprintf(`
pbx:
  - {name: main, ami: {address: "127.0.0.1:%d", username: bridge, secret_file: secret-main, tls: %s}}
http: {socket: s}
`, port, tc.tls))
					if tc.fault == "" {
						r.startReady()
						p.set("1001", "away", "lunch", "encrypted")
						r.showsMessage("alice", "lunch", "encrypted")
						r.set("alice", "dnd", "")
						p.sees("1001", "dnd", "", "")
						return
					}
					r.start()
					var ready struct{ Reasons []string }
					pbxtest.Eventually(t, patience, "the certificate is named", func() bool {
						if r.status("/readyz") != http.StatusServiceUnavailable {
							t.Fatal("ready over a certificate that is not right")
						}
						r.get("/readyz", &ready)
						return strings.Contains(strings.Join(ready.Reasons, " "), tc.fault)
					})
				})
			}
		})
	}
}
