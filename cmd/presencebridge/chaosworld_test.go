package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/pbxsim"
	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
	"github.com/presencebridge/presencebridge/pkg/store"
	"github.com/presencebridge/presencebridge/pkg/store/servertest"
)

// world is what faults happen to: an Asterisk, one or two bridges and a naive
// listener behind wires, a store, and people at work.
type world struct {
	t       *testing.T
	pbx     *pbxtest.Real
	wires   []*wire // of the bridges, of the naive listener
	bridges []*running
	naive   *naive
	server  *servertest.Server // nil: the store is SQLite
	at      store.Server       // with server
	disk    string             // of both SQLite files; small where root may mount one
	small   bool
	people  *load
	seen    *follower
	mapping string
	asked   string // about whom look was last in doubt
}

const diskSize = 256 << 20

func newWorld(t *testing.T, f pbxtest.Factory, driver string, seed uint64, users int) *world {
	t.Helper()
	w := &world{t: t, disk: folder(t)}
	accounts := append(pbxsim.DefaultUsers(), pbxsim.User{Name: "naive", Secret: "naive-secret", Read: "system,call", Write: "call,reporting"})
	pbx, ok := f.Start(t, pbxtest.Options{Users: accounts}).(*pbxtest.Real)
	if !ok {
		t.Fatal("no real Asterisk")
	}
	w.pbx = pbx
	w.wires = []*wire{newWire(t, pbx.Addr()), newWire(t, pbx.Addr())}
	if err := syscall.Mount("tmpfs", w.disk, "tmpfs", 0, fmt.Sprintf("size=%d", diskSize)); err == nil {
		w.small = true
		t.Cleanup(func() { _ = syscall.Unmount(w.disk, syscall.MNT_DETACH) })
	}
	number := 1
	if driver == "postgres" {
		w.server = servertest.Postgres(t)
		w.at = w.server.NewDatabase()
		number = 2
	}
	for range number {
		r := configure(t, "", behind{pbx, w.wires[0].addr()})
		w.bridges = append(w.bridges, r)
		if w.server != nil {
			r.storeIn("postgres", w.at)
		} else {
			r.append("presencebridge.yaml", fmt.Sprintf("store: {driver: sqlite, dsn: %q}\n", w.file()))
		}
	}
	phones := pbxtest.Observe(t, pbx)
	w.people = newLoad(seed, users, phones, w.bridges...)
	w.mapping = w.people.mapping()
	for _, r := range w.bridges {
		r.write("mapping.yaml", w.mapping)
		r.quieten()
		r.start()
	}
	w.bridges[0].ready()
	w.naive = newNaive(t, w.wires[1].addr(), pbx.User("naive"), w.disk)
	w.naive.listens(phones)
	w.seen = followFeed(t, w.people.clients)
	begun := time.Now()
	if err := w.people.begin(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d people have a status after %.1f s", users, time.Since(begun).Seconds())
	return w
}

func (w *world) file() string { return filepath.Join(w.disk, "presencebridge.db") }

// append adds lines to a file of the bridge.
func (r *running) append(name, text string) {
	r.t.Helper()
	before, err := os.ReadFile(filepath.Join(r.dir, name))
	if err != nil {
		r.t.Fatal(err)
	}
	r.write(name, string(before)+text)
}

// quieten makes the bridge tell less: hours of every event are too much to keep.
func (r *running) quieten() {
	r.t.Helper()
	text, err := os.ReadFile(filepath.Join(r.dir, "presencebridge.yaml"))
	if err != nil {
		r.t.Fatal(err)
	}
	r.write("presencebridge.yaml", strings.Replace(string(text), "level: debug", "level: info", 1))
}

// listens waits until events come to it.
func (n *naive) listens(phones *pbxtest.Observer) {
	n.t.Helper()
	db, err := openNaive(n.file)
	if err != nil {
		n.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	pbxtest.Eventually(n.t, patience, "the naive listener listens", func() bool {
		var rows int
		_ = phones.Set(at("0"), "away", "", "")
		err := db.QueryRow(`SELECT count(*) FROM shown`).Scan(&rows)
		return err == nil && rows > 0
	})
}

// each calls f for the bridges' wire and the naive listener's.
func (w *world) each(f func(*wire)) {
	for _, wire := range w.wires {
		f(wire)
	}
}

// holder is the bridge that acts; nil: none answers as one.
func (w *world) holder() *running {
	for i, r := range w.bridges {
		if done, err := request(w.people.clients[i], http.MethodGet, "/api/v1/pbxs", nil, nil); done && err == nil {
			return r
		}
	}
	return nil
}

func (w *world) list() (map[string]bridge.User, error) {
	all := make(map[string]bridge.User)
	for next := ""; ; {
		var page struct {
			Items []bridge.User `json:"items"`
			Next  *string       `json:"next"`
		}
		path := "/api/v1/users?limit=5000"
		if next != "" {
			path += "&cursor=" + url.QueryEscape(next)
		}
		if err := w.people.ask(http.MethodGet, path, nil, &page); err != nil {
			return nil, err
		}
		for _, u := range page.Items {
			all[string(u.ID)] = u
		}
		if page.Next == nil {
			return all, nil
		}
		next = *page.Next
	}
}

// agree waits until bridge, store, PBX and what people did agree, while they rest, and
// returns when that was: when all was right for those who had done something, if then it
// is for everybody else.
func (w *world) agree(deadline time.Duration) (when time.Time, err error) {
	if lost := w.people.lostChoices(); len(lost) > 0 {
		return when, fmt.Errorf("accepted choices are lost: %s", lost)
	}
	for end := time.Now().Add(deadline); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if err = w.lookAt(w.people.active()); err != nil {
			continue
		}
		when = time.Now()
		var found map[string]bridge.User
		if found, err = w.look(); err == nil {
			w.people.checked(found)
			return when, nil
		}
	}
	return when, err
}

// lookAt compares some.
func (w *world) lookAt(some []*person) error {
	if err := w.isReady(); err != nil {
		return err
	}
	for _, p := range some {
		w.asked = p.id
		var u bridge.User
		if err := w.people.ask(http.MethodGet, "/api/v1/users/"+p.id, nil, &u); err != nil {
			return err
		}
		if err := p.agrees(u); err != nil {
			return fmt.Errorf("%s: %w", p.id, err)
		}
		for _, x := range u.Extensions {
			c, err := w.people.phones.Shows(at(x.Extension))
			if err != nil {
				return err
			}
			if c != changeOf(x) {
				return fmt.Errorf("%s: the PBX shows %+v, the bridge %+v", p.id, c, changeOf(x))
			}
		}
	}
	return nil
}

func (w *world) isReady() error {
	if h := w.holder(); h == nil || h.status("/readyz") != http.StatusOK {
		return errors.New("no bridge is ready")
	}
	return nil
}

// look compares everybody once.
func (w *world) look() (map[string]bridge.User, error) {
	if err := w.isReady(); err != nil {
		return nil, err
	}
	found, err := w.list()
	if err != nil {
		return nil, err
	}
	for _, p := range w.people.people {
		w.asked = p.id
		if err := p.agrees(found[p.id]); err != nil {
			return nil, fmt.Errorf("%s: %w", p.id, err)
		}
	}
	if err := w.stored(found); err != nil {
		return nil, err
	}
	return found, w.seen.agrees(found)
}

// stored compares what the AstDB has for everybody.
func (w *world) stored(found map[string]bridge.User) error {
	if w.pbx == nil { // simulated
		return w.lookAt(w.people.people)
	}
	stored, err := w.pbx.Stored()
	if err != nil {
		return err
	}
	for id, u := range found {
		w.asked = id
		for _, x := range u.Extensions {
			if c := stored[at(x.Extension)]; c != changeOf(x) {
				return fmt.Errorf("%s: the AstDB has %+v, the bridge %+v", id, c, changeOf(x))
			}
		}
	}
	return nil
}

// explained is what the bridge says about whom it disagreed.
func (w *world) explained() string {
	h := w.holder()
	if h == nil || w.asked == "" {
		return "no bridge acts"
	}
	why, _ := h.run("explain", w.asked)
	history, _ := h.run("history", w.asked)
	return why + history
}

// agrees compares a user with what the person did.
func (p *person) agrees(u bridge.User) error {
	s, ok := among(p.mayShow(), u.Status)
	if !ok {
		return fmt.Errorf("the bridge shows %s, want one of %v", statusText(u.Status), p.mayShow())
	}
	if !u.Saved {
		return fmt.Errorf("version %d is not saved", u.Version)
	}
	latest := 0
	for i, x := range u.Extensions {
		if x.Pending || !x.Reachable {
			return fmt.Errorf("%s pending %v, reachable %v", x.Extension, x.Pending, x.Reachable)
		}
		if x.Since != nil && (u.Extensions[latest].Since == nil || x.Since.After(*u.Extensions[latest].Since)) {
			latest = i
		}
	}
	if x := u.Extensions[latest]; changeOf(x) != s.on(x.Extension) {
		return fmt.Errorf("status %v, but the latest extension shows %+v", s, changeOf(x))
	}
	for i, x := range u.Extensions {
		want := s.on(x.Extension)
		if p.habit == dials && (i != p.hand || s.message == p.past[0].message) {
			want = p.last[i]
		}
		if p.habit != mixes && changeOf(x) != want {
			return fmt.Errorf("an extension shows %+v, want %+v", changeOf(x), want)
		}
	}
	return nil
}

func (l *load) lostChoices() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.lost)
}

// follower reads the feed of the bridge that acts, and sees that versions only rise.
type follower struct {
	mu    sync.Mutex
	last  map[string]uint64
	fault error
	items int
}

func followFeed(t *testing.T, clients []*http.Client) *follower {
	f := &follower{last: make(map[string]uint64)}
	ctx, cancel := context.WithCancel(context.Background())
	var task sync.WaitGroup
	task.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			f.read(ctx, clients[i%len(clients)])
		}
	})
	t.Cleanup(func() { cancel(); task.Wait() })
	return f
}

// read reads until the feed ends, or for so long that it is not stuck at a bridge that is.
func (f *follower) read(ctx context.Context, c *http.Client) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	forever := http.Client{Transport: c.Transport}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://bridge/api/v1/events", nil)
	if err != nil {
		panic(err) // cannot be
	}
	resp, err := forever.Do(req)
	if err != nil || resp.StatusCode != http.StatusOK {
		if err == nil {
			_ = resp.Body.Close()
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
		return
	}
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var u bridge.User
		if data, ok := strings.CutPrefix(lines.Text(), "data:"); ok && json.Unmarshal([]byte(data), &u) == nil && u.Version > 0 {
			f.note(u)
		}
	}
}

func (f *follower) note(u bridge.User) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.items++
	if before := f.last[string(u.ID)]; u.Version < before && f.fault == nil {
		f.fault = fmt.Errorf("the page of %s went back from version %d to %d", u.ID, before, u.Version)
	}
	f.last[string(u.ID)] = u.Version
}

// agrees tells of versions that fell, in the feed or since.
func (f *follower) agrees(found map[string]bridge.User) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, u := range found {
		if before := f.last[id]; u.Version < before && f.fault == nil {
			return fmt.Errorf("%s has version %d after %d", id, u.Version, before)
		}
	}
	return f.fault
}
