package ami

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const listComplete = "PresenceStateListComplete"

func TestDoReturnsTheAnswer(t *testing.T) {
	c := start(t, Handler{}, func(p *peer) {
		a := p.action()
		if a.name != "Ping" {
			t.Errorf("asked %+v", a)
		}
		p.send("Response: Success\nActionID: %s\nMessage: Presence State\nState: away\nMessage: Back at 2\nPresenceMessage: Back at 2\n\n", a.id)
		p.send("Response: Error\nActionID: %s\nMessage: Variable not set\n\n", p.action().id)
		p.drain()
	})
	response, err := c.Do(t.Context(), Ping())
	if err != nil || !response.Success || response.Get("state") != "away" || response.Get("Message") != "Presence State" || response.Get("Subtype") != "" {
		t.Errorf("response = %+v, %v", response, err)
	}
	response, err = c.Do(t.Context(), must(t)(SetPresence("CustomPresence:101", "dnd", "", "")))
	var refused *ResponseError
	if !errors.As(err, &refused) || *refused != (ResponseError{"Setvar", "Variable not set"}) || response.Success {
		t.Errorf("response = %+v, %v", response, err)
	}
}

func TestAcknowledgementComesBeforeItsEcho(t *testing.T) {
	const writes = 50
	var lines []string
	h := Handler{Event: func(e Event) { lines = append(lines, "echo "+e.Get("Message")) }}
	c := start(t, h, func(p *peer) {
		ids := make([]string, writes) // all are on the wire before the first answer
		for i := range ids {
			ids[i] = p.action().id
		}
		for i, id := range ids {
			p.send("Response: Success\nActionID: %s\nMessage: Variable Set\n\n"+
				"Event: PresenceStateChange\nPrivilege: call,all\nMessage: %d\n\n", id, i)
		}
		p.drain()
	})
	var want []string
	var answered sync.WaitGroup
	answered.Add(writes)
	for i := range writes {
		want = append(want, fmt.Sprint("ack ", i), fmt.Sprint("echo ", i))
		done := func(_ Response, err error) {
			if err != nil {
				t.Error(err)
			}
			lines = append(lines, fmt.Sprint("ack ", i))
			answered.Done()
		}
		if err := c.Send(must(t)(SetPresence("CustomPresence:101", "away", "", fmt.Sprint(i))), done); err != nil {
			t.Fatal(err)
		}
	}
	answered.Wait()
	_ = c.Close()
	if !slices.Equal(lines[:2*writes-1], want[:2*writes-1]) { // Close may come before the last echo
		t.Errorf("order = %q", lines)
	}
}

func TestAnswersAreMatchedByActionIDAlone(t *testing.T) {
	c := start(t, Handler{}, func(p *peer) {
		first, second := p.action(), p.action()
		p.send("Response: Success\nActionID: %s\nPing: second\n\n", second.id)
		p.send("Response: Success\nActionID: %s\nPing: first\n\n", first.id)
		p.drain()
	})
	first, second := newAnswer(), newAnswer()
	for _, a := range []answer{first, second} {
		if err := c.Send(Ping(), a.done); err != nil {
			t.Fatal(err)
		}
	}
	for a, want := range map[answer]string{first: "first", second: "second"} {
		if response, err := a.wait(t.Context()); err != nil || response.Get("Ping") != want {
			t.Errorf("answer = %q, %v, want %q", response.Get("Ping"), err, want)
		}
	}
}

func TestEveryPendingActionIsToldTheEndOnce(t *testing.T) {
	for _, tc := range []struct {
		name string
		end  func(c *Conn, hangUp func())
		want error
	}{
		{"closed here", func(c *Conn, _ func()) { _ = c.Close() }, ErrClosed},
		{"closed there", func(_ *Conn, hangUp func()) { hangUp() }, io.EOF},
	} {
		t.Run(tc.name, func(t *testing.T) {
			gone := make(chan struct{})
			c := start(t, Handler{}, func(p *peer) {
				for range 10 {
					p.action()
				}
				<-gone
			})
			var told [10]int
			for i := range told {
				if err := c.Send(Ping(), func(_ Response, err error) {
					told[i]++
					wantClosed(t, err)
				}); err != nil {
					t.Fatal(err)
				}
			}
			hangUp := sync.OnceFunc(func() { close(gone) })
			tc.end(c, hangUp)
			<-c.Done()
			hangUp()
			if told != [10]int{1, 1, 1, 1, 1, 1, 1, 1, 1, 1} {
				t.Errorf("told %v", told)
			}
			wantClosed(t, c.Err())
			if !errors.Is(c.Err(), tc.want) {
				t.Errorf("reason = %v, want %v", c.Err(), tc.want)
			}
			wantClosed(t, c.Send(Ping(), func(Response, error) { t.Error("told although nothing was sent") }))
			_, err := c.Do(t.Context(), Ping())
			wantClosed(t, err)
			_, err = c.List(t.Context(), PresenceStateList(), listComplete, nil)
			wantClosed(t, err)
		})
	}
}

func TestUnansweredActionEndsTheConnection(t *testing.T) {
	for _, tc := range []struct {
		name   string
		script func(*peer)
	}{
		{"mute", (*peer).drain},
		{"answered without ActionID", func(p *peer) {
			p.action()
			p.send("Response: Error\nMessage: Failed to parse message: line too long\n\n")
			p.drain()
		}},
		{"only later actions are answered", func(p *peer) {
			p.action()
			for a := p.action(); a.name != ""; a = p.action() {
				p.send("Response: Success\nActionID: %s\nPing: Pong\n\n", a.id)
			}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := start(t, Handler{}, tc.script)
				time.Sleep(time.Hour) // an idle connection stays
				began := time.Now()
				first := newAnswer()
				if err := c.Send(Ping(), first.done); err != nil {
					t.Fatal(err)
				}
				time.Sleep(defaultTimeout / 2)
				_ = c.Send(CoreStatus(), func(Response, error) {})
				_, err := first.wait(t.Context())
				wantClosed(t, err)
				if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != defaultTimeout {
					t.Errorf("ended after %v with %v", time.Since(began), err)
				}
			})
		})
	}
}

func TestEachActionHasItsOwnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, Handler{}, func(p *peer) {
			ids := []string{p.action().id, p.action().id, p.action().id}
			for _, id := range ids {
				time.Sleep(defaultTimeout * 9 / 10)
				p.send("Response: Success\nActionID: %s\n\n", id)
			}
			p.drain()
		})
		answers := []answer{newAnswer(), newAnswer(), newAnswer()}
		for _, a := range answers {
			_ = c.Send(Ping(), a.done)
		}
		for i, a := range answers {
			if _, err := a.wait(t.Context()); err != nil {
				t.Errorf("answer %d: %v", i, err)
			}
		}
	})
}

func TestSlowListIsWaitedForFromItsLastItem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, Handler{}, func(p *peer) {
			id := p.action().id
			p.send("Response: Success\nActionID: %s\nEventList: start\n\n", id)
			for range 5 {
				time.Sleep(defaultTimeout * 9 / 10)
				p.send("Event: PresenceStateChange\nActionID: %s\n\n", id)
			}
			p.drain() // and never completes
		})
		began := time.Now()
		_, err := c.List(t.Context(), PresenceStateList(), listComplete, func(Event) {})
		if want := defaultTimeout*45/10 + defaultTimeout; time.Since(began) != want || !errors.Is(err, os.ErrDeadlineExceeded) || !errors.Is(err, ErrIncomplete) {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}

func TestPeerThatDoesNotReadEndsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop := make(chan struct{})
		c := start(t, Handler{}, func(*peer) { <-stop })
		for range 2 {
			_, err := c.Do(t.Context(), Ping())
			wantClosed(t, err)
		}
		if err := c.Err(); !errors.Is(err, os.ErrDeadlineExceeded) || !strings.Contains(err.Error(), "Ping") {
			t.Errorf("reason = %v", err)
		}
		close(stop)
	})
}

func TestEndOfContextEndsTheWaitOnly(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := start(t, Handler{Malformed: func(err error) { t.Errorf("malformed: %v", err) }}, func(p *peer) {
		single, list := p.action().id, ""
		cancel()
		p.send("Response: Success\nActionID: %s\n\n", single)
		list = p.action().id
		p.send("Response: Success\nActionID: %s\nEventList: start\n\nEvent: Item\nActionID: %s\n\n", list, list)
		ping := p.action().id
		p.send("Event: Item\nActionID: %s\n\nEvent: Done\nActionID: %s\nListItems: 2\n\n", list, list)
		p.send("Response: Success\nActionID: %s\n\n", ping)
		p.drain()
	})
	if _, err := c.Do(ctx, Ping()); !errors.Is(err, context.Canceled) && err != nil {
		t.Errorf("do = %v", err)
	}
	ctx, cancelList := context.WithCancel(t.Context())
	items := 0
	_, err := c.List(ctx, PresenceStateList(), "Done", func(Event) {
		items++
		cancelList()
	})
	if !errors.Is(err, context.Canceled) || !errors.Is(err, ErrIncomplete) {
		t.Errorf("list = %v", err)
	}
	if _, err := c.Do(t.Context(), Ping()); err != nil {
		t.Errorf("ping behind them = %v", err)
	}
	if items != 1 {
		t.Errorf("saw %d items, want 1: the second came after List had returned", items)
	}
	for _, err := range []error{
		second(c.Do(ctx, Ping())),
		second(c.List(ctx, PresenceStateList(), "Done", nil)),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("with a context that has ended: %v", err)
		}
	}
}

func second(_ Response, err error) error { return err }

func TestActionsComeFromConstructorsOnly(t *testing.T) {
	c := start(t, Handler{}, (*peer).drain)
	if err := c.Send(Action{}, nil); err == nil {
		t.Error("an empty action was sent")
	}
	if _, err := c.Do(t.Context(), Action{}); err == nil {
		t.Error("an empty action was sent")
	}
}

func TestCloseDuringEverything(t *testing.T) {
	for round := range 30 {
		c := start(t, Handler{Event: func(Event) {}}, func(p *peer) {
			var wg sync.WaitGroup
			defer wg.Wait()
			stop := make(chan struct{})
			defer close(stop)
			wg.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
						p.send("Event: E\nPrivilege: call,all\n\n")
					}
				}
			})
			for a := p.action(); a.name != ""; a = p.action() {
				wg.Go(func() { p.send("Response: Success\nActionID: %s\n\n", a.id) })
			}
		})
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for {
					if _, err := c.Do(t.Context(), Ping()); err != nil {
						wantClosed(t, err)
						return
					}
				}
			})
			wg.Go(func() {
				_, err := c.List(t.Context(), PresenceStateList(), listComplete, func(Event) {})
				wantClosed(t, err)
			})
		}
		for range round {
			_, _ = c.Do(t.Context(), Ping())
		}
		for range 2 {
			wg.Go(func() { _ = c.Close() })
		}
		wg.Wait()
		_ = c.Close()
	}
}

func TestResponseErrorQuotesWhatThePBXSaid(t *testing.T) {
	err := &ResponseError{"Setvar", "a\x1b[2J"}
	if got := err.Error(); strings.Contains(got, "\x1b") || !strings.Contains(got, "Setvar") {
		t.Errorf("error = %q", got)
	}
}

func TestTheGoodbyeOfThePBXIsNotMalformed(t *testing.T) {
	var malformed []error
	c := start(t, Handler{Malformed: func(err error) { malformed = append(malformed, err) }}, func(p *peer) {
		_, _ = p.nc.Read(make([]byte, 5)) // the client is in the middle of its Logoff
		p.send("Response: Goodbye\nMessage: Thanks for all the fish.\n\n")
		p.drain()
	})
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if len(malformed) > 0 {
		t.Errorf("told as malformed: %v", malformed)
	}
}

func TestAnEventCameWhenItsBytesWereRead(t *testing.T) {
	for _, timed := range []bool{false, true} {
		t.Run(fmt.Sprint(timed), func(t *testing.T) {
			var c *Conn
			opened, came := make(chan struct{}), make(chan time.Time, 2)
			h := Handler{Event: func(Event) {
				<-opened
				came <- c.Came()
			}}
			cfg, _ := play(t, func(p *peer) {
				p.login("")
				<-opened
				p.send("Event: A\nPrivilege: call,all\n\nEvent: B\nPrivilege: call,all\n\n") // read in one go
				p.drain()
			})
			cfg.Timed = timed
			before := time.Now()
			c = enter(t, cfg, h)
			close(opened)
			first, second := <-came, <-came
			if !first.Equal(second) || first.IsZero() == timed || timed && (first.Before(before) || first.After(time.Now())) {
				t.Errorf("they came at %v and %v, it began at %v", first, second, before)
			}
		})
	}
}
