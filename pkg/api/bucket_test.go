package api

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

func TestABucketTakesABurstAndThenItsPace(t *testing.T) {
	p := pace{burst: 3, every: time.Second}
	at := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	var b bucket
	for _, tc := range []struct {
		after, wait time.Duration
	}{
		{0, 0}, {0, 0}, {0, 0}, {0, time.Second},
		{400 * time.Millisecond, 600 * time.Millisecond}, // what is refused does not count
		{600 * time.Millisecond, 0}, {0, time.Second},
		{time.Hour, 0}, {0, 0}, {0, 0}, {0, time.Second}, // no more than a burst is saved up
	} {
		at = at.Add(tc.after)
		if got := b.take(at, p); got != tc.wait {
			t.Errorf("at %v it waits %v, want %v", at, got, tc.wait)
		}
	}
}

func TestPeersAreBoundedAndThoseWhoStoppedAreForgottenFirst(t *testing.T) {
	p := pace{burst: 1, every: time.Minute}
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	peer := func(i int) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
	}
	ps := peers{}
	for i := range mostPeers - 1 {
		ps.take(peer(i), now, p)
	}
	late := now.Add(time.Minute)
	ps.take(peer(mostPeers), late, p)
	ps.take(peer(mostPeers+1), late, p)
	if len(ps) != 2 || ps.take(peer(mostPeers), late, p) == 0 {
		t.Errorf("%d are remembered", len(ps))
	}
	for i := range 3 * mostPeers {
		ps.take(peer(i), late, p)
		if len(ps) > mostPeers {
			t.Fatalf("%d are remembered", len(ps))
		}
	}
}

func TestAPeerIsAMachine(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.7:1234":          "192.0.2.7/32",
		"[::ffff:192.0.2.7]:80":   "192.0.2.7/32",
		"[2001:db8:1:2:3::4]:80":  "2001:db8:1:2::/64",
		"[2001:db8:1:2:ff::]:443": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:80":       "fe80::/64",
		"@":                       "invalid Prefix",
		"":                        "invalid Prefix",
	} {
		if got := fmt.Sprint(peerOf(remote)); got != want {
			t.Errorf("%q is %s, want %s", remote, got, want)
		}
	}
}

func TestATokenIsNeverTheSameAndTellsWhenItIsDamaged(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		token := newToken()
		if len(token) != len(tokenPrefix)+48 || seen[token] || !wellFormed(token) {
			t.Fatalf("token %q", token)
		}
		seen[token] = true
		for i := range token {
			changed := []byte(token)
			changed[i] = 'A'
			if changed[i] != token[i] && wellFormed(string(changed)) {
				t.Fatalf("%q passes for %q", changed, token)
			}
		}
	}
}
