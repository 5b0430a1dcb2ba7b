package sqlite

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
)

// BenchmarkSave compares Save with the least that the same driver needs for the
// same rows: one prepared statement in a loop. Both take turns, so that a noisy
// machine disturbs both. ratio is what Save reaches of the raw loop.
func BenchmarkSave(b *testing.B) {
	for _, size := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			s, err := Open(b.Context(), filepath.Join(b.TempDir(), "save.db"), zap.NewNop())
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = s.Close(b.Context(), true) }()
			raw := rawLoop(b)
			var saved, looped time.Duration
			version := uint64(0)
			for b.Loop() {
				version++
				batch := benchBatch(size, version)
				start := time.Now()
				if err := s.Save(b.Context(), &batch); err != nil {
					b.Fatal(err)
				}
				saved += time.Since(start)
				start = time.Now()
				raw(&batch)
				looped += time.Since(start)
			}
			b.ReportMetric(float64(version)*float64(size)/saved.Seconds(), "users/s")
			b.ReportMetric(looped.Seconds()/saved.Seconds(), "ratio")
		})
	}
}

func benchBatch(size int, version uint64) store.Batch {
	var batch store.Batch
	for i := range size {
		// A stride, since the users that change together are not neighbours.
		id := presence.UserID(fmt.Sprintf("user-%05d", (i*7919+int(version)*size)%10000))
		batch.Users = append(batch.Users, store.User{
			ID: id, Name: "Some Name", Email: "some.name@example.com", Version: version,
			Status: &presence.Status{
				Type:    &presence.StatusType{ID: "lunch", Name: "Lunch", Base: presence.Absent, Color: "#ef6c00"},
				Message: "Back at 2", Since: presence.At(time.Now()), By: "extension main/1001",
			},
			View: make([]byte, 600),
		})
	}
	return batch
}

func rawLoop(b *testing.B) func(*store.Batch) {
	db, err := sql.Open("sqlite", dsn(filepath.Join(b.TempDir(), "raw.db"), map[string][]string{
		"_txlock": {"immediate"}, "_pragma": {"journal_mode(WAL)", "synchronous(FULL)"},
	}))
	check := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	check(err)
	b.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(1)
	s, err := migrations.ReadFile("migrations/00001_first.sql")
	check(err)
	_, err = db.Exec(string(s))
	check(err)
	stmt, err := db.Prepare(strings.Replace(store.OnConflict().User, "{rows}", "(?"+strings.Repeat(", ?", 14)+")", 1))
	check(err)
	return func(batch *store.Batch) {
		tx, err := db.Begin()
		check(err)
		in := tx.Stmt(stmt)
		defer func() { _ = in.Close() }()
		for _, u := range batch.Users {
			st := u.Status
			_, err := in.Exec(u.ID, u.Name, u.Email, u.Version, st.Type.ID, st.Type.Name, st.Type.Base, st.Type.Color,
				st.Message, "2026-11-22T12:00:00.000000Z", nil, st.By, false, false, string(u.View))
			check(err)
		}
		check(tx.Commit())
	}
}
