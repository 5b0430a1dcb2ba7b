package signin_test

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/presencebridge/presencebridge/pkg/api"
	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/signin"
	"github.com/presencebridge/presencebridge/pkg/store"
	"github.com/presencebridge/presencebridge/pkg/store/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const good = "four wooden ladders" // a password

// office is a desk with its store, and pages of which only their names are seen.
type office struct {
	*testing.T
	*signin.Desk
	panel api.Panel
	store *moody
	logs  *observer.ObservedLogs
	start time.Time     // where the clock stands
	ahead *atomic.Int64 // of it, in nanoseconds
	file  string
	by    signin.Config
}

// moody is a store that may refuse to write.
type moody struct {
	*store.SQL
	err      error
	sessions error // it takes all but sessions
}

func (m *moody) PutAccount(ctx context.Context, a *store.Account, act *store.Act) error {
	if m.err != nil {
		return m.err
	}
	return m.SQL.PutAccount(ctx, a, act)
}

func (m *moody) SaveSessions(ctx context.Context, put []store.LoginSession, remove []string, now time.Time) error {
	if err := cmp.Or(m.err, m.sessions); err != nil {
		return err
	}
	return m.SQL.SaveSessions(ctx, put, remove, now)
}

// mapping has the users that there are, with their addresses.
type mapping map[presence.UserID]string

func (m mapping) NameOf(id presence.UserID) (string, bool) {
	_, ok := m[id]
	return "Name of " + string(id), ok
}

func (m mapping) ByEmail(email string) (presence.UserID, bool) {
	for id, e := range m {
		if strings.EqualFold(e, email) {
			return id, true
		}
	}
	return "", false
}

// pages write which page it is and what is wrong into the header.
type pages struct{}

func show(w http.ResponseWriter, page string, status int, m *signin.Message, p any) {
	w.Header().Set("X-Page", page)
	if m != nil {
		w.Header().Set("X-Message", m.Key)
		w.Header().Set("X-Text", m.String())
	}
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "%+v", p)
}

func (pages) SignIn(w http.ResponseWriter, _ *http.Request, p signin.SignInPage) {
	m := p.Error
	p.Error = nil
	show(w, "sign-in", p.Status, m, p)
}

func (pages) Invitation(w http.ResponseWriter, _ *http.Request, p signin.InvitationPage) {
	show(w, "invitation", p.Status, p.Error, p)
}

func (pages) Password(w http.ResponseWriter, _ *http.Request, p signin.PasswordPage) {
	show(w, "password", p.Status, p.Error, p)
}

func (pages) Problem(w http.ResponseWriter, _ *http.Request, status int, m signin.Message) {
	show(w, "problem", status, &m, m)
}

func newOffice(t *testing.T, change func(*signin.Config)) *office {
	t.Helper()
	c := signin.Config{URL: &url.URL{Scheme: "https", Host: "panel.example"}, Local: true, OperatorsMaySet: true, Idle: 12 * time.Hour, Longest: 7 * 24 * time.Hour}
	if change != nil {
		change(&c)
	}
	o := &office{T: t, start: time.Now(), ahead: new(atomic.Int64), file: filepath.Join(t.TempDir(), "x.db"), by: c}
	o.open()
	t.Cleanup(func() { _ = o.store.Close(context.Background(), true) })
	return o
}

// open opens the desk on the store, as a bridge does that starts or takes over.
func (o *office) open() {
	o.Helper()
	core, logs := observer.New(zap.DebugLevel)
	st, err := sqlite.Open(o.Context(), o.file, zap.NewNop())
	if err != nil {
		o.Fatal(err)
	}
	o.store, o.logs = &moody{SQL: st}, logs
	o.Desk, err = signin.Open(o.Context(), signin.Options{
		Config: o.by, Store: o.store, Log: zap.New(core),
		People: mapping{"alice": "alice@example.com", "bob": "bob@example.com"},
		Now:    func() time.Time { return o.start.Add(time.Duration(o.ahead.Load())) },
	})
	if err != nil {
		o.Fatal(err)
	}
	o.Cheap()
	o.panel = o.Panel(pages{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = fmt.Fprint(w, "the panel at ", r.URL.Path) }))
}

// again closes the store and opens everything anew.
func (o *office) again() {
	o.Helper()
	if err := o.store.Close(o.Context(), true); err != nil {
		o.Fatal(err)
	}
	o.open()
}

func (o *office) pass(d time.Duration) { o.ahead.Add(int64(d)) }

// link invites somebody and returns the path of the link.
func (o *office) link(name, role string) string {
	o.Helper()
	wish := api.Invitation{Role: role}
	if name != "" {
		wish.Name = &name
	}
	if _, ok := (mapping{"alice": "", "bob": ""})[presence.UserID(name)]; ok {
		id := presence.UserID(name)
		wish.User = &id
	}
	i, err := o.Invite(o.Context(), wish, "cli")
	if err != nil {
		o.Fatal(err)
	}
	return strings.TrimPrefix(i.URL, o.by.URL.String())
}

// has makes an account and returns a browser in which it has signed in.
func (o *office) has(name, role string) *browser {
	o.Helper()
	b := o.browser("192.0.2.1")
	if w := b.post(o.link(name, role), url.Values{"password": {good}, "again": {good}}); w.Code != http.StatusSeeOther {
		o.Fatalf("take up: %d %s", w.Code, w.Body)
	}
	return b
}

// browser keeps cookies as one does, but for where they may go.
type browser struct {
	*office
	address string
	cookies map[string]*http.Cookie
	header  http.Header // of every request
}

func (o *office) browser(address string) *browser {
	return &browser{o, address, map[string]*http.Cookie{}, http.Header{}}
}

func (b *browser) request(method, path string, form url.Values) *http.Request {
	r := httptest.NewRequest(method, path, strings.NewReader(form.Encode()))
	r.Host, r.RemoteAddr = b.by.URL.Host, b.address+":1234"
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for name, values := range b.header {
		r.Header[name] = values
	}
	for _, c := range b.cookies {
		r.AddCookie(c)
	}
	return r
}

func (b *browser) do(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	b.panel.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		} else {
			b.cookies[c.Name] = c
		}
	}
	return w
}

func (b *browser) get(path string) *httptest.ResponseRecorder {
	return b.do(b.request("GET", path, nil))
}

func (b *browser) post(path string, form url.Values) *httptest.ResponseRecorder {
	return b.do(b.request("POST", path, form))
}

func (b *browser) signIn(name, password string) *httptest.ResponseRecorder {
	return b.post("/sign-in", url.Values{"name": {name}, "password": {password}})
}

// is tells who has signed in; "": nobody.
func (b *browser) is() string {
	p, _ := b.Who(b.request("GET", "/", nil))
	return p.Account
}

func (b *browser) session() api.Session {
	b.Helper()
	s, err := b.Session(b.request("GET", "/", nil))
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func (b *browser) saw(w *httptest.ResponseRecorder, status int, key string) {
	b.Helper()
	if w.Code != status || w.Header().Get("X-Message") != key {
		b.Errorf("%d %q, want %d %q: %s", w.Code, w.Header().Get("X-Message"), status, key, w.Body)
	}
}
