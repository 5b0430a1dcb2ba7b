package signin

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
)

// Role is what somebody may do in the panel. Each includes the ones before it.
type Role string

// The roles, from the least to the most.
const (
	User          Role = "user"          // sees everybody, and sets the own status
	Operator      Role = "operator"      // also others', where the configuration lets operators
	Administrator Role = "administrator" // also everything else
)

// Roles are all of them, from the least to the most.
func Roles() []Role { return []Role{User, Operator, Administrator} }

func (r Role) covers(need Role) bool { return slices.Index(Roles(), r) >= slices.Index(Roles(), need) }

// Rights say what somebody may do to status types. Administrators have all of them.
type Rights struct{ Create, Modify, Delete bool }

// rightWords are the rights as they are kept and shown.
func rightWords() []string { return []string{"create", "modify", "delete"} }

func parseRights(words string) Rights {
	has := strings.Fields(words)
	return Rights{slices.Contains(has, "create"), slices.Contains(has, "modify"), slices.Contains(has, "delete")}
}

// Person is somebody who has signed in.
type Person struct {
	Account     string // its name, as it stands behind "panel" in the history
	Name        string // of the person, else of the user, else of the account
	User        presence.UserID
	Role        Role
	Rights      Rights
	Others      bool            // may set the status of others
	Language    string          // "": what the browser asks for
	Preferences json.RawMessage // an object
	Provider    string          // who says that it is them; "": a password, which they may change
	SignedIn    time.Time       // when this session began
}

const (
	// mostAccounts bounds what is in memory: each may have as much of preferences.
	mostAccounts    = 20_000
	mostPreferences = 16 << 10 // bytes
	noPreferences   = "{}"
)

// accountName is what an account may be called: it becomes part of a path, and of the
// history. Capitals are taken for small letters, so that nobody is called almost so.
var accountName = regexp.MustCompile(`^[a-z0-9_][a-z0-9_.@-]{0,63}$`)

// fold is a name as it is kept.
func fold(name string) string { return strings.ToLower(strings.TrimSpace(name)) }

// reserved are names that say something else where they stand behind "panel".
func reserved(name string) bool { return name == "local" }

// person is who has an account.
func (d *Desk) person(a *store.Account, began time.Time) Person {
	p := Person{
		Account: a.Name, Name: a.Title, User: a.User, Role: Role(a.Role), Rights: parseRights(a.Rights),
		Language: a.Language, Preferences: json.RawMessage(a.Preferences), Provider: a.Provider, SignedIn: began,
	}
	if p.Role == Administrator {
		p.Rights = Rights{true, true, true}
	}
	p.Others = d.operatorsMaySet && p.Role.covers(Operator)
	if name, ok := d.people.NameOf(a.User); ok && p.Name == "" {
		p.Name = name
	}
	if p.Name == "" {
		p.Name = a.Name
	}
	return p
}
