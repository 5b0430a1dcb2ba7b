package main

import (
	"html/template"
	"net/http"

	"github.com/presencebridge/presencebridge/pkg/signin"
)

// plainPages are pages to sign in without any decoration: forms that every browser has.
type plainPages struct{ desk *signin.Desk }

var plainPage = template.Must(template.New("").Parse(`
{{- define "head"}}<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{{.}} - Presence Bridge</title></head><body><h1>{{.}}</h1>{{end}}
{{- define "error"}}{{with .}}<p role="alert">{{.}}</p>{{end}}{{end}}
{{- define "choose"}}<p><label>Password (at least {{.}} characters) <input type="password" name="password" autocomplete="new-password" required></label></p>
<p><label>The same again <input type="password" name="again" autocomplete="new-password" required></label></p>{{end}}
{{- define "sign-in"}}{{template "head" "Sign in"}}{{template "error" .Error}}
{{- range .Providers}}<p><a href="{{.Path}}">Sign in with {{.Title}}</a>{{if .Down}} (cannot be reached at the moment){{end}}</p>{{end}}
{{- if .Local}}<form method="post" action="/sign-in"><input type="hidden" name="next" value="{{.Next}}">
<p><label>Name <input name="name" value="{{.Name}}" autocomplete="username" required></label></p>
<p><label>Password <input type="password" name="password" autocomplete="current-password" required></label></p>
<p><button>Sign in</button></p></form>{{end}}</body></html>{{end}}
{{- define "invitation"}}{{template "head" "Choose a password"}}{{template "error" .Error}}<form method="post">
<p><label>Name <input name="name" value="{{.Name}}" autocomplete="username" required{{if .NameChosen}} readonly{{end}}></label></p>
{{template "choose" .Least}}<p><button>Go on as {{.Role}}</button></p></form></body></html>{{end}}
{{- define "password"}}{{template "head" "Change the password"}}{{template "error" .Error}}{{if .Done}}<p>It is changed, and all other browsers are signed out.</p><p><a href="/">Go on</a></p>{{else}}<form method="post">
<p><label>Present password <input type="password" name="old" autocomplete="current-password" required></label></p>
{{template "choose" .Least}}<p><button>Change it</button></p></form>{{end}}</body></html>{{end}}
{{- define "problem"}}{{template "head" "Presence Bridge"}}{{template "error" .}}<p><a href="/sign-in">Sign in</a></p></body></html>{{end}}
{{- define "home"}}{{template "head" "Presence Bridge"}}<p>You are {{.Name}}, and have signed in as {{.Role}}.</p>
<p><a href="/api/v1/users">All users</a> &middot; <a href="/api/v1/me">What you may do</a>{{if not .Provider}} &middot; <a href="/account/password">Change the password</a>{{end}}</p>
<form method="post" action="/sign-out"><button>Sign out</button> <button name="everywhere" value="1">Sign out everywhere</button></form></body></html>{{end}}`))

func writePlain(w http.ResponseWriter, status int, page string, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_ = plainPage.ExecuteTemplate(w, page, data) // whether anybody is there to read it is not our business
}

// SignIn is of signin.Pages.
func (plainPages) SignIn(w http.ResponseWriter, _ *http.Request, p signin.SignInPage) {
	writePlain(w, p.Status, "sign-in", p)
}

// Invitation is of signin.Pages.
func (plainPages) Invitation(w http.ResponseWriter, _ *http.Request, p signin.InvitationPage) {
	writePlain(w, p.Status, "invitation", p)
}

// Password is of signin.Pages.
func (plainPages) Password(w http.ResponseWriter, _ *http.Request, p signin.PasswordPage) {
	writePlain(w, p.Status, "password", p)
}

// Problem is of signin.Pages.
func (plainPages) Problem(w http.ResponseWriter, _ *http.Request, status int, m signin.Message) {
	writePlain(w, status, "problem", m)
}

// home is all that there is behind the sign-in.
func (p plainPages) home(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	who, ok := p.desk.Who(r)
	switch {
	case r.URL.Path != "/":
		writePlain(w, http.StatusNotFound, "problem", signin.NotThere())
	case !ok:
		http.Redirect(w, r, "/sign-in", http.StatusSeeOther)
	default:
		writePlain(w, http.StatusOK, "home", who)
	}
}
