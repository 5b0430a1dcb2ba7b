package api_test

import (
	"context"
	"net"
	"net/http"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/api"
	"github.com/presencebridge/presencebridge/pkg/store"
)

func TestTheAuditLogSaysWhoUsedTheSocket(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	o := newOffice(t)
	path := filepath.Join(t.TempDir(), "s")
	s, err := api.Listen(t.Context(), path, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, o.api) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
	for i, tc := range []struct{ header, by string }{
		{"", "api local"}, {"cli", "cli"}, {"api crm", "local program as api crm"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://bridge/api/v1/tokens", strings.NewReader(`{"name":"t`+string(rune('0'+i))+`","scope":"read"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		if tc.header != "" {
			r.Header.Set(api.ByHeader, tc.header)
		}
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		acts, err := o.store.Audit(t.Context(), store.Query{Limit: 1})
		if want := tc.by + " of " + me.Username; err != nil || answer.StatusCode != http.StatusCreated || len(acts) != 1 || acts[0].By != want {
			t.Errorf("%d, audit %+v, %v; want %q", answer.StatusCode, acts, err, want)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	// Nobody on the network says who they are.
	if w := o.ask(o.of(api.ScopeAdmin), "POST", "/api/v1/tokens", `{"name":"n","scope":"read"}`); w.Code != http.StatusCreated {
		t.Fatal(w.Body)
	}
	if acts, err := o.store.Audit(t.Context(), store.Query{Limit: 1}); err != nil || acts[0].By != "api admin" {
		t.Errorf("audit %+v, %v", acts, err)
	}
}
