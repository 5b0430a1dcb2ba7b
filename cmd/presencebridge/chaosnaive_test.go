package main

import (
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ivahaev/amigo"

	"github.com/presencebridge/presencebridge/pkg/pbxsim"
	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

// naiveVariable makes this binary a naive listener: "address account secret file".
const naiveVariable = "PRESENCEBRIDGE_TEST_NAIVE"

// listenNaively does what panels do: each event becomes a row of a user, and the
// last one is the status. The library connects again by itself.
func listenNaively(args []string) {
	host, port, err := net.SplitHostPort(args[0])
	if err != nil {
		panic(err)
	}
	db, err := openNaive(args[3])
	if err != nil {
		panic(err)
	}
	a := amigo.New(&amigo.Settings{Host: host, Port: port, Username: args[1], Password: args[2], ReconnectInterval: time.Second})
	err = a.RegisterHandler("PresenceStateChange", func(e map[string]string) {
		extension := strings.TrimPrefix(e["Presentity"], "CustomPresence:")
		// A row that cannot be written is lost, as it is there.
		_, _ = db.Exec(`INSERT INTO shown VALUES (?1, ?2, ?3, ?4, (SELECT coalesce(max(n), 0) + 1 FROM shown))
			ON CONFLICT DO UPDATE SET state = ?2, subtype = ?3, message = ?4, n = excluded.n`, extension, e["Status"], e["Subtype"], e["Message"])
	})
	if err != nil {
		panic(err)
	}
	a.Connect()
	select {} // until it is killed
}

func openNaive(file string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", "file:"+file+"?_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)")
	if err == nil {
		db.SetMaxOpenConns(1)
		_, err = db.Exec(`CREATE TABLE IF NOT EXISTS shown (extension TEXT PRIMARY KEY, state TEXT, subtype TEXT, message TEXT, n INTEGER);
			CREATE INDEX IF NOT EXISTS shown_n ON shown (n)`)
	}
	return db, err
}

// naive is such a listener in a process of its own.
type naive struct {
	t    *testing.T
	addr string
	user pbxsim.User
	file string
	cmd  *exec.Cmd
}

func newNaive(t *testing.T, addr string, user pbxsim.User, dir string) *naive {
	n := &naive{t: t, addr: addr, user: user, file: filepath.Join(dir, "naive.db")}
	n.start()
	t.Cleanup(n.kill)
	return n
}

func (n *naive) start() {
	n.t.Helper()
	n.cmd = exec.Command(os.Args[0])
	n.cmd.Env = append(os.Environ(), naiveVariable+"="+strings.Join([]string{n.addr, n.user.Name, n.user.Secret, n.file}, " "))
	if err := n.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
}

func (n *naive) kill() {
	if n.cmd != nil {
		_ = n.cmd.Process.Kill()
		_ = n.cmd.Wait() // it was killed
		n.cmd = nil
	}
}

func (n *naive) signal(s syscall.Signal) {
	n.t.Helper()
	if err := n.cmd.Process.Signal(s); err != nil {
		n.t.Fatal(err)
	}
}

// wrong counts the people of whom it knows something else than the truth. Of those
// who mix, the truth is the bridge's word, so they do not count.
func (n *naive) wrong(people []*person) (wrong, of int, err error) {
	db, err := openNaive(n.file)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	shown, err := shownIn(db)
	if err != nil {
		return 0, 0, fmt.Errorf("read %s: %w", n.file, err)
	}
	for _, p := range people {
		if p.habit == mixes {
			continue
		}
		latest := shown[p.phones[0]]
		if other := shown[p.phones[1]]; other.n > latest.n {
			latest = other
		}
		of++
		want := presences[p.now().kind]
		want.Message = p.now().message
		if latest.Change != want {
			wrong++
		}
	}
	return wrong, of, nil
}

// numbered is an event and its place among all.
type numbered struct {
	pbxsim.Change
	n int
}

func shownIn(db *sql.DB) (shown map[string]numbered, err error) {
	rows, err := db.Query(`SELECT extension, state, subtype, message, n FROM shown`)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	shown = make(map[string]numbered)
	for rows.Next() {
		var extension string
		var x numbered
		if err := rows.Scan(&extension, &x.State, &x.Subtype, &x.Message, &x.n); err != nil {
			return nil, err
		}
		shown[extension] = x
	}
	return shown, rows.Err()
}

// knows waits until it has heard of everybody.
func (n *naive) knows(people []*person) {
	n.t.Helper()
	pbxtest.Eventually(n.t, patience, "the naive listener knows everybody", func() bool {
		wrong, _, err := n.wrong(people)
		return err == nil && wrong == 0
	})
}
