package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/presencebridge/presencebridge/pkg/presence"
)

// page is a browser that follows the feed over every cut and crash, and never
// accepts that somebody goes back.
type page struct {
	t     *testing.T
	last  uint64
	seen  map[presence.UserID]User // the newest that ever came
	shown map[presence.UserID]bool // who is on the page
	gone  int
}

func newPage(t *testing.T) *page {
	return &page{t: t, seen: map[presence.UserID]User{}, shown: map[presence.UserID]bool{}}
}

// read takes all that the feed of b has now, at most limit items, and goes away.
func (p *page) read(b *Bridge, limit int) (items []FeedItem) {
	p.t.Helper()
	feed := b.Subscribe(p.last)
	defer feed.Close()
	for len(items) < limit {
		more, _ := feed.take()
		if len(more) == 0 {
			break
		}
		items = append(items, more...)
	}
	items = items[:min(limit, len(items))]
	for _, item := range items {
		if item.ID < p.last {
			p.t.Errorf("id %d after %d", item.ID, p.last)
		}
		p.last = item.ID
		if item.Reset {
			p.shown = map[presence.UserID]bool{}
			continue
		}
		u := *item.User
		p.shown[u.ID] = !item.Gone
		if item.Gone {
			p.gone++
			continue
		}
		before, ok := p.seen[u.ID]
		switch {
		case ok && u.Version < before.Version:
			p.t.Errorf("%s goes back from version %d to %d", u.ID, before.Version, u.Version)
		case ok && u.Version == before.Version && typeOf(u) != typeOf(before):
			p.t.Errorf("%s: version %d is %q and was %q", u.ID, u.Version, typeOf(u), typeOf(before))
		}
		p.seen[u.ID] = u
	}
	return slices.DeleteFunc(items, func(item FeedItem) bool { return item.Reset })
}

const everything = 1 << 20

// I5. Catches: versions that come again after a crash with another meaning (take
// crashGap and the floor out of wake, or the floor alone: the second crash, or carol,
// whom the store does not know, go back).
func TestVersionsOnlyRiseAlsoOverCrashesWithUnsavedVersionsShown(t *testing.T) {
	inWorld(t, []string{"alice 1001", "bob 1002"}, func(t *testing.T, w *world) {
		w.press("1001", away)
		p := newPage(t)
		p.read(w.b, everything)
		w.reload(mappingOf(statuses(), "alice 1001", "bob 1002", "carol 1003"))
		left := w.store.copied()
		delete(left.users, "carol")
		for i := range 4 {
			w.store.set(func() { w.store.fail = errDisk })
			for range 3 - i%3 {
				for _, number := range []string{"1001", "1003"} {
					w.press(number, lunch)
					w.press(number, []presence.Presence{dnd, meeting, available, away}[i])
					p.read(w.b, everything)
				}
			}
			w.crash(left)
			left = left.copied()
			p.read(w.b, everything)
		}
		if typeOf(p.seen["carol"]) != "away" || typeOf(p.seen["alice"]) != "away" {
			t.Errorf("the page ends with %+v", p.seen)
		}
	})
}

func TestTheFeedResumesBehindTheLastEvent(t *testing.T) {
	inWorld(t, []string{"alice 1001", "bob 1002"}, func(t *testing.T, w *world) {
		p := newPage(t)
		if items := p.read(w.b, everything); len(items) != 2 {
			t.Errorf("at first %d items", len(items))
		}
		w.press("1001", away)
		w.press("1001", dnd)
		items := p.read(w.b, everything)
		if len(items) != 1 || typeOf(*items[0].User) != "dnd" || !items[0].User.Saved {
			t.Errorf("items = %+v", items)
		}
		if items := p.read(w.b, everything); len(items) != 0 {
			t.Errorf("twice: %+v", items)
		}
	})
}

func TestAnUnknownEventIDGetsEverybody(t *testing.T) {
	inWorld(t, []string{"alice 1001", "bob 1002"}, func(t *testing.T, w *world) {
		w.press("1001", away)
		p := newPage(t)
		p.read(w.b, everything)
		for _, id := range []uint64{0, 1, p.last + 1_000, ^uint64(0)} {
			items, err := w.b.Subscribe(id).Next(t.Context())
			if err != nil || len(items) != 3 || !items[0].Reset {
				t.Errorf("behind %d: %d items, %v", id, len(items), err)
			}
		}
		w.restart()
		if items := p.read(w.b, everything); len(items) != 2 {
			t.Errorf("with the id of an earlier run: %d items", len(items))
		}
	})
}

func TestEverybodyComesInPagesAndChangesBehindThem(t *testing.T) {
	lines := make([]string, 2*feedPage+10)
	for i := range lines {
		lines[i] = fmt.Sprintf("user%d %d", i, 1001+i)
	}
	inWorld(t, lines, func(t *testing.T, w *world) {
		w.press("1001", away)
		pass(time.Second) // everybody is saved, and the feed says so
		feed := w.b.Subscribe(0)
		next := func() []FeedItem {
			t.Helper()
			items, err := feed.Next(t.Context())
			if err != nil || len(items) > feedPage {
				t.Fatalf("%d items, %v", len(items), err)
			}
			return items
		}
		all := next()
		w.press("1001", dnd) // somebody whom the first page has told of already
		for len(all) < len(lines)+1 {
			all = append(all, next()...)
		}
		if !all[0].Reset || slices.ContainsFunc(all, func(item FeedItem) bool { return !item.Listed }) {
			t.Error("it is not everybody")
		}
		p := newPage(t)
		p.last = all[len(all)-1].ID
		if items := p.read(w.b, everything); len(items) != 1 || typeOf(*items[0].User) != "dnd" {
			t.Errorf("who resumes behind the last gets %+v", items)
		}
		if items := next(); len(items) != 1 || typeOf(*items[0].User) != "dnd" || items[0].Listed {
			t.Errorf("then %+v", items)
		}
	})
}

// Catches: a feed that is told of a whole commit at once.
func TestAChangeOvertakesThoseWhoAreSaved(t *testing.T) {
	lines := make([]string, 5*keptAtOnce)
	for i := range lines {
		lines[i] = fmt.Sprintf("user%d %d", i, 1001+i)
	}
	inWorld(t, lines, func(t *testing.T, w *world) {
		pass(time.Second)
		p := newPage(t)
		p.read(w.b, everything)
		stall := make(chan struct{})
		w.store.set(func() { w.store.stall = stall })
		for i := range lines {
			w.main.press(fmt.Sprint(1001+i), away)
		}
		synctest.Wait()
		if items := p.read(w.b, everything); len(items) != len(lines) || items[0].User.Saved {
			t.Fatalf("%d of %d changes before the commit", len(items), len(lines))
		}
		close(stall)
		synctest.Wait()
		last := presence.UserID(fmt.Sprint("user", len(lines)-1))
		w.press(fmt.Sprint(1000+len(lines)), dnd)
		items := p.read(w.b, everything)
		at := slices.IndexFunc(items, func(item FeedItem) bool { return item.User.ID == last && typeOf(*item.User) == "dnd" })
		if at < 0 || at > 3*keptAtOnce {
			t.Errorf("the change is number %d of %d", at, len(items))
		}
		pass(time.Second)
		items = append(items, p.read(w.b, everything)...)
		told := map[presence.UserID]int{}
		for _, item := range items {
			if item.User.Saved {
				told[item.User.ID]++
			}
		}
		for id, u := range p.seen {
			if !u.Saved || told[id] == 0 || told[id] > 1 && id != last {
				t.Errorf("%s is told %d times to be saved, %v in the end", id, told[id], u.Saved)
			}
		}
	})
}

func TestWhoIsCutOffInTheMiddleOfEverybodyGetsEverybodyAgain(t *testing.T) {
	inWorld(t, []string{"alice 1001", "bob 1002", "carol 1003"}, func(t *testing.T, w *world) {
		p := newPage(t)
		p.read(w.b, 3) // the reset and two users
		p.read(w.b, everything)
		if len(p.seen) != 3 {
			t.Errorf("the page knows %d of 3 users", len(p.seen))
		}
	})
}

func TestAReaderThatFallsBehindGetsEverybody(t *testing.T) {
	inWorld(t, []string{"alice 1001", "bob 1002"}, func(t *testing.T, w *world) {
		p := newPage(t)
		p.read(w.b, everything)
		for i := range feedLength + 1 {
			w.main.press("1001", []presence.Presence{away, dnd}[i%2])
			if i%1000 == 0 {
				synctest.Wait()
			}
		}
		synctest.Wait()
		if items := p.read(w.b, everything); len(items) != 2 || typeOf(p.seen["alice"]) != "away" {
			t.Errorf("%d items, %+v", len(items), p.seen["alice"].Status)
		}
		p.last = 1
		w.reload(mappingOf(statuses(), "alice 1001"))
		if p.read(w.b, everything); p.shown["bob"] || !p.shown["alice"] {
			t.Errorf("who fell behind does not learn that bob is gone: %v", p.shown)
		}
	})
}

func TestTheFeedTellsWhoIsGone(t *testing.T) {
	inWorld(t, []string{"alice 1001", "bob 1002"}, func(t *testing.T, w *world) {
		p := newPage(t)
		p.read(w.b, everything)
		w.reload(mappingOf(statuses(), "alice 1001"))
		items := p.read(w.b, everything)
		if p.gone != 1 || len(items) != 2 || items[0].User.ID != "bob" {
			t.Errorf("items = %+v", items)
		}
		w.reload(mappingOf(statuses(), "alice 1001", "bob 1002"))
		if p.read(w.b, everything); p.gone != 1 || len(p.seen) != 2 {
			t.Errorf("%d gone, %d seen", p.gone, len(p.seen))
		}
	})
}

func TestNextWaitsUntilItsContextEnds(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		ctx, cancel := context.WithTimeout(t.Context(), 1)
		defer cancel()
		feed := w.b.Subscribe(0)
		if items, err := feed.Next(ctx); err != nil || len(items) != 1 || !items[0].Reset {
			t.Errorf("of nobody: %+v, %v", items, err)
		}
		if _, err := feed.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Next = %v", err)
		}
	})
}

func TestVersionsAfterACrashAreSavedAlsoOfUsersWhomNothingHappensTo(t *testing.T) {
	inWorld(t, []string{"alice 1001"}, func(t *testing.T, w *world) {
		w.choose("alice", "away")
		w.main.cut()
		synctest.Wait()
		left := w.store.copied()
		w.crash(left)
		synctest.Wait()
		high := w.user("alice").Version
		w.restart()
		if v := w.user("alice").Version; v < high {
			t.Errorf("version %d after a clean stop, %d before", v, high)
		}
	})
}
