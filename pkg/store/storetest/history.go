package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
)

func oneStep(t *testing.T, o Opener) {
	s := open(t, o)
	dnd, back := entry("alice", 5, at(0)), entry("alice", 5, at(0))
	dnd.Type, back.Type = "dnd", "available"
	b := store.Batch{History: []store.Entry{dnd, entry("bob", 5, at(0)), back}}
	save(t, s, &b)
	save(t, s, &b)
	var types []presence.TypeID
	for _, e := range history(t, s, store.Query{User: "alice"}) {
		types = append(types, e.Type)
	}
	same(t, "types", types, []presence.TypeID{"available", "dnd"})
}

func pages(t *testing.T, o Opener) {
	s := open(t, o)
	var b store.Batch
	for i := range 250 {
		id := presence.UserID("alice")
		if i%5 == 0 {
			id = "bob"
		}
		b.History = append(b.History, entry(id, uint64(i), at(i)))
	}
	save(t, s, &b)

	same(t, "entries without a limit", len(history(t, s, store.Query{})), 100)
	for _, tc := range []struct {
		user  presence.UserID
		limit int
		want  int
	}{
		{"", 7, 250}, {"", 1000, 250}, {"alice", 7, 200}, {"bob", 50, 50}, {"bob", 49, 50}, {"carol", 7, 0},
	} {
		q := store.Query{User: tc.user, Limit: tc.limit}
		n, last := 0, uint64(250)
		for page := history(t, s, q); len(page) > 0; page = history(t, s, q) {
			if len(page) > tc.limit {
				t.Fatalf("%+v: a page of %d", tc, len(page))
			}
			for _, e := range page {
				if e.Version >= last || tc.user != "" && e.User != tc.user {
					t.Fatalf("%+v: %s version %d after version %d", tc, e.User, e.Version, last)
				}
				n, last, q.Before = n+1, e.Version, store.Place{At: e.At, ID: e.ID}
			}
		}
		if n != tc.want {
			t.Errorf("%+v: %d entries", tc, n)
		}
	}
}

// origins are who set what, the hour being the place in the list.
var origins = []string{
	"extension main/1001", "extension main/10", "extension branch/1001", "panel alice", "panel alice2", "panel al_ce", "PANEL alice",
	"cli", "client", "api crm", "expiry", "100% é/x", "100% é x", "",
}

// selections are which of origins a query finds, the newest first.
var selections = []struct {
	name string
	q    store.Query
	want []int
}{
	{"nothing asked for", store.Query{}, []int{13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0}},
	{"from a time on, itself included", store.Query{From: at(10)}, []int{13, 12, 11, 10}},
	{"before a time, itself excluded", store.Query{To: at(2)}, []int{1, 0}},
	{"a time between two lines", store.Query{From: at(3).Add(time.Microsecond), To: at(5).Add(time.Microsecond)}, []int{5, 4}},
	{"from after to", store.Query{From: at(5), To: at(2)}, nil},
	{"a kind of origin", store.Query{By: "panel"}, []int{5, 4, 3}},
	{"a whole origin", store.Query{By: "panel alice"}, []int{3}},
	{"a PBX", store.Query{By: "extension main"}, []int{1, 0}},
	{"an extension", store.Query{By: "extension main/10"}, []int{1}},
	{"an origin of one word", store.Query{By: "cli"}, []int{7}},
	{"signs of patterns", store.Query{By: "panel al_ce"}, []int{5}},
	{"half a word", store.Query{By: "pan"}, nil},
	{"text beyond ASCII", store.Query{By: "100% é"}, []int{12, 11}},
	{"quotes", store.Query{By: `' OR '1' = '1`}, nil},
	{"all at once", store.Query{By: "extension", From: at(1), To: at(9), Limit: 1}, []int{2}},
}

func selected(t *testing.T, o Opener) {
	s := open(t, o)
	var b store.Batch
	for i, by := range origins {
		e := entry("alice", uint64(i), at(i))
		e.By = by
		b.History = append(b.History, e)
		e.User = "bob"
		b.History = append(b.History, e)
	}
	save(t, s, &b)
	for _, tc := range selections {
		var got []int
		tc.q.User = "alice"
		for _, e := range history(t, s, tc.q) {
			same(t, tc.name+": user", e.User, presence.UserID("alice"))
			got = append(got, int(e.Version))
		}
		same(t, tc.name, got, tc.want)
	}
	same(t, "of everybody", len(history(t, s, store.Query{By: "api", From: at(9), To: at(10)})), 2)
}

func selectedActs(t *testing.T, o Opener) {
	s := open(t, o)
	for i, by := range origins {
		if err := s.Note(t.Context(), &store.Act{At: at(i), By: by, Did: "done", What: by}); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range selections {
		acts, err := s.Audit(t.Context(), tc.q)
		if err != nil {
			t.Fatal(err)
		}
		var got []int
		for _, a := range acts {
			got = append(got, int(a.At.Sub(at(0))/time.Second))
		}
		same(t, tc.name, got, tc.want)
	}
}

// actsOfThings has acts of which one asks for those that were done to one thing.
func actsOfThings(t *testing.T, o Opener) {
	s := open(t, o)
	for i, a := range []store.Act{
		{Did: "status type created", What: "lunch: name Lunch"}, {Did: "status type modified", What: "lunch: color red, base busy"},
		{Did: "status type created", What: "lunch2: lunch:"}, {Did: "user added", What: "lunch"}, {Did: "token made", What: "lunch, scope read"},
		{Did: "status types reordered", What: "lunch dnd"}, {Did: "status type deleted", What: "Lunch: x"}, {Did: "status type deleted", What: "é%: x"},
	} {
		a.At, a.By = at(i), "cli"
		if err := s.Note(t.Context(), &a); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		name string
		q    store.Query
		want []int
	}{
		{"of one thing", store.Query{What: "lunch"}, []int{4, 3, 1, 0}},
		{"of one status type", store.Query{What: "lunch", Did: "status type"}, []int{1, 0}},
		{"of a kind", store.Query{Did: "status type"}, []int{7, 6, 2, 1, 0}},
		{"one that was done", store.Query{Did: "status type deleted", By: "cli"}, []int{7, 6}},
		{"half a word", store.Query{Did: "status ty"}, nil},
		{"signs of patterns", store.Query{What: "é%"}, []int{7}},
		{"a page of it", store.Query{What: "lunch", Limit: 2}, []int{4, 3}},
	} {
		acts, err := s.Audit(t.Context(), tc.q)
		if err != nil {
			t.Fatal(err)
		}
		var got []int
		for _, a := range acts {
			got = append(got, int(a.At.Sub(at(0))/time.Second))
		}
		same(t, tc.name, got, tc.want)
	}
}

// byTime has a clock that was set back, and many entries at one instant, over which
// pages must neither stumble nor skip.
func byTime(t *testing.T, o Opener) {
	s := open(t, o)
	var b store.Batch
	want := map[uint64]bool{}
	for i := range uint64(60) {
		b.History = append(b.History, entry("alice", i, at(int(60-i)/20)))
		want[i] = true
	}
	save(t, s, &b)
	q := store.Query{Limit: 7}
	var last store.Entry
	for page := history(t, s, q); len(page) > 0; page = history(t, s, q) {
		for _, e := range page {
			if last.ID > 0 && (e.At.After(last.At) || e.At.Equal(last.At) && e.ID > last.ID) || !want[e.Version] {
				t.Errorf("version %d of %v comes after version %d of %v", e.Version, e.At, last.Version, last.At)
			}
			delete(want, e.Version)
			last, q.Before = e, store.Place{At: e.At, ID: e.ID}
		}
	}
	same(t, "entries that no page had", len(want), 0)
}

func prune(t *testing.T, o Opener) {
	s := open(t, o)
	var b store.Batch
	for i := range 2600 {
		b.History = append(b.History, entry("alice", uint64(i), at(i)))
	}
	b.Users = []store.User{user("alice", 2600)}
	save(t, s, &b)
	for _, tc := range []struct{ before, pruned int }{
		{0, 0}, {1, 1}, {2500, 2499}, {2500, 0},
	} {
		n, err := s.Prune(t.Context(), at(tc.before))
		if err != nil || n != int64(tc.pruned) {
			t.Errorf("prune before %d = %d, %v; want %d", tc.before, n, err, tc.pruned)
		}
	}
	left := history(t, s, store.Query{Limit: 1000})
	same(t, "entries left", len(left), 100)
	same(t, "the oldest one left", left[99].At, at(2500))
	same(t, "users", len(load(t, s).Users), 1)
}

func pruneCancelled(t *testing.T, o Opener) {
	s := open(t, o)
	save(t, s, &store.Batch{History: []store.Entry{entry("alice", 1, at(0))}})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	n, err := s.Prune(ctx, at(1))
	if n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("prune = %d, %v, want 0 and context.Canceled", n, err)
	}
	same(t, "entries", len(history(t, s, store.Query{})), 1)
}

func forget(t *testing.T, o Opener) {
	s := open(t, o)
	b := store.Batch{History: []store.Entry{entry("u0", 1, at(0))}}
	var most []presence.UserID
	for i := range 1500 {
		b.Users = append(b.Users, user(presence.UserID(fmt.Sprintf("u%d", i)), 1))
		if i != 7 {
			most = append(most, b.Users[i].ID)
		}
	}
	b.Own = []store.Settings{{User: "u7", Own: presence.Own{Default: presence.ExtensionID{PBX: "main", Number: "1"}}}, {User: "u8", Own: presence.Own{Default: presence.ExtensionID{PBX: "main", Number: "2"}}}}
	save(t, s, &b)
	for range 2 { // again is harmless
		same(t, "the error", s.Forget(t.Context(), append(most, "nobody", "x' OR 1 = 1 --")), nil)
		left := load(t, s)
		if len(left.Users) != 1 || left.Users[0].ID != "u7" || len(left.Own) != 1 || left.Own[0].User != "u7" {
			t.Errorf("%d users are left, and the settings %+v", len(left.Users), left.Own)
		}
	}
	same(t, "entries", len(history(t, s, store.Query{})), 1)
	same(t, "nobody", s.Forget(t.Context(), nil), nil)
}

func idsRise(t *testing.T, o Opener) {
	s := open(t, o)
	save(t, s, &store.Batch{History: []store.Entry{entry("alice", 1, at(0)), entry("alice", 2, at(1))}})
	before := history(t, s, store.Query{})[0].ID
	if _, err := s.Prune(t.Context(), at(10)); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s, true)
	s = open(t, o)
	save(t, s, &store.Batch{History: []store.Entry{entry("alice", 3, at(2))}})
	if after := history(t, s, store.Query{})[0].ID; after <= before {
		t.Errorf("id %d after %d", after, before)
	}
}
