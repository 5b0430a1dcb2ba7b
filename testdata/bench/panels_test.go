package bench

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

// panelLimit is for how long nothing new is shown until what is missing is lost.
const panelLimit = 4 * time.Second

// panel is a program between a PBX and browsers: what phones do is committed to
// SQLite on the disk and shown. Ours has users of two extensions, the others have presentities.
type panel struct{ peer }

// panels are those that are compared: the floor, ours, the peer.
func panels() []panel {
	return []panel{
		{peer{name: "skeleton (floor)", kind: "skeleton", floor: true}},
		{peer{name: "ours: the whole program", ours: true}},
		{peer{
			name: "asterisk-manager, better-sqlite3, socket.io (Node)", run: []string{"node", filepath.Join("peers", "panel.js")},
			probe: []string{"node", "-e", "require('asterisk-manager'); require('socket.io'); new (require('better-sqlite3'))(':memory:')"},
			need:  "npm asterisk-manager, better-sqlite3 and socket.io",
		}},
	}
}

// load is what a panel has to bear.
type load struct {
	users, browsers int
	rate, seconds   int // events/s and how long
}

// sight is what all browsers saw of one load, in ms.
type sight struct {
	shown50, shown99, most           float64
	saved50, saved99, mostSaved      float64
	count, messages                  int     // changes that were shown, and what was sent for that
	wrongShown, wrongStored, cutOffs int     // in the end
	cpu                              float64 // µs an event
}

// sightOf asks browsers for it. The last fields are others'.
func sightOf(browsers *child) (s sight) {
	_, err := fmt.Sscan(browsers.ask("ages"), &s.shown50, &s.shown99, &s.most, &s.saved50, &s.saved99, &s.mostSaved, &s.count, &s.messages)
	check(browsers.tb, err)
	return s
}

// standing is a running panel.
type standing struct {
	opening func(i int) string // what browser i is told
	pid     int
	settle  func() // waits until everything is committed
	stop    func()
}

// bear starts a panel, lets its browsers come, and has phones set presences.
func (p panel) bear(b testing.TB, program string, sim *child, l load) sight {
	dir := b.TempDir()
	run := p.stand(b, program, sim.addr, dir, l.users)
	browsers := startChild(b, "browsers")
	defer browsers.end()
	for i := range l.browsers {
		browsers.ask("%s", run.opening(i))
	}
	run.settle()
	browsers.ask("forget")
	cut, began, cpu := statsOf(sim).cutOff, time.Now(), cpuClock(run.pid)
	sim.ask("rate %d %d", l.rate, l.rate*l.seconds)
	set := setSince(sim, began)
	want := p.shows(set)
	wrong, s := len(want), sightOf(browsers)
	for end := time.Now().Add(panelLimit); wrong > 0 && time.Now().Before(end); {
		time.Sleep(panelLimit / 10) // all of what is known is looked through, on the same cores
		wrong = differences(want, stampsOf(browsers.ask("newest")))
		before := s.messages
		if s = sightOf(browsers); s.messages > before {
			end = time.Now().Add(panelLimit)
		}
	}
	run.settle() // what is shown and not committed yet
	time.Sleep(panelLimit / 10)
	s = sightOf(browsers)
	s.wrongShown, s.cutOffs = wrong, statsOf(sim).cutOff-cut
	s.cpu = float64((cpuClock(run.pid) - cpu).Microseconds()) / float64(l.rate*l.seconds)
	run.stop()
	s.wrongStored = differences(set, p.stored(b, dir))
	return s
}

// stand starts the panel.
func (p panel) stand(b testing.TB, program, pbx, dir string, users int) standing {
	if !p.ours {
		r := p.start(b, pbx, "PEER_DB="+filepath.Join(dir, "peer.db"))
		opening, err := r.out.ReadString('\n')
		if err != nil {
			b.Fatalf("%s: %v: %s", p.name, err, r.said.String())
		}
		return standing{func(int) string { return strings.TrimSpace(opening) }, r.cmd.Process.Pid, func() {}, r.stop}
	}
	writeFiles(b, dir, pbx, users, storeApart)
	check(b, os.Mkdir(apart(dir), 0o700))
	address := fmt.Sprint("127.0.0.1:", pbxtest.FreePort(b))
	d := startDaemon(b, program, dir, "PRESENCEBRIDGE_HTTP_LISTEN="+address, "PRESENCEBRIDGE_HTTP_MAX_CONNECTIONS=4000")
	d.ready()
	token := ""
	return standing{
		func(i int) string {
			if i%100 == 0 { // more requests at once are too many of one
				token = d.newToken(fmt.Sprint("browsers-", i))
			}
			return "open " + address + " " + token
		},
		d.cmd.Process.Pid,
		func() { d.settledMetrics(0) },
		func() { d.end(syscall.SIGTERM) },
	}
}

// newToken makes a token that may read.
func (d *daemon) newToken(name string) string {
	answer, err := d.client.Post("http://bridge/api/v1/tokens", "application/json", strings.NewReader(fmt.Sprintf(`{"name":%q,"scope":"read"}`, name)))
	check(d.b, err)
	defer func() { _ = answer.Body.Close() }()
	var made struct {
		Token string `json:"token"`
	}
	check(d.b, json.NewDecoder(answer.Body).Decode(&made))
	if answer.StatusCode != http.StatusCreated {
		d.b.Fatalf("a token: %s", answer.Status)
	}
	return made.Token
}

// setSince is what phones have set since a moment: the last stamp by extension.
func setSince(sim *child, began time.Time) map[int]int64 {
	set := map[int]int64{}
	for id, stamp := range stampsOf(sim.ask("stamps")) {
		if stamp >= began.UnixNano() {
			set[id] = stamp
		}
	}
	return set
}

// stampsOf reads ID=STAMP and so on.
func stampsOf(line string) map[int]int64 {
	all := map[int]int64{}
	for word := range strings.FieldsSeq(line) {
		name, value, _ := strings.Cut(word, "=")
		stamp, _ := strconv.ParseInt(value, 10, 64)
		all[numberIn([]byte(name))] = stamp
	}
	return all
}

// shows is what browsers have to know in the end, when phones have set this.
func (p panel) shows(set map[int]int64) map[int]int64 {
	if !p.ours {
		return set
	}
	users := map[int]int64{} // the latest of each user's extensions
	for number, stamp := range set {
		u := (number - firstNumber) / perUser
		users[u] = max(users[u], stamp)
	}
	return users
}

// differences is how many are not as wanted.
func differences(want, got map[int]int64) (n int) {
	for id, stamp := range want {
		if got[id] != stamp {
			n++
		}
	}
	return n
}

// storeApart is a store in a folder of its own, as packages have it: in that of the mapping
// each write would wake who watches that.
const storeApart = "{driver: sqlite, dsn: store/bench.db}"

// apart is that folder.
func apart(dir string) string { return filepath.Join(dir, "store") }

// stored is what the panel's file says of each extension.
func (p panel) stored(b testing.TB, dir string) map[int]int64 {
	all := map[int]int64{}
	if p.ours {
		for _, v := range storedViews(b, apart(dir)) {
			for _, x := range v.Extensions {
				stamp, _ := strconv.ParseInt(x.Shows.Presence().Message, 10, 64)
				all[numberIn([]byte(x.ID.Number))] = stamp
			}
		}
		return all
	}
	db, err := openEvents(b.Context(), filepath.Join(dir, "peer.db"))
	check(b, err)
	defer func() { _ = db.Close() }()
	rows, err := db.QueryContext(b.Context(), `SELECT presentity, message FROM presence`)
	check(b, err)
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var presentity, message string
		check(b, rows.Scan(&presentity, &message))
		stamp, _ := strconv.ParseInt(message, 10, 64)
		all[numberIn([]byte(presentity))] = stamp
	}
	check(b, rows.Err())
	return all
}
