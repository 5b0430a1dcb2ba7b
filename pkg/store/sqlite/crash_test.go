package sqlite

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
	"github.com/presencebridge/presencebridge/pkg/store/storetest"
)

// crashStore names the store in the environment of the child that gets killed.
const crashStore = "PRESENCEBRIDGE_TEST_CRASH_STORE"

// crashUsers is how many users every batch of the child holds.
const crashUsers = 5

func TestMain(m *testing.M) {
	if path := os.Getenv(crashStore); path != "" {
		fmt.Fprintln(os.Stderr, saveUntilKilled(path))
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// saveUntilKilled saves batches, each with the next version of every user and a
// line of history for each, and prints the version when it is saved.
func saveUntilKilled(path string) error {
	ctx := context.Background()
	s, err := Open(ctx, path, zap.NewNop())
	if err != nil {
		return err
	}
	st, err := storetest.Load(ctx, s)
	if err != nil {
		return err
	}
	version := uint64(0)
	if len(st.Users) > 0 {
		version = st.Users[0].Version
	}
	for {
		version++
		if err := s.Save(ctx, crashBatch(version)); err != nil {
			return err
		}
		fmt.Println(version)
	}
}

func crashBatch(version uint64) *store.Batch {
	at := presenceTime.Add(time.Duration(version) * time.Second)
	b := &store.Batch{PBXs: []store.PBX{{Name: "main", Incarnation: strconv.FormatUint(version, 10), Heard: at}}}
	for i := range crashUsers {
		id := presence.UserID(fmt.Sprintf("user-%02d", i))
		b.Users = append(b.Users, store.User{ID: id, Version: version, View: make([]byte, 400)})
		b.History = append(b.History, store.Entry{User: id, Version: version, At: at, Type: "lunch"})
	}
	return b
}

func TestKilledBridgeLosesNothingItSaved(t *testing.T) {
	rounds := 30
	if testing.Short() {
		rounds = 5
	}
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	path := filepath.Join(t.TempDir(), "store.db")
	for round := range rounds {
		saved := killAfter(t, path, 1+random.IntN(30))
		db := rawDB(t, path)
		var verdict string
		if err := db.QueryRowContext(t.Context(), `PRAGMA integrity_check`).Scan(&verdict); err != nil || verdict != "ok" {
			t.Fatalf("seed %d, round %d: integrity_check = %s, %v", seed, round, verdict, err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		checkCrashed(t, path, saved)
		if t.Failed() {
			t.Fatalf("seed %d, round %d", seed, round)
		}
	}
}

// killAfter starts a bridge, kills it when it has saved so many batches, in the
// middle of whatever it does then, and returns the last version it had saved.
func killAfter(t *testing.T, path string, batches int) uint64 {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), crashStore+"="+path)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var last uint64
	lines := bufio.NewScanner(out)
	for n := 1; lines.Scan(); n++ {
		if last, err = strconv.ParseUint(lines.Text(), 10, 64); err != nil {
			t.Errorf("child: %v", err)
		}
		if n == batches {
			if err := child.Process.Kill(); err != nil {
				t.Error(err)
			}
		}
	}
	_ = child.Wait() // it was killed, which Wait reports as an error
	if last == 0 {
		t.Fatal("the child saved nothing")
	}
	return last
}

func checkCrashed(t *testing.T, path string, saved uint64) {
	t.Helper()
	s := mustOpen(t, path)
	defer func() { _ = s.Close(t.Context(), false) }()
	st, err := storetest.Load(t.Context(), s)
	if err != nil || len(st.Users) != crashUsers {
		t.Fatalf("%d users, %v", len(st.Users), err)
	}
	if st.Clean {
		t.Error("clean after a kill")
	}
	// The batch after the last one told may have been committed, but not told.
	version := st.Users[0].Version
	if version != saved && version != saved+1 {
		t.Errorf("version %d, and %d was saved", version, saved)
	}
	for _, u := range st.Users {
		if u.Version != version {
			t.Errorf("half a batch: versions %d and %d", version, u.Version)
		}
	}
	if got := st.PBXs[0].Incarnation; got != strconv.FormatUint(version, 10) {
		t.Errorf("half a batch: pbx of version %s, users of %d", got, version)
	}
	var entries uint64
	err = rawDB(t, path).QueryRowContext(t.Context(), `SELECT COUNT(*) FROM history`).Scan(&entries)
	if err != nil || entries != version*crashUsers {
		t.Errorf("%d entries, %v; want %d", entries, err, version*crashUsers)
	}
}
