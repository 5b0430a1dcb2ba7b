package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

const (
	frame       = 100 * time.Millisecond // between two looks at whether to draw
	drawEvery   = time.Second            // although nothing changed: times grow
	askPBXs     = 2 * time.Second        // between two looks at the PBXs
	reconnectIn = time.Second
)

// news is what a watcher learns: one of its fields is set.
type news struct {
	users []bridge.User // everybody, after a connection was made
	user  *bridge.User
	gone  presence.UserID // left the mapping
	reset bool            // everybody follows, one by one
	lost  error           // the connection was lost, or never made
}

// watcher shows users until it is stopped.
type watcher struct {
	m     *Main
	c     *client
	only  presence.UserID // "": everybody
	last  bool            // show the last change
	notes []string        // lines above the table, which are never cut

	order []presence.UserID
	users map[presence.UserID]bridge.User
	pbxs  []bridge.PBX
	lost  string // since when and why the bridge is gone; "": it is there
	ever  bool   // it has been there
	back  bool   // it has just come back
	lines map[presence.UserID]string
}

func (m *Main) watch(ctx context.Context, only string) error {
	c, err := m.client()
	if err != nil {
		return err
	}
	w := &watcher{m: m, c: c, only: presence.UserID(only)}
	return w.run(ctx)
}

// run shows changes until ctx ends. It gives up if the bridge was never there.
func (w *watcher) run(ctx context.Context) error {
	w.users, w.lines = make(map[presence.UserID]bridge.User), make(map[presence.UserID]string)
	ctx, cancel := context.WithCancel(ctx)
	updates := make(chan news) // the follower waits for us: the bridge merges meanwhile
	var following sync.WaitGroup
	following.Go(func() { w.follow(ctx, updates) })
	defer func() { cancel(); following.Wait() }()

	_, height, err := w.m.Terminal()
	if err == nil && !w.m.json {
		return w.paint(ctx, updates, height)
	}
	for _, note := range w.notes {
		w.m.printf("%s\n", note)
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case u := <-updates:
			if err := w.take(u); err != nil {
				return err
			}
			w.tell(u)
		}
	}
}

// follow sends updates until ctx ends, connecting again and again.
func (w *watcher) follow(ctx context.Context, updates chan<- news) {
	send := func(u news) error {
		select {
		case updates <- u:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	last := uint64(0)
	f := feed{
		opened: func() error {
			users, err := w.everybody(ctx)
			if err != nil {
				return err
			}
			return send(news{users: users})
		},
		item: func(item bridge.FeedItem) error {
			last = item.ID
			switch {
			case item.Reset:
				return send(news{reset: true})
			case item.Gone:
				return send(news{gone: item.User.ID})
			default:
				return send(news{user: item.User})
			}
		},
	}
	for {
		err := w.c.follow(ctx, last, f)
		if send(news{lost: err}) != nil {
			return
		}
		select {
		case <-time.After(reconnectIn):
		case <-ctx.Done():
			return
		}
	}
}

func (w *watcher) everybody(ctx context.Context) ([]bridge.User, error) {
	if w.only == "" {
		return all[bridge.User](ctx, w.c, "/api/v1/users")
	}
	var u bridge.User
	err := w.c.get(ctx, userPath(string(w.only), ""), &u)
	return []bridge.User{u}, err
}

// take notes what is new. An error ends the command.
func (w *watcher) take(u news) error {
	switch {
	case u.lost != nil:
		if e := (*exit)(nil); !w.ever || errors.As(u.lost, &e) && e.code != exitUnreachable {
			return u.lost
		}
		if w.lost == "" {
			w.lost = fmt.Sprintf("Connection lost at %s, trying again; this is how things were then. (%s)",
				w.m.Now().In(w.m.Zone).Format("15:04:05"), plain(u.lost.Error()))
		}
	case u.user != nil:
		w.put(*u.user)
	case u.reset:
		w.order = w.order[:0]
		clear(w.users)
	case u.gone != "":
		w.order = slices.DeleteFunc(w.order, func(id presence.UserID) bool { return id == u.gone })
		delete(w.users, u.gone)
		delete(w.lines, u.gone)
	default:
		w.ever, w.back, w.lost = true, w.lost != "", ""
		w.order = w.order[:0]
		clear(w.users)
		for _, x := range u.users {
			w.put(x)
		}
	}
	return nil
}

// put notes a user. The feed may bring what the list has brought newer already.
func (w *watcher) put(u bridge.User) {
	if w.only != "" && u.ID != w.only {
		return
	}
	known, ok := w.users[u.ID]
	if !ok {
		w.order = append(w.order, u.ID)
	}
	if !ok || u.Version >= known.Version {
		w.users[u.ID] = u
	}
}

// tell prints what is new, for a pipe.
func (w *watcher) tell(u news) {
	switch {
	case u.lost != nil:
		_, _ = fmt.Fprintln(w.m.Err, w.lost)
	case u.user != nil:
		w.tellUser(u.user.ID)
	case u.reset, u.gone != "": // a pipe hears of users, not of their absence
	default:
		if w.back {
			_, _ = fmt.Fprintf(w.m.Err, "Connected again at %s.\n", w.m.Now().In(w.m.Zone).Format("15:04:05"))
		}
		for _, id := range w.order {
			w.tellUser(id)
		}
	}
}

// tellUser prints a user, unless what was printed last says the same.
func (w *watcher) tellUser(id presence.UserID) {
	u, ok := w.users[id]
	if !ok {
		return // not the one that is watched
	}
	line := w.line(&u)
	if line == w.lines[id] {
		return
	}
	w.lines[id] = line
	if w.m.json {
		w.m.printf("%s\n", line)
		return
	}
	w.m.printf("%s  %s\n", w.m.Now().In(w.m.Zone).Format("15:04:05"), line)
}

func (w *watcher) line(u *bridge.User) string {
	if w.m.json {
		text, err := json.Marshal(u)
		if err != nil {
			return "" // cannot be: it came as JSON
		}
		return plainJSON(string(text))
	}
	text := fmt.Sprintf("%s is %s", plain(u.Name), w.m.statusText(u.Status))
	if u.Status != nil {
		text += marks(u.Status) + over(u) + ", by " + plain(u.Status.By)
	}
	if w.last && u.Last != nil {
		text += ": " + string(u.Last.Rule)
	}
	return text + " [" + extensions(u, false) + "]"
}

// The screen beside the one with the shell's history, without a cursor, and back.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l"
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	toTop       = "\x1b[H"
	clearLine   = "\x1b[K"
	clearRest   = "\x1b[J"
)

// paint draws the screen of a terminal again and again.
func (w *watcher) paint(ctx context.Context, updates <-chan news, height int) error {
	w.m.printf(enterScreen)
	defer w.m.printf(leaveScreen)
	tick := time.NewTicker(frame)
	defer tick.Stop()
	changed, drawn, asked := false, time.Time{}, time.Time{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case u := <-updates:
			if err := w.take(u); err != nil {
				return err
			}
			changed = true
		case now := <-tick.C:
			if now.Sub(asked) >= askPBXs && w.ever {
				asked = now
				w.askPBXs(ctx)
			}
			if changed || now.Sub(drawn) >= drawEvery && w.ever {
				changed, drawn = false, now
				w.draw(height)
			}
		}
	}
}

func (w *watcher) askPBXs(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, drawEvery)
	defer cancel()
	var p page[bridge.PBX]
	if err := w.c.get(ctx, "/api/v1/pbxs", &p); err == nil { // else the feed tells what is wrong
		w.pbxs = p.Items
	}
}

// draw draws the whole screen over the one before, which does not flicker.
func (w *watcher) draw(height int) {
	if _, h, err := w.m.Terminal(); err == nil {
		height = h // it may have been resized
	}
	lines := w.screen()
	if height > 1 && len(lines) > height-1 {
		lines = append(lines[:height-2], fmt.Sprintf("… and %d lines more", len(lines)-height+2))
	}
	w.m.printf("%s%s%s\n%s", toTop, strings.Join(lines, clearLine+"\n"), clearLine, clearRest)
}

func (w *watcher) screen() []string {
	width, colour := w.m.screen()
	head := w.m.Now().In(w.m.Zone).Format("15:04:05") + "  " + count(len(w.users), "user", "users") + ". Ctrl-C ends."
	lines := []string{painted(fit(head, width), dim, colour)}
	for _, note := range w.notes {
		lines = append(lines, painted(note, yellow, colour))
	}
	if w.lost != "" {
		lines = append(lines, painted(fit(w.lost, width), yellow, colour))
	}
	for _, p := range w.pbxs {
		if !p.Ready {
			lines = append(lines, painted(fit(fmt.Sprintf("PBX %s is not ready: %s", plain(p.PBX), plain(p.Reason)), width), red, colour))
		}
	}
	lines = append(lines, "")
	users := make([]bridge.User, len(w.order))
	for i, id := range w.order {
		users[i] = w.users[id]
	}
	if w.only != "" && len(users) == 1 {
		var detail bytes.Buffer
		m := *w.m
		m.Out = &detail
		m.printUser(&users[0])
		return append(lines, strings.Split(strings.TrimSuffix(detail.String(), "\n"), "\n")...)
	}
	return append(lines, w.m.userTable(users, w.last).lines(width, colour)...)
}
