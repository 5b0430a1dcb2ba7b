package store

import (
	"strings"
	"testing"
)

// Catches: a holder of another machine, another container or another time taken for a dead
// one because its socket is not here, and a living one that is.
func TestALifeIsSeenToEndOnItsOwnMachineOnly(t *testing.T) {
	const boot = "0f2ab3c4-0000-4000-8000-00000000abcd"
	l := newLife(boot)
	if l.sign == "" || len(l.sign) > 120 {
		t.Fatalf("sign %q", l.sign)
	}
	ended := func(what, sign string, want bool) {
		t.Helper()
		if got := hasEnded(sign, boot); got != want {
			t.Errorf("%s: has ended = %t", what, got)
		}
	}
	ended("a living one", l.sign, false)
	if err := l.end(); err != nil {
		t.Fatal(err)
	}
	ended("a dead one", l.sign, true)
	words := strings.Fields(l.sign)
	ended("one of another boot", "0"+l.sign, false)
	ended("one of another network namespace", strings.Replace(l.sign, words[1], "net:[1]", 1), false)
	for _, garbage := range []string{"", " ", words[0], words[0] + " " + words[1], "x y z"} {
		ended("garbage", garbage, false)
	}
	if none := newLife(""); none.sign != "" || none.end() != nil || hasEnded(l.sign, "") {
		t.Errorf("a life of no boot: %+v", none)
	}
}
