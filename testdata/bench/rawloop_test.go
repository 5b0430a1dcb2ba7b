package bench

import (
	"bufio"
	"cmp"
	"database/sql"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
)

// rawBatch is a store.Batch with every column as it goes into the database.
type rawBatch struct {
	Users   []rawUser
	History []rawLine
}

type rawUser struct {
	ID, Name, Email                                    string
	Version                                            uint64
	Type, TypeName, Base, Color, Message, Since, SetBy string
	View, Label                                        string
}

type rawLine struct {
	User                                                     string
	Version                                                  uint64
	At, Type, Name, Base, Message, Since, SetBy, Rule, Label string
}

func rawOf(batch *store.Batch) (raw rawBatch) {
	const layout = "2006-01-02T15:04:05.000000Z07:00"
	for _, u := range batch.Users {
		st := cmp.Or(u.Status, &presence.Status{Type: &presence.StatusType{}}) // before anybody has one
		raw.Users = append(raw.Users, rawUser{string(u.ID), u.Name, u.Email, u.Version, string(st.Type.ID), st.Type.Name,
			string(st.Type.Base), st.Type.Color, st.Message, st.Since.Time().Format(layout), st.By, string(u.View), st.Label})
	}
	for _, e := range batch.History {
		raw.History = append(raw.History, rawLine{string(e.User), e.Version, e.At.Format(layout), string(e.Type), e.Name,
			string(e.Base), e.Message, e.Since.Format(layout), e.By, string(e.Rule), e.Label})
	}
	return raw
}

// rawLoop writes batches into a database with the schema of the store, in a process of its
// own: connections of one process share SQLite's cache of pages.
type rawLoop struct {
	*child
	b   *testing.B
	dir string
}

func newRawLoop(b *testing.B, dir string) *rawLoop {
	check(b, os.Mkdir(dir, 0o700))
	check(b, openStore(b, dir).Close(b.Context(), true))
	return &rawLoop{startChild(b, "commits "+filepath.Join(dir, "bench.db")), b, dir}
}

// write writes each batch in a transaction and returns what that took.
func (l *rawLoop) write(batches []*store.Batch) (u usage) {
	raw := make([]rawBatch, len(batches))
	for i, batch := range batches {
		raw[i] = rawOf(batch)
	}
	path := filepath.Join(l.dir, "batches")
	f, err := os.Create(path)
	check(l.b, err)
	check(l.b, gob.NewEncoder(f).Encode(raw))
	check(l.b, f.Close())
	l.ask("load %s", path)
	_, err = fmt.Sscan(l.ask("write"), &u.wall, &u.cpu)
	check(l.b, err)
	return u
}

// serveCommits is the process. It has what it writes ready in memory.
func serveCommits(path string) error {
	write, err := openRaw(path)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	var batches []rawBatch
	for in := bufio.NewReader(os.Stdin); ; {
		line, err := in.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch do, path, _ := strings.Cut(strings.TrimSpace(line), " "); do {
		case "load":
			if batches, err = loadBatches(path); err != nil {
				return err
			}
			fmt.Println("loaded")
		case "write":
			cpu, start := cpuTime(), time.Now()
			for i := range batches {
				if err := write(&batches[i]); err != nil {
					return err
				}
			}
			fmt.Println(time.Since(start).Nanoseconds(), (cpuTime() - cpu).Nanoseconds())
		}
	}
}

func loadBatches(path string) (batches []rawBatch, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return batches, gob.NewDecoder(f).Decode(&batches)
}

// openRaw returns what writes a batch in a transaction.
func openRaw(path string) (func(*rawBatch) error, error) {
	db, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	user, err := db.Prepare(`INSERT INTO users (id, name, email, version, type, type_name, base, color, message, since, until, set_by, removed, stale, view, label)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET
		name = excluded.name, email = excluded.email, version = excluded.version, type = excluded.type, type_name = excluded.type_name, base = excluded.base, color = excluded.color,
		message = excluded.message, since = excluded.since, until = excluded.until, set_by = excluded.set_by,
		removed = excluded.removed, stale = excluded.stale, view = excluded.view, label = excluded.label`)
	if err != nil {
		return nil, err
	}
	line, err := db.Prepare(`INSERT INTO history (user_id, version, at, ordinal, type, name, base, message, since, until, set_by, rule, label)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
	if err != nil {
		return nil, err
	}
	return func(batch *rawBatch) error {
		tx, err := db.Begin()
		if err != nil {
			return err
		}
		u, h := tx.Stmt(user), tx.Stmt(line)
		defer func() { _, _ = u.Close(), h.Close() }()
		for i := range batch.Users {
			row := &batch.Users[i]
			if _, err := u.Exec(row.ID, row.Name, row.Email, row.Version, row.Type, row.TypeName, row.Base, row.Color,
				row.Message, row.Since, nil, row.SetBy, false, false, row.View, row.Label); err != nil {
				return err
			}
		}
		for i := range batch.History {
			e := &batch.History[i]
			if _, err := h.Exec(e.User, e.Version, e.At, 0, e.Type, e.Name, e.Base, e.Message, e.Since, nil, e.SetBy, e.Rule, e.Label); err != nil {
				return err
			}
		}
		return tx.Commit()
	}, nil
}
