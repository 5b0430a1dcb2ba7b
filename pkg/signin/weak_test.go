package signin

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestPasswordsThatEverybodyTriesAreRefused(t *testing.T) {
	for _, text := range []string{
		"password1234", "Passw0rd!!!!", "P@$$w0rd2026", "iloveyou1234", "letmein!letmein", "123456789012", "qwertyuiop12", "qwertzuiopqw", "aaaaaaaaaaaa",
		"abcabcabcabc", "Sommer2026!!", "administrator", "passwordpassword", "welcome_12345", "1qaz2wsx3edc", "098765432109", "abcdefghijkl",
		"FreePBX-2026-", "!!!!!!!!!!!!!", "000000000000", "summer.winter", "asterisk12345",
	} {
		if m := weak(text, "alice"); m == nil || m.Key != "signin.password_common" {
			t.Errorf("%q: %v", text, m)
		}
	}
	for _, text := range []string{"four wooden ladders", "kd8fhq01mzpq", "correct donkey battery lake", "Wer reitet so spät", "žluťoučký kůň", "gz7!kq2#vw9$"} {
		if m := weak(text, "alice"); m != nil {
			t.Errorf("%q: %v", text, m)
		}
	}
	for _, text := range []string{"alice@example.com", "Alice@example.com1", "alice@example.comalice@example.com"} {
		if m := weak(text, "alice@example.com"); m == nil || m.Key != "signin.password_name" {
			t.Errorf("%q: %v", text, m)
		}
	}
	if m := weak("not UTF-8 \xff and long", ""); m == nil {
		t.Error("what nobody can type was taken")
	}
}

func TestAHashSaysWhatItCost(t *testing.T) {
	h := newHasher(standardCost)
	hash, err := h.hash(t.Context(), "four wooden ladders")
	if err != nil || !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") || !h.current(hash) {
		t.Fatalf("%s, %v", hash, err)
	}
	if again, err := h.hash(t.Context(), "four wooden ladders"); err != nil || again == hash {
		t.Errorf("two hashes of one password are the same, %v", err)
	}
	// Of the reference implementation: echo -n "password" | argon2 somesalt -id -t 2 -m 16 -p 1.
	old := "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	for _, tc := range []struct {
		hash, password string
		want           bool
	}{
		{hash, "four wooden ladders", true}, {hash, "four wooden ladderS", false}, {hash, "", false}, {"", "", false}, {h.nobody, "", false},
		{old, "password", true}, {old, "passwort", false},
	} {
		if got, err := h.matches(t.Context(), tc.hash, tc.password); got != tc.want || err != nil {
			t.Errorf("%q of %s: %v, %v", tc.password, tc.hash, got, err)
		}
	}
	if h.current(old) {
		t.Error("a hash of another cost counts as today's")
	}
	for _, text := range []string{
		"x", "$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=65536,t=99,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$", "$argon2id$v=19$m=65536,t=0,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
	} {
		if ok, err := h.matches(t.Context(), text, "password"); ok || err == nil {
			t.Errorf("%s was taken: %v, %v", text, ok, err)
		}
	}
}

// TestPasswordsAreLookedAtAFewAtATime fills what may wait.
func TestPasswordsAreLookedAtAFewAtATime(t *testing.T) {
	h := newHasher(standardCost)
	var ends []func()
	for range argonsAtOnce {
		end, err := h.begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, end)
	}
	ctx, cancel := context.WithCancel(t.Context())
	waited := make(chan error)
	for range argonsWaiting {
		go func() { _, err := h.begin(ctx); waited <- err }()
	}
	for len(h.queue) < cap(h.queue) {
	}
	if _, err := h.begin(t.Context()); !errors.Is(err, errBusy) {
		t.Errorf("one more: %v", err)
	}
	cancel()
	for range argonsWaiting {
		if err := <-waited; !errors.Is(err, context.Canceled) {
			t.Errorf("one that went away: %v", err)
		}
	}
	for _, end := range ends {
		end()
	}
	if len(h.queue)+len(h.work) != 0 {
		t.Errorf("%d wait and %d work", len(h.queue), len(h.work))
	}
}

func TestCountersForget(t *testing.T) {
	c := counters[int]{}
	p := pace{burst: 2, every: 60e9}
	now := time.Now()
	for i := range 3 * mostCounted {
		c.count(i, now, p)
	}
	if len(c) > mostCounted {
		t.Errorf("%d are remembered", len(c))
	}
	c = counters[int]{}
	c.count(1, now, p)
	if c.wait(1, now, p) != 0 {
		t.Error("kept out after one of two")
	}
	c.count(1, now, p)
	if got := c.wait(1, now, p); got != p.every {
		t.Errorf("waits %v", got)
	}
	c.forgive(1, p)
	if c.wait(1, now, p) != 0 {
		t.Error("what was forgiven counts")
	}
}
