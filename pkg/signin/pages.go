package signin

import (
	"net/http"
	"strings"
)

// Pages are what people see of signing in. Whoever implements them writes the whole
// answer, the status included, and no header that sets a cookie.
type Pages interface {
	SignIn(w http.ResponseWriter, r *http.Request, p SignInPage)
	Invitation(w http.ResponseWriter, r *http.Request, p InvitationPage)
	Password(w http.ResponseWriter, r *http.Request, p PasswordPage)
	// Problem says why there is nothing else to see, and leads back to /sign-in.
	Problem(w http.ResponseWriter, r *http.Request, status int, m Message)
}

// Message is a sentence for somebody who signs in. Key is stable, so that it can be
// translated; Text is the English of it. Both speak of {name}, of which Args has the
// values: they come from outside, so they are to be escaped as any text.
type Message struct {
	Key  string
	Text string
	Args map[string]string // nil: there is nothing to fill in
}

// String is the English sentence, filled in.
func (m Message) String() string { return m.Fill(m.Text) }

// Fill puts the arguments into a translation of the sentence.
func (m Message) Fill(text string) string {
	var pairs []string
	for name, value := range m.Args {
		pairs = append(pairs, "{"+name+"}", value)
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// SignInPage is the page at which people sign in. Its form is a POST to /sign-in with
// name, password and next.
//
//nolint:revive // there are other pages, and Page would be any of them
type SignInPage struct {
	Status    int      // of HTTP
	Error     *Message // why the last try did not; nil: there was none
	Local     bool     // there are accounts with passwords
	Name      string   // as it was typed
	Next      string   // where to go on: a path of the panel
	Providers []ProviderLink
}

// ProviderLink leads to somebody who says who people are.
type ProviderLink struct {
	Name  string
	Title string // for people
	Path  string // /sign-in/NAME, with next; it can be copied
	Down  bool   // it could not be reached when it was last tried
}

// SignInLink leads straight to one way to sign in, for administrators to give away.
//
//nolint:revive // of what, Link would not say
type SignInLink struct {
	Name  string // of the provider; "": the page with all ways
	Title string // for people
	URL   string // whole
}

// InvitationPage is the page at which somebody chooses a password for the first time, or
// anew. Its form is a POST to where it stands, with name (where it may be chosen),
// password and again.
type InvitationPage struct {
	Status     int
	Error      *Message
	Name       string // of the account, or as it was typed
	NameChosen bool   // the name is given, and not to be typed
	Reset      bool   // the account is there already
	Role       Role
	Least      int // characters of a password
}

// PasswordPage is the page at which who has signed in changes the password. Its form is
// a POST to /account/password with old, password and again.
type PasswordPage struct {
	Status int
	Error  *Message
	Person Person
	Done   bool // it was changed, and all other sessions have ended
	Least  int
}
