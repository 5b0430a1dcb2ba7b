package storetest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
)

// account has text wherever somebody may set some.
func account(name, text string, n int) *store.Account {
	return &store.Account{
		Name: name, Title: text, Hash: "$argon2id$" + text, User: presence.UserID(text), Role: "user", Rights: "create delete", Disabled: n%2 == 1,
		Made: at(n), MadeBy: "cli", SignedIn: at(n + 1), Provider: "google", Subject: fmt.Sprint(n, text), Language: "de", Preferences: `{"x":"` + text + `"}`,
	}
}

func invitation(hash string, n int) *store.Invitation {
	return &store.Invitation{Hash: hash, User: "alice", Role: "operator", Rights: "modify", Again: n%2 == 1, Made: at(n), MadeBy: "cli", Expires: at(n + 60)}
}

func addAccount(t *testing.T, s *store.SQL, a *store.Account) {
	t.Helper()
	noError(t, s.PutAccount(t.Context(), a, act("account made", a.Name)))
	i := invitation("invitation to "+a.Name, 1)
	i.Hash = fmt.Sprintf("%.60q", i.Hash)
	noError(t, s.Invite(t.Context(), i, nil, act("invited", a.Name)))
}

func allAccounts(t *testing.T, s *store.SQL) []store.Account {
	t.Helper()
	list, err := s.Accounts(t.Context())
	noError(t, err)
	return list
}

func accounts(t *testing.T, o Opener) {
	s := open(t, o)
	same(t, "accounts of a new store", len(allAccounts(t, s)), 0)
	local := account("local", "", 1)
	local.Provider, local.Subject, local.SignedIn = "", "", time.Time{}
	another := *local
	another.Name, another.Preferences = "local2", `{"long":"`+strings.Repeat("ü", 8000)+`"}`
	noError(t, s.PutAccount(t.Context(), local, nil))
	noError(t, s.PutAccount(t.Context(), &another, act("account made", "local2")))
	want := []store.Account{*account("a", nasty[1], 2), *local, another}
	noError(t, s.PutAccount(t.Context(), account("a", "before", 7), act("account made", "a")))
	noError(t, s.PutAccount(t.Context(), &want[0], act("account changed", "a")))
	closeStore(t, s, true)
	s = open(t, o)
	same(t, "accounts", allAccounts(t, s), want)

	twice := account("b", nasty[1], 2)
	if err := s.PutAccount(t.Context(), twice, act("account made", "twice")); err == nil {
		t.Error("two accounts are one person of a provider")
	}
	noError(t, s.SaveSessions(t.Context(), []store.LoginSession{{Hash: "1", Account: "a", Data: "{}", Expires: at(60)}}, nil, at(0)))
	i := invitation("2", 1)
	i.Name = "a"
	noError(t, s.Invite(t.Context(), i, nil, act("invited", "a")))
	noError(t, s.RemoveAccount(t.Context(), "a", act("account removed", "a")))
	noError(t, s.RemoveAccount(t.Context(), "nobody", act("account removed", "nobody")))
	same(t, "accounts", allAccounts(t, s), want[1:])
	left, err := s.Sessions(t.Context(), at(0))
	noError(t, err)
	invited, err := s.Invitations(t.Context())
	noError(t, err)
	same(t, "what is left of the account", len(left)+len(invited), 0)
	done, err := s.Audit(t.Context(), store.Query{})
	noError(t, err)
	same(t, "acts", len(done), 6)
}

func invitations(t *testing.T, o Opener) {
	s := open(t, o)
	reset := account("a", "", 2)
	noError(t, s.Invite(t.Context(), invitation("1", 1), reset, act("invited", "a")))
	noError(t, s.Invite(t.Context(), invitation("2", 2), nil, act("invited", "anybody")))
	noError(t, s.Invite(t.Context(), invitation("3", 3), nil, act("invited", "anybody")))
	if err := s.Invite(t.Context(), invitation("3", 3), account("b", "x", 9), act("invited", "twice")); err == nil {
		t.Error("an invitation is there twice")
	}
	noError(t, s.RemoveInvitations(t.Context(), []string{"2", "nothing"}, nil))
	closeStore(t, s, true)
	s = open(t, o)
	all, err := s.Invitations(t.Context())
	noError(t, err)
	same(t, "invitations", all, []store.Invitation{*invitation("1", 1), *invitation("3", 3)})
	same(t, "accounts", allAccounts(t, s), []store.Account{*reset})

	for _, want := range []bool{true, false} {
		ok, err := s.TakeUp(t.Context(), "3", account("b", "", 4), act("account made", "b"))
		noError(t, err)
		same(t, "taken up", ok, want)
	}
	same(t, "accounts", allAccounts(t, s), []store.Account{*reset, *account("b", "", 4)})
	if ok, err := s.TakeUp(t.Context(), "1", account("c", "", 4), act("account made", "c")); ok || err == nil {
		t.Errorf("taken up for an account that cannot be: %v, %v", ok, err)
	}
	all, err = s.Invitations(t.Context())
	noError(t, err)
	same(t, "invitations", all, []store.Invitation{*invitation("1", 1)})
	done, err := s.Audit(t.Context(), store.Query{})
	noError(t, err)
	same(t, "acts", len(done), 4)
}

func sessions(t *testing.T, o Opener) {
	s := open(t, o)
	session := func(hash string, n int) store.LoginSession {
		return store.LoginSession{Hash: hash, Account: "alice", Data: `{"n":"` + fmt.Sprint(n) + `"}`, Expires: at(n)}
	}
	noError(t, s.SaveSessions(t.Context(), []store.LoginSession{session("1", 10), session("2", 20), session("3", 30)}, nil, at(0)))
	noError(t, s.SaveSessions(t.Context(), []store.LoginSession{session("3", 40)}, []string{"2", "nothing"}, at(0)))
	closeStore(t, s, true)
	s = open(t, o)
	for now, want := range map[int][]store.LoginSession{0: {session("1", 10), session("3", 40)}, 10: {session("3", 40)}, 40: nil} {
		got, err := s.Sessions(t.Context(), at(now))
		noError(t, err)
		same(t, fmt.Sprint("sessions at ", now), got, want)
	}
	noError(t, s.SaveSessions(t.Context(), nil, nil, at(10)))
	got, err := s.Sessions(t.Context(), at(0))
	noError(t, err)
	same(t, "those that have not run out", got, []store.LoginSession{session("3", 40)})
}
