package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
	"github.com/presencebridge/presencebridge/pkg/store/servertest"
	"github.com/presencebridge/presencebridge/pkg/store/sqlite"
)

// stores are configurations, each with a store of its own: SQLite, PostgreSQL, MariaDB,
// and SQLite again.
func stores(t *testing.T, pbx pbxtest.PBX) []*running {
	t.Helper()
	postgres, mariadb := servertest.Postgres(t), servertest.MariaDB(t)
	var all []*running
	for range 4 {
		all = append(all, configure(t, threeMethods, pbx))
	}
	all[1].storeIn("postgres", postgres.NewDatabase())
	all[2].storeIn("mysql", mariadb.NewDatabase())
	return all
}

// rowsOf are the lines of a backup but the first and the last, without what a restore
// notes.
func rowsOf(t *testing.T, path string) []string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zip, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(zip)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	return slices.DeleteFunc(lines[1:len(lines)-2], func(line string) bool { return strings.Contains(line, `"backup restored"`) })
}

// remembers is what has to be the same after a restore: all but the version, which
// rises by far when a bridge was not stopped in order, and what came last, which no
// bridge keeps over a start.
func (r *running) remembers() string {
	r.t.Helper()
	var users page[bridge.User]
	var history page[store.Entry]
	r.get("/api/v1/users", &users)
	r.get("/api/v1/history", &history)
	for i := range users.Items {
		users.Items[i].Version, users.Items[i].Last = 0, nil
	}
	for i := range history.Items {
		history.Items[i].ID = 0
	}
	text, err := json.MarshalIndent([]any{users, history}, "", " ")
	if err != nil {
		r.t.Fatal(err)
	}
	return string(text)
}

// A bridge goes from SQLite to PostgreSQL, to MariaDB and back, and each time shows
// what it showed before, and since when.
func TestABridgeMovesWithItsBackup(t *testing.T) {
	pbx := pbxtest.NewSimulated(t, pbxtest.Options{})
	all := stores(t, pbx)
	p := phone{t, pbxtest.Observe(t, pbx)}
	r := all[0]
	r.startReady()
	p.set("1001", "away", "lunch", "it's 'two' 🍣")
	r.shows("alice", "lunch")
	p.set("1003", "dnd", "", "")
	r.shows("bob", "dnd")
	r.set("alice", "meeting", "Review")
	for _, id := range []string{"alice", "bob", "carol"} {
		r.settled(id)
	}
	token, code := r.run("token", "new", "crm")
	if code != exitDone {
		t.Fatalf("token: %s", token)
	}
	token = strings.Fields(token)[0]
	want := r.remembers()
	if !strings.Contains(want, "Review") || strings.Count(want, `"rule"`) != 3 {
		t.Fatalf("remembered %s", want)
	}
	for i, next := range all[1:] {
		file := filepath.Join(t.TempDir(), "backup.gz")
		r.says(exitDone, "backup "+file, "rows") // while it runs
		r.holdsNoSecret(file, token)
		r.says(exitFailed, "restore "+file+" --replace", "in use by another presencebridge") // likewise
		r.stop()
		next.says(exitDone, "restore "+file, "are restored, as they were on", "Start the bridge")
		next.says(exitFailed, "restore "+file, "not empty", "--replace")
		next.startReady()
		for _, id := range []string{"alice", "bob", "carol"} {
			next.settled(id)
		}
		if got := next.remembers(); got != want {
			t.Errorf("move %d:\ngot  %s\nwant %s", i+1, got, want)
		}
		next.says(exitDone, "audit", "backup restored", "token made")
		next.says(exitDone, "token list", "crm")
		r = next
	}
	// What counts for `latest` is the order in which it was said.
	p.set("1002", "available", "", "")
	r.shows("alice", "available")
}

// holdsNoSecret reads a backup as it is and unpacked.
func (r *running) holdsNoSecret(path string, more ...string) {
	r.t.Helper()
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		r.t.Errorf("the mode of a backup is %v, %v", info.Mode(), err)
	}
	text := strings.Join(rowsOf(r.t, path), "")
	for _, secret := range append(more, r.secrets...) {
		if strings.Contains(text, secret) {
			r.t.Errorf("a backup has the secret %q", secret)
		}
	}
}

// crowd fills the SQLite store of r.
func (r *running) crowd(users int) {
	r.t.Helper()
	ctx := context.Background()
	s, err := sqlite.Open(ctx, filepath.Join(r.dir, "presencebridge.db"), zap.NewNop())
	if err != nil {
		r.t.Fatal(err)
	}
	noon := time.Date(2026, 11, 22, 12, 0, 0, 123456000, time.UTC)
	lunch := &presence.StatusType{ID: "lunch", Name: "Lunch", Base: presence.Absent, Color: "#ef6c00"}
	for done := 0; done < users; done += 1000 {
		var b store.Batch
		for i := range 1000 {
			id := presence.UserID(fmt.Sprintf("user-%06d", done+i))
			at := noon.Add(time.Duration(done+i) * time.Second)
			u := store.User{ID: id, Name: `Üser "` + string(id) + `"`, Email: string(id) + "@example.com", Version: uint64(i),
				View: fmt.Appendf(nil, `{"user":%q,"message":%q}`, id, strings.Repeat("view ", i%200))}
			if i%3 > 0 {
				u.Status = &presence.Status{Type: lunch, Message: "Back\r\nat 2", Since: presence.At(at), By: "extension main/1001"}
			}
			b.Users = append(b.Users, u)
			for k := range 2 {
				b.History = append(b.History, store.Entry{User: id, At: at, Type: "lunch", Name: "Lunch", Base: presence.Absent, By: "cli", Rule: "newest", Version: uint64(k)})
			}
		}
		if err := s.Save(ctx, &b); err != nil {
			r.t.Fatal(err)
		}
	}
	if err := s.Close(ctx, true); err != nil {
		r.t.Fatal(err)
	}
}

func TestTenThousandUsersAreTheSameInEveryDatabase(t *testing.T) {
	all := stores(t, pbxtest.NewSimulated(t, pbxtest.Options{}))
	dir := t.TempDir()
	all[0].crowd(10_000)
	var want []string
	for i, r := range all {
		file := filepath.Join(dir, fmt.Sprint(i))
		if i > 0 {
			start := time.Now()
			r.says(exitDone, "restore "+filepath.Join(dir, fmt.Sprint(i-1)), fmt.Sprintf("%d rows", 30_000+i-1)) // each restore is noted
			t.Logf("restore %d: %v", i, time.Since(start))
		}
		start := time.Now()
		r.says(exitDone, "backup "+file, "rows")
		t.Logf("backup %d: %v", i, time.Since(start))
		if got := rowsOf(t, file); i == 0 {
			want = got
		} else if !slices.Equal(got, want) {
			t.Errorf("backup %d has %d lines, which are not the %d of the first", i, len(got), len(want))
		}
	}
	if len(want) != 30_000+10 { // with a line for each table
		t.Errorf("%d lines", len(want))
	}
}

// noPBX is a configuration whose bridge need not run.
func noPBX(t *testing.T) *running {
	t.Helper()
	r := &running{t: t, dir: t.TempDir(), log: &lockedBuffer{}}
	r.write("presencebridge.yaml", "pbx: [{name: main, ami: {address: \"127.0.0.1:5038\", username: u, secret_file: secret}}]\n")
	r.write("secret", "x")
	return r // without a mapping: it may be half edited
}

func TestADamagedFileLeavesTheStoreAsItIs(t *testing.T) {
	r := noPBX(t)
	r.crowd(1000)
	good := filepath.Join(r.dir, "good")
	r.says(exitDone, "backup "+good, "3000 rows")
	want := rowsOf(t, good)
	text, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(text)
	flipped[len(flipped)/2] ^= 4
	for name, file := range map[string][]byte{"cut": text[:len(text)-1], "half": text[:len(text)/2], "flipped": flipped, "empty": nil, "other": []byte("SQLite format 3")} {
		r.write(name, string(file))
		r.says(exitFailed, "restore --replace "+filepath.Join(r.dir, name), "no whole backup", "nothing was changed")
	}
	r.says(exitDone, "backup "+filepath.Join(r.dir, "again"))
	if got := rowsOf(t, filepath.Join(r.dir, "again")); !slices.Equal(got, want) {
		t.Error("the store has changed")
	}
	// It was stopped in order, and refusals do not make that untrue.
	s, err := sqlite.Open(t.Context(), filepath.Join(r.dir, "presencebridge.db"), zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	if !s.WasClean() {
		t.Error("the store is not clean any more")
	}
	if err := s.Close(t.Context(), true); err != nil {
		t.Error(err)
	}
}

func TestBackupAndRestoreSayWhatToDo(t *testing.T) {
	r := noPBX(t)
	r.says(exitFailed, "backup "+filepath.Join(r.dir, "b"), "there is no store", "start the bridge")
	r.crowd(1000)
	r.says(exitFailed, "backup "+filepath.Join(r.dir, "presencebridge.db"), "is there already")
	r.says(exitFailed, "backup "+filepath.Join(r.dir, "none", "b"), "there is no "+filepath.Join(r.dir, "none"))
	r.says(exitFailed, "restore "+filepath.Join(r.dir, "b"), "there is no file "+filepath.Join(r.dir, "b"))
	r.says(exitWrong, "restore /dev/null", "save it first")
	r.says(exitWrong, "restore "+r.dir, "save it first")
	r.says(exitWrong, "backup", "presencebridge backup FILE|-")
	r.write("presencebridge.yaml", "store: {driver: oracle}\n")
	r.says(exitWrong, "backup "+filepath.Join(r.dir, "b"), "the configuration has faults", "oracle")
	left, err := filepath.Glob(filepath.Join(r.dir, ".*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	t.Chdir(t.TempDir())
	for _, args := range [][]string{{"backup", "x"}, {"restore", os.Args[0]}} {
		c := newConsole(args...)
		if code := c.Run(t.Context()); code != exitWrong || !strings.Contains(c.err.String(), "--config FILE") {
			t.Errorf("%v: exit code %d, %s", args, code, c.err.String())
		}
	}
}

func TestABackupGoesToAPipeAndNotToATerminal(t *testing.T) {
	r := noPBX(t)
	r.crowd(1000)
	c := newConsole("backup", "-", "--config", filepath.Join(r.dir, "presencebridge.yaml"))
	if code := c.Run(t.Context()); code != exitDone || strings.Count(c.err.String(), "\n") != 1 {
		t.Errorf("exit code %d, %s", code, c.err.String())
	}
	r.write("piped", c.out.String())
	if n := len(rowsOf(t, filepath.Join(r.dir, "piped"))); n != 3000+10 { // a line for each user and line of history, and for each table
		t.Errorf("%d lines", n)
	}
	c = newConsole("backup", "-", "--config", filepath.Join(r.dir, "presencebridge.yaml")).onTerminal(80, 24)
	if code := c.Run(t.Context()); code != exitWrong || c.out.String() != "" || !strings.Contains(c.err.String(), "name a file") {
		t.Errorf("exit code %d, %s", code, c.err.String())
	}
	c = newConsole("backup", "-", "--config", filepath.Join(r.dir, "presencebridge.yaml"))
	c.Out = full{}
	if code := c.Run(t.Context()); code != exitFailed || !strings.Contains(c.err.String(), "no space left") {
		t.Errorf("exit code %d, %s", code, c.err.String())
	}
}

func TestWhatTakesLongIsToldFromASecondOn(t *testing.T) {
	c := newConsole()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	c.Now = func() time.Time { return now }
	tell := c.tell("restored")
	for i := range int64(13) {
		tell(i*500, 6000)
		now = now.Add(500 * time.Millisecond)
	}
	if got, want := c.err.String(), "restored 1000 of 6000 rows\nrestored 6000 of 6000 rows\n"; got != want {
		t.Errorf("told %q, want %q", got, want)
	}
}

// Root restores, and the bridge has a user of its own.
func TestWhatRootRestoresIsTheBridges(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: sudo go test ./cmd/presencebridge")
	}
	const nobody = 65534
	from, into := noPBX(t), noPBX(t)
	from.crowd(1000)
	file := filepath.Join(from.dir, "b")
	from.says(exitDone, "backup "+file)
	if err := os.Chown(into.dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	into.says(exitDone, "restore "+file)
	for _, name := range []string{"presencebridge.db", "presencebridge.db.lock"} {
		info, err := os.Stat(filepath.Join(into.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if is := info.Sys().(*syscall.Stat_t); is.Uid != nobody || is.Gid != nobody {
			t.Errorf("%s belongs to %d:%d", name, is.Uid, is.Gid)
		}
	}
	if info, err := os.Stat(filepath.Join(into.dir, "secret")); err != nil || info.Sys().(*syscall.Stat_t).Uid != 0 {
		t.Errorf("a file of somebody else was given away: %v, %v", info, err)
	}
}
