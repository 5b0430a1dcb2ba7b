package signin

import (
	"errors"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/api"
	"github.com/presencebridge/presencebridge/pkg/store"
)

const (
	mostForm = 16 << 10 // bytes
	mostNext = 1024
)

// panel serves what is the desk's, and leaves the rest to others.
type panel struct {
	*Desk
	http.Handler
}

// Panel is the panel as the network sees it: the desk's own addresses, shown by p, and
// the rest. No request of another site that could change something gets through.
//
//	GET, POST  /sign-in                   POST /sign-out
//	GET        /sign-in/{provider}        GET  /sign-in/{provider}/callback
//	GET, POST  /invitation/{token}
//	GET, POST  /account/password
func (d *Desk) Panel(p Pages, rest http.Handler) api.Panel {
	h := &handler{Desk: d, pages: p}
	mux := http.NewServeMux()
	for at, serve := range map[string]http.HandlerFunc{
		"GET /sign-in":                     h.signInPage,
		"POST /sign-in":                    h.signIn,
		"POST /sign-out":                   h.signOut,
		"GET /sign-in/{provider}":          h.toProvider,
		"GET /sign-in/{provider}/callback": h.fromProvider,
		"GET /invitation/{token}":          h.invitationPage,
		"POST /invitation/{token}":         h.takeUp,
		"GET /account/password":            h.passwordPage,
		"POST /account/password":           h.changePassword,
	} {
		mux.HandleFunc(at, own(serve))
	}
	mux.Handle("/", rest)
	csrf := http.NewCrossOriginProtection()
	csrf.SetDenyHandler(own(func(w http.ResponseWriter, r *http.Request) {
		p.Problem(w, r, http.StatusForbidden, crossSite())
	}))
	return panel{d, d.overTLS(d.lookForProxies(csrf.Handler(mux)))}
}

// own sets the headers of an answer of the desk's own. Pages may set another policy of
// contents. The policy of referrers is not no-referrer, with which old browsers say that
// a form comes from nowhere.
func own(serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; object-src 'none'; form-action 'self'")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		serve(w, r)
	}
}

// overTLS makes browsers stay with TLS, where the panel is served so.
func (d *Desk) overTLS(h http.Handler) http.Handler {
	if !d.secure() {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Strict-Transport-Security", "max-age=31536000")
		h.ServeHTTP(w, r)
	})
}

// handler is the desk with its pages.
type handler struct {
	*Desk
	pages Pages
}

// local is a path of the panel to go on at. What could lead elsewhere, or back to the
// desk, becomes "/".
func localPath(next string) string {
	u, err := url.Parse(next)
	switch {
	case err != nil || len(next) > mostNext || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//"):
	case u.Scheme != "" || u.Host != "" || u.User != nil || strings.ContainsFunc(next, func(r rune) bool { return r == '\\' || unicode.IsControl(r) }):
	case strings.HasPrefix(u.Path, "//") || strings.Contains(u.Path, `\`) || strings.HasPrefix(u.Path, "/sign-") || strings.HasPrefix(u.Path, "/api/"):
	default:
		return next
	}
	return "/"
}

func (h *handler) show(w http.ResponseWriter, r *http.Request, p SignInPage) {
	p.Local = h.local
	p.Next = localPath(p.Next)
	p.Providers = h.links(p.Next)
	h.pages.SignIn(w, r, p)
}

func (h *handler) signInPage(w http.ResponseWriter, r *http.Request) {
	next := localPath(r.URL.Query().Get("next"))
	if _, ok := h.Who(r); ok {
		http.Redirect(w, r, next, http.StatusSeeOther) //nolint:gosec // a path of ours: localPath
		return
	}
	h.show(w, r, SignInPage{Status: http.StatusOK, Next: next})
}

// form reads a form. It is false where that was answered already.
func (h *handler) form(w http.ResponseWriter, r *http.Request) bool {
	r.Body = http.MaxBytesReader(w, r.Body, mostForm)
	if err := r.ParseForm(); err != nil {
		h.pages.Problem(w, r, http.StatusBadRequest, badForm())
		return false
	}
	return true
}

func (h *handler) signIn(w http.ResponseWriter, r *http.Request) {
	if !h.form(w, r) {
		return
	}
	if !h.local {
		h.pages.Problem(w, r, http.StatusForbidden, noLocal())
		return
	}
	name, next := r.PostForm.Get("name"), r.PostForm.Get("next")
	again := func(status int, m Message) {
		h.show(w, r, SignInPage{Status: status, Error: &m, Name: clip(name), Next: next})
	}
	password := r.PostForm.Get("password")
	a, status, m := h.check(w, r, fold(name), password)
	if m != nil {
		again(status, *m)
		return
	}
	who := admitted{account: a.Name, did: "signed in", how: "with a password"}
	if !h.hasher.current(a.Hash) { // made when a password cost less, or more
		if hash, err := h.hasher.hash(r.Context(), password); err == nil {
			who.change = func(now *store.Account) error { return replaceHash(now, a.Hash, hash) }
		}
	}
	if err := h.admit(w, r, who); err != nil {
		again(http.StatusServiceUnavailable, unsaved())
		return
	}
	http.Redirect(w, r, localPath(next), http.StatusSeeOther)
}

// check finds the account of a name and a password. m is nil, or says why it is not
// known whose they are. It takes as long for an account that is not there.
func (h *handler) check(w http.ResponseWriter, r *http.Request, name, password string) (a *store.Account, status int, m *Message) {
	refuse := func(status int, m Message) (*store.Account, int, *Message) {
		h.reject(status)
		return nil, status, &m
	}
	a = h.account(name)
	from := h.attempt(r, name, a)
	if wait := h.try(from, h.now()); wait > 0 {
		w.Header().Set("Retry-After", retryAfter(wait))
		return refuse(http.StatusTooManyRequests, tooOften(minutes(wait)))
	}
	hash := ""
	if a != nil {
		hash = a.Hash
	}
	if len(password) > mostPassword {
		password = ""
	}
	ok, err := h.hasher.matches(r.Context(), hash, password)
	switch {
	case errors.Is(err, errBusy):
		h.succeeded(from)
		return refuse(http.StatusServiceUnavailable, busy())
	case err != nil:
		h.log.Error("a password was not looked at", whose(a), zap.Error(err))
		return refuse(http.StatusServiceUnavailable, busy())
	case !ok:
		h.log.Warn("sign-in refused", whose(a), zap.Stringer("peer", h.peer(r)))
		return refuse(http.StatusUnauthorized, refused())
	}
	h.succeeded(from)
	if a.Disabled {
		h.log.Warn("sign-in refused", zap.String("account", a.Name), zap.Stringer("peer", h.peer(r)), zap.String("why", "it is disabled"))
		return refuse(http.StatusForbidden, disabled())
	}
	return a, http.StatusOK, nil
}

// whose is the account of an attempt, for the log. What is no account's name may be a
// password that was typed into the wrong field.
func whose(a *store.Account) zap.Field {
	if a == nil {
		return zap.String("why", "there is no such account")
	}
	return zap.String("account", a.Name)
}

// reject counts who is not let in. What fails on this side of the network is nobody's try.
func (d *Desk) reject(status int) {
	if status < http.StatusInternalServerError {
		d.rejected.Add(1)
	}
}

// Refused is how often somebody was not let in since the start.
func (d *Desk) Refused() uint64 { return d.rejected.Load() }

// replaceHash gives an account another hash, unless somebody else has meanwhile.
func replaceHash(a *store.Account, old, hash string) error {
	if a.Hash != old {
		return errors.New("the password was changed by somebody else meanwhile")
	}
	a.Hash = hash
	return nil
}

// retryAfter and minutes are a wait as a header and a person read it.
func retryAfter(wait time.Duration) string { return strconv.Itoa(int(wait/time.Second) + 1) }

func minutes(wait time.Duration) string { return strconv.Itoa(int(math.Ceil(wait.Minutes()))) }

// clip keeps what somebody typed short.
func clip(text string) string {
	const most = 64
	if r := []rune(text); len(r) > most {
		return string(r[:most])
	}
	return text
}

func (h *handler) signOut(w http.ResponseWriter, r *http.Request) {
	if !h.form(w, r) {
		return
	}
	var unwritten error
	if p, ok := h.Who(r); ok && r.PostForm.Get("everywhere") != "" {
		var n int
		n, unwritten = h.sessions.endAll(r.Context(), p.Account)
		h.log.Info("signed out everywhere", zap.String("account", p.Account), zap.Int("sessions", n))
	}
	h.end(w, r)
	if unwritten != nil {
		h.pages.Problem(w, r, http.StatusServiceUnavailable, signedOutForNow())
		return
	}
	http.Redirect(w, r, "/sign-in", http.StatusSeeOther)
}

// end ends the session of a browser, and takes its cookie.
func (d *Desk) end(w http.ResponseWriter, r *http.Request) {
	if token := d.token(r); token != "" {
		_ = d.sessions.DeleteCtx(r.Context(), token) // never fails
	}
	d.cookies.WriteSessionCookie(r.Context(), w, "", time.Time{})
}

// token is what the cookie of a session holds; "": there is none.
func (d *Desk) token(r *http.Request) string {
	cookie, err := r.Cookie(d.cookies.Cookie.Name)
	if err != nil || len(cookie.Value) > mostCookie {
		return ""
	}
	return cookie.Value
}

func (h *handler) passwordPage(w http.ResponseWriter, r *http.Request) {
	if p, ok := h.mayHavePassword(w, r); ok {
		h.pages.Password(w, r, PasswordPage{Status: http.StatusOK, Person: p, Least: leastPassword})
	}
}

func (h *handler) mayHavePassword(w http.ResponseWriter, r *http.Request) (Person, bool) {
	p, ok := h.Who(r)
	if !ok {
		m := signInFirst()
		h.show(w, r, SignInPage{Status: http.StatusUnauthorized, Error: &m, Next: "/account/password"})
		return p, false
	}
	if p.Provider != "" {
		h.pages.Problem(w, r, http.StatusForbidden, noPassword(h.titleOf(p.Provider)))
		return p, false
	}
	return p, true
}

func (h *handler) changePassword(w http.ResponseWriter, r *http.Request) {
	p, ok := h.mayHavePassword(w, r)
	if !ok || !h.form(w, r) {
		return
	}
	again := func(status int, m Message) {
		h.pages.Password(w, r, PasswordPage{Status: status, Error: &m, Person: p, Least: leastPassword})
	}
	password := r.PostForm.Get("password")
	if m := weak(password, p.Account); m != nil {
		again(http.StatusUnprocessableEntity, *m)
		return
	}
	if password != r.PostForm.Get("again") {
		again(http.StatusUnprocessableEntity, passwordsDiffer())
		return
	}
	a, status, m := h.check(w, r, p.Account, r.PostForm.Get("old"))
	if m != nil {
		if m.Key == refused().Key {
			*m = oldWrong()
		}
		again(status, *m)
		return
	}
	hash, err := h.hasher.hash(r.Context(), password)
	if err != nil {
		again(http.StatusServiceUnavailable, busy())
		return
	}
	err = h.admit(w, r, admitted{
		account: a.Name, did: "password changed", alone: true,
		change: func(now *store.Account) error { return replaceHash(now, a.Hash, hash) },
	})
	if err != nil {
		again(http.StatusServiceUnavailable, unsaved())
		return
	}
	h.pages.Password(w, r, PasswordPage{Status: http.StatusOK, Person: p, Done: true, Least: leastPassword})
}
