package storetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/store"
	"github.com/presencebridge/presencebridge/pkg/store/servertest"
)

// large is a backup with many users of version 7, made on a database of its own.
func large(t *testing.T, d Servers, server *servertest.Server) []byte {
	t.Helper()
	at := server.NewDatabase()
	s := d.first(t, at)
	defer closeStore(t, s, true)
	b := manyUsers(5000, 7)
	save(t, s, &b)
	return backup(t, Opener{Reader: func() (*store.Reader, error) { return d.Reader(at) }})
}

// spoilt restores a backup into a store with one other user, and has something happen
// in the middle. The restore has to fail.
func spoilt(t *testing.T, s *store.SQL, file []byte, happen func()) {
	t.Helper()
	save(t, s, &store.Batch{Users: []store.User{user("alice", 1)}, History: []store.Entry{entry("alice", 1, noon)}})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	happened := false
	_, err := s.Restore(ctx, bytes.NewReader(file), store.Restoring{
		Replace: true, Act: *act("restored", "a backup"),
		Progress: func(done, all int64) {
			if done > all/2 && !happened {
				happened = true
				happen()
			}
		},
	})
	if err == nil || !happened {
		t.Errorf("restore = %v, with something in the middle: %v", err, happened)
	}
}

// unspoilt tells whether the store is as it was.
func unspoilt(t *testing.T, s *store.SQL) {
	t.Helper()
	same(t, "users", load(t, s).Users, loaded(user("alice", 1)))
	same(t, "entries", len(history(t, s, store.Query{})), 1)
}

func restoreCutOff(t *testing.T, d Servers, server *servertest.Server) {
	file := large(t, d, server)
	direct := server.NewDatabase()
	proxy := servertest.NewProxy(t, direct.Address)
	through := direct
	through.Address = proxy.Address()
	first := d.first(t, through)
	_, opened, failed := d.standby(t.Context(), t, direct)
	var second *store.SQL
	spoilt(t, first, file, func() {
		proxy.Cut()
		select {
		case second = <-opened:
		case err := <-failed:
			t.Error(err)
		case <-time.After(patience):
			t.Error("nobody took over")
		}
		proxy.Heal()
	})
	if second != nil {
		unspoilt(t, second)
	}
}

func restoreKilled(t *testing.T, d Servers, server *servertest.Server) {
	file := large(t, d, server)
	at := server.NewDatabase()
	s := d.first(t, at)
	spoilt(t, s, file, server.Kill)
	server.Start()
	_ = s.Close(t.Context(), false) // its connections have gone
	eventually(t, "the next bridge", func() bool {
		next, err := d.Open(t.Context(), at, store.Lease{Holder: "next", Term: term}, zap.NewNop())
		if errors.Is(err, store.ErrInUse) {
			return false
		}
		noError(t, err)
		defer closeStore(t, next, false)
		unspoilt(t, next)
		return true
	})
}

func restoreFenced(t *testing.T, d Servers, server *servertest.Server) {
	file := large(t, d, server)
	at := server.NewDatabase()
	s := d.first(t, at)
	spoilt(t, s, file, func() { panelExec(t, server, at, `UPDATE lease SET token = token + 1, holder = 'second'`) })
	unspoilt(t, s)
}

// slowBackup rests for longer than a bridge may be silent in a transaction.
func slowBackup(t *testing.T, d Servers, server *servertest.Server) {
	at := server.NewDatabase()
	s := d.first(t, at)
	b := manyUsers(2000, 7)
	save(t, s, &b)
	rested := false
	err := tryBackup(t, Opener{Reader: func() (*store.Reader, error) { return d.Reader(at) }}, io.Discard, func(int64, int64) {
		if !rested {
			rested = true
			time.Sleep(8 * time.Second)
		}
	})
	if err != nil || !rested {
		t.Errorf("backup = %v, rested %v", err, rested)
	}
}
