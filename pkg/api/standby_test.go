package api_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/presencebridge/presencebridge/pkg/api"
	"github.com/presencebridge/presencebridge/pkg/api/apitest"
	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/store"
)

func standsBy() string { return "standby: one holds the store" }

func TestAStandbyAnswersReadsAndMarksThem(t *testing.T) {
	b := apitest.New()
	b.Reasons = []bridge.Reason{apitest.Reason(standsBy())}
	h := api.New(b, api.Options{Standby: standsBy, Tokens: api.FollowTokens(apitest.NewStore(), nil, nil)})
	const refused = "This bridge is a standby: one holds the store; ask that one."
	for _, tc := range []struct {
		method, path, body string
		status             int
		says               string
	}{
		{"GET", "/healthz", "", 200, `"ok"`},
		{"GET", "/readyz", "", 503, `"reasons":["standby: one holds the store"]`},
		{"POST", "/readyz", "", 405, "takes GET"},
		{"GET", "/metrics", "", 200, "presencebridge_standby 1"},
		{"GET", "/api/v1/users", "", 200, `"alice"`},
		{"GET", "/api/v1/users/alice", "", 200, `"alice"`},
		{"GET", "/api/v1/users/alice/explain", "", 200, `"alice"`},
		{"GET", "/api/v1/users/alice/history", "", 200, `"alice"`},
		{"GET", "/api/v1/statuses", "", 200, `"lunch"`},
		{"GET", "/api/v1/pbxs", "", 200, `"main"`},
		{"GET", "/api/v1/audit", "", 200, "token made"},
		{"GET", "/api/v1/nothing", "", 404, "There is nothing at"},
		{"GET", "/api/v1/events", "", 503, refused},
		{"GET", "/api/v1/mapping/users", "", 503, refused},
		{"GET", "/api/v1/accounts", "", 503, refused},
		{"PUT", "/api/v1/users/alice/status", `{"type":"lunch"}`, 503, refused},
		{"POST", "/api/v1/reload", "", 503, refused},
	} {
		w := do(h, request(tc.method, tc.path, tc.body))
		if w.Code != tc.status || !strings.Contains(w.Body.String(), tc.says) {
			t.Errorf("%s %s = %d %s, want %d with %q", tc.method, tc.path, w.Code, w.Body, tc.status, tc.says)
		}
		if got := w.Header().Get(api.StandbyHeader); got != standsBy() {
			t.Errorf("%s %s is marked %q", tc.method, tc.path, got)
		}
	}
	if len(b.Choices()) > 0 || b.AskedToReload() > 0 {
		t.Error("it acted")
	}
}

// The description names them all, so that a new route is covered by itself.
func TestAStandbyChangesNothing(t *testing.T) {
	h := api.New(apitest.New(), api.Options{Standby: standsBy, Tokens: api.FollowTokens(apitest.NewStore(), nil, nil)})
	changes := 0
	for path, item := range description(t)["paths"].(map[string]any) {
		for _, method := range []string{"put", "post", "delete", "patch"} {
			if _, ok := item.(map[string]any)[method]; !ok {
				continue
			}
			changes++
			at := strings.NewReplacer("{id}", "alice", "{name}", "crm").Replace(path)
			if w := do(h, request(strings.ToUpper(method), at, "{}")); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "ask that one") {
				t.Errorf("%s %s = %d %s", method, at, w.Code, w.Body)
			}
		}
	}
	if changes < 6 {
		t.Errorf("only %d routes change something", changes)
	}
}

func TestAStoreThatAStandbyCannotReadIsNotAnError(t *testing.T) {
	b := apitest.New()
	b.HistoryErr = errors.Join(bridge.ErrUnread, errors.New("connection refused"))
	w := do(api.New(b, api.Options{Standby: standsBy}), request("GET", "/api/v1/history", ""))
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "ask the other bridge") || strings.Contains(w.Body.String(), "connection refused") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// cut is a store of tokens that can be away.
type cut struct {
	*apitest.Store
	mu  sync.Mutex
	err error
}

func (c *cut) Tokens(ctx context.Context) ([]store.Token, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return nil, c.err
	}
	return c.Store.Tokens(ctx)
}

func TestAStandbyFollowsTheTokensOfTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		good, bad := o.of(api.ScopeRead), o.of(api.ScopeAdmin)
		from := &cut{Store: o.store}
		tokens := api.FollowTokens(from, nil, nil)
		h := api.New(o.bridge, api.Options{Standby: standsBy, Tokens: tokens}).Network()
		says := func(token string, want int) {
			t.Helper()
			r := request("GET", "/api/v1/users", "")
			r.Header.Set("Authorization", "Bearer "+token)
			if w := do(h, r); w.Code != want {
				t.Errorf("%d %s, want %d", w.Code, w.Body, want)
			}
		}
		says(good, http.StatusServiceUnavailable) // nothing was read yet
		ctx, cancel := context.WithCancel(t.Context())
		var wait sync.WaitGroup
		wait.Go(func() { tokens.Run(ctx) })
		synctest.Wait()
		says(good, http.StatusOK)
		says(bad, http.StatusOK)

		do(o.api, request("DELETE", "/api/v1/tokens/admin", ""))
		made := o.token(`{"name":"later","scope":"read"}`)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		says(bad, http.StatusUnauthorized)
		says(made, http.StatusOK)
		says(good, http.StatusOK)

		from.mu.Lock()
		from.err = errors.New("no route to host")
		from.mu.Unlock()
		time.Sleep(2 * time.Second)
		says(good, http.StatusOK)
		time.Sleep(4 * time.Second)
		says(good, http.StatusServiceUnavailable)
		from.mu.Lock()
		from.err = nil
		from.mu.Unlock()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		says(good, http.StatusOK)
		cancel()
		wait.Wait()
	})
}
