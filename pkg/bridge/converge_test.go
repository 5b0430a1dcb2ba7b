package bridge

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/presencebridge/presencebridge/pkg/presence"
)

// I1. Catches: whatever leaves PBX, store and page apart for good (leave the users of
// a failed commit untouched in uncommitted, or a replaced write without its Unsent in
// order).
func TestAfterAnyTroublePBXStoreAndPageAgree(t *testing.T) {
	const seeds = 150
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			inWorld(t, []string{"alice 1001 1002", "bob 1003 branch/2003"}, func(t *testing.T, w *world) {
				r := rand.New(rand.NewPCG(seed, 7))
				for range 60 {
					w.trouble(r)
				}
				w.heal()
				w.wantAgreement()
			})
		})
	}
}

// trouble does one thing that happens in the field.
func (w *world) trouble(r *rand.Rand) {
	p := w.pbxs[r.IntN(len(w.pbxs))]
	number := []string{"1001", "1002", "1003", "2003"}[r.IntN(4)]
	value := []presence.Presence{available, away, lunch, meeting, dnd, {}}[r.IntN(6)]
	switch r.IntN(14) {
	case 0, 1, 2:
		p.press(number, value)
	case 3, 4, 5:
		user := []presence.UserID{"alice", "bob"}[r.IntN(2)]
		c := Choice{Type: []presence.TypeID{"available", "away", "lunch", "dnd", "training"}[r.IntN(5)], By: "cli"}
		if r.IntN(3) == 0 {
			c.Until = time.Now().Add(time.Duration(1+r.IntN(60)) * time.Second)
		}
		_, _ = w.b.Choose(w.t.Context(), user, c) // refused while the store is away
	case 6:
		p.cut()
	case 7:
		p.attach()
	case 8:
		p.kill(map[string]presence.Presence{number: value})
		p.attach()
	case 9:
		p.do(func() { p.slow = true })
	case 10:
		p.release()
	case 11:
		p.do(func() { p.dropEchoes, p.refuse = r.IntN(2) == 0, []error{nil, errDisk}[r.IntN(2)] })
	case 12:
		w.store.set(func() { w.store.fail = []error{nil, errDisk}[r.IntN(2)] })
	default:
		w.crash(w.store.copied())
	}
	if r.IntN(3) > 0 {
		pass(time.Duration(r.IntN(8000)) * time.Millisecond)
		w.wantTallies()
	}
}

// heal ends all trouble and waits for quiet.
func (w *world) heal() {
	w.store.set(func() { w.store.fail = nil })
	for _, p := range w.pbxs {
		p.do(func() { p.dropEchoes, p.refuse = false, nil })
		p.release()
		p.attach()
	}
	pass(5 * time.Minute)
	synctest.Wait()
}
