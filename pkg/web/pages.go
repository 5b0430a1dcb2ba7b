package web

import (
	"net/http"
	"net/url"

	"github.com/presencebridge/presencebridge/pkg/signin"
)

// page is a page for those who have signed in.
type page struct {
	name  string // of its template
	title string // in English
	needs func(*signin.Person) bool
}

// pages are all of them, by address.
var pages = map[string]page{
	"/{$}":        {"board", "Board", everybody},
	"/me":         {"me", "My status", everybody},
	"/users/{id}": {"user", "Why?", everybody},
	"/sync":       {"sync", "Status sync", editors},
	"/health":     {"health", "Health", operators},
	"/accounts":   {"accounts", "Accounts", administrators},
}

// menu is the order in which they are offered.
var menu = []string{"/{$}", "/me", "/sync", "/health", "/accounts"}

func everybody(*signin.Person) bool { return true }

func operators(p *signin.Person) bool {
	return p.Role == signin.Operator || p.Role == signin.Administrator
}

func administrators(p *signin.Person) bool { return p.Role == signin.Administrator }

// editors may change status types, and administrators the rest of the page, too.
func editors(p *signin.Person) bool {
	return administrators(p) || p.Rights.Create || p.Rights.Modify || p.Rights.Delete
}

// shown is what pages have from the start; the rest their scripts fetch.
type shown struct {
	ID    string // of the user whose page it is
	Links []signin.SignInLink
}

// show answers with a page, or leads to where one signs in for it.
func (p *Pages) show(w http.ResponseWriter, r *http.Request, page page) {
	who, ok := p.desk.Who(r)
	if !ok {
		signIn := "/sign-in"
		if at := r.URL.RequestURI(); at != "/" {
			signIn += "?next=" + url.QueryEscape(at)
		}
		http.Redirect(w, r, signIn, http.StatusSeeOther)
		return
	}
	if !page.needs(&who) {
		p.Problem(w, r, http.StatusForbidden, signin.Message{Text: "This page takes more rights than you have. Ask an administrator of the panel."})
		return
	}
	p.render(w, r, http.StatusOK, view{Name: page.name, Title: page.title, Who: &who, Nav: nav(&who, r.URL.Path), Data: shown{r.PathValue("id"), p.desk.SignInLinks()}})
}

// nav is to where who may go.
func nav(who *signin.Person, here string) []link {
	var links []link
	for _, at := range menu {
		page := pages[at]
		if at == "/{$}" {
			at = "/"
		}
		if page.needs(who) {
			links = append(links, link{at, page.title, at == here})
		}
	}
	return links
}

// SignIn shows where one signs in. It is part of signin.Pages, as are the next ones.
func (p *Pages) SignIn(w http.ResponseWriter, r *http.Request, s signin.SignInPage) {
	p.render(w, r, s.Status, view{Name: "signin", Title: "Sign in", Data: s})
}

// Invitation shows where one who was invited chooses a password.
func (p *Pages) Invitation(w http.ResponseWriter, r *http.Request, i signin.InvitationPage) {
	p.render(w, r, i.Status, view{Name: "invitation", Title: "Choose a password", Data: i})
}

// Password shows where one changes the password.
func (p *Pages) Password(w http.ResponseWriter, r *http.Request, c signin.PasswordPage) {
	p.render(w, r, c.Status, view{Name: "password", Title: "Change your password", Who: &c.Person, Nav: nav(&c.Person, r.URL.Path), Data: c})
}

// Problem says why there is nothing else to see.
func (p *Pages) Problem(w http.ResponseWriter, r *http.Request, status int, m signin.Message) {
	v := view{Name: "problem", Title: "That did not work", Data: &m}
	if who, ok := p.desk.Who(r); ok {
		v.Who, v.Nav = &who, nav(&who, "")
	}
	p.render(w, r, status, v)
}
