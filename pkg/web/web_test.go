package web

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/presencebridge/presencebridge/pkg/signin"
)

// desk is one at which who sends the cookie "who" has signed in.
type desk map[string]signin.Person

func (d desk) Who(r *http.Request) (signin.Person, bool) {
	c, err := r.Cookie("who")
	if err != nil {
		return signin.Person{}, false
	}
	p, ok := d[c.Value]
	return p, ok
}

func (d desk) SignInLinks() []signin.SignInLink {
	return []signin.SignInLink{{URL: "https://panel.example/sign-in"}, {Name: "x", Title: hostile, URL: "https://panel.example/sign-in/x"}}
}

// at has the pages show those of the desk.
func (d desk) at(p *Pages) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/sign-in", func(w http.ResponseWriter, r *http.Request) {
		p.SignIn(w, r, signin.SignInPage{
			Status: http.StatusUnauthorized, Local: true, Name: hostile, Next: hostile,
			Error:     &signin.Message{Text: "There is an account {name} already; choose another name.", Args: map[string]string{"name": hostile}},
			Providers: []signin.ProviderLink{{Name: "x", Title: hostile, Path: "/sign-in/x", Down: true}},
		})
	})
	mux.HandleFunc("/invitation/x", func(w http.ResponseWriter, r *http.Request) {
		p.Invitation(w, r, signin.InvitationPage{Status: http.StatusOK, Name: hostile, NameChosen: true, Least: 12})
	})
	mux.HandleFunc("/account/password", func(w http.ResponseWriter, r *http.Request) {
		who, _ := d.Who(r)
		p.Password(w, r, signin.PasswordPage{Status: http.StatusOK, Person: who, Done: true, Least: 12})
	})
	mux.Handle("/", p)
	return mux
}

const hostile = `"><img src=x onerror=alert(1)>{{.}}`

func people() desk {
	return desk{
		"user":          {Account: "alice", Name: hostile, User: "alice", Role: signin.User},
		"nobody":        {Account: "nn", Name: "N. N.", Role: signin.User},
		"maker":         {Account: "m", Name: "Maker", User: "m", Role: signin.User, Rights: signin.Rights{Create: true}, Language: "pt-BR"},
		"operator":      {Account: "otto", Name: "Otto", User: "otto", Role: signin.Operator},
		"administrator": {Account: "root", Name: "Root", User: "root", Role: signin.Administrator, Language: "de"},
	}
}

func open(t *testing.T) *Pages {
	t.Helper()
	p, err := New(people(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func ask(p *Pages, who, path string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	if who != "" {
		r.AddCookie(&http.Cookie{Name: "who", Value: who})
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	people().at(p).ServeHTTP(w, r)
	return w
}

// Every page is in the table: a new one has to say who may see it.
func TestPagesAreForThoseWhoMaySeeThem(t *testing.T) {
	p := open(t)
	for at, want := range map[string]string{ // who gets it
		"/{$}":        "user nobody maker operator administrator",
		"/me":         "user nobody maker operator administrator",
		"/users/{id}": "user nobody maker operator administrator",
		"/sync":       "maker administrator",
		"/health":     "operator administrator",
		"/accounts":   "administrator",
	} {
		if _, ok := pages[at]; !ok {
			t.Errorf("%s is no page", at)
		}
		path := strings.NewReplacer("{$}", "", "{id}", "bob%2F..").Replace(at)
		for who := range people() {
			w := ask(p, who, path)
			switch may := strings.Contains(" "+want+" ", " "+who+" "); {
			case may && (w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "</html>")):
				t.Errorf("%s for %s: %d", path, who, w.Code)
			case !may && (w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "more rights")):
				t.Errorf("%s for %s: %d, want 403", path, who, w.Code)
			case !may && strings.Contains(ask(p, who, "/").Body.String(), `href="`+path+`"`):
				t.Errorf("%s is offered to %s", path, who)
			}
		}
		w := ask(p, "", path)
		if to := w.Header().Get("Location"); w.Code != http.StatusSeeOther || !strings.HasPrefix(to, "/sign-in") {
			t.Errorf("%s for who has not signed in: %d %s", path, w.Code, to)
		}
	}
	if len(pages) != 6 {
		t.Errorf("%d pages: add the new one above", len(pages))
	}
}

func TestWhoSignsInComesBackToThePage(t *testing.T) {
	w := ask(open(t), "", "/users/bob?x=1&y=//evil.example")
	if got := w.Header().Get("Location"); got != "/sign-in?next=%2Fusers%2Fbob%3Fx%3D1%26y%3D%2F%2Fevil.example" {
		t.Errorf("leads to %s", got)
	}
}

// What comes from outside is text wherever it stands.
func TestNamesAreTextAndNeverMarkup(t *testing.T) {
	p := open(t)
	for who, paths := range map[string][]string{
		"user":          {"/", "/me", "/users/" + strings.ReplaceAll(hostile, " ", "%20"), "/account/password", "/nothing"},
		"":              {"/sign-in", "/invitation/x", "/nothing"},
		"administrator": {"/accounts"},
	} {
		for _, path := range paths {
			path = strings.NewReplacer(`"`, "%22", "<", "%3C", ">", "%3E").Replace(path)
			body := ask(p, who, path).Body.String()
			if strings.Contains(body, "<img src=x") || strings.Contains(body, "ZgotmplZ") || !strings.Contains(body, "</html>") {
				t.Errorf("%s:\n%s", path, body)
			}
		}
	}
}

var inline = regexp.MustCompile(`(?i)<script[^>]*>[^<]|<style|\son[a-z]+=|\sstyle=|javascript:`)

func TestNoPageHasScriptsOrStylesInIt(t *testing.T) {
	p := open(t)
	for _, path := range []string{"/", "/me", "/users/bob", "/sync", "/health", "/accounts", "/sign-in", "/account/password", "/nothing"} {
		w := ask(p, "administrator", path)
		if found := inline.FindString(w.Body.String()); found != "" && path != "/sign-in" && path != "/accounts" { // there the hostile name has it, as text
			t.Errorf("%s has %q", path, found)
		}
		for name, want := range map[string]string{
			"Content-Security-Policy": "script-src 'self';", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Cache-Control": "no-store",
			"Referrer-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin",
		} {
			if got := w.Header().Get(name); !strings.Contains(got, want) {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
		for _, word := range []string{"unsafe-inline", "unsafe-eval", "http:", "*"} {
			if strings.Contains(w.Header().Get("Content-Security-Policy"), word) {
				t.Errorf("the policy has %s", word)
			}
		}
	}
}

func TestThePageSpeaksTheReadersLanguage(t *testing.T) {
	p := open(t)
	for _, tc := range []struct{ who, accept, want string }{
		{"user", "", "en"},
		{"user", "fr-CH, fr;q=0.9, en;q=0.8", "fr"},
		{"user", "de-AT", "de"},
		{"user", "ja, zh", "en"},
		{"user", strings.Repeat("x-", 5000), "en"},
		{"maker", "fr", "fr"},         // what is chosen is no language of ours
		{"administrator", "fr", "de"}, // what the person has chosen goes first
	} {
		w := ask(p, tc.who, "/", "Accept-Language", tc.accept)
		if want := fmt.Sprintf(`<html lang="%s"`, tc.want); !strings.Contains(w.Body.String(), want) || w.Header().Get("Content-Language") != tc.want {
			t.Errorf("%s with %.20q: %s, want %s", tc.who, tc.accept, w.Header().Get("Content-Language"), tc.want)
		}
	}
}

func TestWhatPagesAreMadeOfIsKeptByBrowsers(t *testing.T) {
	p := open(t)
	links := regexp.MustCompile(`(?:href|src)="(/assets/[^"]+)"`).FindAllStringSubmatch(ask(p, "administrator", "/").Body.String(), -1)
	if len(links) < 3 {
		t.Fatalf("%d links", len(links))
	}
	for _, m := range links {
		w := ask(p, "", m[1], "Accept-Encoding", "gzip")
		if w.Code != http.StatusOK || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") || w.Header().Get("Content-Type") == "" {
			t.Errorf("%s: %d %v", m[1], w.Code, w.Header())
		}
		plain := ask(p, "", m[1]).Body.String()
		if w.Header().Get("Content-Encoding") == "gzip" {
			z, err := gzip.NewReader(w.Body)
			if err != nil {
				t.Fatal(err)
			}
			if text, err := io.ReadAll(z); err != nil || string(text) != plain {
				t.Errorf("%s: zipped it is not the same: %v", m[1], err)
			}
		}
	}
	if w := ask(p, "", p.assets.prefix+"../web.go"); w.Code == http.StatusOK {
		t.Error("a file beside the assets was sent")
	}
	if w := ask(p, "", p.assets.prefix+"nothing.js"); w.Code != http.StatusNotFound {
		t.Errorf("a file that is not there: %d", w.Code)
	}
}

var (
	imported = regexp.MustCompile(`(?:import|export)\s+(?:\{([^}]*)\}\s*from\s*)?"\./([^"]+)"`)
	exported = regexp.MustCompile(`(?m)^export (?:async )?(?:function\*?|class|const|let) (\w+)|^export \{([^}]*)\};`)
	anImport = regexp.MustCompile(`(?m)^\s*import\b|\bimport\(|^export\b.*\bfrom\b`)
)

// names are those of a list in braces: as is how the other side calls what stands before it.
func names(list string, otherSide bool) (all []string) {
	for one := range strings.SplitSeq(list, ",") {
		name, as, renamed := strings.Cut(strings.TrimSpace(one), " as ")
		if renamed && otherSide {
			name = as
		}
		if name != "" {
			all = append(all, name)
		}
	}
	return all
}

// exports are what a script has for others.
func exports(text string) []string {
	var all []string
	for _, m := range exported.FindAllStringSubmatch(text, -1) {
		all = append(all, names(m[1]+","+m[2], true)...)
	}
	return all
}

// A script imports what is there. A name that is not makes a browser run nothing of it.
func TestScriptsImportWhatIsThere(t *testing.T) {
	p := open(t)
	for name, a := range p.assets.files {
		if !strings.HasSuffix(name, ".js") {
			continue
		}
		imports := imported.FindAllStringSubmatch(string(a.text), -1)
		if n := len(anImport.FindAllString(string(a.text), -1)); n != len(imports) {
			t.Errorf("%s: of %d imports %d are looked at: write import { name } from \"./file.js\"", name, n, len(imports))
		}
		for _, m := range imports {
			from, ok := p.assets.files[m[2]]
			if !ok {
				t.Errorf("%s imports %s, which is not there", name, m[2])
				continue
			}
			there := exports(string(from.text))
			for _, want := range names(m[1], false) {
				if !slices.Contains(there, want) {
					t.Errorf("%s imports %s from %s, which exports %v", name, want, m[2], there)
				}
			}
		}
		if regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function`).Match(a.text) {
			t.Errorf("%s makes markup of a text", name)
		}
	}
	for at, page := range pages {
		if _, ok := p.assets.files[page.name+".js"]; !ok {
			t.Errorf("%s has no script %s.js", at, page.name)
		}
	}
}
