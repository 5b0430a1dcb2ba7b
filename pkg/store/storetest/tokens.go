package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/store"
)

func token(name string, n int) *store.Token {
	return &store.Token{Name: name, Hash: fmt.Sprintf("%064d", n), Scope: "own", User: "alice", Made: at(n), MadeBy: "cli", Expires: at(n + 60)}
}

func act(did, what string) *store.Act {
	return &store.Act{At: at(0), By: "api " + did, Did: did, What: what}
}

// addToken adds a token made from a text that somebody may give, and the act.
func addToken(t *testing.T, s *store.SQL, tok *store.Token) {
	t.Helper()
	if err := s.AddToken(t.Context(), tok, act("made", tok.Name)); err != nil {
		t.Fatalf("add %q: %v", tok.Name, err)
	}
}

func allTokens(t *testing.T, s *store.SQL) []store.Token {
	t.Helper()
	list, err := s.Tokens(t.Context())
	if err != nil {
		t.Fatalf("tokens: %v", err)
	}
	return list
}

func tokens(t *testing.T, o Opener) {
	s := open(t, o)
	same(t, "tokens of a new store", len(allTokens(t, s)), 0)
	forEver := token("crm", 2)
	forEver.Expires, forEver.User, forEver.Scope = time.Time{}, "", "read"
	addToken(t, s, token("wallboard", 1))
	addToken(t, s, forEver)
	for i, text := range nasty {
		if text != "" {
			addToken(t, s, token("x"+text+"'; DROP TABLE api_tokens; --", 10+i))
		}
	}
	for _, tok := range allTokens(t, s) {
		if tok.Name[0] == 'x' {
			if err := s.RemoveToken(t.Context(), tok.Name, act("revoked", tok.Name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	used := *forEver
	used.Used = at(5)
	if err := s.UseTokens(t.Context(), []store.Token{used, *token("gone", 3)}); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s, true)
	s = open(t, o)
	same(t, "tokens", allTokens(t, s), []store.Token{used, *token("wallboard", 1)})
	if err := s.RemoveToken(t.Context(), "gone", act("revoked", "gone")); err != nil {
		t.Errorf("remove what is not there: %v", err)
	}
}

func tokenTwice(t *testing.T, o Opener) {
	s := open(t, o)
	addToken(t, s, token("crm", 1))
	for _, tok := range []*store.Token{token("crm", 2), token("other", 1)} {
		if err := s.AddToken(t.Context(), tok, act("made", "twice")); err == nil {
			t.Errorf("%s %s was added", tok.Name, tok.Hash)
		}
	}
	same(t, "tokens", allTokens(t, s), []store.Token{*token("crm", 1)})
	list, err := s.Audit(t.Context(), store.Query{})
	if err != nil || len(list) != 1 || list[0].What != "crm" {
		t.Errorf("audit = %+v, %v", list, err)
	}
}

func acts(t *testing.T, o Opener) {
	s := open(t, o)
	for i := range 120 {
		a := act("reloaded", nasty[i%len(nasty)])
		a.At = at(i)
		if err := s.Note(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	newest, err := s.Audit(t.Context(), store.Query{})
	if err != nil || len(newest) != 100 {
		t.Fatalf("audit = %d acts, %v", len(newest), err)
	}
	for i, a := range newest {
		n := 119 - i
		want := store.Act{ID: a.ID, At: at(n), By: "api reloaded", Did: "reloaded", What: nasty[n%len(nasty)]}
		same(t, "act", a, want)
	}
	older, err := s.Audit(t.Context(), store.Query{Before: store.Place{At: newest[99].At, ID: newest[99].ID}, Limit: 7})
	if err != nil || len(older) != 7 || !older[0].At.Equal(at(19)) {
		t.Errorf("older = %+v, %v", older, err)
	}
	if _, err := s.Prune(t.Context(), at(118)); err != nil {
		t.Fatal(err)
	}
	left, err := s.Audit(t.Context(), store.Query{})
	if err != nil || len(left) != 2 {
		t.Errorf("left = %+v, %v", left, err)
	}
}
