package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/api"
	"github.com/presencebridge/presencebridge/pkg/api/apitest"
	"github.com/presencebridge/presencebridge/pkg/store"
)

func TestATokenIsShownOnce(t *testing.T) {
	o := newOffice(t)
	secret := o.token(`{"name":"wallboard","scope":"read"}`)
	list := do(o.api, request("GET", "/api/v1/tokens", "")).Body.String()
	kept, err := o.store.Tokens(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{"the list": list, "the store": fmt.Sprint(kept), "the audit log": do(o.api, request("GET", "/api/v1/audit", "")).Body.String()} {
		if strings.Contains(text, secret[4:20]) || !strings.Contains(text, "wallboard") {
			t.Errorf("%s has %s", what, text)
		}
	}
	if strings.Contains(list, kept[0].Hash) {
		t.Error("the list has the hash")
	}
}

func TestTokensOutliveTheBridge(t *testing.T) {
	o := newOffice(t)
	token := o.of(api.ScopeRead)
	again, err := api.OpenTokens(t.Context(), o.store, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := request("GET", "/api/v1/users", "")
	r.Header.Set("Authorization", "Bearer "+token)
	if w := do(api.New(o.bridge, api.Options{Tokens: again}).Network(), r); w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestWhatTheStoreDoesNotTakeIsNotMadeAndIsRevokedAllTheSame(t *testing.T) {
	o := newOffice(t)
	token := o.of(api.ScopeRead)
	o.store.Err = errors.New("disk full")
	for _, r := range []*http.Request{request("POST", "/api/v1/tokens", `{"name":"x","scope":"read"}`), request("DELETE", "/api/v1/tokens/read", "")} {
		if w := do(o.api, r); w.Code != http.StatusServiceUnavailable {
			t.Errorf("%s: %d %s", r.Method, w.Code, w.Body)
		}
	}
	if w := o.ask(token, "GET", "/api/v1/users", ""); w.Code != http.StatusUnauthorized {
		t.Errorf("the token whose revocation could not be written: %d", w.Code)
	}
	if w := do(o.api, request("GET", "/api/v1/tokens", "")); strings.Contains(w.Body.String(), `"x"`) {
		t.Errorf("the token that was not made is listed: %s", w.Body)
	}
	if n := o.logs.FilterField(zap.Error(o.store.Err)).Len(); n != 3 { // not made, not taken back, not revoked
		t.Errorf("logged %d times", n)
	}
	again := do(o.api, request("DELETE", "/api/v1/tokens/read", ""))
	o.store.Err = nil
	if w := do(o.api, request("DELETE", "/api/v1/tokens/read", "")); w.Code != http.StatusNoContent || !strings.Contains(again.Body.String(), "good again after a restart") {
		t.Errorf("revoked once more: %d, after %s", w.Code, again.Body)
	}
	o.store.Err = errors.New("disk full")
	// A reload is done already when it is noted.
	if w := do(o.api, request("POST", "/api/v1/reload", "")); w.Code != http.StatusNoContent {
		t.Errorf("reload: %d %s", w.Code, w.Body)
	}
}

func TestUsingATokenIsNoWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &apitest.Store{}
		tokens, err := api.OpenTokens(t.Context(), s, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan struct{})
		go func() { tokens.Run(ctx); close(ran) }()
		h := api.New(apitest.New(), api.Options{Tokens: tokens})
		w := do(h, request("POST", "/api/v1/tokens", `{"name":"it","scope":"read"}`))
		token := decode(t, w.Body.Bytes())["token"].(string)
		use := func() {
			r := request("GET", "/healthz", "")
			r.Header.Set("Authorization", "Bearer "+token)
			if w := do(h.Network(), r); w.Code != http.StatusOK {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
		}
		for range 60 * 5 { // five minutes
			use()
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if n := s.Uses(); n < 3 || n > 6 {
			t.Errorf("written %d times in five minutes", n)
		}
		time.Sleep(time.Hour)
		before := s.Uses()
		use()
		cancel()
		<-ran
		if n := s.Uses(); n != before+1 || before > 6 {
			t.Errorf("written %d times, %d after the last use", n, n-before)
		}
		list, err := s.Tokens(t.Context())
		if err != nil || time.Since(list[0].Used) > time.Second {
			t.Errorf("used %+v, %v", list, err)
		}
	})
}

func TestWhenATokenWasUsedIsWrittenLaterIfItCannotBeNow(t *testing.T) {
	o := newOffice(t)
	token := o.of(api.ScopeRead)
	o.ask(token, "GET", "/healthz", "")
	write := func() {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		o.tokens.Run(ctx)
	}
	o.store.Err = errors.New("disk full")
	write()
	o.store.Err = nil
	write()
	write()
	if n := o.store.Uses(); n != 1 {
		t.Errorf("written %d times", n)
	}
}

func TestTokensAreBounded(t *testing.T) {
	s := &apitest.Store{}
	for i := range 1000 {
		name := fmt.Sprint("t", i)
		if err := s.AddToken(t.Context(), &store.Token{Name: name, Hash: name, Scope: "read"}, &store.Act{}); err != nil {
			t.Fatal(err)
		}
	}
	tokens, err := api.OpenTokens(t.Context(), s, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	w := do(api.New(apitest.New(), api.Options{Tokens: tokens}), request("POST", "/api/v1/tokens", `{"name":"one","scope":"read"}`))
	if w.Code != http.StatusConflict || !strings.Contains(detail(t, w), "1000") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestEveryTokenCanBeRevokedByItsName(t *testing.T) {
	o := newOffice(t)
	for _, name := range []string{".", "..", "...", "-x"} {
		if w := do(o.api, request("POST", "/api/v1/tokens", fmt.Sprintf(`{"name":%q,"scope":"admin"}`, name))); w.Code != http.StatusUnprocessableEntity {
			t.Errorf("%q is answered %d", name, w.Code)
		}
	}
}

func TestALocalProgramCannotSayThatATokenDidIt(t *testing.T) {
	o := newOffice(t)
	r := request("POST", "/api/v1/tokens", `{"name":"b","scope":"admin"}`)
	r.Header.Set(api.ByHeader, "api ops")
	if w := do(o.api, r); w.Code != http.StatusCreated {
		t.Fatal(w.Body)
	}
	if w := do(o.api, request("GET", "/api/v1/audit", "")); !strings.Contains(w.Body.String(), `"by":"local program as api ops"`) {
		t.Errorf("the audit log says %s", w.Body)
	}
}

func TestABridgeThatIsCutOffBelievesNoTokenForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &apitest.Store{}
		tokens, err := api.OpenTokens(t.Context(), s, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		var cut atomic.Bool
		tokens.MayAct = func() error {
			if cut.Load() {
				return errors.New("not confirmed")
			}
			return nil
		}
		ctx, end := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); tokens.Run(ctx) }()
		h := api.New(apitest.New(), api.Options{Tokens: tokens})
		var made struct{ Token string }
		if err := json.Unmarshal(do(h, request("POST", "/api/v1/tokens", `{"name":"x","scope":"read"}`)).Body.Bytes(), &made); err != nil {
			t.Fatal(err)
		}
		ask := func() int {
			r := request("GET", "/api/v1/users", "")
			r.Header.Set("Authorization", "Bearer "+made.Token)
			return do(h.Network(), r).Code
		}
		cut.Store(true)
		time.Sleep(4 * time.Minute)
		first := ask()
		time.Sleep(4 * time.Minute)
		later := ask()
		cut.Store(false)
		time.Sleep(2 * time.Minute)
		if again := ask(); first != http.StatusOK || later != http.StatusServiceUnavailable || again != http.StatusOK {
			t.Errorf("answered %d, %d and %d", first, later, again)
		}
		end()
		<-done
	})
}

// stepped is what a wall clock that was set d ahead says in place of now: its steady part
// is the same (package time: wall seconds stand above 30 bits of nanoseconds).
func stepped(now time.Time, d time.Duration) time.Time {
	*(*uint64)(unsafe.Pointer(&now)) += uint64(d/time.Second) << 30
	return now
}

func TestAClockThatIsSetCutsNoTokenOff(t *testing.T) {
	var ahead, passed atomic.Int64
	tokens, err := api.OpenTokens(t.Context(), &apitest.Store{}, nil, func() time.Time {
		return stepped(time.Now().Add(time.Duration(passed.Load())), time.Duration(ahead.Load()))
	})
	if err != nil {
		t.Fatal(err)
	}
	tokens.MayAct = func() error { return errors.New("not confirmed") }
	tokens.LookWhetherCutOff()
	h := api.New(apitest.New(), api.Options{Tokens: tokens})
	ask := func() int { return do(h.Network(), request("GET", "/api/v1/users", "")).Code }
	ahead.Store(int64(time.Hour))
	if code := ask(); code != http.StatusUnauthorized {
		t.Errorf("set an hour ahead: %d", code)
	}
	ahead.Store(-int64(time.Hour))
	passed.Store(int64(6 * time.Minute))
	if code := ask(); code != http.StatusServiceUnavailable {
		t.Errorf("set back an hour, after six minutes: %d", code)
	}
}
