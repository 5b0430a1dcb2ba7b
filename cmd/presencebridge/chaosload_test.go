package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/presencebridge/presencebridge/pkg/api"
	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/pbxsim"
	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// habit is how a person of the load changes their status.
type habit int

const (
	chooses habit = iota // over the API alone
	dials                // on one phone alone, another after each check
	mixes                // both, on both phones
	habits
)

// said is a status, told apart from all others by its message.
type said struct {
	kind    presence.TypeID
	message string
	at      time.Time // when it was accepted; zero: nobody knows whether it was
}

// presences are the types of the load with what phones show for them.
var presences = map[presence.TypeID]pbxsim.Change{
	"available": {State: "available"}, "away": {State: "away"}, "lunch": {State: "away", Subtype: "lunch"},
	"meeting": {State: "xa", Subtype: "meeting"}, "dnd": {State: "dnd"},
}

var kinds = []presence.TypeID{"available", "away", "lunch", "meeting", "dnd"}

// person is a user of the load and what is known of them; under load.mu.
type person struct {
	id     string
	habit  habit
	phones [2]string
	hand   int    // of the phone in use
	past   []said // since the last check, what held then first; the last one accepted must hold
	doubt  []said // may hold as well: nobody knows whether it came through
	life   int    // of the bridge, when the doubt came
	busy   bool   // with one thing at a time, or nobody knew which came last
	last   [2]pbxsim.Change
}

func (p *person) now() said { return p.past[len(p.past)-1] }

// mayShow lists what may be the status.
func (p *person) mayShow() []said {
	if p.habit == mixes {
		return append(slices.Clone(p.past), p.doubt...)
	}
	return append([]said{p.now()}, p.doubt...)
}

// among returns the one of these that a status is.
func among(all []said, s *bridge.UserStatus) (said, bool) {
	i := slices.IndexFunc(all, func(x said) bool { return s != nil && x.kind == s.Type && x.message == s.Message })
	if i < 0 {
		return said{}, false
	}
	return all[i], true
}

// load are people at work: phones over amigo, choices over the API of whichever
// bridge answers.
type load struct {
	phones  *pbxtest.Observer
	clients []*http.Client // of the bridges

	gate  sync.RWMutex // held for reading during each act, for writing while they rest
	tasks sync.WaitGroup

	mu       sync.Mutex
	rng      *rand.Rand
	people   []*person
	made     int // statuses
	answers  int // which of clients did last
	life     int // of the bridge: counts its deaths
	accepted [2]int
	doubted  int
	lost     []string // accepted choices that a bridge no longer had after its death
}

func newLoad(seed uint64, users int, phones *pbxtest.Observer, bridges ...*running) *load {
	l := &load{phones: phones, rng: rand.New(rand.NewPCG(seed, 1))}
	for _, r := range bridges {
		l.clients = append(l.clients, &http.Client{Timeout: 8 * time.Second, Transport: r.client.Transport})
	}
	for i := range users {
		l.people = append(l.people, &person{
			id: fmt.Sprintf("user-%05d", i), habit: habit(i) % habits, hand: i / int(habits) % 2,
			phones: [2]string{fmt.Sprint(100000 + 2*i), fmt.Sprint(100001 + 2*i)},
		})
	}
	return l
}

// mapping is that of the people.
func (l *load) mapping() string {
	var b strings.Builder
	b.WriteString("sync: {incoming: latest, outgoing: all}" + statuses + "\nusers:\n")
	for _, p := range l.people {
		fmt.Fprintf(&b, "  - {id: %s, extensions: [%q, %q]}\n", p.id, p.phones[0], p.phones[1])
	}
	return b.String()
}

// begin gives everybody a status: over the API by several hands, since each choice waits
// for the store, and on phones by one.
func (l *load) begin() error {
	var choose, others []*person
	for _, p := range l.people {
		if p.habit == chooses {
			choose = append(choose, p)
		} else {
			others = append(others, p)
		}
	}
	parts := append(slices.Collect(slices.Chunk(choose, len(choose)/8+1)), others)
	failed := make([]error, len(parts))
	var tasks sync.WaitGroup
	for i, part := range parts {
		tasks.Go(func() {
			for _, p := range part {
				if failed[i] = l.first(p); failed[i] != nil {
					return
				}
			}
		})
	}
	tasks.Wait()
	return errors.Join(failed...)
}

func (l *load) first(p *person) (err error) {
	s := l.fresh()
	if p.habit == chooses {
		err = l.put(p.id, s)
	} else {
		for _, number := range p.phones {
			err = errors.Join(err, l.dial(number, s))
		}
	}
	if err != nil {
		return fmt.Errorf("the first status of %s: %w", p.id, err)
	}
	s.at = time.Now()
	p.past = []said{s}
	for i := range p.last {
		p.last[i] = s.on(p.phones[i])
	}
	return nil
}

// run lets people act until ctx ends.
func (l *load) run(ctx context.Context) {
	task := func(every time.Duration, byPhone bool) {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				l.gate.RLock()
				l.act(byPhone)
				l.gate.RUnlock()
			}
		}
	}
	l.tasks.Go(func() { task(40*time.Millisecond, true) })
	for range 2 {
		l.tasks.Go(func() { task(100*time.Millisecond, false) })
	}
}

// rest lets nobody act until wake is called, and waits for those who do.
func (l *load) rest() (wake func()) {
	l.gate.Lock()
	return l.gate.Unlock
}

func (l *load) fresh() said {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.made++
	return said{kind: kinds[l.rng.IntN(len(kinds))], message: fmt.Sprintf("no %07d", l.made)}
}

// on is what a phone shows for it.
func (s said) on(number string) pbxsim.Change {
	c := presences[s.kind]
	c.Presentity, c.Message = at(number), s.message
	return c
}

// act lets one person do something, if they are free.
func (l *load) act(byPhone bool) {
	l.mu.Lock()
	p := l.people[l.rng.IntN(len(l.people))]
	phone, life := p.phones[p.hand], l.life
	if p.habit == mixes {
		phone = p.phones[l.rng.IntN(2)]
	}
	doubted, resolvable := len(p.doubt) > 0, p.life < life
	if p.busy {
		l.mu.Unlock()
		return
	}
	p.busy = true
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		p.busy = false
	}()
	switch {
	case byPhone && p.habit == chooses, !byPhone && p.habit == dials:
	case doubted && p.habit == chooses && resolvable:
		l.resolve(p)
	case doubted && p.habit != mixes: // until a check
	default:
		l.change(p, phone, byPhone, life)
	}
}

// change gives a person another status.
func (l *load) change(p *person, phone string, byPhone bool, life int) {
	s := l.fresh()
	var err error
	if byPhone {
		err = l.dial(phone, s)
	} else {
		err = l.put(p.id, s)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil:
		s.at = time.Now()
		p.past = append(p.past, s)
		l.accepted[map[bool]int{true: 1}[byPhone]]++
	case !errors.Is(err, errNotDone):
		p.doubt, p.life = append(p.doubt, s), life
		l.doubted++
	}
}

// errNotDone is that of what certainly was not done.
var errNotDone = errors.New("nobody took it")

func (l *load) dial(number string, s said) error {
	c := s.on(number)
	err := l.phones.Set(c.Presentity, c.State, c.Subtype, c.Message)
	if errors.Is(err, pbxtest.ErrNotRunning) {
		err = errNotDone
	}
	return err
}

// put chooses a status at the first bridge that is there and no standby.
func (l *load) put(id string, s said) error {
	body, err := json.Marshal(map[string]any{"type": s.kind, "message": s.message})
	if err != nil {
		return err
	}
	return l.ask(http.MethodPut, "/api/v1/users/"+id+"/status", body, nil)
}

// resolve asks a bridge that was started again what became of a choice in doubt:
// who was asked is dead, so nothing more comes of it.
func (l *load) resolve(p *person) {
	var u bridge.User
	if err := l.ask(http.MethodGet, "/api/v1/users/"+p.id, nil, &u); err != nil {
		return // another time
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s, ok := among(p.mayShow(), u.Status)
	if !ok {
		l.lost = append(l.lost, fmt.Sprintf("%s shows %s, want %v", p.id, statusText(u.Status), p.mayShow()))
		return
	}
	s.at = time.Now()
	p.past, p.doubt = append(p.past, s), nil
}

func (l *load) ask(method, path string, body []byte, into any) error {
	l.mu.Lock()
	first := l.answers
	l.mu.Unlock()
	for i := range l.clients {
		at := (first + i) % len(l.clients)
		done, err := request(l.clients[at], method, path, body, into)
		if !done {
			continue
		}
		l.mu.Lock()
		l.answers = at
		if err != nil {
			l.answers = (at + 1) % len(l.clients)
		}
		l.mu.Unlock()
		return err
	}
	return errNotDone
}

// request reports done unless nobody is there who would do it.
func request(c *http.Client, method, path string, body []byte, into any) (done bool, err error) {
	req, err := http.NewRequestWithContext(context.Background(), method, "http://bridge"+path, bytes.NewReader(body))
	if err != nil {
		return true, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.Do(req)
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return false, err
	}
	if err != nil {
		return true, err
	}
	defer func() { _ = resp.Body.Close() }() // it was read
	text, err := io.ReadAll(resp.Body)
	switch {
	case resp.Header.Get(api.StandbyHeader) != "", strings.Contains(string(text), "holds the store"):
		return false, errors.New("a standby")
	case err != nil:
		return true, err
	case resp.StatusCode != http.StatusOK:
		return true, fmt.Errorf("%s: %s", resp.Status, text)
	case into != nil:
		err = json.Unmarshal(text, into)
	}
	return true, err
}

// died notes that a bridge is dead, and all its requests with it.
func (l *load) died() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.life++
}

// forgiven says that what phones set within this time may be forgotten, for nobody
// who is still there has seen it, or none of it is on a disk.
func (l *load) forgiven(window time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	since := time.Now().Add(-window)
	for _, p := range l.people {
		if p.habit == chooses {
			continue
		}
		for i, s := range p.past[:len(p.past)-1] {
			if p.past[i+1].at.After(since) {
				p.doubt = append(p.doubt, s)
			}
		}
	}
}

// active are those who did something since the last check.
func (l *load) active() (some []*person) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.people {
		if len(p.past)+len(p.doubt) > 1 {
			some = append(some, p)
		}
	}
	return some
}

// checked goes on from what a check found.
func (l *load) checked(found map[string]bridge.User) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.people {
		u := found[p.id]
		p.past = []said{{u.Status.Type, u.Status.Message, time.Now()}}
		p.doubt = nil
		for i, x := range u.Extensions {
			p.last[i] = changeOf(x)
		}
		p.hand = l.rng.IntN(2)
	}
}

func changeOf(x bridge.UserExtension) pbxsim.Change {
	c := pbxsim.Change{Presentity: at(x.Extension)}
	if x.Presence != nil {
		c.State, c.Subtype, c.Message = x.Presence.State.String(), x.Presence.Subtype, x.Presence.Message
	}
	return c
}

func statusText(s *bridge.UserStatus) string {
	if s == nil {
		return "no status"
	}
	return fmt.Sprintf("%s %q by %s", s.Type, s.Message, s.By)
}
