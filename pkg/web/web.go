// Package web is the web panel: pages for people, beside the API on the network.
//
// It serves markup, style sheets, scripts and messages, and says who may see which
// page. What the pages show and change goes over the API, with the session of who has
// signed in: the package reads no user and decides nothing. Nobody needs Node to build
// it, and what it sends runs without anything from elsewhere.
package web

import (
	"bytes"
	"fmt"
	"html/template"
	"net/http"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/signin"
)

// Desk tells who has signed in, and how one does.
type Desk interface {
	// Who has signed in with the browser that sent r; ok is false where nobody has.
	Who(r *http.Request) (who signin.Person, ok bool)
	// SignInLinks lead to the ways to sign in.
	SignInLinks() []signin.SignInLink
}

// Pages are what people see: those of the panel, which it serves itself, and those of
// the desk, which the desk has it show.
type Pages struct {
	desk   Desk
	log    *zap.Logger
	assets *assets
	pages  map[string]*template.Template // by language
	mux    *http.ServeMux
}

// New returns the pages for those who sign in at d. log may be nil.
func New(d Desk, log *zap.Logger) (*Pages, error) {
	if log == nil {
		log = zap.NewNop()
	}
	p := &Pages{desk: d, log: log, pages: map[string]*template.Template{}, mux: http.NewServeMux()}
	var err error
	if p.assets, err = newAssets(); err != nil {
		return nil, err
	}
	for _, lang := range Languages() {
		messages, err := messagesOf(lang)
		if err != nil {
			return nil, err
		}
		p.pages[lang], err = template.New(lang).Funcs(template.FuncMap{"t": messages.text, "say": messages.say}).ParseFS(files, "templates/*.html")
		if err != nil {
			return nil, fmt.Errorf("pages in %s: %w", lang, err)
		}
	}
	p.mux.Handle("GET "+p.assets.prefix, p.assets)
	for at, page := range pages {
		p.mux.HandleFunc("GET "+at, func(w http.ResponseWriter, r *http.Request) { p.show(w, r, page) })
	}
	p.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		p.Problem(w, r, http.StatusNotFound, signin.Message{Text: "There is nothing here."})
	})
	return p, nil
}

// ServeHTTP answers one request for a page or for what a page is made of.
func (p *Pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	secure(w.Header())
	p.mux.ServeHTTP(w, r)
}

// policy lets a page load what this server sends and nothing else, run no script that
// stands in it, and be shown in no frame. Texts from phones are attackers' texts: with
// trusted types no script of ours can make markup of one even by mistake.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; manifest-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

func secure(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY") // for browsers that do not know frame-ancestors
}

// view is what a template is shown.
type view struct {
	Lang      string
	Languages []Language
	Chosen    string // language; "": as the browser says
	Assets    string // the address of what pages are made of, with a slash at its end
	Messages  string // the address of the messages for scripts; "": English, which needs none
	Name      string // of the template
	Script    string // of the page
	Title     string // in English
	Nav       []link // to where this person may go
	Who       *signin.Person
	Data      any
}

// link leads to a page.
type link struct {
	At, Text string
	Here     bool
}

// render answers with a page. What cannot be rendered is no half a page.
func (p *Pages) render(w http.ResponseWriter, r *http.Request, status int, v view) {
	v.Lang = p.language(r, v.Who)
	v.Languages = languages
	if v.Who != nil {
		v.Chosen = v.Who.Language
	}
	v.Assets = p.assets.prefix
	v.Script = v.Name + ".js"
	if _, ok := p.assets.files[v.Script]; !ok {
		v.Script = "plain.js"
	}
	if v.Lang != "en" {
		v.Messages = p.assets.prefix + "messages/" + v.Lang + ".json"
	}
	var text bytes.Buffer
	if err := p.pages[v.Lang].ExecuteTemplate(&text, v.Name, v); err != nil {
		p.log.Error("page not shown", zap.String("page", v.Name), zap.Error(err))
		http.Error(w, "The page cannot be shown; the log of the bridge says why.", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	secure(h)
	h.Set("Cache-Control", "no-store") // it is somebody's
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", v.Lang)
	h.Add("Vary", "Accept-Language, Cookie")
	w.WriteHeader(status)
	_, _ = w.Write(text.Bytes())
}

var _ signin.Pages = (*Pages)(nil)
