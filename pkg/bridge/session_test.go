package bridge

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

var oneUser = []string{"alice 1001"}

// I2 of the shell: one write per target and choice, none when quiet.
func TestAChoiceIsWrittenOnceToEveryTarget(t *testing.T) {
	inWorld(t, []string{"alice 1001 1002"}, func(t *testing.T, w *world) {
		w.choose("alice", "dnd")
		pass(time.Hour)
		w.wantWrites("1001 dnd", "1002 dnd")
	})
}

func TestWithoutAnEventAWriteIsReadBackAfterFiveSeconds(t *testing.T) {
	inWorld(t, oneUser, func(t *testing.T, w *world) {
		w.main.do(func() { w.main.dropEchoes = true })
		w.choose("alice", "dnd")
		pass(4900 * time.Millisecond)
		if w.main.readings() != 0 || !w.user("alice").Extensions[0].Pending {
			t.Errorf("reads = %d, alice = %+v", w.main.readings(), w.user("alice"))
		}
		pass(200 * time.Millisecond)
		if w.main.readings() != 1 || w.user("alice").Extensions[0].Pending {
			t.Errorf("reads = %d, alice = %+v", w.main.readings(), w.user("alice"))
		}
		pass(time.Minute)
		w.wantWrites("1001 dnd")
		w.want("alice", "dnd")
	})
}

func TestAReadingThatFailsIsTriedAgain(t *testing.T) {
	inWorld(t, oneUser, func(t *testing.T, w *world) {
		w.main.do(func() { w.main.dropEchoes, w.main.unreadable = true, true })
		w.choose("alice", "dnd")
		pass(6 * time.Second)
		w.main.do(func() { w.main.unreadable, w.main.writeErr = false, errors.New("no room") })
		pass(5 * time.Second)
		w.main.do(func() { w.main.writeErr = nil })
		if !w.user("alice").Extensions[0].Pending {
			t.Error("the write counts as seen although nothing could be read")
		}
		pass(5 * time.Second)
		if w.main.readings() != 3 || w.user("alice").Extensions[0].Pending {
			t.Errorf("reads = %d, alice = %+v", w.main.readings(), w.user("alice"))
		}
	})
}

func TestARefusedWriteIsRetriedEverMoreSlowlyUntilSomebodySpeaks(t *testing.T) {
	inWorld(t, oneUser, func(t *testing.T, w *world) {
		w.main.do(func() { w.main.refuse = errors.New("permission denied") })
		w.choose("alice", "dnd")
		w.wantWrites("1001 dnd")
		pass(10 * time.Millisecond)
		for _, wait := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
			pass(wait*time.Second - 20*time.Millisecond)
			w.wantWrites()
			pass(20 * time.Millisecond)
			w.wantWrites("1001 dnd")
		}
		if !w.logged("write refused") {
			t.Error("the log does not tell")
		}
		w.press("1001", lunch)
		pass(time.Hour)
		w.wantWrites()
		w.want("alice", "lunch")
	})
}

func TestAWriteThatFailsIsTriedAgainButNotAtOnce(t *testing.T) {
	inWorld(t, oneUser, func(t *testing.T, w *world) {
		w.main.do(func() { w.main.writeErr = errors.New("no room on the connection") })
		w.choose("alice", "dnd")
		w.main.do(func() { w.main.writeErr = nil })
		w.wantWrites()
		pass(1100 * time.Millisecond)
		w.wantWrites("1001 dnd")
		w.want("alice", "dnd")
	})
}

func TestWhatWasNotSentWaitsForTheNextSession(t *testing.T) {
	inWorld(t, oneUser, func(t *testing.T, w *world) {
		unblock := w.main.blockWrites(false)
		w.choose("alice", "dnd")
		w.main.cut()
		unblock() // Write says ErrDown
		synctest.Wait()
		w.wantWrites()
		w.main.do(func() { w.main.values["1001"] = dnd }) // somebody else: it confirms nothing
		w.main.attach()
		synctest.Wait()
		w.wantWrites("1001 dnd")
	})
}

func TestALostWriteIsSentAgainInTheNextSession(t *testing.T) {
	inWorld(t, oneUser, func(t *testing.T, w *world) {
		w.main.do(func() { w.main.loseWrites = true })
		w.choose("alice", "dnd")
		w.wantWrites("1001 dnd")
		w.main.cut()
		w.main.do(func() { w.main.loseWrites = false })
		synctest.Wait()
		if x := w.user("alice").Extensions[0]; x.Reachable || !x.Pending {
			t.Errorf("1001 = %+v", x)
		}
		w.main.attach()
		synctest.Wait()
		w.wantWrites("1001 dnd")
		if x := w.user("alice").Extensions[0]; !x.Reachable || x.Pending || *x.Presence != dnd {
			t.Errorf("1001 = %+v", x)
		}
	})
}

func TestAWriteThatHappenedBeforeTheCutIsNotRepeated(t *testing.T) {
	inWorld(t, oneUser, func(t *testing.T, w *world) {
		w.main.do(func() { w.main.slow = true })
		w.choose("alice", "dnd")
		w.main.cut()
		w.main.release()
		w.main.attach()
		synctest.Wait()
		w.wantWrites("1001 dnd")
		w.want("alice", "dnd")
	})
}

func TestWhatAKilledPBXForgotIsWrittenBack(t *testing.T) {
	inWorld(t, oneUser, func(t *testing.T, w *world) {
		w.press("1001", away)
		pass(3 * time.Second)
		w.press("1001", dnd)
		w.main.kill(map[string]presence.Presence{"1001": away})
		pass(time.Second)
		w.main.attach()
		synctest.Wait()
		w.wantWrites("1001 dnd")
		w.want("alice", "dnd")
	})
}

func TestWhatChangedDuringACutIsSomebodysChange(t *testing.T) {
	inWorld(t, oneUser, func(t *testing.T, w *world) {
		w.press("1001", away)
		pass(3 * time.Second)
		w.press("1001", dnd)
		w.main.cut()
		w.main.do(func() { w.main.values["1001"] = away }) // the same life
		w.main.attach()
		synctest.Wait()
		w.wantWrites()
		w.want("alice", "away")
	})
}

func TestAKilledPBXIsRecognisedOverARestartOfTheBridge(t *testing.T) {
	inWorld(t, oneUser, func(t *testing.T, w *world) {
		w.press("1001", away)
		pass(3 * time.Second)
		w.press("1001", dnd)
		if err := w.stop(); err != nil {
			t.Error(err)
		}
		w.store = w.store.copied()
		w.main.kill(map[string]presence.Presence{"1001": away})
		w.main.attach()
		w.start()
		w.wantWrites("1001 dnd")
		w.want("alice", "dnd")
	})
}

func TestTheMailboxSendsTheNewestWishOfEachExtension(t *testing.T) {
	inWorld(t, []string{"alice 1001", "bob 1002"}, func(t *testing.T, w *world) {
		unblock := w.main.blockWrites(false)
		w.choose("alice", "away") // hangs in Write
		w.choose("alice", "lunch")
		w.choose("bob", "meeting")
		w.choose("alice", "dnd")
		unblock()
		synctest.Wait()
		w.wantWrites("1001 away", "1001 dnd", "1002 xa/meeting")
		w.want("alice", "dnd")
		if x := w.user("alice").Extensions[0]; x.Pending {
			t.Errorf("1001 = %+v", x)
		}
	})
}

func TestACutEmptiesTheMailbox(t *testing.T) {
	inWorld(t, []string{"alice 1001", "bob 1002"}, func(t *testing.T, w *world) {
		unblock := w.main.blockWrites(false)
		w.choose("alice", "away")
		w.choose("bob", "meeting")
		w.main.cut()
		synctest.Wait()
		if n := len(w.b.pbxs["main"].outbox.orders); n != 0 {
			t.Errorf("%d orders wait for a session that is over", n)
		}
		unblock()
		w.main.attach()
		synctest.Wait()
		w.wantWrites("1001 away", "1002 xa/meeting")
	})
}

func TestAModuleLoadIsNobodysKey(t *testing.T) {
	inWorld(t, oneUser, func(t *testing.T, w *world) {
		w.press("1001", dnd)
		before := w.user("alice")
		w.press("1001", dnd)
		w.main.do(func() { w.main.sink(connector.Report{Kind: connector.Loaded}) })
		pass(time.Minute)
		if after := w.user("alice"); after.Version != before.Version {
			t.Errorf("version %d became %d", before.Version, after.Version)
		}
		if !w.logged("presence module loaded again") {
			t.Error("the log does not tell")
		}
	})
}

// A PBX whose host lost power hangs up on nobody: the connector notices 15 s later.
func TestWhatAKilledPBXForgotIsRestoredAlsoIfItsLossWasNoticedLate(t *testing.T) {
	inWorld(t, []string{"alice 1001"}, func(t *testing.T, w *world) {
		w.press("1001", available)
		pass(time.Hour)
		w.choose("alice", "dnd")
		pass(15 * time.Second)
		w.main.kill(map[string]presence.Presence{"1001": available})
		w.main.taken()
		w.main.attach()
		synctest.Wait()
		w.wantWrites("1001 dnd")
		w.want("alice", "dnd")
	})
}
