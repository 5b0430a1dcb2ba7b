package storetest

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
)

// BenchSave compares Save with one prepared statement in a loop, one round trip a
// row. Both take turns, so that a noisy machine disturbs both. ratio is how many
// times as fast Save is. one is the statement that saves one user.
func BenchSave(b *testing.B, d Servers, one string) {
	server := d.Start(b)
	for _, size := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			s := openBench(b, d, server.NewDatabase())
			other := server.NewDatabase()
			openBench(b, d, other) // makes the tables
			db, err := server.Panel(other)
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = db.Close() })
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
				if err := rawLoop(b.Context(), db, one, &batch); err != nil {
					b.Fatal(err)
				}
				looped += time.Since(start)
			}
			b.ReportMetric(float64(version)*float64(size)/saved.Seconds(), "users/s")
			b.ReportMetric(looped.Seconds()/saved.Seconds(), "ratio")
		})
	}
}

// BenchLoad compares the load of 100,000 users with a loop that reads the same
// columns and keeps nothing. ratio is what Load reaches of it.
func BenchLoad(b *testing.B, d Servers) {
	const users = 100_000
	server := d.Start(b)
	at := server.NewDatabase()
	s := openBench(b, d, at)
	for done := 0; done < users; done += 2000 {
		batch := benchUsers(done, 2000, 1)
		if err := s.Save(b.Context(), &batch); err != nil {
			b.Fatal(err)
		}
	}
	db, err := server.Panel(at)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	var loaded, looped time.Duration
	for b.Loop() {
		start := time.Now()
		found := 0
		for _, err := range s.Users(b.Context()) {
			if err != nil {
				b.Fatal(err)
			}
			found++
		}
		if found != users {
			b.Fatalf("%d users", found)
		}
		loaded += time.Since(start)
		start = time.Now()
		if err := rawRead(b.Context(), db); err != nil {
			b.Fatal(err)
		}
		looped += time.Since(start)
	}
	b.ReportMetric(loaded.Seconds()*1000/float64(b.N), "ms/load")
	b.ReportMetric(looped.Seconds()/loaded.Seconds(), "ratio")
}

func openBench(b *testing.B, d Servers, at store.Server) *store.SQL {
	b.Helper()
	s, err := d.Open(b.Context(), at, store.Lease{Holder: "bench"}, zap.NewNop())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close(context.Background(), true) })
	return s
}

// benchBatch takes a stride, since the users that change together are not neighbours.
func benchBatch(size int, version uint64) store.Batch {
	b := benchUsers(0, size, version)
	for i := range b.Users {
		b.Users[i].ID = presence.UserID(fmt.Sprintf("user-%05d", (i*7919+int(version)*size)%10000))
	}
	return b
}

func benchUsers(from, n int, version uint64) (b store.Batch) {
	view := []byte(`{"x":"` + strings.Repeat("v", 600) + `"}`)
	for i := range n {
		u := user(presence.UserID(fmt.Sprintf("user-%06d", from+i)), version)
		u.View = view
		b.Users = append(b.Users, u)
	}
	return b
}

func rawLoop(ctx context.Context, db *sql.DB, one string, batch *store.Batch) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	stmt, err := tx.PrepareContext(ctx, one)
	if err != nil {
		return err
	}
	defer func() { _ = stmt.Close() }()
	for _, u := range batch.Users {
		st := u.Status
		_, err := stmt.ExecContext(ctx, string(u.ID), u.Name, u.Email, u.Version, string(st.Type.ID), st.Type.Name, string(st.Type.Base), st.Type.Color,
			st.Message, "2026-11-22T12:00:00.000000Z", nil, st.By, 1, 1, string(u.View))
		if err != nil {
			return err
		}
	}
	return tx.Commit()
}

func rawRead(ctx context.Context, db *sql.DB) error {
	rows, err := db.QueryContext(ctx, `SELECT id, name, email, version, view FROM users ORDER BY id`)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	var id, name, email, version, view sql.RawBytes
	for rows.Next() {
		if err := rows.Scan(&id, &name, &email, &version, &view); err != nil {
			return err
		}
	}
	return rows.Err()
}
