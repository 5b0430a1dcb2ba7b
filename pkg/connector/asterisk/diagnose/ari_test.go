package diagnose

import (
	"crypto/tls"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/presencebridge/presencebridge/pkg/ari"
	"github.com/presencebridge/presencebridge/pkg/pbxsim"
	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

func ariConfig(at, user string) Config {
	c := config("", "")
	c.Device, c.Extensions = "PJSIP/{extension}", []string{"1001", "1002"}
	c.ARI = ari.Config{URL: at, Username: user, Password: ari.NewSecret(secret), App: "presencebridge"}
	return c
}

func TestARISetups(t *testing.T) {
	pbxtest.Run(t, pbxtest.Options{ARI: true, Phones: []string{"1001"}, Users: []pbxsim.User{
		{Name: "good", Secret: secret, Read: "system,call", Write: "call,reporting"},
		{Name: "reader", Secret: secret, Read: "system,call", Write: "reporting", ReadOnly: true},
		{Name: "phone", Secret: secret, Read: "system,call", Write: "call,reporting"},
	}}, func(t *testing.T, pbx pbxtest.PBX) {
		phone := pbxtest.Observe(t, pbx)
		running, err := ari.Open(t.Context(), ari.Config{URL: pbx.ARI(), Username: "good", Password: ari.NewSecret(secret), App: "presencebridge"}, ari.Handler{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = running.Close() }()

		var begun []string
		steps := ExamineARI(t.Context(), ariConfig(pbx.ARI(), "good"), func(step string) { begun = append(begun, step) })
		if Worst(steps) != OK || len(begun) != len(steps) {
			t.Errorf("%d of these were begun:\n%s", len(begun), text(steps))
		}
		expect(t, steps, "version", OK, strings.TrimPrefix(pbx.Version(), "Asterisk "))
		expect(t, steps, "phones", Info, "1 of 2 that were asked for")
		if c, err := phone.Shows("CustomPresence:presencebridge-doctor-test-canary"); err != nil || c.State != "not_set" {
			t.Errorf("the canary shows %+v, %v", c, err)
		}
		if err := running.Err(); err != nil {
			t.Errorf("the running bridge was disturbed: %v", err)
		}

		steps = ExamineARI(t.Context(), ariConfig(pbx.ARI(), "reader"), nil)
		expect(t, steps, "login", OK, "reader")
		if s := expect(t, steps, "rights", Failed, "read_only"); s.Fix[0].Section != "[reader]" {
			t.Errorf("the fix is %+v", s.Fix)
		}
		expect(t, steps, "presence", NotTried, "rights failed")

		steps = ExamineARI(t.Context(), ariConfig(pbx.ARI(), "nobody"), nil)
		expect(t, steps, "login", Failed, "does not take the account nobody")

		steps = ExamineARI(t.Context(), ariConfig(strings.TrimSuffix(pbx.ARI(), "/ari")+"/other", "good"), nil)
		expect(t, steps, "login", Failed, "no ARI under this URL")

		c := ariConfig(pbx.ARI(), "good")
		c.Refused, c.Device = "the login failed before", ""
		expect(t, ExamineARI(t.Context(), c, nil), "login", Failed, "not tried again")
		c.Refused = ""
		expect(t, ExamineARI(t.Context(), c, nil), "phones", Info, "not followed")

		pbx.Unload(pbxsim.PresenceFunction)
		s := expect(t, ExamineARI(t.Context(), ariConfig(pbx.ARI(), "good"), nil), "presence", Failed, "cannot be read")
		if !slices.Contains(s.Fix[0].Lines, "load = func_presencestate.so") {
			t.Errorf("the fix is %+v", s.Fix)
		}

		pbx.Kill()
		s = expect(t, ExamineARI(t.Context(), ariConfig(pbx.ARI(), "good"), nil), "connection", Failed, "nothing listens")
		if s.Fix[0].File != "http.conf" {
			t.Errorf("the fix is %+v", s.Fix)
		}
		expect(t, ExamineARI(t.Context(), ariConfig("://", "good"), nil), "connection", Failed, "no URL")
	})
}

func TestARIWhoseCertificateIsNotTrusted(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	c := ariConfig(server.URL+"/ari", "good")
	c.ARI.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	expect(t, ExamineARI(t.Context(), c, nil), "login", Failed, "the certificate is not trusted")
	c.ARI.URL, c.ARI.TLS = strings.Replace(server.URL, "https", "http", 1)+"/ari", nil
	expect(t, ExamineARI(t.Context(), c, nil), "login", Failed, "")
}
