package signin_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/api"
	"github.com/presencebridge/presencebridge/pkg/signin"
)

func TestNobodyIsKeptOutByOthers(t *testing.T) {
	o := newOffice(t, nil)
	o.has("alice", "user")
	mallory := o.browser("198.51.100.7")
	var last *httptest.ResponseRecorder
	for range 9 {
		last = mallory.signIn("alice", "a wrong password")
	}
	mallory.saw(last, http.StatusTooManyRequests, "signin.too_often")
	if last.Header().Get("Retry-After") == "" {
		t.Error("nothing says when to try again")
	}
	mallory.saw(mallory.signIn("alice", good), http.StatusTooManyRequests, "signin.too_often")
	alice := o.browser("192.0.2.1")
	if alice.signIn("alice", good); alice.is() != "alice" {
		t.Error("alice is kept out by somebody else")
	}
	for i := range 60 { // names are tried, too
		last = mallory.signIn(fmt.Sprint("user", i), "a wrong password")
	}
	mallory.saw(last, http.StatusTooManyRequests, "signin.too_often")
	o.pass(10 * time.Minute)
	if mallory.signIn("alice", good); mallory.is() != "alice" {
		t.Error("out for ever")
	}
	for range 12 { // who is let in does not use it up
		if w := alice.signIn("alice", good); w.Code != http.StatusSeeOther {
			t.Fatalf("alice: %d", w.Code)
		}
	}
}

func TestWhoseAddressCounts(t *testing.T) {
	o := newOffice(t, func(c *signin.Config) { c.TrustedProxies = signin.Prefixes("127.0.0.1/32", "10.0.0.0/8") })
	for _, tc := range []struct{ peer, forwarded, want string }{
		{"192.0.2.1", "", "192.0.2.1"},
		{"192.0.2.1", "198.51.100.1", "192.0.2.1"}, // no proxy of ours: not believed
		{"127.0.0.1", "198.51.100.1", "198.51.100.1"},
		{"127.0.0.1", "203.0.113.9, 198.51.100.1", "198.51.100.1"}, // what stands before comes from there
		{"127.0.0.1", "203.0.113.9, 198.51.100.1, 10.1.1.1", "198.51.100.1"},
		{"127.0.0.1", "10.2.2.2", "10.2.2.2"},
		{"127.0.0.1", "198.51.100.1:4321", "198.51.100.1"},
		{"127.0.0.1", "rubbish", "127.0.0.1"},
		{"127.0.0.1", "", "127.0.0.1"},
		{"[::ffff:127.0.0.1]", "2001:db8::1", "2001:db8::1"},
	} {
		b := o.browser(tc.peer)
		b.header.Set("X-Forwarded-For", tc.forwarded)
		b.signIn("nobody", "nothing")
		entries := o.logs.FilterMessage("sign-in refused").All()
		if got := entries[len(entries)-1].ContextMap()["peer"]; got != tc.want {
			t.Errorf("%s for %q: %v, want %s", tc.peer, tc.forwarded, got, tc.want)
		}
	}
}

func TestWhoIsNotLetInIsCounted(t *testing.T) {
	o := newOffice(t, nil)
	o.has("alice", "user")
	b := o.browser("192.0.2.1")
	b.signIn("alice", good)
	if n := o.Refused(); n != 0 {
		t.Errorf("%d were refused, and all were let in", n)
	}
	b.signIn("alice", "a wrong password")
	b.signIn("nobody", good)
	if n := o.Refused(); n != 2 {
		t.Errorf("%d were refused, want 2", n)
	}
}

func TestNobodyLearnsWhichAccountsThereAre(t *testing.T) {
	o := newOffice(t, nil)
	o.has("alice", "user")
	b := o.browser("192.0.2.1")
	there, not := b.signIn("alice", "a wrong password"), b.signIn("alicf", "a wrong password")
	a, n := strings.ReplaceAll(there.Body.String(), "alice", "NAME"), strings.ReplaceAll(not.Body.String(), "alicf", "NAME")
	if a != n || there.Code != not.Code || there.Header().Get("X-Text") != not.Header().Get("X-Text") {
		t.Errorf("%d %s\n%d %s", there.Code, a, not.Code, n)
	}
}

// Who is in a hurry types the password where the name belongs.
func TestTheLogNamesAccountsAndNothingElseThatWasTyped(t *testing.T) {
	o := newOffice(t, nil)
	o.has("alice", "user")
	b := o.browser("192.0.2.1")
	for range 9 {
		b.signIn(good, "")
		b.signIn("alice", "a wrong password")
	}
	log := fmt.Sprint(o.logs.All())
	if strings.Contains(log, "wooden") || strings.Contains(log, "wrong") {
		t.Errorf("a password stands in the log: %s", log)
	}
	if n := len(o.logs.FilterMessage("sign-in refused").FilterField(zap.String("account", "alice")).All()); n != 8 {
		t.Errorf("%d refusals of alice are logged", n)
	}
}

func TestAPasswordIsChangedByWhoKnowsIt(t *testing.T) {
	o := newOffice(t, nil)
	b, other := o.has("alice", "user"), o.browser("192.0.2.2")
	other.signIn("alice", good)
	const anew = "five wooden ladders"
	form := func(old, password, again string) url.Values {
		return url.Values{"old": {old}, "password": {password}, "again": {again}}
	}
	b.saw(b.post("/account/password", form("wrong", anew, anew)), http.StatusUnauthorized, "signin.old_wrong")
	b.saw(b.post("/account/password", form(good, anew, "x")), http.StatusUnprocessableEntity, "signin.passwords_differ")
	b.saw(b.post("/account/password", form(good, "short", "short")), http.StatusUnprocessableEntity, "signin.password_short")
	b.saw(b.post("/account/password", form(good, anew, anew)), http.StatusOK, "")
	if b.is() != "alice" || other.is() != "" {
		t.Errorf("here %q, elsewhere %q", b.is(), other.is())
	}
	other.saw(other.signIn("alice", good), http.StatusUnauthorized, "signin.refused")
	other.saw(other.post("/account/password", form(anew, good, good)), http.StatusUnauthorized, "signin.first")
	if other.signIn("alice", anew); other.is() != "alice" {
		t.Error("the new password is not good")
	}
}

func TestAResetTakesThePasswordAway(t *testing.T) {
	o := newOffice(t, nil)
	b := o.has("alice", "user")
	i, err := o.ResetAccount(t.Context(), "alice", "cli")
	if err != nil || b.is() != "" {
		t.Fatalf("%v, and %q is in", err, b.is())
	}
	b.saw(b.signIn("alice", good), http.StatusUnauthorized, "signin.refused")
	older := strings.TrimPrefix(i.URL, "https://panel.example")
	i, err = o.ResetAccount(t.Context(), "alice", "cli")
	if err != nil {
		t.Fatal(err)
	}
	b.saw(b.get(older), http.StatusNotFound, "signin.invitation_gone")
	o.again()
	link := strings.TrimPrefix(i.URL, "https://panel.example")
	if w := b.post(link, url.Values{"name": {"root"}, "password": {good + "!"}, "again": {good + "!"}}); w.Code != http.StatusSeeOther || b.is() != "alice" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestAStoreThatDoesNotWrite(t *testing.T) {
	o := newOffice(t, nil)
	o.has("root", "administrator")
	b := o.has("alice", "user")
	o.store.err = errors.New("disk full")
	if b.is() != "alice" {
		t.Error("who has signed in is out")
	}
	other := o.browser("192.0.2.2")
	other.saw(other.signIn("alice", good), http.StatusServiceUnavailable, "signin.unsaved")
	if other.is() != "" || len(other.cookies) != 0 {
		t.Error("signed in without a trace")
	}
	yes := true
	if _, err := o.ChangeAccount(t.Context(), "alice", api.AccountChange{Disabled: &yes}, "cli"); err == nil || !strings.Contains(err.Error(), "once more") {
		t.Errorf("disabled: %v", err)
	}
	if b.is() != "" {
		t.Error("who was disabled is in")
	}
	o.store.err = nil
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o.Desk.Run(ctx) // writes what is left
	if list, err := o.store.Sessions(t.Context(), time.Now()); err != nil || len(list) != 1 {
		t.Errorf("sessions in the store: %v, %v", list, err)
	}
}

func TestABridgeThatIsCutOffBelievesNoSession(t *testing.T) {
	o := newOffice(t, nil)
	cut := errors.New("no word of the store")
	var ahead atomic.Int64
	d, err := signin.Open(t.Context(), signin.Options{
		Config: o.by, Store: o.store, People: mapping{}, MayAct: func() error { return cut },
		Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) },
	})
	if err != nil {
		t.Fatal(err)
	}
	d.LookWhetherCutOff()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if _, err := d.Session(r); !errors.Is(err, api.ErrSignedOut) {
		t.Errorf("at once: %v", err)
	}
	ahead.Store(int64(6 * time.Minute))
	var p *api.Problem
	if _, err := d.Session(r); !errors.As(err, &p) || p.Status != http.StatusServiceUnavailable {
		t.Errorf("after six minutes: %v", err)
	}
}

// stepped is what a wall clock that was set d ahead says in place of now: its steady part
// is the same (package time: wall seconds stand above 30 bits of nanoseconds).
func stepped(now time.Time, d time.Duration) time.Time {
	*(*uint64)(unsafe.Pointer(&now)) += uint64(d/time.Second) << 30
	return now
}

func TestAClockThatIsSetCutsNobodyOff(t *testing.T) {
	o := newOffice(t, nil)
	var ahead, passed atomic.Int64
	d, err := signin.Open(t.Context(), signin.Options{
		Config: o.by, Store: o.store, People: mapping{}, MayAct: func() error { return errors.New("no word of the store") },
		Now: func() time.Time {
			return stepped(time.Now().Add(time.Duration(passed.Load())), time.Duration(ahead.Load()))
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	d.LookWhetherCutOff()
	ahead.Store(int64(time.Hour))
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if _, err := d.Session(r); !errors.Is(err, api.ErrSignedOut) {
		t.Errorf("set an hour ahead: %v", err)
	}
	ahead.Store(-int64(time.Hour))
	passed.Store(int64(6 * time.Minute))
	var p *api.Problem
	if _, err := d.Session(r); !errors.As(err, &p) || p.Status != http.StatusServiceUnavailable {
		t.Errorf("set back an hour, after six minutes: %v", err)
	}
}

func TestPreferencesAreOnesOwn(t *testing.T) {
	o := newOffice(t, nil)
	b := o.has("alice", "user")
	for text, ok := range map[string]bool{
		`{"language":"pt-BR","x":[1]}`: true, `{"language":"../x"}`: false, `{"language":7}`: false, `[]`: false,
		`{"x":"` + strings.Repeat("x", 17<<10) + `"}`: false,
	} {
		if err := o.SetPreferences(t.Context(), "alice", []byte(text)); (err == nil) != ok {
			t.Errorf("%.40s: %v", text, err)
		}
	}
	o.again()
	p, _ := o.Who(b.request("GET", "/", nil))
	if p.Language != "pt-BR" || string(p.Preferences) != `{"language":"pt-BR","x":[1]}` || p.Name != "Name of alice" {
		t.Errorf("%+v", p)
	}
}

// TestAHashOfAnotherCostIsMadeAnew has a password that was chosen when it cost something else.
func TestAHashOfAnotherCostIsMadeAnew(t *testing.T) {
	o := newOffice(t, nil)
	o.has("alice", "user")
	o.again()
	before := o.hash("alice")
	o.Dear()
	b := o.browser("192.0.2.1")
	if b.signIn("alice", good); b.is() != "alice" {
		t.Fatal("the old hash is not good")
	}
	after := o.hash("alice")
	if after == before || !strings.Contains(after, "m=19456,t=2,p=1") {
		t.Errorf("the hash is %s, and was %s", after, before)
	}
	if b.signIn("alice", good); o.hash("alice") != after {
		t.Error("it is made anew each time")
	}
}

// hash is what the store has of a password.
func (o *office) hash(name string) string {
	o.Helper()
	list, err := o.store.Accounts(o.Context())
	if err != nil {
		o.Fatal(err)
	}
	for _, a := range list {
		if a.Name == name {
			return a.Hash
		}
	}
	return ""
}
