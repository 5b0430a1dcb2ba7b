package api_test

import (
	"strings"
	"testing"

	"github.com/presencebridge/presencebridge/pkg/api"
)

func TestAStandbyIsAliveAndNotReady(t *testing.T) {
	h := api.Standby(func() string { return "standby: one holds the store" }, nil)
	for _, tc := range []struct {
		method, path string
		status       int
		says         string
	}{
		{"GET", "/healthz", 200, `"ok"`},
		{"GET", "/readyz", 503, `"reasons":["standby: one holds the store"]`},
		{"POST", "/readyz", 405, "takes GET"},
		{"GET", "/api/v1/users", 503, "This bridge is a standby: one holds the store; ask that one."},
		{"PUT", "/api/v1/users/alice/status", 503, "This bridge is a standby"},
	} {
		w := do(h, request(tc.method, tc.path, ""))
		if w.Code != tc.status || !strings.Contains(w.Body.String(), tc.says) {
			t.Errorf("%s %s = %d %s, want %d with %q", tc.method, tc.path, w.Code, w.Body, tc.status, tc.says)
		}
	}
}
