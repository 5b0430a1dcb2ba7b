package store

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// What needs a database is tested in storetest, and run by each dialect.

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStoredTimesSortAsTheTimesDo(t *testing.T) {
	noon := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	times := []time.Time{
		noon, noon.Add(time.Microsecond), noon.Add(10 * time.Microsecond), noon.Add(time.Second),
		noon.Add(2 * time.Second).In(time.FixedZone("west", -8*3600)),
		noon.Add(3 * time.Second).In(time.FixedZone("east", 8*3600)),
	}
	last := ""
	for _, want := range times {
		text := timeText(want).(string)
		if text <= last {
			t.Errorf("%s comes after %s", text, last)
		}
		var got timeColumn
		if err := got.Scan(text); err != nil || !time.Time(got).Equal(want) || time.Time(got).Location() != time.UTC {
			t.Errorf("%s came back as %v, %v", text, time.Time(got), err)
		}
		last = text
	}
}

func TestZeroTimeIsNull(t *testing.T) {
	if v := timeText(time.Time{}); v != nil {
		t.Errorf("stored as %v", v)
	}
	got := timeColumn(time.Now())
	if err := got.Scan(nil); err != nil || !time.Time(got).IsZero() {
		t.Errorf("came back as %v, %v", time.Time(got), err)
	}
}

func TestColumnsThatAreNoTimesAreErrors(t *testing.T) {
	for _, value := range []any{"noon", "", "2026-11-22 12:00:00", struct{}{}} {
		if err := new(timeColumn).Scan(value); err == nil {
			t.Errorf("%v was taken", value)
		}
	}
}

func TestDialectBindsItsParameters(t *testing.T) {
	numbered := Dialect{Bind: func(s string) string { return s + " $1" }}
	if got := numbered.bind("x"); got != "x $1" {
		t.Errorf("bound %q", got)
	}
	if got := new(Dialect).bind("x = ?"); got != "x = ?" {
		t.Errorf("bound %q", got)
	}
}

func TestFailureOfAContextCanBeTold(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	driver, hint := errors.New("interrupted"), errors.New("do this")
	s := &Reads{dialect: Dialect{Explain: func(err error) error { return errors.Join(hint, err) }}}
	if err := s.fail(ctx, "save", nil); err != nil {
		t.Errorf("nothing failed: %v", err)
	}
	if err := s.fail(ctx, "save", driver); !errors.Is(err, hint) || !errors.Is(err, driver) || errors.Is(err, context.Canceled) {
		t.Errorf("failure = %v", err)
	}
	cancel()
	if err := s.fail(ctx, "save", driver); !errors.Is(err, driver) || !errors.Is(err, context.Canceled) {
		t.Errorf("failure after cancel = %v", err)
	}
	if err := s.fail(ctx, "save", context.Canceled); err.Error() != "store save: do this\ncontext canceled" {
		t.Errorf("failure of the context itself = %v", err)
	}
}
